/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits and freezing, with a PID 1 that does what it is told, later. */

#include "container/statistics.h"
#include "container/unit-limits.h"
#include "container-fixture.h"

typedef struct Pending {
        void (*func)(int r, const Error *error, void *userdata);
        void (*limits)(int r, char *const *limits, void *userdata);
        void *userdata;
        char *text;  /* what was to be changed */
        bool freeze;
        unsigned n;
} Pending;

static Pending pending;

static int later_update(void *backend, const char *unit, char *const *properties,
                        void (*func)(int r, const Error *error, void *userdata), void *userdata) {
        free(pending.text);
        pending = (Pending) { .func = func, .userdata = userdata, .text = strv_join(properties, "; "), .n = pending.n + 1 };
        return 0;
}

static int later_freeze(void *backend, const char *unit, bool freeze,
                        void (*func)(int r, const Error *error, void *userdata), void *userdata) {
        free(pending.text);
        pending = (Pending) { .func = func, .userdata = userdata, .freeze = freeze, .n = pending.n + 1 };
        return 0;
}

static int later_limits(void *backend, const char *unit, void (*func)(int r, char *const *limits, void *userdata),
                        void *userdata) {
        free(pending.text);
        pending = (Pending) { .limits = func, .userdata = userdata, .n = pending.n + 1 };
        return 0;
}

/* PID 1 answers. */
static void answer(int r) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (r < 0)
                (void) error_set(&e, r, "Failed", "No.");
        pending.func(r, &e, pending.userdata);
}

static int setup_later(void **state) {
        static UnitBackend backend;
        Test *t;

        assert_int_equal(setup(state), 0);
        t = *state;
        backend = fake_backend;
        backend.update = later_update;
        backend.freeze = later_freeze;
        backend.limits = later_limits;
        container_manager_set_backend(t->m, &backend, &t->systemd);
        pending = (Pending) {};
        return 0;
}

static int teardown_later(void **state) {
        free(pending.text);
        return teardown(state);
}

static Container *running_web(Test *t) {
        assert_int_equal(run(t, options(false), NULL), 0);
        started(t);
        assert_log(t, "created started");
        return web(t);
}

static void test_pause(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;
        Container *c = running_web(t);

        assert_int_equal(container_resume(c, on_answer, t, &e), -EINVAL);
        assert_string_equal(error_name(&e), "NotPaused");
        error_done(&e);
        t->n_answers = 0;
        assert_int_equal(container_pause(c, on_answer, t, &e), 0);
        assert_true(pending.freeze);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        answer(0);
        assert_int_equal(c->state, CONTAINER_PAUSED);
        assert_int_equal(t->n_answers, 1);
        assert_int_equal(container_pause(c, on_answer, t, &e), -EALREADY);
        assert_string_equal(error_name(&e), "AlreadyPaused");
        /* What PID 1 says of it meanwhile does not make it run. */
        tell(t, running(INVOCATION_1));
        assert_int_equal(c->state, CONTAINER_PAUSED);

        assert_int_equal(container_resume(c, on_answer, t, NULL), 0);
        assert_false(pending.freeze);
        answer(-EIO);
        assert_string_equal(t->answer_error, "Failed");
        assert_int_equal(c->state, CONTAINER_PAUSED);
        assert_int_equal(container_resume(c, on_answer, t, NULL), 0);
        answer(0);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_log(t, "paused resumed");

        tell(t, ended(INVOCATION_1, CLD_EXITED, 3, "exit-code"));
        error_done(&e);
        assert_int_equal(container_pause(c, on_answer, t, &e), -ESRCH);
}

static void test_stop_thaws(void **state) {
        Test *t = *state;
        Container *c = running_web(t);

        assert_int_equal(container_pause(c, NULL, NULL, NULL), 0);
        answer(0);
        assert_int_equal(container_stop(c, UINT64_MAX, on_answer, t, NULL), 0);
        assert_int_equal(c->state, CONTAINER_STOPPING);
        /* Nothing is sent before it can be heard. */
        assert_int_equal(t->systemd.n_kill, 0);
        assert_false(pending.freeze);
        answer(0);
        assert_int_equal(t->systemd.n_kill, 1);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_log(t, "paused exited stopped");
}

static void expect_limits(Container *c, const char *expected) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *s = NULL;

        assert_int_equal(container_get_limits(c, &l), 0);
        s = strv_join(l, "; ");
        assert_string_equal(s, expected);
}

