/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the options of a new network to its record. Nothing is made here: all that can be wrong is said
 * before. */

#include <stdarg.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"

#define DEVICE_PREFIX "moored"
#define MTU_MIN 68U /* RFC 791 */
#define MTU_MIN_IPV6 1280U
#define MTU_MAX 65535U
/* Podman has 10.88.0.0/16 and what follows, CRI-O 10.85.0.0/16, whether their bridges are there or not. */
#define DEFAULT_SUBNET "10.86.0.0/16"

typedef struct NewSubnet {
        Prefix prefix;
        Address gateway; /* AF_UNSPEC: none */
        Prefix range;    /* length 0: all of it */
} NewSubnet;

typedef struct NewNetwork {
        NetworkManager *manager;
        const NetworkOptions *options;
        TakenSubnets taken;
        NewSubnet subnets[SUBNETS_MAX];
        size_t n_subnets;
        NetworkRow row;
} NewNetwork;

static void new_network_done(NewNetwork *n) {
        taken_subnets_done(&n->taken);
        network_row_done(&n->row);
}

static int invalid(Error *e, const char *format, ...) _printf_(2, 3);
static int invalid(Error *e, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        return error_set(e, -EINVAL, "InvalidArgument", "%s", text ?: "Out of memory");
}

/* -- subnets -- */

static NewSubnet *subnet_of(NewNetwork *n, const Address *a) {
        for (size_t i = 0; i < n->n_subnets; i++)
                if (prefix_contains(&n->subnets[i].prefix, a))
                        return &n->subnets[i];
        return NULL;
}

static int check_free(NewNetwork *n, const Prefix *p, Error *reterr_error) {
        char text[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];
        const TakenSubnet *t = taken_subnets_find(&n->taken, p);

        if (!t)
                return 0;
        return error_set(reterr_error, -EADDRINUSE, "SubnetInUse",
                         "The subnet %s overlaps %s, which is %s: choose another.", prefix_format(p, text),
                         prefix_format(&t->prefix, other), t->by);
}

static int add_subnet(NewNetwork *n, const Prefix *p, Error *reterr_error) {
        int r;

        r = check_free(n, p, reterr_error);
        if (r < 0)
                return r;
        r = taken_subnets_add(&n->taken, p, "another subnet of the same network");
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");

        n->subnets[n->n_subnets++] = (NewSubnet) { .prefix = *p };
        return 0;
}

static int parse_subnet(NewNetwork *n, const char *text, Error *reterr_error) {
        char proposal[ADDRESS_TEXT_MAX];
        Address first;
        Prefix p;

        if (n->n_subnets >= SUBNETS_MAX)
                return invalid(reterr_error, "A network can have %u subnets at most.", SUBNETS_MAX);
        if (prefix_parse(text, &p) < 0)
                return invalid(reterr_error,
                               "“%s” is not a subnet: it is written as 10.90.0.0/24, or fd00:1::/64.", text);
        if (!prefix_is_subnet(&p)) {
                Prefix s = prefix_subnet(&p);

                return invalid(reterr_error, "“%s” is an address in a subnet: the subnet is %s.", text,
                               prefix_format(&s, proposal));
        }
        if (p.length < 8 || p.length > (p.address.family == AF_INET ? 31U : 127U))
                return invalid(reterr_error,
                               "The subnet %s is too %s: it needs room for a gateway and a container, and a length of at least 8.",
                               text, p.length < 8 ? "large" : "small");
        if (!address_add(&p.address, 1, &first) || !address_is_unicast(&first))
                return invalid(reterr_error, "The subnet %s is not one that a network can have.", text);

        return add_subnet(n, &p, reterr_error);
}

/* One that is free; the default network's is always the same where that is possible. */
static int choose_subnet(NewNetwork *n, int family, Error *reterr_error) {
        Prefix wanted, p;
        bool is_default = streq(n->row.name, NETWORK_DEFAULT) && family == AF_INET;
        int r;

        r = prefix_parse(DEFAULT_SUBNET, &wanted);
        if (r >= 0)
                r = subnet_choose(&n->taken, family, is_default ? &wanted : NULL, &p, reterr_error);
        return r < 0 ? r : add_subnet(n, &p, reterr_error);
}

