/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Execs against a PID 1 that says what the test wants it to say; a container runs all the time. */

#include <signal.h>

#include "basic/json.h"
#include "basic/run-log.h"
#include "container-fixture.h"
#include "container/exec-record.h"
#include "container/exec.h"

static UnitStatus exec_running(void) {
        UnitStatus u = running(INVOCATION_2);

        u.main_pid = 4712;
        return u;
}

static UnitStatus exec_ended(int code, int status) {
        return ended(INVOCATION_2, code, status,
                     code != CLD_EXITED ? "signal" : status != 0 ? "exit-code" : "success");
}

/* With a container that runs. */
static int exec_setup(void **state) {
        ContainerOptions o = options(false);
        Test *t;

        assert_int_equal(setup(state), 0);
        t = *state;
        assert_int_equal(strv_extend(&o.environment, "A=container"), 0);
        assert_int_equal(strv_extend(&o.groups, "7"), 0);
        assert_int_equal(run(t, o, NULL), 0);
        started(t);
        assert_false(t->systemd.is_exec);
        assert_log(t, "created started");
        t->systemd.n_start = t->n_answers = 0;
        t->systemd.start_userdata = NULL;
        return 0;
}

/* As if killed; PID 1 then says what it has of the container, and of an exec if there is something. */
static void exec_restart(Test *t, const char *unit, const UnitStatus *u) {
        UnitStartFunc func = t->systemd.start_func;

        if (func && t->systemd.start_userdata)
                func(-ECANCELED, NULL, NULL, t->systemd.start_userdata);
        t->systemd.start_userdata = NULL;
        restart(t);
        tell(t, running(INVOCATION_1));
        if (u)
                container_unit_changed(t->m, unit, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
}

static void on_exec_answer(Exec *e, const Error *error, void *userdata) {
        Test *t = userdata;

        on_answer(NULL, error, t);
        t->exec = e;
}

static ExecOptions exec_options(const char *command) {
        ExecOptions o = {};

        assert_int_equal(strv_extend(&o.command, command), 0);
        return o;
}

static int start(Test *t, ExecOptions o, Error *e) {
        int r;

        r = exec_start(web(t), &o, &CONTAINER_STDIO_NULL, on_exec_answer, t, e);
        exec_options_done(&o);
        return r;
}

static void answer_start(Test *t, int r, const UnitStatus *u, const Error *e) {
        void *userdata = TAKE_PTR(t->systemd.start_userdata);

        t->systemd.start_func(r, u, e, userdata);
}

/* One that runs. */
static Exec *run_exec(Test *t, ExecOptions o) {
        UnitStatus u = exec_running();

        assert_int_equal(start(t, o, NULL), 0);
        answer_start(t, 0, &u, NULL);
        assert_non_null(t->exec);
        return t->exec;
}

static void tell_exec(Test *t, UnitStatus u) {
        container_unit_changed(t->m, t->systemd.unit, &u);
}

static json_t *read_spec(Test *t, uint64_t n) {
        _cleanup_free_ char *path = bundle_exec_path(t->runtime, "default", "web", n), *text = NULL;
        json_t *j = NULL;
        size_t size;

        assert_int_equal(read_file_at(AT_FDCWD, path, 1U << 20, &text, &size), 0);
        assert_int_equal(json_parse(text, size, 1U << 20, &j, NULL), 0);
        return j;
}

static bool has_file(Test *t, uint64_t n) {
        _cleanup_free_ char *path = bundle_exec_path(t->runtime, "default", "web", n);

        return access(path, F_OK) >= 0;
}

static int count_row(ExecRow *row, void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

static unsigned n_rows(Test *t) {
        unsigned n = 0;

        assert_int_equal(store_exec_foreach(t->f->store, count_row, &n), 0);
        return n;
}

static void test_life(void **state) {
        Test *t = *state;
        Exec *e;

        assert_int_equal(start(t, exec_options("id"), NULL), 0);
        assert_int_equal(t->n_answers, 0);
        assert_string_equal(t->systemd.unit, "moored-default-web-1.service");
        assert_true(t->systemd.is_exec);
        assert_non_null(strstr(t->systemd.exec, " launch-exec "));
        assert_non_null(endswith(t->systemd.exec, "/web/exec-1.json"));
        assert_true(has_file(t, 1));
        assert_int_equal(n_rows(t), 1);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_STARTING);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 0);

        /* What is heard before the start has ended says nothing. */
        tell_exec(t, exec_running());
        assert_int_equal(e->state, EXEC_STARTING);
        UnitStatus u = exec_running();
        answer_start(t, 0, &u, NULL);
        assert_int_equal(t->n_answers, 1);
        assert_ptr_equal(t->exec, e);
        assert_int_equal(e->state, EXEC_RUNNING);
        assert_int_equal(e->pid, 4712);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 1);
        assert_true(exec_is_live(t->m, "default", "web", "1"));
        assert_false(exec_is_live(t->m, "default", "web", "2"));
        assert_false(exec_is_live(t->m, "default", "none", "1"));

        assert_int_equal(exec_wait(e, on_exec_answer, t), 0);
        assert_int_equal(t->n_answers, 1);
        tell_exec(t, exec_ended(CLD_EXITED, 7));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_int_equal(e->row.exit_code, 7);
        assert_int_equal(e->row.finished_usec, 200);
        assert_int_equal(t->systemd.n_release, 1);
        assert_false(has_file(t, 1));
        assert_log(t, "exec-started exec-exited");
        assert_int_equal(exec_wait(e, on_exec_answer, t), 0);
        assert_int_equal(t->n_answers, 3);

        /* Said again: nothing. */
        tell_exec(t, exec_ended(CLD_EXITED, 7));
        tell_exec(t, (UnitStatus){});
        assert_log(t, "");
        assert_int_equal(t->systemd.n_release, 1);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);

        assert_int_equal(exec_kill(e, SIGTERM, on_exec_answer, t, NULL), -ESRCH);
        assert_int_equal(exec_remove(e, false, on_exec_answer, t, NULL), 0);
        assert_null(t->exec);
        assert_int_equal(n_rows(t), 0);
        assert_null(exec_find(web(t), 1, NULL));
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 1);
}

