/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "runtime/create.h"
#include "runtime/preserve.h"

enum {
        OPTION_CONSOLE_SOCKET = 0x100,
        OPTION_PID_FILE,
        OPTION_PIDFD_SOCKET,
        OPTION_PRESERVE_FDS,
        OPTION_NO_PIVOT,
        OPTION_NO_NEW_KEYRING,
        OPTION_NO_SUBREAPER,
        OPTION_KEEP,
};

static const struct option create_options[] = {
        COMMAND_OPTION_HELP,
        { "bundle", required_argument, NULL, 'b' },
        { "config", required_argument, NULL, 'f' },
        { "console-socket", required_argument, NULL, OPTION_CONSOLE_SOCKET },
        { "no-new-keyring", no_argument, NULL, OPTION_NO_NEW_KEYRING },
        { "no-pivot", no_argument, NULL, OPTION_NO_PIVOT },
        { "pid-file", required_argument, NULL, OPTION_PID_FILE },
        { "pidfd-socket", required_argument, NULL, OPTION_PIDFD_SOCKET },
        { "preserve-fds", required_argument, NULL, OPTION_PRESERVE_FDS },
        {},
};

static const struct option run_options[] = {
        COMMAND_OPTION_HELP,
        { "bundle", required_argument, NULL, 'b' },
        { "config", required_argument, NULL, 'f' },
        { "console-socket", required_argument, NULL, OPTION_CONSOLE_SOCKET },
        { "detach", no_argument, NULL, 'd' },
        { "keep", no_argument, NULL, OPTION_KEEP },
        { "no-new-keyring", no_argument, NULL, OPTION_NO_NEW_KEYRING },
        { "no-pivot", no_argument, NULL, OPTION_NO_PIVOT },
        { "no-subreaper", no_argument, NULL, OPTION_NO_SUBREAPER },
        { "pid-file", required_argument, NULL, OPTION_PID_FILE },
        { "pidfd-socket", required_argument, NULL, OPTION_PIDFD_SOCKET },
        { "preserve-fds", required_argument, NULL, OPTION_PRESERVE_FDS },
        {},
};

static int take_option(CreateOptions *o, int c, Error *reterr_error) {
        switch (c) {
        case 'b':
                o->bundle = optarg;
                return 0;
        case 'f':
                o->config = optarg;
                return 0;
        case 'd':
                o->detach = true;
                return 0;
        case OPTION_CONSOLE_SOCKET:
                o->console_socket = optarg;
                return 0;
        case OPTION_PID_FILE:
                o->pid_file = optarg;
                return 0;
        case OPTION_PIDFD_SOCKET:
                o->pidfd_socket = optarg;
                return 0;
        case OPTION_PRESERVE_FDS:
                return preserve_fds_parse(optarg, &o->n_preserve_fds, reterr_error);
        case OPTION_NO_PIVOT:
                o->no_pivot = true;
                return 0;
        case OPTION_NO_NEW_KEYRING:
                o->no_new_keyring = true;
                return 0;
        case OPTION_KEEP:
                o->keep = true;
                return 0;
        default:
                /* --no-subreaper: this program never is one. */
                return 0;
        }
}

static int parse(int argc, char *argv[], const char *short_options, const struct option *options,
                 CreateOptions *ret, Error *reterr_error) {
        int c, r;

        while ((c = command_option(argc, argv, short_options, options, reterr_error)) > 0) {
                r = take_option(ret, c, reterr_error);
                if (r < 0)
                        return r;
        }
        if (c < 0)
                return c;
        r = command_check_arguments(argc, argv, 1, 1, reterr_error);
        if (r < 0)
                return r;
        ret->id = argv[optind];
        return 0;
}

int command_create(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        CreateOptions o = {};
        int r;

        r = parse(argc, argv, "+:hb:f:", create_options, &o, reterr_error);
        return r < 0 ? r : container_create(g, &o, reterr_error);
}

int command_run(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        CreateOptions o = {};
        int r;

        r = parse(argc, argv, "+:hb:df:", run_options, &o, reterr_error);
        return r < 0 ? r : container_run(g, &o, reterr_error);
}

int command_start(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = { COMMAND_OPTION_HELP, {} };
        int r;

        r = command_option(argc, argv, "+:h", options, reterr_error);
        if (r >= 0)
                r = command_check_arguments(argc, argv, 1, 1, reterr_error);
        return r < 0 ? r : container_start(g, argv[optind], reterr_error);
}
