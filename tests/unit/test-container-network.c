/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container has on networks from its creation to its removal, in the records and in its bundle; and what is changed of one
 * that runs, in a network namespace of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "basic/json.h"
#include "container-fixture.h"
#include "container/names.h"
#include "netns-fixture.h"

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

static char *hosts_of(NetworkTest *n, const char *id) {
        return bundle_file(n, id, "hosts");
}

static void take_name(Container *c, const char *name, const Error *error, void *userdata) {
        assert_null(error);
        *(char **) userdata = strdup(name);
}

/* Of one that does not run; a running one has a namespace, for which see test-network-set-up. */
static void test_connect(void **state) {
        _cleanup_free_ char *one = NULL, *two = NULL, *three = NULL, *name = NULL;
        const NetworkOptions o = { .subnets = L("10.98.0.0/24") };
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        NetworkTest *n = *state;
        unsigned rows = 0;
        Network *other;
        Container *c;
        struct LinkStatistics l;

        assert_int_equal(network_create(n->networks, "default", "other", &o, &other, NULL), 0);
        assert_int_equal(create(n, "web", L("default"), NULL, &c, NULL), 0);
        one = hosts_of(n, "web");
        assert_int_equal(container_connect(c, "other:alias=shop,ip=10.98.0.9", take_name, &name, &e), 0);
        assert_string_equal(name, "eth1");
        two = hosts_of(n, "web");
        assert_non_null(strstr(two, "10.98.0.9\t"));
        assert_non_null(strstr(two, "shop"));
        assert_int_equal(container_interface_names(c, &names), 0);
        assert_int_equal(strv_length(names), 2);
        assert_int_equal(container_interface_statistics(c, "eth1", &l, &e), -ESRCH);
        assert_true(error_has_name(&e, "NotRunning"));
        error_done(&e);
        /* The record has it as well: a daemon without a database finds it there. */
        {
                _cleanup_free_ char *record = bundle_file(n, "web", "record.json");

                assert_non_null(strstr(record, "10.98.0.9"));
        }
        assert_int_equal(container_connect(c, "other", NULL, NULL, &e), -EEXIST);
        assert_true(error_has_name(&e, "AlreadyConnected"));
        error_done(&e);
        assert_int_equal(container_disconnect(c, other, NULL, NULL, &e), 0);
        three = hosts_of(n, "web");
        assert_string_equal(one, three);
        assert_int_equal(container_disconnect(c, other, NULL, NULL, &e), -ENOTCONN);
        error_done(&e);
        assert_int_equal(container_remove_interface(c, "eth7", NULL, NULL, &e), -ENOENT);
        assert_true(error_has_name(&e, "NoSuchInterface"));
        error_done(&e);
        assert_int_equal(network_remove(other, &e), 0);
        assert_int_equal(container_remove(c, false, NULL, NULL, NULL), 0);
        loop(n->t);
        assert_int_equal(store_interface_foreach(n->t->f->store, "default", "web", count_row, &rows), 0);
        assert_int_equal(rows, 0);
        assert_nothing_left(n->t);
}

/* What somebody in the container has written stays. */
static void test_connect_hosts(void **state) {
        NetworkTest *n = *state;
        _cleanup_free_ char *path = strjoin(n->t->runtime, "/containers/default/web/hosts"), *text = NULL;
        Container *c;

        assert_int_equal(network_create(n->networks, "default", "other", &(NetworkOptions){}, &(Network *){ NULL }, NULL), 0);
        assert_int_equal(create(n, "web", L("default"), NULL, &c, NULL), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, "mine", 4, 0644, false), 0);
        assert_int_equal(container_connect(c, "other", NULL, NULL, NULL), 0);
        text = hosts_of(n, "web");
        assert_string_equal(text, "mine");
        assert_int_equal(container_remove(c, false, NULL, NULL, NULL), 0);
        loop(n->t);
}

static void test_connect_refused(void **state) {
        static const char *const modes[] = { "none", "host", "ns:/run/netns/x", "container:other" };
        NetworkTest *n = *state;

        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                Container *c;

                assert_int_equal(create(n, "web", L((char *) modes[i]), NULL, &c, NULL), 0);
                assert_int_equal(container_connect(c, "default", NULL, NULL, &e), -EOPNOTSUPP);
                assert_true(error_has_name(&e, "NotSupported"));
                assert_int_equal(container_remove(c, false, NULL, NULL, NULL), 0);
                loop(n->t);
        }
}

