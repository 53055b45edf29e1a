/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/user.h"

static char passwd_text[] = "root:x:0:0:root:/root:/bin/sh\n"
                            "\n"
                            "# a comment\n"
                            "short:x:1\n"
                            "badid:x:nine:9::/:\n"
                            "huge:x:4294967296:1::/:\n"
                            "nobody4:x:4294967295:1::/:\n"
                            "alice:x:1000:1000:Alice,,,:/home/alice:/bin/sh\n"
                            "1234:x:77:78::/numeric:\n"
                            "bare:x:5:6::";
static char group_text[] = "root:x:0:\n"
                           "audio:x:29:alice,root\n"
                           "video:x:44:bob,alice\n"
                           "again:x:29:alice\n"
                           "alicex:x:45:alicex\n"
                           "broken:x:\n"
                           "staff:x:50:";

static const UserDatabase database = {
        .passwd = passwd_text,
        .passwd_size = sizeof(passwd_text) - 1,
        .group = group_text,
        .group_size = sizeof(group_text) - 1,
};

static void check(const char *user, uid_t uid, gid_t gid, const char *home, size_t n_groups) {
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(user_resolve(&database, user, &u, &e), 0);
        assert_false(error_is_set(&e));
        assert_int_equal(u.uid, uid);
        assert_int_equal(u.gid, gid);
        if (home)
                assert_string_equal(u.home, home);
        else
                assert_null(u.home);
        assert_int_equal(u.n_groups, n_groups);
}

static void check_fails(const char *user, const char *name) {
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(user_resolve(&database, user, &u, &e) < 0);
        assert_string_equal(error_name(&e), name);
}

static void test_names(void **state) {
        check("", 0, 0, "/root", 1);
        check("root", 0, 0, "/root", 1);
        check("0", 0, 0, "/root", 1);
        check("alice", 1000, 1000, "/home/alice", 2);
        check("1000", 1000, 1000, "/home/alice", 2);
        check(":staff", 0, 50, "/root", 0);
}

static void test_numbers(void **state) {
        check("4711", 4711, 0, NULL, 0);
        check("4711:4712", 4711, 4712, NULL, 0);
        check("4294967294", 4294967294U, 0, NULL, 0);
        check_fails("4294967295", "NoSuchUser");
        check_fails("4294967296", "NoSuchUser");
        check_fails("-1", "NoSuchUser");
        check_fails("+1", "NoSuchUser");
        /* A name that looks like a number is a name first. */
        check("1234", 77, 78, "/numeric", 0);
}

static void test_groups(void **state) {
        check("alice:audio", 1000, 29, "/home/alice", 0);
        check("alice:50", 1000, 50, "/home/alice", 0);
        check("alice:4711", 1000, 4711, "/home/alice", 0);
        check("alice:", 1000, 1000, "/home/alice", 2);
        check_fails("alice:none", "NoSuchGroup");
        check_fails("alice:broken", "NoSuchGroup");
        check_fails("alice:audio:more", "NoSuchGroup");
}

static void test_bad_lines(void **state) {
        check_fails("short", "NoSuchUser");
        check_fails("badid", "NoSuchUser");
        check_fails("huge", "NoSuchUser");
        check_fails("nobody4", "NoSuchUser");
        check_fails("bare", "NoSuchUser");
        check_fails("alicex", "NoSuchUser");
        check_fails("# a comment", "NoSuchUser");
}

static void test_add_group(void **state) {
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(user_resolve(&database, "alice", &u, &e), 0);
        assert_int_equal(u.n_groups, 2);
        assert_int_equal(user_add_group(&database, "audio", &u, &e), 0);
        assert_int_equal(user_add_group(&database, "staff", &u, &e), 1);
        assert_int_equal(user_add_group(&database, "123", &u, &e), 1);
        assert_int_equal(u.n_groups, 4);
        assert_int_equal(u.groups[3], 123);
        assert_int_equal(user_add_group(&database, "nosuch", &u, &e), -ESRCH);
        assert_string_equal(error_name(&e), "NoSuchGroup");
}

static void test_groups_max(void **state) {
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;
        char number[16];

        for (unsigned i = 0; i < USER_GROUPS_MAX; i++) {
                snprintf(number, sizeof(number), "%u", 100000 + i);
                assert_int_equal(user_add_group(&database, number, &u, &e), 1);
        }
        assert_int_equal(user_add_group(&database, "99", &u, &e), -E2BIG);
        assert_string_equal(error_name(&e), "LimitsExceeded");
}

