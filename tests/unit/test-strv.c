/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/strv.h"

static void test_extend(void **state) {
        _cleanup_strv_free_ char **l = NULL, **copy = NULL, **none = NULL;

        assert_int_equal(strv_length(NULL), 0);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(strv_extendf(&l, "%d", i), 0);
        assert_int_equal(strv_length(l), 1000);
        assert_string_equal(l[0], "0");
        assert_string_equal(l[999], "999");
        assert_null(l[1000]);

        copy = strv_copy(l);
        assert_int_equal(strv_length(copy), 1000);
        assert_ptr_not_equal(copy[7], l[7]);
        assert_int_equal(strv_extend_strv(&copy, l), 0);
        assert_int_equal(strv_length(copy), 2000);
        assert_string_equal(copy[1000], "0");
        assert_string_equal(copy[1999], "999");
        assert_int_equal(strv_extend_strv(&copy, NULL), 0);
        assert_int_equal(strv_length(copy), 2000);

        none = strv_copy(NULL);
        assert_non_null(none);
        assert_null(none[0]);

        assert_int_equal(strv_consume(&l, NULL), -ENOMEM);
        assert_int_equal(strv_extend(&l, ""), 0);
        assert_string_equal(l[1000], "");
        assert_null(strv_free(NULL));
}

static void test_contains(void **state) {
        char a[] = "a", b[] = "bc";
        char *l[] = { a, b, NULL };

        assert_true(strv_contains(l, "bc"));
        assert_false(strv_contains(l, "b"));
        assert_false(strv_contains(l, ""));
        assert_false(strv_contains(NULL, "a"));
}

static void test_foreach(void **state) {
        static const char *const constant[] = { "x", "y", NULL };
        char a[] = "a", b[] = "b";
        char *l[] = { a, b, NULL }, **none = NULL;
        char *const *fixed = l;
        size_t n = 0;

        STRV_FOREACH(i, l)
                assert_string_equal(i, l[n++]);
        STRV_FOREACH(i, fixed)
                assert_string_equal(i, fixed[n++ - 2]);
        STRV_FOREACH(i, constant)
                assert_string_equal(i, constant[n++ - 4]);
        STRV_FOREACH(i, none)
                n++;
        assert_int_equal(n, 6);
}

static void test_env(void **state) {
        _cleanup_strv_free_ char **l = NULL;

        assert_null(strv_env_get(NULL, "A"));
        assert_int_equal(strv_env_set(&l, "PATH=/bin"), 0);
        assert_int_equal(strv_env_set(&l, "PATHS=x"), 0);
        assert_int_equal(strv_env_set(&l, "EMPTY="), 0);
        assert_int_equal(strv_env_set(&l, "PATH=/usr/bin=x"), 0);
        assert_int_equal(strv_length(l), 3);
        assert_string_equal(l[0], "PATH=/usr/bin=x");
        assert_string_equal(strv_env_get(l, "PATH"), "/usr/bin=x");
        assert_string_equal(strv_env_get(l, "EMPTY"), "");
        assert_null(strv_env_get(l, "PAT"));

        assert_int_equal(strv_env_set(&l, "NOVALUE"), -EINVAL);
        assert_int_equal(strv_env_set(&l, "=x"), -EINVAL);
        assert_int_equal(strv_length(l), 3);
}

static void check_split(const char *s, const char *seps, const char *joined) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *j = NULL;

        l = strv_split(s, seps);
        assert_non_null(l);
        j = strv_join(l, "|");
        assert_string_equal(j, joined);
}

static void test_split_join(void **state) {
        char *none[] = { NULL };
        _cleanup_free_ char *empty = NULL, *null = NULL;

        check_split("a/b/c", "/", "a|b|c");
        check_split("//a//b//", "/", "a|b");
        check_split("a, b\tc", ", \t", "a|b|c");
        check_split("", "/", "");
        check_split("///", "/", "");
        check_split("abc", "", "abc");
        check_split("ä→b", "→", "ä|b");

        empty = strv_join(none, ",");
        assert_string_equal(empty, "");
        null = strv_join(NULL, ",");
        assert_string_equal(null, "");
}

static void check_quoted(const char *s, const char *joined) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *j = NULL;

        assert_int_equal(strv_split_quoted(s, &l), 0);
        j = strv_join(l, "|");
        assert_string_equal(j, joined);
}

static void test_split_quoted(void **state) {
        static const char *const wrong[] = { "\"a", "'", "a \"b'", "\\", "a\\", "\\q", "\\x1", "\\x0g", "\\x00", NULL };
        char **l = NULL;

        check_quoted("", "");
        check_quoted(" \t ", "");
        check_quoted("a  b\tc ", "a|b|c");
        check_quoted("\"a b\" 'c d'", "a b|c d");
        check_quoted("\"it's\" 'a \"b\"'", "it's|a \"b\"");
        check_quoted("A=\"b c\"d", "A=b cd");
        check_quoted("'' \"\" a", "||a");
        check_quoted("a\\sb \\\"c\\\" \\\\ \\'", "a b|\"c\"|\\|'");
        check_quoted("\\n\\t\\x41\\xe2\\x86\\x92", "\n\tA→");

        STRV_FOREACH(s, wrong)
                if (strv_split_quoted(s, &l) != -EINVAL)
                        fail_msg("%s is accepted", s);
        assert_null(l);
}

static void test_join_same_pointer(void **state) {
        char a[] = "a";
        char *l[] = { a, a, a, NULL };
        _cleanup_free_ char *j = NULL;

        j = strv_join(l, ", ");
        assert_string_equal(j, "a, a, a");
}

static void test_sort(void **state) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *j = NULL;

        l = strv_split("b a C ab é", " ");
        strv_sort(l);
        j = strv_join(l, " ");
        assert_string_equal(j, "C a ab b é");
        strv_sort(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_extend),     cmocka_unit_test(test_contains),
                cmocka_unit_test(test_foreach),    cmocka_unit_test(test_env),
                cmocka_unit_test(test_split_join), cmocka_unit_test(test_split_quoted), cmocka_unit_test(test_join_same_pointer),
                cmocka_unit_test(test_sort),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
