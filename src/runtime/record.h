/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starts and ends of a container that the service manager starts again, written down in its bundle
 * (basic/run-log.h). */

#include "basic/error.h"

/* By the launcher, when the service manager knows the container's process. */
int record_start(const char *bundle, pid_t pid, Error *reterr_error);
/* By who has waited for that process, code and status as waitid(2) has them. */
int record_end(const char *bundle, int code, int status, Error *reterr_error);
/* `mooring record-exit BUNDLE`: the unit's ExecStopPost=. What has ended, and how, is in the environment
 * (systemd.exec(5): $INVOCATION_ID, $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS). As the verbs of launch.h. */
int record_exit(char *argv[], Error *reterr_error);
/* `mooring record-exec FILE`: the same of an exec's unit, into the file that moored has made for it, if that is there. */
int record_exec(char *argv[], Error *reterr_error);
