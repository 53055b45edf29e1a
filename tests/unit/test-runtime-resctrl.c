/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* On a directory that looks like resctrl. The kernel makes a group's files when the directory is made; here
 * they are there beforehand, or are not, which is a failure half-way. */

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
#include "runtime/resctrl.h"

typedef struct Tree {
        char path[64];
        int fd;
} Tree;

static void tree_done(Tree *t) {
        safe_close(t->fd);
        (void) rm_rf_at(AT_FDCWD, t->path);
}

static Tree tree_new(void) {
        Tree t = { .path = "/tmp/test-resctrl-XXXXXX" };

        assert_non_null(mkdtemp(t.path));
        t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(t.fd >= 0);
        return t;
}

static void put(const Tree *t, const char *name, const char *text) {
        int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
        close(fd);
}

static void make_group(const Tree *t, const char *name, const char *schemata) {
        char file[64];

        assert_int_equal(mkdirat(t->fd, name, 0755), 0);
        snprintf(file, sizeof(file), "%s/mon_groups", name);
        assert_int_equal(mkdirat(t->fd, file, 0755), 0);
        snprintf(file, sizeof(file), "%s/schemata", name);
        put(t, file, schemata);
        snprintf(file, sizeof(file), "%s/tasks", name);
        put(t, file, "");
}

/* Writing does not truncate: what was there before and is longer shows at the end. */
static void check_begins(const Tree *t, const char *name, const char *text) {
        _cleanup_free_ char *actual = NULL;
        size_t size;

        assert_int_equal(read_file_at(t->fd, name, 4096, &actual, &size), 0);
        assert_non_null(startswith(actual, text));
}

static void check_fails(const Tree *t, const SpecIntelRdt *s, const char *in_message) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(resctrl_create_at(t->fd, s, "c1", 77, &e) < 0);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

#define SCHEMATA "    L3:0=7ff;1=7ff\n    MB:0=100;1= 100\n"

static void test_given_group(void **state) {
        _cleanup_(tree_done) Tree t = tree_new();
        char group[] = "g", l3[] = "L3:0=7FF", l3_other[] = "L3:0=7fe", l3_no_domain[] = "L3:2=7ff",
             bandwidth[] = "MB:1=100;0=100", odd[] = "L3:0";
        SpecIntelRdt s = { .wanted = true, .clos_id = group };

        check_fails(&t, &s, "closID");

        make_group(&t, "g", SCHEMATA);
        assert_int_equal(resctrl_create_at(t.fd, &s, "c1", 77, NULL), 0);
        check_begins(&t, "g/tasks", "77");
        check_begins(&t, "g/schemata", SCHEMATA);

        s.l3_cache_schema = l3;
        s.mem_bw_schema = bandwidth;
        assert_int_equal(resctrl_create_at(t.fd, &s, "c1", 78, NULL), 0);
        check_begins(&t, "g/schemata", "L3:0=7FF\nMB:1=100;0=100\n");

        s.mem_bw_schema = NULL;
        put(&t, "g/schemata", SCHEMATA);
        s.l3_cache_schema = l3_other;
        check_fails(&t, &s, "L3:0=7fe");
        s.l3_cache_schema = l3_no_domain;
        check_fails(&t, &s, "L3:2=7ff");
        s.l3_cache_schema = odd;
        check_fails(&t, &s, "L3:0");

        /* It is somebody else's. */
        assert_int_equal(resctrl_remove_at(t.fd, &s, "c1", NULL), 0);
        assert_int_equal(faccessat(t.fd, "g/tasks", F_OK, 0), 0);
}

static void test_own_group(void **state) {
        _cleanup_(tree_done) Tree t = tree_new();
        char l3[] = "L3:0=1";
        SpecIntelRdt s = { .wanted = true, .l3_cache_schema = l3 };

        /* Nothing is left of what failed. */
        check_fails(&t, &s, "schemata");
        assert_int_equal(faccessat(t.fd, "c1", F_OK, 0), -1);

        /* That of another is not taken over. */
        assert_int_equal(mkdirat(t.fd, "c1", 0755), 0);
        check_fails(&t, &s, "cannot make the group \"c1\"");
        assert_int_equal(faccessat(t.fd, "c1", F_OK, 0), 0);

        assert_int_equal(resctrl_remove_at(t.fd, &s, "c1", NULL), 0);
        assert_int_equal(faccessat(t.fd, "c1", F_OK, 0), -1);
        assert_int_equal(resctrl_remove_at(t.fd, &s, "c1", NULL), 0);
}

static void test_root_group(void **state) {
        _cleanup_(tree_done) Tree t = tree_new();
        char group[] = "/", line[] = "L2:0=f";
        char *schemata[] = { line, NULL };
        SpecIntelRdt s = { .wanted = true, .clos_id = group, .schemata = schemata };

        put(&t, "tasks", "");
        put(&t, "schemata", SCHEMATA);
        assert_int_equal(resctrl_create_at(t.fd, &s, "c1", 79, NULL), 0);
        check_begins(&t, "tasks", "79");
        check_begins(&t, "schemata", "L2:0=f\n");
        assert_int_equal(resctrl_remove_at(t.fd, &s, "c1", NULL), 0);
        assert_int_equal(faccessat(t.fd, "tasks", F_OK, 0), 0);
}

static void test_monitoring(void **state) {
        _cleanup_(tree_done) Tree t = tree_new();
        char group[] = "g";
        SpecIntelRdt s = { .wanted = true, .clos_id = group, .enable_monitoring = true };

        make_group(&t, "g", SCHEMATA);
        /* No file to write to, in a directory that nobody but the kernel fills. */
        check_fails(&t, &s, "cannot add process");
        assert_int_equal(faccessat(t.fd, "g/mon_groups/c1", F_OK, 0), -1);

        assert_int_equal(mkdirat(t.fd, "g/mon_groups/c1", 0755), 0);
        check_fails(&t, &s, "enableMonitoring");
        assert_int_equal(faccessat(t.fd, "g/mon_groups/c1", F_OK, 0), 0);
        assert_int_equal(resctrl_remove_at(t.fd, &s, "c1", NULL), 0);
        assert_int_equal(faccessat(t.fd, "g/mon_groups/c1", F_OK, 0), -1);
}

static void test_host(void **state) {
        SpecIntelRdt none = {}, s = { .wanted = true };
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(resctrl_create(&none, "c1", 1, NULL), 0);
        assert_int_equal(resctrl_remove(&none, "c1", NULL), 0);
        if (access(RESCTRL_ROOT "/tasks", F_OK) >= 0) {
                print_message("resctrl is here\n");
                skip();
        }
        assert_int_equal(resctrl_create(&s, "c1", 1, &e), -EOPNOTSUPP);
        assert_non_null(strstr(error_message(&e), "linux.intelRdt: no resctrl"));
        assert_int_equal(resctrl_remove(&s, "c1", NULL), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_given_group), cmocka_unit_test(test_own_group),
                cmocka_unit_test(test_root_group),  cmocka_unit_test(test_monitoring),
                cmocka_unit_test(test_host),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
