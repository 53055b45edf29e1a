/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.moored1.Container's Exec(), which is in the file of what it makes. */

#include "bus/bus-object.h"

int bus_container_method_exec(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
