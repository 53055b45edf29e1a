/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/preserve.h"

/* As the service manager does: descriptors from 3 on. */
static void pass(PreservedFds *p, unsigned n, const char *names) {
        _cleanup_free_ char *number = strformat("%u", n);

        for (unsigned i = 0; i < n; i++) {
                int fd = open("/dev/null", O_RDONLY);

                assert_true(fd >= 0);
                if (fd != 3 + (int) i) {
                        assert_int_equal(dup2(fd, 3 + (int) i), 3 + (int) i);
                        if (fd > 2 + (int) n)
                                close(fd);
                }
        }
        assert_int_equal(setenv("LISTEN_FDS", number, true), 0);
        if (names)
                assert_int_equal(setenv("LISTEN_FDNAMES", names, true), 0);
        else
                assert_int_equal(unsetenv("LISTEN_FDNAMES"), 0);
        assert_int_equal(preserved_fds_find(p, 0, NULL), 0);
        assert_int_equal(p->n, n);
}

static void check_env(const PreservedFds *p, const char *fds, const char *names) {
        _cleanup_strv_free_ char **env = NULL;

        assert_int_equal(preserved_fds_add_env(p, &env, NULL), 0);
        assert_true(streq_ptr(strv_env_get(env, "LISTEN_FDS"), fds));
        assert_true(streq_ptr(strv_env_get(env, "LISTEN_FDNAMES"), names));
}

static void test_take(void **state) {
        PreservedFds p;

        pass(&p, 3, "http:https:moored-network");
        assert_int_equal(preserved_fds_take(&p, "moored-network"), 5);
        assert_true(fcntl(5, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(p.n, 2);
        assert_int_equal(p.fds[0], 3);
        assert_int_equal(p.fds[1], 4);
        check_env(&p, "2", "http:https");
        assert_int_equal(preserved_fds_take(&p, "moored-network"), -EBADF);

        /* Alone: the container is told of none. */
        pass(&p, 1, "moored-network");
        assert_int_equal(preserved_fds_take(&p, "moored-network"), 3);
        check_env(&p, NULL, NULL);
}

static void test_not_there(void **state) {
        PreservedFds p;

        pass(&p, 2, "http:https");
        assert_int_equal(preserved_fds_take(&p, "moored-network"), -EBADF);
        check_env(&p, "2", "http:https");
        pass(&p, 2, NULL);
        assert_int_equal(preserved_fds_take(&p, "moored-network"), -EBADF);
        check_env(&p, "2", NULL);
        /* More names than descriptors. */
        pass(&p, 1, "http:moored-network");
        assert_int_equal(preserved_fds_take(&p, "moored-network"), -EBADF);
        check_env(&p, "1", "http:moored-network");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_take),
                cmocka_unit_test(test_not_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
