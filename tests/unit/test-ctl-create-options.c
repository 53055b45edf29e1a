/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/strv.h"
#include "ctl/create-options.h"

typedef int (*ParseFunc)(const char *value, const char *cwd, MountArg *ret, Error *reterr_error);

static int tmpfs(const char *value, const char *cwd, MountArg *ret, Error *reterr_error) {
        return parse_tmpfs(value, ret, reterr_error);
}

static void expect_mount(ParseFunc f, const char *value, const char *type, const char *source,
                         const char *destination, const char *options) {
        _cleanup_(mount_arg_done) MountArg m = {};
        _cleanup_free_ char *joined = NULL;

        assert_int_equal(f(value, "/base", &m, NULL), 0);
        assert_string_equal(m.type, type);
        assert_string_equal(m.source, source);
        assert_string_equal(m.destination, destination);
        joined = strv_join(m.options, ",");
        assert_string_equal(joined, options);
}

static void expect_no_mount(ParseFunc f, const char *value, const char *part) {
        _cleanup_error_ Error e = ERROR_NULL;
        MountArg m = {};

        assert_int_equal(f(value, "/base", &m, &e), -EINVAL);
        if (!strstr(error_message(&e), part))
                fail_msg("%s: '%s' lacks '%s'", value, error_message(&e), part);
        assert_null(m.type);
}

static void test_volume(void **state) {
        expect_mount(parse_volume, "/a:/b", "bind", "/a", "/b", "");
        expect_mount(parse_volume, "/a:/b:ro", "bind", "/a", "/b", "ro");
        expect_mount(parse_volume, "/a:/b:ro,rslave", "bind", "/a", "/b", "ro,rslave");
        expect_mount(parse_volume, "./x:/b", "bind", "/base/x", "/b", "");
        expect_mount(parse_volume, ".:/b", "bind", "/base", "/b", "");
        expect_mount(parse_volume, "../x:/b", "bind", "/x", "/b", "");
        expect_mount(parse_volume, "/a//b/../c/:/d/./e/", "bind", "/a/c", "/d/e", "");
        expect_mount(parse_volume, "/../..:/b", "bind", "/", "/b", "");
        expect_mount(parse_volume, "/:/host", "bind", "/", "/host", "");
        expect_no_mount(parse_volume, "/a", "source and a destination");
        expect_no_mount(parse_volume, ":/b", "source and a destination");
        expect_no_mount(parse_volume, "", "source and a destination");
        expect_no_mount(parse_volume, "data:/b", "named volumes");
        expect_no_mount(parse_volume, ".hidden:/b", "named volumes");
        expect_no_mount(parse_volume, "/a:b", "absolute path");
        expect_no_mount(parse_volume, "/a:", "absolute path");
        expect_no_mount(parse_volume, "/a:/", "absolute path");
        expect_no_mount(parse_volume, "/a:/b/..", "absolute path");
        expect_no_mount(parse_volume, "/a::ro", "absolute path");
}

static void test_mount(void **state) {
        expect_mount(parse_mount, "type=bind,source=/a,target=/b", "bind", "/a", "/b", "");
        expect_mount(parse_mount, "src=/a,dst=/b,readonly", "bind", "/a", "/b", "ro");
        expect_mount(parse_mount, "type=bind,src=./a,destination=/b,ro=false,bind-propagation=rshared",
                     "bind", "/base/a", "/b", "rw,rshared");
        expect_mount(parse_mount, "type=tmpfs,target=/t,tmpfs-size=10M,tmpfs-mode=1777", "tmpfs", "tmpfs",
                     "/t", "size=10M,mode=1777");
        expect_no_mount(parse_mount, "", "source=");
        expect_no_mount(parse_mount, "type=volume,source=/a,target=/b", "volume");
        expect_no_mount(parse_mount, "type=bind,target=/b", "source=");
        expect_no_mount(parse_mount, "type=bind,source=/a", "absolute path");
        expect_no_mount(parse_mount, "type=tmpfs", "absolute path");
        expect_no_mount(parse_mount, "type=bind,source=/a,target", "no value");
        expect_no_mount(parse_mount, "type=bind,source=/a,target=/b,colour=red", "colour");
        expect_no_mount(parse_mount, "source=/a,target=/b,ro=maybe", "maybe");
}

