/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by launch.c and launch-scope.c only. */

#include "runtime/init.h"
#include "runtime/launch-oci.h"
#include "runtime/prepare.h"

typedef struct Launched {
        pid_t pid;           /* the container's first process */
        int sock;            /* to it */
        InitMessage message; /* what it has said last: nothing wrong */
        int fd;              /* that came with it */
        OciLaunch *oci;      /* another runtime has made it: there is no socket, and no message */
} Launched;

#define LAUNCHED_NULL                                                                                       \
        (Launched) {                                                                                        \
                .sock = -EBADF, .fd = -EBADF                                                                \
        }

void launched_done(Launched *l);

/* What comes before anything else. *ret is the bundle's absolute path. */
int launch_begin(char *argv[], const char *bundle, char **ret, Error *reterr_error);

/* From the bundle to a process that waits to be let go on. sibling: a child of this process's parent, whose terminal, if
 * it has one, is moored's; else a child of this one, that ends with it, and whose terminal is in ret. */
int launch_init(Prepared *p, const char *bundle, bool sibling, Launched *ret, Error *reterr_error);
