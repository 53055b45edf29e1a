/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "container/network-socket.h"

typedef struct Test {
        sd_event *event;
        NetworkSocket *socket;
        char directory[32], path[64];
        int stored; /* what the store has */
        unsigned n_asked;
        char asked[300];
        pid_t pid;
} Test;

static int store_add(void *userdata, const char *name, int fd, bool poll) {
        Test *t = userdata;

        assert_string_equal(name, "network");
        assert_false(poll);
        safe_close(t->stored);
        t->stored = fd_dup(fd);
        return t->stored;
}

static void store_remove(void *userdata, const char *name) {
        Test *t = userdata;

        t->stored = safe_close(t->stored);
}

static const TerminalStore store = { store_add, store_remove };

static void on_question(const char *key, pid_t pid, NetworkAnswer *ret, void *userdata) {
        Test *t = userdata;

        t->n_asked++;
        t->pid = pid;
        (void) snprintf(t->asked, sizeof(t->asked), "%s", key);
        if (streq(key, "ns/silent"))
                return;
        if (streq(key, "ns/slow")) {
                ret->later = true;
                return;
        }
        if (streq(key, "ns/again")) {
                /* As where it is ready just when somebody asks. */
                if (t->n_asked > 1)
                        network_socket_answer(t->socket, key, &(NetworkAnswer){ .fd = -EBADF, .text = (char *) "namespace" });
                ret->later = true;
                return;
        }
        if (streq(key, "ns/none")) {
                ret->text = strdup("PortInUse: It is taken.");
                return;
        }
        ret->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ret->text = strdup("namespace");
}

static void start(Test *t) {
        assert_int_equal(network_socket_new(t->event, &store, t, t->path, &t->socket), 0);
        assert_int_equal(network_socket_adopt(t->socket, "terminals", -EBADF), 0);
        if (t->stored >= 0)
                assert_int_equal(network_socket_adopt(t->socket, "network", fd_dup(t->stored)), 1);
}

static int setup(void **state) {
        Test *t = calloc(1, sizeof(*t));

        strcpy(t->directory, "/tmp/test-network-XXXXXX");
        assert_non_null(mkdtemp(t->directory));
        (void) snprintf(t->path, sizeof(t->path), "%s/network", t->directory);
        t->stored = -EBADF;
        assert_true(sd_event_new(&t->event) >= 0);
        start(t);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        network_socket_free(t->socket);
        safe_close(t->stored);
        sd_event_unref(t->event);
        (void) rm_rf_at(AT_FDCWD, t->directory);
        free(t);
        return 0;
}

static int ask(const Test *t, const char *key) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        strcpy(address.sun_path, t->path);
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        if (key)
                assert_int_equal(send(fd, key, strlen(key), 0), (ssize_t) strlen(key));
        return fd;
}

static void loop(Test *t) {
        while (sd_event_run(t->event, 0) > 0)
                ;
}

/* The answer's text; what came with it is closed. "": the other side has hung up. */
static const char *answer(int fd, bool *ret_descriptor) {
        static char text[300];
        int fds[FDS_MAX];
        size_t n_fds = 0;
        ssize_t n = recv_with_fds(fd, text, sizeof(text) - 1, fds, &n_fds, MSG_DONTWAIT);

        assert_true(n >= 0);
        text[n] = 0;
        for (size_t i = 0; i < n_fds; i++)
                safe_close(fds[i]);
        if (ret_descriptor)
                *ret_descriptor = n_fds == 1;
        safe_close(fd);
        return text;
}

