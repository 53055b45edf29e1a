/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/config-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "daemon/config.h"
#include "daemon/namespace.h"

static void defaults(void **state) {
        _cleanup_config_ Config c = {};

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(c.log_level, -1);
        assert_int_equal(c.events_max, 10000);
        assert_int_equal(c.pull.max_concurrent_downloads, 4);
        assert_int_equal(c.pull.max_concurrent_unpacks, 0);
        assert_int_equal(c.pull.retries, 5);
        assert_true(c.pull.retry_delay_usec == USEC_PER_SEC);
        assert_null(c.pull.ca_file);
        assert_int_equal(strv_length(c.pull.insecure_registries), 0);
        assert_true(c.stop_timeout_usec == 10 * USEC_PER_SEC);
        assert_string_equal(c.network, "none");
}

static void every_key(void **state) {
        _cleanup_config_ Config c = {};

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_parse(&c, "test",
                                      "# comment\n"
                                      "; comment\n"
                                      "\n"
                                      "[Manager]\n"
                                      "LogLevel=debug\n"
                                      "  EventsMax = 50 \r\n"
                                      "[Pull]\n"
                                      "MaxConcurrentDownloads=64\n"
                                      "MaxConcurrentUnpacks=3\n"
                                      "Retries=0\n"
                                      "RetryDelaySec=100ms\n"
                                      "CAFile=/etc/ssl/a=b.pem\n"
                                      "InsecureRegistry=one two:5000\n"
                                      "InsecureRegistry=three\n"
                                      "[Container]\n"
                                      "StopTimeoutSec=1min 30s\n"
                                      "Network=host\n"
                                      "Runtime=crun\n"
                                      "[Runtimes]\n"
                                      "crun=/opt/bin/crun\n"
                                      "other=/opt/other\n"
                                      "crun=/opt/crun"),
                         0);
        assert_string_equal(c.runtime, "crun");
        assert_int_equal(strv_length(c.runtimes), 2);
        assert_string_equal(strv_env_get(c.runtimes, "crun"), "/opt/crun");
        assert_string_equal(strv_env_get(c.runtimes, "other"), "/opt/other");
        assert_int_equal(config_parse(&c, "test",
                                      "[Container]\nRuntime=\n"
                                      "[Runtimes]\nother=\nmooring=/x\n/a=/b\nrelative=x\na b=/x\n"),
                         4);
        assert_null(c.runtime);
        assert_int_equal(strv_length(c.runtimes), 1);
        assert_int_equal(c.log_level, LOG_DEBUG);
        assert_int_equal(c.events_max, 50);
        assert_int_equal(c.pull.max_concurrent_downloads, 64);
        assert_int_equal(c.pull.max_concurrent_unpacks, 3);
        assert_int_equal(c.pull.retries, 0);
        assert_true(c.pull.retry_delay_usec == 100 * USEC_PER_MSEC);
        assert_string_equal(c.pull.ca_file, "/etc/ssl/a=b.pem");
        assert_int_equal(strv_length(c.pull.insecure_registries), 3);
        assert_string_equal(c.pull.insecure_registries[1], "two:5000");
        assert_string_equal(c.pull.insecure_registries[2], "three");
        assert_true(c.stop_timeout_usec == 90 * USEC_PER_SEC);
        assert_string_equal(c.network, "host");
}

static void empty_is_default(void **state) {
        _cleanup_config_ Config c = {};

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(
                        config_parse(&c, "test",
                                     "[Pull]\nRetries=9\nRetries=\n"
                                      "InsecureRegistry=a b\nInsecureRegistry=\nInsecureRegistry=c\n"
                                     "CAFile=/a\nCAFile=\n[Container]\nNetwork=host\nNetwork=\n"
                                      "[Manager]\nLogLevel=err\nLogLevel="),
                        0);
        assert_int_equal(c.pull.retries, 5);
        assert_int_equal(strv_length(c.pull.insecure_registries), 1);
        assert_string_equal(c.pull.insecure_registries[0], "c");
        assert_null(c.pull.ca_file);
        assert_string_equal(c.network, "none");
        assert_int_equal(c.log_level, -1);
}

