/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container gets: interfaces with names, MACs and addresses, and ports of the host (host-port.c). All of it is rows
 * that are added in the transaction of the container's own row and go with that, so that nothing is handed
 * out twice, nor kept by nobody, whenever we die. Addresses are unique by the table's key. */

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/listeners.h"
#include "network/network-private.h"

#define MAC_TRIES 8U

typedef struct Reservation {
        NetworkManager *manager;
        const char *ns, *container;
        Attachment *attachments;
        Network **networks; /* weak; of each attachment */
        size_t n_attachments;
        char **names; /* of interfaces that the container has already */
        Port *ports;
        size_t n_ports;
        bool has_family[2]; /* IPv4, IPv6: on a network that ports are published through */
} Reservation;

static void reservation_done(Reservation *v) {
        for (size_t i = 0; i < v->n_attachments; i++)
                attachment_done(&v->attachments[i]);
        free(v->attachments);
        free(v->networks);
        strv_free(v->names);
        free(v->ports);
}

static int oom(Error *e) {
        return error_set_errno(e, -ENOMEM, "Out of memory");
}

/* -- what is wanted -- */

static bool names_default(const Attachment *a) {
        return streq(a->network, NETWORK_DEFAULT) || streq(a->network, NETWORK_DEFAULT_ALIAS);
}

static int make_default(NetworkManager *m, const char *ns, Error *reterr_error) {
        const NetworkOptions options = { .driver = NETWORK_BRIDGE };
        Network *n;
        int r;

        if (network_find(m, ns, NETWORK_DEFAULT, NULL))
                return 0;
        r = network_create(m, ns, NETWORK_DEFAULT, &options, &n, reterr_error);
        if (r >= 0)
                n->made_on_demand = true;
        return r;
}

static bool network_publishes(const Network *n) {
        return n->driver == NETWORK_BRIDGE && !n->row.internal;
}

/* Each network once, each name of an interface once; addresses are the network's. */
static int check_attachment(Reservation *v, size_t i, Error *reterr_error) {
        const Attachment *a = &v->attachments[i];
        const Network *n = v->networks[i];

        for (size_t k = 0; k < i; k++) {
                if (v->networks[k] == n)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "The network “%s” is named twice.", n->row.name);
                if (a->interface && streq_ptr(a->interface, v->attachments[k].interface))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Two interfaces are to be called “%s”.", a->interface);
        }
        if (a->mac && n->driver == NETWORK_IPVLAN)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "The network “%s” is of driver ipvlan: all on it have the MAC of its parent.",
                                n->row.name);
        if (a->received_rate > 0 && n->driver != NETWORK_BRIDGE)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "received_rate: the kernel limits what is sent, so this needs a device with an end in the host; the network “%s” is of driver %s, not bridge.",
                                 n->row.name, n->row.driver);

        STRV_FOREACH (text, a->addresses) {
                bool known = false;
                Address address;

                if (address_parse(text, &address) < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "“%s” is not an IP address.", text);
                for (size_t k = 0; k < n->n_subnets; k++) {
                        if (!prefix_can_assign(&n->pools[k].subnet_prefix, &address))
                                continue;
                        if (address_compare(&n->subnets[k].address, &address) == 0)
                                return error_set(reterr_error, -EADDRINUSE, "AddressInUse",
                                                 "%s is the gateway of the network “%s”.", text,
                                                 n->row.name);
                        known = true;
                }
                if (!known)
                        return error_set(
                                        reterr_error, -EINVAL, "InvalidArgument",
                                        "%s is not an address of the network “%s”: “moorctl network inspect %s” shows its subnets.",
                                        text, n->row.name, n->row.name);
        }

        return 0;
}

static int read_attachments(Reservation *v, char *const *attachments, Error *reterr_error) {
        size_t n = strv_length(attachments);
        int r;

        if (n > INTERFACES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "A container can be on %u networks at most.", INTERFACES_MAX);
        v->attachments = calloc(n + 1, sizeof(Attachment));
        v->networks = calloc(n + 1, sizeof(Network *));
        if (!v->attachments || !v->networks)
                return oom(reterr_error);

        STRV_FOREACH (text, attachments) {
                Attachment *a = &v->attachments[v->n_attachments];
                Network *network;

                r = attachment_parse(text, a, reterr_error);
                if (r < 0)
                        return r;
                v->n_attachments++;
                if (names_default(a) && !store_in_transaction(v->manager->store)) {
                        r = make_default(v->manager, v->ns, reterr_error);
                        if (r < 0)
                                return r;
                }
                network = network_find(v->manager, v->ns, a->network, reterr_error);
                if (!network)
                        return -ENOENT;
                v->networks[v->n_attachments - 1] = network;
                r = check_attachment(v, v->n_attachments - 1, reterr_error);
                if (r < 0)
                        return r;
                for (size_t i = 0; network_publishes(network) && i < network->n_subnets; i++)
                        v->has_family[network->subnets[i].address.family == AF_INET6] = true;
        }

        return 0;
}