static int parse_gateway(NewNetwork *n, const char *text, Error *reterr_error) {
        NewSubnet *s;
        Address a;

        if (address_parse(text, &a) < 0)
                return invalid(reterr_error, "The gateway “%s” is not an IP address.", text);
        s = subnet_of(n, &a);
        if (!s)
                return invalid(reterr_error, "The gateway %s is in none of the network's subnets.", text);
        if (!prefix_can_assign(&s->prefix, &a))
                return invalid(reterr_error,
                               "The gateway %s is not an address that a device can have in its subnet.",
                               text);
        if (s->gateway.family != AF_UNSPEC)
                return invalid(reterr_error, "There are two gateways for one subnet; %s is the second.",
                               text);

        s->gateway = a;
        return 0;
}

static int parse_address_range(NewNetwork *n, const char *text, Error *reterr_error) {
        NewSubnet *s;
        Prefix p;

        if (prefix_parse(text, &p) < 0 || !prefix_is_subnet(&p))
                return invalid(reterr_error,
                               "“%s” is not a range of addresses: it is written as 10.90.0.128/25.", text);
        s = subnet_of(n, &p.address);
        if (!s || p.length < s->prefix.length)
                return invalid(reterr_error, "The range %s is in none of the network's subnets.", text);
        if (s->range.length > 0)
                return invalid(reterr_error, "There are two ranges for one subnet; %s is the second.", text);

        s->range = p;
        return 0;
}

static int default_gateways(NewNetwork *n, Error *reterr_error) {
        for (size_t i = 0; i < n->n_subnets; i++) {
                NewSubnet *s = &n->subnets[i];
                uint64_t first = s->prefix.length + 1 == (s->prefix.address.family == AF_INET ? 32U : 128U)
                                                 ? 0
                                                 : 1;

                if (s->gateway.family == AF_UNSPEC && !address_add(&s->prefix.address, first, &s->gateway))
                        return invalid(reterr_error, "A subnet has no address for a gateway.");
        }

        return 0;
}

static bool has_family(const NewNetwork *n, int family) {
        for (size_t i = 0; i < n->n_subnets; i++)
                if (n->subnets[i].prefix.address.family == family)
                        return true;
        return false;
}

