/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's side: who is asked what, and when. The other side is this test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "container/cni.h"

typedef struct Test {
        sd_event *event;
        CniManager *manager;
        char dir[32];
        char *socket_path, *state;
        int listener;
        unsigned n_stored, n_made, n_told;
        char stored[128];
        int told_netns;
        char *told_error;
        const char *wanted;
} Test;

static Test *current;

static int store_add(void *userdata, const char *name, int fd, bool poll) {
        Test *t = userdata;

        t->n_stored++;
        assert_true(strlen(name) < sizeof(t->stored));
        strcpy(t->stored, name);
        return 0;
}

static void store_remove(void *userdata, const char *name) {
        Test *t = userdata;

        t->n_stored--;
}

static const TerminalStore store = { store_add, store_remove };

static int make_netns(Error *reterr_error) {
        current->n_made++;
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_told(const char *key, int netns, const Error *error, void *userdata) {
        Test *t = userdata;

        t->n_told++;
        t->told_netns = netns;
        free(t->told_error);
        t->told_error = error_is_set(error) ? strjoin(error_name(error), ": ", error_message(error)) : NULL;
}

static bool is_wanted(const char *key, void *userdata) {
        return streq_ptr(current->wanted, key);
}

#define RETRY_USEC 1000U
static void begin(Test *t) {
        assert_int_equal(cni_manager_new(t->event, &store, t, t->socket_path, t->state, make_netns, &t->manager), 0);
        cni_manager_set_retry(t->manager, RETRY_USEC);
}

#define RECORD_OF(key, version)                                                                                        \
        "{\"container\":\"" key "\",\"netns\":\"x\",\"attachments\":[{\"interface\":\"eth0\",\"config\":"                  \
        "{\"name\":\"n\",\"cniVersion\":\"" version "\",\"plugins\":[{\"type\":\"a\"}]},\"result\":"                    \
        "{\"ips\":[{\"address\":\"10.0.0.1/8\"}]}}]}"
#define RECORD RECORD_OF("moored.1.a.b", "1.0.0")

static int set_up(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Test *t = current = calloc(1, sizeof(*t));

        strcpy(t->dir, "/tmp/test-cni-XXXXXX");
        assert_non_null(mkdtemp(t->dir));
        t->socket_path = path_join(t->dir, "socket");
        t->state = path_join(t->dir, "state");
        strcpy(address.sun_path, t->socket_path);
        t->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(t->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(t->listener, 64), 0);
        assert_int_equal(sd_event_new(&t->event), 0);
        begin(t);
        *state = t;
        return 0;
}

static int tear_down(void **state) {
        Test *t = *state;

        cni_manager_free(t->manager);
        sd_event_unref(t->event);
        safe_close(t->listener);
        (void) unlink(t->socket_path);
        (void) rmdir(t->state);
        (void) rmdir(t->dir);
        free(t->socket_path);
        free(t->state);
        free(t->told_error);
        free(t);
        return 0;
}

static void run(Test *t) {
        while (sd_event_run(t->event, 0) > 0)
                ;
}

/* The next question; a descriptor to answer on. */
static int question(Test *t, const char *command, const char *key, bool netns) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        int sock, fds[FDS_MAX];
        size_t n_fds, size;
        char byte;

        sock = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(sock >= 0);
        assert_int_equal(recv_with_fds(sock, &byte, 1, fds, &n_fds, 0), 1);
        assert_int_equal(n_fds, netns ? 2 : 1);
        assert_int_equal(read_all(fds[0], 1 << 20, &text, &size), 0);
        assert_int_equal(json_parse(text, size, 1 << 20, &j, NULL), 0);
        assert_string_equal(json_get_string(j, "command"), command);
        assert_string_equal(json_get_string(j, "container"), key);
        assert_int_equal(json_array_size(json_object_get(j, "attachments")), streq(command, "ADD"));
        for (size_t i = 0; i < n_fds; i++)
                safe_close(fds[i]);
        return sock;
}

