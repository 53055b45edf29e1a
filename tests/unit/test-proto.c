/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "job/proto.h"

static int setup(void **state) {
        int *p = calloc(2, sizeof(int));

        *state = p;
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p);
}

static int teardown(void **state) {
        int *p = *state;

        safe_close_pair(p);
        free(p);
        return 0;
}

static void test_round_trip(void **state) {
        int *p = *state;
        _cleanup_proto_message_ ProtoMessage m = {};
        char number[PROTO_U64_MAX];
        uint64_t v;
        int fd;

        assert_int_equal(proto_receive(p[1], &m, false), -EAGAIN);
        assert_int_equal(proto_send(p[0], (int[]){ p[0], p[1] }, 2, "blob-done", "DIGEST", "sha256:x=y",
                                    "SIZE", proto_u64(number, UINT64_MAX), "TEXT",
                                    "zwei\nZeilen\tund\x7f"
                                    "Umlaute: \xc3\xa4",
                                    "EMPTY", "", NULL),
                         0);
        assert_int_equal(proto_receive(p[1], &m, false), 1);
        assert_string_equal(proto_get(&m, "TYPE"), "blob-done");
        assert_string_equal(proto_get(&m, "DIGEST"), "sha256:x=y");
        assert_string_equal(proto_get(&m, "TEXT"), "zwei?Zeilen?und?Umlaute: \xc3\xa4");
        assert_string_equal(proto_get(&m, "EMPTY"), "");
        assert_null(proto_get(&m, "NONE"));
        assert_int_equal(proto_get_uint64(&m, "SIZE", &v), 0);
        assert_true(v == UINT64_MAX);
        assert_int_equal(proto_get_uint64(&m, "DIGEST", &v), -EINVAL);
        assert_int_equal(proto_get_uint64(&m, "NONE", &v), -ENOENT);

        assert_int_equal(m.n_fds, 2);
        fd = proto_take_fd(&m, 1);
        assert_true(fd >= 0);
        assert_int_equal(proto_take_fd(&m, 1), -EBADF);
        assert_int_equal(proto_take_fd(&m, 2), -EBADF);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        safe_close(fd);
}

static void test_end(void **state) {
        int *p = *state;
        ProtoMessage m = {};

        p[0] = safe_close(p[0]);
        assert_int_equal(proto_receive(p[1], &m, true), 0);
        assert_int_equal(proto_send(p[1], NULL, 0, "x", NULL), -EPIPE);
}

static void test_bad(void **state) {
        static const struct {
                const char *p;
                size_t n;
        } bad[] = {
#define B(s) { s, sizeof(s) - 1 }
                B("TYPE"),
                B("TYPE="),
                B("=x"),
                B("SIZE=1\nTYPE=x"),
                B("TYPE=x\n"),
                B("TYPE=x\nA"),
                B("TYPE=x\n=1"),
                B("TYPE=x\nlower=1"),
                B("TYPE=x\nA=1\nA=2"),
                B("TYPE=x\nTYPE=y"),
                B("TYPE=x\nA=\x01"),
                B("TYPE=x\nA=\0"),
                B("TYPE=x\0\nA=1"),
                B("\n"),
                B("TYPE=x\nA B=1"),
                B("TYPE=x\nABCDEFGHIJABCDEFGHIJABCDEFGHIJABC=1"),
        };
        int *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ProtoMessage m = {};

                assert_int_equal(send(p[0], bad[i].p, bad[i].n, 0), (ssize_t) bad[i].n);
                assert_int_equal(proto_receive(p[1], &m, true), -EBADMSG);
                assert_null(m.buffer);
        }
}

static void test_limits(void **state) {
        int *p = *state;
        _cleanup_free_ char *text = calloc(1, PROTO_MESSAGE_MAX + 2);
        _cleanup_proto_message_ ProtoMessage m = {};
        ProtoMessage none = {};
        size_t n = PROTO_MESSAGE_MAX - strlen("TYPE=x\nA=");
        char fields[PROTO_FIELDS_MAX * 8 + 16] = "TYPE=x";

        memset(text, 'v', n);
        assert_int_equal(proto_send(p[0], NULL, 0, "x", "A", text, NULL), 0);
        assert_int_equal(proto_receive(p[1], &m, true), 1);
        assert_int_equal(strlen(proto_get(&m, "A")), n);
        text[n] = 'v';
        assert_int_equal(proto_send(p[0], NULL, 0, "x", "A", text, NULL), -EMSGSIZE);
        memset(text, 'v', PROTO_MESSAGE_MAX + 1);
        memcpy(text, "TYPE=", 5);
        assert_int_equal(send(p[0], text, PROTO_MESSAGE_MAX + 1, 0), PROTO_MESSAGE_MAX + 1);
        assert_int_equal(proto_receive(p[1], &none, true), -EBADMSG);

        for (unsigned i = 1; i < PROTO_FIELDS_MAX; i++)
                (void) snprintf(fields + strlen(fields), 10, "\nA%u=%u", i, i);
        assert_int_equal(send(p[0], fields, strlen(fields), 0), (ssize_t) strlen(fields));
        proto_message_done(&m);
        assert_int_equal(proto_receive(p[1], &m, true), 1);
        assert_int_equal(m.n_fields, PROTO_FIELDS_MAX);
        strcat(fields, "\nB=1");
        assert_int_equal(send(p[0], fields, strlen(fields), 0), (ssize_t) strlen(fields));
        assert_int_equal(proto_receive(p[1], &none, true), -EBADMSG);
}

static void test_error(void **state) {
        int *p = *state;
        _cleanup_proto_message_ ProtoMessage m = {};
        _cleanup_error_ Error e = {}, got = {};

        (void) error_set(&e, -ENOSPC, "NoSpace", "Cannot write: %m");
        assert_int_equal(proto_send_error(p[0], &e), 0);
        assert_int_equal(proto_receive(p[1], &m, true), 1);
        assert_string_equal(proto_get(&m, "TYPE"), "error");
        assert_int_equal(proto_get_error(&m, &got), 0);
        assert_int_equal(got.error, -ENOSPC);
        assert_string_equal(error_name(&got), "NoSpace");
        assert_string_equal(error_message(&got), error_message(&e));

        for (unsigned i = 0; i < 5; i++) {
                static const char *const bad[5][3] = {
                        { "Name", "0", "m" },     { "Name", "-5", "m" }, { "Name", "4096", "m" },
                        { "org.Name", "5", "m" }, { "", "5", "m" },
                };
                _cleanup_proto_message_ ProtoMessage b = {};
                Error none = {};

                assert_int_equal(proto_send(p[0], NULL, 0, "error", "NAME", bad[i][0], "ERRNO", bad[i][1],
                                            "MESSAGE", bad[i][2], NULL),
                                 0);
                assert_int_equal(proto_receive(p[1], &b, true), 1);
                assert_int_equal(proto_get_error(&b, &none), -EBADMSG);
                assert_false(error_is_set(&none));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_error, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
