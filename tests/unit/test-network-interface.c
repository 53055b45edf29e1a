/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Interfaces that are on no network, and changes of all kinds, in a network namespace of the test's own, which is the host. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"
#include "network/network-record.h"
#include "netns-fixture.h"

#define L(...) ((char *[]) { __VA_ARGS__ __VA_OPT__(,) NULL })

typedef struct Fixture {
        Store *store;
        Events *events;
        NetworkManager *manager;
        Netlink *host, *inside;
        int netns;
        char *kept; /* name of the descriptor in the store */
} Fixture;

static int keep(const char *name, int fd, void *userdata) {
        Fixture *f = userdata;

        return free_and_strdup(&f->kept, fd >= 0 ? name : NULL);
}

static void new_manager(Fixture *f) {
        network_manager_free(f->manager);
        f->manager = NULL;
        assert_int_equal(network_manager_new(f->store, f->events, "/nonexistent", &f->manager, NULL), 0);
        network_manager_set_keep(f->manager, keep, f);
        assert_int_equal(network_manager_load(f->manager, NULL), 0);
}

static int setup(void **state) {
        const NamespaceRow ns = { .name = (char *) "default" };
        const ContainerRow row = { .ns = (char *) "default", .id = (char *) "a" }, other = { .ns = (char *) "default", .id = (char *) "b" };
        static Fixture f;
        LinkInfo lo;

        f = (Fixture) { .netns = -EBADF };
        *state = &f;
        if (netns_missing)
                return 0;
        assert_int_equal(netlink_new(-EBADF, &f.host), 0);
        assert_int_equal(netlink_get_link(f.host, "lo", &lo), 0);
        assert_int_equal(netlink_change_link(f.host, lo.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(store_open(":memory:", &f.store, NULL, NULL), 0);
        assert_int_equal(store_namespace_add(f.store, &ns), 0);
        assert_int_equal(store_container_add(f.store, &row), 0);
        assert_int_equal(store_container_add(f.store, &other), 0);
        assert_int_equal(events_new(f.store, 100, &f.events), 0);
        new_manager(&f);
        return 0;
}

static void end(Fixture *f) {
        netlink_free(f->inside);
        f->inside = NULL;
        assert_int_equal(network_manager_set_down(f->manager, "default", "a"), 0);
        f->netns = safe_close(f->netns);
}

static int remove_link(const LinkInfo *l, void *userdata) {
        return streq(l->name, "lo") ? 0 : strv_extend(userdata, l->name);
}

static int teardown(void **state) {
        _cleanup_strv_free_ char **names = NULL;
        Fixture *f = *state;

        if (f->manager)
                end(f);
        network_manager_free(f->manager);
        events_free(f->events);
        store_free(f->store);
        if (f->host)
                assert_int_equal(netlink_foreach_link(f->host, remove_link, &names), 0);
        STRV_FOREACH (name, names)
                (void) netlink_delete_link(f->host, name);
        netlink_free(f->host);
        free(f->kept);
        return 0;
}

static void begin(Fixture *f) {
        _cleanup_error_ Error e = ERROR_NULL;

        f->netns = safe_close(f->netns);
        netlink_free(f->inside);
        f->inside = NULL;
        if (network_manager_set_up(f->manager, "default", "a", &f->netns, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(netlink_new(f->netns, &f->inside), 0);
}

/* A device of the host's, up: one end of a pair, of which the other is there as well. */
static LinkInfo make_device(Fixture *f, const char *name, const char *other) {
        int home = netns_open();
        LinkInfo l;

        assert_int_equal(netlink_add_veth(f->host, name, 0, 0, home, other, NULL), 0);
        (void) safe_close(home);
        assert_int_equal(netlink_get_link(f->host, other, &l), 0);
        assert_int_equal(netlink_change_link(f->host, l.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(netlink_get_link(f->host, name, &l), 0);
        return l;
}

static int add(Fixture *f, InterfaceSpec spec, const char *name, char **ret, Error *e) {
        InterfaceSpec copy = {};
        char *chosen = NULL;
        int r;

        copy = (InterfaceSpec) {
                .type = spec.type,
                .link = spec.link ? strdup(spec.link) : NULL,
                .mode = spec.mode ? strdup(spec.mode) : NULL,
                .peer = spec.peer ? strdup(spec.peer) : NULL,
                .master = spec.master ? strdup(spec.master) : NULL,
                .mac = spec.mac ? strdup(spec.mac) : NULL,
                .mtu = spec.mtu,
                .down = spec.down,
                .addresses = strv_copy(spec.addresses),
                .routes = strv_copy(spec.routes),
                .sent_rate = spec.sent_rate,
                .received_rate = spec.received_rate,
        };
        r = network_manager_add_interface(f->manager, "default", "a", name, &copy, f->netns, &chosen, e);
        interface_spec_done(&copy);
        if (ret)
                *ret = chosen;
        else
                free(chosen);
        return r;
}

static void add_ok(Fixture *f, InterfaceSpec spec, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (add(f, spec, name, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void add_fails(Fixture *f, InterfaceSpec spec, const char *name, const char *error) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(add(f, spec, name, NULL, &e) < 0);
        if (!error_has_name(&e, error))
                fail_msg("not %s, but %s: %s", error, error_name(&e), error_message(&e));
}

/* What is not said stays. */
typedef struct Wish {
        uint64_t mtu, sent_rate, received_rate;
        int up;
        char *mac;
        char **add_addresses, **remove_addresses, **add_routes, **remove_routes;
} Wish;
#define CHANGE(...) ((Wish) { __VA_ARGS__ })
#define DOWN (-1)
#define UP 1
#define NO_RATE 1

static uint64_t rate_of(uint64_t wish) {
        return wish == NO_RATE ? 0 : wish == 0 ? INTERFACE_KEEP : wish;
}

static int change(Fixture *f, const char *name, Wish w, Error *e) {
        const InterfaceChange c = {
                .mtu = w.mtu == 0 ? INTERFACE_KEEP : w.mtu,
                .sent_rate = rate_of(w.sent_rate),
                .received_rate = rate_of(w.received_rate),
                .up = w.up == 0 ? -1 : w.up == UP,
                .mac = w.mac,
                .add_addresses = w.add_addresses,
                .remove_addresses = w.remove_addresses,
                .add_routes = w.add_routes,
                .remove_routes = w.remove_routes,
        };

        return network_manager_change_interface(f->manager, "default", "a", name, &c, f->netns, e);
}

static void change_ok(Fixture *f, const char *name, Wish c) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (change(f, name, c, &e) < 0)
                fail_msg("%s", error_message(&e));
}

typedef struct Search {
        int index;
        const char *text;
        bool found;
} Search;

static int match_address(int index, const Prefix *p, void *userdata) {
        char text[ADDRESS_TEXT_MAX];
        Search *s = userdata;

        s->found |= index == s->index && streq(prefix_format(p, text), s->text);
        return 0;
}

static int match_route(const Prefix *p, int index, void *userdata) {
        return match_address(index, p, userdata);
}

static LinkInfo inside(Fixture *f, const char *name) {
        LinkInfo l = {};

        (void) netlink_get_link(f->inside, name, &l);
        return l;
}

static bool has_address(Fixture *f, const char *name, const char *address) {
        Search s = { .index = inside(f, name).index, .text = address };

        assert_int_equal(netlink_foreach_address(f->inside, match_address, &s), 0);
        return s.found;
}

static bool has_route(Fixture *f, const char *name, const char *destination) {
        Search s = { .index = inside(f, name).index, .text = destination };

        assert_int_equal(netlink_foreach_route(f->inside, match_route, &s), 0);
        return s.found;
}

static int find_alias(const LinkInfo *l, void *userdata) {
        if (!streq(l->alias, "the owner's"))
                return 0;
        *(LinkInfo *) userdata = *l;
        return 1;
}

static bool at_home(Fixture *f, const char *name) {
        LinkInfo l;

        return netlink_get_link(f->host, name, &l) >= 0;
}

/* -- tests -- */

static void check_veth(Fixture *f) {
        LinkInfo l = inside(f, "eth0"), end, bridge;

        assert_string_equal(l.kind, "veth");
        assert_int_equal(l.mtu, 1400);
        assert_true(l.up);
        assert_memory_equal(l.ether, "\x02\x00\x5e\x00\x53\x01", ETHER_SIZE);
        assert_true(has_address(f, "eth0", "10.1.0.2/24"));
        assert_true(has_route(f, "eth0", "10.9.0.0/16"));
        assert_int_equal(netlink_get_link(f->host, "end0", &end), 0);
        assert_int_equal(netlink_get_link(f->host, "br0", &bridge), 0);
        assert_int_equal(end.master, bridge.index);
        assert_string_equal(end.alias, "moored: default/a");
}

static void test_veth(void **state) {
        Fixture *f = *state;
        const InterfaceSpec spec = {
                .type = INTERFACE_VETH,
                .peer = (char *) "end0",
                .master = (char *) "br0",
                .mtu = 1400,
                .mac = (char *) "02:00:5e:00:53:01",
                .addresses = L((char *) "10.1.0.2/24"),
                .routes = L((char *) "10.9.0.0/16 via 10.1.0.1"),
                .sent_rate = 1000000,
                .received_rate = 2000000,
        };

        NETNS_NEEDED();
        assert_int_equal(netlink_add_bridge(f->host, "br0", 0, NULL), 0);
        begin(f);
        add_ok(f, spec, NULL);
        check_veth(f);
        add_fails(f, spec, "eth0", "InterfaceExists");
        add_fails(f, spec, "eth1", "DeviceInUse");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_VETH, .peer = (char *) "br0" }, NULL, "DeviceInUse");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_VETH, .master = (char *) "nosuch" }, NULL, "NoSuchDevice");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_VETH, .master = (char *) "lo" }, NULL, "InvalidArgument");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_VETH, .master = (char *) "end0" }, NULL, "InvalidArgument");
        assert_int_equal(inside(f, "eth1").index, 0);
        /* Again, while the last namespace is there still. */
        int old = fd_dup(f->netns);
        end(f);
        begin(f);
        check_veth(f);
        (void) safe_close(old);
        /* By an end in a namespace that is gone. */
        end(f);
        for (unsigned i = 0; at_home(f, "end0"); i++) {
                assert_true(i < 500);
                poll(NULL, 0, 10);
        }
        begin(f);
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, NULL), 0);
        assert_false(at_home(f, "end0"));
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, NULL), -ENOENT);
        end(f);
        begin(f);
        assert_int_equal(inside(f, "eth0").index, 0);
}

