/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/run-log.h"
#include "basic/string-util.h"

#define A "0123456789abcdef0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210"

static int setup(void **state) {
        char template[] = "/tmp/test-run-log-XXXXXX";

        *state = strdup(mkdtemp(template));
        return *state ? 0 : -1;
}

static int teardown(void **state) {
        assert_int_equal(rm_rf_at(AT_FDCWD, *state), 0);
        free(*state);
        return 0;
}

static int open_log(const char *dir, bool create) {
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return run_log_open(fd, create);
}

static void test_parse(void **state) {
        static const char *const bad[] = {
                "",
                "start",
                "begin x",
                "start " A " 1",
                "start " A " 1 2 3",
                "start " A " -1 2",
                "start 0123 1 2",
                "start 0123456789ABCDEF0123456789ABCDEF 1 2",
                "start " A " 1 99999999999",
                "exit " A " 1 success exited 1",
                "exit " A " 1 success exited x 0",
                "exit " A " 1 success exited 256 0",
                "exit " A " 1 success left 1 0",
                "exit " A " 1 Success exited 1 0",
                "exit " A " 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa exited 1 0",
                "exit " A " 1 success exited 1 x",
                "dropped",
                "dropped -5",
                "end",
        };
        RunRecord r;

        assert_int_equal(run_record_parse("begin", &r), 0);
        assert_int_equal(r.type, RUN_BEGIN);
        assert_int_equal(run_record_parse("start " A " 17 4711", &r), 0);
        assert_int_equal(r.type, RUN_START);
        assert_string_equal(r.invocation_id, A);
        assert_int_equal(r.usec, 17);
        assert_int_equal(r.pid, 4711);
        assert_int_equal(run_record_parse("exit " B " 18 core-dump dumped 11 0", &r), 0);
        assert_int_equal(r.type, RUN_EXIT);
        assert_string_equal(r.result, "core-dump");
        assert_int_equal(r.code, CLD_DUMPED);
        assert_int_equal(r.status, SIGSEGV);
        assert_int_equal(run_record_parse("exit " B " 18 resources none 0 3", &r), 0);
        assert_int_equal(r.code, 0);
        assert_int_equal(r.n, 3);
        assert_int_equal(run_record_parse("dropped 5", &r), 0);
        assert_int_equal(r.n, 5);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (run_record_parse(bad[i], &r) != -EBADMSG)
                        fail_msg("\"%s\" was taken", bad[i]);
}

static void test_file(void **state) {
        _cleanup_free_ RunRecord *records = NULL, *more = NULL;
        _cleanup_close_ int fd = -EBADF, other = -EBADF;
        RunRecord start = { .type = RUN_START, .invocation_id = A, .usec = 1, .pid = 2 },
                  end = { .type = RUN_EXIT,
                          .invocation_id = A,
                          .usec = 3,
                          .result = "signal",
                          .code = CLD_KILLED,
                          .status = SIGKILL };
        uint64_t size;
        size_t n;

        assert_int_equal(open_log(*state, false), -ENOENT);
        fd = open_log(*state, true);
        assert_true(fd >= 0);
        assert_int_equal(run_log_read(fd, &records, &n, &size), 0);
        assert_int_equal(n, 0);
        assert_int_equal(size, 0);
        free(TAKE_PTR(records));

        assert_int_equal(run_log_append(fd, &(RunRecord){ .type = RUN_BEGIN }), 0);
        assert_int_equal(run_log_append(fd, &start), 0);
        assert_int_equal(run_log_append(fd, &end), 0);
        /* What is not a line, and what is not yet one. */
        assert_int_equal(write_full(fd, "nonsense\nstart " A, 14), 0);
        other = open_log(*state, false);
        assert_true(other >= 0);
        assert_int_equal(run_log_read(other, &records, &n, &size), 0);
        assert_int_equal(n, 3);
        assert_int_equal(records[0].type, RUN_BEGIN);
        assert_memory_equal(&records[1], &start, sizeof(start));
        assert_memory_equal(&records[2], &end, sizeof(end));

        /* Not what has grown since, and not while somebody writes. */
        assert_int_equal(run_log_clear(other, size - 1), -EBUSY);
        assert_int_equal(flock(fd, LOCK_EX), 0);
        assert_int_equal(run_log_clear(other, size), -EAGAIN);
        assert_int_equal(flock(fd, LOCK_UN), 0);
        assert_int_equal(run_log_clear(other, size), 0);
        assert_int_equal(run_log_read(fd, &more, &n, NULL), 0);
        assert_int_equal(n, 0);
}

/* A line is there as a whole or not at all. */
static void test_no_room(void **state) {
        const RunRecord start = { .type = RUN_START, .invocation_id = A, .usec = 1, .pid = 2 };
        _cleanup_free_ RunRecord *records = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct rlimit room, all;
        uint64_t size, now;
        size_t n;

        fd = open_log(*state, true);
        assert_true(fd >= 0);
        assert_int_equal(run_log_append(fd, &start), 0);
        assert_int_equal(fd_size(fd, &size), 0);

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
        assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
        room = (struct rlimit){ .rlim_cur = size + 10, .rlim_max = all.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &room), 0);
        assert_int_equal(run_log_append(fd, &start), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        assert_int_equal(fd_size(fd, &now), 0);
        assert_int_equal(now, size);

        assert_int_equal(run_log_append(fd, &start), 0);
        assert_int_equal(run_log_read(fd, &records, &n, NULL), 0);
        assert_int_equal(n, 2);
}

static void test_too_large(void **state) {
        RunRecord start = { .type = RUN_START, .invocation_id = A, .usec = 1, .pid = 2 };
        _cleanup_free_ RunRecord *records = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 0, n_starts = 0;
        size_t n;

        fd = open_log(*state, true);
        assert_true(fd >= 0);
        while (size < RUN_LOG_SIZE_MAX) {
                start.invocation_id[0] = "0123456789abcdef"[n_starts++ % 16];
                assert_int_equal(run_log_append(fd, &start), 0);
                assert_int_equal(run_log_append(fd, &start), 0);
                assert_int_equal(fd_size(fd, &size), 0);
        }
        assert_int_equal(run_log_append(fd, &start), 0);
        assert_int_equal(run_log_read(fd, &records, &n, NULL), 0);
        assert_int_equal(n, 2);
        assert_int_equal(records[0].type, RUN_DROPPED);
        assert_int_equal(records[0].n, n_starts);
        assert_int_equal(records[1].type, RUN_START);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test_setup_teardown(test_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
                cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
