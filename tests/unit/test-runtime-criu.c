/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/criu.h"

/* The coding of numbers and strings, by the examples of protobuf's own description. */
static void test_write(void **state) {
        static const uint8_t expected[] = {
                0x08, 0x96, 0x01,                                    /* 1: 150 */
                0x12, 0x07, 't',  'e',  's',  't',  'i',  'n',  'g', /* 2: "testing" */
                0x1a, 0x03, 0x08, 0x96, 0x01,                        /* 3: { 1: 150 } */
                0xf8, 0x03, 0x01,                                    /* 63: 1 */
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
        };
        _cleanup_(proto_writer_done) ProtoWriter w = {}, m = {};

        proto_write_int(&m, 1, 150);
        proto_write_int(&w, 1, 150);
        proto_write_string(&w, 2, "testing");
        proto_write_string(&w, 2, NULL);
        proto_write_message(&w, 3, &m);
        proto_write_int(&w, 63, 1);
        proto_write_int(&w, 1, -1);
        assert_false(w.failed);
        assert_int_equal(w.n, sizeof(expected));
        assert_memory_equal(w.data, expected, sizeof(expected));
}

static void test_read(void **state) {
        static const uint8_t data[] = { 0x08, 0x96, 0x01, 0x12, 0x02, 'a', 'b', 0x1d, 1, 2, 3,
                                        4,    0x21, 1,    2,    3,    4,   5,   6,    7, 8 };
        const uint8_t *p = data;
        size_t n = sizeof(data);
        ProtoField f;

        assert_int_equal(proto_read(&p, &n, &f), 1);
        assert_int_equal(f.field, 1);
        assert_int_equal(f.value, 150);
        assert_int_equal(proto_read(&p, &n, &f), 1);
        assert_int_equal(f.field, 2);
        assert_int_equal(f.n, 2);
        assert_memory_equal(f.data, "ab", 2);
        assert_int_equal(proto_read(&p, &n, &f), 1);
        assert_int_equal(f.field, 3);
        assert_int_equal(f.n, 4);
        assert_int_equal(proto_read(&p, &n, &f), 1);
        assert_int_equal(f.field, 4);
        assert_int_equal(f.n, 8);
        assert_int_equal(proto_read(&p, &n, &f), 0);
}

static void check_bad(const void *data, size_t n) {
        const uint8_t *p = data;
        CriuResponse r;
        ProtoField f;

        assert_int_equal(criu_response_decode(data, n, &r), -EBADMSG);
        while (proto_read(&p, &n, &f) > 0)
                ;
}

#define CHECK_BAD(s) check_bad((s), sizeof(s) - 1)

