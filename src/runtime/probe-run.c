/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One check: a process that joins the container as an exec does, with the container's own user, environment,
 * directory, capabilities and seccomp filter, in its control group. It leads a session: when the time is up, or
 * nobody wants the answer any more, its group is killed. If this process dies it is killed by the kernel. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "runtime/join.h"
#include "runtime/notify.h"
#include "runtime/prepare.h"
#include "runtime/probe.h"

#define EXIT_TIMED_OUT (-1)
#define TIMEOUT_MAX_USEC (UINT64_C(365) * 24 * 3600 * USEC_PER_SEC) /* what is longer is for ever */
/* Beyond the check's own time: for what happens before the command is executed, and after. */
#define ALARM_SLACK_SEC 15U
#define NOTIFY_SOCKET "/run/systemd/notify"

typedef struct Probe {
        int sock; /* whose request it is */
        char *bundle, *cgroup;
        char **args;
        uint64_t pid, timeout_usec;
        bool ready;
        bool namespace; /* no check is asked for, but the container's network namespace */

        uint64_t deadline_usec; /* CLOCK_MONOTONIC */
        Join join;
        int output_fd, pidfd, signal_fd;
        pid_t child;
        char output[PROBE_OUTPUT_MAX + 1];
        size_t n_output;
} Probe;

static void probe_done(Probe *p) {
        free(p->bundle);
        free(p->cgroup);
        strv_free(p->args);
        join_done(&p->join);
        safe_close(p->output_fd);
        safe_close(p->pidfd);
        safe_close(p->signal_fd);
}

/* ---- the request ---- */

static int read_request(Probe *p, Error *reterr_error) {
        static const JsonField fields[] = {
                { "bundle", JSON_FIELD_STRING, offsetof(Probe, bundle), true, NULL },
                { "cgroup", JSON_FIELD_STRING, offsetof(Probe, cgroup), true, NULL },
                { "pid", JSON_FIELD_UINT64, offsetof(Probe, pid), true, NULL },
                { "args", JSON_FIELD_STRV, offsetof(Probe, args), false, NULL },
                { "timeoutUSec", JSON_FIELD_UINT64, offsetof(Probe, timeout_usec), true, NULL },
                { "ready", JSON_FIELD_BOOL, offsetof(Probe, ready), false, NULL },
                { "namespace", JSON_FIELD_BOOL, offsetof(Probe, namespace), false, NULL },
                {},
        };
        _cleanup_close_ int memfd = -EBADF;
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        size_t n_fds = 0, size;
        int fds[FDS_MAX], r;
        char byte;

        r = (int) recv_with_fds(p->sock, &byte, 1, fds, &n_fds, 0);
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        memfd = n_fds > 0 ? fds[0] : -EBADF;
        if (r < 0 || memfd < 0)
                return error_set(reterr_error, r < 0 ? r : -EBADMSG, "Failed", "There is no request.");
        r = read_all(memfd, PROBE_REQUEST_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the request: %m");
        r = json_parse(text, size, PROBE_REQUEST_MAX, &j, reterr_error);
        if (r >= 0)
                r = json_dispatch(j, fields, p, "request", false, reterr_error);
        if (r < 0)
                return r;
        if (p->bundle[0] != '/' || p->cgroup[0] != '/' || p->pid <= 1 || p->pid > INT32_MAX ||
            (!p->namespace && (strv_length(p->args) == 0 || isempty(p->args[0]))))
                return error_set(reterr_error, -EBADMSG, "Failed", "The request makes no sense.");
        return 0;
}

/* ---- the process ---- */

/* Before the hand-over the unit's main process is the launcher, in which a check would be made of the host. */
static bool is_in_host_mount_namespace(pid_t pid) {
        struct stat own, other;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
        return stat(path, &other) < 0 || stat("/proc/self/ns/mnt", &own) < 0 ||
               (own.st_dev == other.st_dev && own.st_ino == other.st_ino);
}

static int prepare(Probe *p, Error *reterr_error) {
        _cleanup_free_ char *config = path_join(p->bundle, "config.json");
        ProcessSpec *process;
        int r;

        if (!config)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = runtime_spec_read(config, &p->join.spec, NULL, NULL, reterr_error);
        if (r < 0)
                return r;
        process = &p->join.spec->process;
        strv_free(process->args);
        process->args = TAKE_PTR(p->args);
        process->terminal = false;
        p->join.tied = true;
        r = join_prepare_container(&p->join, (pid_t) p->pid, p->cgroup, reterr_error);
        if (r < 0)
                return r;
        return is_in_host_mount_namespace((pid_t) p->pid)
                               ? error_set(reterr_error, -ESRCH, "NotRunning", "The container is not running.")
                               : 0;
}

/* Where the command's output goes is this process's own until the child is made: what is above 2 is closed on
 * the way. */
static int redirect(int null_fd, int fd, Error *reterr_error) {
        if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot redirect the output: %m");
        return 0;
}

static int start(Probe *p, Error *reterr_error) {
        _cleanup_close_pair_ int output[2] = { -EBADF, -EBADF };
        _cleanup_close_ int null_fd = -EBADF;
        int r;

        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0 || pipe2(output, O_CLOEXEC) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a pipe: %m");
        r = fd_set_nonblock(output[0], true);
        if (r >= 0)
                r = redirect(null_fd, output[1], reterr_error);
        if (r >= 0)
                r = join_start(&p->join, false, reterr_error);
        if (r < 0)
                return r;
        p->child = p->join.pid;
        r = redirect(null_fd, null_fd, reterr_error);
        if (r < 0)
                return r;

        p->output_fd = TAKE_FD(output[0]);
        p->pidfd = pidfd_open_(p->child);
        return p->pidfd < 0 ? error_set_errno(reterr_error, p->pidfd, "Cannot open the pidfd: %m") : 0;
}

/* Until the command is about to be executed: what goes wrong then is told on its stderr. */
static int converse(Probe *p, Error *reterr_error) {
        InitMessage m;
        int fd, r;

        r = init_receive(p->join.sock, &m, &fd, reterr_error);
        if (r < 0)
                return r;
        safe_close(fd);
        if (m.type != INIT_MESSAGE_READY)
                return error_set(reterr_error, -EPROTO, "Failed", "The process said something unknown.");
        return init_continue(p->join.sock, reterr_error);
}

/* ---- its end ---- */

static void kill_group(const Probe *p) {
        (void) kill(-p->child, SIGKILL);
        (void) kill(p->child, SIGKILL);
}

static void read_output(Probe *p) {
        char rest[PROBE_OUTPUT_MAX];
        ssize_t n;

        for (;;) {
                size_t room = PROBE_OUTPUT_MAX - p->n_output;

                /* What is too much is read all the same: nobody is to wait for a full pipe. */
                n = room > 0 ? read(p->output_fd, p->output + p->n_output, room)
                             : read(p->output_fd, rest, sizeof(rest));
                if (n <= 0)
                        break;
                if (room > 0)
                        p->n_output += (size_t) n;
        }
        if (n == 0) /* closed by all: poll() would tell it again and again */
                p->output_fd = safe_close(p->output_fd);
}

static int milliseconds_left(const Probe *p) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (p->deadline_usec == USEC_INFINITY)
                return -1;
        if (now >= p->deadline_usec)
                return 0;
        return (int) MIN((p->deadline_usec - now) / USEC_PER_MSEC + 1, (uint64_t) INT32_MAX);
}

