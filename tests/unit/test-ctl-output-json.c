/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/json.h"
#include "ctl/create-bag.h"
#include "ctl/event-record.h"
#include "ctl/output-json.h"

/* Messages can only be made on a connection; nobody is at its other end. */
static int setup(void **state) {
        sd_bus *bus = NULL;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -1;
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fds[0], fds[0]) < 0 || sd_bus_start(bus) < 0)
                return -1;
        *state = bus;
        (void) close(fds[1]);
        return 0;
}

static int teardown(void **state) {
        sd_bus_unref(*state);
        return 0;
}

static sd_bus_message *message(void **state) {
        sd_bus_message *m = NULL;

        assert_true(sd_bus_message_new_signal(*state, &m, "/a", "a.b", "C") >= 0);
        return m;
}

static void rewind_message(sd_bus_message *m) {
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(sd_bus_message_rewind(m, true) >= 0);
}

static void expect_json(sd_bus_message *m, const char *expected) {
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(bus_message_to_json(m, &j), 0);
        text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
        assert_non_null(text);
        assert_string_equal(text, expected);
}

static void test_properties(void **state) {
        sd_bus_message *m = message(state);

        assert_true(sd_bus_message_append(m, "a{sv}", 9, "Id", "s", "ab\"c", "LeaderPID", "u", UINT32_MAX,
                                          "ExitCode", "i", -1, "CreatedUSec", "t",
                                          UINT64_C(1700000000000000), "StopTimeoutUSec", "t", UINT64_MAX,
                                          "AutoRemove", "b", 1, "Command", "as", 2, "sh", "-c", "Labels",
                                          "a{ss}", 1, "k", "v", "UnitPath", "o", "/x") >= 0);
        rewind_message(m);
        expect_json(m,
                    "{\"Id\":\"ab\\\"c\",\"LeaderPID\":4294967295,\"ExitCode\":-1,\"CreatedUSec\":1700000000000000,"
                    "\"StopTimeoutUSec\":null,\"AutoRemove\":true,\"Command\":[\"sh\",\"-c\"],\"Labels\":{\"k\":\"v\"},"
                    "\"UnitPath\":\"/x\"}");
        sd_bus_message_unref(m);
}

static void test_structures(void **state) {
        sd_bus_message *m = message(state);

        assert_true(sd_bus_message_append(m, "a(ssttb)", 2, "sha256:a", "done", UINT64_C(1), UINT64_C(2), 0,
                                          "sha256:b", "waiting", UINT64_C(0), UINT64_C(0), 1) >= 0);
        assert_true(sd_bus_message_append(m, "a{us}vynqxd", 1, UINT32_C(5), "five", "v", "s", "deep",
                                          (uint8_t) 200, -3, 60000, INT64_MIN, 0.5) >= 0);
        rewind_message(m);
        expect_json(m, "[[\"sha256:a\",\"done\",1,2,false],[\"sha256:b\",\"waiting\",0,0,true]]");
        expect_json(m, "{\"5\":\"five\"}");
        expect_json(m, "\"deep\"");
        expect_json(m, "200");
        expect_json(m, "-3");
        expect_json(m, "60000");
        expect_json(m, "-9223372036854775808");
        expect_json(m, "0.5");
        assert_int_equal(bus_message_to_json(m, &(json_t *){ NULL }), -ENODATA);
        sd_bus_message_unref(m);
}

static void test_empty_containers(void **state) {
        sd_bus_message *m = message(state);

        assert_true(sd_bus_message_append(m, "a{sv}as", 0, 0) >= 0);
        rewind_message(m);
        expect_json(m, "{}");
        expect_json(m, "[]");
        sd_bus_message_unref(m);
}

static void test_member_expand(void **state) {
        _cleanup_json_ json_t *j =
                        json_pack("{ss ss si}", "Spec", "{\"a\":[1]}", "Config", "not json", "Number", 1);

        json_member_expand(j, "Spec");
        json_member_expand(j, "Config");
        json_member_expand(j, "Number");
        json_member_expand(j, "Absent");
        assert_int_equal(json_integer_value(json_array_get(json_object_get(json_object_get(j, "Spec"), "a"),
                                                           0)),
                         1);
        assert_string_equal(json_get_string(j, "Config"), "not json");
        assert_int_equal(json_object_size(j), 3);
}

