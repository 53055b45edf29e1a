/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "store/store.h"

#define C(text) ((char *) (text))

static int setup(void **state) {
        const NamespaceRow ns = { .name = C("default") };
        const ContainerRow a = { .ns = C("default"), .id = C("a") }, b = { .ns = C("default"), .id = C("b") };
        Store *s = NULL;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(store_namespace_add(s, &ns), 0);
        assert_int_equal(store_container_add(s, &a), 0);
        assert_int_equal(store_container_add(s, &b), 0);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        store_free(*state);
        return 0;
}

static NetworkRow network_add(Store *s, const char *name, const char *subnet) {
        SubnetRow subnets[] = { { .prefix = C(subnet), .gateway = C("10.1.0.1") } };
        NetworkRow row = { .ns = C("default"), .name = C(name), .driver = C("bridge"), .device = C(name), .subnets = subnets, .n_subnets = 1 };

        assert_int_equal(store_network_add(s, &row), 0);
        row.subnets = NULL;
        row.n_subnets = (size_t) subnets[0].n;
        return row; /* n_subnets: the subnet's number */
}

static InterfaceRow interface_add(Store *s, const char *container, uint64_t network, const char *name, const char *mac) {
        InterfaceRow row = { .ns = C("default"), .container = C(container), .network = network, .name = C(name), .mac = C(mac) };

        assert_int_equal(store_interface_add(s, &row), 0);
        return row;
}

static int copy_spec(const DeviceRow *row, void *userdata) {
        char **texts = userdata;
        size_t n = 0;

        while (texts[n])
                n++;
        texts[n] = strdup(row->spec);
        return 0;
}

static void assert_specs(Store *s, const char *wanted) {
        _cleanup_free_ char *joined = NULL;
        char *texts[8] = {};

        assert_int_equal(store_device_foreach(s, "default", "a", copy_spec, texts), 0);
        joined = strv_join(texts, " ");
        assert_string_equal(joined, wanted);
        for (size_t i = 0; texts[i]; i++)
                free(texts[i]);
}

static void test_devices(void **state) {
        Store *s = *state;
        NetworkRow lan = network_add(s, "lan", "10.1.0.0/24");
        (void) interface_add(s, "a", lan.n, "eth0", "02:00:00:00:00:01");
        DeviceRow settings = { .ns = C("default"), .container = C("a"), .name = C("eth0"), .spec = C("one") };
        DeviceRow own = { .ns = C("default"), .container = C("a"), .name = C("eth1"), .spec = C("two"), .host_device = C("enp1s0") };
        DeviceRow other = { .ns = C("default"), .container = C("b"), .name = C("eth1"), .spec = C("x"), .host_device = C("enp1s0") };
        _cleanup_free_ char *ns = NULL, *container = NULL;

        assert_int_equal(store_device_put(s, &settings), 0);
        assert_int_equal(store_device_put(s, &own), 0);
        assert_int_equal(store_device_put(s, &other), -EEXIST);
        assert_int_equal(store_host_device_owner(s, "enp1s0", &ns, &container), 0);
        assert_string_equal(container, "a");
        assert_int_equal(store_host_device_owner(s, "enp2s0", &ns, &container), -ENOENT);
        assert_true(store_host_device_is_known(s, "enp1s0"));
        assert_specs(s, "one two");
        settings.spec = C("three");
        assert_int_equal(store_device_put(s, &settings), 0);
        assert_specs(s, "three two");
        /* What has been said of an interface goes with it. */
        assert_int_equal(store_interface_remove(s, "default", "a", "eth0"), 0);
        assert_specs(s, "two");
        assert_int_equal(store_device_remove(s, "default", "a", "eth1"), 0);
        assert_int_equal(store_device_remove(s, "default", "a", "eth1"), -ENOENT);
        assert_int_equal(store_device_put(s, &other), 0);
        assert_int_equal(store_container_remove(s, "default", "b"), 0);
        assert_false(store_host_device_is_known(s, "enp1s0"));
        other.container = C("nosuch");
        assert_int_equal(store_device_put(s, &other), -ENOENT);
        assert_int_equal(store_network_remove(s, lan.n), 0);
}

