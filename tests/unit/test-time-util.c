/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <time.h>

#include <cmocka.h>

#include "basic/time-util.h"

#define JAN_2_2026 UINT64_C(1767323045) /* 2026-01-02T03:04:05Z */

static void test_rfc3339(void **state) {
        static const struct {
                const char *s;
                uint64_t usec;
        } good[] = {
                { "2026-01-02T03:04:05Z", JAN_2_2026 * USEC_PER_SEC },
                { "2026-01-02t03:04:05z", JAN_2_2026 * USEC_PER_SEC },
                { "2026-01-02 03:04:05Z", JAN_2_2026 * USEC_PER_SEC },
                { "2026-01-02T03:04:05.678Z", JAN_2_2026 * USEC_PER_SEC + 678000 },
                { "2026-01-02T03:04:05.1234567890123Z", JAN_2_2026 * USEC_PER_SEC + 123456 },
                { "2026-01-02T05:04:05+02:00", JAN_2_2026 * USEC_PER_SEC },
                { "2026-01-01T15:34:05-11:30", JAN_2_2026 * USEC_PER_SEC },
                { "2026-01-02T03:04:05-00:00", JAN_2_2026 * USEC_PER_SEC },
                { "2024-02-29T00:00:00Z", UINT64_C(1709164800) * USEC_PER_SEC },
                { "2000-02-29T00:00:00Z", UINT64_C(951782400) * USEC_PER_SEC },
                { "2016-12-31T23:59:60Z", UINT64_C(1483228800) * USEC_PER_SEC },
                { "1970-01-01T00:00:00Z", 0 },
                { "1970-01-01T00:00:01+00:00", USEC_PER_SEC },
                { "1970-01-01T00:00:00+00:01", 0 },
                { "0001-01-01T00:00:00Z", 0 },
                { "9999-12-31T23:59:59.999999Z", UINT64_C(253402300799999999) },
        };
        static const char *const bad[] = {
                "",
                "2026",
                "2026-01-02",
                "2026-01-02T03:04:05",
                "2026-01-02T03:04Z",
                "2026-1-2T03:04:05Z",
                "2026-13-01T00:00:00Z",
                "2026-00-01T00:00:00Z",
                "2026-01-00T00:00:00Z",
                "2026-01-32T00:00:00Z",
                "2026-02-29T00:00:00Z",
                "1900-02-29T00:00:00Z",
                "2026-04-31T00:00:00Z",
                "2026-01-02T24:00:00Z",
                "2026-01-02T00:60:00Z",
                "2026-01-02T00:00:61Z",
                "2026-01-02T00:00:00.Z",
                "2026-01-02T00:00:00+24:00",
                "2026-01-02T00:00:00+01:60",
                "2026-01-02T00:00:00+0100",
                "2026-01-02T00:00:00+01",
                "2026-01-02T00:00:00ZZ",
                "2026-01-02T00:00:00Z ",
                " 2026-01-02T00:00:00Z",
                "+2026-01-02T00:00:00Z",
                "20260-01-02T00:00:00Z",
                "2026-01-02T-1:00:00Z",
        };
        uint64_t v;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                v = 77;
                assert_int_equal(parse_rfc3339(good[i].s, &v), 0);
                assert_int_equal(v, good[i].usec);
        }
        v = 77;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_rfc3339(bad[i], &v), -EINVAL);
        assert_int_equal(parse_rfc3339(NULL, &v), -EINVAL);
        assert_int_equal(v, 77);
}

static void check_format(uint64_t usec, const char *s) {
        _cleanup_free_ char *f = format_rfc3339(usec);
        uint64_t v;

        assert_string_equal(f, s);
        assert_int_equal(parse_rfc3339(f, &v), 0);
        if (usec != USEC_INFINITY)
                assert_int_equal(v, usec);
}

static void test_format(void **state) {
        check_format(0, "1970-01-01T00:00:00Z");
        check_format(1, "1970-01-01T00:00:00.000001Z");
        check_format(JAN_2_2026 * USEC_PER_SEC, "2026-01-02T03:04:05Z");
        check_format(JAN_2_2026 * USEC_PER_SEC + 678000, "2026-01-02T03:04:05.678000Z");
        check_format(USEC_INFINITY, "9999-12-31T23:59:59.999999Z");
}

