/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/process.h"

/* The program executed is mostly this test itself, told by its arguments what to check: so nothing depends
 * on a shell. */

static int open_fds(void) {
        int n = 0;

        for (int i = 0; i < 256; i++)
                if (fcntl(i, F_GETFD) >= 0)
                        n++;
        return n;
}

static void wait_for(int pidfd, int code, int status) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int c, s;

        assert_int_equal(poll(&p, 1, 30000), 1);
        assert_int_equal(pidfd_reap(pidfd, &c, &s), 0);
        assert_int_equal(c, code);
        assert_int_equal(s, status);
        assert_int_equal(pidfd_reap(pidfd, &c, &s), -ECHILD);
        safe_close(pidfd);
}

static int spawn_self(char *const *argv, const int *fds, size_t n_fds) {
        SpawnSpec spec = { .path = "/proc/self/exe", .argv = argv, .n_fds = n_fds };
        _cleanup_error_ Error e = ERROR_NULL;
        int pidfd = -EBADF;
        pid_t pid = 0;

        for (size_t i = 0; i < n_fds; i++)
                spec.fds[i] = fds[i];
        assert_int_equal(process_spawn(&spec, &pid, &pidfd, &e), 0);
        assert_true(pid > 0);
        assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
        return pidfd;
}

static char arg_self[] = "test-process";

static void test_exit_status(void **state) {
        char what[] = "exit", code[] = "42";
        char *argv[] = { arg_self, what, code, NULL };
        int before = open_fds();

        wait_for(spawn_self(argv, NULL, 0), CLD_EXITED, 42);
        assert_int_equal(open_fds(), before);
}

/* A memfd whose text tells it from others, at this number. */
static void put_fd(int number, const char *text) {
        int fd = memfd_new_sealed("test", text, strlen(text)), high;

        high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        assert_true(high >= 0);
        safe_close(fd);
        assert_int_equal(dup3(high, number, O_CLOEXEC), number);
        safe_close(high);
}

/* Source numbers lie among the target numbers in the worst ways. Expected is one letter a number: that of
 * the memfd, "-" for closed, "n" for /dev/null. */
static void check_fds(const int *fds, size_t n, char *expected) {
        char what[] = "fds";
        char *argv[] = { arg_self, what, expected, NULL };
        int saved[3], before, pidfd;

        /* 0–2 take part: keep the real ones aside. */
        for (int i = 0; i < 3; i++)
                saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 200);
        for (int i = 0; i < 10; i++) {
                char text[2] = { (char) ('A' + i), 0 };

                put_fd(10 + i, text);
                if (i < 8)
                        put_fd(i, text);
        }
        assert_int_equal(fcntl(0, F_DUPFD, 60), 60); /* without CLOEXEC: closed all the same */

        before = open_fds();
        pidfd = spawn_self(argv, fds, n);
        assert_int_equal(open_fds(), before + 1);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(dup2(saved[i], i), i);
                safe_close(saved[i]);
        }
        /* pidfd may have got any free number, but none of those that are used here. */
        assert_true(pidfd > 7 && (pidfd < 10 || pidfd > 19));
        for (int i = 3; i < 8; i++)
                safe_close(i);
        for (int i = 10; i < 20; i++)
                safe_close(i);
        safe_close(60);
        wait_for(pidfd, CLD_EXITED, 0);
}

