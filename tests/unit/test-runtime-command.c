/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/command.h"
#include "runtime/mount-options.h"
#include "runtime/program.h"
#include "runtime/report.h"

/* Options */

static const struct option options[] = {
        COMMAND_OPTION_HELP,
        { "force", no_argument, NULL, 'f' },
        { "name", required_argument, NULL, 'n' },
        { "long", no_argument, NULL, 0x100 },
        {},
};

/* What the options of a command line are, a letter each ("L" for --long), and where the arguments begin. */
static int parse(char **argv, char *ret, Error *e) {
        int c, argc = (int) strv_length(argv), n = 0;

        optind = 0;
        while ((c = command_option(argc, argv, "+:hfn:", options, e)) > 0)
                ret[n++] = c == 0x100 ? 'L' : (char) c;
        ret[n] = 0;
        return c;
}

#define ARGV(...) ((char *[]){ (char *) "verb", __VA_ARGS__, NULL })

static void test_options(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        char got[16];

        assert_int_equal(parse(ARGV((char *) "-fn", (char *) "x", (char *) "--name=y", (char *) "--long",
                                    (char *) "id", (char *) "-f"),
                               got, &e),
                         0);
        assert_string_equal(got, "fnnL");
        assert_int_equal(optind, 5);
        assert_int_equal(parse(ARGV((char *) "--", (char *) "-f"), got, &e), 0);
        assert_string_equal(got, "");
        assert_int_equal(optind, 2);
}

static void check_bad(char **argv, const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        char got[16];

        assert_int_equal(parse(argv, got, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
        assert_non_null(strstr(error_message(&e), text));
}

static void test_bad_options(void **state) {
        check_bad(ARGV((char *) "-x"), "-x");
        check_bad(ARGV((char *) "-fx"), "-x");
        check_bad(ARGV((char *) "--unknown"), "--unknown");
        check_bad(ARGV((char *) "--force=1"), "--force=1");
        check_bad(ARGV((char *) "--name"), "--name needs a value");
        check_bad(ARGV((char *) "-n"), "-n needs a value");
}

static void check_arguments(int n, int min, int max, const char *text) {
        char *argv[] = { (char *) "verb", (char *) "a", (char *) "b", (char *) "c", NULL };
        _cleanup_error_ Error e = ERROR_NULL;

        optind = 1;
        assert_int_equal(command_check_arguments(1 + n, argv, min, max, &e), text ? -EINVAL : 0);
        if (text)
                assert_non_null(strstr(error_message(&e), text));
}

static void test_arguments(void **state) {
        check_arguments(1, 1, 1, NULL);
        check_arguments(3, 1, -1, NULL);
        check_arguments(0, 1, 1, "takes 1 argument");
        check_arguments(2, 1, 1, "takes 1 argument");
        check_arguments(0, 1, 2, "takes at least 1");
        check_arguments(3, 1, 2, "takes at most 2");
        check_arguments(0, 1, -1, "takes at least 1");
}

static void test_dispatch(void **state) {
        char *argv[] = { (char *) "nonsense", NULL };
        GlobalOptions g = { .name = "mooring", .root = "/" };
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(command_dispatch(&g, 1, argv, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "\"nonsense\""));
}

/* Reports */

static char *report_to_file(bool json, int level, const char *text) {
        char path[] = "/tmp/test-runtime-command-XXXXXX";
        char *content = NULL;
        GlobalOptions g = {
                .name = "mooring", .root = "/", .log = path, .log_json = json, .log_level = level
        };
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(report_setup(&g, NULL), 0);
        report_warning("%s", text);
        assert_int_equal(read_file_at(AT_FDCWD, path, 65536, &content, NULL), 0);
        assert_return_code(unlink(path), errno);
        return content;
}

static void test_report(void **state) {
        _cleanup_free_ char *json = report_to_file(true, LOG_WARNING, "a \"b\"\nc");
        _cleanup_free_ char *text = report_to_file(false, LOG_WARNING, "a \"b\"\nc");
        _cleanup_free_ char *none = report_to_file(false, LOG_ERR, "a");
        _cleanup_json_ json_t *o = NULL;

        assert_int_equal(json_parse(json, strlen(json), 65536, &o, NULL), 0);
        assert_string_equal(json_get_string(o, "level"), "warning");
        assert_string_equal(json_get_string(o, "msg"), "a \"b\"?c");
        assert_non_null(json_get_string(o, "time"));
        assert_int_equal(json[strlen(json) - 1], '\n');

        assert_non_null(endswith(text, ": a \"b\"?c\n"));
        assert_string_equal(none, "");
}

static void check_log(const char *log, int r) {
        GlobalOptions g = { .name = "mooring", .root = "/", .log = log, .log_level = LOG_WARNING };

        assert_int_equal(report_setup(&g, NULL), r);
}

static void test_log_kinds(void **state) {
        static const GlobalOptions plain = { .name = "mooring", .root = "/", .log_level = LOG_WARNING };

        check_log(NULL, 0);
        check_log("", 0);
        check_log("name", 0);
        check_log("/a:b", 0);
        check_log("file:/x", 0);
        check_log("syslog:me", 0);
        check_log("journald:", 0);
        check_log("invalid:/x", -EINVAL);
        assert_int_equal(report_setup(&plain, NULL), 0);
}

/* Programs */

static void test_programs(void **state) {
        char *argv[] = { (char *) "sh", (char *) "-c", (char *) "echo out; exit 3", NULL };
        _cleanup_free_ char *path = NULL, *none = NULL, *text = NULL;
        int code = 0;

        assert_int_equal(program_find("no-such-program-anywhere", &none), -ENOENT);
        assert_int_equal(program_find("sh", &path), 0);
        assert_int_equal(path[0], '/');
        assert_int_equal(program_output(path, argv, 100, &text, &code, NULL), 0);
        assert_string_equal(text, "out\n");
        assert_int_equal(code, 3);

        argv[2] = (char *) "yes";
        assert_int_equal(program_output(path, argv, 100, &none, &code, NULL), -EFBIG);
        argv[2] = (char *) "kill -9 $$";
        assert_int_equal(program_run(path, argv, -EBADF, &code, NULL), 0);
        assert_int_equal(code, 128 + 9);
}

/* What features says of mount options */

static void test_mount_options(void **state) {
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(mount_options_names(&names), 0);
        assert_true(strv_length(names) > 59);
        STRV_FOREACH (name, names) {
                _cleanup_(mount_options_done) MountOptions o = {};
                char *list[] = { name, NULL };

                assert_int_equal(mount_options_parse(list, &o, NULL), 0);
                assert_null(o.data);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options),   cmocka_unit_test(test_bad_options),
                cmocka_unit_test(test_arguments), cmocka_unit_test(test_dispatch),
                cmocka_unit_test(test_report),    cmocka_unit_test(test_log_kinds),
                cmocka_unit_test(test_programs),  cmocka_unit_test(test_mount_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
