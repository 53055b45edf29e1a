/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records of networks, subnets that are free, and what containers get; in a network namespace of the test's own, as the host's routes and
 * ports count. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "netns-fixture.h"
#include "network/network-private.h"

#define L(...) ((char *[]) { __VA_ARGS__ __VA_OPT__(,) NULL })
#define NONE ((char *[]) { NULL })

typedef struct Fixture {
        Store *store;
        Events *events;
        NetworkManager *manager;
} Fixture;

static int setup(void **state) {
        static Fixture f;
        const NamespaceRow namespaces[] = { { .name = (char *) "default" }, { .name = (char *) "other" } };
        _cleanup_(netlink_freep) Netlink *n = NULL;
        LinkInfo lo;

        f = (Fixture) {};
        *state = &f;
        if (netns_missing)
                return 0;

        assert_int_equal(netlink_new(-EBADF, &n), 0);
        assert_int_equal(netlink_get_link(n, "lo", &lo), 0);
        assert_int_equal(netlink_change_link(n, lo.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(store_open(":memory:", &f.store, NULL, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(namespaces); i++)
                assert_int_equal(store_namespace_add(f.store, &namespaces[i]), 0);
        assert_int_equal(events_new(f.store, 100, &f.events), 0);
        assert_int_equal(network_manager_new(f.store, f.events, "/nonexistent", &f.manager, NULL), 0);
        assert_int_equal(network_manager_load(f.manager, NULL), 0);
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        network_manager_free(f->manager);
        events_free(f->events);
        store_free(f->store);
        return 0;
}


static Network *create(Fixture *f, const char *name, const NetworkOptions *o) {
        static const NetworkOptions none;
        _cleanup_error_ Error e = ERROR_NULL;
        Network *n;

        if (network_create(f->manager, "default", name, o ?: &none, &n, &e) < 0)
                fail_msg("%s", error_message(&e));
        return n;
}

static void check_create_fails(Fixture *f, const char *name, const NetworkOptions *o, const char *error, const char *words) {
        _cleanup_error_ Error e = ERROR_NULL;
        Network *n;

        assert_true(network_create(f->manager, "default", name, o, &n, &e) < 0);
        if (!error_has_name(&e, error) || !strstr(error_message(&e), words))
                fail_msg("%s: %s", error_name(&e), error_message(&e));
}

static void check_subnet(const Network *n, size_t i, const char *subnet, const char *gateway) {
        char text[ADDRESS_TEXT_MAX];

        assert_true(i < n->n_subnets);
        assert_string_equal(prefix_format(&n->pools[i].subnet_prefix, text), subnet);
        assert_string_equal(address_format(&n->subnets[i].address, text), gateway);
        assert_int_equal(n->subnets[i].length, n->pools[i].subnet_prefix.length);
}

/* Also what the next process finds. */
static void reload(Fixture *f) {
        network_manager_free(f->manager);
        f->manager = NULL;
        assert_int_equal(network_manager_new(f->store, f->events, "/nonexistent", &f->manager, NULL), 0);
        assert_int_equal(network_manager_load(f->manager, NULL), 0);
}

static void test_create(void **state) {
        const NetworkOptions given = {
                .subnets = L((char *) "10.90.0.0/24", (char *) "fd00:1::/64"),
                .gateways = L((char *) "10.90.0.254"),
                .ranges = L((char *) "10.90.0.128/25"),
                .internal = true,
                .no_dns = true,
                .mtu = 1400,
                .device = (char *) "br-test",
                .labels = L((char *) "a=b"),
        };
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        HashmapIterator i = 0;
        Network *n;

        NETNS_NEEDED();
        n = create(f, NULL, NULL);
        assert_string_equal(n->row.name, "network1");
        assert_string_equal(n->row.device, "moored0");
        check_subnet(n, 0, "10.87.0.0/24", "10.87.0.1");
        assert_int_equal(n->n_subnets, 1);
        n = create(f, "", NULL);
        assert_string_equal(n->row.name, "network2");
        check_subnet(n, 0, "10.87.1.0/24", "10.87.1.1");
        n = create(f, "default", NULL);
        check_subnet(n, 0, "10.86.0.0/16", "10.86.0.1");
        assert_ptr_equal(network_find(f->manager, "default", "bridge", NULL), n);
        n = create(f, "six", &(NetworkOptions) { .ipv6 = true });
        assert_int_equal(n->n_subnets, 2);
        assert_int_equal(n->subnets[1].length, 64);
        assert_int_equal(n->subnets[1].address.bytes[0], 0xfd);
        assert_int_equal(n->subnets[1].address.bytes[15], 1);
        (void) create(f, "given", &given);
        assert_true(create(f, "open", &(NetworkOptions) { .open = true })->row.open);

        reload(f);
        n = network_find(f->manager, "default", "given", &e);
        assert_non_null(n);
        check_subnet(n, 0, "10.90.0.0/24", "10.90.0.254");
        check_subnet(n, 1, "fd00:1::/64", "fd00:1::1");
        assert_true(n->row.internal);
        assert_true(n->row.no_dns);
        assert_false(n->row.open);
        assert_true(network_find(f->manager, "default", "open", NULL)->row.open);
        assert_int_equal(n->row.mtu, 1400);
        assert_string_equal(n->row.labels[0], "a=b");
        assert_null(network_find(f->manager, "other", "given", &e));
        assert_true(error_has_name(&e, "NoSuchNetwork"));
        for (size_t k = 0; k < 6; k++)
                assert_true(network_iterate(f->manager, &i, &n));
        assert_false(network_iterate(f->manager, &i, &n));
}

static void test_names(void **state) {
        static const char *const bad[] = { "host", "none", "bridge", "ns", "container", "-a", "a/b", "a:b", "a b", "é",
                                           "01234567890123456789012345678901234567890123456789012345678901234" };
        const NetworkOptions none = {};
        Fixture *f = *state;

        NETNS_NEEDED();
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                check_create_fails(f, bad[i], &none, "InvalidArgument", "network");
        (void) create(f, "0123456789012345678901234567890123456789012345678901234567890123", NULL);
        (void) create(f, "a", &(NetworkOptions) { .device = (char *) "br-a" });
        check_create_fails(f, "a", &none, "NetworkExists", "already");
        check_create_fails(f, "b", &(NetworkOptions) { .device = (char *) "br-a" }, "DeviceExists", "another network");
        check_create_fails(f, "b", &(NetworkOptions) { .device = (char *) "lo" }, "DeviceExists", "not a network");
        check_create_fails(f, "b", &(NetworkOptions) { .device = (char *) "0123456789012345" }, "InvalidArgument", "15 characters");
        check_create_fails(f, "b", &(NetworkOptions) { .device = (char *) "all" }, "InvalidArgument", "all");
        (void) create(f, "b", &(NetworkOptions) { .device = (char *) "012345678901234" });
}

static void test_bad_options(void **state) {
        const struct {
                NetworkOptions o;
                const char *name, *words;
        } bad[] = {
                { { .subnets = L((char *) "10.90.0.1/24") }, "InvalidArgument", "the subnet is 10.90.0.0/24" },
                { { .subnets = L((char *) "10.90.0.0") }, "InvalidArgument", "written as" },
                { { .subnets = L((char *) "10.90.0.0/32") }, "InvalidArgument", "too small" },
                { { .subnets = L((char *) "fd00::/128") }, "InvalidArgument", "too small" },
                { { .subnets = L((char *) "0.0.0.0/0") }, "InvalidArgument", "too large" },
                { { .subnets = L((char *) "127.0.0.0/24") }, "InvalidArgument", "not one" },
                { { .subnets = L((char *) "224.0.0.0/24") }, "InvalidArgument", "not one" },
                { { .subnets = L((char *) "10.90.0.0/24", (char *) "10.90.0.0/16") }, "SubnetInUse", "the same network" },
                { { .gateways = L((char *) "10.90.0.1") }, "InvalidArgument", "none of the network's" },
                { { .gateways = L((char *) "x") }, "InvalidArgument", "not an IP" },
                { { .subnets = L((char *) "10.90.0.0/24"), .gateways = L((char *) "10.90.0.255") }, "InvalidArgument", "a device can have" },
                { { .subnets = L((char *) "10.90.0.0/24"), .gateways = L((char *) "10.90.0.1", (char *) "10.90.0.2") }, "InvalidArgument", "second" },
                { { .subnets = L((char *) "10.90.0.0/24"), .ranges = L((char *) "10.90.0.0/23") }, "InvalidArgument", "none" },
                { { .subnets = L((char *) "10.90.0.0/24"), .ranges = L((char *) "10.90.1.0/25") }, "InvalidArgument", "none" },
                { { .subnets = L((char *) "10.90.0.0/24"), .ranges = L((char *) "10.90.0.1/25") }, "InvalidArgument", "range" },
                { { .mtu = 67 }, "InvalidArgument", "MTU" },
                { { .mtu = 65536 }, "InvalidArgument", "MTU" },
                { { .mtu = 1279, .ipv6 = true }, "InvalidArgument", "MTU" },
                { { .parent = (char *) "lo" }, "InvalidArgument", "parent" },
                { { .mode = (char *) "l2" }, "InvalidArgument", "mode" },
                { { .open = true, .internal = true }, "InvalidArgument", "internal network is isolated" },
                { { .driver = NETWORK_MACVLAN, .open = true, .parent = (char *) "lo" }, "InvalidArgument", "Only bridges" },
                { { .driver = NETWORK_MACVLAN }, "InvalidArgument", "parent" },
                { { .driver = NETWORK_MACVLAN, .parent = (char *) "lo" }, "InvalidArgument", "subnet" },
                { { .driver = NETWORK_MACVLAN, .parent = (char *) "no" }, "NoSuchDevice", "no device" },
                { { .driver = NETWORK_MACVLAN, .parent = (char *) "lo", .mode = (char *) "l2" }, "InvalidArgument", "mode" },
                { { .driver = NETWORK_IPVLAN, .parent = (char *) "lo", .mode = (char *) "vepa" }, "InvalidArgument", "mode" },
                { { .driver = NETWORK_IPVLAN, .parent = (char *) "lo", .device = (char *) "x" }, "InvalidArgument", "parent" },
        };
        Fixture *f = *state;
        HashmapIterator i = 0;
        Network *n;

        NETNS_NEEDED();
        for (size_t k = 0; k < ELEMENTSOF(bad); k++)
                check_create_fails(f, "x", &bad[k].o, bad[k].name, bad[k].words);
        assert_false(network_iterate(f->manager, &i, &n));
        n = create(f, "small", &(NetworkOptions) { .subnets = L((char *) "10.90.0.0/31"), .mtu = 68 });
        check_subnet(n, 0, "10.90.0.0/31", "10.90.0.0");
        (void) create(f, "mac", &(NetworkOptions) { .driver = NETWORK_MACVLAN, .parent = (char *) "lo", .mode = (char *) "vepa",
                                                 .subnets = L((char *) "192.0.2.0/24") });
}

/* What the host has, and other networks; wherever it lies. */
static void test_subnets(void **state) {
        _cleanup_(taken_subnets_done) TakenSubnets t = {};
        static const struct {
                const char *taken, *want;
        } steps[] = {
                { "10.200.0.0/16", "10.87.0.0/24" },  { "10.87.0.0/24", "10.87.1.0/24" },    { "10.87.1.7/32", "10.87.2.0/24" },
                { "10.87.2.0/23", "10.87.4.0/24" },   { "10.80.0.0/13", "10.88.0.0/24" },    { "10.88.0.128/25", "10.88.1.0/24" },
                { "10.0.0.0/8", "172.16.0.0/24" },    { "172.16.0.0/12", "192.168.0.0/24" }, { "192.168.0.0/17", "192.168.128.0/24" },
                { "192.168.255.0/24", "192.168.128.0/24" },
        };
        _cleanup_error_ Error e = ERROR_NULL;
        Prefix p;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                char text[ADDRESS_TEXT_MAX];

                assert_int_equal(prefix_parse(steps[i].taken, &p), 0);
                assert_int_equal(taken_subnets_add(&t, &p, "x"), 0);
                assert_int_equal(subnet_choose(&t, AF_INET, NULL, &p, NULL), 0);
                assert_string_equal(prefix_format(&p, text), steps[i].want);
                assert_null(taken_subnets_find(&t, &p));
        }
        /* Until there is none. */
        for (unsigned i = 0; i < 200 && r >= 0; i++) {
                r = subnet_choose(&t, AF_INET, NULL, &p, &e);
                if (r >= 0)
                        assert_int_equal(taken_subnets_add(&t, &p, "x"), 0);
        }
        assert_true(error_has_name(&e, "NoSubnetLeft"));
        assert_int_equal(subnet_choose(&t, AF_INET6, NULL, &p, NULL), 0);
        assert_int_equal(prefix_parse("fd00::/8", &p), 0);
        assert_int_equal(taken_subnets_add(&t, &p, "x"), 0);
        error_done(&e);
        assert_int_equal(subnet_choose(&t, AF_INET6, NULL, &p, &e), -EADDRNOTAVAIL);
        assert_true(error_has_name(&e, "NoSubnetLeft"));
}

static void test_host_routes(void **state) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        Fixture *f = *state;
        LinkInfo link;
        Network *n;
        Prefix p;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &netlink), 0);
        assert_int_equal(netlink_add_bridge(netlink, "lan0", 0, NULL), 0);
        assert_int_equal(netlink_get_link(netlink, "lan0", &link), 0);
        assert_int_equal(netlink_change_link(netlink, link.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(prefix_parse("10.86.3.4/20", &p), 0);
        assert_int_equal(netlink_add_address(netlink, link.index, &p), 0);
        assert_int_equal(prefix_parse("10.87.0.0/16", &p), 0);
        assert_int_equal(netlink_add_route(netlink, &p, NULL, link.index, 0), 0);

        n = create(f, "default", NULL);
        check_subnet(n, 0, "10.88.0.0/24", "10.88.0.1");
        check_create_fails(f, "x", &(NetworkOptions) { .subnets = L((char *) "10.87.7.0/24") }, "SubnetInUse", "lan0");
        check_create_fails(f, "x", &(NetworkOptions) { .subnets = L((char *) "10.0.0.0/8") }, "SubnetInUse", "10.88.0.0/24, which is the network “default”");
        /* A parent's subnet is the host's as well. */
        (void) create(f, "mac", &(NetworkOptions) { .driver = NETWORK_MACVLAN, .parent = (char *) "lan0", .subnets = L((char *) "10.86.0.0/20") });
        assert_int_equal(netlink_delete_link(netlink, "lan0"), 0);
}

/* -- what containers get -- */

typedef struct Got {
        char *addresses, *names, *ports;
        uint8_t mac[ETHER_SIZE];
        char *host_device;
        size_t n_aliases;
} Got;

static void got_done(Got *g) {
        free(g->addresses);
        free(g->names);
        free(g->ports);
        free(g->host_device);
        *g = (Got) {};
}

static void append(char **list, const char *text) {
        char *more = strjoin(strempty(*list), *list ? " " : "", text);

        assert_non_null(more);
        free(*list);
        *list = more;
}

static int got_interface(const NetworkInterface *i, void *userdata) {
        char text[ADDRESS_TEXT_MAX];
        Got *g = userdata;

        append(&g->names, i->name);
        for (size_t k = 0; k < i->n_addresses; k++)
                append(&g->addresses, prefix_format(&i->addresses[k], text));
        memcpy(g->mac, i->mac, ETHER_SIZE);
        assert_int_equal(free_and_strdup(&g->host_device, i->host_device), 0);
        g->n_aliases = strv_length(i->aliases);
        return 0;
}

static int got_port(const Port *p, void *userdata) {
        _cleanup_free_ char *text = port_format(p);
        Got *g = userdata;

        append(&g->ports, text);
        return 0;
}

static Got get(Fixture *f, const char *container) {
        Got g = {};

        assert_int_equal(network_manager_foreach_interface(f->manager, "default", container, got_interface, &g), 0);
        assert_int_equal(network_manager_foreach_port(f->manager, "default", container, got_port, &g), 0);
        return g;
}

static int reserve(Fixture *f, const char *container, char **attachments, char **publish, Error *e) {
        _cleanup_transaction_ StoreTransaction t = {};
        const ContainerRow row = { .ns = (char *) "default", .id = (char *) container };
        int r;

        r = network_manager_prepare(f->manager, "default", attachments, publish, e);
        if (r < 0)
                return r;
        assert_int_equal(store_transaction_begin(&t, f->store, true), 0);
        assert_int_equal(store_container_add(f->store, &row), 0);
        r = network_manager_reserve(f->manager, "default", container, attachments, publish, e);
        if (r >= 0)
                assert_int_equal(store_transaction_commit(&t), 0);
        return r;
}

static void check_reserve(Fixture *f, const char *container, char **attachments, char **publish, const char *addresses) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(got_done) Got g = {};

        if (reserve(f, container, attachments, publish, &e) < 0)
                fail_msg("%s", error_message(&e));
        g = get(f, container);
        assert_string_equal(strempty(g.addresses), addresses);
}