static int check_port(const Reservation *v, const Port *p, const char *text, Error *reterr_error) {
        if (!v->has_family[0] && !v->has_family[1])
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "“%s” cannot be published: that needs a network of driver bridge that is not internal (--network).",
                                text);
        if (p->host.family != AF_UNSPEC && !v->has_family[p->host.family == AF_INET6])
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%s” cannot be published: the container's networks have no %s subnet.",
                                 text, p->host.family == AF_INET6 ? "IPv6" : "IPv4");
        if (p->host.family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&p->host.in6) && !network_reaches_loopback6())
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "“%s” cannot be published: while bridges call on nf_tables the kernel does not forward from [::1]; use 127.0.0.1, or say “sysctl net.bridge.bridge-nf-call-ip6tables=0”.",
                                text);
        for (size_t i = 0; i < v->n_ports; i++)
                if (port_overlaps(&v->ports[i], p))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "“%s” overlaps another port that this container publishes.", text);
        return 0;
}

static int read_ports(Reservation *v, char *const *publish, Error *reterr_error) {
        size_t count = 0;
        int r;

        v->ports = calloc(strv_length(publish) + 1, sizeof(Port));
        if (!v->ports)
                return oom(reterr_error);

        STRV_FOREACH (text, publish) {
                Port p;

                r = port_parse(text, &p, reterr_error);
                if (r >= 0)
                        r = check_port(v, &p, text, reterr_error);
                if (r < 0)
                        return r;
                count += p.count;
                if (count > PORTS_MAX)
                        return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                         "A container can publish %u ports at most.", PORTS_MAX);
                v->ports[v->n_ports++] = p;
        }

        return 0;
}

int network_manager_prepare(NetworkManager *m, const char *ns, char *const *attachments,
                            char *const *publish, Error *reterr_error) {
        _cleanup_(reservation_done) Reservation v = { .manager = m, .ns = ns };
        int r;

        r = read_attachments(&v, attachments, reterr_error);
        if (r >= 0)
                r = read_ports(&v, publish, reterr_error);
        if (r < 0)
                network_manager_abandon(m, ns);
        return r;
}

void network_manager_abandon(NetworkManager *m, const char *ns) {
        Network *n = network_find(m, ns, NETWORK_DEFAULT, NULL);

        /* Whether somebody is on it, the records say. */
        if (n && n->made_on_demand && !n->used)
                (void) network_remove(n, NULL);
}

/* -- addresses -- */

static int take_address(Reservation *v, const NetworkPool *pool, const Network *n, const Address *a,
                        uint64_t interface, Error *reterr_error) {
        uint64_t number = address_distance(&pool->subnet_prefix.address, a);
        _cleanup_free_ char *ns = NULL, *container = NULL;
        char text[ADDRESS_TEXT_MAX];
        int r;

        r = store_address_add(v->manager->store, pool->subnet, number, address_format(a, text), interface);
        if (r == -EEXIST && store_address_owner(v->manager->store, pool->subnet, text, &ns, &container) >= 0)
                return error_set(
                                reterr_error, -EADDRINUSE, "AddressInUse",
                                "The address %s of the network “%s” is that of the container %s of namespace “%s”.",
                                text, n->row.name, container, ns);
        return r < 0 ? error_set_errno(reterr_error, r, "The address %s cannot be recorded: %m", text) : 0;
}

/* From first on; steps over what no container can have. */
static int search_address(Reservation *v, const NetworkPool *pool, const Prefix *subnet, uint64_t first,
                          uint64_t last, Address *ret, uint64_t *ret_number) {
        for (;;) {
                uint64_t number;
                Address a;
                int r;

                r = store_address_next(v->manager->store, pool->subnet, first, last, &number);
                if (r < 0)
                        return r;
                if (!address_add(&pool->subnet_prefix.address, number, &a))
                        return -ENOENT;
                if (prefix_can_assign(&pool->subnet_prefix, &a) &&
                    address_compare(&a, &subnet->address) != 0) {
                        *ret = a;
                        *ret_number = number;
                        return 0;
                }
                first = number + 1;
        }
}

