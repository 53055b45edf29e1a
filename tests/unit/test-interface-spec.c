/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/interface-spec.h"

#define L(...) ((char *[]) { __VA_ARGS__ __VA_OPT__(,) NULL })

static void test_routes(void **state) {
        static const struct {
                const char *text, *normal; /* NULL: refused */
        } cases[] = {
                { "10.9.0.0/16 via 10.1.0.1", "10.9.0.0/16 via 10.1.0.1" },
                { "  10.9.0.0/16   metric 5 via 10.1.0.1 ", "10.9.0.0/16 via 10.1.0.1 metric 5" },
                { "default via FD00::1", "default via fd00::1" },
                { "192.0.2.0/24", "192.0.2.0/24" },
                { "0.0.0.0/0 via 10.1.0.1", "default via 10.1.0.1" },
                { "0.0.0.0/0", "0.0.0.0/0" },
                { "192.0.2.1", "192.0.2.1/32" },
                { "", NULL },
                { "default", NULL },
                { "default via", NULL },
                { "default via nowhere", NULL },
                { "default via ::", NULL },
                { "10.9.0.1/16 via 10.1.0.1", NULL },
                { "10.9.0.0/16 via fd00::1", NULL },
                { "10.9.0.0/16 via 10.1.0.1 via 10.1.0.2", NULL },
                { "10.9.0.0/16 metric 0", NULL },
                { "10.9.0.0/16 metric 4294967296", NULL },
                { "10.9.0.0/16 dev eth0", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *text = NULL;
                Route r;

                if (!cases[i].normal) {
                        assert_int_equal(route_parse(cases[i].text, &r, &e), -EINVAL);
                        assert_true(error_has_name(&e, "InvalidArgument"));
                        continue;
                }
                if (route_parse(cases[i].text, &r, &e) < 0)
                        fail_msg("%s: %s", cases[i].text, error_message(&e));
                text = route_format(&r);
                assert_string_equal(text, cases[i].normal);
        }
}

static void refused(InterfaceSpec s, const char *about) {
        _cleanup_error_ Error e = ERROR_NULL;
        /* Lists are replaced by what is checked. */
        s.addresses = strv_copy(s.addresses);
        s.routes = strv_copy(s.routes);
        s.mac = s.mac ? strdup(s.mac) : NULL;
        if (interface_spec_check(&s, &e) >= 0 || !strstr(error_message(&e), about))
                fail_msg("expected “%s”, not: %s", about, error_is_set(&e) ? error_message(&e) : "success");
        strv_free(s.addresses);
        strv_free(s.routes);
        free(s.mac);
}
#define REFUSED(about, ...) refused((InterfaceSpec) { __VA_ARGS__ }, (about))

static void test_check(void **state) {
        char *v6[] = { (char *) "fd00::2/64", NULL }, *v4[] = { (char *) "10.1.0.2/16", NULL };

        REFUSED("Link", .type = INTERFACE_MACVLAN);
        REFUSED("Link", .type = INTERFACE_DEVICE);
        REFUSED("Link", .type = INTERFACE_VETH, .link = (char *) "eth0");
        REFUSED("Link", .type = INTERFACE_MACVLAN, .link = (char *) "lo");
        REFUSED("Link", .type = INTERFACE_MACVLAN, .link = (char *) "a/b");
        REFUSED("Link", .type = INTERFACE_MACVLAN, .link = (char *) "sixteenlettersxx");
        REFUSED("Peer", .type = INTERFACE_TAP, .peer = (char *) "x");
        REFUSED("Master", .type = INTERFACE_TAP, .master = (char *) "br0");
        REFUSED("Mode", .type = INTERFACE_MACVLAN, .link = (char *) "eth0", .mode = (char *) "l2");
        REFUSED("Mode", .type = INTERFACE_VETH, .mode = (char *) "bridge");
        REFUSED("User", .type = INTERFACE_VETH, .user = 1);
        REFUSED("User", .type = INTERFACE_TAP, .user = UINT32_MAX);
        REFUSED("MAC", .type = INTERFACE_IPVLAN, .link = (char *) "eth0", .mac = (char *) "02:00:5e:00:53:01");
        REFUSED("Ethernet", .type = INTERFACE_VETH, .mac = (char *) "01:00:5e:00:53:01");
        REFUSED("MTU", .type = INTERFACE_VETH, .mtu = INTERFACE_MTU_MIN - 1);
        REFUSED("MTU", .type = INTERFACE_VETH, .mtu = INTERFACE_MTU_MAX + 1);
        REFUSED("IPv6", .type = INTERFACE_VETH, .mtu = INTERFACE_MTU_MIN_IPV6 - 1, .addresses = v6);
        REFUSED("SentRate", .type = INTERFACE_VETH, .sent_rate = INTERFACE_RATE_MIN - 1);
        REFUSED("SentRate", .type = INTERFACE_VETH, .sent_rate = INTERFACE_RATE_MAX + 1);
        REFUSED("ReceivedRate", .type = INTERFACE_TAP, .received_rate = INTERFACE_RATE_MIN);
        REFUSED("length", .type = INTERFACE_VETH, .addresses = L((char *) "10.1.0.2"));
        REFUSED("can have", .type = INTERFACE_VETH, .addresses = L((char *) "127.0.0.1/8"));
        REFUSED("route", .type = INTERFACE_VETH, .routes = L((char *) "nowhere"));

        InterfaceSpec ok = { .type = INTERFACE_VETH, .mtu = INTERFACE_MTU_MIN, .sent_rate = INTERFACE_RATE_MIN,
                             .received_rate = INTERFACE_RATE_MAX, .addresses = strv_copy(v4) };
        assert_int_equal(interface_spec_check(&ok, NULL), 0);
        ok.mtu = INTERFACE_MTU_MAX;
        assert_int_equal(interface_spec_check(&ok, NULL), 0);
        interface_spec_done(&ok);
}

static void test_limits(void **state) {
        InterfaceSpec s = { .type = INTERFACE_VETH };

        for (unsigned i = 0; i < INTERFACE_ADDRESSES_MAX; i++) {
                assert_int_equal(strv_extendf(&s.addresses, "10.1.0.%u/16", i + 1), 0);
                assert_int_equal(strv_extendf(&s.routes, "10.2.%u.0/24", i), 0);
        }
        assert_int_equal(interface_spec_check(&s, NULL), 0);
        assert_int_equal(strv_extend(&s.addresses, "10.1.1.1/16"), 0);
        assert_int_equal(interface_spec_check(&s, NULL), -E2BIG);
        interface_spec_done(&s);
}

static void test_text(void **state) {
        _cleanup_(interface_spec_done) InterfaceSpec s = {}, back = {};
        _cleanup_free_ char *text = NULL, *again = NULL;

        s = (InterfaceSpec) { .type = INTERFACE_MACVLAN, .link = strdup("eth0"), .mode = strdup("private"), .mtu = 1400,
                              .mac = strdup("02:00:5E:00:53:0A"), .down = true, .sent_rate = 1000000, .was_mtu = 1500 };
        assert_int_equal(strv_extend(&s.addresses, "fd00:0::2/64"), 0);
        assert_int_equal(strv_extend(&s.routes, "default via fd00::1"), 0);
        assert_int_equal(interface_spec_check(&s, NULL), 0);
        assert_string_equal(s.mac, "02:00:5e:00:53:0a");
        assert_string_equal(s.addresses[0], "fd00::2/64");
        text = interface_spec_format(&s);
        assert_int_equal(interface_spec_parse(text, &back), 0);
        again = interface_spec_format(&back);
        assert_string_equal(text, again);
        assert_false(interface_spec_is_empty(&back));

        static const char *const bad[] = { "", "[]", "{}", "{\"type\":\"bond\"}", "{\"type\":1}", "{\"type\":\"macvlan\"}",
                                           "{\"type\":\"veth\",\"mtu\":-1}", "{\"type\":\"veth\",\"mtu\":1}",
                                           "{\"type\":\"veth\",\"addresses\":\"x\"}", "{\"type\":\"veth\",\"addresses\":[\"x\"]}" };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                InterfaceSpec none;

                assert_int_equal(interface_spec_parse(bad[i], &none), -EBADMSG);
        }
}

