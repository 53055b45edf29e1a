/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "runtime/apply-private.h"
#include "runtime/mounts.h"

void apply_close_parent(Apply *a) {
        a->parent_fd = safe_close(a->parent_fd);
        free(a->parent);
        a->parent = NULL;
}

int apply_open_parent(Apply *a, const Operation *o, const char **ret_name, Error *reterr_error) {
        const char *slash = strrchr(o->target, '/');
        _cleanup_free_ char *parent = NULL;

        assert(slash);
        if (!filename_is_valid(slash + 1))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" does not end in a file name.", o->target);
        parent = strndup(o->target, (size_t) (slash - o->target) + 1);
        if (!parent)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        if (!streq_ptr(parent, a->parent)) {
                apply_close_parent(a);
                a->parent_fd = o->no_symlinks ? mount_target_open_nofollow(a->root_fd, parent)
                                              : mount_target_open(a->root_fd, parent, false);
                if (a->parent_fd == -ELOOP && o->no_symlinks)
                        return error_set(reterr_error, a->parent_fd, "InvalidArgument",
                                         "The image has a symbolic link at \"%s\": nothing is made there. "
                                         "Mount a tmpfs on /dev.",
                                         parent);
                if (a->parent_fd < 0)
                        return apply_cannot(o, a->parent_fd, "make the directory for", reterr_error);
                /* One that was reached by symlinks will not do for what may have none. */
                a->parent = o->no_symlinks ? TAKE_PTR(parent) : NULL;
        }
        *ret_name = slash + 1;
        return a->parent_fd;
}

static bool is_node(const struct stat *st, const Operation *o) {
        return (st->st_mode & S_IFMT) == (o->mode & S_IFMT) &&
               ((o->mode & S_IFMT) == S_IFIFO || st->st_rdev == makedev(o->major, o->minor));
}

/* ---- bound nodes ---- */

static int open_prepared(Apply *a, const Operation *o) {
        char name[32];

        if (!a->devices_on) {
                /* A copy can be made of a mount that is mounted somewhere. */
                int r = mount_attach(a->plan->devices_fd, a->root_fd);

                if (r < 0)
                        return r;
                a->devices_on = true;
        }
        (void) snprintf(name, sizeof(name), "%zu", (size_t) (o - a->plan->operations));
        return mount_clone(a->plan->devices_fd, name, false);
}

int apply_devices_finish(Apply *a, Error *reterr_error) {
        char path[PROC_FD_PATH_MAX];

        if (!a->devices_on)
                return 0;
        if (umount2(proc_fd_path(path, a->plan->devices_fd), MNT_DETACH) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot unmount the devices: %m");
        a->devices_on = false;
        return 0;
}

/* The host's node of that name, if it is that device. */
static int open_host_node(const Operation *o, Error *reterr_error) {
        _cleanup_close_ int tree = mount_clone(AT_FDCWD, o->target, false);
        struct stat st;

        if (tree < 0 || fstat(tree, &st) < 0 || !is_node(&st, o))
                return error_set(
                                reterr_error, -EPERM, "NotSupported",
                                "The device \"%s\" (%u:%u) cannot be made in a user namespace, and the host "
                                "does not have it under that name.",
                                o->target, o->major, o->minor);
        return TAKE_FD(tree);
}

/* Something to mount on that is neither a symlink nor a directory. */
static int open_node_target(int parent, const char *name, const Operation *o, struct stat *ret_st,
                            Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;

        fd = RET_NERRNO(openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (fd == -ENOENT)
                fd = RET_NERRNO(openat(parent, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                       0600));
        if (fd < 0)
                return apply_cannot(o, fd, "make the mount point", reterr_error);
        if (fstat(fd, ret_st) < 0)
                return apply_cannot(o, -errno, "look at", reterr_error);
        if (S_ISLNK(ret_st->st_mode) || S_ISDIR(ret_st->st_mode))
                return error_set(reterr_error, -EEXIST, "InvalidArgument",
                                 "The image has a %s at \"%s\", where a device is to be.",
                                 S_ISDIR(ret_st->st_mode) ? "directory" : "symbolic link", o->target);
        return TAKE_FD(fd);
}

static int bind_device(Apply *a, const Operation *o, int parent, const char *name, Error *reterr_error) {
        _cleanup_close_ int tree = -EBADF, target = -EBADF;
        struct stat st;
        int r;

        target = open_node_target(parent, name, o, &st, reterr_error);
        if (target < 0)
                return target;
        if (o->optional && is_node(&st, o))
                return 0;

        tree = o->prepared ? open_prepared(a, o) : -EBADF;
        if (tree < 0)
                tree = open_host_node(o, reterr_error);
        if (tree < 0)
                return tree;
        r = mount_set_attributes(tree, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, MS_PRIVATE);
        if (r >= 0)
                r = mount_attach(tree, target);
        return r < 0 ? apply_cannot(o, r, "mount the device", reterr_error) : 0;
}

/* ---- made nodes ---- */

static bool is_same_node(int parent, const char *name, const Operation *o) {
        struct stat st;

        return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && is_node(&st, o);
}

int apply_device(Apply *a, const Operation *o, Error *reterr_error) {
        const char *name;
        int parent;

        parent = apply_open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;
        if (o->bind)
                return bind_device(a, o, parent, name, reterr_error);

        if (mknodat(parent, name, o->mode, makedev(o->major, o->minor)) < 0) {
                if (errno == EEXIST && (o->optional || is_same_node(parent, name, o)))
                        return 0;
                /* This process is in a user namespace already. */
                if (errno == EPERM && !a->plan->contained)
                        return bind_device(a, o, parent, name, reterr_error);
                return apply_cannot(o, -errno, "make the device", reterr_error);
        }
        if ((o->uid != 0 || o->gid != 0) && fchownat(parent, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return apply_cannot(o, -errno, "set the owner of", reterr_error);
        return 0;
}

/* ---- links and files ---- */

/* Whether what is at name does as well: the same link, or (of /dev/ptmx) the device. */
static bool link_is_there(int parent, const char *name, const Operation *o) {
        struct stat st;
        char text[64];
        ssize_t n;

        n = readlinkat(parent, name, text, sizeof(text));
        if (n >= 0)
                return (size_t) n == strlen(o->source) && memcmp(text, o->source, (size_t) n) == 0;
        return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISCHR(st.st_mode) &&
               st.st_rdev == makedev(5, 2);
}

int apply_symlink(Apply *a, const Operation *o, Error *reterr_error) {
        const char *name;
        int parent;

        parent = apply_open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;
        if (symlinkat(o->source, parent, name) >= 0)
                return 0;
        if (errno != EEXIST)
                return apply_cannot(o, -errno, "make the link", reterr_error);
        if (!o->replace || link_is_there(parent, name, o))
                return 0;
        if (unlinkat(parent, name, 0) < 0 || symlinkat(o->source, parent, name) < 0)
                return apply_cannot(o, -errno, "make the link", reterr_error);
        return 0;
}

int apply_file(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        const char *name;
        int parent;

        parent = apply_open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;
        fd = openat(parent, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, o->mode);
        if (fd < 0 && errno != EEXIST)
                return apply_cannot(o, -errno, "make the file", reterr_error);
        return 0;
}
