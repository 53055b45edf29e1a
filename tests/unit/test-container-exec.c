/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Execs against a PID 1 that says what the test wants it to say; a container runs all the time. */

#include <signal.h>

#include "basic/json.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/exec.h"
#include "image-fixture.h"

#define NAME "docker.io/library/app:latest"
#define CONTAINER_UNIT "moored-default-web.service"
#define INVOCATION_C "cccccccccccccccccccccccccccccccc"
#define INVOCATION_1 "11111111111111111111111111111111"

typedef struct Test {
        Fixture *f;
        char *runtime;
        ContainerManager *m;
        /* what PID 1 was asked for */
        UnitStartFunc start_func; /* the last one's */
        void *start_userdata;
        char *unit, *exec_start;
        bool is_exec;
        int start_result, signo;
        unsigned n_start, n_release, n_kill;
        char *log; /* topics of events */
        /* of the last answers */
        unsigned n_answers;
        Exec *answer;
        char *answer_error;
} Test;

static int fake_start(void *backend, const UnitSpec *spec, UnitStartFunc func, void *userdata) {
        Test *t = backend;

        if (t->start_result < 0)
                return t->start_result;
        t->n_start++;
        t->start_func = func;
        t->start_userdata = userdata;
        t->is_exec = spec->exec;
        free(t->unit);
        t->unit = strdup(spec->name);
        free(t->exec_start);
        t->exec_start = strv_join(spec->exec_start, " ");
        return 0;
}

static int fake_kill(void *backend, const char *unit, const char *whom, int signo,
                     void (*func)(int r, const Error *e, void *userdata), void *userdata) {
        Test *t = backend;

        assert_string_equal(whom, "main");
        t->n_kill++;
        t->signo = signo;
        func(0, NULL, userdata);
        return 0;
}

static int fake_release(void *backend, const char *unit) {
        ((Test *) backend)->n_release++;
        return 0;
}

static const UnitBackend fake_backend = { .start = fake_start, .kill = fake_kill, .release = fake_release };

static void on_event(NotifyType type, const char *ns, const char *name, void *object, void *userdata) {
        const EventRow *row = object;
        Test *t = userdata;
        char *more;

        if (type != NOTIFY_EVENT || !startswith(row->topic, "container/exec-"))
                return;
        more = strjoin(t->log, isempty(t->log) ? "" : " ", row->topic + strlen("container/exec-"));
        assert_non_null(more);
        free(t->log);
        t->log = more;
}

static void assert_log(Test *t, const char *want) {
        assert_string_equal(t->log, want);
        t->log[0] = 0;
}

static UnitStatus running(const char *invocation, uint32_t pid) {
        return (UnitStatus){
                .loaded = true,
                .launcher = true,
                .active_state = (char *) "active",
                .sub_state = (char *) "running",
                .active_enter_usec = 1,
                .main_pid = pid,
                .exec_main_start_usec = 100,
                .result = (char *) "success",
                .invocation_id = (char *) invocation,
        };
}

static UnitStatus ended(const char *invocation, int code, int status) {
        UnitStatus u = running(invocation, 0);

        u.active_state = code == CLD_EXITED && status == 0 ? (char *) "active" : (char *) "failed";
        u.sub_state = code == CLD_EXITED && status == 0 ? (char *) "exited" : (char *) "failed";
        u.exec_main_code = code;
        u.exec_main_status = status;
        u.exec_main_exit_usec = 200;
        u.result = code == CLD_EXITED ? (char *) "exit-code" : (char *) "signal";
        return u;
}

static void test_start(Test *t) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (container_manager_new(t->f->event, t->f->store, t->f->snapshots, t->f->images, t->f->events, t->runtime, &t->m,
                                  &e) < 0)
                fail_msg("%s", error_message(&e));
        container_manager_set_backend(t->m, &fake_backend, t);
        assert_int_equal(events_subscribe(t->f->events, on_event, t), 0);
        assert_int_equal(container_manager_load(t->m, &e), 0);
}

