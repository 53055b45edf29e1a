/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* journald's protocol for streams (sd_journal_stream_fd(3) speaks it; libsystemd is not linked here): seven
 * lines, then the text. It believes the unit's name of root only, and needs it: of a process that has ended
 * before its line is read, the control group is not known any more.
 *
 * Which journald: the one that the service manager has connected stdout to, be it that of a LogNamespace=.
 * Its address is the other end's name. */

#include "runtime/journal-stream.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/string-util.h"

#define SEND_BUFFER_SIZE (8 * 1024 * 1024) /* as large as the service manager makes it */

bool journal_stream_is_stderr(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

char *journal_stream_unit(const char *cgroup) {
        _cleanup_free_ char *path = strdup(cgroup);
        char *slash;

        if (!path)
                return NULL;
        /* The last component that is a unit: below may be what was delegated to it. */
        for (; (slash = strrchr(path, '/')); *slash = 0)
                if (endswith(slash, ".service") || endswith(slash, ".scope"))
                        return strdup(slash + 1);
        return strdup("");
}

static int own_unit(char **ret) {
        _cleanup_free_ char *cgroup = NULL;
        int r;

        r = cgroup_of_process(0, &cgroup);
        if (r < 0)
                return r;
        *ret = journal_stream_unit(cgroup);
        return *ret ? 0 : -ENOMEM;
}

static int connect_again(int fd) {
        _cleanup_close_ int sock = -EBADF;
        struct sockaddr_un address = {};
        socklen_t size = sizeof(address);

        if (getpeername(fd, (struct sockaddr *) &address, &size) < 0)
                return -errno;
        if (address.sun_family != AF_UNIX || size <= offsetof(struct sockaddr_un, sun_path))
                return -EAFNOSUPPORT;
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sock < 0 || connect(sock, (const struct sockaddr *) &address, size) < 0 || shutdown(sock, SHUT_RD) < 0)
                return -errno;
        if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ SEND_BUFFER_SIZE }, sizeof(int)) < 0)
                (void) setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &(int){ SEND_BUFFER_SIZE }, sizeof(int));
        return TAKE_FD(sock);
}

int journal_stream_split_stderr(const char *identifier) {
        _cleanup_free_ char *unit = NULL, *header = NULL;
        _cleanup_close_ int sock = -EBADF;
        int r;

        r = own_unit(&unit);
        if (r < 0)
                return r;
        /* Priorities before the lines ("<3>") are not looked for, nothing is forwarded. */
        header = strformat("%s\n%s\n%d\n0\n0\n0\n0\n", identifier, unit, LOG_DAEMON | LOG_ERR);
        if (!header)
                return -ENOMEM;
        r = sock = connect_again(STDERR_FILENO);
        if (r >= 0)
                r = write_full(sock, header, strlen(header));
        if (r < 0)
                return r;
        return dup2(sock, STDERR_FILENO) < 0 ? -errno : 0;
}
