/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <getopt.h>

#include "runtime/init.h"
#include "runtime/launch.h"

typedef struct Verb {
        const char *name;
        int n_args;
        int (*run)(char *argv[], char *args[]); /* main()'s argv, and what stands behind the verb */
} Verb;

static int verb_launch(char *argv[], char *args[]) {
        return launch(argv, args[0]);
}

static void help(FILE *f) {
        fprintf(f,
                "mooring [OPTION…] COMMAND\n"
                "\n"
                "Starts containers for moored.\n"
                "\n"
                "Commands:\n"
                "  launch BUNDLE   Become a container unit's main process; what moored puts into "
                "ExecStart=\n"
                "\n"
                "Options:\n"
                "  -h --help       Show this help\n"
                "     --version    Show the version\n"
                "\n"
                "See the mooring(8) man page for details.\n");
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                {},
        };
        static const Verb verbs[] = {
                { "launch", 1, verb_launch },
        };
        int c;

        /* "+": what stands behind the verb is the verb's own. */
        while ((c = getopt_long(argc, argv, "+h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help(stdout);
                        return EXIT_SUCCESS;
                case 'V':
                        printf("mooring %s\n", MOORED_VERSION);
                        return EXIT_SUCCESS;
                default:
                        return EXIT_LAUNCH_FAILED;
                }

        if (optind >= argc) {
                help(stderr);
                return EXIT_LAUNCH_FAILED;
        }

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                if (!streq(verbs[i].name, argv[optind]))
                        continue;
                if (argc - optind - 1 != verbs[i].n_args) {
                        fprintf(stderr, "mooring: \"%s\" takes %d argument(s). See mooring --help.\n",
                                verbs[i].name, verbs[i].n_args);
                        return EXIT_LAUNCH_FAILED;
                }
                return verbs[i].run(argv, argv + optind + 1);
        }

        fprintf(stderr, "mooring: unknown command \"%s\". See mooring --help.\n", argv[optind]);
        return EXIT_LAUNCH_FAILED;
}