static void check_reserve_fails(Fixture *f, char **attachments, char **publish, const char *error, const char *words) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(got_done) Got g = {};

        if (reserve(f, "failing", attachments, publish, &e) >= 0)
                fail_msg("%s is taken", attachments[0] ?: publish[0]);
        if (!error_has_name(&e, error) || !strstr(error_message(&e), words))
                fail_msg("%s: %s", error_name(&e), error_message(&e));
        /* Nothing stays. */
        assert_int_equal(store_container_remove(f->store, "default", "failing"), -ENOENT);
        g = get(f, "failing");
        assert_null(g.names);
        assert_null(g.ports);
}

static void test_reserve(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(got_done) Got a = {}, again = {};
        Fixture *f = *state;
        Network *n;

        NETNS_NEEDED();
        /* The default network is made by that. */
        assert_null(network_find(f->manager, "default", "default", NULL));
        assert_int_equal(network_manager_prepare(f->manager, "default", L((char *) "default", (char *) "missing"), NONE, &e), -ENOENT);
        error_done(&e);
        assert_null(network_find(f->manager, "default", "default", NULL));
        assert_int_equal(network_manager_prepare(f->manager, "default", L((char *) "default"), NONE, &e), 0);
        assert_non_null(network_find(f->manager, "default", "default", NULL));
        network_manager_abandon(f->manager, "default");
        assert_null(network_find(f->manager, "default", "default", NULL));
        network_manager_abandon(f->manager, "default");
        check_reserve(f, "a", L((char *) "default"), NONE, "10.86.0.2/16");
        network_manager_abandon(f->manager, "default");
        assert_non_null(network_find(f->manager, "default", "default", NULL));
        check_reserve(f, "b", L((char *) "bridge"), NONE, "10.86.0.3/16");
        a = get(f, "a");
        assert_string_equal(a.names, "eth0");
        assert_int_equal(a.mac[0] & 3, 2);
        assert_int_equal(strlen(a.host_device), 12);
        assert_non_null(startswith(a.host_device, "mv"));

        n = create(f, "two", &(NetworkOptions) { .ipv6 = true, .subnets = L((char *) "10.1.0.0/29", (char *) "fd00::/64") });
        check_reserve(f, "c", L((char *) "two:ip=10.1.0.5,mac=02:00:00:00:00:01,alias=x,alias=y", (char *) "default:interface_name=lan0"), NONE,
                      "10.1.0.5/29 fd00::2/64 10.86.0.4/16");
        got_done(&a);
        a = get(f, "c");
        assert_string_equal(a.names, "eth0 lan0");
        check_reserve_fails(f, L((char *) "two:ip=10.1.0.5"), NONE, "AddressInUse", "container c");
        check_reserve_fails(f, L((char *) "two:mac=02:00:00:00:00:01"), NONE, "AddressInUse", "02:00:00:00:00:01");
        check_reserve_fails(f, L((char *) "two:ip=10.1.0.1"), NONE, "AddressInUse", "gateway");
        check_reserve_fails(f, L((char *) "two:ip=10.1.0.7"), NONE, "InvalidArgument", "not an address of");
        check_reserve_fails(f, L((char *) "two:ip=10.2.0.1"), NONE, "InvalidArgument", "not an address of");
        check_reserve_fails(f, L((char *) "two", (char *) "two"), NONE, "InvalidArgument", "twice");
        check_reserve_fails(f, L((char *) "default", (char *) "bridge"), NONE, "InvalidArgument", "twice");
        check_reserve_fails(f, L((char *) "two:interface_name=x", (char *) "default:interface_name=x"), NONE, "InvalidArgument", "called “x”");
        check_reserve_fails(f, L((char *) "missing"), NONE, "NoSuchNetwork", "missing");
        /* The second network's name is wrong: what the first had is free again. */
        check_reserve_fails(f, L((char *) "default", (char *) "two:ip=10.1.0.5"), NONE, "AddressInUse", "container c");

        /* An interface is called as it was wanted, the others as is left. */
        check_reserve(f, "d", L((char *) "default", (char *) "two:interface_name=eth0"), NONE, "10.86.0.6/16 10.1.0.2/29 fd00::3/64");
        again = get(f, "d");
        assert_string_equal(again.names, "eth1 eth0");

        /* The next process goes on. */
        reload(f);
        got_done(&again);
        again = get(f, "c");
        assert_string_equal(again.addresses, a.addresses);
        assert_memory_equal(again.mac, a.mac, ETHER_SIZE);
        n = network_find(f->manager, "default", "two", NULL);
        assert_int_equal(network_remove(n, &e), -EBUSY);
        assert_true(error_has_name(&e, "NetworkInUse"));
        assert_non_null(strstr(error_message(&e), "c, d"));
        assert_int_equal(store_container_remove(f->store, "default", "c"), 0);
        assert_int_equal(store_container_remove(f->store, "default", "d"), 0);
        assert_int_equal(network_remove(n, NULL), 0);
        assert_null(network_find(f->manager, "default", "two", NULL));
}