static void test_tmpfs(void **state) {
        expect_mount(tmpfs, "/t", "tmpfs", "tmpfs", "/t", "");
        expect_mount(tmpfs, "/t:size=1M,mode=700", "tmpfs", "tmpfs", "/t", "size=1M,mode=700");
        expect_no_mount(tmpfs, "t", "absolute path");
        expect_no_mount(tmpfs, "", "absolute path");
}

static void test_log(void **state) {
        static const struct {
                const char *value, *directory, *expected;
        } cases[] = {
                { "journal", NULL, "journal" },
                { "none", NULL, "none" },
                { "fd", NULL, "fd" },
                { "file:/var/log/x", NULL, "file:/var/log/x" },
                { "file:/var//log/../x/", NULL, "file:/var/x" },
                { "file:x", "/home", "file:/home/x" },
                { "file:../x", "/home", "file:/x" },
                { "file:x", NULL, NULL },
                { "file:", "/home", NULL },
                { "syslog", NULL, NULL },
                { "", NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *s = NULL;
                int r = parse_log(cases[i].value, cases[i].directory, &s, &e);

                assert_int_equal(r, cases[i].expected ? 0 : -EINVAL);
                if (cases[i].expected)
                        assert_string_equal(s, cases[i].expected);
        }
}

static void test_log_rate(void **state) {
        static const char *const bad[] = { "", "10", "10/", "/1s", "0/1s", "x/1s", "1/0", "1/infinity", "-1/1s" };
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(parse_log_rate("1000/30s", &l, NULL), 0);
        assert_int_equal(parse_log_rate("off", &l, NULL), 0);
        assert_int_equal(strv_length(l), 3);
        assert_string_equal(l[0], "LogRateLimitBurst=1000");
        assert_string_equal(l[1], "LogRateLimitIntervalSec=30s");
        assert_string_equal(l[2], "LogRateLimitIntervalSec=0");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (parse_log_rate(bad[i], &l, &e) != -EINVAL)
                        fail_msg("%s was accepted", bad[i]);
        }
        assert_int_equal(strv_length(l), 3);
}

static void test_env(void **state) {
        char *const environment[] = { (char *) "HERE=1=2", (char *) "EMPTY=", NULL };
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(parse_env("A=b", environment, &l, NULL), 0);
        assert_int_equal(parse_env("HERE", environment, &l, NULL), 0);
        assert_int_equal(parse_env("EMPTY", environment, &l, NULL), 0);
        assert_int_equal(parse_env("GONE", environment, &l, NULL), 0);
        assert_int_equal(parse_env("A=c=d", environment, &l, NULL), 0);
        assert_int_equal(strv_length(l), 3);
        assert_string_equal(strv_env_get(l, "A"), "c=d");
        assert_string_equal(strv_env_get(l, "HERE"), "1=2");
        assert_string_equal(strv_env_get(l, "EMPTY"), "");
        assert_int_equal(parse_env("=x", environment, &l, &e), -EINVAL);
        error_done(&e);
        assert_int_equal(parse_env("", environment, &l, &e), -EINVAL);
}

static void test_env_text(void **state) {
        char *const environment[] = { (char *) "HERE=1", NULL };
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(parse_env_text("# comment\n\nA=1\r\n  \t\nB=x y # not a comment\nHERE\nLAST=end",
                                        "f", environment, &l, NULL),
                         0);
        assert_int_equal(strv_length(l), 4);
        assert_string_equal(strv_env_get(l, "A"), "1");
        assert_string_equal(strv_env_get(l, "B"), "x y # not a comment");
        assert_string_equal(strv_env_get(l, "LAST"), "end");
        assert_int_equal(parse_env_text("OK=1\n=bad\n", "some.env", environment, &l, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "some.env:2"));
}

