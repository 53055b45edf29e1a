/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "runtime/notify.h"

static int socket_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t l = strlen(path);

        if ((path[0] != '/' && path[0] != '@') || l >= sizeof(address.sun_path))
                return -EINVAL;
        memcpy(address.sun_path, path, l);
        if (path[0] == '@')
                address.sun_path[0] = 0; /* an abstract name: its length counts, there is no NUL behind it */

        *ret = address;
        *ret_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + l + (path[0] == '@' ? 0 : 1));
        return 0;
}

int notify_send_fd(const char *message, int fd_to_send) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = (char *) message, .iov_len = strlen(message) };
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address;
        struct msghdr m = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (isempty(path))
                return 0;
        r = socket_address(path, &address, &m.msg_namelen);
        if (r < 0)
                return r;
        if (fd_to_send >= 0) {
                control.header = (struct cmsghdr) {
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                };
                memcpy(CMSG_DATA(&control.header), &fd_to_send, sizeof(int));
                m.msg_control = &control;
                m.msg_controllen = sizeof(control.space);
        }

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
                return -errno;
        return 1;
}

int notify_send(const char *message) {
        return notify_send_fd(message, -EBADF);
}

int notify_barrier(void) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        struct pollfd p;
        int r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        r = notify_send_fd("BARRIER=1", pair[1]);
        if (r <= 0)
                return r;

        /* The other side's was the last. There is no time limit: that of the unit's start is the one that
         * counts. */
        pair[1] = safe_close(pair[1]);
        p = (struct pollfd) { .fd = pair[0] };
        return TEMP_FAILURE_RETRY(poll(&p, 1, -1)) < 0 ? -errno : 1;
}
