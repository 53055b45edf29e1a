/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/notify-proxy.h"
#include "runtime/notify.h"

#define SOCKET_NAME "notify"
#define MESSAGE_MAX 4096U

static const char *socket_path(void) {
        const char *path = getenv("NOTIFY_SOCKET");

        return path && path[0] == '/' ? path : NULL;
}

static int add_mount(RuntimeSpec *spec, const char *destination, const char *source) {
        static const char *const options[] = { "bind", "ro", "nosuid", "nodev", "noexec", NULL };
        SpecMount *mounts, m = {};

        mounts = reallocarray(spec->mounts, spec->n_mounts + 1, sizeof(SpecMount));
        if (!mounts)
                return -ENOMEM;
        spec->mounts = mounts;
        m.destination = strdup(destination);
        m.source = strdup(source);
        m.type = strdup("bind");
        for (size_t i = 0; options[i]; i++)
                if (strv_extend(&m.options, options[i]) < 0)
                        return -ENOMEM;
        spec->mounts[spec->n_mounts++] = m;
        return m.destination && m.source && m.type ? 0 : -ENOMEM;
}

int notify_proxy_add(RuntimeSpec *spec, const char *state_dir, Error *reterr_error) {
        const char *path = socket_path();
        _cleanup_free_ char *source = NULL, *variable = NULL;

        if (!path)
                return 0;
        source = path_join(state_dir, NOTIFY_PROXY_DIR);
        variable = strjoin("NOTIFY_SOCKET=", path, "/" SOCKET_NAME);
        if (!source || !variable || strv_env_set(&spec->process.env, variable) < 0 ||
            add_mount(spec, path, source) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return 1;
}

int notify_proxy_make(int state_fd, Error *reterr_error) {
        int fd = mkdirat_open(state_fd, NOTIFY_PROXY_DIR, 0755);

        if (fd < 0 || fchmod(fd, 0755) < 0)
                return error_set_errno(reterr_error, fd < 0 ? fd : -errno,
                                       "Cannot make the directory of the notification socket: %m");
        safe_close(fd);
        return 0;
}

int notify_proxy_bind(int dir_fd, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = RET_NERRNO(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

        if (fd < 0)
                return fd;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dir_fd);
        (void) unlinkat(dir_fd, SOCKET_NAME, 0);
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            fchmodat(dir_fd, SOCKET_NAME, mode, 0) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int notify_proxy_open(int state_fd) {
        _cleanup_close_ int dir = -EBADF;

        if (!socket_path())
                return -ENOENT;
        dir = open_beneath_nofollow(state_fd, NOTIFY_PROXY_DIR, O_PATH | O_DIRECTORY, 0);
        return dir < 0 ? dir : notify_proxy_bind(dir, 0666);
}

/* What a container may say: not who its main process is, which descriptors are to be kept, and the like. */
static bool may_be_said(const char *line) {
        static const char *const allowed[] = {
                "READY=1",   "STATUS=",    "RELOADING=1",          "STOPPING=1",      "ERRNO=",
                "BUSERROR=", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=", "MONOTONIC_USEC=", NULL
        };

        for (size_t i = 0; allowed[i]; i++)
                if (startswith(line, allowed[i]))
                        return true;
        return false;
}

int notify_proxy_forward(int fd, pid_t pid) {
        _cleanup_strv_free_ char **lines = NULL, **said = NULL;
        _cleanup_free_ char *message = NULL;
        char text[MESSAGE_MAX + 1];
        bool ready = false;
        ssize_t n;

        n = recv(fd, text, MESSAGE_MAX, 0);
        if (n <= 0)
                return 0;
        text[n] = 0;
        lines = strv_split(text, "\n");
        if (!lines)
                return -ENOMEM;
        STRV_FOREACH (line, lines) {
                if (!may_be_said(line))
                        continue;
                if (streq(line, "READY=1")) {
                        ready = true;
                        if (pid > 0 && strv_extendf(&said, "MAINPID=%d", pid) < 0)
                                return -ENOMEM;
                }
                if (strv_extend(&said, line) < 0)
                        return -ENOMEM;
        }
        if (!said)
                return 0;
        message = strv_join(said, "\n");
        if (!message)
                return -ENOMEM;
        (void) notify_send(message);
        return ready;
}

int notify_proxy_wait_ready(int fd, int pidfd, pid_t pid) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
        int r;

        for (;;) {
                if (poll(p, ELEMENTSOF(p), -1) < 0 && errno != EINTR)
                        return -errno;
                if (p[0].revents != 0) {
                        r = notify_proxy_forward(fd, pid);
                        if (r != 0)
                                return r;
                } else if (p[1].revents != 0)
                        return 0;
        }
}