static void test_remove(void **state) {
        Store *s = *state;
        NetworkRow lan = network_add(s, "lan", "10.1.0.0/24");
        InterfaceRow one = interface_add(s, "a", lan.n, "eth0", "02:00:00:00:00:01");
        InterfaceRow two = { .ns = C("default"), .container = C("a"), .network = lan.n, .name = C("eth1"), .mac = C("02:00:00:00:00:02"),
                             .host_device = C("mv0123456789") };
        uint64_t number;

        assert_int_equal(store_interface_add(s, &two), 0);
        assert_int_equal(store_address_add(s, lan.n_subnets, 2, "10.1.0.2", one.n), 0);
        assert_true(store_host_device_is_known(s, "mv0123456789"));
        assert_false(store_host_device_is_known(s, "mv9876543210"));
        assert_int_equal(store_interface_remove(s, "default", "b", "eth0"), -ENOENT);
        assert_int_equal(store_interface_remove(s, "other", "a", "eth0"), -ENOENT);
        assert_int_equal(store_interface_remove(s, "default", "a", "eth0"), 0);
        assert_int_equal(store_interface_remove(s, "default", "a", "eth0"), -ENOENT);
        /* Its address is free, the other interface is still there. */
        assert_int_equal(store_address_next(s, lan.n_subnets, 2, 9, &number), 0);
        assert_int_equal(number, 2);
        assert_true(store_host_device_is_known(s, "mv0123456789"));
        assert_int_equal(store_network_remove(s, lan.n), -ENOTEMPTY);
        assert_int_equal(store_interface_remove(s, "default", "a", "eth1"), 0);
        assert_int_equal(store_network_remove(s, lan.n), 0);
}

static int take_network(NetworkRow *row, void *userdata) {
        NetworkRow *ret = userdata;

        network_row_done(ret);
        *ret = *row;
        *row = (NetworkRow) {};
        return 0;
}

static void test_network(void **state) {
        SubnetRow subnets[] = {
                { .prefix = C("10.1.0.0/24"), .gateway = C("10.1.0.1"), .range = C("10.1.0.128/25") },
                { .prefix = C("fd00::/64") },
        };
        char *labels[] = { C("a=b"), C("c="), NULL };
        NetworkRow row = { .ns = C("default"), .name = C("lan"), .driver = C("macvlan"), .parent = C("eth0"), .mode = C("vepa"), .mtu = 1400,
                           .internal = true, .no_dns = true, .open = true, .labels = labels, .created_usec = 5, .subnets = subnets, .n_subnets = 2 };
        _cleanup_(network_row_done) NetworkRow got = {};
        Store *s = *state;

        assert_int_equal(store_network_add(s, &row), 0);
        assert_int_equal(store_network_foreach(s, take_network, &got), 0);
        assert_int_equal(got.n, row.n);
        assert_string_equal(got.ns, "default");
        assert_string_equal(got.name, "lan");
        assert_string_equal(got.driver, "macvlan");
        assert_null(got.device);
        assert_string_equal(got.parent, "eth0");
        assert_string_equal(got.mode, "vepa");
        assert_int_equal(got.mtu, 1400);
        assert_true(got.internal);
        assert_true(got.no_dns);
        assert_true(got.open);
        assert_int_equal(strv_length(got.labels), 2);
        assert_string_equal(got.labels[0], "a=b");
        assert_int_equal(got.created_usec, 5);
        assert_int_equal(got.n_subnets, 2);
        assert_int_equal(got.subnets[0].n, subnets[0].n);
        assert_string_equal(got.subnets[0].prefix, "10.1.0.0/24");
        assert_string_equal(got.subnets[0].gateway, "10.1.0.1");
        assert_string_equal(got.subnets[0].range, "10.1.0.128/25");
        assert_null(got.subnets[1].gateway);
        assert_null(got.subnets[1].range);

        network_row_done(&got);
        assert_int_equal(store_network_get(s, row.n, &got), 0);
        assert_string_equal(got.name, "lan");
        network_row_done(&got);
        assert_int_equal(store_network_find(s, "default", "lan", &got), 0);
        assert_int_equal(got.n, row.n);
        assert_int_equal(got.n_subnets, 2);
        network_row_done(&got);
        assert_int_equal(store_network_get(s, row.n + 1, &got), -ENOENT);
        assert_int_equal(store_network_find(s, "default", "wan", &got), -ENOENT);
        assert_int_equal(store_network_find(s, "other", "lan", &got), -ENOENT);

        assert_int_equal(store_network_add(s, &row), -EEXIST);
        row.name = C("other");
        /* The subnets; and nothing of it stays. */
        assert_int_equal(store_network_add(s, &row), -EEXIST);
        row.n_subnets = 0;
        row.ns = C("none");
        assert_int_equal(store_network_add(s, &row), -ENOENT);
        row.ns = C("default");
        assert_int_equal(store_network_add(s, &row), 0);
        assert_int_equal(store_network_remove(s, row.n), 0);
        assert_int_equal(store_network_remove(s, row.n), -ENOENT);

        assert_int_equal(store_namespace_remove(s, "default"), -ENOTEMPTY);
}

