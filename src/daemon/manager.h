/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon: owns every table, in the order in which they depend on each other. */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "daemon/config.h"

typedef struct Manager Manager;

/* Opens the store, recovers what it names, connects to the bus and to PID 1. The loop ends with a code
 * above 0 when the daemon cannot go on (which is logged). config is borrowed. READY=1 goes out later,
 * when clients are let in. */
int manager_new(sd_event *event, const Config *config, Manager **ret, Error *reterr_error);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP_FUNC(Manager *, manager_free)
