/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/apply.h"
#include "runtime/mounts.h"

typedef struct Apply {
        int root_fd;
        int empty_fd; /* the empty file system over masked directories; made when the first is met */
        int null_fd;  /* the container's own /dev/null, likewise over masked files */
} Apply;

static void apply_done(Apply *a) {
        safe_close(a->root_fd);
        safe_close(a->empty_fd);
        safe_close(a->null_fd);
}

static int cannot(const Operation *o, int r, const char *what, Error *reterr_error) {
        return error_set_errno(reterr_error, r, "Cannot %s \"%s\": %m", what, o->target);
}

/* ---- the root ---- */

static int mount_rootfs(const Operation *o) {
        const char *source = o->type == OPERATION_ROOT_OVERLAY ? "overlay" : o->source;
        unsigned long flags = o->type == OPERATION_ROOT_OVERLAY ? 0 : MS_BIND;

        return RET_NERRNO(mount(source, RUNTIME_ROOTFS, o->type == OPERATION_ROOT_OVERLAY ? "overlay" : NULL,
                                flags, o->data));
}

static int open_root(Apply *a, const char *path, Error *reterr_error) {
        a->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (a->root_fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the root \"%s\": %m", path);
        return 0;
}

/* The names of layers are relative, which keeps the options of many layers below the kernel's one page. */
static int apply_root_managed(Apply *a, const Operation *o, Error *reterr_error) {
        const char *dir = o->type == OPERATION_ROOT_OVERLAY ? o->source : o->base;
        int r;

        if (chdir(dir) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot change to the directory of snapshots \"%s\": %m", dir);

        r = mount_rootfs(o);
        if (r == -ENOENT && access(RUNTIME_ROOTFS, F_OK) < 0) {
                /* Usually moored has made it. */
                if ((mkdir(MOORED_RUNTIME_DIR, 0755) < 0 && errno != EEXIST) ||
                    (mkdir(RUNTIME_ROOTFS, 0700) < 0 && errno != EEXIST))
                        return error_set_errno(reterr_error, -errno, "Cannot make \"%s\": %m",
                                               RUNTIME_ROOTFS);
                r = mount_rootfs(o);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot mount the container's root below \"%s\" (%s): %m", dir,
                                       o->data ?: o->source);
        return open_root(a, RUNTIME_ROOTFS, reterr_error);
}

static int apply_root_bind(Apply *a, const Operation *o, Error *reterr_error) {
        if (o->base)
                return apply_root_managed(a, o, reterr_error);

        /* pivot_root(2) wants a mount. */
        if (mount(o->source, o->source, NULL, MS_BIND | MS_REC, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot mount the root \"%s\": %m", o->source);
        return open_root(a, o->source, reterr_error);
}

/* ---- mounts ---- */

static int apply_mount(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int target = -EBADF;
        char path[PROC_FD_PATH_MAX];
        int r;

        target = o->no_symlinks ? mount_target_open_nofollow(a->root_fd, o->target)
                                : mount_target_open(a->root_fd, o->target, false);
        if (target == -ELOOP && o->no_symlinks)
                return error_set(reterr_error, -ELOOP, "InvalidArgument",
                                 "The image has a symbolic link in \"%s\": %s is not mounted there.",
                                 o->target, o->fstype);
        if (target < 0)
                return cannot(o, target, "make the mount point", reterr_error);

        if (mount(o->source, proc_fd_path(path, target), o->fstype, o->flags, o->data) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot mount %s on \"%s\": %m", o->fstype,
                                       o->target);

        if (o->propagation != 0) {
                safe_close(target);
                target = open_in_root(a->root_fd, o->target, O_PATH, 0);
                r = target < 0 ? target
                               : mount_set_attributes(target, o->propagation_all, 0, 0, o->propagation);
                if (r < 0)
                        return cannot(o, r, "set the propagation of", reterr_error);
        }
        return 0;
}

static int apply_bind(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int tree = -EBADF, target = -EBADF;
        struct stat st, target_st;
        int r;

        tree = mount_clone(AT_FDCWD, o->source, o->recursive);
        if (tree == -ENOENT || tree == -ENOTDIR)
                return error_set(
                                reterr_error, tree, "NoSuchSource",
                                "The source \"%s\" of the bind mount on \"%s\" does not exist: "
                                "create it first.",
                                o->source, o->target);
        if (tree < 0)
                return error_set_errno(reterr_error, tree,
                                       "Cannot use \"%s\" as the source of a bind mount: %m", o->source);
        if (fstat(tree, &st) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at \"%s\": %m", o->source);

        target = mount_target_open(a->root_fd, o->target, !S_ISDIR(st.st_mode));
        if (target < 0 || fstat(target, &target_st) < 0)
                return cannot(o, target < 0 ? target : -errno, "make the mount point", reterr_error);
        if (S_ISDIR(st.st_mode) != S_ISDIR(target_st.st_mode))
                return error_set(reterr_error, -ENOTDIR, "InvalidArgument",
                                 "Cannot mount \"%s\" on \"%s\": one is a directory, the other is not.",
                                 o->source, o->target);

        r = mount_set_attributes(tree, true, o->attr_set_all, o->attr_clear_all,
                                 o->propagation_all ? o->propagation : 0);
        if (r >= 0)
                r = mount_set_attributes(tree, false, o->attr_set, o->attr_clear,
                                         o->propagation_all ? 0 : o->propagation);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot set the options of the mount of \"%s\" on \"%s\": %m",
                                       o->source, o->target);

        r = mount_attach(tree, target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot mount \"%s\" on \"%s\": %m", o->source,
                                       o->target);
        return 0;
}

