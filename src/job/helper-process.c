/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A helper process seen from the daemon: its socket has a higher priority in the loop than its end, and what
 * is left in the socket is read before on_exit is called, so that no message is lost and nothing is heard
 * after the end. */

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "job/job.h"

#define MESSAGES_PER_WAKEUP_MAX 64U
#define STOP_WAIT_MSEC 100

struct HelperProcess {
        sd_event *event;
        char *verb;
        const HelperOps *ops;
        void *userdata;
        int socket;
        int pidfd;
        sd_event_source *socket_source;
        sd_event_source *exit_source;
        Error error; /* from TYPE=error */
        bool silent; /* nothing more is heard: it closed the socket, or sent what is no message */
        bool *freed; /* set by helper_free() while we are calling ops */
};

static int helper_on_killed_exit(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        int code, status;

        if (pidfd_reap(fd, &code, &status) == -EAGAIN)
                return 0; /* a debugger has it: soon */
        /* The last reference: goes after this call, and closes the descriptor. */
        (void) sd_event_source_set_floating(s, false);
        return 0;
}

/* Kills it and lets the loop reap it: a process in uninterruptible I/O must not stop the daemon. */
static void helper_kill(HelperProcess *h) {
        sd_event_source *s;
        int code, status, r;

        (void) pidfd_kill(h->pidfd, SIGKILL);
        if (pidfd_reap(h->pidfd, &code, &status) != -EAGAIN)
                return;

        r = sd_event_add_io(h->event, &s, h->pidfd, EPOLLIN, helper_on_killed_exit, NULL);
        if (r < 0) {
                log_debug_errno(r, "Failed to watch a killed helper, ignoring: %m");
                return;
        }
        (void) sd_event_source_set_io_fd_own(s, true);
        h->pidfd = -EBADF;
        /* Where the loop ends earlier, the source goes with it. */
        (void) sd_event_source_set_floating(s, true);
        sd_event_source_unref(s);
}

int helper_stop(HelperProcess *h) {
        struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
        int code, status, r;

        h->socket_source = sd_event_source_disable_unref(h->socket_source);
        h->exit_source = sd_event_source_disable_unref(h->exit_source);
        if (h->pidfd < 0)
                return 0;

        (void) pidfd_kill(h->pidfd, SIGKILL);
        (void) poll(&p, 1, STOP_WAIT_MSEC);
        r = pidfd_reap(h->pidfd, &code, &status);
        if (r == -EAGAIN)
                return r;

        h->pidfd = safe_close(h->pidfd);
        return 0;
}

HelperProcess *helper_free(HelperProcess *h) {
        if (!h)
                return NULL;

        if (h->freed)
                *h->freed = true;
        sd_event_source_disable_unref(h->socket_source);
        sd_event_source_disable_unref(h->exit_source);
        if (h->pidfd >= 0)
                helper_kill(h);
        safe_close(h->pidfd);
        sd_event_unref(h->event);
        safe_close(h->socket);
        error_done(&h->error);
        free(h->verb);
        free(h);
        return NULL;
}

int helper_socket(HelperProcess *h) {
        return h->socket;
}

void helper_hang_up(HelperProcess *h) {
        /* Only our sending direction: what the helper still has to say is heard. */
        (void) shutdown(h->socket, SHUT_WR);
}

/* Whoever closes the socket is about to end, and whoever sends rubbish was taken over by what it read:
 * neither may stay. A process that is in exit() already keeps its exit status. */
static void helper_silence(HelperProcess *h, int error) {
        h->silent = true;
        h->socket_source = sd_event_source_disable_unref(h->socket_source);
        if (error < 0)
                (void) error_set(&h->error, error, "HelperDied",
                                 "moored-helper %s sent what is no message: %m", h->verb);
        (void) pidfd_kill(h->pidfd, SIGKILL);
}

/* 1: a message was handled; 0: end of messages, or nothing there now; -ESTALE: h is gone. */
static int helper_read_one(HelperProcess *h) {
        _cleanup_proto_message_ ProtoMessage m = {};
        bool freed = false;
        const char *type;
        int r;

        if (h->silent)
                return 0;
        r = proto_receive(h->socket, &m, false);
        if (r == -EAGAIN)
                return 0;
        if (r <= 0) {
                helper_silence(h, r);
                return 0;
        }

        type = proto_get(&m, "TYPE");
        if (streq_ptr(type, "error")) {
                error_done(&h->error);
                (void) proto_get_error(&m, &h->error);
                return 1;
        }

        h->freed = &freed;
        h->ops->on_message(h, &m, h->userdata);
        if (freed)
                return -ESTALE;
        h->freed = NULL;
        return 1;
}

