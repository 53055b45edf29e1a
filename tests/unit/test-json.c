/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"

static int parse(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, strlen(text), JSON_TEXT_MAX, &j, &e);
        assert_int_equal(r < 0, error_is_set(&e));
        assert_int_equal(r < 0, !j);
        if (r < 0) {
                assert_int_equal(e.error, r);
                assert_true(string_is_safe(error_message(&e)));
        }
        return r;
}

static void test_parse(void **state) {
        static const char *const bad[] = {
                "",
                " ",
                "{",
                "}",
                "[]",
                "[{}]",
                "1",
                "\"x\"",
                "null",
                "{}x",
                "{} {}",
                "{},",
                "{\"a\":1,}",
                "{'a':1}",
                "{a:1}",
                "{\"a\":1,\"a\":2}",
                "{\"x\":{\"a\":1,\"a\":1}}",
                "{\"a\":\"\\u0000\"}",
                "{\"a\\u0000b\":1}",
                "{\"a\":\"\n\"}",
                "{\"a\":\"\xff\"}",
                "{\"a\":\"\xc0\xaf\"}",
                "{\"a\":\"\\ud800\"}",
                "{\"a\":01}",
                "{\"a\":+1}",
                "{\"a\":.5}",
                "{\"a\":NaN}",
                "{\"a\":9223372036854775808}",
                "{\"a\":-9223372036854775809}",
                "{\"a\":1e999}",
                "{\"a\":1}//x",
                "\xef\xbb\xbf{}",
                "{\"a\":\"\x1b[31m\"}",
                "{\"a\":tru}",
        };
        static const char *const good[] = {
                "{}",
                " \n\t{ } \n",
                "{\"a\":9223372036854775807}",
                "{\"a\":-9223372036854775808}",
                "{\"é\":\"\\ud83d\\ude00\"}",
                "{\"a\":1.5e3}",
                "{\"\":null}",
                "{\"a\":\"[[[[[{{{{{,,,\\\"[[[\"}",
                "{\"a\":\"\\\\\"}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse(bad[i]), -EBADMSG);
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(parse(good[i]), 0);
}

static void test_nul_in_text(void **state) {
        static const char text[] = "{}\0{}", inside[] = "{\"a\":\"x\0y\"}";
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(json_parse(text, sizeof(text) - 1, 100, &j, NULL), -EBADMSG);
        assert_int_equal(json_parse(inside, sizeof(inside) - 1, 100, &j, NULL), -EBADMSG);
        assert_int_equal(json_parse(NULL, 0, 100, &j, NULL), -EBADMSG);
        assert_null(j);
        assert_int_equal(json_parse(text, 2, 100, &j, NULL), 0);
}

static void test_message(void **state) {
        static const char text[] = "{\n  \"a\": 1,\n  \"a\": 2\n}";
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(json_parse(text, strlen(text), 100, &j, &e), -EBADMSG);
        assert_non_null(strstr(error_message(&e), "Line 3, column"));
}

/* {"a":[[…]]} with so many levels in all. */
static char *nested(unsigned levels) {
        char *s = strdup("{\"a\":");

        for (unsigned i = 1; i < levels; i++) {
                char *t = strjoin(s, "[");

                free(s);
                s = t;
        }
        if (levels == 1) {
                char *t = strjoin(s, "1");

                free(s);
                s = t;
        }
        for (unsigned i = 1; i < levels; i++) {
                char *t = strjoin(s, "]");

                free(s);
                s = t;
        }
        {
                char *t = strjoin(s, "}");

                free(s);
                return t;
        }
}

static void test_depth(void **state) {
        _cleanup_free_ char *one = nested(1), *most = nested(JSON_DEPTH_MAX_),
                            *deep = nested(JSON_DEPTH_MAX_ + 1), *wild = NULL;

        assert_int_equal(parse(one), 0);
        assert_int_equal(parse(most), 0);
        assert_int_equal(parse(deep), -EBADMSG);

        wild = malloc(1000001);
        memset(wild, '[', 1000000);
        wild[1000000] = 0;
        assert_int_equal(parse(wild), -EBADMSG);
}

static void test_size(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL, *k = NULL;
        _cleanup_free_ char *text = malloc(JSON_TEXT_MAX + 1);

        assert_int_equal(json_parse("{\"a\":1}", 7, 7, &j, NULL), 0);
        assert_int_equal(json_parse("{\"a\":1}", 7, 6, &k, &e), -EFBIG);
        assert_non_null(strstr(error_message(&e), "7 bytes"));

        /* The caller's limit cannot exceed the general one. */
        memset(text, ' ', JSON_TEXT_MAX + 1);
        text[0] = '{';
        text[1] = '}';
        assert_int_equal(json_parse(text, JSON_TEXT_MAX + 1, SIZE_MAX, &k, NULL), -EFBIG);
        assert_int_equal(json_parse(text, JSON_TEXT_MAX, SIZE_MAX, &k, NULL), 0);
}

static void test_values(void **state) {
        _cleanup_free_ char *text = malloc(2 * (size_t) JSON_VALUES_MAX + 64);
        char *p;
        size_t n;

        /* The object, the array and its elements. */
        for (int over = 0; over < 2; over++) {
                p = stpcpy(text, "{\"a\":[0");
                n = JSON_VALUES_MAX - 3 + (size_t) over;
                for (size_t i = 0; i < n; i++)
                        p = stpcpy(p, ",0");
                stpcpy(p, "]}");
                assert_int_equal(parse(text), over ? -EBADMSG : 0);
        }
}

typedef struct Target {
        char *s;
        bool b;
        uint64_t u;
        int64_t i;
        char **l;
        json_t *o;
        json_t *a;
        int custom;
} Target;

static int parse_custom(const char *name, json_t *value, void *target, Error *reterr_error) {
        Target *t = target;

        assert_string_equal(name, "custom");
        if (json_is_true(value))
                return -ERANGE; /* without a message */
        if (!json_is_integer(value))
                return error_set(reterr_error, -EBADMSG, "Special", "%s: not so", name);

        t->custom = (int) json_integer_value(value);
        return 0;
}

static const JsonField fields[] = {
        { "s", JSON_FIELD_STRING, offsetof(Target, s), true },
        { "b", JSON_FIELD_BOOL, offsetof(Target, b) },
        { "u", JSON_FIELD_UINT64, offsetof(Target, u) },
        { "i", JSON_FIELD_INT64, offsetof(Target, i) },
        { "l", JSON_FIELD_STRV, offsetof(Target, l) },
        { "o", JSON_FIELD_OBJECT, offsetof(Target, o) },
        { "a", JSON_FIELD_ARRAY, offsetof(Target, a) },
        { "custom", JSON_FIELD_CUSTOM, 0, false, parse_custom },
        {},
};

static void target_done(Target *t) {
        free(t->s);
        strv_free(t->l);
}

static int dispatch(const char *text, bool strict, Target *t, Error *e) {
        json_t *j = NULL;
        int r;

        assert_int_equal(json_parse(text, strlen(text), JSON_TEXT_MAX, &j, NULL), 0);
        r = json_dispatch(j, fields, t, "thing", strict, e);
        t->o = t->a = NULL; /* borrowed */
        json_decref(j);
        return r;
}

static void test_dispatch(void **state) {
        static const char text[] =
                        "{\"s\":\"x\",\"b\":true,\"u\":9223372036854775807,\"i\":-5,\"l\":[\"p\",\"\"],\"o\":{\"k\":1},"
                        "\"a\":[1,2],\"custom\":7,\"other\":[]}";
        _cleanup_(target_done) Target t = {};
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(json_parse(text, strlen(text), 1000, &j, NULL), 0);
        /* Twice: old values are freed. */
        for (int i = 0; i < 2; i++) {
                assert_int_equal(json_dispatch(j, fields, &t, "thing", false, NULL), 0);
                assert_string_equal(t.s, "x");
                assert_true(t.b);
                assert_true(t.u == INT64_MAX);
                assert_true(t.i == -5);
                assert_int_equal(strv_length(t.l), 2);
                assert_string_equal(t.l[0], "p");
                assert_ptr_equal(t.o, json_object_get(j, "o"));
                assert_ptr_equal(t.a, json_object_get(j, "a"));
                assert_int_equal(t.custom, 7);
        }

        assert_string_equal(json_get_string(j, "s"), "x");
        assert_null(json_get_string(j, "b"));
        assert_null(json_get_string(j, "none"));
        assert_null(json_get_string(NULL, "s"));
}

static void test_dispatch_absent(void **state) {
        _cleanup_(target_done) Target t = { .u = 5, .i = 6, .custom = 7 };

        assert_int_equal(dispatch("{\"s\":\"\",\"u\":null,\"i\":null,\"l\":null,\"custom\":null}", true, &t,
                                  NULL),
                         0);
        assert_string_equal(t.s, "");
        assert_true(t.u == 5 && t.i == 6 && t.custom == 7);
        assert_null(t.l);

        assert_int_equal(dispatch("{\"s\":\"\",\"l\":[]}", true, &t, NULL), 0);
        assert_non_null(t.l);
        assert_int_equal(strv_length(t.l), 0);
}

static void test_dispatch_errors(void **state) {
        static const struct {
                const char *text, *message;
                int error;
        } table[] = {
                { "{}", "thing.s is missing.", -EBADMSG },
                { "{\"s\":null}", "thing.s is missing.", -EBADMSG },
                { "{\"s\":1}", "thing.s: expected a string.", -EBADMSG },
                { "{\"s\":\"\",\"b\":1}", "thing.b: expected true or false.", -EBADMSG },
                { "{\"s\":\"\",\"u\":-1}", "thing.u: expected an integer that is not negative.", -EBADMSG },
                { "{\"s\":\"\",\"u\":1.0}", "thing.u: expected an integer that is not negative.", -EBADMSG },
                { "{\"s\":\"\",\"u\":\"1\"}", "thing.u: expected an integer that is not negative.",
                  -EBADMSG },
                { "{\"s\":\"\",\"i\":1.5}", "thing.i: expected an integer.", -EBADMSG },
                { "{\"s\":\"\",\"l\":\"x\"}", "thing.l: expected an array of strings.", -EBADMSG },
                { "{\"s\":\"\",\"l\":[\"x\",1]}", "thing.l: expected an array of strings.", -EBADMSG },
                { "{\"s\":\"\",\"l\":[null]}", "thing.l: expected an array of strings.", -EBADMSG },
                { "{\"s\":\"\",\"o\":[]}", "thing.o: expected an object.", -EBADMSG },
                { "{\"s\":\"\",\"a\":{}}", "thing.a: expected an array.", -EBADMSG },
                { "{\"s\":\"\",\"custom\":\"x\"}", "thing: custom: not so", -EBADMSG },
                { "{\"s\":\"\",\"custom\":true}", "thing.custom: Numerical result out of range", -ERANGE },
                { "{\"s\":\"\",\"x\\u001b\":1}", "thing.x? is not known.", -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(target_done) Target t = {};
                _cleanup_error_ Error e = ERROR_NULL;

                assert_int_equal(dispatch(table[i].text, true, &t, &e), table[i].error);
                assert_string_equal(error_message(&e), table[i].message);
                assert_int_equal(e.error, table[i].error);
        }
}

static void test_dispatch_not_object(void **state) {
        _cleanup_json_ json_t *j = json_array(), *nul = json_pack("{s:s%}", "s", "a\0b", (size_t) 3);
        _cleanup_(target_done) Target t = {};

        assert_int_equal(json_dispatch(j, fields, &t, "thing", false, NULL), -EBADMSG);
        assert_int_equal(json_dispatch(NULL, fields, &t, "thing", false, NULL), -EBADMSG);
        /* Cannot come from json_parse(), but from code. */
        assert_non_null(nul);
        assert_int_equal(json_dispatch(nul, fields, &t, "thing", false, NULL), -EBADMSG);
        assert_null(json_get_string(nul, "s"));
}

static void test_dump(void **state) {
        _cleanup_json_ json_t *j = json_pack("{s:i,s:[s,b]}", "b", 1, "a", "é", true), *s = json_string("x");
        _cleanup_free_ char *sorted = json_dump(j, true), *plain = json_dump(j, false),
                            *scalar = json_dump(s, true);

        assert_string_equal(sorted, "{\"a\":[\"é\",true],\"b\":1}");
        assert_string_equal(plain, "{\"b\":1,\"a\":[\"é\",true]}");
        assert_string_equal(scalar, "\"x\"");
}

static void test_from_strv(void **state) {
        char *const list[] = { (char *) "b", (char *) "", (char *) "é", NULL }, *const latin[] = { (char *) "\xe9", NULL };
        _cleanup_json_ json_t *j = json_from_strv(list), *none = json_from_strv(NULL);
        _cleanup_free_ char *text = json_dump(j, false), *empty = json_dump(none, false);

        assert_string_equal(text, "[\"b\",\"\",\"é\"]");
        assert_string_equal(empty, "[]");
        assert_null(json_from_strv(latin));
}

static int parse_wide(const char *text, json_t **ret) {
        return json_parse_wide(text, strlen(text), JSON_TEXT_MAX, ret, NULL);
}

static void check_wide(const char *text, uint64_t expected) {
        static const JsonField table[] = {
                { "a", JSON_FIELD_UINT64_WIDE, 0, .required = true },
                {},
        };
        _cleanup_json_ json_t *j = NULL;
        uint64_t v = 7;

        assert_int_equal(parse_wide(text, &j), 0);
        assert_int_equal(json_dispatch(j, table, &v, "test", false, NULL), 0);
        assert_true(v == expected);
}

static void test_wide(void **state) {
        static const char *const bad[] = {
                "{\"a\":18446744073709551616}",        "{\"a\":-9223372036854775809}",
                "{\"a\":018446744073709551615}",       "{\"a\":99999999999999999999}",
                "{\"a\":9223372036854775808,\"a\":1}", "{\"a\":+9223372036854775808}",
        };
        static const JsonField narrow[] = { { "a", JSON_FIELD_UINT64, 0 }, {} };
        static const JsonField string[] = { { "a", JSON_FIELD_STRING, 0 }, {} };
        static const JsonField wide[] = { { "a", JSON_FIELD_UINT64_WIDE, 0 }, {} };
        _cleanup_json_ json_t *j = NULL, *k = NULL;
        _cleanup_free_ char *s = NULL;
        uint64_t v = 0;

        check_wide("{\"a\":0}", 0);
        check_wide("{\"a\":9223372036854775807}", INT64_MAX);
        check_wide("{\"a\":9223372036854775808}", UINT64_C(1) << 63);
        check_wide("{\"a\":18446744073709551615}", UINT64_MAX);
        check_wide("{\"b\":\"9223372036854775808\\\"1\",\"a\": 9223372036854775809 }",
                   (UINT64_C(1) << 63) + 1);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ json_t *b = NULL;

                assert_int_equal(parse_wide(bad[i], &b), -EBADMSG);
        }

        /* Nobody else takes it for a number or a string. */
        assert_int_equal(parse_wide("{\"a\":9223372036854775808}", &j), 0);
        assert_int_equal(json_dispatch(j, narrow, &v, "test", false, NULL), -EBADMSG);
        assert_int_equal(json_dispatch(j, string, &s, "test", false, NULL), -EBADMSG);
        assert_null(json_get_string(j, "a"));
        assert_int_equal(parse_wide("{\"a\":-1}", &k), 0);
        assert_int_equal(json_dispatch(k, wide, &v, "test", false, NULL), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_wide),
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_nul_in_text),
                cmocka_unit_test(test_message),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_dispatch),
                cmocka_unit_test(test_dispatch_absent),
                cmocka_unit_test(test_dispatch_errors),
                cmocka_unit_test(test_dispatch_not_object),
                cmocka_unit_test(test_dump),
                cmocka_unit_test(test_from_strv),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
