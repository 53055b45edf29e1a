/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The hand-over. The service manager has started this process as the unit's main process (Type=notify,
 * NotifyAccess=all):
 *
 *   launcher                                        init
 *   ---------------------------------------------   ----------------------------------------------------
 *   parse, plan, seccomp filter
 *   clone3(CLONE_PARENT) ------------------------>  is a child of the service manager from birth;
 *                                                   namespaces, mounts, user, capabilities, command found
 *   <---------------------------------------------  "ready", or what went wrong
 *   MAINPID=<init> READY=1 to the service manager,
 *   and waiting until it has read that
 *   "go" ---------------------------------------->  execve()
 *   exit 0
 *
 * The service manager refuses a main process that is dead already, and with it the exit code would be lost:
 * so init may not go on, and end, before it is known. If the launcher dies before "go", init reads the end
 * of the socket and ends as well. */

#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/init.h"
#include "runtime/launch.h"
#include "runtime/notify.h"
#include "runtime/self.h"

typedef struct Launch {
        RuntimeSpec *spec;
        Plan *plan;
        SeccompProgram seccomp;
        int namespace_fds[_NAMESPACE_TYPE_MAX];
} Launch;

static void launch_done(Launch *l) {
        runtime_spec_free(l->spec);
        plan_free(l->plan);
        seccomp_program_done(&l->seccomp);
        for (size_t i = 0; i < _NAMESPACE_TYPE_MAX; i++)
                safe_close(l->namespace_fds[i]);
}

static int read_spec(const char *bundle, RuntimeSpec **ret, Error *reterr_error) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t size;
        int r;

        path = path_join(bundle, "config.json");
        if (!path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        r = read_file_at(AT_FDCWD, path, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", path);
        r = runtime_spec_parse(text, size, ret, reterr_error);
        if (r < 0)
                error_prefix(reterr_error, "%s", path);
        return r;
}

static int open_namespaces(Launch *l, Error *reterr_error) {
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++) {
                if (!l->spec->namespaces[t].path)
                        continue;
                l->namespace_fds[t] = namespace_open(t, l->spec->namespaces[t].path, reterr_error);
                if (l->namespace_fds[t] < 0)
                        return l->namespace_fds[t];
        }
        if (l->namespace_fds[NAMESPACE_PID] >= 0 && setns(l->namespace_fds[NAMESPACE_PID], CLONE_NEWPID) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot join the pid namespace: %m");
        return 0;
}

/* The container is in its unit's cgroup, with the limits that the unit has. */
static int refuse_cgroup(const RuntimeSpec *s, Error *reterr_error) {
        if (s->cgroups_path || (s->resources && (resource_spec_first_limit(s->resources) ||
                                                 s->resources->n_devices > 0)))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "%s: a unit's cgroup and its limits are the unit's properties.",
                                 s->cgroups_path ? "linux.cgroupsPath" : "linux.resources");
        return 0;
}

static int prepare(Launch *l, const char *bundle, Error *reterr_error) {
        int r;

        r = read_spec(bundle, &l->spec, reterr_error);
        if (r < 0)
                return r;
        r = refuse_cgroup(l->spec, reterr_error);
        if (r < 0)
                return r;
        r = plan_new(l->spec, bundle, &l->plan, reterr_error);
        if (r < 0)
                return r;
        if (l->spec->seccomp) {
                r = seccomp_get(l->spec->seccomp, SECCOMP_CACHE_DIR, &l->seccomp, reterr_error);
                if (r < 0)
                        return r;
        }
        return open_namespaces(l, reterr_error);
}

static int start_init(Launch *l, pid_t *ret_pid, int *ret_sock, Error *reterr_error) {
        /* No exit signal of its own: with CLONE_PARENT the child has this process's, SIGCHLD to the service
         * manager. */
        struct clone_args args = { .flags = l->plan->clone_flags | CLONE_PARENT };
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");

        pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make the container's namespaces: %m");
        if (pid == 0) {
                InitContext c = {
                        .spec = l->spec,
                        .plan = l->plan,
                        .seccomp = l->spec->seccomp ? &l->seccomp : NULL,
                        .sock = pair[1],
                };

                /* Only the launcher holds the other end: its death is the end of file. */
                safe_close(pair[0]);
                memcpy(c.namespace_fds, l->namespace_fds, sizeof(c.namespace_fds));
                init_run(&c);
        }

        *ret_pid = pid;
        *ret_sock = TAKE_FD(pair[0]);
        return 0;
}

static int wait_ready(int sock, InitMessage *ret, Error *reterr_error) {
        ssize_t n = TEMP_FAILURE_RETRY(recv(sock, ret, sizeof(*ret), 0));
        size_t text, name;

        if (n < (ssize_t) offsetof(InitMessage, text) + 1)
                return error_set(reterr_error, n < 0 ? -errno : -EPIPE, "Failed",
                                 "The container's first process ended while it was set up.");

        text = (size_t) n - offsetof(InitMessage, text);
        ret->text[text - 1] = 0;
        if (ret->code == 0)
                return 0;

        name = strlen(ret->text) + 1;
        return error_set(reterr_error, -ECHILD, ret->text, "%s", name < text ? ret->text + name : "");
}

static int announce(pid_t pid, const char *notes, Error *reterr_error) {
        _cleanup_free_ char *message = NULL;
        int r;

        message = notes[0] ? strformat("MAINPID=%d\nREADY=1\nSTATUS=%s", pid, notes)
                           : strformat("MAINPID=%d\nREADY=1", pid);
        if (!message)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = notify_send(message);
        if (r >= 0)
                r = notify_barrier();
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot notify the service manager: %m");
        return 0;
}

static int launch_run(Launch *l, const char *bundle, Error *reterr_error) {
        _cleanup_close_ int sock = -EBADF;
        InitMessage m;
        pid_t pid = 0;
        int r;

        r = prepare(l, bundle, reterr_error);
        if (r < 0)
                return r;
        r = start_init(l, &pid, &sock, reterr_error);
        if (r < 0)
                return r;
        r = wait_ready(sock, &m, reterr_error);
        if (r < 0)
                return r;
        r = announce(pid, m.text, reterr_error);
        if (r < 0)
                return r;
        if (send(sock, "", 1, MSG_NOSIGNAL) != 1)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot let the container's first process go on: %m");
        return 0;
}

/* Whether stderr is the journal, as $JOURNAL_STREAM says by device and inode. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

static void report(const Error *e) {
        _cleanup_free_ char *status = NULL;

        status = strjoin("STATUS=", error_name(e), ": ", error_message(e));
        /* A client that gave its own stderr gets the sentence as the answer to its call: not twice. */
        if (!status || notify_send(status) <= 0 || stderr_is_journal())
                dprintf(STDERR_FILENO, "mooring: %s\n", error_message(e));
}

int launch(char *argv[], const char *bundle) {
        _cleanup_(launch_done) Launch l = {};
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        for (size_t i = 0; i < _NAMESPACE_TYPE_MAX; i++)
                l.namespace_fds[i] = -EBADF;

        r = self_protect(argv);
        if (r < 0)
                r = error_set_errno(&e, r, "Cannot run from a read-only mount: %m");
        if (r >= 0) {
                path = realpath(bundle, NULL);
                r = path ? launch_run(&l, path, &e)
                         : error_set_errno(&e, -errno, "Cannot find the bundle \"%s\": %m", bundle);
        }
        if (r >= 0)
                return 0;

        report(&e);
        return error_exit_code(&e);
}
