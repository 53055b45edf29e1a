/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* kill and delete: how containers end. */

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/container.h"
#include "runtime/remains.h"
#include "runtime/report.h"

/* kill */

typedef struct KillOptions {
        bool all;
        bool regex;
        int signo;
} KillOptions;

/* Killed with init dies what lives in a pid namespace of init's own; else the others must be found. */
static bool has_own_pid_namespace(const Container *c) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (container_spec(c, &spec, &e) < 0) {
                report_warning("%s", error_message(&e));
                return true;
        }
        return spec->namespaces[NAMESPACE_PID].wanted && !spec->namespaces[NAMESPACE_PID].path;
}

static int signal_init(const Container *c, int signo, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        int r;

        pidfd = state_pidfd(&c->state);
        r = pidfd < 0 ? pidfd : (int) RET_NERRNO(syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0));
        if (r == -ESRCH)
                /* containerd looks for the last three words. */
                return error_set(reterr_error, -ESRCH, "InvalidState",
                                 "Cannot signal \"%s\": container not running.", c->state.id);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot signal container \"%s\": %m", c->state.id);
        return 0;
}

static int kill_one(const GlobalOptions *g, const char *id, void *userdata, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        const KillOptions *o = userdata;
        Cgroup cgroup;
        int r;

        r = container_open(g, id, false, &c, reterr_error);
        if (r < 0)
                return r;

        cgroup = container_cgroup(g, &c);
        if (cgroup.path && (o->all || (o->signo == SIGKILL && !has_own_pid_namespace(&c))))
                return cgroup_kill(&cgroup, o->signo, reterr_error);
        return signal_init(&c, o->signo, reterr_error);
}

static int parse_kill(int argc, char *argv[], KillOptions *ret, Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "all", no_argument, NULL, 'a' },
                { "regex", no_argument, NULL, 'r' },
                {},
        };
        int c, r;

        while ((c = command_option(argc, argv, "+:har", options, reterr_error)) > 0)
                if (c == 'a')
                        ret->all = true;
                else
                        ret->regex = true;
        if (c < 0)
                return c;
        r = command_check_arguments(argc, argv, 1, 2, reterr_error);
        if (r < 0)
                return r;

        ret->signo = SIGTERM;
        if (argc - optind < 2)
                return 0;
        /* 0: only whether there is anybody to be signalled. */
        ret->signo = streq(argv[optind + 1], "0") ? 0 : signal_from_string(argv[optind + 1]);
        if (ret->signo < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no signal \"%s\".",
                                 argv[optind + 1]);
        return 0;
}

int command_kill(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        KillOptions o = {};
        int r;

        r = parse_kill(argc, argv, &o, reterr_error);
        if (r < 0)
                return r;
        if (o.regex)
                return container_for_each_match(g, argv[optind], kill_one, &o, reterr_error);
        return kill_one(g, argv[optind], &o, reterr_error);
}

/* delete */

typedef struct DeleteOptions {
        bool force;
        bool regex;
} DeleteOptions;

/* A directory whose state is missing, or cannot be made sense of: what was begun goes away with it. Its
 * creator is gone, or the lock would not have been given. */
static int delete_remains(const GlobalOptions *g, const char *id, Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF, dir_fd = -EBADF;
        int r;

        root_fd = state_root_open(g->root, false, reterr_error);
        if (root_fd < 0)
                return root_fd;
        dir_fd = state_dir_open(root_fd, id, true, reterr_error);
        if (dir_fd < 0)
                return dir_fd;
        remains_remove(dir_fd, id);
        r = state_dir_remove(root_fd, id);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot remove the remains of container \"%s\": %m",
                                       id);
        return 0;
}

static int delete_one(const GlobalOptions *g, const char *id, void *userdata, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        const DeleteOptions *o = userdata;
        ContainerStatus status;
        int r;

        r = container_open(g, id, true, &c, &e);
        if (r == -ENOENT || (r == -EBADMSG && o->force)) {
                if (r == -EBADMSG)
                        report_warning("%s", error_message(&e));
                /* What is left is removed in any case; that there was no container is only without --force
                 * an error. */
                r = delete_remains(g, id, NULL);
                return o->force && (r >= 0 || r == -ENOENT) ? 0 : error_move(reterr_error, &e);
        }
        if (r < 0)
                return error_move(reterr_error, &e);

        status = container_status(&c);
        if (!o->force && status != CONTAINER_STOPPED && status != CONTAINER_CREATED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "Container \"%s\" is not stopped but %s: stop it, or use --force.", id,
                                 container_status_to_string(status));
        return container_delete(g, &c, reterr_error);
}

int command_delete(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "force", no_argument, NULL, 'f' },
                { "regex", no_argument, NULL, 'r' },
                {},
        };
        DeleteOptions o = {};
        int c, r;

        while ((c = command_option(argc, argv, "+:hfr", options, reterr_error)) > 0)
                if (c == 'f')
                        o.force = true;
                else
                        o.regex = true;
        r = c < 0 ? c : command_check_arguments(argc, argv, 1, 1, reterr_error);
        if (r < 0)
                return r;
        if (o.regex)
                return container_for_each_match(g, argv[optind], delete_one, &o, reterr_error);
        return delete_one(g, argv[optind], &o, reterr_error);
}