/* ---- things in the root ---- */

/* The directory that target is in, and target's last component in *ret_name (a pointer into it). */
static int open_parent(Apply *a, const Operation *o, const char **ret_name, Error *reterr_error) {
        const char *slash = strrchr(o->target, '/');
        _cleanup_free_ char *parent = NULL;
        int fd;

        assert(slash);
        if (!filename_is_valid(slash + 1))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" does not end in a file name.", o->target);
        parent = strndup(o->target, (size_t) (slash - o->target) + 1);
        if (!parent)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        fd = mount_target_open(a->root_fd, parent, false);
        if (fd < 0)
                return cannot(o, fd, "make the directory for", reterr_error);
        *ret_name = slash + 1;
        return fd;
}

static bool is_same_node(int parent, const char *name, const Operation *o) {
        struct stat st;

        return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
               (st.st_mode & S_IFMT) == (o->mode & S_IFMT) &&
               ((o->mode & S_IFMT) == S_IFIFO || st.st_rdev == makedev(o->major, o->minor));
}

static int apply_device(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int parent = -EBADF;
        const char *name;

        parent = open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;

        if (mknodat(parent, name, o->mode, makedev(o->major, o->minor)) < 0) {
                if (errno == EEXIST && (o->optional || is_same_node(parent, name, o)))
                        return 0;
                return cannot(o, -errno, "make the device", reterr_error);
        }
        if ((o->uid != 0 || o->gid != 0) && fchownat(parent, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return cannot(o, -errno, "set the owner of", reterr_error);
        return 0;
}

static int apply_symlink(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int parent = -EBADF;
        const char *name;

        parent = open_parent(a, o, &name, reterr_error);
        if (parent < 0)
                return parent;
        if (symlinkat(o->source, parent, name) < 0 && errno != EEXIST)
                return cannot(o, -errno, "make the link", reterr_error);
        return 0;
}

static int apply_directory(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = mount_target_open(a->root_fd, o->target, false);
        struct stat st;

        if (fd >= 0 && fstat(fd, &st) >= 0 && !S_ISDIR(st.st_mode)) {
                safe_close(fd);
                fd = -ENOTDIR;
        }
        if (fd < 0)
                return error_set(reterr_error, fd, "InvalidArgument",
                                 "Cannot use \"%s\" as the working directory: %m", o->target);
        return 0;
}

/* By the host's /proc/sys: what is below follows the namespaces of the process that writes. */
static int apply_sysctl(const Operation *o, Error *reterr_error) {
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;
        int r;

        dir = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = dir < 0 ? -errno : open_beneath_nofollow(dir, o->target, O_WRONLY, 0);
        r = fd < 0 ? fd : write_full(fd, o->source, strlen(o->source));
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set the sysctl \"%s\" to \"%s\": %m",
                                       o->target, o->source);
        return 0;
}

/* ---- taking access away ---- */

/* 0 if there is nothing at target, then neither is there anything to protect. */
static int open_existing(Apply *a, const Operation *o, int *ret, Error *reterr_error) {
        int fd = open_in_root(a->root_fd, o->target, O_PATH, 0);

        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0)
                return cannot(o, fd, "open", reterr_error);
        *ret = fd;
        return 1;
}

