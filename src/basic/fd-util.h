/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Descriptors: closing, copying, memfds, passing over sockets. */

#include <sys/socket.h>

#include "basic/macro.h"

/* Keeps errno; ignores negative descriptors. Returns -EBADF. */
int safe_close(int fd);
static inline void closep(int *fd) {
        safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)
void safe_close_pair(int p[static 2]);
static inline void safe_close_pairp(int (*p)[2]) {
        safe_close_pair(*p);
}
#define _cleanup_close_pair_ _cleanup_(safe_close_pairp)

int fd_set_nonblock(int fd, bool nonblock);
int fd_set_cloexec(int fd, bool cloexec);
/* dup with CLOEXEC, result > 2. */
int fd_dup(int fd);
/* Everything above 2 but the listed ones is closed (close_range). */
int close_all_fds_except(const int except[], size_t n);

/* Whole buffer or error. */
int write_full(int fd, const void *p, size_t n);
int pwrite_full(int fd, const void *p, size_t n, uint64_t offset);
/* All of fd from its current offset, at most max bytes (-EFBIG beyond); result has a NUL behind its last
 * byte. */
int read_all(int fd, size_t max, char **ret, size_t *ret_size);

/* A memfd with these bytes, sealed against every change; offset 0. */
int memfd_new_sealed(const char *name, const void *p, size_t n);

/* One datagram with up to FDS_MAX descriptors on a SOCK_SEQPACKET socket. */
#define FDS_MAX 8U
int send_with_fds(int sock, const void *p, size_t n, const int *fds, size_t n_fds, int flags);
/* Returns the length (0 = end), descriptors (CLOEXEC) in fds[0..*n_fds): the caller closes them. -EMSGSIZE
 * if truncated. */
ssize_t recv_with_fds(int sock, void *p, size_t n, int fds[static FDS_MAX], size_t *ret_n_fds, int flags);

int fd_size(int fd, uint64_t *ret);
/* "/proc/self/fd/N" for interfaces that want a path. */
#define PROC_FD_PATH_MAX 32
char *proc_fd_path(char buf[static PROC_FD_PATH_MAX], int fd);
