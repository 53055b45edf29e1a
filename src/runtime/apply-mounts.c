/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/apply-private.h"
#include "runtime/copy-up.h"
#include "runtime/mounts.h"
#include "runtime/plan-prepare.h"

static size_t operation_number(const Apply *a, const Operation *o) {
        return (size_t) (o - a->plan->operations);
}

/* Takes fd over, also on failure. */
static int keep_mount(Apply *a, const Operation *o, int fd) {
        if (fd < 0)
                return fd;
        if (!a->mount_fds) {
                a->mount_fds = malloc(a->plan->n_operations * sizeof(int));
                if (!a->mount_fds) {
                        safe_close(fd);
                        return -ENOMEM;
                }
                for (size_t i = 0; i < a->plan->n_operations; i++)
                        a->mount_fds[i] = -EBADF;
        }
        a->mount_fds[operation_number(a, o)] = fd;
        return 0;
}

/* ---- targets ---- */

static int refuse_kernel_filesystem(int fd, const Operation *o, Error *reterr_error) {
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return apply_cannot(o, -errno, "look at", reterr_error);
        if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == DEVPTS_SUPER_MAGIC)
                return error_set(
                                reterr_error, -EPERM, "InvalidArgument",
                                "Nothing is mounted on \"%s\" with dest-nofollow: it belongs to the kernel.",
                                o->target);
        return 0;
}

/* file: what is to be made if there is nothing. */
static int open_target(Apply *a, const Operation *o, bool file, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (o->target_nofollow)
                fd = mount_target_open_last(a->root_fd, o->target);
        else if (o->no_symlinks)
                fd = mount_target_open_nofollow(a->root_fd, o->target);
        else
                fd = mount_target_open(a->root_fd, o->target, file);
        if (fd == -ELOOP && o->no_symlinks)
                return error_set(reterr_error, fd, "InvalidArgument",
                                 "The image has a symbolic link in \"%s\": %s is not mounted there.",
                                 o->target, o->fstype);
        if (fd < 0)
                return apply_cannot(o, fd, "make the mount point", reterr_error);
        if (o->target_nofollow) {
                r = refuse_kernel_filesystem(fd, o, reterr_error);
                if (r < 0)
                        return r;
        }
        return TAKE_FD(fd);
}

/* ---- file systems ---- */

/* Some file systems are of a namespace, and are mounted by who may do everything there. */
static int cannot_mount(const Operation *o, int r, Error *reterr_error) {
        static const struct {
                const char *fstype;
                const char *namespace;
        } namespaces[] = {
                { "proc", "pid" }, { "mqueue", "ipc" }, { "sysfs", "network" }, { "cgroup2", "cgroup" }
        };

        for (size_t i = 0; r == -EPERM && i < ELEMENTSOF(namespaces); i++)
                if (streq(o->fstype, namespaces[i].fstype))
                        return error_set_errno(
                                        reterr_error, r,
                                        "Cannot mount %s on \"%s\": %m. In a user namespace it takes a %s "
                                        "namespace of the container's own, and nothing hidden on the "
                                        "host's %s.",
                                        o->fstype, o->target, namespaces[i].namespace, o->fstype);
        return error_set_errno(reterr_error, r, "Cannot mount %s on \"%s\": %m", o->fstype, o->target);
}

/* What the kernel does not let this process mount is taken from the host: the whole of /sys where there is a
 * user namespace, but not a network namespace. */
static int bind_instead(const Operation *o, int target, Error *reterr_error) {
        _cleanup_close_ int tree = mount_clone(AT_FDCWD, o->fallback, true);
        int r = tree;

        if (r >= 0)
                r = mount_set_attributes(tree, true, o->attr_set & ~(uint64_t) MOUNT_ATTR__ATIME, 0,
                                         MS_PRIVATE);
        if (r >= 0)
                r = mount_attach(tree, target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot mount \"%s\" on \"%s\": %m", o->fallback,
                                       o->target);
        return 0;
}

/* The root of what has just been mounted on target. */
static int reopen_target(Apply *a, const Operation *o, Error *reterr_error) {
        int fd = o->target_nofollow ? mount_target_open_last(a->root_fd, o->target)
                                    : open_in_root(a->root_fd, o->target, O_PATH, 0);

        return fd < 0 ? apply_cannot(o, fd, "open", reterr_error) : fd;
}

/* File systems that take no label as an option may take one as an attribute, or not. */
static void set_label(const Apply *a, const Operation *o, int mount_fd) {
        _cleanup_close_ int fd = -EBADF;

        if (!o->label_xattr || !a->plan->use_label)
                return;
        fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                (void) fsetxattr(fd, "security.selinux", a->plan->mount_label, strlen(a->plan->mount_label),
                                 0);
}

