/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/preserve.h"

int preserve_fds_parse(const char *s, unsigned *ret, Error *reterr_error) {
        uint64_t n;

        if (parse_uint64(s, &n) < 0 || n > PRESERVE_FDS_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--preserve-fds=%s: a number from 0 to %u is needed.", s, PRESERVE_FDS_MAX);
        *ret = (unsigned) n;
        return 0;
}

/* Without $LISTEN_PID they are meant for whoever gets the variable. */
static unsigned listen_fds(void) {
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        uint64_t n, p;

        if (!fds || parse_uint64(fds, &n) < 0 || n > PRESERVE_FDS_MAX)
                return 0;
        if (pid && (parse_uint64(pid, &p) < 0 || p != (uint64_t) getpid()))
                return 0;
        return (unsigned) n;
}

int preserved_fds_find(PreservedFds *p, unsigned n, Error *reterr_error) {
        p->n_listen = listen_fds();
        p->n = 0;
        if (n + p->n_listen > PRESERVE_FDS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "--preserve-fds and LISTEN_FDS: more than %u descriptors.",
                                 PRESERVE_FDS_MAX);
        for (int fd = STDERR_FILENO + 1; fd <= STDERR_FILENO + (int) (n + p->n_listen); fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        p->fds[p->n++] = fd;
        return 0;
}

int preserved_fds_take(PreservedFds *p, const char *name) {
        const char *text = getenv("LISTEN_FDNAMES");
        _cleanup_strv_free_ char **names = text && p->n_listen > 0 ? strv_split(text, ":") : NULL, **rest = NULL;
        _cleanup_free_ char *joined = NULL;
        int fd = -EBADF;
        size_t i = 0;

        STRV_FOREACH(s, names) {
                if (fd < 0 && streq(s, name) && i < p->n_listen)
                        fd = STDERR_FILENO + 1 + (int) i;
                else if (strv_extend(&rest, s) < 0)
                        return -ENOMEM;
                i++;
        }
        if (fd < 0)
                return -EBADF;
        joined = strv_join(rest, ":");
        if (!joined || setenv("LISTEN_FDNAMES", joined, true) < 0)
                return -ENOMEM;

        p->n_listen--;
        for (size_t k = 0; k < p->n; k++)
                if (p->fds[k] == fd) {
                        memmove(p->fds + k, p->fds + k + 1, (--p->n - k) * sizeof(int));
                        return fd_set_cloexec(fd, true) < 0 ? -EBADF : fd;
                }
        return -EBADF;
}

int preserved_fds_add_env(const PreservedFds *p, char ***env, Error *reterr_error) {
        _cleanup_free_ char *fds = NULL, *names = NULL;

        if (p->n_listen == 0)
                return 0;
        fds = strformat("LISTEN_FDS=%u", p->n_listen);
        names = strjoin("LISTEN_FDNAMES=", strempty(getenv("LISTEN_FDNAMES")));
        if (!fds || !names || (getenv("LISTEN_FDNAMES") && strv_env_set(env, names) < 0) || strv_env_set(env, fds) < 0 || strv_env_set(env, "LISTEN_PID=1") < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return 0;
}
