/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
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
 * Layers are met, too, that name files in directories which they have no entry for: those are of a lower
 * layer. Overlayfs shows the topmost directory's attributes, and a directory where below is a symlink hides
 * the link. So what is missing on the way is looked up below: there as here a symlink is followed, and a
 * directory's attributes are copied, but not where this layer hides what is below (by a whiteout of it, or
 * an opaque directory above). These may come after the entries that they bear upon: attributes are copied at
 * the end.
 *
 * Mostly the layers below are not there yet, since layers are unpacked side by side. Then such directories
 * are made and noted, and their attributes copied later, by another process (tree_settle()). Only if below
 * there is a symlink instead was it wrong to make one, and the layer is unpacked once more: that is rare.
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

typedef struct Directory {
        bool implied; /* no entry of its own: metadata are those from below */
        TreeMetadata metadata;
} Directory;

struct TreeWriter {
        int root_fd, lower_fd; /* borrowed */
        Level levels[TREE_DEPTH_MAX];
        size_t depth;
        char path[TREE_PATH_MAX + 1]; /* of levels[depth - 1] */
        const char *entry;            /* borrowed during tree_writer_enter(): for messages */
        char way[TREE_PATH_MAX + 1];  /* what is left to be walked once a symlink has been met */
        char target[TREE_PATH_MAX + 1]; /* of the symlink met last */
        Hashmap *directories;         /* real path → Directory, owned */
        size_t implied_size;          /* of their list; directories that are gone again count, too */
};

static void pop_levels(TreeWriter *t, size_t depth) {
        while (t->depth > depth)
                safe_close(t->levels[--t->depth].fd);
        t->path[depth > 0 ? t->levels[depth - 1].end : 0] = 0;
}

TreeWriter *tree_writer_free(TreeWriter *t) {
        Directory *d;

        if (!t)
                return NULL;

        pop_levels(t, 0);
        HASHMAP_FOREACH(d, t->directories)
                free(d);
        hashmap_free(t->directories);
        free(t);
        return NULL;
}

