/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What all verbs of moorctl share: the global options, the verb table's type, the connection. */

#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/macro.h"
#include "ctl/options.h"
#include "ctl/output-json.h"
#include "ctl/table.h"

/* As a shell has them, and as other container tools do for "run". */
#define EXIT_MOORED_FAILED 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

typedef struct Ctl Ctl;

typedef enum VerbGroup {
        VERB_GROUP_IMAGES,
        VERB_GROUP_CONTAINERS,
        VERB_GROUP_SYSTEM,
        _VERB_GROUP_MAX,
} VerbGroup;

typedef struct Verb {
        const char *name;
        const char *alias; /* or NULL */
        VerbGroup group;
        const char *arguments;   /* "IMAGE [COMMAND [ARGUMENT…]]" */
        const char *summary;     /* one line of moorctl --help */
        const char *description; /* paragraphs and examples of moorctl VERB --help, ends in a newline */
        const Option *options;
        unsigned min_args, max_args;
        bool stop_at_first; /* what follows the first argument is the container's command line */
        int failure;        /* exit status when run() fails; 0: 1 */
        /* Exit status, or negative errno with the error set. argv begins behind the verb. */
        int (*run)(Ctl *c, char **argv, Error *reterr_error);
} Verb;

struct Ctl {
        /* options; borrowed from argv or the environment */
        const char *ns;        /* the one to work in */
        const char *ns_option; /* the same if it was given as an option, else NULL */
        const char *host;
        const char *machine;
        bool no_pager, no_legend, full, quiet, no_ask_password, help, version;
        OutputMode json;

        const Verb *verb;
        sd_bus *bus;     /* see ctl_connect() */
        sd_event *event; /* see ctl_event() */
        int failure;     /* exit status that the failing verb wants instead of verb->failure; 0: none */
        pid_t pager_pid, agent_pid;
        /* what stdout is like, if only through the pager; see ctl_output() */
        bool colors;
        unsigned columns; /* 0: not a terminal */
};

/* The global options, for the parser and for --help; target: Ctl. */
extern const Option ctl_options[];

/* Parses argv by the verb's table (target) and the global one, checks the number of arguments. Returns 0 if
 * --help was asked for (and printed): the verb returns that. *ret_args: free() the list. */
int ctl_parse(Ctl *c, char **argv, void *target, char ***ret_args, Error *reterr_error);
/* The loop of this process, with the bus attached. Borrowed. Run it by sd_event_run(); it is never exited.
 */
int ctl_event(Ctl *c, sd_event **ret, Error *reterr_error);
/* Prints a table or (with --json) the value in its place, through the pager. Either may be NULL if it is not
 * wanted. */
int ctl_output(Ctl *c, const Table *table, json_t *json, Error *reterr_error);
void ctl_done(Ctl *c);

/* One per verb; main.c has the table. */
extern const Verb verb_pull, verb_images, verb_tag, verb_rmi, verb_import;
extern const Verb verb_run, verb_create, verb_exec, verb_attach;
extern const Verb verb_start, verb_stop, verb_restart, verb_kill, verb_rm, verb_ps, verb_wait;
extern const Verb verb_pause, verb_resume, verb_update, verb_stats, verb_top;
extern const Verb verb_inspect, verb_logs, verb_events, verb_healthcheck;
extern const Verb verb_info, verb_version, verb_gc, verb_namespace, verb_network, verb_interface;
extern const Verb verb_unit, verb_verify;
