/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/container-file.h"

static char directory[] = "/tmp/test-container-file-XXXXXX";

static int setup(void **state) {
        (void) strcpy(directory + sizeof(directory) - 7, "XXXXXX");
        return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
        return rm_rf_at(AT_FDCWD, directory);
}

static void write_file(const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(directory, name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

static void load(const char *text, ContainerFile *f) {
        _cleanup_free_ char *path = path_join(directory, "web.conf");

        write_file("web.conf", text);
        assert_int_equal(container_file_load(path, f, NULL), 0);
        assert_string_equal(f->name, "web");
}

#define _cleanup_file_ _cleanup_(container_file_done)

static void expect_list(char *const *l, const char *joined) {
        _cleanup_free_ char *j = strv_join(l, "|");

        assert_string_equal(j, joined);
}

static void every_key(void **state) {
        _cleanup_free_ char *env = path_join(directory, "env"), *text = NULL;
        _cleanup_file_ ContainerFile f = {};

        write_file("env", "# comment\nFROM=file\nB=overridden\n");
        text = strjoin("[Container]\n"
                       "Image=example.com/web:1\n"
                       "Exec=sh -c \"echo 'a b'\"\n"
                       "Entrypoint=[\"/bin/run\",\"-x\"]\n"
                       "Environment=A=1 \"B=two words\"\n"
                       "Environment=C=\n"
                       "EnvironmentFile=", env, "\n"
                       "Volume=/srv/www:/www:ro\n"
                       "Volume=/a:/b\n"
                       "Mount=type=bind,source=/c,target=/d\n"
                       "Tmpfs=/tmp:size=1M\n"
                       "User=www\nGroup=web\nGroupAdd=1\nGroupAdd=2\n"
                       "WorkingDir=/www\nHostName=web\nReadOnly=yes\n"
                       "AddCapability=NET_ADMIN CAP_SYS_TIME\nDropCapability=ALL\n"
                       "SeccompProfile=unconfined\nLabel=a=b \"c=d e\"\nNetwork=host\n"
                       "StopSignal=QUIT\nStopTimeout=1min\nPull=never\nMemory=64m\nPidsLimit=100\nNotify=yes\n"
                       "HealthCmd=test -e /ok\nHealthInterval=5s\nHealthRetries=2\n");
        load(text, &f);
        expect_list(f.problems, "");
        assert_int_equal(container_file_check(&f, NULL), 0);
        assert_string_equal(f.image, "example.com/web:1");
        expect_list(f.command, "sh|-c|echo 'a b'");
        assert_true(f.options.entrypoint_set);
        expect_list(f.options.entrypoint, "/bin/run|-x");
        expect_list(f.options.environment, "A=1|B=two words|C=");
        expect_list(f.options.file_environment, "FROM=file|B=overridden");
        assert_int_equal(f.options.n_mounts, 4);
        assert_string_equal(f.options.mounts[0].destination, "/www");
        assert_string_equal(f.options.mounts[2].source, "/c");
        assert_string_equal(f.options.mounts[3].type, "tmpfs");
        assert_string_equal(f.options.user, "www:web");
        expect_list(f.options.groups, "1|2");
        assert_string_equal(f.options.working_directory, "/www");
        assert_string_equal(f.options.hostname, "web");
        assert_true(f.options.read_only);
        expect_list(f.options.cap_add, "NET_ADMIN|CAP_SYS_TIME");
        expect_list(f.options.cap_drop, "ALL");
        assert_string_equal(f.options.seccomp, "unconfined");
        expect_list(f.options.labels, "a=b|c=d e");
        expect_list(f.options.network.networks, "host");
        assert_string_equal(f.options.stop_signal, "QUIT");
        assert_true(f.options.stop_timeout_set);
        assert_true(f.options.stop_timeout_usec == UINT64_C(60000000));
        assert_int_equal(f.options.pull, PULL_NEVER);
        assert_true(f.options.notify);
        assert_false(f.options.ready_when_healthy);
        assert_non_null(f.options.health.command);
        assert_int_equal(f.options.health.retries, 2);
        expect_list(f.options.limits.properties, "MemoryMax=67108864|TasksMax=100");
}

static void taken_back(void **state) {
        _cleanup_file_ ContainerFile f = {};

        load("[Container]\nImage=a\nImage=b\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2\n"
             "Volume=/a:/b\nVolume=\nUser=u\nUser=\nReadOnly=yes\nReadOnly=no\nStopSignal=nonsense\nStopSignal=\n"
             "Exec=wrong \"\nExec=right",
             &f);
        expect_list(f.problems, "");
        assert_string_equal(f.image, "b");
        expect_list(f.options.environment, "B=2");
        assert_int_equal(f.options.n_mounts, 0);
        assert_null(f.options.user);
        assert_false(f.options.read_only);
        assert_null(f.options.stop_signal);
        expect_list(f.command, "right");
}

static void drop_ins(void **state) {
        _cleanup_free_ char *path = path_join(directory, "web.conf.d");
        _cleanup_file_ ContainerFile f = {};

        assert_int_equal(mkdir(path, 0700), 0);
        write_file("web.conf.d/20-b.conf", "[Container]\nNetwork=host\nEnvironment=C=3");
        write_file("web.conf.d/10-a.conf", "[Container]\nImage=other\nNetwork=none\nEnvironment=B=2");
        write_file("web.conf.d/ignored", "nonsense");
        load("[Container]\nImage=a\nEnvironment=A=1", &f);
        expect_list(f.problems, "");
        assert_string_equal(f.image, "other");
        expect_list(f.options.network.networks, "host");
        expect_list(f.options.environment, "A=1|B=2|C=3");
}

static void problems(void **state) {
        static const struct {
                const char *text, *problem;
        } cases[] = {
                { "", "/web.conf: There is no Image=" },
                { "[Container]\nImage=a\nColour=red", "/web.conf:3: There is no key Colour=" },
                { "[Container]\nImage=a\n[Service]\nRestart=always", "/web.conf:3: There is only a section" },
                { "Image=a", "/web.conf:1: \"Image\" is before the section" },
                { "[Container]\nImage=a\nExec", "/web.conf:3: \"Exec\" is neither" },
                { "[Container]\nImage=a\n\nExec=a \\\n \"b", "/web.conf:4: Exec=: A quote is not closed" },
                { "[Container]\nImage=a\nReadOnly=maybe", "/web.conf:3: ReadOnly=: \"maybe\" is neither" },
                { "[Container]\nImage=a\nVolume=data:/b", "/web.conf:3: Volume=: \"data:/b\" is not an absolute" },
                { "[Container]\nImage=a\nVolume=./x:/b", "/web.conf:3: Volume=:" },
                { "[Container]\nImage=a\nVolume=/a", "/web.conf:3: Volume=:" },
                { "[Container]\nImage=a\nEnvironment=HOME", "/web.conf:3: Environment=: \"HOME\" is not of the form" },
                { "[Container]\nImage=a\nEnvironmentFile=/nonexistent/x", "/web.conf:3: EnvironmentFile=:" },
                { "[Container]\nImage=a\nGroup=g", "/web.conf:3: Group=: There is no User=" },
                { "[Container]\nImage=a\nUser=u:g\nGroup=g", "/web.conf:3: User=: User=u:g names a group" },
                { "[Container]\nImage=a\nNotify=perhaps", "/web.conf:3: Notify=: \"perhaps\" is neither" },
                { "[Container]\nImage=a\nStopSignal=LOUD", "/web.conf:3: StopSignal=:" },
                { "[Container]\nImage=a\nStopTimeout=soon", "/web.conf:3: StopTimeout=:" },
                { "[Container]\nImage=a\nSeccompProfile=/etc/x.json", "/web.conf:3: SeccompProfile=:" },
                { "[Container]\nImage=a\nPull=newer", "/web.conf:3: Pull=:" },
                { "[Container]\nImage=a\nHostName=\x01", "/web.conf:3: HostName=: There are control characters" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_file_ ContainerFile f = {};

                load(cases[i].text, &f);
                assert_int_equal(container_file_check(&f, &e), -EINVAL);
                assert_true(error_has_name(&e, "InvalidConfiguration"));
                if (!strstr(error_message(&e), cases[i].problem))
                        fail_msg("'%s' lacks '%s'", error_message(&e), cases[i].problem);
        }
}

static void many_problems(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_file_ ContainerFile f = {};

        load("[Container]\nA=1\nImage=a\nReadOnly=maybe\nB=2\n", &f);
        assert_int_equal(strv_length(f.problems), 3);
        assert_int_equal(container_file_check(&f, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "web.conf:2: There is no key A="));
        assert_non_null(strstr(error_message(&e), "(This and 2 more: moorctl verify web)"));
}

static void no_file(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerFile f = {};

        assert_int_equal(container_file_load("/nonexistent/web.conf", &f, &e), -ENOENT);
        assert_true(error_has_name(&e, "NoSuchFile"));
        assert_int_equal(container_file_load("..", &f, NULL), -EINVAL);
        assert_int_equal(container_file_load("", &f, NULL), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_key, setup, teardown),
                cmocka_unit_test_setup_teardown(taken_back, setup, teardown),
                cmocka_unit_test_setup_teardown(drop_ins, setup, teardown),
                cmocka_unit_test_setup_teardown(problems, setup, teardown),
                cmocka_unit_test_setup_teardown(many_problems, setup, teardown),
                cmocka_unit_test(no_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
