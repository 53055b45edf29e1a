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

#define BIND(destination) "\"destination\":\"" destination "\",\"type\":\"bind\",\"source\":\"/src\""
#define MAPPING(c, h) "[{\"containerID\":" c ",\"hostID\":" h ",\"size\":10}]"
#define MAPPINGS(c, h) "\"uidMappings\":" MAPPING(c, h) ",\"gidMappings\":" MAPPING(c, h)
#define OVERLAY_NAMES                                                                                       \
        ",\"annotations\":{\"org.moored.rootfs.dir\":\"/x\",\"org.moored.rootfs.lower\":\"1/fs\","          \
        "\"org.moored.rootfs.upper\":\"3/fs\",\"org.moored.rootfs.work\":\"3/work\"}"
#define CONTAINED(top, linux_) SPEC(top OVERLAY_NAMES, linux_)

#define ONE_MOUNT(x) SPEC(",\"mounts\":[{" x "}]", "")

static void test_mount_errors(void **state) {
        check_fails(ONE_MOUNT("\"destination\":\"/\",\"type\":\"tmpfs\""), "InvalidArgument", "root");
        check_fails(ONE_MOUNT("\"destination\":\"//\",\"type\":\"tmpfs\""), "InvalidArgument", "root");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"bind\""), "InvalidArgument", "no source");
        check_fails(ONE_MOUNT("\"destination\":\"/a\""), "InvalidArgument", "no type");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/s\","
                              "\"options\":[\"size=1\"]"),
                    "InvalidArgument", "size=1");
        check_fails(ONE_MOUNT("\"destination\":\"/\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\"]"),
                    "InvalidArgument", "root");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"proc\",\"options\":[\"tmpcopyup\"]"),
                    "InvalidArgument", "tmpcopyup");
        check_fails(ONE_MOUNT(BIND("/a") ",\"options\":[\"tmpcopyup\"]"), "InvalidArgument", "tmpcopyup");
        check_fails(ONE_MOUNT(BIND("/a") ",\"options\":[\"copy-symlink\",\"src-nofollow\"]"),
                    "InvalidArgument", "copy-symlink");
        check_fails(ONE_MOUNT("\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"src-nofollow\"]"),
                    "InvalidArgument", "src-nofollow");
        check_fails(ONE_MOUNT(BIND("/a") ",\"options\":[\"remount\",\"bind\",\"idmap\"]"), "InvalidArgument",
                    "idmap");
}

/* clang-format off */
#define IDMAPPED_MOUNTS                                                                                     \
        ",\"mounts\":["                                                                                     \
        "{" BIND("/a") "," MAPPINGS("0", "1000") ",\"options\":[\"ridmap\"]},"                              \
        "{" BIND("/b") "," MAPPINGS("0", "1000") "},"                                                       \
        "{" BIND("/c") ",\"options\":[\"idmap=uids=0-1000-10;gids=0-1000-10\"]},"                           \
        "{\"destination\":\"/d\",\"type\":\"tmpfs\"," MAPPINGS("5", "6") "},"                               \
        "{" BIND("/e") "}]"

#define SHARED_MOUNTS                                                                                       \
        ",\"mounts\":["                                                                                     \
        "{" BIND("/a") ",\"options\":[\"rshared\"]},"                                                       \
        "{" BIND("/b") ",\"options\":[\"slave\"]},"                                                         \
        "{\"destination\":\"/c\",\"type\":\"tmpfs\",\"options\":[\"rprivate\"]}]"

#define LABELLED_MOUNTS                                                                                     \
        ",\"mounts\":["                                                                                     \
        "{\"destination\":\"/a\",\"type\":\"tmpfs\"},"                                                      \
        "{\"destination\":\"/p\",\"type\":\"proc\"},"                                                       \
        "{\"destination\":\"/q\",\"type\":\"mqueue\"}]"

/* clang-format on */

static void test_idmapped(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(SPEC(IDMAPPED_MOUNTS, ""));

        assert_int_equal(p->n_mappings, 2);
        assert_int_equal(find(p, OPERATION_BIND, "/a")->mapping, 1);
        assert_true(find(p, OPERATION_BIND, "/a")->mapping_all);
        assert_int_equal(find(p, OPERATION_BIND, "/b")->mapping, 1);
        assert_false(find(p, OPERATION_BIND, "/b")->mapping_all);
        assert_int_equal(find(p, OPERATION_BIND, "/c")->mapping, 1);
        assert_int_equal(find(p, OPERATION_MOUNT, "/d")->mapping, 2);
        assert_int_equal(find(p, OPERATION_MOUNT, "/d")->prepare, OPERATION_SOURCE_NEEDED);
        assert_int_equal(find(p, OPERATION_BIND, "/e")->mapping, 0);
        assert_int_equal(find(p, OPERATION_BIND, "/e")->prepare, OPERATION_SOURCE_NONE);
        assert_int_equal(p->mappings[0].map.uids.mappings[0].host_id, 1000);
        assert_int_equal(p->mappings[1].map.gids.mappings[0].container_id, 5);

        check_fails(ONE_MOUNT(BIND("/a") ",\"options\":[\"idmap\"]"), "InvalidArgument", "user namespace");
        check_fails(ONE_MOUNT("\"destination\":\"/p\",\"type\":\"proc\"," MAPPINGS("0", "1")), "InvalidArgument",
                    "proc cannot be");
        check_fails(ONE_MOUNT(BIND("/a") ",\"options\":[\"idmap=uids=0-1-1\"]"), "InvalidArgument",
                    "Mount on \"/a\"");
        check_fails(ONE_MOUNT(BIND("/a") ",\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"),
                    "InvalidArgument", "gidMappings");
}

