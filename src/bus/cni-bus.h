/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.moored1.Namespace.ListPluginNetworks(). userdata is the NamespaceRow. */

#include <systemd/sd-bus.h>

int bus_namespace_method_list_plugin_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
