/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Chains of plug-ins that are shell scripts, tests/data/cni-plugins/fake under several names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "runtime/cni.h"

typedef struct Test {
        char dir[32];
        char *conf_dir, *plugins, *state, *netns_dir;
        CniPlaces places;
        int netns;
} Test;

static int set_up(void **state) {
        static const char *const names[] = { "ok", "ok2", "fails", "complains", "silent", "killed", "hangs", "leaves", "garbage",
                                             "floods", "sticky", "unknown" };
        Test *t = calloc(1, sizeof(*t));

        strcpy(t->dir, "/tmp/test-cni-XXXXXX");
        assert_non_null(mkdtemp(t->dir));
        t->conf_dir = path_join(t->dir, "net.d");
        t->plugins = path_join(t->dir, "plugins");
        t->state = path_join(t->dir, "state");
        t->netns_dir = path_join(t->dir, "netns");
        assert_int_equal(mkdir(t->conf_dir, 0700), 0);
        assert_int_equal(mkdir(t->plugins, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *p = path_join(t->plugins, names[i]);

                assert_int_equal(symlink(TEST_DATA_DIR "/cni-plugins/fake", p), 0);
        }
        t->places = (CniPlaces){ .conf_dir = t->conf_dir, .plugin_path = t->plugins, .state_dir = t->state,
                                 .netns_dir = t->netns_dir, .chain_usec = 20 * USEC_PER_SEC };
        t->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_true(t->netns >= 0);
        *state = t;
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
        return remove(path);
}

static int tear_down(void **state) {
        Test *t = *state;

        (void) nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        safe_close(t->netns);
        free(t->conf_dir);
        free(t->plugins);
        free(t->state);
        free(t->netns_dir);
        free(t);
        return 0;
}

/* -- files -------------------------------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const char *text) {
        _cleanup_close_ int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

        assert_int_equal(write_file_atomic_at(fd, name, text, strlen(text), 0600, false), 0);
}

static char *read_file(const char *dir, const char *name) {
        _cleanup_free_ char *path = path_join(dir, name);
        char *text;

        return read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL) >= 0 ? text : NULL;
}

static bool is_there(const char *dir, const char *name) {
        _cleanup_free_ char *path = path_join(dir, name);
        struct stat st;

        return lstat(path, &st) >= 0;
}

static void check_log(Test *t, const char *expected) {
        _cleanup_free_ char *text = read_file(t->plugins, "log"), *path = path_join(t->plugins, "log");

        assert_string_equal(strempty(text), expected);
        (void) unlink(path);
}

static void add_conf(Test *t, const char *file, const char *name, const char *version, const char *plugins) {
        _cleanup_free_ char *text = strformat("{\"cniVersion\":\"%s\",\"name\":\"%s\",\"plugins\":[%s]}", version, name, plugins);

        write_file(t->conf_dir, file, text);
}

#define P(type) "{\"type\":\"" type "\"}"

/* -- requests ----------------------------------------------------------------------------------- */

static int ask(Test *t, const char *command, const char *network, int netns, json_t **ret, Error *e) {
        _cleanup_json_ json_t *request = NULL;

        if (streq(command, "GC") || streq(command, "STATUS"))
                request = json_pack("{s:s, s:s}", "command", command, "network", network);
        else
                request = json_pack("{s:s, s:s, s:[{s:s, s:s, s:{s:s}}]}", "command", command, "container", "c1", "attachments",
                                    "network", network, "interface", "eth0", "capabilities", "mac", "02:00:00:00:00:07");
        assert_non_null(request);
        return cni_serve_request(&t->places, request, netns, ret, e);
}

static void done(Test *t, const char *command, const char *network, int netns) {
        _cleanup_json_ json_t *result = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (ask(t, command, network, netns, &result, &e) < 0)
                fail_msg("%s: %s", command, error_message(&e));
        assert_false(is_there(t->netns_dir, "c1"));
}

static void fails(Test *t, const char *command, const char *network, const char *name, const char *why) {
        _cleanup_json_ json_t *result = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(ask(t, command, network, t->netns, &result, &e) < 0);
        assert_null(result);
        if (!strstr(error_message(&e), why) || !streq(error_name(&e), name))
                fail_msg("%s: %s", error_name(&e), error_message(&e));
}

static void test_add_del(void **state) {
        _cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *netns = NULL, *log = NULL;
        _cleanup_(cni_record_done) CniRecord record = {};
        _cleanup_json_ json_t *result = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        Test *t = *state;

        add_conf(t, "10-a.conflist", "a", "1.0.0", "{\"type\":\"ok\",\"x\":1}, {\"type\":\"ok2\",\"capabilities\":{\"mac\":true}}");
        netns = path_join(t->netns_dir, "c1");
        if (ask(t, "ADD", "a", t->netns, &result, &e) < 0)
                fail_msg("%s", error_message(&e));
        log = strjoin("ok ADD c1 eth0 ", netns, "\nok2 ADD c1 eth0 ", netns, "\n");
        check_log(t, log);
        assert_int_equal(cni_record_from_json(result, &record, &e), 0);
        assert_string_equal(record.container, "c1");
        assert_int_equal(record.n_attachments, 1);
        assert_string_equal(json_get_string(record.attachments[0].result, "by"), "ok2");
        assert_true(cni_record_is_complete(&record));
        first = read_file(t->plugins, "ok.ADD");
        assert_null(strstr(first, "prevResult"));
        assert_null(strstr(first, "mac"));
        second = read_file(t->plugins, "ok2.ADD");
        assert_non_null(strstr(second, "\"by\":\"ok\""));
        assert_non_null(strstr(second, "02:00:00:00:00:07"));
        assert_true(is_there(t->state, "c1.json"));

        /* Asked again: by a daemon that has not heard the answer. */
        done(t, "ADD", "a", t->netns);
        check_log(t, "");
        done(t, "CHECK", "a", t->netns);
        free(log);
        log = strjoin("ok CHECK c1 eth0 ", netns, "\nok2 CHECK c1 eth0 ", netns, "\n");
        check_log(t, log);

        /* The file may be another, or gone, by then. */
        add_conf(t, "10-a.conflist", "a", "1.0.0", P("fails"));
        done(t, "DEL", "a", -EBADF);
        check_log(t, "ok2 DEL c1 eth0 none\nok DEL c1 eth0 none\n");
        third = read_file(t->plugins, "ok.DEL");
        assert_non_null(strstr(third, "\"by\":\"ok2\""));
        assert_false(is_there(t->state, "c1.json"));
        done(t, "DEL", "a", -EBADF);
        check_log(t, "");
        fails(t, "CHECK", "a", "NotRunning", "not attached");
}

/* Each way to fail is said, and what came before is undone. */
static void test_failures(void **state) {
        static const struct {
                const char *plugin, *name, *why;
        } cases[] = {
                { "fails", "PluginFailed", "\"fails\" of network \"a\" failed (ADD): no addresses left: of 10.9.0.0/24" },
                { "complains", "PluginFailed", "\"complains\" of network \"a\" failed (ADD): iptables is not there" },
                { "silent", "PluginFailed", "exit code 5" },
                { "killed", "PluginFailed", "signal KILL" },
                { "garbage", "BadPluginAnswer", "\"garbage\" of network \"a\"" },
                { "floods", "BadPluginAnswer", "more than 1048576 bytes" },
        };
        Test *t = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *plugins = strformat(P("ok") ", {\"type\":\"%s\"}", cases[i].plugin), *log = NULL;

                add_conf(t, "a.conflist", "a", "1.0.0", plugins);
                fails(t, "ADD", "a", cases[i].name, cases[i].why);
                log = strformat("ok ADD c1 eth0 %s/c1\n%s ADD c1 eth0 %s/c1\n%s DEL c1 eth0 %s/c1\nok DEL c1 eth0 %s/c1\n",
                                t->netns_dir, cases[i].plugin, t->netns_dir, cases[i].plugin, t->netns_dir, t->netns_dir);
                check_log(t, log);
                assert_false(is_there(t->state, "c1.json"));
                assert_false(is_there(t->netns_dir, "c1"));
        }
}

