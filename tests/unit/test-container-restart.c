/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Restart policies: what PID 1 says, and what the unit's own programs write into the bundle. */

#include "basic/run-log.h"
#include "container-fixture.h"

#define INVOCATION_3 "33333333333333333333333333333333"

static ContainerOptions restarting(const char *policy) {
        ContainerOptions o = options(false);

        o.restart = strdup(policy);
        assert_non_null(o.restart);
        return o;
}

/* What the unit's own programs write. */
static void write_run(Test *t, RunRecord record) {
        _cleanup_close_ int dir = bundle_open(t->m->containers_fd, "default", "web"), fd = -EBADF;

        assert_true(dir >= 0);
        fd = run_log_open(dir, true);
        assert_true(fd >= 0);
        assert_int_equal(run_log_append(fd, &record), 0);
}

static void write_start(Test *t, const char *invocation) {
        RunRecord r = { .type = RUN_START, .usec = 100, .pid = 4711 };

        memcpy(r.invocation_id, invocation, RUN_ID_SIZE);
        write_run(t, r);
}

static void write_exit(Test *t, const char *invocation, int code, int status, const char *result) {
        RunRecord r = { .type = RUN_EXIT, .usec = 200, .code = code, .status = status };

        memcpy(r.invocation_id, invocation, RUN_ID_SIZE);
        memcpy(r.result, result, strlen(result) + 1);
        write_run(t, r);
}

static UnitStatus between(const char *invocation) {
        UnitStatus u = running(invocation);

        u.active_state = (char *) "activating";
        u.sub_state = (char *) "auto-restart";
        u.main_pid = 0;
        return u;
}

static void test_restart_parse(void **state) {
        Restart x;

        assert_int_equal(restart_parse(NULL, &x), 0);
        assert_int_equal(x.policy, RESTART_NO);
        assert_int_equal(restart_parse("on-failure:7", &x), 0);
        assert_int_equal(x.policy, RESTART_ON_FAILURE);
        assert_int_equal(x.max, 7);
        assert_int_equal(restart_parse("on-failure", &x), 0);
        assert_int_equal(x.max, 0);
        assert_int_equal(restart_parse("unless-stopped", &x), 0);
        assert_int_equal(x.policy, RESTART_UNLESS_STOPPED);
        assert_int_equal(restart_parse("on-failure:0", &x), -ERANGE);
        assert_int_equal(restart_parse("on-failure:1000001", &x), -ERANGE);
        assert_int_equal(restart_parse("on-failure:", &x), -EINVAL);
        assert_int_equal(restart_parse("always:3", &x), -EINVAL);
        assert_int_equal(restart_parse("sometimes", &x), -EINVAL);
}

