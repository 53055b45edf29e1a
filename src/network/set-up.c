/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container's part of its networks: its namespace, with everything in it, and its ports. The kernel's
 * calls only, a millisecond of them. Of the namespace nothing is kept here: who asked for it has the
 * descriptor, and with the last of these it goes, taking along what is in it and the bridge's ends of its
 * devices. What is kept is which ports are open, for the firewall. */

#include <sys/socket.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "network/netns.h"
#include "network/network-private.h"
#include "network/sysctl.h"

#define LOOPBACK_INDEX 1 /* in each namespace */
#define FAMILIES 2U

static unsigned family_index(int family) {
        return family == AF_INET6;
}

static int network_error(Error *reterr_error, int r, const char *container, const char *what) {
        return error_is_set(reterr_error)
                               ? r
                               : error_set_errno(reterr_error, r,
                                                 "The network of container “%s” cannot be made (%s): %m",
                                                 container, what);
}

/* -- who is up -- */

NetworkUser *network_user_free(NetworkUser *u) {
        if (!u)
                return NULL;
        for (size_t i = 0; i < u->n_names; i++)
                user_names_done(u->names + i);
        free(u->names);
        free(u->ports);
        free(u->ns);
        free(u->container);
        free(u);
        return NULL;
}

static NetworkUser *user_new(const char *ns, const char *container) {
        _cleanup_(network_user_freep) NetworkUser *u = calloc(1, sizeof(NetworkUser));

        if (!u)
                return NULL;
        u->ns = strdup(ns);
        u->container = strdup(container);
        return u->ns && u->container ? TAKE_PTR(u) : NULL;
}

static NetworkUser *user_take(NetworkManager *m, const char *ns, const char *container) {
        _cleanup_free_ char *key = strjoin(ns, "/", container);
        NetworkUser *u = key ? hashmap_remove(m->users, key) : NULL;

        if (u && u->resolver)
                u->resolver->n_asking--;
        return u;
}

/* Takes the place of an earlier one of the container's. */
static int user_put(NetworkManager *m, NetworkUser *u) {
        _cleanup_free_ char *key = strjoin(u->ns, "/", u->container);
        int r;

        if (!key)
                return -ENOMEM;
        network_user_free(user_take(m, u->ns, u->container));
        r = hashmap_put(m->users, key, u);
        if (r < 0)
                return r;
        if (u->resolver)
                u->resolver->n_asking++;
        return 0;
}

/* -- ports -- */

/* Ports lead to the container's address on the first network that lets anybody in. */
typedef struct Plan {
        NetworkManager *manager;
        NetworkUser *user;
        Address targets[FAMILIES];
} Plan;

static int plan_interface(const NetworkInterface *i, void *userdata) {
        Plan *p = userdata;
        Network *n = network_manager_get(p->manager, i->network->row.n);
        int r;

        n->used = true;
        r = user_names_plan(p->user, i, n);
        if (r < 0)
                return r;
        if (n->driver != NETWORK_BRIDGE || n->row.internal)
                return 0;
        for (size_t k = 0; k < i->n_addresses; k++) {
                Address *target = p->targets + family_index(i->addresses[k].address.family);

                if (target->family == AF_UNSPEC)
                        *target = i->addresses[k].address;
        }
        return 0;
}

static int plan_port(const Port *port, void *userdata) {
        Plan *p = userdata;
        NetworkUser *u = p->user;
        FirewallPort *ports;

        ports = reallocarray(u->ports, u->n_ports + FAMILIES, sizeof(FirewallPort));
        if (!ports)
                return -ENOMEM;
        u->ports = ports;
        for (size_t i = 0; i < FAMILIES; i++) {
                const Address *target = p->targets + i;

                if (target->family != AF_UNSPEC &&
                    (port->host.family == AF_UNSPEC || port->host.family == target->family))
                        u->ports[u->n_ports++] = (FirewallPort) { .port = *port, .container = *target };
        }
        return 0;
}

