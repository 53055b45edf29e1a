/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a network is in the kernel: a bridge with its addresses, and elements of the firewall's sets. Both
 * are made on first use, and stay until the network is removed. A bridge is known by its alias, so that one
 * whose record is gone is found. */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"
#include "network/sysctl.h"

#define LOOPBACK_METRIC 4096U /* and the device's index: behind the loopback device's own route, which has 0 */

int network_manager_firewall(NetworkManager *m, Firewall **ret, Error *reterr_error) {
        int r;

        if (!m->firewall) {
                r = firewall_new(&m->firewall, reterr_error);
                if (r < 0)
                        return r;
                firewall_set_event(m->firewall, m->event);
        }
        *ret = m->firewall;
        return 0;
}

static bool has_family(const Network *n, int family) {
        for (size_t i = 0; i < n->n_subnets; i++)
                if (n->subnets[i].address.family == family)
                        return true;
        return false;
}

static FirewallNetwork firewall_network(const Network *n) {
        return (FirewallNetwork) {
                .device = n->row.device,
                .subnets = n->subnets,
                .n_subnets = n->n_subnets,
                .internal = n->row.internal,
                .isolated = !n->row.open,
        };
}

/* -- rules -- */

bool network_reaches_loopback6(void) {
        return !SYSCTL_IS("1", "bridge", "bridge-nf-call-ip6tables");
}

int network_rules_load(NetworkManager *m, Error *reterr_error) {
        _cleanup_free_ FirewallNetwork *networks = NULL;
        _cleanup_free_ FirewallPort *ports = NULL;
        size_t n_networks = 0, n_ports = 0;
        Firewall *firewall;
        NetworkUser *u;
        Network *n;
        int r;

        r = network_manager_firewall(m, &firewall, reterr_error);
        if (r < 0)
                return r;
        networks = calloc(hashmap_size(m->networks) + 1, sizeof(FirewallNetwork));
        HASHMAP_FOREACH (u, m->users)
                n_ports += u->n_ports;
        ports = calloc(n_ports + 1, sizeof(FirewallPort));
        if (!networks || !ports)
                return -ENOMEM;
        HASHMAP_FOREACH (n, m->networks)
                if (n->driver == NETWORK_BRIDGE && n->up)
                        networks[n_networks++] = firewall_network(n);
        n_ports = 0;
        HASHMAP_FOREACH (u, m->users) {
                for (size_t i = 0; i < u->n_ports; i++)
                        ports[n_ports++] = u->ports[i];
        }
        m->loopback6 = network_reaches_loopback6();
        return firewall_load(firewall, m->loopback6, networks, n_networks, ports, n_ports, reterr_error);
}

static int add_rules(Network *n, Error *reterr_error) {
        FirewallNetwork network = firewall_network(n);
        _cleanup_error_ Error e = ERROR_NULL;
        Firewall *firewall;
        int r;

        r = network_manager_firewall(n->manager, &firewall, reterr_error);
        if (r < 0)
                return r;
        r = firewall_add_network(firewall, &network, &e);
        if (r == -ENOENT)
                return network_rules_load(n->manager, reterr_error);
        return r < 0 ? error_move(reterr_error, &e) : 0;
}

/* Somebody may have flushed the ruleset since, or loaded br_netfilter. */
static int check_rules(Network *n, Error *reterr_error) {
        Firewall *firewall;
        int r;

        r = network_manager_firewall(n->manager, &firewall, reterr_error);
        if (r < 0)
                return r;
        r = firewall_is_loaded(firewall);
        if (r < 0)
                log_debug_errno(r, "Failed to look for the table of rules, ignoring: %m");
        return r == 0 || n->manager->loopback6 != network_reaches_loopback6() ? network_rules_load(n->manager, reterr_error)
                                                                              : 0;
}

/* -- forwarding -- */

/* The kernel itself takes no router's word any more once it forwards IPv6, unless it is told to: the host
 * would lose its default route when the one that it has expires. */
static int keep_default_route(const LinkInfo *l, void *userdata) {
        if (!streq(l->name, "lo") && l->master == 0 && !startswith(l->alias, ALIAS_PREFIX) &&
            SYSCTL_IS("1", "ipv6", "conf", l->name, "accept_ra") &&
            SYSCTL_WRITE("2", "ipv6", "conf", l->name, "accept_ra") >= 0)
                log_info("Set net.ipv6.conf.%s.accept_ra to 2, so that this host, which forwards IPv6 now, keeps its own routes.",
                         l->name);
        return 0;
}

