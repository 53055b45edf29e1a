/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/bus-object.h"

static const BusObject *const objects[] = {
        &bus_manager_object,   &bus_namespace_object, &bus_image_object,
        &bus_container_object, &bus_job_object,
};

/* A method without a rule would be closed to everybody but root, which is safe and not meant. */
static void every_method_has_a_rule(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                for (const sd_bus_vtable *v = objects[i]->vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                        BusAction a;

                        if (v->type != _SD_BUS_VTABLE_METHOD)
                                continue;
                        /* Nobody else could have any use of it. */
                        if (streq(v->x.method.member, "StartScope"))
                                continue;
                        a = bus_action_for_call(objects[i]->interface, v->x.method.member, NULL);
                        if (a == BUS_ACTION_ROOT || a == BUS_ACTION_OPEN || !bus_action_id(a))
                                fail_msg("%s.%s has no rule", objects[i]->interface, v->x.method.member);
                }
}

/* Without this flag sd-bus asks for the sender's credentials itself, and waits. */
static void every_method_is_left_to_the_filter(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                for (const sd_bus_vtable *v = objects[i]->vtable; v->type != _SD_BUS_VTABLE_END; v++)
                        if (v->type == _SD_BUS_VTABLE_METHOD)
                                assert_true(v->flags & SD_BUS_VTABLE_UNPRIVILEGED);
                        else
                                assert_true(v->type != _SD_BUS_VTABLE_WRITABLE_PROPERTY);
}

static void secrets_are_explicit(void **state) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                for (const sd_bus_vtable *v = objects[i]->vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                        bool secret;

                        if (v->type != _SD_BUS_VTABLE_PROPERTY)
                                continue;
                        secret = bus_action_for_call("org.freedesktop.DBus.Properties", "Get",
                                                     v->x.property.member) == BUS_ACTION_INSPECT_SECRETS;
                        /* GetAll() and InterfacesAdded leave these out. */
                        assert_int_equal(secret, !!(v->flags & SD_BUS_VTABLE_PROPERTY_EXPLICIT));
                        n += secret;
                }

        assert_int_equal(n, 2);
}

static void rules(void **state) {
        assert_int_equal(bus_action_for_call("org.freedesktop.DBus.Peer", "Ping", NULL), BUS_ACTION_OPEN);
        assert_int_equal(bus_action_for_call("org.freedesktop.DBus.Introspectable", "Introspect", NULL),
                         BUS_ACTION_OPEN);
        assert_int_equal(bus_action_for_call("org.freedesktop.DBus.Properties", "Get", "State"),
                         BUS_ACTION_INSPECT);
        assert_int_equal(bus_action_for_call("org.freedesktop.DBus.Properties", "GetAll", NULL),
                         BUS_ACTION_INSPECT);
        assert_int_equal(bus_action_for_call("org.freedesktop.DBus.Properties", "Set", NULL),
                         BUS_ACTION_ROOT);
        assert_int_equal(bus_action_for_call(BUS_INTERFACE_NAMESPACE, "RunContainer", NULL),
                         BUS_ACTION_MANAGE_CONTAINERS);
        assert_int_equal(bus_action_for_call(BUS_INTERFACE_NAMESPACE, "Nothing", NULL), BUS_ACTION_ROOT);
        assert_int_equal(bus_action_for_call("org.example", "RunContainer", NULL), BUS_ACTION_ROOT);
        assert_int_equal(bus_action_for_call(NULL, "RunContainer", NULL), BUS_ACTION_ROOT);
        assert_int_equal(bus_action_for_call(NULL, NULL, NULL), BUS_ACTION_ROOT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_method_has_a_rule),
                cmocka_unit_test(every_method_is_left_to_the_filter),
                cmocka_unit_test(secrets_are_explicit),
                cmocka_unit_test(rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