static void test_name_max(void **state) {
        char name[2 * USER_NAME_MAX + 3];

        memset(name, 'a', sizeof(name));
        name[2 * USER_NAME_MAX + 1] = 0;
        check_fails(name, "NoSuchUser");
        name[2 * USER_NAME_MAX + 1] = 'a';
        name[2 * USER_NAME_MAX + 2] = 0;
        check_fails(name, "InvalidArgument");
}

static void test_home(void **state) {
        _cleanup_free_ char *home = user_home(&database, 1000);

        assert_string_equal(home, "/home/alice");
        assert_null(user_home(&database, 4711));
}

static void test_empty_database(void **state) {
        static const UserDatabase empty = {};
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(user_resolve(&empty, "12:34", &u, &e), 0);
        assert_int_equal(u.uid, 12);
        assert_int_equal(u.gid, 34);
        assert_int_equal(user_resolve(&empty, "root", &u, &e), -ESRCH);
        assert_string_equal(error_name(&e), "NoSuchUser");
}

/* ---- reading below a root ---- */

typedef struct Root {
        char path[32];
        int fd;
} Root;

static int root_setup(void **state) {
        Root *r = calloc(1, sizeof(Root));

        assert_non_null(r);
        strcpy(r->path, "/tmp/test-user-XXXXXX");
        assert_non_null(mkdtemp(r->path));
        r->fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(r->fd >= 0);
        assert_int_equal(mkdirat(r->fd, "etc", 0755), 0);
        *state = r;
        return 0;
}

static int root_teardown(void **state) {
        Root *r = *state;

        assert_int_equal(rm_rf_at(AT_FDCWD, r->path), 0);
        safe_close(r->fd);
        free(r);
        return 0;
}

static void put_file(int root, const char *path, size_t size) {
        _cleanup_close_ int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t) size), 0);
}

static int read_result(int root, Error *e) {
        _cleanup_(user_database_done) UserDatabase d = {};

        return user_database_read(root, &d, e);
}

static void test_read_missing(void **state) {
        Root *r = *state;

        assert_int_equal(read_result(r->fd, NULL), 0);
        assert_int_equal(unlinkat(r->fd, "etc", AT_REMOVEDIR), 0);
        assert_int_equal(read_result(r->fd, NULL), 0);
}

static void test_read_size_max(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Root *r = *state;

        put_file(r->fd, "etc/passwd", USER_DATABASE_SIZE_MAX);
        assert_int_equal(read_result(r->fd, &e), 0);
        put_file(r->fd, "etc/passwd", USER_DATABASE_SIZE_MAX + 1);
        assert_int_equal(read_result(r->fd, &e), -EFBIG);
        assert_string_equal(error_name(&e), "LimitsExceeded");
}

static void test_read_irregular(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Root *r = *state;

        assert_int_equal(mkfifoat(r->fd, "etc/passwd", 0644), 0);
        assert_int_equal(read_result(r->fd, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
}

static void test_read_symlink_stays_inside(void **state) {
        _cleanup_(user_database_done) UserDatabase d = {};
        Root *r = *state;

        /* The host's /etc/passwd exists; the one inside does not, until it does. */
        assert_int_equal(symlinkat("/etc/shadow-of-passwd", r->fd, "etc/passwd"), 0);
        assert_int_equal(symlinkat("../../../../../../../etc/group-here", r->fd, "etc/group"), 0);
        assert_int_equal(user_database_read(r->fd, &d, NULL), 0);
        assert_null(d.passwd);
        assert_null(d.group);

        put_file(r->fd, "etc/shadow-of-passwd", 3);
        put_file(r->fd, "etc/group-here", 4);
        assert_int_equal(user_database_read(r->fd, &d, NULL), 0);
        assert_int_equal(d.passwd_size, 3);
        assert_int_equal(d.group_size, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_groups),
                cmocka_unit_test(test_bad_lines),
                cmocka_unit_test(test_add_group),
                cmocka_unit_test(test_groups_max),
                cmocka_unit_test(test_name_max),
                cmocka_unit_test(test_home),
                cmocka_unit_test(test_empty_database),
                cmocka_unit_test_setup_teardown(test_read_missing, root_setup, root_teardown),
                cmocka_unit_test_setup_teardown(test_read_size_max, root_setup, root_teardown),
                cmocka_unit_test_setup_teardown(test_read_irregular, root_setup, root_teardown),
                cmocka_unit_test_setup_teardown(test_read_symlink_stays_inside, root_setup, root_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
