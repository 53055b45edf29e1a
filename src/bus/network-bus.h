/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of org.moored1.Namespace that are about networks; userdata is the NamespaceRow. */

#include <systemd/sd-bus.h>

int bus_namespace_method_create_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_remove_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_list_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_namespace_method_get_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
