/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/progress.h"
#include "ctl/terminal.h"

#define SECOND UINT64_C(1000000)

static size_t count(const char *text, const char *what) {
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
                n++;
        return n;
}

static void test_part(void **state) {
        ProgressPart part = {
                .digest = (char *) "sha256:0123456789abcdef",
                .phase = (char *) "downloading",
                .done = 50 << 20,
                .total = 100 << 20,
        };
        char line[PROGRESS_LINE_MAX];

        assert_string_equal(
                        progress_format_part(line, &part, 80, false),
                        "0123456789ab  downloading  ━━━━━━━━━━━━━━━━━──────────────────     50.0M/100.0M");
        assert_int_equal(utf8_length(line), 79);
        /* Too narrow for a bar. */
        progress_format_part(line, &part, 40, false);
        assert_int_equal(count(line, "━"), 0);
        assert_true(utf8_length(line) < 40);
        assert_non_null(strstr(line, "0123456789ab"));
        /* Not even for the digest. */
        for (unsigned columns = 0; columns < 30; columns++)
                assert_true(utf8_length(progress_format_part(line, &part, columns, false)) <=
                            (columns > 0 ? columns - 1 : 0));
}

static void test_part_states(void **state) {
        ProgressPart part = { .digest = (char *) "sha256:0123456789abcdef",
                              .phase = (char *) "done",
                              .done = 0,
                              .total = 1024 };
        char line[PROGRESS_LINE_MAX];

        progress_format_part(line, &part, 80, false);
        assert_int_equal(count(line, "─"), 0); /* whatever done says */
        assert_non_null(strstr(line, "done"));
        part.reused = true;
        assert_non_null(strstr(progress_format_part(line, &part, 80, false), "present"));
        part.phase = (char *) "waiting";
        part.total = 0;
        assert_int_equal(count(progress_format_part(line, &part, 80, false), "━"), 0);
        /* More than everything is everything. */
        part.phase = (char *) "unpacking";
        part.done = 5;
        part.total = 4;
        assert_int_equal(count(progress_format_part(line, &part, 80, false), "─"), 0);
        part.done = UINT64_MAX / 2;
        part.total = UINT64_MAX;
        assert_true(count(progress_format_part(line, &part, 80, false), "━") > 5);
}

static void test_colors_do_not_count(void **state) {
        ProgressPart part = { .digest = (char *) "sha256:0123456789abcdef",
                              .phase = (char *) "failed",
                              .done = 1,
                              .total = 2 };
        char line[PROGRESS_LINE_MAX];

        progress_format_part(line, &part, 200, true);
        assert_non_null(strstr(line, ANSI_RED));
        assert_int_equal(count(line, ANSI_RESET), 1);
        assert_int_equal(count(line, "━"), 40); /* the widest bar, drawn in two colours */
}

static void test_total(void **state) {
        char line[PROGRESS_LINE_MAX];

        ProgressTotal t = {
                .done = 1 << 20, .total = 4 << 20, .work = 4 << 20, .work_total = 8 << 20, .rate = 512 << 10
        };

        progress_format_total(line, &t, 80, false);
        assert_int_equal(count(line, "━"),
                         (count(line, "━") + count(line, "─")) / 2); /* the bar shows the work */
        assert_non_null(strstr(line, "1.0M/4.0M"));
        assert_non_null(strstr(line, "512.0K/s"));
        assert_true(utf8_length(line) < 80);
        assert_null(strstr(progress_format_total(line, &(ProgressTotal) {}, 80, false), "/s"));
}

typedef struct Output {
        char *text;
        size_t size;
        FILE *f;
} Output;

static void output_open(Output *o) {
        o->f = open_memstream(&o->text, &o->size);
        assert_non_null(o->f);
}

/* What was written since the last time. */
static char *output_take(Output *o) {
        char *s;

        assert_int_equal(fclose(o->f), 0);
        s = o->text;
        o->text = NULL;
        return s;
}