static void test_change(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;

        NETNS_NEEDED();
        begin(f);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_VETH, .peer = (char *) "end0" }, "net0");
        change_ok(f, "net0", CHANGE(.mtu = 1300, .add_addresses = L((char *) "10.1.0.2/24", (char *) "fd00::2/64"),
                                    .add_routes = L((char *) "10.9.0.0/16 via 10.1.0.1", (char *) "fd00:9::/64 via fd00::1")));
        assert_int_equal(inside(f, "net0").mtu, 1300);
        assert_true(has_address(f, "net0", "10.1.0.2/24") && has_address(f, "net0", "fd00::2/64"));
        assert_true(has_route(f, "net0", "10.9.0.0/16"));
        change_ok(f, "net0", CHANGE(.up = DOWN));
        assert_false(inside(f, "net0").up);
        assert_false(has_route(f, "net0", "10.9.0.0/16"));
        change_ok(f, "net0", CHANGE(.up = UP, .mac = (char *) "02:00:5e:00:53:02"));
        assert_true(inside(f, "net0").up && has_address(f, "net0", "fd00::2/64") && has_route(f, "net0", "10.9.0.0/16"));
        assert_memory_equal(inside(f, "net0").ether, "\x02\x00\x5e\x00\x53\x02", ETHER_SIZE);
        change_ok(f, "net0", CHANGE(.sent_rate = 1000000, .received_rate = UINT64_C(40000000000)));
        change_ok(f, "net0", CHANGE(.sent_rate = NO_RATE, .received_rate = NO_RATE, .remove_addresses = L((char *) "fd00::2/64"),
                                    .remove_routes = L((char *) "fd00:9::/64 via fd00::1")));
        assert_false(has_address(f, "net0", "fd00::2/64"));
        assert_true(has_route(f, "net0", "10.9.0.0/16"));
        /* What the kernel refuses leaves all as it was. */
        assert_int_equal(change(f, "net0", CHANGE(.mtu = 1450, .mac = (char *) "02:00:5e:00:53:03",
                                                  .add_addresses = L((char *) "10.2.0.2/24"),
                                                  .add_routes = L((char *) "10.8.0.0/16 via 192.0.2.1")), &e), -ENETUNREACH);
        assert_int_equal(inside(f, "net0").mtu, 1300);
        assert_memory_equal(inside(f, "net0").ether, "\x02\x00\x5e\x00\x53\x02", ETHER_SIZE);
        assert_false(has_address(f, "net0", "10.2.0.2/24"));
        error_done(&e);
        assert_int_equal(change(f, "nosuch", CHANGE(.up = DOWN), &e), -ENOENT);
        assert_true(error_has_name(&e, "NoSuchInterface"));
        error_done(&e);
        assert_int_equal(netlink_delete_link(f->inside, "net0"), 0);
        assert_int_equal(change(f, "net0", CHANGE(.up = DOWN), &e), -ENODEV);
        assert_true(error_has_name(&e, "NoSuchDevice"));
        /* It comes back with all of it. */
        end(f);
        change_ok(f, "net0", CHANGE(.mtu = 1350));
        begin(f);
        assert_int_equal(inside(f, "net0").mtu, 1350);
        assert_true(has_address(f, "net0", "10.1.0.2/24") && has_route(f, "net0", "10.9.0.0/16"));
}