/* What an interface is to have, before there is a row for it. */
typedef struct PlannedAddress {
        NetworkPool *pool;
        Address address;
        uint64_t number; /* 0: it was asked for */
} PlannedAddress;

/* The one behind the last that was given away, and after the end from the beginning. */
static int choose_address(Reservation *v, Network *n, size_t i, PlannedAddress *ret, Error *reterr_error) {
        NetworkPool *pool = &n->pools[i];
        const Prefix *base = &pool->subnet_prefix;
        Address end = prefix_last(&pool->range), a;
        uint64_t first = address_distance(&base->address, &pool->range.address), number,
                 last = MIN(address_distance(&base->address, &end), (uint64_t) INT64_MAX - 1);
        char text[ADDRESS_TEXT_MAX];
        int r = -ENOENT;

        if (pool->last >= first && pool->last < last)
                r = search_address(v, pool, &n->subnets[i], pool->last + 1, last, &a, &number);
        if (r == -ENOENT)
                r = search_address(v, pool, &n->subnets[i], first, last, &a, &number);
        if (r == -ENOENT)
                return error_set(
                                reterr_error, -EADDRNOTAVAIL, "NoAddressLeft",
                                "The network “%s” has no address left in %s: remove containers, or make a larger network.",
                                n->row.name, prefix_format(&pool->range, text));
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The addresses of the network “%s” cannot be read: %m", n->row.name);

        *ret = (PlannedAddress) { pool, a, number };
        return 0;
}

/* In the order of the subnets; of each what was asked for, or one that is free. */
static int plan_addresses(Reservation *v, size_t i, PlannedAddress **ret, size_t *ret_n, Error *reterr_error) {
        const Attachment *a = &v->attachments[i];
        Network *n = v->networks[i];
        _cleanup_free_ PlannedAddress *list = calloc(strv_length(a->addresses) + n->n_subnets + 1, sizeof(PlannedAddress));
        size_t count = 0;
        int r;

        if (!list)
                return oom(reterr_error);
        for (size_t k = 0; k < n->n_subnets; k++) {
                size_t before = count;

                STRV_FOREACH (text, a->addresses) {
                        Address address;

                        if (address_parse(text, &address) >= 0 && prefix_contains(&n->pools[k].subnet_prefix, &address))
                                list[count++] = (PlannedAddress) { .pool = &n->pools[k], .address = address };
                }
                if (count > before)
                        continue;
                r = choose_address(v, n, k, list + count, reterr_error);
                if (r < 0)
                        return r;
                count++;
        }

        *ret = TAKE_PTR(list);
        *ret_n = count;
        return 0;
}

static int take_addresses(Reservation *v, const Network *n, const PlannedAddress *list, size_t count, uint64_t interface,
                          Error *reterr_error) {
        for (size_t i = 0; i < count; i++) {
                int r = take_address(v, list[i].pool, n, &list[i].address, interface, reterr_error);

                if (r < 0)
                        return r;
                if (list[i].number > 0)
                        list[i].pool->last = list[i].number;
        }
        return 0;
}

/* -- interfaces -- */

int network_random_mac(char text[static ETHER_TEXT_MAX]) {
        uint8_t ether[ETHER_SIZE];

        if (getrandom(ether, sizeof(ether), 0) != (ssize_t) sizeof(ether))
                return -EIO;
        ether[0] = (uint8_t) ((ether[0] & 0xfc) | 0x02);
        (void) ether_format(ether, text);
        return 0;
}

/* The same for the same address: who has talked to the one that had it before, and remembers his MAC for half a minute, is
 * understood by the one that has it now. */
static void address_mac(const Network *n, const Address *a, char text[static ETHER_TEXT_MAX]) {
        uint8_t ether[ETHER_SIZE];

        ether_derive(a->bytes, sizeof(a->bytes), n->row.n, ether);
        (void) ether_format(ether, text);
}

char *network_free_name(char *const *taken) {
        for (size_t number = 0;; number++) {
                _cleanup_free_ char *name = strformat("eth%zu", number);

                if (!name || !strv_contains(taken, name))
                        return TAKE_PTR(name);
        }
}

char *network_random_device(void) {
        _cleanup_free_ char *random = random_hex(HOST_DEVICE_RANDOM);

        return random ? strjoin(HOST_DEVICE_PREFIX, random) : NULL;
}

