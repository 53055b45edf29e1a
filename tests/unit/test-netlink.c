/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Links, addresses and routes, in a network namespace of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h> /* first: the next one would define the same */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cmocka.h>

#include "netns-fixture.h"
#include "network/netlink-socket.h"
#include "network/netlink.h"

#define LONGEST "mv0123456789012" /* IF_NAMESIZE - 1 */

static const uint8_t mac[ETHER_SIZE] = { 0x02, 0x00, 0x5e, 0x00, 0x53, 0x01 };

static Prefix prefix(const char *text) {
        Prefix p;

        assert_int_equal(prefix_parse(text, &p), 0);
        return p;
}

static Address address(const char *text) {
        Address a;

        assert_int_equal(address_parse(text, &a), 0);
        return a;
}

/* Whatever the test before has left where it failed. */
static int teardown(void **state) {
        _cleanup_(netlink_freep) Netlink *n = NULL;

        if (!netns_missing && netlink_new(-EBADF, &n) == 0)
                (void) netlink_delete_link(n, "br");
        return 0;
}

static int link_index(Netlink *n, const char *name) {
        LinkInfo l;

        assert_int_equal(netlink_get_link(n, name, &l), 0);
        assert_string_equal(l.name, name);
        return l.index;
}

static void set_up(Netlink *n, const char *name) {
        assert_int_equal(netlink_change_link(n, link_index(n, name), &(LinkChange) { .up = true, .netns = -EBADF }), 0);
}

static void test_bridge(void **state) {
        _cleanup_(netlink_freep) Netlink *n = NULL;
        LinkInfo l;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &n), 0);
        assert_int_equal(netlink_get_link(n, LONGEST, &l), -ENODEV);
        assert_int_equal(netlink_add_bridge(n, LONGEST, 1400, mac), 0);
        assert_int_equal(netlink_add_bridge(n, LONGEST, 0, mac), -EEXIST);
        assert_int_equal(netlink_get_link(n, LONGEST, &l), 0);
        assert_string_equal(l.kind, "bridge");
        assert_int_equal(l.mtu, 1400);
        assert_false(l.up);
        assert_memory_equal(l.ether, mac, ETHER_SIZE);
        set_up(n, LONGEST);
        assert_int_equal(netlink_get_link(n, LONGEST, &l), 0);
        assert_true(l.up);
        assert_int_equal(netlink_change_link(n, l.index, &(LinkChange) { .mtu = 1300, .down = true, .netns = -EBADF }), 0);
        assert_int_equal(netlink_get_link(n, LONGEST, &l), 0);
        assert_int_equal(l.mtu, 1300);
        assert_false(l.up);
        assert_int_equal(netlink_delete_link(n, LONGEST), 0);
        assert_int_equal(netlink_delete_link(n, LONGEST), -ENODEV);

        assert_int_equal(netlink_add_bridge(n, LONGEST "x", 0, NULL), -EINVAL);
        assert_int_equal(netlink_add_bridge(n, "", 0, NULL), -EINVAL);
        assert_int_equal(netlink_get_link(n, LONGEST "x", &l), -ENODEV);
        assert_int_equal(netlink_delete_link(n, ""), -ENODEV);
        assert_int_equal(netlink_change_link(n, 0, &(LinkChange) { .up = true, .netns = -EBADF }), -ENODEV);
        /* The kernel's sentence about its own refusal, and about nobody else's. */
        assert_int_equal(netlink_add_bridge(n, "a/b", 0, NULL), -EINVAL);
        assert_int_equal(netlink_add_bridge(n, "mv1", 0, NULL), 0);
        assert_string_equal(netlink_get_message(n), "");
        assert_int_equal(netlink_delete_link(n, "mv1"), 0);
}

static int count_kind(const LinkInfo *l, void *userdata) {
        *(unsigned *) userdata += streq(l->kind, "veth");
        return 0;
}