/* 0: *ret_code is its exit code. -ECANCELED: nobody wants it. */
static int wait_for_end(Probe *p, int *ret_code) {
        int code, status, r, left;

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = p->pidfd, .events = POLLIN },
                        { .fd = p->output_fd, .events = POLLIN },
                        { .fd = p->sock, .events = POLLIN },
                        { .fd = p->signal_fd, .events = POLLIN },
                };

                left = milliseconds_left(p);
                r = left == 0 ? 0 : RET_NERRNO(poll(fds, ELEMENTSOF(fds), left));
                if (r == -EINTR)
                        continue;
                if (r < 0 || fds[2].revents != 0 || fds[3].revents != 0)
                        return r < 0 ? r : -ECANCELED;
                if (p->output_fd >= 0)
                        read_output(p);
                if (r == 0) {
                        *ret_code = EXIT_TIMED_OUT;
                        return 0;
                }
                if (fds[0].revents == 0 || pidfd_reap(p->pidfd, &code, &status) < 0)
                        continue;
                if (p->output_fd >= 0)
                        read_output(p);
                *ret_code = process_exit_code(code, status);
                p->child = 0;
                return 0;
        }
}

/* ---- the answer ---- */

/* The service manager goes by the sender's control group. */
static bool tell_ready(const Probe *p) {
        CloneSpec clone = CLONE_SPEC_INIT;
        int status = 0;
        pid_t pid;

        clone.cgroup_fd = p->join.clone.cgroup_fd;
        pid = clone_process(&clone, NULL);
        if (pid == 0) {
                /* It is seen no more once this process is gone: hence the barrier. */
                if (setenv("NOTIFY_SOCKET", NOTIFY_SOCKET, 1) < 0 || notify_send("READY=1\nSTATUS=") <= 0 ||
                    notify_barrier() <= 0)
                        _exit(EXIT_FAILURE);
                _exit(EXIT_SUCCESS);
        }
        return pid > 0 && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid && WIFEXITED(status) &&
               WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* Text, whatever it was; lines stay lines. */
static void clean_output(char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (s[i] == 0)
                        s[i] = '?';
        s[n] = 0;
        for (char *p = s; *p;) {
                size_t l = strcspn(p, "\n\t");
                char end = p[l];

                p[l] = 0;
                (void) string_sanitize(p);
                p[l] = end;
                p += l + (end != 0);
        }
}

static void send_answer(const Probe *p, json_t *answer) {
        _cleanup_free_ char *text = answer ? json_dump(answer, false) : NULL;

        if (text)
                (void) send(p->sock, text, strlen(text), MSG_NOSIGNAL);
}

static void answer_result(Probe *p, int code, const char *output, bool ready) {
        _cleanup_json_ json_t *j = json_pack("{s:i, s:s, s:b}", "exitCode", code, "output", output, "ready",
                                             (int) ready);

        send_answer(p, j);
}

static void answer_error(const Probe *p, const Error *e) {
        _cleanup_json_ json_t *j = json_pack("{s:s, s:s}", "error", error_message(e), "name", error_name(e));

        send_answer(p, j);
}

/* Told by the process in the container: a command that is not there, say. */
static bool is_of_container(const Error *e) {
        return e->error == -ECHILD;
}

static int begin(Probe *p, Error *reterr_error) {
        sigset_t set;
        int r;

        p->deadline_usec = p->timeout_usec > TIMEOUT_MAX_USEC
                                           ? USEC_INFINITY
                                           : now_usec(CLOCK_MONOTONIC) + p->timeout_usec;
        /* Whatever is in the way: a container that is frozen, say. */
        if (p->deadline_usec != USEC_INFINITY)
                (void) alarm((unsigned) (p->timeout_usec / USEC_PER_SEC) + ALARM_SLACK_SEC);

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        p->signal_fd = RET_NERRNO(signalfd(-1, &set, SFD_CLOEXEC));
        if (p->signal_fd < 0)
                return error_set_errno(reterr_error, p->signal_fd, "Cannot receive signals: %m");
        r = prepare(p, reterr_error);
        return r < 0 ? r : start(p, reterr_error);
}

/* The pidfd says, last of all, whether what was read before is of one and the same process. */
static int answer_namespace(const Probe *p, Error *reterr_error) {
        static const char answer[] = "{\"namespace\":true}";
        _cleanup_close_ int pidfd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *actual = NULL;
        const char *below;
        struct pollfd ended;
        char path[64];
        int r;

        pidfd = pidfd_open_((pid_t) p->pid);
        r = pidfd < 0 ? pidfd : cgroup_of_process((pid_t) p->pid, &actual);
        below = r >= 0 ? startswith(actual, p->cgroup) : NULL;
        if (r >= 0 && (!below || (below[0] != 0 && below[0] != '/')))
                r = -ESRCH;
        if (r >= 0) {
                (void) snprintf(path, sizeof(path), "/proc/%d/ns/net", (int) p->pid);
                r = fd = RET_NERRNO(open(path, O_RDONLY | O_CLOEXEC));
        }
        ended = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        if (r == -ESRCH || r == -ENOENT || (pidfd >= 0 && poll(&ended, 1, 0) != 0))
                return error_set(reterr_error, -ESRCH, "NotRunning", "The container is not running.");
        if (r >= 0)
                r = send_with_fds(p->sock, answer, strlen(answer), &fd, 1, MSG_NOSIGNAL);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot open the container's network namespace: %m") : 0;
}

void probe_answer(int sock) {
        _cleanup_(probe_done) Probe p = {
                .sock = sock,
                .join = JOIN_INIT,
                .output_fd = -EBADF,
                .pidfd = -EBADF,
                .signal_fd = -EBADF,
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r, code = EXIT_FAILURE;

        r = read_request(&p, &e);
        if (r >= 0 && p.namespace) {
                if (answer_namespace(&p, &e) < 0)
                        answer_error(&p, &e);
                return;
        }
        if (r >= 0)
                r = begin(&p, &e);
        if (r >= 0)
                r = converse(&p, &e);
        if (r >= 0)
                r = wait_for_end(&p, &code);
        if (p.child > 0)
                kill_group(&p);

        if (error_is_set(&e) && is_of_container(&e))
                answer_result(&p, error_exit_code(&e), error_message(&e), false);
        else if (error_is_set(&e))
                answer_error(&p, &e);
        else if (r >= 0) {
                clean_output(p.output, p.n_output);
                answer_result(&p, code, p.output, code == 0 && p.ready && tell_ready(&p));
        }
}
