/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* Executes this program again from a read-only mount of its own, unless it runs from a read-only one. Until
 * execve(), the container's first process is this program: through its /proc/PID/exe, root in the container
 * could write to the host's copy. A mount that nobody can find cannot be made writable again. Returns only
 * if there is nothing to do (0) or on error. argv is main()'s. */
int self_protect(char *argv[]);