static int interface_name(const Reservation *v, char **ret) {
        _cleanup_strv_free_ char **taken = strv_copy(v->names);

        for (size_t k = 0; k < v->n_attachments; k++)
                if (v->attachments[k].interface && strv_extend(&taken, v->attachments[k].interface) < 0)
                        return -ENOMEM;
        *ret = network_free_name(taken);
        return *ret ? 0 : -ENOMEM;
}

/* With a MAC, if it has none. */
static int add_interface_row(Reservation *v, const Network *n, const Address *address, InterfaceRow *row) {
        char mac[ETHER_TEXT_MAX];
        int r = -EEXIST;

        if (row->mac)
                return store_interface_add(v->manager->store, row);
        row->mac = mac;
        for (unsigned try = 0; r == -EEXIST && try < MAC_TRIES; try++) {
                r = 0;
                if (try == 0 && address)
                        address_mac(n, address, mac);
                else
                        r = network_random_mac(mac);
                if (r >= 0)
                        r = store_interface_add(v->manager->store, row);
        }
        row->mac = NULL;
        return r;
}

/* As if somebody had changed it. */
static int record_rates(const Reservation *v, const Attachment *a) {
        const InterfaceSpec spec = { .type = INTERFACE_NETWORK, .sent_rate = a->sent_rate, .received_rate = a->received_rate };
        _cleanup_free_ char *text = NULL;

        if (interface_spec_is_empty(&spec))
                return 0;
        text = interface_spec_format(&spec);
        if (!text)
                return -ENOMEM;
        return store_device_put(v->manager->store, &(DeviceRow) { .ns = (char *) v->ns, .container = (char *) v->container,
                                                                  .name = a->interface, .spec = text });
}

static int reserve_interface(Reservation *v, size_t i, Error *reterr_error) {
        _cleanup_free_ PlannedAddress *addresses = NULL;
        _cleanup_free_ char *device = NULL;
        Attachment *a = &v->attachments[i];
        Network *n = v->networks[i];
        size_t n_addresses = 0;
        InterfaceRow row;
        int r;

        if (!a->interface && interface_name(v, &a->interface) < 0)
                return oom(reterr_error);
        r = plan_addresses(v, i, &addresses, &n_addresses, reterr_error);
        if (r < 0)
                return r;
        if (n->driver == NETWORK_BRIDGE) {
                device = network_random_device();
                if (!device)
                        return oom(reterr_error);
        }

        row = (InterfaceRow) {
                .ns = (char *) v->ns,
                .container = (char *) v->container,
                .network = n->row.n,
                .name = a->interface,
                .host_device = device,
                .mac = a->mac,
                .aliases = a->aliases,
        };
        r = add_interface_row(v, n, n_addresses > 0 ? &addresses[0].address : NULL, &row);
        if (r == -EEXIST && a->mac)
                return error_set(reterr_error, -EADDRINUSE, "AddressInUse",
                                 "The MAC %s is another container's on the network “%s”.", a->mac,
                                 n->row.name);
        if (r >= 0)
                r = record_rates(v, a);
        if (r < 0)
                return error_set_errno(reterr_error, r, "An interface cannot be recorded: %m");

        return take_addresses(v, n, addresses, n_addresses, row.n, reterr_error);
}

int network_manager_reserve(NetworkManager *m, const char *ns, const char *container,
                            char *const *attachments, char *const *publish, Error *reterr_error) {
        _cleanup_(reservation_done) Reservation v = { .manager = m, .ns = ns, .container = container };
        int r;

        assert(store_in_transaction(m->store));

        r = read_attachments(&v, attachments, reterr_error);
        if (r >= 0)
                r = read_ports(&v, publish, reterr_error);
        for (size_t i = 0; r >= 0 && i < v.n_ports; i++)
                r = network_port_reserve(m, ns, container, v.ports, v.n_ports, i, reterr_error);
        for (size_t i = 0; r >= 0 && i < v.n_attachments; i++)
                r = reserve_interface(&v, i, reterr_error);
        return r;
}

/* -- one more -- */

typedef struct Present {
        Reservation *v;
        Error *reterr_error;
} Present;

static int check_present(const NetworkInterface *i, void *userdata) {
        Present *p = userdata;
        const Attachment *a = &p->v->attachments[0];

        if (i->network == p->v->networks[0])
                return error_set(p->reterr_error, -EEXIST, "AlreadyConnected",
                                 "The container “%s” is on the network “%s” already, by its interface “%s”.",
                                 p->v->container, i->network->row.name, i->name);
        if (streq_ptr(a->interface, i->name))
                return error_set(p->reterr_error, -EEXIST, "InterfaceExists",
                                 "The container “%s” has an interface “%s” already: choose another name.",
                                 p->v->container, i->name);
        return strv_extend(&p->v->names, i->name);
}