static void test_entrypoint(void **state) {
        _cleanup_strv_free_ char **a = NULL, **b = NULL, **c = NULL;
        char **d = NULL;

        assert_int_equal(parse_entrypoint("/bin/sh -c", &a, NULL), 0);
        assert_int_equal(strv_length(a), 1);
        assert_string_equal(a[0], "/bin/sh -c");
        assert_int_equal(parse_entrypoint("[\"/bin/sh\", \"-c\"]", &b, NULL), 0);
        assert_int_equal(strv_length(b), 2);
        assert_string_equal(b[1], "-c");
        assert_int_equal(parse_entrypoint("", &c, NULL), 0);
        assert_int_equal(strv_length(c), 0);
        assert_int_equal(parse_entrypoint("[1]", &d, NULL), -EINVAL);
        assert_int_equal(parse_entrypoint("[\"a\"", &d, NULL), -EINVAL);
        assert_int_equal(parse_entrypoint("[\"a\"],\"b\":[1]", &d, NULL), -EINVAL);
}

static int parse_run(CreateOptions *o, Error *e, const char *const *argv) {
        _cleanup_free_ char **args = NULL;
        OptionSet set = { run_options, o };

        return options_parse(&set, 1, (char *const *) argv, true, &args, e);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_command_line(void **state) {
        _cleanup_(create_options_done) CreateOptions o = {};
        char path[] = "/tmp/test-ctl-env-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, "FILE=1\n", 7), 0);
        assert_int_equal(parse_run(&o, NULL,
                                   ARGV("-d", "--rm", "--name=x", "-e", "A=1", "--env-file", path, "-w/tmp",
                                        "-u", "1:2", "--group-add=3", "--group-add=4", "-v", "/a:/b",
                                        "--mount", "type=tmpfs,target=/c", "--tmpfs=/d", "--label", "l",
                                        "--label", "l=2", "-p", "A=B", "--memory=1G", "--cpus=2",
                                        "--pids-limit=9", "--security-opt=seccomp=unconfined",
                                        "--security-opt=no-new-privileges", "--stop-signal=SIGINT",
                                        "--stop-timeout=1min", "--pull=never", "--network=host",
                                        "--read-only", "--entrypoint=", "--cap-add=ALL", "--cap-drop=CHOWN",
                                        "image", "-i")),
                         0);
        (void) unlink(path);
        assert_true(o.detach && o.auto_remove && o.read_only && o.entrypoint_set && !o.interactive);
        assert_int_equal(strv_length(o.environment), 1);
        assert_int_equal(strv_length(o.file_environment), 1);
        assert_int_equal(strv_length(o.groups), 2);
        assert_int_equal(o.n_mounts, 3);
        assert_int_equal(strv_length(o.labels), 1);
        assert_string_equal(o.labels[0], "l=2");
        assert_int_equal(strv_length(o.limits.properties), 4);
        assert_string_equal(o.seccomp, "unconfined");
        assert_string_equal(o.stop_signal, "SIGINT");
        assert_int_equal(o.stop_timeout_usec, 60000000);
        assert_int_equal(o.pull, PULL_NEVER);
}

static void check_networks(const char *const argv[], const char *want) {
        _cleanup_(create_options_done) CreateOptions o = {};
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *got = NULL;

        assert_int_equal(parse_run(&o, NULL, argv), 0);
        assert_int_equal(create_network_check(&o.network, NULL), 0);
        assert_int_equal(create_network_join(&o.network, &l), 0);
        got = strv_join(l, " ");
        assert_string_equal(got, want);
}

static void test_network(void **state) {
        _cleanup_(create_options_done) CreateOptions o = {}, several = {};
        _cleanup_error_ Error e = ERROR_NULL;

        check_networks(ARGV("image"), "");
        check_networks(ARGV("--network=none", "--network=a", "--network=b:ip=10.0.0.2"), "a b:ip=10.0.0.2");
        check_networks(ARGV("--network=a", "--network=host"), "host");
        check_networks(ARGV("--ip=10.0.0.2", "--mac-address=02:00:00:00:00:01"), "default:ip=10.0.0.2,mac=02:00:00:00:00:01");
        check_networks(ARGV("--network=a:alias=x", "--ip=10.0.0.2", "--ip=fd00::2", "--network-alias=y"),
                       "a:alias=x,ip=10.0.0.2,ip=fd00::2,alias=y");

        assert_int_equal(parse_run(&several, NULL, ARGV("--network=a", "--network=b", "--ip=10.0.0.2")), 0);
        assert_int_equal(create_network_check(&several.network, &e), -EINVAL);

        assert_int_equal(parse_run(&o, NULL, ARGV("-p", "8080:80", "-pNice=1", "-P", "-p[::]:1:2/udp", "--expose=5")), 0);
        assert_int_equal(strv_length(o.network.publish), 2);
        assert_int_equal(strv_length(o.limits.properties), 1);
        assert_int_equal(strv_length(o.network.expose), 1);
        assert_true(o.network.publish_all);
}

static void test_command_line_errors(void **state) {
        static const char *const bad[] = {
                "--property=MemoryMax",
                "--property==1",
                "-p",
                "-pMemoryMax",
                "-p80 ",
                "--network=",
                "--ip=",
                "--ip=1,mac=2",
                "--add-host=x",
                "--add-host=:1",
                "--label=",
                "--security-opt=apparmor=x",
                "--stop-signal=SIGFOO",
                "--stop-timeout=x",
                "--pull=sometimes",
                "--env-file=/nonexistent/file",
                "--env==1",
                "--volume=x",
                "--env-file=/",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(create_options_done) CreateOptions o = {};
                _cleanup_error_ Error e = ERROR_NULL;

                if (parse_run(&o, &e, ARGV(bad[i])) >= 0)
                        fail_msg("%s was accepted", bad[i]);
                assert_true(error_is_set(&e));
        }
}

static void env_file_of_size(size_t n, int expected) {
        char path[] = "/tmp/test-ctl-env-XXXXXX", *argument = NULL;
        _cleanup_(create_options_done) CreateOptions o = {};
        _cleanup_close_ int fd = mkstemp(path);
        _cleanup_free_ char *text = malloc(n);

        memset(text, '#', n);
        assert_int_equal(write_full(fd, text, n), 0);
        assert_true(asprintf(&argument, "--env-file=%s", path) > 0);
        assert_int_equal(parse_run(&o, NULL, ARGV(argument)), expected);
        (void) unlink(path);
        free(argument);
}

static void test_env_file_limit(void **state) {
        env_file_of_size(ENV_FILE_MAX, 0);
        env_file_of_size(ENV_FILE_MAX + 1, -EFBIG);
}

static void assert_health_command(const char *value, const char *want) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *got = NULL;

        assert_int_equal(parse_health_command(value, &l, NULL), 0);
        got = strv_join(l, "|");
        assert_string_equal(got, want);
}

