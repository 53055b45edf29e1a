/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What systemd-resolved is told of a link: the test is resolved, at the other end of the connection. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-id128.h>

#include "basic/string-util.h"
#include "container/container-private.h"
#include "network/names.h"
#include "unit/unit-private.h"

typedef struct Peer {
        ContainerManager containers; /* has no networks */
        UnitManager units;
        sd_bus *bus;
        char log[1024]; /* calls, each as a line */
        const char *error;
        bool there;
} Peer;

static void append(Peer *p, const char *text) {
        size_t n = strlen(p->log);

        assert_true(n + strlen(text) < sizeof(p->log));
        memcpy(p->log + n, text, strlen(text) + 1);
}

static void log_servers(Peer *p, sd_bus_message *m) {
        char text[ADDRESS_TEXT_MAX];
        const void *bytes;
        size_t size;
        int family;

        assert_true(sd_bus_message_enter_container(m, 'a', "(iay)") >= 0);
        while (sd_bus_message_enter_container(m, 'r', "iay") > 0) {
                Address a = {};

                assert_true(sd_bus_message_read(m, "i", &family) > 0);
                assert_true(sd_bus_message_read_array(m, 'y', &bytes, &size) > 0);
                assert_int_equal(size, family == AF_INET ? 4 : 16);
                a.family = family;
                memcpy(a.bytes, bytes, size);
                append(p, " ");
                append(p, address_format(&a, text));
                assert_true(sd_bus_message_exit_container(m) >= 0);
        }
}

static void log_call(Peer *p, sd_bus_message *m) {
        const char *member = sd_bus_message_get_member(m), *s;
        char number[16];
        int index, b;

        assert_string_equal(sd_bus_message_get_destination(m), "org.freedesktop.resolve1");
        assert_false(sd_bus_message_get_auto_start(m));
        assert_true(sd_bus_message_read(m, "i", &index) > 0);
        (void) snprintf(number, sizeof(number), " %i", index);
        append(p, member);
        append(p, number);
        if (streq(member, "SetLinkDefaultRoute")) {
                assert_true(sd_bus_message_read(m, "b", &b) > 0);
                append(p, b ? " yes" : " no");
        } else if (streq(member, "SetLinkDomains")) {
                assert_true(sd_bus_message_read(m, "a(sb)", 1, &s, &b) > 0);
                append(p, b ? " ~" : " ");
                append(p, s);
        } else if (streq(member, "SetLinkDNS"))
                log_servers(p, m);
        else if (!streq(member, "RevertLink")) {
                assert_true(sd_bus_message_read(m, "s", &s) > 0);
                append(p, " ");
                append(p, s);
        }
        append(p, "\n");
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Peer *p = userdata;

        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "NameHasOwner"))
                return sd_bus_reply_method_return(m, "b", p->there);
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.resolve1.Manager", NULL))
                return 0;
        log_call(p, m);
        return p->error ? sd_bus_reply_method_errorf(m, p->error, "no") : sd_bus_reply_method_return(m, NULL);
}

static void loop(Peer *p) {
        for (int a = 1, b = 1; a > 0 || b > 0;) {
                a = sd_bus_process(p->units.bus, NULL);
                b = sd_bus_process(p->bus, NULL);
                assert_true(a >= 0 && b >= 0);
                if (a == 0 && b == 0)
                        a = sd_bus_wait(p->bus, 20000) > 0 || sd_bus_wait(p->units.bus, 20000) > 0;
        }
}

static int setup(void **state) {
        static Peer p;
        sd_id128_t id;
        int fds[2];

        p = (Peer) {};
        *state = &p;
        p.units.containers = &p.containers;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(sd_id128_randomize(&id), 0);
        assert_true(sd_bus_new(&p.bus) >= 0);
        assert_true(sd_bus_set_fd(p.bus, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_set_server(p.bus, 1, id) >= 0);
        assert_true(sd_bus_add_filter(p.bus, NULL, on_message, &p) >= 0);
        assert_true(sd_bus_start(p.bus) >= 0);
        assert_true(sd_bus_new(&p.units.bus) >= 0);
        assert_true(sd_bus_set_fd(p.units.bus, fds[1], fds[1]) >= 0);
        assert_true(sd_bus_start(p.units.bus) >= 0);
        return 0;
}

static int teardown(void **state) {
        Peer *p = *state;

        sd_bus_close(p->units.bus);
        sd_bus_close(p->bus);
        sd_bus_unref(p->units.bus);
        sd_bus_unref(p->bus);
        return 0;
}

static NamesLink link_of(const char *four, const char *six) {
        NamesLink l = { .index = 7, .domain = (char *) "lan.moored.internal", .n_servers = 2 };

        assert_int_equal(address_parse(four, l.servers), 0);
        assert_int_equal(address_parse(six, l.servers + 1), 0);
        return l;
}

static void test_told(void **state) {
        NamesLink l = link_of("10.90.0.1", "fd00:1::1");
        Peer *p = *state;

        p->there = true;
        assert_true(unit_resolved_connect(&p->units) >= 0);
        loop(p);
        assert_true(p->units.resolved);
        unit_set_names_link(&p->units, &l);
        loop(p);
        /* It is never one that everything is asked of. */
        assert_string_equal(p->log, "SetLinkDefaultRoute 7 no\n"
                                    "SetLinkDomains 7 ~lan.moored.internal\n"
                                    "SetLinkDNSOverTLS 7 no\n"
                                    "SetLinkDNSSEC 7 no\n"
                                    "SetLinkDNS 7 10.90.0.1 fd00:1::1\n");
        p->log[0] = '\0';
        unit_revert_names_link(&p->units, 7);
        loop(p);
        assert_string_equal(p->log, "RevertLink 7\n");
}

static void test_refused(void **state) {
        NamesLink l = link_of("10.90.0.1", "fd00:1::1");
        Peer *p = *state;

        p->there = true;
        p->error = "org.freedesktop.resolve1.LinkBusy";
        assert_true(unit_resolved_connect(&p->units) >= 0);
        loop(p);
        unit_set_names_link(&p->units, &l);
        loop(p);
        assert_non_null(strstr(p->log, "SetLinkDNS 7"));
}

/* Nor is it started. */
static void test_not_there(void **state) {
        NamesLink l = link_of("10.90.0.1", "fd00:1::1");
        Peer *p = *state;

        assert_true(unit_resolved_connect(&p->units) >= 0);
        loop(p);
        assert_false(p->units.resolved);
        unit_set_names_link(&p->units, &l);
        unit_revert_names_link(&p->units, 7);
        loop(p);
        assert_string_equal(p->log, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_told, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_there, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
