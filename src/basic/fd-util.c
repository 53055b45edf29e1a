/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"

int safe_close(int fd) {
        if (fd >= 0) {
                int saved_errno = errno;

                /* Not again after EINTR: Linux has released the number by then. */
                (void) close(fd);
                errno = saved_errno;
        }
        return -EBADF;
}

void safe_close_pair(int p[static 2]) {
        p[0] = safe_close(p[0]);
        p[1] = safe_close(p[1]);
}

int fd_set_nonblock(int fd, bool nonblock) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;

        return RET_NERRNO(fcntl(fd, F_SETFL, nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

int fd_set_cloexec(int fd, bool cloexec) {
        int flags = fcntl(fd, F_GETFD);

        if (flags < 0)
                return -errno;

        return RET_NERRNO(fcntl(fd, F_SETFD, cloexec ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC));
}

int fd_dup(int fd) {
        return RET_NERRNO(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int close_all_fds_except(const int except[], size_t n) {
        int start = 3;

        /* Closes the gaps between the kept ones, in ascending order; needs no memory. */
        for (;;) {
                int keep = -1;

                for (size_t i = 0; i < n; i++)
                        if (except[i] >= start && (keep < 0 || except[i] < keep))
                                keep = except[i];
                if (keep < 0)
                        return RET_NERRNO(close_range((unsigned) start, UINT32_MAX, 0));
                if (keep > start && close_range((unsigned) start, (unsigned) keep - 1, 0) < 0)
                        return -errno;
                if (keep == INT32_MAX)
                        return 0;
                start = keep + 1;
        }
}

int write_full(int fd, const void *p, size_t n) {
        const char *b = p;

        while (n > 0) {
                ssize_t k = write(fd, b, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -EIO;
                b += k;
                n -= (size_t) k;
        }
        return 0;
}

int pwrite_full(int fd, const void *p, size_t n, uint64_t offset) {
        const char *b = p;

        if (offset > INT64_MAX || n > INT64_MAX - offset)
                return -EFBIG;

        while (n > 0) {
                ssize_t k = pwrite(fd, b, n, (off_t) offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -EIO;
                b += k;
                offset += (uint64_t) k;
                n -= (size_t) k;
        }
        return 0;
}

/* What to expect: the size where one is known. */
static size_t read_all_hint(int fd, size_t max) {
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
                return MIN((size_t) 4096, max);

        return (uint64_t) st.st_size < max ? (size_t) st.st_size : max;
}

int read_all(int fd, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *buf = NULL;
        size_t size, n = 0;

        if (max >= SSIZE_MAX - 1)
                return -EINVAL;

        /* Two bytes on top: one that tells a file of max bytes from a longer one, and the NUL. */
        size = read_all_hint(fd, max) + 2;
        for (;;) {
                ssize_t k;

                if (!buf || n + 1 >= size) {
                        char *p;

                        if (buf)
                                size = MIN(size * 2, max + 2);
                        p = realloc(buf, size);
                        if (!p)
                                return -ENOMEM;
                        buf = p;
                }

                k = read(fd, buf + n, size - 1 - n);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
                if (n > max)
                        return -EFBIG;
        }

        buf[n] = 0;
        *ret = TAKE_PTR(buf);
        if (ret_size)
                *ret_size = n;
        return 0;
}

int memfd_new_sealed(const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;

        r = pwrite_full(fd, p, n, 0); /* leaves the offset at 0 */
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int send_with_fds(int sock, const void *p, size_t n, const int *fds, size_t n_fds, int flags) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        } control = {};
        struct iovec iov = { (void *) p, n };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t k;

        /* An empty datagram looks like the end to the other side. */
        if (n == 0 || n_fds > FDS_MAX)
                return -EINVAL;

        if (n_fds > 0) {
                mh.msg_control = &control;
                mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }

        do
                k = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
        while (k < 0 && errno == EINTR);

        return k < 0 ? -errno : 0;
}

/* Collects the descriptors of a message. Those that do not fit are closed and make the result false. */
static bool take_fds(struct msghdr *mh, int fds[static FDS_MAX], size_t *ret_n) {
        bool fit = true;

        *ret_n = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;

                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (*ret_n < FDS_MAX)
                                fds[(*ret_n)++] = fd;
                        else {
                                safe_close(fd);
                                fit = false;
                        }
                }
        }
        return fit;
}

ssize_t recv_with_fds(int sock, void *p, size_t n, int fds[static FDS_MAX], size_t *ret_n_fds, int flags) {
        union {
                struct cmsghdr header;
                /* Room also for what a socket option of the caller may add (credentials, label). */
                char space[CMSG_SPACE(sizeof(int) * FDS_MAX) + 512];
        } control = {};
        struct iovec iov = { p, n };
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        size_t n_fds;
        ssize_t k;
        bool fit;

        do
                k = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;

        fit = take_fds(&mh, fds, &n_fds);
        if (!fit || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
                for (size_t i = 0; i < n_fds; i++)
                        fds[i] = safe_close(fds[i]);
                return -EMSGSIZE;
        }

        *ret_n_fds = n_fds;
        return k;
}

int fd_size(int fd, uint64_t *ret) {
        struct stat st;
        uint64_t n;

        if (fstat(fd, &st) < 0)
                return -errno;

        if (S_ISREG(st.st_mode))
                n = (uint64_t) st.st_size;
        else if (!S_ISBLK(st.st_mode))
                return -EINVAL;
        else if (ioctl(fd, BLKGETSIZE64, &n) < 0)
                return -errno;

        *ret = n;
        return 0;
}

char *proc_fd_path(char buf[static PROC_FD_PATH_MAX], int fd) {
        (void) snprintf(buf, PROC_FD_PATH_MAX, "/proc/self/fd/%d", fd);
        return buf;
}
