/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a command tells about itself: a line on stderr, and to --log as text or as a JSON object
 * ({"level":…,"msg":…,"time":…}), which engines read back for the reason of a failure. --log is a file, or
 * "file:PATH", "syslog:IDENTIFIER", "journald:IDENTIFIER". It is opened for each line: most commands have
 * none. */

#include <syslog.h>

#include "runtime/command.h"

/* Says where to; g must stay. Errors: a --log of an unknown kind. Before it, and without: stderr. */
int report_setup(const GlobalOptions *g, Error *reterr_error);

/* LOG_ERR, LOG_WARNING, LOG_DEBUG, as far as --log-level goes. Debugging goes to stderr only without --log.
 */
void report(int level, const char *format, ...) _printf_(2, 3);

#define report_error(e) report(LOG_ERR, "%s", error_message(e))
#define report_warning(...) report(LOG_WARNING, __VA_ARGS__)
#define report_debug(...) report(LOG_DEBUG, __VA_ARGS__)