/* The same; of what is not looked at. */
static int question_any(Test *t, const char *command, const char *key, const char *value) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        int sock, fds[FDS_MAX];
        size_t n_fds, size;
        char byte;

        sock = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(sock >= 0);
        assert_int_equal(recv_with_fds(sock, &byte, 1, fds, &n_fds, 0), 1);
        assert_int_equal(read_all(fds[0], 1 << 20, &text, &size), 0);
        assert_int_equal(json_parse(text, size, 1 << 20, &j, NULL), 0);
        assert_string_equal(json_get_string(j, "command"), command);
        assert_non_null(json_get_string(j, key));
        assert_int_equal(n_fds, streq(key, "network") ? 1 : 2);
        if (value)
                assert_string_equal(json_get_string(j, key), value);
        for (size_t i = 0; i < n_fds; i++)
                safe_close(fds[i]);
        return sock;
}

static int count_one(const CniShown *s, void *userdata) {
        unsigned *n = userdata;

        assert_string_equal(s->addresses[0], "10.0.0.1/8");
        (*n)++;
        return 0;
}

static unsigned n_shown(Test *t, const char *key) {
        unsigned n = 0;

        assert_int_equal(cni_manager_foreach(t->manager, key, count_one, &n), 0);
        return n;
}

static void wait_question(Test *t) {
        struct pollfd p = { .fd = t->listener, .events = POLLIN };

        for (unsigned i = 0; i < 100 && poll(&p, 1, 0) == 0; i++)
                (void) sd_event_run(t->event, 10 * RETRY_USEC);
}

static void nobody_asks(Test *t) {
        run(t);
        assert_int_equal(accept4(t->listener, NULL, NULL, SOCK_CLOEXEC), -1);
        assert_int_equal(errno, EAGAIN);
}

static void reply(Test *t, int sock, const char *text) {
        _cleanup_close_ int memfd = memfd_new_sealed("x", text, strlen(text)), owned = sock;

        assert_int_equal(send_with_fds(owned, "", 1, &memfd, 1, 0), 0);
        run(t);
}

static void add(Test *t, const char *key) {
        _cleanup_json_ json_t *a = json_pack("[{s:s}]", "network", "a");

        assert_int_equal(cni_manager_add(t->manager, key, a), 0);
}

static void recovered(Test *t) {
        assert_int_equal(cni_manager_recovered(t->manager, on_told, is_wanted, t), 0);
}

static void test_add_del(void **state) {
        Test *t = *state;

        recovered(t);
        add(t, "moored.1.a.b");
        assert_string_equal(t->stored, "cni.moored.1.a.b");
        add(t, "moored.1.a.b"); /* the launcher asks */
        assert_int_equal(t->n_told, 0);
        assert_int_equal(n_shown(t, "moored.1.a.b"), 0);
        reply(t, question(t, "ADD", "moored.1.a.b", true), RECORD);
        assert_int_equal(t->n_told, 1);
        assert_int_equal(n_shown(t, "moored.1.a.b"), 1);
        assert_true(t->told_netns >= 0);
        nobody_asks(t);
        add(t, "moored.1.a.b");
        assert_int_equal(t->n_told, 2);

        cni_manager_del(t->manager, "moored.1.a.b");
        assert_int_equal(n_shown(t, "moored.1.a.b"), 0);
        cni_manager_del(t->manager, "moored.1.a.b");
        add(t, "moored.1.a.b"); /* started again at once */
        assert_int_equal(t->n_stored, 1);
        reply(t, question(t, "DEL", "moored.1.a.b", true), "{}");
        assert_int_equal(t->n_made, 2);
        assert_int_equal(t->n_stored, 1);
        reply(t, question(t, "ADD", "moored.1.a.b", true), RECORD);
        assert_int_equal(t->n_told, 3);
        cni_manager_del(t->manager, "moored.1.a.b");
        reply(t, question(t, "DEL", "moored.1.a.b", true), "{}");
        assert_int_equal(t->n_stored, 0);
        assert_int_equal(n_shown(t, "moored.1.a.b"), 0);
        cni_manager_del(t->manager, "moored.1.a.b");
        nobody_asks(t);
}

