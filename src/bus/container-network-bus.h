/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Properties of org.moored1.Container that are about its network. */

#include <systemd/sd-bus.h>

int bus_container_property_get_network(sd_bus *bus, const char *path, const char *interface, const char *property,
                                       sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_container_property_get_networks(sd_bus *bus, const char *path, const char *interface, const char *property,
                                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_container_property_get_interfaces(sd_bus *bus, const char *path, const char *interface, const char *property,
                                          sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_container_property_get_ports(sd_bus *bus, const char *path, const char *interface, const char *property,
                                     sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_container_property_get_network_namespace(sd_bus *bus, const char *path, const char *interface, const char *property,
                                                 sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
