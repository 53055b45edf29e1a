/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What somebody has said of a container's interfaces, in the kernel: devices that are on no network, and what is different of those that are.
 * It is made in this order, which is that of what depends on what: device, MTU, MAC, addresses, up, routes, rates. Whatever is there already is
 * left, so that a change makes all of it again: the kernel forgets routes when a device goes down. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"
#include "network/qdisc.h"
#include "network/tap.h"

static int device_error(const DevicePlace *p, const NetworkDevice *d, int r, const char *what, const Netlink *n) {
        const char *said = n ? netlink_get_message(n) : "";

        if (error_is_set(p->reterr_error))
                return r;
        return error_set_errno(p->reterr_error, r, "The interface “%s” of the container “%s” cannot be made (%s): %m%s%s%s",
                               d->name, p->container, what, isempty(said) ? "" : " (", said, isempty(said) ? "" : ")");
}

/* -- devices -- */

static int find_master(const DevicePlace *p, const NetworkDevice *d, int *ret) {
        const char *master = d->spec->master;
        LinkInfo l;
        int r;

        *ret = 0;
        if (!master)
                return 0;
        r = netlink_get_link(p->host, master, &l);
        if (r < 0 || !streq(l.kind, "bridge"))
                return error_set(p->reterr_error, r < 0 ? r : -EINVAL, r < 0 ? "NoSuchDevice" : "InvalidArgument",
                                 r < 0 ? "This host has no bridge “%s” for the interface “%s” of the container “%s”."
                                       : "“%s”, which is to be the master of the interface “%s” of the container “%s”, is not a bridge.",
                                 master, d->name, p->container);
        *ret = l.index;
        return 0;
}

/* Ours, and so of the last run: the kernel takes its time to clear a namespace away. */
static bool is_stale_end(const DevicePlace *p, const NetworkDevice *d) {
        LinkInfo l;

        return netlink_get_link(p->host, d->host_device, &l) >= 0 && streq(l.kind, "veth") && startswith(l.alias, ALIAS_PREFIX);
}

/* The kernel takes no alias with a new device: who died before it has one leaves a name that only ours have. So the one that
 * was asked for comes last. */
static int name_end(const DevicePlace *p, const NetworkDevice *d, const char *random) {
        _cleanup_free_ char *alias = strjoin(ALIAS_PREFIX, p->ns, "/", p->container);
        LinkInfo l;
        int r;

        if (!alias)
                return -ENOMEM;
        r = netlink_get_link(p->host, random, &l);
        if (r >= 0)
                r = netlink_change_link(p->host, l.index, &(LinkChange) { .alias = alias, .down = true, .netns = -EBADF });
        if (r >= 0)
                r = netlink_change_link(p->host, l.index, &(LinkChange) { .name = d->host_device, .netns = -EBADF });
        if (r >= 0)
                r = netlink_change_link(p->host, l.index, &(LinkChange) { .up = true, .netns = -EBADF });
        if (r < 0)
                (void) netlink_delete_link(p->host, random);
        return r;
}

static int make_veth(const DevicePlace *p, const NetworkDevice *d, const uint8_t *ether) {
        _cleanup_free_ char *random = network_random_device();
        int r, master;

        if (!random)
                return -ENOMEM;
        r = find_master(p, d, &master);
        if (r < 0)
                return r;
        if (is_stale_end(p, d))
                (void) netlink_delete_link(p->host, d->host_device);
        r = netlink_add_veth(p->host, random, master, (uint32_t) d->spec->mtu, p->netns, d->name, ether);
        if (r < 0)
                return device_error(p, d, r, "veth", p->host);
        r = name_end(p, d, random);
        if (r == -EEXIST)
                return error_set(p->reterr_error, r, "DeviceInUse",
                                 "This host has a device “%s” already: choose another name for its end (Peer).", d->host_device);
        return r < 0 ? device_error(p, d, r, "name", p->host) : 0;
}

static int make_sub_link(const DevicePlace *p, const NetworkDevice *d, const uint8_t *ether) {
        const char *kind = interface_type_to_string(d->spec->type);
        LinkInfo l;
        int r;

        r = netlink_get_link(p->host, d->spec->link, &l);
        if (r < 0)
                return error_set(p->reterr_error, r, "NoSuchDevice",
                                 "This host has no device “%s” for the interface “%s” of the container “%s”: “ip link” shows them.",
                                 d->spec->link, d->name, p->container);
        r = netlink_add_sub_link(p->host, kind, d->spec->link, d->spec->mode, (uint32_t) d->spec->mtu, p->netns, d->name, ether);
        if (r == -EOPNOTSUPP)
                return error_set(p->reterr_error, r, "NotSupported", "The kernel of this host has no %s.", kind);
        if (r >= 0)
                r = network_manager_keep_netns(p->manager, p->ns, p->container, p->netns);
        return r < 0 ? device_error(p, d, r, kind, p->host) : 0;
}

