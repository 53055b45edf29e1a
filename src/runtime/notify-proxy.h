/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service manager's notification socket for a container: where this program was started with
 * $NOTIFY_SOCKET, the container gets a socket of its own, "notify" in a directory that is mounted at that
 * path, and what it says there about its readiness and state is passed on. */

#include "runtime/spec.h"

#define NOTIFY_PROXY_DIR "notify" /* in the container's state directory */

/* With $NOTIFY_SOCKET a path: adds the mount of state_dir/notify and the variable to the specification. Returns
 * whether it did. */
int notify_proxy_add(RuntimeSpec *spec, const char *state_dir, Error *reterr_error);

/* Makes the directory. state_fd: the state directory. */
int notify_proxy_make(int state_fd, Error *reterr_error);

/* Makes the socket. Descriptor; -ENOENT without the directory or without $NOTIFY_SOCKET. */
int notify_proxy_open(int state_fd);
/* Makes a socket "notify" in the directory, in place of what is there. Descriptor. */
int notify_proxy_bind(int dir_fd, mode_t mode);

/* Passes one message on, with pid as the main process; 0: this process stays that. Returns whether it said that the service is ready. */
int notify_proxy_forward(int fd, pid_t pid);

/* Passes messages on until the container is ready or its process has ended. */
int notify_proxy_wait_ready(int fd, int pidfd, pid_t pid);
