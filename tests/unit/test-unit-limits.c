/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/cgroup-file.h"
#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-limits.h"

static void test_sets(void **state) {
        static const struct {
                const char *text, *canonical; /* NULL: no set */
        } table[] = {
                { "0", "0" },           { "0-3,7 9", "0-3,7,9" }, { "3,1,2", "1-3" }, { "8191", "8191" },
                { "7,8", "7-8" },       { "", "" },               { "0-8191", "0-8191" }, { "8192", NULL },
                { "3-1", NULL },        { "a", NULL },            { "1-", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                NumberSet set;
                int r = number_set_parse(table[i].text, &set);

                if (table[i].canonical) {
                        _cleanup_free_ char *s = number_set_to_string(set.bits, set.size);

                        assert_int_equal(r, 0);
                        assert_string_equal(s, table[i].canonical);
                } else
                        assert_true(r < 0);
        }
}

static void test_bit_rate(void **state) {
        static const struct {
                const char *text;
                uint64_t bits; /* 0: no rate */
        } table[] = {
                { "8000", 8000 },         { "500k", 500000 },      { "10mbit", 10000000 },
                { "2G", 2000000000 },     { "1Tbit", UINT64_C(1000000000000) },
                { "7bit", 7 },            { "18446744073709551615", UINT64_MAX },
                { "", 0 },                { "k", 0 },              { "bit", 0 },
                { "10mb", 0 },            { "10 m", 0 },           { "1.5m", 0 },
                { "-1", 0 },              { "10mbitbit", 0 },      { "18446744073709551615k", 0 },
                { "1p", 0 },              { "none", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint64_t bits = 0;
                int r = parse_bit_rate(table[i].text, &bits);

                assert_int_equal(bits, table[i].bits);
                assert_true(bits > 0 ? r == 0 : r < 0);
        }
}

static void test_canonical(void **state) {
        static const struct {
                const char *assignment, *canonical; /* NULL: no limit */
        } table[] = {
                { "MemoryMax=10M", "MemoryMax=10485760" },
                { "MemoryMax=infinity", "MemoryMax=infinity" },
                { "MemoryMax=", "MemoryMax=infinity" },
                { "MemoryMax=50%", "MemoryMax=50%" },
                { "MemoryMax=lots", "MemoryMax=lots" },
                { "CPUQuota=50%", "CPUQuotaPerSecUSec=500000" },
                { "CPUQuota=150%", "CPUQuotaPerSecUSec=1500000" },
                { "CPUQuota=", "CPUQuotaPerSecUSec=infinity" },
                { "CPUQuotaPerSecUSec=500000", "CPUQuotaPerSecUSec=500000" },
                { "CPUWeight=idle", "CPUWeight=0" },
                { "AllowedCPUs=0 1 2", "AllowedCPUs=0-2" },
                { "TasksMax=5", "TasksMax=5" },
                { "IOReadBandwidthMax=/dev/sda 5M", "IOReadBandwidthMax=/dev/sda 5000000" },
                { "IOReadIOPSMax=/dev/sda   7", "IOReadIOPSMax=/dev/sda 7" },
                { "IOReadBandwidthMax=", "IOReadBandwidthMax=" },
                { "Nice=5", NULL },
                { "MemoryMaximum=5", NULL },
                { "CPUQuotaPeriodSec=5", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *s = NULL;
                int r = limit_canonical(table[i].assignment, &s);

                assert_int_equal(r, table[i].canonical ? 1 : 0);
                if (table[i].canonical)
                        assert_string_equal(s, table[i].canonical);
        }
}

static void test_set(void **state) {
        static const char *const assignments[] = {
                "MemoryMax=1G",
                "Nice=5",
                "CPUQuota=50%",
                "IOReadBandwidthMax=/dev/a 1",
                "IOReadBandwidthMax=/dev/b 2",
                "IOReadBandwidthMax=/dev/ab 3",
                "Nice=6",
                "CPUQuotaPerSecUSec=700000",
                "MemoryMax=5",
                "IOReadBandwidthMax=/dev/a 4",
                NULL,
        };
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *s = NULL, *cleared = NULL;

        STRV_FOREACH(a, assignments)
                assert_int_equal(limit_set(&l, a), 0);
        s = strv_join(l, "; ");
        assert_string_equal(s, "Nice=5; IOReadBandwidthMax=/dev/b 2; IOReadBandwidthMax=/dev/ab 3; Nice=6; "
                               "CPUQuotaPerSecUSec=700000; MemoryMax=5; IOReadBandwidthMax=/dev/a 4");
        assert_int_equal(limit_set(&l, "IOReadBandwidthMax="), 0);
        cleared = strv_join(l, "; ");
        assert_string_equal(cleared, "Nice=5; Nice=6; CPUQuotaPerSecUSec=700000; MemoryMax=5; "
                                     "IOReadBandwidthMax=");
}

static void test_cgroup_text(void **state) {
        static const char text[] = "low 1\noom_group_kill 5\noom_kill 12\noom 3";
        uint64_t n;

        assert_int_equal(cgroup_find_key(text, "oom_kill", &n), 0);
        assert_int_equal(n, 12);
        assert_int_equal(cgroup_find_key(text, "oom", &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(cgroup_find_key(text, "max", &n), -ENXIO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sets),
                cmocka_unit_test(test_bit_rate),
                cmocka_unit_test(test_canonical),
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_cgroup_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
