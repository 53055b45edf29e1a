/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The container's states. */

#include "basic/run-log.h"
#include "container-fixture.h"

static void test_run_and_exit(void **state) {
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        assert_non_null(c);
        assert_int_equal(c->state, CONTAINER_STARTING);
        assert_string_equal(c->unit, UNIT);
        assert_string_equal(c->command[0], "one");
        assert_string_equal(t->systemd.slice, "moored-default.slice");
        assert_non_null(strstr(t->systemd.exec, " launch "));
        assert_non_null(endswith(t->systemd.exec, "/run/containers/default/web"));
        assert_true(bundle_exists(t->m->containers_fd, "default", "web"));
        assert_int_equal(t->n_answers, 0);

        started(t);
        assert_int_equal(t->n_answers, 1);
        assert_ptr_equal(t->answer, c);
        assert_null(t->answer_error);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(c->leader_pid, 4711);
        assert_string_equal(c->control_group, "/moored.slice/moored-default.slice/" UNIT);
        assert_int_equal(c->row.started_usec, 100);

        assert_int_equal(container_wait(c, on_answer, t), 0);
        assert_int_equal(t->n_answers, 1);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 7, "exit-code"));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_int_equal(c->row.exit_code, 7);
        assert_int_equal(c->row.finished_usec, 200);
        assert_string_equal(c->row.result, "exit-code");
        assert_null(c->row.exit_signal);
        assert_int_equal(c->leader_pid, 0);
        assert_int_equal(t->systemd.n_release, 1);
        assert_log(t, "created started exited");

        /* Said again, and in other words: recorded once, released once. */
        tell(t, ended(INVOCATION_1, CLD_EXITED, 7, "exit-code"));
        tell(t, (UnitStatus){ .loaded = true,
                              .active_state = (char *) "inactive",
                              .sub_state = (char *) "dead",
                              .active_enter_usec = 1,
                              .invocation_id = (char *) INVOCATION_1 });
        tell_gone(t);
        assert_log(t, "");
        assert_int_equal(t->systemd.n_release, 1);
        assert_int_equal(c->row.exit_code, 7);

        assert_int_equal(container_remove(c, false, on_answer, t, NULL), 0);
        loop(t);
        assert_int_equal(t->n_answers, 3);
        assert_null(t->answer);
        assert_log(t, "removed");
        assert_nothing_left(t);
}

/* A run is announced when PID 1 has been asked, and as what it is by then. */
static void test_announced(void **state) {
        const unsigned *n = ((Test *) *state)->f->n_notified;
        ContainerOptions o = options(false);
        Test *t = *state;
        Container *c;

        t->systemd.start_result = -ENOMEM;
        assert_true(run(t, options(false), NULL) < 0);
        assert_nothing_left(t);
        assert_int_equal(n[NOTIFY_CONTAINER_ADDED] + n[NOTIFY_CONTAINER_CHANGED] + n[NOTIFY_CONTAINER_REMOVED], 0);

        t->systemd.start_result = 0;
        assert_int_equal(run(t, options(false), NULL), 0);
        assert_int_equal(n[NOTIFY_CONTAINER_ADDED], 1);
        assert_int_equal(n[NOTIFY_CONTAINER_CHANGED], 0);
        started(t);
        assert_int_equal(n[NOTIFY_CONTAINER_CHANGED], 1);
        assert_int_equal(container_drop(web(t), NULL), 0);
        assert_int_equal(n[NOTIFY_CONTAINER_REMOVED], 1);

        assert_int_equal(container_create(t->m, "default", "other", "app", &o, &c, NULL), 0);
        assert_int_equal(n[NOTIFY_CONTAINER_ADDED], 2);
}

static void test_signals(void **state) {
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        started(t);
        tell(t, ended(INVOCATION_1, CLD_DUMPED, SIGSEGV, "core-dump"));
        c = web(t);
        assert_int_equal(c->row.exit_code, 128 + SIGSEGV);
        assert_string_equal(c->row.exit_signal, "SEGV");
        assert_string_equal(c->row.result, "core-dump");
}