int tree_writer_new(int root_fd, int lower_fd, TreeWriter **ret, Error *reterr_error) {
        _cleanup_(tree_writer_freep) TreeWriter *t = calloc(1, sizeof(*t));

        if (t)
                t->directories = hashmap_new();
        if (!t || !t->directories)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        t->root_fd = root_fd;
        t->lower_fd = lower_fd;
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

static int note_directory(TreeWriter *t, const char *path, const Directory *d, Error *reterr_error) {
        Directory *old, *copy;

        old = hashmap_get(t->directories, path);
        if (old) {
                *old = *d;
                return 0;
        }

        copy = malloc(sizeof(*copy));
        if (!copy)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *copy = *d;
        if (hashmap_put(t->directories, path, copy) < 0) {
                free(copy);
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        return 0;
}

static bool is_missing(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ELOOP;
}

/* Is a directory above path opaque, or gone? Then nothing from below is seen at path. */
static int is_hidden(const TreeWriter *t, const char *path) {
        char p[TREE_PATH_MAX + 1], value;

        (void) strcpy(p, path);
        while (!isempty(p)) {
                char *slash = strrchr(p, '/');
                _cleanup_close_ int fd = -EBADF;
                ssize_t k;

                *(slash ?: p) = 0;
                fd = open_beneath_nofollow(t->root_fd, isempty(p) ? "." : p, O_RDONLY | O_DIRECTORY, 0);
                if (fd < 0)
                        return is_missing(fd) ? 1 : fd;
                k = fgetxattr(fd, OPAQUE_XATTR, &value, 1);
                if (k > 0)
                        return 1;
                if (k < 0 && errno != ENODATA && errno != EOPNOTSUPP)
                        return -errno;
        }
        return 0;
}

typedef enum Below {
        BELOW_NOTHING, /* that would matter */
        BELOW_DIRECTORY,
        BELOW_SYMLINK, /* its target is in t->target */
} Below;

static int read_target(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        ssize_t k = readlinkat(dirfd, name, t->target, sizeof(t->target));

        if (k <= 0 || (size_t) k > TREE_PATH_MAX)
                return refuse(reterr_error, t->entry, "behind a symbolic link that leads nowhere");
        t->target[k] = 0;
        return 0;
}

/* What lower layers have at path, whose last component this layer has nothing of. */
static int look_below(TreeWriter *t, const char *path, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (t->lower_fd == TREE_LOWER_NONE)
                return BELOW_NOTHING;
        r = is_hidden(t, path);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot look at %s in the layer: %m", path);
        if (r > 0)
                return BELOW_NOTHING;
        if (t->lower_fd == TREE_LOWER_UNKNOWN)
                return BELOW_DIRECTORY;

        fd = open_beneath_nofollow(t->lower_fd, path, O_PATH | O_NOFOLLOW, 0);
        if (is_missing(fd))
                return BELOW_NOTHING;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, fd < 0 ? fd : -errno,
                                       "Cannot look at %s in the layers below: %m", path);
        if (S_ISLNK(st.st_mode)) {
                r = read_target(t, fd, "", reterr_error);
                return r < 0 ? r : BELOW_SYMLINK;
        }
        return S_ISDIR(st.st_mode) ? BELOW_DIRECTORY : BELOW_NOTHING;
}

static int lower_needed(const char *path, Error *reterr_error) {
        return error_set(reterr_error, -EAGAIN, "LowerNeeded",
                         "The layer has no entry for the directory \"%.128s\": what it is has to be looked "
                         "up in the layers below",
                         path);
}

static int note_implied(TreeWriter *t, const char *path, Error *reterr_error) {
        if (t->lower_fd == TREE_LOWER_UNKNOWN) {
                t->implied_size += strlen(path) + 1;
                if (t->implied_size > TREE_IMPLIED_MAX)
                        return lower_needed(path, reterr_error);
        }
        return note_directory(t, path, &(Directory) { .implied = true }, reterr_error);
}

/* Opens component name (of the path up to and with it) below dirfd; makes it if it is missing. 0: it is a
 * symlink, whose target is in t->target, and nothing was opened; 1 otherwise. */
static int open_level(TreeWriter *t, int dirfd, const char *name, const char *path, int *ret,
                      Error *reterr_error) {
        int fd, r, below = BELOW_NOTHING;

        fd = open_beneath_nofollow(dirfd, name, O_PATH | O_DIRECTORY, 0);
        if (fd >= 0) {
                *ret = fd;
                return 1;
        }
        if (fd == -ELOOP)
                return read_target(t, dirfd, name, reterr_error);
        if (fd == -ENOENT) {
                below = look_below(t, path, reterr_error);
                if (below < 0 || below == BELOW_SYMLINK)
                        return below < 0 ? below : 0;
        } else if (fd == -ENOTDIR) {
                struct stat st;

                if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_whiteout(&st))
                        return refuse(reterr_error, path,
                                      "used as a directory although the layer has a file of that name");
        } else
                return error_set_errno(reterr_error, fd, "Cannot open directory %s in the layer: %m", path);

        r = tree_writer_mkdir(t, dirfd, name, reterr_error);
        if (r < 0)
                return r;
        /* What was noted of an earlier directory of that name is not this one's. */
        free(hashmap_remove(t->directories, path));
        if (below == BELOW_DIRECTORY) {
                r = note_implied(t, path, reterr_error);
                if (r < 0)
                        return r;
        }

        fd = open_beneath_nofollow(dirfd, name, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open directory %s in the layer: %m", path);
        *ret = fd;
        return 1;
}

static int top(const TreeWriter *t) {
        return t->depth > 0 ? t->levels[t->depth - 1].fd : t->root_fd;
}

/* Goes one component (l bytes at c) deeper. 0: that is a symlink, whose target is in t->target. The limits
 * bind only behind symlinks: paths of entries have been checked. */
static int push_level(TreeWriter *t, const char *c, size_t l, Error *reterr_error) {
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
        t->path[pos] = 0;
        return r;
}

/* Puts the symlink's target before what is left of the way: *p to *end. */
static int follow(TreeWriter *t, const char **p, const char **end, Error *reterr_error) {
        size_t k = strlen(t->target), left = (size_t) (*end - *p);

        if (k + 1 + left > TREE_PATH_MAX)
                return refuse(reterr_error, t->entry, "on a way through symbolic links that is too long");
        if (t->target[0] == '/')
                pop_levels(t, 0);

        memmove(t->way + k + 1, *p, left);
        memcpy(t->way, t->target, k);
        t->way[k] = '/';
        *p = t->way;
        *end = t->way + k + 1 + left;
        return 0;
}

/* From the directory at the end of the stack along p to end. */
static int walk(TreeWriter *t, const char *p, const char *end, Error *reterr_error) {
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

                r = push_level(t, c, l, reterr_error);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (++links > TREE_SYMLINKS_MAX)
                        return refuse(reterr_error, t->entry,
                                      "behind too many symbolic links, or a loop of them");
                r = follow(t, &p, &end, reterr_error);
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

/* Of name in the directory of the last tree_writer_enter(), "" being that of the root. */
static const char *child_path(const TreeWriter *t, const char *name, char **ret_joined,
                              Error *reterr_error) {
        if (t->depth == 0 || isempty(name))
                return name;

        *ret_joined = strjoin(t->path, "/", name);
        if (!*ret_joined)
                (void) error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return *ret_joined;
}

int tree_writer_whiteout(TreeWriter *t, int dirfd, const char *name, Error *reterr_error) {
        _cleanup_free_ char *joined = NULL;
        const Directory *d;
        const char *path;
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
        if (!S_ISDIR(st.st_mode))
                return 0;

        /* It is another directory than the one below then, not that without its files. */
        path = child_path(t, name, &joined, reterr_error);
        if (!path)
                return -ENOMEM;
        d = hashmap_get(t->directories, path);
        if (d && d->implied)
                free(hashmap_remove(t->directories, path));
        return tree_writer_set_opaque(t, dirfd, name, reterr_error);
}

int tree_writer_note_directory(TreeWriter *t, const char *name, const TreeMetadata *m, Error *reterr_error) {
        _cleanup_free_ char *joined = NULL;
        const char *path = child_path(t, name, &joined, reterr_error);

        if (!path)
                return -ENOMEM;
        return note_directory(t, path, &(Directory) { .metadata = *m }, reterr_error);
}

bool tree_xattr_is_wanted(const char *name) {
        return streq(name, "security.capability") ||
               (startswith(name, "user.") && !startswith(name, "user.overlay."));
}

static int copy_xattrs(int from_fd, int to_fd) {
        _cleanup_free_ char *names = malloc(XATTR_LIST_MAX), *value = malloc(XATTR_SIZE_MAX);
        ssize_t n, k;

        if (!names || !value)
                return -ENOMEM;
        n = flistxattr(from_fd, names, XATTR_LIST_MAX);
        if (n < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;

        for (const char *p = names; p < names + n; p += strlen(p) + 1) {
                if (!tree_xattr_is_wanted(p))
                        continue;
                k = fgetxattr(from_fd, p, value, XATTR_SIZE_MAX);
                if (k < 0 || fsetxattr(to_fd, p, value, (size_t) k, 0) < 0)
                        return -errno;
        }
        return 0;
}

/* Takes attributes over from the directory below. 0: there is none to be seen. */
static int inherit(TreeWriter *t, const char *path, int fd, TreeMetadata *ret) {
        _cleanup_close_ int lower_fd = -EBADF;
        struct stat st;
        int r;

        r = is_hidden(t, path);
        if (r != 0)
                return r < 0 ? r : 0;
        lower_fd = open_beneath_nofollow(t->lower_fd, path, O_RDONLY | O_DIRECTORY, 0);
        if (lower_fd < 0)
                return is_missing(lower_fd) ? 0 : lower_fd;
        if (fstat(lower_fd, &st) < 0)
                return -errno;
        r = copy_xattrs(lower_fd, fd);
        if (r < 0)
                return r;

        *ret = (TreeMetadata) {
                .mode = st.st_mode & 07777,
                .uid = st.st_uid,
                .gid = st.st_gid,
                .mtime = st.st_mtim,
        };
        return 1;
}

static int apply(TreeWriter *t, const char *path, const Directory *d) {
        TreeMetadata inherited;
        const TreeMetadata *m = d->implied ? &inherited : &d->metadata;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_beneath_nofollow(t->root_fd, isempty(path) ? "." : path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return is_missing(fd) ? 0 : fd; /* a later entry has replaced it */
        if (d->implied) {
                r = inherit(t, path, fd, &inherited);
                if (r <= 0)
                        return r;
        }

        const struct timespec times[2] = { m->mtime, m->mtime };
        if ((m->uid != 0 || m->gid != 0 || isempty(path)) && fchown(fd, m->uid, m->gid) < 0)
                return -errno;
        if ((m->mode != 0755 || isempty(path)) && fchmod(fd, m->mode) < 0)
                return -errno;
        return RET_NERRNO(futimens(fd, times));
}

int tree_writer_finish(TreeWriter *t, Error *reterr_error) {
        HashmapIterator i = 0;
        const char *path;
        void *d;

        pop_levels(t, 0);
        while (hashmap_iterate(t->directories, &i, &path, &d)) {
                bool later = ((Directory *) d)->implied && t->lower_fd == TREE_LOWER_UNKNOWN;
                int r = later ? 0 : apply(t, path, d);

                if (r < 0)
                        return error_set_errno(
                                        reterr_error, r,
                                        "Cannot set owner, mode and time of directory /%s in the layer: %m",
                                        path);
        }
        return 0;
}

int tree_writer_implied(const TreeWriter *t, char **ret, size_t *ret_size, Error *reterr_error) {
        _cleanup_free_ char *list = NULL;
        HashmapIterator i = 0;
        const char *path;
        size_t n = 0;
        void *d;

        if (t->implied_size > 0) {
                list = malloc(t->implied_size);
                if (!list)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        while (list && hashmap_iterate(t->directories, &i, &path, &d))
                if (((Directory *) d)->implied) {
                        size_t l = strlen(path) + 1;

                        memcpy(list + n, path, l);
                        n += l;
                }

        *ret = n > 0 ? TAKE_PTR(list) : NULL;
        *ret_size = n;
        return 0;
}

static int settle_one(TreeWriter *t, const char *path, Error *reterr_error) {
        char normalized[TREE_PATH_MAX + 1];
        int r;

        r = tree_normalize(path, normalized, reterr_error);
        if (r < 0)
                return r;
        if (isempty(path) || !streq(path, normalized))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "\"%.128s\" is no path of a directory", path);

        t->entry = path;
        r = look_below(t, path, reterr_error);
        if (r == BELOW_SYMLINK)
                return lower_needed(path, reterr_error);
        if (r == BELOW_DIRECTORY)
                return note_implied(t, path, reterr_error);
        return r;
}

int tree_settle(int root_fd, int lower_fd, const char *list, size_t size, Error *reterr_error) {
        _cleanup_(tree_writer_freep) TreeWriter *t = NULL;
        int r;

        if (size > TREE_IMPLIED_MAX || (size > 0 && list[size - 1] != 0))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "The list of directories is too long, or cut off");
        r = tree_writer_new(root_fd, lower_fd, &t, reterr_error);
        if (r < 0)
                return r;

        for (const char *p = list; p < list + size; p += strlen(p) + 1) {
                r = settle_one(t, p, reterr_error);
                if (r < 0)
                        return r;
        }
        return tree_writer_finish(t, reterr_error);
}
