/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container in a scope: the test is PID 1, and the caller whose child it is. */

#include <fcntl.h>

#include "basic/run-log.h"
#include "container-fixture.h"
#include "container/unit-name.h"

#define SCOPE "moored-default-web.scope"
#define CALLER 1234U
#define CHILD 4711U

static void create(Test *t, bool auto_remove) {
        ContainerOptions o = options(auto_remove);
        _cleanup_error_ Error e = ERROR_NULL;
        Container *c;

        o.scope = true;
        if (container_create(t->m, "default", "web", "app", &o, &c, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_string_equal(c->unit, SCOPE);
}

static UnitStatus scope(void) {
        UnitStatus u = running(INVOCATION_1);

        u.launcher = false;
        u.main_pid = 0;
        u.exec_main_start_usec = 0;
        return u;
}

static void tell_scope(Test *t, UnitStatus u) {
        container_unit_changed(t->m, SCOPE, &u);
}

static void start_scope(Test *t) {
        UnitStatus u = scope();

        assert_int_equal(container_start_scope(web(t), CALLER, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_start, 1);
        t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer_error);
}

/* What mooring launch-scope writes. */
static void write_line(Test *t, RunRecordType type, int code, int status, const char *result) {
        RunRecord r = { .type = type, .usec = now_usec(CLOCK_REALTIME), .pid = type == RUN_START ? CHILD : 0, .code = code, .status = status };
        _cleanup_free_ char *path = container_bundle_path(web(t));
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;

        memcpy(r.invocation_id, INVOCATION_1, RUN_ID_SIZE);
        (void) snprintf(r.result, sizeof(r.result), "%s", strempty(result));
        assert_true(dir >= 0);
        fd = run_log_open(dir, false);
        assert_true(fd >= 0);
        assert_int_equal(run_log_append(fd, &r), 0);
}

static void test_life(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        assert_string_equal(container_scope_invocation(web(t)), INVOCATION_1);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        write_line(t, RUN_START, 0, 0, NULL);
        loop(t);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_int_equal(web(t)->leader_pid, CHILD);
        assert_log(t, "created started");

        /* It goes on until nobody is in the scope. */
        write_line(t, RUN_EXIT, CLD_EXITED, 3, "exit-code");
        loop(t);
        assert_int_equal(web(t)->row.exit_code, 3);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        tell_scope(t, (UnitStatus){});
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_string_equal(web(t)->row.result, "exit-code");
        assert_log(t, "exited");
}

static void test_all_at_once(void **state) {
        Test *t = *state;

        create(t, true);
        start_scope(t);
        write_line(t, RUN_START, 0, 0, NULL);
        write_line(t, RUN_EXIT, CLD_KILLED, SIGKILL, "signal");
        tell_scope(t, (UnitStatus){});
        assert_log(t, "created started exited");
        loop(t);
        assert_nothing_left(t);
}

static void test_lost(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        write_line(t, RUN_START, 0, 0, NULL);
        loop(t);
        tell_scope(t, (UnitStatus){});
        assert_string_equal(web(t)->row.result, "lost");
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
}

/* The launcher has told its caller why. */
static void test_not_started(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        tell_scope(t, (UnitStatus){});
        assert_nothing_left(t);
}

static void test_recovery(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        write_line(t, RUN_START, 0, 0, NULL);
        loop(t);
        restart(t);
        tell_scope(t, scope());
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_int_equal(web(t)->leader_pid, CHILD);
        write_line(t, RUN_EXIT, CLD_EXITED, 0, "success");
        loop(t);
        assert_int_equal(web(t)->row.exit_code, 0);

        /* Its end is told to nobody. */
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_string_equal(web(t)->row.result, "success");
}

/* It started and ended while there was no daemon. */
static void test_behind_its_back(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        write_line(t, RUN_START, 0, 0, NULL);
        write_line(t, RUN_EXIT, CLD_EXITED, 7, "exit-code");
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 7);
}

static void test_stop_while_starting(void **state) {
        Test *t = *state;

        create(t, false);
        start_scope(t);
        assert_int_equal(container_stop(web(t), 0, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_kill, 0);
        write_line(t, RUN_START, 0, 0, NULL);
        loop(t);
        assert_int_equal(web(t)->state, CONTAINER_STOPPING);
        tell_scope(t, (UnitStatus){});
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
}

static void test_refusals(void **state) {
        ContainerOptions plain = options(false);
        Test *t = *state;
        Container *c;

        create(t, false);
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), -EINVAL);
        assert_int_equal(container_restart(web(t), UINT64_MAX, on_answer, t, NULL), -EINVAL);
        assert_int_equal(container_start_scope(web(t), 1, on_answer, t, NULL), -EINVAL);
        assert_int_equal(container_start_scope(web(t), 0, on_answer, t, NULL), -EINVAL);
        assert_int_equal(web(t)->state, CONTAINER_CREATED);
        assert_int_equal(t->systemd.n_start, 0);

        assert_int_equal(container_create(t->m, "default", "plain", "app", &plain, &c, NULL), 0);
        assert_int_equal(container_start_scope(c, CALLER, on_answer, t, NULL), -EINVAL);
}

static void test_contradictions(void **state) {
        const ContainerOptions bad[] = {
                { .scope = true, .restart = (char *) "always" },
                { .scope = true, .log = (char *) "none" },
                { .scope = true, .unit = (char *) "moored@web.service" },
                { .scope = true, .machine = true },
                { .scope = true, .notify = true },
                { .scope = true, .ready_when_healthy = true },
                { .scope = true, .systemd = (char *) "always" },
                { .scope = true, .health = { .on_failure = (char *) "restart" } },
        };
        const ContainerOptions good[] = { { .restart = (char *) "always" }, { .scope = true, .restart = (char *) "no" } };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(container_check_scope(&bad[i], NULL), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(container_check_scope(&good[i], NULL), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_life),     T(test_all_at_once),     T(test_lost),               T(test_not_started), T(test_recovery),
                T(test_behind_its_back), T(test_stop_while_starting), T(test_refusals), cmocka_unit_test(test_contradictions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