static int forward(Network *n, int family, Error *reterr_error) {
        const char *const ipv4[] = { "ipv4", "ip_forward", NULL };
        const char *const ipv6[] = { "ipv6", "conf", "all", "forwarding", NULL };
        const char *name = family == AF_INET ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
        int r;

        if (!has_family(n, family))
                return 0;
        if (family == AF_INET6 && !sysctl_is(ipv6, "1"))
                (void) netlink_foreach_link(n->manager->netlink, keep_default_route, NULL);
        r = sysctl_ensure(family == AF_INET ? ipv4 : ipv6, "1");
        if (r < 0)
                return error_set(
                                reterr_error, r, "Failed",
                                "The network “%s” needs forwarding, which is off and cannot be switched on (sysctl %s=1): %m",
                                n->row.name, name);
        if (r > 0)
                log_info("Switched on %s, for the network “%s” of namespace “%s”.", name, n->row.name,
                         n->row.ns);
        return 0;
}

/* -- bridges -- */

/* The same whenever it is made again: who has asked for it before still knows it. */
static void bridge_ether(const Network *n, uint8_t ret[static ETHER_SIZE]) {
        ether_derive(n->row.device, strlen(n->row.device), n->row.n, ret);
}

static void set_option(const Network *n, const char *version, const char *option, const char *value) {
        int r;

        r = SYSCTL_ENSURE(value, version, "conf", n->row.device, option);
        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Failed to set net.%s.conf.%s.%s to %s, ignoring: %m", version,
                                  n->row.device, option, value);
        if (r > 0)
                log_info("Set net.%s.conf.%s.%s to %s, for the network “%s” of namespace “%s”.", version,
                         n->row.device, option, value, n->row.name, n->row.ns);
}

/* - route_localnet: the host reaches published ports by 127.0.0.1, too; an internal network has none.
 * - accept_ra: no container is a router for the host.
 * - accept_dad: until the kernel has made sure that a link-local address is its own it asks for no
 *   neighbour, and reaches no container, for a second or two. */
static void set_options(const Network *n) {
        bool ipv6 = has_family(n, AF_INET6);

        if (!n->row.internal)
                set_option(n, "ipv4", "route_localnet", "1");
        set_option(n, "ipv6", "disable_ipv6", ipv6 ? "0" : "1");
        set_option(n, "ipv6", "accept_ra", "0");
        set_option(n, "ipv6", "accept_dad", "0");
}

static int device_error(const Network *n, int r, Error *reterr_error) {
        const char *said = netlink_get_message(n->manager->netlink);

        return error_set_errno(reterr_error, r, "The bridge %s of the network “%s” cannot be made: %m%s%s%s",
                               n->row.device, n->row.name, isempty(said) ? "" : " (", strempty(said),
                               isempty(said) ? "" : ")");
}

/* As route_localnet for IPv4: what answers a connection to ::1 is translated back when it has come by the bridge, and for
 * that address the kernel looks at the routes of that device only. Nobody else sends to or from ::1 by it: the kernel
 * drops a packet with such a header as it comes in. */
static int add_loopback_route(const Network *n, int index) {
        const Prefix loopback = { { .family = AF_INET6, .in6 = IN6ADDR_LOOPBACK_INIT }, 128 };
        int r;

        r = netlink_add_local_route(n->manager->netlink, &loopback, index, LOOPBACK_METRIC + (uint32_t) index);
        return r == -EEXIST ? 0 : r;
}

/* What a device of this name has already is left; what it lacks is added. */
static int configure_bridge(Network *n, const LinkInfo *l, Error *reterr_error) {
        _cleanup_free_ char *alias = strjoin(ALIAS_PREFIX, n->row.ns, "/", n->row.name);
        Netlink *netlink = n->manager->netlink;
        int r;

        if (!alias)
                return -ENOMEM;
        set_options(n);
        r = netlink_change_link(netlink, l->index,
                                &(LinkChange) { .alias = alias, .up = true, .netns = -EBADF });
        for (size_t i = 0; r >= 0 && i < n->n_subnets; i++) {
                if (!network_has_gateway(n, i))
                        continue;
                r = netlink_add_address(netlink, l->index, n->subnets + i);
                if (r == -EEXIST)
                        r = 0;
                if (r >= 0 && n->subnets[i].address.family == AF_INET6 && !n->row.internal)
                        r = add_loopback_route(n, l->index);
        }
        return r < 0 ? device_error(n, r, reterr_error) : 0;
}

