/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "network/port.h"

static Port parse(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        Port p;

        if (port_parse(text, &p, &e) < 0)
                fail_msg("%s", error_message(&e));
        return p;
}

static void check(const char *text, const char *host, PortProtocol protocol, unsigned host_port, unsigned container_port,
                  unsigned count) {
        _cleanup_free_ char *again = NULL;
        char address[ADDRESS_TEXT_MAX];
        Port p = parse(text);

        if (host)
                assert_string_equal(address_format(&p.host, address), host);
        else
                assert_int_equal(p.host.family, AF_UNSPEC);
        assert_int_equal(p.protocol, protocol);
        assert_int_equal(p.host_port, host_port);
        assert_int_equal(p.container_port, container_port);
        assert_int_equal(p.count, count);
        again = port_format(&p);
        assert_non_null(again);
        p = parse(again);
        assert_int_equal(p.host_port, host_port);
        assert_int_equal(p.count, count);
}

static void test_parse(void **state) {
        check("8080:80", NULL, PORT_TCP, 8080, 80, 1);
        check("80", NULL, PORT_TCP, 0, 80, 1);
        check(":80", NULL, PORT_TCP, 0, 80, 1);
        check("0:80", NULL, PORT_TCP, 0, 80, 1);
        check("80/udp", NULL, PORT_UDP, 0, 80, 1);
        check("80:80/tcp", NULL, PORT_TCP, 80, 80, 1);
        check("80:80/sctp", NULL, PORT_SCTP, 80, 80, 1);
        check("127.0.0.1:8080:80/udp", "127.0.0.1", PORT_UDP, 8080, 80, 1);
        check("127.0.0.1::80", "127.0.0.1", PORT_TCP, 0, 80, 1);
        check("0.0.0.0:80:80", "0.0.0.0", PORT_TCP, 80, 80, 1);
        check("[::]:80:80", "::", PORT_TCP, 80, 80, 1);
        check("[2001:db8::1]:8080:80", "2001:db8::1", PORT_TCP, 8080, 80, 1);
        check("[::1]::80", "::1", PORT_TCP, 0, 80, 1);
        check("8000-8009:80-89/tcp", NULL, PORT_TCP, 8000, 80, 10);
        check("80-89", NULL, PORT_TCP, 0, 80, 10);
        check("80-80:1-1", NULL, PORT_TCP, 80, 1, 1);
        check("65535:65535", NULL, PORT_TCP, 65535, 65535, 1);
        check("1-4096:1001-5096", NULL, PORT_TCP, 1, 1001, PORTS_MAX);
        check("1-4096", NULL, PORT_TCP, 0, 1, PORTS_MAX);
}

static void test_bad(void **state) {
        static const char *const bad[] = {
                "", ":", "80:", "0", "8080:0", "65536:80", "80:65536", "-1:80", "80:-1", "80:80:", "a:80", "80:a", "80 :80", "+80:80",
                "80:80/", "80:80/TCP", "80:80/icmp", "80:80/tcp/udp", "1-2:80", "80:1-2", "2-1:2-1", "1-:1-2", "1-2-3:1-3", "1-4097:1-4097",
                "1.2.3.4:80", "1.2.3:80:80", "::1:80:80", "[::1]:80", "[::1]", "[::1:80:80", "[1.2.3.4]:80:80", "[]:80:80", "[::1]80:80",
                "1.2.3.4:80:80:80", "localhost:80:80", "80:[::1]",
        };
        char longest[200];

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                Port p;

                if (port_parse(bad[i], &p, &e) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
                assert_true(error_has_name(&e, "InvalidArgument"));
        }

        memset(longest, '1', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = 0;
        assert_int_equal(port_parse(longest, &(Port) {}, NULL), -EINVAL);
        assert_int_equal(port_parse(NULL, &(Port) {}, NULL), -EINVAL);
}

static void test_exposed(void **state) {
        static const char *const bad[] = { "", "0", "80:80", "80/", "80-79", "tcp", "1-4097", "65536", "1.2.3.4" };
        Port p;

        assert_int_equal(port_parse_exposed("80", &p, NULL), 0);
        assert_int_equal(p.container_port, 80);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.protocol, PORT_TCP);
        assert_int_equal(port_parse_exposed("8000-8010/udp", &p, NULL), 0);
        assert_int_equal(p.container_port, 8000);
        assert_int_equal(p.count, 11);
        assert_int_equal(p.host_port, 0);
        assert_int_equal(p.protocol, PORT_UDP);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(port_parse_exposed(bad[i], &p, NULL), -EINVAL);
}

static void check_overlap(const char *a, const char *b, bool want) {
        Port x = parse(a), y = parse(b);

        assert_int_equal(port_overlaps(&x, &y), want);
        assert_int_equal(port_overlaps(&y, &x), want);
}

static void test_overlaps(void **state) {
        check_overlap("80:80", "80:81", true);
        check_overlap("80:80", "80:80/udp", false);
        check_overlap("80:80", "81:80", false);
        check_overlap("80:80", "1.2.3.4:80:80", true);
        check_overlap("1.2.3.4:80:80", "1.2.3.5:80:80", false);
        check_overlap("0.0.0.0:80:80", "1.2.3.5:80:80", true);
        check_overlap("0.0.0.0:80:80", "[::]:80:80", false);
        check_overlap("[::]:80:80", "[::1]:80:80", true);
        check_overlap("80-89:80-89", "89:1", true);
        check_overlap("80-89:80-89", "90:1", false);
        check_overlap("65530-65535:1-6", "65535:1", true);
        check_overlap("80", "80", false);
}

static void test_format(void **state) {
        static const char *const same[] = { "8080:80", "80", "80/udp", "127.0.0.1:8080:80/udp", "127.0.0.1::80", "[::1]::80", "8000-8009:80-89" };

        for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                Port p = parse(same[i]);
                _cleanup_free_ char *text = port_format(&p);

                assert_string_equal(text, same[i]);
        }
        assert_int_equal(port_protocol_to_ip(PORT_TCP), IPPROTO_TCP);
        assert_int_equal(port_protocol_to_ip(PORT_UDP), IPPROTO_UDP);
        assert_int_equal(port_protocol_to_ip(PORT_SCTP), IPPROTO_SCTP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),    cmocka_unit_test(test_bad),    cmocka_unit_test(test_exposed),
                cmocka_unit_test(test_overlaps), cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