static int apply_readonly(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF, tree = -EBADF;
        int r;

        r = open_existing(a, o, &fd, reterr_error);
        if (r <= 0)
                return r;

        tree = mount_clone(fd, "", true);
        r = tree < 0 ? tree : mount_set_attributes(tree, true, MOUNT_ATTR_RDONLY, 0, 0);
        if (r >= 0)
                r = mount_attach(tree, fd);
        if (r < 0)
                return cannot(o, r, "make read-only", reterr_error);
        return 0;
}

/* A mount that hides a directory or a file. The first empty file system that is attached serves for the
 * others as well: a mount costs far less than a file system. */
static int open_cover(Apply *a, bool directory) {
        int fd;

        if (directory) {
                if (a->empty_fd >= 0)
                        return mount_clone(a->empty_fd, "", false);
                fd = mount_new_empty();
                if (fd >= 0) {
                        a->empty_fd = fd_dup(fd);
                        if (a->empty_fd < 0) {
                                safe_close(fd);
                                return a->empty_fd;
                        }
                }
                return fd;
        }

        if (a->null_fd < 0) {
                struct stat st;

                a->null_fd = open_in_root(a->root_fd, "/dev/null", O_PATH, 0);
                if (a->null_fd >= 0 &&
                    (fstat(a->null_fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)))
                        a->null_fd = safe_close(a->null_fd);
                if (a->null_fd < 0)
                        a->null_fd = RET_NERRNO(open("/dev/null", O_PATH | O_CLOEXEC));
                if (a->null_fd < 0)
                        return a->null_fd;
        }
        return mount_clone(a->null_fd, "", false);
}

static int apply_mask(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF, cover = -EBADF;
        struct stat st;
        int r;

        r = open_existing(a, o, &fd, reterr_error);
        if (r <= 0)
                return r;
        if (fstat(fd, &st) < 0)
                return cannot(o, -errno, "look at", reterr_error);

        cover = open_cover(a, S_ISDIR(st.st_mode));
        r = cover < 0 ? cover : mount_attach(cover, fd);
        if (r < 0)
                return cannot(o, r, "mask", reterr_error);
        return 0;
}

static int apply_operation(Apply *a, const Operation *o, Error *reterr_error) {
        int r;

        switch (o->type) {
        case OPERATION_ROOT_OVERLAY:
                return apply_root_managed(a, o, reterr_error);
        case OPERATION_ROOT_BIND:
                return apply_root_bind(a, o, reterr_error);
        case OPERATION_MOUNT:
                return apply_mount(a, o, reterr_error);
        case OPERATION_BIND:
                return apply_bind(a, o, reterr_error);
        case OPERATION_DEVICE:
                return apply_device(a, o, reterr_error);
        case OPERATION_SYMLINK:
                return apply_symlink(a, o, reterr_error);
        case OPERATION_SYSCTL:
                return apply_sysctl(o, reterr_error);
        case OPERATION_DIRECTORY:
                return apply_directory(a, o, reterr_error);
        case OPERATION_READONLY:
                return apply_readonly(a, o, reterr_error);
        case OPERATION_MASK:
                return apply_mask(a, o, reterr_error);
        case OPERATION_ROOT_READONLY:
                r = mount_set_attributes(a->root_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot make the root read-only: %m");
                return 0;
        default:
                assert(false);
                return -EINVAL;
        }
}

int plan_apply(const Plan *p, int *ret_root_fd, Error *reterr_error) {
        _cleanup_(apply_done) Apply a = { .root_fd = -EBADF, .empty_fd = -EBADF, .null_fd = -EBADF };
        int r;

        if (mount(NULL, "/", NULL, p->root_propagation | MS_REC, NULL) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot take the mount namespace off the host's: %m");

        for (size_t i = 0; i < p->n_operations; i++) {
                r = apply_operation(&a, &p->operations[i], reterr_error);
                if (r < 0)
                        return r;
        }

        *ret_root_fd = TAKE_FD(a.root_fd);
        return 0;
}