/* Each once, not the one just given back, and then an error. */
static void test_addresses_run_out(void **state) {
        Fixture *f = *state;

        NETNS_NEEDED();
        (void) create(f, "small", &(NetworkOptions) { .subnets = L((char *) "10.1.0.0/29"), .gateways = L((char *) "10.1.0.3") });
        check_reserve(f, "c1", L((char *) "small"), NONE, "10.1.0.1/29");
        check_reserve(f, "c2", L((char *) "small"), NONE, "10.1.0.2/29");
        assert_int_equal(store_container_remove(f->store, "default", "c2"), 0);
        check_reserve(f, "c4", L((char *) "small"), NONE, "10.1.0.4/29");
        check_reserve(f, "c5", L((char *) "small"), NONE, "10.1.0.5/29");
        check_reserve(f, "c6", L((char *) "small"), NONE, "10.1.0.6/29");
        check_reserve(f, "c2", L((char *) "small"), NONE, "10.1.0.2/29");
        check_reserve_fails(f, L((char *) "small"), NONE, "NoAddressLeft", "10.1.0.0/29");
        assert_int_equal(store_container_remove(f->store, "default", "c5"), 0);
        check_reserve(f, "c5", L((char *) "small"), NONE, "10.1.0.5/29");

        (void) create(f, "range", &(NetworkOptions) { .subnets = L((char *) "10.2.0.0/24"), .ranges = L((char *) "10.2.0.254/31") });
        check_reserve(f, "r1", L((char *) "range"), NONE, "10.2.0.254/24");
        check_reserve_fails(f, L((char *) "range"), NONE, "NoAddressLeft", "10.2.0.254/31");
        /* By hand all of the subnet can be had. */
        check_reserve(f, "r2", L((char *) "range:ip=10.2.0.7"), NONE, "10.2.0.7/24");
        (void) create(f, "pair", &(NetworkOptions) { .subnets = L((char *) "10.3.0.0/31") });
        check_reserve(f, "p1", L((char *) "pair"), NONE, "10.3.0.1/31");
        check_reserve_fails(f, L((char *) "pair"), NONE, "NoAddressLeft", "10.3.0.0/31");
}