static int helper_on_socket(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        HelperProcess *h = userdata;

        for (unsigned i = 0; i < MESSAGES_PER_WAKEUP_MAX; i++)
                if (helper_read_one(h) <= 0)
                        break;
        return 0;
}

static int helper_on_exit(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        HelperProcess *h = userdata;
        int code = 0, status = 0, r;

        while ((r = helper_read_one(h)) > 0)
                ;
        if (r == -ESTALE)
                return 0;

        r = pidfd_reap(h->pidfd, &code, &status);
        if (r == -EAGAIN)
                return 0; /* a debugger has it: soon */
        h->exit_source = sd_event_source_disable_unref(h->exit_source);
        h->socket_source = sd_event_source_disable_unref(h->socket_source);
        h->pidfd = safe_close(h->pidfd);

        if (!error_is_set(&h->error)) {
                if (r < 0)
                        (void) error_set_errno(&h->error, r, "Failed to reap moored-helper %s: %m", h->verb);
                else if (code != CLD_EXITED)
                        (void) error_set(&h->error, -EIO, "HelperDied",
                                         "moored-helper %s was ended by signal %s; see journalctl -u "
                                         "moored.service.",
                                         h->verb, strempty(signal_to_string(status)));
                else if (status != 0)
                        (void) error_set(&h->error, -EIO, "HelperDied",
                                         "moored-helper %s ended with status %i without a reason; see "
                                         "journalctl -u moored.service.",
                                         h->verb, status);
        }

        h->ops->on_exit(h, error_is_set(&h->error) ? &h->error : NULL, h->userdata);
        return 0;
}

static int helper_watch(HelperProcess *h) {
        int r;

        r = sd_event_add_io(h->event, &h->socket_source, h->socket, EPOLLIN, helper_on_socket, h);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(h->socket_source, SD_EVENT_PRIORITY_NORMAL - 5);
        if (r < 0)
                return r;

        /* A pidfd is readable once the process has ended. Not sd_event_add_child_pidfd(): that wants SIGCHLD
         * blocked and reaps by itself after the callback, when h may be gone. */
        return sd_event_add_io(h->event, &h->exit_source, h->pidfd, EPOLLIN, helper_on_exit, h);
}

int helper_start(JobManager *m, const char *verb, json_t *request, const int *fds, size_t n_fds,
                 const HelperOps *ops, void *userdata, HelperProcess **ret, Error *reterr_error) {
        _cleanup_(helper_freep) HelperProcess *h = NULL;
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_close_ int stdin_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        pid_t pid;
        int r;

        assert(m);
        assert(verb);
        assert(n_fds <= FDS_MAX);
        assert(ops && ops->on_message && ops->on_exit);
        assert(ret);

        text = json_dump(request, false);
        h = calloc(1, sizeof(HelperProcess));
        if (!text || !h)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        h->socket = h->pidfd = -EBADF;
        h->event = sd_event_ref(job_manager_event(m));
        h->ops = ops;
        h->userdata = userdata;
        h->verb = strdup(verb);
        if (!h->verb)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        stdin_fd = memfd_new_sealed("moored-request", text, strlen(text));
        if (stdin_fd < 0)
                return error_set_errno(reterr_error, stdin_fd,
                                       "Failed to write the request of moored-helper %s: %m", verb);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Failed to make a socket for moored-helper %s: %m", verb);
        r = fd_set_nonblock(pair[0], true);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Failed to set up the socket of moored-helper %s: %m", verb);

        SpawnSpec spec = {
                .path = job_manager_helper_path(m),
                .argv = (char *[]) { (char *) "moored-helper", (char *) verb, NULL },
                .envp = environ,
                .fds = { stdin_fd, -EBADF, STDERR_FILENO, pair[1] },
                .n_fds = PROTO_FIRST_FD + n_fds,
                .die_with_parent = true,
        };
        for (size_t i = 0; i < n_fds; i++)
                spec.fds[PROTO_FIRST_FD + i] = fds[i];

        r = process_spawn(&spec, &pid, &h->pidfd, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "Failed to start moored-helper %s", verb);

        h->socket = TAKE_FD(pair[0]);
        r = helper_watch(h);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to watch moored-helper %s: %m", verb);

        *ret = TAKE_PTR(h);
        return 0;
}