static void test_update(void **state) {
        static const char *const changes[] = { "MemoryMax=1G", "CPUQuota=50%", NULL };
        static const char *const none[] = { "Nice=5", NULL };
        static const char *const later[] = { "MemoryMax=5", NULL };
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;
        Container *c = running_web(t);

        assert_int_equal(container_update(c, (char *const *) none, on_answer, t, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "Nice"));
        assert_int_equal(pending.n, 0);

        assert_int_equal(container_update(c, (char *const *) changes, on_answer, t, NULL), 0);
        assert_string_equal(pending.text, "MemoryMax=1073741824; CPUQuotaPerSecUSec=500000");
        answer(-EINVAL);
        expect_limits(c, "");
        assert_log(t, "");
        assert_int_equal(container_update(c, (char *const *) changes, on_answer, t, NULL), 0);
        answer(0);
        expect_limits(c, "MemoryMax=1073741824; CPUQuotaPerSecUSec=500000");
        assert_log(t, "updated");

        /* It is in the row, and needs no unit. */
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        tell_gone(t);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        c = web(t);
        expect_limits(c, "MemoryMax=1073741824; CPUQuotaPerSecUSec=500000");
        assert_int_equal(container_update(c, (char *const *) later, on_answer, t, NULL), 0);
        expect_limits(c, "CPUQuotaPerSecUSec=500000; MemoryMax=5");
}

/* The event has a part of it. */
static void test_long_update(void **state) {
        char text[LIMITS_TEXT_MAX + sizeof("ä 5")] = "IODeviceWeight=/dev/a";
        const char *const changes[] = { text, NULL };
        Test *t = *state;
        Container *c = running_web(t);

        while (strlen(text) < LIMITS_TEXT_MAX)
                (void) stpcpy(text + strlen(text), "ä"); /* LIMITS_TEXT_MAX is in the middle of the last one */
        (void) stpcpy(text + strlen(text), " 5");
        assert_int_equal(container_update(c, (char *const *) changes, on_answer, t, NULL), 0);
        answer(0);
        expect_limits(c, text);
        assert_log(t, "updated");
}

static void test_removed_meanwhile(void **state) {
        static const char *const changes[] = { "MemoryMax=1G", NULL };
        Test *t = *state;
        Container *c = running_web(t);

        assert_int_equal(container_update(c, (char *const *) changes, on_answer, t, NULL), 0);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(container_remove(c, true, NULL, NULL, NULL), 0);
        loop(t);
        assert_null(web(t));
        t->n_answers = 0;
        answer(-ENOENT);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer);
}

static int no_statistic(const char *name, uint64_t value, void *userdata) {
        fail();
        return 0;
}

/* Its control group is gone, and PID 1 has not told its end yet. */
static void test_statistics_of_one_that_has_just_ended(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;
        Container *c = running_web(t);

        assert_non_null(c->control_group);
        assert_int_equal(container_get_statistics(c, no_statistic, NULL, &e), -ESRCH);
        assert_string_equal(error_name(&e), "NotRunning");
        assert_non_null(strstr(error_message(&e), "has just ended"));
}

/* By the number of an entry of the table. */
static uint32_t file_bit(const char *name) {
        for (unsigned i = 0; container_limits[i].name; i++)
                if (streq(container_limits[i].name, name))
                        return UINT32_C(1) << i;
        fail();
        return 0;
}

static void test_set_by_others(void **state) {
        static const char *const own[] = { "MemoryMax=1G", NULL };
        static const char *const now[] = { "MemoryMax=1073741824", "MemoryHigh=infinity", "MemoryLow=5", "CPUWeight=33",
                                           "IOReadIOPSMax=/dev/a 5", NULL };
        const uint32_t files = file_bit("MemoryMax") | file_bit("MemoryHigh") | file_bit("MemoryLow") |
                               file_bit("IOReadIOPSMax");
        Test *t = *state;
        Container *c = running_web(t);

        assert_int_equal(container_update(c, (char *const *) own, on_answer, t, NULL), 0);
        answer(0);
        assert_log(t, "updated");

        container_refresh_limits(c, files);
        pending.limits(0, (char *const *) now, pending.userdata);
        /* CPUWeight's file was not written. */
        expect_limits(c, "MemoryMax=1073741824; MemoryLow=5; IOReadIOPSMax=/dev/a 5");
        assert_log(t, "updated");
        container_refresh_limits(c, files);
        pending.limits(0, (char *const *) now, pending.userdata);
        assert_log(t, "");

        /* For this run. */
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        expect_limits(c, "MemoryMax=1073741824");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_pause, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_stop_thaws, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_update, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_long_update, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_removed_meanwhile, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_statistics_of_one_that_has_just_ended, setup_later, teardown_later),
                cmocka_unit_test_setup_teardown(test_set_by_others, setup_later, teardown_later),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