static int listen_on(int family, int type, uint16_t port) {
        const int one = 1;
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htobe16(port) };
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htobe16(port) };
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        assert_int_equal(bind(fd, family == AF_INET ? (struct sockaddr *) &four : (struct sockaddr *) &six,
                              family == AF_INET ? sizeof(four) : sizeof(six)),
                         0);
        if (type == SOCK_STREAM)
                assert_int_equal(listen(fd, 1), 0);
        return fd;
}

static int listen_on_address(const char *address, uint16_t port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htobe16(port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof(a)), 0);
        assert_int_equal(listen(fd, 1), 0);
        return fd;
}

static void test_ports(void **state) {
        char **d = L((char *) "default");
        _cleanup_(got_done) Got g = {};
        Fixture *f = *state;
        Port p;
        int fd;

        NETNS_NEEDED();
        check_reserve(f, "a", d, L((char *) "8080:80", (char *) "127.0.0.1:53:53/udp", (char *) "9000-9009:90-99"), "10.86.0.2/16");
        g = get(f, "a");
        assert_string_equal(g.ports, "8080:80 127.0.0.1:53:53/udp 9000-9009:90-99");
        check_reserve_fails(f, d, L((char *) "8080:81"), "PortInUse", "container a of namespace “default”");
        check_reserve_fails(f, d, L((char *) "127.0.0.1:9009:1"), "PortInUse", "container a");
        check_reserve_fails(f, d, L((char *) "9005-9010:5-10"), "PortInUse", "container a");
        check_reserve_fails(f, d, L((char *) "0.0.0.0:53:53/udp"), "PortInUse", "container a");
        check_reserve_fails(f, d, L((char *) "1000:80", (char *) "1000:81"), "InvalidArgument", "overlaps");
        check_reserve_fails(f, d, L((char *) "[::]:8081:80"), "InvalidArgument", "no IPv6 subnet");
        check_reserve_fails(f, d, L((char *) "192.0.2.9:8081:80"), "InvalidArgument", "no address 192.0.2.9");
        check_reserve_fails(f, d, L((char *) "192.0.2.9::80"), "InvalidArgument", "no address 192.0.2.9");
        check_reserve_fails(f, d, L((char *) "1-4096:1-4096", (char *) "5000:1"), "LimitsExceeded", "4096");
        check_reserve_fails(f, NONE, L((char *) "8081:80"), "InvalidArgument", "bridge");
        check_reserve(f, "b", d, L((char *) "8080:80/udp", (char *) "127.0.0.2:53:53/udp", (char *) "8081:80"), "10.86.0.3/16");

        (void) create(f, "six", &(NetworkOptions) { .ipv6 = true, .subnets = L((char *) "10.1.0.0/24", (char *) "fd00::/64") });
        (void) create(f, "closed", &(NetworkOptions) { .internal = true });
        check_reserve_fails(f, L((char *) "closed"), L((char *) "8082:80"), "InvalidArgument", "internal");
        if (netns_bridges_call(true))
                check_reserve_fails(f, L((char *) "six"), L((char *) "[::1]:8083:80"), "InvalidArgument",
                                    "net.bridge.bridge-nf-call-ip6tables=0");
        (void) netns_bridges_call(false);
        check_reserve(f, "c", L((char *) "six"), L((char *) "[::]:8082:80", (char *) "0.0.0.0:8082:81", (char *) "[::1]:8083:80"),
                      "10.1.0.2/24 fd00::2/64");
        (void) netns_bridges_call(true);

        /* Another program's. */
        fd = listen_on(AF_INET, SOCK_STREAM, 7000);
        check_reserve_fails(f, d, L((char *) "6999-7001:1-3"), "PortInUse", "7000/tcp");
        check_reserve_fails(f, d, L((char *) "6990-7020:1-31"), "PortInUse", "7000/tcp");
        check_reserve_fails(f, d, L((char *) "192.0.2.9:6990-7020:1-31"), "InvalidArgument", "no address 192.0.2.9");
        check_reserve_fails(f, d, L((char *) "127.0.0.1:7000:1"), "PortInUse", "7000/tcp");
        check_reserve(f, "e", d, L((char *) "7000:1/udp"), "10.86.0.4/16");
        safe_close(fd);
        fd = listen_on(AF_INET6, SOCK_DGRAM, 7002);
        check_reserve_fails(f, d, L((char *) "7002:1/udp"), "PortInUse", "7002/udp");
        safe_close(fd);
        check_reserve(f, "g", d, L((char *) "7002:1/udp"), "10.86.0.5/16");

        /* One that is free. */
        check_reserve(f, "h", d, L((char *) "80", (char *) "127.0.0.1::81-90/udp"), "10.86.0.6/16");
        got_done(&g);
        g = get(f, "h");
        *strchr(g.ports, ' ') = 0;
        assert_int_equal(port_parse(g.ports, &p, NULL), 0);
        assert_true(p.host_port >= 49152);
        check_reserve_fails(f, d, L(g.ports), "PortInUse", "container h");
        assert_int_equal(store_container_remove(f->store, "default", "h"), 0);
        check_reserve(f, "i", d, L(g.ports), "10.86.0.7/16");
}

