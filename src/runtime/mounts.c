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

#define MOUNTINFO_SIZE_MAX (16U * 1024U * 1024U)

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

int mount_target_open_last(int root_fd, const char *path) {
        _cleanup_free_ char *stripped = strdup(path);

        if (!stripped)
                return -ENOMEM;
        /* A slash at the end would follow. */
        for (size_t l = strlen(stripped); l > 1 && stripped[l - 1] == '/'; l--)
                stripped[l - 1] = 0;
        return open_in_root(root_fd, stripped, O_PATH | O_NOFOLLOW, 0);
}

/* ---- detached mounts ---- */

static int clone_tree(int dir_fd, const char *path, unsigned flags) {
        return RET_NERRNO(open_tree(dir_fd, path,
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                                    (path[0] == 0 ? AT_EMPTY_PATH : 0) | flags));
}

int mount_clone(int dir_fd, const char *path, bool recursive) {
        return clone_tree(dir_fd, path, recursive ? AT_RECURSIVE : 0);
}

int mount_clone_nofollow(int dir_fd, const char *path, bool recursive) {
        return clone_tree(dir_fd, path, AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0));
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

/* One option, which is changed. */
static int set_option(int fs, char *option) {
        char *value = strchr(option, '=');

        if (!value)
                return RET_NERRNO(fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0));
        *value++ = 0;
        return RET_NERRNO(fsconfig(fs, FSCONFIG_SET_STRING, option, value, 0));
}

static int set_data(int fs, const char *data) {
        _cleanup_free_ char *copy = strdup(data);
        char *option = copy;
        int r = 0;

        if (!copy)
                return -ENOMEM;
        while (r >= 0 && option) {
                char *end = strchr(option, ',');

                /* "mpol=bind:0,2-3" is one. */
                while (end && end[1] >= '0' && end[1] <= '9')
                        end = strchr(end + 1, ',');
                if (end)
                        *end++ = 0;
                if (option[0] != 0)
                        r = set_option(fs, option);
                option = end;
        }
        return r;
}

static int set_flags(int fs, unsigned long flags) {
        static const struct {
                unsigned long flag;
                const char *name;
        } names[] = {
                { MS_SYNCHRONOUS, "sync" },
                { MS_DIRSYNC, "dirsync" },
                { MS_LAZYTIME, "lazytime" },
                { MS_MANDLOCK, "mand" },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (flags & names[i].flag && fsconfig(fs, FSCONFIG_SET_FLAG, names[i].name, NULL, 0) < 0)
                        return -errno;
        return 0;
}

int mount_new(const char *fstype, const char *source, const char *data, unsigned long flags,
              uint64_t attributes) {
        _cleanup_close_ int fs = -EBADF;
        int r;

        fs = fsopen(fstype, FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
                return -errno;
        r = set_flags(fs, flags);
        if (r < 0)
                return r;
        r = data ? set_data(fs, data) : 0;
        if (r < 0)
                return r;
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        return RET_NERRNO(fsmount(fs, FSMOUNT_CLOEXEC, (unsigned) attributes));
}

int mount_new_empty(void) {
        return mount_new("tmpfs", "tmpfs", "mode=0555", 0,
                         MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

int mount_set_idmap(int mount_fd, bool recursive, int user_namespace_fd) {
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_IDMAP,
                .userns_fd = (uint64_t) user_namespace_fd,
        };

        return RET_NERRNO(mount_setattr(mount_fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
                                        sizeof(attr)));
}

/* ---- changing the root ---- */

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

/* "\\040" and its like, in place. */
static void unescape(char *s) {
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                    s[3] >= '0' && s[3] <= '7') {
                        *to++ = (char) ((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else
                        *to++ = *s;
        }
        *to = 0;
}

static bool is_below(const char *path, const char *dir) {
        const char *rest = startswith(path, dir);

        return rest && (rest[0] == 0 || rest[0] == '/');
}

/* Unmounts, or covers where that is not permitted, proc and sysfs outside of root. */
static int hide_kernel_filesystems(const char *root) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        char *state = NULL;
        size_t size;
        int r;

        fd = RET_NERRNO(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
        r = fd < 0 ? fd : read_all(fd, MOUNTINFO_SIZE_MAX, &text, &size);
        if (r < 0)
                return r;

        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                char *path = line, *type = strstr(line, " - ");

                for (unsigned i = 0; path && i < 4; i++)
                        path = strchr(path + 1, ' ');
                if (!path || !type || (!startswith(type, " - proc ") && !startswith(type, " - sysfs ")))
                        continue;
                path++;
                path[strcspn(path, " ")] = 0;
                unescape(path);
                if (is_below(path, root) || umount2(path, MNT_DETACH) >= 0)
                        continue;
                if (errno != EINVAL && errno != EPERM)
                        return -errno;
                if (mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0") < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}

int mount_move_root(int root_fd) {
        char link[PROC_FD_PATH_MAX], path[PATH_MAX];
        ssize_t n;
        int r;

        n = readlink(proc_fd_path(link, root_fd), path, sizeof(path) - 1);
        if (n < 0)
                return -errno;
        path[n] = 0;
        if (fchdir(root_fd) < 0)
                return -errno;
        r = hide_kernel_filesystems(path);
        if (r < 0)
                return r;
        if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
                return -errno;
        return RET_NERRNO(chdir("/"));
}
