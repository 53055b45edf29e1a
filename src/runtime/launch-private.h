/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by launch.c, launch-exec.c and launch-scope.c only. */

#include "runtime/init.h"
#include "runtime/launch-oci.h"
#include "runtime/prepare.h"

typedef struct Launched {
        pid_t pid;           /* the container's first process */
        int sock;            /* to it */
        InitMessage message; /* what it has said last: nothing wrong */
        int fd;              /* that came with it */
        int network;         /* the descriptor that p's network namespace is; -EBADF: it is another */
        OciLaunch *oci;      /* another runtime has made it: there is no socket, and no message */
} Launched;

#define LAUNCHED_NULL                                                                                       \
        (Launched) {                                                                                        \
                .sock = -EBADF, .fd = -EBADF, .network = -EBADF                                                         \
        }

void launched_done(Launched *l);

/* What comes before anything else. *ret is the bundle's absolute path. */
int launch_begin(char *argv[], const char *bundle, char **ret, Error *reterr_error);

/* From the bundle to a process that waits to be let go on. sibling: a child of this process's parent, whose terminal, if
 * it has one, is moored's; else a child of this one, that ends with it, and whose terminal is in ret. */
int launch_init(Prepared *p, const char *bundle, bool sibling, Launched *ret, Error *reterr_error);

/* If the message brings a terminal (*fd) that goes to moored, and the next message is received. */
int launch_pass_terminal(const RuntimeSpec *spec, int sock, InitMessage *m, int *fd, Error *reterr_error);

/* Tells the service manager the main process (ready: and that it has started; healthy: that this will be so when it is
 * healthy), and waits until it has read that. notes: what could not be had, or "". */
int launch_announce(pid_t pid, bool ready, bool healthy, const char *notes, Error *reterr_error);
/* Why there is none: to the service manager, and on stderr if that is the journal, or nobody else is told. Returns the
 * exit code. */
int launch_report(const Error *e, bool journal);
