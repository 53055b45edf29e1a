/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "events/events.h"

typedef struct Seen {
        unsigned n;
        NotifyType last;
        uint64_t sequence;
        char details[256];
} Seen;

static void on_notify(NotifyType type, const char *ns, const char *name, void *object, void *userdata) {
        Seen *seen = userdata;

        seen->n++;
        seen->last = type;
        if (type == NOTIFY_EVENT) {
                const EventRow *row = object;

                seen->sequence = row->sequence;
                snprintf(seen->details, sizeof(seen->details), "%s|%s|%s|%s", row->ns, row->topic, row->subject, row->details);
        }
}

static void test_record(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;
        Seen seen = {};

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 100, &e), 0);
        assert_int_equal(events_subscribe(e, on_notify, &seen), 0);

        assert_true(events_record(e, "default", "container/exited", "web", "#ExitCode", "7", "Result", "exit-code", NULL) >= 0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.last, NOTIFY_EVENT);
        assert_string_equal(seen.details, "default|container/exited|web|{\"ExitCode\":7,\"Result\":\"exit-code\"}");
        assert_int_equal(seen.sequence, events_last_sequence(e));

        /* Numbers go up by one, without a gap. */
        uint64_t first = seen.sequence;
        assert_true(events_record(e, NULL, "namespace/created", "x", NULL) >= 0);
        assert_int_equal(seen.sequence, first + 1);
        assert_string_equal(seen.details, "|namespace/created|x|{}");
}

static void test_numbers_go_on(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        Events *e;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 100, &e), 0);
        assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);
        uint64_t last = events_last_sequence(e);
        events_free(e);

        /* A new daemon on the same store. */
        assert_int_equal(events_new(s, 100, &e), 0);
        assert_int_equal(events_last_sequence(e), last);
        assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);
        assert_int_equal(events_last_sequence(e), last + 1);
        events_free(e);
}

static int count_event(const EventRow *row, void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

static void test_trim(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;
        unsigned n = 0;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 10, &e), 0);
        for (unsigned i = 0; i < 1024; i++)
                assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);

        assert_int_equal(store_event_foreach_since(s, 0, 10000, count_event, &n), 0);
        assert_in_range(n, 10, 10 + 256);
        assert_int_equal(events_last_sequence(e), store_event_last(s));
}

static void test_subscribers_are_bounded(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;
        Seen seen = {};

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 10, &e), 0);
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(events_subscribe(e, on_notify, &seen), 0);
        assert_int_equal(events_subscribe(e, on_notify, &seen), -ENOBUFS);

        events_notify(e, NOTIFY_IMAGE_REMOVED, "a", "b", NULL);
        assert_int_equal(seen.n, 8);
        assert_int_equal(seen.last, NOTIFY_IMAGE_REMOVED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_record),
                cmocka_unit_test(test_numbers_go_on),
                cmocka_unit_test(test_trim),
                cmocka_unit_test(test_subscribers_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