static void test_connect_plugins(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        NetworkTest *n = *state;
        Container *c;

        assert_int_equal(create(n, "web", L("none"), NULL, &c, NULL), 0);
        /* As if there were plug-ins here. */
        assert_true(free_and_strdup(&c->options.networks[0], "cni:lan") >= 0);
        assert_int_equal(container_connect(c, "default", NULL, NULL, &e), -EOPNOTSUPP);
        assert_non_null(strstr(error_message(&e), "plug-ins"));
}

/* By the conventions of CNI: rates in bits a second, bursts in bits; "ingress" is what the container receives. */
static void test_plugins_are_told(void **state) {
        static const char text[] =
                "{\"all\":[{\"network\":\"a\",\"interface\":\"eth0\",\"capabilities\":{\"ips\":[\"10.0.0.9/24\",\"fd00::9/64\"],"
                "\"dns\":{\"servers\":[\"192.0.2.1\"],\"searches\":[\"example.org\"],\"options\":[\"ndots:2\"]},"
                "\"bandwidth\":{\"ingressRate\":8000,\"ingressBurst\":1048576,\"egressRate\":1000000000,\"egressBurst\":20000000},"
                "\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"}]}},"
                "{\"network\":\"b\",\"interface\":\"eth1\",\"capabilities\":{\"ips\":[\"10.0.1.9\"],"
                "\"dns\":{\"servers\":[\"192.0.2.1\"],\"searches\":[\"example.org\"],\"options\":[\"ndots:2\"]},"
                "\"bandwidth\":{\"egressRate\":1000000000000,\"egressBurst\":134217728}}}]}";
        const ContainerOptions o = {
                .networks = L("cni:a:ip=10.0.0.9/24,ip6=FD00::9/64,received_rate=8k,sent_rate=1g", "cni:b:ip=10.0.1.9,sent_rate=1000gbit"),
                .publish = L("8080:80"),
                .dns = L("192.0.2.1"),
                .dns_search = L("example.org"),
                .dns_options = L("ndots:2"),
        };
        _cleanup_json_ json_t *j = NULL, *expected = NULL;

        assert_int_equal(json_parse(text, strlen(text), sizeof(text), &expected, NULL), 0);
        assert_int_equal(container_cni_attachments(&o, &j), 0);
        assert_true(json_equal(j, json_object_get(expected, "all")));
}

/* -- of one that runs: the test is PID 1 and moored-probe.service -- */

typedef struct Asked {
        int listener, connection;
        char *name, *error;
        bool answered;
} Asked;

static void asked_done(Asked *a) {
        safe_close(a->listener);
        safe_close(a->connection);
        free(a->name);
        free(a->error);
}

static void on_changed(Container *c, const char *name, const Error *error, void *userdata) {
        Asked *a = userdata;

        assert_false(a->answered);
        a->answered = true;
        (void) free_and_strdup(&a->name, name);
        (void) free_and_strdup(&a->error, error ? error_name(error) : NULL);
}

static Asked run_web(NetworkTest *n) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        ContainerOptions o = options(false);
        Asked a = { .connection = -EBADF };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/probe", n->t->runtime);
        a.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_return_code(bind(a.listener, (const struct sockaddr *) &address, sizeof(address)), errno);
        assert_return_code(listen(a.listener, 8), errno);
        assert_true(strv_extend(&o.networks, "default") >= 0);
        assert_int_equal(run(n->t, o, NULL), 0);
        started(n->t);
        assert_int_equal(network_create(n->networks, "default", "other", &(NetworkOptions){}, &(Network *){ NULL }, NULL), 0);
        return a;
}

/* The test is the one that is asked for the namespace. */
static void asked(NetworkTest *n, Asked *a) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        int fds[FDS_MAX];
        size_t size;
        char byte;

        a->answered = false;
        loop(n->t);
        assert_false(a->answered);
        safe_close(a->connection);
        a->connection = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(recv_with_fds(a->connection, &byte, 1, fds, &size, 0), 1);
        assert_int_equal(read_all(fds[0], 1 << 20, &text, &size), 0);
        safe_close(fds[0]);
        assert_int_equal(json_parse(text, size, 1 << 20, &j, NULL), 0);
        assert_true(json_is_true(json_object_get(j, "namespace")));
        assert_int_equal(json_integer_value(json_object_get(j, "pid")), 4711);
}

