/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options of "run" and "create" that are about the network, and their part of the option bag. */

#include <systemd/sd-bus.h>

#include "basic/error.h"
#include "basic/macro.h"

typedef struct CreateNetwork {
        char **networks; /* NAME[:KEY=VALUE,…], or "none", "host", … */
        char **details;  /* "ip=…", "mac=…", "alias=…": of the only one */
        char **publish, **expose, **dns, **dns_search, **dns_options, **hosts;
        bool publish_all;
} CreateNetwork;
void create_network_done(CreateNetwork *n);
/* Details of which of several networks? "InvalidArgument" */
int create_network_check(const CreateNetwork *n, Error *reterr_error);
int create_network_append(sd_bus_message *m, const CreateNetwork *n);
/* The networks with their details; exported for the tests. */
int create_network_join(const CreateNetwork *n, char ***ret);

/* For the table of options; target: CreateOptions. */
int apply_network(const char *value, void *target, Error *reterr_error);
int apply_publish(const char *value, void *target, Error *reterr_error);
int apply_ip(const char *value, void *target, Error *reterr_error);
int apply_mac_address(const char *value, void *target, Error *reterr_error);
int apply_network_alias(const char *value, void *target, Error *reterr_error);
int apply_add_host(const char *value, void *target, Error *reterr_error);
