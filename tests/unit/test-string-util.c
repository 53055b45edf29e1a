/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>

#include <cmocka.h>

#include "basic/string-util.h"

static void test_join(void **state) {
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *p = NULL;

        a = strjoin("a", "", "bc");
        assert_string_equal(a, "abc");
        b = strjoin("");
        assert_string_equal(b, "");
        c = strformat("%s-%d", "x", 5);
        assert_string_equal(c, "x-5");

        assert_int_equal(free_and_strdup(&p, "x"), 0);
        assert_string_equal(p, "x");
        assert_int_equal(free_and_strdup(&p, p), 0); /* copies before it frees */
        assert_string_equal(p, "x");
        assert_int_equal(free_and_strdup(&p, NULL), 0);
        assert_null(p);
}

static void test_numbers(void **state) {
        static const char *const invalid[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1a", "1.0", "١" };
        uint64_t v = 77;
        uint32_t w = 77;
        int i = 77;

        for (size_t k = 0; k < ELEMENTSOF(invalid); k++) {
                assert_int_equal(parse_uint64(invalid[k], &v), -EINVAL);
                assert_int_equal(parse_uint32(invalid[k], &w), -EINVAL);
                assert_int_equal(parse_int(invalid[k], &i), -EINVAL);
        }
        assert_int_equal(parse_uint64(NULL, &v), -EINVAL);
        assert_int_equal(parse_uint64("18446744073709551616", &v), -ERANGE);
        assert_int_equal(parse_uint64("99999999999999999999999999", &v), -ERANGE);
        assert_int_equal(parse_uint64("99999999999999999999999999x", &v), -EINVAL);
        assert_int_equal(parse_uint32("4294967296", &w), -ERANGE);
        assert_int_equal(parse_int("2147483648", &i), -ERANGE);
        assert_true(v == 77 && w == 77 && i == 77); /* untouched on failure */

        assert_int_equal(parse_uint64("18446744073709551615", &v), 0);
        assert_true(v == UINT64_MAX);
        assert_int_equal(parse_uint64("000000000000000000000000000007", &v), 0);
        assert_true(v == 7);
        assert_int_equal(parse_uint32("4294967295", &w), 0);
        assert_true(w == UINT32_MAX);
        assert_int_equal(parse_int("2147483647", &i), 0);
        assert_int_equal(i, INT32_MAX);
}

static void test_range(void **state) {
        static const char *const bad[] = { "", "x", "1-", "-1", "-", "1-2-3", "0x1", " 1", "1 ", "3-1" };
        uint32_t first = 0, last = 0;

        assert_int_equal(parse_range("7", &first, &last), 0);
        assert_int_equal(first, 7);
        assert_int_equal(last, 7);
        assert_int_equal(parse_range("0-4294967295", &first, &last), 0);
        assert_int_equal(first, 0);
        assert_int_equal(last, UINT32_MAX);
        assert_int_equal(parse_range("0-4294967296", &first, &last), -ERANGE);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_range(bad[i], &first, &last), -EINVAL);
}

static void test_boolean(void **state) {
        assert_int_equal(parse_boolean("1"), 1);
        assert_int_equal(parse_boolean("on"), 1);
        assert_int_equal(parse_boolean("yes"), 1);
        assert_int_equal(parse_boolean("true"), 1);
        assert_int_equal(parse_boolean("0"), 0);
        assert_int_equal(parse_boolean("no"), 0);
        assert_int_equal(parse_boolean("off"), 0);
        assert_int_equal(parse_boolean("false"), 0);
        assert_int_equal(parse_boolean(""), -EINVAL);
        assert_int_equal(parse_boolean("2"), -EINVAL);
        assert_int_equal(parse_boolean("yes "), -EINVAL);
        assert_int_equal(parse_boolean(NULL), -EINVAL);
}

static void test_size(void **state) {
        static const struct {
                const char *s;
                uint64_t v;
        } good[] = {
                { "0", 0 },
                { "4096", 4096 },
                { "7B", 7 },
                { "10M", UINT64_C(10) << 20 },
                { "10m", UINT64_C(10) << 20 },
                { "1.5G", UINT64_C(3) << 29 },
                { "1.5K", 1536 },
                { "0.1K", 102 },
                { "15.999999999E", (UINT64_C(15) << 60) + (UINT64_C(1) << 60) / 1000000000 * 999999999 },
                { "infinity", UINT64_MAX },
                { "18446744073709551614", UINT64_MAX - 1 },
        };
        static const char *const invalid[] = { "",     "M",  "1.M", ".5M",  "1Q",   "10MB",
                                               "10 M", "-1", "1.5", "1.5B", "1,5M", "Infinity" };
        static const char *const large[] = { "16E", "18446744073709551615", "18446744073709551616",
                                             "20000000000G" };
        uint64_t v;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(parse_size(good[i].s, &v), 0);
                if (i != 8)
                        assert_int_equal(v, good[i].v);
                else
                        assert_in_range(v, good[i].v, good[i].v + 1000000000);
        }
        for (size_t i = 0; i < ELEMENTSOF(invalid); i++)
                assert_int_equal(parse_size(invalid[i], &v), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(large); i++)
                assert_int_equal(parse_size(large[i], &v), -ERANGE);
        assert_int_equal(parse_size(NULL, &v), -EINVAL);
}