/* Each is one warning; the defaults hold. */
static void what_is_ignored(void **state) {
        static const char *const lines[] = {
                "[Manager]\nColour=red",
                "[Manager]\nRetries=5", /* another section's */
                "Retries=5",
                "[pull]",
                "[Pull]\nRetries",
                "[Pull]\nRetries=-1",
                "[Pull]\nRetries=101",
                "[Pull]\nRetries=five",
                "[Pull]\nMaxConcurrentDownloads=0",
                "[Pull]\nMaxConcurrentDownloads=65",
                "[Pull]\nRetryDelaySec=61min",
                "[Pull]\nCAFile=relative.pem",
                "[Pull]\nCAFile=/a/../b",
                "[Manager]\nLogLevel=loud",
                "[Manager]\nEventsMax=0",
                "[Manager]\nEventsMax=1000001",
                "[Container]\nNetwork=container:web",
                "[Container]\nStopTimeoutSec=soon",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_config_ Config c = {};

                assert_int_equal(config_init(&c), 0);
                if (config_parse(&c, "test", lines[i]) != 1)
                        fail_msg("“%s” is not one warning", lines[i]);
                defaults(state);
                assert_int_equal(c.pull.retries, 5);
                assert_int_equal(c.pull.max_concurrent_downloads, 4);
                assert_null(c.pull.ca_file);
                assert_string_equal(c.network, "none");
        }
}

static void continued_lines(void **state) {
        _cleanup_config_ Config c = {};

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_parse(&c, "test",
                                      "[Pull]\n"
                                      "InsecureRegistry=a \\\n"
                                      "# a comment between \\\n"
                                      "   b\\\n"
                                      "c\n"
                                      "Retries=\\\n"
                                      "\n"
                                      "RetryDelaySec=\\\n"
                                      "7\\\n"
                                      "; the end"),
                         0);
        assert_int_equal(strv_length(c.pull.insecure_registries), 3);
        assert_string_equal(c.pull.insecure_registries[2], "c");
        assert_int_equal(c.pull.retries, 5);
        assert_true(c.pull.retry_delay_usec == 7 * USEC_PER_SEC);
}

typedef struct Tree {
        char path[32];
        char *directories[4];
} Tree;

static int setup(void **state) {
        Tree *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        (void) strcpy(t->path, "/tmp/test-config-XXXXXX");
        assert_non_null(mkdtemp(t->path));
        for (size_t i = 0; i < 3; i++) {
                _cleanup_free_ char *drop_ins = NULL;

                t->directories[i] = strformat("%s/%zu", t->path, i);
                drop_ins = strjoin(t->directories[i], "/moored.conf.d");
                assert_int_equal(mkdir(t->directories[i], 0700), 0);
                assert_int_equal(mkdir(drop_ins, 0700), 0);
        }
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Tree *t = *state;

        assert_int_equal(rm_rf_at(AT_FDCWD, t->path), 0);
        for (size_t i = 0; i < 3; i++)
                free(t->directories[i]);
        free(t);
        return 0;
}

