/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/library.h"

LIBRARY_NOTE("test", "What this test loads", "suggested", "libm.so.6");

static double (*sym_cos)(double);
static void (*sym_missing)(void);

static const LibraryFunction functions[] = {
        { "cos", (void **) &sym_cos },
        { "no_such_function_there", (void **) &sym_missing },
};

static Library library(const char *soname, size_t n_functions) {
        return (Library) {
                .soname = soname,
                .needed_for = "tests",
                .package = "libmath",
                .functions = functions,
                .n_functions = n_functions,
        };
}

static void test_loaded(void **state) {
        Library l = library("libm.so.6", 1);

        for (int i = 0; i < 2; i++) {
                sym_cos = NULL;
                assert_int_equal(library_load(&l, NULL), 0);
                assert_true(sym_cos(0) > 0.99);
        }
}

static void test_missing(void **state) {
        Library l = library("libnothing-of-this-name.so.7", 1);
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(library_load(&l, &e), -ELIBACC);
        assert_true(error_has_name(&e, "NotSupported"));
        assert_non_null(strstr(error_message(&e), "libnothing-of-this-name.so.7, which is needed for tests: install libmath ("));
}

static void test_too_old(void **state) {
        Library l = library("libm.so.6", 2);
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(library_load(&l, &e), -ELIBBAD);
        assert_true(error_has_name(&e, "NotSupported"));
        assert_non_null(strstr(error_message(&e), "libm.so.6 has no function no_such_function_there"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loaded),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_too_old),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