static void test_plain_lines(void **state) {
        _cleanup_free_ char *text = NULL;
        Output o = {};
        Progress *p;

        output_open(&o);
        p = progress_new(o.f, false, false, 80, 24);
        assert_int_equal(progress_set_part(p, "sha256:aaaaaaaaaaaaaaaa", "waiting", 0, 2048, false), 0);
        assert_int_equal(progress_set_part(p, "sha256:bbbbbbbbbbbbbbbb", "done", 10, 10, true), 0);
        progress_draw(p, 1);
        assert_int_equal(progress_set_part(p, "sha256:aaaaaaaaaaaaaaaa", "downloading", 5, 2048, false), 0);
        progress_draw(p, 2);
        assert_int_equal(progress_set_part(p, "sha256:aaaaaaaaaaaaaaaa", "downloading", 500, 2048, false),
                         0);
        progress_draw(p, 3);
        assert_int_equal(progress_set_part(p, "sha256:aaaaaaaaaaaaaaaa", "done", 2048, 2048, false), 0);
        progress_draw(p, 4);
        progress_free(p);
        text = output_take(&o);
        assert_string_equal(text, "bbbbbbbbbbbb: present (10B)\n"
                                  "aaaaaaaaaaaa: downloading (2.0K)\n"
                                  "aaaaaaaaaaaa: done (2.0K)\n");
}

static void test_redraw(void **state) {
        _cleanup_free_ char *text = NULL;
        Output o = {};
        Progress *p;

        output_open(&o);
        p = progress_new(o.f, true, false, 80, 24);
        progress_draw(p, SECOND); /* nothing is known yet: nothing is drawn */
        assert_int_equal(fflush(o.f), 0);
        assert_int_equal(o.size, 0);
        assert_int_equal(progress_set_part(p, "sha256:a", "downloading", 0, 100, false), 0);
        progress_draw(p, SECOND);
        assert_int_equal(progress_set_part(p, "sha256:b", "downloading", 0, 100, false), 0);
        progress_draw(p, 2 * SECOND);
        progress_draw(p, 3 * SECOND);
        progress_finish(p);
        progress_draw(p, 4 * SECOND);
        progress_free(p);
        text = output_take(&o);
        /* Two lines, then up two and three lines, then up three and three lines, then three without going
         * up. */
        assert_int_equal(count(text, "\033[2A"), 1);
        assert_int_equal(count(text, "\033[3A"), 1);
        assert_int_equal(count(text, "\n"), 2 + 3 + 3 + 3);
        assert_int_equal(count(text, "\033[K\n"), count(text, "\n"));
}

static void test_more_than_rows(void **state) {
        _cleanup_free_ char *text = NULL;
        char digest[32];
        Output o = {};
        Progress *p;

        output_open(&o);
        p = progress_new(o.f, true, false, 80, 10);
        for (unsigned i = 0; i < 30; i++) {
                (void) snprintf(digest, sizeof digest, "sha256:%06u", i);
                assert_int_equal(
                                progress_set_part(p, digest, i < 25 ? "done" : "downloading", 1, 100, false),
                                0);
        }
        progress_draw(p, SECOND);
        progress_free(p);
        text = output_take(&o);
        assert_int_equal(count(text, "\n"), 9); /* eight parts and the total: one row is the cursor's */
        assert_int_equal(count(text, "downloading"), 5);
        assert_null(strstr(text, "000000"));
        assert_non_null(strstr(text, "000029"));
}

static void test_limit(void **state) {
        char digest[32];
        Output o = {};
        Progress *p;

        output_open(&o);
        p = progress_new(o.f, false, false, 80, 24);
        for (unsigned i = 0; i < PROGRESS_PARTS_MAX; i++) {
                (void) snprintf(digest, sizeof digest, "%u", i);
                assert_int_equal(progress_set_part(p, digest, "waiting", 0, 0, false), 0);
        }
        assert_int_equal(progress_set_part(p, "one more", "waiting", 0, 0, false), -E2BIG);
        assert_int_equal(progress_set_part(p, "0", "done", 0, 0, false), 0);
        progress_free(p);
        free(output_take(&o));
}

static void test_control_characters(void **state) {
        _cleanup_free_ char *text = NULL;
        Output o = {};
        Progress *p;

        output_open(&o);
        p = progress_new(o.f, false, false, 80, 24);
        assert_int_equal(progress_set_part(p, "sha256:\033]0;x\a", "pha\nse", 0, 0, false), 0);
        progress_draw(p, SECOND);
        progress_free(p);
        text = output_take(&o);
        assert_string_equal(text, "?]0;x?: pha?se\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_part),
                cmocka_unit_test(test_part_states),
                cmocka_unit_test(test_colors_do_not_count),
                cmocka_unit_test(test_total),
                cmocka_unit_test(test_plain_lines),
                cmocka_unit_test(test_redraw),
                cmocka_unit_test(test_more_than_rows),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_control_characters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