static void test_fds(void **state) {
        char same[] = "ABCD", swap[] = "BADC", rotated[] = "DABC", one[] = "CCCC", null[] = "nnnA",
             mixed[] = "nAn-BF-D", none[] = "nnn", two[] = "ABn", high[] = "AABBCCDDEEFFGGHH",
             reverse[] = "HGFEDCBA";
        static const int f_same[] = { 0, 1, 2, 3 }, f_swap[] = { 1, 0, 3, 2 }, f_rotated[] = { 3, 0, 1, 2 },
                         f_one[] = { 2, 2, 2, 2 }, f_null[] = { -EBADF, -EBADF, -EBADF, 0 },
                         f_mixed[] = { -EBADF, 0, -EBADF, -EBADF, 1, 5, -EBADF, 3 }, f_two[] = { 10, 11 },
                         f_high[] = { 10, 0, 11, 1, 12, 2, 13, 3, 14, 4, 15, 5, 16, 6, 17, 7 },
                         f_reverse[] = { 7, 6, 5, 4, 3, 2, 1, 0 };

        check_fds(f_same, 4, same);
        check_fds(f_swap, 4, swap);
        check_fds(f_rotated, 4, rotated);
        check_fds(f_one, 4, one);
        check_fds(f_null, 4, null);
        check_fds(f_mixed, 8, mixed);
        check_fds(NULL, 0, none);
        check_fds(f_two, 2, two);
        check_fds(f_high, SPAWN_FDS_MAX, high);
        check_fds(f_reverse, 8, reverse);
}

/* Where 0–2 are closed here, /dev/null must not come to lie in the way of what goes there. */
static void test_fds_closed_here(void **state) {
        char what[] = "fds", expected[] = "nABA";
        char *argv[] = { arg_self, what, expected, NULL };
        int saved[3], fds[4], pidfd;

        for (int i = 0; i < 3; i++)
                saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 200);
        put_fd(50, "A");
        put_fd(51, "B");
        for (int i = 0; i < 3; i++)
                safe_close(i);
        fds[0] = -EBADF;
        fds[1] = 50;
        fds[2] = 51;
        fds[3] = 50;
        pidfd = spawn_self(argv, fds, 4);
        if (pidfd < 3)
                pidfd = fd_dup(pidfd);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(dup2(saved[i], i), i);
                safe_close(saved[i]);
        }
        safe_close(50);
        safe_close(51);
        wait_for(pidfd, CLD_EXITED, 0);
}

static void test_bad_fd(void **state) {
        char what[] = "exit", code[] = "0";
        char *argv[] = { arg_self, what, code, NULL };
        SpawnSpec spec = { .path = "/proc/self/exe", .argv = argv, .n_fds = 4, .fds = { 0, 1, 2, 250 } };
        _cleanup_error_ Error e = ERROR_NULL;
        int pidfd = -EBADF;

        assert_int_equal(process_spawn(&spec, NULL, &pidfd, &e), -EBADF);
        assert_string_equal(error_message(&e),
                            "Cannot pass descriptors to “/proc/self/exe”: Bad file descriptor.");
        assert_int_equal(waitpid(-1, NULL, 0), -1); /* no child is left */
        assert_int_equal(errno, ECHILD);
}

static void test_exec_failure(void **state) {
        static const struct {
                const char *path;
                int error;
        } table[] = {
                { "/nonexistent/program", -ENOENT },
                { "/", -EACCES },
                { "/dev/null", -EACCES },
        };
        char *argv[] = { arg_self, NULL };
        int before = open_fds();

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                SpawnSpec spec = { .path = table[i].path, .argv = argv };
                _cleanup_error_ Error e = ERROR_NULL;
                int pidfd = -77;
                pid_t pid = -77;

                assert_int_equal(process_spawn(&spec, &pid, &pidfd, &e), table[i].error);
                assert_non_null(strstr(error_message(&e), table[i].path));
                assert_true(pid == -77 && pidfd == -77);
                assert_int_equal(open_fds(), before);
                assert_int_equal(waitpid(-1, NULL, 0), -1);
                assert_int_equal(errno, ECHILD);
        }
}