static Container *web(Test *t) {
        return container_find(t->m, "default", "web", NULL);
}

static int setup(void **state) {
        _cleanup_(test_image_done) TestImage image = {};
        ContainerOptions o = { .stop_timeout_usec = UINT64_MAX, .privileged_seccomp = true };
        UnitStatus u = running(INVOCATION_C, 4711);
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->f = fixture_new("/bin/true");
        t->runtime = path_join(t->f->path, "run");
        t->log = strdup("");
        make_image(&image, "one", "amd64", -1);
        put_image(t->f, &image);
        put_layers(t->f, &image);
        assert_int_equal(name_image(t->f, "default", NAME, image.manifest_digest, "linux/amd64", NULL), 0);
        test_start(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        assert_int_equal(strv_extend(&o.environment, "A=container"), 0);
        assert_int_equal(strv_extend(&o.groups, "7"), 0);
        assert_int_equal(container_run(t->m, "default", "web", "app", &o, NULL, NULL, NULL, NULL), 0);
        t->start_func(0, &u, NULL, t->start_userdata);
        assert_false(t->is_exec);
        t->n_start = 0;
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        container_manager_free(t->m);
        fixture_free(t->f);
        free(t->runtime);
        free(t->unit);
        free(t->exec_start);
        free(t->log);
        free(t->answer_error);
        free(t);
        return 0;
}

/* As if killed; PID 1 then says what it has of the container, and of an exec if there is something. */
static void restart(Test *t, const char *unit, const UnitStatus *u) {
        UnitStatus c = running(INVOCATION_C, 4711);
        UnitStartFunc func = t->start_func;

        if (func && t->start_userdata)
                func(-ECANCELED, NULL, NULL, t->start_userdata);
        t->start_userdata = NULL;
        container_manager_free(t->m);
        fixture_stop(t->f);
        fixture_start(t->f, false);
        test_start(t);
        container_unit_changed(t->m, CONTAINER_UNIT, &c);
        if (u)
                container_unit_changed(t->m, unit, u);
        assert_int_equal(container_manager_recovered(t->m), 0);
}

static void on_answer(Exec *e, const Error *error, void *userdata) {
        Test *t = userdata;

        t->n_answers++;
        t->answer = e;
        free(t->answer_error);
        t->answer_error = error ? strdup(error_name(error)) : NULL;
}

static ExecOptions options(const char *command) {
        ExecOptions o = {};

        assert_int_equal(strv_extend(&o.command, command), 0);
        return o;
}

static int start(Test *t, ExecOptions o, Error *e) {
        int r;

        r = exec_start(web(t), &o, &CONTAINER_STDIO_NULL, on_answer, t, e);
        exec_options_done(&o);
        return r;
}

static void answer_start(Test *t, int r, const UnitStatus *u, const Error *e) {
        void *userdata = TAKE_PTR(t->start_userdata);

        t->start_func(r, u, e, userdata);
}

/* One that runs. */
static Exec *started(Test *t, ExecOptions o) {
        UnitStatus u = running(INVOCATION_1, 4712);

        assert_int_equal(start(t, o, NULL), 0);
        answer_start(t, 0, &u, NULL);
        assert_non_null(t->answer);
        return t->answer;
}

static void tell(Test *t, const char *unit, UnitStatus u) {
        container_unit_changed(t->m, unit, &u);
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

static int count_row(const ExecRow *row, void *userdata) {
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

        assert_int_equal(start(t, options("id"), NULL), 0);
        assert_int_equal(t->n_answers, 0);
        assert_string_equal(t->unit, "moored-default-web-1.service");
        assert_true(t->is_exec);
        assert_non_null(strstr(t->exec_start, " launch-exec "));
        assert_non_null(endswith(t->exec_start, "/web/exec-1.json"));
        assert_true(has_file(t, 1));
        assert_int_equal(n_rows(t), 1);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_STARTING);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 0);

        /* What is heard before the start has ended says nothing. */
        tell(t, t->unit, running(INVOCATION_1, 4712));
        assert_int_equal(e->state, EXEC_STARTING);
        UnitStatus u = running(INVOCATION_1, 4712);
        answer_start(t, 0, &u, NULL);
        assert_int_equal(t->n_answers, 1);
        assert_ptr_equal(t->answer, e);
        assert_int_equal(e->state, EXEC_RUNNING);
        assert_int_equal(e->pid, 4712);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 1);
        assert_true(exec_is_live(t->m, "default", "web", "1"));
        assert_false(exec_is_live(t->m, "default", "web", "2"));
        assert_false(exec_is_live(t->m, "default", "none", "1"));

        assert_int_equal(exec_wait(e, on_answer, t), 0);
        assert_int_equal(t->n_answers, 1);
        tell(t, t->unit, ended(INVOCATION_1, CLD_EXITED, 7));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_int_equal(e->row.exit_code, 7);
        assert_int_equal(e->row.finished_usec, 200);
        assert_int_equal(t->n_release, 1);
        assert_false(has_file(t, 1));
        assert_log(t, "started exited");
        assert_int_equal(exec_wait(e, on_answer, t), 0);
        assert_int_equal(t->n_answers, 3);

        /* Said again: nothing. */
        tell(t, t->unit, ended(INVOCATION_1, CLD_EXITED, 7));
        tell(t, t->unit, (UnitStatus){});
        assert_log(t, "");
        assert_int_equal(t->n_release, 1);
        assert_int_equal(web(t)->state, CONTAINER_RUNNING);

        assert_int_equal(exec_kill(e, SIGTERM, on_answer, t, NULL), -ESRCH);
        assert_int_equal(exec_remove(e, false, on_answer, t, NULL), 0);
        assert_null(t->answer);
        assert_int_equal(n_rows(t), 0);
        assert_null(exec_find(web(t), 1, NULL));
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 1);
}

