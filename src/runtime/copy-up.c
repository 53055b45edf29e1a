/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "runtime/copy-up.h"

/* What the kernel takes in one call. */
#define COPY_CHUNK (1U << 30)

static bool is_not_there(int r) {
        return r == -EOPNOTSUPP || r == -EPERM || r == -EACCES || r == -ENODATA || r == -EINVAL;
}

/* As many as the other file system and this process's privileges allow. */
static int copy_xattrs(int from, int to) {
        char names[XATTR_LIST_MAX];
        _cleanup_free_ char *value = NULL;
        ssize_t n = flistxattr(from, names, sizeof(names));

        if (n < 0)
                return is_not_there(-errno) ? 0 : -errno;
        for (char *name = names; name < names + n; name += strlen(name) + 1) {
                ssize_t size;

                if (!value && !(value = malloc(XATTR_SIZE_MAX)))
                        return -ENOMEM;
                size = fgetxattr(from, name, value, XATTR_SIZE_MAX);
                if (size < 0 && is_not_there(-errno))
                        continue;
                if (size < 0 || (fsetxattr(to, name, value, (size_t) size, 0) < 0 && !is_not_there(-errno)))
                        return -errno;
        }
        return 0;
}

/* name "": dir itself. EINVAL: the user namespace has no such id. */
static int set_owner(int dir, const char *name, const struct stat *st) {
        if (fchownat(dir, name, st->st_uid, st->st_gid,
                     AT_SYMLINK_NOFOLLOW | (name[0] == 0 ? AT_EMPTY_PATH : 0)) < 0 &&
            errno != EINVAL)
                return -errno;
        return 0;
}

/* The owner first: changing it takes the set-id bits away. */
static int copy_attributes(int from, int to, const struct stat *st) {
        const struct timespec times[2] = { st->st_atim, st->st_mtim };
        int r;

        r = set_owner(to, "", st);
        if (r < 0)
                return r;
        r = copy_xattrs(from, to);
        if (r < 0)
                return r;
        return fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to) {
        ssize_t n;

        do
                n = copy_file_range(from, NULL, to, NULL, COPY_CHUNK, 0);
        while (n > 0);
        if (n == 0)
                return 0;
        if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
                return -errno;

        /* Between these two file systems the kernel copies by way of the page cache only. */
        do
                n = sendfile(to, from, NULL, COPY_CHUNK);
        while (n > 0);
        return n < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        struct stat st;
        int r;

        from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (from < 0)
                return -errno;
        /* What it is now, whatever it was. */
        if (fstat(from, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ESTALE;
        to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (to < 0)
                return -errno;
        r = copy_bytes(from, to);
        return r < 0 ? r : copy_attributes(from, to, &st);
}

static int set_times(int dir, const char *name, const struct stat *st) {
        const struct timespec times[2] = { st->st_atim, st->st_mtim };

        return RET_NERRNO(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
}

static int copy_symlink(int from_dir, int to_dir, const char *name, const struct stat *st) {
        char text[PATH_MAX];
        ssize_t n = readlinkat(from_dir, name, text, sizeof(text));
        int r;

        if (n < 0)
                return -errno;
        if ((size_t) n >= sizeof(text))
                return -ENAMETOOLONG;
        text[n] = 0;
        if (symlinkat(text, to_dir, name) < 0)
                return -errno;
        r = set_owner(to_dir, name, st);
        return r < 0 ? r : set_times(to_dir, name, st);
}

/* Without the right to make devices there are none, as there are none in a user namespace. */
static int copy_node(int to_dir, const char *name, const struct stat *st) {
        int r;

        if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
                return errno == EPERM && !S_ISFIFO(st->st_mode) ? 0 : -errno;
        r = set_owner(to_dir, name, st);
        if (r < 0)
                return r;
        if (fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        return set_times(to_dir, name, st);
}

static int copy_directory(int from, int to, unsigned depth);

static int copy_subdirectory(int from_dir, int to_dir, const char *name, unsigned depth) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        struct stat st;
        int r;

        if (depth >= COPY_UP_DEPTH_MAX)
                return -EMLINK;
        from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from < 0 || fstat(from, &st) < 0)
                return -errno;
        if (mkdirat(to_dir, name, 0700) < 0)
                return -errno;
        to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (to < 0)
                return -errno;
        r = copy_directory(from, to, depth + 1);
        return r < 0 ? r : copy_attributes(from, to, &st);
}

static int copy_entry(int from_dir, int to_dir, const char *name, unsigned depth) {
        struct stat st;

        if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        switch (st.st_mode & S_IFMT) {
        case S_IFDIR:
                return copy_subdirectory(from_dir, to_dir, name, depth);
        case S_IFREG:
                return copy_file(from_dir, to_dir, name);
        case S_IFLNK:
                return copy_symlink(from_dir, to_dir, name, &st);
        case S_IFSOCK:
                return 0;
        default:
                return copy_node(to_dir, name, &st);
        }
}

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static int copy_directory(int from, int to, unsigned depth) {
        _cleanup_(closedirp) DIR *d = NULL;
        int copy = fd_dup(from);

        if (copy < 0)
                return copy;
        d = fdopendir(copy);
        if (!d) {
                int r = -errno;

                safe_close(copy);
                return r;
        }

        for (;;) {
                struct dirent *e;
                int r;

                errno = 0;
                e = readdir(d);
                if (!e)
                        return -errno;
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                r = copy_entry(from, to, e->d_name, depth);
                if (r < 0)
                        return r;
        }
}

int copy_up(int from_fd, int to_fd, bool attributes) {
        struct stat st;
        int r;

        if (fstat(from_fd, &st) < 0)
                return -errno;
        r = copy_directory(from_fd, to_fd, 0);
        return r < 0 || !attributes ? r : copy_attributes(from_fd, to_fd, &st);
}
