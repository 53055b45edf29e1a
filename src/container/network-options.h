/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a container's options say of its network: checked, and what /etc/hosts and /etc/resolv.conf have by it. Pure. */

#include "container/options.h"
#include "network/address.h"

#define NETWORK_SERVERS_MAX 64U /* of --dns, --dns-search, --dns-option: each */
#define NETWORK_HOST_GATEWAY "host-gateway"

/* "InvalidArgument" with the option's name. */
int network_options_validate(const ContainerOptions *o, Error *reterr_error);
/* The same for what is known once the options are complete: who publishes ports needs a network. */
int network_options_check_ports(const ContainerOptions *o, Error *reterr_error);

#define NETWORK_CNI_PREFIX "cni:"
/* What is behind that: an attachment; NULL: it is another network. */
const char *network_option_cni(const char *network);

typedef struct HostsInput {
        const char *before;       /* the lines that come first; NULL: localhost's */
        char *const *names;       /* of the container, the first of them its hostname */
        const Address *addresses; /* its own, one line each; none: 127.0.1.1 */
        size_t n_addresses;
        char *const *entries;     /* "NAME:ADDRESS" */
        Address gateway;          /* NETWORK_HOST_GATEWAY; AF_UNSPEC: such entries are left out */
} HostsInput;
int hosts_build(const HostsInput *in, char **ret);

/* Does it name servers, and only such as are reached by the loopback device? */
bool resolv_is_loopback(const char *text);
/* A resolver of the container's network: servers (none: there is no such), and the domains that its names are in. */
typedef struct ResolvOwn {
        char **servers, **domains;
        char **others; /* resolvers of networks: where the host's file names them they are left out */
} ResolvOwn;
/* text: the host's. What the options say takes the place of its servers, domains, options; servers at a loopback
 * address are left out, unless loopback. own's servers come in place of the host's, its domains before all others. */
int resolv_build(const char *text, bool loopback, const ContainerOptions *o, const ResolvOwn *own, char **ret);