/* It is under way. */
static void begin(NetworkTest *n, Asked *a) {
        assert_int_equal(container_connect(web(n->t), "other", on_changed, a, NULL), 0);
        asked(n, a);
}

static void answer(NetworkTest *n, Asked *a, const char *text, int fd) {
        assert_true(send_with_fds(a->connection, text, strlen(text), &fd, fd >= 0, MSG_NOSIGNAL) >= 0);
        loop(n->t);
        assert_true(a->answered);
}

static void assert_interfaces(NetworkTest *n, unsigned expected) {
        unsigned rows = 0;

        assert_int_equal(store_interface_foreach(n->t->f->store, "default", "web", count_row, &rows), 0);
        assert_int_equal(rows, expected);
}

static void test_running_refused(void **state) {
        _cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        _cleanup_(asked_done) Asked a = {};
        _cleanup_error_ Error e = ERROR_NULL;
        NetworkTest *n = *state;

        NETNS_NEEDED();
        a = run_web(n);
        begin(n, &a);
        assert_int_equal(container_connect(web(n->t), "other", NULL, NULL, &e), -EBUSY);
        assert_true(error_has_name(&e, "Busy"));
        answer(n, &a, "{\"error\":\"It is not.\",\"name\":\"NotRunning\"}", -EBADF);
        assert_string_equal(a.error, "NotRunning");
        assert_interfaces(n, 1);
        /* A process that has gone into the host's namespace. */
        begin(n, &a);
        answer(n, &a, "{\"namespace\":true}", own);
        assert_string_equal(a.error, "NotSupported");
        assert_interfaces(n, 1);
        /* No descriptor, or a word that is not to be understood. */
        begin(n, &a);
        answer(n, &a, "{\"namespace\":true}", -EBADF);
        assert_string_equal(a.error, "Failed");
        /* It has ended meanwhile. */
        begin(n, &a);
        tell(n->t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        answer(n, &a, "{\"namespace\":true}", own);
        assert_string_equal(a.error, "NotRunning");
        assert_interfaces(n, 1);
}

/* Its removal while it is under way. */
static void test_running_removed(void **state) {
        _cleanup_(asked_done) Asked a = {};
        NetworkTest *n = *state;

        NETNS_NEEDED();
        a = run_web(n);
        begin(n, &a);
        tell(n->t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_int_equal(container_remove(web(n->t), false, NULL, NULL, NULL), 0);
        loop(n->t);
        tell_gone(n->t);
        loop(n->t);
        assert_null(web(n->t));
        assert_true(a.answered);
        assert_string_equal(a.error, "Canceled");
}

static void test_running(void **state) {
        _cleanup_close_ int netns = netns_new(NULL, NULL);
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        _cleanup_(firewall_freep) Firewall *w = NULL;
        _cleanup_(asked_done) Asked a = {};
        NetworkTest *n = *state;
        LinkInfo l;

        NETNS_NEEDED();
        if (firewall_new(&w, NULL) < 0 || firewall_load(w, true, NULL, 0, NULL, 0, NULL) < 0) {
                print_message("%s: nf_tables cannot be used here\n", __func__);
                skip();
        }
        a = run_web(n);
        assert_int_equal(netlink_new(netns, &inside), 0);
        begin(n, &a);
        answer(n, &a, "{\"namespace\":true}", netns);
        assert_null(a.error);
        assert_string_equal(a.name, "eth1");
        assert_interfaces(n, 2);
        assert_int_equal(netlink_get_link(inside, "eth1", &l), 0);
        assert_true(l.up);
}

static void check_names(NetworkTest *n, const char *search, const char *link) {
        _cleanup_free_ char *resolv = bundle_file(n, "web", "resolv.conf");

        /* A bridge has its carrier soon. */
        for (unsigned i = 0; i < 200 && !strstr(n->t->systemd.link, link); i++)
                (void) sd_event_run(n->t->f->event, 10000);
        if (!strstr(resolv, search) || !strstr(n->t->systemd.link, link))
                fail_msg("%s\n%s", resolv, n->t->systemd.link);
}

/* Whom it asks, and whom the host asks, follows the networks that it is on. */
static void test_running_names(void **state) {
        _cleanup_close_ int netns = netns_new(NULL, NULL);
        _cleanup_(firewall_freep) Firewall *w = NULL;
        _cleanup_(asked_done) Asked a = {};
        NetworkTest *n = *state;
        Network *other;

        NETNS_NEEDED();
        if (firewall_new(&w, NULL) < 0 || firewall_load(w, true, NULL, 0, NULL, 0, NULL) < 0) {
                print_message("%s: nf_tables cannot be used here\n", __func__);
                skip();
        }
        container_manager_set_resolver(n->t->m, "/bin/sh");
        a = run_web(n);
        other = network_find(n->networks, "default", "other", NULL);
        check_names(n, "\nsearch default.moored.internal", " default.moored.internal 10.");
        begin(n, &a);
        answer(n, &a, "{\"namespace\":true}", netns);
        assert_null(a.error);
        check_names(n, "\nsearch default.moored.internal other.moored.internal", " default.moored.internal 10.");
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 1);
        assert_false(network_names_are_open(other));

        assert_int_equal(container_remove_interface(web(n->t), "eth0", on_changed, &a, NULL), 0);
        asked(n, &a);
        answer(n, &a, "{\"namespace\":true}", netns);
        assert_null(a.error);
        check_names(n, "\nsearch other.moored.internal", " other.moored.internal 10.");
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 2);
        assert_true(network_names_are_open(other));
        /* It has come later, or was started anew. */
        n->t->systemd.link[0] = '\0';
        container_names_host_came(n->t->m);
        check_names(n, "search other", " other.moored.internal 10.");
        tell(n->t, ended(INVOCATION_1, CLD_EXITED, 0, "success"));
        assert_string_equal(n->t->systemd.link, "");
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
        free(config);

        /* In a row. */
        assert_int_equal(create(n, "c", L("container:b"), NULL, &c, NULL), 0);
        config = bundle_file(n, "c", "config.json");
        assert_non_null(strstr(config, "/containers/default/web/resolv.conf"));
        assert_int_equal(container_foreach_interface(c, count, &interfaces), 0);
        assert_int_equal(interfaces, 2);
        /* In a circle. */
        assert_int_equal(container_remove(container_find(n->t->m, "default", "web", NULL), false, NULL, NULL, NULL), 0);
        loop(n->t);
        assert_int_equal(create(n, "web", L("container:c"), NULL, &c, NULL), 0);
        assert_int_equal(container_foreach_interface(c, count, &interfaces), 0);
        assert_int_equal(interfaces, 2);
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
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 1);
        /* The next ones find it. */
        assert_int_equal(container_names_start(c, NULL), 0);
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 1);
        /* Nobody is up: the next moored ends it, this one in a while. */
        container_names_recovered(n->t->m);
        assert_int_equal(n->t->systemd.n_stop, 1);
        assert_string_equal(n->t->systemd.service, unit);
        /* Once is enough. */
        container_names_recovered(n->t->m);
        assert_int_equal(n->t->systemd.n_stop, 1);
        assert_int_equal(container_names_start(c, NULL), 0);
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 2);
}

