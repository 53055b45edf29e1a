/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may call what: one filter in front of all objects, one table of rules. See bus-auth.c. */

#include <systemd/sd-bus.h>

#include "basic/error.h"

typedef struct BusAuth BusAuth;

typedef enum BusAction {
        BUS_ACTION_OPEN, /* no question is asked */
        BUS_ACTION_ROOT, /* nobody but root */
        BUS_ACTION_INSPECT,
        BUS_ACTION_INSPECT_SECRETS,
        BUS_ACTION_MANAGE_IMAGES,
        BUS_ACTION_MANAGE_CONTAINERS,
        BUS_ACTION_MANAGE_NAMESPACES,
        BUS_ACTION_MANAGE_NETWORKS,
        BUS_ACTION_COLLECT_GARBAGE,
        _BUS_ACTION_MAX,
        _BUS_ACTION_INVALID = -EINVAL,
} BusAction;

/* Installs the filter on a connection to a bus. */
int bus_auth_new(sd_bus *bus, BusAuth **ret, Error *reterr_error);
BusAuth *bus_auth_free(BusAuth *a);
DEFINE_CLEANUP_FUNC(BusAuth *, bus_auth_free)

/* What a call needs. property: of Get, or NULL. */
BusAction bus_action_for_call(const char *interface, const char *member, const char *property);
/* polkit's id of the action; NULL for those that polkit is not asked about. */
const char *bus_action_id(BusAction a);