static void test_macvlan(void **state) {
        Fixture *f = *state;
        LinkInfo l;

        NETNS_NEEDED();
        (void) make_device(f, "wire0", "wire1");
        begin(f);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_MACVLAN, .link = (char *) "wire0", .mode = (char *) "private", .mtu = 1400 }, NULL);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_MACVLAN, .link = (char *) "wire0", .mode = (char *) "private", .down = true }, NULL);
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_MACVLAN, .link = (char *) "nosuch" }, NULL, "NoSuchDevice");
        l = inside(f, "eth0");
        assert_string_equal(l.kind, "macvlan");
        assert_int_equal(l.mtu, 1400);
        assert_true(l.up);
        assert_false(inside(f, "eth1").up);
        end(f);
        begin(f);
        assert_memory_equal(inside(f, "eth0").ether, l.ether, ETHER_SIZE);
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, NULL), 0);
        assert_int_equal(inside(f, "eth0").index, 0);
        assert_true(inside(f, "eth1").index > 0);
}

/* Its MAC is in use for as long as the kernel takes to clear the last namespace away, unless somebody sees to that. */
static void test_network_at_once(void **state) {
        NetworkOptions o = { .driver = NETWORK_MACVLAN, .parent = (char *) "wire0", .subnets = L((char *) "10.1.0.0/24") };
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Network *n;

        NETNS_NEEDED();
        (void) make_device(f, "wire0", "wire1");
        if (network_create(f->manager, "default", "street", &o, &n, &e) < 0 ||
            network_manager_connect(f->manager, "default", "a", "street", -EBADF, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        for (unsigned i = 0; i < 10; i++) {
                begin(f);
                assert_non_null(f->kept);
                assert_true(inside(f, "eth0").up);
                end(f);
                assert_null(f->kept);
        }
        begin(f);
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, &e), 0);
        assert_null(f->kept);
}

