/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of a terminal as entries of the journal, by its native protocol and without ever waiting. */

#include "terminal/ring.h"

/* journald's own limits are per unit, and these entries are all of the daemon's: so they are kept here. */
#define TERMINAL_LOG_INTERVAL_USEC (UINT64_C(30) * 1000 * 1000)
#define TERMINAL_LOG_BURST 10000U

typedef struct TerminalLimit {
        uint64_t begin_usec;
        unsigned lines, suppressed;
} TerminalLimit;

typedef struct TerminalLog TerminalLog;
/* path: journald's socket. */
int terminal_log_new(const char *path, TerminalLog **ret);
TerminalLog *terminal_log_free(TerminalLog *l);
DEFINE_CLEANUP_FUNC(TerminalLog *, terminal_log_free)

/* What is complete of what has not been written; all: also a line without an end. r->logged moves. -EAGAIN:
 * the journal takes nothing just now. */
int terminal_log_write(TerminalLog *l, Ring *r, TerminalLimit *limit, bool all);
