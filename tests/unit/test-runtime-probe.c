/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What moored-probe.service answers to who asks for a container's network namespace: this process is the container. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "runtime/probe.h"

/* The answer as text; *ret_fd: what came with it. */
static char *ask(pid_t pid, const char *cgroup, int *ret_fd) {
        _cleanup_free_ char *text = strformat("{\"bundle\":\"/b\",\"cgroup\":\"%s\",\"pid\":%i,\"timeoutUSec\":1000000,\"namespace\":true}",
                                              cgroup, pid);
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_close_ int memfd = -EBADF;
        char answer[1024] = {};
        int fds[FDS_MAX];
        size_t n = 0;

        assert_non_null(text);
        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
        memfd = memfd_new_sealed("request", text, strlen(text));
        assert_true(memfd >= 0);
        assert_true(send_with_fds(pair[0], "", 1, &memfd, 1, MSG_NOSIGNAL) >= 0);
        probe_answer(pair[1]);
        assert_true(recv_with_fds(pair[0], answer, sizeof(answer) - 1, fds, &n, MSG_DONTWAIT) > 0);
        *ret_fd = n > 0 ? fds[0] : -EBADF;
        return strdup(answer);
}

static void test_namespace(void **state) {
        _cleanup_free_ char *cgroup = NULL, *answer = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat own, st;

        assert_int_equal(cgroup_of_process(getpid(), &cgroup), 0);
        answer = ask(getpid(), cgroup, &fd);
        assert_string_equal(answer, "{\"namespace\":true}");
        assert_true(fd >= 0);
        assert_return_code(stat("/proc/self/ns/net", &own), errno);
        assert_return_code(fstat(fd, &st), errno);
        assert_true(own.st_dev == st.st_dev && own.st_ino == st.st_ino);
}

/* It has ended, and another process has its number. */
static void test_another_process(void **state) {
        static const char *const cgroups[] = { "/no.such", "/n" };

        for (size_t i = 0; i < ELEMENTSOF(cgroups); i++) {
                _cleanup_free_ char *answer = NULL;
                _cleanup_close_ int fd = -EBADF;

                answer = ask(getpid(), cgroups[i], &fd);
                assert_int_equal(fd, -EBADF);
                assert_non_null(strstr(answer, "\"NotRunning\""));
        }
}

static void test_no_process(void **state) {
        _cleanup_free_ char *answer = NULL;
        _cleanup_close_ int fd = -EBADF;

        answer = ask(INT32_MAX, "/", &fd);
        assert_int_equal(fd, -EBADF);
        assert_non_null(strstr(answer, "\"NotRunning\""));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_namespace),
                cmocka_unit_test(test_another_process),
                cmocka_unit_test(test_no_process),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