static int count_rates(const NetworkDevice *d, void *userdata) {
        unsigned *n = userdata;

        assert_int_equal(d->spec->type, INTERFACE_NETWORK);
        assert_string_equal(d->name, *n == 0 ? "eth0" : "eth1");
        assert_int_equal(d->spec->sent_rate, 8000000);
        assert_int_equal(d->spec->received_rate, 0);
        (*n)++;
        return 0;
}

/* As if somebody had changed them afterwards. */
static void test_rates_of_attachments(void **state) {
        NetworkOptions street = { .driver = NETWORK_MACVLAN, .parent = (char *) "wire0", .subnets = L((char *) "10.1.0.0/24") };
        NetworkOptions road = { .driver = NETWORK_MACVLAN, .parent = (char *) "wire1", .subnets = L((char *) "10.2.0.0/24") };
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        unsigned count = 0;
        Network *n;

        NETNS_NEEDED();
        (void) make_device(f, "wire0", "wire1");
        if (network_create(f->manager, "default", "street", &street, &n, &e) < 0 ||
            network_create(f->manager, "default", "road", &road, &n, &e) < 0 ||
            network_manager_connect(f->manager, "default", "a", "street:sent_rate=8mbit", -EBADF, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        begin(f);
        if (network_manager_connect(f->manager, "default", "a", "road:sent_rate=8mbit", f->netns, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(network_manager_foreach_device(f->manager, "default", "a", count_rates, &count), 0);
        assert_int_equal(count, 2);
        end(f);
        begin(f);
        change_ok(f, "eth1", CHANGE(.sent_rate = NO_RATE));
        /* With the interface goes what was said of it. */
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth1", f->netns, NULL), 0);
        count = 0;
        assert_int_equal(network_manager_foreach_device(f->manager, "default", "a", count_rates, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(network_manager_connect(f->manager, "default", "a", "road:received_rate=8mbit", -EBADF, NULL, &e), -EOPNOTSUPP);
        assert_true(error_has_name(&e, "NotSupported"));
        assert_non_null(strstr(error_message(&e), "macvlan"));
}

/* The kernel has no second one of the same metric. */
static bool has_default(Fixture *f, const char *name, const char *gateway) {
        Prefix all = { .address.family = AF_INET };
        Address a;

        assert_int_equal(address_parse(gateway, &a), 0);
        return netlink_add_route(f->inside, &all, &a, inside(f, name).index, 0) == -EEXIST;
}

/* What a network has given is the network's. */
static void test_networks_own(void **state) {
        NetworkOptions street = { .driver = NETWORK_MACVLAN, .parent = (char *) "wire0", .subnets = L((char *) "10.1.0.0/24"),
                                  .gateways = L((char *) "10.1.0.1") };
        NetworkOptions road = { .driver = NETWORK_MACVLAN, .parent = (char *) "wire1", .subnets = L((char *) "10.2.0.0/24"),
                                .gateways = L((char *) "10.2.0.1") };
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Network *n;

        NETNS_NEEDED();
        (void) make_device(f, "wire0", "wire1");
        if (network_create(f->manager, "default", "street", &street, &n, &e) < 0 ||
            network_create(f->manager, "default", "road", &road, &n, &e) < 0 ||
            network_manager_connect(f->manager, "default", "a", "street:ip=10.1.0.9", -EBADF, NULL, &e) < 0 ||
            network_manager_connect(f->manager, "default", "a", "road", -EBADF, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        begin(f);
        assert_true(has_address(f, "eth0", "10.1.0.9/24") && has_default(f, "eth0", "10.1.0.1"));
        change_ok(f, "eth0", CHANGE(.add_addresses = L((char *) "10.1.0.9/24", (char *) "10.1.0.77/24")));
        change_ok(f, "eth0", CHANGE(.remove_addresses = L((char *) "10.1.0.9/24", (char *) "10.1.0.77/24")));
        assert_false(has_address(f, "eth0", "10.1.0.77/24"));
        assert_true(has_address(f, "eth0", "10.1.0.9/24") && has_default(f, "eth0", "10.1.0.1"));
        /* Its route is in the way of this one, which would be in the record only. */
        assert_int_equal(change(f, "eth0", CHANGE(.add_routes = L((char *) "0.0.0.0/0 via 10.1.0.5")), &e), -EEXIST);
        assert_true(has_address(f, "eth0", "10.1.0.9/24") && has_default(f, "eth0", "10.1.0.1"));
        /* One that is down leads nowhere, and does not keep others from it. */
        change_ok(f, "eth0", CHANGE(.up = DOWN));
        assert_true(has_default(f, "eth1", "10.2.0.1"));
        change_ok(f, "eth1", CHANGE(.up = DOWN));
        change_ok(f, "eth1", CHANGE(.up = UP));
        assert_true(has_default(f, "eth1", "10.2.0.1"));
        change_ok(f, "eth0", CHANGE(.up = UP));
        assert_true(has_address(f, "eth0", "10.1.0.9/24"));
}

static void test_lent(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        LinkInfo before, l;
        int r;

        NETNS_NEEDED();
        assert_int_equal(netlink_add_bridge(f->host, "br0", 0, NULL), 0);
        assert_int_equal(netlink_get_link(f->host, "br0", &l), 0);
        before = make_device(f, "mine0", "mine1");
        assert_int_equal(netlink_change_link(f->host, before.index,
                                             &(LinkChange) { .alias = "the owner's", .master = l.index, .mtu = 1480, .netns = -EBADF }), 0);
        begin(f);
        assert_null(f->kept);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0", .mtu = 1400, .mac = (char *) "02:00:5e:00:53:01",
                                    .addresses = L((char *) "10.1.0.2/24") }, "eth0");
        assert_string_equal(f->kept, "netns.7.default.a");
        assert_false(at_home(f, "mine0"));
        assert_int_equal(inside(f, "eth0").mtu, 1400);
        assert_true(has_address(f, "eth0", "10.1.0.2/24"));
        /* Once, and not what is not there, or cannot leave. */
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, NULL, "DeviceInUse");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "nosuch" }, NULL, "NoSuchDevice");
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "br0" }, NULL, "NotSupported");
        assert_true(at_home(f, "br0"));

        /* The container ends, having called it something else; another moored fetches it. */
        l = inside(f, "eth0");
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .down = true, .netns = -EBADF }), 0);
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .name = "stolen", .netns = -EBADF }), 0);
        int stored = fd_dup(f->netns);
        f->netns = safe_close(f->netns);
        new_manager(f);
        assert_int_equal(network_manager_adopt_netns(f->manager, "netns.7.default.a", stored), 1);
        end(f);
        assert_null(f->kept);
        assert_int_equal(netlink_get_link(f->host, "mine0", &l), 0);
        assert_int_equal(l.mtu, 1480);
        assert_true(l.up);
        assert_memory_equal(l.ether, before.ether, ETHER_SIZE);
        assert_string_equal(l.alias, "the owner's");
        assert_true(l.master > 0);

        /* The next start has it again, and a start that fails gives it back. */
        begin(f);
        assert_true(inside(f, "eth0").index > 0);
        end(f);
        assert_true(at_home(f, "mine0"));
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_MACVLAN, .link = (char *) "gone0" }, NULL);
        r = network_manager_set_up(f->manager, "default", "a", &f->netns, &e);
        assert_int_equal(r, -ENODEV);
        assert_true(error_has_name(&e, "NoSuchDevice"));
        assert_true(at_home(f, "mine0"));
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth1", -EBADF, NULL), 0);

        /* Removed while it runs. Its name is another's by then. */
        begin(f);
        assert_false(at_home(f, "mine0"));
        assert_int_equal(netlink_add_bridge(f->host, "mine0", 0, NULL), 0);
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, NULL), 0);
        assert_null(f->kept);
        LinkInfo other;
        int found = netlink_foreach_link(f->host, find_alias, &other);
        assert_int_equal(found, 1);
        assert_string_equal(other.kind, "veth");
        assert_true(startswith(other.name, "lent"));
}