static int stop_at_once(const LinkInfo *l, void *userdata) {
        return -ECANCELED;
}

static void test_veth(void **state) {
        _cleanup_(netlink_freep) Netlink *n = NULL, *inside = NULL;
        _cleanup_close_ int netns = -EBADF;
        unsigned count = 0;
        LinkInfo l;
        int bridge;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &n), 0);
        netns = netns_new(NULL, NULL);
        assert_true(netns > 2);
        assert_int_equal(netlink_new(netns, &inside), 0);
        assert_int_equal(netlink_add_bridge(n, "br", 0, mac), 0);
        bridge = link_index(n, "br");
        assert_int_equal(netlink_add_veth(n, "mv1", bridge, 1280, netns, "eth0", mac), 0);
        assert_int_equal(netlink_add_veth(n, "mv1", bridge, 0, netns, "eth1", mac), -EEXIST);
        assert_int_equal(netlink_add_veth(n, "mv2", bridge, 0, netns, "eth0", mac), -EEXIST);

        assert_int_equal(netlink_get_link(n, "mv1", &l), 0);
        assert_int_equal(l.master, bridge);
        assert_int_equal(l.mtu, 1280);
        assert_true(l.up);
        assert_int_equal(netlink_get_link(n, "eth0", &l), -ENODEV);
        assert_int_equal(netlink_get_link(n, "mv2", &l), -ENODEV);
        assert_int_equal(netlink_get_link(inside, "eth0", &l), 0);
        assert_string_equal(l.kind, "veth");
        assert_memory_equal(l.ether, mac, ETHER_SIZE);
        assert_int_equal(l.mtu, 1280);
        assert_false(l.up);

        assert_int_equal(netlink_foreach_link(n, count_kind, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(netlink_foreach_link(n, stop_at_once, NULL), -ECANCELED);
        assert_int_equal(netlink_get_link(n, "mv1", &l), 0);

        assert_int_equal(netlink_change_link(n, l.index, &(LinkChange) { .master = -1, .netns = -EBADF }), 0);
        assert_int_equal(netlink_get_link(n, "mv1", &l), 0);
        assert_int_equal(l.master, 0);
        assert_int_equal(netlink_change_link(n, l.index, &(LinkChange) { .netns = netns, .name = "eth1" }), 0);
        assert_int_equal(netlink_get_link(n, "mv1", &l), -ENODEV);
        assert_int_equal(netlink_get_link(inside, "eth1", &l), 0);
}

static void test_sub_link(void **state) {
        _cleanup_(netlink_freep) Netlink *n = NULL, *inside = NULL;
        _cleanup_close_ int netns = -EBADF;
        LinkInfo l;
        int r;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &n), 0);
        netns = netns_new(NULL, NULL);
        assert_int_equal(netlink_new(netns, &inside), 0);
        assert_int_equal(netlink_add_sub_link(n, "macvlan", "br", NULL, 0, netns, "eth0", mac), -ENODEV);
        assert_int_equal(netlink_add_bridge(n, "br", 0, mac), 0);
        assert_int_equal(netlink_add_sub_link(n, "macvlan", "br", "l2", 0, netns, "eth0", mac), -EINVAL);
        assert_int_equal(netlink_add_sub_link(n, "ipvlan", "br", "bridge", 0, netns, "eth0", NULL), -EINVAL);
        assert_int_equal(netlink_add_sub_link(n, "vlan", "br", NULL, 0, netns, "eth0", NULL), -EINVAL);
        r = netlink_add_sub_link(n, "macvlan", "br", "private", 1400, netns, "eth0", mac);
        if (r == 0) {
                assert_int_equal(netlink_get_link(inside, "eth0", &l), 0);
                assert_string_equal(l.kind, "macvlan");
                assert_int_equal(l.mtu, 1400);
                assert_false(l.up);
                assert_memory_equal(l.ether, mac, ETHER_SIZE);
        }
        if (r == -EOPNOTSUPP) {
                print_message("%s: this kernel has no macvlan\n", __func__);
                skip();
        }
        assert_int_equal(r, 0);
}