/* Of large ranges not each port is tried. */
static void test_large_ranges(void **state) {
        char **d = L((char *) "default");
        Fixture *f = *state;
        int tcp, udp;

        NETNS_NEEDED();
        tcp = listen_on(AF_INET6, SOCK_STREAM, 21000); /* of IPv4 as well */
        udp = listen_on(AF_INET, SOCK_DGRAM, 21001);
        check_reserve_fails(f, d, L((char *) "20001-24096:1-4096"), "PortInUse", "21000/tcp");
        check_reserve_fails(f, d, L((char *) "0.0.0.0:20001-24096:1-4096"), "PortInUse", "21000/tcp");
        check_reserve_fails(f, d, L((char *) "21000-22000:21000-22000"), "PortInUse", "21000/tcp");
        check_reserve_fails(f, d, L((char *) "20000-21000:20000-21000"), "PortInUse", "21000/tcp");
        check_reserve_fails(f, d, L((char *) "20001-24096:1-4096/udp"), "PortInUse", "21001/udp");
        check_reserve_fails(f, d, L((char *) "192.0.2.9:20001-20999:1-999"), "InvalidArgument", "no address 192.0.2.9");
        check_reserve(f, "a", d, L((char *) "21001-23000:1-2000", (char *) "20001-21000:1-1000/udp"), "10.86.0.2/16");
        check_reserve_fails(f, d, L((char *) "22000-24000:1-2001"), "PortInUse", "container a");
        safe_close(tcp);
        safe_close(udp);

        /* Of another address only. */
        tcp = listen_on_address("127.0.0.2", 25000);
        check_reserve_fails(f, d, L((char *) "24500-25500:1-1001"), "PortInUse", "25000/tcp");
        check_reserve(f, "b", d, L((char *) "127.0.0.1:24500-25500:1-1001"), "10.86.0.3/16");
        safe_close(tcp);
}

