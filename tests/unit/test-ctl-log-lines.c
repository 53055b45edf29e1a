/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "ctl/log-lines.h"
#include "ctl/log-print.h"

#define LINE_MAX_HERE 10U

typedef struct Got {
        unsigned n;
        char text[1024]; /* "bytes|": $ for a newline, 0 for a NUL, + before what continues, > behind what goes on */
        uint64_t usec;
} Got;

static int on_line(const LogLine *line, void *userdata) {
        const char *p = line->data;
        Got *g = userdata;
        size_t n = strlen(g->text);

        if (line->continued)
                g->text[n++] = '+';
        for (size_t i = 0; i < line->size; i++)
                g->text[n++] = p[i] ? p[i] : '0';
        if (line->newline)
                g->text[n++] = '$';
        if (line->more)
                g->text[n++] = '>';
        g->text[n++] = '|';
        g->usec = line->usec;
        g->n++;
        return 0;
}

static void add(LogLines *l, const char *stream, const char *line_break, const char *data, uint64_t usec) {
        const LogPiece p = {
                .stream = stream,
                .stream_size = stream ? strlen(stream) : 0,
                .line_break = line_break,
                .line_break_size = line_break ? strlen(line_break) : 0,
                .data = data,
                .size = strlen(data),
                .usec = usec,
                .priority = 6,
        };

        assert_int_equal(log_lines_add(l, &p), 0);
}

static void test_pieces(void **state) {
        _cleanup_(log_lines_freep) LogLines *l = NULL;
        Got g = {};

        assert_int_equal(log_lines_new(1000, on_line, &g, &l), 0);
        add(l, "A", NULL, "whole", 1);
        assert_string_equal(g.text, "whole$|");
        /* Those of two streams between each other. */
        add(l, "A", "line-max", "aaa", 2);
        add(l, "B", "line-max", "bbb", 3);
        add(l, "C", NULL, "ccc", 4);
        add(l, "A", "line-max", "AAA", 5);
        add(l, "B", NULL, "BBB", 6);
        assert_int_equal(g.usec, 3);
        add(l, "A", NULL, ".", 7);
        assert_int_equal(g.usec, 2);
        assert_string_equal(g.text, "whole$|ccc$|bbbBBB$|aaaAAA.$|");
}

static void test_ends(void **state) {
        _cleanup_(log_lines_freep) LogLines *l = NULL;
        Got g = {};

        assert_int_equal(log_lines_new(1000, on_line, &g, &l), 0);
        add(l, "A", "nul", "x", 1);
        add(l, "A", "nul", "y", 1);
        add(l, "A", NULL, "z", 1);
        add(l, "A", "pid-change", "one", 1);
        add(l, "A", NULL, "two", 1);
        add(l, "A", "eof", "last", 1);
        /* A stream without a name: what it says is whole. */
        add(l, NULL, "line-max", "nobody's", 1);
        assert_string_equal(g.text, "x0y0z$|one$|two$|last|nobody's|");
        /* What has no end yet. */
        add(l, "A", "nul", "rest", 1);
        add(l, "B", "line-max", "more", 1);
        assert_int_equal(g.n, 5);
        assert_int_equal(log_lines_flush(l), 0);
        assert_string_equal(g.text, "x0y0z$|one$|two$|last|nobody's|rest0|more|");
        assert_int_equal(log_lines_flush(l), 0);
        assert_int_equal(g.n, 7);
}

static void test_too_long(void **state) {
        _cleanup_(log_lines_freep) LogLines *l = NULL;
        Got g = {};

        assert_int_equal(log_lines_new(LINE_MAX_HERE, on_line, &g, &l), 0);
        add(l, "A", "line-max", "12345", 1);
        add(l, "A", "line-max", "1234", 2);
        assert_int_equal(g.n, 0);
        add(l, "A", "line-max", "abc", 3);
        assert_string_equal(g.text, "123451234>|");
        /* One that alone is longer than what is kept. */
        add(l, "A", "line-max", "0123456789abcdef", 4);
        add(l, "A", NULL, ".", 5);
        assert_string_equal(g.text, "123451234>|+abc>|+0123456789abcdef>|+.$|");
        assert_int_equal(g.usec, 1);
        add(l, "A", NULL, "next", 6);
        assert_true(endswith(g.text, "+.$|next$|"));
}

static void test_break(void **state) {
        assert_true(log_break_ends_line(NULL, 0));
        assert_true(log_break_ends_line("eof", 3));
        assert_false(log_break_ends_line("eofx", 4));
        assert_false(log_break_ends_line("nul", 3));
        assert_false(log_break_ends_line("line-max", 8));
        assert_true(log_break_ends_line("pid-change", 10));
}

static void test_json(void **state) {
        LogSource source = { .ns = "default", .id = "web" };
        LogLine line = { .data = "a\0b", .size = 3, .usec = 5, .priority = 3, .source = &source };
        _cleanup_free_ char *text = NULL, *bytes = NULL, *empty = NULL;
        _cleanup_json_ json_t *j = NULL, *k = NULL, *n = NULL;

        assert_int_equal(log_line_to_json(&line, &j), 0);
        text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, "{\"Container\":\"web\",\"Message\":\"a\\u0000b\",\"Namespace\":\"default\","
                                  "\"Priority\":3,\"Stream\":\"stderr\",\"USec\":5}");
        /* What is no text. */
        source.image = (char *) "i";
        line = (LogLine) { .data = "\xff\x01", .size = 2, .priority = 6, .source = &source, .exec = 2 };
        assert_int_equal(log_line_to_json(&line, &k), 0);
        bytes = json_dumps(k, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(bytes, "{\"Container\":\"web\",\"Exec\":2,\"Image\":\"i\",\"Message\":[255,1],"
                                   "\"Namespace\":\"default\",\"Priority\":6,\"Stream\":\"stdout\",\"USec\":0}");
        source.image = NULL;
        line = (LogLine) { .priority = 6, .source = &source };
        assert_int_equal(log_line_to_json(&line, &n), 0);
        empty = json_dumps(json_object_get(n, "Message"), JSON_ENCODE_ANY);
        assert_string_equal(empty, "\"\"");
}

static void expect_prefix(const LogPrinter *p, const LogLine *line, const char *expected) {
        _cleanup_free_ char *s = log_line_prefix(p, line);

        assert_string_equal(s, expected);
}

static void test_prefix(void **state) {
        LogSource source = { .ns = "default", .id = "web" };
        LogLine line = { .usec = 1700000000000042, .source = &source };

        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        expect_prefix(&(LogPrinter) {}, &line, "");
        expect_prefix(&(LogPrinter) { .timestamps = true }, &line, "2023-11-14T22:13:20.000042 ");
        expect_prefix(&(LogPrinter) { .names = true }, &line, "web: ");
        expect_prefix(&(LogPrinter) { .names = true, .timestamps = true }, &line, "2023-11-14T22:13:20.000042 web: ");
        expect_prefix(&(LogPrinter) { .format = LOG_FORMAT_SHORT }, &line, "Nov 14 22:13:20 web: ");
        expect_prefix(&(LogPrinter) { .format = LOG_FORMAT_SHORT_ISO }, &line, "2023-11-14T22:13:20+0000 web: ");
        line.exec = 7;
        expect_prefix(&(LogPrinter) { .format = LOG_FORMAT_SHORT_PRECISE }, &line, "Nov 14 22:13:20.000042 web/7: ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces), cmocka_unit_test(test_ends), cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_break),  cmocka_unit_test(test_json), cmocka_unit_test(test_prefix),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
