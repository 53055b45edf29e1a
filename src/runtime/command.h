/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line of mooring: the options before the verb, and the verbs. A verb gets its own name as
 * argv[0] and returns the exit code, or a negative errno with the error set: that is reported (stderr, --log)
 * and makes exit code 1. */

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
        const char *root; /* directory of states; never NULL */
        const char *log;
        bool log_json;
        bool debug;
        CgroupManager cgroup_manager;
        bool rootless; /* without privileges: said (--rootless) or seen (not uid 0, or in a user namespace) */
} GlobalOptions;

typedef int (*CommandFunc)(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);

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
int command_update(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_events(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_spec(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_features(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_checkpoint(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
int command_restore(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error);
