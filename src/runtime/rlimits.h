/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource limits and the score of the out-of-memory killer, of this process or, where a process has no
 * privileges of the host any more, set from outside. */

#include <sys/types.h>

#include "runtime/spec-process.h"

/* Adds a sentence (owned, NULL: out of memory) to a text of what could not be had. notes NULL: it is reported
 * (report.h). */
int notes_add(char **notes, char *sentence, Error *reterr_error);

/* pid 0: this process. Where a hard limit cannot be raised for want of a capability it stays as it is, which
 * is a note. */
int rlimits_apply(pid_t pid, const ProcessSpec *process, char **notes, Error *reterr_error);
int oom_score_apply(pid_t pid, const ProcessSpec *process, char **notes, Error *reterr_error);
