/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <systemd/sd-bus.h>

#include "container/unit-name.h"

static void check(char *got, const char *want) {
        if (want)
                assert_string_equal(got, want);
        else
                assert_null(got);
        free(got);
}

static void test_escape(void **state) {
        check(unit_name_escape("web1"), "web1");
        check(unit_name_escape("a-b"), "a\\x2db");
        check(unit_name_escape(".a.b"), "\\x2ea.b");
        check(unit_name_escape("a/b"), "a-b");
        check(unit_name_escape("a\\b@c:d_e"), "a\\x5cb\\x40c:d_e");
        check(unit_name_escape("\xc3\xa9"), "\\xc3\\xa9");
        check(unit_name_escape(""), "");
}

static void test_names(void **state) {
        char *a = container_unit_name("a", "b-c"), *b = container_unit_name("a-b", "c");

        check(container_unit_name("default", "web"), "moored-default-web.service");
        check(container_template_unit_name("a-b"), "moored@a-b.service");
        assert_true(unit_is_installed("moored@web.service"));
        assert_false(unit_is_installed("moored-default-web.service"));
        check(exec_unit_name("default", "web", 12), "moored-default-web-12.service");
        check(container_unit_name("default", "web-12"), "moored-default-web\\x2d12.service");
        check(namespace_slice_name("default"), "moored-default.slice");
        check(namespace_slice_name("a-b"), "moored-a\\x2db.slice");
        check(resolver_unit_name("br-lan"), "moored-dns@br\\x2dlan.service");
        assert_true(unit_is_resolver("moored-dns@moored0.service"));
        assert_false(unit_is_resolver("moored-dns-a.service"));
        assert_true(unit_is_plugin_run("moored-cni@17-1035-0.service"));
        assert_false(unit_is_plugin_run("moored-cni-a.service"));
        /* Whatever the dashes, two containers are two units. */
        assert_string_not_equal(a, b);
        free(a);
        free(b);
}

static void test_object_path(void **state) {
        static const char *const units[] = { "moored-default-web.service", "moored-a\\x2db-1.service",
                                             "1_x.service" };

        check(unit_object_path("moored-default-web.service"),
              "/org/freedesktop/systemd1/unit/moored_2ddefault_2dweb_2eservice");
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                char *want;

                assert_true(sd_bus_path_encode("/org/freedesktop/systemd1/unit", units[i], &want) >= 0);
                check(unit_object_path(units[i]), want);
                free(want);
        }
}

static void test_control_group(void **state) {
        check(unit_control_group("moored-default.slice", "u.service"),
              "/moored.slice/moored-default.slice/u.service");
        check(unit_control_group("moored-a\\x2db.slice", "u.service"),
              "/moored.slice/moored-a\\x2db.slice/u.service");
        check(unit_control_group("system.slice", "u.service"), "/system.slice/u.service");
        check(unit_control_group("a-b-c.slice", "u.service"), "/a.slice/a-b.slice/a-b-c.slice/u.service");
        check(unit_control_group("-.slice", "u.service"), "/u.service");
        check(unit_control_group("nonsense", "u.service"), NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_object_path),
                cmocka_unit_test(test_control_group),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
