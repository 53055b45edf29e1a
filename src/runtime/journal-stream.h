/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The journal as stdout and stderr. The service manager connects both by one stream; here stderr gets one of
 * its own, whose lines have priority 3 ("err") instead of 6 ("info"): so a reader can tell the two apart. */

#include "basic/macro.h"

/* Whether stderr is the journal, as $JOURNAL_STREAM says by device and inode. */
bool journal_stream_is_stderr(void);
/* If it is: connects it to the journal once more. identifier: the lines' SYSLOG_IDENTIFIER. After an error
 * stderr is what it was. */
int journal_stream_split_stderr(const char *identifier);
/* Exported for the tests. The unit in a control group's path ("/a.slice/b.service/payload"): a copy, NULL
 * on OOM, "" if there is none. */
char *journal_stream_unit(const char *cgroup);
