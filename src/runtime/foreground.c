/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "runtime/foreground.h"
#include "runtime/notify-proxy.h"

/* Who has had nothing to do for so long will wait for longer. */
#define SETTLE_MSEC 200

/* Bytes on the way in one direction. */
typedef struct Flow {
        int from; /* -EBADF: nothing comes any more */
        int to;
        char buffer[4096];
        size_t begin, end;
        bool broken; /* nobody takes what is written */
} Flow;

enum {
        POLL_SIGNAL,
        POLL_PROCESS,
        POLL_INPUT,
        POLL_OUTPUT,
        POLL_MASTER,
        POLL_NOTIFY,
        _POLL_MAX,
};

int foreground_begin(Foreground *f, Error *reterr_error) {
        static const int not_passed_on[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };
        static const int interrupts[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
        sigset_t set, interrupt_set;

        sigfillset(&set);
        for (size_t i = 0; i < ELEMENTSOF(not_passed_on); i++)
                sigdelset(&set, not_passed_on[i]);
        sigemptyset(&interrupt_set);
        for (size_t i = 0; i < ELEMENTSOF(interrupts); i++) {
                struct sigaction action;

                /* What is ignored, as by nohup(1), would not be if it were blocked. */
                if (sigaction(interrupts[i], NULL, &action) >= 0 && action.sa_handler == SIG_IGN)
                        sigdelset(&set, interrupts[i]);
                else
                        sigaddset(&interrupt_set, interrupts[i]);
        }
        if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot block signals: %m");
        f->signal_fd = RET_NERRNO(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
        f->interrupt_fd = RET_NERRNO(signalfd(-1, &interrupt_set, SFD_CLOEXEC | SFD_NONBLOCK));
        if (f->signal_fd < 0 || f->interrupt_fd < 0)
                return error_set_errno(reterr_error, MIN(f->signal_fd, f->interrupt_fd),
                                       "Cannot receive signals: %m");
        return 0;
}

int foreground_wait_readable(const Foreground *f, int fd, Error *reterr_error) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = f->interrupt_fd, .events = POLLIN } };

        if (f->interrupt_fd < 0)
                return 0;
        if (TEMP_FAILURE_RETRY(poll(p, ELEMENTSOF(p), -1)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot wait: %m");
        if (p[0].revents == 0)
                return error_set(reterr_error, -EINTR, "Failed", "Interrupted before the command was executed.");
        return 0;
}

static void pass_size_on(const Foreground *f) {
        struct winsize size;

        /* A terminal without a size has none to pass on. */
        if (f->master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_row > 0)
                (void) ioctl(f->master, TIOCSWINSZ, &size);
}

int foreground_show(Foreground *f, int master, Error *reterr_error) {
        struct termios raw;
        int r;

        f->master = master;
        r = fd_set_nonblock(master, true);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot use the terminal: %m");
        if (tcgetattr(STDIN_FILENO, &f->modes) < 0)
                return 0;

        pass_size_on(f);
        raw = f->modes;
        cfmakeraw(&raw);
        if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set the terminal's modes: %m");
        f->raw = true;
        return 0;
}

void foreground_done(Foreground *f) {
        if (f->raw)
                (void) tcsetattr(STDIN_FILENO, TCSANOW, &f->modes);
        f->raw = false;
        f->master = safe_close(f->master);
        f->signal_fd = safe_close(f->signal_fd);
        f->interrupt_fd = safe_close(f->interrupt_fd);
        f->notify_fd = safe_close(f->notify_fd);
}

static void pass_signals_on(const Foreground *f, int pidfd) {
        struct signalfd_siginfo si;

        while (read(f->signal_fd, &si, sizeof(si)) == sizeof(si))
                if (si.ssi_signo == SIGWINCH && f->master >= 0)
                        pass_size_on(f);
                else if (si.ssi_signo != SIGCHLD && si.ssi_signo != SIGURG)
                        (void) pidfd_kill(pidfd, (int) si.ssi_signo);
}

/* What ends a direction closes it: a terminal that hangs up says EIO. */
static void flow_read(Flow *f) {
        ssize_t n = read(f->from, f->buffer, sizeof(f->buffer));

        if (n > 0) {
                f->begin = 0;
                f->end = (size_t) n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                f->from = -EBADF;
}

static void flow_write(Flow *f) {
        ssize_t n = write(f->to, f->buffer + f->begin, f->end - f->begin);

        if (n > 0)
                f->begin += (size_t) n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR) {
                f->from = -EBADF;
                f->begin = f->end;
                f->broken = true;
        }
}

static bool flow_is_empty(const Flow *f) {
        return f->begin == f->end;
}

/* What the terminal still holds when its process has ended. */
static void drain(Flow *out) {
        for (;;) {
                struct pollfd p = { .fd = out->to, .events = POLLOUT };

                if (flow_is_empty(out)) {
                        if (out->from < 0)
                                return;
                        flow_read(out);
                        if (flow_is_empty(out))
                                return;
                }
                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        return;
                flow_write(out);
        }
}

static void copy(const struct pollfd fds[static _POLL_MAX], Flow *in, Flow *out) {
        short master = fds[POLL_MASTER].revents;

        if (fds[POLL_INPUT].revents != 0)
                flow_read(in);
        if (fds[POLL_OUTPUT].revents != 0)
                flow_write(out);
        if (master & POLLOUT && !flow_is_empty(in))
                flow_write(in);
        if (master & (POLLIN | POLLHUP | POLLERR) && flow_is_empty(out) && out->from >= 0)
                flow_read(out);
}

/* Nobody sees the terminal any more: its processes are told so, and do not wait for it to be read. */
static void hang_up(Foreground *f, Flow *in, Flow *out) {
        f->master = safe_close(f->master);
        in->from = in->to = out->from = -EBADF;
        in->begin = in->end;
}

/* The linker's. */
extern const char __executable_start[], etext[];

/* Linked statically this program has a megabyte of code, nearly all of which is behind it. The little that
 * waiting takes comes back by itself, from the page cache. */
static void forget_code(void) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), begin, end;

        begin = ((uintptr_t) __executable_start + page - 1) & ~(page - 1);
        end = (uintptr_t) etext & ~(page - 1);
        if (begin < end)
                (void) madvise((void *) begin, end - begin, MADV_DONTNEED);
}

