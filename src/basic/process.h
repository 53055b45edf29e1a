/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starting helper programs: vfork-like spawn with a pidfd and an exact set of descriptors. */

#include "basic/error.h"
#include "basic/macro.h"

#define SPAWN_FDS_MAX 16U

typedef struct SpawnSpec {
        const char *path; /* absolute */
        char *const *argv;
        char *const *envp; /* NULL: empty */
        /* descriptors of the child: fds[i] becomes number i (0, 1, 2, 3, …); -EBADF entries among 0–2 become
         * /dev/null. All others are closed. */
        int fds[SPAWN_FDS_MAX];
        size_t n_fds;
        bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
        bool new_group;       /* the process leads a group of its own */
} SpawnSpec;

/* Forks and executes; signals of the child are unblocked and at their defaults. 0–2 are /dev/null also where
 * n_fds is less than 3. die_with_parent: the parent is the calling thread. *ret_pidfd is CLOEXEC. If the
 * program cannot be executed the error is reported here. */
int process_spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd, Error *reterr_error);
int pidfd_open_(pid_t pid);
int pidfd_kill(int pidfd, int signo);
/* waitid() on a pidfd that is ready (-EAGAIN if it is not: this does not block). ret_status as in waitid:
 * code CLD_EXITED/CLD_KILLED/CLD_DUMPED and status. */
int pidfd_reap(int pidfd, int *ret_code, int *ret_status);
/* The same, and waits: not for the daemon. */
int pidfd_wait(int pidfd, int *ret_code, int *ret_status);
/* What shells make of the two: the exit code, or 128 and the signal's number. */
int process_exit_code(int code, int status);
