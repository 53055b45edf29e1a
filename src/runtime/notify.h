/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service manager's notification socket (sd_notify(3)), by hand: libsystemd's loading would cost more
 * than all the rest of a launch. */

#include "basic/macro.h"

/* Sends one message to $NOTIFY_SOCKET. 0 without that variable, 1 when sent, else a negative errno. */
int notify_send(const char *message);
/* The same with a descriptor; -EBADF: without one. */
int notify_send_fd(const char *message, int fd_to_send);
/* Waits until the messages sent before have been dealt with. 0 without $NOTIFY_SOCKET. */
int notify_barrier(void);
