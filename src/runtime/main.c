/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line: options before the verb, by runc's and crun's names, and the choice of the verb. */

#include <seccomp.h>
#include <signal.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "runtime/cni.h"
#include "runtime/command.h"
#include "runtime/init.h"
#include "runtime/launch.h"
#include "runtime/probe.h"
#include "runtime/record.h"
#include "runtime/report.h"

#define ROOT_SYSTEM "/run/mooring"

/* The verbs of units: nothing of the options, states and logs of the others is on their way. */
static const struct UnitVerb {
        const char *name;
        const char *option;   /* the only one; NULL: none */
        const char *argument; /* NULL: none */
        int (*run)(char *argv[], Error *reterr_error);
        bool launches; /* 125, 126 and 127 are its exit codes, beside what it makes */
} unit_verbs[] = {
        { "launch", "--record", "BUNDLE", launch, true },
        { "launch-exec", NULL, "FILE", launch_exec, true },
        { "launch-scope", NULL, "BUNDLE", launch_scope, true },
        { "stop", NULL, "BUNDLE", launch_stop, false },
        { "record-exit", NULL, "BUNDLE", record_exit, false },
        { "record-exec", NULL, "FILE", record_exec, false },
        { "clean", NULL, "BUNDLE", launch_clean, false },
        { "probe", NULL, NULL, probe_serve, false },
        { "cni", NULL, NULL, cni_serve, false },
        { "prepare-seccomp", NULL, "NAME", launch_prepare_seccomp, false },
};

static void help(const char *name, FILE *f) {
        fprintf(f,
                "Usage: %s [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n"
                "\n"
                "Runs containers by the OCI runtime specification.\n"
                "\n"
                "Commands:\n",
                name);
        command_print_verbs(f);
        fprintf(f,
                "\n"
                "For units of moored's (what they start; not by hand):\n"
                "  ");
        for (size_t i = 0; i < ELEMENTSOF(unit_verbs); i++)
                fprintf(f, "%s%s", i > 0 ? ", " : "", unit_verbs[i].name);
        fprintf(f,
                "\n"
                "\n"
                "Options:\n"
                "     --root=DIR                Keep the containers' states in DIR\n"
                "     --cgroup-manager=MANAGER  cgroupfs (default), systemd or disabled\n"
                "     --systemd-cgroup          The same as --cgroup-manager=systemd\n"
                "     --rootless=VALUE          true, false or auto (default)\n"
                "     --log=FILE                Where messages go, too: [file:]PATH, syslog:ID, journald:ID\n"
                "     --log-format=FORMAT       text (default) or json\n"
                "     --log-level=LEVEL         error, warning (default) or debug\n"
                "     --debug                   The same as --log-level=debug\n"
                "     --criu=PATH               The program for checkpoint and restore\n"
                "  -h --help                    Show this help; behind a command: the command's\n"
                "  -v --version                 Show the version\n"
                "\n"
                "See the mooring(8) man page for details.\n");
}

static void version(const char *name) {
        const struct scmp_version *v = seccomp_version();

        printf("%s version %s\n"
               "spec: " OCI_VERSION "\n"
               "libseccomp: %u.%u.%u\n"
               "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU\n",
               name, MOORED_VERSION, v->major, v->minor, v->micro);
}

/* Whether this is a user namespace that somebody made: the first one has a number of its own
 * (PROC_USER_INIT_INO of the kernel's include/linux/proc_ns.h). */
static bool in_user_namespace(void) {
        static const char first[] = "user:[4026531837]";
        char target[64];
        ssize_t n;

        n = readlink("/proc/self/ns/user", target, sizeof(target));
        return n > 0 && !((size_t) n == strlen(first) && memcmp(target, first, (size_t) n) == 0);
}

/* Where an ordinary user has his runtime directory, containers are kept there. Root in somebody's user
 * namespace that is a whole system of its own (the user's name says so) has the system's place. */
static int default_root(bool rootless, char **ret) {
        const char *dir = getenv("XDG_RUNTIME_DIR");
        char *root;

        if (geteuid() != 0)
                root = isempty(dir) ? strformat("/run/user/%u/mooring", geteuid())
                                    : strjoin(dir, "/mooring");
        else if (rootless && !isempty(dir) && !streq_ptr(getenv("USER"), "root"))
                root = strjoin(dir, "/mooring");
        else
                root = strdup(ROOT_SYSTEM);
        if (!root)
                return -ENOMEM;
        *ret = root;
        return 0;
}

enum {
        OPTION_ROOT = 0x100,
        OPTION_LOG,
        OPTION_LOG_FORMAT,
        OPTION_LOG_LEVEL,
        OPTION_DEBUG,
        OPTION_SYSTEMD_CGROUP,
        OPTION_CGROUP_MANAGER,
        OPTION_ROOTLESS,
        OPTION_CRIU,
};

