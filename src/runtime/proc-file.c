/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "runtime/proc-file.h"

#define PROC_ROOT_INODE 1

static int check_filesystem(int fd) {
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return -errno;
        return fs.f_type == PROC_SUPER_MAGIC ? 0 : -EXDEV;
}

int proc_file_open(const char *path, int flags) {
        const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
        _cleanup_close_ int proc = -EBADF, fd = -EBADF;
        struct stat st;
        int r;

        proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc < 0)
                return -errno;
        r = check_filesystem(proc);
        if (r < 0)
                return r;
        if (fstat(proc, &st) < 0)
                return -errno;
        if (st.st_ino != PROC_ROOT_INODE)
                return -EXDEV;

        fd = openat2_full(proc, path, flags, 0, resolve);
        if (fd < 0)
                return fd;
        r = check_filesystem(fd);
        return r < 0 ? r : TAKE_FD(fd);
}

int proc_file_write(const char *path, const char *text) {
        _cleanup_close_ int fd = proc_file_open(path, O_WRONLY);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = TEMP_FAILURE_RETRY(write(fd, text, strlen(text)));
        if (n < 0)
                return -errno;
        return (size_t) n == strlen(text) ? 0 : -EIO;
}