static void test_auto_remove(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, options(true), NULL), 0);
        started(t);
        assert_int_equal(container_wait(web(t), on_answer, t), 0);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        /* Who waits is told first; then it goes. */
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(t->answer->row.exit_code, 0);
        assert_log(t, "created started exited");
        loop(t);
        assert_log(t, "removed");
        assert_nothing_left(t);
}

static void test_start_fails(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        UnitStatus u = running(INVOCATION_1);
        Test *t = *state;
        ContainerOptions o = options(false);
        Container *c;

        u.active_state = u.sub_state = (char *) "failed";
        u.active_enter_usec = 0;
        (void) error_set(&e, -ENOENT, "CommandNotFound", "none");

        /* A run leaves nothing. */
        assert_int_equal(run(t, options(false), NULL), 0);
        t->systemd.start_func(-ENOENT, &u, &e, t->systemd.start_userdata);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer);
        assert_string_equal(t->answer_error, "CommandNotFound");
        assert_int_equal(t->systemd.n_release, 1);
        assert_log(t, "created removed");
        assert_nothing_left(t);
        tell_gone(t);

        /* What was created stays as it was. */
        assert_int_equal(container_create(t->m, "default", "web", "app", &o, &c, NULL), 0);
        assert_int_equal(container_start(c, NULL, on_answer, t, NULL), 0);
        t->systemd.start_func(-ENOENT, &u, &e, t->systemd.start_userdata);
        assert_ptr_equal(t->answer, c);
        assert_int_equal(c->state, CONTAINER_CREATED);
        assert_int_equal(t->systemd.n_release, 2);
        assert_log(t, "created");
        /* What the unit still says is old. */
        tell(t, u);
        assert_log(t, "");
        assert_int_equal(t->n_answers, 2);

        /* PID 1 cannot even be asked. */
        assert_int_equal(container_remove(c, false, NULL, NULL, NULL), 0);
        loop(t);
        tell_gone(t);
        t->systemd.start_result = -ENOTCONN;
        assert_int_equal(run(t, options(false), NULL), -ENOTCONN);
        assert_int_equal(t->n_answers, 2);
        assert_nothing_left(t);
}

static void check_refused(Test *t, ContainerOptions o, const char *image, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;
        Container *c;

        assert_true(container_create(t->m, "default", "x", image, &o, &c, &e) < 0);
        assert_string_equal(error_name(&e), name);
        container_options_done(&o);
        assert_null(container_find(t->m, "default", "x", NULL));
        assert_int_equal(count_entries(t->f, "run/containers/default"), 0);
}