static int take_interface(const InterfaceRow *row, void *userdata) {
        InterfaceRow *ret = userdata;

        interface_row_done(ret);
        *ret = (InterfaceRow) { .n = row->n, .name = strdup(row->name), .mac = strdup(row->mac), .network = row->network,
                                .aliases = strv_copy(row->aliases), .addresses = strv_copy(row->addresses) };
        return 0;
}

static void test_interface(void **state) {
        Store *s = *state;
        NetworkRow network = network_add(s, "lan", "10.1.0.0/24");
        InterfaceRow a = interface_add(s, "a", network.n, "eth0", "02:00:00:00:00:01"), b = a;
        _cleanup_(interface_row_done) InterfaceRow got = {};
        char *aliases[] = { C("www"), C("web"), NULL };

        /* A name in the container once, a MAC on a network once. */
        assert_int_equal(store_interface_add(s, &b), -EEXIST);
        b.container = C("b");
        assert_int_equal(store_interface_add(s, &b), -EEXIST);
        b.mac = C("02:00:00:00:00:02");
        b.aliases = aliases;
        assert_int_equal(store_interface_add(s, &b), 0);
        assert_true(b.n > a.n);
        b.container = C("none");
        b.mac = C("02:00:00:00:00:03");
        assert_int_equal(store_interface_add(s, &b), -ENOENT);
        b.container = C("a");
        b.name = C("eth1");
        b.network = 99;
        assert_int_equal(store_interface_add(s, &b), -ENOENT);

        assert_int_equal(store_address_add(s, network.n_subnets, 5, "10.1.0.5", a.n), 0);
        assert_int_equal(store_address_add(s, network.n_subnets, 9, "10.1.0.9", a.n), 0);
        assert_int_equal(store_interface_foreach(s, "default", "a", take_interface, &got), 0);
        assert_int_equal(got.n, a.n);
        assert_int_equal(strv_length(got.addresses), 2);
        assert_int_equal(strv_length(got.aliases), 0);
        assert_int_equal(store_interface_foreach(s, "default", "b", take_interface, &got), 0);
        assert_int_equal(strv_length(got.addresses), 0);
        assert_string_equal(got.aliases[1], "web");
        assert_int_equal(store_interface_foreach_in(s, network.n, take_interface, &got), 0);
        assert_string_equal(got.mac, "02:00:00:00:00:02");

        /* A network that somebody has stays; with the containers all goes. */
        assert_int_equal(store_network_remove(s, network.n), -ENOTEMPTY);
        assert_int_equal(store_container_remove(s, "default", "a"), 0);
        assert_int_equal(store_network_remove(s, network.n), -ENOTEMPTY);
        assert_int_equal(store_container_remove(s, "default", "b"), 0);
        assert_int_equal(store_network_remove(s, network.n), 0);
}

static void check_next(Store *s, uint64_t subnet, uint64_t first, uint64_t last, int64_t want) {
        uint64_t got;

        if (want < 0) {
                assert_int_equal(store_address_next(s, subnet, first, last, &got), want);
                return;
        }
        assert_int_equal(store_address_next(s, subnet, first, last, &got), 0);
        assert_int_equal(got, want);
}

