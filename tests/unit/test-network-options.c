/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/network-options.h"
#include "network/network.h"

#define OPTIONS(...) ((ContainerOptions){ .stop_timeout_usec = UINT64_MAX, __VA_ARGS__ })
#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })

static void check_valid(ContainerOptions o) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (network_options_validate(&o, &e) < 0)
                fail_msg("%s", error_message(&e));
}

/* Refused, with a sentence that begins with the option's name. */
static void check_invalid(ContainerOptions o, const char *option) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(network_options_validate(&o, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
        if (!startswith(error_message(&e), option))
                fail_msg("\"%s\" does not begin with %s", error_message(&e), option);
}

static void test_networks(void **state) {
        char *many[INTERFACES_MAX + 2] = {};
        ContainerOptions o = OPTIONS(.networks = many);

        check_valid(OPTIONS(.networks = L("none")));
        check_valid(OPTIONS(.networks = L("host")));
        check_valid(OPTIONS(.networks = L("container:web")));
        check_valid(OPTIONS(.networks = L("ns:/run/netns/x")));
        check_valid(OPTIONS(.networks = L("default", "other:ip=10.1.2.3,alias=db")));
        check_valid(OPTIONS(.networks = L("cni:a:ip=10.1.2.3,mac=02:00:5e:00:53:01", "cni:b"), .publish = L("8080:80")));
        check_valid(OPTIONS(.networks = L("cni:a:ip=10.1.2.3/24,ip=fd00::3/64,sent_rate=10mbit,received_rate=1g")));
        check_valid(OPTIONS(.networks = L("a:sent_rate=10mbit,received_rate=1g")));
        check_invalid(OPTIONS(.networks = L("a:ip=10.1.2.3/24")), "Networks");
        check_invalid(OPTIONS(.networks = L("cni:a:sent_rate=1")), "Networks");
        check_invalid(OPTIONS(.networks = L("cni:a"), .publish = L("80")), "Publish");
        check_invalid(OPTIONS(.networks = L("cni:a"), .publish_all = true), "Publish");
        check_invalid(OPTIONS(.networks = L("cni:a", "b")), "Networks");
        check_invalid(OPTIONS(.networks = L("b", "cni:a")), "Networks");
        check_invalid(OPTIONS(.networks = L("cni:../a")), "Networks");
        check_invalid(OPTIONS(.networks = L("cni:")), "Networks");
        check_invalid(OPTIONS(.networks = L("")), "Networks");
        check_invalid(OPTIONS(.networks = L("none", "host")), "Networks");
        check_invalid(OPTIONS(.networks = L("a", "host")), "Networks");
        check_invalid(OPTIONS(.networks = L("container:a", "b")), "Networks");
        check_invalid(OPTIONS(.networks = L("container:")), "Networks");
        check_invalid(OPTIONS(.networks = L("container:../x")), "Networks");
        check_invalid(OPTIONS(.networks = L("ns:x")), "Networks");
        check_invalid(OPTIONS(.networks = L("ns:/a/../b")), "Networks");
        check_invalid(OPTIONS(.networks = L("a:ip=none")), "Networks");
        for (unsigned i = 0; i < INTERFACES_MAX; i++)
                many[i] = (char *) "a";
        check_valid(o);
        many[INTERFACES_MAX] = (char *) "a";
        check_invalid(o, "Networks");
}

static void test_mode(void **state) {
        static const struct {
                const char *network;
                NetworkMode mode;
                const char *target;
        } modes[] = {
                { "none", NETWORK_MODE_NONE, NULL },
                { "host", NETWORK_MODE_HOST, NULL },
                { "container:web", NETWORK_MODE_CONTAINER, "web" },
                { "ns:/run/netns/x", NETWORK_MODE_PATH, "/run/netns/x" },
                { "hosts", NETWORK_MODE_NAMED, NULL },
                { "cni:web", NETWORK_MODE_CNI, NULL },
        };

        assert_int_equal(container_network_mode(&OPTIONS(), NULL), NETWORK_MODE_NONE);
        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                const char *target = NULL;

                assert_int_equal(container_network_mode(&OPTIONS(.networks = L(modes[i].network)), &target), modes[i].mode);
                assert_true(streq_ptr(target, modes[i].target));
        }
}

