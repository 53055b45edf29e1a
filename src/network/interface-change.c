/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Interfaces of a container that somebody adds, changes and removes, other than by networks. As with these (connect.c), records and kernel
 * change in one transaction on the way in, and the records come first on the way out. With devices of the host's it is the other way round: the record
 * is there as long as the container may have the device, so that it is found (interface-keep.c). */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"

/* -- what is there -- */

/* A copy: records are changed while they are gone through. */
typedef struct Devices {
        struct Device {
                char *name, *host_device;
                InterfaceSpec spec;
        } *list;
        size_t n;
} Devices;

static void devices_done(Devices *d) {
        for (size_t i = 0; i < d->n; i++) {
                free(d->list[i].name);
                free(d->list[i].host_device);
                interface_spec_done(&d->list[i].spec);
        }
        free(d->list);
}

static int collect(const DeviceRow *row, void *userdata) {
        Devices *d = userdata;
        struct Device *more = reallocarray(d->list, d->n + 1, sizeof(*more));
        struct Device *now;
        int r;

        if (!more)
                return -ENOMEM;
        d->list = more;
        now = &more[d->n];
        *now = (struct Device) {};
        r = interface_spec_parse(row->spec, &now->spec);
        if (r < 0)
                return r;
        d->n++;
        now->name = strdup(row->name);
        now->host_device = strdup(strempty(row->host_device));
        return now->name && now->host_device ? 0 : -ENOMEM;
}

static int devices_get(NetworkManager *m, const char *ns, const char *container, Devices *ret) {
        return store_device_foreach(m->store, ns, container, collect, ret);
}

static NetworkDevice as_device(const struct Device *d) {
        return (NetworkDevice) { .name = d->name, .host_device = d->host_device, .spec = &d->spec };
}

int network_manager_foreach_device(NetworkManager *m, const char *ns, const char *container,
                                   int (*func)(const NetworkDevice *d, void *userdata), void *userdata) {
        _cleanup_(devices_done) Devices all = {};
        int r;

        r = devices_get(m, ns, container, &all);
        for (size_t i = 0; r >= 0 && i < all.n; i++) {
                NetworkDevice d = as_device(&all.list[i]);

                r = func(&d, userdata);
        }
        return r;
}

typedef struct Get {
        const char *name;
        int (*func)(const NetworkInterface *i, const NetworkDevice *d, void *userdata);
        void *userdata;
        const NetworkDevice *device;
        bool found;
} Get;

static int get_one(const NetworkInterface *i, void *userdata) {
        Get *g = userdata;

        if (g->found || !streq(i->name, g->name))
                return 0;
        g->found = true;
        return g->func(i, g->device, g->userdata);
}

int network_manager_get_interface(NetworkManager *m, const char *ns, const char *container, const char *name,
                                  int (*func)(const NetworkInterface *i, const NetworkDevice *d, void *userdata), void *userdata) {
        Get g = { .name = name, .func = func, .userdata = userdata };
        _cleanup_(devices_done) Devices all = {};
        NetworkDevice d = {};
        int r;

        r = devices_get(m, ns, container, &all);
        for (size_t i = 0; r >= 0 && i < all.n; i++)
                if (streq(all.list[i].name, name)) {
                        d = as_device(&all.list[i]);
                        g.device = &d;
                }
        if (r >= 0)
                r = network_manager_foreach_interface(m, ns, container, get_one, &g);
        if (r < 0 || g.found)
                return r < 0 ? r : 1;
        if (!g.device || d.spec->type == INTERFACE_NETWORK)
                return 0;
        r = func(NULL, &d, userdata);
        return r < 0 ? r : 1;
}

static int add_interface_name(const NetworkInterface *i, void *userdata) {
        return strv_extend(userdata, i->name);
}

static int add_device_name(const NetworkDevice *d, void *userdata) {
        return d->spec->type == INTERFACE_NETWORK ? 0 : strv_extend(userdata, d->name);
}

int network_interface_names(NetworkManager *m, const char *ns, const char *container, char ***ret) {
        int r;

        r = network_manager_foreach_interface(m, ns, container, add_interface_name, ret);
        return r < 0 ? r : network_manager_foreach_device(m, ns, container, add_device_name, ret);
}

/* -- what is common -- */

typedef struct Change {
        NetworkManager *manager;
        const char *ns, *container;
        int netns; /* -EBADF: it does not run */
        Netlink *inside;
        DevicePlace place;
} Change;

static void change_done(Change *c) {
        netlink_free(c->inside);
}

