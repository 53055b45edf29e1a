/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/journal-stream.h"

static void expect_unit(const char *cgroup, const char *expected) {
        _cleanup_free_ char *unit = journal_stream_unit(cgroup);

        assert_string_equal(unit, expected);
}

static void test_unit(void **state) {
        expect_unit("/moored.slice/moored-default.slice/moored-default-web.service", "moored-default-web.service");
        expect_unit("/a.slice/b.service/payload/x", "b.service");
        expect_unit("/a.slice/b.scope", "b.scope");
        /* The innermost. */
        expect_unit("/user.slice/user@0.service/app.slice/b.service", "b.service");
        expect_unit("/b.service", "b.service");
        expect_unit("/", "");
        expect_unit("/a.slice", "");
        expect_unit("", "");
}

/* stderr of this process is replaced by a journal's. */
static void test_split(void **state) {
        char directory[] = "/tmp/test-journal-stream.XXXXXX", buffer[1024] = "", variable[64];
        _cleanup_close_ int listener = -EBADF, first = -EBADF, second = -EBADF, kept = -EBADF, client = -EBADF;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_free_ char *path = NULL;
        size_t n = 0;
        struct stat st;

        assert_non_null(mkdtemp(directory));
        path = strjoin(directory, "/stdout");
        strcpy(address.sun_path, path);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 5), 0);
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *) &address, sizeof(address)), 0);
        first = accept(listener, NULL, NULL);
        assert_true(first >= 0);

        assert_int_equal(fstat(client, &st), 0);
        (void) snprintf(variable, sizeof(variable), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", variable, 1), 0);
        assert_false(journal_stream_is_stderr());

        kept = fd_dup(STDERR_FILENO);
        assert_int_equal(dup2(client, STDERR_FILENO), STDERR_FILENO);
        bool is = journal_stream_is_stderr();
        int r = journal_stream_split_stderr("web");
        (void) dprintf(STDERR_FILENO, "hello\n");
        bool still = journal_stream_is_stderr();
        assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(directory), 0);

        assert_true(is);
        assert_int_equal(r, 0);
        assert_false(still);
        second = accept(listener, NULL, NULL);
        assert_true(second >= 0);
        for (ssize_t k; (k = read(second, buffer + n, sizeof(buffer) - 1 - n)) > 0;)
                n += (size_t) k;
        assert_ptr_equal(startswith(buffer, "web\n"), buffer + 4);
        /* The unit's name depends on where the test runs. */
        assert_true(endswith(buffer, "\n27\n0\n0\n0\n0\nhello\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unit),
                cmocka_unit_test(test_split),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
