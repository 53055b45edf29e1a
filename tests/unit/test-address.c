/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "network/address.h"

static Address address(const char *text) {
        Address a;

        if (address_parse(text, &a) < 0)
                fail_msg("%s", text);
        return a;
}

static Prefix prefix(const char *text) {
        Prefix p;

        if (prefix_parse(text, &p) < 0)
                fail_msg("%s", text);
        return p;
}

static void test_address(void **state) {
        static const char *const same[] = { "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1",
                                            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:192.0.2.1" };
        static const char *const bad[] = { "", "192.0.2", "192.0.2.256", "192.0.2.1/24", "192.0.2.1 ", "010.0.0.1", "0x7f.1",
                                           "fe80::1%eth0", "[::1]", ":::", "1:2:3:4:5:6:7:8:9", "localhost" };
        char text[ADDRESS_TEXT_MAX];
        Address a = address("192.0.2.7");

        for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                Address x = address(same[i]);

                assert_string_equal(address_format(&x, text), same[i]);
        }
        /* One text for one address. */
        a = address("2001:DB8:0:0:0:0:0:1");
        assert_string_equal(address_format(&a, text), "2001:db8::1");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(address_parse(bad[i], &a), -EINVAL);
        assert_int_equal(address_parse(NULL, &a), -EINVAL);
}

static void check_add(const char *from, uint64_t n, const char *to) {
        Address a = address(from), sum;
        char text[ADDRESS_TEXT_MAX];

        if (!to) {
                assert_false(address_add(&a, n, &sum));
                return;
        }
        assert_true(address_add(&a, n, &sum));
        assert_string_equal(address_format(&sum, text), to);
        assert_true(address_distance(&a, &sum) == n);
}