/* As recorded; nothing is done. */
static int user_plan(NetworkManager *m, const char *ns, const char *container, NetworkUser **ret) {
        _cleanup_(network_user_freep) NetworkUser *u = user_new(ns, container);
        Plan p = { .manager = m, .user = u };
        int r;

        if (!u)
                return -ENOMEM;
        r = network_manager_foreach_interface(m, ns, container, plan_interface, &p);
        if (r >= 0)
                r = network_manager_foreach_port(m, ns, container, plan_port, &p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

static int open_ports(NetworkManager *m, const NetworkUser *u, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        Firewall *firewall;
        int r;

        if (u->n_ports == 0)
                return 0;
        r = network_manager_firewall(m, &firewall, reterr_error);
        if (r < 0)
                return r;
        r = firewall_add_ports(firewall, u->ports, u->n_ports, &e);
        if (r == -ENOENT)
                /* Somebody has flushed the ruleset. u is among the users already. */
                return network_rules_load(m, reterr_error);
        return r < 0 ? error_move(reterr_error, &e) : 0;
}

/* -- inside -- */

typedef struct SetUp {
        NetworkManager *manager;
        const char *ns, *container;
        Netlink *host; /* borrowed */
        Netlink *inside;
        int netns;
        bool has_default[FAMILIES];
        bool hairpin;
        bool live; /* the namespace is in use: it may have a default route that is none of ours */
        Error *reterr_error;
} SetUp;

static void set_up_done(SetUp *s) {
        netlink_free(s->inside);
        safe_close(s->netns);
}

/* - accept_ra: nobody on a container's network is its router by his own word.
 * - accept_dad: its addresses are known to be its own.
 * - arp_notify, ndisc_notify: who has talked to somebody with another MAC that had one of them before goes on
 *   doing so for half a minute, unless he is told. Of bridges that is few, of what a parent is on anybody. */
static int enter(void *userdata) {
        SetUp *s = userdata;

        (void) SYSCTL_WRITE("0", "ipv6", "conf", "default", "accept_ra");
        (void) SYSCTL_WRITE("0", "ipv6", "conf", "default", "accept_dad");
        (void) SYSCTL_WRITE("1", "ipv4", "conf", "default", "arp_notify");
        (void) SYSCTL_WRITE("1", "ipv6", "conf", "default", "ndisc_notify");
        return netlink_new(-EBADF, &s->inside);
}

static int add_bridge_port(SetUp *s, const NetworkInterface *i, int bridge) {
        const Network *n = i->network;
        LinkInfo l;
        int r;

        r = netlink_add_veth(s->host, i->host_device, bridge, n->row.mtu, s->netns, i->name, i->mac);
        if (r == -EEXIST) {
                /* Of the last run: the kernel takes its time to clear a namespace away. */
                r = netlink_delete_link(s->host, i->host_device);
                if (r >= 0 || r == -ENODEV)
                        r = netlink_add_veth(s->host, i->host_device, bridge, n->row.mtu, s->netns, i->name,
                                             i->mac);
        }
        if (r < 0)
                return r;
        /* Somebody with another MAC may have had them before, to whom the host would go on talking for half a minute. */
        for (size_t k = 0; k < i->n_addresses; k++)
                (void) netlink_delete_neighbor(s->host, bridge, &i->addresses[k].address);
        if (!s->hairpin)
                return 0;
        r = netlink_get_link(s->host, i->host_device, &l);
        return r < 0 ? r
                     : netlink_change_link(s->host, l.index,
                                           &(LinkChange) { .hairpin = true, .netns = -EBADF });
}

static int add_default_routes(SetUp *s, const NetworkInterface *i, int index) {
        const Network *n = i->network;
        int r = 0;

        for (size_t k = 0; r >= 0 && k < n->n_subnets && !n->row.internal; k++) {
                const Prefix *subnet = n->subnets + k;
                bool *has = s->has_default + family_index(subnet->address.family);
                Prefix all = { .address.family = subnet->address.family };
                bool mine = false;

                for (size_t a = 0; a < i->n_addresses; a++)
                        mine |= prefix_contains(subnet, &i->addresses[a].address);
                if (*has || !mine || !network_has_gateway(n, k))
                        continue;
                r = netlink_add_route(s->inside, &all, &subnet->address, index, 0);
                if (r == -EEXIST && s->live)
                        r = 0;
                *has = r >= 0;
        }
        return r;
}

static int configure_inside(SetUp *s, const NetworkInterface *i) {
        LinkInfo l;
        int r;

        r = netlink_get_link(s->inside, i->name, &l);
        for (size_t k = 0; r >= 0 && k < i->n_addresses; k++)
                r = netlink_add_address(s->inside, l.index, i->addresses + k);
        if (r >= 0)
                r = netlink_change_link(s->inside, l.index, &(LinkChange) { .up = true, .netns = -EBADF });
        return r < 0 ? r : add_default_routes(s, i, l.index);
}

static int add_interface(const NetworkInterface *i, void *userdata) {
        SetUp *s = userdata;
        Network *n = network_manager_get(s->manager, i->network->row.n);
        int r, bridge = 0;

        r = network_device_set_up(n, &bridge, s->reterr_error);
        if (r < 0)
                return r;
        if (n->driver == NETWORK_BRIDGE)
                r = add_bridge_port(s, i, bridge);
        else
                r = netlink_add_sub_link(s->host, n->row.driver, n->row.parent, n->row.mode, n->row.mtu,
                                         s->netns, i->name, n->driver == NETWORK_MACVLAN ? i->mac : NULL);
        if (r == -EOPNOTSUPP && n->driver != NETWORK_BRIDGE)
                return error_set(s->reterr_error, r, "NotSupported",
                                 "The network “%s” needs what the kernel of this host has not: %s.", n->row.name, n->row.driver);
        if (r < 0)
                return network_error(s->reterr_error, r, s->container, netlink_get_message(s->host));
        if (n->driver != NETWORK_BRIDGE)
                (void) network_manager_keep_netns(s->manager, s->ns, s->container, s->netns);
        r = configure_inside(s, i);
        return r < 0 ? network_error(s->reterr_error, r, s->container, netlink_get_message(s->inside)) : 0;
}

typedef struct Devices {
        DevicePlace place;
        const char *name; /* NULL: all */
} Devices;

static int add_device(const NetworkDevice *d, void *userdata) {
        const Devices *v = userdata;

        return v->name && !streq(v->name, d->name) ? 0 : device_set_up(&v->place, d);
}

/* Behind the networks', whose interfaces some of it changes. */
static int add_devices(SetUp *s, const char *name) {
        Devices v = {
                .place = {
                        .manager = s->manager,
                        .ns = s->ns,
                        .container = s->container,
                        .host = s->host,
                        .inside = s->inside,
                        .netns = s->netns,
                        .reterr_error = s->reterr_error,
                },
                .name = name,
        };

        return network_manager_foreach_device(s->manager, s->ns, s->container, add_device, &v);
}

/* Where bridges call on nf_tables, a packet for a published port of its own sender stays in the bridge. */
static bool bridges_call(void) {
        return SYSCTL_IS("1", "bridge", "bridge-nf-call-iptables") ||
               SYSCTL_IS("1", "bridge", "bridge-nf-call-ip6tables");
}

static int make_namespace(SetUp *s) {
        Error *e = s->reterr_error;
        int r;

        r = network_manager_netlink(s->manager, &s->host, e);
        if (r < 0)
                return r;
        s->hairpin = bridges_call();
        s->netns = netns_new(enter, s);
        if (s->netns < 0)
                return network_error(e, s->netns, s->container, "namespace");
        r = netlink_change_link(s->inside, LOOPBACK_INDEX, &(LinkChange) { .up = true, .netns = -EBADF });
        if (r >= 0)
                r = network_manager_foreach_interface(s->manager, s->ns, s->container, add_interface, s);
        if (r >= 0)
                r = add_devices(s, NULL);
        return r < 0 ? network_error(e, r, s->container, "records") : 0;
}

int network_manager_set_up(NetworkManager *m, const char *ns, const char *container, int *ret_netns,
                           Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(set_up_done) SetUp s = {
                .manager = m, .ns = ns, .container = container, .netns = -EBADF, .reterr_error = &e
        };
        NetworkUser *u = NULL;
        int r;

        (void) network_manager_set_down(m, ns, container);
        r = user_plan(m, ns, container, &u);
        if (r < 0)
                return error_set_errno(
                                reterr_error, r,
                                "The records of what container “%s” has of networks cannot be read: %m",
                                container);
        r = user_put(m, u);
        if (r < 0) {
                network_user_free(u);
                return r;
        }
        /* They were free when it was made. */
        r = network_manager_check_ports(m, ns, container, &e);
        if (r >= 0)
                r = make_namespace(&s);
        if (r >= 0)
                r = open_ports(m, u, &e);
        if (r < 0) {
                (void) network_manager_set_down(m, ns, container);
                return error_is_set(&e) ? error_move(reterr_error, &e) : r;
        }
        user_names_add(m, u);
        *ret_netns = TAKE_FD(s.netns);
        return 0;
}

int network_manager_set_down(NetworkManager *m, const char *ns, const char *container) {
        _cleanup_(network_user_freep) NetworkUser *u = user_take(m, ns, container);
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        network_manager_clear_kept(m, ns, container);
        if (!u)
                return 0;
        user_names_remove(m, u);
        if (u->n_ports == 0 || !m->firewall)
                return 0;
        r = firewall_remove_ports(m->firewall, u->ports, u->n_ports, &e);
        if (r < 0)
                log_warning("Ports of container “%s” are still open: %s", container, error_message(&e));
        return r;
}

static int drop_device(const NetworkInterface *i, void *userdata) {
        int r = i->network->driver == NETWORK_BRIDGE ? netlink_delete_link(userdata, i->host_device) : 0;

        return r == -ENODEV ? 0 : r;
}

int network_manager_drop_devices(NetworkManager *m, const char *ns, const char *container) {
        Netlink *host;
        int r;

        r = network_manager_netlink(m, &host, NULL);
        return r < 0 ? r : network_manager_foreach_interface(m, ns, container, drop_device, host);
}

/* -- while it is up -- */

typedef struct Choice {
        SetUp *s;
        const char *name;
        bool found;
} Choice;

static int add_chosen(const NetworkInterface *i, void *userdata) {
        Choice *c = userdata;
        LinkInfo l;
        int r;

        if (!streq(i->name, c->name))
                return 0;
        c->found = true;
        r = netlink_get_link(c->s->inside, i->name, &l);
        if (r >= 0)
                return error_set(c->s->reterr_error, -EEXIST, "InterfaceExists",
                                 "In the container “%s” is a device “%s” already: choose another name.",
                                 c->s->container, i->name);
        r = r == -ENODEV ? add_interface(i, c->s) : r;
        if (r >= 0)
                r = add_devices(c->s, c->name);
        if (r < 0)
                (void) network_interface_set_down(c->s->manager, i, c->s->netns);
        return r;
}

int network_interface_set_up(NetworkManager *m, const char *ns, const char *container, const char *name,
                             int netns, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        SetUp s = {
                .manager = m,
                .ns = ns,
                .container = container,
                .netns = netns,
                .hairpin = bridges_call(),
                .live = true,
                .reterr_error = &e,
        };
        Choice c = { .s = &s, .name = name };
        int r;

        r = network_manager_netlink(m, &s.host, &e);
        if (r >= 0)
                r = netlink_new(netns, &s.inside);
        if (r >= 0)
                r = network_manager_foreach_interface(m, ns, container, add_chosen, &c);
        if (r >= 0 && !c.found)
                r = -ENOENT;
        netlink_free(s.inside);
        if (r >= 0)
                return 0;
        return error_is_set(&e) ? error_move(reterr_error, &e)
                                : error_set_errno(reterr_error, r,
                                                  "The interface “%s” of the container “%s” cannot be made: %m", name,
                                                  container);
}

int network_interface_set_down(NetworkManager *m, const NetworkInterface *i, int netns) {
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        Netlink *host;
        LinkInfo l;
        int r;

        r = network_manager_netlink(m, &host, NULL);
        if (r < 0)
                return r;
        if (i->network->driver == NETWORK_BRIDGE)
                r = netlink_delete_link(host, i->host_device);
        else {
                r = netlink_new(netns, &inside);
                if (r >= 0)
                        r = netlink_get_link(inside, i->name, &l);
                if (r >= 0)
                        /* Another's that has got the name stays. */
                        r = streq(l.kind, i->network->row.driver) ? netlink_delete_link(inside, i->name) : -ENODEV;
        }
        return r == -ENODEV ? 0 : r;
}

static bool ports_equal(const NetworkUser *a, const NetworkUser *b) {
        if (a->n_ports != b->n_ports)
                return false;
        /* The ports themselves do not change, nor does their order. */
        for (size_t i = 0; i < a->n_ports; i++)
                if (address_compare(&a->ports[i].container, &b->ports[i].container) != 0)
                        return false;
        return true;
}

int network_user_update(NetworkManager *m, const char *ns, const char *container, Error *reterr_error) {
        _cleanup_(network_user_freep) NetworkUser *old = user_take(m, ns, container), *u = NULL;
        const NetworkUser *now;
        bool moved;
        int r, failed = 0;

        r = user_plan(m, ns, container, &u);
        if (r < 0) {
                /* Nobody would close and remove them later. */
                if (old && old->n_ports > 0 && m->firewall)
                        (void) firewall_remove_ports(m->firewall, old->ports, old->n_ports, NULL);
                if (old)
                        user_names_remove(m, old);
                return error_set_errno(reterr_error, r, "The records of what the container “%s” has of networks cannot be read: %m",
                                       container);
        }
        now = u;
        moved = !old || !ports_equal(old, now);
        if (moved && old && old->n_ports > 0 && m->firewall) {
                r = failed = firewall_remove_ports(m->firewall, old->ports, old->n_ports, reterr_error);
                if (r < 0) {
                        /* They are open still: the container's end is to close these. */
                        free(u->ports);
                        u->ports = TAKE_PTR(old->ports);
                        u->n_ports = old->n_ports;
                        old->n_ports = 0;
                        moved = false;
                }
        }
        r = user_put(m, u);
        if (r < 0)
                return r;
        TAKE_PTR(u);
        if (old)
                user_names_change(m, old, now);
        else
                user_names_add(m, now);
        return failed < 0 ? failed : moved ? open_ports(m, now, reterr_error) : 0;
}

static int restore_default_routes(const NetworkInterface *i, void *userdata) {
        SetUp *s = userdata;
        LinkInfo l;

        /* By one that is down there is none. */
        if (netlink_get_link(s->inside, i->name, &l) < 0 || !l.up)
                return 0;
        return add_default_routes(s, i, l.index);
}

int network_routes_update(NetworkManager *m, const char *ns, const char *container, int netns) {
        SetUp s = { .manager = m, .ns = ns, .container = container, .live = true };
        int r;

        r = netlink_new(netns, &s.inside);
        if (r >= 0)
                r = network_manager_foreach_interface(m, ns, container, restore_default_routes, &s);
        netlink_free(s.inside);
        return r;
}

typedef struct Restore {
        Netlink *inside;
        const char *name;
} Restore;

static int restore_addresses(const NetworkInterface *i, void *userdata) {
        const Restore *s = userdata;
        LinkInfo l;
        int r;

        if (!streq(i->name, s->name))
                return 0;
        r = netlink_get_link(s->inside, i->name, &l);
        for (size_t k = 0; r >= 0 && k < i->n_addresses; k++) {
                r = netlink_add_address(s->inside, l.index, i->addresses + k);
                r = r == -EEXIST ? 0 : r;
        }
        return r;
}

int network_addresses_restore(NetworkManager *m, const char *ns, const char *container, const char *name, int netns) {
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        int r;

        r = netlink_new(netns, &inside);
        if (r >= 0)
                r = network_manager_foreach_interface(m, ns, container, restore_addresses, &(Restore) { inside, name });
        return r;
}

/* -- after a start, or when somebody has changed what is ours -- */

int network_manager_adopt(NetworkManager *m, const char *ns, const char *container) {
        NetworkUser *u = NULL;
        int r;

        r = user_plan(m, ns, container, &u);
        if (r >= 0)
                r = user_put(m, u);
        if (r < 0)
                network_user_free(u);
        else
                user_names_add(m, u);
        return r;
}

/* A bridge that was made again has no ports. */
static int attach(const NetworkInterface *i, void *userdata) {
        NetworkManager *m = userdata;
        LinkInfo bridge, port;
        int r;

        if (i->network->driver != NETWORK_BRIDGE ||
            netlink_get_link(m->netlink, i->network->row.device, &bridge) < 0 ||
            netlink_get_link(m->netlink, i->host_device, &port) < 0 || port.master == bridge.index)
                return 0;
        r = netlink_change_link(m->netlink, port.index,
                                &(LinkChange) { .master = bridge.index, .up = true, .netns = -EBADF });
        if (r >= 0 && bridges_call())
                r = netlink_change_link(m->netlink, port.index,
                                        &(LinkChange) { .hairpin = true, .netns = -EBADF });
        if (r < 0)
                log_warning_errno(r, "Failed to make %s a port of %s, ignoring: %m", i->host_device,
                                  i->network->row.device);
        return 0;
}

int network_manager_reload(NetworkManager *m, Error *reterr_error) {
        NetworkUser *u;
        int r;

        r = network_devices_restore(m, reterr_error);
        if (!m->netlink)
                return r;
        HASHMAP_FOREACH (u, m->users)
                (void) network_manager_foreach_interface(m, u->ns, u->container, attach, m);
        return r;
}

int network_manager_recovered(NetworkManager *m, Error *reterr_error) {
        network_kept_recovered(m);
        return network_manager_reload(m, reterr_error);
}
