/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What becomes of the results of health checks; the test is PID 1 and moored-probe.service. */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "container-fixture.h"
#include "container/health-check.h"
#include "container/health.h"
#include "container/probe.h"

#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })
#define FEW_MSEC 2000

/* -- moored-probe -------------------------------------------------------------------------------- */

typedef struct Prober {
        int listener, connection;
        json_t *request;
} Prober;

static Prober prober = { -EBADF, -EBADF, NULL };

static int setup_all(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Test *t;

        assert_int_equal(setup(state), 0);
        t = *state;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/probe", t->runtime);
        prober.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(prober.listener >= 0);
        assert_int_equal(bind(prober.listener, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(prober.listener, 8), 0);
        return 0;
}

static void prober_done(void) {
        prober.connection = safe_close(prober.connection);
        json_decref(prober.request);
        prober.request = NULL;
}

static int teardown_all(void **state) {
        prober_done();
        prober.listener = safe_close(prober.listener);
        return teardown(state);
}

static void read_request(void) {
        _cleanup_free_ char *text = NULL;
        size_t n_fds, size;
        int fds[FDS_MAX];
        char byte;

        assert_int_equal(recv_with_fds(prober.connection, &byte, 1, fds, &n_fds, 0), 1);
        assert_int_equal(n_fds, 1);
        assert_int_equal(read_all(fds[0], 1 << 20, &text, &size), 0);
        safe_close(fds[0]);
        assert_int_equal(json_parse(text, size, 1 << 20, &prober.request, NULL), 0);
}

/* The next check is under way; false: there is none for some time. */
static bool is_asked(Test *t, unsigned msec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + msec * USEC_PER_MSEC;

        prober_done();
        for (;;) {
                (void) sd_event_run(t->f->event, 1000);
                prober.connection = accept4(prober.listener, NULL, NULL, SOCK_CLOEXEC);
                if (prober.connection >= 0)
                        break;
                if (now_usec(CLOCK_MONOTONIC) > end)
                        return false;
        }
        read_request();
        return true;
}

static void answer_with(Test *t, const char *text) {
        char byte;

        assert_int_equal(send(prober.connection, text, strlen(text), MSG_NOSIGNAL), strlen(text));
        /* Until it has been read: then the connection is closed. */
        while (recv(prober.connection, &byte, 1, MSG_DONTWAIT) < 0)
                (void) sd_event_run(t->f->event, 1000);
        prober.connection = safe_close(prober.connection);
}

static void check(Test *t, int exit_code, const char *health, unsigned streak) {
        _cleanup_free_ char *text = strformat("{\"exitCode\":%i,\"output\":\"said %i\",\"ready\":false}", exit_code, exit_code);

        assert_true(is_asked(t, FEW_MSEC));
        answer_with(t, text);
        assert_string_equal(container_get_health(web(t)), health);
        assert_int_equal(container_get_failing_streak(web(t)), streak);
}

static bool is_hung_up(Test *t) {
        struct pollfd p = { .fd = prober.connection, .events = POLLIN };

        loop(t);
        return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* -- a container with a health check -------------------------------------------------------------- */

static void run_checked(Test *t, const char *on_failure, uint64_t start_period_usec) {
        ContainerOptions o = options(false);

        o.health = (HealthOptions){
                .command = strv_copy(L("check", "it")),
                .interval_usec = HEALTH_INTERVAL_MIN_USEC,
                .timeout_usec = 5 * USEC_PER_SEC,
                .start_period_usec = start_period_usec,
                .start_period_set = true,
                .retries = 2,
                .on_failure = on_failure ? strdup(on_failure) : NULL,
        };
        assert_int_equal(run(t, o, NULL), 0);
        /* Nobody wants to wait. */
        web(t)->work->process.health.interval_usec = web(t)->work->process.health.start_interval_usec = 1000;
}

static void start_now(Test *t, const char *invocation) {
        UnitStatus u = running(invocation);

        u.exec_main_start_usec = now_usec(CLOCK_REALTIME);
        t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
}

static void test_request(void **state) {
        Test *t = *state;
        json_t *args;

        run_checked(t, NULL, 0);
        assert_false(is_asked(t, 20));
        assert_null(container_get_health(web(t)));
        start_now(t, INVOCATION_1);
        assert_string_equal(container_get_health(web(t)), "starting");
        assert_true(is_asked(t, FEW_MSEC));
        args = json_object_get(prober.request, "args");
        assert_int_equal(json_array_size(args), 2);
        assert_string_equal(json_string_value(json_array_get(args, 1)), "it");
        assert_int_equal(json_integer_value(json_object_get(prober.request, "pid")), 4711);
        assert_int_equal(json_integer_value(json_object_get(prober.request, "timeoutUSec")), 5000000);
        assert_string_equal(json_get_string(prober.request, "cgroup"),
                            "/moored.slice/moored-default.slice/" UNIT);
        assert_non_null(endswith(json_get_string(prober.request, "bundle"), "/containers/default/web"));
        assert_true(json_is_false(json_object_get(prober.request, "ready")));
}

static void test_states(void **state) {
        Test *t = *state;

        run_checked(t, NULL, 0);
        start_now(t, INVOCATION_1);
        assert_log(t, "created started");
        check(t, 1, "starting", 1);
        check(t, 0, "healthy", 0);
        check(t, 1, "healthy", 1);
        check(t, 0, "healthy", 0);
        check(t, 126, "healthy", 1);
        check(t, -1, "unhealthy", 2);
        check(t, 1, "unhealthy", 3);
        check(t, 0, "healthy", 0);
        assert_log(t, "health-changed health-changed health-changed");
        assert_int_equal(t->systemd.n_kill + t->systemd.n_stop, 0);
        assert_true(t->f->n_notified[NOTIFY_CONTAINER_HEALTH] >= 5);
}

static void test_start_period(void **state) {
        Test *t = *state;

        run_checked(t, NULL, 3600 * USEC_PER_SEC);
        start_now(t, INVOCATION_1);
        for (unsigned i = 0; i < 5; i++)
                check(t, 1, "starting", 0);
        /* It ends with the first success. */
        check(t, 0, "healthy", 0);
        check(t, 1, "healthy", 1);
        check(t, 1, "unhealthy", 2);
}

static int count_log(uint64_t begin, uint64_t end, int code, const char *output, void *userdata) {
        char **seen = userdata;
        char *more = strformat("%s%i:%s ", strempty(*seen), code, output);

        assert_true(begin > 0 && end >= begin);
        free(*seen);
        *seen = more;
        return 0;
}

static void assert_health_log(Test *t, const char *want) {
        _cleanup_free_ char *seen = NULL;

        assert_int_equal(container_foreach_health_log(web(t), count_log, &seen), 0);
        assert_string_equal(strempty(seen), want);
}

static void test_log(void **state) {
        Test *t = *state;

        run_checked(t, NULL, 0);
        assert_health_log(t, "");
        start_now(t, INVOCATION_1);
        for (int i = 1; i <= 7; i++)
                check(t, i, i < 2 ? "starting" : "unhealthy", (unsigned) i);
        assert_health_log(t, "3:said 3 4:said 4 5:said 5 6:said 6 7:said 7 ");
}

/* The next daemon goes on from where the last one was; another run begins anew. */
static void test_recovery(void **state) {
        Test *t = *state;

        run_checked(t, NULL, 0);
        start_now(t, INVOCATION_1);
        check(t, 0, "healthy", 0);
        check(t, 1, "healthy", 1);

        restart(t);
        assert_string_equal(container_get_health(web(t)), "healthy");
        web(t)->work->process.health.interval_usec = 1000;
        tell(t, running(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        check(t, 1, "unhealthy", 2);
        assert_health_log(t, "0:said 0 1:said 1 1:said 1 ");

        restart(t);
        web(t)->work->process.health.interval_usec = 1000;
        tell(t, running(INVOCATION_2));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_string_equal(container_get_health(web(t)), "starting");
        check(t, 0, "healthy", 0);
        assert_health_log(t, "0:said 0 ");
}

static void test_end(void **state) {
        Test *t = *state;

        run_checked(t, NULL, 0);
        start_now(t, INVOCATION_1);
        check(t, 0, "healthy", 0);
        assert_true(is_asked(t, FEW_MSEC));
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_true(is_hung_up(t));
        assert_false(is_asked(t, 20));
        assert_string_equal(container_get_health(web(t)), "healthy");

        tell_gone(t);
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        start_now(t, INVOCATION_2);
        assert_string_equal(container_get_health(web(t)), "starting");
        check(t, 1, "starting", 1);
}

/* A check that could not be made says nothing. */
static void test_no_answer(void **state) {
        Test *t = *state;

        run_checked(t, "kill", 0);
        start_now(t, INVOCATION_1);
        check(t, 0, "healthy", 0);
        for (unsigned i = 0; i < 4; i++) {
                assert_true(is_asked(t, FEW_MSEC));
                if (i == 0)
                        prober.connection = safe_close(prober.connection);
                else
                        answer_with(t, i == 1 ? "{\"error\":\"no\",\"name\":\"Failed\"}" : i == 2 ? "rubbish" : "{}");
        }
        check(t, 1, "healthy", 1);
        assert_int_equal(t->systemd.n_kill, 0);
}

/* -- what is done about it ------------------------------------------------------------------------ */

static void become_unhealthy(Test *t, const char *action) {
        run_checked(t, action, 0);
        start_now(t, INVOCATION_1);
        check(t, 1, "starting", 1);
        check(t, 1, "unhealthy", 2);
}

static void test_kill(void **state) {
        Test *t = *state;

        become_unhealthy(t, "kill");
        assert_int_equal(t->systemd.n_kill, 1);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        assert_string_equal(t->systemd.whom, "main");
        /* Once, not at each check that follows. */
        check(t, 1, "unhealthy", 3);
        assert_int_equal(t->systemd.n_kill, 1);
}

static void test_stop(void **state) {
        Test *t = *state;

        become_unhealthy(t, "stop");
        assert_int_equal(t->systemd.kill_signal, SIGTERM);
        assert_int_equal(web(t)->state, CONTAINER_STOPPING);
        assert_false(is_asked(t, 20));
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_log(t, "created started health-changed exited stopped");
}

static void test_restart(void **state) {
        Test *t = *state;

        become_unhealthy(t, "restart");
        assert_int_equal(web(t)->state, CONTAINER_STOPPING);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        tell_gone(t);
        assert_int_equal(t->systemd.n_start, 2);
        start_now(t, INVOCATION_2);
        check(t, 0, "healthy", 0);
}

/* The daemon dies between the stop and the start. */
static void test_restart_and_death(void **state) {
        Test *t = *state;

        become_unhealthy(t, "restart");
        restart(t);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        tell_gone(t);
        assert_int_equal(t->systemd.n_start, 2);
        start_now(t, INVOCATION_2);

        /* That was it. */
        restart(t);
        tell(t, ended(INVOCATION_2, CLD_EXITED, 0, "success"));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
}

/* -- ready when healthy --------------------------------------------------------------------------- */

static UnitStatus waiting(const char *invocation) {
        UnitStatus u = running(invocation);

        u.active_state = (char *) "activating";
        u.sub_state = (char *) "start";
        u.active_enter_usec = 0;
        u.status_text = (char *) "NotHealthy: No health check of the container has succeeded.";
        return u;
}

static void run_ready(Test *t, const char *on_failure) {
        ContainerOptions o = options(false);

        o.health = (HealthOptions){ .command = strv_copy(L("check")), .retries = 2, .on_failure = on_failure ? strdup(on_failure) : NULL };
        o.ready_when_healthy = true;
        assert_int_equal(run(t, o, NULL), 0);
        web(t)->work->process.health.start_interval_usec = 1000;
}

static void test_ready(void **state) {
        UnitStatus u = waiting(INVOCATION_1), launcher = waiting(INVOCATION_1);
        Test *t = *state;

        run_ready(t, NULL);
        /* Before the hand-over there is nothing to check. */
        launcher.status_text = NULL;
        container_unit_waits(t->m, UNIT, &launcher);
        assert_false(is_asked(t, 20));

        container_unit_waits(t->m, UNIT, &u);
        assert_true(is_asked(t, FEW_MSEC));
        assert_true(json_is_true(json_object_get(prober.request, "ready")));
        assert_int_equal(json_integer_value(json_object_get(prober.request, "pid")), 4711);
        answer_with(t, "{\"exitCode\":1,\"output\":\"\",\"ready\":false}");
        container_unit_waits(t->m, UNIT, &u); /* whatever changes */
        assert_true(is_asked(t, FEW_MSEC));
        answer_with(t, "{\"exitCode\":0,\"output\":\"\",\"ready\":true}");
        assert_int_equal(t->n_answers, 0);
        start_now(t, INVOCATION_1);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer_error);
        assert_string_equal(container_get_health(web(t)), "healthy");
        assert_log(t, "created health-changed started");
}

static void test_never_ready(void **state) {
        UnitStatus u = waiting(INVOCATION_1);
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;

        run_ready(t, "restart");
        container_unit_waits(t->m, UNIT, &u);
        for (unsigned i = 0; i < 2; i++) {
                assert_true(is_asked(t, FEW_MSEC));
                answer_with(t, "{\"exitCode\":1,\"output\":\"\",\"ready\":false}");
        }
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        assert_string_equal(t->systemd.whom, "all");
        (void) error_set(&e, -EIO, "NotHealthy", "never");
        u = ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal");
        t->systemd.start_func(-EIO, &u, &e, t->systemd.start_userdata);
        assert_string_equal(t->answer_error, "NotHealthy");
        assert_nothing_left(t);
}

/* The daemon comes back while the unit still waits. */
static void test_ready_recovery(void **state) {
        UnitStatus u = waiting(INVOCATION_1);
        Test *t = *state;

        run_ready(t, NULL);
        container_unit_waits(t->m, UNIT, &u);
        assert_true(is_asked(t, FEW_MSEC));
        restart(t);
        tell(t, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        assert_true(is_asked(t, FEW_MSEC));
        assert_true(json_is_true(json_object_get(prober.request, "ready")));
        tell(t, running(INVOCATION_1));
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
}

/* -- on request ----------------------------------------------------------------------------------- */

static int asked_code;
static char asked_error[64];

static void on_checked(Container *c, int exit_code, const char *output, const Error *error, void *userdata) {
        asked_code = exit_code;
        (void) snprintf(asked_error, sizeof(asked_error), "%s", error ? error_name(error) : "");
}

static void test_on_request(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;
        Test *t = *state;

        run_checked(t, NULL, 0);
        web(t)->work->process.health.interval_usec = USEC_INFINITY;
        assert_int_equal(container_check_health(web(t), on_checked, t, &e), -ESRCH);
        assert_string_equal(error_name(&e), "NotRunning");
        start_now(t, INVOCATION_1);
        assert_false(is_asked(t, 20));

        assert_int_equal(container_check_health(web(t), on_checked, t, NULL), 0);
        check(t, 3, "starting", 1);
        assert_int_equal(asked_code, 3);
        assert_string_equal(asked_error, "");
        assert_int_equal(container_check_health(web(t), on_checked, t, NULL), 0);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_string_equal(asked_error, "NotRunning");

        health_check_done(&web(t)->work->process.health);
        assert_int_equal(container_check_health(web(t), on_checked, t, &f), -ENODATA);
        assert_string_equal(error_name(&f), "NoHealthCheck");
}

/* -- resolution ----------------------------------------------------------------------------------- */

static HealthCheck resolve(ImageHealthCheck image, HealthOptions o) {
        HealthCheck h = {};

        assert_int_equal(health_options_validate(&o, NULL), 0);
        assert_int_equal(health_check_resolve(&image, &o, &h, NULL), 0);
        return h;
}

static void assert_command(ImageHealthCheck image, HealthOptions o, const char *want) {
        _cleanup_(health_check_done) HealthCheck h = resolve(image, o);
        _cleanup_free_ char *got = strv_join(h.command, "|");

        assert_string_equal(got, want);
}

static void test_resolve(void **state) {
        const ImageHealthCheck image = { .test = L("CMD", "a", "b"), .interval_usec = 1, .timeout_usec = 7000000, .start_period_usec = 9, .retries = 5 };
        _cleanup_(health_check_done) HealthCheck plain = resolve(image, (HealthOptions){}),
                                                 over = resolve(image, (HealthOptions){ .interval_usec = 2000000, .start_period_set = true, .retries = 1, .on_failure = (char *) "stop" });

        assert_command(image, (HealthOptions){}, "a|b");
        assert_command(image, (HealthOptions){ .command = L("x") }, "x");
        assert_command(image, (HealthOptions){ .disabled = true }, "");
        assert_command((ImageHealthCheck){ .test = L("CMD-SHELL", "x || y") }, (HealthOptions){}, "/bin/sh|-c|x || y");
        assert_command((ImageHealthCheck){ .test = L("NONE") }, (HealthOptions){}, "");
        assert_command((ImageHealthCheck){ .test = L("CMD") }, (HealthOptions){}, "");
        assert_command((ImageHealthCheck){ .test = L("CMD-SHELL", "a", "b") }, (HealthOptions){}, "");
        assert_command((ImageHealthCheck){ .test = L("curl", "x") }, (HealthOptions){}, "");

        assert_int_equal(plain.interval_usec, HEALTH_INTERVAL_MIN_USEC);
        assert_int_equal(plain.timeout_usec, 7000000);
        assert_int_equal(plain.start_period_usec, 9);
        assert_int_equal(plain.start_interval_usec, HEALTH_INTERVAL_MIN_USEC);
        assert_int_equal(plain.retries, 5);
        assert_int_equal(plain.on_failure, HEALTH_ACTION_NONE);
        assert_int_equal(over.interval_usec, 2000000);
        assert_int_equal(over.start_period_usec, 0);
        assert_int_equal(over.start_interval_usec, 2000000);
        assert_int_equal(over.retries, 1);
        assert_int_equal(over.on_failure, HEALTH_ACTION_STOP);
}

static void test_invalid(void **state) {
        const HealthOptions bad[] = {
                { .disabled = true, .command = L("x") },
                { .command = L("") },
                { .command = L("x"), .interval_usec = HEALTH_INTERVAL_MIN_USEC - 1 },
                { .command = L("x"), .timeout_usec = 1 },
                { .command = L("x"), .start_interval_usec = 1 },
                { .command = L("x"), .retries = HEALTH_RETRIES_MAX + 1 },
                { .command = L("x"), .on_failure = (char *) "explode" },
        };
        const ImageHealthCheck none = {};
        const HealthOptions no_command = { .retries = 2 };
        HealthCheck h;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;

                assert_int_equal(health_options_validate(&bad[i], &e), -EINVAL);
                assert_non_null(startswith(error_message(&e), "HealthCheck: "));
        }
        assert_int_equal(health_check_resolve(&none, &no_command, &h, NULL), -EINVAL);
}

static void test_json(void **state) {
        _cleanup_(health_check_done) HealthCheck h = resolve((ImageHealthCheck){}, (HealthOptions){ .command = L("a", "b c"), .interval_usec = USEC_INFINITY, .on_failure = (char *) "kill" }),
                                                 back = {};
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(health_check_to_json(&h, &j), 0);
        assert_int_equal(health_check_from_json(j, &back, NULL), 0);
        assert_string_equal(back.command[1], "b c");
        assert_int_equal(back.interval_usec, USEC_INFINITY);
        assert_int_equal(back.timeout_usec, h.timeout_usec);
        assert_int_equal(back.start_interval_usec, h.start_interval_usec);
        assert_int_equal(back.retries, h.retries);
        assert_int_equal(back.on_failure, HEALTH_ACTION_KILL);

        assert_int_equal(json_object_set_new(j, "onFailure", json_string("explode")), 0);
        assert_true(health_check_from_json(j, &back, NULL) < 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_all, teardown_all)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_request),
                T(test_states),
                T(test_start_period),
                T(test_log),
                T(test_recovery),
                T(test_end),
                T(test_no_answer),
                T(test_kill),
                T(test_stop),
                T(test_restart),
                T(test_restart_and_death),
                T(test_ready),
                T(test_never_ready),
                T(test_ready_recovery),
                T(test_on_request),
                cmocka_unit_test(test_resolve),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