static int change_begin(Change *c, Error *reterr_error) {
        int r;

        c->place = (DevicePlace) { .manager = c->manager, .ns = c->ns, .container = c->container, .netns = c->netns };
        if (c->netns < 0)
                return 0;
        r = network_manager_netlink(c->manager, &c->place.host, reterr_error);
        if (r < 0)
                return r;
        r = netlink_new(c->netns, &c->inside);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The network of the container “%s” cannot be reached: %m", c->container);
        c->place.inside = c->inside;
        return 0;
}

static int record_error(const Change *c, int r, Error *reterr_error) {
        return r == -ENOENT ? error_set(reterr_error, r, "NoSuchContainer", "There is no container “%s” any more.", c->container)
                            : error_set_errno(reterr_error, r, "The interfaces of the container “%s” cannot be recorded: %m",
                                              c->container);
}

static int put(const Change *c, const NetworkDevice *d, Error *reterr_error) {
        _cleanup_free_ char *text = interface_spec_format(d->spec), *ns = NULL, *container = NULL;
        const DeviceRow row = {
                .ns = (char *) c->ns,
                .container = (char *) c->container,
                .name = (char *) d->name,
                .host_device = isempty(d->host_device) ? NULL : (char *) d->host_device,
                .spec = text,
        };
        Store *store = c->manager->store;
        int r;

        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = store_device_put(store, &row);
        if (r == -EEXIST && store_host_device_owner(store, d->host_device, &ns, &container) >= 0)
                return error_set(reterr_error, -EBUSY, "DeviceInUse",
                                 "The device “%s” is that of the container “%s” of namespace “%s”.", d->host_device, container, ns);
        return r < 0 ? record_error(c, r, reterr_error) : 0;
}

static int record_change(const Change *c, const char *topic, const NetworkDevice *d) {
        return events_record(c->manager->events, c->ns, topic, c->container, "Interface", d->name, "Type",
                             interface_type_to_string(d->spec->type), NULL);
}

/* Without a record there is nothing to be said of it. */
static int forget(const Change *c, const NetworkDevice *d, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        Store *store = c->manager->store;
        int r;

        r = store_transaction_begin(&t, store, true);
        if (r >= 0)
                r = store_device_remove(store, c->ns, c->container, d->name);
        if (r >= 0)
                r = record_change(c, "container/interface-removed", d);
        if (r >= 0)
                r = store_transaction_commit(&t);
        return r < 0 ? record_error(c, r, reterr_error) : 0;
}

/* -- add -- */