static void test_print(void **state) {
        _cleanup_json_ json_t *j = json_pack("{si}", "A", 1);
        static const char *const expected[] = {
                [OUTPUT_OFF] = "",
                [OUTPUT_SHORT] = "{\"A\":1}\n",
                [OUTPUT_PRETTY] = "{\n        \"A\": 1\n}\n",
        };

        for (OutputMode mode = 0; mode < _OUTPUT_MODE_MAX; mode++) {
                _cleanup_free_ char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);

                assert_int_equal(json_print(j, mode, f), 0);
                assert_int_equal(fclose(f), 0);
                assert_string_equal(text, expected[mode]);
        }
        assert_int_equal(output_mode_from_string("pretty"), OUTPUT_PRETTY);
        assert_true(output_mode_from_string("yes") < 0);
}

static void test_event_record(void **state) {
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *details = NULL, *text = NULL;
        EventRecord e = {};
        sd_bus_message *m = message(state);

        assert_true(sd_bus_message_append(m, "a(ttsssa{sv})", 1, UINT64_C(9), UINT64_C(1000), "default",
                                          "container/exited", "x", 3, "ExitCode", "x", INT64_C(7),
                                          "ExitSignal", "s", "", "Image", "s", "busybox") >= 0);
        assert_true(sd_bus_message_append(m, "ttsssa{sv}", UINT64_C(10), UINT64_C(2000), "n", "job/new", "1",
                                          0) >= 0);
        rewind_message(m);

        assert_true(sd_bus_message_enter_container(m, 'a', "(ttsssa{sv})") > 0);
        assert_int_equal(event_record_read(m, true, &e), 1);
        assert_int_equal(event_record_to_json(&e, &j), 0);
        text = json_dumps(j, JSON_COMPACT);
        assert_string_equal(
                        text,
                        "{\"Sequence\":9,\"USec\":1000,\"Namespace\":\"default\",\"Topic\":\"container/exited\","
                        "\"Subject\":\"x\",\"Details\":{\"ExitCode\":7,\"ExitSignal\":\"\",\"Image\":\"busybox\"}}");
        /* What is empty is not worth showing. */
        details = event_details_to_string(e.details);
        assert_string_equal(details, "ExitCode=7 Image=busybox");
        event_record_done(&e);

        assert_int_equal(event_record_read(m, true, &e), 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
        assert_int_equal(event_record_read(m, false, &e), 1);
        assert_int_equal(e.sequence, 10);
        assert_string_equal(e.topic, "job/new");
        event_record_done(&e);
        sd_bus_message_unref(m);
}

static void test_option_bag(void **state) {
        const CreateDescriptors no_fds = CREATE_DESCRIPTORS_NULL;
        char *const command[] = { (char *) "sh", (char *) "-c", (char *) "true", NULL };
        char *labels[] = { (char *) "a=b=c", (char *) "empty=", NULL };
        char *options[] = { (char *) "ro", NULL };
        MountArg mounts[] = { { (char *) "bind", (char *) "/a", (char *) "/b", options },
                              { (char *) "tmpfs", (char *) "tmpfs", (char *) "/t", NULL } };
        char *networks[] = { (char *) "n", NULL }, *details[] = { (char *) "ip=10.0.0.2", NULL },
             *publish[] = { (char *) "80", NULL };
        CreateOptions o = {
                .user = "me",
                .labels = labels,
                .mounts = mounts,
                .n_mounts = 2,
                .read_only = true,
                .entrypoint_set = true,
                .stop_timeout_set = true,
                .stop_timeout_usec = 5000000,
                .network = { .networks = networks, .details = details, .publish = publish, .publish_all = true },
        };
        CreateOptions none = {};
        sd_bus_message *m = message(state);

        assert_true(create_options_append(m, &o, command, &no_fds) >= 0);
        assert_true(create_options_append(m, &none, NULL, &no_fds) >= 0);
        rewind_message(m);
        expect_json(m,
                    "{\"Command\":[\"sh\",\"-c\",\"true\"],\"User\":\"me\",\"Entrypoint\":[],"
                    "\"Labels\":{\"a\":\"b=c\",\"empty\":\"\"},"
                    "\"Mounts\":[[\"bind\",\"/a\",\"/b\",[\"ro\"]],[\"tmpfs\",\"tmpfs\",\"/t\",[]]],"
                    "\"Networks\":[\"n:ip=10.0.0.2\"],\"Publish\":[\"80\"],\"PublishAll\":true,\"ReadOnly\":true,\"StopTimeoutUSec\":5000000}");
        expect_json(m, "{}");
        sd_bus_message_unref(m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_properties, setup, teardown),
                cmocka_unit_test_setup_teardown(test_structures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty_containers, setup, teardown),
                cmocka_unit_test(test_member_expand),
                cmocka_unit_test(test_print),
                cmocka_unit_test_setup_teardown(test_event_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_option_bag, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