static void test_specification(void **state) {
        Test *t = *state;
        ExecOptions o = options("id");
        _cleanup_json_ json_t *j = NULL;
        json_t *process, *annotations;
        Exec *e;

        assert_int_equal(strv_extend(&o.environment, "A=exec"), 0);
        assert_int_equal(strv_extend(&o.groups, "8"), 0);
        assert_int_equal(strv_extend(&o.cap_drop, "ALL"), 0);
        o.user = strdup("1000:50");
        o.working_directory = strdup("/tmp");
        e = started(t, o);
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
                            "/moored.slice/moored-default.slice/" CONTAINER_UNIT);
        assert_null(json_get_string(annotations, "org.moored.rootfs.dir"));
        assert_int_equal(json_array_size(json_object_get(json_object_get(j, "linux"), "namespaces")), 6);
        assert_null(json_object_get(j, "root"));
}

static void check_refused(Test *t, ExecOptions o, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(start(t, o, &e) < 0);
        assert_string_equal(error_name(&e), name);
        assert_int_equal(n_rows(t), 0);
        assert_int_equal(t->n_start, 0);
}

static void test_refused(void **state) {
        ExecOptions o = options("id"), empty = options(""), cap = options("id"), token = options("id");
        UnitStatus u = ended(INVOCATION_C, CLD_EXITED, 0);
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
        t->start_result = -ENOTCONN;
        check_refused(t, options("id"), "Failed");
        assert_false(has_file(t, 1));
        t->start_result = 0;

        tell(t, CONTAINER_UNIT, u);
        check_refused(t, options("id"), "NotRunning");
        assert_int_equal(t->n_answers, 0);
}

static void test_start_fails(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        UnitStatus u = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };
        Test *t = *state;

        assert_int_equal(start(t, options("nosuch"), NULL), 0);
        (void) error_set(&e, -ENOENT, "CommandNotFound", "none");
        answer_start(t, -ENOENT, &u, &e);
        assert_int_equal(t->n_answers, 1);
        assert_null(t->answer);
        assert_string_equal(t->answer_error, "CommandNotFound");
        assert_int_equal(n_rows(t), 0);
        assert_int_equal(t->n_release, 1);
        assert_false(has_file(t, 1));
        assert_log(t, "");
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_ADDED], 0);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 0);
}

