/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PID 1 as the supervisor: transient units, their jobs and their ends, over a bus connection of its own.
 * Fills container.h's UnitBackend. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "container/container.h"

typedef struct UnitManager UnitManager;

/* Connects, subscribes, asks for the units moored-*.service asynchronously; ready is called when each has
 * been told to container_unit_changed(). Reconnects by itself when the connection is lost and tells
 * everything anew. */
int unit_manager_new(sd_event *event, ContainerManager *containers, void (*ready)(void *userdata),
                     void *userdata, UnitManager **ret, Error *reterr_error);
UnitManager *unit_manager_free(UnitManager *m);
DEFINE_CLEANUP_FUNC(UnitManager *, unit_manager_free)
