/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/error.h"

static void test_set(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_false(error_is_set(&e));
        assert_false(error_is_set(NULL));
        assert_int_equal(error_set(&e, -ENOENT, "NoSuchImage", "No image %s: %m", "x"), -ENOENT);
        assert_true(error_is_set(&e));
        assert_int_equal(e.error, -ENOENT);
        assert_string_equal(error_name(&e), "NoSuchImage");
        assert_string_equal(error_message(&e), "No image x: No such file or directory");
        assert_true(error_has_name(&e, "NoSuchImage"));
        assert_false(error_has_name(&e, "NoSuch"));

        error_done(&e);
        assert_false(error_is_set(&e));
        assert_false(error_has_name(&e, "NoSuchImage"));
        error_done(&e);
        error_done(NULL);
}

static void test_first_wins(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(error_set(&e, -EIO, "First", "first"), -EIO);
        assert_int_equal(error_set(&e, -EBUSY, "Second", "second"), -EBUSY);
        assert_int_equal(error_set_errno(&e, -EPERM, "third"), -EPERM);
        assert_int_equal(e.error, -EIO);
        assert_string_equal(error_name(&e), "First");
        assert_string_equal(error_message(&e), "first");
}

static void test_no_target(void **state) {
        assert_int_equal(error_set(NULL, -EIO, "X", "x"), -EIO);
        assert_int_equal(error_set_errno(NULL, -EIO, "x"), -EIO);
        assert_int_equal(error_prefix(NULL, "x"), 0);
        assert_int_equal(error_move(NULL, NULL), 0);
        assert_int_equal(error_copy(NULL, NULL), 0);
}

static void test_names(void **state) {
        static const struct {
                int error;
                const char *name;
        } table[] = {
                { -ENOENT, "NotFound" },        { -ENOMEM, "NoMemory" },      { -ENOSPC, "NoSpace" },
                { -EINVAL, "InvalidArgument" }, { -EEXIST, "AlreadyExists" }, { -EBUSY, "Busy" },
                { -ECANCELED, "Canceled" },     { -EIO, "Failed" },           { -99999, "Failed" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL, lost = { .error = table[i].error };

                error_set_errno(&e, table[i].error, "x");
                assert_string_equal(error_name(&e), table[i].name);
                /* As after running out of memory. */
                assert_string_equal(error_name(&lost), table[i].name);
                assert_non_null(error_message(&lost));
        }

        assert_non_null(error_name(NULL));
        assert_non_null(error_message(NULL));
}

static void test_prefix(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, lost = { .error = -ENOMEM };

        assert_int_equal(error_prefix(&e, "nothing"), 0);
        assert_false(error_is_set(&e));

        error_set(&e, -EINVAL, "InvalidConfig", "bad value");
        assert_int_equal(error_prefix(&e, "Line %d", 5), -EINVAL);
        assert_int_equal(error_prefix(&e, "%s", "a.conf"), -EINVAL);
        assert_string_equal(error_message(&e), "a.conf: Line 5: bad value");
        assert_string_equal(error_name(&e), "InvalidConfig");

        assert_int_equal(error_prefix(&lost, "x"), -ENOMEM);
        assert_string_equal(error_message(&lost), "x: Cannot allocate memory");
}

static void test_move_copy(void **state) {
        _cleanup_error_ Error a = ERROR_NULL, b = ERROR_NULL, c = ERROR_NULL;

        assert_int_equal(error_move(&b, &a), 0);
        assert_false(error_is_set(&b));

        error_set(&a, -EIO, "Name", "text");
        assert_int_equal(error_copy(&b, &a), -EIO);
        assert_string_equal(error_message(&b), "text");
        assert_ptr_not_equal(a.message, b.message);

        assert_int_equal(error_move(&c, &a), -EIO);
        assert_false(error_is_set(&a));
        assert_string_equal(error_name(&c), "Name");

        assert_int_equal(error_move(NULL, &b), -EIO);
        assert_false(error_is_set(&b));
        assert_null(b.message);
        assert_int_equal(error_copy(NULL, &c), -EIO);
        assert_true(error_is_set(&c));
}

static void test_safe_text(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;

        /* What a registry sends may end in a message: no escape sequences, valid UTF-8 for D-Bus. */
        error_set(&e, -EIO, "X", "a\x1b[31mb\xff%sé", "\xe2\x82");
        assert_string_equal(error_message(&e), "a?[31mb???é");
        error_prefix(&e, "p\n\x9b");
        assert_string_equal(error_message(&e), "p??: a?[31mb???é");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),       cmocka_unit_test(test_first_wins),
                cmocka_unit_test(test_no_target), cmocka_unit_test(test_names),
                cmocka_unit_test(test_prefix),    cmocka_unit_test(test_move_copy),
                cmocka_unit_test(test_safe_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