static void test_limits(void **state) {
        char **attachments = NULL;
        Fixture *f = *state;

        NETNS_NEEDED();
        for (unsigned i = 0; i <= INTERFACES_MAX; i++) {
                _cleanup_free_ char *name = strformat("n%u", i);

                (void) create(f, name, NULL);
                assert_int_equal(strv_extend(&attachments, name), 0);
        }
        check_reserve_fails(f, attachments, NONE, "LimitsExceeded", "64");
        free(attachments[INTERFACES_MAX]);
        attachments[INTERFACES_MAX] = NULL;
        assert_int_equal(reserve(f, "a", attachments, NONE, NULL), 0);
        strv_free(attachments);
}

/* SUBNETS_MAX and NETWORK_LABELS_MAX. */
static void test_option_limits(void **state) {
        char **subnets = NULL, **labels = NULL;
        Fixture *f = *state;

        NETNS_NEEDED();
        for (unsigned i = 0; i <= SUBNETS_MAX; i++)
                assert_int_equal(strv_extendf(&subnets, "10.%u.0.0/24", i), 0);
        for (unsigned i = 0; i <= NETWORK_LABELS_MAX; i++)
                assert_int_equal(strv_extendf(&labels, "l%u=x", i), 0);
        check_create_fails(f, "x", &(NetworkOptions) { .subnets = subnets }, "InvalidArgument", "16 subnets");
        check_create_fails(f, "x", &(NetworkOptions) { .labels = labels }, "LimitsExceeded", "128 labels");
        free(TAKE_PTR(subnets[SUBNETS_MAX]));
        free(TAKE_PTR(labels[NETWORK_LABELS_MAX]));
        check_create_fails(f, "x", &(NetworkOptions) { .subnets = subnets, .ipv6 = true }, "InvalidArgument", "16 subnets");
        assert_int_equal(create(f, "x", &(NetworkOptions) { .subnets = subnets, .labels = labels })->n_subnets, SUBNETS_MAX);
        assert_int_equal(network_count(f->manager, "default"), 1);
        assert_int_equal(network_count(f->manager, "other"), 0);
        strv_free(subnets);
        strv_free(labels);
}

