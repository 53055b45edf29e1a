/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "basic/log.h"
#include "bus/bus.h"
#include "daemon/manager.h"

/* The program: options, configuration, one event loop. */

static const char help_text[] =
        "moored [OPTION…]\n"
        "\n"
        "Container runtime for systemd hosts: the daemon behind org.moored1.\n"
        "It is started by systemd (moored.service) when somebody calls it; use moorctl to call it.\n"
        "\n"
        "  -h --help                   Show this help\n"
        "     --version                Show the version\n"
        "     --bus-introspect=WHAT    Show the introspection XML of an interface or object path;\n"
        "                              WHAT “list”: show which there are\n"
        "\n"
        "See moored(8), moored.conf(5), org.moored1.Manager(5).\n";

enum {
        ARG_VERSION = 0x100,
        ARG_BUS_INTROSPECT,
};

/* > 0: go on; <= 0: the result of the program. */
static int parse_argv(int argc, char *argv[]) {
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "bus-introspect", required_argument, NULL, ARG_BUS_INTROSPECT },
                {},
        };
        _cleanup_error_ Error error = ERROR_NULL;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        fputs(help_text, stdout);
                        return 0;
                case ARG_VERSION:
                        puts("moored " MOORED_VERSION);
                        return 0;
                case ARG_BUS_INTROSPECT:
                        if (bus_introspect(stdout, optarg, &error) >= 0)
                                return 0;
                        log_error("%s", error_message(&error));
                        return error.error;
                default:
                        return -EINVAL; /* getopt_long() has said why */
                }

        if (optind < argc) {
                log_error("moored takes no arguments; see moored --help.");
                return -EINVAL;
        }
        return 1;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        log_info("Ending; containers go on without us.");
        (void) sd_notify(false, "STOPPING=1");
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int setup_signals(sd_event *event) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&mask, signals[i]);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        /* A peer that goes away is an error of write(). */
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(event, NULL, signals[i], on_signal, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The daemon sleeps most of its life: what it freed belongs to others. One thread needs one arena. */
static void setup_memory(void) {
        (void) mallopt(M_ARENA_MAX, 1);
        (void) mallopt(M_TRIM_THRESHOLD, 64 * 1024);
        (void) mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

static int run(const Config *config) {
        _cleanup_(manager_freep) Manager *m = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = sd_event_default(&event);
        if (r < 0)
                return log_error_errno(r, "The event loop cannot be made: %m");
        r = setup_signals(event);
        if (r < 0)
                return log_error_errno(r, "The signals cannot be set up: %m");
        r = sd_event_set_watchdog(event, true);
        if (r < 0)
                log_warning_errno(r, "The watchdog cannot be enabled, ignoring: %m");

        r = manager_new(event, config, &m, &error);
        if (r < 0) {
                log_error("%s", error_message(&error));
                return r;
        }

        r = sd_event_loop(event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");
        if (r > 0) {
                /* The bus went away, or what was logged before. */
                log_error("Ending with a failure; containers go on without us.");
                return -ENOTCONN;
        }
        return 0;
}

/* A layer that waits to be unpacked is a descriptor, and images have hundreds: the soft limit is for
 * programs that use select(). */
static void setup_descriptors(void) {
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0)
                return;
        l.rlim_cur = l.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &l) < 0)
                log_debug_errno(errno, "The limit of descriptors cannot be raised, ignoring: %m");
}

int main(int argc, char *argv[]) {
        _cleanup_config_ Config config = {};
        int r;

        setup_memory();
        log_open("moored");
        setup_descriptors();
        (void) umask(0022);

        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        r = config_init(&config);
        if (r >= 0)
                r = config_load(&config, config_directories);
        if (r < 0) {
                log_oom();
                return EXIT_FAILURE;
        }
        /* The environment is the more particular place. */
        if (config.log_level >= 0 && !getenv("MOORED_LOG_LEVEL"))
                log_set_max_level(config.log_level);

        return run(&config) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