/* Until the namespace is given up; then when it is asked for. */
static void test_retry(void **state) {
        static const char failed[] = "{\"name\":\"PluginFailed\",\"error\":\"No.\"}";
        Test *t = *state;

        recovered(t);
        add(t, "a");
        reply(t, question(t, "ADD", "a", true), RECORD);
        cni_manager_del(t->manager, "a");
        for (unsigned i = 1; i < 3; i++) {
                reply(t, question(t, "DEL", "a", true), failed);
                assert_int_equal(t->n_stored, 1);
                cni_manager_del(t->manager, "a"); /* once is enough: nobody asks again below */
                wait_question(t);
        }
        safe_close(question(t, "DEL", "a", true)); /* killed */
        run(t);
        assert_int_equal(t->n_stored, 0);
        assert_true(sd_event_run(t->event, 100 * RETRY_USEC) == 0);
        nobody_asks(t);

        cni_manager_tend(t->manager);
        reply(t, question(t, "DEL", "a", false), failed);
        /* Started again, while that waits: at once, with another namespace if it still fails. */
        add(t, "a");
        reply(t, question(t, "DEL", "a", false), failed);
        reply(t, question(t, "ADD", "a", true), RECORD);
        assert_int_equal(t->n_made, 2);
        cni_manager_del(t->manager, "a");
        reply(t, question(t, "DEL", "a", true), "{}");
        cni_manager_tend(t->manager);
        nobody_asks(t);
        assert_int_equal(t->n_stored, 0);
}

/* What is attached is checked; after that, and alone, networks that know it are collected. */
static void test_tend(void **state) {
        Test *t = *state;
        int sock;

        cni_manager_tend(t->manager); /* too early */
        recovered(t);
        add(t, "moored.1.a.b");
        reply(t, question(t, "ADD", "moored.1.a.b", true), RECORD_OF("moored.1.a.b", "1.1.0"));
        add(t, "c");
        reply(t, question(t, "ADD", "c", true), RECORD_OF("c", "1.1.0"));
        cni_manager_tend(t->manager);
        sock = question_any(t, "CHECK", "container", NULL);
        reply(t, question_any(t, "CHECK", "container", NULL), "{\"name\":\"PluginFailed\",\"error\":\"It is gone.\"}");
        nobody_asks(t);
        reply(t, sock, "{}");
        sock = question_any(t, "GC", "network", "n");
        nobody_asks(t);
        reply(t, sock, "{\"name\":\"PluginFailed\",\"error\":\"No.\"}");
        nobody_asks(t);
        assert_int_equal(t->n_stored, 2);
}

static void test_failure(void **state) {
        Test *t = *state;

        recovered(t);
        add(t, "a");
        reply(t, question(t, "ADD", "a", true), "{\"name\":\"PluginFailed\",\"error\":\"No.\"}");
        assert_string_equal(t->told_error, "PluginFailed: No.");
        assert_int_equal(t->told_netns, -EBADF);
        assert_int_equal(t->n_stored, 0);
        /* mooring has undone it, and would know if not. */
        cni_manager_del(t->manager, "a");
        reply(t, question(t, "DEL", "a", false), "{}");

        /* Nobody has undone anything: that is done at once, with the namespace. */
        add(t, "a");
        safe_close(question(t, "ADD", "a", true));
        run(t);
        assert_non_null(strstr(t->told_error, "moored-cni@"));
        assert_int_equal(t->n_stored, 1);
        cni_manager_del(t->manager, "a");
        reply(t, question(t, "DEL", "a", true), "{}");
        assert_int_equal(t->n_stored, 0);
        add(t, "a");
        reply(t, question(t, "ADD", "a", true), "{\"attachments\":7}");
        assert_non_null(strstr(t->told_error, "What plug-ins have attached: "));
        reply(t, question(t, "DEL", "a", true), "{}");
        nobody_asks(t);
        (void) unlink(t->socket_path);
        add(t, "a");
        assert_non_null(strstr(t->told_error, "moored-cni.socket"));
}

/* It ends while it is being attached. */
static void test_del_in_add(void **state) {
        Test *t = *state;
        int sock;

        recovered(t);
        add(t, "a");
        sock = question(t, "ADD", "a", true);
        cni_manager_del(t->manager, "a");
        nobody_asks(t);
        reply(t, sock, RECORD);
        assert_int_equal(t->n_told, 0);
        reply(t, question(t, "DEL", "a", true), "{}");
        assert_int_equal(t->n_stored, 0);
}

static void test_at_once(void **state) {
        int socks[CNI_AT_ONCE_MAX];
        Test *t = *state;
        char key[8];

        recovered(t);
        for (unsigned i = 0; i <= CNI_AT_ONCE_MAX; i++) {
                (void) snprintf(key, sizeof(key), "k%u", i);
                add(t, key);
        }
        for (unsigned i = 0; i < CNI_AT_ONCE_MAX; i++) {
                (void) snprintf(key, sizeof(key), "k%u", i);
                socks[i] = question(t, "ADD", key, true);
        }
        nobody_asks(t);
        reply(t, socks[0], RECORD);
        reply(t, question(t, "ADD", "k16", true), RECORD);
        for (unsigned i = 1; i < CNI_AT_ONCE_MAX; i++)
                reply(t, socks[i], RECORD);
        assert_int_equal(t->n_told, CNI_AT_ONCE_MAX + 1);
}