static void test_health_command(void **state) {
        static const char *const bad[] = { "", "[]", "[\"CMD\"]", "[\"\"]", "[\"CMD-SHELL\",\"\"]", "[1]", "[\"a\"" };

        assert_health_command("none", "");
        assert_health_command("[\"NONE\"]", "");
        assert_health_command("curl x || exit 1", "/bin/sh|-c|curl x || exit 1");
        assert_health_command("[\"CMD-SHELL\",\"a b\"]", "/bin/sh|-c|a b");
        assert_health_command("[\"CMD\",\"a\",\"b c\"]", "a|b c");
        assert_health_command("[\"a\",\"b\"]", "a|b");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                char **l = NULL;

                assert_int_equal(parse_health_command(bad[i], &l, &e), -EINVAL);
                assert_null(l);
                assert_non_null(strstr(error_message(&e), "--health-cmd="));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_volume),
                cmocka_unit_test(test_mount),
                cmocka_unit_test(test_tmpfs),
                cmocka_unit_test(test_log),
                cmocka_unit_test(test_log_rate),
                cmocka_unit_test(test_env),
                cmocka_unit_test(test_env_text),
                cmocka_unit_test(test_entrypoint),
                cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_network),
                cmocka_unit_test(test_command_line_errors),
                cmocka_unit_test(test_health_command),
                cmocka_unit_test(test_env_file_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
