/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/strv.h"
#include "bus/bus-options.h"

typedef struct Target {
        char *string;
        char **list;
        bool flag;
        uint64_t number;
        int fd;
        char **labels;
} Target;

static const BusOption options[] = {
        { "String", "s", bus_option_string, offsetof(Target, string) },
        { "List", "as", bus_option_strv, offsetof(Target, list) },
        { "Flag", "b", bus_option_bool, offsetof(Target, flag) },
        { "Number", "t", bus_option_uint64, offsetof(Target, number) },
        { "Descriptor", "h", bus_option_fd, offsetof(Target, fd) },
        { "Labels", "a{ss}", bus_option_labels, offsetof(Target, labels) },
        {},
};

static int peer = -1;

/* A connection to nobody: messages can be made and read without one that answers. */
static int setup(void **state) {
        sd_bus *bus;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        peer = pair[1];
        assert_int_equal(sd_bus_new(&bus), 0);
        assert_int_equal(sd_bus_set_fd(bus, pair[0], pair[0]), 0);
        assert_true(sd_bus_start(bus) >= 0);
        *state = bus;
        return 0;
}

static int teardown(void **state) {
        sd_bus_close(*state);
        sd_bus_unref(*state);
        close(peer);
        return 0;
}

static void target_done(Target *t) {
        free(t->string);
        strv_free(t->list);
        strv_free(t->labels);
}

static sd_bus_message *message_new(void **state) {
        sd_bus_message *m;

        assert_true(sd_bus_message_new_method_call(*state, &m, "a.b", "/", "a.b", "C") >= 0);
        return m;
}

static void message_seal(sd_bus_message *m) {
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(sd_bus_message_rewind(m, true) >= 0);
}

static void all_types(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state);
        _cleanup_(target_done) Target t = { .fd = -1 };
        _cleanup_error_ Error error = ERROR_NULL;
        int after;

        assert_true(sd_bus_message_append(m, "a{sv}", 6,
                                          "Labels", "a{ss}", 2, "a", "1", "b", "x=y",
                                          "String", "s", "text",
                                          "List", "as", 2, "one", "two",
                                          "Descriptor", "h", STDERR_FILENO,
                                          "Flag", "b", 1,
                                          "Number", "t", UINT64_MAX) >= 0);
        assert_true(sd_bus_message_append(m, "i", 17) >= 0);
        message_seal(m);

        assert_int_equal(bus_options_parse(m, options, &t, &error), 0);
        assert_string_equal(t.string, "text");
        assert_int_equal(strv_length(t.list), 2);
        assert_string_equal(t.list[1], "two");
        assert_true(t.flag);
        assert_true(t.number == UINT64_MAX);
        assert_true(t.fd >= 0);
        assert_int_equal(strv_length(t.labels), 2);
        assert_string_equal(t.labels[1], "b=x=y");

        /* What follows the bag can be read. */
        assert_true(sd_bus_message_read(m, "i", &after) > 0);
        assert_int_equal(after, 17);
}

static void empty_bag(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state);
        _cleanup_(target_done) Target t = { .number = 5 };

        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        message_seal(m);
        assert_int_equal(bus_options_parse(m, options, &t, NULL), 0);
        assert_null(t.string);
        assert_true(t.number == 5);
}

/* The bag that was appended to m is refused, and the message holds this text. */
static void assert_refused(sd_bus_message *m, const BusOption *table, const char *text) {
        _cleanup_(target_done) Target t = {};
        _cleanup_error_ Error error = ERROR_NULL;

        message_seal(m);
        assert_true(bus_options_parse(m, table, &t, &error) < 0);
        assert_string_equal(error_name(&error), "InvalidArgument");
        if (!strstr(error_message(&error), text))
                fail_msg("“%s” does not say “%s”", error_message(&error), text);
}

static void unknown_key(void **state) {
        static const BusOption none[] = { {} };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state), *n = message_new(state);

        assert_true(sd_bus_message_append(m, "a{sv}", 2, "Flag", "b", 1, "flag", "b", 1) >= 0);
        assert_refused(m, options, "“flag”: this call knows String, List, Flag, Number, Descriptor, Labels");
        assert_true(sd_bus_message_append(n, "a{sv}", 1, "Flag", "b", 1) >= 0);
        assert_refused(n, none, "“Flag”: this call has none");
}