/* Ours, by its alias; or by its MAC, if who made it died before it could give it that. */
static bool is_own_bridge(const Network *n, const LinkInfo *l) {
        uint8_t ether[ETHER_SIZE];

        bridge_ether(n, ether);
        return streq(l->kind, "bridge") &&
               (startswith(l->alias, ALIAS_PREFIX) || memcmp(l->ether, ether, ETHER_SIZE) == 0);
}

static int find_or_make_bridge(Network *n, LinkInfo *ret, Error *reterr_error) {
        Netlink *netlink = n->manager->netlink;
        uint8_t ether[ETHER_SIZE];
        int r;

        r = netlink_get_link(netlink, n->row.device, ret);
        if (r == -ENODEV) {
                n->up = false;
                n->names_link = 0;
                bridge_ether(n, ether);
                r = netlink_add_bridge(netlink, n->row.device, n->row.mtu, ether);
                if (r >= 0)
                        r = netlink_get_link(netlink, n->row.device, ret);
        }
        if (r < 0)
                return device_error(n, r, reterr_error);
        if (!is_own_bridge(n, ret))
                return error_set(
                                reterr_error, -EEXIST, "DeviceExists",
                                "The network “%s” needs the name %s for its bridge, which another device of this host has: rename that.",
                                n->row.name, n->row.device);
        return 0;
}

static int set_up_bridge(Network *n, bool rules, int *ret_index, Error *reterr_error) {
        LinkInfo l;
        int r;

        r = find_or_make_bridge(n, &l, reterr_error);
        if (r >= 0 && !n->up) {
                r = configure_bridge(n, &l, reterr_error);
                if (r >= 0 && !n->row.internal)
                        r = forward(n, AF_INET, reterr_error) ?: forward(n, AF_INET6, reterr_error);
                /* Where there is no table yet it is made for all that are up: for this one, too. */
                n->up = r >= 0;
                if (r >= 0 && rules)
                        r = add_rules(n, reterr_error);
                n->up = r >= 0;
        } else if (r >= 0 && rules)
                r = check_rules(n, reterr_error);
        if (r >= 0 && ret_index)
                *ret_index = l.index;
        return r;
}

static int check_parent(const Network *n, Error *reterr_error) {
        LinkInfo l;
        int r;

        r = netlink_get_link(n->manager->netlink, n->row.parent, &l);
        return r < 0 ? error_set(reterr_error, r, "NoSuchDevice",
                                 "The network “%s” needs the device %s of this host: %m", n->row.name,
                                 n->row.parent)
                     : 0;
}

int network_device_set_up(Network *n, int *ret_index, Error *reterr_error) {
        Netlink *netlink;
        int r;

        r = network_manager_netlink(n->manager, &netlink, reterr_error);
        if (r < 0)
                return r;
        return n->driver == NETWORK_BRIDGE ? set_up_bridge(n, true, ret_index, reterr_error)
                                           : check_parent(n, reterr_error);
}

/* Or could not be brought in order, and has a container with open ports. */
static bool any_is_up(NetworkManager *m) {
        NetworkUser *u;
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (n->up)
                        return true;
        HASHMAP_FOREACH (u, m->users)
                if (u->n_ports > 0)
                        return true;
        return false;
}

int network_device_remove(Network *n, Error *reterr_error) {
        FirewallNetwork network = firewall_network(n);
        Firewall *firewall;
        Netlink *netlink;
        LinkInfo l;
        int r;

        if (!n->row.device)
                return 0;

        r = network_manager_netlink(n->manager, &netlink, reterr_error);
        if (r < 0)
                return r;
        r = netlink_get_link(netlink, n->row.device, &l);
        if (r >= 0)
                /* Another's that has got the name stays. */
                r = is_own_bridge(n, &l) ? netlink_delete_link(netlink, n->row.device) : -ENODEV;
        if (r < 0 && r != -ENODEV)
                return error_set_errno(reterr_error, r, "The device %s cannot be removed: %m",
                                       n->row.device);
        n->up = false;
        if (r == -ENODEV && !n->manager->firewall)
                return 0;
        r = network_manager_firewall(n->manager, &firewall, reterr_error);
        if (r < 0)
                return r;
        return any_is_up(n->manager) ? firewall_remove_network(firewall, &network, reterr_error)
                                     : firewall_unload(firewall, reterr_error);
}

/* -- all of it -- */

typedef struct Survey {
        NetworkManager *manager;
        char **orphans;
        const LinkInfo *bridge; /* in the second round: a bridge of ours */
} Survey;

