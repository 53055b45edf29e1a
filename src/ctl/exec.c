/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <limits.h>

#include "ctl/bus-util.h"
#include "ctl/create-call.h"
#include "ctl/foreground.h"

/* Starts it and prints its name. */
static int exec_detached(Ctl *c, const CreateOptions *o, const char *id, char *const *command, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        const CreateDescriptors no_fds = CREATE_DESCRIPTORS_NULL;
        const char *path;
        uint64_t number;
        int r;

        r = new_exec_call(c, id, o, command, &no_fds, &m, reterr_error);
        if (r < 0)
                return r;
        r = container_call_message(c, id, m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &path);
        if (r >= 0)
                r = exec_path_number(path, &number);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        printf("%s/%" PRIu64 "\n", id, number);
        return EXIT_SUCCESS;
}

static int exec_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_(create_options_done) CreateOptions o = {};
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        if (o.detach && o.interactive)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-d and -i contradict each other: in the background there is no standard input.");
        if (c->host && !o.detach)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidArgument",
                                 "Standard output cannot be passed to %s: use exec -d there, or ssh %s moorctl exec …",
                                 c->host, c->host);
        ctl_start_agent(c);

        r = o.detach ? exec_detached(c, &o, args[0], args + 1, &error)
                     : exec_foreground(c, &o, args[0], args + 1, &error);
        if (r >= 0)
                return r;
        c->failure = command_failure_status(&error);
        return error_move(reterr_error, &error);
}

const Verb verb_exec = {
        .name = "exec",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER COMMAND [ARGUMENT…]",
        .summary = "Run a command in a container that runs",
        .description =
                "The command is a systemd unit of its own, in the container's namespaces and limits. In the foreground its\n"
                "output is passed through, stdout and stderr apart; signals that moorctl gets are passed on to it; its\n"
                "exit code becomes moorctl's (128+N if signal N ended it). 125: moored failed; 126: the command is not\n"
                "executable; 127: not found. In the background its name, CONTAINER/NUMBER, is printed, by which wait,\n"
                "kill, rm, attach and inspect know it. With -t it has a terminal, which Ctrl-P Ctrl-Q leaves.\n\n"
                "Examples:\n"
                "  moorctl exec web ps\n"
                "  moorctl exec -u www-data -w /srv -e LANG=C web sh -c 'ls; id'\n"
                "  moorctl exec -it web sh\n"
                "  moorctl exec -i db psql <dump.sql\n"
                "  moorctl wait $(moorctl exec -d web backup)\n",
        .options = exec_options,
        .min_args = 2,
        .max_args = UINT_MAX,
        .stop_at_first = true,
        .failure = EXIT_MOORED_FAILED,
        .run = exec_main,
};
