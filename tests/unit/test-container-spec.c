/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/capability.h"
#include "container/seccomp.h"
#include "container/spec.h"

#define PROFILE TEST_DATA_DIR "/../../src/runtime/seccomp-default.json"
#define OPTIONS(...) ((ContainerOptions){ .stop_timeout_usec = UINT64_MAX, __VA_ARGS__ })
#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })
#define ALL UINT64_MAX

static const ImageConfig image = {
        .platform = { (char *) "linux", (char *) "amd64", NULL },
        .created_usec = UINT64_C(1700000000000000),
        .user = (char *) "web",
        .env = (char *[]){ (char *) "PATH=/x", (char *) "LANG=C", (char *) "broken", (char *) "=y", NULL },
        .entrypoint = (char *[]){ (char *) "/entry", NULL },
        .cmd = (char *[]){ (char *) "one", (char *) "two", NULL },
        .working_dir = (char *) "srv",
        .stop_signal = (char *) "SIGQUIT",
        .exposed_ports = (char *[]){ (char *) "80/tcp", NULL },
        .labels = (char *[]){ (char *) "vendor=x", (char *) "org.moored.rootfs.upper=/etc",
                              (char *) "org.opencontainers.image.os=plan9", NULL },
};

static void assert_args(const ImageConfig *config, ContainerOptions o, const char *want) {
        _cleanup_(container_process_done) ContainerProcess p = {};
        _cleanup_free_ char *got = NULL;

        assert_int_equal(container_process_resolve(config, &o, "id", &p, NULL), 0);
        got = strv_join(p.args, "|");
        assert_string_equal(got, want);
}

