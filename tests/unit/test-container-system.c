/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/spec.h"
#include "container/system.h"

#define OPTIONS(...) ((ContainerOptions){ .stop_timeout_usec = UINT64_MAX, __VA_ARGS__ })
#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })

static char always[] = "always", never[] = "false", by_command[] = "true";

static void test_detection(void **state) {
        assert_true(command_is_init(L("/sbin/init")));
        assert_true(command_is_init(L("/usr/sbin/init", "--log-level=debug")));
        assert_true(command_is_init(L("/usr/local/sbin/init")));
        assert_true(command_is_init(L("/lib/systemd/systemd")));
        assert_true(command_is_init(L("systemd")));
        assert_false(command_is_init(L("init")));
        assert_false(command_is_init(L("/usr/bin/systemd-run")));
        assert_false(command_is_init(L("sh", "-c", "/sbin/init")));
        assert_false(command_is_init(NULL));

        assert_true(container_is_system(&OPTIONS(), L("/sbin/init")));
        assert_true(container_is_system(&OPTIONS(.systemd = by_command), L("/sbin/init")));
        assert_false(container_is_system(&OPTIONS(.systemd = never), L("/sbin/init")));
        assert_false(container_is_system(&OPTIONS(), L("/bin/sh")));
        assert_true(container_is_system(&OPTIONS(.systemd = always), L("/bin/sh")));
        assert_true(container_is_system(&OPTIONS(.machine = true), L("/bin/sh")));
        assert_false(container_is_system(&OPTIONS(.machine = true, .systemd = never), L("/bin/sh")));
        assert_true(container_is_systemd(&OPTIONS(.machine = true), L("/sbin/init")));
        assert_false(container_is_systemd(&OPTIONS(.machine = true), L("/bin/sh")));
}

static void check_name(const char *ns, const char *id, const char *want) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *name = NULL;
        int r;

        r = container_machine_name(ns, id, &name, &e);
        if (want) {
                assert_int_equal(r, 0);
                assert_string_equal(name, want);
        } else {
                assert_int_equal(r, -EINVAL);
                assert_string_equal(error_name(&e), "InvalidArgument");
        }
}

static void test_name(void **state) {
        char longest[65];

        check_name("default", "web", "web");
        check_name("default", "a_b.c-d", "a_b.c-d");
        check_name("prod", "web", "web.prod");
        check_name("default", "a..b", NULL);
        check_name("default", "a-", NULL);
        check_name("default", "a.", NULL);
        check_name("default", "a-.b", NULL);
        check_name("default", "a.-b", NULL);
        memset(longest, 'x', 64);
        longest[64] = 0;
        check_name("default", longest, longest);
        check_name("n", longest, NULL);
}

static void resolve(ContainerOptions o, const char *stop_signal, ContainerProcess *ret) {
        const ImageConfig image = { .cmd = L("/sbin/init"),
                                    .env = L("container=docker", "A=1"),
                                    .stop_signal = (char *) stop_signal };

        assert_int_equal(container_process_resolve(&image, &o, "id", ret, NULL), 0);
}

static void test_process(void **state) {
        _cleanup_(container_process_done) ContainerProcess p = {}, q = {}, given = {}, plain = {};
        const char *uuid;

        resolve(OPTIONS(), NULL, &p);
        assert_int_equal(p.stop_signal, SIGRTMIN + 3);
        assert_string_equal(strv_env_get(p.env, "container"), "moored");
        uuid = strv_env_get(p.env, "container_uuid");
        assert_int_equal(strlen(uuid), 36);
        assert_int_equal(uuid[14], '4');
        assert_true(strchr("89ab", uuid[19]) && uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' &&
                    uuid[23] == '-');

        resolve(OPTIONS(), "SIGQUIT", &q);
        assert_int_equal(q.stop_signal, SIGQUIT);
        assert_string_not_equal(strv_env_get(q.env, "container_uuid"), uuid);

        resolve(OPTIONS(.environment = L("container=lxc", "container_uuid=x"),
                        .stop_signal = (char *) "INT"),
                NULL, &given);
        assert_int_equal(given.stop_signal, SIGINT);
        assert_string_equal(strv_env_get(given.env, "container"), "lxc");
        assert_string_equal(strv_env_get(given.env, "container_uuid"), "x");

        resolve(OPTIONS(.systemd = never), NULL, &plain);
        assert_int_equal(plain.stop_signal, SIGTERM);
        assert_string_equal(strv_env_get(plain.env, "container"), "docker");
        assert_null(strv_env_get(plain.env, "container_uuid"));
}