static int complete(const Change *c, InterfaceSpec *s, char **name, Error *reterr_error) {
        bool has_mac = s->type == INTERFACE_VETH || s->type == INTERFACE_MACVLAN || s->type == INTERFACE_TAP;
        _cleanup_free_ char *ns = NULL, *owner = NULL;
        _cleanup_strv_free_ char **names = NULL;
        char mac[ETHER_TEXT_MAX];
        int r;

        r = network_interface_names(c->manager, c->ns, c->container, &names);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The interfaces of the container “%s” cannot be read: %m", c->container);
        if (strv_length(names) >= INTERFACES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded", "A container can have %u interfaces at most.", INTERFACES_MAX);
        if (*name && (!network_device_name_is_valid(*name) || streq(*name, "lo")))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Name: that of an interface has letters, digits, “_”, “.” and “-”, at most 15, and is not “lo”.");
        if (*name && strv_contains(names, *name))
                return error_set(reterr_error, -EEXIST, "InterfaceExists",
                                 "The container “%s” has an interface “%s” already: choose another name.", c->container, *name);
        if (!*name)
                *name = network_free_name(names);
        /* A network's; that of another one like this is told with its owner, when it is recorded. */
        if (s->peer && store_host_device_owner(c->manager->store, s->peer, &ns, &owner) == -ENOENT &&
            store_host_device_is_known(c->manager->store, s->peer))
                return error_set(reterr_error, -EBUSY, "DeviceInUse",
                                 "Peer: the device “%s” of the host is another interface's: choose another name.", s->peer);
        if (!s->peer && s->type == INTERFACE_VETH)
                s->peer = network_random_device();
        /* It is to be the same after the next start. */
        if (!s->mac && has_mac && network_random_mac(mac) >= 0)
                s->mac = strdup(mac);
        return *name && (s->peer || s->type != INTERFACE_VETH) && (s->mac || !has_mac)
                               ? 0
                               : error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

typedef struct Found {
        char *host_device;
        InterfaceSpec spec;
        bool own_ipv6; /* the network has given it some */
        bool has_end;
} Found;

static void found_done(Found *f) {
        free(f->host_device);
        interface_spec_done(&f->spec);
}

static int copy_found(const NetworkInterface *i, const NetworkDevice *d, void *userdata) {
        _cleanup_free_ char *text = NULL;
        Found *f = userdata;

        for (size_t k = 0; i && k < i->n_addresses; k++)
                f->own_ipv6 |= i->addresses[k].address.family == AF_INET6;
        f->has_end = i ? !isempty(i->host_device) : d->spec->type == INTERFACE_VETH;
        f->host_device = strdup(d ? d->host_device : "");
        if (!f->host_device)
                return -ENOMEM;
        if (!d)
                return 0;
        text = interface_spec_format(d->spec);
        return text ? interface_spec_parse(text, &f->spec) : -ENOMEM;
}

/* What was recorded on the way is needed for the way back. */
static void unmake(const Change *c, const char *name) {
        _cleanup_(found_done) Found f = {};

        if (network_manager_get_interface(c->manager, c->ns, c->container, name, copy_found, &f) > 0)
                (void) device_set_down(&c->place, &(NetworkDevice) { name, f.host_device, &f.spec });
}

static int make(const Change *c, const NetworkDevice *d, Error *reterr_error) {
        DevicePlace p = c->place;
        LinkInfo l;
        int r;

        if (c->netns < 0)
                return 0;
        p.reterr_error = reterr_error;
        r = netlink_get_link(c->inside, d->name, &l);
        if (r >= 0)
                return error_set(reterr_error, -EEXIST, "InterfaceExists",
                                 "In the container “%s” is a device “%s” already: choose another name.", c->container, d->name);
        r = r == -ENODEV ? device_set_up(&p, d) : r;
        if (r < 0)
                unmake(c, d->name);
        return r;
}

static int add(const Change *c, const NetworkDevice *d, Error *reterr_error) {
        bool lent = d->spec->type == INTERFACE_DEVICE;
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = store_transaction_begin(&t, c->manager->store, true);
        if (r < 0)
                return record_error(c, r, reterr_error);
        r = put(c, d, reterr_error);
        if (r >= 0 && !lent)
                r = make(c, d, reterr_error);
        if (r < 0)
                return r;
        r = record_change(c, "container/interface-added", d);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0) {
                if (c->netns >= 0 && !lent)
                        (void) device_set_down(&c->place, d);
                return record_error(c, r, reterr_error);
        }
        r = lent ? make(c, d, reterr_error) : 0;
        if (r < 0 && forget(c, d, &e) < 0)
                log_warning("The record of interface “%s”, which was not made, stays: %s", d->name, error_message(&e));
        return r;
}

int network_manager_add_interface(NetworkManager *m, const char *ns, const char *container, const char *name, InterfaceSpec *spec,
                                  int netns, char **ret_name, Error *reterr_error) {
        _cleanup_(change_done) Change c = { .manager = m, .ns = ns, .container = container, .netns = netns };
        _cleanup_free_ char *chosen = name ? strdup(name) : NULL;
        NetworkDevice d;
        int r;

        assert(!store_in_transaction(m->store));
        assert(spec->type != INTERFACE_NETWORK);

        r = interface_spec_check(spec, reterr_error);
        if (r >= 0)
                r = complete(&c, spec, &chosen, reterr_error);
        if (r >= 0)
                r = change_begin(&c, reterr_error);
        if (r < 0)
                return r;
        d = (NetworkDevice) {
                .name = chosen,
                .host_device = spec->type == INTERFACE_VETH ? spec->peer : spec->type == INTERFACE_DEVICE ? spec->link : "",
                .spec = spec,
        };
        r = add(&c, &d, reterr_error);
        if (r >= 0)
                *ret_name = TAKE_PTR(chosen);
        return r;
}

/* -- change -- */

static int check_new(const Found *f, const InterfaceSpec *new, Error *reterr_error) {
        if (f->own_ipv6 && new->mtu != 0 && new->mtu < INTERFACE_MTU_MIN_IPV6)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "MTU: it is 1280 at least where there are IPv6 addresses.");
        if (new->received_rate > 0 && !f->has_end)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "ReceivedRate: the kernel limits what is sent, so this needs a device with an end in the host (a bridge's, or type veth).");
        return 0;
}

