/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The log of one container from now on, for verbs that do more than show it. */

#include "ctl/ctl.h"

typedef struct LogFollower LogFollower;
/* What is written from now on is printed by the loop, as it was written. */
int log_follower_new(Ctl *c, sd_event *event, const char *id, LogFollower **ret, Error *reterr_error);
/* The container has ended: prints what is left. */
void log_follower_finish(LogFollower *f);
LogFollower *log_follower_free(LogFollower *f);