static json_t *build(ContainerOptions o, const char *machine) {
        _cleanup_(container_process_done) ContainerProcess p = {};
        const SnapshotMount mount = { .dir = (char *) "/snap",
                                      .lower = L("1/fs"),
                                      .upper = (char *) "2/fs",
                                      .work = (char *) "2/work" };
        _cleanup_free_ char *text = NULL;
        json_t *j;

        resolve(o, NULL, &p);
        const SpecInput in = {
                .options = &o, .process = &p, .mount = &mount, .bundle = "/b", .machine = machine
        };
        assert_int_equal(container_spec_build(&in, &text, NULL), 0);
        assert_int_equal(json_parse(text, strlen(text), 1 << 20, &j, NULL), 0);
        return j;
}

static json_t *find_mount(json_t *j, const char *destination, size_t *ret) {
        json_t *m;
        size_t i;

        json_array_foreach (json_object_get(j, "mounts"), i, m)
                if (streq(json_get_string(m, "destination"), destination)) {
                        if (ret)
                                *ret = i;
                        return m;
                }
        return NULL;
}

static bool has_string(json_t *array, const char *wanted) {
        json_t *v;
        size_t i;

        json_array_foreach (array, i, v)
                if (streq(json_string_value(v), wanted))
                        return true;
        return false;
}

static void test_spec(void **state) {
        ContainerMount run = { (char *) "bind", (char *) "/x", (char *) "/run", NULL };
        _cleanup_json_ json_t *j = build(OPTIONS(), "web"),
                              *forced = build(OPTIONS(.systemd = always), NULL),
                              *plain = build(OPTIONS(.systemd = never), NULL),
                              *mounted = build(OPTIONS(.mounts = &run, .n_mounts = 1), NULL);
        json_t *annotations = json_object_get(j, "annotations");
        size_t i_run, i_host;

        assert_false(has_string(json_object_get(find_mount(j, "/sys/fs/cgroup", NULL), "options"), "ro"));
        assert_non_null(find_mount(j, "/run/lock", NULL));
        assert_non_null(find_mount(j, "/tmp", NULL));
        assert_string_equal(json_get_string(find_mount(j, "/run", NULL), "type"), "tmpfs");
        assert_string_equal(json_get_string(find_mount(j, "/run/host", NULL), "source"), "/b/host");
        assert_true(has_string(json_object_get(find_mount(j, "/run/host", NULL), "options"), "ro"));
        assert_true(has_string(json_object_get(json_object_get(j, "process"), "env"),
                               "NOTIFY_SOCKET=/run/host/notify"));
        assert_string_equal(json_get_string(annotations, "org.moored.machine"), "web");
        assert_string_equal(json_get_string(annotations, "org.moored.system"), "detect");
        assert_string_equal(json_get_string(json_object_get(forced, "annotations"), "org.moored.system"),
                            "systemd");
        assert_null(json_object_get(json_object_get(forced, "annotations"), "org.moored.machine"));

        assert_true(has_string(json_object_get(find_mount(plain, "/sys/fs/cgroup", NULL), "options"), "ro"));
        assert_null(find_mount(plain, "/run", NULL));
        assert_null(find_mount(plain, "/run/host", NULL));
        assert_null(json_object_get(json_object_get(plain, "annotations"), "org.moored.system"));

        /* The user's comes first, and is not hidden. */
        assert_string_equal(json_get_string(find_mount(mounted, "/run", &i_run), "source"), "/x");
        assert_non_null(find_mount(mounted, "/run/host", &i_host));
        assert_true(i_run < i_host);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_detection),
                cmocka_unit_test(test_name),
                cmocka_unit_test(test_process),
                cmocka_unit_test(test_spec),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