static void test_ports(void **state) {
        check_valid(OPTIONS(.publish = L("8080:80", "[::1]::53/udp"), .expose = L("90/sctp")));
        check_invalid(OPTIONS(.publish = L("x")), "Publish");
        check_invalid(OPTIONS(.expose = L("80:90")), "Expose");
        /* All of them together, ranges in full. */
        check_valid(OPTIONS(.publish = L("1000-3047:1000-3047"), .expose = L("1-2048")));
        check_invalid(OPTIONS(.publish = L("1000-3047:1000-3047"), .expose = L("1-2049")), "Publish");
        /* Who has no network of its own publishes nothing; where nothing is said yet there will be one. */
        check_valid(OPTIONS(.networks = L("a"), .publish = L("80")));
        check_invalid(OPTIONS(.networks = L("none"), .publish = L("80")), "Publish");
        check_invalid(OPTIONS(.networks = L("host"), .publish_all = true), "Publish");
        check_invalid(OPTIONS(.networks = L("container:x"), .publish = L("80")), "Publish");
        check_invalid(OPTIONS(.networks = L("ns:/x"), .publish = L("80")), "Publish");
}

static void test_resolver(void **state) {
        char *many[NETWORK_SERVERS_MAX + 2] = {}, domain[256] = "";

        check_valid(OPTIONS(.dns = L("192.0.2.1", "2001:db8::1"), .dns_search = L("example.org", "."),
                            .dns_options = L("ndots:2")));
        check_invalid(OPTIONS(.dns = L("dns.example")), "DNS");
        check_invalid(OPTIONS(.dns_search = L("")), "DNSSearch");
        check_invalid(OPTIONS(.dns_search = L("a b")), "DNSSearch");
        check_invalid(OPTIONS(.dns_options = L("a b")), "DNSOptions");
        memset(domain, 'd', 253);
        check_valid(OPTIONS(.dns_search = L(domain)));
        memset(domain, 'd', 254);
        check_invalid(OPTIONS(.dns_search = L(domain)), "DNSSearch");
        for (unsigned i = 0; i < NETWORK_SERVERS_MAX; i++)
                many[i] = (char *) "192.0.2.1";
        check_valid(OPTIONS(.dns = many));
        many[NETWORK_SERVERS_MAX] = (char *) "192.0.2.1";
        check_invalid(OPTIONS(.dns = many), "DNS");

        check_valid(OPTIONS(.hosts = L("db:192.0.2.1", "db6:2001:db8::1", "h:host-gateway")));
        check_invalid(OPTIONS(.hosts = L("db")), "Hosts");
        check_invalid(OPTIONS(.hosts = L(":192.0.2.1")), "Hosts");
        check_invalid(OPTIONS(.hosts = L("d b:192.0.2.1")), "Hosts");
        check_invalid(OPTIONS(.hosts = L("db:")), "Hosts");
        check_invalid(OPTIONS(.hosts = L("db:gateway")), "Hosts");
}

/* -- /etc/hosts --------------------------------------------------------------------------------- */

static void check_hosts(const HostsInput *in, const char *want) {
        _cleanup_free_ char *got = NULL;

        assert_int_equal(hosts_build(in, &got), 0);
        assert_string_equal(got, want);
}

