/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "container/oom.h"
#include "container/statistics.h"

#define GROUP "/moored.slice/moored-default.slice/moored-default-web.service"

static void test_process(void **state) {
        static const char stat[] = "4711 (a) R (b) ) S 77 4711 4711 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 12345 "
                                   "1000000 25 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";
        static const char status[] = "Name:\ta\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t12\t3\nThreads:\t1\n";
        uint64_t hz = (uint64_t) sysconf(_SC_CLK_TCK);
        ProcessInfo p;

        assert_int_equal(process_info_parse(stat, status, 1000000, &p), 0);
        assert_int_equal(p.state, 'S');
        assert_int_equal(p.parent_pid, 77);
        assert_int_equal(p.uid, 1001);
        assert_int_equal(p.container_pid, 3);
        assert_int_equal(p.cpu_usec, 200 * UINT64_C(1000000) / hz);
        assert_int_equal(p.started_usec, 1000000 + 12345 * UINT64_C(1000000) / hz);
        assert_int_equal(p.memory_bytes, 25 * (uint64_t) sysconf(_SC_PAGESIZE));

        assert_true(process_info_parse("4711 (a) S 77", status, 0, &p) < 0);
        assert_true(process_info_parse("4711", status, 0, &p) < 0);
        assert_true(process_info_parse("", "", 0, &p) < 0);
        assert_int_equal(process_info_read((uint32_t) getpid(), &p), 0);
        assert_int_equal(p.parent_pid, getppid());
}

static int add_statistic(const char *name, uint64_t value, void *userdata) {
        char *text = userdata;
        size_t n = strlen(text);

        (void) snprintf(text + n, 256 - n, "%s=%llu ", name, (unsigned long long) value);
        return strstr(text, "=13 ") ? -EINVAL : 0;
}

/* What is not counted is not told. */
static void test_traffic(void **state) {
        const UnitTraffic none = { TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN };
        char text[256] = "";

        assert_int_equal(traffic_foreach(&none, add_statistic, text), 0);
        assert_string_equal(text, "");
        assert_int_equal(traffic_foreach(&(UnitTraffic){ 1000, 1, 0, TRAFFIC_UNKNOWN }, add_statistic, text), 0);
        assert_string_equal(text, "IPIngressBytes=1000 IPIngressPackets=1 IPEgressBytes=0 ");
        assert_int_equal(traffic_foreach(&(UnitTraffic){ 13, 1, 0, 0 }, add_statistic, text), -EINVAL);
}

/* The rest is in tests/data/oom. */
static void test_victim(void **state) {
        static const char begin[] = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/moored.slice,task_memcg=" GROUP;
        char line[512];
        OomVictim v;

        snprintf(line, sizeof(line), "%s,task=tail,pid=12,uid=0", begin);
        assert_int_equal(oom_line_parse(line, GROUP, &v), 1);
        assert_int_equal(v.pid, 12);
        assert_string_equal(v.command, "tail");
        oom_victim_done(&v);

        /* A process that has named itself so. */
        snprintf(line, sizeof(line), "%s,task=x,pid=1,uid=0,pid=12,uid=5", begin);
        assert_int_equal(oom_line_parse(line, GROUP, &v), 1);
        assert_int_equal(v.pid, 12);
        assert_string_equal(v.command, "x,pid=1,uid=0");
        oom_victim_done(&v);

        assert_int_equal(oom_line_parse(line, GROUP "x", &v), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_process),
                cmocka_unit_test(test_traffic),
                cmocka_unit_test(test_victim),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
