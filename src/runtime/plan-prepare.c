/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/clone.h"
#include "runtime/init.h"
#include "runtime/labels.h"
#include "runtime/mounts.h"
#include "runtime/plan-prepare.h"

static int set_attributes(int tree, const Plan *p, const Operation *o, OpenTreeMode mode) {
        /* What the host has locked cannot be changed, and what has not been asked to be cleared need not. */
        bool locked = mode == OPEN_TREE_LOCKED;
        const uint64_t keep = locked ? ~(uint64_t) MOUNT_ATTR__ATIME : ~(uint64_t) 0;
        int r = 0;

        /* A peer of the host's stays one only where that has been decided; see plan-mounts.c. */
        if (mode == OPEN_TREE_OUTSIDE && p->user_namespace && o->propagation == MS_SHARED)
                r = mount_set_attributes(tree, o->propagation_all, 0, 0, MS_SLAVE);
        if (r >= 0)
                r = mount_set_attributes(tree, true, o->attr_set_all & keep, locked ? 0 : o->attr_clear_all,
                                         o->propagation_all ? o->propagation : 0);
        if (r >= 0)
                r = mount_set_attributes(tree, false, o->attr_set & keep, locked ? 0 : o->attr_clear,
                                         o->propagation_all ? 0 : o->propagation);
        return r;
}

int operation_open_tree(const Plan *p, const Operation *o, OpenTreeMode mode, Error *reterr_error) {
        _cleanup_close_ int tree = -EBADF;
        int r;

        tree = o->source_nofollow ? mount_clone_nofollow(AT_FDCWD, o->source, o->recursive)
                                  : mount_clone(AT_FDCWD, o->source, o->recursive);
        if (tree == -ENOENT || tree == -ENOTDIR)
                return error_set(reterr_error, tree, "NoSuchSource",
                                 "The source \"%s\" of the bind mount on \"%s\" does not exist: "
                                 "create it first.",
                                 o->source, o->target);
        if (tree < 0)
                return error_set_errno(reterr_error, tree,
                                       "Cannot use \"%s\" as the source of a bind mount: %m%s", o->source,
                                       tree == -EPERM && mode == OPEN_TREE_OUTSIDE && geteuid() != 0
                                                       ? ": that takes privileges on the host."
                                                       : "");

        r = set_attributes(tree, p, o, mode);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot set the options of the mount of \"%s\" on \"%s\": %m",
                                       o->source, o->target);
        return TAKE_FD(tree);
}

