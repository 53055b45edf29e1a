/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/apply-private.h"
#include "runtime/apply.h"
#include "runtime/mounts.h"
#include "runtime/proc-file.h"

static void apply_done(Apply *a) {
        safe_close(a->root_fd);
        safe_close(a->empty_fd);
        safe_close(a->null_fd);
        safe_close(a->proc_fd);
        apply_close_parent(a);
        for (size_t i = 0; a->mount_fds && i < a->plan->n_operations; i++)
                safe_close(a->mount_fds[i]);
        free(a->mount_fds);
}

Apply *apply_free(Apply *a) {
        if (a)
                apply_done(a);
        free(a);
        return NULL;
}

int apply_root_fd(const Apply *a) {
        return a->root_fd;
}

int apply_cannot(const Operation *o, int r, const char *what, Error *reterr_error) {
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

/* pivot_root(2) wants a mount: a copy of the tree, where that is, so that hooks find it by its name. */
static int apply_root_bind(Apply *a, const Operation *o, Error *reterr_error) {
        _cleanup_close_ int tree = -EBADF;
        int r;

        if (o->base)
                return apply_root_managed(a, o, reterr_error);

        tree = mount_clone(AT_FDCWD, o->source, o->recursive);
        if (tree < 0 && o->fd >= 0)
                tree = fd_dup(o->fd);
        if (tree < 0)
                return error_set_errno(reterr_error, tree, "Cannot mount the root \"%s\": %m", o->source);
        r = mount_set_attributes(tree, true, 0, 0, o->propagation);
        if (r >= 0) {
                r = RET_NERRNO(move_mount(tree, "", AT_FDCWD, o->source,
                                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS));
                /* A user namespace may not reach it. Any place will do. */
                if (r == -EACCES)
                        r = RET_NERRNO(move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
        }
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot mount the root \"%s\": %m", o->source);
        a->root_fd = TAKE_FD(tree);
        return 0;
}

/* ---- things in the root ---- */

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

/* By the host's /proc/sys: what is below follows the namespaces of the process that writes. Nothing of the
 * container's is mounted on it, and what is not procfs is not written to. */
static int apply_sysctl(const Operation *o, Error *reterr_error) {
        _cleanup_free_ char *path = strjoin("sys/", o->target);
        int r;

        if (!path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = proc_file_write(path, o->source);
        if (r == -EXDEV)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "linux.sysctl: /proc/sys/%s is not a file of the kernel's, or something is "
                                 "mounted on the way to it.",
                                 o->target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set the sysctl \"%s\" to \"%s\": %m",
                                       o->target, o->source);
        return 0;
}

/* ---- taking access away ---- */

/* Whether what is on /proc is a procfs that was mounted here. */
static bool has_own_proc(const Plan *p) {
        for (size_t i = p->n_operations; i > 0; i--) {
                const Operation *o = &p->operations[i - 1];

                if (streq_ptr(o->target, "/proc") && (o->type == OPERATION_MOUNT || o->type == OPERATION_BIND))
                        return o->type == OPERATION_MOUNT && streq(o->fstype, "proc");
        }
        return false;
}

static int open_proc(Apply *a) {
        _cleanup_close_ int fd = -EBADF;
        struct statfs fs;

        if (a->proc_fd >= 0)
                return 0;
        fd = open_in_root(a->root_fd, "/proc", O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        if (fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC)
                return -ESTALE;
        a->proc_fd = TAKE_FD(fd);
        return 0;
}

/* Somebody with whom the root is shared could move the directory that procfs is mounted on away for a moment, and
 * back: nothing would be found there then, and so nothing be protected. */
static int open_protected(Apply *a, const char *target) {
        const char *below = startswith(target, "/proc/");
        int r;

        if (!below || strstr(below, "..") || !has_own_proc(a->plan))
                return open_in_root(a->root_fd, target, O_PATH, 0);
        r = open_proc(a);
        return r < 0 ? (r == -ENOENT ? -ESTALE : r)
                     : openat2_full(a->proc_fd, below, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

/* 0 if there is nothing at target, then neither is there anything to protect. */
static int open_existing(Apply *a, const Operation *o, int *ret, Error *reterr_error) {
        int fd = open_protected(a, o->target);

        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0)
                return apply_cannot(o, fd, "open", reterr_error);
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
        r = tree < 0 ? tree : mount_set_attributes(tree, true, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE);
        if (r >= 0)
                r = mount_attach(tree, fd);
        if (r < 0)
                return apply_cannot(o, r, "make read-only", reterr_error);
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
                return apply_cannot(o, -errno, "look at", reterr_error);

        cover = open_cover(a, S_ISDIR(st.st_mode));
        r = cover < 0 ? cover : mount_attach(cover, fd);
        if (r < 0)
                return apply_cannot(o, r, "mask", reterr_error);
        return 0;
}

static int apply_operation(Apply *a, const Operation *o, Error *reterr_error) {
        int r;

        switch (o->type) {
        case OPERATION_ROOT_OVERLAY:
                return apply_root_managed(a, o, reterr_error);
        case OPERATION_ROOT_BIND:
                return apply_root_bind(a, o, reterr_error);
        case OPERATION_ROOT_OPEN:
                return open_root(a, o->source, reterr_error);
        case OPERATION_MOUNT:
                return apply_mount(a, o, reterr_error);
        case OPERATION_BIND:
                return apply_bind(a, o, reterr_error);
        case OPERATION_COPY_SYMLINK:
                return apply_copy_symlink(a, o, reterr_error);
        case OPERATION_REMOUNT:
                return apply_remount(a, o, reterr_error);
        case OPERATION_DEVICE:
                return apply_device(a, o, reterr_error);
        case OPERATION_SYMLINK:
                return apply_symlink(a, o, reterr_error);
        case OPERATION_FILE:
                return apply_file(a, o, reterr_error);
        case OPERATION_SYSCTL:
                return apply_sysctl(o, reterr_error);
        case OPERATION_DIRECTORY:
                return apply_directory(a, o, reterr_error);
        case OPERATION_LATE_READONLY:
                return apply_late_readonly(a, o, reterr_error);
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

#define APPLY_INIT(p)                                                                                       \
        (Apply) {                                                                                           \
                .plan = (p), .root_fd = -EBADF, .empty_fd = -EBADF, .null_fd = -EBADF, .proc_fd = -EBADF, .parent_fd = -EBADF  \
        }

static int apply_range(Apply *a, size_t begin, size_t end, Error *reterr_error) {
        for (size_t i = begin; i < end; i++) {
                int r = apply_operation(a, &a->plan->operations[i], reterr_error);

                if (r < 0)
                        return r;
        }
        return 0;
}

int plan_apply(const Plan *p, Apply **ret, Error *reterr_error) {
        _cleanup_(apply_freep) Apply *a = malloc(sizeof(Apply));
        int r;

        if (!a)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        *a = APPLY_INIT(p);
        if (p->root_entry != ROOT_ENTRY_CHROOT &&
            mount(NULL, "/", NULL, p->root_propagation | MS_REC, NULL) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot take the mount namespace off the host's: %m");
        r = apply_open_trees(a, reterr_error);
        if (r >= 0)
                r = apply_range(a, 0, p->n_making, reterr_error);
        if (r >= 0)
                r = apply_devices_finish(a, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

int plan_protect(Apply *a, Error *reterr_error) {
        return apply_range(a, a->plan->n_making, a->plan->n_operations, reterr_error);
}

int plan_apply_at(const Plan *p, int root_fd, Error *reterr_error) {
        _cleanup_(apply_done) Apply a = APPLY_INIT(p);
        int r;

        a.root_fd = fd_dup(root_fd);
        if (a.root_fd < 0)
                return error_set_errno(reterr_error, a.root_fd, "Cannot use the container's root: %m");
        r = apply_range(&a, 0, p->n_operations, reterr_error);
        return r < 0 ? r : apply_devices_finish(&a, reterr_error);
}

static int enter_by_chroot(int root_fd) {
        if (fchdir(root_fd) < 0 || chroot(".") < 0)
                return -errno;
        return 0;
}

int plan_enter(const Plan *p, int root_fd, bool no_pivot, Error *reterr_error) {
        int r;

        if (p->root_entry == ROOT_ENTRY_CHROOT)
                r = enter_by_chroot(root_fd);
        else
                r = no_pivot ? mount_move_root(root_fd) : mount_pivot(root_fd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot change the root: %m");
        if (p->final_propagation != 0 && mount(NULL, "/", NULL, p->final_propagation, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set linux.rootfsPropagation: %m");
        return 0;
}