static void test_specification(void **state) {
        Test *t = *state;
        ExecOptions o = exec_options("id");
        _cleanup_json_ json_t *j = NULL;
        json_t *process, *annotations;
        Exec *e;

        assert_int_equal(strv_extend(&o.environment, "A=exec"), 0);
        assert_int_equal(strv_extend(&o.groups, "8"), 0);
        assert_int_equal(strv_extend(&o.cap_drop, "ALL"), 0);
        o.user = strdup("1000:50");
        o.working_directory = strdup("/tmp");
        e = run_exec(t, o);
        assert_string_equal(e->user, "1000:50");
        assert_string_equal(e->working_directory, "/tmp");
        assert_string_equal(e->command[0], "id");

        j = read_spec(t, e->row.n);
        process = json_object_get(j, "process");
        assert_string_equal(json_get_string(process, "cwd"), "/tmp");
        assert_int_equal(json_array_size(json_object_get(json_object_get(process, "capabilities"), "effective")), 0);
        assert_true(json_is_true(json_object_get(process, "noNewPrivileges")));
        annotations = json_object_get(j, "annotations");
        assert_string_equal(json_get_string(annotations, "org.moored.user"), "1000:50");
        assert_string_equal(json_get_string(annotations, "org.moored.groups"), "7,8");
        assert_string_equal(json_get_string(annotations, "org.moored.exec.pid"), "4711");
        assert_string_equal(json_get_string(annotations, "org.moored.exec.cgroup"),
                            "/moored.slice/moored-default.slice/" UNIT);
        assert_null(json_get_string(annotations, "org.moored.rootfs.dir"));
        assert_int_equal(json_array_size(json_object_get(json_object_get(j, "linux"), "namespaces")), 6);
        assert_null(json_object_get(j, "root"));
}

static void check_refused(Test *t, ExecOptions o, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(start(t, o, &e) < 0);
        assert_string_equal(error_name(&e), name);
        assert_int_equal(n_rows(t), 0);
        assert_int_equal(t->systemd.n_start, 0);
}

