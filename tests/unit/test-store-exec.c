/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "store/store.h"

static int setup(void **state) {
        const NamespaceRow ns = { .name = (char *) "default" };
        const ContainerRow container = { .ns = (char *) "default", .id = (char *) "web" };
        Store *s = NULL;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        assert_int_equal(store_namespace_add(s, &ns), 0);
        assert_int_equal(store_container_add(s, &container), 0);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        store_free(*state);
        return 0;
}

static ExecRow make(void) {
        return (ExecRow) { .ns = (char *) "default", .id = (char *) "web", .options = (char *) "{}", .exit_code = -1 };
}

typedef struct Seen {
        const ExecRow *want;
        unsigned n;
} Seen;

static int check_cb(ExecRow *row, void *userdata) {
        Seen *seen = userdata;
        const ExecRow *w = seen->want;

        seen->n++;
        if (!w)
                return 0;
        assert_int_equal(row->n, w->n);
        assert_string_equal(row->ns, w->ns);
        assert_string_equal(row->id, w->id);
        assert_string_equal(row->options, w->options);
        assert_true(streq_ptr(row->token, w->token));
        assert_int_equal(row->auto_remove, w->auto_remove);
        assert_int_equal(row->created_usec, w->created_usec);
        assert_int_equal(row->started_usec, w->started_usec);
        assert_int_equal(row->finished_usec, w->finished_usec);
        assert_true(streq_ptr(row->boot_id, w->boot_id));
        assert_true(streq_ptr(row->invocation_id, w->invocation_id));
        assert_int_equal(row->exit_code, w->exit_code);
        assert_true(streq_ptr(row->exit_signal, w->exit_signal));
        assert_true(streq_ptr(row->result, w->result));
        return 0;
}

static unsigned check(Store *s, const ExecRow *want) {
        Seen seen = { want, 0 };

        assert_int_equal(store_exec_foreach(s, check_cb, &seen), 0);
        return seen.n;
}

static void test_row(void **state) {
        ExecRow row = make();
        Store *s = *state;

        assert_int_equal(store_exec_add(s, &row), 0);
        assert_int_equal(row.n, 1);
        assert_int_equal(check(s, &row), 1);
        row.options = (char *) "{\"a\":1}";
        row.token = (char *) "t";
        row.auto_remove = true;
        row.created_usec = 1;
        row.started_usec = 2;
        row.finished_usec = 3;
        row.boot_id = (char *) "b";
        row.invocation_id = (char *) "v";
        row.exit_code = 137;
        row.exit_signal = (char *) "KILL";
        row.result = (char *) "signal";
        assert_int_equal(store_exec_update(s, &row), 0);
        assert_int_equal(check(s, &row), 1);
        assert_int_equal(store_exec_remove(s, row.n), 0);
        assert_int_equal(store_exec_remove(s, row.n), -ENOENT);
        assert_int_equal(store_exec_update(s, &row), -ENOENT);
}

static void test_numbers(void **state) {
        ExecRow a = make(), b = make(), given = make();
        Store *s = *state;

        /* Not used again, not even the last one. */
        assert_int_equal(store_exec_add(s, &a), 0);
        assert_int_equal(store_exec_remove(s, a.n), 0);
        assert_int_equal(store_exec_add(s, &b), 0);
        assert_true(b.n > a.n);

        /* For a database that is filled again. */
        given.n = 40;
        assert_int_equal(store_exec_add(s, &given), 0);
        assert_int_equal(given.n, 40);
        assert_int_equal(store_exec_add(s, &given), -EEXIST);
        a = make();
        assert_int_equal(store_exec_add(s, &a), 0);
        assert_int_equal(a.n, 41);
}

static void test_container(void **state) {
        ExecRow row = make(), stranger = make();
        Store *s = *state;

        stranger.id = (char *) "none";
        assert_int_equal(store_exec_add(s, &stranger), -ENOENT);
        assert_int_equal(store_exec_add(s, &row), 0);
        assert_int_equal(store_container_remove(s, "default", "web"), 0);
        assert_int_equal(check(s, NULL), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_row, setup, teardown),
                cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_container, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