static int make_tap(const DevicePlace *p, const NetworkDevice *d) {
        int r = tap_new(p->netns, d->name, (uid_t) d->spec->user);

        if (r == -ENOENT || r == -ENODEV || r == -EPERM)
                return error_set(p->reterr_error, r, "NotSupported", "No tap device can be made: /dev/net/tun cannot be opened (modprobe tun).");
        return r < 0 ? device_error(p, d, r, "tap", NULL) : 0;
}

static int make(const DevicePlace *p, const NetworkDevice *d) {
        uint8_t ether[ETHER_SIZE];
        bool has_ether = d->spec->mac && ether_parse(d->spec->mac, ether) >= 0;

        switch (d->spec->type) {
        case INTERFACE_VETH:
                return make_veth(p, d, has_ether ? ether : NULL);
        case INTERFACE_MACVLAN:
        case INTERFACE_IPVLAN:
                return make_sub_link(p, d, has_ether ? ether : NULL);
        case INTERFACE_DEVICE:
                return device_lend(p, d);
        case INTERFACE_TAP:
                return make_tap(p, d);
        case INTERFACE_NETWORK:
        case _INTERFACE_TYPE_MAX:
        case _INTERFACE_TYPE_INVALID:
        default:
                return 0;
        }
}

/* -- what is said of them -- */

typedef struct Settings {
        const DevicePlace *place;
        const NetworkDevice *device;
        LinkInfo link;
        const char *step; /* for an error */
} Settings;

static int change(Settings *s, const LinkChange *c) {
        LinkChange all = *c;

        all.netns = -EBADF;
        return netlink_change_link(s->place->inside, s->link.index, &all);
}

static int set_ether(Settings *s) {
        uint8_t ether[ETHER_SIZE];
        int r;

        if (!s->device->spec->mac || ether_parse(s->device->spec->mac, ether) < 0 || memcmp(ether, s->link.ether, ETHER_SIZE) == 0)
                return 0;
        s->step = "MAC";
        r = change(s, &(LinkChange) { .ether = ether });
        /* Some drivers can do so only while it is down. */
        if (r == -EBUSY && s->link.up) {
                r = change(s, &(LinkChange) { .down = true });
                s->link.up = false;
                if (r >= 0)
                        r = change(s, &(LinkChange) { .ether = ether });
        }
        return r;
}

static int set_link(Settings *s) {
        const InterfaceSpec *spec = s->device->spec;
        int r = 0;

        s->step = "MTU";
        if (spec->mtu != 0 && spec->mtu != s->link.mtu)
                r = change(s, &(LinkChange) { .mtu = (uint32_t) spec->mtu });
        if (r >= 0)
                r = set_ether(s);
        return r;
}

static int set_up_or_down(Settings *s) {
        bool down = s->device->spec->down;
        int r;

        s->step = down ? "down" : "up";
        r = change(s, &(LinkChange) { .up = !down, .down = down });
        return r;
}

static int set_addresses(Settings *s) {
        int r = 0;

        s->step = "addresses";
        STRV_FOREACH (text, s->device->spec->addresses) {
                Prefix p;

                if (r >= 0)
                        r = prefix_parse(text, &p);
                if (r >= 0)
                        r = netlink_add_address(s->place->inside, s->link.index, &p);
                r = r == -EEXIST ? 0 : r;
        }
        return r;
}

/* By one that is down there is none. One that is there already is of the last time; a new one that is in another's way would be
 * in the record only. */
static int set_routes(Settings *s, const InterfaceSpec *old) {
        int r = 0;

        s->step = "routes";
        STRV_FOREACH (text, s->device->spec->routes) {
                Route route;

                if (r < 0 || s->device->spec->down)
                        break;
                r = route_parse(text, &route, NULL);
                if (r >= 0)
                        r = netlink_add_route(s->place->inside, &route.destination,
                                              route.gateway.family == AF_UNSPEC ? NULL : &route.gateway, s->link.index,
                                              route.metric);
                if (r == -EEXIST && (!old || strv_contains(old->routes, text)))
                        r = 0;
        }
        return r;
}