static void test_sec(void **state) {
        static const struct {
                const char *s;
                uint64_t v;
        } good[] = {
                { "0", 0 },
                { "5", 5000000 },
                { "5s", 5000000 },
                { "1.5", 1500000 },
                { "1min 30s", 90000000 },
                { "1min30s", 90000000 },
                { "2h", 7200000000 },
                { "100ms", 100000 },
                { "7us", 7 },
                { "7µs", 7 },
                { " 1 d ", 86400000000 },
                { "1w", 604800000000 },
                { "0.25h", 900000000 },
                { "0.0000001s", 0 },
                { "infinity", UINT64_MAX },
                { "18446744073709551614us", UINT64_MAX - 1 },
        };
        static const char *const invalid[] = { "",    " ",     "s",   "1x",    "-5s",
                                               "5s,", "1..5s", "1.s", "5 s x", "5S" };
        static const char *const large[] = { "18446744073709551615us", "18446744073710s",
                                             "99999999999999999999", "18446744073709551614us 1us" };
        uint64_t v;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(parse_sec(good[i].s, &v), 0);
                assert_int_equal(v, good[i].v);
        }
        for (size_t i = 0; i < ELEMENTSOF(invalid); i++)
                assert_int_equal(parse_sec(invalid[i], &v), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(large); i++)
                assert_int_equal(parse_sec(large[i], &v), -ERANGE);
        assert_int_equal(parse_sec(NULL, &v), -EINVAL);
}

