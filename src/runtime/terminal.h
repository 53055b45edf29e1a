/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's pseudoterminal: it is opened in the container, from the container's own devpts, and its
 * master goes to whoever shows it: a console socket, or this command itself (foreground.h). */

#include <sys/types.h>

#include "basic/error.h"

/* In the container, as the leader of a new session. Makes a terminal the controlling one and descriptors 0,
 * 1 and 2, gives it to uid. rows, columns: 0 for as they are. console: it becomes /dev/console, too. */
int terminal_open(unsigned rows, unsigned columns, uid_t uid, bool console, int *ret_master,
                  Error *reterr_error);

/* Connects to a listening unix stream socket. Descriptor or negative errno. */
int unix_connect(const char *path, const char *what, Error *reterr_error);
/* In moored's units: the master goes to the daemon, or waits for it. key: how that calls this terminal. */
#define ANNOTATION_TERMINAL "org.moored.terminal"
int terminal_hand_over(int master, const char *key, Error *reterr_error);
/* Sends a descriptor with a name as bytes over a connected socket, as runc does with console sockets. */
int unix_send_fd(int sock, const char *name, int fd, const char *what, Error *reterr_error);
