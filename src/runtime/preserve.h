/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Descriptors beyond 0, 1 and 2 that the caller means for the container: --preserve-fds, and those of a socket
 * unit, by sd_listen_fds(3). */

#include "basic/error.h"
#include "basic/macro.h"

#define PRESERVE_FDS_MAX 1024U

typedef struct PreservedFds {
        int fds[PRESERVE_FDS_MAX];
        size_t n;
        unsigned n_listen; /* how many of them, at the end, are a socket unit's */
} PreservedFds;

/* "--preserve-fds=N" */
int preserve_fds_parse(const char *s, unsigned *ret, Error *reterr_error);

/* Looks which of 3 … 2 + n, and of those of $LISTEN_FDS behind them, are open. To be called before this program
 * opens anything of its own, which could otherwise be taken for one of them. */
int preserved_fds_find(PreservedFds *p, unsigned n, Error *reterr_error);

/* That of $LISTEN_FDNAMES with this name is the caller's, not the container's: the variable is changed. The service manager
 * passes those that it keeps behind those of sockets, which stay where they are. Descriptor (CLOEXEC), or -EBADF: there is
 * none. */
int preserved_fds_take(PreservedFds *p, const char *name);

/* Adds $LISTEN_FDS, $LISTEN_PID and $LISTEN_FDNAMES to the environment if there are such. */
int preserved_fds_add_env(const PreservedFds *p, char ***env, Error *reterr_error);
