/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of org.moored1.Container (userdata is the Container) and org.moored1.Network (the Network) that add and remove
 * interfaces of containers. */

#include <systemd/sd-bus.h>

int bus_container_method_add_interface(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_network_method_connect(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_network_method_disconnect(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
