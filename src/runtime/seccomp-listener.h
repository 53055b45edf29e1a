/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A filter that asks another process about system calls (SCMP_ACT_NOTIFY): the descriptor for its questions
 * goes to a unix socket, with the container process state (config-linux.md, "Seccomp"). */

#include "runtime/seccomp-filter.h"
#include "runtime/state.h"

/* Connects to linux.seccomp.listenerPath, in the host's file system. *ret is -EBADF if there is no listener. The
 * path counts only if the profile asks somebody; otherwise one that nobody listens on does no harm. */
int seccomp_listener_connect(const SeccompSpec *s, int *ret, Error *reterr_error);

/* What is sent: owned, NULL on OOM. pid: of the process with the filter, as the runtime sees it. */
char *seccomp_listener_message(const SeccompSpec *s, const ContainerState *state, ContainerStatus status,
                               pid_t pid);

/* As seccomp_install(), and sends message with the filter's descriptor to sock. On return both is done, or the
 * process should end: its filter may be there, and nobody answers. Not much can be said then: the filter may
 * forbid it. */
int seccomp_install_with_listener(const SeccompProgram *p, int sock, const char *message,
                                  Error *reterr_error);
