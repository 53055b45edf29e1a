/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Attributes that a process keeps across execve(). Nothing is done, and nothing costs, where the
 * specification does not ask for it. labels.h has those of security modules. */

#include "basic/error.h"
#include "runtime/spec.h"

/* ioPriority and scheduler of another process (0: of this one). By who has the host's privileges: a process
 * in a user namespace may not raise what it has. When the process is in its cgroup, whose cpuset and limits
 * the kernel looks at, and has no more to fork: a task of SCHED_DEADLINE cannot. */
int attributes_apply(pid_t pid, const ProcessSpec *p, Error *reterr_error);

/* linux.memoryPolicy and linux.personality, of this process: for init and for an exec. Before the seccomp
 * filter and the user change; in the cgroup, whose cpuset bounds the nodes. */
int attributes_apply_self(const RuntimeSpec *s, Error *reterr_error);

/* CPUs of process pid (0: of this one). For an exec: exec_cpus_initial before it goes to the container's
 * cgroup, exec_cpus_final in it. Without CPUs in the list: nothing is done. */
int attributes_set_affinity(pid_t pid, const BitList *cpus, Error *reterr_error);

/* All CPUs that the cgroup allows: what the caller of this program is bound to is not for the container. Not
 * for an exec that has an execCPUAffinity. */
int attributes_reset_affinity(pid_t pid, Error *reterr_error);
