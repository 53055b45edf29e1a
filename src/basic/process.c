/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"

/* The child shares our memory until it executes (CLONE_VM) and we sleep until then (CLONE_VFORK): starting a
 * program costs the same however large we are, and the child reports what failed by writing it into our
 * memory. It has its own stack and its own table of descriptors. Since it shares memory, no handler of ours
 * may run in it: all signals are blocked from before the clone until the child has set them to default. */

#define CHILD_STACK_SIZE (256U * 1024)
#define CHILD_STACK_GUARD (64U * 1024) /* larger than any page */

typedef struct Child {
        const SpawnSpec *spec;
        pid_t parent;
        int fds[SPAWN_FDS_MAX]; /* of which the child moves some */
        int n_fds;
        int error;        /* what failed: negative errno, */
        const char *step; /* and while doing what */
} Child;

static int child_reset_signals(void) {
        struct sigaction sa = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int i = 1; i <= SIGRTMAX; i++)
                if (i != SIGKILL && i != SIGSTOP && sigaction(i, &sa, NULL) < 0 && errno != EINVAL)
                        return -errno; /* EINVAL: two belong to the C library */

        sigemptyset(&none);
        return RET_NERRNO(sigprocmask(SIG_SETMASK, &none, NULL));
}

/* Moves descriptors whose number is the target of another out of the way, above all targets. */
static int child_lift_fds(Child *c) {
        for (int i = 0; i < c->n_fds; i++) {
                if (c->fds[i] < 0 && i <= STDERR_FILENO) {
                        c->fds[i] = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
                        if (c->fds[i] < 0)
                                return -errno;
                        /* Where it got the number that it is to have all is well. */
                }
                if (c->fds[i] < 0 || c->fds[i] >= c->n_fds || c->fds[i] == i)
                        continue;

                c->fds[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, c->n_fds);
                if (c->fds[i] < 0)
                        return -errno;
        }
        return 0;
}

static int child_arrange_fds(Child *c) {
        int r;

        r = child_lift_fds(c);
        if (r < 0)
                return r;

        for (int i = 0; i < c->n_fds; i++) {
                if (c->fds[i] < 0)
                        (void) close(i);
                else if (c->fds[i] == i)
                        r = RET_NERRNO(fcntl(i, F_SETFD, 0));
                else
                        r = RET_NERRNO(dup2(c->fds[i], i));
                if (r < 0)
                        return r;
        }
        return RET_NERRNO(close_range((unsigned) c->n_fds, UINT32_MAX, 0));
}

static int child_die_with_parent(pid_t parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;

        /* It may have died before that, and nobody would tell us any more. 0: it is in another pid namespace. */
        return getppid() == parent || getppid() == 0 ? 0 : -ESRCH;
}

/* Runs on the child's stack. To return is to exit, with the error in place. */
static int child_main(void *p) {
        static char *const empty[] = { NULL };
        Child *c = p;

        c->step = "prepare signals for";
        c->error = child_reset_signals();
        if (c->error < 0)
                return EXIT_FAILURE;

        if (c->spec->die_with_parent) {
                c->step = "bind to its parent";
                c->error = child_die_with_parent(c->parent);
                if (c->error < 0)
                        return EXIT_FAILURE;
        }

        if (c->spec->new_group) {
                c->step = "make a group for";
                c->error = RET_NERRNO(setpgid(0, 0));
                if (c->error < 0)
                        return EXIT_FAILURE;
        }

        c->step = "pass descriptors to";
        c->error = child_arrange_fds(c);
        if (c->error < 0)
                return EXIT_FAILURE;

        c->step = "execute";
        (void) execve(c->spec->path, c->spec->argv, c->spec->envp ?: empty);
        c->error = -errno;
        return EXIT_FAILURE;
}

static int clone_child(Child *c, pid_t *ret_pid, int *ret_pidfd) {
        sigset_t all, saved;
        int pidfd = -EBADF, r;
        pid_t pid;
        char *stack;

        stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED)
                return -errno;
        if (mprotect(stack, CHILD_STACK_GUARD, PROT_NONE) < 0) {
                r = -errno;
                (void) munmap(stack, CHILD_STACK_SIZE);
                return r;
        }

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &saved);
        pid = clone(child_main, stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c,
                    &pidfd);
        r = pid < 0 ? -errno : 0;
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        (void) munmap(stack, CHILD_STACK_SIZE);
        if (r < 0)
                return r;

        *ret_pid = pid;
        *ret_pidfd = pidfd;
        return 0;
}

int process_spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        Child c = {
                .spec = spec,
                .parent = getpid(),
        };
        siginfo_t si;
        pid_t pid = -1;
        int r;

        if (!spec->path || spec->path[0] != '/' || !spec->argv || !spec->argv[0] ||
            spec->n_fds > SPAWN_FDS_MAX)
                return error_set_errno(
                                reterr_error, -EINVAL,
                                "Cannot start “%s”: the path must be absolute, argv have a first entry and "
                                "descriptors be at most %u.",
                                strempty(spec->path), SPAWN_FDS_MAX);

        c.n_fds = (int) MAX(spec->n_fds, (size_t) STDERR_FILENO + 1);
        for (int i = 0; i < c.n_fds; i++)
                c.fds[i] = (size_t) i < spec->n_fds ? spec->fds[i] : -EBADF;

        r = clone_child(&c, &pid, &pidfd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot start a process for “%s”: %m.", spec->path);

        if (c.error < 0) {
                /* It is about to be dead. Fails where we ignore SIGCHLD, and there it leaves no trace
                 * anyway. */
                while (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED) < 0 && errno == EINTR)
                        ;
                return error_set_errno(reterr_error, c.error, "Cannot %s “%s”: %m.", c.step, spec->path);
        }

        if (ret_pid)
                *ret_pid = pid;
        *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}

int pidfd_open_(pid_t pid) {
        return (int) RET_NERRNO(syscall(SYS_pidfd_open, pid, 0));
}

int pidfd_kill(int pidfd, int signo) {
        return (int) RET_NERRNO(syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0));
}

static int reap(int pidfd, int options, int *ret_code, int *ret_status) {
        siginfo_t si = {};

        while (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED | options) < 0)
                if (errno != EINTR)
                        return -errno;
        if (si.si_pid == 0)
                return -EAGAIN;

        if (ret_code)
                *ret_code = si.si_code;
        if (ret_status)
                *ret_status = si.si_status;
        return 0;
}

int pidfd_reap(int pidfd, int *ret_code, int *ret_status) {
        return reap(pidfd, WNOHANG, ret_code, ret_status);
}

int pidfd_wait(int pidfd, int *ret_code, int *ret_status) {
        return reap(pidfd, 0, ret_code, ret_status);
}

int process_exit_code(int code, int status) {
        return code == CLD_EXITED ? status : 128 + status;
}
