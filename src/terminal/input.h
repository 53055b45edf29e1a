/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Standard input of processes in the background that have no terminal: a pipe, whose writing end is kept
 * here and in the service manager's store, and copied for whoever wants to write. It ends when it is closed
 * here and by all who have a copy. What is written never passes through the daemon. */

#include "terminal/terminal.h"

typedef struct InputManager InputManager;

/* store NULL: nothing is kept. */
int input_manager_new(const TerminalStore *store, void *store_userdata, InputManager **ret);
InputManager *input_manager_free(InputManager *m);
DEFINE_CLEANUP_FUNC(InputManager *, input_manager_free)

/* As terminal_manager_adopt() and terminal_manager_recovered(). */
int input_manager_adopt(InputManager *m, const char *name, int fd);
void input_manager_recovered(InputManager *m, bool (*wanted)(const char *key, void *userdata),
                             void *userdata);

/* *ret_fd, the reading end, is the caller's. An older one of this key is closed. */
int input_new(InputManager *m, const char *key, int *ret_fd);
/* Borrowed; -EBADF: there is none, or it was closed. */
int input_get(InputManager *m, const char *key);
void input_close(InputManager *m, const char *key);