/* As it was, with what a record need not say. */
static void undo(const Change *c, const NetworkDevice *d, Found *f, const LinkInfo *before) {
        NetworkDevice old = { .name = d->name, .host_device = d->host_device, .spec = &f->spec };
        char mac[ETHER_TEXT_MAX];
        int r;

        f->spec.mtu = before->mtu;
        r = f->spec.type == INTERFACE_IPVLAN ? 0 : free_and_strdup(&f->spec.mac, ether_format(before->ether, mac));
        if (r >= 0)
                r = device_change(&c->place, &old, d->spec);
        if (r < 0)
                log_warning_errno(r, "The interface “%s” of container “%s” may not be as it was, ignoring: %m", d->name, c->container);
}

static int apply(const Change *c, const NetworkDevice *d, Found *f, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        Store *store = c->manager->store;
        DevicePlace p = c->place;
        LinkInfo before = {};
        int r, k = 0;

        p.reterr_error = reterr_error;
        r = store_transaction_begin(&t, store, true);
        if (r < 0)
                return record_error(c, r, reterr_error);
        r = put(c, d, reterr_error);
        if (r < 0)
                return r;
        if (c->netns >= 0) {
                k = netlink_get_link(c->inside, d->name, &before);
                r = device_change(&p, d, &f->spec);
        }
        if (r >= 0)
                r = record_change(c, "container/interface-changed", d);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0 && c->netns >= 0 && k >= 0)
                undo(c, d, f, &before);
        return r < 0 && !error_is_set(reterr_error) ? record_error(c, r, reterr_error) : r;
}

static int no_such_interface(const char *container, const char *name, Error *reterr_error) {
        return error_set(reterr_error, -ENOENT, "NoSuchInterface",
                         "The container “%s” has no interface “%s”: “moorctl interface ls %s” shows them.", container, name, container);
}

int network_manager_change_interface(NetworkManager *m, const char *ns, const char *container, const char *name,
                                     const InterfaceChange *change, int netns, Error *reterr_error) {
        _cleanup_(change_done) Change c = { .manager = m, .ns = ns, .container = container, .netns = netns };
        _cleanup_(interface_spec_done) InterfaceSpec new = {};
        _cleanup_(found_done) Found f = {};
        int r;

        assert(!store_in_transaction(m->store));

        r = network_manager_get_interface(m, ns, container, name, copy_found, &f);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The interfaces of the container “%s” cannot be read: %m", container);
        if (r == 0)
                return no_such_interface(container, name, reterr_error);
        r = interface_spec_apply(&f.spec, change, &new, reterr_error);
        if (r >= 0)
                r = check_new(&f, &new, reterr_error);
        if (r >= 0)
                r = change_begin(&c, reterr_error);
        return r < 0 ? r : apply(&c, &(NetworkDevice) { name, f.host_device, &new }, &f, reterr_error);
}

/* -- remove -- */

static int remove_lent(const Change *c, const NetworkDevice *d, Error *reterr_error) {
        int r;

        r = c->netns >= 0 ? device_fetch(&c->place, d) : 0;
        if (r < 0)
                return error_set_errno(reterr_error, r, "The device “%s” cannot be fetched from the container “%s”: %m", d->spec->link,
                                       c->container);
        r = forget(c, d, reterr_error);
        if (r >= 0 && network_kept_count(c->manager, c->ns, c->container) == 0)
                network_kept_forget(c->manager, c->ns, c->container);
        return r;
}

int network_manager_remove_device(NetworkManager *m, const char *ns, const char *container, const char *name, int netns,
                                  Error *reterr_error) {
        _cleanup_(change_done) Change c = { .manager = m, .ns = ns, .container = container, .netns = netns };
        _cleanup_(found_done) Found f = {};
        NetworkDevice d = { .name = name, .spec = &f.spec };
        int r;

        r = network_manager_get_interface(m, ns, container, name, copy_found, &f);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The interfaces of the container “%s” cannot be read: %m", container);
        if (r == 0)
                return no_such_interface(container, name, reterr_error);
        d.host_device = f.host_device;
        r = change_begin(&c, reterr_error);
        if (r < 0)
                return r;
        if (f.spec.type == INTERFACE_DEVICE)
                return remove_lent(&c, &d, reterr_error);
        r = forget(&c, &d, reterr_error);
        if (r < 0 || netns < 0)
                return r;
        r = device_set_down(&c.place, &d);
        if (network_kept_count(m, ns, container) == 0)
                network_kept_forget(m, ns, container);
        if (r < 0)
                log_warning_errno(r, "The interface “%s” of the container “%s” is still there, ignoring: %m", name, container);
        return 0;
}
