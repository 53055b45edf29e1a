/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/hashmap.h"
#include "basic/string-util.h"
#include "helper/tree-writer.h"

/* Every path is walked one component at a time by openat2() from the descriptor of the directory before,
 * with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, so that nothing the archive made earlier (a symlink above
 * all) can lead anywhere else. Archives are sorted: the walk keeps the descriptors of the directories of the
 * last entry and reuses what is common, which makes one openat2() a directory of most archives.
 *
 * Layers are met that make a symlink and then name files through it ("bin" to "usr/bin", then "bin/sh"). The
 * kernel follows none here: the walk reads the link and puts its target before what is left of the way. ".."
 * in a target takes a level off the stack, which ends at the root; so the way through links is made of the
 * same steps that cannot leave, and what is missing of a target is made like any other directory.
 *
 * Invariant: levels[0..depth) are exactly the directories on the way to path, the real one of the directory
 * entered last: no component of it is a symlink. What is removed is always a child of the last of them, so
 * that no descriptor in the stack can belong to something removed.
 *
 * Directories are 0755 and root's while entries are made in them; owner, mode and time come at the end,
 * since making an entry changes the time, and a setgid bit would change the group of what is made. */

#define OPAQUE_XATTR "trusted.overlay.opaque"

typedef struct Level {
        int fd;
        size_t end; /* length of path up to and with this component */
} Level;

struct TreeWriter {
        int root_fd; /* borrowed */
        Level levels[TREE_DEPTH_MAX];
        size_t depth;
        char path[TREE_PATH_MAX + 1]; /* of levels[depth - 1] */
        const char *entry;            /* borrowed during tree_writer_enter(): for messages */
        char way[TREE_PATH_MAX + 1];  /* what is left to be walked once a symlink has been met */
        Hashmap *directories;         /* real path → TreeMetadata, owned */
};

static void pop_levels(TreeWriter *t, size_t depth) {
        while (t->depth > depth)
                safe_close(t->levels[--t->depth].fd);
        t->path[depth > 0 ? t->levels[depth - 1].end : 0] = 0;
}

TreeWriter *tree_writer_free(TreeWriter *t) {
        TreeMetadata *m;

        if (!t)
                return NULL;

        pop_levels(t, 0);
        HASHMAP_FOREACH(m, t->directories)
                free(m);
        hashmap_free(t->directories);
        free(t);
        return NULL;
}

int tree_writer_new(int root_fd, TreeWriter **ret, Error *reterr_error) {
        _cleanup_(tree_writer_freep) TreeWriter *t = calloc(1, sizeof(*t));

        if (t)
                t->directories = hashmap_new();
        if (!t || !t->directories)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        t->root_fd = root_fd;
        *ret = TAKE_PTR(t);
        return 0;
}

static int refuse(Error *reterr_error, const char *name, const char *why) {
        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                         "The archive has an entry \"%.128s\" %s: it is refused", name, why);
}

int tree_normalize(const char *name, char ret[static TREE_PATH_MAX + 1], Error *reterr_error) {
        size_t n = 0, depth = 0;

        for (const char *p = name; *p;) {
                size_t l = strcspn(p, "/");
                const char *c = p;

                p += l + (p[l] == '/');
                if (l == 0 || (l == 1 && c[0] == '.'))
                        continue;
                if (l == 2 && c[0] == '.' && c[1] == '.')
                        return refuse(reterr_error, name, "with \"..\" in its name");
                if (l > TREE_COMPONENT_MAX || n + l + 1 > TREE_PATH_MAX)
                        return refuse(reterr_error, name, "with too long a name");
                if (++depth > TREE_DEPTH_MAX)
                        return refuse(reterr_error, name, "too many directories deep");

                if (n > 0)
                        ret[n++] = '/';
                memcpy(ret + n, c, l);
                n += l;
        }
        ret[n] = 0;
        return 0;
}

