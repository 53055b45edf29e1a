/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/table.h"
#include "ctl/terminal.h"

static const TableColumn columns[] = {
        { "NAME", TABLE_SHRINK },
        { "SIZE", TABLE_RIGHT },
        { "WHAT", TABLE_SHRINK },
        {},
};

static Table *make(void) {
        Table *t = table_new(columns);

        assert_non_null(t);
        assert_int_equal(table_add(t, "a"), 0);
        assert_int_equal(table_addf(t, "%i", 1000000), 0);
        assert_int_equal(table_add(t, "x"), 0);
        assert_int_equal(table_add(t, "a longer name"), 0);
        assert_int_equal(table_add(t, "7"), 0);
        table_color(t, ANSI_RED);
        assert_int_equal(table_add(t, NULL), 0);
        return t;
}

static void expect(Table *t, size_t width, bool legend, bool colors, const char *expected) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        assert_int_equal(table_print(t, f, width, legend, colors), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, expected);
}

static void test_print(void **state) {
        _cleanup_(table_freep) Table *t = make();

        expect(t, 0, true, false,
               "NAME              SIZE  WHAT\n"
               "a              1000000  x\n"
               "a longer name        7  -\n");
        expect(t, 0, false, false,
               "a              1000000  x\n"
               "a longer name        7  -\n");
}

static void test_colors(void **state) {
        _cleanup_(table_freep) Table *t = make();

        expect(t, 0, false, true,
               "a              1000000  x\n"
               "a longer name        " ANSI_RED "7" ANSI_RESET "  -\n");
}

static void test_width(void **state) {
        _cleanup_(table_freep) Table *t = make();

        expect(t, 24, true, false,
               "NAME          SIZE  WHAT\n"
               "a          1000000  x\n"
               "a longer…        7  -\n");
        /* Never below the least width, however narrow. */
        expect(t, 3, false, false,
               "a         1000000  x\n"
               "a longe…        7  -\n");
}

static void test_empty(void **state) {
        _cleanup_(table_freep) Table *t = table_new(columns);

        expect(t, 0, true, false, "NAME  SIZE  WHAT\n");
        expect(t, 0, false, false, "");
}

static void test_characters(void **state) {
        static const TableColumn two[] = { { "A", TABLE_SHRINK }, { "B", 0 }, {} };
        _cleanup_(table_freep) Table *t = table_new(two);

        /* Width counts characters; control characters cannot reach the terminal. */
        assert_int_equal(table_add(t, "äöü"), 0);
        assert_int_equal(table_add(t, "1"), 0);
        assert_int_equal(table_add(t, "\033[2J\n"), 0);
        assert_int_equal(table_add(t, "2"), 0);
        assert_int_equal(table_add(t, "ääääääääääää"), 0);
        assert_int_equal(table_add(t, "3"), 0);
        expect(t, 11, false, false,
               "äöü       1\n"
               "?[2J?     2\n"
               "äääääää…  3\n");
}

static void test_many_rows(void **state) {
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_free_ char *text = NULL;
        size_t size, rows = 0;
        FILE *f = open_memstream(&text, &size);

        for (unsigned i = 0; i < 3000; i++)
                assert_int_equal(table_addf(t, "%u", i), 0);
        assert_int_equal(table_print(t, f, 0, false, false), 0);
        assert_int_equal(fclose(f), 0);
        for (const char *c = text; *c; c++)
                rows += *c == '\n';
        assert_int_equal(rows, 1000);
}

static void test_utf8(void **state) {
        assert_int_equal(utf8_length(""), 0);
        assert_int_equal(utf8_length("aä…"), 3);
        assert_int_equal(utf8_prefix("aä…b", 0), 0);
        assert_int_equal(utf8_prefix("aä…b", 2), 3);
        assert_int_equal(utf8_prefix("aä…b", 3), 6);
        assert_int_equal(utf8_prefix("aä…b", 9), 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_print),      cmocka_unit_test(test_colors),
                cmocka_unit_test(test_width),      cmocka_unit_test(test_empty),
                cmocka_unit_test(test_characters), cmocka_unit_test(test_many_rows),
                cmocka_unit_test(test_utf8),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
