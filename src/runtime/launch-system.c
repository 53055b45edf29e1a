/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service manager's own socket is not for the container: root in there could name any process of the host as
 * the unit's main process. So it speaks to a socket in its /run/host, and what it may say is passed on, until it
 * is ready; nobody is left then to hear it.
 *
 * An init gives the controllers of its control group, the unit's, to groups below, which the kernel allows where
 * no process is in there. The launcher is, and so makes a group of its own as long as it stays. Its end is in
 * the group of the init, as it cannot remove the one it is in. */

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-scope.h"
#include "runtime/cgroup-tree.h"
#include "runtime/launch-system.h"
#include "runtime/notify-proxy.h"

#define CGROUP_NAME "launcher"
#define HOST_DIR "host" /* in the bundle; the container's /run/host */
#define UUID_DIGITS 32U

void system_launch_done(SystemLaunch *l) {
        safe_close(l->pidfd);
        safe_close(l->notify_fd);
        safe_close(l->cgroup_root);
        free(l->cgroup);
        *l = SYSTEM_LAUNCH_NULL;
}

/* ---- machined ---- */

/* The digits of $container_uuid; "" if there are none that make sense. */
static int machine_id(const RuntimeSpec *spec, char **ret) {
        const char *uuid = strempty(strv_env_get(spec->process.env, "container_uuid"));
        char digits[UUID_DIGITS + 1] = {};
        size_t n = 0;

        for (; *uuid; uuid++) {
                if (*uuid == '-')
                        continue;
                if (n == UUID_DIGITS || !strchr("0123456789abcdefABCDEF", *uuid)) {
                        n = 0;
                        break;
                }
                digits[n++] = *uuid;
        }
        *ret = strdup(n == UUID_DIGITS ? digits : "");
        return *ret ? 0 : -ENOMEM;
}

static int register_machine(const RuntimeSpec *spec, pid_t pid, Error *reterr_error) {
        const char *name = runtime_spec_annotation(spec, ANNOTATION_MACHINE);
        _cleanup_free_ char *id = NULL;

        if (!name)
                return 0;
        if (machine_id(spec, &id) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return scope_register_machine(name, id, pid, reterr_error);
}

/* ---- readiness ---- */

/* Whether what is going to be executed is systemd, by that or another name. */
static bool runs_systemd(const RuntimeSpec *spec, pid_t pid) {
        _cleanup_close_ int root_fd = -EBADF, fd = -EBADF;
        char path[PROC_FD_PATH_MAX], target[PATH_MAX];
        const char *command = spec->process.args[0], *slash;
        ssize_t n;

        if (streq(command, "systemd"))
                return true;
        (void) snprintf(path, sizeof(path), "/proc/%d/root", pid);
        root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = root_fd < 0 ? root_fd : open_in_root(root_fd, command, O_PATH, 0);
        if (fd < 0)
                return false;
        n = readlink(proc_fd_path(path, fd), target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = 0;
        slash = strrchr(target, '/');
        return slash && streq(slash + 1, "systemd");
}

static int open_socket(const char *bundle, mode_t mode) {
        _cleanup_free_ char *path = path_join(bundle, HOST_DIR);
        _cleanup_close_ int dir = -EBADF;

        if (!path)
                return -ENOMEM;
        dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return dir < 0 ? -errno : notify_proxy_bind(dir, mode);
}

static int step_aside(SystemLaunch *l) {
        _cleanup_free_ char *own = NULL, *path = NULL;
        _cleanup_close_ int dir = -EBADF;
        int r;

        r = l->cgroup_root = cgroup_root_open(NULL);
        if (r >= 0)
                r = cgroup_of_process(0, &own);
        if (r < 0)
                return r;
        path = path_join(own, CGROUP_NAME);
        if (!path)
                return -ENOMEM;
        if (mkdirat(l->cgroup_root, path + 1, 0755) < 0 && errno != EEXIST)
                return -errno;
        dir = cgroup_dir_open(l->cgroup_root, path);
        if (dir < 0)
                return dir;
        l->cgroup = TAKE_PTR(path);
        return cgroup_move(dir, 0);
}

static void step_back(const SystemLaunch *l) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int dir = -EBADF;

        if (cgroup_of_process(l->pid, &path) < 0)
                return; /* it has ended, and with it goes everything that is the unit's */
        dir = cgroup_dir_open(l->cgroup_root, path);
        if (dir >= 0 && cgroup_move(dir, 0) >= 0)
                (void) unlinkat(l->cgroup_root, l->cgroup + 1, AT_REMOVEDIR);
}

int system_launch_begin(const RuntimeSpec *spec, const char *bundle, pid_t pid, SystemLaunch *ret,
                        Error *reterr_error) {
        _cleanup_(system_launch_done) SystemLaunch l = SYSTEM_LAUNCH_NULL;
        const char *mode = runtime_spec_annotation(spec, ANNOTATION_SYSTEM);
        bool notifies;
        int r;

        r = register_machine(spec, pid, reterr_error);
        if (r < 0)
                return r;
        notifies = streq_ptr(mode, "notify");
        if (!mode || isempty(getenv("NOTIFY_SOCKET")) ||
            !(notifies || streq(mode, "systemd") || runs_systemd(spec, pid)))
                return 0;

        l.pid = pid;
        r = l.pidfd = pidfd_open_(pid);
        if (r >= 0)
                r = l.notify_fd = open_socket(bundle, notifies ? 0666 : 0600); /* who notifies need not be root */
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make the socket for the container's readiness: %m");
        r = step_aside(&l);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot leave the container's control group: %m");
        *ret = l;
        l = SYSTEM_LAUNCH_NULL;
        return 1;
}

int system_launch_wait(SystemLaunch *l, Error *reterr_error) {
        int r = notify_proxy_wait_ready(l->notify_fd, l->pidfd, l->pid);

        step_back(l);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for the container's readiness: %m");
        return 0;
}
