/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd-util.h"
#include "runtime/notify.h"

int notify_send(const char *message) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        size_t l;

        if (isempty(path))
                return 0;

        l = strlen(path);
        if ((path[0] != '/' && path[0] != '@') || l >= sizeof(address.sun_path))
                return -EINVAL;
        memcpy(address.sun_path, path, l);
        if (path[0] == '@')
                address.sun_path[0] = 0; /* an abstract name: its length counts, there is no NUL behind it */

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *) &address,
                   (socklen_t) (offsetof(struct sockaddr_un, sun_path) + l + (path[0] == '@' ? 0 : 1))) < 0)
                return -errno;
        return 1;
}