static void test_hosts(void **state) {
        static const char localhost[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        _cleanup_free_ char *none = strjoin(localhost, "127.0.1.1\tweb id\n"),
                            *two = strjoin(localhost, "10.0.0.2\tweb id\nfd00::2\tweb id\n192.0.2.9\tdb\n10.0.0.1\th\n"),
                            *no_gateway = strjoin(localhost, "10.0.0.2\tweb id\nfd00::2\tweb id\n192.0.2.9\tdb\n");
        Address addresses[2], gateway;

        assert_int_equal(address_parse("10.0.0.2", &addresses[0]), 0);
        assert_int_equal(address_parse("fd00::2", &addresses[1]), 0);
        assert_int_equal(address_parse("10.0.0.1", &gateway), 0);
        HostsInput in = { .names = L("web", "id") };
        check_hosts(&in, none);

        in.addresses = addresses;
        in.n_addresses = 2;
        in.entries = L("db:192.0.2.9", "h:host-gateway");
        in.gateway = gateway;
        check_hosts(&in, two);
        in.gateway.family = AF_UNSPEC;
        check_hosts(&in, no_gateway);

        in = (HostsInput){ .before = "127.0.0.1 host\n", .names = L("web"), .entries = L("db:192.0.2.9") };
        check_hosts(&in, "127.0.0.1 host\n192.0.2.9\tdb\n");
}

/* -- /etc/resolv.conf --------------------------------------------------------------------------- */

static void check_own(const char *text, bool loopback, ContainerOptions o, ResolvOwn own, const char *want) {
        _cleanup_free_ char *got = NULL;

        assert_int_equal(resolv_build(text, loopback, &o, &own, &got), 0);
        assert_string_equal(got, want);
}

static void check_resolv(const char *text, bool loopback, ContainerOptions o, const char *want) {
        check_own(text, loopback, o, (ResolvOwn){}, want);
}

/* Of the network's: in place of the host's servers, but not of those that somebody has asked for. */
static void test_resolv_own(void **state) {
        static const char host[] = "nameserver 192.0.2.1\nsearch a.example\noptions edns0\n";
        const ResolvOwn own = { .servers = L("10.1.0.1", "fd00::1"), .domains = L("lan.moored.internal") };

        check_own(host, false, OPTIONS(), own,
                  "nameserver 10.1.0.1\nnameserver fd00::1\nsearch lan.moored.internal a.example\noptions edns0\n");
        check_own("", false, OPTIONS(), own, "nameserver 10.1.0.1\nnameserver fd00::1\nsearch lan.moored.internal\n");
        check_own(host, false, OPTIONS(.dns_search = L("b.example"), .dns_options = L("rotate")), own,
                  "nameserver 10.1.0.1\nnameserver fd00::1\nsearch lan.moored.internal b.example\noptions rotate\n");
        check_own(host, false, OPTIONS(.dns_search = L(".")), own, "nameserver 10.1.0.1\nnameserver fd00::1\noptions edns0\n");
        check_own(host, false, OPTIONS(.dns = L("192.0.2.9")), (ResolvOwn){}, "nameserver 192.0.2.9\nsearch a.example\noptions edns0\n");
        /* That there are no domains is said where there are none. */
        check_own("search .\n", false, OPTIONS(), own, "nameserver 10.1.0.1\nnameserver fd00::1\nsearch lan.moored.internal\n");
        check_resolv("search .\n", false, OPTIONS(), "search .\n");
        /* Another network's resolver among the host's servers. */
        check_own("nameserver 192.0.2.1\nnameserver 10.1.0.1\n", false, OPTIONS(), (ResolvOwn){ .others = L("10.1.0.1", "fd00::1") },
                  "nameserver 192.0.2.1\n");
}

static void test_resolv(void **state) {
        static const char host[] = "# comment\nnameserver 127.0.0.53\nnameserver\t192.0.2.1\nnameserver ::1\n"
                                   "search a.example\nnameserver fe80::1%eth0\nsearch b.example c.example\r\noptions edns0\n";

        check_resolv("", false, OPTIONS(), "");
        check_resolv(host, false, OPTIONS(), "nameserver 192.0.2.1\nsearch b.example c.example\noptions edns0\n");
        check_resolv("nameserver 127.0.0.53", true, OPTIONS(), "nameserver 127.0.0.53\n");
        check_resolv(host, false, OPTIONS(.dns = L("127.0.0.1"), .dns_search = L("."), .dns_options = L("ndots:1", "rotate")),
                     "nameserver 127.0.0.1\noptions ndots:1 rotate\n");
        check_resolv("nameserver 127.0.0.53\n", false, OPTIONS(.dns_search = L("x.example")),
                     "# The host's servers can be reached on the host only: see --dns.\nsearch x.example\n");

        assert_true(resolv_is_loopback("nameserver 127.0.0.53\nnameserver ::1\n"));
        assert_false(resolv_is_loopback(host));
        assert_false(resolv_is_loopback(""));
        assert_false(resolv_is_loopback("nameserver\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_networks), cmocka_unit_test(test_mode),  cmocka_unit_test(test_ports),
                cmocka_unit_test(test_resolver), cmocka_unit_test(test_hosts), cmocka_unit_test(test_resolv),
                cmocka_unit_test(test_resolv_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
