/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What containers' networks are in the kernel, in a network namespace of the test's own, which is the host: judged by connections. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "network/network-private.h"
#include "network/sysctl.h"
#include "traffic-fixture.h"

#define L(...) ((char *[]) { __VA_ARGS__ __VA_OPT__(,) NULL })
#define NONE ((char *[]) { NULL })

typedef struct Fixture {
        Store *store;
        Events *events;
        NetworkManager *manager;
        Netlink *host;
} Fixture;

static void new_manager(Fixture *f) {
        network_manager_free(f->manager);
        f->manager = NULL;
        assert_int_equal(network_manager_new(f->store, f->events, "/nonexistent", &f->manager, NULL), 0);
        assert_int_equal(network_manager_load(f->manager, NULL), 0);
}

static int setup(void **state) {
        static Fixture f;
        const NamespaceRow ns = { .name = (char *) "default" };
        LinkInfo lo;

        f = (Fixture) {};
        *state = &f;
        if (netns_missing)
                return 0;
        assert_int_equal(netlink_new(-EBADF, &f.host), 0);
        assert_int_equal(netlink_get_link(f.host, "lo", &lo), 0);
        assert_int_equal(netlink_change_link(f.host, lo.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(store_open(":memory:", &f.store, NULL, NULL), 0);
        assert_int_equal(store_namespace_add(f.store, &ns), 0);
        assert_int_equal(events_new(f.store, 100, &f.events), 0);
        new_manager(&f);
        return 0;
}

static int remove_device(const Network *n, Fixture *f) {
        int r = n->row.device ? netlink_delete_link(f->host, n->row.device) : 0;

        return r == -ENODEV ? 0 : r;
}

static int teardown(void **state) {
        Fixture *f = *state;
        HashmapIterator i = 0;
        Network *n;

        while (f->manager && network_iterate(f->manager, &i, &n))
                assert_int_equal(remove_device(n, f), 0);
        network_manager_free(f->manager);
        events_free(f->events);
        store_free(f->store);
        netlink_free(f->host);
        return 0;
}

/* -- containers -- */

typedef struct Box {
        const char *name;
        Node node;
} Box;

static void box_done(Box *b) {
        safe_close(b->node.netns);
        safe_close(b->node.listener);
}
#define BOX(n) ((Box) { .name = (n), .node = { -EBADF, -EBADF } })

static void add(Fixture *f, const char *container, char **attachments, char **publish) {
        const ContainerRow row = { .ns = (char *) "default", .id = (char *) container };
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_error_ Error e = ERROR_NULL;

        if (network_manager_prepare(f->manager, "default", attachments, publish, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(store_transaction_begin(&t, f->store, true), 0);
        assert_int_equal(store_container_add(f->store, &row), 0);
        if (network_manager_reserve(f->manager, "default", container, attachments, publish, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(store_transaction_commit(&t), 0);
}

static void set_up(Fixture *f, Box *b) {
        Call c = { .host = "::", .port = 80 };
        _cleanup_error_ Error e = ERROR_NULL;

        box_done(b);
        if (network_manager_set_up(f->manager, "default", b->name, &b->node.netns, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(netns_run(b->node.netns, open_listener, &c), 0);
        b->node.listener = c.fd;
        /* A bridge's port forwards when the kernel has looked at its link: in the background, within a millisecond. */
        poll(NULL, 0, 20);
}

static void set_down(Fixture *f, Box *b) {
        assert_int_equal(network_manager_set_down(f->manager, "default", b->name), 0);
        box_done(b);
        b->node = (Node) { -EBADF, -EBADF };
}

static int host_device(const NetworkInterface *i, void *userdata) {
        *(char **) userdata = strdup(i->host_device);
        return 0;
}

static LinkInfo port_of(Fixture *f, const Box *b) {
        _cleanup_free_ char *name = NULL;
        LinkInfo l = {};

        assert_int_equal(network_manager_foreach_interface(f->manager, "default", b->name, host_device, &name), 0);
        (void) netlink_get_link(f->host, name, &l);
        return l;
}

static int count_veth(const LinkInfo *l, void *userdata) {
        *(unsigned *) userdata += streq(l->kind, "veth");
        return 0;
}

static void wait_for_no_veth(Fixture *f) {
        for (unsigned i = 0, n = 1; n > 0; i++) {
                n = 0;
                assert_int_equal(netlink_foreach_link(f->host, count_veth, &n), 0);
                assert_true(i < 500);
                poll(NULL, 0, 10);
        }
}

/* The kernel takes its time to clear a namespace away; until then it answers. */
static void set_down_for_good(Fixture *f, Box *b) {
        _cleanup_free_ char *name = NULL;
        LinkInfo l;

        assert_int_equal(network_manager_foreach_interface(f->manager, "default", b->name, host_device, &name), 0);
        set_down(f, b);
        for (unsigned i = 0; netlink_get_link(f->host, name, &l) != -ENODEV; i++) {
                assert_true(i < 500);
                poll(NULL, 0, 10);
        }
}

/* -- tests -- */

static void test_set_up(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        Fixture *f = *state;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80", (char *) "127.0.0.1:8081:80", (char *) "0.0.0.0:8083:80"));
        add(f, "b", L((char *) "default"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        assert_true(SYSCTL_IS("1", "ipv4", "ip_forward"));
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        assert_reached(HOST, "127.0.0.1", 8081, &a.node, "10.86.0.1");
        assert_reached(HOST, "127.0.0.1", 8083, &a.node, "10.86.0.1");
        assert_reached(b.node.netns, "10.86.0.1", 8083, &a.node, "10.86.0.1");
        assert_reached(HOST, "10.86.0.2", 80, &a.node, "10.86.0.1");
        assert_reached(b.node.netns, "10.86.0.2", 80, &a.node, "10.86.0.3");
        assert_reached(b.node.netns, "10.86.0.1", 8080, &a.node, "10.86.0.1");
        assert_unreached(b.node.netns, "10.86.0.1", 8081, &a.node);
        assert_reached(a.node.netns, "10.86.0.1", 8080, &a.node, "10.86.0.1");
        assert_reached(a.node.netns, "127.0.0.1", 80, &a.node, "127.0.0.1");
        set_down(f, &a);
        assert_int_equal(network_manager_set_down(f->manager, "default", "a"), 0);
        assert_unreached(HOST, "127.0.0.1", 8080, &b.node);
        assert_reached(HOST, "10.86.0.3", 80, &b.node, "10.86.0.1");
        set_down(f, &b);
        wait_for_no_veth(f);
}

/* At once again, while the last namespace is there still. */
static void test_again(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), old = BOX("old");
        Fixture *f = *state;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        for (unsigned i = 0; i < 5; i++) {
                set_up(f, &a);
                assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
                box_done(&old);
                old.node = a.node;
                a.node = (Node) { -EBADF, -EBADF };
        }
        box_done(&old);
        old.node = (Node) { -EBADF, -EBADF };
        set_down(f, &a);
        wait_for_no_veth(f);
}

/* Whoever is on the network is told whose an address is now. */
static int announces(void *userdata) {
        return SYSCTL_IS("1", "ipv4", "conf", "eth0", "arp_notify") && SYSCTL_IS("1", "ipv6", "conf", "eth0", "ndisc_notify");
}

static void test_ipv6(void **state) {
        NetworkOptions o = { .subnets = L((char *) "fd00:5::/64", (char *) "10.95.0.0/24") };
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        /* What the host hears from a router it hears on. */
        assert_int_equal(netlink_add_bridge(f->host, "up0", 0, NULL), 0);
        assert_true(SYSCTL_IS("0", "ipv6", "conf", "all", "forwarding"));
        assert_true(SYSCTL_IS("1", "ipv6", "conf", "up0", "accept_ra"));
        assert_int_equal(network_create(f->manager, "default", "six", &o, &n, NULL), 0);
        add(f, "a", L((char *) "six"), L((char *) "8080:80"));
        add(f, "b", L((char *) "six"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        assert_int_equal(netns_run(a.node.netns, announces, NULL), true);
        /* Without a second of waiting. */
        assert_reached(HOST, "fd00:5::2", 80, &a.node, "fd00:5::1");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.95.0.1");
        assert_reached(b.node.netns, "fd00:5::2", 80, &a.node, "fd00:5::3");
        assert_reached(b.node.netns, "fd00:5::1", 8080, &a.node, "fd00:5::1");
        assert_true(SYSCTL_IS("1", "ipv6", "conf", "all", "forwarding"));
        assert_true(SYSCTL_IS("2", "ipv6", "conf", "up0", "accept_ra"));
        assert_int_equal(netlink_delete_link(f->host, "up0"), 0);
        assert_true(SYSCTL_IS("0", "ipv6", "conf", n->row.device, "accept_ra"));
}

/* The host's own loopback address of IPv6, where bridges do not call on nf_tables; where they do it is refused at once. */
static void test_loopback6(void **state) {
        const NetworkOptions o = { .subnets = L((char *) "fd00:6::/64", (char *) "10.93.0.0/24") },
                             other = { .subnets = L((char *) "fd00:7::/64") };
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b"), c = BOX("c");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        (void) netns_bridges_call(false);
        assert_int_equal(network_create(f->manager, "default", "six", &o, &n, NULL), 0);
        assert_int_equal(network_create(f->manager, "default", "other", &other, &n, NULL), 0);
        add(f, "a", L((char *) "six"), L((char *) "8080:80", (char *) "[::1]:8081:80"));
        add(f, "b", L((char *) "other"), L((char *) "8082:80"));
        set_up(f, &a);
        set_up(f, &b);
        assert_reached(HOST, "::1", 8080, &a.node, "fd00:6::1");
        assert_reached(HOST, "::1", 8081, &a.node, "fd00:6::1");
        assert_reached(HOST, "::1", 8082, &b.node, "fd00:7::1");
        assert_unreached(HOST, "fd00:6::1", 8081, &a.node);
        assert_unreached(HOST, "127.0.0.1", 8081, &a.node);
        assert_unreached(b.node.netns, "fd00:7::1", 8081, &a.node);
        /* Each has its own. */
        assert_reached(a.node.netns, "::1", 80, &a.node, "::1");
        assert_unreached(a.node.netns, "::1", 8080, &a.node);
        /* A second time, by a manager that finds all of it there. */
        assert_int_equal(network_manager_reload(f->manager, NULL), 0);
        assert_reached(HOST, "::1", 8080, &a.node, "fd00:6::1");
        set_down(f, &b);
        assert_reached(HOST, "::1", 8080, &a.node, "fd00:6::1");

        add(f, "c", L((char *) "six"), NONE);
        if (netns_bridges_call(true)) {
                set_up(f, &c);
                assert_unreached(HOST, "::1", 8080, &a.node);
                assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.93.0.1");
                set_down(f, &c);
                (void) netns_bridges_call(false);
        }
        set_up(f, &c);
        assert_reached(HOST, "::1", 8080, &a.node, "fd00:6::1");
        set_down(f, &c);
        set_down(f, &a);
        assert_unreached(HOST, "::1", 8080, &a.node);
        (void) netns_bridges_call(true);
        wait_for_no_veth(f);
}

/* Nobody remembers who had it before: its MAC may be another. */
static void test_address_again(void **state) {
        NetworkOptions o = { .subnets = L((char *) "fd00:5::/64", (char *) "10.95.0.0/24") };
        static char attachment[] = "six:ip=10.95.0.9,ip=fd00:5::9", other[] = "six:ip=10.95.0.9,ip=fd00:5::9,mac=02:00:5e:00:53:01";
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b"), c = BOX("c"), d = BOX("d");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "six", &o, &n, NULL), 0);
        add(f, "a", L(attachment), NONE);
        add(f, "b", L((char *) "six"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        assert_reached(HOST, "10.95.0.9", 80, &a.node, "10.95.0.1");
        assert_reached(HOST, "fd00:5::9", 80, &a.node, "fd00:5::1");
        assert_reached(b.node.netns, "10.95.0.9", 80, &a.node, "10.95.0.2");
        assert_reached(b.node.netns, "fd00:5::9", 80, &a.node, "fd00:5::2");
        set_down(f, &a);
        assert_int_equal(store_container_remove(f->store, "default", "a"), 0);
        add(f, "c", L(attachment), L((char *) "8080:80"));
        set_up(f, &c);
        assert_reached(HOST, "127.0.0.1", 8080, &c.node, "10.95.0.1");
        assert_reached(HOST, "10.95.0.9", 80, &c.node, "10.95.0.1");
        assert_reached(HOST, "fd00:5::9", 80, &c.node, "fd00:5::1");
        assert_reached(b.node.netns, "10.95.0.9", 80, &c.node, "10.95.0.2");
        assert_reached(b.node.netns, "fd00:5::9", 80, &c.node, "fd00:5::2");
        /* If somebody wants another MAC the host at least does not go on talking to the first. */
        set_down_for_good(f, &c);
        assert_int_equal(store_container_remove(f->store, "default", "c"), 0);
        add(f, "d", L(other), NONE);
        set_up(f, &d);
        assert_reached(HOST, "10.95.0.9", 80, &d.node, "10.95.0.1");
        assert_reached(HOST, "fd00:5::9", 80, &d.node, "fd00:5::1");
}

static int host_socket(int family, const char *address, uint16_t port, bool listens) {
        Call c = { .host = address, .port = port };
        struct sockaddr_storage s = sockaddr_of(&c);
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *) &s, sizeof(s)), 0);
        if (listens)
                assert_int_equal(listen(fd, 8), 0);
        return fd;
}

static void assert_taken(Fixture *f, Box *b, const char *port) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(network_manager_set_up(f->manager, "default", b->name, &b->node.netns, &e), -EADDRINUSE);
        assert_true(error_has_name(&e, "PortInUse"));
        assert_non_null(strstr(error_message(&e), port));
        assert_int_equal(port_of(f, b).index, 0);
        assert_int_equal(hashmap_size(f->manager->users), 0);
}

/* Another program has begun to listen since it was made. */
static void test_taken(void **state) {
        const struct {
                int family;
                const char *address;
                uint16_t port;
        } takers[] = { { AF_INET, "0.0.0.0", 8080 },   { AF_INET, "127.0.0.1", 8080 }, { AF_INET6, "::", 8080 },
                       { AF_INET6, "::1", 8080 },      { AF_INET, "0.0.0.0", 8092 },   { AF_INET6, "::", 8092 } };
        Call other = { .host = "127.0.0.1", .port = 8080 };
        _cleanup_close_ int server = -EBADF, client = -EBADF, loopback = -EBADF;
        struct sockaddr_storage s;
        _cleanup_(box_done) Box a = BOX("a");
        Fixture *f = *state;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80", (char *) "127.0.0.1:8090-8095:80-85", (char *) "8080:80/udp"));
        for (size_t i = 0; i < ELEMENTSOF(takers); i++) {
                int fd = host_socket(takers[i].family, takers[i].address, takers[i].port, true);

                assert_taken(f, &a, takers[i].port == 8080 ? "8080/tcp" : "8092/tcp");
                safe_close(fd);
        }
        /* Another address' listener is not in the way, nor who has only called somebody from there. */
        loopback = host_socket(AF_INET, "127.0.0.2", 8092, true);
        server = host_socket(AF_INET, "127.0.0.1", 7000, true);
        client = host_socket(AF_INET, "127.0.0.1", 8080, false);
        other.port = 7000;
        s = sockaddr_of(&other);
        assert_int_equal(connect(client, (struct sockaddr *) &s, sizeof(s)), 0);
        set_up(f, &a);
        assert_reached(HOST, "127.0.0.1", 8090, &a.node, "10.86.0.1");
        set_down(f, &a);
        wait_for_no_veth(f);
}

/* A network's resolver is there for who asks it, whoever publishes its port. */
static void test_port_of_resolvers(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        _cleanup_close_ int resolver = -EBADF;
        Fixture *f = *state;

        FIREWALL_NEEDED();
        add(f, "b", L((char *) "default"), NONE);
        set_up(f, &b);
        resolver = host_socket(AF_INET, "10.86.0.1", 53, true);
        add(f, "a", L((char *) "default"), L((char *) "53:80"));
        set_up(f, &a);
        assert_reached(HOST, "127.0.0.1", 53, &a.node, "10.86.0.1");
        assert_unreached(b.node.netns, "10.86.0.1", 53, &a.node);
        assert_int_equal(fcntl(resolver, F_SETFL, O_NONBLOCK), 0);
        assert_true(accept4(resolver, NULL, NULL, SOCK_CLOEXEC) >= 0);
        set_down(f, &a);
        set_down(f, &b);
        wait_for_no_veth(f);
}

/* Its record goes while somebody else is in its namespace: what is left there has no way to anybody. */
static void test_drop_devices(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        Fixture *f = *state;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "default"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        assert_int_equal(network_manager_set_down(f->manager, "default", "a"), 0);
        assert_reached(b.node.netns, "10.86.0.2", 80, &a.node, "10.86.0.3");
        assert_int_equal(network_manager_drop_devices(f->manager, "default", "a"), 0);
        assert_int_equal(network_manager_drop_devices(f->manager, "default", "a"), 0);
        assert_int_equal(port_of(f, &a).index, 0);
        assert_unreached(b.node.netns, "10.86.0.2", 80, &a.node);
        assert_reached(HOST, "10.86.0.3", 80, &b.node, "10.86.0.1");
        set_down(f, &b);
        wait_for_no_veth(f);
}

static void test_several(void **state) {
        NetworkOptions in = { .internal = true, .subnets = L((char *) "10.96.0.0/24") };
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b"), c = BOX("c");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "in", &in, &n, NULL), 0);
        add(f, "a", L((char *) "in", (char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "in"), NONE);
        add(f, "c", L((char *) "default"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        set_up(f, &c);
        assert_reached(b.node.netns, "10.96.0.2", 80, &a.node, "10.96.0.3");
        assert_reached(c.node.netns, "10.86.0.2", 80, &a.node, "10.86.0.3");
        assert_unreached(b.node.netns, "10.86.0.2", 80, &a.node);
        assert_unreached(c.node.netns, "10.96.0.3", 80, &b.node);
        /* Ports lead to the network that is not internal, which the default route is of. */
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        assert_reached(HOST, "10.96.0.3", 80, &b.node, "10.96.0.1");
}

static void flush(void) {
        _cleanup_(firewall_freep) Firewall *w = NULL;

        assert_int_equal(firewall_new(&w, NULL), 0);
        assert_int_equal(firewall_unload(w, NULL), 0);
}

static bool table_is_there(void) {
        const FirewallNetwork n = { .device = "mv-test" };
        _cleanup_(firewall_freep) Firewall *w = NULL;

        assert_int_equal(firewall_new(&w, NULL), 0);
        return firewall_add_network(w, &n, NULL) == 0;
}

static void test_reload(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b"), c = BOX("c");
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "default"), L((char *) "8082:80"));
        set_up(f, &a);
        flush();
        assert_unreached(HOST, "127.0.0.1", 8080, &a.node);
        assert_int_equal(network_manager_reload(f->manager, &e), 0);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        /* The next container brings it back as well. */
        flush();
        set_up(f, &b);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        assert_reached(HOST, "127.0.0.1", 8082, &b.node, "10.86.0.1");
        /* One without ports as well. */
        add(f, "c", L((char *) "default"), NONE);
        flush();
        set_up(f, &c);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        /* And the bridge. */
        n = network_find(f->manager, "default", "default", &e);
        assert_int_equal(netlink_delete_link(f->host, n->row.device), 0);
        assert_unreached(HOST, "127.0.0.1", 8080, &a.node);
        assert_int_equal(network_manager_reload(f->manager, &e), 0);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        assert_reached(HOST, "127.0.0.1", 8082, &b.node, "10.86.0.1");
}

static void test_recovery(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        Fixture *f = *state;
        LinkInfo before, after, l;
        Network *n;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "default"), L((char *) "8082:80"));
        set_up(f, &a);
        set_up(f, &b);
        before = port_of(f, &a);
        assert_true(before.index > 0);
        new_manager(f);
        /* b has ended meanwhile. */
        box_done(&b);
        b.node = (Node) { -EBADF, -EBADF };
        assert_int_equal(network_manager_adopt(f->manager, "default", "a"), 0);
        assert_int_equal(network_manager_recovered(f->manager, NULL), 0);
        after = port_of(f, &a);
        assert_int_equal(before.index, after.index);
        assert_int_equal(before.master, after.master);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        set_up(f, &b);
        assert_reached(HOST, "127.0.0.1", 8082, &b.node, "10.86.0.1");
        set_down(f, &a);
        assert_unreached(HOST, "127.0.0.1", 8080, &b.node);
        set_down(f, &b);

        /* One that died between record and device. */
        n = network_find(f->manager, "default", "default", NULL);
        assert_int_equal(netlink_get_link(f->host, n->row.device, &l), 0);
        assert_int_equal(store_container_remove(f->store, "default", "a"), 0);
        assert_int_equal(store_container_remove(f->store, "default", "b"), 0);
        assert_int_equal(store_network_remove(f->store, n->row.n), 0);
        new_manager(f);
        assert_int_equal(network_manager_recovered(f->manager, NULL), 0);
        assert_int_equal(netlink_get_link(f->host, l.name, &l), -ENODEV);
}

/* A failure leaves neither device nor port. */
static void test_failure(void **state) {
        _cleanup_(box_done) Box a = BOX("a");
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_close_ int netns = -EBADF;
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        n = network_find(f->manager, "default", "default", &e);
        netns = netns_new(NULL, NULL);
        assert_true(netns >= 0);
        assert_int_equal(netlink_add_veth(f->host, n->row.device, 0, 0, netns, "other", NULL), 0);
        assert_int_equal(network_manager_set_up(f->manager, "default", "a", &a.node.netns, &e), -EEXIST);
        assert_true(error_has_name(&e, "DeviceExists"));
        assert_non_null(strstr(error_message(&e), n->row.device));
        assert_int_equal(a.node.netns, -EBADF);
        assert_int_equal(port_of(f, &a).index, 0);
        assert_int_equal(hashmap_size(f->manager->users), 0);
        assert_int_equal(netlink_delete_link(f->host, n->row.device), 0);
        set_up(f, &a);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        error_done(&e);
        set_down(f, &a);

        assert_int_equal(store_container_remove(f->store, "default", "a"), 0);
        assert_true(table_is_there());
        assert_int_equal(network_remove(n, &e), 0);
        assert_false(table_is_there());
        wait_for_no_veth(f);
}

static void join(Fixture *f, const Box *b, const char *attachment) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (network_manager_connect(f->manager, "default", b->name, attachment, b->node.netns, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        poll(NULL, 0, 20);
}

typedef struct On {
        const Network *network;
        char *name;
} On;

static int find_on(const NetworkInterface *i, void *userdata) {
        On *on = userdata;

        if (i->network == on->network)
                on->name = strdup(i->name);
        return 0;
}

static void leave(Fixture *f, const Box *b, const char *network) {
        On on = { .network = network_find(f->manager, "default", network, NULL) };
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(network_manager_foreach_interface(f->manager, "default", b->name, find_on, &on), 0);
        assert_non_null(on.name);
        if (network_manager_remove_interface(f->manager, "default", b->name, on.name, b->node.netns, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(network_manager_remove_interface(f->manager, "default", b->name, on.name, b->node.netns, NULL), -ENOENT);
        free(on.name);
}

static void test_connect(void **state) {
        const NetworkOptions o = { .subnets = L((char *) "10.98.0.0/24", (char *) "fd00:8::/64") };
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "other", &o, &n, NULL), 0);
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "other"), NONE);
        set_up(f, &a);
        set_up(f, &b);
        assert_unreached(b.node.netns, "10.98.0.3", 80, &a.node);
        join(f, &a, "other:alias=web");
        assert_reached(b.node.netns, "10.98.0.3", 80, &a.node, "10.98.0.2");
        assert_reached(b.node.netns, "fd00:8::3", 80, &a.node, "fd00:8::2");
        /* The first network is still what ports lead to. */
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        /* And when it is left, the other; the default route as well. */
        leave(f, &a, "bridge");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.98.0.1");
        assert_reached(a.node.netns, "10.86.0.1", 8080, &a.node, "10.98.0.1");
        /* It comes back with what it has now. */
        set_down(f, &a);
        set_up(f, &a);
        assert_reached(b.node.netns, "10.98.0.3", 80, &a.node, "10.98.0.2");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.98.0.1");
        leave(f, &a, "other");
        assert_unreached(HOST, "127.0.0.1", 8080, &a.node);
        assert_unreached(b.node.netns, "10.98.0.3", 80, &a.node);
        join(f, &a, "default");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        set_down(f, &a);
        set_down(f, &b);
        wait_for_no_veth(f);
}

/* Of one that does not run it is the records alone. */
static void test_connect_stopped(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), sharer = BOX("sharer");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "other",
                                        &(NetworkOptions) { .subnets = L((char *) "10.98.0.0/24") }, &n, NULL), 0);
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        join(f, &a, "other:ip=10.98.0.9");
        leave(f, &a, "default");
        set_up(f, &a);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.98.0.1");
        assert_reached(HOST, "10.98.0.9", 80, &a.node, "10.98.0.1");
        /* Another one goes on in its namespace: with the address, which may be the next one's, the device goes. */
        sharer.node = a.node;
        a.node = (Node) { -EBADF, -EBADF };
        assert_int_equal(network_manager_set_down(f->manager, "default", "a"), 0);
        leave(f, &a, "other");
        wait_for_no_veth(f);
}

static int count_interface(const NetworkInterface *i, void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

static void assert_refused(Fixture *f, const Box *b, const char *attachment, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;
        unsigned before = 0, after = 0, devices = 0, then = 0;

        (void) network_manager_foreach_interface(f->manager, "default", b->name, count_interface, &before);
        (void) netlink_foreach_link(f->host, count_veth, &devices);
        assert_true(network_manager_connect(f->manager, "default", b->name, attachment, b->node.netns, NULL, &e) < 0);
        assert_true(error_has_name(&e, name));
        (void) network_manager_foreach_interface(f->manager, "default", b->name, count_interface, &after);
        (void) netlink_foreach_link(f->host, count_veth, &then);
        assert_int_equal(before, after);
        assert_int_equal(devices, then);
}

static void test_connect_failure(void **state) {
        _cleanup_(box_done) Box a = BOX("a"), b = BOX("b");
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        Fixture *f = *state;
        Network *n, *taken;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "other",
                                        &(NetworkOptions) { .subnets = L((char *) "10.98.0.0/24") }, &n, NULL), 0);
        assert_int_equal(network_create(f->manager, "default", "taken",
                                        &(NetworkOptions) { .device = (char *) "br-other" }, &taken, NULL), 0);
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        add(f, "b", L((char *) "other:ip=10.98.0.7"), NONE);
        set_up(f, &a);
        assert_refused(f, &a, "default", "AlreadyConnected");
        assert_refused(f, &a, "bridge", "AlreadyConnected");
        assert_refused(f, &a, "no", "NoSuchNetwork");
        assert_refused(f, &a, "other:ip=10.98.0.7", "AddressInUse");
        assert_refused(f, &a, "other:ip=10.99.0.7", "InvalidArgument");
        assert_refused(f, &a, "other:interface_name=eth0", "InterfaceExists");
        /* What the kernel refuses leaves no record: another's bridge of that name; a device that somebody has made inside. */
        assert_int_equal(netlink_add_bridge(f->host, "br-other", 0, NULL), 0);
        assert_refused(f, &a, "taken", "DeviceExists");
        assert_int_equal(netlink_new(a.node.netns, &inside), 0);
        assert_int_equal(netlink_add_bridge(inside, "eth1", 0, NULL), 0);
        assert_refused(f, &a, "other", "InterfaceExists");
        join(f, &a, "other:interface_name=eth2,ip=10.98.0.8");
        assert_reached(HOST, "10.98.0.8", 80, &a.node, "10.98.0.1");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        assert_int_equal(netlink_delete_link(f->host, "br-other"), 0);
        /* A namespace that is none: nothing is recorded. */
        leave(f, &a, "other");
        b.node.netns = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(network_manager_connect(f->manager, "default", "a", "other", b.node.netns, NULL, NULL) < 0);
        join(f, &a, "other:interface_name=eth2,ip=10.98.0.8");
        inside = netlink_free(inside);
        set_down(f, &a);
        wait_for_no_veth(f);
}

/* Died between device and record, or the other way round. */
static void test_connect_interrupted(void **state) {
        _cleanup_(box_done) Box a = BOX("a");
        Fixture *f = *state;
        LinkInfo l, bridge;
        Network *n;

        FIREWALL_NEEDED();
        add(f, "a", L((char *) "default"), L((char *) "8080:80"));
        set_up(f, &a);
        n = network_find(f->manager, "default", "default", NULL);
        assert_int_equal(netlink_get_link(f->host, n->row.device, &bridge), 0);
        assert_int_equal(netlink_add_veth(f->host, "mv0123456789", bridge.index, 0, a.node.netns, "eth1", NULL), 0);
        assert_int_equal(netlink_add_veth(f->host, "mvothers", 0, 0, a.node.netns, "eth2", NULL), 0);
        assert_int_equal(netlink_add_veth(f->host, "another", bridge.index, 0, a.node.netns, "eth3", NULL), 0);
        new_manager(f);
        assert_int_equal(network_manager_adopt(f->manager, "default", "a"), 0);
        assert_int_equal(network_manager_recovered(f->manager, NULL), 0);
        assert_int_equal(netlink_get_link(f->host, "mv0123456789", &l), -ENODEV);
        /* Others' are not touched. */
        assert_int_equal(netlink_get_link(f->host, "mvothers", &l), 0);
        assert_int_equal(netlink_get_link(f->host, "another", &l), 0);
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.86.0.1");
        set_down(f, &a);
        wait_for_no_veth(f);
}

static void find_nft(void) {
        _cleanup_(firewall_freep) Firewall *w = NULL;

        if (!netns_missing && (firewall_new(&w, NULL) < 0 || firewall_load(w, true, NULL, 0, NULL, 0, NULL) < 0))
                nft_missing = "nf_tables cannot be used here";
}

/* The gateway's address is the subnet's. */
static void test_two_addresses(void **state) {
        const NetworkOptions o = { .subnets = L((char *) "10.97.0.0/31", (char *) "fd00:7::/127") };
        _cleanup_(box_done) Box a = BOX("a");
        Fixture *f = *state;
        Network *n;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "two", &o, &n, NULL), 0);
        add(f, "a", L((char *) "two"), L((char *) "8080:80"));
        set_up(f, &a);
        assert_reached(HOST, "10.97.0.1", 80, &a.node, "10.97.0.0");
        assert_reached(HOST, "127.0.0.1", 8080, &a.node, "10.97.0.0");
        assert_reached(HOST, "fd00:7::1", 80, &a.node, "fd00:7::");
        set_down(f, &a);
}

/* Somebody has taken the name before it was used. */
static void test_foreign_bridge(void **state) {
        const NetworkOptions o = { .device = (char *) "br-other" };
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        int netns = -EBADF;
        Network *n;
        LinkInfo l;

        FIREWALL_NEEDED();
        assert_int_equal(network_create(f->manager, "default", "net", &o, &n, &e), 0);
        add(f, "a", L((char *) "net"), NONE);
        assert_int_equal(netlink_add_bridge(f->host, "br-other", 0, NULL), 0);
        assert_int_equal(network_manager_set_up(f->manager, "default", "a", &netns, &e), -EEXIST);
        assert_true(error_has_name(&e, "DeviceExists"));
        assert_int_equal(netlink_get_link(f->host, "br-other", &l), 0);
        assert_string_equal(l.alias, "");
        assert_int_equal(store_container_remove(f->store, "default", "a"), 0);
        error_done(&e);
        assert_int_equal(network_remove(n, &e), 0);
        assert_int_equal(netlink_get_link(f->host, "br-other", &l), 0);
        assert_int_equal(netlink_delete_link(f->host, "br-other"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_set_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ipv6, setup, teardown),
                cmocka_unit_test_setup_teardown(test_loopback6, setup, teardown),
                cmocka_unit_test_setup_teardown(test_address_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_port_of_resolvers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_drop_devices, setup, teardown),
                cmocka_unit_test_setup_teardown(test_several, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
                cmocka_unit_test_setup_teardown(test_recovery, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_addresses, setup, teardown),
                cmocka_unit_test_setup_teardown(test_foreign_bridge, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connect_stopped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connect_failure, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connect_interrupted, setup, teardown),
        };

        netns_enter();
        find_nft();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
