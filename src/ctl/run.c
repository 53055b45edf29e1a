/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* run and create. The image is not looked for first: the call itself says if it is missing, so that a run of
 * an image that is here costs one call. */

#include <limits.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "ctl/bus-util.h"
#include "ctl/create-call.h"
#include "ctl/foreground.h"
#include "ctl/job.h"
#include "ctl/run-scope.h"

/* Makes it and prints its name, unless stdout is the container's. */
static int make_detached(Ctl *c, const char *member, const CreateOptions *o, const char *image,
                         char *const *command, Error *reterr_error) {
        _cleanup_free_ char *id = o->name ? strdup(o->name) : random_hex(6);
        CreateDescriptors fds = CREATE_DESCRIPTORS_NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        if (!id)
                return error_oom(reterr_error);
        if (o->log_fd)
                fds = (CreateDescriptors){ { -EBADF, STDOUT_FILENO, STDERR_FILENO }, -EBADF };
        r = new_create_call(c, member, id, image, o, command, &fds, &m, reterr_error);
        if (r < 0)
                return r;
        r = ctl_call_message(c, m, NULL, reterr_error);
        if (r < 0)
                return r;
        if (!o->log_fd)
                printf("%s\n", id);
        return EXIT_SUCCESS;
}

static int make_container(Ctl *c, const char *member, const CreateOptions *o, const char *image,
                          char *const *command, Error *reterr_error) {
        if (o->scope)
                return run_scope(c, o, image, command, reterr_error);
        if (streq(member, "RunContainer") && !o->detach)
                return run_foreground(c, o, image, command, reterr_error);
        return make_detached(c, member, o, image, command, reterr_error);
}

static int run_or_create(Ctl *c, const char *member, char **argv, Error *reterr_error) {
        _cleanup_(create_options_done) CreateOptions o = {};
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char **args = NULL;
        bool pulled = false;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        r = limit_options_finish(&o.limits, reterr_error);
        if (r < 0)
                return r;
        if (o.log_fd && (o.terminal || streq(member, "CreateContainer")))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--log=fd is for run without a terminal: nothing else is written to descriptors.");
        if (o.log_fd && o.detach && c->host)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidArgument",
                                 "--log=fd: standard output cannot be passed to %s.", c->host);
        /* Both ends of ssh may be sockets and say that they take descriptors; what is between them does not. */
        if (c->host && streq(member, "RunContainer") && !o.detach)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidArgument",
                                 "Standard output cannot be passed to %s: use run -d there, or ssh %s moorctl run …",
                                 c->host, c->host);
        ctl_start_agent(c);

        if (o.pull == PULL_ALWAYS) {
                r = job_pull(c, args[0], o.platform, NULL, reterr_error);
                if (r < 0)
                        return r;
                pulled = true;
        }
        for (;;) {
                r = make_container(c, member, &o, args[0], args + 1, &error);
                if (r >= 0)
                        return r;
                if (pulled || o.pull == PULL_NEVER ||
                    !(error_has_name(&error, "NoSuchImage") || error_has_name(&error, "ImageNotUnpacked")))
                        break;
                error_done(&error);
                r = job_pull(c, args[0], o.platform, NULL, reterr_error);
                if (r < 0)
                        return r;
                pulled = true;
        }

        if (c->verb->failure == EXIT_MOORED_FAILED)
                c->failure = command_failure_status(&error);
        return error_move(reterr_error, &error);
}

static int run_main(Ctl *c, char **argv, Error *reterr_error) {
        return run_or_create(c, "RunContainer", argv, reterr_error);
}

static int create_main(Ctl *c, char **argv, Error *reterr_error) {
        return run_or_create(c, "CreateContainer", argv, reterr_error);
}

const Verb verb_run = {
        .name = "run",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
        .summary = "Run a command in a new container",
        .description =
                "Makes a container from IMAGE (pulled if it is not here) and starts it as a systemd unit.\n"
                "In the foreground its output is passed through, stdout and stderr "
                "apart; signals that\n"
                "moorctl gets are passed on to it; its exit code becomes moorctl's "
                "(128+N if signal N\n"
                "ended it). 125: moored failed; 126: the command is not executable; 127: not found.\n"
                "Three Ctrl-C within two seconds stop a container that does not listen to them.\n\n"
                "Examples:\n"
                "  moorctl run --rm busybox echo hello\n"
                "  moorctl run -d --name web -v /srv/www:/www:ro -p MemoryMax=200M "
                "busybox httpd -f -h /www\n"
                "  echo text | moorctl run --rm -i debian wc -c\n",
        .options = run_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .stop_at_first = true,
        .failure = EXIT_MOORED_FAILED,
        .run = run_main,
};

const Verb verb_create = {
        .name = "create",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
        .summary = "Make a container without starting it",
        .description =
                "Like run, but the container is only made; its name is printed. Its output goes to the\n"
                "journal when it is started.\n\n"
                "Examples:\n"
                "  moorctl create --name job debian sh -c 'date; sleep 60'\n"
                "  moorctl start job && moorctl logs -f job\n",
        .options = &run_options[RUN_ONLY_OPTIONS],
        .min_args = 1,
        .max_args = UINT_MAX,
        .stop_at_first = true,
        .run = create_main,
};
