/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/mount-options.h"
#include "runtime/plan.h"

#define BASE                                                                                                \
        "\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]}," \
        "\"root\":{\"path\":\"rootfs\"}"
#define NAMESPACES(x) "\"namespaces\":[{\"type\":\"mount\"}" x "]"
#define SPEC(top, linux_) "{" BASE top ",\"linux\":{" NAMESPACES("") linux_ "}}"

static int make(const char *text, Plan **ret, Error *e) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        assert_int_equal(runtime_spec_parse(text, strlen(text), &s, e), 0);
        return plan_new(s, "/bundle", ret, e);
}

static Plan *plan_of(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        Plan *p = NULL;

        if (make(text, &p, &e) < 0)
                fail_msg("%s", error_message(&e));
        return p;
}

static void check_fails(const char *text, const char *name, const char *in_message) {
        _cleanup_(plan_freep) Plan *p = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(make(text, &p, &e) < 0);
        assert_string_equal(error_name(&e), name);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

/* The first operation of that type whose target is that (NULL: any). */
static const Operation *find(const Plan *p, OperationType type, const char *target) {
        for (size_t i = 0; i < p->n_operations; i++)
                if (p->operations[i].type == type && (!target || streq_ptr(p->operations[i].target, target)))
                        return &p->operations[i];
        return NULL;
}

static size_t index_of(const Plan *p, OperationType type, const char *target) {
        const Operation *o = find(p, type, target);

        assert_non_null(o);
        return (size_t) (o - p->operations);
}

static void test_order(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL;

        p = plan_of("{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/work\",\"args\":[\"sh\"]},"
                    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"mounts\":["
                    "{\"destination\":\"/proc\",\"type\":\"proc\"},{\"destination\":\"/dev\","
                    "\"type\":\"tmpfs\"}],"
                    "\"linux\":{" NAMESPACES(",{\"type\":\"network\"}")
                    ",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"maskedPaths\":[\"/proc/kcore\"],"
                    "\"readonlyPaths\":[\"/proc/sys\"]}}");

        assert_int_equal(index_of(p, OPERATION_ROOT_BIND, NULL), 0);
        assert_int_equal(index_of(p, OPERATION_MOUNT, "/proc"), 1);
        assert_int_equal(index_of(p, OPERATION_MOUNT, "/dev"), 2);
        assert_true(index_of(p, OPERATION_DEVICE, "/dev/null") > 2);
        assert_true(index_of(p, OPERATION_SYSCTL, "net/ipv4/ip_forward") <
                    index_of(p, OPERATION_READONLY, "/proc/sys"));
        assert_true(index_of(p, OPERATION_DIRECTORY, "/work") < index_of(p, OPERATION_ROOT_READONLY, NULL));
        assert_true(index_of(p, OPERATION_MASK, "/proc/kcore") < index_of(p, OPERATION_ROOT_READONLY, NULL));
        assert_int_equal(index_of(p, OPERATION_ROOT_READONLY, NULL), p->n_operations - 1);
        assert_true(p->loopback);
        assert_true(p->clone_flags == (CLONE_NEWNS | CLONE_NEWNET));
        assert_int_equal(p->root_propagation, MS_SLAVE);
}

static void test_root_bind(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(SPEC("", "")), *q = NULL;

        assert_string_equal(find(p, OPERATION_ROOT_BIND, NULL)->source, "/bundle/rootfs");
        assert_null(find(p, OPERATION_DIRECTORY, NULL)); /* "/" is there */
        assert_null(find(p, OPERATION_ROOT_READONLY, NULL));

        q = plan_of("{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]},"
                    "\"root\":{\"path\":\"/abs\"},"
                    "\"linux\":{" NAMESPACES("") "}}");
        assert_string_equal(find(q, OPERATION_ROOT_BIND, NULL)->source, "/abs");
}

#define OVERLAY(dir, lower, upper, work)                                                                    \
        SPEC(",\"annotations\":{\"org.moored.rootfs.dir\":\"" dir "\",\"org.moored.rootfs.lower\":\"" lower \
             "\","                                                                                          \
             "\"org.moored.rootfs.upper\":\"" upper "\",\"org.moored.rootfs.work\":\"" work "\"}",          \
             "")

static void test_root_overlay(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(OVERLAY("/var/x", "2/fs:1/fs", "3/fs", "3/work")), *q = NULL;
        const Operation *o = find(p, OPERATION_ROOT_OVERLAY, NULL);

        assert_string_equal(o->source, "/var/x");
        assert_string_equal(o->data, "lowerdir=2/fs:1/fs,upperdir=3/fs,workdir=3/work");

        q = plan_of(OVERLAY("/var/x", "", "3/fs", ""));
        o = find(q, OPERATION_ROOT_BIND, NULL);
        assert_string_equal(o->base, "/var/x");
        assert_string_equal(o->source, "3/fs");
}

static void test_root_overlay_names(void **state) {
        check_fails(OVERLAY("rel", "1/fs", "3/fs", "3/work"), "InvalidArgument", "rootfs.dir");
        check_fails(OVERLAY("/x", "../fs", "3/fs", "3/work"), "InvalidArgument", "rootfs.lower");
        check_fails(OVERLAY("/x", "/1/fs", "3/fs", "3/work"), "InvalidArgument", "rootfs.lower");
        check_fails(OVERLAY("/x", "1/fs,upperdir=y", "3/fs", "3/work"), "InvalidArgument", "rootfs.lower");
        check_fails(OVERLAY("/x", "1/fs", "3/fs,index=on", "3/work"), "InvalidArgument", "rootfs.upper");
        check_fails(OVERLAY("/x", "1/fs", "3/fs", ""), "InvalidArgument", "rootfs.work");
        check_fails(OVERLAY("/x", "1/fs", "", "3/work"), "InvalidArgument", "rootfs.upper");
}

/* The options must fit into ROOTFS_OPTIONS_MAX. */
static void test_root_overlay_limit(void **state) {
        const size_t fixed = strlen("lowerdir=,upperdir=3/fs,workdir=3/work");

        for (size_t extra = 0; extra < 2; extra++) {
                _cleanup_free_ char *lower = malloc(ROOTFS_OPTIONS_MAX + 2), *text = NULL;
                _cleanup_(plan_freep) Plan *p = NULL;
                _cleanup_error_ Error e = ERROR_NULL;
                size_t n = ROOTFS_OPTIONS_MAX - fixed + extra;

                assert_non_null(lower);
                for (size_t i = 0; i < n; i++)
                        lower[i] = i % 8 == 7 && i + 1 < n ? ':' : 'a';
                lower[n] = 0;
                text = strjoin("{" BASE
                               ",\"annotations\":{\"org.moored.rootfs.dir\":\"/x\","
                               "\"org.moored.rootfs.lower\":\"",
                               lower,
                               "\",\"org.moored.rootfs.upper\":\"3/fs\","
                               "\"org.moored.rootfs.work\":\"3/work\"},\"linux\":{" NAMESPACES(
                                               "") "}}");
                assert_non_null(text);
                assert_int_equal(make(text, &p, &e), extra == 0 ? 0 : -E2BIG);
        }
}

static void test_bind(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL;
        const Operation *o;

        p = plan_of(SPEC(
                        ",\"mounts\":["
                        "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/src\","
                        "\"options\":[\"rbind\",\"ro\",\"nosuid\"]},"
                        "{\"destination\":\"/b\",\"source\":\"rel\",\"options\":[\"bind\","
                        "\"rslave\",\"noatime\"]},"
                        "{\"destination\":\"/c\",\"type\":\"none\",\"source\":\"/src\","
                        "\"options\":[\"rbind\",\"rro\"]}]",
                        ""));

        o = find(p, OPERATION_BIND, "/a");
        assert_true(o->recursive);
        assert_int_equal(o->attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
        assert_int_equal(o->propagation, MS_PRIVATE);
        assert_true(o->propagation_all);
        o = find(p, OPERATION_BIND, "/b");
        assert_false(o->recursive);
        assert_string_equal(o->source, "/bundle/rel");
        assert_int_equal(o->propagation, MS_SLAVE);
        assert_int_equal(o->attr_set, MOUNT_ATTR_NOATIME);
        assert_int_equal(o->attr_clear, MOUNT_ATTR__ATIME);
        o = find(p, OPERATION_BIND, "/c");
        assert_int_equal(o->attr_set, 0);
        assert_int_equal(o->attr_set_all, MOUNT_ATTR_RDONLY);
}

#define ONE_MOUNT(x) SPEC(",\"mounts\":[{" x "}]", "")

static void test_mount_errors(void **state) {
        check_fails(ONE_MOUNT("\"destination\":\"/\",\"type\":\"tmpfs\""), "InvalidArgument", "root");
        check_fails(ONE_MOUNT("\"destination\":\"//\",\"type\":\"tmpfs\""), "InvalidArgument", "root");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"bind\""), "InvalidArgument", "no source");
        check_fails(ONE_MOUNT("\"destination\":\"/a\""), "InvalidArgument", "no type");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/s\","
                              "\"options\":[\"size=1\"]"),
                    "InvalidArgument", "size=1");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\"]"),
                    "NotSupported", "tmpcopyup");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"rro\"]"),
                    "NotSupported", "recursive");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/s\","
                              "\"options\":[\"idmap\"]"),
                    "NotSupported", "idmap");
}

