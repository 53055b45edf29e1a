/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*   launcher                                              moored, or its listening socket while it is away
 *   ----------------------------------------------------  ---------------------------------------------------
 *   "NAMESPACE/ID" ------------------------------------>  looks whose process this is
 *   <---------------------------------------------------  "namespace" and its descriptor, or
 *                                                         "process PID CGROUP": whose it is to be, or
 *                                                         "Name: sentence"
 *   FDSTORE=1 to the service manager, if the unit is to keep it
 *
 * An answer that does not come, because moored was killed with the question, is asked for again: who connects while nobody
 * accepts waits in the socket, which the service manager holds. How long all this may take is the unit's start timeout. */

#include <inttypes.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-tree.h"
#include "runtime/launch-network.h"
#include "runtime/notify.h"

#define SOCKET_PATH MOORED_RUNTIME_DIR "/network"
#define ANSWER_MAX 4096U
#define ATTEMPTS_MAX 1000U
#define ATTEMPT_DELAY_USEC 20000U

/* -EAGAIN: moored ended before it had answered. */
static int ask_once(const char *key, char answer[static ANSWER_MAX], int *ret_fd, Error *reterr_error) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_PATH };
        _cleanup_close_ int sock = -EBADF;
        int fds[FDS_MAX], r;
        size_t n_fds = 0;
        ssize_t n;

        sock = RET_NERRNO(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        if (sock < 0)
                return error_set_errno(reterr_error, sock, "Cannot make a socket: %m");
        if (connect(sock, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return errno == ECONNREFUSED || errno == ENOENT
                                       ? error_set(reterr_error, -errno, "NotRunning",
                                                   "moored does not run, and makes the container's network: start it by "
                                                   "systemctl start moored.")
                                       : error_set_errno(reterr_error, -errno, "Cannot connect to " SOCKET_PATH ": %m");
        r = send_with_fds(sock, key, strlen(key), NULL, 0, MSG_NOSIGNAL);
        if (r < 0)
                return r == -EPIPE || r == -ECONNRESET
                                       ? -EAGAIN
                                       : error_set_errno(reterr_error, r, "Cannot send to " SOCKET_PATH ": %m");

        n = recv_with_fds(sock, answer, ANSWER_MAX - 1, fds, &n_fds, 0);
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        if (n == 0 || n == -ECONNRESET)
                return -EAGAIN;
        if (n < 0)
                return error_set_errno(reterr_error, (int) n, "Cannot receive from " SOCKET_PATH ": %m");
        answer[n] = 0;
        *ret_fd = n_fds > 0 ? fds[0] : -EBADF;
        return 0;
}

static int ask(const char *key, char answer[static ANSWER_MAX], int *ret_fd, Error *reterr_error) {
        int r = -EAGAIN;

        for (unsigned i = 0; i < ATTEMPTS_MAX && r == -EAGAIN; i++) {
                if (i > 0)
                        (void) usleep(ATTEMPT_DELAY_USEC);
                r = ask_once(key, answer, ret_fd, reterr_error);
        }
        return r == -EAGAIN ? error_set(reterr_error, r, "NotRunning", "moored ends whenever it is asked for the network.")
                            : r;
}

static int gone(Error *reterr_error) {
        return error_set(reterr_error, -ESRCH, "NotRunning",
                         "The container whose network is to be shared has ended.");
}

/* text: "PID CGROUP". What is seen while the process lives is that process's. */
static int open_of_process(const char *text, Error *reterr_error) {
        _cleanup_free_ char *number = strndup(text, strcspn(text, " ")), *actual = NULL, *path = NULL;
        const char *cgroup = text + strcspn(text, " "), *rest;
        _cleanup_close_ int pidfd = -EBADF, fd = -EBADF;
        int pid, r;

        if (!number || parse_int(number, &pid) < 0 || pid <= 1 || *cgroup++ != ' ' || *cgroup != '/')
                return error_set(reterr_error, -EPROTO, "Failed", "moored said something unknown.");
        path = strformat("/proc/%i/ns/net", pid);
        if (!path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        pidfd = pidfd_open_(pid);
        if (pidfd < 0 || cgroup_of_process(pid, &actual) < 0)
                return gone(reterr_error);
        rest = startswith(actual, cgroup);
        if (!rest || (*rest != 0 && *rest != '/'))
                return gone(reterr_error);
        fd = namespace_open(NAMESPACE_NETWORK, path, reterr_error);
        if (fd < 0)
                return fd;
        r = pidfd_kill(pidfd, 0);
        return r < 0 ? gone(reterr_error) : TAKE_FD(fd);
}

static int fetch(const char *key, Error *reterr_error) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        char answer[ANSWER_MAX];
        const char *process, *colon;
        int r;

        r = ask(key, answer, &fd, reterr_error);
        if (r < 0)
                return r;
        process = startswith(answer, "process ");
        if (process) {
                safe_close(fd);
                fd = open_of_process(process, reterr_error);
                if (fd < 0)
                        return fd;
        }
        if (fd < 0) {
                colon = strstr(answer, ": ");
                name = colon ? strndup(answer, (size_t) (colon - answer)) : NULL;
                return error_set(reterr_error, -EIO, name ?: "Failed", "%s", colon ? colon + 2 : answer);
        }

        return TAKE_FD(fd);
}

static int fetch_and_keep(const char *key, Error *reterr_error) {
        _cleanup_close_ int fd = fetch(key, reterr_error);
        int r;

        if (fd < 0)
                return fd;
        r = notify_send_fd("FDSTORE=1\nFDNAME=" NETWORK_FD_NAME, fd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot have the service manager keep the network: %m");
        return TAKE_FD(fd);
}

int launch_network(RuntimeSpec *spec, PreservedFds *preserved, int *ret_fd, Error *reterr_error) {
        const char *key = runtime_spec_annotation(spec, ANNOTATION_NETWORK);
        SpecNamespace *n = &spec->namespaces[NAMESPACE_NETWORK];
        _cleanup_close_ int fd = preserved_fds_take(preserved, NETWORK_FD_NAME);

        *ret_fd = -EBADF;
        if (!key)
                return 0;
        if (fd < 0) {
                fd = runtime_spec_annotation(spec, ANNOTATION_NETWORK_KEEP) ? fetch_and_keep(key, reterr_error)
                                                                            : fetch(key, reterr_error);
                if (fd < 0)
                        return fd;
        }

        /* Not "self": another runtime reads it as well. */
        free(n->path);
        n->wanted = true;
        n->path = strformat("/proc/%i/fd/%i", getpid(), fd);
        if (!n->path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        *ret_fd = TAKE_FD(fd);
        return 0;
}