static void test_restart_by_systemd(void **state) {
        Test *t = *state;
        UnitStatus u;
        Container *c;

        assert_int_equal(run(t, restarting("on-failure"), NULL), 0);
        c = web(t);
        assert_non_null(strstr(t->systemd.exec, " launch --record /"));
        write_start(t, INVOCATION_1);
        started(t);
        assert_int_equal(c->row.restart_count, 0);
        assert_int_equal(container_wait(c, on_answer, t), 0);
        assert_log(t, "created started");

        write_exit(t, INVOCATION_1, CLD_EXITED, 1, "exit-code");
        tell(t, between(INVOCATION_1));
        assert_int_equal(c->state, CONTAINER_RESTARTING);
        assert_int_equal(c->row.exit_code, 1);
        assert_int_equal(c->row.finished_usec, 200);
        assert_log(t, "exited");
        /* Said again. */
        tell(t, between(INVOCATION_1));
        assert_log(t, "");

        write_start(t, INVOCATION_2);
        tell(t, running(INVOCATION_2));
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(c->row.restart_count, 1);
        assert_string_equal(c->row.invocation_id, INVOCATION_2);
        assert_log(t, "started");
        assert_int_equal(t->n_answers, 1);

        /* "failed" may be followed by "auto-restart": PID 1 is asked. */
        write_exit(t, INVOCATION_2, CLD_EXITED, 2, "exit-code");
        u = ended(INVOCATION_2, CLD_EXITED, 2, "exit-code");
        tell(t, u);
        assert_int_equal(c->state, CONTAINER_RESTARTING);
        assert_int_equal(t->systemd.n_refresh, 1);
        tell(t, u);
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_int_equal(c->row.exit_code, 2);
        assert_false(c->row.stopped);
        assert_int_equal(t->systemd.n_release, 1);
        assert_int_equal(t->n_answers, 2);
        assert_log(t, "exited");
        tell_gone(t);
        assert_log(t, "");

        /* A start by hand counts anew; a stop is PID 1's. */
        assert_int_equal(container_start(c, NULL, on_answer, t, NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        assert_int_equal(c->row.restart_count, 0);
        t->systemd.n_stop = 0;
        assert_int_equal(container_stop(c, USEC_PER_SEC, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_stop, 1);
        assert_int_equal(t->systemd.n_kill, 0);
        write_exit(t, INVOCATION_1, CLD_KILLED, SIGTERM, "success");
        u = ended(INVOCATION_1, CLD_KILLED, SIGTERM, "success");
        u.active_state = (char *) "inactive";
        tell(t, u);
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_int_equal(c->row.exit_code, 143);
        assert_true(c->row.stopped);
        assert_log(t, "started exited stopped");
}

static int find_process(const EventRow *row, void *userdata) {
        const char **ret = userdata;

        if (streq(row->topic, "container/oom"))
                *ret = strstr(row->details, "\"Process\":\"main\"") ? "main" : "other";
        return 0;
}

/* The OOM killer was there, whom it killed nobody knows; but the main process was killed by hand. */
static void test_restart_killed_after_oom(void **state) {
        RunRecord r = { .type = RUN_EXIT, .usec = 200, .code = CLD_KILLED, .status = SIGKILL, .n = 1,
                        .invocation_id = INVOCATION_1, .result = "signal" };
        const char *process = NULL;
        Test *t = *state;
        Container *c;

        t->m->memory_watched = true;
        for (unsigned by_hand = 0; by_hand < 2; by_hand++) {
                assert_int_equal(run(t, restarting("always"), NULL), 0);
                c = web(t);
                write_start(t, INVOCATION_1);
                started(t);
                if (by_hand)
                        assert_int_equal(container_kill(c, "main", SIGKILL, NULL, NULL, NULL), 0);
                write_run(t, r);
                tell(t, between(INVOCATION_1));
                assert_int_equal(c->row.oom_kills, 1);
                assert_string_equal(c->row.result, by_hand ? "signal" : "oom-kill");
                assert_int_equal(store_event_foreach_since(t->f->store, 0, 100, find_process, &process), 0);
                assert_string_equal(process, by_hand ? "other" : "main");
                assert_int_equal(container_drop(c, NULL), 0);
                tell_gone(t);
        }
}

static void test_restart_log_is_ahead(void **state) {
        Test *t = *state;
        Container *c;

        /* What PID 1 said is read later than what was written. */
        assert_int_equal(run(t, restarting("always"), NULL), 0);
        c = web(t);
        write_start(t, INVOCATION_1);
        write_start(t, INVOCATION_1);
        write_exit(t, INVOCATION_1, CLD_EXITED, 1, "exit-code");
        started(t);
        assert_int_equal(c->state, CONTAINER_RESTARTING);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer_error);
        write_start(t, INVOCATION_2);
        write_exit(t, INVOCATION_2, CLD_EXITED, 2, "exit-code");
        tell(t, between(INVOCATION_1));
        assert_log(t, "created started exited started exited");
        tell(t, running(INVOCATION_2));
        tell(t, between(INVOCATION_2));
        assert_int_equal(c->state, CONTAINER_RESTARTING);
        assert_int_equal(c->row.restart_count, 1);
        assert_int_equal(c->row.exit_code, 2);
        assert_log(t, "");

        /* While it waits for its next start there is nothing to be killed. */
        assert_int_equal(container_stop(c, USEC_PER_SEC, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_stop, 1);
        tell_gone(t);
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_true(c->row.stopped);
        assert_log(t, "stopped");
        assert_int_equal(t->n_answers, 2);
}

/* PID 1, which forgets its count, is told when there were enough. */
static void test_restart_limit(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, restarting("on-failure:1"), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        write_exit(t, INVOCATION_1, CLD_EXITED, 1, "exit-code");
        tell(t, between(INVOCATION_1));
        assert_int_equal(t->systemd.n_stop, 0);
        write_start(t, INVOCATION_2);
        tell(t, running(INVOCATION_2));
        assert_int_equal(t->systemd.n_stop, 0);
        write_exit(t, INVOCATION_2, CLD_EXITED, 2, "exit-code");
        tell(t, between(INVOCATION_2));
        assert_int_equal(t->systemd.n_stop, 1);
        tell_gone(t);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.restart_count, 1);
        assert_int_equal(web(t)->row.exit_code, 2);
}

/* Starts that the log had no room for are counted. */
static void test_restart_dropped(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, restarting("always"), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        write_run(t, (RunRecord){ .type = RUN_DROPPED, .n = 5 });
        write_start(t, INVOCATION_2);
        tell(t, running(INVOCATION_2));
        assert_int_equal(web(t)->row.restart_count, 6);
        assert_string_equal(web(t)->row.invocation_id, INVOCATION_2);
}

static void test_restart_without_log(void **state) {
        Test *t = *state;
        Container *c;

        /* PID 1 speaks before the launcher has written; ends are not written at all. */
        assert_int_equal(run(t, restarting("always"), NULL), 0);
        c = web(t);
        started(t);
        tell(t, between(INVOCATION_1));
        assert_log(t, "created started");
        tell(t, running(INVOCATION_2));
        assert_int_equal(c->row.restart_count, 1);
        assert_log(t, "exited started");
        write_start(t, INVOCATION_2);
        tell(t, running(INVOCATION_2));
        assert_log(t, "");
        tell_gone(t);
        assert_string_equal(c->row.result, "lost");
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_log(t, "exited");
}

static void test_restart_first_start_fails(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        UnitStatus u = between(INVOCATION_1);
        Test *t = *state;

        u.active_enter_usec = 0;
        (void) error_set(&e, -ENOENT, "CommandNotFound", "none");
        assert_int_equal(run(t, restarting("always"), NULL), 0);
        t->systemd.start_func(-ENOENT, &u, &e, t->systemd.start_userdata);
        assert_string_equal(t->answer_error, "CommandNotFound");
        /* Whatever PID 1 is about to do with it. */
        assert_int_equal(t->systemd.n_stop, 1);
        assert_int_equal(t->systemd.n_release, 1);
        assert_log(t, "created removed");
        assert_nothing_left(t);
        tell_gone(t);

        /* The same when its daemon has gone. */
        assert_int_equal(run(t, restarting("always"), NULL), 0);
        restart(t);
        write_exit(t, INVOCATION_1, CLD_EXITED, 127, "exit-code");
        tell(t, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
        loop(t);
        assert_int_equal(t->systemd.n_release, 2);
        assert_log(t, "created removed");
        assert_nothing_left(t);
}

/* The daemon was away while PID 1 restarted it. */
static void test_recover_restarts(void **state) {
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, restarting("always"), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        restart(t);
        assert_log(t, "created started");
        write_exit(t, INVOCATION_1, CLD_EXITED, 1, "exit-code");
        write_start(t, INVOCATION_2);
        write_exit(t, INVOCATION_2, CLD_KILLED, SIGKILL, "signal");
        write_start(t, INVOCATION_3);
        tell(t, running(INVOCATION_3));
        assert_int_equal(container_manager_recovered(t->m), 0);
        c = web(t);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(c->row.restart_count, 2);
        assert_log(t, "exited started exited started");

        /* Again, with nothing new; then it waits for its next start. */
        restart(t);
        tell(t, running(INVOCATION_3));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_log(t, "");
        write_exit(t, INVOCATION_3, CLD_EXITED, 3, "exit-code");
        restart(t);
        tell(t, between(INVOCATION_3));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_RESTARTING);
        assert_log(t, "exited");
        restart(t);
        tell(t, between(INVOCATION_3));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_RESTARTING);
        assert_log(t, "");

        /* Somebody has stopped the unit. */
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 3);
        assert_int_equal(web(t)->row.restart_count, 2);
        assert_true(web(t)->row.stopped);
        assert_log(t, "");
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_log(t, "");

        /* Killed while it was started by hand: its runs count anew. */
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        restart(t);
        write_start(t, INVOCATION_1);
        write_exit(t, INVOCATION_1, CLD_EXITED, 4, "exit-code");
        write_start(t, INVOCATION_2);
        write_exit(t, INVOCATION_2, CLD_EXITED, 0, "success");
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->row.restart_count, 1);
        assert_int_equal(web(t)->row.exit_code, 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_log(t, "started exited started exited");
}

