/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

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
                return error_set(reterr_error, -E2BIG, "LimitExceeded",
                                 "--preserve-fds and LISTEN_FDS: more than %u descriptors.",
                                 PRESERVE_FDS_MAX);
        for (int fd = STDERR_FILENO + 1; fd <= STDERR_FILENO + (int) (n + p->n_listen); fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        p->fds[p->n++] = fd;
        return 0;
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