/* Who lends, or fetches, dies between two steps: the next start, or end, brings it in order. */
static void test_lent_interrupted(void **state) {
        Fixture *f = *state;
        LinkInfo l;

        NETNS_NEEDED();
        (void) make_device(f, "mine0", "mine1");
        begin(f);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, "eth0");
        end(f);
        /* It is marked, but not gone. */
        assert_int_equal(netlink_get_link(f->host, "mine0", &l), 0);
        assert_int_equal(netlink_change_link(f->host, l.index, &(LinkChange) { .alias = "moored: lent mine0", .netns = -EBADF }), 0);
        new_manager(f);
        (void) network_manager_reload(f->manager, NULL);
        begin(f);
        assert_true(inside(f, "eth0").index > 0);
        /* It is back, but not what it was. */
        int home = netns_open();
        l = inside(f, "eth0");
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .down = true, .netns = -EBADF }), 0);
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .name = "mv0123456789", .netns = -EBADF }), 0);
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .netns = home }), 0);
        (void) safe_close(home);
        (void) network_manager_reload(f->manager, NULL);
        assert_true(at_home(f, "mv0123456789"));
        end(f);
        assert_int_equal(netlink_get_link(f->host, "mine0", &l), 0);
        assert_string_equal(l.alias, "");
        assert_true(l.up);
        /* A namespace in the store that no container has that runs. */
        begin(f);
        int stored = fd_dup(f->netns);
        new_manager(f);
        assert_int_equal(network_manager_adopt_netns(f->manager, "netns.7.default.a", stored), 1);
        (void) network_manager_recovered(f->manager, NULL);
        assert_true(at_home(f, "mine0"));
        assert_null(f->kept);
}