/* The last one was killed: what is stored and what is recorded is all that there is. */
static void test_recovery(void **state) {
        static const char kept[] = RECORD_OF("moored.1.a.runs", "1.1.0");
        _cleanup_close_ int dir = -EBADF;
        Test *t = *state;

        assert_int_equal(mkdir(t->state, 0700), 0);
        dir = open(t->state, O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(write_file_atomic_at(dir, "moored.1.a.runs.json", kept, strlen(kept), 0600, false), 0);
        assert_int_equal(write_file_atomic_at(dir, "moored.1.a.gone.json", "", 0, 0600, false), 0);
        assert_int_equal(write_file_atomic_at(dir, "lock", "", 0, 0600, false), 0);
        assert_int_equal(cni_manager_adopt(t->manager, "network", 7), 0);
        assert_int_equal(cni_manager_adopt(t->manager, "cni.moored.1.a.runs", open("/dev/null", O_RDONLY)), 1);
        t->n_stored = 1;
        t->wanted = "moored.1.a.runs";
        recovered(t);
        reply(t, question(t, "DEL", "moored.1.a.gone", false), "{}");
        reply(t, question_any(t, "GC", "network", "n"), "{}");
        nobody_asks(t);
        assert_int_equal(n_shown(t, "moored.1.a.runs"), 1);

        /* Its launcher had asked the last one. */
        add(t, "moored.1.a.runs");
        reply(t, question(t, "ADD", "moored.1.a.runs", true), kept);
        assert_int_equal(t->n_made, 0);
        assert_int_equal(t->n_told, 1);
        cni_manager_del(t->manager, "moored.1.a.runs");
        reply(t, question(t, "DEL", "moored.1.a.runs", true), "{}");
        assert_int_equal(t->n_stored, 0);
        (void) unlinkat(dir, "moored.1.a.runs.json", 0);
        (void) unlinkat(dir, "moored.1.a.gone.json", 0);
        (void) unlinkat(dir, "lock", 0);
}

/* The store was emptied: the namespace is the process's, which somebody else has asked for. */
static void test_keep(void **state) {
        static const char kept[] = RECORD_OF("moored.1.a.runs", "1.0.0");
        _cleanup_close_ int dir = -EBADF, netns = open("/dev/null", O_RDONLY | O_CLOEXEC);
        Test *t = *state;

        assert_int_equal(mkdir(t->state, 0700), 0);
        dir = open(t->state, O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(write_file_atomic_at(dir, "moored.1.a.runs.json", kept, strlen(kept), 0600, false), 0);
        t->wanted = "moored.1.a.runs";
        recovered(t);
        nobody_asks(t);
        assert_false(cni_manager_misses_netns(t->manager, "moored.1.a.other"));
        assert_int_equal(cni_manager_keep_netns(t->manager, "moored.1.a.other", netns), 0);
        assert_int_equal(t->n_stored, 0);
        assert_true(cni_manager_misses_netns(t->manager, "moored.1.a.runs"));
        assert_int_equal(cni_manager_keep_netns(t->manager, "moored.1.a.runs", netns), 0);
        assert_int_equal(t->n_stored, 1);
        assert_string_equal(t->stored, "cni.moored.1.a.runs");
        assert_false(cni_manager_misses_netns(t->manager, "moored.1.a.runs"));
        cni_manager_del(t->manager, "moored.1.a.runs");
        reply(t, question(t, "DEL", "moored.1.a.runs", true), "{}");
        assert_int_equal(t->n_stored, 0);
        (void) unlinkat(dir, "moored.1.a.runs.json", 0);
}

static void test_key(void **state) {
        _cleanup_free_ char *a = cni_key("a", "b.c"), *b = cni_key("a.b", "c");

        assert_string_equal(a, "moored.1.a.b.c");
        assert_string_not_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
                T(test_add_del), T(test_retry), T(test_tend), T(test_failure), T(test_del_in_add), T(test_at_once), T(test_recovery), T(test_keep), cmocka_unit_test(test_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