static void test_auto_remove(void **state) {
        Test *t = *state;
        ExecOptions o = options("id");
        Exec *e;

        o.auto_remove = true;
        e = started(t, o);
        assert_int_equal(exec_wait(e, on_answer, t), 0);
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_null(exec_find(web(t), 1, NULL));
        assert_int_equal(n_rows(t), 0);
        assert_log(t, "started exited");
        assert_int_equal(t->n_release, 1);
        assert_int_equal(t->f->n_notified[NOTIFY_EXEC_REMOVED], 1);

        /* PID 1 tells more of it until it is gone; then the name is as good as new. */
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_release, 1);
        tell(t, t->unit, (UnitStatus){});
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_release, 2);
        /* It could not be released: the next time it is. */
        container_unit_kept(t->m, t->unit);
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_release, 3);
}

static void test_remove_by_force(void **state) {
        _cleanup_error_ Error error = ERROR_NULL;
        Test *t = *state;
        Exec *e = started(t, options("sleep"));

        assert_int_equal(exec_remove(e, false, on_answer, t, &error), -EBUSY);
        assert_string_equal(error_name(&error), "ExecRunning");
        assert_int_equal(exec_remove(e, true, on_answer, t, NULL), 0);
        assert_int_equal(t->signo, SIGKILL);
        assert_int_equal(t->n_answers, 1);
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_null(t->answer);
        assert_int_equal(n_rows(t), 0);
}

static void test_token(void **state) {
        Test *t = *state;
        ExecOptions a = options("id"), b = options("id"), c = options("id");
        UnitStatus u = running(INVOCATION_1, 4712);

        a.token = strdup("x");
        b.token = strdup("x");
        c.token = strdup("x");
        assert_int_equal(start(t, a, NULL), 0);
        assert_int_equal(start(t, b, NULL), 0);
        assert_int_equal(t->n_start, 1);
        answer_start(t, 0, &u, NULL);
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(start(t, c, NULL), 0);
        assert_int_equal(t->n_answers, 3);
        assert_int_equal(t->answer->row.n, 1);
        assert_int_equal(t->n_start, 1);

        /* Also of a daemon that does not know of the first call. */
        restart(t, "moored-default-web-1.service", &u);
        b = options("id");
        b.token = strdup("x");
        assert_int_equal(start(t, b, NULL), 0);
        assert_int_equal(t->answer->row.n, 1);
        assert_int_equal(t->n_start, 1);
}

static void test_those_that_ended_are_forgotten(void **state) {
        Test *t = *state;

        for (unsigned i = 1; i <= EXECS_ENDED_MAX + 2; i++) {
                UnitStatus u;

                (void) started(t, options("id"));
                u = ended(INVOCATION_1, CLD_EXITED, 0);
                u.exec_main_exit_usec = 200 + i;
                tell(t, t->unit, u);
        }
        assert_int_equal(n_rows(t), EXECS_ENDED_MAX);
        assert_null(exec_find(web(t), 1, NULL));
        assert_null(exec_find(web(t), 2, NULL));
        assert_non_null(exec_find(web(t), 3, NULL));
}

static void loop(Test *t) {
        while (sd_event_run(t->f->event, 0) > 0)
                ;
}

static void test_container_goes(void **state) {
        Test *t = *state;
        Exec *e = started(t, options("sleep"));

        /* Its end is heard after the container's. */
        assert_int_equal(exec_wait(e, on_answer, t), 0);
        web(t)->work->remove = true;
        tell(t, CONTAINER_UNIT, ended(INVOCATION_C, CLD_KILLED, SIGKILL));
        loop(t);
        assert_non_null(web(t));
        assert_int_equal(t->n_answers, 1);
        tell(t, t->unit, ended(INVOCATION_1, CLD_KILLED, SIGKILL));
        assert_int_equal(t->n_answers, 2);
        assert_int_equal(t->answer->row.exit_code, 128 + SIGKILL);
        loop(t);
        assert_null(web(t));
        assert_int_equal(n_rows(t), 0);
}

