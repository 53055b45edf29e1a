/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/error.h"

/* Executes this program again from where nobody can write to it, unless it runs from there: a read-only mount
 * of its own or, for who may not mount, a sealed copy in memory. Until execve(), the container's first process
 * is this program, and its command may be /proc/self/exe: root in the container could write to the host's
 * file. A mount that nobody can find cannot be made writable again; one of the host's, read-only as it may be,
 * could. Returns only if there is nothing to do (0) or on error. argv is main()'s. */
int self_protect(char *argv[], Error *reterr_error);
