/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/detach-keys.h"

static void test_parse(void **state) {
        static const char *const wrong[] = { "ctrl-", "ctrl-1", "ctrl-pp", "ab", "\303\244", "a,b,c,d,e,f,g,h,i" };
        DetachKeys k;

        assert_int_equal(detach_keys_parse(DETACH_KEYS_DEFAULT, &k, NULL), 0);
        assert_int_equal(k.n, 2);
        assert_memory_equal(k.keys, "\020\021", 2);
        assert_int_equal(detach_keys_parse("ctrl-],ctrl-@,q,ctrl-A", &k, NULL), 0);
        assert_int_equal(k.n, 4);
        assert_memory_equal(k.keys, "\035\0q\001", 4);
        assert_int_equal(detach_keys_parse("", &k, NULL), 0);
        assert_int_equal(k.n, 0);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                int r = detach_keys_parse(wrong[i], &k, &e);

                assert_int_equal(r, -EINVAL);
                assert_non_null(strstr(error_message(&e), wrong[i]));
        }
}

/* What is passed on of keys that were typed in these pieces. */
static void check(const char *keys, const char *const pieces[], const char *passed, bool detached) {
        char out[256], all[1024] = "";
        size_t n = 0;
        bool found = false;
        DetachKeys k;

        assert_int_equal(detach_keys_parse(keys, &k, NULL), 0);
        for (size_t i = 0; pieces[i] && !found; i++) {
                size_t done = detach_keys_filter(&k, pieces[i], strlen(pieces[i]), out, &found);

                memcpy(all + n, out, done);
                n += done;
        }
        all[n] = 0;
        assert_string_equal(all, passed);
        assert_int_equal(found, detached);
}

static void test_filter(void **state) {
        check("x,y", (const char *const[]) { "abc", NULL }, "abc", false);
        check("x,y", (const char *const[]) { "axyb", NULL }, "a", true);
        check("x,y", (const char *const[]) { "ax", "yb", NULL }, "a", true);
        /* A beginning is held back, until it is none. */
        check("x,y", (const char *const[]) { "ax", NULL }, "a", false);
        check("x,y", (const char *const[]) { "ax", "z", NULL }, "axz", false);
        check("x,y", (const char *const[]) { "xxxy", NULL }, "xx", true);
        check("x,y,x,z", (const char *const[]) { "xyxyxz", NULL }, "xy", true);
        check("x,y,x,z", (const char *const[]) { "x", "y", "x", "y", "q", NULL }, "xyxyq", false);
        check("q", (const char *const[]) { "abq", NULL }, "ab", true);
        check("", (const char *const[]) { "\020\021", NULL }, "\020\021", false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_filter),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
