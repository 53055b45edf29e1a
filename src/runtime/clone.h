/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making the process that becomes a container's: new namespaces, namespaces joined, a cgroup from birth, and
 * the maps of a user namespace. */

#include "runtime/spec.h"
#include "runtime/state.h"

typedef struct CloneSpec {
        uint64_t flags;                         /* CLONE_NEW… of the namespaces to be made */
        int namespace_fds[_NAMESPACE_TYPE_MAX]; /* to be joined before that, -EBADF: none */
        int pidfd;                              /* a process whose namespaces pidfd_flags are to be joined, -EBADF */
        uint64_t pidfd_flags;                   /* CLONE_NEW…; see setns(2), Linux 5.8 */
        int cgroup_fd;                          /* the cgroup to be born in (CLONE_INTO_CGROUP), -EBADF: this one's */
        bool sibling;                           /* a child of this process's parent instead of this one's */

        /* Called by the process that joins, before it does: for what takes the host's /proc, and what nobody is
         * to find in it. Then all descriptors but these are closed. NULL: not, and none. */
        int (*leave)(void *userdata, Error *reterr_error);
        void *userdata;
        const int *kept_fds;
        size_t n_kept_fds;
} CloneSpec;

#define CLONE_SPEC_INIT                                                                                      \
        (CloneSpec) {                                                                                        \
                .namespace_fds = { [0 ... _NAMESPACE_TYPE_MAX - 1] = -EBADF }, .pidfd = -EBADF, .cgroup_fd = -EBADF \
        }

/* As fork(2): 0 in the child, its pid (in this process's pid namespace) in the parent, negative errno.
 *
 * A process cannot change its own pid namespace, and what it joins it cannot leave: if user or pid namespaces are
 * to be joined an intermediate process does that, and joins the others, and makes the child, which is this
 * process's child all the same; otherwise the child itself can do it. Nothing of this process is changed.
 *
 * The intermediate process is born in the cgroup: a descriptor of that would lead to the host.
 *
 * In the pid namespace others are, some perhaps with CAP_SYS_PTRACE, and /proc/PID of one on its way in leads to this
 * program, its descriptors, its environment and its root. So the child gets into sight last, with nothing of
 * the host's; and it is opaque (PR_SET_DUMPABLE), which keeps out those without that capability on the host. */
pid_t clone_process(const CloneSpec *c, Error *reterr_error);

/* Takes the pid namespace to be joined out of c, for init to do that later (InitContext.pid_fd): descriptor, or
 * -EBADF if there is none, or if it must be done before a user namespace is made. */
int clone_take_pid_namespace(CloneSpec *c);

/* Fills c for a process that joins all of a running container's namespaces; spec is the container's. Errors:
 * InvalidState if the container's process is gone. */
int clone_join_container(CloneSpec *c, const ContainerState *state, const RuntimeSpec *spec,
                         Error *reterr_error);

/* In the child: joins what is left to be joined. */
int clone_join_rest(const CloneSpec *c, Error *reterr_error);
/* This process joins all that is to be joined, but the pid namespace, which only its children will be in. */
int clone_join(const CloneSpec *c, Error *reterr_error);

/* Writes uid_map and gid_map of a process in a new user namespace. Without privileges, and with more than
 * this user's own id to be mapped, by newuidmap(1) and newgidmap(1), which obey /etc/subuid and /etc/subgid. */
int user_namespace_write_maps(pid_t pid, const RuntimeSpec *spec, Error *reterr_error);

/* For a process that has just unshared its time namespace: sets the offsets and enters it. */
int time_namespace_enter(const RuntimeSpec *spec, Error *reterr_error);
