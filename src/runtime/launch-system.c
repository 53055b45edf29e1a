/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service manager's own socket is not for the container: root in there could name any process of the
 * host as the unit's main process. So it speaks to a socket in its /run/host, and what it may say is passed
 * on, until it is ready; nobody is left then to hear it. */

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-scope.h"
#include "runtime/launch-system.h"
#include "runtime/notify-proxy.h"
#include "runtime/plan.h"

#define HOST_DIR "host" /* in the bundle; the container's /run/host */
#define UUID_DIGITS 32U

void system_launch_done(SystemLaunch *l) {
        safe_close(l->pidfd);
        safe_close(l->notify_fd);
        aside_done(&l->aside);
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

int system_launch_begin(const RuntimeSpec *spec, const char *bundle, pid_t pid, SystemLaunch *ret,
                        Error *reterr_error) {
        _cleanup_(system_launch_done) SystemLaunch l = SYSTEM_LAUNCH_NULL;
        const char *mode = runtime_spec_annotation(spec, ANNOTATION_SYSTEM);
        /* Where a health check is to say it, that has the word. */
        bool healthy = streq_ptr(runtime_spec_annotation(spec, ANNOTATION_READY), "healthy");
        bool notifies;
        int r;

        r = register_machine(spec, pid, reterr_error);
        if (r < 0)
                return r;
        notifies = streq_ptr(mode, "notify");
        if (!mode || healthy || isempty(getenv("NOTIFY_SOCKET")) ||
            !(notifies || streq(mode, "systemd") || runs_systemd(spec, pid)))
                return 0;

        l.pid = pid;
        r = l.pidfd = pidfd_open_(pid);
        if (r >= 0)
                r = l.notify_fd = open_socket(bundle,
                                              notifies ? 0666 : 0600); /* who notifies need not be root */
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot make the socket for the container's readiness: %m");
        r = aside_step(&l.aside);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot leave the container's control group: %m");
        *ret = l;
        l = SYSTEM_LAUNCH_NULL;
        return 1;
}

int system_launch_wait(SystemLaunch *l, Error *reterr_error) {
        int r = notify_proxy_wait_ready(l->notify_fd, l->pidfd, l->pid);

        aside_step_back(&l->aside, l->pid);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for the container's readiness: %m");
        return 0;
}