static void test_refused(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerOptions o = options(false), network = options(false), property = options(false),
                         platform = options(false), source = options(false), big = options(false);
        char id[CONTAINER_ID_MAX + 2] = "";
        Test *t = *state;
        Container *c;

        check_refused(t, options(false), "nothing", "NoSuchImage");
        assert_int_equal(strv_extend(&network.networks, "container:../x"), 0);
        check_refused(t, network, "app", "InvalidArgument");
        assert_int_equal(strv_extend(&property.properties, "Bad=1"), 0);
        check_refused(t, property, "app", "InvalidArgument");
        platform.platform = strdup("linux/arm64");
        check_refused(t, platform, "app", "NoSuchPlatform");
        source.mounts = calloc(1, sizeof(ContainerMount));
        source.n_mounts = 1;
        source.mounts[0] = (ContainerMount){ strdup("bind"), strdup("/no/such"), strdup("/mnt"), NULL };
        check_refused(t, source, "app", "NoSuchSource");
        assert_log(t, "");

        assert_false(container_id_is_valid(""));
        assert_false(container_id_is_valid("-a"));
        assert_false(container_id_is_valid("a/b"));
        assert_true(container_id_is_valid("a.b_c-D"));
        memset(id, 'a', CONTAINER_ID_MAX);
        assert_true(container_id_is_valid(id));
        id[CONTAINER_ID_MAX] = 'a';
        assert_false(container_id_is_valid(id));

        /* Sixty dashes are 240 characters of a unit's name. */
        memset(id, '-', CONTAINER_ID_MAX);
        id[0] = 'a';
        id[CONTAINER_ID_MAX] = 0;
        assert_int_equal(container_create(t->m, "default", id, "app", &big, &c, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
        error_done(&e);
        container_options_done(&big);

        assert_int_equal(container_create(t->m, "default", "web", "app", &o, &c, NULL), 0);
        o = options(false);
        assert_int_equal(container_create(t->m, "default", "web", "app", &o, &c, &e), -EEXIST);
        assert_string_equal(error_name(&e), "ContainerExists");
        /* An image that a container was made from stays. */
        error_done(&e);
        assert_int_equal(image_remove(t->f->images, "default", "app", false, &e), -EBUSY);

        assert_int_equal(container_create(t->m, "default", "", "app", &o, &c, NULL), 0);
        assert_int_equal(strlen(c->row.id), 12);
        assert_int_equal(container_count(t->m, "default"), 2);
        assert_int_equal(container_count(t->m, "other"), 0);
}

/* Until so many signals have been sent, however slow the machine is. */
static void run_until_killed(Test *t, unsigned n) {
        for (unsigned i = 0; i < 1000 && t->systemd.n_kill < n; i++)
                fixture_run(t->f, 20 * USEC_PER_MSEC);
        assert_int_equal(t->systemd.n_kill, n);
}

static void test_stop(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        started(t);
        assert_int_equal(container_start(c, NULL, on_answer, t, &e), -EALREADY);
        assert_string_equal(error_name(&e), "AlreadyRunning");
        error_done(&e);
        assert_int_equal(container_remove(c, false, NULL, NULL, &e), -EBUSY);
        assert_string_equal(error_name(&e), "ContainerRunning");

        assert_int_equal(container_stop(c, 20 * USEC_PER_MSEC, on_answer, t, NULL), 0);
        assert_int_equal(c->state, CONTAINER_STOPPING);
        assert_int_equal(t->systemd.kill_signal, SIGTERM);
        assert_string_equal(t->systemd.whom, "main");
        assert_int_equal(t->n_answers, 1);
        /* It does not listen. */
        run_until_killed(t, 2);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(c->row.exit_code, 137);
        assert_log(t, "created started exited stopped");

        /* It has ended: nothing to do. */
        assert_int_equal(container_stop(c, 0, on_answer, t, NULL), 0);
        assert_int_equal(t->n_answers, 3);
        assert_int_equal(t->systemd.n_kill, 2);
        error_done(&e);
        assert_int_equal(container_kill(c, "main", SIGTERM, on_answer, t, &e), -ESRCH);
        assert_string_equal(error_name(&e), "NotRunning");
}

static void test_stop_while_starting(void **state) {
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        assert_int_equal(container_stop(c, 0, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_kill, 0);
        started(t);
        assert_int_equal(c->state, CONTAINER_STOPPING);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(c->state, CONTAINER_EXITED);
}

static void test_kill(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        started(t);
        assert_int_equal(container_kill(c, "", SIGHUP, on_answer, t, NULL), 0);
        assert_string_equal(t->systemd.whom, "main");
        assert_int_equal(t->systemd.kill_signal, SIGHUP);
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(container_kill(c, "all", SIGHUP, on_answer, t, NULL), 0);
        assert_int_equal(container_kill(c, "some", SIGHUP, on_answer, t, &e), -EINVAL);
        assert_int_equal(container_kill(c, "all", 0, on_answer, t, NULL), -EINVAL);
        assert_int_equal(container_kill(c, "all", SIGRTMAX + 1, on_answer, t, NULL), -EINVAL);
}

static void test_start_again(void **state) {
        Test *t = *state;
        UnitStatus u;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        started(t);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 1, "exit-code"));

        /* The name is taken until the old unit is gone. */
        assert_int_equal(container_start(c, NULL, on_answer, t, NULL), 0);
        assert_int_equal(c->state, CONTAINER_STARTING);
        assert_int_equal(t->systemd.n_start, 1);
        tell_gone(t);
        assert_int_equal(t->systemd.n_start, 2);
        u = running(INVOCATION_2);
        t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(c->row.exit_code, -1);
        assert_int_equal(c->row.finished_usec, 0);

        /* Stop and start in one. */
        assert_int_equal(container_restart(c, UINT64_MAX, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.kill_signal, SIGTERM);
        tell(t, ended(INVOCATION_2, CLD_KILLED, SIGTERM, "success"));
        assert_int_equal(c->state, CONTAINER_STARTING);
        assert_int_equal(t->n_answers, 2);
        tell_gone(t);
        started(t);
        assert_int_equal(t->n_answers, 3);
        assert_int_equal(c->state, CONTAINER_RUNNING);

        /* The same with no time to end: only SIGKILL is sent. */
        t->systemd.kill_signal = 0;
        assert_int_equal(container_restart(c, 0, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        tell_gone(t);
        started(t);
        assert_int_equal(t->n_answers, 4);
        assert_int_equal(c->state, CONTAINER_RUNNING);

        /* With force it is killed, then removed. */
        assert_int_equal(container_remove(c, true, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        loop(t);
        assert_int_equal(t->n_answers, 5);
        assert_nothing_left(t);
}

static void test_unit_taken_away(void **state) {
        Test *t = *state;
        UnitStatus u;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        c = web(t);
        started(t);
        tell_gone(t);
        assert_int_equal(c->state, CONTAINER_EXITED);
        assert_int_equal(c->row.exit_code, -1);
        assert_string_equal(c->row.result, "lost");

        /* If its last word was its end, that is it. */
        assert_int_equal(container_start(c, NULL, on_answer, t, NULL), 0);
        started(t);
        u = ended(INVOCATION_1, CLD_EXITED, 3, "exit-code");
        u.loaded = false;
        tell(t, u);
        assert_int_equal(c->row.exit_code, 3);
}

/* -- recovery ----------------------------------------------------------------------------------- */

static void test_recover_running(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerOptions o = options(false);
        Test *t = *state;
        Container *c;

        assert_int_equal(run(t, options(false), NULL), 0);
        started(t);
        restart(t);
        assert_log(t, "created started");
        c = web(t);
        assert_non_null(c);
        /* Not before PID 1 has been heard. */
        assert_int_equal(container_create(t->m, "default", "y", "app", &o, &c, &e), -EBUSY);
        c = web(t);
        tell(t, running(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(c->state, CONTAINER_RUNNING);
        assert_int_equal(c->leader_pid, 4711);
        assert_string_equal(c->command[0], "one");
        assert_log(t, "");
        tell(t, ended(INVOCATION_1, CLD_EXITED, 9, "exit-code"));
        assert_int_equal(c->row.exit_code, 9);
}

static void test_recover_ended(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, options(false), NULL), 0);
        started(t);
        restart(t);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 5, "exit-code"));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 5);
        assert_int_equal(t->systemd.n_release, 1);
        assert_log(t, "created started exited");

        /* Killed before the release: only that is left to do. */
        restart(t);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 5, "exit-code"));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(t->systemd.n_release, 2);
        assert_log(t, "");
}

static void test_recover_auto_remove(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, options(true), NULL), 0);
        started(t);
        restart(t);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 5, "exit-code"));
        assert_int_equal(container_manager_recovered(t->m), 0);
        loop(t);
        assert_log(t, "created started exited removed");
        assert_nothing_left(t);
}

