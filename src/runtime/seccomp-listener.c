/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who installs the filter is under it from then on, and may be neither allowed to send the descriptor nor to
 * wait for somebody else to do it; a parent cannot fetch it from a process that is not dumpable, unless it
 * has the host's privileges. So a thread is made before, which shares the table of descriptors and has no
 * filter:
 *
 *   this thread                              the other one
 *   ---------------------------------------  ---------------------------------------------------
 *   clone(CLONE_THREAD | CLONE_FILES | …)    sleeps, looks at `fd` now and then
 *   seccomp(): from here on without any
 *   system call
 *   fd = the descriptor                      sends it
 *   looks at `result`, without sleeping      result = 0 or an error, exit
 *
 * A thread leaves no zombie behind and ends with execve() at the latest. The C library knows nothing of it:
 * otherwise a change of user ids would be broadcast to it, by system calls that the filter may forbid. It makes
 * bare system calls only, and sets errno at times when this thread makes none. */

#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/command.h"
#include "runtime/seccomp-listener.h"
#include "runtime/spec-seccomp.h"
#include "runtime/terminal.h"

#define STACK_SIZE (64U * 1024U)
#define POLL_NSEC 20000L
#define SEND_TIMEOUT_SEC 10

enum {
        FD_PENDING = -1,
        FD_NONE = -2, /* there is no filter */
};

typedef struct Sender {
        int sock;
        const char *message;
        size_t size;
        atomic_int fd;
        atomic_int result; /* 1: not yet */
} Sender;

/* The descriptor goes with the first byte; a long message may take more than one call. */
static int send_all(const Sender *s, int fd) {
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
                                  .cmsg_level = SOL_SOCKET,
                                  .cmsg_type = SCM_RIGHTS } };
        struct iovec iov = { .iov_base = (char *) s->message, .iov_len = s->size };
        struct msghdr m = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };

        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        while (iov.iov_len > 0) {
                ssize_t n = sendmsg(s->sock, &m, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
                iov.iov_base = (char *) iov.iov_base + n;
                iov.iov_len -= (size_t) n;
                m.msg_control = NULL;
                m.msg_controllen = 0;
        }
        return 0;
}

static int sender_run(void *userdata) {
        static const struct timespec pause = { .tv_nsec = POLL_NSEC };
        Sender *s = userdata;
        int fd, r;

        while ((fd = atomic_load(&s->fd)) == FD_PENDING)
                (void) syscall(SYS_nanosleep, &pause, NULL);
        if (fd >= 0) {
                r = send_all(s, fd);
                /* One connection, one message: the end of it is the end of the connection. And a question that
                 * nobody will answer is better answered by the kernel. */
                (void) syscall(SYS_close, s->sock);
                if (r < 0)
                        (void) syscall(SYS_close, fd);
                atomic_store(&s->result, r);
        }
        return 0;
}

static int sender_start(Sender *s) {
        const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
        struct sched_param param = {};
        uint8_t *stack;
        int tid;

        stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED)
                return -errno;
        tid = clone(sender_run, stack + STACK_SIZE, flags, s);
        if (tid < 0) {
                tid = -errno;
                (void) munmap(stack, STACK_SIZE);
                return tid;
        }
        /* This thread is going to wait without sleeping: a realtime policy would let it wait for ever. */
        (void) syscall(SYS_sched_setscheduler, tid, SCHED_OTHER, &param);
        return 0;
}

int seccomp_install_with_listener(const SeccompProgram *p, int sock, const char *message,
                                  Error *reterr_error) {
        struct sock_fprog prog = { .len = (unsigned short) p->n, .filter = p->filter };
        const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_SEC };
        /* The other thread may outlive this function's frame. */
        static Sender s;
        int fd, r;

        s = (Sender) { .sock = sock, .message = message, .size = strlen(message), .fd = FD_PENDING, .result = 1 };
        if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
                return error_set_errno(reterr_error, -errno, "linux.seccomp.listenerPath: %m");
        r = sender_start(&s);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.seccomp.listenerPath: cannot make a thread that sends the "
                                       "listener: %m");

        fd = (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->flags | SECCOMP_FILTER_FLAG_NEW_LISTENER,
                           &prog);
        if (fd < 0) {
                r = -errno;
                atomic_store(&s.fd, FD_NONE);
                return error_set_errno(reterr_error, r, "Cannot install the seccomp filter: %m");
        }

        atomic_store(&s.fd, fd);
        while ((r = atomic_load(&s.result)) > 0)
                ;
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.seccomp.listenerPath: cannot send the listener: %m");
        return 0;
}

int seccomp_listener_connect(const SeccompSpec *s, int *ret, Error *reterr_error) {
        int fd;

        *ret = -EBADF;
        if (!s || !s->listener_path)
                return 0;
        fd = unix_connect(s->listener_path, "linux.seccomp.listenerPath",
                          seccomp_spec_has_notify(s) ? reterr_error : NULL);
        if (fd < 0)
                return seccomp_spec_has_notify(s) ? fd : 0;
        *ret = fd;
        return 0;
}

char *seccomp_listener_message(const SeccompSpec *s, const ContainerState *state, ContainerStatus status,
                               pid_t pid) {
        _cleanup_json_ json_t *j = NULL;
        json_t *oci;

        oci = state_to_oci(state, status);
        if (!oci)
                return NULL;
        j = json_pack("{s:s, s:[s], s:i, s:s*, s:o}", "ociVersion", OCI_VERSION, "fds", "seccompFd", "pid",
                      (int) pid, "metadata", s->listener_metadata, "state", oci);
        return j ? json_dump(j, false) : NULL;
}