/* NETWORKS_MAX: records that were there are enough. */
static void test_many_networks(void **state) {
        Fixture *f = *state;

        NETNS_NEEDED();
        assert_int_equal(store_begin(f->store, true), 0);
        for (unsigned i = 1; i < NETWORKS_MAX; i++) {
                _cleanup_free_ char *name = strformat("n%u", i), *prefix = strformat("10.%u.%u.0/24", i / 256, i % 256);
                SubnetRow subnet = { .prefix = prefix };
                NetworkRow row = { .ns = (char *) "default", .name = name, .driver = (char *) "bridge", .device = name, .subnets = &subnet,
                                   .n_subnets = 1 };

                assert_int_equal(store_network_add(f->store, &row), 0);
        }
        assert_int_equal(store_commit(f->store), 0);
        reload(f);
        (void) create(f, "last", NULL);
        check_create_fails(f, "more", &(NetworkOptions) {}, "LimitsExceeded", "1024");
}

static void test_attachment_limits(void **state) {
        _cleanup_free_ char *addresses = strdup("lan:ip=10.0.0.1"), *aliases = strdup("lan:alias=a0"), *longest = strdup("lan:");
        _cleanup_(attachment_done) Attachment a = {};

        for (unsigned i = 1; i <= 16; i++) {
                char *more = strformat("%s,ip=10.0.0.%u", addresses, i + 1);

                if (i == 16)
                        assert_int_equal(attachment_parse(addresses, &a, NULL), 0);
                free(addresses);
                addresses = more;
        }
        assert_int_equal(strv_length(a.addresses), 16);
        attachment_done(&a);
        assert_int_equal(attachment_parse(addresses, &a, NULL), -EINVAL);
        for (unsigned i = 1; i <= ALIASES_MAX; i++) {
                char *more = strformat("%s,alias=a%u", aliases, i);

                if (i == ALIASES_MAX)
                        assert_int_equal(attachment_parse(aliases, &a, NULL), 0);
                free(aliases);
                aliases = more;
        }
        assert_int_equal(strv_length(a.aliases), ALIASES_MAX);
        attachment_done(&a);
        assert_int_equal(attachment_parse(aliases, &a, NULL), -EINVAL);
        free(longest);
        longest = malloc(8200);
        memset(longest, ',', 8199);
        memcpy(longest, "lan:", 4);
        longest[8193] = 0;
        assert_int_equal(attachment_parse(longest, &a, NULL), -EINVAL);
        longest[8192] = 0;
        assert_int_equal(attachment_parse(longest, &a, NULL), 0);
        attachment_done(&a);
        assert_int_equal(attachment_parse("lan:alias=012345678901234567890123456789012345678901234567890123456789012", &a, NULL), 0);
        assert_int_equal(attachment_parse("lan:alias=0123456789012345678901234567890123456789012345678901234567890123", &(Attachment) {}, NULL), -EINVAL);
}

