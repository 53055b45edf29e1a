/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/limit-options.h"

static void expect(const char *value, int r, const char *s, const Error *e, const char *expected) {
        if (expected) {
                assert_int_equal(r, 0);
                assert_string_equal(s, expected);
        } else {
                assert_int_equal(r, -EINVAL);
                assert_non_null(strstr(error_message(e), value));
        }
}

static void expect_limit(int (*f)(const char *, char **, Error *), const char *value, const char *expected) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *s = NULL;
        int r = f(value, &s, &e);

        expect(value, r, s, &e, expected);
}

static void expect_size(const char *value, const char *expected) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *s = NULL;
        int r = parse_memory("memory", "MemoryMax", value, &s, &e);

        expect(value, r, s, &e, expected);
}

static void expect_rate(const char *value, bool size, const char *expected) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *s = NULL;
        int r = parse_device_rate("rate", "Rate", value, size, &s, &e);

        expect(value, r, s, &e, expected);
}

static void test_values(void **state) {
        expect_limit(parse_cpus, "1", "CPUQuota=100%");
        expect_limit(parse_cpus, "1.5", "CPUQuota=150%");
        expect_limit(parse_cpus, "0.01", "CPUQuota=1%");
        expect_limit(parse_cpus, "10000", "CPUQuota=1000000%");
        expect_limit(parse_cpus, "10001", NULL);
        expect_limit(parse_cpus, "0", NULL);
        expect_limit(parse_cpus, "-1", NULL);
        expect_limit(parse_cpus, "nan", NULL);
        expect_limit(parse_cpus, "inf", NULL);
        expect_limit(parse_cpus, "1x", NULL);
        expect_limit(parse_cpus, "", NULL);
        expect_limit(parse_pids_limit, "100", "TasksMax=100");
        expect_limit(parse_pids_limit, "-1", "TasksMax=infinity");
        expect_limit(parse_pids_limit, "0", NULL);
        expect_limit(parse_pids_limit, "x", NULL);
        expect_size("64m", "MemoryMax=67108864");
        expect_size("64mb", "MemoryMax=67108864");
        expect_size("100b", "MemoryMax=100");
        expect_size("1G", "MemoryMax=1073741824");
        expect_size("infinity", "MemoryMax=infinity");
        expect_size("-1", "MemoryMax=infinity");
        expect_size("0", NULL);
        expect_size("b", NULL);
        expect_size("many", NULL);
        expect_rate("/dev/sda:1mb", true, "Rate=/dev/sda 1048576");
        expect_rate("/dev/a:b:1000", false, "Rate=/dev/a:b 1000");
        expect_rate("/dev/sda:1mb", false, NULL);
        expect_rate("sda:1", false, NULL);
        expect_rate("/dev/sda", false, NULL);
}

static int parse(LimitOptions *o, const char *const *argv, Error *e) {
        static const Option options[] = { LIMIT_OPTIONS,
                                          LIMIT_OPTION("ulimit", "X", limit_apply_ulimit, ""),
                                          LIMIT_OPTION("ip-allow", "X", limit_apply_ip_allow, ""),
                                          LIMIT_OPTION("ip-deny", "X", limit_apply_ip_deny, ""),
                                          LIMIT_OPTION("oom-score-adj", "X", limit_apply_oom_score_adj, ""),
                                          OPTION_END };
        const OptionSet set = { options, o };
        _cleanup_free_ char **args = NULL;
        int r;

        r = options_parse(&set, 1, (char *const *) argv, false, &args, e);
        return r < 0 ? r : limit_options_finish(o, e);
}

static void test_options(void **state) {
        static const struct {
                const char *argv[4];
                const char *expected; /* NULL: refused */
        } table[] = {
                { { "--memory=64m", "--memory-swap=100m" }, "MemoryMax=67108864 MemorySwapMax=37748736" },
                { { "--memory-swap=100m", "--memory=64m" }, "MemoryMax=67108864 MemorySwapMax=37748736" },
                { { "--memory=64m", "--memory-swap=64m" }, "MemoryMax=67108864 MemorySwapMax=0" },
                { { "--memory-swap=-1" }, "MemorySwapMax=infinity" },
                { { "--memory-swap=1g" }, NULL },
                { { "--memory=2g", "--memory-swap=1g" }, NULL },
                { { "--memory-reservation=1m" }, "MemoryLow=1048576" },
                { { "--cpu-quota=50000" }, "CPUQuotaPerSecUSec=500000" },
                { { "--cpu-quota=50000", "--cpu-period=200000" }, "CPUQuotaPerSecUSec=250000" },
                { { "--cpu-period=200000" }, NULL },
                { { "--cpu-quota=lots" }, NULL },
                { { "--ip-deny=any", "--ip-allow=192.0.2.0/24,localhost" }, "IPAddressDeny=any IPAddressAllow=192.0.2.0/24 localhost" },
                { { "--ip-deny=192.0.2.1", "--ip-deny=::/0" }, "IPAddressDeny=192.0.2.1 IPAddressDeny=::/0" },
                { { "--ip-allow=localhost" }, NULL },
                { { "--ip-deny=" }, NULL },
                { { "--ip-deny=any localhost" }, NULL },
                { { "--cpu-shares=2" }, "CPUWeight=1" },
                { { "--cpu-shares=1024" }, "CPUWeight=39" },
                { { "--cpu-shares=262144" }, "CPUWeight=10000" },
                { { "--cpu-shares=1" }, NULL },
                { { "--cpu-weight=50" }, "CPUWeight=50" },
                { { "--cpu-weight=10001" }, NULL },
                { { "--cpuset-cpus=0-3,7" }, "AllowedCPUs=0-3,7" },
                { { "--cpuset-cpus=7-3" }, NULL },
                { { "--cpuset-mems=0" }, "AllowedMemoryNodes=0" },
                { { "--blkio-weight=1000" }, "IOWeight=10000" },
                { { "--blkio-weight=9" }, NULL },
                { { "--device-read-bps=/dev/a:1k", "--device-read-bps=/dev/b:2k" },
                  "IOReadBandwidthMax=/dev/a 1024 IOReadBandwidthMax=/dev/b 2048" },
                { { "--ulimit=nofile=10:20", "--ulimit=core=unlimited", "--ulimit=nproc=5" },
                  "LimitNOFILE=10:20 LimitCORE=infinity LimitNPROC=5" },
                { { "--ulimit=files=3" }, NULL },
                { { "--ulimit=nofile" }, NULL },
                { { "--ulimit=nofile=1:2:3" }, NULL },
                { { "--oom-score-adj=-500" }, "OOMScoreAdjust=-500" },
                { { "--oom-score-adj=1001" }, NULL },
                { { "--device-write-iops=/dev/a:5" }, "IOWriteIOPSMax=/dev/a 5" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *s = NULL;
                LimitOptions o = {};
                int r = parse(&o, table[i].argv, &e);

                s = strv_join(o.properties, " ");
                if (table[i].expected) {
                        assert_int_equal(r, 0);
                        assert_string_equal(s, table[i].expected);
                } else {
                        assert_int_equal(r, -EINVAL);
                        assert_true(startswith(error_message(&e), "--"));
                }
                limit_options_done(&o);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