static void test_propagation(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL, *q = NULL, *r = NULL;

        p = plan_of(SPEC(SHARED_MOUNTS, ",\"rootfsPropagation\":\"rshared\""));

        assert_int_equal(p->root_propagation, MS_SLAVE);
        assert_int_equal(p->final_propagation, MS_SHARED | MS_REC);
        assert_int_equal(p->operations[0].propagation, 0);
        /* Only what is to stay a peer of the host's mount is opened by the parent. */
        assert_int_equal(find(p, OPERATION_BIND, "/a")->prepare, OPERATION_SOURCE_PREFERRED);
        assert_int_equal(find(p, OPERATION_BIND, "/b")->prepare, OPERATION_SOURCE_NONE);
        assert_int_equal(find(p, OPERATION_MOUNT, "/c")->propagation, 0);

        q = plan_of(SPEC("", ",\"rootfsPropagation\":\"unbindable\""));
        assert_int_equal(q->operations[0].propagation, MS_PRIVATE);
        assert_int_equal(q->final_propagation, MS_UNBINDABLE);

        /* moored's own containers: nothing leaves. */
        r = plan_of(CONTAINED(SHARED_MOUNTS, ",\"rootfsPropagation\":\"private\""));
        assert_true(r->contained);
        assert_int_equal(r->root_propagation, MS_PRIVATE);
        assert_int_equal(find(r, OPERATION_BIND, "/a")->prepare, OPERATION_SOURCE_NONE);
        check_fails(CONTAINED("", ",\"rootfsPropagation\":\"shared\""), "NotSupported", "rootfsPropagation");
        check_fails(SPEC("", ",\"rootfsPropagation\":\"ro\""), "InvalidArgument", "rootfsPropagation");
}

static void test_remount(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(SPEC(
                        ",\"mounts\":[{\"destination\":\"/a\",\"options\":[\"remount\",\"bind\",\"ro\"]},"
                        "{\"destination\":\"/b\",\"options\":[\"remount\",\"noexec\",\"size=1m\"]}]",
                        ""));
        const Operation *o = find(p, OPERATION_REMOUNT, "/a");

        assert_true(o->bind);
        assert_int_equal(o->attr_set, MOUNT_ATTR_RDONLY);
        o = find(p, OPERATION_REMOUNT, "/b");
        assert_false(o->bind);
        assert_int_equal(o->flags, MS_NOEXEC);
        assert_string_equal(o->data, "size=1m");
}

static void test_tmpfs(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of(SPEC(
                        ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"ro\"]},"
                        "{\"destination\":\"/b\",\"type\":\"tmpfs\",\"options\":[\"mode=700\"]},"
                        "{\"destination\":\"/c\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\",\"rro\"]}]",
                        ",\"maskedPaths\":[\"/x\"]")),
                                   *q = NULL;
        const Operation *o = find(p, OPERATION_MOUNT, "/a");

        /* Writable until all mount points in it have been made. */
        assert_true(o->detached);
        assert_true(o->inherit_mode);
        assert_int_equal(find(p, OPERATION_LATE_READONLY, "/a")->subject,
                         index_of(p, OPERATION_MOUNT, "/a"));
        assert_true(index_of(p, OPERATION_LATE_READONLY, "/a") > index_of(p, OPERATION_DEVICE, "/dev/null"));
        assert_true(index_of(p, OPERATION_LATE_READONLY, "/a") < index_of(p, OPERATION_MASK, "/x"));
        o = find(p, OPERATION_MOUNT, "/b");
        assert_false(o->detached);
        assert_false(o->inherit_mode);
        assert_true(find(p, OPERATION_MOUNT, "/c")->copy_up);
        assert_non_null(find(p, OPERATION_LATE_READONLY, "/c"));

        q = plan_of(CONTAINED(",\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\"}]", ""));
        assert_false(find(q, OPERATION_MOUNT, "/a")->inherit_mode);
}