static int finish_mount(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (o->propagation == 0 && !(o->label_xattr && a->plan->use_label))
                return 0;
        fd = reopen_target(a, o, reterr_error);
        if (fd < 0)
                return fd;
        r = mount_set_attributes(fd, false, 0, 0, o->propagation);
        if (r < 0)
                return apply_cannot(o, r, "set the propagation of", reterr_error);
        set_label(a, o, fd);
        return 0;
}

static bool gives_owner(const char *data) {
        return strstr(strempty(data), "uid=") || strstr(strempty(data), "gid=");
}

static int fill_mount(const Operation *o, int target, int fd, Error *reterr_error) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        int r;

        /* target is below the mount, and leads to what is there without it. */
        from = RET_NERRNO(openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (from < 0)
                return apply_cannot(o, from, "read", reterr_error);
        to = RET_NERRNO(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (to < 0)
                return apply_cannot(o, to, "write to", reterr_error);
        r = copy_up(from, to, o->inherit_mode && !gives_owner(o->data));
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot copy \"%s\" into the tmpfs that is mounted on it: %m",
                                       o->target);
        return 0;
}

static int apply_detached(Apply *a, const Operation *o, int target, const char *data, Error *reterr_error) {
        _cleanup_close_ int new_fd = -EBADF;
        int fd = o->fd, r;

        if (fd < 0) {
                new_fd = mount_new(o->fstype, o->source, data, o->flags,
                                   o->detached ? o->attr_set & ~(uint64_t) MOUNT_ATTR_RDONLY : o->attr_set);
                if (new_fd < 0)
                        return cannot_mount(o, new_fd, reterr_error);
                fd = new_fd;
        }
        r = mount_attach(fd, target);
        if (r < 0)
                return cannot_mount(o, r, reterr_error);
        if (o->copy_up) {
                r = fill_mount(o, target, fd, reterr_error);
                if (r < 0)
                        return r;
        }
        r = mount_set_attributes(fd, false, 0, 0, o->propagation);
        if (r < 0)
                return apply_cannot(o, r, "set the propagation of", reterr_error);
        set_label(a, o, fd);
        r = o->detached && o->flags & MS_RDONLY ? keep_mount(a, o, fd_dup(fd)) : 0;
        return r < 0 ? apply_cannot(o, r, "keep", reterr_error) : 0;
}

/* Where a tmpfs goes that is to be like the directory below it. One that is made only for this becomes what a
 * tmpfs is by itself, a place where all may write, and is one still when the container is started again. */
static int open_tmpfs_target(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int target = -EBADF, fd = -EBADF;

        target = open_in_root(a->root_fd, o->target, O_PATH, 0);
        if (target >= 0)
                return TAKE_FD(target);
        target = open_target(a, o, false, reterr_error);
        if (target < 0)
                return target;
        fd = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 01777) < 0)
                return apply_cannot(o, -errno, "set the mode of", reterr_error);
        return TAKE_FD(target);
}

int apply_mount(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int target = -EBADF;
        _cleanup_free_ char *data = NULL;
        char path[PROC_FD_PATH_MAX];
        struct stat st;
        int r;

        target = o->inherit_mode && !o->target_nofollow ? open_tmpfs_target(a, o, reterr_error)
                                                        : open_target(a, o, false, reterr_error);
        if (target < 0)
                return target;
        if (o->inherit_mode && fstat(target, &st) < 0)
                return apply_cannot(o, -errno, "look at", reterr_error);
        r = operation_data(a->plan, o, &st, &data);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory.");

        if (o->detached || o->fd >= 0)
                return apply_detached(a, o, target, data, reterr_error);
        r = RET_NERRNO(mount(o->source, proc_fd_path(path, target), o->fstype, o->flags, data));
        if (r == -EPERM && o->fallback)
                return bind_instead(o, target, reterr_error);
        /* mount(2) does not put a file system on itself, and there are some of which there is only one. */
        if (r == -EBUSY)
                return apply_detached(a, o, target, data, reterr_error);
        if (r < 0)
                return cannot_mount(o, r, reterr_error);
        return finish_mount(a, o, reterr_error);
}

int apply_late_readonly(Apply *a, const Operation *o, Error *reterr_error) {
        int r = mount_set_attributes(a->mount_fds[o->subject], false, MOUNT_ATTR_RDONLY, 0, 0);

        return r < 0 ? apply_cannot(o, r, "make read-only", reterr_error) : 0;
}

/* ---- bind mounts ---- */

/* This process's own view comes first: in a user namespace it keeps the attributes that the host has given a
 * mount locked. Only what cannot be had that way is the parent's. Where the parent has no more privileges, a
 * mount that is "rw" by everybody's default stays as the host has it. */