/* What is fetched is the device that was lent, whatever others in there call theirs. */
static void test_lent_false(void **state) {
        static const char too_much[] = "{\"type\":\"device\",\"link\":\"mine0\",\"lentIndex\":2147483648}";
        InterfaceSpec spec = {};
        Fixture *f = *state;
        LinkInfo before, l;

        NETNS_NEEDED();
        assert_int_equal(interface_spec_parse(too_much, &spec), -EBADMSG);
        before = make_device(f, "mine0", "mine1");
        begin(f);
        assert_int_equal(netlink_add_veth(f->inside, "false0", 0, 0, f->netns, "false1", NULL), 0);
        l = inside(f, "false0");
        assert_int_equal(netlink_change_link(f->inside, l.index, &(LinkChange) { .alias = "moored: lent mine0", .netns = -EBADF }), 0);
        /* Not lent at all. */
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, "false0", "InterfaceExists");
        assert_true(inside(f, "false0").index == l.index && at_home(f, "mine0"));
        for (unsigned i = 0; i < 2; i++) {
                add_ok(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, "eth0");
                assert_int_equal(netlink_change_link(f->inside, inside(f, "eth0").index, &(LinkChange) { .alias = "", .netns = -EBADF }), 0);
                assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "eth0", f->netns, NULL), 0);
                assert_int_equal(netlink_get_link(f->host, "mine0", &l), 0);
                assert_memory_equal(l.ether, before.ether, ETHER_SIZE);
                assert_true(inside(f, "false0").index > 0);
        }
        /* Once more, when it is at home already. */
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, "eth0");
        int other = fd_dup(f->netns);
        end(f);
        assert_true(at_home(f, "mine0"));
        assert_int_equal(network_manager_keep_netns(f->manager, "default", "a", other), 0);
        network_manager_clear_kept(f->manager, "default", "a");
        assert_null(f->kept);
        assert_int_equal(netlink_new(other, &f->inside), 0);
        assert_true(inside(f, "false0").index > 0);
        (void) safe_close(other);
}