static void test_default_options(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL;

        p = plan_of(ONE_MOUNT("\"destination\":\"/dev/pts\",\"type\":\"devpts\""));
        assert_non_null(strstr(find(p, OPERATION_MOUNT, "/dev/pts")->data, "ptmxmode=0666"));
        assert_true(find(p, OPERATION_MOUNT, "/dev/pts")->flags & MS_NOSUID);
}

static void test_label(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL, *q = NULL;

        p = plan_of(SPEC(LABELLED_MOUNTS, ",\"mountLabel\":\"u:r:t:s0\""));

        assert_string_equal(p->mount_label, "u:r:t:s0");
        assert_string_equal(p->mount_context_type, "context");
        assert_true(find(p, OPERATION_MOUNT, "/a")->label);
        assert_false(find(p, OPERATION_MOUNT, "/p")->label);
        assert_true(find(p, OPERATION_MOUNT, "/q")->label_xattr);
        q = plan_of(SPEC(LABELLED_MOUNTS, ""));
        assert_false(find(q, OPERATION_MOUNT, "/a")->label);
        check_fails(SPEC(",\"annotations\":{\"run.oci.mount_context_type\":\"x\"}", ",\"mountLabel\":\"l\""),
                    "InvalidArgument", "mount_context_type");
}

static void test_user_namespace(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL;
        const Operation *o;

        /* clang-format off */
        p = plan_of("{" BASE ",\"mounts\":["
                    "{" BIND("/a") "},"
                    "{" BIND("/b") ",\"options\":[\"idmap\",\"shared\"]},"
                    "{\"destination\":\"/sys\",\"type\":\"sysfs\"}],"
                    "\"linux\":{" NAMESPACES(",{\"type\":\"user\"}") "," MAPPINGS("0", "1000") ","
                    "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\"},{\"path\":\"/dev/y\",\"type\":\"p\"}]}}");
        /* clang-format on */
        assert_true(p->user_namespace);
        assert_int_equal(p->operations[0].prepare, OPERATION_SOURCE_FALLBACK);
        assert_int_equal(find(p, OPERATION_BIND, "/a")->prepare, OPERATION_SOURCE_FALLBACK);
        o = find(p, OPERATION_BIND, "/b");
        assert_int_equal(o->prepare, OPERATION_SOURCE_NEEDED);
        assert_int_equal(p->mappings[o->mapping - 1].map.uids.mappings[0].host_id, 1000);
        assert_string_equal(find(p, OPERATION_MOUNT, "/sys")->fallback, "/sys");
        assert_true(find(p, OPERATION_DEVICE, "/dev/null")->bind);
        assert_int_equal(find(p, OPERATION_DEVICE, "/dev/null")->prepare, OPERATION_SOURCE_NONE);
        assert_int_equal(find(p, OPERATION_DEVICE, "/dev/x")->prepare, OPERATION_SOURCE_FALLBACK);
        assert_false(find(p, OPERATION_DEVICE, "/dev/y")->bind);
}

static void test_added_mounts(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *added = NULL, *root = NULL;
        _cleanup_(plan_freep) Plan *p = NULL, *q = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        const char *text = ONE_MOUNT(BIND("/a")), *on_root = ONE_MOUNT(BIND("/"));
        const char *with = SPEC(",\"mounts\":[{" BIND("/b") "},{\"destination\":\"/t\",\"type\":\"tmpfs\"}]", "");

        assert_int_equal(runtime_spec_parse(text, strlen(text), &s, &e), 0);
        assert_int_equal(runtime_spec_parse(with, strlen(with), &added, &e), 0);
        assert_int_equal(plan_new_mounts(s, added, "/cwd", &p, &e), 0);
        assert_int_equal(p->n_operations, 2);
        /* Nothing is opened by name in the container. */
        assert_int_equal(p->operations[0].prepare, OPERATION_SOURCE_NEEDED);
        assert_true(p->operations[1].detached);

        assert_int_equal(runtime_spec_parse(on_root, strlen(on_root), &root, &e), 0);
        assert_int_equal(plan_new_mounts(s, root, "/cwd", &q, &e), -EINVAL);
}

static void test_without_mount_namespace(void **state) {
        _cleanup_(plan_freep) Plan *p = plan_of("{" BASE "}");

        assert_int_equal(p->root_entry, ROOT_ENTRY_CHROOT);
        assert_string_equal(find(p, OPERATION_ROOT_OPEN, NULL)->source, "/bundle/rootfs");
        check_fails("{" BASE ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\"}]}", "InvalidArgument",
                    "mounts");
        check_fails("{" BASE ",\"linux\":{\"maskedPaths\":[\"/x\"]}}", "InvalidArgument", "maskedPaths");
        check_fails("{" BASE OVERLAY_NAMES "}", "NotSupported", "mount namespace");
}