int foreground_wait(Foreground *f, pid_t pid, int *ret_code, Error *reterr_error) {
        int code, status, r;

        r = foreground_wait_end(f, pid, &code, &status, reterr_error);
        if (r >= 0)
                *ret_code = process_exit_code(code, status);
        return r;
}

int foreground_wait_end(Foreground *f, pid_t pid, int *ret_code, int *ret_status, Error *reterr_error) {
        Flow in = { .from = f->master >= 0 ? STDIN_FILENO : -EBADF, .to = f->master };
        Flow out = { .from = f->master, .to = STDOUT_FILENO };
        _cleanup_close_ int pidfd = pidfd_open_(pid);
        int r, timeout = SETTLE_MSEC;

        if (pidfd < 0)
                return error_set_errno(reterr_error, pidfd, "Cannot watch process %d: %m", pid);

        for (;;) {
                bool wants_input = in.from >= 0 && flow_is_empty(&in);
                bool wants_output = out.from >= 0 && flow_is_empty(&out);
                struct pollfd fds[_POLL_MAX] = {
                        [POLL_SIGNAL] = { f->signal_fd, POLLIN, 0 },
                        [POLL_NOTIFY] = { f->notify_fd, POLLIN, 0 },
                        [POLL_PROCESS] = { pidfd, POLLIN, 0 },
                        [POLL_INPUT] = { wants_input ? in.from : -1, POLLIN, 0 },
                        [POLL_OUTPUT] = { flow_is_empty(&out) ? -1 : out.to, POLLOUT, 0 },
                        [POLL_MASTER] = { wants_output || !flow_is_empty(&in) ? f->master : -1,
                                          (short) ((wants_output ? POLLIN : 0) |
                                                   (flow_is_empty(&in) ? 0 : POLLOUT)),
                                          0 },
                };

                r = poll(fds, _POLL_MAX, timeout);
                if (r < 0 && errno != EINTR)
                        return error_set_errno(reterr_error, -errno, "Cannot wait: %m");
                if (r == 0) {
                        forget_code();
                        timeout = -1;
                }
                pass_signals_on(f, pidfd);
                copy(fds, &in, &out);
                if (out.broken)
                        hang_up(f, &in, &out);
                if (fds[POLL_NOTIFY].revents != 0)
                        (void) notify_proxy_forward(f->notify_fd, 0);
                if (fds[POLL_PROCESS].revents == 0)
                        continue;

                r = pidfd_reap(pidfd, ret_code, ret_status);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot wait for process %d: %m", pid);
                drain(&out);
                return 0;
        }
}
