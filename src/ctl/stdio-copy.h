/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Standard input, output and error for a container in the foreground.
 *
 * A descriptor that is no terminal is given to the container as it is: no byte passes through moorctl. A
 * terminal is not: whoever holds one can push characters into its input and change its modes, so a pipe goes
 * to the container and the bytes are copied. Where stdout and stderr are the same terminal they share one
 * pipe, so that the order is kept. */

#include <systemd/sd-event.h>

#include "basic/macro.h"

typedef struct StdioCopy StdioCopy;

/* input: pass standard input on, else there is none. Copying begins with the loop. */
int stdio_copy_new(sd_event *event, bool input, StdioCopy **ret);
/* Standard input alone, into a pipe that is there already, and is taken over. ended is called at its end: the pipe is
 * closed then. */
int stdio_copy_new_input(sd_event *event, int pipe, void (*ended)(void *userdata), void *userdata, StdioCopy **ret);
StdioCopy *stdio_copy_free(StdioCopy *s);
DEFINE_CLEANUP_FUNC(StdioCopy *, stdio_copy_free)
/* What the container gets as 0, 1, 2; -EBADF: nothing. Borrowed. */
const int *stdio_copy_fds(const StdioCopy *s);
/* The container has them: closes our copies of its ends. */
void stdio_copy_release(StdioCopy *s);
/* The container has ended: writes what is left in the pipes. */
void stdio_copy_drain(StdioCopy *s);
