/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/command.h"
#include "runtime/report.h"

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

#define HELP_CREATE                                                                                         \
        "  -b --bundle=DIR           The bundle, instead of the working directory\n"                        \
        "  -f --config=FILE          The specification, instead of config.json in the bundle\n"             \
        "     --console-socket=PATH  Pass the terminal to this socket\n"                                    \
        "     --pid-file=FILE        Write the first process's number there\n"                              \
        "     --pidfd-socket=PATH    Pass a descriptor of the first process to this socket\n"               \
        "     --preserve-fds=N       Pass descriptors 3 to N+2 on\n"                                        \
        "     --no-pivot             Move the root instead of exchanging it: for a root on a ramdisk\n"     \
        "     --no-new-keyring       Leave the session keyring as it is\n"

#define HELP_CRIU                                                                                           \
        "     --tcp-established           Also TCP connections\n"                                           \
        "     --ext-unix-sk               Also Unix sockets to the outside\n"                               \
        "     --shell-job                 Also what belongs to a terminal of the outside\n"                 \
        "     --file-locks                Also locks of files\n"                                            \
        "     --lazy-pages                Memory follows when it is needed\n"                               \
        "     --auto-dedup                Without pages that are in several images\n"                       \
        "     --empty-ns=network          Without what is in this namespace\n"                              \
        "     --manage-cgroups-mode=MODE  soft (default), full, strict or ignore\n"                         \
        "     --network-lock=METHOD       iptables, nftables or skip\n"