static bool is_recorded(NetworkManager *m, const char *device) {
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (streq_ptr(n->row.device, device))
                        return true;
        return false;
}

/* A bridge that is there is a network's that has been used. */
static int survey_link(const LinkInfo *l, void *userdata) {
        Survey *s = userdata;

        if (!streq(l->kind, "bridge") || !startswith(l->alias, ALIAS_PREFIX) ||
            is_recorded(s->manager, l->name))
                return 0;
        return strv_extend(&s->orphans, l->name);
}

/* A port of such a bridge that no container has: of a change that was interrupted. */
static int survey_port(const LinkInfo *l, void *userdata) {
        Survey *s = userdata;

        if (!streq(l->kind, "veth") || l->master != s->bridge->index || !startswith(l->name, HOST_DEVICE_PREFIX) ||
            store_host_device_is_known(s->manager->store, l->name))
                return 0;
        return strv_extend(&s->orphans, l->name);
}

static void remove_orphan_ports(NetworkManager *m, const LinkInfo *bridge) {
        Survey s = { .manager = m, .bridge = bridge };

        (void) netlink_foreach_link(m->netlink, survey_port, &s);
        STRV_FOREACH (device, s.orphans)
                if (netlink_delete_link(m->netlink, device) >= 0)
                        log_info("Removed %s, which was nobody's, from %s.", device, bridge->name);
        strv_free(s.orphans);
}

/* As network_random_device() makes them. */
static bool is_random_name(const char *name) {
        const char *rest = startswith(name, HOST_DEVICE_PREFIX);

        return rest && strlen(rest) == 2 * HOST_DEVICE_RANDOM && string_in_charset(rest, HEX_LOWER);
}

/* The host's end of an interface without a network, of which there is no record: likewise. Before it has got its alias
 * it is known by its name. */
static int survey_end(const LinkInfo *l, void *userdata) {
        Survey *s = userdata;
        bool ours = startswith(l->alias, ALIAS_PREFIX) ? !startswith(l->alias, LENT_PREFIX)
                                                       : isempty(l->alias) && is_random_name(l->name);

        if (!streq(l->kind, "veth") || !ours || store_host_device_is_known(s->manager->store, l->name))
                return 0;
        return strv_extend(&s->orphans, l->name);
}

static void remove_orphan_ends(NetworkManager *m) {
        Survey s = { .manager = m };

        (void) netlink_foreach_link(m->netlink, survey_end, &s);
        STRV_FOREACH (device, s.orphans)
                if (netlink_delete_link(m->netlink, device) >= 0)
                        log_info("Removed %s, which was nobody's.", device);
        strv_free(s.orphans);
}

/* What stays of them is in nobody's way: those that run have to have their rules all the same. */
static void remove_orphans(NetworkManager *m) {
        Survey s = { .manager = m };
        int r;

        r = netlink_foreach_link(m->netlink, survey_link, &s);
        STRV_FOREACH (device, s.orphans) {
                int k = netlink_delete_link(m->netlink, device);

                if (k >= 0)
                        log_info("Removed the bridge %s, whose network is gone.", device);
                else if (k != -ENODEV)
                        log_warning_errno(k, "Failed to remove the bridge %s, whose network is gone, ignoring: %m",
                                          device);
        }
        if (r < 0 && r != -EAGAIN)
                log_warning_errno(r, "Failed to look for bridges whose networks are gone, ignoring: %m");
        strv_free(s.orphans);
}

int network_devices_restore(NetworkManager *m, Error *reterr_error) {
        Netlink *netlink;
        bool any = false;
        Network *n;
        int r;

        r = network_manager_netlink(m, &netlink, reterr_error);
        if (r < 0)
                return r;
        remove_orphans(m);
        remove_orphan_ends(m);
        HASHMAP_FOREACH (n, m->networks) {
                _cleanup_error_ Error e = ERROR_NULL;
                LinkInfo l;

                if (n->driver != NETWORK_BRIDGE ||
                    (!n->used && netlink_get_link(netlink, n->row.device, &l) == -ENODEV))
                        continue;
                any = true;
                n->up = false;
                if (set_up_bridge(n, false, NULL, &e) < 0)
                        log_warning("Going on without a network: %s", error_message(&e));
                else if (netlink_get_link(netlink, n->row.device, &l) >= 0)
                        remove_orphan_ports(m, &l);
        }
        return any || m->firewall ? network_rules_load(m, reterr_error) : 0;
}
