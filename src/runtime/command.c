/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/command.h"

static const char *const cgroup_manager_table[_CGROUP_MANAGER_MAX] = {
        [CGROUP_MANAGER_CGROUPFS] = "cgroupfs",
        [CGROUP_MANAGER_SYSTEMD] = "systemd",
        [CGROUP_MANAGER_DISABLED] = "disabled",
};

DEFINE_STRING_TABLE(cgroup_manager, CgroupManager)

typedef struct Verb {
        const char *name;
        CommandFunc run;
        const char *arguments; /* as the help shows them; NULL: none */
        const char *summary;
        const char *options; /* lines of the help; NULL: none */
} Verb;

static const Verb verbs[] = {
        { "create", command_create, "CONTAINER", "Create a container", NULL },
        { "exec", command_exec, "CONTAINER COMMAND [ARGUMENT...]", "Execute a process in a container", NULL },
        { "run", command_run, "CONTAINER", "Create and start a container", NULL },
        { "start", command_start, "CONTAINER", "Start a created container", NULL },
        { "state", command_state, "CONTAINER", "Show the state of a container as JSON", NULL },
        { "list", command_list, NULL, "List the containers",
          "  -f --format FORMAT  table (default) or json\n"
          "  -q --quiet          Only their names\n" },
        { "kill", command_kill, "CONTAINER [SIGNAL]", "Send a signal (SIGTERM) to the container's first process",
          "  -a --all    To all processes of the container\n"
          "  -r --regex  CONTAINER is a regular expression: to each that it matches\n" },
        { "delete", command_delete, "CONTAINER", "Remove a container that has ended, or was never started",
          "  -f --force  Kill it first; no error if there is none\n"
          "  -r --regex  CONTAINER is a regular expression: each that it matches\n" },
        { "ps", command_ps, "CONTAINER [PS-OPTION...]", "Show the processes in a container",
          "  -f --format FORMAT  table (default: what ps prints) or json (process numbers)\n" },
        { "pause", command_pause, "CONTAINER", "Freeze all processes of a container", NULL },
        { "resume", command_resume, "CONTAINER", "Let a paused container go on", NULL },
        { "update", command_update, "CONTAINER", "Change a container's limits",
          "  -r --resources FILE           Read them as JSON, linux.resources of the specification; -: from stdin\n"
          "     --blkio-weight N           10 to 1000\n"
          "     --cpu-burst USEC           Unused time that may be caught up on\n"
          "     --cpu-idle 0|1             1: only when nobody else wants the CPU\n"
          "     --cpu-period USEC          What --cpu-quota refers to\n"
          "     --cpu-quota USEC           CPU time in a period; -1: no limit\n"
          "     --cpu-share N              Weight among others, 2 to 262144\n"
          "     --cpuset-cpus LIST         CPUs that may be used, such as 0-3,7\n"
          "     --cpuset-mems LIST         Memory nodes that may be used\n"
          "     --memory BYTES             Such as 512M; -1: no limit\n"
          "     --memory-reservation BYTES What is not taken away when memory is scarce\n"
          "     --memory-swap BYTES        Memory and swap together; -1: no limit\n"
          "     --pids-limit N             Processes and threads; -1: no limit\n"
          "     --l3-cache-schema TEXT     Line of the container's resctrl group\n"
          "     --mem-bw-schema TEXT       Likewise\n"
          "     --cpu-rt-period, --cpu-rt-runtime, --kernel-memory, --kernel-memory-tcp: not with cgroup v2\n" },
        { "events", command_events, "CONTAINER", "Show what a container uses, and when memory runs out, as JSON",
          "     --interval TIME  Time between two lines of numbers (5s)\n"
          "     --stats          Only one line, now\n" },
        { "spec", command_spec, NULL, "Write a config.json to begin with",
          "  -b --bundle DIR  Into this directory, instead of the working directory\n"
          "     --rootless    For an ordinary user\n" },
        {},
};

/* The help of the verb that runs. */
static const GlobalOptions *current_options;
static const Verb *current_verb;

static _noreturn_ void verb_help(void) {
        printf("Usage: %s [OPTION...] %s%s%s\n\n%s.\n", current_options->name, current_verb->name,
               current_verb->arguments ? " " : "", strempty(current_verb->arguments),
               current_verb->summary);
        if (current_verb->options)
                printf("\nOptions:\n%s", current_verb->options);
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int command_option(int argc, char *argv[], const char *short_options, const struct option *options,
                   Error *reterr_error) {
        int c;

        opterr = 0;
        c = getopt_long(argc, argv, short_options, options, NULL);
        switch (c) {
        case -1:
                return 0;
        case 'h':
                if (current_verb)
                        verb_help();
                return c;
        case ':':
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s needs a value.", argv[optind - 1]);
        case '?':
                /* Of several letters behind one dash it may be any. */
                if (optopt > 0 && optopt < 128 && argv[optind - 1][1] != '-')
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "There is no option -%c. See --help.", optopt);
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "There is no option %s, or not of this form. See --help.", argv[optind - 1]);
        default:
                return c;
        }
}

int command_check_arguments(int argc, char *argv[], int min, int max, Error *reterr_error) {
        int n = argc - optind;

        if (n < min || (max >= 0 && n > max))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" takes %s%d argument(s), not %d. See %s --help.", argv[0],
                                 max < 0        ? "at least "
                                 : min < max && n < min ? "at least "
                                 : min < max            ? "at most "
                                                        : "",
                                 n < min || max < 0 ? min : max, n, argv[0]);
        return 0;
}

void command_print_verbs(FILE *f) {
        for (const Verb *v = verbs; v->name; v++)
                fprintf(f, "  %-11s %s\n", v->name, v->summary);
}

int command_dispatch(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        for (const Verb *v = verbs; v->name; v++) {
                if (!streq(v->name, argv[0]))
                        continue;
                current_options = g;
                current_verb = v;
                optind = 0; /* begins anew */
                return v->run(g, argc, argv, reterr_error);
        }
        return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no command \"%s\". See %s --help.",
                         argv[0], g->name);
}