int operation_data(const Plan *p, const Operation *o, const struct stat *target, char **ret) {
        _cleanup_free_ char *data = NULL;

        if (o->inherit_mode && target) {
                data = strformat("%s%smode=%o", strempty(o->data), isempty(o->data) ? "" : ",",
                                 target->st_mode & 07777);
                if (!data)
                        return -ENOMEM;
        }
        if (o->label && p->use_label) {
                char *labelled = label_mount_data(data ?: o->data, p->mount_context_type, p->mount_label);

                if (!labelled)
                        return -ENOMEM;
                free(data);
                data = labelled;
        }
        if (!data && o->data) {
                data = strdup(o->data);
                if (!data)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(data);
        return 0;
}

/* ---- idmapped mounts ---- */

static int mapping_open(Mapping *m, const Operation *o, Error *reterr_error) {
        if (m->fd >= 0)
                return 0;
        m->fd = m->path ? RET_NERRNO(open(m->path, O_RDONLY | O_CLOEXEC)) : id_map_open_namespace(&m->map);
        if (m->fd < 0)
                return error_set_errno(reterr_error, m->fd,
                                       "Cannot make a user namespace for the idmapped mount on \"%s\": %m",
                                       o->target);
        return 0;
}

static int apply_mapping(Plan *p, const Operation *o, int fd, Error *reterr_error) {
        Mapping *m;
        int r;

        if (o->mapping == 0)
                return 0;
        m = &p->mappings[o->mapping - 1];
        r = mapping_open(m, o, reterr_error);
        if (r < 0)
                return r;
        r = mount_set_idmap(fd, o->mapping_all, m->fd);
        if (r == -EINVAL)
                return error_set(
                                reterr_error, r, "NotSupported",
                                "The file system of \"%s\" cannot be idmapped, which the mount on \"%s\" is "
                                "to be.",
                                o->source, o->target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot idmap the mount on \"%s\": %m", o->target);
        return 0;
}

static int new_mount(const Plan *p, const Operation *o, Error *reterr_error) {
        _cleanup_free_ char *data = NULL;
        int fd;

        if (operation_data(p, o, NULL, &data) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        fd = mount_new(o->fstype, o->source, data, o->flags,
                       o->detached ? o->attr_set & ~(uint64_t) MOUNT_ATTR_RDONLY : o->attr_set);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot mount %s for \"%s\": %m", o->fstype,
                                       o->target);
        return fd;
}

static int prepare_mount(Plan *p, Operation *o, Error *reterr_error) {
        _cleanup_close_ int fd = new_mount(p, o, reterr_error);
        int r;

        if (fd < 0)
                return fd;
        r = apply_mapping(p, o, fd, reterr_error);
        if (r < 0)
                return r;
        o->fd = TAKE_FD(fd);
        return 0;
}

/* ---- procfs of a pid namespace that is joined ---- */

/* To where there is nothing: others see the process that makes the file system. */
static int leave_root(void *userdata, Error *reterr_error) {
        _cleanup_close_ int empty = mount_new_empty();

        if (empty < 0 || fchdir(empty) < 0 || chroot(".") < 0)
                return error_set_errno(reterr_error, empty < 0 ? empty : -errno, "Cannot leave the root: %m");
        environment_forget(NULL);
        return 0;
}

static int receive_mount(int sock, Error *reterr_error) {
        char sentence[PIPE_BUF];
        int fds[FDS_MAX];
        size_t n_fds = 0;
        ssize_t n = recv_with_fds(sock, sentence, sizeof(sentence), fds, &n_fds, 0);

        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        if (n_fds > 0)
                return fds[0];
        return error_set(reterr_error, -ECHILD, "Failed", "%.*s", n > 0 ? (int) n : 0, sentence);
}

static int new_mount_in_pid_namespace(const Plan *p, const Operation *o, int pid_fd, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        CloneSpec clone = CLONE_SPEC_INIT;
        pid_t pid;
        int fd;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");
        clone.namespace_fds[NAMESPACE_PID] = pid_fd;
        clone.leave = leave_root;
        clone.kept_fds = &pair[1];
        clone.n_kept_fds = 1;
        pid = clone_process(&clone, reterr_error);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                Error e = ERROR_NULL;

                fd = new_mount(p, o, &e);
                if (fd >= 0)
                        (void) send_with_fds(pair[1], "", 1, &fd, 1, MSG_NOSIGNAL);
                else
                        (void) send(pair[1], error_message(&e), strnlen(error_message(&e), PIPE_BUF), MSG_NOSIGNAL);
                _exit(EXIT_SUCCESS);
        }
        pair[1] = safe_close(pair[1]);
        fd = receive_mount(pair[0], reterr_error);
        (void) TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
        return fd;
}

int plan_prepare_proc(Plan *p, int pid_fd, Error *reterr_error) {
        for (size_t i = 0; i < p->n_operations; i++) {
                Operation *o = &p->operations[i];

                if (o->type != OPERATION_MOUNT || !streq(o->fstype, "proc") || o->fd >= 0)
                        continue;
                o->fd = new_mount_in_pid_namespace(p, o, pid_fd, reterr_error);
                if (o->fd < 0)
                        return o->fd;
        }
        return 0;
}

/* ---- bind mounts ---- */

