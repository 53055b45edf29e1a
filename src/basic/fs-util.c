/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

/* Paths are resolved by the kernel with openat2(), never by taking strings apart and checking.
 *
 * A container may have made a tree as deep as it likes, so the walk that deletes one neither recurses nor
 * keeps a descriptor per level: it remembers names and inode numbers, goes up by ".." and compares where it
 * arrived. Only one descriptor is held, two while moving. */

#define OPEN_RETRIES_MAX 128U /* openat2() says EAGAIN when a rename somewhere raced with ".." */

int openat2_full(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve) {
        bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
        struct open_how how = {
                .flags = (uint64_t) (unsigned) (flags | O_CLOEXEC),
                .mode = creates ? mode & 07777 : 0,
                .resolve = resolve,
        };
        long fd;

        for (unsigned i = 0; i < OPEN_RETRIES_MAX; i++) {
                fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
                if (fd >= 0)
                        return (int) fd;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
        return -EAGAIN;
}

int open_beneath_nofollow(int dirfd, const char *path, int flags, mode_t mode) {
        return openat2_full(dirfd, path, flags, mode,
                            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

int open_in_root(int dirfd, const char *path, int flags, mode_t mode) {
        return openat2_full(dirfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* By the rule at the head of the header. */
static int open_path(int dirfd, const char *path, int flags) {
        if (dirfd == AT_FDCWD)
                return RET_NERRNO(openat(AT_FDCWD, path, flags | O_CLOEXEC));

        return open_beneath_nofollow(dirfd, path, flags, 0);
}

/* Splits "a/b/name" into a descriptor of "a/b" and "name". *ret_owned is to be closed; *ret_dirfd is it or
 * dirfd. */
static int open_parent(int dirfd, const char *path, int *ret_owned, int *ret_dirfd, const char **ret_name) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *parent = NULL;
        int fd;

        if (!filename_is_valid(name))
                return -EINVAL;
        if (!slash) {
                *ret_dirfd = dirfd;
                *ret_name = name;
                return 0;
        }

        parent = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        if (!parent)
                return -ENOMEM;
        fd = open_path(dirfd, parent, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;

        *ret_owned = *ret_dirfd = fd;
        *ret_name = name;
        return 0;
}

int mkdirat_open(int dirfd, const char *name, mode_t mode) {
        if (!filename_is_valid(name))
                return -EINVAL;
        if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
                return -errno;

        return open_beneath_nofollow(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
}

int mkdirat_p(int dirfd, const char *path, mode_t mode) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (path[0] == '/' && dirfd != AT_FDCWD)
                return -EXDEV;

        parts = strv_split(path, "/");
        if (!parts)
                return -ENOMEM;
        if (path[0] == '/') {
                fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
        }

        STRV_FOREACH(part, parts) {
                int next;

                if (streq(part, "."))
                        continue;
                next = mkdirat_open(fd >= 0 ? fd : dirfd, part, mode);
                if (next < 0)
                        return next;
                safe_close(fd);
                fd = next;
        }
        return 0;
}

int read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* Not to hang at a FIFO, nor to get a terminal. */
        fd = open_path(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;

        return read_all(fd, max, ret, ret_size);
}

static int write_new(int dirfd, const char *name, const void *p, size_t n, mode_t mode, bool sync) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        r = write_full(fd, p, n);
        if (r >= 0)
                r = RET_NERRNO(fchmod(fd, mode));
        if (r >= 0 && sync)
                r = RET_NERRNO(fsync(fd));
        if (r < 0)
                (void) unlinkat(dirfd, name, 0);
        return r;
}

int write_file_atomic_at(int dirfd, const char *name, const void *p, size_t n, mode_t mode, bool sync) {
        _cleanup_close_ int owned = -EBADF;
        _cleanup_free_ char *id = NULL, *temporary = NULL;
        int r;

        r = open_parent(dirfd, name, &owned, &dirfd, &name);
        if (r < 0)
                return r;

        id = random_hex(8);
        temporary = id ? strjoin(".tmp-", id) : NULL;
        if (!temporary)
                return -ENOMEM;

        r = write_new(dirfd, temporary, p, n, mode, sync);
        if (r < 0)
                return r;
        if (renameat(dirfd, temporary, dirfd, name) < 0) {
                r = -errno;
                (void) unlinkat(dirfd, temporary, 0);
                return r;
        }
        return sync ? fsync_dir(dirfd) : 0;
}

int fsync_dir(int dirfd) {
        _cleanup_close_ int fd = -EBADF;

        /* Anew, because an O_PATH descriptor and AT_FDCWD cannot be synced. */
        fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        return RET_NERRNO(fsync(fd));
}

/* ---- Deleting a tree ---- */

typedef struct Level {
        struct Level *up;
        char **subdirs; /* what is left to visit, in reverse */
        size_t n_subdirs;
        dev_t dev;
        ino_t ino;
        uint64_t removed; /* entries that were deleted since the directory was last read */
} Level;

typedef struct Walk {
        int fd; /* of the directory where we are */
        Level *level;
} Walk;

static Level *level_free(Level *l) {
        for (size_t i = 0; i < l->n_subdirs; i++)
                free(l->subdirs[i]);
        free(l->subdirs);
        free(l);
        return NULL;
}

static void walk_done(Walk *w) {
        while (w->level) {
                Level *up = w->level->up;

                level_free(w->level);
                w->level = up;
        }
        w->fd = safe_close(w->fd);
}

static int push_subdir(Level *l, const char *name) {
        char *copy;

        if ((l->n_subdirs & (l->n_subdirs - 1)) == 0) { /* full at each power of two */
                char **p = reallocarray(l->subdirs, l->n_subdirs ? l->n_subdirs * 2 : 1, sizeof(char *));

                if (!p)
                        return -ENOMEM;
                l->subdirs = p;
        }

        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        l->subdirs[l->n_subdirs++] = copy;
        return 0;
}

/* One entry of the directory that is being read. What vanished meanwhile is fine. */
static int visit(Walk *w, const struct dirent *de) {
        if (de->d_type == DT_DIR)
                return push_subdir(w->level, de->d_name);

        if (unlinkat(w->fd, de->d_name, 0) >= 0)
                w->level->removed++;
        else if (errno == EISDIR)
                return push_subdir(w->level, de->d_name);
        else if (errno != ENOENT)
                return -errno;
        return 0;
}

/* Reads the directory where we are: deletes its files at once and notes its subdirectories. */
static int scan(Walk *w) {
        int fd, r = 0;
        DIR *d;

        fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                safe_close(fd);
                return r;
        }

        while (r >= 0) {
                const struct dirent *de;

                errno = 0;
                de = readdir(d);
                if (!de) {
                        r = -errno;
                        break;
                }
                if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
                        r = visit(w, de);
        }

        closedir(d);
        return r;
}

/* Goes into a directory below dirfd. */
static int enter(Walk *w, int dirfd, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        Level *l;

        fd = openat2_full(dirfd, name, O_RDONLY | O_DIRECTORY, 0,
                          RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;

        l = calloc(1, sizeof(Level));
        if (!l)
                return -ENOMEM;

        l->up = w->level;
        l->dev = st.st_dev;
        l->ino = st.st_ino;
        w->level = l;
        safe_close(w->fd);
        w->fd = TAKE_FD(fd);
        return scan(w);
}

/* Goes up. Deletes the directory that we leave; if it got new entries, or readdir() missed some because
 * others were deleted at the same time, it stays on the list and is visited again while that is of use. */
static int leave(Walk *w) {
        Level *l = w->level, *up = l->up;
        uint64_t removed = l->removed;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != up->dev || st.st_ino != up->ino)
                return -ESTALE; /* somebody moved it away under our feet */

        safe_close(w->fd);
        w->fd = TAKE_FD(fd);
        w->level = up;
        level_free(l);

        if (unlinkat(w->fd, up->subdirs[up->n_subdirs - 1], AT_REMOVEDIR) >= 0)
                up->removed++;
        else if (errno == ENOTEMPTY && removed > 0)
                return 0;
        else if (errno != ENOENT)
                return -errno;
        free(up->subdirs[--up->n_subdirs]);
        return 0;
}

static int walk(Walk *w, int dirfd, const char *name) {
        int r;

        r = enter(w, dirfd, name);
        while (r >= 0) {
                Level *l = w->level;

                if (l->n_subdirs == 0) {
                        if (!l->up)
                                return 0;
                        r = leave(w);
                        continue;
                }

                r = enter(w, w->fd, l->subdirs[l->n_subdirs - 1]);
                if (w->level == l && r == -ENOENT) { /* gone meanwhile */
                        free(l->subdirs[--l->n_subdirs]);
                        r = 0;
                }
        }
        return r;
}

int rm_rf_at(int dirfd, const char *name) {
        _cleanup_close_ int owned = -EBADF;
        uint64_t removed;
        int r;

        r = open_parent(dirfd, name, &owned, &dirfd, &name);
        if (r < 0)
                return r == -ENOENT ? 0 : r;

        if (unlinkat(dirfd, name, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return -errno;

        do {
                _cleanup_(walk_done) Walk w = { .fd = -EBADF };

                r = walk(&w, dirfd, name);
                if (r < 0)
                        return r == -ENOENT && !w.level ? 0 : r;
                removed = w.level->removed;
                if (unlinkat(dirfd, name, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                        return 0;
                r = -errno;
        } while (r == -ENOTEMPTY && removed > 0);

        return r;
}

/* ---- Names ---- */

bool filename_is_valid(const char *name) {
        return !isempty(name) && !streq(name, ".") && !streq(name, "..") && !strchr(name, '/') &&
               strlen(name) <= NAME_MAX;
}

bool path_is_normalized(const char *path) {
        if (!path || path[0] != '/' || strlen(path) >= PATH_MAX)
                return false;
        if (path[1] == 0)
                return true;

        for (const char *p = path; *p;) {
                size_t n;

                p++; /* the slash */
                n = strcspn(p, "/");
                if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n;
        }
        return true;
}

char *path_join(const char *a, const char *b) {
        size_t n = strlen(a);

        while (n > 0 && a[n - 1] == '/')
                n--;
        b += strspn(b, "/");
        return strformat("%.*s/%s", (int) n, a, b);
}

const char *path_startswith(const char *path, const char *top) {
        const char *rest = startswith(path, top);

        return rest && (*rest == 0 || *rest == '/') ? rest : NULL;
}

int dir_is_empty_at(int dirfd, const char *name) {
        const struct dirent *de;
        int fd, r = 1;
        DIR *d;

        fd = open_path(dirfd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                safe_close(fd);
                return r;
        }

        do {
                errno = 0;
                de = readdir(d);
                if (!de)
                        r = errno > 0 ? -errno : r;
                else if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
                        r = 0;
        } while (de && r > 0);

        closedir(d);
        return r;
}
