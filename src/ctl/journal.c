/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* journald's Varlink interface: one JSON object with a NUL behind it, one back. */

#include "ctl/journal.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"

#define JOURNAL_SOCKET "/run/systemd/journal/io.systemd.journal"
#define SYNC_MSEC 2000

void journal_sync(void) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        static const char request[] = "{\"method\":\"io.systemd.Journal.Synchronize\"}"; /* and its NUL */
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof address) < 0)
                return;
        if (send(fd, request, sizeof request, MSG_NOSIGNAL) == (ssize_t) sizeof request)
                (void) poll(&p, 1, SYNC_MSEC);
}
