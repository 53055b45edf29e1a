/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container has on networks from its creation to its removal, in the records and in its bundle. Nothing is started, so
 * that nothing is done to the kernel. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>

#include "container-fixture.h"
#include "container/names.h"

#define L(...) ((char **) (const char *[]){ __VA_ARGS__, NULL })

typedef struct NetworkTest {
        Test *t;
        NetworkManager *networks;
} NetworkTest;

static int setup_networks(void **state) {
        NetworkTest *n = calloc(1, sizeof(*n));

        assert_non_null(n);
        assert_int_equal(setup((void **) &n->t), 0);
        assert_int_equal(network_manager_new(n->t->f->store, n->t->f->events, n->t->runtime, &n->networks, NULL), 0);
        assert_int_equal(network_manager_load(n->networks, NULL), 0);
        container_manager_set_networks(n->t->m, n->networks, NULL);
        *state = n;
        return 0;
}

static int teardown_networks(void **state) {
        NetworkTest *n = *state;

        container_manager_set_networks(n->t->m, NULL, NULL);
        network_manager_free(n->networks);
        (void) teardown((void **) &n->t);
        free(n);
        return 0;
}

static int create(NetworkTest *n, const char *id, char **networks, char **publish, Container **ret, Error *reterr_error) {
        ContainerOptions o = options(false);
        int r;

        assert_true(strv_extend_strv(&o.networks, networks) >= 0);
        assert_true(strv_extend_strv(&o.publish, publish) >= 0);
        r = container_create(n->t->m, "default", id, "app", &o, ret, reterr_error);
        container_options_done(&o);
        return r;
}

static int count(const NetworkInterface *i, void *userdata) {
        ++*(unsigned *) userdata;
        return 0;
}

static int count_row(const InterfaceRow *row, void *userdata) {
        ++*(unsigned *) userdata;
        return 0;
}

static int keep_port(const Port *p, void *userdata) {
        *(Port *) userdata = *p;
        return 0;
}

static char *bundle_file(NetworkTest *n, const char *id, const char *file) {
        _cleanup_free_ char *path = strjoin(n->t->runtime, "/containers/default/", id, "/", file);
        char *text;

        assert_int_equal(read_file_at(AT_FDCWD, path, 65536, &text, NULL), 0);
        return text;
}

static void test_from_creation_to_removal(void **state) {
        _cleanup_free_ char *hosts = NULL, *config = NULL;
        NetworkTest *n = *state;
        unsigned interfaces = 0, rows = 0;
        Container *c;
        Port port;

        assert_int_equal(create(n, "web", L("default:alias=shop"), L("8080:80"), &c, NULL), 0);
        assert_int_equal(container_foreach_interface(c, count, &interfaces), 0);
        assert_int_equal(interfaces, 1);
        assert_int_equal(container_foreach_port(c, keep_port, &port), 0);
        assert_int_equal(port.host_port, 8080);
        hosts = bundle_file(n, "web", "hosts");
        assert_non_null(strstr(hosts, ".2\tweb shop\n"));
        config = bundle_file(n, "web", "config.json");
        assert_non_null(strstr(config, "\"org.moored.network\":\"default/web\""));

        assert_int_equal(container_remove(c, false, NULL, NULL, NULL), 0);
        loop(n->t);
        assert_int_equal(store_interface_foreach(n->t->f->store, "default", "web", count_row, &rows), 0);
        assert_int_equal(rows, 0);
        assert_nothing_left(n->t);
}

static void check_refused(NetworkTest *n, char **networks, char **publish, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL;
        unsigned rows = 0;
        Container *c;

        assert_true(create(n, "x", networks, publish, &c, &e) < 0);
        assert_string_equal(error_name(&e), name);
        assert_null(container_find(n->t->m, "default", "x", NULL));
        assert_int_equal(store_interface_foreach(n->t->f->store, "default", "x", count_row, &rows), 0);
        assert_int_equal(rows, 0);
        assert_false(bundle_exists(n->t->m->containers_fd, "default", "x"));
}

static void test_refused(void **state) {
        NetworkTest *n = *state;
        Container *c;

        check_refused(n, L("nowhere"), NULL, "NoSuchNetwork");
        check_refused(n, L("none"), L("80"), "InvalidArgument");
        check_refused(n, L("default:ip=192.0.2.1"), NULL, "InvalidArgument");
        assert_int_equal(create(n, "web", NULL, L("8080:80"), &c, NULL), 0);
        assert_string_equal(c->options.networks[0], "default");
        check_refused(n, L("default"), L("8080:81"), "PortInUse");

        container_manager_set_networks(n->t->m, NULL, NULL);
        check_refused(n, L("default"), NULL, "NotSupported");
}