static void test_hangs(void **state) {
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        Test *t = *state;

        t->places.chain_usec = USEC_PER_SEC;
        add_conf(t, "a.conflist", "a", "1.0.0", P("hangs"));
        fails(t, "ADD", "a", "PluginTimeout", "\"hangs\" of network \"a\" did not end in time (ADD)");
        assert_true(now_usec(CLOCK_MONOTONIC) - begin < 4 * USEC_PER_SEC);
        assert_false(is_there(t->state, "c1.json"));
}

/* A child of the plug-in that keeps its pipes open is not waited for. */
static void test_leaves(void **state) {
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        Test *t = *state;

        add_conf(t, "a.conflist", "a", "1.0.0", P("leaves"));
        done(t, "ADD", "a", t->netns);
        assert_true(now_usec(CLOCK_MONOTONIC) - begin < 4 * USEC_PER_SEC);
}

static void test_missing(void **state) {
        Test *t = *state;

        fails(t, "ADD", "a", "NoSuchNetwork", "has no network \"a\".");
        add_conf(t, "a.conflist", "a", "1.0.0", P("ok") "," P("nowhere"));
        write_file(t->conf_dir, "0.conf", "{");
        fails(t, "ADD", "b", "NoSuchNetwork", "it has a; not understood: ");
        /* Known before anything is run. */
        fails(t, "ADD", "a", "NoSuchPlugin", "\"nowhere\" of network \"a\"");
        check_log(t, "");
        assert_false(is_there(t->state, "c1.json"));
        fails(t, "ADD", "../a", "NoSuchNetwork", "has no network");
}