static int open_source(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        int fd;

        if (o->prepare == OPERATION_SOURCE_NEEDED ||
            (o->fd >= 0 && o->prepare == OPERATION_SOURCE_PREFERRED))
                return o->fd < 0 ? apply_cannot(o, o->fd, "find the source of", reterr_error)
                                 : fd_dup(o->fd);
        fd = operation_open_tree(a->plan, o, OPEN_TREE_INSIDE, &e);
        if (fd >= 0)
                return fd;
        if (o->fd >= 0)
                return fd_dup(o->fd);
        if (fd == -EPERM && !a->plan->contained && (o->attr_clear != 0 || o->attr_clear_all != 0)) {
                error_done(&e);
                fd = operation_open_tree(a->plan, o, OPEN_TREE_LOCKED, &e);
                if (fd >= 0)
                        return fd;
        }
        return error_move(reterr_error, &e);
}

int apply_open_trees(Apply *a, Error *reterr_error) {
        for (size_t i = 0; i < a->plan->n_operations; i++) {
                const Operation *o = &a->plan->operations[i];
                int fd;

                if (o->type != OPERATION_BIND || !o->recursive)
                        continue;
                fd = open_source(a, o, reterr_error);
                if (fd < 0)
                        return fd;
                if (keep_mount(a, o, fd) < 0)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        }
        return 0;
}

int apply_bind(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int tree = -EBADF, target = -EBADF;
        struct stat st, target_st;
        int r;

        tree = a->mount_fds ? TAKE_FD(a->mount_fds[operation_number(a, o)]) : -EBADF;
        if (tree < 0)
                tree = open_source(a, o, reterr_error);
        if (tree < 0)
                return tree;
        if (fstat(tree, &st) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at \"%s\": %m", o->source);

        target = open_target(a, o, !S_ISDIR(st.st_mode), reterr_error);
        if (target < 0)
                return target;
        if (fstat(target, &target_st) < 0)
                return apply_cannot(o, -errno, "look at", reterr_error);
        if (S_ISDIR(st.st_mode) != S_ISDIR(target_st.st_mode))
                return error_set(reterr_error, -ENOTDIR, "InvalidArgument",
                                 "Cannot mount \"%s\" on \"%s\": one is a directory, the other is not.",
                                 o->source, o->target);

        r = mount_attach(tree, target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot mount \"%s\" on \"%s\": %m", o->source,
                                       o->target);

        /* What has been mounted on the root is the root. */
        if (streq(o->target, "/")) {
                safe_close(a->root_fd);
                a->root_fd = TAKE_FD(tree);
        }
        return 0;
}

/* ---- the others ---- */

int apply_copy_symlink(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_free_ char *there = NULL;
        const char *name;
        int parent;
        ssize_t n;

        if (!o->data)
                return apply_bind(a, o, reterr_error);

        parent = apply_open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;
        if (symlinkat(o->data, parent, name) >= 0)
                return 0;
        if (errno != EEXIST)
                return apply_cannot(o, -errno, "make the link", reterr_error);

        there = malloc(strlen(o->data) + 1);
        if (!there)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        n = readlinkat(parent, name, there, strlen(o->data) + 1);
        if (n < 0 || (size_t) n != strlen(o->data) || memcmp(there, o->data, (size_t) n) != 0)
                return error_set(reterr_error, -EEXIST, "AlreadyExists",
                                 "\"%s\" is there already, and is not the link to \"%s\" that \"%s\" is.",
                                 o->target, o->data, o->source);
        return 0;
}

int apply_remount(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = reopen_target(a, o, reterr_error);
        char path[PROC_FD_PATH_MAX];
        int r = 0;

        if (fd < 0)
                return fd;
        if (!o->bind)
                r = RET_NERRNO(mount(o->source ?: "none", proc_fd_path(path, fd), NULL,
                                     MS_REMOUNT | o->flags, o->data));
        if (r >= 0 && o->bind)
                r = mount_set_attributes(fd, true, o->attr_set_all, o->attr_clear_all, 0);
        if (r >= 0 && o->bind)
                r = mount_set_attributes(fd, false, o->attr_set, o->attr_clear, 0);
        if (r >= 0)
                r = mount_set_attributes(fd, o->propagation_all, 0, 0, o->propagation);
        if (r == -EINVAL)
                return error_set(
                                reterr_error, r, "InvalidArgument",
                                "Cannot remount \"%s\": nothing is mounted there, or not with such options.",
                                o->target);
        return r < 0 ? apply_cannot(o, r, "remount", reterr_error) : 0;
}
