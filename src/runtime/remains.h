/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is left of a creation that was cut short. The container's processes end by themselves with who made
 * them, but not what they were in, and the state, which names that, is written last. So what may be made is
 * noted before, in the container's directory. */

#include "runtime/command.h"
#include "runtime/spec.h"

/* To be called before the container's cgroup is made. */
int remains_note(int dir_fd, CgroupManager manager, const RuntimeSpec *spec, const char *id, bool rootless,
                 Error *reterr_error);

/* Removes what has been noted, as far as it is there and nobody uses it; nobody is killed, as it may be
 * somebody else's: such a creation would have failed. */
void remains_remove(int dir_fd, const char *id);