static void test_refused(void **state) {
        ExecOptions o = exec_options("id"), empty = exec_options(""), cap = exec_options("id"), token = exec_options("id");
        UnitStatus u = ended(INVOCATION_1, CLD_EXITED, 0, "success");
        Test *t = *state;

        check_refused(t, (ExecOptions){}, "InvalidArgument");
        check_refused(t, empty, "InvalidArgument");
        o.working_directory = strdup("relative");
        check_refused(t, o, "InvalidArgument");
        assert_int_equal(strv_extend(&cap.cap_add, "NOSUCH"), 0);
        check_refused(t, cap, "InvalidArgument");
        token.token = calloc(1, EXEC_TOKEN_MAX + 2);
        memset(token.token, 'x', EXEC_TOKEN_MAX + 1);
        check_refused(t, token, "InvalidArgument");

        /* PID 1 cannot be asked. */
        t->systemd.start_result = -ENOTCONN;
        check_refused(t, exec_options("id"), "Failed");
        assert_false(has_file(t, 1));
        t->systemd.start_result = 0;

        tell(t, u);
        check_refused(t, exec_options("id"), "NotRunning");
        assert_int_equal(t->n_answers, 0);
}

static void test_start_fails(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        UnitStatus u = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };
        Test *t = *state;

        assert_int_equal(start(t, exec_options("nosuch"), NULL), 0);
        (void) error_set(&e, -ENOENT, "CommandNotFound", "none");
        answer_start(t, -ENOENT, &u, &e);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->exec);
        assert_string_equal(t->answer_error, "CommandNotFound");
        assert_int_equal(n_rows(t), 0);
        assert_int_equal(t->systemd.n_release, 1);
        assert_false(has_file(t, 1));
        assert_log(t, "");
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 0);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 0);
}

static void test_auto_remove(void **state) {
        Test *t = *state;
        ExecOptions o = exec_options("id");
        Exec *e;

        o.auto_remove = true;
        e = run_exec(t, o);
        assert_int_equal(exec_wait(e, on_exec_answer, t), 0);
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_null(exec_find(web(t), 1, NULL));
        assert_int_equal(n_rows(t), 0);
        assert_log(t, "exec-started exec-exited");
        assert_int_equal(t->systemd.n_release, 1);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 1);

        /* PID 1 tells more of it until it is gone; then the name is as good as new. */
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->systemd.n_release, 1);
        tell_exec(t, (UnitStatus){});
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->systemd.n_release, 2);
        /* It could not be released: the next time it is. */
        container_unit_kept(t->m, t->systemd.unit);
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->systemd.n_release, 3);
}

static void test_remove_by_force(void **state) {
        _cleanup_error_ Error error = ERROR_NULL;
        Test *t = *state;
        Exec *e = run_exec(t, exec_options("sleep"));

        assert_int_equal(exec_remove(e, false, on_exec_answer, t, &error), -EBUSY);
        assert_string_equal(error_name(&error), "ExecRunning");
        assert_int_equal(exec_remove(e, true, on_exec_answer, t, NULL), 0);
        assert_int_equal(t->systemd.kill_signal, SIGKILL);
        assert_string_equal(t->systemd.whom, "main");
        assert_int_equal(t->n_answers, 1);
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_null(t->exec);
        assert_int_equal(n_rows(t), 0);
}

static void test_token(void **state) {
        Test *t = *state;
        ExecOptions a = exec_options("id"), b = exec_options("id"), c = exec_options("id");
        UnitStatus u = exec_running();

        a.token = strdup("x");
        b.token = strdup("x");
        c.token = strdup("x");
        assert_int_equal(start(t, a, NULL), 0);
        assert_int_equal(start(t, b, NULL), 0);
        assert_int_equal(t->systemd.n_start, 1);
        answer_start(t, 0, &u, NULL);
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(start(t, c, NULL), 0);
        assert_int_equal(t->n_answers, 3);
        assert_int_equal(t->exec->row.n, 1);
        assert_int_equal(t->systemd.n_start, 1);

        /* Also of a daemon that does not know of the first call. */
        exec_restart(t, "moored-default-web-1.service", &u);
        b = exec_options("id");
        b.token = strdup("x");
        assert_int_equal(start(t, b, NULL), 0);
        assert_int_equal(t->exec->row.n, 1);
        assert_int_equal(t->systemd.n_start, 1);
}