static void test_bad(void **state) {
        CHECK_BAD("\x80");                                             /* cut short */
        CHECK_BAD("\x08");                                             /* a key without a value */
        CHECK_BAD("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"); /* more than 64 bits */
        CHECK_BAD("\x00\x01");                                         /* field 0 */
        CHECK_BAD("\x0b");                                             /* a group */
        CHECK_BAD("\x0a\x05"
                  "abc"); /* longer than what is there */
        CHECK_BAD("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        CHECK_BAD("\x25\x01\x02");
        CHECK_BAD("\x22\x01\x80"); /* inside */
}

static void test_response(void **state) {
        _cleanup_(proto_writer_done) ProtoWriter w = {}, m = {}, notify = {}, features = {};
        CriuResponse r;

        proto_write_int(&w, 1, CRIU_REQUEST_RESTORE);
        proto_write_int(&w, 2, 1);
        proto_write_int(&m, 1, 4711);
        proto_write_message(&w, 4, &m);
        proto_write_int(&w, 99, 5); /* of a later version */
        proto_write_string(&w, 98, "x");
        assert_int_equal(criu_response_decode(w.data, w.n, &r), 0);
        assert_int_equal(r.type, CRIU_REQUEST_RESTORE);
        assert_true(r.success);
        assert_int_equal(r.pid, 4711);
        assert_string_equal(r.text, "");

        w.n = 0;
        proto_write_int(&w, 1, CRIU_REQUEST_NOTIFY);
        proto_write_string(&notify, 1, "setup-namespaces");
        proto_write_int(&notify, 2, 12);
        proto_write_message(&w, 5, &notify);
        proto_write_int(&features, CRIU_FEATURE_MEMORY_TRACKING, 1);
        proto_write_message(&w, 8, &features);
        proto_write_int(&w, 7, 22);
        proto_write_string(&w, 9, "Error (a.c:1): b\n");
        assert_int_equal(criu_response_decode(w.data, w.n, &r), 0);
        assert_false(r.success);
        assert_string_equal(r.script, "setup-namespaces");
        assert_int_equal(r.pid, 12);
        assert_int_equal(r.error, 22);
        assert_string_equal(r.text, "Error (a.c:1): b");
        assert_true(r.features[CRIU_FEATURE_MEMORY_TRACKING]);
        assert_false(r.features[CRIU_FEATURE_LAZY_PAGES]);
}

static void test_long_text(void **state) {
        _cleanup_(proto_writer_done) ProtoWriter w = {};
        CriuResponse r;
        char text[2000];

        memset(text, 'x', sizeof(text));
        proto_write_bytes(&w, 9, text, sizeof(text));
        assert_int_equal(criu_response_decode(w.data, w.n, &r), 0);
        assert_int_equal(strlen(r.text), sizeof(r.text) - 1);

        /* A number where a text is expected. */
        w.n = 0;
        proto_write_int(&w, 9, 1);
        assert_int_equal(criu_response_decode(w.data, w.n, &r), 0);
        assert_string_equal(r.text, "");
}

static int take(CriuOptions *o, int c, const char *value, Error *e) {
        optarg = (char *) value;
        return criu_take_option(o, c, e);
}

static void test_options(void **state) {
        _cleanup_(criu_options_done) CriuOptions o = CRIU_OPTIONS_INIT;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_string_equal(o.image_path, "checkpoint");
        assert_int_equal(o.cgroups_mode, 3);
        assert_int_equal(take(&o, OPTION_IMAGE_PATH, "/i", NULL), 0);
        assert_string_equal(o.image_path, "/i");
        assert_int_equal(take(&o, OPTION_TCP_CLOSE, NULL, NULL), 0);
        assert_true(o.tcp_close);
        assert_int_equal(take(&o, OPTION_MANAGE_CGROUPS_MODE, "ignore", NULL), 0);
        assert_int_equal(o.cgroups_mode, 0);
        assert_int_equal(take(&o, OPTION_PAGE_SERVER, "::1:27", NULL), 0);
        assert_string_equal(o.page_server, "::1");
        assert_int_equal(o.page_server_port, 27);
        assert_int_equal(take(&o, OPTION_EMPTY_NS, "network", NULL), 0);
        assert_true(o.empty_ns != 0);

        assert_int_equal(take(&o, OPTION_MANAGE_CGROUPS_MODE, "some", &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "--manage-cgroups-mode=some"));
        assert_int_equal(take(&o, OPTION_NETWORK_LOCK, "x", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_EMPTY_NS, "pid", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_PAGE_SERVER, "27", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_PAGE_SERVER, "a:0", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_PAGE_SERVER, "a:65536", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_STATUS_FD, "1", NULL), -EINVAL);
        assert_int_equal(take(&o, OPTION_STATUS_FD, "999", NULL), -EBADF);
}

/* A place that an image's symlink leads to is what CRIU is told, as long as CRIU reads the same in it. */
static void test_mounts(void **state) {
        static const char text[] = "{\"ociVersion\": \"1.0.0\", \"mounts\": [{\"destination\": \"/data\", "
                                   "\"type\": \"bind\", \"source\": \"/srv\", \"options\": [\"rbind\"]}]}";
        static const struct {
                const char *directory;
                int r;
        } cases[] = { { "plain", 0 }, { "a]:b", -EINVAL }, { "end]", -EINVAL } };
        char root[] = "/tmp/test-runtime-criu-XXXXXX";
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(runtime_spec_parse(text, strlen(text), &spec, NULL), 0);
        assert_non_null(mkdtemp(root));
        fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(proto_writer_done) ProtoWriter w = {};

                assert_return_code(mkdirat(fd, cases[i].directory, 0755), errno);
                assert_return_code(symlinkat(cases[i].directory, fd, "data"), errno);
                assert_int_equal(criu_write_mounts(&w, spec, fd, root, true, NULL), cases[i].r);
                assert_int_equal(w.n > 0, cases[i].r == 0);
                if (cases[i].r == 0)
                        assert_non_null(memmem(w.data, w.n, cases[i].directory, strlen(cases[i].directory)));
                assert_return_code(unlinkat(fd, "data", 0), errno);
        }
        assert_int_equal(rm_rf_at(AT_FDCWD, root), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_write),     cmocka_unit_test(test_read),
                cmocka_unit_test(test_bad),       cmocka_unit_test(test_response),
                cmocka_unit_test(test_long_text), cmocka_unit_test(test_options),
                cmocka_unit_test(test_mounts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
