/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the launcher does for a container that runs a whole system (container/system.h): it is registered
 * with systemd-machined, and it is ready when it says so itself. For the latter the launcher stays until
 * then. */

#include <sys/types.h>

#include "basic/error.h"
#include "runtime/launch-aside.h"
#include "runtime/spec.h"

#define ANNOTATION_MACHINE "org.moored.machine"
#define ANNOTATION_SYSTEM "org.moored.system"

typedef struct SystemLaunch {
        pid_t pid;     /* of its first process */
        int pidfd;     /* the same; -EBADF, as below: not to be waited for */
        int notify_fd; /* what it says */
        Aside aside;
} SystemLaunch;

#define SYSTEM_LAUNCH_NULL ((SystemLaunch){ .pidfd = -EBADF, .notify_fd = -EBADF, .aside = ASIDE_NULL })

void system_launch_done(SystemLaunch *l);

/* pid is set up, and has executed nothing yet. Nothing is done for a container without these annotations.
 * Returns whether its readiness is to be waited for. */
int system_launch_begin(const RuntimeSpec *spec, const char *bundle, pid_t pid, SystemLaunch *ret,
                        Error *reterr_error);

/* Passes on what it says until it is ready, or has ended. */
int system_launch_wait(SystemLaunch *l, Error *reterr_error);