static int prepare_symlink(Operation *o, Error *reterr_error) {
        char text[PATH_MAX];
        ssize_t n = readlink(o->source, text, sizeof(text) - 1);

        if (n < 0 && errno == EINVAL)
                return 0;
        if (n < 0)
                return error_set(reterr_error, -errno, "NoSuchSource",
                                 "Cannot read the symlink \"%s\", which is to be copied to \"%s\": %m",
                                 o->source, o->target);
        text[n] = 0;
        if (free_and_strdup(&o->data, text) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return 1;
}

static int prepare_bind(Plan *p, Operation *o, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_close_ int tree = -EBADF;
        int r;

        if (o->type == OPERATION_COPY_SYMLINK) {
                r = prepare_symlink(o, reterr_error);
                if (r != 0)
                        return r < 0 ? r : 0;
                if (o->prepare == OPERATION_SOURCE_NONE)
                        return 0;
        }

        tree = operation_open_tree(p, o, OPEN_TREE_OUTSIDE, &e);
        if (tree < 0) {
                /* Perhaps the container's process can do it, in a mount namespace that is its own; it will
                 * say if not. */
                if (o->prepare == OPERATION_SOURCE_FALLBACK ||
                    (o->prepare == OPERATION_SOURCE_PREFERRED && tree == -EPERM))
                        return 0;
                return error_move(reterr_error, &e);
        }
        r = apply_mapping(p, o, tree, reterr_error);
        if (r < 0)
                return r;
        o->fd = TAKE_FD(tree);
        return 0;
}

static void prepare_root(const Plan *p, Operation *o) {
        _cleanup_close_ int tree = mount_clone(AT_FDCWD, o->source, o->recursive);

        if (tree >= 0 && mount_set_attributes(tree, true, 0, 0, o->propagation ?: p->root_propagation) >= 0)
                o->fd = TAKE_FD(tree);
}

/* ---- devices ---- */

/* An owner that the container does not know, or whose namespace is not known here, owns it no more than
 * anybody else does. Without mappings ids stay as they are. */
static uint32_t device_owner(const Plan *p, const SpecIdMappings *m, uint32_t id) {
        uint32_t host;

        if (!(p->clone_flags & CLONE_NEWUSER))
                return UINT32_MAX;
        if (m->n == 0)
                return id;
        return id_map_to_host(m, id, &host) < 0 ? UINT32_MAX : host;
}

/* As the parent may make nodes and the container's process may not, they are made in a file system that is
 * mounted nowhere, from where they are bound. */
static void prepare_device(Plan *p, size_t i) {
        Operation *o = &p->operations[i];
        uid_t uid;
        gid_t gid;
        char name[32];

        uid = device_owner(p, &p->uid_mappings, o->uid);
        gid = device_owner(p, &p->gid_mappings, o->gid);
        if (p->devices_fd < 0)
                p->devices_fd = mount_new("tmpfs", "devices", "mode=0755", 0,
                                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

        (void) snprintf(name, sizeof(name), "%zu", i);
        o->prepared = p->devices_fd >= 0 &&
                      mknodat(p->devices_fd, name, o->mode, makedev(o->major, o->minor)) >= 0 &&
                      fchmodat(p->devices_fd, name, o->mode & 07777, 0) >= 0 &&
                      fchownat(p->devices_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* ---- sysctls ---- */

static int check_sysctl(const Operation *o, Error *reterr_error) {
        static const char *const own[_NAMESPACE_TYPE_MAX] = {
                [NAMESPACE_NETWORK] = "/proc/self/ns/net",
                [NAMESPACE_IPC] = "/proc/self/ns/ipc",
                [NAMESPACE_UTS] = "/proc/self/ns/uts",
                [NAMESPACE_USER] = "/proc/self/ns/user",
        };
        struct stat host, joined;

        if (stat(o->base, &joined) < 0 || stat(own[o->subject], &host) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at the namespace \"%s\": %m",
                                       o->base);
        if (host.st_dev == joined.st_dev && host.st_ino == joined.st_ino)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" needs a %s namespace of the container's own, and "
                                 "\"%s\" is the host's.",
                                 o->target, namespace_type_to_string((NamespaceType) o->subject), o->base);
        return 0;
}

int plan_prepare(Plan *p, Error *reterr_error) {
        p->use_label = p->mount_label && selinux_is_enabled();
        for (size_t i = 0; i < p->n_operations; i++) {
                Operation *o = &p->operations[i];
                int r = 0;

                if (o->prepare == OPERATION_SOURCE_NONE && o->type != OPERATION_COPY_SYMLINK)
                        continue;
                switch (o->type) {
                case OPERATION_ROOT_BIND:
                        prepare_root(p, o);
                        break;
                case OPERATION_BIND:
                case OPERATION_COPY_SYMLINK:
                        r = prepare_bind(p, o, reterr_error);
                        break;
                case OPERATION_MOUNT:
                        r = prepare_mount(p, o, reterr_error);
                        break;
                case OPERATION_DEVICE:
                        prepare_device(p, i);
                        break;
                case OPERATION_SYSCTL:
                        r = check_sysctl(o, reterr_error);
                        break;
                default:
                        assert(false);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

void plan_close(Plan *p) {
        for (size_t i = 0; i < p->n_operations; i++)
                p->operations[i].fd = safe_close(p->operations[i].fd);
        for (size_t i = 0; i < p->n_mappings; i++)
                p->mappings[i].fd = safe_close(p->mappings[i].fd);
        p->devices_fd = safe_close(p->devices_fd);
}