typedef struct Found {
        Prefix wanted;
        int index;
        unsigned n;
} Found;

static int find_address(int index, const Prefix *p, void *userdata) {
        Found *f = userdata;

        f->n += index == f->index && p->length == f->wanted.length && address_compare(&p->address, &f->wanted.address) == 0;
        return 0;
}

static int find_route(const Prefix *p, int index, void *userdata) {
        return find_address(index, p, userdata);
}

static unsigned count_addresses(Netlink *n, int index, const Prefix *p) {
        Found f = { .wanted = *p, .index = index };

        assert_int_equal(netlink_foreach_address(n, find_address, &f), 0);
        return f.n;
}

static unsigned count_routes(Netlink *n, int index, const char *text) {
        Found f = { .wanted = prefix(text), .index = index };

        assert_int_equal(netlink_foreach_route(n, find_route, &f), 0);
        return f.n;
}

static void check_address(Netlink *n, int index, const char *text, const char *subnet) {
        Prefix p = prefix(text);

        assert_int_equal(count_addresses(n, index, &p), 0);
        assert_int_equal(netlink_add_address(n, index, &p), 0);
        assert_int_equal(netlink_add_address(n, index, &p), -EEXIST);
        assert_int_equal(count_addresses(n, index, &p), 1);
        assert_int_equal(count_routes(n, index, subnet), 1);
        assert_int_equal(netlink_delete_address(n, index, &p), 0);
        assert_int_equal(netlink_delete_address(n, index, &p), -EADDRNOTAVAIL);
        assert_int_equal(count_addresses(n, index, &p), 0);
        assert_int_equal(count_routes(n, index, subnet), 0);
}

static void test_addresses(void **state) {
        _cleanup_(netlink_freep) Netlink *n = NULL;
        int index;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &n), 0);
        assert_int_equal(netlink_add_bridge(n, "br", 0, mac), 0);
        set_up(n, "br");
        index = link_index(n, "br");
        check_address(n, index, "10.88.0.1/16", "10.88.0.0/16");
        check_address(n, index, "fd00:1::1/64", "fd00:1::/64");
        for (unsigned i = 0; i < 2; i++) {
                Address neighbor = address(i == 0 ? "10.88.0.9" : "fd00:1::9");

                assert_int_equal(netlink_delete_neighbor(n, index, &neighbor), -ENOENT);
        }
        assert_int_equal(netlink_add_address(n, index + 100, &(Prefix) { address("10.88.0.1"), 16 }), -ENODEV);
}

static void test_routes(void **state) {
        Address gateway4 = address("10.88.0.1"), gateway6 = address("fd00:1::1"), elsewhere = address("10.99.0.1");
        Prefix default4 = prefix("0.0.0.0/0"), default6 = prefix("::/0"), net4 = prefix("10.90.0.0/24");
        Prefix inside4 = prefix("10.88.0.2/16"), inside6 = prefix("fd00:1::2/64");
        _cleanup_(netlink_freep) Netlink *n = NULL;
        int index;

        NETNS_NEEDED();
        assert_int_equal(netlink_new(-EBADF, &n), 0);
        assert_int_equal(netlink_add_bridge(n, "br", 0, mac), 0);
        set_up(n, "br");
        index = link_index(n, "br");
        assert_int_equal(netlink_add_address(n, index, &inside4), 0);
        assert_int_equal(netlink_add_address(n, index, &inside6), 0);
        assert_int_equal(netlink_add_route(n, &default4, &gateway4, 0, 0), 0);
        assert_int_equal(netlink_add_route(n, &default4, &gateway4, index, 0), -EEXIST);
        assert_int_equal(netlink_add_route(n, &default4, &gateway4, index, 100), 0);
        assert_int_equal(netlink_add_route(n, &default6, &gateway6, index, 0), 0);
        assert_int_equal(netlink_add_route(n, &net4, &elsewhere, index, 0), -ENETUNREACH);
        assert_string_not_equal(netlink_get_message(n), "");
        assert_int_equal(netlink_add_route(n, &net4, NULL, index, 0), 0);
        assert_int_equal(count_routes(n, index, "10.90.0.0/24"), 1);
        assert_int_equal(count_routes(n, index, "0.0.0.0/0"), 0);
        assert_int_equal(netlink_delete_route(n, &net4, NULL, index, 0), 0);
        assert_int_equal(netlink_delete_route(n, &net4, NULL, index, 0), -ESRCH);
}

