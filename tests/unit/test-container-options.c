/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/options.h"

#define OPTIONS(...) ((ContainerOptions){ .stop_timeout_usec = UINT64_MAX, __VA_ARGS__ })
#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })

static void check_valid(ContainerOptions o) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (container_options_validate(&o, &e) < 0)
                fail_msg("%s", error_message(&e));
}

/* Refused, with a sentence that begins with the option's name. */
static void check_invalid(ContainerOptions o, const char *option) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(container_options_validate(&o, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
        if (!startswith(error_message(&e), option))
                fail_msg("\"%s\" does not begin with %s", error_message(&e), option);
}

static void test_text(void **state) {
        check_valid(OPTIONS());
        check_valid(OPTIONS(.command = L("sh", "-c", "echo a\necho b"),
                            .environment = L("A=x\ny", "B=", "_c.d=1")));
        check_invalid(OPTIONS(.environment = L("A")), "Environment");
        check_invalid(OPTIONS(.environment = L("=b")), "Environment");
        check_invalid(OPTIONS(.environment = L("A\nB=c")), "Environment");
        check_invalid(OPTIONS(.labels = L("nothing")), "Labels");
        check_invalid(OPTIONS(.properties = L("Nice=1\nUser=x")), "Properties");
        check_invalid(OPTIONS(.properties = L("Nice")), "Properties");
        check_invalid(OPTIONS(.properties = L("Ni ce=1")), "Properties");
        check_valid(OPTIONS(.properties = L("MemoryMax=10M"), .labels = L("a.b/c=d=e")));
}

static void test_names(void **state) {
        char host[CONTAINER_HOSTNAME_MAX + 2] = "", user[CONTAINER_USER_MAX + 2] = "";

        check_valid(OPTIONS(.user = (char *) "root", .groups = L("wheel", "5")));
        check_valid(OPTIONS(.user = (char *) "1000:1000"));
        check_invalid(OPTIONS(.user = (char *) ":1"), "User");
        check_invalid(OPTIONS(.user = (char *) "a:"), "User");
        check_invalid(OPTIONS(.user = (char *) "a:b:c"), "User");
        check_invalid(OPTIONS(.user = (char *) "../x"), "User");
        check_invalid(OPTIONS(.groups = L("a,b")), "Groups");
        check_invalid(OPTIONS(.groups = L("")), "Groups");
        memset(user, 'u', CONTAINER_USER_MAX);
        check_valid(OPTIONS(.user = user));
        memset(user, 'u', CONTAINER_USER_MAX + 1);
        check_invalid(OPTIONS(.user = user), "User");

        check_valid(OPTIONS(.hostname = (char *) "web_1.example"));
        check_invalid(OPTIONS(.hostname = (char *) ""), "Hostname");
        check_invalid(OPTIONS(.hostname = (char *) "-x"), "Hostname");
        check_invalid(OPTIONS(.hostname = (char *) "a b"), "Hostname");
        memset(host, 'h', CONTAINER_HOSTNAME_MAX);
        check_valid(OPTIONS(.hostname = host));
        memset(host, 'h', CONTAINER_HOSTNAME_MAX + 1);
        check_invalid(OPTIONS(.hostname = host), "Hostname");

        check_valid(OPTIONS(.working_directory = (char *) "/a/../b"));
        check_invalid(OPTIONS(.working_directory = (char *) "a"), "WorkingDirectory");
        check_valid(OPTIONS(.log = (char *) "journal"));
        check_valid(OPTIONS(.log = (char *) "none"));
        check_valid(OPTIONS(.log = (char *) "file:/var/log/x y%.log"));
        check_invalid(OPTIONS(.log = (char *) ""), "Log");
        check_invalid(OPTIONS(.log = (char *) "fd"), "Log");
        check_invalid(OPTIONS(.log = (char *) "file:"), "Log");
        check_invalid(OPTIONS(.log = (char *) "file:/"), "Log");
        check_invalid(OPTIONS(.log = (char *) "file:log"), "Log");
        check_invalid(OPTIONS(.log = (char *) "file:/a/../b"), "Log");
        check_invalid(OPTIONS(.log = (char *) "file:/a\nb"), "Log");
        check_valid(OPTIONS(.stop_signal = (char *) "RTMIN+3"));
        check_invalid(OPTIONS(.stop_signal = (char *) "NOSUCH"), "StopSignal");
        check_valid(OPTIONS(.systemd = (char *) "always"));
        check_invalid(OPTIONS(.systemd = (char *) "yes"), "Systemd");
        check_valid(OPTIONS(.cap_add = L("net_admin", "CAP_SYS_PTRACE"), .cap_drop = L("ALL")));
        check_invalid(OPTIONS(.cap_add = L("CAP_FLY")), "CapabilitiesAdd");
        check_invalid(OPTIONS(.cap_drop = L("")), "CapabilitiesDrop");
}

static void check_mount(const char *type, const char *source, const char *destination, char **options,
                        bool valid) {
        ContainerMount m = { (char *) type, (char *) source, (char *) destination, options };
        ContainerOptions o = OPTIONS(.mounts = &m, .n_mounts = 1);

        if (valid)
                check_valid(o);
        else
                check_invalid(o, "Mounts");
}

static void test_mounts(void **state) {
        ContainerMount twice[] = {
                { (char *) "tmpfs", (char *) "", (char *) "/a", NULL },
                { (char *) "bind", (char *) "/", (char *) "/a", NULL },
        };

        check_mount("bind", "/etc", "/mnt", L("ro", "rslave", "nosuid"), true);
        check_mount("bind", "/", "/host", NULL, true);
        check_mount("tmpfs", "", "/tmp", L("size=64m", "mode=1777", "uid=5", "nr_inodes=10", "exec"), true);
        check_mount("tmpfs", "", "/tmp", L("size=50%"), true);
        check_mount("nfs", "x:/", "/mnt", NULL, false);
        check_mount(NULL, NULL, NULL, NULL, false);
        check_mount("bind", "etc", "/mnt", NULL, false);
        check_mount("bind", "/a/../etc", "/mnt", NULL, false);
        check_mount("bind", "/etc\n", "/mnt", NULL, false);
        check_mount("bind", "/etc", "/", NULL, false);
        check_mount("bind", "/etc", "/a/../../b", NULL, false);
        check_mount("bind", "/etc", "mnt", NULL, false);
        check_mount("bind", "/etc", "/proc", NULL, false);
        check_mount("bind", "/etc", "/proc/sys", NULL, false);
        check_mount("bind", "/etc", "/process", NULL, true);
        check_mount("bind", "/etc", "/mnt", L("size=1"), false);
        check_mount("bind", "/etc", "/mnt", L("upperdir=/x"), false);
        check_mount("tmpfs", "", "/tmp", L("size=%"), false);
        check_mount("tmpfs", "", "/tmp", L("mode=9"), false);
        check_mount("tmpfs", "", "/tmp", L("rbind"), false);
        check_invalid(OPTIONS(.mounts = twice, .n_mounts = 2), "Mounts");
}

static void test_limits(void **state) {
        _cleanup_free_ char *big = calloc(1, CONTAINER_ARGS_SIZE_MAX + 1);
        _cleanup_strv_free_ char **many = NULL;

        /* With its NUL it just fits, or does not. */
        memset(big, 'x', CONTAINER_ARGS_SIZE_MAX - 1);
        check_valid(OPTIONS(.command = L(big)));
        big[CONTAINER_ARGS_SIZE_MAX - 1] = 'x';
        check_invalid(OPTIONS(.command = L(big)), "Command");

        for (unsigned i = 0; i < CONTAINER_ARGS_MAX; i++)
                assert_int_equal(strv_extend(&many, "a=b"), 0);
        check_valid(OPTIONS(.command = many, .environment = many, .labels = many));
        assert_int_equal(strv_extend(&many, "a=b"), 0);
        check_invalid(OPTIONS(.environment = many), "Environment");
        check_invalid(OPTIONS(.labels = many), "Labels");
}

static void test_sources(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerMount m[] = {
                { (char *) "tmpfs", (char *) "", (char *) "/a", NULL },
                { (char *) "bind", (char *) "/", (char *) "/b", NULL },
                { (char *) "bind", (char *) "/no/such/place", (char *) "/c", NULL },
        };

        assert_int_equal(container_options_check_sources(&OPTIONS(.mounts = m, .n_mounts = 2), NULL), 0);
        assert_int_equal(container_options_check_sources(&OPTIONS(.mounts = m, .n_mounts = 3), &e), -ENOENT);
        assert_string_equal(error_name(&e), "NoSuchSource");
        assert_non_null(strstr(error_message(&e), "/no/such/place"));
}

static void assert_strv_equal(char *const *a, char *const *b) {
        assert_int_equal(strv_length(a), strv_length(b));
        for (size_t i = 0; i < strv_length(a); i++)
                assert_string_equal(a[i], b[i]);
}

static void test_json(void **state) {
        _cleanup_(container_options_done) ContainerOptions got = {};
        _cleanup_(container_process_done) ContainerProcess got_process = {};
        _cleanup_free_ char *text = NULL, *again = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerMount m[] = {
                { (char *) "bind", (char *) "/src", (char *) "/dst", L("ro", "rslave") },
                { (char *) "tmpfs", NULL, (char *) "/t", NULL },
        };
        ContainerOptions o = OPTIONS(.command = L("sh", "-c", "a\nb"), .entrypoint_set = true,
                                     .environment = L("A=\"ä\""), .working_directory = (char *) "/w",
                                     .user = (char *) "u:g", .groups = L("g1", "g2"),
                                     .hostname = (char *) "h", .mounts = m, .n_mounts = 2, .read_only = true,
                                     .networks = L("a:ip=10.1.2.3", "b"), .publish = L("8080:80"), .publish_all = true,
                                     .expose = L("90/udp"), .dns = L("192.0.2.1"), .dns_search = L("."),
                                     .dns_options = L("ndots:2"), .hosts = L("db:192.0.2.2"), .labels = L("k=v"),
                                     .properties = L("Nice=1"), .cap_add = L("KILL"), .cap_drop = L("ALL"),
                                     .privileged_seccomp = true, .stop_signal = (char *) "INT",
                                     .auto_remove = true, .platform = (char *) "linux/arm64",
                                     .log = (char *) "file:/log",
                                     .machine = true, .systemd = (char *) "always");
        ContainerProcess p = { L("sh"), L("PATH=/bin"), (char *) "/w", (char *) "u:g", (char *) "h",
                               2,       L("a=b") };

        o.stop_timeout_usec = 0;
        assert_int_equal(container_options_to_json(&o, &p, &text, &e), 0);
        assert_int_equal(container_options_from_json(text, &got, &got_process, &e), 0);
        assert_strv_equal(got.command, o.command);
        assert_true(got.entrypoint_set);
        assert_int_equal(strv_length(got.entrypoint), 0);
        assert_int_equal(got.n_mounts, 2);
        assert_string_equal(got.mounts[0].source, "/src");
        assert_strv_equal(got.mounts[0].options, m[0].options);
        assert_string_equal(got.mounts[1].type, "tmpfs");
        assert_true(got.read_only && got.privileged_seccomp && got.auto_remove && got.machine);
        assert_string_equal(got.systemd, "always");
        assert_strv_equal(got.networks, o.networks);
        assert_strv_equal(got.publish, o.publish);
        assert_true(got.publish_all);
        assert_strv_equal(got.hosts, o.hosts);
        assert_int_equal(got.stop_timeout_usec, 0);
        assert_string_equal(got.log, "file:/log");
        assert_int_equal(got_process.stop_signal, 2);
        assert_strv_equal(got_process.annotations, p.annotations);

        /* What was read is written as it was. */
        assert_int_equal(container_options_to_json(&got, &got_process, &again, &e), 0);
        assert_string_equal(text, again);
}

static void test_json_defaults(void **state) {
        _cleanup_(container_options_done) ContainerOptions got = {};
        _cleanup_(container_process_done) ContainerProcess got_process = {};
        ContainerProcess p = { L("true"), NULL, (char *) "/", NULL, (char *) "h", 15, NULL };
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(container_options_to_json(&OPTIONS(), &p, &text, &e), 0);
        assert_int_equal(container_options_from_json(text, &got, &got_process, &e), 0);
        assert_false(got.entrypoint_set);
        assert_true(got.stop_timeout_usec == UINT64_MAX);
        assert_null(got.user);
        assert_null(got_process.user);
}

static void test_json_damaged(void **state) {
        static const char *const damaged[] = {
                "",
                "[]",
                "{}",
                "{\"options\":{}}",
                "{\"options\":{},\"process\":{}}",
                "{\"options\":{\"mounts\":3},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"hostname\":\"h\",\"stopSignal\":15}}",
                "{\"options\":{\"mounts\":[{}]},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"hostname\":\"h\",\"stopSignal\":15}}",
                "{\"options\":{},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"hostname\":\"h\",\"stopSignal\":0}}",
                "{\"options\":{},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"hostname\":\"h\",\"stopSignal\":4294967311}}",
                "{\"options\":{\"command\":[1]},\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"hostname\":\"h\",\"stopSignal\":15}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(damaged); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                ContainerOptions o = {};
                ContainerProcess p = {};

                assert_true(container_options_from_json(damaged[i], &o, &p, &e) < 0);
                assert_null(o.mounts);
                assert_null(p.args);
        }
}

static void test_get_property(void **state) {
        ContainerOptions o = OPTIONS(.properties = L("Slice=a.slice", "SliceX=b", "Slice=c.slice"));

        assert_string_equal(container_options_get_property(&o, "Slice"), "c.slice");
        assert_null(container_options_get_property(&o, "Sli"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),          cmocka_unit_test(test_names),
                cmocka_unit_test(test_mounts),        cmocka_unit_test(test_limits),
                cmocka_unit_test(test_sources),       cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_defaults), cmocka_unit_test(test_json_damaged),
                cmocka_unit_test(test_get_property),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