/* What cannot be undone is remembered, and tried again before anything new. */
static void test_undo_again(void **state) {
        _cleanup_free_ char *broken = NULL, *log = NULL;
        Test *t = *state;

        broken = path_join(t->plugins, "broken");
        add_conf(t, "a.conflist", "a", "1.0.0", P("sticky"));
        done(t, "ADD", "a", t->netns);
        write_file(t->plugins, "broken", "");
        fails(t, "DEL", "a", "PluginFailed", "\"sticky\" of network \"a\" failed (DEL): it is stuck");
        assert_true(is_there(t->state, "c1.json"));
        assert_int_equal(unlink(broken), 0);
        check_log(t, (log = strformat("sticky ADD c1 eth0 %s/c1\nsticky DEL c1 eth0 %s/c1\n", t->netns_dir, t->netns_dir)));
        done(t, "DEL", "a", -EBADF);
        check_log(t, "sticky DEL c1 eth0 none\n");
        assert_false(is_there(t->state, "c1.json"));

        add_conf(t, "a.conflist", "a", "1.0.0", P("unknown"));
        done(t, "ADD", "a", t->netns);
        done(t, "DEL", "a", t->netns);
        assert_false(is_there(t->state, "c1.json"));
}

/* It was killed in ADD: the record has no result, or is another namespace's. */
static void test_crash(void **state) {
        _cleanup_free_ char *text = NULL, *log = NULL;
        char *result;
        Test *t = *state;

        add_conf(t, "a.conflist", "a", "1.0.0", P("ok"));
        done(t, "ADD", "a", t->netns);
        text = read_file(t->state, "c1.json");
        result = strstr(text, ",\"result\":");
        assert_non_null(result);
        strcpy(result, "}]}");
        result = strstr(text, "\"netns\":\"");
        result[9]++; /* of another boot */
        write_file(t->state, "c1.json", text);
        check_log(t, (log = strformat("ok ADD c1 eth0 %s/c1\n", t->netns_dir)));

        done(t, "ADD", "a", t->netns);
        free(log);
        check_log(t, (log = strformat("ok DEL c1 eth0 none\nok ADD c1 eth0 %s/c1\n", t->netns_dir)));
        write_file(t->state, "c1.json", "{");
        fails(t, "DEL", "a", "InvalidArgument", "c1");
}