static void test_invalid(void **state) {
        char *argv[] = { arg_self, NULL }, *none[] = { NULL };
        const SpawnSpec table[] = {
                { .path = "true", .argv = argv },
                { .path = NULL, .argv = argv },
                { .path = "/bin/true", .argv = NULL },
                { .path = "/bin/true", .argv = none },
                { .path = "/bin/true", .argv = argv, .n_fds = SPAWN_FDS_MAX + 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                int pidfd;

                assert_int_equal(process_spawn(table + i, NULL, &pidfd, &e), -EINVAL);
                assert_true(error_has_name(&e, "InvalidArgument"));
        }
}

static void test_environment(void **state) {
        char what[] = "env", a[] = "A=1", b[] = "B=", list[] = "A=1 B=", nothing[] = "";
        char *envp[] = { a, b, NULL }, *argv[] = { arg_self, what, list, NULL },
             *argv_none[] = { arg_self, what, nothing, NULL };
        SpawnSpec spec = { .path = "/proc/self/exe", .argv = argv, .envp = envp };
        int pidfd;

        assert_int_equal(process_spawn(&spec, NULL, &pidfd, NULL), 0);
        wait_for(pidfd, CLD_EXITED, 0);

        spec.envp = NULL;
        spec.argv = argv_none;
        assert_int_equal(process_spawn(&spec, NULL, &pidfd, NULL), 0);
        wait_for(pidfd, CLD_EXITED, 0);
}

static void on_signal(int signo) {
}

static void test_signals(void **state) {
        char what[] = "signals";
        char *argv[] = { arg_self, what, NULL };
        struct sigaction handler = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN }, now;
        sigset_t block, saved, after;
        int pidfd;

        /* The child must not inherit any of this, and we must keep it. */
        assert_int_equal(sigaction(SIGUSR1, &handler, NULL), 0);
        assert_int_equal(sigaction(SIGPIPE, &ignore, NULL), 0);
        assert_int_equal(sigaction(SIGRTMAX, &ignore, NULL), 0);
        sigemptyset(&block);
        sigaddset(&block, SIGTERM);
        sigaddset(&block, SIGRTMIN);
        assert_int_equal(sigprocmask(SIG_SETMASK, &block, &saved), 0);

        pidfd = spawn_self(argv, NULL, 0);
        wait_for(pidfd, CLD_EXITED, 0);

        assert_int_equal(sigprocmask(SIG_SETMASK, &saved, &after), 0);
        for (int i = 1; i <= SIGRTMAX; i++)
                assert_int_equal(sigismember(&after, i), sigismember(&block, i));
        assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
        assert_ptr_equal(now.sa_handler, on_signal);
        assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
        assert_ptr_equal(now.sa_handler, SIG_IGN);
}

static void test_kill(void **state) {
        char what[] = "sleep";
        char *argv[] = { arg_self, what, NULL };
        int pidfd, again, code, status;
        pid_t pid;
        SpawnSpec spec = { .path = "/proc/self/exe", .argv = argv };

        assert_int_equal(process_spawn(&spec, &pid, &pidfd, NULL), 0);
        assert_int_equal(pidfd_reap(pidfd, &code, &status), -EAGAIN);
        again = pidfd_open_(pid);
        assert_true(again >= 0);
        assert_int_equal(pidfd_kill(again, 0), 0);
        assert_int_equal(pidfd_kill(again, SIGKILL), 0);
        assert_int_equal(pidfd_wait(pidfd, &code, &status), 0);
        assert_int_equal(code, CLD_KILLED);
        assert_int_equal(status, SIGKILL);
        assert_int_equal(pidfd_wait(pidfd, &code, &status), -ECHILD);
        safe_close(pidfd);
        assert_int_equal(pidfd_kill(again, 0), -ESRCH);
        safe_close(again);
        assert_int_equal(pidfd_open_(-1), -EINVAL);
        assert_int_equal(pidfd_kill(-1, SIGTERM), -EBADF);
        assert_int_equal(pidfd_reap(-1, NULL, NULL), -EINVAL);
        assert_int_equal(pidfd_wait(-1, NULL, NULL), -EINVAL);
        assert_int_equal(process_exit_code(CLD_EXITED, 3), 3);
        assert_int_equal(process_exit_code(CLD_KILLED, SIGKILL), 137);
        assert_int_equal(process_exit_code(CLD_DUMPED, SIGSEGV), 139);
}