static void test_apply(void **state) {
        _cleanup_(interface_spec_done) InterfaceSpec s = { .type = INTERFACE_VETH }, a = {}, b = {}, none = {};
        _cleanup_(interface_change_done) InterfaceChange c = INTERFACE_CHANGE_NULL;
        const InterfaceSpec network = { .type = INTERFACE_NETWORK };

        c.mtu = 1400;
        c.up = 0;
        c.add_addresses = strv_copy(L((char *) "10.1.0.2/16", (char *) "10.1.0.2/16", (char *) "FD00::2/64"));
        c.add_routes = strv_copy(L((char *) "10.9.0.0/16 via 10.1.0.1"));
        c.sent_rate = 1000000;
        assert_int_equal(interface_spec_apply(&s, &c, &a, NULL), 0);
        assert_int_equal(strv_length(a.addresses), 2);
        assert_true(strv_contains(a.addresses, "fd00::2/64"));
        assert_true(a.down && a.mtu == 1400 && a.sent_rate == 1000000);
        interface_change_done(&c);
        c.remove_addresses = strv_copy(L((char *) "fd00:0:0::2/64"));
        c.remove_routes = strv_copy(L((char *) "10.9.0.0/16 via 10.1.0.1"));
        c.up = 1;
        c.sent_rate = 0;
        assert_int_equal(interface_spec_apply(&a, &c, &b, NULL), 0);
        assert_int_equal(strv_length(b.addresses), 1);
        assert_int_equal(strv_length(b.routes), 0);
        assert_true(!b.down && b.mtu == 1400 && b.sent_rate == 0);
        /* Once is enough. */
        assert_int_equal(interface_spec_apply(&b, &c, &none, NULL), -ENOENT);
        interface_change_done(&c);
        c.mtu = 0;
        assert_int_equal(interface_spec_apply(&b, &c, &none, NULL), -EINVAL);
        interface_change_done(&c);
        c.mac = strdup("02:00:5e:00:53:01");
        assert_int_equal(interface_spec_apply(&network, &c, &none, NULL), -EOPNOTSUPP);
        assert_true(interface_spec_is_empty(&network));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_routes), cmocka_unit_test(test_check), cmocka_unit_test(test_limits),
                cmocka_unit_test(test_text),   cmocka_unit_test(test_apply),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
