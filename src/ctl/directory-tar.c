/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* moored is given an archive, not the directory: its importer runs as a user who need not be allowed to read
 * what the caller may read, and in a mount namespace in which the caller's mounts cannot be used. */

#include "ctl/directory-tar.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"

#define BLOCK 512U
#define NAME_FIELD 100U
#define PIPE_SIZE (1024 * 1024)

static void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

/* POSIX's octal digits, or GNU's binary form for what does not fit. */
static void put_size(char *field, uint64_t size) {
        if (size < UINT64_C(1) << 33) {
                (void) snprintf(field, 12, "%011" PRIo64, size);
                return;
        }
        field[0] = (char) 0x80;
        for (size_t i = 0; i < 8; i++)
                field[11 - i] = (char) (size >> (8 * i));
}

static int write_header(int fd, const char *name, char type, uint64_t size, const char *link) {
        char h[BLOCK] = {};
        unsigned sum = 0;

        memcpy(h, name, MIN(strlen(name), (size_t) NAME_FIELD));
        memcpy(h + 100, type == '5' ? "0000755" : "0000644", 7);
        memcpy(h + 108, "0000000", 7);
        memcpy(h + 116, "0000000", 7);
        put_size(h + 124, size);
        memcpy(h + 136, "00000000000", 11);
        memset(h + 148, ' ', 8);
        h[156] = type;
        memcpy(h + 157, link, MIN(strlen(link), (size_t) NAME_FIELD));
        memcpy(h + 257, "ustar  ", 7); /* GNU's: for long names */
        for (size_t i = 0; i < sizeof h; i++)
                sum += (uint8_t) h[i];
        (void) snprintf(h + 148, 8, "%06o", sum);
        return write_full(fd, h, sizeof h);
}

static int write_padding(int fd, uint64_t size) {
        static const char zeros[BLOCK];

        return write_full(fd, zeros, (BLOCK - size % BLOCK) % BLOCK);
}

/* A name or link target that is too long for its field goes ahead as an entry of its own. */
static int write_long(int fd, char type, const char *text) {
        size_t n = strlen(text) + 1;
        int r;

        if (n <= NAME_FIELD)
                return 0;
        r = write_header(fd, "././@LongLink", type, n, "");
        if (r >= 0)
                r = write_full(fd, text, n);
        return r < 0 ? r : write_padding(fd, n);
}

static int write_entry(int fd, const char *name, char type, uint64_t size, const char *link) {
        int r;

        r = write_long(fd, 'L', name);
        if (r >= 0)
                r = write_long(fd, 'K', link);
        return r < 0 ? r : write_header(fd, name, type, size, link);
}

static int write_file(int dir_fd, const char *entry, const char *name, int fd) {
        _cleanup_close_ int file =
                        openat(dir_fd, entry, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        uint64_t size, left;
        int r;

        if (file < 0)
                return -errno;
        r = fd_size(file, &size);
        if (r >= 0)
                r = write_entry(fd, name, '0', size, "");
        if (r < 0)
                return r;
        for (left = size; left > 0;) {
                ssize_t n = sendfile(fd, file, NULL, MIN(left, (uint64_t) PIPE_SIZE));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                left -= (uint64_t) n;
        }
        return write_padding(fd, size);
}

static int write_link(int dir_fd, const char *entry, const char *name, int fd) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, entry, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return write_entry(fd, name, '2', 0, target);
}

static int write_directory(int dir_fd, const char *prefix, unsigned depth, int fd) {
        _cleanup_(closedirp) DIR *d = NULL;
        struct dirent *de;
        int copy, r = 0;

        if (depth > DIRECTORY_TAR_DEPTH_MAX)
                return -ELOOP;
        /* A description of its own: readdir() moves the position. */
        copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (copy < 0)
                return -errno;
        d = fdopendir(copy);
        if (!d) {
                safe_close(copy);
                return -errno;
        }

        while (r >= 0 && (errno = 0, de = readdir(d))) {
                _cleanup_free_ char *name = strjoin(prefix, de->d_name);
                struct stat st;

                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;
                if (!name)
                        return -ENOMEM;
                if (fstatat(copy, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                if (S_ISREG(st.st_mode))
                        r = write_file(copy, de->d_name, name, fd);
                else if (S_ISLNK(st.st_mode))
                        r = write_link(copy, de->d_name, name, fd);
                else if (S_ISDIR(st.st_mode)) {
                        _cleanup_close_ int sub = openat(copy, de->d_name,
                                                         O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                        _cleanup_free_ char *slashed = strjoin(name, "/");

                        if (sub < 0)
                                return -errno;
                        r = slashed ? write_entry(fd, slashed, '5', 0, "") : -ENOMEM;
                        if (r >= 0)
                                r = write_directory(sub, slashed, depth + 1, fd);
                }
        }
        return r < 0 ? r : -errno;
}

int directory_tar_write(int dir_fd, int fd) {
        static const char end[2 * BLOCK];
        int r;

        r = write_directory(dir_fd, "", 0, fd);
        return r < 0 ? r : write_full(fd, end, sizeof end);
}

static _noreturn_ void writer(int dir_fd, int fd, pid_t parent) {
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        r = directory_tar_write(dir_fd, fd);
        if (r < 0 && r != -EPIPE)
                fprintf(stderr, "moorctl: Cannot read the directory: %s\n", strerror(-r));
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

int directory_tar_start(int dir_fd, pid_t *ret_pid) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        pid_t parent = getpid(), pid;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        (void) fcntl(p[1], F_SETPIPE_SZ, PIPE_SIZE);
        (void) fflush(NULL);
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                p[0] = safe_close(p[0]);
                writer(dir_fd, p[1], parent);
        }
        *ret_pid = pid;
        return TAKE_FD(p[0]);
}
