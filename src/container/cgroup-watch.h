/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Control groups of containers that run, by inotify: what PID 1 and the kernel tell nobody.
 *
 *   memory.events              the OOM killer was there            → oom.c
 *   cgroup.events              somebody has frozen or thawed it    → pause.c
 *   memory.max, cpu.weight, …  a limit was written                 → unit-limits.c
 */

#include "container/container.h"

typedef struct CgroupWatch CgroupWatch;

int cgroup_watch_new(ContainerManager *m, CgroupWatch **ret);
CgroupWatch *cgroup_watch_free(CgroupWatch *w);

/* It runs: is watched soon, if it still does so then. What ends at once costs nothing. */
void cgroup_watch_schedule(CgroupWatch *w);
/* It has ended. */
void cgroup_watch_drop(CgroupWatch *w, Container *c);