static int take_log_option(GlobalOptions *g, int c, Error *reterr_error) {
        switch (c) {
        case OPTION_LOG:
                g->log = optarg;
                return 0;
        case OPTION_LOG_FORMAT:
                if (!streq(optarg, "text") && !streq(optarg, "json"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--log-format=%s: the formats are \"text\" and \"json\".", optarg);
                g->log_json = streq(optarg, "json");
                return 0;
        case OPTION_LOG_LEVEL:
                if (streq(optarg, "error"))
                        g->log_level = LOG_ERR;
                else if (streq(optarg, "warning"))
                        g->log_level = LOG_WARNING;
                else if (streq(optarg, "debug"))
                        g->log_level = LOG_DEBUG;
                else
                        return error_set(
                                        reterr_error, -EINVAL, "InvalidArgument",
                                        "--log-level=%s: the levels are \"error\", \"warning\" and \"debug\".",
                                        optarg);
                g->debug = g->log_level == LOG_DEBUG;
                return 0;
        default:
                g->log_level = LOG_DEBUG;
                g->debug = true;
                return 0;
        }
}

static int take_option(GlobalOptions *g, int c, int *rootless, Error *reterr_error) {
        switch (c) {
        case OPTION_ROOT:
                g->root = optarg;
                return 0;
        case OPTION_SYSTEMD_CGROUP:
                g->cgroup_manager = CGROUP_MANAGER_SYSTEMD;
                return 0;
        case OPTION_CGROUP_MANAGER:
                g->cgroup_manager = cgroup_manager_from_string(optarg);
                if (g->cgroup_manager < 0)
                        return error_set(
                                        reterr_error, -EINVAL, "InvalidArgument",
                                        "--cgroup-manager=%s: the managers are \"cgroupfs\", \"systemd\" and "
                                        "\"disabled\".",
                                        optarg);
                return 0;
        case OPTION_ROOTLESS:
                *rootless = streq(optarg, "auto") ? -1 : parse_boolean(optarg);
                if (*rootless < 0 && !streq(optarg, "auto"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--rootless=%s: the values are \"true\", \"false\" and \"auto\".",
                                         optarg);
                return 0;
        case OPTION_CRIU:
                g->criu = optarg;
                return 0;
        default:
                return take_log_option(g, c, reterr_error);
        }
}

static int parse_options(GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "version", no_argument, NULL, 'v' },
                { "root", required_argument, NULL, OPTION_ROOT },
                { "log", required_argument, NULL, OPTION_LOG },
                { "log-format", required_argument, NULL, OPTION_LOG_FORMAT },
                { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
                { "debug", no_argument, NULL, OPTION_DEBUG },
                { "systemd-cgroup", no_argument, NULL, OPTION_SYSTEMD_CGROUP },
                { "cgroup-manager", required_argument, NULL, OPTION_CGROUP_MANAGER },
                { "rootless", required_argument, NULL, OPTION_ROOTLESS },
                { "criu", required_argument, NULL, OPTION_CRIU },
                {},
        };
        int c, r, rootless = -1;

        /* "+": what stands behind the verb is the verb's own. */
        while ((c = command_option(argc, argv, "+:hvV", options, reterr_error)) > 0)
                switch (c) {
                case 'h':
                        help(g->name, stdout);
                        exit(EXIT_SUCCESS);
                case 'v':
                case 'V':
                        version(g->name);
                        exit(EXIT_SUCCESS);
                default:
                        r = take_option(g, c, &rootless, reterr_error);
                        if (r < 0)
                                return r;
                }
        if (c < 0)
                return c;

        g->rootless = rootless >= 0 ? rootless : geteuid() != 0 || in_user_namespace();
        return 0;
}

static int run(GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_free_ char *root = NULL;
        int r;

        r = parse_options(g, argc, argv, reterr_error);
        if (r < 0)
                return r;
        r = report_setup(g, reterr_error);
        if (r < 0)
                return r;
        if (!g->root) {
                r = default_root(g->rootless, &root);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Out of memory.");
                g->root = root;
        }

        if (optind >= argc) {
                help(g->name, stderr);
                return EXIT_FAILURE;
        }
        return command_dispatch(g, argc - optind, argv + optind, reterr_error);
}

static const struct UnitVerb *find_unit_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(unit_verbs); i++)
                if (streq(unit_verbs[i].name, name))
                        return &unit_verbs[i];
        return NULL;
}

static int run_unit_verb(const struct UnitVerb *v, char *argv[], Error *reterr_error) {
        char *const *a = argv + 2;

        a += v->option && streq_ptr(*a, v->option);
        if (v->argument ? !a[0] || a[0][0] == '-' || a[1] : !!a[0])
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Usage: mooring %s%s%s%s%s%s, which moored and its units call. See mooring(8).", v->name,
                                 v->option ? " [" : "", strempty(v->option), v->option ? "]" : "",
                                 v->argument ? " " : "", strempty(v->argument));
        return v->run(argv, reterr_error);
}

int main(int argc, char *argv[]) {
        const struct UnitVerb *v;
        _cleanup_error_ Error e = ERROR_NULL;
        GlobalOptions g = {
                .argv = argv,
                .name = program_invocation_short_name,
                .cgroup_manager = CGROUP_MANAGER_CGROUPFS,
                .log_level = LOG_WARNING,
        };
        int r;

        /* A caller that ignores it gets no exit codes, and so would this program. */
        (void) signal(SIGCHLD, SIG_DFL);

        v = argc >= 2 ? find_unit_verb(argv[1]) : NULL;
        r = v ? run_unit_verb(v, argv, &e) : run(&g, argc, argv, &e);
        if (r >= 0)
                return r;

        report_error(&e);
        return v && v->launches ? error_exit_code(&e) : EXIT_FAILURE;
}
