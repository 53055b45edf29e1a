/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/strv.h"
#include "events/event-journal.h"
#include "events/events.h"
#include "events/topics.h"

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

        assert_true(events_record(e, "default", "container/exited", "web", "#ExitCode", INT64_C(7), "Result", "exit-code", NULL) >= 0);
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

static void test_trim_at_start(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        unsigned n = 0;
        Events *e;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 100, &e), 0);
        for (unsigned i = 0; i < 50; i++)
                assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);
        events_free(e);
        assert_int_equal(events_new(s, 10, &e), 0);
        assert_int_equal(store_event_foreach_since(s, 0, 10000, count_event, &n), 0);
        assert_int_equal(n, 10);
        assert_int_equal(events_oldest_sequence(e), 41);
        events_free(e);
}

/* Nobody hears of what may be undone. */
static void test_transactions(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;
        Seen seen = {};

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 100, &e), 0);
        assert_int_equal(events_subscribe(e, on_notify, &seen), 0);

        assert_int_equal(store_begin(s, true), 0);
        assert_true(store_in_transaction(s));
        assert_int_equal(store_begin(s, false), 0);
        assert_true(events_record(e, "a", "container/started", "one", NULL) >= 0);
        assert_true(events_record(e, "a", "container/exited", "two", "#ExitCode", INT64_C(1), NULL) >= 0);
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(seen.n, 0);
        assert_int_equal(events_last_sequence(e), 0);
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(events_last_sequence(e), 2);
        assert_string_equal(seen.details, "a|container/exited|two|{\"ExitCode\":1}");

        /* Rolled back: its number is the next one's. */
        assert_int_equal(store_begin(s, true), 0);
        assert_true(events_record(e, "a", "container/started", "lost", NULL) >= 0);
        assert_int_equal(store_rollback(s), 0);
        assert_int_equal(seen.n, 2);
        assert_true(events_record(e, "a", "container/removed", "kept", NULL) >= 0);
        assert_int_equal(seen.n, 3);
        assert_int_equal(seen.sequence, 3);
        assert_string_equal(seen.details, "a|container/removed|kept|{}");

        /* One that never ends. */
        assert_int_equal(store_begin(s, true), 0);
        assert_true(events_record(e, "a", "container/started", "open", NULL) >= 0);
}

static void check_since(Events *e, uint64_t sequence, bool complete) {
        _cleanup_error_ Error error = ERROR_NULL;

        assert_int_equal(events_check_since(e, sequence, &error), complete ? 0 : -ENODATA);
        assert_int_equal(error_has_name(&error, "EventsLost"), !complete);
}

static void test_proof(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 10, &e), 0);
        assert_int_equal(events_oldest_sequence(e), 1);
        check_since(e, 0, true);
        check_since(e, 1, false);
        for (unsigned i = 0; i < 256; i++)
                assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);
        assert_int_equal(events_oldest_sequence(e), 247);
        check_since(e, 0, true);
        check_since(e, 245, false);
        check_since(e, 246, true);
        check_since(e, 256, true);
        check_since(e, 257, false);
        /* None is kept. */
        assert_int_equal(store_event_trim(s, 0), 1);
        assert_int_equal(events_oldest_sequence(e), 257);
        check_since(e, 256, true);
        check_since(e, 255, false);
}

static void test_losses(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_(events_freep) Events *e = NULL;
        uint64_t last;
        Seen seen = {};

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 10, &e), 0);
        assert_int_equal(events_subscribe(e, on_notify, &seen), 0);
        assert_true(events_after_power_loss(e) >= 0);
        assert_string_equal(seen.details, "|events/lost||{\"First\":1,\"Last\":10000,\"Reason\":\"power-loss\"}");
        assert_int_equal(seen.sequence, 10001);
        assert_true(events_record(e, "a", "image/pulled", "b", NULL) >= 0);
        assert_int_equal(seen.sequence, 10002);

        assert_true(events_after_database_loss(e) >= 0);
        last = seen.sequence;
        assert_true(last > UINT64_C(1700000000000) && last < INT64_MAX);
        assert_non_null(strstr(seen.details, "database-lost"));
        assert_true(events_after_database_loss(e) >= 0);
        assert_true(seen.sequence > last);
}