static void test_file_systems(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL;
        const Operation *o;

        p = plan_of(SPEC(
                        ",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
                        "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"options\":[\"ro\",\"nosuid\"]},"
                        "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"},"
                        "{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
                        "\"options\":[\"size=1m\",\"noexec\",\"mode=700\",\"exec\"]}]",
                        ""));
        assert_true(find(p, OPERATION_MOUNT, "/proc")->no_symlinks);
        o = find(p, OPERATION_MOUNT, "/sys");
        assert_true(o->no_symlinks);
        assert_int_equal(o->flags, MS_RDONLY | MS_NOSUID);
        assert_string_equal(find(p, OPERATION_MOUNT, "/sys/fs/cgroup")->fstype, "cgroup2");
        o = find(p, OPERATION_MOUNT, "/t");
        assert_int_equal(o->flags, 0);
        assert_string_equal(o->data, "size=1m,mode=700");
        assert_false(o->no_symlinks);
}

static void test_dev(void **state) {
        _cleanup_(plan_freep)
                        Plan *tmpfs = plan_of(ONE_MOUNT("\"destination\":\"/dev/\",\"type\":\"tmpfs\"")),
                             *bind = NULL;
        const Operation *o = find(tmpfs, OPERATION_DEVICE, "/dev/urandom");

        assert_int_equal(o->mode, S_IFCHR | 0666);
        assert_int_equal(o->major, 1);
        assert_int_equal(o->minor, 9);
        assert_string_equal(find(tmpfs, OPERATION_SYMLINK, "/dev/ptmx")->source, "pts/ptmx");

        /* The host's /dev, or a directory of the user's, is left alone. */
        bind = plan_of(SPEC(",\"mounts\":[{\"destination\":\"/dev\",\"type\":\"tmpfs\"},"
                            "{\"destination\":\"/dev\",\"source\":\"/dev\",\"options\":[\"rbind\"]}]",
                            ""));
        assert_null(find(bind, OPERATION_DEVICE, NULL));
        assert_null(find(bind, OPERATION_SYMLINK, NULL));
}

