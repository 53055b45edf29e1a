/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service manager's store of descriptors for moored.service (FileDescriptorStoreMax=): what is put there
 * is given to the next moored, also after this one was killed. Not run by a service manager nothing is kept,
 * and nothing fails. */

#include "basic/macro.h"
#include "terminal/terminal.h"

extern const TerminalStore fd_store;

/* Once, before other descriptors are opened: those that this process was started with, by name. func takes
 * each over (1, or negative if it fails), or does not know it (0): it is closed then, and leaves the store.
 */
int fd_store_foreach(int (*func)(const char *name, int fd, void *userdata), void *userdata);
