/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/json.h"
#include "ctl/stats-rows.h"

static char *row(json_t *s, const TableColumn *columns, int (*add)(Table *, json_t *)) {
        _cleanup_(table_freep) Table *t = table_new(columns);
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        assert_int_equal(add(t, s), 0);
        assert_int_equal(table_print(t, f, 0, false, false), 0);
        fclose(f);
        return text;
}

static void test_rates(void **state) {
        _cleanup_json_ json_t *before = json_pack("{s:I,s:I}", "TimestampUSec", (json_int_t) 1000000, "CPUUsageNSec",
                                                  (json_int_t) 500);
        _cleanup_json_ json_t *now = json_pack("{s:I,s:I}", "TimestampUSec", (json_int_t) 3000000, "CPUUsageNSec",
                                               (json_int_t) 3000000500);

        stats_add_rates(now, before);
        assert_true(json_real_value(json_object_get(now, "CPUPercent")) == 150.0);
        /* Started again in between, or seen for the first time. */
        stats_add_rates(before, now);
        assert_true(json_real_value(json_object_get(before, "CPUPercent")) == 0);
        stats_add_rates(now, NULL);
        assert_true(json_real_value(json_object_get(now, "CPUPercent")) == 0);
}

static void test_rows(void **state) {
        _cleanup_json_ json_t *bare = json_pack("{s:s}", "Id", "web");
        _cleanup_json_ json_t *full = json_pack("{s:s,s:I,s:f,s:I,s:I,s:I,s:n}", "Id", "web", "CPUUsageNSec",
                                                (json_int_t) 1, "CPUPercent", 12.34, "MemoryCurrent",
                                                (json_int_t) 1048576, "MemoryLimit", (json_int_t) 4194304,
                                                "TasksCurrent", (json_int_t) 3, "TasksMax");
        _cleanup_json_ json_t *counted = json_pack("{s:s,s:I,s:I}", "Id", "web", "IPIngressBytes", (json_int_t) 2048,
                                                   "IPEgressBytes", (json_int_t) 3072);
        _cleanup_json_ json_t *both = json_pack("{s:s,s:I,s:I}", "Id", "web", "IPIngressBytes", (json_int_t) 2048,
                                                "NetworkReceivedBytes", (json_int_t) 4096);
        _cleanup_json_ json_t *process = json_pack("{s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:s}", "PID", (json_int_t) 77,
                                                   "ContainerPID", (json_int_t) 1, "UID", (json_int_t) 0, "State",
                                                   "S", "CPUUsageUSec", (json_int_t) 61230000, "MemoryBytes",
                                                   (json_int_t) 1048576, "StartedUSec", (json_int_t) 0, "Command",
                                                   "sleep 5");
        _cleanup_free_ char *a = row(bare, stats_columns, stats_add_row), *b = row(full, stats_columns, stats_add_row),
                            *c = row(process, top_columns, top_add_row), *d = row(counted, stats_columns, stats_add_row),
                            *e = row(both, stats_columns, stats_add_row);

        assert_null(strpbrk(a, "0123456789"));
        assert_non_null(strstr(b, "12.3"));
        assert_non_null(strstr(b, "25.0"));
        assert_non_null(strstr(b, "1.0M"));
        assert_non_null(strstr(d, "2.0K"));
        assert_non_null(strstr(d, "3.0K"));
        assert_non_null(strstr(e, "4.0K"));
        assert_null(strstr(e, "2.0K"));
        assert_non_null(strstr(c, "1:01.23"));
        assert_non_null(strstr(c, "sleep 5"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rates),
                cmocka_unit_test(test_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