/* Others find it, so there is a resolver; itself it asks those that it was told to. */
static void test_resolver_of_others(void **state) {
        _cleanup_free_ char *resolv = NULL, *unit = NULL;
        ContainerOptions o = options(false);
        NetworkTest *n = *state;
        Container *c;

        container_manager_set_resolver(n->t->m, "/bin/sh");
        assert_true(strv_extend(&o.networks, "default") >= 0);
        assert_true(strv_extend(&o.dns, "192.0.2.53") >= 0);
        assert_int_equal(container_create(n->t->m, "default", "a", "app", &o, &c, NULL), 0);
        container_options_done(&o);
        assert_null(container_resolver(c));
        resolv = bundle_file(n, "a", "resolv.conf");
        assert_non_null(startswith(resolv, "nameserver 192.0.2.53\n"));
        assert_null(strstr(resolv, "moored.internal"));
        assert_int_equal(container_names_start(c, &unit), 0);
        assert_null(unit);
        assert_int_equal(n->t->systemd.n_start_service + n->t->systemd.n_restart_service, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_from_creation_to_removal, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_refused, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_connect, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_connect_hosts, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_connect_plugins, setup_networks, teardown_networks),
                cmocka_unit_test(test_plugins_are_told),
                cmocka_unit_test_setup_teardown(test_connect_refused, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_running_refused, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_running_removed, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_running, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_running_names, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_publish_all, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_defaults, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_shared, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_resolver, setup_networks, teardown_networks),
                cmocka_unit_test_setup_teardown(test_resolver_of_others, setup_networks, teardown_networks),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
