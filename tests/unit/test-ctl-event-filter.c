/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ctl/event-filter.h"

static bool matches(const EventRecord *e, const char *const *filters) {
        EventFilter f = {};
        bool result;

        for (; *filters; filters++)
                assert_int_equal(event_filter_add(&f, *filters, NULL), 0);
        result = event_filter_match(&f, e);
        event_filter_done(&f);
        return result;
}

#define MATCHES(e, ...) matches(e, (const char *const[]) { __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_match(void **state) {
        _cleanup_json_ json_t *details = json_pack("{ss}", "Image", "busybox:latest");
        const EventRecord container = { .ns = "default", .topic = "container/exited", .subject = "web", .details = details };
        const EventRecord image = { .ns = "other", .topic = "image/pulled", .subject = "busybox:latest" };

        const EventRecord network = { .ns = "default", .topic = "network/created", .subject = "web" };

        assert_true(MATCHES(&network, "network=web", "type=network"));
        assert_false(MATCHES(&network, "container=web"));
        assert_false(MATCHES(&container, "network=web"));
        assert_true(MATCHES(&container));
        assert_true(MATCHES(&container, "container=web"));
        assert_false(MATCHES(&container, "container=we"));
        assert_true(MATCHES(&container, "event=exited"));
        assert_true(MATCHES(&container, "event=container/exited"));
        assert_false(MATCHES(&container, "event=container"));
        assert_true(MATCHES(&container, "type=container"));
        assert_false(MATCHES(&container, "type=contain"));
        assert_true(MATCHES(&container, "image=busybox:latest"));
        assert_true(MATCHES(&container, "namespace=default", "subject=web"));
        /* One of a key, each key. */
        assert_true(MATCHES(&container, "event=started", "event=exited"));
        assert_false(MATCHES(&container, "event=exited", "container=db"));
        assert_true(MATCHES(&image, "image=busybox:latest", "namespace=other"));
        assert_false(MATCHES(&image, "container=busybox:latest"));
        assert_true(MATCHES(&image, "subject=busybox:latest"));
}

static void test_errors(void **state) {
        static const char *const bad[] = { "", "=", "container", "container=", "=web", "colour=red", "Container=web" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                EventFilter f = {};

                if (event_filter_add(&f, bad[i], &e) != -EINVAL)
                        fail_msg("%s was accepted", bad[i]);
                event_filter_done(&f);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_match),
                cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