static void check_relative(int64_t distance_sec, const char *s) {
        char buf[64];
        uint64_t now = now_usec(CLOCK_REALTIME);

        /* Half a second off the edge, so that the time the test takes does not matter. */
        format_relative(buf, sizeof(buf),
                        distance_sec < 0 ? now - (uint64_t) -distance_sec * USEC_PER_SEC - USEC_PER_SEC / 2
                                         : now + (uint64_t) distance_sec * USEC_PER_SEC + USEC_PER_SEC / 2);
        assert_string_equal(buf, s);
}

static void test_relative(void **state) {
        char buf[64];

        assert_string_equal(format_relative(buf, sizeof(buf), 0), "n/a");
        assert_string_equal(format_relative(buf, sizeof(buf), USEC_INFINITY), "never");
        assert_string_equal(format_relative(buf, sizeof(buf), now_usec(CLOCK_REALTIME)), "just now");
        check_relative(-5, "5s ago");
        check_relative(-59, "59s ago");
        check_relative(-60, "1min ago");
        check_relative(-180, "3min ago");
        check_relative(-7200, "2h ago");
        check_relative(-86400, "1d ago");
        check_relative(-86400 * 14, "2w ago");
        check_relative(-86400 * 60, "2month ago");
        check_relative(-86400 * 365, "1y ago");
        check_relative(300, "in 5min");
}

static void test_timestamp(void **state) {
        static const char *const bad[] = { "",
                                           "tomorrow evening",
                                           "2026-01",
                                           "2026-02-30",
                                           "2026-01-02 25:00",
                                           "2026-01-02 03:04:05 ",
                                           "-",
                                           "-5x",
                                           "ago",
                                           " ago",
                                           "@",
                                           "@x",
                                           "@-5",
                                           "@1s",
                                           "@1 000",
                                           "--5min" };
        uint64_t v, w, now = now_usec(CLOCK_REALTIME);

        /* POSIX: an hour east of UTC. */
        assert_int_equal(setenv("TZ", "MEZ-1", 1), 0);
        tzset();

        assert_int_equal(parse_timestamp("2026-01-02 04:04:05", &v), 0);
        assert_int_equal(v, JAN_2_2026 * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("2026-01-02 04:04:05.5", &v), 0);
        assert_int_equal(v, JAN_2_2026 * USEC_PER_SEC + 500000);
        assert_int_equal(parse_timestamp("2026-01-02 04:04", &v), 0);
        assert_int_equal(v, (JAN_2_2026 - 5) * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("2026-01-02", &v), 0);
        assert_int_equal(v, (JAN_2_2026 - 4 * 3600 - 4 * 60 - 5) * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("2026-01-02T03:04:05Z", &v), 0);
        assert_int_equal(v, JAN_2_2026 * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("@1700000000", &v), 0);
        assert_int_equal(v, UINT64_C(1700000000) * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("@1700000000.25", &v), 0);
        assert_int_equal(v, UINT64_C(1700000000250000));

        assert_int_equal(parse_timestamp("now", &v), 0);
        assert_in_range(v, now, now + 60 * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("-5min", &v), 0);
        assert_in_range(v, now - 300 * USEC_PER_SEC, now - 240 * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("5min ago", &v), 0);
        assert_in_range(v, now - 300 * USEC_PER_SEC, now - 240 * USEC_PER_SEC);
        assert_int_equal(parse_timestamp("+1h", &v), 0);
        assert_in_range(v, now + 3600 * USEC_PER_SEC, now + 3660 * USEC_PER_SEC);

        assert_int_equal(parse_timestamp("today", &v), 0);
        assert_int_equal((v / USEC_PER_SEC + 3600) % 86400, 0);
        assert_int_equal(parse_timestamp("yesterday", &w), 0);
        assert_int_equal(v - w, 86400 * USEC_PER_SEC);

        v = 77;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_timestamp(bad[i], &v), -EINVAL);
        assert_int_equal(parse_timestamp("-infinity", &v), -ERANGE);
        assert_int_equal(parse_timestamp("+infinity", &v), -ERANGE);
        assert_int_equal(parse_timestamp("@99999999999999999999", &v), -ERANGE);
        assert_int_equal(parse_timestamp("@253402300800", &v), -ERANGE);
        assert_int_equal(parse_timestamp("1969-12-31", &v), -ERANGE);
        assert_int_equal(parse_timestamp(NULL, &v), -EINVAL);
        assert_int_equal(v, 77);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rfc3339),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_relative),
                cmocka_unit_test(test_timestamp),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