static void test_those_that_ended_are_forgotten(void **state) {
        Test *t = *state;

        for (unsigned i = 1; i <= EXECS_ENDED_MAX + 2; i++) {
                UnitStatus u;

                (void) run_exec(t, exec_options("id"));
                u = exec_ended(CLD_EXITED, 0);
                u.exec_main_exit_usec = 200 + i;
                tell_exec(t, u);
        }
        assert_int_equal(n_rows(t), EXECS_ENDED_MAX);
        assert_null(exec_find(web(t), 1, NULL));
        assert_null(exec_find(web(t), 2, NULL));
        assert_non_null(exec_find(web(t), 3, NULL));
}

static void test_container_goes(void **state) {
        Test *t = *state;
        Exec *e = run_exec(t, exec_options("sleep"));

        /* Its end is heard after the container's. */
        assert_int_equal(exec_wait(e, on_exec_answer, t), 0);
        web(t)->work->remove = true;
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        loop(t);
        assert_non_null(web(t));
        assert_int_equal(t->n_answers, 1);
        tell_exec(t, exec_ended(CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(t->exec->row.exit_code, 128 + SIGKILL);
        loop(t);
        assert_null(web(t));
        assert_int_equal(n_rows(t), 0);
}

static void test_container_goes_during_the_start(void **state) {
        UnitStatus u = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };
        Test *t = *state;

        assert_int_equal(start(t, exec_options("sleep"), NULL), 0);
        web(t)->work->remove = true;
        tell(t, ended(INVOCATION_1, CLD_KILLED, SIGKILL, "signal"));
        loop(t);
        assert_non_null(web(t));
        answer_start(t, -EIO, &u, NULL);
        assert_string_equal(t->answer_error, "NotRunning");
        loop(t);
        assert_null(web(t));
}

static void test_away(void **state) {
        Test *t = *state;
        UnitStatus u = exec_running(), end = exec_ended(CLD_EXITED, 42);
        Exec *e;

        /* It runs on. */
        (void) run_exec(t, exec_options("sleep"));
        assert_log(t, "exec-started");
        exec_restart(t, "moored-default-web-1.service", &u);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_RUNNING);
        assert_int_equal(e->pid, 4712);
        assert_string_equal(e->command[0], "sleep");
        assert_log(t, "");

        /* It has ended. */
        exec_restart(t, "moored-default-web-1.service", &end);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_int_equal(e->row.exit_code, 42);
        assert_log(t, "exec-exited");
        assert_int_equal(t->systemd.n_release, 1);

        /* That was recorded, the unit was not released. */
        exec_restart(t, "moored-default-web-1.service", &end);
        assert_log(t, "");
        assert_int_equal(t->systemd.n_release, 2);

        /* Nobody knows. */
        e = run_exec(t, exec_options("sleep"));
        assert_int_equal(e->row.n, 2);
        exec_restart(t, NULL, NULL);
        e = exec_find(web(t), 2, NULL);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_string_equal(e->row.result, "lost");
        assert_int_equal(e->row.exit_code, -1);
}

/* As `mooring record-exec` does. */
static void write_end(Test *t, uint64_t n, const char *invocation, int code, int status, const char *result) {
        RunRecord r = { .type = RUN_EXIT, .usec = 300, .code = code, .status = status };
        _cleanup_close_ int fd = bundle_open_exec_end(t->m->containers_fd, "default", "web", n, false);

        assert_true(fd >= 0);
        memcpy(r.invocation_id, invocation, RUN_ID_SIZE);
        memcpy(r.result, result, strlen(result) + 1);
        assert_int_equal(run_log_append(fd, &r), 0);
}

static bool has_end_file(Test *t, uint64_t n) {
        _cleanup_close_ int fd = bundle_open_exec_end(t->m->containers_fd, "default", "web", n, false);

        return fd >= 0;
}