static int fail_inside(void *userdata) {
        return -EXDEV;
}

static void test_namespaces(void **state) {
        int before, after;

        NETNS_NEEDED();
        before = fd_dup(0);
        close(before);
        assert_int_equal(netns_new(fail_inside, NULL), -EXDEV);
        assert_int_equal(netns_run(-EBADF, fail_inside, NULL), -EBADF);
        after = fd_dup(0);
        close(after);
        assert_int_equal(before, after);
}

static struct nl_msg *table_message(int type, const char *name) {
        struct nl_msg *m = netfilter_message_new(NFNL_SUBSYS_NFTABLES, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, NFPROTO_INET);

        assert_non_null(m);
        assert_int_equal(nla_put_string(m, NFTA_TABLE_NAME, name), 0);
        return m;
}

static int ask_for_table(NetlinkSocket *s, const char *name) {
        _cleanup_(netlink_message_freep) struct nl_msg *m = table_message(NFT_MSG_GETTABLE, name);

        return netlink_socket_call(s, m, NULL, NULL);
}

/* All or none, and not more than what fits. */
static void test_transaction(void **state) {
        _cleanup_(netlink_socket_freep) NetlinkSocket *s = NULL;
        struct nl_msg *messages[NETLINK_TRANSACTION_MAX + 1];
        char name[16];

        NETNS_NEEDED();
        assert_int_equal(netlink_socket_new(NETLINK_NETFILTER, &s), 0);
        assert_int_equal(netlink_socket_transact(s, messages, 0), 0);
        for (unsigned i = 0; i < ELEMENTSOF(messages); i++) {
                (void) snprintf(name, sizeof(name), "t%u", i);
                messages[i] = table_message(NFT_MSG_NEWTABLE, name);
        }
        assert_int_equal(netlink_socket_transact(s, messages, NETLINK_TRANSACTION_MAX + 1), -E2BIG);
        if (netlink_socket_transact(s, messages, 1) == -EOPNOTSUPP)
                skip();
        assert_int_equal(ask_for_table(s, "t0"), 0);
        assert_int_equal(ask_for_table(s, "t1"), -ENOENT);
        assert_int_equal(netlink_socket_transact(s, messages, NETLINK_TRANSACTION_MAX), 0);
        assert_int_equal(ask_for_table(s, "t127"), 0);
        for (unsigned i = 0; i < ELEMENTSOF(messages); i++)
                nlmsg_free(messages[i]);

        messages[0] = table_message(NFT_MSG_NEWTABLE, "new");
        messages[1] = table_message(NFT_MSG_DELTABLE, "missing");
        messages[2] = table_message(NFT_MSG_DELTABLE, "t0");
        assert_int_equal(netlink_socket_transact(s, messages, 3), -ENOENT);
        assert_int_equal(ask_for_table(s, "new"), -ENOENT);
        assert_int_equal(ask_for_table(s, "t0"), 0);
        for (unsigned i = 0; i < 3; i++)
                nlmsg_free(messages[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_bridge),
                cmocka_unit_test_teardown(test_veth, teardown),
                cmocka_unit_test_teardown(test_sub_link, teardown),
                cmocka_unit_test_teardown(test_addresses, teardown),
                cmocka_unit_test_teardown(test_routes, teardown),
                cmocka_unit_test(test_transaction),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
