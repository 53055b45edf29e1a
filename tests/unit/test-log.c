/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/log.h"

/* stderr is a pipe while a test logs; what came through it is the result. */
static int saved_stderr = -EBADF, pipe_end = -EBADF;

static void capture_begin(void) {
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        saved_stderr = fd_dup(STDERR_FILENO);
        assert_int_equal(dup2(p[1], STDERR_FILENO), STDERR_FILENO);
        safe_close(p[1]);
        pipe_end = p[0];
}

static char *capture_end(void) {
        char *text = NULL;

        assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
        saved_stderr = safe_close(saved_stderr);
        assert_int_equal(read_all(pipe_end, 65536, &text, NULL), 0);
        pipe_end = safe_close(pipe_end);
        return text;
}

static void test_levels(void **state) {
        assert_int_equal(log_level_from_string("debug"), LOG_DEBUG);
        assert_int_equal(log_level_from_string("emerg"), LOG_EMERG);
        assert_int_equal(log_level_from_string("0"), 0);
        assert_int_equal(log_level_from_string("7"), 7);
        assert_int_equal(log_level_from_string("8"), -EINVAL);
        assert_int_equal(log_level_from_string("-1"), -EINVAL);
        assert_int_equal(log_level_from_string(""), -EINVAL);
        assert_int_equal(log_level_from_string("Debug"), -EINVAL);
        assert_int_equal(log_level_from_string(NULL), -EINVAL);
        for (int i = LOG_EMERG; i <= LOG_DEBUG; i++)
                assert_int_equal(log_level_from_string(log_level_to_string(i)), i);
        assert_null(log_level_to_string(-1));
        assert_null(log_level_to_string(8));
}

static void test_console(void **state) {
        static const char *const fields[] = { "KEY=value", NULL };
        _cleanup_free_ char *text = NULL;

        assert_int_equal(log_set_target("console"), 0);
        log_set_max_level(LOG_INFO);
        capture_begin();
        errno = EXDEV;
        log_info("one %d", 1);
        log_debug("hidden");
        /* As a statement, too. */
        log_error_errno(-ENOENT, "two: %m");
        assert_int_equal(log_error_errno(-ENOENT, "three: %m"), -ENOENT);
        assert_int_equal(log_error_errno(EIO, "four: %m"), -EIO);
        assert_int_equal(log_debug_errno(EIO, "hidden"), -EIO);
        assert_int_equal(log_oom(), -ENOMEM);
        assert_int_equal(log_fields(LOG_WARNING, -EPERM, fields, "five: %m"), -EPERM);
        assert_int_equal(log_fields(LOG_DEBUG, EPERM, fields, "hidden"), -EPERM);
        log_warning("six\n<3>\x1b[31m%s", "\xff");
        assert_int_equal(errno, EXDEV);
        text = capture_end();

        assert_string_equal(text, "one 1\n"
                                  "two: No such file or directory\n"
                                  "three: No such file or directory\n"
                                  "four: Input/output error\n"
                                  "Out of memory.\n"
                                  "five: Operation not permitted\n"
                                  "six?<3>?[31m?\n");
}

static void test_long(void **state) {
        _cleanup_free_ char *text = NULL, *line = malloc(10001);

        memset(line, 'x', 10000);
        line[10000] = 0;
        capture_begin();
        log_info("%s", line);
        text = capture_end();
        assert_in_range(strlen(text), 4000, 4096);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_int_equal(text[strlen(text) - 2], 'x');
}

static void test_target(void **state) {
        char stream[64], other[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino);
        (void) snprintf(other, sizeof(other), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino + 1);

        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_open("test");
        assert_string_equal(log_get_target(), "journal");
        /* Inherited, but stderr was redirected since. */
        assert_int_equal(setenv("JOURNAL_STREAM", other, 1), 0);
        log_open("test");
        assert_string_equal(log_get_target(), "console");
        assert_int_equal(setenv("JOURNAL_STREAM", "x:y", 1), 0);
        log_open("test");
        assert_string_equal(log_get_target(), "console");
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);

        assert_int_equal(log_set_target("journal"), 0);
        assert_string_equal(log_get_target(), "journal");
        assert_int_equal(log_set_target("kmsg"), -EINVAL);
        assert_int_equal(log_set_target(NULL), -EINVAL);
        assert_string_equal(log_get_target(), "journal");
        assert_int_equal(log_set_target("console"), 0);
}

static void test_environment(void **state) {
        _cleanup_free_ char *text = NULL;

        assert_int_equal(setenv("MOORED_LOG_LEVEL", "debug", 1), 0);
        log_open("test");
        assert_int_equal(log_get_max_level(), LOG_DEBUG);

        assert_int_equal(setenv("MOORED_LOG_LEVEL", "loud", 1), 0);
        capture_begin();
        log_open("test");
        text = capture_end();
        assert_int_equal(log_get_max_level(), LOG_DEBUG);
        assert_non_null(strstr(text, "MOORED_LOG_LEVEL=loud"));
        assert_int_equal(unsetenv("MOORED_LOG_LEVEL"), 0);
        log_set_max_level(LOG_INFO);
}

static bool has_field(const char *text, const char *field) {
        const char *p = strstr(text, field);

        return p && p[strlen(field)] == '\n';
}

/* What the journal's socket gets, bound by ourselves in a mount namespace of its own. 77: not allowed here.
 */
static int receive_journal(void) {
        static const struct sockaddr_un address = { AF_UNIX, "/run/systemd/journal/socket" };
        static const char *const fields[] = { "MOORED_CONTAINER=web", NULL };
        char text[8192];
        ssize_t n;
        int fd;

        if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mkdir("/run/systemd", 0755) < 0 ||
            mkdir("/run/systemd/journal", 0755) < 0) /* EOVERFLOW where our user is not mapped */
                return 77;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return 1;

        log_open("test-ident");
        if (log_set_target("journal") < 0)
                return 2;

        log_error_errno(-ENOENT, "Lost %s: %m", "x");
        n = recv(fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 3;
        text[n] = 0;
        if (!has_field(text, "MESSAGE=Lost x: No such file or directory") ||
            !has_field(text, "PRIORITY=3") || !has_field(text, "SYSLOG_IDENTIFIER=test-ident") ||
            !has_field(text, "ERRNO=2") || !has_field(text, "CODE_FUNC=receive_journal") ||
            !strstr(text, "CODE_FILE=") || !strstr(text, "test-log.c\n") || !strstr(text, "\nCODE_LINE="))
                return 4;

        /* A value of several lines is sent with its length, in which there are NUL bytes. */
        log_fields(LOG_INFO, 0, fields, "two\nlines");
        n = recv(fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 5;
        for (ssize_t i = 0; i < n; i++)
                if (text[i] == 0)
                        text[i] = '0';
        text[n] = 0;
        if (!has_field(text, "MOORED_CONTAINER=web") || !has_field(text, "PRIORITY=6") ||
            !has_field(text, "two\nlines") || strstr(text, "ERRNO="))
                return 6;

        return 0;
}

static void test_journal(void **state) {
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(receive_journal());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("the system lets us mount nothing\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_levels),      cmocka_unit_test(test_console),
                cmocka_unit_test(test_long),        cmocka_unit_test(test_target),
                cmocka_unit_test(test_environment), cmocka_unit_test(test_journal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