static void key_twice(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state);

        assert_true(sd_bus_message_append(m, "a{sv}", 2, "Flag", "b", 1, "Flag", "b", 0) >= 0);
        assert_refused(m, options, "“Flag” is given twice");
}

static void wrong_type(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state), *n = message_new(state);

        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Number", "u", 1) >= 0);
        assert_refused(m, options, "“Number” has type “u” and must have type “t”");
        assert_true(sd_bus_message_append(n, "a{sv}", 1, "List", "s", "one") >= 0);
        assert_refused(n, options, "“List” has type “s” and must have type “as”");
}

static void bad_labels(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state), *n = message_new(state),
                                                        *o = message_new(state);

        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Labels", "a{ss}", 1, "a=b", "c") >= 0);
        assert_refused(m, options, "“a=b” is not valid");
        assert_true(sd_bus_message_append(n, "a{sv}", 1, "Labels", "a{ss}", 1, "", "c") >= 0);
        assert_refused(n, options, "is not valid");
        assert_true(sd_bus_message_append(o, "a{sv}", 1, "Labels", "a{ss}", 2, "k", "1", "k", "2") >= 0);
        assert_refused(o, options, "“k” is given twice");
}

static void append_list(sd_bus_message *m, unsigned n) {
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        assert_true(sd_bus_message_append(m, "s", "List") >= 0);
        assert_true(sd_bus_message_open_container(m, 'v', "as") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "s") >= 0);
        for (unsigned i = 0; i < n; i++)
                assert_true(sd_bus_message_append(m, "s", "x") >= 0);
        for (unsigned i = 0; i < 4; i++)
                assert_true(sd_bus_message_close_container(m) >= 0);
}

static void longest_list(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state), *n = message_new(state);
        _cleanup_(target_done) Target t = {};

        append_list(m, BUS_LIST_MAX);
        message_seal(m);
        assert_int_equal(bus_options_parse(m, options, &t, NULL), 0);
        assert_int_equal(strv_length(t.list), BUS_LIST_MAX);

        append_list(n, BUS_LIST_MAX + 1);
        assert_refused(n, options, "“List” has more than 4096 elements");
}

static void most_labels(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state);
        char key[16];

        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        assert_true(sd_bus_message_append(m, "s", "Labels") >= 0);
        assert_true(sd_bus_message_open_container(m, 'v', "a{ss}") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{ss}") >= 0);
        for (unsigned i = 0; i <= BUS_LABELS_MAX; i++) {
                (void) snprintf(key, sizeof(key), "k%u", i);
                assert_true(sd_bus_message_append(m, "{ss}", key, "") >= 0);
        }
        for (unsigned i = 0; i < 4; i++)
                assert_true(sd_bus_message_close_container(m) >= 0);
        assert_refused(m, options, "“Labels” has more than 512 elements");
}

static void force(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state), *n = message_new(state);
        bool f = true;

        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        message_seal(m);
        assert_int_equal(bus_options_parse_force(m, &f, NULL), 0);
        assert_false(f);

        assert_true(sd_bus_message_append(n, "a{sv}", 1, "Force", "b", 1) >= 0);
        message_seal(n);
        assert_int_equal(bus_options_parse_force(n, &f, NULL), 0);
        assert_true(f);
}

static void labels_out(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = message_new(state);
        char *labels[] = { (char *) "a=1", (char *) "b=x=y", (char *) "c", NULL };
        _cleanup_strv_free_ char **back = NULL;

        assert_true(bus_append_labels(m, labels) >= 0);
        message_seal(m);
        assert_int_equal(bus_read_labels(m, "labels", &back, NULL), 0);
        assert_int_equal(strv_length(back), 3);
        assert_string_equal(back[1], "b=x=y");
        assert_string_equal(back[2], "c=");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(all_types, setup, teardown),
                cmocka_unit_test_setup_teardown(empty_bag, setup, teardown),
                cmocka_unit_test_setup_teardown(unknown_key, setup, teardown),
                cmocka_unit_test_setup_teardown(key_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(wrong_type, setup, teardown),
                cmocka_unit_test_setup_teardown(bad_labels, setup, teardown),
                cmocka_unit_test_setup_teardown(longest_list, setup, teardown),
                cmocka_unit_test_setup_teardown(most_labels, setup, teardown),
                cmocka_unit_test_setup_teardown(force, setup, teardown),
                cmocka_unit_test_setup_teardown(labels_out, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