static void write_conf(const Tree *t, size_t directory, const char *name, const char *text) {
        _cleanup_free_ char *path = strjoin(t->directories[directory], "/", name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

static void load(const Tree *t, Config *c) {
        assert_int_equal(config_init(c), 0);
        assert_int_equal(config_load(c, (const char *const *) t->directories), 0);
}

static void files(void **state) {
        _cleanup_config_ Config c = {};
        Tree *t = *state;

        /* The main file of the first directory alone; drop-ins by name, over all directories. */
        write_conf(t, 0, "moored.conf", "[Pull]\nRetries=1\nMaxConcurrentUnpacks=1");
        write_conf(t, 2, "moored.conf", "[Pull]\nRetries=2\nMaxConcurrentDownloads=2");
        write_conf(t, 0, "moored.conf.d/50-b.conf", "[Pull]\nRetries=3");
        write_conf(t, 2, "moored.conf.d/60-a.conf", "[Pull]\nRetries=4\n[Container]\nNetwork=host");
        write_conf(t, 1, "moored.conf.d/10-c.conf", "[Manager]\nEventsMax=7\n[Pull]\nRetries=8");
        write_conf(t, 1, "moored.conf.d/70-no-suffix", "[Pull]\nRetries=9");
        load(t, &c);
        assert_int_equal(c.pull.max_concurrent_unpacks, 1);
        assert_int_equal(c.pull.max_concurrent_downloads, 4);
        assert_int_equal(c.pull.retries, 4);
        assert_int_equal(c.events_max, 7);
        assert_string_equal(c.network, "host");
}

static void main_file_of_later_directory(void **state) {
        _cleanup_config_ Config c = {};
        Tree *t = *state;

        write_conf(t, 2, "moored.conf", "[Pull]\nRetries=2");
        load(t, &c);
        assert_int_equal(c.pull.retries, 2);
}

static void hidden_drop_ins(void **state) {
        _cleanup_free_ char *link = NULL;
        _cleanup_config_ Config c = {};
        Tree *t = *state;

        write_conf(t, 0, "moored.conf.d/50-a.conf", "[Pull]\nRetries=3");
        write_conf(t, 2, "moored.conf.d/50-a.conf", "[Pull]\nRetries=4\nMaxConcurrentUnpacks=9");
        write_conf(t, 1, "moored.conf.d/60-b.conf", "");
        write_conf(t, 2, "moored.conf.d/60-b.conf", "[Pull]\nMaxConcurrentDownloads=9");
        write_conf(t, 2, "moored.conf.d/70-c.conf", "[Manager]\nEventsMax=9");
        link = strjoin(t->directories[0], "/moored.conf.d/70-c.conf");
        assert_int_equal(symlink("/dev/null", link), 0);
        load(t, &c);
        assert_int_equal(c.pull.retries, 3);
        assert_int_equal(c.pull.max_concurrent_unpacks, 0);
        assert_int_equal(c.pull.max_concurrent_downloads, 4);
        assert_int_equal(c.events_max, 10000);
}

static void shipped_file_says_the_defaults(void **state) {
        _cleanup_free_ char *path = strjoin(TEST_DATA_DIR, "/../../src/daemon/moored.conf"), *text = NULL;
        _cleanup_config_ Config c = {}, d = {};

        assert_int_equal(read_file_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text, NULL), 0);
        assert_int_equal(config_init(&d), 0);
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_parse(&c, "moored.conf", text), 0);

        /* "#Key=value" is an assignment that is commented out; "# text" is text. */
        for (char *p = text; *p; p++)
                if (*p == '#' && p[1] >= 'A' && p[1] <= 'Z')
                        *p = ' ';
        assert_int_equal(config_parse(&c, "moored.conf", text), 0);
        assert_int_equal(c.log_level, LOG_INFO);
        assert_int_equal(c.events_max, d.events_max);
        assert_int_equal(c.pull.max_concurrent_downloads, d.pull.max_concurrent_downloads);
        assert_int_equal(c.pull.max_concurrent_unpacks, d.pull.max_concurrent_unpacks);
        assert_int_equal(c.pull.retries, d.pull.retries);
        assert_true(c.pull.retry_delay_usec == d.pull.retry_delay_usec);
        assert_true(c.stop_timeout_usec == d.stop_timeout_usec);
        assert_string_equal(c.network, d.network);
}

static void namespace_names(void **state) {
        char name[NAMESPACE_NAME_MAX + 2];

        assert_true(namespace_name_is_valid("default"));
        assert_true(namespace_name_is_valid("k8s.io"));
        assert_true(namespace_name_is_valid("0_-"));
        assert_false(namespace_name_is_valid(""));
        assert_false(namespace_name_is_valid("-a"));
        assert_false(namespace_name_is_valid(".a"));
        assert_false(namespace_name_is_valid("a/b"));
        assert_false(namespace_name_is_valid("a b"));

        memset(name, 'n', sizeof(name));
        name[NAMESPACE_NAME_MAX + 1] = 0;
        assert_false(namespace_name_is_valid(name));
        name[NAMESPACE_NAME_MAX] = 0;
        assert_true(namespace_name_is_valid(name));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(every_key),
                cmocka_unit_test(empty_is_default),
                cmocka_unit_test(what_is_ignored),
                cmocka_unit_test(continued_lines),
                cmocka_unit_test_setup_teardown(files, setup, teardown),
                cmocka_unit_test_setup_teardown(main_file_of_later_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(hidden_drop_ins, setup, teardown),
                cmocka_unit_test(shipped_file_says_the_defaults),
                cmocka_unit_test(namespace_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