#define WITH_CGROUPS(top) "{" BASE top ",\"linux\":{" NAMESPACES(",{\"type\":\"cgroup\"}") "}}"

static void test_file_systems(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL, *q = NULL;
        const Operation *o;

        p = plan_of(WITH_CGROUPS(
                        ",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
                        "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"options\":[\"ro\",\"nosuid\"]},"
                        "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"},"
                        "{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
                        "\"options\":[\"size=1m\",\"noexec\",\"mode=700\",\"exec\"]}]"));
        assert_true(find(p, OPERATION_MOUNT, "/proc")->no_symlinks);
        o = find(p, OPERATION_MOUNT, "/sys");
        assert_true(o->no_symlinks);
        assert_int_equal(o->flags, MS_RDONLY | MS_NOSUID);
        assert_string_equal(find(p, OPERATION_MOUNT, "/sys/fs/cgroup")->fstype, "cgroup2");
        o = find(p, OPERATION_MOUNT, "/t");
        assert_int_equal(o->flags, 0);
        assert_string_equal(o->data, "size=1m,mode=700");
        assert_false(o->no_symlinks);

        /* Without a cgroup namespace it is the host's. */
        q = plan_of(ONE_MOUNT("\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\","
                              "\"options\":[\"ro\"]"));
        o = find(q, OPERATION_BIND, "/sys/fs/cgroup");
        assert_string_equal(o->source, "/sys/fs/cgroup");
        assert_int_equal(o->attr_set_all, MOUNT_ATTR_RDONLY);
        check_fails(ONE_MOUNT("\"destination\":\"/c\",\"type\":\"cgroup\",\"options\":[\"nosuch\"]"),
                    "InvalidArgument", "nosuch");
}

static void test_devices(void **state) {
        _cleanup_(plan_freep) Plan *p = NULL, *q = NULL;
        const Operation *o;

        p = plan_of(SPEC("", ",\"devices\":[{\"path\":\"/mnt/\",\"type\":\"b\",\"major\":1,\"minor\":5,"
                             "\"fileMode\":111,\"uid\":10},{\"path\":\"/dev/p\",\"type\":\"p\"}]"));
        o = find(p, OPERATION_DEVICE, "/mnt");
        assert_int_equal(o->mode, S_IFBLK | 0157);
        assert_int_equal(o->uid, 10);
        assert_false(o->optional);
        assert_non_null(find(p, OPERATION_DEVICE, "/dev/p"));
        assert_true(index_of(p, OPERATION_DEVICE, "/mnt") < index_of(p, OPERATION_DEVICE, "/dev/null"));
        assert_true(find(p, OPERATION_DEVICE, "/dev/null")->no_symlinks);
        assert_true(find(p, OPERATION_SYMLINK, "/dev/ptmx")->replace);
        assert_null(find(p, OPERATION_FILE, NULL));

        /* The host's /dev is not filled. */
        q = plan_of(SPEC(",\"mounts\":[{\"destination\":\"/dev/\",\"source\":\"/dev\",\"options\":[\"rbind\"]}]",
                         ",\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\"},"
                         "{\"path\":\"/y\",\"type\":\"c\"}]"));
        assert_null(find(q, OPERATION_DEVICE, "/dev/x"));
        assert_non_null(find(q, OPERATION_DEVICE, "/y"));
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
        check_fails(SYSCTL("kernel.hostname", ",{\"type\":\"uts\"}"), "InvalidArgument", "hostname is");
        check_fails(SYSCTL("kernel.domainname", ""), "InvalidArgument", "uts namespace");
        check_fails("{" BASE ",\"domainname\":\"a\",\"linux\":{" NAMESPACES(
                                    ",{\"type\":\"uts\"}") ",\"sysctl\":{\"kernel.domainname\":\"b\"}}}",
                    "InvalidArgument", "domainname");
        check_fails(SYSCTL("net..kernel", ",{\"type\":\"network\"}"), "InvalidArgument", "name");
}

static void test_refused(void **state) {
        check_fails(SPEC("", ",\"netDevices\":{\"eth0\":{}}"), "InvalidArgument", "linux.netDevices");
        check_fails("{" BASE ",\"hostname\":\"h\",\"linux\":{" NAMESPACES("") "}}", "InvalidArgument",
                    "uts");
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
                cmocka_unit_test(test_idmapped),
                cmocka_unit_test(test_propagation),
                cmocka_unit_test(test_remount),
                cmocka_unit_test(test_tmpfs),
                cmocka_unit_test(test_default_options),
                cmocka_unit_test(test_label),
                cmocka_unit_test(test_user_namespace),
                cmocka_unit_test(test_added_mounts),
                cmocka_unit_test(test_without_mount_namespace),
                cmocka_unit_test(test_file_systems),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_dev),
                cmocka_unit_test(test_sysctl),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_namespace_paths),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