/* What was exposed is published where it is not yet, on a port that is free. */
static void test_publish_all(void **state) {
        ContainerOptions o = options(false);
        NetworkTest *n = *state;
        Container *c;

        o.publish_all = true;
        assert_true(strv_extend_strv(&o.publish, L("8000-8009:80-89")) >= 0);
        assert_true(strv_extend_strv(&o.expose, L("85", "85/udp", "89-90")) >= 0);
        assert_int_equal(container_create(n->t->m, "default", "web", "app", &o, &c, NULL), 0);
        assert_int_equal(strv_length(c->options.publish), 3);
        assert_string_equal(c->options.publish[1], "85/udp");
        container_options_done(&o);
}

static void test_defaults(void **state) {
        NetworkTest *n = *state;
        Container *c;

        assert_int_equal(create(n, "a", NULL, NULL, &c, NULL), 0);
        assert_string_equal(c->options.networks[0], "none");
        assert_int_equal(container_manager_set_defaults(n->t->m, UINT64_MAX, "host"), 0);
        assert_int_equal(create(n, "b", NULL, NULL, &c, NULL), 0);
        assert_string_equal(c->options.networks[0], "host");
        check_refused(n, NULL, L("80"), "InvalidArgument");
        assert_int_equal(container_manager_set_defaults(n->t->m, UINT64_MAX, "default"), 0);
        assert_int_equal(create(n, "c", NULL, NULL, &c, NULL), 0);
        assert_string_equal(c->options.networks[0], "default");
}

/* Its files are those of the one whose network it is. */
static void test_shared(void **state) {
        _cleanup_free_ char *config = NULL;
        NetworkTest *n = *state;
        unsigned interfaces = 0;
        Container *c;

        assert_int_equal(create(n, "web", L("default"), NULL, &c, NULL), 0);
        assert_int_equal(create(n, "b", L("container:web"), NULL, &c, NULL), 0);
        config = bundle_file(n, "b", "config.json");
        assert_non_null(strstr(config, "/containers/default/web/resolv.conf"));
        assert_non_null(strstr(config, "/containers/default/b/hostname"));
        assert_int_equal(container_foreach_interface(c, count, &interfaces), 0);
        assert_int_equal(interfaces, 1);
}

/* Where the program is there, its addresses stand in resolv.conf, unless others are asked for. */
static void test_resolver(void **state) {
        _cleanup_free_ char *resolv = NULL, *before = NULL, *unit = NULL;
        NetworkTest *n = *state;
        Container *c;

        assert_int_equal(create(n, "a", L("default"), NULL, &c, NULL), 0);
        before = bundle_file(n, "a", "resolv.conf");
        assert_null(strstr(before, "moored.internal"));
        container_manager_set_resolver(n->t->m, "/nonexistent");
        assert_null(container_resolver(c));
        container_manager_set_resolver(n->t->m, "/bin/sh");
        assert_non_null(container_resolver(c));

        assert_int_equal(create(n, "b", L("default"), NULL, &c, NULL), 0);
        resolv = bundle_file(n, "b", "resolv.conf");
        assert_non_null(startswith(resolv, "nameserver 10."));
        assert_non_null(strstr(resolv, ".1\nsearch default.moored.internal"));
        assert_int_equal(container_names_start(c, &unit), 0);
        assert_non_null(startswith(unit, "moored-dns@moored"));
        assert_string_equal(n->t->systemd.service, unit);
        assert_int_equal(n->t->systemd.n_start_service, 1);
        /* The next ones find it. */
        assert_int_equal(container_names_start(c, NULL), 0);
        assert_int_equal(n->t->systemd.n_start_service, 1);
        /* Nobody is up: the next moored ends it, this one in a while. */
        container_names_recovered(n->t->m);
        assert_int_equal(n->t->systemd.n_stop, 1);
        assert_string_equal(n->t->systemd.service, unit);
        assert_int_equal(container_names_start(c, NULL), 0);
        assert_int_equal(n->t->systemd.n_start_service, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_from_creation_to_removal, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_refused, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_publish_all, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_defaults, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_shared, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_resolver, setup_networks, teardown_networks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