static int new_subnets(NewNetwork *n, Error *reterr_error) {
        const NetworkOptions *o = n->options;
        int r;

        /* With a parent the host's own routes are expected: it is on that network, too. */
        r = taken_subnets_collect(n->manager, o->driver == NETWORK_BRIDGE, &n->taken, reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH (s, o->subnets) {
                r = parse_subnet(n, s, reterr_error);
                if (r < 0)
                        return r;
        }
        if (n->n_subnets == 0 && o->driver != NETWORK_BRIDGE)
                return invalid(reterr_error,
                               "A network of driver %s needs a subnet (--subnet): that of the network of its parent, with a range "
                               "(--ip-range) that nobody else there has.",
                               network_driver_to_string(o->driver));
        if (n->n_subnets == 0) {
                r = choose_subnet(n, AF_INET, reterr_error);
                if (r < 0)
                        return r;
        }
        if (o->ipv6 && !has_family(n, AF_INET6)) {
                if (n->n_subnets >= SUBNETS_MAX)
                        return invalid(reterr_error, "A network can have %u subnets at most.", SUBNETS_MAX);
                r = choose_subnet(n, AF_INET6, reterr_error);
                if (r < 0)
                        return r;
        }

        STRV_FOREACH (g, o->gateways) {
                r = parse_gateway(n, g, reterr_error);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH (range, o->ranges) {
                r = parse_address_range(n, range, reterr_error);
                if (r < 0)
                        return r;
        }

        return default_gateways(n, reterr_error);
}

/* -- names -- */

static bool device_is_known(NetworkManager *m, const char *device) {
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (streq_ptr(n->row.device, device))
                        return true;
        return false;
}

static int check_device(NewNetwork *n, Netlink *netlink, const char *device, Error *reterr_error) {
        LinkInfo link;

        if (!network_device_name_is_valid(device))
                return invalid(reterr_error,
                               "“%s” is no name for a device: use letters, digits, “_”, “.” and “-”, at most %u characters.",
                               device, IF_NAMESIZE - 1U);
        if (device_is_known(n->manager, device))
                return error_set(reterr_error, -EEXIST, "DeviceExists",
                                 "The device %s is another network's: choose another name.", device);
        if (netlink_get_link(netlink, device, &link) >= 0)
                return error_set(
                                reterr_error, -EEXIST, "DeviceExists",
                                "This host has a device %s, which is not a network's of moored: choose another name.",
                                device);
        return 0;
}

static int choose_device(NewNetwork *n, Netlink *netlink, Error *reterr_error) {
        for (unsigned i = 0; i <= NETWORKS_MAX * 2; i++) {
                char device[IF_NAMESIZE];
                LinkInfo link;

                (void) snprintf(device, sizeof(device), DEVICE_PREFIX "%u", i);
                if (device_is_known(n->manager, device) ||
                    netlink_get_link(netlink, device, &link) != -ENODEV)
                        continue;

                n->row.device = strdup(device);
                return n->row.device ? 0 : error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }

        return error_set(reterr_error, -EEXIST, "DeviceExists",
                         "This host has too many devices named " DEVICE_PREFIX "….");
}

static int check_mode(const NetworkOptions *o, Error *reterr_error) {
        static const char *const macvlan[] = { "bridge", "private", "vepa", "passthru" };
        static const char *const ipvlan[] = { "l2", "l3", "l3s" };
        const char *const *modes = o->driver == NETWORK_MACVLAN ? macvlan : ipvlan;
        size_t n_modes = o->driver == NETWORK_MACVLAN ? ELEMENTSOF(macvlan) : ELEMENTSOF(ipvlan);

        if (!o->mode)
                return 0;
        for (size_t i = 0; i < n_modes; i++)
                if (streq(modes[i], o->mode))
                        return 0;
        return invalid(reterr_error, "“%s” is no mode of %s: %s.", o->mode,
                       network_driver_to_string(o->driver),
                       o->driver == NETWORK_MACVLAN ? "bridge, private, vepa, passthru" : "l2, l3, l3s");
}

static int new_bridge(NewNetwork *n, Netlink *netlink, Error *reterr_error) {
        const NetworkOptions *o = n->options;
        int r;

        if (o->internal && o->open)
                return invalid(reterr_error,
                               "An internal network is isolated: nothing leaves it, to other networks neither.");
        if (o->parent || o->mode)
                return invalid(reterr_error,
                               "A bridge has no %s: that is for the drivers macvlan and ipvlan.",
                               o->parent ? "parent" : "mode");
        if (!o->device)
                return choose_device(n, netlink, reterr_error);

        r = check_device(n, netlink, o->device, reterr_error);
        if (r < 0)
                return r;
        n->row.device = strdup(o->device);
        return n->row.device ? 0 : error_set_errno(reterr_error, -ENOMEM, "Out of memory");
}

static int new_sub_device(NewNetwork *n, Netlink *netlink, Error *reterr_error) {
        const NetworkOptions *o = n->options;
        LinkInfo link;
        int r;

        if (o->device)
                return invalid(reterr_error,
                               "Only a bridge has a device of its own; a network of driver %s has a parent (--parent).",
                               network_driver_to_string(o->driver));
        if (o->open)
                return invalid(reterr_error,
                               "Only bridges can be isolated or not; where a network of driver %s leads is its parent's.",
                               network_driver_to_string(o->driver));
        if (o->internal)
                return invalid(reterr_error,
                               "Only a bridge can be internal: a container on a network of driver %s is on its parent's.",
                               network_driver_to_string(o->driver));
        if (!o->parent)
                return invalid(reterr_error,
                               "A network of driver %s needs a parent (--parent), a device of this host.",
                               network_driver_to_string(o->driver));
        r = check_mode(o, reterr_error);
        if (r < 0)
                return r;
        if (!network_device_name_is_valid(o->parent) || netlink_get_link(netlink, o->parent, &link) < 0)
                return error_set(reterr_error, -ENODEV, "NoSuchDevice",
                                 "This host has no device “%s”: “ip link” shows which there are.",
                                 o->parent);

        n->row.parent = strdup(o->parent);
        if (!n->row.parent || free_and_strdup(&n->row.mode, o->mode) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return 0;
}

static int check_name(NetworkManager *m, const char *ns, const char *name, Error *reterr_error) {
        /* What has another meaning where a network is named. */
        static const char *const reserved[] = { "bridge", "cni",   "container", "host",       "none",
                                                "ns",     "pasta", "private",   "slirp4netns" };
        _cleanup_free_ char *key = strjoin(ns, "/", name);

        if (!key)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (!network_name_is_valid(name))
                return invalid(reterr_error,
                               "“%s” is no name for a network: use letters, digits, “_”, “.” and “-”, beginning with a letter or a "
                               "digit, at most %u characters.",
                               name, NETWORK_NAME_MAX);
        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                if (streq(reserved[i], name))
                        return invalid(reterr_error,
                                       "“%s” cannot be the name of a network: for --network it means something else.",
                                       name);
        if (hashmap_get(m->networks, key))
                return error_set(reterr_error, -EEXIST, "NetworkExists", "There is a network “%s” already.",
                                 name);
        return 0;
}

static int choose_name(NewNetwork *n, Error *reterr_error) {
        for (unsigned i = 1; i <= NETWORKS_MAX + 1; i++) {
                _cleanup_free_ char *name = strformat("network%u", i),
                                    *key = name ? strjoin(n->row.ns, "/", name) : NULL;

                if (!key)
                        break;
                if (hashmap_get(n->manager->networks, key))
                        continue;
                n->row.name = TAKE_PTR(name);
                return 0;
        }

        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
}

/* -- all of it -- */

static int fill_row(NewNetwork *n, Error *reterr_error) {
        const NetworkOptions *o = n->options;
        NetworkRow *row = &n->row;
        char text[ADDRESS_TEXT_MAX];

        row->driver = strdup(network_driver_to_string(o->driver));
        row->labels = strv_copy(o->labels);
        row->subnets = calloc(MAX(n->n_subnets, (size_t) 1), sizeof(SubnetRow));
        if (!row->driver || (strv_length(o->labels) > 0 && !row->labels) || !row->subnets)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        row->mtu = o->mtu;
        row->internal = o->internal;
        row->no_dns = o->no_dns;
        row->open = o->open;

        for (; row->n_subnets < n->n_subnets; row->n_subnets++) {
                const NewSubnet *s = &n->subnets[row->n_subnets];
                SubnetRow *to = &row->subnets[row->n_subnets];

                to->prefix = strdup(prefix_format(&s->prefix, text));
                to->gateway = strdup(address_format(&s->gateway, text));
                to->range = s->range.length > 0 ? strdup(prefix_format(&s->range, text)) : NULL;
                if (!to->prefix || !to->gateway || (s->range.length > 0 && !to->range)) {
                        subnet_row_done(to);
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                }
        }

        return 0;
}

static int check_numbers(NewNetwork *n, Error *reterr_error) {
        const NetworkOptions *o = n->options;
        uint32_t least = has_family(n, AF_INET6) ? MTU_MIN_IPV6 : MTU_MIN;

        if (o->mtu > 0 && (o->mtu < least || o->mtu > MTU_MAX))
                return invalid(reterr_error, "The MTU %u is not from %u to %u.", o->mtu, least, MTU_MAX);
        if (strv_length(o->labels) > NETWORK_LABELS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "A network can have %u labels at most.", NETWORK_LABELS_MAX);
        if (hashmap_size(n->manager->networks) >= NETWORKS_MAX)
                return error_set(reterr_error, -EBUSY, "LimitsExceeded",
                                 "There are %u networks; there can be no more.", NETWORKS_MAX);
        return 0;
}

int network_row_new(NetworkManager *m, const char *ns, const char *name, const NetworkOptions *o,
                    NetworkRow *ret, Error *reterr_error) {
        _cleanup_(new_network_done) NewNetwork n = { .manager = m, .options = o };
        Netlink *netlink;
        int r;

        n.row.ns = strdup(ns);
        if (!n.row.ns || free_and_strdup(&n.row.name, isempty(name) ? NULL : name) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = n.row.name ? check_name(m, ns, name, reterr_error) : choose_name(&n, reterr_error);
        if (r >= 0)
                r = network_manager_netlink(m, &netlink, reterr_error);
        if (r >= 0)
                r = o->driver == NETWORK_BRIDGE ? new_bridge(&n, netlink, reterr_error)
                                                : new_sub_device(&n, netlink, reterr_error);
        if (r >= 0)
                r = new_subnets(&n, reterr_error);
        if (r >= 0)
                r = check_numbers(&n, reterr_error);
        if (r >= 0)
                r = fill_row(&n, reterr_error);
        if (r < 0)
                return r;

        *ret = n.row;
        n.row = (NetworkRow) {};
        return 0;
}
