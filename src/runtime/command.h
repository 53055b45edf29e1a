/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line of mooring: the options before the verb, and the verbs. A verb gets its own name as
 * argv[0] and returns the exit code, or a negative errno with the error set: that is reported (stderr,
 * --log; runtime/report.h) and makes exit code 1. A verb parses its options with command_option(); main()
 * has printed its help before it is called. */

#include <getopt.h>

#include "basic/error.h"
#include "basic/macro.h"

typedef enum CgroupManager {
        CGROUP_MANAGER_CGROUPFS,
        CGROUP_MANAGER_SYSTEMD,
        CGROUP_MANAGER_DISABLED,
        _CGROUP_MANAGER_MAX,
        _CGROUP_MANAGER_INVALID = -EINVAL,
} CgroupManager;

/* "cgroupfs", "systemd", "disabled" */
DECLARE_STRING_TABLE(cgroup_manager, CgroupManager);

typedef struct GlobalOptions {
        char **argv;      /* main()'s, for self_protect() */
        const char *name; /* what this program was called as: for what is printed */
        const char *root; /* directory of states; never NULL */
        const char *log;  /* as given; NULL: none */
        const char *criu; /* the program; NULL: the one in $PATH */
        bool log_json;
        bool debug; /* log_level is LOG_DEBUG */
        int log_level;
        CgroupManager cgroup_manager;
        bool rootless; /* without privileges: said (--rootless) or seen (not uid 0, or in a user namespace)
                        */
} GlobalOptions;

/* The version of the runtime specification that this program was written by. */
#define OCI_VERSION "1.3.0"

/* getopt_long() whose mistakes become errors: the option's `val` (never 0), 0 at the end (optind is then the
 * first argument), negative errno. short_options begins with "+:". Prints the verb's help and exits at 'h':
 * each verb has COMMAND_OPTION_HELP in its table, and "h" in short_options. */
#define COMMAND_OPTION_HELP                                                                                 \
        { "help", no_argument, NULL, 'h' }
int command_option(int argc, char *argv[], const char *short_options, const struct option *options,
                   Error *reterr_error);

/* Checks the number of arguments behind the options. max < 0: any. */
int command_check_arguments(int argc, char *argv[], int min, int max, Error *reterr_error);

typedef int (*CommandFunc)(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);

/* The verb argv[0], by the table in command.c. */
int command_dispatch(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
/* The verbs, a line each, for the help. */
void command_print_verbs(FILE *f);

int command_create(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_start(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_run(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_exec(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_state(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_list(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_kill(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_delete(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_ps(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_pause(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_resume(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_mounts(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_update(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_events(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_spec(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_features(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_checkpoint(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_restore(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
