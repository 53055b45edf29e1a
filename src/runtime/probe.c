/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process for each check, so that none waits for another: joining a container takes as long as that has its
 * control group frozen, say. The service manager holds the socket, so that nothing is lost when this ends. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/probe.h"
#include "runtime/self.h"

#define IDLE_MSEC 10000
#define LISTEN_FD 3

/* As sd_listen_fds(3) has it, for one socket. */
static int take_socket(void) {
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        int n, r;

        if (!pid || parse_int(pid, &n) < 0 || n != getpid() || !streq_ptr(fds, "1"))
                return -ENOTSOCK;
        r = fd_set_cloexec(LISTEN_FD, true);
        if (r >= 0)
                r = fd_set_nonblock(LISTEN_FD, true);
        return r < 0 ? r : LISTEN_FD;
}

static void reap(unsigned *n_workers) {
        while (*n_workers > 0 && waitpid(-1, NULL, WNOHANG) > 0)
                (*n_workers)--;
}

/* 0: the queue is empty. */
static int serve_one(int listen_fd, int signal_fd, unsigned *n_workers) {
        _cleanup_close_ int sock = -EBADF;
        pid_t pid;

        sock = RET_NERRNO(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
        if (sock == -EAGAIN)
                return 0;
        if (sock < 0) /* of that one connection: the next may be well */
                return sock == -ECONNABORTED || sock == -EINTR ? 1 : sock;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                safe_close(listen_fd);
                safe_close(signal_fd);
                probe_answer(sock);
                _exit(EXIT_SUCCESS);
        }
        (*n_workers)++;
        return 1;
}

static int serve(int listen_fd, int signal_fd) {
        unsigned n_workers = 0;
        int r;

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = signal_fd, .events = POLLIN },
                        { .fd = n_workers < PROBES_MAX ? listen_fd : -1, .events = POLLIN },
                };
                struct signalfd_siginfo si;

                r = RET_NERRNO(poll(fds, ELEMENTSOF(fds), n_workers > 0 ? -1 : IDLE_MSEC));
                if (r == 0)
                        return 0;
                if (r < 0 && r != -EINTR)
                        return r;
                while (read(signal_fd, &si, sizeof(si)) == sizeof(si))
                        if (si.ssi_signo != SIGCHLD)
                                return 0; /* those that are at work get it themselves */
                reap(&n_workers);
                do
                        r = n_workers < PROBES_MAX ? serve_one(listen_fd, signal_fd, &n_workers) : 0;
                while (r > 0);
                if (r < 0)
                        return r;
        }
}

int probe_serve(char *argv[], Error *reterr_error) {
        _cleanup_close_ int listen_fd = -EBADF, signal_fd = -EBADF;
        sigset_t set;
        int r;

        r = self_protect(argv, reterr_error);
        if (r < 0)
                return r;
        listen_fd = take_socket();
        if (listen_fd < 0)
                return error_set_errno(reterr_error, listen_fd,
                                       "\"probe\" is started by moored-probe.socket, which passes the socket: %m");

        (void) signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot block signals: %m");
        signal_fd = RET_NERRNO(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
        if (signal_fd < 0)
                return error_set_errno(reterr_error, signal_fd, "Cannot receive signals: %m");

        r = serve(listen_fd, signal_fd);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot serve the socket: %m") : 0;
}
