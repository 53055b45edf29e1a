/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/runtimes.h"

#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })

static void test_valid(void **state) {
        assert_true(runtime_is_valid("runc"));
        assert_true(runtime_is_valid("my-runtime_2.0"));
        assert_true(runtime_is_valid("/usr/bin/crun"));
        assert_false(runtime_is_valid(""));
        assert_false(runtime_is_valid("a b"));
        assert_false(runtime_is_valid("bin/crun"));
        assert_false(runtime_is_valid("/usr/../bin/crun"));
        assert_false(runtime_is_valid("/usr/bin/cr\nun"));
}

static void check(const char *name, const char *want) {
        char **table = L("shell=/bin/sh", "runc=/bin/cat", "gone=/nosuch", "folder=/usr");
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = runtime_find(table, name, &path, &e);
        if (want) {
                assert_int_equal(r, 0);
                assert_string_equal(path, want);
        } else {
                assert_int_equal(r, -ENOENT);
                assert_string_equal(error_name(&e), "NoSuchRuntime");
                assert_null(path);
        }
}

static void test_find(void **state) {
        _cleanup_free_ char *path = NULL;

        assert_int_equal(runtime_find(NULL, NULL, &path, NULL), 0);
        assert_null(path);
        assert_int_equal(runtime_find(NULL, RUNTIME_OWN, &path, NULL), 0);
        assert_null(path);
        check("shell", "/bin/sh");
        check("runc", "/bin/cat"); /* also where there is another */
        check("/bin/true", "/bin/true");
        check("/nosuch", NULL);
        check("/etc/passwd", NULL);
        check("gone", NULL);
        check("folder", NULL);
        check("sh", NULL);
}

static void test_list(void **state) {
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(runtime_list(L("shell=/bin/sh", "gone=/nosuch", "runc=/nosuch"), &names), 0);
        assert_true(strv_contains(names, "shell") && strv_contains(names, RUNTIME_OWN));
        assert_false(strv_contains(names, "gone") || strv_contains(names, "runc"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