static void test_args(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerProcess p = {};
        ImageConfig none = {};

        assert_args(&image, OPTIONS(), "/entry|one|two");
        assert_args(&image, OPTIONS(.command = L("x")), "/entry|x");
        assert_args(&image, OPTIONS(.entrypoint_set = true, .entrypoint = L("sh")), "sh");
        assert_args(&image,
                    OPTIONS(.entrypoint_set = true, .entrypoint = L("sh"), .command = L("-c", "a b")),
                    "sh|-c|a b");
        assert_args(&image, OPTIONS(.entrypoint_set = true, .command = L("x")), "x");
        assert_args(&none, OPTIONS(.command = L("x")), "x");

        assert_int_equal(container_process_resolve(&none, &OPTIONS(), "id", &p, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
        assert_int_equal(container_process_resolve(&image, &OPTIONS(.entrypoint_set = true), "id", &p, NULL),
                         -EINVAL);
        assert_int_equal(container_process_resolve(&none, &OPTIONS(.command = L((char *) "")), "id", &p,
                                                   NULL),
                         -EINVAL);
}

static void test_process(void **state) {
        _cleanup_(container_process_done) ContainerProcess p = {}, q = {}, n = {};
        ImageConfig none = { .stop_signal = (char *) "SIGNONE" };

        assert_int_equal(container_process_resolve(&image, &OPTIONS(.environment = L("LANG=de", "A=")),
                                                   "cafe", &p, NULL),
                         0);
        assert_string_equal(strv_env_get(p.env, "PATH"), "/x");
        assert_string_equal(strv_env_get(p.env, "LANG"), "de");
        assert_string_equal(strv_env_get(p.env, "A"), "");
        assert_string_equal(strv_env_get(p.env, "HOSTNAME"), "cafe");
        assert_int_equal(strv_length(p.env), 4);
        assert_string_equal(p.cwd, "/srv");
        assert_string_equal(p.user, "web");
        assert_string_equal(p.hostname, "cafe");
        assert_int_equal(p.stop_signal, SIGQUIT);

        assert_int_equal(container_process_resolve(&image,
                                                   &OPTIONS(.user = (char *) "0", .hostname = (char *) "h",
                                                            .stop_signal = (char *) "INT",
                                                            .working_directory = (char *) "/w"),
                                                   "cafe", &q, NULL),
                         0);
        assert_string_equal(q.cwd, "/w");
        assert_string_equal(q.user, "0");
        assert_string_equal(strv_env_get(q.env, "HOSTNAME"), "h");
        assert_int_equal(q.stop_signal, SIGINT);

        assert_int_equal(container_process_resolve(&none, &OPTIONS(.command = L("x")), "cafe", &n, NULL), 0);
        assert_non_null(strstr(strv_env_get(n.env, "PATH"), "/usr/sbin:"));
        assert_string_equal(n.cwd, "/");
        assert_null(n.user);
        assert_int_equal(n.stop_signal, SIGTERM);
}

static void test_annotations(void **state) {
        _cleanup_(container_process_done) ContainerProcess p = {};

        assert_int_equal(container_process_resolve(&image,
                                                   &OPTIONS(.labels = L("vendor=y", "org.moored.user=0")),
                                                   "id", &p, NULL),
                         0);
        assert_string_equal(strv_env_get(p.annotations, "vendor"), "y");
        assert_string_equal(strv_env_get(p.annotations, "org.opencontainers.image.os"), "plan9");
        assert_string_equal(strv_env_get(p.annotations, "org.opencontainers.image.architecture"), "amd64");
        assert_string_equal(strv_env_get(p.annotations, "org.opencontainers.image.exposedPorts"), "80/tcp");
        assert_string_equal(strv_env_get(p.annotations, "org.opencontainers.image.stopSignal"), "SIGQUIT");
        /* Nobody but moored speaks to the launcher. */
        STRV_FOREACH(a, p.annotations)
                assert_null(startswith(a, ANNOTATION_PREFIX));
}

static uint64_t caps(char **add, char **drop, uint64_t available) {
        uint64_t mask = 0;

        assert_int_equal(container_capabilities_resolve(&OPTIONS(.cap_add = add, .cap_drop = drop),
                                                        available, &mask, NULL),
                         0);
        return mask;
}

static void test_capabilities(void **state) {
        uint64_t kill = capability_mask_from_string("KILL"),
                 admin = capability_mask_from_string("cap_sys_admin"), mask;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(__builtin_popcountll(capability_default_mask), 14);
        assert_int_equal(capability_mask_from_string("ALL"), (UINT64_C(1) << 41) - 1);
        assert_int_equal(capability_mask_from_string("CAP_"), 0);
        assert_string_equal(capability_to_string(5), "CAP_KILL");
        assert_null(capability_to_string(41));

        assert_true(caps(NULL, NULL, ALL) == capability_default_mask);
        assert_true(caps(L("SYS_ADMIN"), NULL, ALL) == (capability_default_mask | admin));
        assert_true(caps(NULL, L("KILL"), ALL) == (capability_default_mask & ~kill));
        assert_true(caps(L("KILL"), L("ALL"), ALL) == kill);
        assert_true(caps(L("ALL"), L("KILL"), ALL) == (((UINT64_C(1) << 41) - 1) & ~kill));
        assert_true(caps(L("ALL"), NULL, admin) == admin);
        assert_true(caps(NULL, NULL, kill) == kill);
        assert_int_equal(
                        container_capabilities_resolve(&OPTIONS(.cap_add = L("SYS_ADMIN")), kill, &mask, &e),
                        -EINVAL);
        assert_non_null(strstr(error_message(&e), "SYS_ADMIN"));
}

/* -- config.json -------------------------------------------------------------------------------- */

static json_t *build(ContainerOptions o, const char *seccomp) {
        SnapshotMount mount = { (char *) "/snap", L("2/fs", "1/fs"), (char *) "3/fs", (char *) "3/work" };
        _cleanup_(container_process_done) ContainerProcess p = {};
        _cleanup_free_ char *text = NULL;
        SpecInput in = { &o, &p, &mount, "/run/moored/containers/ns/id", .network_bundle = "/run/moored/containers/ns/other",
                         .network = "ns/id", .keep_network = o.restart, .capabilities = capability_default_mask, .seccomp = seccomp,
                         .stop_timeout_usec = 7000000 };
        json_t *j;

        assert_int_equal(container_process_resolve(&image, &o, "id", &p, NULL), 0);
        assert_int_equal(container_spec_build(&in, &text, NULL), 0);
        assert_int_equal(json_parse(text, strlen(text), BUNDLE_CONFIG_SIZE_MAX, &j, NULL), 0);
        return j;
}

static const char *annotation(json_t *j, const char *name) {
        return json_string_value(json_object_get(json_object_get(j, "annotations"), name));
}

static json_t *at(json_t *j, const char *path) {
        _cleanup_strv_free_ char **parts = strv_split(path, "/");

        STRV_FOREACH(p, parts)
                j = json_object_get(j, p);
        return j;
}

static json_t *find_mount(json_t *j, const char *destination, size_t *ret_index) {
        json_t *m, *found = NULL;
        size_t i;

        json_array_foreach (at(j, "mounts"), i, m)
                if (streq(json_get_string(m, "destination"), destination)) {
                        assert_null(found);
                        found = m;
                        if (ret_index)
                                *ret_index = i;
                }
        return found;
}

static bool has_option(json_t *m, const char *option) {
        json_t *o;
        size_t i;

        json_array_foreach (json_object_get(m, "options"), i, o)
                if (streq(json_string_value(o), option))
                        return true;
        return false;
}

static bool has_namespace(json_t *j, const char *type) {
        json_t *n;
        size_t i;

        json_array_foreach (at(j, "linux/namespaces"), i, n)
                if (streq(json_get_string(n, "type"), type))
                        return true;
        return false;
}

static void test_spec(void **state) {
        _cleanup_json_ json_t *j =
                        build(OPTIONS(.groups = L("a", "7"), .labels = L("org.moored.groups=0")), NULL);
        json_t *annotations = json_object_get(j, "annotations");

        assert_string_equal(json_get_string(j, "ociVersion"), "1.2.0");
        assert_string_equal(json_string_value(json_array_get(at(j, "process/args"), 2)), "two");
        assert_true(json_is_true(at(j, "process/noNewPrivileges")));
        assert_int_equal(json_array_size(at(j, "process/capabilities/bounding")), 14);
        assert_int_equal(json_array_size(at(j, "process/capabilities/effective")), 14);
        assert_null(at(j, "process/capabilities/inheritable"));
        assert_null(at(j, "process/capabilities/ambient"));
        assert_true(json_is_false(at(j, "root/readonly")));
        assert_null(at(j, "linux/seccomp"));
        assert_true(has_namespace(j, "network") && has_namespace(j, "pid") && has_namespace(j, "mount") &&
                    has_namespace(j, "cgroup"));
        assert_string_equal(json_get_string(annotations, "org.moored.rootfs.dir"), "/snap");
        assert_string_equal(json_get_string(annotations, "org.moored.rootfs.lower"), "2/fs:1/fs");
        assert_string_equal(json_get_string(annotations, "org.moored.rootfs.upper"), "3/fs");
        assert_string_equal(json_get_string(annotations, "org.moored.rootfs.work"), "3/work");
        assert_string_equal(json_get_string(annotations, "org.moored.user"), "web");
        assert_string_equal(json_get_string(annotations, "org.moored.groups"), "a,7");
        assert_string_equal(json_get_string(annotations, "vendor"), "x");
        assert_string_equal(json_get_string(find_mount(j, "/etc/hosts", NULL), "source"),
                            "/run/moored/containers/ns/other/hosts");
        assert_string_equal(json_get_string(find_mount(j, "/etc/hostname", NULL), "source"),
                            "/run/moored/containers/ns/id/hostname");
        assert_string_equal(json_get_string(annotations, "org.moored.network"), "ns/id");
        assert_true(has_option(find_mount(j, "/sys", NULL), "ro"));
}

static void test_stop(void **state) {
        _cleanup_json_ json_t *j = build(OPTIONS(.unit = (char *) "moored@id.service", .stop_signal = (char *) "USR1"), NULL),
                               *transient = build(OPTIONS(), NULL);

        assert_string_equal(annotation(j, "org.moored.stop"), "10 7000000");
        assert_null(annotation(transient, "org.moored.stop"));
}

static void test_spec_host(void **state) {
        _cleanup_json_ json_t *j =
                        build(OPTIONS(.networks = L("host"), .read_only = true, .user = (char *) "5:6"),
                              NULL);

        assert_false(has_namespace(j, "network"));
        assert_true(has_namespace(j, "uts"));
        assert_true(json_is_true(at(j, "root/readonly")));
        assert_int_equal(json_integer_value(at(j, "process/user/uid")), 5);
        assert_int_equal(json_integer_value(at(j, "process/user/gid")), 6);
}

static void test_spec_network(void **state) {
        _cleanup_json_ json_t *path = build(OPTIONS(.networks = L("ns:/run/netns/x")), NULL),
                               *named = build(OPTIONS(.networks = L("a", "b")), NULL),
                               *shared = build(OPTIONS(.networks = L("container:c")), NULL);
        json_t *n;
        size_t i;

        assert_true(has_namespace(named, "network") && has_namespace(shared, "network"));
        json_array_foreach(at(path, "linux/namespaces"), i, n)
                if (streq(json_get_string(n, "type"), "network"))
                        break;
        assert_string_equal(json_get_string(n, "path"), "/run/netns/x");
}

static void test_spec_network_kept(void **state) {
        _cleanup_json_ json_t *once = build(OPTIONS(), NULL), *often = build(OPTIONS(.restart = (char *) "always"), NULL);

        assert_null(annotation(once, "org.moored.network.keep"));
        assert_non_null(annotation(often, "org.moored.network.keep"));
}

static void test_spec_mounts(void **state) {
        ContainerMount m[] = {
                { (char *) "bind", (char *) "/x", (char *) "/data/deep", L("ro") },
                { (char *) "tmpfs", (char *) "", (char *) "/data", L("size=1m", "exec") },
                { (char *) "bind", (char *) "/y", (char *) "/dev/shm", L("bind", "slave") },
                { (char *) "bind", (char *) "/z", (char *) "/etc/hosts", NULL },
        };
        _cleanup_json_ json_t *j = build(OPTIONS(.mounts = m, .n_mounts = ELEMENTSOF(m)), NULL);
        json_t *deep, *shm;
        size_t i_data, i_deep;

        find_mount(j, "/data", &i_data);
        deep = find_mount(j, "/data/deep", &i_deep);
        assert_true(i_data < i_deep);
        assert_true(has_option(deep, "ro") && has_option(deep, "rbind") && has_option(deep, "rprivate"));
        shm = find_mount(j, "/dev/shm", NULL);
        assert_string_equal(json_get_string(shm, "type"), "bind");
        assert_true(has_option(shm, "slave") && !has_option(shm, "rprivate") && !has_option(shm, "rbind"));
        assert_string_equal(json_get_string(find_mount(j, "/etc/hosts", NULL), "source"), "/z");
        assert_true(has_option(find_mount(j, "/data", NULL), "nosuid"));
        assert_non_null(find_mount(j, "/etc/resolv.conf", NULL));
}

static void test_spec_etc(void **state) {
        ContainerMount m = { (char *) "bind", (char *) "/x", (char *) "/etc", NULL };
        _cleanup_json_ json_t *j = build(OPTIONS(.mounts = &m, .n_mounts = 1), NULL);

        assert_null(find_mount(j, "/etc/hosts", NULL));
}

/* -- seccomp ------------------------------------------------------------------------------------ */

static bool allows(json_t *profile, const char *name) {
        json_t *rule, *n;
        size_t i, k;

        json_array_foreach (json_object_get(profile, "syscalls"), i, rule)
                if (streq(json_get_string(rule, "action"), "SCMP_ACT_ALLOW"))
                        json_array_foreach (json_object_get(rule, "names"), k, n)
                                if (streq(json_string_value(n), name))
                                        return true;
        return false;
}

static void test_seccomp(void **state) {
        _cleanup_(seccomp_profile_freep) SeccompProfile *p = NULL;
        _cleanup_json_ json_t *usual = NULL, *admin = NULL, *j = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        json_t *rule;
        size_t i;

        if (seccomp_profile_load(PROFILE, &p, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(seccomp_profile_resolve(p, capability_default_mask, &usual, &e), 0);
        assert_int_equal(seccomp_profile_resolve(p,
                                                 capability_default_mask |
                                                                 capability_mask_from_string("SYS_ADMIN"),
                                                 &admin, &e),
                         0);

        assert_true(allows(usual, "read") && allows(usual, "execve"));
        assert_false(allows(usual, "mount"));
        assert_true(allows(admin, "mount"));
        json_array_foreach (json_object_get(usual, "syscalls"), i, rule) {
                assert_null(json_object_get(rule, "includes"));
                assert_null(json_object_get(rule, "excludes"));
        }

        /* The specification only names it. */
        j = build(OPTIONS(), "0123");
        assert_null(at(j, "linux/seccomp"));
        assert_string_equal(json_get_string(at(j, "annotations"), "org.moored.seccomp"), "0123");
}

static int resolve_text(const char *text, uint64_t capabilities) {
        _cleanup_(seccomp_profile_freep) SeccompProfile *p = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        char path[] = "/tmp/test-seccomp-XXXXXX";
        _cleanup_json_ json_t *j = NULL;
        int fd, r;

        fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        close(fd);
        r = seccomp_profile_load(path, &p, &e);
        unlink(path);
        if (r < 0)
                return r;
        r = seccomp_profile_resolve(p, capabilities, &j, &e);
        return r < 0 ? r : (int) json_array_size(json_object_get(j, "syscalls"));
}

static void test_seccomp_conditions(void **state) {
        uint64_t kill = capability_mask_from_string("KILL"), chown = capability_mask_from_string("CHOWN");
        static const char both[] =
                        "{\"syscalls\":[{\"names\":[\"a\"],\"includes\":{\"caps\":[\"CAP_KILL\",\"CAP_CHOWN\"]}}]}";
        static const char neither[] =
                        "{\"syscalls\":[{\"names\":[\"a\"],\"excludes\":{\"caps\":[\"CAP_KILL\",\"CAP_CHOWN\"]}}]}";

        assert_int_equal(resolve_text(both, kill), 0);
        assert_int_equal(resolve_text(both, kill | chown), 1);
        assert_int_equal(resolve_text(neither, kill), 0);
        assert_int_equal(resolve_text(neither, 0), 1);
        assert_int_equal(resolve_text("{\"syscalls\":[{\"includes\":{\"arches\":[\"amd64\"]}}]}", 0),
                         -EBADMSG);
        assert_int_equal(resolve_text("{\"syscalls\":[{\"includes\":{\"caps\":[\"CAP_FLY\"]}}]}", 0),
                         -EBADMSG);
        assert_int_equal(resolve_text("{\"syscalls\":[3]}", 0), -EBADMSG);
        assert_int_equal(resolve_text("{\"syscalls\":{}}", 0), -EBADMSG);
        assert_int_equal(resolve_text("{", 0), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_args),        cmocka_unit_test(test_process),
                cmocka_unit_test(test_annotations), cmocka_unit_test(test_capabilities),
                cmocka_unit_test(test_stop),        cmocka_unit_test(test_spec),        cmocka_unit_test(test_spec_host),
                cmocka_unit_test(test_spec_network),
                cmocka_unit_test(test_spec_network_kept),
                cmocka_unit_test(test_spec_mounts), cmocka_unit_test(test_spec_etc),
                cmocka_unit_test(test_seccomp),     cmocka_unit_test(test_seccomp_conditions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
