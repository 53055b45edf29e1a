/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The resolvers by which containers find each other: one dnsmasq for each network, in a unit of its own
 * (moored-dns@DEVICE.service), which runs while a container that asks it is up and for some seconds afterwards. The unit
 * is PID 1's: it does not need moored, which only says when, and keeps its files (network/names.h). */

#include "container/container.h"

/* path: the program; not there: containers get the host's servers, which the log says once. NULL (as it is before): no
 * resolvers are wanted. Borrowed. */
void container_manager_set_resolver(ContainerManager *m, const char *path);
/* Are the names of containers on it found, now that things are as they are? */
bool container_names_are_served(ContainerManager *m, const Network *n);
/* Starts those that were wanted and have failed, after container_networks_recovered() the others, too. */
void container_names_reload(ContainerManager *m);