static void test_die_with_parent(void **state) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        struct pollfd poll_end;
        char byte;
        int status;
        pid_t pid;

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char what[] = "sleep";
                char *argv[] = { arg_self, what, NULL };
                SpawnSpec spec = {
                        .path = "/proc/self/exe",
                        .argv = argv,
                        .fds = { -EBADF, p[1] },
                        .n_fds = 2,
                        .die_with_parent = true,
                };
                int pidfd;

                _exit(process_spawn(&spec, NULL, &pidfd, NULL) < 0 ? 1 : 0);
        }
        p[1] = safe_close(p[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        /* The sleeper holds the other end until it dies. */
        poll_end = (struct pollfd){ .fd = p[0], .events = POLLIN };
        assert_int_equal(poll(&poll_end, 1, 30000), 1);
        assert_int_equal(read(p[0], &byte, 1), 0);
}

static void test_no_descriptors_left(void **state) {
        char what[] = "exit", code[] = "0";
        char *argv[] = { arg_self, what, code, NULL };
        SpawnSpec spec = { .path = "/proc/self/exe", .argv = argv };
        _cleanup_error_ Error e = ERROR_NULL;
        struct rlimit saved, none;
        int pidfd = -77;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
        none = saved;
        none.rlim_cur = 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_int_equal(process_spawn(&spec, NULL, &pidfd, &e), -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
        assert_int_equal(pidfd, -77);
        assert_int_equal(waitpid(-1, NULL, 0), -1);
}

static void test_many(void **state) {
        char what[] = "exit", code[] = "0";
        char *argv[] = { arg_self, what, code, NULL };
        int before = open_fds();

        for (unsigned i = 0; i < 30; i++)
                wait_for(spawn_self(argv, NULL, 0), CLD_EXITED, 0);
        assert_int_equal(open_fds(), before);
}

/* ---- What the program executed does ---- */

static bool is_null_device(int fd) {
        struct stat a, b;

        return fstat(fd, &a) >= 0 && stat("/dev/null", &b) >= 0 && a.st_rdev == b.st_rdev;
}

static int child_fds(const char *expected) {
        int n = (int) strlen(expected);

        for (int i = 0; i < 256; i++) {
                int flags = fcntl(i, F_GETFD);
                char c = 0;

                if (i >= n || expected[i] == '-') {
                        if (flags >= 0)
                                return 10 + i;
                        continue;
                }
                if (flags != 0)
                        return 50 + i;
                if (expected[i] == 'n') {
                        if (!is_null_device(i))
                                return 80 + i;
                } else if (pread(i, &c, 1, 0) != 1 || c != expected[i])
                        return 110 + i;
        }
        return 0;
}

static int child_env(const char *expected) {
        char buf[256] = "";

        for (char **e = environ; *e; e++) {
                if (e != environ)
                        strcat(buf, " ");
                if (strlen(buf) + strlen(*e) + 2 > sizeof(buf))
                        return 2;
                strcat(buf, *e);
        }
        return streq(buf, expected) ? 0 : 1;
}

static int child_signals(void) {
        sigset_t mask;

        if (sigprocmask(SIG_SETMASK, NULL, &mask) < 0)
                return 100;
        for (int i = 1; i <= SIGRTMAX; i++) {
                struct sigaction sa;

                if (sigismember(&mask, i) > 0)
                        return i;
                /* A sanitizer may have installed handlers of its own by now; ignored signals are what is
                 * inherited. */
                if (sigaction(i, NULL, &sa) >= 0 && sa.sa_handler == SIG_IGN)
                        return 100 + i;
        }
        return 0;
}

static int child(int argc, char *argv[]) {
        if (streq(argv[1], "exit"))
                return atoi(argv[2]);
        if (streq(argv[1], "fds"))
                return child_fds(argv[2]);
        if (streq(argv[1], "env"))
                return child_env(argv[2]);
        if (streq(argv[1], "signals"))
                return child_signals();

        for (;;)
                pause();
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exit_status),
                cmocka_unit_test(test_fds),
                cmocka_unit_test(test_fds_closed_here),
                cmocka_unit_test(test_bad_fd),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_exec_failure),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_signals),
                cmocka_unit_test(test_kill),
                cmocka_unit_test(test_die_with_parent),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_no_descriptors_left),
        };

        if (argc > 1)
                return child(argc, argv);

        return cmocka_run_group_tests(tests, NULL, NULL);
}
