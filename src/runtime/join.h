/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A process that joins a container of moored's, of which there is no state of mooring's own. What is to be
 * executed is a specification without root and mounts: `process`, `linux.namespaces` (those that the
 * container has of its own) and annotations: ANNOTATION_USER, _GROUPS, _SECCOMP as for a container, and the
 * two below. Written by container/spec.c. */

#include "runtime/clone.h"
#include "runtime/init.h"
#include "runtime/seccomp-cache.h"

/* The container's init, as the host sees it, and the cgroup that it is in, or below: by this it is told from a
 * later process of its number. */
#define ANNOTATION_EXEC_PID "org.moored.exec.pid"
#define ANNOTATION_EXEC_CGROUP "org.moored.exec.cgroup"

typedef struct Join {
        RuntimeSpec *spec;
        SeccompProgram seccomp;
        CloneSpec clone; /* owns pidfd and cgroup_fd */
        int kept_fds[1];
        bool tied; /* the process ends with this one */
        int sock; /* to init */
        pid_t pid;
} Join;

#define JOIN_INIT                                                                                           \
        (Join) {                                                                                            \
                .clone = CLONE_SPEC_INIT, .sock = -EBADF                                                    \
        }

void join_done(Join *j);

/* Fills j from the file: specification, seccomp filter, the container's process and cgroup. Nothing is made yet.
 * Errors: NotRunning if the container's process is gone. */
int join_prepare(Join *j, const char *path, Error *reterr_error);

/* The same for j->spec, which is the container's own, with what is to be executed in its `process`. pid: of the
 * container's init; cgroup: that it is in, or below. */
int join_prepare_container(Join *j, pid_t pid, const char *cgroup, Error *reterr_error);

/* Makes the process: in the container's cgroup from birth and in its namespaces, up to where init waits to be let go on
 * (init.h). sibling: a child of this process's parent. j->sock and j->pid are set; the next is init_receive(). */
int join_start(Join *j, bool sibling, Error *reterr_error);

/* For CloneSpec.leave, userdata is the ProcessSpec: what is set while /proc is the host's. */
int join_leave(void *userdata, Error *reterr_error);
