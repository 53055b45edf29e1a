/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/mounts.h"

/* "/a/b//" → "/a", "b"; "b" → "/", "b". -EINVAL if there is no last component that could be made. */
static int split_path(const char *path, char **ret_parent, char **ret_name) {
        _cleanup_free_ char *parent = NULL, *name = NULL;
        size_t end = strlen(path), start;

        while (end > 0 && path[end - 1] == '/')
                end--;
        start = end;
        while (start > 0 && path[start - 1] != '/')
                start--;

        name = strndup(path + start, end - start);
        parent = start == 0 ? strdup("/") : strndup(path, start);
        if (!name || !parent)
                return -ENOMEM;
        if (!filename_is_valid(name))
                return -EINVAL;

        *ret_parent = TAKE_PTR(parent);
        *ret_name = TAKE_PTR(name);
        return 0;
}

/* Where a symlink points to, as a path inside the root. */
static int symlink_path(int parent_fd, const char *parent, const char *name, char **ret) {
        char target[PATH_MAX];
        ssize_t n;
        char *p;

        n = readlinkat(parent_fd, name, target, sizeof(target));
        if (n < 0)
                return -errno;
        if ((size_t) n >= sizeof(target))
                return -ENAMETOOLONG;
        target[n] = 0;

        p = target[0] == '/' ? strdup(target) : path_join(parent, target);
        if (!p)
                return -ENOMEM;
        *ret = p;
        return 0;
}

static int make_at(int parent_fd, const char *name, bool file) {
        _cleanup_close_ int fd = -EBADF;

        if (!file)
                return RET_NERRNO(mkdirat(parent_fd, name, 0755));

        fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 ? -errno : 0;
}

static int target_open(int root_fd, const char *path, bool file, unsigned n_symlinks) {
        _cleanup_free_ char *parent = NULL, *name = NULL, *next = NULL;
        _cleanup_close_ int parent_fd = -EBADF;
        int fd, r;

        fd = open_in_root(root_fd, path, O_PATH, 0);
        if (fd != -ENOENT)
                return fd;
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;
        if (n_symlinks > MOUNT_SYMLINKS_MAX)
                return -ELOOP;

        r = split_path(path, &parent, &name);
        if (r < 0)
                return r;
        parent_fd = target_open(root_fd, parent, false, n_symlinks);
        if (parent_fd < 0)
                return parent_fd;

        r = make_at(parent_fd, name, file);
        if (r < 0 && r != -EEXIST)
                return r;

        /* What is new, or what somebody else put there at the same time, as long as it is the thing itself.
         */
        fd = RET_NERRNO(openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (fd < 0 || r == 0)
                return fd;

        /* There is something that leads nowhere: a symlink whose target is missing. */
        safe_close(fd);
        r = symlink_path(parent_fd, parent, name, &next);
        if (r == -EINVAL)
                return open_in_root(root_fd, path, O_PATH, 0);
        if (r < 0)
                return r;
        return target_open(root_fd, next, file, n_symlinks + 1);
}

int mount_target_open(int root_fd, const char *path, bool file) {
        return target_open(root_fd, path, file, 0);
}

int mount_target_open_nofollow(int root_fd, const char *path) {
        _cleanup_close_ int fd = -EBADF;
        const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

        fd = openat2_full(root_fd, path, O_PATH, 0, resolve);
        if (fd != -ENOENT)
                return TAKE_FD(fd);

        fd = target_open(root_fd, path, false, 0);
        if (fd < 0)
                return TAKE_FD(fd);
        fd = safe_close(fd);
        return openat2_full(root_fd, path, O_PATH, 0, resolve);
}

int mount_clone(int dir_fd, const char *path, bool recursive) {
        return RET_NERRNO(open_tree(dir_fd, path,
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                                    (path[0] == 0 ? AT_EMPTY_PATH : 0) |
                                                    (recursive ? AT_RECURSIVE : 0)));
}

int mount_set_attributes(int mount_fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation) {
        struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

        if (set == 0 && clear == 0 && propagation == 0)
                return 0;
        return RET_NERRNO(mount_setattr(mount_fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
                                        sizeof(attr)));
}

int mount_attach(int mount_fd, int target_fd) {
        return RET_NERRNO(move_mount(mount_fd, "", target_fd, "",
                                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int mount_new_empty(void) {
        _cleanup_close_ int fs = -EBADF;

        fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0) < 0 ||
            fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
            fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        return RET_NERRNO(fsmount(fs, FSMOUNT_CLOEXEC,
                                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                  MOUNT_ATTR_NOEXEC));
}

int mount_pivot(int root_fd) {
        if (fchdir(root_fd) < 0)
                return -errno;
        /* pivot_root(2), "pivot_root(".", ".")": the old root ends on top of the new one, from where it can
         * be taken off without there being a directory for it. */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return -errno;
        if (umount2(".", MNT_DETACH) < 0)
                return -errno;
        return RET_NERRNO(chdir("/"));
}