static void test_lent_end(void **state) {
        Fixture *f = *state;

        NETNS_NEEDED();
        (void) make_device(f, "mv0123456789", "mine1");
        begin(f);
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mv0123456789" }, NULL, "DeviceInUse");
        assert_true(at_home(f, "mv0123456789"));
}

/* Where the host's devices cannot be fetched the namespace is kept until they can, and there is no other. */
static void test_lent_kept(void **state) {
        const DeviceRow bad = { .ns = (char *) "default", .container = (char *) "a", .name = (char *) "bad0", .spec = (char *) "{}" };
        Fixture *f = *state;

        NETNS_NEEDED();
        (void) make_device(f, "mine0", "mine1");
        begin(f);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_DEVICE, .link = (char *) "mine0" }, "eth0");
        assert_int_equal(network_manager_keep_netns(f->manager, "default", "a", f->netns), 0);
        assert_int_equal(store_device_put(f->store, &bad), 0);
        end(f);
        assert_non_null(f->kept);
        assert_false(at_home(f, "mine0"));
        int home = netns_open();
        assert_int_equal(network_manager_keep_netns(f->manager, "default", "a", home), -EBUSY);
        (void) safe_close(home);
        assert_int_equal(store_device_remove(f->store, "default", "a", "bad0"), 0);
        end(f);
        assert_null(f->kept);
        assert_true(at_home(f, "mine0"));
}

