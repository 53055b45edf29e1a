/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Networks of CNI plug-ins, as "moorctl network" shows them beside others. */

#include "ctl/bus-util.h"
#include "ctl/table.h"

/* What is before their names, as in run --network. */
#define PLUGIN_NETWORK_PREFIX "cni:"

/* An array of objects: Name (with the prefix; missing where a file cannot be understood), Driver, File, CNIVersion, Plugins, Containers,
 * Error. */
int plugin_networks_read(Ctl *c, const char *ns, json_t **ret, Error *reterr_error);
/* name: with the prefix. A new reference. "NoSuchNetwork" */
int plugin_networks_find(Ctl *c, const char *ns, const char *name, json_t **ret, Error *reterr_error);
/* Of a name that is not for others to change: says so, and what to do instead. 0: it is another's. */
int plugin_networks_refuse(const char *name, const char *instead, Error *reterr_error);
/* A row for each that has a name; what is wrong is told on stderr, and keeps nothing else. */
int plugin_networks_add_rows(json_t *networks, Table *t);