static int check_device(const NetworkDevice *d, void *userdata) {
        Present *p = userdata;

        if (d->spec->type == INTERFACE_NETWORK)
                return 0;
        if (streq_ptr(p->v->attachments[0].interface, d->name))
                return error_set(p->reterr_error, -EEXIST, "InterfaceExists",
                                 "The container “%s” has an interface “%s” already: choose another name.",
                                 p->v->container, d->name);
        return strv_extend(&p->v->names, d->name);
}

int network_manager_reserve_more(NetworkManager *m, const char *ns, const char *container,
                                 const char *attachment, char **ret_name, Error *reterr_error) {
        _cleanup_(reservation_done) Reservation v = { .manager = m, .ns = ns, .container = container };
        char *const attachments[] = { (char *) attachment, NULL };
        Present p = { &v, reterr_error };
        int r;

        assert(store_in_transaction(m->store));

        r = read_attachments(&v, attachments, reterr_error);
        if (r < 0)
                return r;
        r = network_manager_foreach_interface(m, ns, container, check_present, &p);
        if (r >= 0)
                r = network_manager_foreach_device(m, ns, container, check_device, &p);
        if (r < 0)
                return error_is_set(reterr_error) ? r
                                                  : error_set_errno(reterr_error, r,
                                                                    "The interfaces of the container “%s” cannot be read: %m",
                                                                    container);
        if (strv_length(v.names) >= INTERFACES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "A container can have %u interfaces at most.", INTERFACES_MAX);
        r = reserve_interface(&v, 0, reterr_error);
        if (r >= 0)
                *ret_name = TAKE_PTR(v.attachments[0].interface);
        return r;
}

/* -- what was reserved -- */

typedef struct InterfaceCall {
        NetworkManager *manager;
        int (*func)(const NetworkInterface *i, void *userdata); /* or the next */
        int (*user_func)(const char *container, const NetworkInterface *i, void *userdata);
        void *userdata;
} InterfaceCall;

static int parse_addresses(const Network *n, char *const *texts, Prefix **ret, size_t *ret_n) {
        _cleanup_free_ Prefix *list = calloc(strv_length(texts) + 1, sizeof(Prefix));
        size_t count = 0;

        if (!list)
                return -ENOMEM;
        /* In the order of the subnets. */
        for (size_t i = 0; i < n->n_subnets; i++)
                STRV_FOREACH (text, texts) {
                        Address a;

                        if (address_parse(text, &a) >= 0 && prefix_contains(&n->pools[i].subnet_prefix, &a))
                                list[count++] = (Prefix) { a, n->subnets[i].length };
                }

        *ret = TAKE_PTR(list);
        *ret_n = count;
        return 0;
}

static int call_interface(const InterfaceRow *row, void *userdata) {
        _cleanup_free_ Prefix *addresses = NULL;
        InterfaceCall *c = userdata;
        NetworkInterface i = {
                .network = network_manager_get(c->manager, row->network),
                .name = row->name,
                .host_device = strempty(row->host_device),
                .aliases = row->aliases,
        };
        int r;

        /* Its record could not be understood. */
        if (!i.network)
                return -ENOENT;
        r = ether_parse(row->mac, i.mac);
        if (r >= 0)
                r = parse_addresses(i.network, row->addresses, &addresses, &i.n_addresses);
        if (r < 0)
                return r;

        i.addresses = addresses;
        return c->func ? c->func(&i, c->userdata) : c->user_func(row->container, &i, c->userdata);
}

int network_manager_foreach_interface(NetworkManager *m, const char *ns, const char *container,
                                      int (*func)(const NetworkInterface *i, void *userdata),
                                      void *userdata) {
        InterfaceCall c = { .manager = m, .func = func, .userdata = userdata };

        return store_interface_foreach(m->store, ns, container, call_interface, &c);
}

int network_foreach_user(Network *n,
                         int (*func)(const char *container, const NetworkInterface *i, void *userdata),
                         void *userdata) {
        InterfaceCall c = { .manager = n->manager, .user_func = func, .userdata = userdata };

        return store_interface_foreach_in(n->manager->store, n->row.n, call_interface, &c);
}