/* The host's end of an interface on a network is in that one's record. */
static int find_end(const NetworkInterface *i, const NetworkDevice *d, void *userdata) {
        LinkInfo *l = userdata;
        const char *name = i ? i->host_device : d ? d->host_device : "";

        (void) snprintf(l->name, sizeof(l->name), "%s", name);
        return 0;
}

static int set_rates(Settings *s, const InterfaceSpec *old) {
        const InterfaceSpec *spec = s->device->spec;
        const DevicePlace *p = s->place;
        LinkInfo end = {};
        int r = 0;

        s->step = "rates";
        if (spec->sent_rate != (old ? old->sent_rate : 0))
                r = qdisc_set_rate(p->inside, &s->link, spec->sent_rate);
        if (r < 0 || spec->received_rate == (old ? old->received_rate : 0))
                return r;
        r = network_manager_get_interface(p->manager, p->ns, p->container, s->device->name, find_end, &end);
        if (r >= 0)
                r = netlink_get_link(p->host, end.name, &end);
        return r < 0 ? r : qdisc_set_rate(p->host, &end, spec->received_rate);
}

static void remove_old(Settings *s, const InterfaceSpec *old) {
        STRV_FOREACH (text, old->routes) {
                Route route;

                if (!strv_contains(s->device->spec->routes, text) && route_parse(text, &route, NULL) >= 0)
                        (void) netlink_delete_route(s->place->inside, &route.destination,
                                                    route.gateway.family == AF_UNSPEC ? NULL : &route.gateway,
                                                    s->link.index, route.metric);
        }
        STRV_FOREACH (text, old->addresses) {
                Prefix p;

                if (!strv_contains(s->device->spec->addresses, text) && prefix_parse(text, &p) >= 0)
                        (void) netlink_delete_address(s->place->inside, s->link.index, &p);
        }
}

static int settle(Settings *s, const InterfaceSpec *old) {
        const DevicePlace *p = s->place;
        const NetworkDevice *d = s->device;
        int r;

        r = netlink_get_link(p->inside, d->name, &s->link);
        if (r == -ENODEV)
                return error_set(p->reterr_error, r, "NoSuchDevice",
                                 "The device %s is not in container %s any more: somebody in there has removed or renamed it.",
                                 d->name, p->container);
        if (r >= 0 && old)
                remove_old(s, old);
        if (r >= 0)
                r = set_link(s);
        if (r >= 0)
                r = set_addresses(s);
        if (r >= 0)
                r = set_up_or_down(s);
        /* What the network has given stays, whatever was changed, and others' default routes take over from one that is down. */
        if (r >= 0 && d->spec->type == INTERFACE_NETWORK && (old || d->spec->down)) {
                if (!d->spec->down)
                        r = network_addresses_restore(p->manager, p->ns, p->container, d->name, p->netns);
                if (r >= 0)
                        r = network_routes_update(p->manager, p->ns, p->container, p->netns);
        }
        if (r >= 0)
                r = set_routes(s, old);
        if (r >= 0)
                r = set_rates(s, old);
        return r < 0 ? device_error(p, d, r, strempty(s->step), p->inside) : 0;
}

int device_set_up(const DevicePlace *p, const NetworkDevice *d) {
        Settings s = { .place = p, .device = d };
        int r;

        r = make(p, d);
        return r < 0 ? r : settle(&s, NULL);
}

int device_change(const DevicePlace *p, const NetworkDevice *d, const InterfaceSpec *old) {
        Settings s = { .place = p, .device = d };

        return settle(&s, old);
}

int device_set_down(const DevicePlace *p, const NetworkDevice *d) {
        const char *kind = interface_type_to_string(d->spec->type);
        LinkInfo l;
        int r;

        if (d->spec->type == INTERFACE_DEVICE)
                return device_fetch(p, d);
        if (d->spec->type == INTERFACE_VETH)
                r = is_stale_end(p, d) ? netlink_delete_link(p->host, d->host_device) : 0;
        else {
                r = netlink_get_link(p->inside, d->name, &l);
                if (r >= 0)
                        /* Another's that has got the name stays. */
                        r = streq(l.kind, d->spec->type == INTERFACE_TAP ? "tun" : kind) ? netlink_delete_link(p->inside, d->name)
                                                                                         : -ENODEV;
        }
        return r == -ENODEV ? 0 : r;
}
