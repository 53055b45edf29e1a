/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What PID 1 tells a unit's ExecStopPost= in its environment, and what is written down of it. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/run-log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "runtime/record.h"

#define INVOCATION "0123456789abcdef0123456789abcdef"

static int setup(void **state) {
        char template[] = "/tmp/test-runtime-record-XXXXXX";

        *state = strdup(mkdtemp(template));
        return *state ? 0 : -1;
}

static int teardown(void **state) {
        assert_int_equal(rm_rf_at(AT_FDCWD, *state), 0);
        free(*state);
        return 0;
}

static void set_variable(const char *name, const char *value) {
        if (value)
                assert_int_equal(setenv(name, value, true), 0);
        else
                assert_int_equal(unsetenv(name), 0);
}

static void set_environment(const char *invocation, const char *result, const char *code, const char *status) {
        set_variable("INVOCATION_ID", invocation);
        set_variable("SERVICE_RESULT", result);
        set_variable("EXIT_CODE", code);
        set_variable("EXIT_STATUS", status);
}

static int call(int (*verb)(char *argv[], Error *reterr_error), const char *name, const char *path) {
        char *argv[] = { (char *) "mooring", (char *) name, (char *) path, NULL };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = verb(argv, &e);
        assert_true(r >= 0 || error_is_set(&e));
        return r;
}

static void make_file(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
}

/* How many lines there are, and the last of them. */
static size_t read_log(const char *path, RunRecord *ret) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
        _cleanup_free_ RunRecord *records = NULL;
        size_t n;

        assert_true(fd >= 0);
        assert_int_equal(run_log_read(fd, &records, &n, NULL), 0);
        if (n > 0)
                *ret = records[n - 1];
        return n;
}

static void test_ends(void **state) {
        static const struct {
                const char *result, *code, *status;
                int expected_code, expected_status;
                const char *expected_result;
        } table[] = {
                { "success", "exited", "0", CLD_EXITED, 0, "success" },
                { "exit-code", "exited", "9", CLD_EXITED, 9, "exit-code" },
                { "success", "killed", "TERM", CLD_KILLED, SIGTERM, "success" },
                { "core-dump", "dumped", "SEGV", CLD_DUMPED, SIGSEGV, "core-dump" },
                { "protocol", "exited", "256", 0, 0, "protocol" },
                { "timeout", "killed", "NOSUCH", 0, 0, "timeout" },
                { "resources", NULL, NULL, 0, 0, "resources" },
                { NULL, "exited", "1", CLD_EXITED, 1, "unknown" },
        };
        static const struct {
                int (*run)(char *argv[], Error *reterr_error);
                const char *name;
                bool bundle;
        } verbs[] = {
                { record_exit, "record-exit", true },
                { record_exec, "record-exec", false },
        };

        for (size_t v = 0; v < ELEMENTSOF(verbs); v++) {
                _cleanup_free_ char *log = path_join(*state, verbs[v].bundle ? RUN_LOG_NAME : "exec-1.end");

                if (!verbs[v].bundle)
                        make_file(log);
                for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                        uint64_t before = now_usec(CLOCK_REALTIME);
                        RunRecord r = {};

                        set_environment(INVOCATION, table[i].result, table[i].code, table[i].status);
                        assert_int_equal(call(verbs[v].run, verbs[v].name, verbs[v].bundle ? *state : log), 0);
                        assert_int_equal(read_log(log, &r), i + 1);
                        assert_int_equal(r.type, RUN_EXIT);
                        assert_string_equal(r.invocation_id, INVOCATION);
                        assert_string_equal(r.result, table[i].expected_result);
                        assert_int_equal(r.code, table[i].expected_code);
                        assert_int_equal(r.status, table[i].expected_status);
                        assert_true(r.usec >= before && r.usec <= now_usec(CLOCK_REALTIME));
                }
        }
}

/* When moored has recorded the end, it has removed the file: then there is nothing to be said. */
static void test_nobody_wants_to_know(void **state) {
        _cleanup_free_ char *file = path_join(*state, "exec-1.end"), *none = path_join(*state, "none");

        set_environment(INVOCATION, "success", "exited", "0");
        assert_int_equal(call(record_exec, "record-exec", file), 0);
        assert_int_equal(access(file, F_OK), -1);
        assert_int_equal(call(record_exit, "record-exit", none), 0);
        assert_int_equal(access(none, F_OK), -1);
}

static void test_refused(void **state) {
        _cleanup_free_ char *file = path_join(*state, "exec-1.end"), *link = path_join(*state, "exec-2.end");
        RunRecord r;

        make_file(file);
        assert_int_equal(symlink("exec-1.end", link), 0);
        set_environment(INVOCATION, "success", "exited", "0");
        assert_int_equal(call(record_exec, "record-exec", link), -ELOOP);
        assert_int_equal(call(record_exec, "record-exec", *state), -EISDIR);
        set_environment(NULL, "success", "exited", "0");
        assert_int_equal(call(record_exec, "record-exec", file), -EINVAL);
        assert_int_equal(call(record_exit, "record-exit", *state), -EINVAL);
        assert_int_equal(read_log(file, &r), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_wants_to_know, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