static void test_signal(void **state) {
        static const char *const invalid[] = { "",        "0",      "65",         "-9",       "SIG",
                                               "SIGFOO",  "RTMIN+", "RTMIN+31",   "RTMAX-31", "RTMIN-1",
                                               "RTMAX+1", "9 ",     "SIGSIGTERM", "term" };

        assert_int_equal(signal_from_string("SIGTERM"), SIGTERM);
        assert_int_equal(signal_from_string("TERM"), SIGTERM);
        assert_int_equal(signal_from_string("15"), 15);
        assert_int_equal(signal_from_string("64"), 64);
        assert_int_equal(signal_from_string("SIGIO"), SIGIO);
        assert_int_equal(signal_from_string("SIGCLD"), SIGCHLD);
        assert_int_equal(signal_from_string("RTMIN"), SIGRTMIN);
        assert_int_equal(signal_from_string("SIGRTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(signal_from_string("RTMIN+30"), SIGRTMAX);
        assert_int_equal(signal_from_string("RTMAX"), SIGRTMAX);
        assert_int_equal(signal_from_string("RTMAX-30"), SIGRTMIN);
        assert_int_equal(signal_from_string(NULL), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(invalid); i++)
                assert_int_equal(signal_from_string(invalid[i]), -EINVAL);

        assert_string_equal(signal_to_string(SIGTERM), "TERM");
        assert_string_equal(signal_to_string(SIGRTMIN), "RTMIN");
        assert_string_equal(signal_to_string(SIGRTMIN + 3), "RTMIN+3");
        assert_null(signal_to_string(0));
        assert_null(signal_to_string(-1));
        assert_null(signal_to_string(65));
        for (int i = 1; i <= 64; i++)
                if (signal_to_string(i))
                        assert_int_equal(signal_from_string(signal_to_string(i)), i);
}

static void test_format_bytes(void **state) {
        char buf[FORMAT_BYTES_MAX];

        assert_string_equal(format_bytes(buf, sizeof(buf), 0), "0B");
        assert_string_equal(format_bytes(buf, sizeof(buf), 1023), "1023B");
        assert_string_equal(format_bytes(buf, sizeof(buf), 1024), "1.0K");
        assert_string_equal(format_bytes(buf, sizeof(buf), 340 * 1024), "340.0K");
        assert_string_equal(format_bytes(buf, sizeof(buf), 1024 * 1024 - 1), "1023.9K");
        assert_string_equal(format_bytes(buf, sizeof(buf), 1024 * 1024), "1.0M");
        assert_string_equal(format_bytes(buf, sizeof(buf), UINT64_C(1288490189)), "1.2G");
        assert_string_equal(format_bytes(buf, sizeof(buf), UINT64_MAX), "15.9E");
}

static void test_hex(void **state) {
        static const uint8_t bytes[] = { 0x00, 0x1f, 0xa0, 0xff };
        _cleanup_free_ char *s = NULL, *none = NULL, *r1 = NULL, *r2 = NULL;

        s = hex_encode(bytes, sizeof(bytes));
        assert_string_equal(s, "001fa0ff");
        none = hex_encode("", 0);
        assert_string_equal(none, "");

        r1 = random_hex(16);
        r2 = random_hex(16);
        assert_int_equal(strlen(r1), 32);
        assert_true(string_in_charset(r1, HEX_LOWER));
        assert_string_not_equal(r1, r2);
}

static void test_safe(void **state) {
        static const char *const unsafe[] = {
                "\n",
                "\t",
                "\x1b[0m",
                "\x7f",
                "\xc2\x80",
                "\xc2\x9b", /* control, C0, C1 */
                "\x80",
                "\xc3",
                "\xe2\x82",
                "\xf0\x9f\x98",
                "\xff",
                "\xc3(", /* cut or stray */
                "\xc0\xaf",
                "\xc1\xbf",
                "\xe0\x80\xaf",
                "\xf0\x80\x80\xaf", /* not the shortest */
                "\xed\xa0\x80",
                "\xf4\x90\x80\x80",
                "\xf8\x88\x80\x80\x80", /* surrogate, beyond U+10FFFF */
        };
        static const char *const safe[] = {
                "", "abc ~", "é", "€", "😀", "\xc2\xa0", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"
        };

        for (size_t i = 0; i < ELEMENTSOF(unsafe); i++) {
                _cleanup_free_ char *s = strdup(unsafe[i]);

                assert_false(string_is_safe(unsafe[i]));
                assert_true(string_is_safe(string_sanitize(s)));
                assert_int_equal(strlen(s), strlen(unsafe[i]));
        }
        for (size_t i = 0; i < ELEMENTSOF(safe); i++) {
                _cleanup_free_ char *s = strdup(safe[i]);

                assert_true(string_is_safe(safe[i]));
                assert_string_equal(string_sanitize(s), safe[i]);
        }
        assert_false(string_is_safe(NULL));
}

static void test_charset(void **state) {
        assert_true(string_in_charset("", DIGITS));
        assert_true(string_in_charset("0123", DIGITS));
        assert_false(string_in_charset("012a", DIGITS));
        assert_true(string_in_charset("azAZ", LOWERCASE UPPERCASE));
        assert_false(string_in_charset(NULL, DIGITS));
}

static void test_macros(void **state) {
        char *p = strdup("x"), *q;
        int fd = 5;

        q = TAKE_PTR(p);
        assert_null(p);
        free(q);
        assert_int_equal(TAKE_FD(fd), 5);
        assert_int_equal(fd, -EBADF);
        assert_int_equal(MIN(MIN(3, 2), MAX(1, MAX(0, -1))), 1);
        assert_string_equal(startswith("sha256:x", "sha256:"), "x");
        assert_null(startswith("sha", "sha256:"));
        assert_string_equal(endswith("a.json", ".json"), ".json");
        assert_null(endswith("json", ".json"));
        assert_true(streq_ptr(NULL, NULL));
        assert_false(streq_ptr(NULL, ""));
        assert_true(isempty(NULL) && isempty("") && !isempty("a"));
}

typedef enum Color {
        COLOR_RED,
        COLOR_BLUE = 2,
        COLOR_INVALID_ = -EINVAL,
} Color;
DECLARE_STRING_TABLE(color, Color);
static const char *const color_table[] = { [COLOR_RED] = "red", [COLOR_BLUE] = "blue" };
DEFINE_STRING_TABLE(color, Color)

static void test_string_table(void **state) {
        assert_string_equal(color_to_string(COLOR_BLUE), "blue");
        assert_null(color_to_string((Color) 1));
        assert_null(color_to_string((Color) 3));
        assert_null(color_to_string(COLOR_INVALID_));
        assert_int_equal(color_from_string("red"), COLOR_RED);
        assert_int_equal(color_from_string("green"), -EINVAL);
        assert_int_equal(color_from_string(NULL), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_join),         cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_range),
                cmocka_unit_test(test_boolean),      cmocka_unit_test(test_size),
                cmocka_unit_test(test_sec),          cmocka_unit_test(test_signal),
                cmocka_unit_test(test_format_bytes), cmocka_unit_test(test_hex),
                cmocka_unit_test(test_safe),         cmocka_unit_test(test_charset),
                cmocka_unit_test(test_macros),       cmocka_unit_test(test_string_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