/* As after a boot. */
static void forget_boot(Test *t) {
        assert_int_equal(free_and_strdup(&web(t)->row.boot_id, "another"), 0);
        assert_int_equal(store_container_update(t->f->store, &web(t)->row), 0);
        assert_int_equal(bundle_remove(t->m->containers_fd, "default", "web"), 0);
}

static void check_boot(Test *t, const char *policy, bool stop, bool wanted) {
        unsigned n = t->systemd.n_start;
        UnitStatus u;

        t->log[0] = 0;
        assert_int_equal(run(t, restarting(policy), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        if (stop) {
                assert_int_equal(container_stop(web(t), USEC_PER_SEC, NULL, NULL, NULL), 0);
                write_exit(t, INVOCATION_1, CLD_EXITED, 0, "success");
                tell_gone(t);
        }
        forget_boot(t);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(t->systemd.n_start, n + 1 + wanted);
        assert_log(t, stop ? "created started exited stopped" : "created started exited");
        if (wanted) {
                assert_int_equal(web(t)->state, CONTAINER_STARTING);
                u = running(INVOCATION_2);
                write_start(t, INVOCATION_2);
                t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
                assert_int_equal(web(t)->state, CONTAINER_RUNNING);
                assert_int_equal(web(t)->row.restart_count, 0);
                /* Once a boot. */
                restart(t);
                write_exit(t, INVOCATION_2, CLD_EXITED, 0, "success");
                assert_int_equal(container_manager_recovered(t->m), 0);
                assert_int_equal(t->systemd.n_start, n + 2);
        } else
                assert_string_equal(strempty(web(t)->row.result), stop ? "success" : "reboot");
        assert_int_equal(container_remove(web(t), false, NULL, NULL, NULL), 0);
        loop(t);
}

static void test_boot(void **state) {
        Test *t = *state;

        check_boot(t, "no", false, false);
        check_boot(t, "on-failure:2", false, true);
        check_boot(t, "on-failure", true, false);
        check_boot(t, "unless-stopped", false, true);
        check_boot(t, "unless-stopped", true, false);
        check_boot(t, "always", false, true);
        check_boot(t, "always", true, true);
}

/* It hears of the end first. */
static void test_shutdown_is_heard_late(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, restarting("on-failure"), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        write_exit(t, INVOCATION_1, CLD_EXITED, 0, "success");
        tell_gone(t);
        web(t)->row.finished_usec = now_usec(CLOCK_REALTIME);
        assert_string_equal(web(t)->row.result, "success");
        assert_false(web(t)->row.stopped);
        container_manager_host_stops(t->m, true);
        assert_string_equal(web(t)->row.result, "reboot");
        forget_boot(t);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
}

/* The host goes down, and the daemon sees the end. */
static void test_shutdown(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, restarting("unless-stopped"), NULL), 0);
        write_start(t, INVOCATION_1);
        started(t);
        container_manager_host_stops(t->m, true);
        write_exit(t, INVOCATION_1, CLD_EXITED, 7, "exit-code");
        tell_gone(t);
        assert_int_equal(web(t)->row.exit_code, 7);
        assert_string_equal(web(t)->row.result, "reboot");
        assert_false(web(t)->row.stopped);
        forget_boot(t);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_restart_parse),
                T(test_restart_by_systemd),
                T(test_restart_killed_after_oom),
                T(test_restart_log_is_ahead),
                T(test_restart_limit),
                T(test_restart_dropped),
                T(test_restart_without_log),
                T(test_restart_first_start_fails),
                T(test_recover_restarts),
                T(test_boot),
                T(test_shutdown),
                T(test_shutdown_is_heard_late),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