static const Verb verbs[] = {
        { "create", command_create, "CONTAINER", "Create a container, which start lets go on", HELP_CREATE },
        { "start", command_start, "CONTAINER", "Start a container that has been created", NULL },
        { "run", command_run, "CONTAINER", "Create and start a container",
          HELP_CREATE "  -d --detach               Do not wait for its end\n"
                      "     --keep                 Keep its state when it has ended, until it is deleted\n"
                      "     --no-subreaper         Without effect\n" },
        { "exec", command_exec, "CONTAINER cmd [ARGUMENT...]", "Execute a further process in a container",
          "  -p --process=FILE           What to execute, as JSON: process of the specification\n"
          "     --cwd=DIR                The working directory\n"
          "  -e --env=NAME=VALUE         Add to the environment; may be repeated, as all that add\n"
          "  -u --user=UID[:GID]         The user\n"
          "  -g --additional-gids=GID    Add a group\n"
          "  -c --cap=CAPABILITY         Add a capability\n"
          "     --no-new-privs           No privileges by execve(2)\n"
          "     --apparmor=PROFILE       The AppArmor profile\n"
          "     --process-label=LABEL    The SELinux label\n"
          "     --cgroup=PATH            The cgroup, below the container's\n"
          "  -t --tty                    With a terminal\n"
          "  -d --detach                 Do not wait for its end\n"
          "     --ignore-paused          Also in a paused container\n"
          "     --console-socket=PATH    Pass the terminal to this socket\n"
          "     --pid-file=FILE          Write the process's number there\n"
          "     --pidfd-socket=PATH      Pass a descriptor of the process to this socket\n"
          "     --preserve-fds=N         Pass descriptors 3 to N+2 on\n"
          "     --no-subreaper           Without effect\n" },
        { "state", command_state, "CONTAINER", "Show the state of a container as JSON", NULL },
        { "list", command_list, NULL, "List the containers",
          "  -f --format=FORMAT  table (default) or json\n"
          "  -q --quiet          Only their names\n" },
        { "ps", command_ps, "CONTAINER [PS-OPTION...]", "Show the processes in a container",
          "  -f --format=FORMAT  table (default: what ps prints) or json (process numbers)\n" },
        { "kill", command_kill, "CONTAINER [SIGNAL]",
          "Send a signal (SIGTERM) to the container's first process",
          "  -a --all    To all processes of the container\n"
          "  -r --regex  CONTAINER is a regular expression: to each that it matches\n" },
        { "delete", command_delete, "CONTAINER", "Remove a container that has ended, or was never started",
          "  -f --force  Kill it first; no error if there is none\n"
          "  -r --regex  CONTAINER is a regular expression: each that it matches\n" },
        { "pause", command_pause, "CONTAINER", "Freeze all processes of a container", NULL },
        { "resume", command_resume, "CONTAINER", "Let a paused container go on", NULL },
        { "update", command_update, "CONTAINER", "Change a container's limits",
          "  -r --resources=FILE            Read them as JSON, linux.resources of config.json; -: stdin\n"
          "     --blkio-weight=N            10 to 1000\n"
          "     --cpu-burst=USEC            Unused time that may be caught up on\n"
          "     --cpu-idle=0|1              1: only when nobody else wants the CPU\n"
          "     --cpu-period=USEC           What --cpu-quota refers to\n"
          "     --cpu-quota=USEC            CPU time in a period; -1: no limit\n"
          "     --cpu-share=N               Weight among others, 2 to 262144\n"
          "     --cpuset-cpus=LIST          CPUs that may be used, such as 0-3,7\n"
          "     --cpuset-mems=LIST          Memory nodes that may be used\n"
          "     --memory=BYTES              Such as 512M; -1: no limit\n"
          "     --memory-reservation=BYTES  What is not taken away when memory is scarce\n"
          "     --memory-swap=BYTES         Memory and swap together; -1: no limit\n"
          "     --pids-limit=N              Processes and threads; -1: no limit\n"
          "     --l3-cache-schema=TEXT      Line of the container's resctrl group\n"
          "     --mem-bw-schema=TEXT        Likewise\n" },
        { "mounts", command_mounts, "[add|remove] CONTAINER FILE",
          "Mount in a container that runs, or unmount, what is listed in FILE", NULL },
        { "events", command_events, "CONTAINER",
          "Show what a container uses, and when memory runs out, as JSON",
          "     --interval=TIME  Time between two lines of numbers (5s)\n"
          "     --stats          Only one line, now\n" },
        { "checkpoint", command_checkpoint, "CONTAINER", "Write a container to files, by CRIU, and end it",
          "     --image-path=DIR            Where to (default: checkpoint)\n"
          "     --work-path=DIR             Where to write logs (default: the same)\n"
          "     --leave-running             Do not end it\n"
          "     --pre-dump                  Only memory, and do not end it\n"
          "     --parent-path=DIR           The previous pre-dump, relative to --image-path\n" HELP_CRIU
          "     --tcp-skip-in-flight        Without TCP connections that are being made\n"
          "     --link-remap                Also deleted files that are open\n"
          "     --page-server=ADDRESS:PORT  Send memory there\n"
          "     --status-fd=FD              Gets a byte when --lazy-pages can begin\n" },
        { "restore", command_restore, "CONTAINER", "Make a container of what checkpoint has written",
          "  -b --bundle=DIR                The bundle, instead of the working directory\n"
          "  -d --detach                    Do not wait for its end\n"
          "     --image-path=DIR            Where it was written (default: checkpoint)\n"
          "     --work-path=DIR             Where to write logs (default: the same)\n"
          "     --console-socket=PATH       Pass the terminal to this socket\n"
          "     --pid-file=FILE             Write the first process's number there\n" HELP_CRIU
          "     --tcp-close                 TCP connections are closed\n"
          "     --lsm-profile=TYPE:NAME     Another AppArmor profile or SELinux label\n"
          "     --lsm-mount-context=TEXT    Another SELinux label of mounts\n"
          "     --no-pivot                  Without effect\n"
          "     --no-subreaper              Without effect\n" },
        { "spec", command_spec, NULL, "Write a config.json to begin with",
          "  -b --bundle=DIR  Into this directory, instead of the working directory\n"
          "     --rootless    For an ordinary user\n" },
        { "features", command_features, NULL, "Show what a specification may ask for, as JSON", NULL },
        {},
};

/* The help of the verb that runs. */
static const GlobalOptions *current_options;
static const Verb *current_verb;

static _noreturn_ void verb_help(void) {
        printf("Usage: %s [OPTION...] %s%s%s\n\n%s.\n", current_options->name, current_verb->name,
               current_verb->arguments ? " " : "", strempty(current_verb->arguments), current_verb->summary);
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
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s needs a value.",
                                 argv[optind - 1]);
        case '?':
                /* Of several letters behind one dash it may be any. */
                if (optopt > 0 && optopt < 128 && argv[optind - 1][1] != '-')
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "There is no option -%c. See --help.", optopt);
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "There is no option %s, or not of this form. See --help.",
                                 argv[optind - 1]);
        default:
                return c;
        }
}

int command_check_arguments(int argc, char *argv[], int min, int max, Error *reterr_error) {
        int n = argc - optind;

        if (n < min || (max >= 0 && n > max))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" takes %s%d argument(s), not %d. See %s --help.", argv[0],
                                 max < 0                ? "at least "
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
                report_debug("%s: states in \"%s\", cgroup manager %s%s.", v->name, g->root,
                             cgroup_manager_to_string(g->cgroup_manager), g->rootless ? ", rootless" : "");
                return v->run(g, argc, argv, reterr_error);
        }
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "There is no command \"%s\". See %s --help.", argv[0], g->name);
}