static void test_container_goes_during_the_start(void **state) {
        UnitStatus u = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };
        Test *t = *state;

        assert_int_equal(start(t, options("sleep"), NULL), 0);
        web(t)->work->remove = true;
        tell(t, CONTAINER_UNIT, ended(INVOCATION_C, CLD_KILLED, SIGKILL));
        loop(t);
        assert_non_null(web(t));
        answer_start(t, -EIO, &u, NULL);
        assert_string_equal(t->answer_error, "NotRunning");
        loop(t);
        assert_null(web(t));
}

static void test_away(void **state) {
        Test *t = *state;
        UnitStatus u = running(INVOCATION_1, 4712), end = ended(INVOCATION_1, CLD_EXITED, 42);
        Exec *e;

        /* It runs on. */
        (void) started(t, options("sleep"));
        assert_log(t, "started");
        restart(t, "moored-default-web-1.service", &u);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_RUNNING);
        assert_int_equal(e->pid, 4712);
        assert_string_equal(e->command[0], "sleep");
        assert_log(t, "");

        /* It has ended. */
        restart(t, "moored-default-web-1.service", &end);
        e = exec_find(web(t), 1, NULL);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_int_equal(e->row.exit_code, 42);
        assert_log(t, "exited");
        assert_int_equal(t->n_release, 1);

        /* That was recorded, the unit was not released. */
        restart(t, "moored-default-web-1.service", &end);
        assert_log(t, "");
        assert_int_equal(t->n_release, 2);

        /* Nobody knows. */
        e = started(t, options("sleep"));
        assert_int_equal(e->row.n, 2);
        restart(t, NULL, NULL);
        e = exec_find(web(t), 2, NULL);
        assert_int_equal(e->state, EXEC_EXITED);
        assert_string_equal(e->row.result, "lost");
        assert_int_equal(e->row.exit_code, -1);
}

static void test_away_during_the_start(void **state) {
        Test *t = *state;
        UnitStatus u = running(INVOCATION_1, 4712), end = ended(INVOCATION_1, CLD_EXITED, 3),
                   failed = { .loaded = true, .active_state = (char *) "failed", .sub_state = (char *) "failed" };

        /* It had started. */
        assert_int_equal(start(t, options("sleep"), NULL), 0);
        restart(t, "moored-default-web-1.service", &u);
        assert_int_equal(exec_find(web(t), 1, NULL)->state, EXEC_RUNNING);
        assert_log(t, "started");

        /* … and ended. */
        assert_int_equal(start(t, options("sleep"), NULL), 0);
        restart(t, "moored-default-web-2.service", &end);
        assert_int_equal(exec_find(web(t), 2, NULL)->row.exit_code, 3);
        assert_log(t, "started exited exited"); /* the first is lost: nothing was said of it */

        /* It failed. */
        assert_int_equal(start(t, options("sleep"), NULL), 0);
        restart(t, "moored-default-web-3.service", &failed);
        assert_null(exec_find(web(t), 3, NULL));

        /* PID 1 was not asked yet. */
        assert_int_equal(start(t, options("sleep"), NULL), 0);
        restart(t, NULL, NULL);
        assert_null(exec_find(web(t), 4, NULL));
        assert_log(t, "");
        assert_int_equal(n_rows(t), 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_life, setup, teardown),
                cmocka_unit_test_setup_teardown(test_specification, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_start_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(test_auto_remove, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove_by_force, setup, teardown),
                cmocka_unit_test_setup_teardown(test_token, setup, teardown),
                cmocka_unit_test_setup_teardown(test_those_that_ended_are_forgotten, setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_goes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_goes_during_the_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_away, setup, teardown),
                cmocka_unit_test_setup_teardown(test_away_during_the_start, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