static void test_arithmetic(void **state) {
        Address a = address("10.0.0.1"), b = address("10.0.0.2"), c = address("::1"), d = address("1::");

        check_add("10.0.0.255", 1, "10.0.1.0");
        check_add("10.0.0.0", 0, "10.0.0.0");
        check_add("255.255.255.254", 1, "255.255.255.255");
        check_add("255.255.255.255", 1, NULL);
        check_add("0.0.0.0", UINT32_MAX, "255.255.255.255");
        check_add("0.0.0.0", (uint64_t) UINT32_MAX + 1, NULL);
        check_add("fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::");
        check_add("::", UINT64_MAX - 1, "::ffff:ffff:ffff:fffe");
        check_add("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, NULL);

        assert_true(address_distance(&b, &a) == UINT64_MAX);
        assert_true(address_distance(&a, &c) == UINT64_MAX);
        assert_true(address_distance(&c, &d) == UINT64_MAX);
        assert_int_equal(address_compare(&a, &b), -1);
        assert_int_equal(address_compare(&b, &a), 1);
        assert_int_equal(address_compare(&a, &a), 0);
        assert_int_equal(address_compare(&b, &c), -1);
        assert_int_equal(address_compare(&c, &b), 1);
        assert_true(address_is_unspecified(&(Address) { .family = AF_INET6 }));
        assert_false(address_is_unspecified(&c));
}

static void test_unicast(void **state) {
        static const char *const yes[] = { "1.0.0.0", "10.0.0.0", "192.0.2.1", "223.255.255.255", "169.254.1.1", "::2", "fd00::1", "fe80::1" };
        static const char *const no[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
                                          "::", "::1", "ff02::1", "::ffff:192.0.2.1" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                assert_true(address_is_unicast(&(Address[]) { address(yes[i]) }[0]));
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                assert_false(address_is_unicast(&(Address[]) { address(no[i]) }[0]));
        assert_false(address_is_unicast(&(Address) {}));
}

static void test_prefix(void **state) {
        static const char *const same[] = { "0.0.0.0/0", "10.1.2.3/16", "10.1.2.3/32", "::/0", "2001:db8::1/64", "::1/128" };
        static const char *const bad[] = { "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8 ",
                                           "10.0.0.0/255.0.0.0", "::/129", "::/064", "/24", "10.0.0.0/8/8",
                                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/1" };
        char text[ADDRESS_TEXT_MAX];
        Address last;
        Prefix p, s;

        for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                p = prefix(same[i]);
                assert_string_equal(prefix_format(&p, text), same[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(prefix_parse(bad[i], &p), -EINVAL);
        assert_int_equal(prefix_parse(NULL, &p), -EINVAL);
        p = prefix("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128");
        assert_string_equal(prefix_format(&p, text), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");

        p = prefix("10.1.255.3/23");
        assert_false(prefix_is_subnet(&p));
        s = prefix_subnet(&p);
        assert_string_equal(prefix_format(&s, text), "10.1.254.0/23");
        assert_true(prefix_is_subnet(&s));
        last = prefix_last(&p);
        assert_string_equal(address_format(&last, text), "10.1.255.255");
        p = prefix("fd00::1/64");
        last = prefix_last(&p);
        assert_string_equal(address_format(&last, text), "fd00::ffff:ffff:ffff:ffff");
        p = prefix("1.2.3.4/0");
        s = prefix_subnet(&p);
        assert_string_equal(prefix_format(&s, text), "0.0.0.0/0");
}

static void check_overlap(const char *a, const char *b, bool want) {
        Prefix x = prefix(a), y = prefix(b);

        assert_int_equal(prefix_overlaps(&x, &y), want);
        assert_int_equal(prefix_overlaps(&y, &x), want);
}

static void check_assign(const char *subnet, const char *a, bool want) {
        Prefix p = prefix(subnet);
        Address x = address(a);

        assert_int_equal(prefix_can_assign(&p, &x), want);
}

static void test_membership(void **state) {
        check_overlap("10.0.0.0/8", "10.255.0.0/16", true);
        check_overlap("10.0.0.0/9", "10.128.0.0/9", false);
        check_overlap("10.0.0.0/8", "11.0.0.0/8", false);
        check_overlap("0.0.0.0/0", "192.0.2.0/24", true);
        check_overlap("0.0.0.0/0", "::/0", false);
        check_overlap("fd00::/64", "fd00::5/128", true);
        check_overlap("fd00::/64", "fd00:0:0:1::/64", false);

        check_assign("10.0.0.0/24", "10.0.0.0", false);
        check_assign("10.0.0.0/24", "10.0.0.1", true);
        check_assign("10.0.0.0/24", "10.0.0.254", true);
        check_assign("10.0.0.0/24", "10.0.0.255", false);
        check_assign("10.0.0.0/24", "10.0.1.1", false);
        check_assign("10.0.0.0/30", "10.0.0.3", false);
        check_assign("10.0.0.0/31", "10.0.0.0", true);
        check_assign("10.0.0.0/31", "10.0.0.1", true);
        check_assign("10.0.0.7/32", "10.0.0.7", true);
        check_assign("fd00::/64", "fd00::", false);
        check_assign("fd00::/64", "fd00::ffff:ffff:ffff:ffff", true);
        check_assign("fd00::/127", "fd00::", true);
        check_assign("fd00::/64", "10.0.0.1", false);
        check_assign("127.0.0.0/8", "127.0.0.2", false);
        assert_true(prefix_equal(&(Prefix[]) { prefix("10.0.0.0/8") }[0], &(Prefix[]) { prefix("10.0.0.0/8") }[0]));
        assert_false(prefix_equal(&(Prefix[]) { prefix("10.0.0.0/8") }[0], &(Prefix[]) { prefix("10.0.0.0/9") }[0]));
}

static void test_ether(void **state) {
        static const char *const bad[] = { "", "02:00:5e:00:53", "02:00:5e:00:53:1", "02:00:5e:00:53:01:", "02-00-5e-00-53-01", "00:00:00:00:00:00",
                                           "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "02:00:5e:00:53:0g", "02:00:5e:00:53: 1", "02:00:5e:00:53:+1" };
        uint8_t ether[ETHER_SIZE];
        char text[ETHER_TEXT_MAX];

        assert_int_equal(ether_parse("02:00:5E:00:53:01", ether), 0);
        assert_string_equal(ether_format(ether, text), "02:00:5e:00:53:01");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(ether_parse(bad[i], ether), -EINVAL);
        assert_int_equal(ether_parse(NULL, ether), -EINVAL);
        /* One device's, for which the same comes out again. */
        for (uint64_t i = 0; i < 1000; i++) {
                uint8_t again[ETHER_SIZE], other[ETHER_SIZE];

                ether_derive(&i, sizeof(i), 1, ether);
                ether_derive(&i, sizeof(i), 1, again);
                ether_derive(&i, sizeof(i), 2, other);
                assert_memory_equal(ether, again, ETHER_SIZE);
                assert_memory_not_equal(ether, other, ETHER_SIZE);
                assert_int_equal(ether[0], 2);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_address),    cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_unicast),
                cmocka_unit_test(test_prefix),     cmocka_unit_test(test_membership), cmocka_unit_test(test_ether),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
