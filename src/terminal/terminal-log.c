/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/time-util.h"
#include "terminal/terminal-log.h"

struct TerminalLog {
        struct sockaddr_un address;
        int fd;
        char line[RING_FILE_SIZE];
};

int terminal_log_new(const char *path, TerminalLog **ret) {
        TerminalLog *l;

        l = malloc(sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->fd = -EBADF;
        l->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(l->address.sun_path)) {
                free(l);
                return -ENAMETOOLONG;
        }
        (void) strcpy(l->address.sun_path, path);
        *ret = l;
        return 0;
}

TerminalLog *terminal_log_free(TerminalLog *l) {
        if (l)
                safe_close(l->fd);
        free(l);
        return NULL;
}

static int send_entry(TerminalLog *l, const Ring *r, const char *text, size_t n) {
        static const char name[] = "MESSAGE\n";
        uint64_t size = htole64(n);
        struct iovec iov[] = {
                { (char *) r->fields, r->fields_size },
                { (char *) name, sizeof(name) - 1 },
                { &size, sizeof(size) },
                { (char *) text, n },
                { (char *) "\n", 1 },
        };
        const struct msghdr m = {
                .msg_name = &l->address,
                .msg_namelen = sizeof(l->address),
                .msg_iov = iov,
                .msg_iovlen = ELEMENTSOF(iov),
        };

        if (l->fd < 0)
                l->fd = RET_NERRNO(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (l->fd < 0)
                return l->fd;
        return sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void limit_renew(TerminalLimit *limit, const Ring *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (limit->begin_usec + TERMINAL_LOG_INTERVAL_USEC > now)
                return;
        if (limit->suppressed > 0)
                log_notice("%u lines of a terminal were too many for the journal (%.*s).", limit->suppressed,
                           (int) strcspn(r->fields, "\n"), r->fields);
        *limit = (TerminalLimit){ .begin_usec = now };
}

/* The line from r->logged to end. */
static int write_line(TerminalLog *l, Ring *r, uint64_t end) {
        size_t n = ring_copy(r, r->logged, l->line, (size_t) (end - r->logged));
        int k;

        while (n > 0 && l->line[n - 1] == '\r')
                n--;
        if (n == 0)
                return 0;
        k = send_entry(l, r, l->line, n);
        if (k == -EAGAIN)
                return k;
        /* Without a journal there is no log. */
        if (k < 0)
                log_debug_errno(k, "A terminal's line cannot be written to the journal: %m");
        return 1;
}

int terminal_log_write(TerminalLog *l, Ring *r, TerminalLimit *limit, bool all) {
        int k;

        if (ring_is_silent(r) || r->logged == r->head)
                return 0;
        limit_renew(limit, r);
        while (r->logged < r->head) {
                uint64_t end = ring_find(r, r->logged, '\n');

                if (end == r->head && !all)
                        return 0;
                if (limit->lines >= TERMINAL_LOG_BURST)
                        limit->suppressed++;
                else {
                        k = write_line(l, r, end);
                        if (k < 0)
                                return k;
                        limit->lines += (unsigned) k;
                }
                r->logged = MIN(end + 1, r->head);
        }
        return 0;
}
