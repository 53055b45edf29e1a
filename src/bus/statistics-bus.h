/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Members of org.moored1.Container that say what it uses. */

#include <systemd/sd-bus.h>

int bus_container_method_statistics(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
/* GetProcesses() and ListProcesses() */
int bus_container_method_processes(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