#define SYSCTL(name, namespaces)                                                                            \
        "{" BASE ",\"linux\":{" NAMESPACES(namespaces) ",\"sysctl\":{\"" name "\":\"1\"}}}"

static void test_sysctl(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(SYSCTL("net.ipv4.conf.eth0/1.rp_filter",
                                                       ",{\"type\":\"network\"}")),
                                   *q = NULL;

        assert_non_null(find(p, OPERATION_SYSCTL, "net/ipv4/conf/eth0.1/rp_filter"));
        q = plan_of(SYSCTL("kernel/shmmax", ",{\"type\":\"ipc\"}"));
        assert_non_null(find(q, OPERATION_SYSCTL, "kernel/shmmax"));

        check_fails(SYSCTL("net.ipv4.ip_forward", ""), "InvalidArgument", "network namespace");
        check_fails(SYSCTL("kernel.shmmax", ""), "InvalidArgument", "ipc namespace");
        check_fails(SYSCTL("kernel.core_pattern", ",{\"type\":\"ipc\"}"), "InvalidArgument", "host");
        check_fails(SYSCTL("vm.swappiness", ""), "InvalidArgument", "host");
        check_fails(SYSCTL("net/../kernel/core_pattern", ",{\"type\":\"network\"}"), "InvalidArgument",
                    "name");
        check_fails(SYSCTL("net..kernel", ",{\"type\":\"network\"}"), "InvalidArgument", "name");
}

static void test_refused(void **state) {
        check_fails("{" BASE "}", "NotSupported", "mount namespace");
        check_fails("{" BASE ",\"hostname\":\"h\",\"linux\":{" NAMESPACES("") "}}", "InvalidArgument",
                    "uts");
        check_fails(SPEC("", ",\"rootfsPropagation\":\"shared\""), "NotSupported", "rootfsPropagation");
        check_fails("{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\"},"
                    "\"root\":{\"path\":\"r\"},\"linux\":{" NAMESPACES(
                                    "") "}}",
                    "InvalidArgument", "process.args");
        check_fails("{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\",\"args\":[\"x\"]},"
                    "\"linux\":{" NAMESPACES(
                                    "") "}}",
                    "InvalidArgument", "root.path");
}

static void test_namespace_paths(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of("{" BASE ",\"linux\":{" NAMESPACES(
                        ",{\"type\":\"network\",\"path\":\"/run/netns/x\"},{\"type\":\"pid\"}") "}}");

        assert_false(p->loopback);
        assert_true(p->clone_flags == (CLONE_NEWNS | CLONE_NEWPID));
}

static void test_names(void **state) {
        assert_string_equal(operation_type_to_string(OPERATION_MASK), "mask");
        assert_int_equal(operation_type_from_string("root-overlay"), OPERATION_ROOT_OVERLAY);
        assert_true(operation_type_from_string("nosuch") < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_root_bind),
                cmocka_unit_test(test_root_overlay),
                cmocka_unit_test(test_root_overlay_names),
                cmocka_unit_test(test_root_overlay_limit),
                cmocka_unit_test(test_bind),
                cmocka_unit_test(test_mount_errors),
                cmocka_unit_test(test_file_systems),
                cmocka_unit_test(test_dev),
                cmocka_unit_test(test_sysctl),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_namespace_paths),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
