/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rules are judged by what comes through. The test's own network namespace is the host:
 *
 *   outside 192.0.2.2 ── 192.0.2.1 host ┬─ mv-a 10.77.0.1, fd00:77::1 ┬─ a1 10.77.0.2, fd00:77::2
 *                                       │                             └─ a2 10.77.0.3, fd00:77::3
 *                                       └─ mv-b 10.78.0.1 ── b1 10.78.0.2
 *
 * Each container answers on port 80, with the address that it sees its client come from. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/time-util.h"
#include "network/firewall.h"
#include "network/netlink.h"
#include "traffic-fixture.h"

static Node outside, a1, a2, b1;
static Firewall *firewall;
/* -- the network -- */

/* The kernel asks for neighbours by its link-local address: not before it has made sure that nobody else has that. */
static int skip_detection(void *userdata) {
        netns_write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
        return 0;
}

static int route_localnet(void *userdata) {
        netns_write("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
        return 0;
}

static void forward(void) {
        netns_write("/proc/sys/net/ipv4/ip_forward", "1");
        netns_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

static int index_of(Netlink *n, const char *name) {
        LinkInfo l;

        assert_int_equal(netlink_get_link(n, name, &l), 0);
        return l.index;
}

static void add_address(Netlink *n, const char *device, const char *text) {
        Prefix p;

        assert_int_equal(prefix_parse(text, &p), 0);
        assert_int_equal(netlink_add_address(n, index_of(n, device), &p), 0);
}

static void set_up_link(Netlink *n, const char *device) {
        assert_int_equal(netlink_change_link(n, index_of(n, device), &(LinkChange) { .up = true, .netns = -EBADF }), 0);
}

static void add_gateway(Netlink *n, const char *text) {
        Address gateway;
        Prefix all = {};

        assert_int_equal(address_parse(text, &gateway), 0);
        all.address.family = gateway.family;
        assert_int_equal(netlink_add_route(n, &all, &gateway, 0, 0), 0);
}

static void make_bridge(Netlink *host, const char *name, const char *address4, const char *address6) {
        char path[64];

        assert_int_equal(netlink_add_bridge(host, name, 0, NULL), 0);
        add_address(host, name, address4);
        if (address6)
                add_address(host, name, address6);
        (void) snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", name);
        netns_write(path, "1");
        set_up_link(host, name);
}

static void make_node(Node *node, Netlink *host, const char *device, const char *bridge, const char *const addresses[2],
                      const char *const gateways[2]) {
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        Call c = { .host = "::", .port = 80 };

        node->netns = netns_new(skip_detection, NULL);
        assert_true(node->netns >= 0);
        assert_int_equal(netlink_new(node->netns, &inside), 0);
        assert_int_equal(netlink_add_veth(host, device, bridge ? index_of(host, bridge) : 0, 0, node->netns, "eth0", NULL), 0);
        if (bridge)
                assert_int_equal(netlink_change_link(host, index_of(host, device), &(LinkChange) { .hairpin = true, .netns = -EBADF }), 0);
        set_up_link(inside, "lo");
        set_up_link(inside, "eth0");
        for (size_t i = 0; i < 2 && addresses[i]; i++) {
                add_address(inside, "eth0", addresses[i]);
                add_gateway(inside, gateways[i]);
        }
        assert_int_equal(run_in(node->netns, open_listener, &c), 0);
        node->listener = c.fd;
}

static int make_network(void **state) {
        _cleanup_(netlink_freep) Netlink *host = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        Prefix loopback;

        if (netns_missing)
                return 0;
        assert_int_equal(netlink_new(-EBADF, &host), 0);
        (void) skip_detection(NULL);
        forward();

        set_up_link(host, "lo");
        make_bridge(host, "mv-a", "10.77.0.1/24", "fd00:77::1/64");
        make_bridge(host, "mv-b", "10.78.0.1/24", NULL);
        assert_int_equal(prefix_parse("::1/128", &loopback), 0);
        assert_int_equal(netlink_add_local_route(host, &loopback, index_of(host, "mv-a"), 4096), 0);
        assert_int_equal(netlink_add_local_route(host, &loopback, index_of(host, "mv-a"), 4096), -EEXIST);
        make_node(&outside, host, "out", NULL, (const char *[]) { "192.0.2.2/24", "2001:db8::2/64" },
                  (const char *[]) { "192.0.2.1", "2001:db8::1" });
        add_address(host, "out", "192.0.2.1/24");
        add_address(host, "out", "2001:db8::1/64");
        make_node(&a1, host, "a1", "mv-a", (const char *[]) { "10.77.0.2/24", "fd00:77::2/64" },
                  (const char *[]) { "10.77.0.1", "fd00:77::1" });
        make_node(&a2, host, "a2", "mv-a", (const char *[]) { "10.77.0.3/24", "fd00:77::3/64" },
                  (const char *[]) { "10.77.0.1", "fd00:77::1" });
        make_node(&b1, host, "b1", "mv-b", (const char *[]) { "10.78.0.2/24", NULL }, (const char *[]) { "10.78.0.1", NULL });
        if (firewall_new(&firewall, &e) < 0 || firewall_load(firewall, true, NULL, 0, NULL, 0, &e) < 0) {
                print_message("%s\n", error_message(&e));
                nft_missing = "nf_tables cannot be used here";
        }
        return 0;
}

static int free_network(void **state) {
        firewall_free(firewall);
        return 0;
}

/* -- tests -- */

static const Prefix subnets_a[] = {
        { { AF_INET, { { 10, 77, 0, 1 } } }, 24 },
        { { AF_INET6, { { 0xfd, 0, 0, 0x77, [15] = 1 } } }, 64 },
};
static const Prefix subnets_b[] = { { { AF_INET, { { 10, 78, 0, 1 } } }, 24 } };
static const FirewallNetwork net_a = { .device = "mv-a", .isolated = true, .subnets = subnets_a, .n_subnets = 2 };
static const FirewallNetwork net_b = { .device = "mv-b", .isolated = true, .subnets = subnets_b, .n_subnets = 1 };

static FirewallPort port(const char *published, const char *container) {
        _cleanup_error_ Error e = ERROR_NULL;
        FirewallPort p = {};

        assert_int_equal(port_parse(published, &p.port, &e), 0);
        assert_int_equal(address_parse(container, &p.container), 0);
        return p;
}

static bool loopback6 = true;

static void load(const FirewallNetwork *networks, size_t n_networks, const FirewallPort *ports, size_t n_ports) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (firewall_load(firewall, loopback6, networks, n_networks, ports, n_ports, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void add_ports(const FirewallPort *ports, size_t n) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (firewall_add_ports(firewall, ports, n, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void check_published(void) {
        FirewallPort ports[2];

        ports[0] = port("8080:80", "10.77.0.2");
        ports[1] = port("8080:80", "fd00:77::2");
        load((FirewallNetwork[]) { net_a, net_b }, 2, NULL, 0);
        assert_unreached(outside.netns, "192.0.2.1", 8080, &a1);
        add_ports(ports, 2);
        assert_reached(outside.netns, "192.0.2.1", 8080, &a1, "192.0.2.2");
        assert_reached(outside.netns, "2001:db8::1", 8080, &a1, "2001:db8::2");
        /* The host itself: by loopback, and by an address of its own. */
        assert_reached(HOST, "127.0.0.1", 8080, &a1, "10.77.0.1");
        assert_reached(HOST, "127.1.2.3", 8080, &a1, "10.77.0.1");
        assert_non_null(reach(HOST, "192.0.2.1", 8080, &a1));
        assert_non_null(reach(HOST, "fd00:77::1", 8080, &a1));
        if (loopback6)
                assert_reached(HOST, "::1", 8080, &a1, "fd00:77::1");
        else
                /* Refused at once, that a client goes on to the next address of "localhost". */
                assert_unreached(HOST, "::1", 8080, &a1);
        /* A sibling, the container itself, and one of another network. */
        assert_reached(a2.netns, "192.0.2.1", 8080, &a1, "10.77.0.1");
        assert_reached(a2.netns, "10.77.0.1", 8080, &a1, "10.77.0.1");
        assert_reached(a1.netns, "10.77.0.1", 8080, &a1, "10.77.0.1");
        assert_reached(a1.netns, "fd00:77::1", 8080, &a1, "fd00:77::1");
        assert_non_null(reach(b1.netns, "10.78.0.1", 8080, &a1));
        /* Not to another address that goes through here. */
        assert_unreached(a1.netns, "192.0.2.2", 8080, &a1);

        assert_int_equal(firewall_remove_ports(firewall, ports, 2, NULL), 0);
        assert_unreached(outside.netns, "192.0.2.1", 8080, &a1);
        assert_unreached(HOST, "127.0.0.1", 8080, &a1);
}

/* On its way to a sibling a packet stays in the bridge, or is routed. */
static void test_published(void **state) {
        static const char *const files[] = { "/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables" };

        FIREWALL_NEEDED();
        for (char on = '0'; on <= '1'; on++) {
                loopback6 = true;
                for (size_t i = 0; i < ELEMENTSOF(files); i++)
                        if (access(files[i], F_OK) == 0) {
                                netns_write(files[i], (char[]) { on, 0 });
                                loopback6 = on == '0';
                        }
                check_published();
        }
}

static void test_host_address(void **state) {
        FirewallPort ports[3];

        FIREWALL_NEEDED();
        ports[0] = port("192.0.2.1:8080:80", "10.77.0.2");
        ports[1] = port("127.0.0.1:8080:80", "10.77.0.3");
        ports[2] = port("[2001:db8::1]:8080:80", "fd00:77::2");
        load((FirewallNetwork[]) { net_a }, 1, ports, 3);
        assert_reached(outside.netns, "192.0.2.1", 8080, &a1, "192.0.2.2");
        assert_reached(outside.netns, "2001:db8::1", 8080, &a1, "2001:db8::2");
        assert_reached(HOST, "127.0.0.1", 8080, &a2, "10.77.0.1");
        assert_unreached(HOST, "127.0.0.2", 8080, &a2);
        assert_unreached(HOST, "10.77.0.1", 8080, &a1);
        assert_unreached(HOST, "fd00:77::1", 8080, &a1);
}

static void test_range(void **state) {
        FirewallPort p;

        FIREWALL_NEEDED();
        p = port("65534-65535:79-80", "10.77.0.2");
        load((FirewallNetwork[]) { net_a }, 1, NULL, 0);
        add_ports(&p, 1);
        assert_reached(outside.netns, "192.0.2.1", 65535, &a1, "192.0.2.2");
        assert_unreached(outside.netns, "192.0.2.1", 65534, &a1);
}

/* All ports that a container can have, in both families and of an address: more than one message, and than the kernel takes of a socket without being
 * told. */
static void test_range_largest(void **state) {
        FirewallPort ports[3];

        FIREWALL_NEEDED();
        ports[0] = port("20001-24096:1-4096", "10.77.0.2");
        ports[1] = port("20001-24096:1-4096", "fd00:77::2");
        ports[2] = port("[2001:db8::1]:30001-34096:1-4096", "fd00:77::3");
        load((FirewallNetwork[]) { net_a }, 1, NULL, 0);
        for (int i = 0; i < 2; i++) {
                if (i == 0)
                        add_ports(ports, 3);
                else
                        load((FirewallNetwork[]) { net_a }, 1, ports, 3);
                add_ports(ports, 3);
                assert_reached(outside.netns, "192.0.2.1", 20080, &a1, "192.0.2.2");
                assert_reached(outside.netns, "2001:db8::1", 20080, &a1, "2001:db8::2");
                assert_reached(outside.netns, "2001:db8::1", 30080, &a2, "2001:db8::2");
                assert_unreached(outside.netns, "192.0.2.1", 20081, &a1);
                assert_unreached(outside.netns, "192.0.2.1", 30080, &a2);
                assert_int_equal(firewall_remove_ports(firewall, ports, 3, NULL), 0);
                assert_unreached(outside.netns, "192.0.2.1", 20080, &a1);
                assert_unreached(outside.netns, "2001:db8::1", 30080, &a2);
        }
}

/* Without a rule for a network nothing is translated, so that the outside could not answer if it did not know the way back. */
static void test_way_out(void **state) {
        FirewallNetwork internal = { .device = "mv-b", .internal = true };
        FirewallPort p;

        FIREWALL_NEEDED();
        load((FirewallNetwork[]) { net_a, internal }, 2, NULL, 0);
        assert_reached(a1.netns, "192.0.2.2", 80, &outside, "192.0.2.1");
        assert_reached(a1.netns, "2001:db8::2", 80, &outside, "2001:db8::1");
        assert_unreached(b1.netns, "192.0.2.2", 80, &outside);
        /* From outside only what is published. */
        assert_unreached(outside.netns, "10.77.0.2", 80, &a1);
        assert_unreached(outside.netns, "10.78.0.2", 80, &b1);
        p = port("8081:80", "10.78.0.2");
        add_ports(&p, 1);
        assert_unreached(outside.netns, "192.0.2.1", 8081, &b1);
        assert_reached(HOST, "127.0.0.1", 8081, &b1, "10.78.0.1");
        assert_reached(HOST, "10.78.0.2", 80, &b1, "10.78.0.1");
}

static void test_isolation(void **state) {
        FirewallNetwork open_a = { .device = "mv-a" }, open_b = { .device = "mv-b" };

        FIREWALL_NEEDED();
        load((FirewallNetwork[]) { net_a, net_b }, 2, NULL, 0);
        assert_reached(a2.netns, "10.77.0.2", 80, &a1, "10.77.0.3");
        assert_unreached(a2.netns, "10.78.0.2", 80, &b1);
        load((FirewallNetwork[]) { open_a, net_b }, 2, NULL, 0);
        assert_unreached(a2.netns, "10.78.0.2", 80, &b1);
        load((FirewallNetwork[]) { open_a }, 1, NULL, 0);
        assert_int_equal(firewall_add_network(firewall, &open_b, NULL), 0);
        assert_int_equal(firewall_add_network(firewall, &open_b, NULL), 0);
        assert_reached(a2.netns, "10.78.0.2", 80, &b1, "10.77.0.3");
        assert_int_equal(firewall_remove_network(firewall, &open_a, NULL), 0);
        assert_int_equal(firewall_remove_network(firewall, &open_a, NULL), 0);
        assert_unreached(a2.netns, "10.78.0.2", 80, &b1);
}

static int listen_on_loopback(Node *ret) {
        Call c = { .host = "::ffff:127.0.0.1", .port = 6000 };
        int r = open_listener(&c);

        ret->listener = c.fd;
        return r;
}

/* As somebody does it who wants to get at the loopback device of host: without one of his own, and with a route. */
static void route_loopback(int netns, const char *host) {
        _cleanup_(netlink_freep) Netlink *n = NULL;
        Address gateway;
        Prefix p;

        assert_int_equal(netlink_new(netns, &n), 0);
        assert_int_equal(netlink_delete_link(n, "lo"), -EOPNOTSUPP);
        assert_int_equal(prefix_parse("127.0.0.1/8", &p), 0);
        assert_int_equal(netlink_delete_address(n, index_of(n, "lo"), &p), 0);
        assert_int_equal(address_parse(host, &gateway), 0);
        assert_int_equal(prefix_parse("127.0.0.0/8", &p), 0);
        assert_int_equal(netlink_add_route(n, &p, &gateway, 0, 0), 0);
        assert_int_equal(netns_run(netns, route_localnet, NULL), 0);
}

/* What listens on the host's loopback is not for containers, nor for neighbours; nor is what is published there. */
static void test_loopback_is_the_hosts(void **state) {
        FirewallPort p;
        Node node;

        FIREWALL_NEEDED();
        p = port("127.0.0.1:8080:80", "10.77.0.2");
        load((FirewallNetwork[]) { net_a }, 1, &p, 1);
        assert_int_equal(listen_on_loopback(&node), 0);
        assert_non_null(reach(HOST, "127.0.0.1", 6000, &node));
        assert_non_null(reach(HOST, "127.0.0.1", 8080, &a1));
        route_loopback(a2.netns, "10.77.0.1");
        assert_unreached(a2.netns, "127.0.0.1", 6000, &node);
        assert_unreached(a2.netns, "127.0.0.1", 8080, &a1);
        route_loopback(outside.netns, "192.0.2.1");
        assert_unreached(outside.netns, "127.0.0.1", 6000, &node);
        assert_unreached(outside.netns, "127.0.0.1", 8080, &a1);
        /* They do get there where nothing is in the way, so that the above says something. */
        load(NULL, 0, NULL, 0);
        assert_non_null(reach(a2.netns, "127.0.0.1", 6000, &node));
        close(node.listener);
}

static void test_missing_table(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        FirewallPort p;

        FIREWALL_NEEDED();
        p = port("8080:80", "10.77.0.2");
        load((FirewallNetwork[]) { net_a }, 1, &p, 1);
        assert_int_equal(firewall_unload(firewall, NULL), 0);
        assert_int_equal(firewall_unload(firewall, NULL), 0);
        assert_int_equal(firewall_add_ports(firewall, &p, 1, &e), -ENOENT);
        assert_true(error_has_name(&e, "NoTable"));
        error_done(&e);
        assert_int_equal(firewall_add_network(firewall, &net_a, &e), -ENOENT);
        assert_true(error_has_name(&e, "NoTable"));
        assert_int_equal(firewall_remove_ports(firewall, &p, 1, NULL), 0);
        assert_int_equal(firewall_remove_network(firewall, &net_a, NULL), 0);
        load((FirewallNetwork[]) { net_a }, 1, &p, 1);
        assert_reached(outside.netns, "192.0.2.1", 8080, &a1, "192.0.2.2");
}

static void test_replaced(void **state) {
        FirewallPort p, q;

        FIREWALL_NEEDED();
        p = port("8080:80", "10.77.0.2");
        q = port("8080:80", "10.77.0.3");
        load((FirewallNetwork[]) { net_a }, 1, &p, 1);
        add_ports(&p, 1);
        assert_reached(outside.netns, "192.0.2.1", 8080, &a1, "192.0.2.2");
        add_ports(&q, 1);
        assert_reached(outside.netns, "192.0.2.1", 8080, &a2, "192.0.2.2");
        /* Some of them are there, some are not. */
        p = port("8079-8081:79-81", "10.77.0.3");
        assert_int_equal(firewall_remove_ports(firewall, &p, 1, NULL), 0);
        assert_unreached(outside.netns, "192.0.2.1", 8080, &a2);
        /* The one that is there leads elsewhere. */
        add_ports(&q, 1);
        p = port("8079-8081:79-81", "10.77.0.2");
        assert_int_equal(firewall_remove_ports(firewall, &p, 1, NULL), 0);
        assert_unreached(outside.netns, "192.0.2.1", 8080, &a2);
}

/* -- flows of UDP -- */

static int open_udp(void *userdata) {
        Call *c = userdata;
        struct sockaddr_storage s = sockaddr_of(c);

        c->fd = socket(s.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return RET_NERRNO(bind(c->fd, (struct sockaddr *) &s, sizeof(s)));
}

static void check_flow(const Call *client, const char *host, int server) {
        Call to = { .host = host, .port = 5353 };
        struct sockaddr_storage s = sockaddr_of(&to), from;
        struct pollfd p = { .fd = server, .events = POLLIN };
        socklen_t l = sizeof(from);
        char byte;

        assert_int_equal(sendto(client->fd, "x", 1, 0, (struct sockaddr *) &s, sizeof(s)), 1);
        if (server < 0)
                return;
        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        assert_int_equal(recvfrom(server, &byte, 1, 0, (struct sockaddr *) &from, &l), 1);
        assert_int_equal(sendto(server, &byte, 1, 0, (struct sockaddr *) &from, l), 1);
        p.fd = client->fd;
        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        assert_int_equal(recv(client->fd, &byte, 1, 0), 1);
}

/* One that was sending before the port was there, goes on when it is, and to the next container that has it. */
static void check_udp(const char *outside_address, const char *host, const char *const targets[2]) {
        Call client = { .host = outside_address, .port = 40000 }, server[2] = { { .host = "::", .port = 53 }, { .host = "::", .port = 53 } };
        FirewallPort p[2];

        load((FirewallNetwork[]) { net_a }, 1, NULL, 0);
        assert_int_equal(netns_run(outside.netns, open_udp, &client), 0);
        assert_int_equal(netns_run(a1.netns, open_udp, server), 0);
        assert_int_equal(netns_run(a2.netns, open_udp, server + 1), 0);
        check_flow(&client, host, -1);
        for (size_t i = 0; i < 2; i++) {
                p[i] = port("5353:53/udp", targets[i]);
                add_ports(p + i, 1);
                check_flow(&client, host, server[i].fd);
                check_flow(&client, host, server[i].fd);
                assert_int_equal(firewall_remove_ports(firewall, p + i, 1, NULL), 0);
        }
        close(client.fd);
        close(server[0].fd);
        close(server[1].fd);
}

static void test_udp(void **state) {
        FIREWALL_NEEDED();
        check_udp("192.0.2.2", "192.0.2.1", (const char *[]) { "10.77.0.2", "10.77.0.3" });
        check_udp("2001:db8::2", "2001:db8::1", (const char *[]) { "fd00:77::2", "fd00:77::3" });
}

static unsigned count_flows(void) {
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;

        assert_true(read_file_at(AT_FDCWD, "/proc/sys/net/netfilter/nf_conntrack_count", 64, &text, NULL) >= 0);
        assert_int_equal(sscanf(text, "%u", &n), 1);
        return n;
}

#define MANY_FLOWS 2000U

/* Each from a port of its own. */
static int send_many(void *userdata) {
        Call to = { .host = "192.0.2.1" };

        for (unsigned i = 0; i < MANY_FLOWS; i++) {
                Call from = { .host = "192.0.2.2", .port = (uint16_t) (41000 + i) };
                struct sockaddr_storage s;

                to.port = (uint16_t) (5000 + i % 100);
                s = sockaddr_of(&to);
                assert_int_equal(open_udp(&from), 0);
                assert_int_equal(sendto(from.fd, "x", 1, 0, (struct sockaddr *) &s, sizeof(s)), 1);
                close(from.fd);
        }
        return 0;
}

/* They are forgotten later, and piece by piece, while the loop does other things. */
static void test_udp_many(void **state) {
        sd_event *event = NULL;
        unsigned before, turns = 0;
        FirewallPort p, q;

        FIREWALL_NEEDED();
        assert_int_equal(sd_event_new(&event), 0);
        p = port("5000-5099:6000-6099/udp", "10.77.0.2");
        load((FirewallNetwork[]) { net_a }, 1, &p, 1);
        before = count_flows();
        assert_int_equal(netns_run(outside.netns, send_many, NULL), 0);
        assert_true(count_flows() >= before + MANY_FLOWS);

        firewall_set_event(firewall, event);
        assert_int_equal(firewall_remove_ports(firewall, &p, 1, NULL), 0);
        assert_true(count_flows() >= before + MANY_FLOWS);
        /* More are done with the first; behind it, if it is under way. */
        q = port("9000:9000/udp", "10.77.0.3");
        assert_int_equal(firewall_remove_ports(firewall, &q, 1, NULL), 0);
        while (sd_event_run(event, 500 * USEC_PER_MSEC) > 0)
                if (turns++ == 1)
                        add_ports(&q, 1);
        assert_true(turns > 3);
        /* Packets of earlier tests may still have been under way. */
        assert_true(count_flows() < before + MANY_FLOWS / 100);

        firewall_set_event(firewall, NULL);
        sd_event_unref(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_published),
                cmocka_unit_test(test_host_address),
                cmocka_unit_test(test_range),
                cmocka_unit_test(test_range_largest),
                cmocka_unit_test(test_udp),
                cmocka_unit_test(test_udp_many),
                cmocka_unit_test(test_way_out),
                cmocka_unit_test(test_isolation),
                cmocka_unit_test(test_loopback_is_the_hosts),
                cmocka_unit_test(test_missing_table),
                cmocka_unit_test(test_replaced),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, make_network, free_network);
}