static void test_adopt_names(void **state) {
        static const char *const foreign[] = { "netns", "netns.", "netns.7", "netns.7.", "netns.7.default", "netns.8.default.a", "netns.x.default.a",
                                               "netns.99999999999999999999.a", "cni.7.default.a", "terminal" };
        Fixture *f = *state;

        NETNS_NEEDED();
        for (size_t i = 0; i < ELEMENTSOF(foreign); i++)
                assert_int_equal(network_manager_adopt_netns(f->manager, foreign[i], -EBADF), 0);
}

static void test_tap(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        int r;

        NETNS_NEEDED();
        begin(f);
        r = add(f, (InterfaceSpec) { .type = INTERFACE_TAP, .mac = (char *) "02:00:5e:00:53:01", .addresses = L((char *) "10.1.0.1/24") }, "tap0",
                NULL, &e);
        if (r < 0 && error_has_name(&e, "NotSupported")) {
                print_message("%s: %s\n", __func__, error_message(&e));
                skip();
        }
        assert_int_equal(r, 0);
        assert_string_equal(inside(f, "tap0").kind, "tun");
        assert_true(inside(f, "tap0").up && has_address(f, "tap0", "10.1.0.1/24"));
        assert_int_equal(network_manager_remove_interface(f->manager, "default", "a", "tap0", f->netns, NULL), 0);
        assert_int_equal(inside(f, "tap0").index, 0);
}

/* The database was lost, and is filled from what lies in the bundle. */
static void test_record(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *record = NULL;
        Fixture *f = *state;

        NETNS_NEEDED();
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_VETH, .peer = (char *) "end0", .mtu = 1400, .addresses = L((char *) "10.1.0.2/24") }, NULL);
        assert_int_equal(network_record_build(f->store, "default", "a", &record), 0);
        assert_non_null(record);
        assert_int_equal(store_device_remove(f->store, "default", "a", "eth0"), 0);
        if (network_record_restore(f->store, "default", "a", record, &e) < 0)
                fail_msg("%s", error_message(&e));
        begin(f);
        assert_int_equal(inside(f, "eth0").mtu, 1400);
        assert_true(has_address(f, "eth0", "10.1.0.2/24") && at_home(f, "end0"));
        assert_int_equal(json_object_set_new(json_object_get(json_array_get(json_object_get(record, "devices"), 0), "spec"), "mtu",
                                             json_integer(1)), 0);
        assert_true(network_record_restore(f->store, "default", "a", record, &e) < 0);
        assert_true(error_has_name(&e, "InvalidRecord"));
}

/* A record that has gone takes the host's end with it, at the next start. */
static void test_orphans(void **state) {
        Fixture *f = *state;

        NETNS_NEEDED();
        begin(f);
        add_ok(f, (InterfaceSpec) { .type = INTERFACE_VETH, .peer = (char *) "end0" }, NULL);
        (void) make_device(f, "mine0", "mine1");
        (void) make_device(f, "mv01234567", "mvmine");
        (void) make_device(f, "mv0123456789", "mine2");
        new_manager(f);
        (void) network_manager_reload(f->manager, NULL);
        assert_true(at_home(f, "mv01234567") && at_home(f, "mvmine"));
        assert_false(at_home(f, "mv0123456789"));
        assert_true(at_home(f, "end0"));
        assert_int_equal(store_device_remove(f->store, "default", "a", "eth0"), 0);
        (void) network_manager_reload(f->manager, NULL);
        assert_false(at_home(f, "end0"));
        assert_true(at_home(f, "mine0"));
}

static void test_limit(void **state) {
        Fixture *f = *state;

        NETNS_NEEDED();
        for (unsigned i = 0; i < INTERFACES_MAX; i++)
                add_ok(f, (InterfaceSpec) { .type = INTERFACE_VETH }, NULL);
        add_fails(f, (InterfaceSpec) { .type = INTERFACE_VETH }, NULL, "LimitsExceeded");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_veth, setup, teardown),
                cmocka_unit_test_setup_teardown(test_change, setup, teardown),
                cmocka_unit_test_setup_teardown(test_macvlan, setup, teardown),
                cmocka_unit_test_setup_teardown(test_network_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rates_of_attachments, setup, teardown),
                cmocka_unit_test_setup_teardown(test_networks_own, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lent, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lent_interrupted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lent_false, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lent_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lent_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_adopt_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_tap, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