static void test_answers(void **state) {
        Test *t = *state;
        bool descriptor;
        struct stat st;
        int fd;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        assert_int_equal(stat(t->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(t->stored >= 0);

        fd = ask(t, "ns/web");
        loop(t);
        assert_string_equal(t->asked, "ns/web");
        assert_int_equal(t->pid, getpid());
        assert_string_equal(answer(fd, &descriptor), "namespace");
        assert_true(descriptor);

        fd = ask(t, "ns/none");
        loop(t);
        assert_string_equal(answer(fd, &descriptor), "PortInUse: It is taken.");
        assert_false(descriptor);

        fd = ask(t, "ns/silent");
        loop(t);
        assert_string_equal(answer(fd, NULL), "");
}

/* What takes its time is answered when it is there, to all that wait for it. */
static void test_later(void **state) {
        NetworkAnswer a = NETWORK_ANSWER_NULL;
        int first, second, gone;
        Test *t = *state;
        bool descriptor;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        assert_false(network_socket_waits(t->socket, "ns/slow"));
        first = ask(t, "ns/slow");
        second = ask(t, "ns/slow");
        gone = ask(t, "ns/slow");
        loop(t);
        assert_int_equal(t->n_asked, 3);
        assert_true(network_socket_waits(t->socket, "ns/slow"));
        assert_false(network_socket_waits(t->socket, "ns/other"));
        safe_close(gone);
        loop(t);
        a.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        a.text = strdup("namespace");
        network_socket_answer(t->socket, "ns/other", &a);
        assert_true(network_socket_waits(t->socket, "ns/slow"));
        network_socket_answer(t->socket, "ns/slow", &a);
        network_answer_done(&a);
        assert_false(network_socket_waits(t->socket, "ns/slow"));
        assert_string_equal(answer(first, &descriptor), "namespace");
        assert_true(descriptor);
        assert_string_equal(answer(second, &descriptor), "namespace");
        assert_true(descriptor);
}

static void test_asks_again(void **state) {
        Test *t = *state;
        int first, second;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        first = ask(t, "ns/again");
        loop(t);
        assert_true(network_socket_waits(t->socket, "ns/again"));
        assert_int_equal(send(first, "ns/again", 8, 0), 8);
        loop(t);
        assert_int_equal(t->n_asked, 2);
        assert_true(network_socket_waits(t->socket, "ns/again"));
        second = ask(t, "ns/again");
        loop(t);
        assert_string_equal(answer(first, NULL), "namespace");
        assert_true(network_socket_waits(t->socket, "ns/again"));
        safe_close(second);
        loop(t);
        assert_false(network_socket_waits(t->socket, "ns/again"));
}

static void test_who_waits(void **state) {
        int early, late, gone, mute;
        Test *t = *state;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        gone = ask(t, NULL);
        mute = ask(t, NULL);
        loop(t);
        safe_close(gone);
        loop(t);
        assert_int_equal(t->n_asked, 0);

        /* Nobody is there: what is asked now is answered by the next. */
        early = ask(t, "ns/early");
        t->socket = network_socket_free(t->socket);
        assert_string_equal(answer(mute, NULL), "");
        late = ask(t, "ns/late");
        start(t);
        loop(t);
        assert_int_equal(t->n_asked, 0);
        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        loop(t);
        assert_int_equal(t->n_asked, 2);
        assert_string_equal(answer(early, NULL), "namespace");
        assert_string_equal(answer(late, NULL), "namespace");
}

/* /run/moored was emptied: nobody could find the old one. */
static void test_lost(void **state) {
        Test *t = *state;
        int fd;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        t->socket = network_socket_free(t->socket);
        assert_int_equal(unlink(t->path), 0);
        start(t);
        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        fd = ask(t, "ns/web");
        loop(t);
        assert_string_equal(answer(fd, NULL), "namespace");
}

static void test_long_questions(void **state) {
        char key[301] = "";
        Test *t = *state;
        int fd;

        memset(key, 'k', 300);
        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        fd = ask(t, key);
        loop(t);
        assert_string_equal(answer(fd, NULL), "namespace");
        assert_int_equal(strlen(t->asked), 255);
}

/* No descriptor is left: the loop waits instead of trying on and on, and who asks is heard when there is one again. */
static void test_no_descriptors(void **state) {
        struct rlimit old, low;
        Test *t = *state;
        int fd;

        assert_int_equal(network_socket_listen(t->socket, on_question, t), 0);
        fd = ask(t, "ns/web");
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        for (unsigned i = 0; i < 3; i++)
                (void) sd_event_run(t->event, 0);
        assert_int_equal(sd_event_run(t->event, 0), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(t->n_asked, 0);
        for (unsigned i = 0; t->n_asked == 0 && i < 10; i++)
                assert_true(sd_event_run(t->event, 10 * 1000 * 1000) > 0);
        assert_int_equal(t->n_asked, 1);
        loop(t);
        assert_string_equal(answer(fd, NULL), "namespace");

        /* It can go while it rests. */
        fd = ask(t, "ns/web");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        (void) sd_event_run(t->event, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        t->socket = network_socket_free(t->socket);
        assert_int_equal(sd_event_run(t->event, 200 * 1000), 0);
        safe_close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_later, setup, teardown),
                cmocka_unit_test_setup_teardown(test_asks_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_questions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