static void test_attachment(void **state) {
        static const char *const bad[] = { "", ":", ":ip=10.0.0.1", "a b", "a:ip", "a:ip=", "a:ip=10.0.0", "a:ip=127.0.0.1", "a:ip=224.0.0.1",
                                           "a:ip=10.0.0.1,ip=10.0.0.1", "a:mac=x", "a:mac=01:00:5e:00:00:01", "a:mac=02:00:00:00:00:01,mac=02:00:00:00:00:01",
                                           "a:alias=", "a:alias=a b", "a:alias=x,alias=x", "a:interface_name=", "a:interface_name=lo", "a:interface_name=a/b",
                                           "a:interface_name=0123456789012345", "a:foo=bar", "a:interface_name=x,interface_name=y",
                                           "a:ip=10.0.0.1/24", "a:ip6=fd00::1/64", "a:sent_rate=", "a:sent_rate=fast", "a:sent_rate=7999", "a:sent_rate=0",
                                           "a:received_rate=1000000000001", "a:sent_rate=8k,sent_rate=8k", "a:received_rate=8k,received_rate=8k" };
        _cleanup_(attachment_done) Attachment a = {};

        assert_int_equal(attachment_parse("lan", &a, NULL), 0);
        assert_string_equal(a.network, "lan");
        attachment_done(&a);
        assert_int_equal(attachment_parse("lan:ip=10.0.0.9,ip6=FD00::1,mac=02:00:5E:00:53:01,alias=www,alias=a.b,interface_name=net0", &a, NULL), 0);
        assert_string_equal(a.network, "lan");
        assert_int_equal(strv_length(a.addresses), 2);
        assert_string_equal(a.addresses[1], "fd00::1");
        assert_string_equal(a.mac, "02:00:5e:00:53:01");
        assert_int_equal(strv_length(a.aliases), 2);
        assert_string_equal(a.interface, "net0");
        assert_true(a.sent_rate == 0 && a.received_rate == 0);
        attachment_done(&a);
        assert_int_equal(attachment_parse("lan:sent_rate=8k,received_rate=1000gbit", &a, NULL), 0);
        assert_true(a.sent_rate == INTERFACE_RATE_MIN && a.received_rate == INTERFACE_RATE_MAX);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                Attachment b;

                if (attachment_parse(bad[i], &b, &e) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
                assert_true(error_has_name(&e, "InvalidArgument"));
        }
}

/* Plug-ins are told addresses as they are given. */
static void test_attachment_cni(void **state) {
        static const char *const bad[] = { "a:ip=10.0.0.1/33", "a:ip=fd00::1/129", "a:ip=10.0.0.1/", "a:ip=10.0.0.1/24/24", "a:ip=127.0.0.1/8", "a:ip=/24",
                                           "a:ip=10.0.0.1/24,ip=10.0.0.1/24" };
        _cleanup_(attachment_done) Attachment a = {};

        assert_int_equal(attachment_parse_cni("lan:ip=10.0.0.9/24,ip6=FD00::1/64,ip=10.0.0.10", &a, NULL), 0);
        assert_int_equal(strv_length(a.addresses), 3);
        assert_string_equal(a.addresses[0], "10.0.0.9/24");
        assert_string_equal(a.addresses[1], "fd00::1/64");
        assert_string_equal(a.addresses[2], "10.0.0.10");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                Attachment b;

                if (attachment_parse_cni(bad[i], &b, &e) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_create, setup, teardown),
                cmocka_unit_test_setup_teardown(test_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
                cmocka_unit_test(test_subnets),
                cmocka_unit_test_setup_teardown(test_host_routes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
                cmocka_unit_test_setup_teardown(test_addresses_run_out, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_ranges, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_option_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_networks, setup, teardown),
                cmocka_unit_test(test_attachment),
                cmocka_unit_test(test_attachment_cni),
                cmocka_unit_test(test_attachment_limits),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