/* Of a chain that has not come to its end DEL is told what there was: "firewall" knows its rules by the addresses. */
static void test_partial(void **state) {
        _cleanup_free_ char *told = NULL, *text = NULL, *part = NULL, *gone = NULL;
        Test *t = *state;

        add_conf(t, "a.conflist", "a", "1.0.0", P("ok") "," P("fails"));
        fails(t, "ADD", "a", "PluginFailed", "no addresses left");
        told = read_file(t->plugins, "fails.DEL");
        assert_non_null(strstr(told, "\"by\":\"ok\""));
        assert_false(is_there(t->state, "c1.json"));
        free(told);

        /* It was killed then. */
        add_conf(t, "a.conflist", "a", "1.0.0", P("ok") "," P("ok2"));
        done(t, "ADD", "a", t->netns);
        text = read_file(t->state, "c1.json");
        part = strstr(text, "\"result\":") ? strdup(text) : NULL;
        assert_non_null(part);
        gone = strstr(part, "\"result\":");
        *gone = 0;
        gone = strjoin(part, "\"partial\":", strstr(text, "\"result\":") + strlen("\"result\":"));
        write_file(t->state, "c1.json", gone);
        fails(t, "CHECK", "a", "NotRunning", "not attached");
        done(t, "DEL", "a", t->netns);
        told = read_file(t->plugins, "ok.DEL");
        assert_non_null(strstr(told, "\"prevResult\":"));
        assert_false(is_there(t->state, "c1.json"));
}

static void test_order(void **state) {
        Test *t = *state;
        _cleanup_(cni_conf_done) CniConf c = {}, d = {}, e = {};
        _cleanup_free_ char *more = NULL;

        add_conf(t, "20.conflist", "a", "1.0.0", P("second"));
        add_conf(t, "10.conflist", "a", "1.0.0", P("first"));
        add_conf(t, "05.other", "a", "1.0.0", P("none"));
        add_conf(t, ".00.conf", "a", "1.0.0", P("none"));
        assert_int_equal(cni_find(t->conf_dir, "a", &c, NULL), 0);
        assert_string_equal(cni_conf_plugin(&c, 0), "first");
        more = path_join(t->conf_dir, "a");
        assert_int_equal(mkdir(more, 0700), 0);
        write_file(more, "2.conf", P("z"));
        write_file(more, "1.conf", P("y"));
        write_file(more, "0.json", P("x"));
        assert_int_equal(cni_find(t->conf_dir, "a", &d, NULL), 0);
        assert_int_equal(json_array_size(d.plugins), 3);
        assert_string_equal(cni_conf_plugin(&d, 1), "y");
        assert_string_equal(cni_conf_plugin(&d, 2), "z");
        write_file(t->conf_dir, "b.json", "{\"cniVersion\":\"0.3.1\",\"name\":\"b\",\"type\":\"one\"}");
        assert_int_equal(cni_find(t->conf_dir, "b", &e, NULL), 0);
        assert_string_equal(cni_conf_plugin(&e, 0), "one");
}

static void test_limit(void **state) {
        Test *t = *state;
        _cleanup_(cni_conf_done) CniConf c = {};
        _cleanup_error_ Error e = ERROR_NULL;

        add_conf(t, "zzz.conf", "a", "1.0.0", P("one"));
        for (unsigned i = 1; i < CNI_FILES_MAX; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "%03u.conf", i);
                write_file(t->conf_dir, name, "{}");
        }
        assert_int_equal(cni_find(t->conf_dir, "a", &c, NULL), 0);
        write_file(t->conf_dir, "more.conf", "{}");
        cni_conf_done(&c);
        assert_int_equal(cni_find(t->conf_dir, "a", &c, &e), -E2BIG);
        assert_non_null(strstr(error_message(&e), "256"));
}

/* All of them together. */
static void test_size_limit(void **state) {
        _cleanup_free_ char *text = malloc(CNI_FILE_SIZE_MAX + 1);
        _cleanup_(cni_conf_done) CniConf c = {};
        _cleanup_error_ Error e = ERROR_NULL;
        static const char last[] = "{\"cniVersion\":\"1.0.0\",\"name\":\"z\",\"type\":\"a\"}";
        Test *t = *state;

        memset(text, ' ', CNI_FILE_SIZE_MAX);
        text[0] = '{';
        text[1] = '}';
        text[CNI_FILE_SIZE_MAX] = 0;
        for (unsigned i = 0; i < CNI_FILES_SIZE_MAX / CNI_FILE_SIZE_MAX; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "%u.conf", i);
                text[i == 0 ? CNI_FILE_SIZE_MAX - strlen(last) : CNI_FILE_SIZE_MAX] = 0;
                write_file(t->conf_dir, name, text);
                text[i == 0 ? CNI_FILE_SIZE_MAX - strlen(last) : CNI_FILE_SIZE_MAX] = ' ';
                text[CNI_FILE_SIZE_MAX] = 0;
        }
        write_file(t->conf_dir, "z.conf", last);
        assert_int_equal(cni_find(t->conf_dir, "z", &c, &e), 0);
        cni_conf_done(&c);
        write_file(t->conf_dir, "0-more.conf", " ");
        assert_int_equal(cni_find(t->conf_dir, "z", &c, &e), -E2BIG);
        assert_string_equal(error_name(&e), "LimitsExceeded");
}

