/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "bus/bus-object.h"

/* What networks have in the kernel is made anew, and what their resolvers know. */
int bus_reload_networks(Bus *b, Error *reterr_error);

/* The methods of org.moored1.Namespace that are about networks; userdata is the NamespaceRow. */

int bus_namespace_method_create_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_remove_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_list_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_get_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