static uint64_t read_mark(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint64_t mark = 0;

        assert_int_equal(read(fd, &mark, sizeof(mark)), sizeof(mark));
        return mark;
}

static void test_mark(void **state) {
        char path[] = "/tmp/test-events-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        _cleanup_(store_freep) Store *s = NULL;
        uint64_t mark = 1;
        Events *e;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(events_new(s, 10, &e), 0);
        assert_int_equal(events_keep_mark(e, path), 0);
        assert_int_equal(read_mark(path), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_true(events_record(e, "a", "image/pulled", "b", "Digest", "d", NULL) >= 0);
        assert_int_equal(read_mark(path), 3);
        events_free(e);

        /* One that had no time for the last two. */
        assert_int_equal(pwrite(fd, &mark, sizeof(mark), 0), sizeof(mark));
        assert_int_equal(events_new(s, 10, &e), 0);
        assert_int_equal(events_keep_mark(e, path), 0);
        assert_int_equal(read_mark(path), 3);
        events_free(e);
        (void) unlink(path);
}

static void test_topics(void **state) {
        assert_null(event_topic_find("container/eaten"));
        assert_string_equal(event_topic_find("container/exited")->field, "MOORED_CONTAINER");
        assert_int_equal(strlen(event_topic_find("events/lost")->message_id), 32);
}

static void test_journal(void **state) {
        _cleanup_json_ json_t *details = json_pack("{si ss ss sb}", "ExitCode", 7, "Result", "exit-code", "ExitSignal", "",
                                                   "OOMKilled", 1),
                              *none = json_object();
        const EventRow row = { .sequence = 5, .ns = (char *) "default", .topic = (char *) "container/exited", .subject = (char *) "web" };
        const EventRow job = { .topic = (char *) "namespace/created", .ns = (char *) "x", .subject = (char *) "x" };
        const EventRow lost = { .topic = (char *) "events/lost", .ns = (char *) "", .subject = (char *) "" };
        _cleanup_strv_free_ char **fields = NULL, **few = NULL;
        _cleanup_free_ char *message = NULL, *a = NULL, *b = NULL;

        assert_int_equal(event_journal_fields(&row, details, &fields), 0);
        assert_string_equal(strv_env_get(fields, "MOORED_EVENT"), "5");
        assert_string_equal(strv_env_get(fields, "MOORED_TOPIC"), "container/exited");
        assert_string_equal(strv_env_get(fields, "MOORED_CONTAINER"), "web");
        assert_string_equal(strv_env_get(fields, "MOORED_NAMESPACE"), "default");
        assert_string_equal(strv_env_get(fields, "MOORED_EXIT_CODE"), "7");
        assert_string_equal(strv_env_get(fields, "MOORED_OOM_KILLED"), "true");
        assert_string_equal(strv_env_get(fields, "MESSAGE_ID"), event_topic_find("container/exited")->message_id);
        assert_int_equal(event_journal_message(&row, details, &message), 0);
        assert_string_equal(message, "Container web has ended: ExitCode=7 Result=exit-code OOMKilled=true");

        assert_int_equal(event_journal_fields(&job, none, &few), 0);
        assert_int_equal(strv_length(few), 4); /* its namespace once */
        assert_int_equal(event_journal_message(&job, none, &a), 0);
        assert_string_equal(a, "Namespace x was made.");
        assert_int_equal(event_journal_message(&lost, none, &b), 0);
        assert_string_equal(b, "Events were lost.");
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
                cmocka_unit_test(test_trim_at_start),
                cmocka_unit_test(test_transactions),
                cmocka_unit_test(test_proof),
                cmocka_unit_test(test_losses),
                cmocka_unit_test(test_mark),
                cmocka_unit_test(test_topics),
                cmocka_unit_test(test_journal),
                cmocka_unit_test(test_subscribers_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