static void test_network(void **state) {
        _cleanup_free_ char *log = NULL, *told = NULL;
        Test *t = *state;

        add_conf(t, "a.conflist", "a", "1.1.0", P("ok"));
        add_conf(t, "b.conflist", "b", "1.1.0", P("fails") "," P("ok2"));
        add_conf(t, "c.conflist", "c", "0.4.0", P("fails"));
        done(t, "ADD", "a", t->netns);
        done(t, "GC", "a", -EBADF);
        check_log(t, (log = strformat("ok STATUS   none\nok ADD c1 eth0 %s/c1\nok GC   none\n", t->netns_dir)));
        told = read_file(t->plugins, "ok.GC");
        assert_non_null(strstr(told, "\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}]"));
        done(t, "STATUS", "a", -EBADF);
        check_log(t, "ok STATUS   none\n");
        fails(t, "GC", "b", "PluginFailed", "cannot collect");
        check_log(t, "fails GC   none\nok2 GC   none\n");
        done(t, "GC", "c", -EBADF); /* it does not know that */
        check_log(t, "");
        write_file(t->plugins, "broken", "");
        fails(t, "STATUS", "a", "PluginFailed", "not available");
        fails(t, "CHECK", "a", "PluginFailed", "it is broken");

        /* What is not ready is not begun. */
        done(t, "DEL", "a", t->netns);
        free(log);
        check_log(t, (log = strformat("ok STATUS   none\nok CHECK c1 eth0 %s/c1\nok DEL c1 eth0 %s/c1\n", t->netns_dir, t->netns_dir)));
        fails(t, "ADD", "a", "PluginFailed", "The network \"a\" is not ready: ");
        check_log(t, "ok STATUS   none\n");
        assert_false(is_there(t->state, "c1.json"));
}

static int list_one(const char *file, const CniConf *conf, const Error *error, void *userdata) {
        _cleanup_free_ char *line = conf ? strformat("%s %s %zu;", strrchr(file, '/') + 1, conf->name, json_array_size(conf->plugins))
                                         : strformat("%s!;", strrchr(error_message(error), '/') + 1);
        char **text = userdata, *s = strjoin(strempty(*text), line);

        free(*text);
        *text = s;
        return streq(s, "stop!;") ? -ECANCELED : 0;
}

static void test_list(void **state) {
        _cleanup_free_ char *text = NULL, *more = NULL, *bad = NULL;
        Test *t = *state;
        Error e = ERROR_NULL;

        assert_int_equal(cni_foreach("/nowhere/at/all", list_one, &text, &e), 0);
        assert_null(text);
        add_conf(t, "1.conflist", "b", "1.0.0", P("ok") "," P("ok2"));
        add_conf(t, "2.conflist", "a", "1.0.0", P("ok"));
        add_conf(t, "3.conflist", "b", "1.0.0", P("ok"));
        write_file(t->conf_dir, "4.conf", "{");
        write_file(t->conf_dir, "5.conflist", "{\"cniVersion\":\"1.0.0\",\"name\":\"c\"}");
        more = path_join(t->conf_dir, "a");
        assert_int_equal(mkdir(more, 0700), 0);
        write_file(more, "x.conf", P("ok2"));
        assert_int_equal(cni_foreach(t->conf_dir, list_one, &text, &e), 0);
        bad = strndup(text, strlen("1.conflist b 2;2.conflist a 2;4.conf"));
        assert_string_equal(bad, "1.conflist b 2;2.conflist a 2;4.conf");
        assert_non_null(strstr(text, "5.conflist: The network \"c\" has no plug-ins"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
                T(test_add_del), T(test_failures), T(test_hangs),   T(test_leaves), T(test_missing), T(test_undo_again),
                T(test_crash),   T(test_partial), T(test_order),    T(test_limit),   T(test_network), T(test_list), T(test_size_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
