/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Members of org.moored1.Container that are about limits, and the dictionary that these are on the bus:
 * of the property Limits, of Update() and of the option Limits of RunContainer(). */

#include <systemd/sd-bus.h>

#include "bus/bus-options.h"

/* For option tables, signature a{sv}: appends assignments to a char **. */
int bus_option_limits(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
/* Signature as: appends assignments in any spelling that a unit file may have. */
int bus_option_properties(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);

int bus_container_method_update(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_container_property_get_limits(sd_bus *bus, const char *path, const char *interface,
                                      const char *property, sd_bus_message *reply, void *userdata,
                                      sd_bus_error *ret_error);