/* Somebody has stopped the unit while nobody looked. */
static void test_end_written_down(void **state) {
        static const struct {
                int code, status;
                const char *result;
                int exit_code;
        } table[] = {
                { CLD_KILLED, SIGTERM, "success", 128 + SIGTERM },
                { CLD_EXITED, 0, "success", 0 },
                { CLD_EXITED, 9, "exit-code", 9 },
                { CLD_DUMPED, SIGSEGV, "core-dump", 128 + SIGSEGV },
        };
        Test *t = *state;
        uint64_t n = 0;
        Exec *e;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                assert_int_equal(run_exec(t, exec_options("sleep"))->row.n, ++n);
                assert_string_equal(t->systemd.stop_post, "record-exec");
                /* Another run's is not this one's. */
                write_end(t, n, INVOCATION_1, CLD_EXITED, 77, "exit-code");
                write_end(t, n, INVOCATION_2, table[i].code, table[i].status, table[i].result);
                exec_restart(t, NULL, NULL);
                e = exec_find(web(t), n, NULL);
                assert_int_equal(e->state, EXEC_EXITED);
                assert_int_equal(e->row.exit_code, table[i].exit_code);
                assert_int_equal(e->row.finished_usec, 300);
                assert_string_equal(e->row.result, table[i].result);
                assert_false(has_end_file(t, n));
        }

        /* There was no process. */
        assert_int_equal(run_exec(t, exec_options("sleep"))->row.n, ++n);
        write_end(t, n, INVOCATION_2, 0, 0, "resources");
        exec_restart(t, NULL, NULL);
        assert_string_equal(exec_find(web(t), n, NULL)->row.result, "lost");
        assert_int_equal(exec_find(web(t), n, NULL)->row.exit_code, -1);
}

/* PID 1 is asked for that only where nobody waits, or a record stays. */
static void test_who_writes_the_end_down(void **state) {
        Test *t = *state;
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        ContainerStdio stdio = CONTAINER_STDIO_NULL;
        UnitStatus u = exec_running();

        for (unsigned i = 0; i < 4; i++) {
                ExecOptions o = exec_options("true");
                bool descriptors = i & 1U, wanted = !(descriptors && (i & 2U));

                o.auto_remove = i & 2U;
                stdio.out = descriptors ? null : -EBADF;
                assert_int_equal(exec_start(web(t), &o, &stdio, on_exec_answer, t, NULL), 0);
                answer_start(t, 0, &u, NULL);
                assert_int_equal(!!t->systemd.stop_post, wanted);
                assert_int_equal(has_end_file(t, i + 1), wanted);
                tell_exec(t, exec_ended(CLD_EXITED, 0));
                assert_false(has_end_file(t, i + 1));
        }
}

/* With the database lost its row is made from its file again. */
static void test_lost_after_restoring(void **state) {
        UnitStatus u = exec_running();
        Test *t = *state;
        Exec *e;

        (void) run_exec(t, exec_options("sleep"));
        assert_int_equal(store_exec_remove(t->f->store, 1), 0);
        exec_record_restore_all(t->f->store, t->m->containers_fd, "default", "web");
        exec_restart(t, "moored-default-web-1.service", &u);
        assert_int_equal(exec_find(web(t), 1, NULL)->state, EXEC_RUNNING);
        exec_restart(t, NULL, NULL);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_string_equal(e->row.result, "lost");
}

static void test_away_during_the_start(void **state) {
        Test *t = *state;
        UnitStatus u = exec_running(), end = exec_ended(CLD_EXITED, 3),
                   failed = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };

        /* It had started. */
        assert_int_equal(start(t, exec_options("sleep"), NULL), 0);
        exec_restart(t, "moored-default-web-1.service", &u);
        assert_int_equal(exec_find(web(t), 1, NULL)->state, EXEC_RUNNING);
        assert_log(t, "exec-started");

        /* … and ended. */
        assert_int_equal(start(t, exec_options("sleep"), NULL), 0);
        exec_restart(t, "moored-default-web-2.service", &end);
        assert_int_equal(exec_find(web(t), 2, NULL)->row.exit_code, 3);
        assert_log(t, "exec-started exec-exited exec-exited"); /* the first is lost: nothing was said of it */

        /* It failed. */
        assert_int_equal(start(t, exec_options("sleep"), NULL), 0);
        exec_restart(t, "moored-default-web-3.service", &failed);
        assert_null(exec_find(web(t), 3, NULL));

        /* PID 1 was not asked yet. */
        assert_int_equal(start(t, exec_options("sleep"), NULL), 0);
        exec_restart(t, NULL, NULL);
        assert_null(exec_find(web(t), 4, NULL));
        assert_log(t, "");
        assert_int_equal(n_rows(t), 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_life, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_specification, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_start_fails, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_auto_remove, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove_by_force, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_token, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_those_that_ended_are_forgotten, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_goes, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_goes_during_the_start, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_away, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_end_written_down, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_writes_the_end_down, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_lost_after_restoring, exec_setup, teardown),
                cmocka_unit_test_setup_teardown(test_away_during_the_start, exec_setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