static void test_recover_between(void **state) {
        ContainerOptions o = options(true);
        Test *t = *state;
        UnitStatus u;
        Container *c;

        /* The row was written, the unit never asked for. */
        assert_int_equal(run(t, options(true), NULL), 0);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        loop(t);
        assert_log(t, "created removed");
        assert_nothing_left(t);

        /* The unit was started, the row does not say so: it runs, it has ended, it failed to start. */
        assert_int_equal(run(t, options(false), NULL), 0);
        restart(t);
        tell(t, running(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_log(t, "created started");
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        tell_gone(t);
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        restart(t);
        tell(t, ended(INVOCATION_2, CLD_EXITED, 4, "exit-code"));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->row.exit_code, 4);
        assert_log(t, "exited started exited");
        tell_gone(t);
        assert_int_equal(container_remove(web(t), false, NULL, NULL, NULL), 0);
        loop(t);
        assert_log(t, "removed");

        assert_int_equal(run(t, options(true), NULL), 0);
        restart(t);
        u = ended(INVOCATION_1, CLD_EXITED, 127, "exit-code");
        u.active_enter_usec = 0;
        tell(t, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
        loop(t);
        assert_log(t, "created removed");
        assert_nothing_left(t);
        tell_gone(t);

        /* One that is starting: the unit says how it goes on. */
        assert_int_equal(run(t, options(false), NULL), 0);
        restart(t);
        u = running(INVOCATION_1);
        u.active_state = (char *) "activating";
        u.sub_state = (char *) "start";
        tell(t, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        tell(t, running(INVOCATION_1));
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_log(t, "created started");

        /* Created for later: it stays, auto_remove or not. */
        assert_int_equal(container_create(t->m, "default", "later", "app", &o, &c, NULL), 0);
        restart(t);
        tell(t, running(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        loop(t);
        c = container_find(t->m, "default", "later", NULL);
        assert_non_null(c);
        assert_int_equal(c->state, CONTAINER_CREATED);
}

/* A code that is a clean end to PID 1 as well as 0 is, or a unit of which the journal has nothing. */
static void test_recover_end_written_down(void **state) {
        static const char *const properties[] = { "SuccessExitStatus=7", "LogLevelMax=err", "MemoryMax=1G" };
        RunRecord end = { .type = RUN_EXIT, .usec = 300, .code = CLD_EXITED, .status = 7 };
        Test *t = *state;

        memcpy(end.invocation_id, INVOCATION_1, RUN_ID_SIZE);
        memcpy(end.result, "success", sizeof("success"));
        for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
                _cleanup_close_ int dir = -EBADF, fd = -EBADF;
                ContainerOptions o = options(false);
                bool written = i < 2;

                assert_int_equal(strv_extend(&o.properties, properties[i]), 0);
                assert_int_equal(run(t, o, NULL), 0);
                assert_int_equal(!!t->systemd.stop_post, written);
                started(t);
                dir = bundle_open(t->m->containers_fd, "default", "web");
                fd = run_log_open(dir, true);
                assert_true(fd >= 0);
                assert_int_equal(run_log_append(fd, &end), 0);
                restart(t);
                assert_int_equal(container_manager_recovered(t->m), 0);
                assert_int_equal(web(t)->state, CONTAINER_EXITED);
                assert_int_equal(web(t)->row.exit_code, written ? 7 : -1);
                assert_string_equal(web(t)->row.result, written ? "success" : "lost");
                assert_int_equal(container_drop(web(t), NULL), 0);
        }
}

static void test_recover_lost(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, options(false), NULL), 0);
        started(t);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_string_equal(web(t)->row.result, "lost");
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        started(t);

        /* Another boot: nothing runs, the bundle is gone and comes back with a start. */
        assert_int_equal(free_and_strdup(&web(t)->row.boot_id, "another"), 0);
        assert_int_equal(store_container_update(t->f->store, &web(t)->row), 0);
        assert_int_equal(bundle_remove(t->m->containers_fd, "default", "web"), 0);
        restart(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_string_equal(web(t)->row.result, "reboot");
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        assert_true(bundle_exists(t->m->containers_fd, "default", "web"));
}

static void write_stray_bundle(Test *t) {
        const BundleContent content = { .config = "{}", .hostname = "h", .hosts = "", .resolv = "" };

        assert_int_equal(bundle_write(t->m->containers_fd, "default", "web", &content, NULL), 0);
}

static void test_recover_strays(void **state) {
        Test *t = *state;
        uint64_t id;

        /* A snapshot and a bundle that no row knows of, and units that belong to nobody. */
        assert_int_equal(snapshot_prepare(t->f->snapshots, 1, false, &id, NULL), 0);
        write_stray_bundle(t);
        restart(t);
        tell(t, running(INVOCATION_1));
        assert_int_equal(t->systemd.n_stop, 1);
        tell(t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(t->systemd.n_release, 1);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_nothing_left(t);

        /* A unit of such a name that is not ours is left alone. */
        UnitStatus u = running(INVOCATION_1);
        u.launcher = false;
        tell(t, u);
        assert_int_equal(t->systemd.n_stop, 1);
}

static void test_unreadable_record(void **state) {
        Test *t = *state;
        uint64_t id;

        assert_int_equal(snapshot_prepare(t->f->snapshots, 1, false, &id, NULL), 0);
        assert_int_equal(store_container_add(t->f->store,
                                             &(ContainerRow){ .ns = (char *) "default",
                                                              .id = (char *) "web",
                                                              .image = (char *) NAME,
                                                              .image_digest = (char *) "sha256:0",
                                                              .options = (char *) "{",
                                                              .snapshot = id,
                                                              .exit_code = -1 }),
                         0);
        write_stray_bundle(t);
        restart(t);
        tell(t, running(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        /* It is not shown, but nothing of it is touched. */
        assert_null(web(t));
        assert_int_equal(t->systemd.n_stop, 0);
        assert_true(bundle_exists(t->m->containers_fd, "default", "web"));
        assert_true(count_entries(t->f, "snapshots/overlay/2") > 0);
}

/* -- units that are installed -- */

#define INSTALLED "moored@web.service"

static int prepare(Test *t, Error *e) {
        ContainerOptions o = options(false);
        Container *c;
        int r;

        o.unit = strdup(INSTALLED);
        assert_non_null(o.unit);
        r = container_create(t->m, "default", "web", "app", &o, &c, e);
        container_options_done(&o);
        return r;
}

static void tell_installed(Test *t, UnitStatus u) {
        container_unit_changed(t->m, INSTALLED, &u);
}

static UnitStatus in_state(UnitStatus u, const char *active, const char *sub) {
        u.active_state = (char *) active;
        u.sub_state = (char *) sub;
        return u;
}

/* After container_create(), which says now when the container was made. */
static UnitStatus runs(const char *invocation) {
        UnitStatus u = running(invocation);

        u.inactive_exit_usec = u.active_enter_usec = u.exec_main_start_usec = now_usec(CLOCK_REALTIME);
        return u;
}

static void test_installed(void **state) {
        Test *t = *state;
        UnitStatus u;

        assert_int_equal(prepare(t, NULL), 0);
        assert_int_equal(t->systemd.n_follow, 1);
        assert_string_equal(web(t)->unit, INSTALLED);
        tell_installed(t, in_state(runs(INVOCATION_1), "activating", "start-pre"));
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        tell_installed(t, runs(INVOCATION_1));
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);

        /* A new run while this one goes on: PID 1 is asked. */
        assert_int_equal(prepare(t, NULL), -EBUSY);
        assert_int_equal(t->systemd.n_refresh, 1);

        /* Should the unit be started again, that is another container; it is not released. */
        u = in_state(runs(INVOCATION_1), "failed", "failed");
        u.exec_main_code = CLD_EXITED;
        u.exec_main_status = 7;
        tell_installed(t, u);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 7);
        assert_int_equal(t->systemd.n_refresh, 1);
        assert_int_equal(t->systemd.n_release, 0);
        assert_log(t, "created started exited");

        /* The next run is another container. */
        assert_int_equal(prepare(t, NULL), 0);
        assert_log(t, "removed created");
        assert_int_equal(web(t)->state, CONTAINER_CREATED);
        assert_true(bundle_exists(t->m->containers_fd, "default", "web"));
        assert_int_equal(container_remove(web(t), false, NULL, NULL, NULL), 0);
        loop(t);
        assert_log(t, "removed");
        assert_nothing_left(t);
}

static void test_installed_restarts(void **state) {
        Test *t = *state;
        UnitStatus u;

        assert_int_equal(prepare(t, NULL), 0);
        tell_installed(t, runs(INVOCATION_1));
        u = in_state(runs(INVOCATION_1), "activating", "auto-restart");
        u.exec_main_code = CLD_EXITED;
        u.exec_main_status = 3;
        tell_installed(t, u);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 3);

        /* A start that ends before it has got as far as to make the container: the last run stays as it was. */
        tell_installed(t, in_state(running(INVOCATION_2), "activating", "start-pre"));
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        u = in_state(running(INVOCATION_2), "failed", "failed");
        u.inactive_exit_usec = 2; /* it was active before that */
        u.exec_main_start_usec = 0;
        tell_installed(t, u);
        assert_int_equal(web(t)->state, CONTAINER_EXITED);
        assert_int_equal(web(t)->row.exit_code, 3);
        assert_log(t, "created started exited");
}

static void test_installed_by_moored(void **state) {
        Test *t = *state;
        UnitStatus u;

        assert_int_equal(prepare(t, NULL), 0);
        t->log[0] = 0;
        assert_int_equal(container_start(web(t), NULL, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_start_installed, 1);
        /* In the course of which the unit asks for its container. */
        assert_int_equal(prepare(t, NULL), 0);
        assert_int_equal(web(t)->state, CONTAINER_STARTING);
        assert_int_equal(t->n_answers, 0);
        u = runs(INVOCATION_1);
        t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
        assert_int_equal(t->n_answers, 1);
        assert_ptr_equal(t->answer, web(t));
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_log(t, "removed created started");

        assert_int_equal(container_stop(web(t), UINT64_MAX, on_answer, t, NULL), 0);
        assert_int_equal(t->systemd.n_stop, 1);
        assert_int_equal(t->systemd.n_kill, 0);
        u = in_state(runs(INVOCATION_1), "inactive", "dead");
        u.exec_main_code = CLD_EXITED;
        tell_installed(t, u);
        assert_int_equal(t->n_answers, 2);
        assert_log(t, "exited stopped");
}

static void test_installed_recovered(void **state) {
        Test *t = *state;

        assert_int_equal(prepare(t, NULL), 0);
        tell_installed(t, runs(INVOCATION_1));
        restart(t);
        assert_string_equal(web(t)->unit, INSTALLED);
        tell_installed(t, runs(INVOCATION_1));
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);
        assert_log(t, "created started");

        /* Of somebody else's: one that is being started has no container yet; only what runs without is stopped. */
        UnitStatus u = runs(INVOCATION_2);

        u = in_state(u, "activating", "start-pre");
        container_unit_changed(t->m, "moored@other.service", &u);
        u = in_state(u, "failed", "failed");
        container_unit_changed(t->m, "moored@other.service", &u);
        assert_int_equal(t->systemd.n_stop + t->systemd.n_release, 0);
        /* Nor what undoes or makes a network: half done it would be for good. */
        u = runs(INVOCATION_2);
        container_unit_changed(t->m, "moored-cni@17-1035-0.service", &u);
        assert_int_equal(t->systemd.n_stop + t->systemd.n_release, 0);
        container_unit_changed(t->m, "moored@other.service", &u);
        assert_int_equal(t->systemd.n_stop, 1);
}

static void test_installed_refused(void **state) {
        Test *t = *state;
        const struct {
                ContainerOptions o;
                const char *ns, *id, *name;
        } cases[] = {
                { { .unit = (char *) "moored@other.service" }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) "ssh.service" }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED }, "other", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED, .auto_remove = true }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED, .log = (char *) "none" }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED, .terminal = true }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED, .open_stdin = true }, "default", "web", "InvalidArgument" },
                { { .unit = (char *) INSTALLED, .restart = (char *) "always" }, "default", "web", "InvalidArgument" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                ContainerOptions o = cases[i].o;
                Container *c;

                o.stop_timeout_usec = UINT64_MAX;
                assert_int_equal(container_create(t->m, cases[i].ns, cases[i].id, "app", &o, &c, &e), -EINVAL);
                assert_true(error_has_name(&e, cases[i].name));
        }

        /* The name belongs to another container. */
        assert_int_equal(run(t, options(false), NULL), 0);
        assert_int_equal(prepare(t, NULL), -EEXIST);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_run_and_exit),
                T(test_announced),
                T(test_signals),
                T(test_auto_remove),
                T(test_start_fails),
                T(test_refused),
                T(test_stop),
                T(test_stop_while_starting),
                T(test_kill),
                T(test_start_again),
                T(test_unit_taken_away),
                T(test_recover_running),
                T(test_recover_ended),
                T(test_recover_auto_remove),
                T(test_recover_between),
                T(test_recover_end_written_down),
                T(test_recover_lost),
                T(test_recover_strays),
                T(test_unreadable_record),
                T(test_installed),
                T(test_installed_restarts),
                T(test_installed_by_moored),
                T(test_installed_recovered),
                T(test_installed_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
