/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/strv.h"
#include "ctl/options.h"

typedef struct Target {
        bool flag, other;
        const char *string;
        char **list;
        int number;
} Target;

typedef struct Global {
        bool quiet;
        const char *name;
} Global;

static int apply_number(const char *value, void *target, Error *reterr_error) {
        if (streq(value, "bad"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "'%s' is bad.", value);
        ((Target *) target)->number = atoi(value);
        return 0;
}

static const Option table[] = {
        { 'f', "flag", NULL, OPTION_FLAG, offsetof(Target, flag), .help = "A flag" },
        { 'o', "other", NULL, OPTION_FLAG, offsetof(Target, other), .help = "Another\non two lines" },
        { 's', "string", "TEXT", OPTION_STRING, offsetof(Target, string), .help = "A string" },
        { 0, "list", "ITEM", OPTION_STRV, offsetof(Target, list), .help = "A list" },
        { 'n', "number", "NUMBER", OPTION_CUSTOM, .apply = apply_number, .help = "A number" },
        OPTION_END,
};

static const Option global_table[] = {
        { 'q', "quiet", NULL, OPTION_FLAG, offsetof(Global, quiet), .help = "Quiet" },
        { 'n', "name", "NAME", OPTION_STRING, offsetof(Global, name),
          .help = "Name, its short form shadowed" },
        OPTION_END,
};

static int parse(Target *t, Global *g, bool stop_at_first, char ***ret, Error *e, const char *const *argv) {
        OptionSet sets[] = { { table, t }, { global_table, g } };

        return options_parse(sets, ELEMENTSOF(sets), (char *const *) argv, stop_at_first, ret, e);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_all_spellings(void **state) {
        _cleanup_free_ char **args = NULL;
        Target t = {};
        Global g = {};

        assert_int_equal(parse(&t, &g, false, &args, NULL,
                               ARGV("-fo", "a", "-sx", "--list=1", "--list", "2=3", "-n", "7", "b",
                                    "--quiet", "--name=", "--", "-f", "--zzz")),
                         0);
        assert_true(t.flag && t.other && g.quiet);
        assert_string_equal(t.string, "x");
        assert_int_equal(strv_length(t.list), 2);
        assert_string_equal(t.list[0], "1");
        assert_string_equal(t.list[1], "2=3");
        assert_int_equal(t.number, 7); /* the earlier set has -n */
        assert_string_equal(g.name, "");
        assert_int_equal(strv_length(args), 4);
        assert_string_equal(args[0], "a");
        assert_string_equal(args[1], "b");
        assert_string_equal(args[2], "-f");
        assert_string_equal(args[3], "--zzz");
        strv_free(t.list);
}

static void test_cluster_with_value(void **state) {
        _cleanup_free_ char **args = NULL;
        Target t = {};
        Global g = {};

        /* The value is the rest of the word, also if it looks like options. */
        assert_int_equal(parse(&t, &g, false, &args, NULL, ARGV("-fsqo")), 0);
        assert_true(t.flag && !t.other && !g.quiet);
        assert_string_equal(t.string, "qo");
        assert_null(args[0]);
}

static void test_stop_at_first(void **state) {
        _cleanup_free_ char **args = NULL;
        Target t = {};
        Global g = {};

        assert_int_equal(parse(&t, &g, true, &args, NULL, ARGV("-f", "image", "-o", "--", "--quiet")), 0);
        assert_true(t.flag && !t.other && !g.quiet);
        assert_int_equal(strv_length(args), 4);
        assert_string_equal(args[0], "image");
        assert_string_equal(args[2], "--");
}

static void test_dash_is_an_argument(void **state) {
        _cleanup_free_ char **args = NULL;
        Target t = {};
        Global g = {};

        assert_int_equal(parse(&t, &g, false, &args, NULL, ARGV("-", "")), 0);
        assert_string_equal(args[0], "-");
        assert_string_equal(args[1], "");
}

static void expect_error(const char *const *argv, const char *part) {
        _cleanup_error_ Error e = ERROR_NULL;
        char **args = NULL;
        Target t = {};
        Global g = {};

        assert_int_equal(parse(&t, &g, false, &args, &e, argv), -EINVAL);
        assert_null(args);
        if (!strstr(error_message(&e), part))
                fail_msg("'%s' lacks '%s'", error_message(&e), part);
        strv_free(t.list);
}

static void test_errors(void **state) {
        expect_error(ARGV("--nothing"), "--nothing");
        expect_error(ARGV("-f", "-x"), "-x");
        expect_error(ARGV("--flag=yes"), "--flag takes no value");
        expect_error(ARGV("--string"), "--string needs a value");
        expect_error(ARGV("-fs"), "-s needs a value");
        expect_error(ARGV("--number=bad"), "'bad' is bad");
        /* No abbreviations: what is unique today would not be tomorrow. */
        expect_error(ARGV("--fla"), "--fla");
        expect_error(ARGV("--flags"), "--flags");
}

static void test_help(void **state) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        options_print_help(table, NULL, f);
        options_print_help(global_table, table, f);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, "  -f --flag                   A flag\n"
                                  "  -o --other                  Another\n"
                                  "                              on two lines\n"
                                  "  -s --string=TEXT            A string\n"
                                  "     --list=ITEM              A list\n"
                                  "  -n --number=NUMBER          A number\n"
                                  "  -q --quiet                  Quiet\n"
                                  "     --name=NAME              Name, its short form shadowed\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_spellings), cmocka_unit_test(test_cluster_with_value),
                cmocka_unit_test(test_stop_at_first), cmocka_unit_test(test_dash_is_an_argument),
                cmocka_unit_test(test_errors),        cmocka_unit_test(test_help),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