static void test_addresses(void **state) {
        Store *s = *state;
        NetworkRow network = network_add(s, "lan", "10.1.0.0/24"), other = network_add(s, "wan", "10.2.0.0/24");
        InterfaceRow a = interface_add(s, "a", network.n, "eth0", "02:00:00:00:00:01");
        _cleanup_free_ char *ns = NULL, *container = NULL;
        uint64_t subnet = network.n_subnets;

        check_next(s, subnet, 2, 5, 2);
        check_next(s, subnet, 5, 5, 5);
        check_next(s, subnet, 6, 5, -ENOENT);
        assert_int_equal(store_address_add(s, subnet, 2, "10.1.0.2", a.n), 0);
        assert_int_equal(store_address_add(s, subnet, 2, "10.1.0.2", a.n), -EEXIST);
        assert_int_equal(store_address_add(s, subnet, 3, "10.1.0.3", a.n), 0);
        assert_int_equal(store_address_add(s, subnet, 5, "10.1.0.5", a.n), 0);
        check_next(s, subnet, 2, 9, 4);
        check_next(s, subnet, 5, 9, 6);
        check_next(s, subnet, 2, 3, -ENOENT);
        check_next(s, other.n_subnets, 2, 3, 2);
        assert_int_equal(store_address_owner(s, subnet, "10.1.0.3", &ns, &container), 0);
        assert_string_equal(ns, "default");
        assert_string_equal(container, "a");
        assert_int_equal(store_address_owner(s, subnet, "10.1.0.4", &ns, &container), -ENOENT);

        /* Two addresses so far out that they have one number. */
        assert_int_equal(store_address_add(s, subnet, UINT64_MAX, "fd00::fffe", a.n), 0);
        assert_int_equal(store_address_add(s, subnet, UINT64_MAX - 1, "fd00::ffff", a.n), 0);
        assert_int_equal(store_address_add(s, subnet, UINT64_MAX, "fd00::ffff", a.n), -EEXIST);

        /* A rolled back container has taken nothing. */
        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(store_address_add(s, subnet, 4, "10.1.0.4", a.n), 0);
        assert_int_equal(store_rollback(s), 0);
        check_next(s, subnet, 4, 4, 4);
        assert_int_equal(store_container_remove(s, "default", "a"), 0);
        check_next(s, subnet, 2, 9, 2);
}

static int count_port(const PortRow *row, void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

static unsigned overlaps(Store *s, const char *protocol, uint16_t first, uint16_t last) {
        unsigned n = 0;

        assert_int_equal(store_port_foreach_overlap(s, protocol, first, last, count_port, &n), 0);
        return n;
}

static int check_port(const PortRow *row, void *userdata) {
        (*(unsigned *) userdata)++;
        assert_string_equal(row->ns, "default");
        assert_string_equal(row->container, "a");
        assert_string_equal(row->protocol, "tcp");
        assert_string_equal(row->address, "192.0.2.1");
        assert_int_equal(row->host_port, 8000);
        assert_int_equal(row->container_port, 80);
        assert_int_equal(row->count, 10);
        return 0;
}

static void test_ports(void **state) {
        PortRow row = { .ns = C("default"), .container = C("a"), .protocol = C("tcp"), .address = C("192.0.2.1"), .host_port = 8000,
                        .container_port = 80, .count = 10 };
        Store *s = *state;
        unsigned n = 0;

        assert_int_equal(store_port_add(s, &row), 0);
        assert_int_equal(store_port_foreach(s, "default", "a", check_port, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(overlaps(s, "tcp", 1, 7999), 0);
        assert_int_equal(overlaps(s, "tcp", 1, 8000), 1);
        assert_int_equal(overlaps(s, "tcp", 8005, 8005), 1);
        assert_int_equal(overlaps(s, "tcp", 8009, 9000), 1);
        assert_int_equal(overlaps(s, "tcp", 8010, 65535), 0);
        assert_int_equal(overlaps(s, "udp", 1, 65535), 0);
        row.container = C("none");
        assert_int_equal(store_port_add(s, &row), -ENOENT);
        assert_int_equal(store_container_remove(s, "default", "a"), 0);
        assert_int_equal(overlaps(s, "tcp", 1, 65535), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_network, setup, teardown),
                cmocka_unit_test_setup_teardown(test_interface, setup, teardown),
                cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
                cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
