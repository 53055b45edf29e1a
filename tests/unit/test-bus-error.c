/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/bus-error.h"

static void assert_name(const char *name, const char *expected) {
        _cleanup_(sd_bus_error_free) sd_bus_error bus_error = SD_BUS_ERROR_NULL;
        _cleanup_error_ Error error = ERROR_NULL;

        (void) error_set(&error, -ENOENT, name, "a sentence");
        assert_int_equal(bus_error_set(&bus_error, &error), -ENOENT);
        assert_string_equal(bus_error.name, expected);
        assert_string_equal(bus_error.message, "a sentence");
}

static void names(void **state) {
        assert_name("NoSuchImage", "org.moored1.Error.NoSuchImage");
        assert_name("InvalidArgument", "org.freedesktop.DBus.Error.InvalidArgs");
        assert_name("NoMemory", "org.freedesktop.DBus.Error.NoMemory");
        assert_name("AccessDenied", "org.freedesktop.DBus.Error.AccessDenied");
        assert_name("LimitsExceeded", "org.freedesktop.DBus.Error.LimitsExceeded");
        assert_name("InteractiveAuthorizationRequired",
                    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired");
}

/* A launcher or helper may say anything: the reply must be one that the broker lets through. */
static void names_that_are_none(void **state) {
        char name[BUS_ERROR_NAME_MAX + 1];

        assert_name("", "org.moored1.Error.Failed");
        assert_name("No Such Image", "org.moored1.Error.Failed");
        assert_name("a.b", "org.moored1.Error.Failed");
        assert_name("1", "org.moored1.Error.Failed");
        assert_name("Größe", "org.moored1.Error.Failed");

        memset(name, 'x', sizeof(name));
        name[BUS_ERROR_NAME_MAX - strlen(BUS_ERROR_PREFIX)] = 0;
        assert_name(name, "org.moored1.Error.Failed");
}

static void longest_name(void **state) {
        _cleanup_error_ Error error = ERROR_NULL;
        char name[BUS_ERROR_NAME_MAX], buf[BUS_ERROR_NAME_MAX];

        memset(name, 'x', sizeof(name));
        name[BUS_ERROR_NAME_MAX - strlen(BUS_ERROR_PREFIX) - 1] = 0;
        (void) error_set(&error, -EIO, name, "a sentence");
        assert_int_equal(strlen(bus_error_name(&error, buf)), BUS_ERROR_NAME_MAX - 1);
        assert_true(sd_bus_interface_name_is_valid(buf) > 0);
}

static void without_reason(void **state) {
        _cleanup_(sd_bus_error_free) sd_bus_error bus_error = SD_BUS_ERROR_NULL;
        Error error = ERROR_NULL;

        assert_int_equal(bus_error_set(&bus_error, &error), -EIO);
        assert_string_equal(bus_error.name, "org.moored1.Error.Failed");
        assert_non_null(bus_error.message);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names),
                cmocka_unit_test(names_that_are_none),
                cmocka_unit_test(longest_name),
                cmocka_unit_test(without_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