static bool is_whiteout(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int tree_writer_clear(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        int r;

        (void) t;
        if (unlinkat(dirfd, name, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return error_set_errno(reterr_error, -errno, "Cannot replace %s in the layer: %m", name);

        r = rm_rf_at(dirfd, name);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot replace the directory %s in the layer: %m",
                                       name);
        return 0;
}

int tree_writer_set_opaque(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;

        (void) t;
        fd = open_beneath_nofollow(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open directory %s in the layer: %m", name);
        if (fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot make directory %s opaque for overlayfs: %m", name);
        return 0;
}

int tree_writer_mkdir(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        struct stat st;
        int r;

        if (mkdirat(dirfd, name, 0755) >= 0)
                return 1;
        if (errno != EEXIST)
                return error_set_errno(reterr_error, -errno, "Cannot create directory %s in the layer: %m",
                                       name);

        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at %s in the layer: %m", name);
        if (S_ISDIR(st.st_mode))
                return 0;

        if (unlinkat(dirfd, name, 0) < 0 || mkdirat(dirfd, name, 0755) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot create directory %s in the layer: %m",
                                       name);
        if (is_whiteout(&st)) {
                r = tree_writer_set_opaque(t, dirfd, name, reterr_error);
                if (r < 0)
                        return r;
        }
        return 1;
}

int tree_writer_whiteout(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        struct stat st;

        /* 0:0 needs no capability since Linux 5.8. */
        if (mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) >= 0)
                return 0;
        if (errno != EEXIST)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot create the whiteout of %s in the layer: %m", name);

        /* It speaks of lower layers only, also where this layer has the name itself (image-spec layer.md,
         * "Whiteouts"). */
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at %s in the layer: %m", name);
        return S_ISDIR(st.st_mode) ? tree_writer_set_opaque(t, dirfd, name, reterr_error) : 0;
}

/* How much of the stack is on the way to the first n bytes of path. */
static size_t common_levels(const TreeWriter *t, const char *path, size_t n) {
        size_t k = 0;

        while (k < t->depth) {
                size_t end = t->levels[k].end;

                if (end > n || (end < n && path[end] != '/') || memcmp(path, t->path, end) != 0)
                        break;
                k++;
        }
        return k;
}

/* Opens component name (of the path up to and with it) below dirfd; makes it if it is missing. 0: it is a
 * symlink, nothing was opened; 1 otherwise. */
static int open_level(TreeWriter *t, int dirfd, const char *name, const char *path, int *ret,
                      Error *reterr_error) {
        int fd, r;

        fd = open_beneath_nofollow(dirfd, name, O_PATH | O_DIRECTORY, 0);
        if (fd >= 0) {
                *ret = fd;
                return 1;
        }
        if (fd == -ELOOP)
                return 0;
        if (fd == -ENOTDIR) {
                struct stat st;

                if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_whiteout(&st))
                        return refuse(reterr_error, path,
                                      "used as a directory although the layer has a file of that name");
        } else if (fd != -ENOENT)
                return error_set_errno(reterr_error, fd, "Cannot open directory %s in the layer: %m", path);

        r = tree_writer_mkdir(t, dirfd, name, reterr_error);
        if (r < 0)
                return r;
        /* What was noted of an earlier directory of that name is not this one's. */
        free(hashmap_remove(t->directories, path));

        fd = open_beneath_nofollow(dirfd, name, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open directory %s in the layer: %m", path);
        *ret = fd;
        return 1;
}

static int top(const TreeWriter *t) {
        return t->depth > 0 ? t->levels[t->depth - 1].fd : t->root_fd;
}

/* Goes one component (l bytes at c) deeper. 0: that is a symlink, whose target is in *target. The limits
 * bind only behind symlinks: paths of entries have been checked. */
static int push_level(TreeWriter *t, const char *c, size_t l, char target[static TREE_PATH_MAX + 1],
                      Error *reterr_error) {
        size_t pos = t->depth > 0 ? t->levels[t->depth - 1].end : 0, begin = pos + (pos > 0);
        int fd = -EBADF, r;

        if (l > TREE_COMPONENT_MAX || begin + l > TREE_PATH_MAX || t->depth >= TREE_DEPTH_MAX)
                return refuse(reterr_error, t->entry, "on a way through symbolic links that is too long");

        if (pos > 0)
                t->path[pos] = '/';
        memcpy(t->path + begin, c, l);
        t->path[begin + l] = 0;
        r = open_level(t, top(t), t->path + begin, t->path, &fd, reterr_error);
        if (r > 0) {
                t->levels[t->depth++] = (Level) { .fd = fd, .end = begin + l };
                return 1;
        }
        if (r == 0) {
                ssize_t k = readlinkat(top(t), t->path + begin, target, TREE_PATH_MAX + 1);

                if (k <= 0 || (size_t) k > TREE_PATH_MAX)
                        r = refuse(reterr_error, t->entry, "behind a symbolic link that leads nowhere");
                else
                        target[k] = 0;
        }
        t->path[pos] = 0;
        return r;
}

/* Puts a symlink's target before what is left of the way: *p to *end. */
static int follow(TreeWriter *t, const char *target, const char **p, const char **end,
                  Error *reterr_error) {
        size_t k = strlen(target), left = (size_t) (*end - *p);

        if (k + 1 + left > TREE_PATH_MAX)
                return refuse(reterr_error, t->entry, "on a way through symbolic links that is too long");
        if (target[0] == '/')
                pop_levels(t, 0);

        memmove(t->way + k + 1, *p, left);
        memcpy(t->way, target, k);
        t->way[k] = '/';
        *p = t->way;
        *end = t->way + k + 1 + left;
        return 0;
}

/* From the directory at the end of the stack along p to end. */
static int walk(TreeWriter *t, const char *p, const char *end, Error *reterr_error) {
        char target[TREE_PATH_MAX + 1];
        unsigned links = 0;

        for (;;) {
                const char *c;
                size_t l;
                int r;

                while (p < end && *p == '/')
                        p++;
                if (p == end)
                        return 0;
                c = p;
                while (p < end && *p != '/')
                        p++;
                l = (size_t) (p - c);

                if (l == 1 && c[0] == '.')
                        continue;
                if (l == 2 && c[0] == '.' && c[1] == '.') {
                        pop_levels(t, t->depth > 0 ? t->depth - 1 : 0);
                        continue;
                }

                r = push_level(t, c, l, target, reterr_error);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (++links > TREE_SYMLINKS_MAX)
                        return refuse(reterr_error, t->entry,
                                      "behind too many symbolic links, or a loop of them");
                r = follow(t, target, &p, &end, reterr_error);
                if (r < 0)
                        return r;
        }
}

int tree_writer_enter(TreeWriter *t, const char *path, int *ret_dirfd, const char **ret_name,
                      Error *reterr_error) {
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t) (slash - path) : 0;
        int r;

        t->entry = path;
        pop_levels(t, common_levels(t, path, n));
        r = walk(t, path + (t->depth > 0 ? t->levels[t->depth - 1].end : 0), path + n, reterr_error);
        if (r < 0)
                return r;

        *ret_dirfd = top(t);
        *ret_name = slash ? slash + 1 : path;
        return 0;
}

int tree_writer_note_directory(TreeWriter *t, const char *name, const TreeMetadata *m, Error *reterr_error) {
        _cleanup_free_ char *joined = NULL;
        TreeMetadata *old, *copy;
        const char *path = name;

        if (t->depth > 0 && !isempty(name)) {
                path = joined = strjoin(t->path, "/", name);
                if (!joined)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }

        old = hashmap_get(t->directories, path);
        if (old) {
                *old = *m;
                return 0;
        }

        copy = malloc(sizeof(*copy));
        if (!copy)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *copy = *m;
        if (hashmap_put(t->directories, path, copy) < 0) {
                free(copy);
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        return 0;
}

static int apply(TreeWriter *t, const char *path, const TreeMetadata *m) {
        const struct timespec times[2] = { m->mtime, m->mtime };
        _cleanup_close_ int fd = -EBADF;

        fd = open_beneath_nofollow(t->root_fd, isempty(path) ? "." : path, O_RDONLY | O_DIRECTORY, 0);
        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                return 0; /* a later entry has replaced it */
        if (fd < 0)
                return fd;

        if ((m->uid != 0 || m->gid != 0 || isempty(path)) && fchown(fd, m->uid, m->gid) < 0)
                return -errno;
        if ((m->mode != 0755 || isempty(path)) && fchmod(fd, m->mode) < 0)
                return -errno;
        return RET_NERRNO(futimens(fd, times));
}

int tree_writer_finish(TreeWriter *t, Error *reterr_error) {
        HashmapIterator i = 0;
        const char *path;
        void *m;

        pop_levels(t, 0);
        while (hashmap_iterate(t->directories, &i, &path, &m)) {
                int r = apply(t, path, m);

                if (r < 0)
                        return error_set_errno(
                                        reterr_error, r,
                                        "Cannot set owner, mode and time of directory /%s in the layer: %m",
                                        path);
        }
        return 0;
}
