/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A control group for a launcher that stays for a while. Who is in the container gives the controllers of
 * its control group, the unit's, to groups below, which the kernel allows where no process is in there; the
 * launcher is, and so makes a group of its own. It cannot remove the one it is in: its end is in that of the
 * container's process. */

#include <sys/types.h>

#include "basic/macro.h"

#define LAUNCHER_CGROUP "launcher"

typedef struct Aside {
        int root_fd; /* of the hierarchy; -EBADF: this process is where it was */
        char *path;
} Aside;

#define ASIDE_NULL ((Aside){ .root_fd = -EBADF })

void aside_done(Aside *a);

/* Nothing is done if this process is there already. */
int aside_step(Aside *ret);
/* pid: the container's process. */
void aside_step_back(const Aside *a, pid_t pid);
