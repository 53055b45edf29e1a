/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files that resolvers read, as containers come and go. Nothing is set up in the kernel: containers are adopted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "netns-fixture.h"
#include "network/names.h"
#include "network/network-private.h"

#define L(...) ((char *[]) { __VA_ARGS__ __VA_OPT__(,) NULL })
#define NONE ((char *[]) { NULL })
#define UPSTREAM "/run/resolv.conf"

typedef struct Fixture {
        char runtime[32];
        Store *store;
        Events *events;
        NetworkManager *manager;
} Fixture;

static void new_manager(Fixture *f) {
        network_manager_free(f->manager);
        f->manager = NULL;
        assert_int_equal(network_manager_new(f->store, f->events, f->runtime, &f->manager, NULL), 0);
        assert_int_equal(network_manager_load(f->manager, NULL), 0);
}

static int setup(void **state) {
        static Fixture f;
        const NamespaceRow ns = { .name = (char *) "default" };

        f = (Fixture) { .runtime = "/tmp/test-names-XXXXXX" };
        *state = &f;
        assert_non_null(mkdtemp(f.runtime));
        assert_int_equal(store_open(":memory:", &f.store, NULL, NULL), 0);
        assert_int_equal(store_namespace_add(f.store, &ns), 0);
        assert_int_equal(events_new(f.store, 100, &f.events), 0);
        new_manager(&f);
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        network_manager_free(f->manager);
        events_free(f->events);
        store_free(f->store);
        assert_int_equal(rm_rf_at(AT_FDCWD, f->runtime), 0);
        return 0;
}

static Network *create(Fixture *f, const char *name, const char *subnet, const NetworkOptions *more) {
        NetworkOptions o = more ? *more : (NetworkOptions) {};
        _cleanup_error_ Error e = ERROR_NULL;
        Network *n;

        o.subnets = L((char *) subnet);
        if (network_create(f->manager, "default", name, &o, &n, &e) < 0)
                fail_msg("%s", error_message(&e));
        return n;
}

static void add(Fixture *f, const char *container, char **attachments) {
        const ContainerRow row = { .ns = (char *) "default", .id = (char *) container };
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_error_ Error e = ERROR_NULL;

        if (network_manager_prepare(f->manager, "default", attachments, NONE, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(store_transaction_begin(&t, f->store, true), 0);
        assert_int_equal(store_container_add(f->store, &row), 0);
        if (network_manager_reserve(f->manager, "default", container, attachments, NONE, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(store_transaction_commit(&t), 0);
}

static void up(Fixture *f, const char *container) {
        assert_int_equal(network_manager_adopt(f->manager, "default", container), 0);
}

static void down(Fixture *f, const char *container) {
        assert_int_equal(network_manager_set_down(f->manager, "default", container), 0);
}

static char *read_names(Fixture *f, const char *device, const char *file) {
        _cleanup_free_ char *path = strjoin(f->runtime, "/names/", device, "/", file);
        char *text = NULL;

        (void) read_file_at(AT_FDCWD, path, 65536, &text, NULL);
        return text;
}

static void check(Fixture *f, const char *device, const char *file, const char *want) {
        _cleanup_free_ char *name = strjoin("hosts/", file), *text = read_names(f, device, name);

        if (!want)
                assert_null(text);
        else {
                assert_non_null(text);
                assert_string_equal(text, want);
        }
}

static void check_count(Fixture *f, const char *device, unsigned want) {
        _cleanup_free_ char *path = strjoin(f->runtime, "/names/", device, "/hosts");
        DIR *d = opendir(path);
        unsigned n = 0;
        struct dirent *de;

        assert_non_null(d);
        while ((de = readdir(d)))
                n += de->d_name[0] != '.';
        closedir(d);
        assert_int_equal(n, want);
}

static void test_come_and_go(void **state) {
        Fixture *f = *state;
        Network *n, *found = NULL;
        struct stat st;

        NETNS_NEEDED();
        n = create(f, "lan", "10.90.0.0/24", &(NetworkOptions) { .device = (char *) "br-lan" });
        add(f, "web", L((char *) "lan:alias=shop,alias=a_b"));
        add(f, "db", L((char *) "lan"));
        assert_int_equal(network_manager_resolver(f->manager, "default", "web", &found), 0);
        assert_ptr_equal(found, n);

        /* Who is up already is in as well. */
        up(f, "web");
        assert_false(network_names_are_open(n));
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 0);
        check(f, "br-lan", "10.90.0.2@br-lan",
              "10.90.0.2\tweb.lan.moored.internal web\n10.90.0.2\tshop.lan.moored.internal shop\n"
              "10.90.0.2\ta_b.lan.moored.internal a_b\n");
        up(f, "db");
        check(f, "br-lan", "10.90.0.3@br-lan", "10.90.0.3\tdb.lan.moored.internal db\n");
        assert_true(network_names_are_used(n));
        down(f, "web");
        check(f, "br-lan", "10.90.0.2@br-lan", NULL);
        check_count(f, "br-lan", 1);
        down(f, "db");
        assert_false(network_names_are_used(n));
        check_count(f, "br-lan", 0);

        /* Another user reads it. */
        assert_int_equal(fstat(n->names_fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        network_names_close(n);
        assert_true(network_names_are_closed(n));
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 1);
        assert_false(network_names_are_closed(n));
        network_names_close(n);
        assert_int_equal(network_names_open(n, "/other", NULL), 2);
}

/* The next moored finds what the last one has left. */
static void test_recovery(void **state) {
        Fixture *f = *state;
        Network *n;

        NETNS_NEEDED();
        n = create(f, "lan", "10.90.0.0/24", NULL);
        add(f, "web", L((char *) "lan"));
        add(f, "db", L((char *) "lan"));
        up(f, "web");
        up(f, "db");
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        check_count(f, n->row.device, 2);

        new_manager(f);
        n = network_find(f->manager, "default", "lan", NULL);
        up(f, "db");
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 1);
        check(f, n->row.device, "10.90.0.3@moored0", "10.90.0.3\tdb.lan.moored.internal db\n");
        check_count(f, n->row.device, 1);
}

static void test_two_networks(void **state) {
        Fixture *f = *state;
        Network *front, *back, *found = NULL;

        NETNS_NEEDED();
        back = create(f, "back", "10.91.0.0/24", &(NetworkOptions) { .internal = true, .device = (char *) "back" });
        front = create(f, "front", "10.90.0.0/24", &(NetworkOptions) { .device = (char *) "front" });
        add(f, "proxy", L((char *) "back", (char *) "front"));
        add(f, "db", L((char *) "back"));
        add(f, "web", L((char *) "front"));
        /* The one that leads out. */
        assert_int_equal(network_manager_resolver(f->manager, "default", "proxy", &found), 0);
        assert_ptr_equal(found, front);
        assert_int_equal(network_names_open(front, UPSTREAM, NULL), 2);
        assert_int_equal(network_names_open(back, UPSTREAM, NULL), 2);

        up(f, "web");
        up(f, "db");
        check_count(f, "front", 1);
        up(f, "proxy");
        check(f, "front", "10.90.0.2@front", "10.90.0.2\tproxy.front.moored.internal proxy\n");
        check(f, "front", "10.91.0.2@back", "10.91.0.2\tproxy.back.moored.internal\n");
        check(f, "front", "10.91.0.3@back", "10.91.0.3\tdb.back.moored.internal\n");
        check(f, "back", "10.91.0.2@back", "10.91.0.2\tproxy.back.moored.internal proxy\n");
        check(f, "back", "10.90.0.3@front", NULL);
        check_count(f, "front", 4);
        down(f, "db");
        check(f, "front", "10.91.0.3@back", NULL);
        up(f, "db");
        check(f, "front", "10.91.0.3@back", "10.91.0.3\tdb.back.moored.internal\n");
        down(f, "proxy");
        check_count(f, "front", 1);
        check_count(f, "back", 1);
}

/* A resolver that nobody asks ends, while somebody with a name on its network asks another one. */
static void test_not_asked(void **state) {
        Fixture *f = *state;
        Network *front, *back;

        NETNS_NEEDED();
        back = create(f, "back", "10.91.0.0/24", &(NetworkOptions) { .internal = true, .device = (char *) "back" });
        front = create(f, "front", "10.90.0.0/24", &(NetworkOptions) { .device = (char *) "front" });
        add(f, "proxy", L((char *) "back", (char *) "front"));
        assert_int_equal(network_names_open(front, UPSTREAM, NULL), 2);
        assert_int_equal(network_names_open(back, UPSTREAM, NULL), 2);
        up(f, "proxy");
        check_count(f, "back", 1);
        network_names_close(back);
        check_count(f, "back", 0);
        /* Who comes later finds it. */
        assert_int_equal(network_names_open(back, UPSTREAM, NULL), 1);
        check_count(f, "back", 1);

        /* The same when there has been another moored, */
        new_manager(f);
        up(f, "proxy");
        back = network_find(f->manager, "default", "back", NULL);
        network_names_close(back);
        check_count(f, "back", 0);
        down(f, "proxy");
        check_count(f, "back", 0);
        /* and when there is no directory. */
        assert_int_equal(network_manager_drop_names(f->manager, "back"), 0);
        network_names_close(back);
        assert_true(network_names_are_closed(back));
}

static void join(Fixture *f, const char *container, const char *attachment) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (network_manager_connect(f->manager, "default", container, attachment, -EBADF, NULL, &e) < 0 ||
            network_user_update(f->manager, "default", container, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void leave(Fixture *f, const char *container, const char *interface) {
        assert_int_equal(network_manager_remove_interface(f->manager, "default", container, interface, -EBADF, NULL), 0);
        assert_int_equal(network_user_update(f->manager, "default", container, NULL), 0);
}

/* One that is up goes on another network, and leaves one. */
static void test_connect(void **state) {
        Fixture *f = *state;
        Network *back, *front;

        NETNS_NEEDED();
        back = create(f, "back", "10.91.0.0/24", &(NetworkOptions) { .internal = true, .device = (char *) "back" });
        front = create(f, "front", "10.90.0.0/24", &(NetworkOptions) { .device = (char *) "front" });
        add(f, "proxy", L((char *) "back:alias=p"));
        add(f, "db", L((char *) "back"));
        add(f, "web", L((char *) "front"));
        assert_int_equal(network_names_open(back, UPSTREAM, NULL), 2);
        assert_int_equal(network_names_open(front, UPSTREAM, NULL), 2);
        up(f, "proxy");
        up(f, "db");
        up(f, "web");
        check_count(f, "back", 2);
        check_count(f, "front", 1);

        /* It asks the other one's resolver from now on, which therefore has the names of both. */
        join(f, "proxy", "front:alias=shop");
        check(f, "front", "10.90.0.3@front",
              "10.90.0.3\tproxy.front.moored.internal proxy\n10.90.0.3\tshop.front.moored.internal shop\n");
        check(f, "front", "10.91.0.2@back", "10.91.0.2\tproxy.back.moored.internal\n10.91.0.2\tp.back.moored.internal\n");
        check(f, "front", "10.91.0.3@back", "10.91.0.3\tdb.back.moored.internal\n");
        check_count(f, "back", 2);
        down(f, "db");
        assert_false(network_names_are_used(back));

        leave(f, "proxy", "eth0");
        check_count(f, "back", 0);
        check(f, "front", "10.91.0.2@back", NULL);
        check_count(f, "front", 2);
        up(f, "db");
        check_count(f, "front", 2);
        leave(f, "proxy", "eth1");
        check_count(f, "front", 1);
        join(f, "proxy", "back:alias=q");
        check(f, "back", "10.91.0.4@back",
              "10.91.0.4\tproxy.back.moored.internal proxy\n10.91.0.4\tq.back.moored.internal q\n");
        down(f, "proxy");
        check_count(f, "back", 1);
        check_count(f, "front", 1);
}

static void test_who_has_none(void **state) {
        static const char text[] = "interface=plain\nexcept-interface=lo\nbind-dynamic\n";
        Fixture *f = *state;
        _cleanup_free_ char *config = NULL, *internal = NULL;
        Network *found = NULL, *n;

        NETNS_NEEDED();
        assert_false(network_has_names(create(f, "a", "10.90.0.0/24", &(NetworkOptions) { .no_dns = true })));
        add(f, "web", L((char *) "a"));
        assert_int_equal(network_manager_resolver(f->manager, "default", "web", &found), 0);
        assert_null(found);

        n = create(f, "plain", "10.91.0.0/24", &(NetworkOptions) { .device = (char *) "plain" });
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        config = read_names(f, "plain", "dnsmasq.conf");
        assert_non_null(strstr(config, text));
        assert_non_null(strstr(config, "\nresolv-file=" UPSTREAM "\n"));
        assert_non_null(strstr(config, "\nrev-server=10.91.0.0/24\n"));
        n = create(f, "inside", "fd00:1::/64", &(NetworkOptions) { .internal = true, .device = (char *) "inside" });
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        internal = read_names(f, "inside", "dnsmasq.conf");
        assert_null(strstr(internal, UPSTREAM));
        assert_non_null(strstr(internal, "\nno-resolv\nlocal=/#/\n"));
}

/* What the DNS cannot have is left out; a network that it cannot have goes by its device. */
static void test_odd_names(void **state) {
        static const char label63[] = "l23456789012345678901234567890123456789012345678901234567890123";
        static const char label64[] = "l234567890123456789012345678901234567890123456789012345678901234";
        _cleanup_free_ char *domain = NULL, *other = NULL, *want = NULL;
        Fixture *f = *state;
        Network *n;

        NETNS_NEEDED();
        n = create(f, "a..b", "10.90.0.0/24", NULL);
        domain = network_names_domain(n);
        assert_string_equal(domain, "moored0.moored.internal");
        add(f, label64, L((char *) "a..b:alias=ok"));
        add(f, label63, L((char *) "a..b"));
        add(f, "a..b", L((char *) "a..b"));
        up(f, label64);
        up(f, label63);
        up(f, "a..b");
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        check(f, "moored0", "10.90.0.2@moored0", "10.90.0.2\tok.moored0.moored.internal ok\n");
        want = strjoin("10.90.0.3\t", label63, ".moored0.moored.internal ", label63, "\n");
        check(f, "moored0", "10.90.0.3@moored0", want);
        check(f, "moored0", "a..b@moored0", "");
        other = network_names_domain(create(f, "x.y", "10.91.0.0/24", NULL));
        assert_string_equal(other, "x.y.moored.internal");
}

typedef struct Seen {
        unsigned known, gone;
} Seen;

static void count(const char *device, Network *n, void *userdata) {
        Seen *s = userdata;

        s->known += n && streq(n->row.device, device);
        s->gone += !n;
}

static void test_network_goes(void **state) {
        Fixture *f = *state;
        Network *a, *b;
        Seen s = {};

        NETNS_NEEDED();
        assert_int_equal(network_manager_foreach_names(f->manager, count, &s), 0);
        a = create(f, "a", "10.90.0.0/24", NULL);
        b = create(f, "b", "10.91.0.0/24", NULL);
        assert_int_equal(network_names_open(a, UPSTREAM, NULL), 2);
        assert_int_equal(network_names_open(b, UPSTREAM, NULL), 2);
        network_names_close(b);
        assert_int_equal(network_manager_foreach_names(f->manager, count, &s), 0);
        assert_int_equal(s.known, 2);
        /* That of a may still have a resolver; b's has none. */
        assert_int_equal(network_remove(a, NULL), 0);
        assert_int_equal(network_remove(b, NULL), 0);
        s = (Seen) {};
        assert_int_equal(network_manager_foreach_names(f->manager, count, &s), 0);
        assert_int_equal(s.known, 0);
        assert_int_equal(s.gone, 1);
        /* Another one that has the bridge now, and was never used, leaves it alone as well: it may still run. */
        assert_int_equal(network_remove(create(f, "c", "10.92.0.0/24", &(NetworkOptions) { .device = (char *) "moored0" }), NULL), 0);
        s = (Seen) {};
        assert_int_equal(network_manager_foreach_names(f->manager, count, &s), 0);
        assert_int_equal(s.gone, 1);
        assert_int_equal(network_manager_drop_names(f->manager, "moored0"), 0);
        s = (Seen) {};
        assert_int_equal(network_manager_foreach_names(f->manager, count, &s), 0);
        assert_int_equal(s.gone, 0);
}

/* -- the resolver itself -- */

#define DNS_PORT 53
#define DNS_SIZE_MAX 512U

/* A question of class IN; the number of answers, -1 for an error (NXDOMAIN, say), -2 for no reply. */
static int query(const char *server, const char *name, uint16_t type, uint8_t *ret, size_t *ret_size) {
        uint8_t q[DNS_SIZE_MAX] = { 0, 7, 1, 0, 0, 1 };
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htobe16(DNS_PORT) };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t n = 12;
        ssize_t l;

        for (const char *s = name; *s;) {
                size_t label = strcspn(s, ".");

                q[n++] = (uint8_t) label;
                memcpy(q + n, s, label);
                n += label;
                s += label + (s[label] == '.');
        }
        q[n++] = 0;
        q[n + 1] = (uint8_t) type;
        q[n + 3] = 1;
        n += 4;
        assert_int_equal(inet_pton(AF_INET, server, &a.sin_addr), 1);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || send(fd, q, n, 0) < 0 || poll(&p, 1, 1000) <= 0)
                return -2;
        l = recv(fd, ret, DNS_SIZE_MAX, 0);
        if (l < 12)
                return -2;
        *ret_size = (size_t) l;
        return (ret[3] & 15) == 0 ? ret[7] : -1;
}

/* As the kernel's inotify needs its moment: until it is so. */
static void wait_for(const char *server, const char *name, uint16_t type, int want, const void *end, size_t end_size) {
        uint8_t reply[DNS_SIZE_MAX];
        size_t size = 0;
        int got = -3;

        for (unsigned i = 0; i < 250; i++) {
                got = query(server, name, type, reply, &size);
                if (got == want && (got <= 0 || (size > end_size && memcmp(reply + size - end_size, end, end_size) == 0)))
                        return;
                poll(NULL, 0, 20);
        }
        fail_msg("%s (%u): %i", name, type, got);
}

static void make_bridge(const char *name, const char *address) {
        _cleanup_(netlink_freep) Netlink *l = NULL;
        LinkInfo link;
        Prefix p;

        assert_int_equal(netlink_new(-EBADF, &l), 0);
        assert_int_equal(netlink_get_link(l, "lo", &link), 0);
        assert_int_equal(netlink_change_link(l, link.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
        assert_int_equal(netlink_add_bridge(l, name, 0, NULL), 0);
        assert_int_equal(netlink_get_link(l, name, &link), 0);
        assert_int_equal(prefix_parse(address, &p), 0);
        assert_int_equal(netlink_add_address(l, link.index, &p), 0);
        assert_int_equal(netlink_change_link(l, link.index, &(LinkChange) { .up = true, .netns = -EBADF }), 0);
}

/* What dnsmasq makes of it, as containers come and go: nobody tells it anything. */
static void test_dnsmasq(void **state) {
        static const uint8_t web[] = { 10, 90, 0, 2 }, db[] = { 10, 90, 0, 3 };
        static const char web_name[] = "\003web\003lan\006moored\010internal";
        Fixture *f = *state;
        char config[96];
        char *const argv[] = { (char *) DNSMASQ_PATH, (char *) "--keep-in-foreground", (char *) "--user=root",
                               (char *) "--log-facility=/dev/null", config, NULL };
        const SpawnSpec spec = { .path = DNSMASQ_PATH, .argv = argv, .die_with_parent = true };
        _cleanup_close_ int pidfd = -EBADF;
        int code, status;
        Network *n;

        NETNS_NEEDED();
        if (access(DNSMASQ_PATH, X_OK) < 0) {
                print_message("%s: there is no %s\n", __func__, DNSMASQ_PATH);
                skip();
        }
        (void) snprintf(config, sizeof(config), "--conf-file=%s/names/lan0/dnsmasq.conf", f->runtime);
        n = create(f, "lan", "10.90.0.0/24", &(NetworkOptions) { .device = (char *) "lan0", .internal = true });
        make_bridge("lan0", "10.90.0.1/24");
        add(f, "web", L((char *) "lan:alias=shop"));
        add(f, "db", L((char *) "lan:alias=shop"));
        up(f, "web");
        assert_int_equal(network_names_open(n, UPSTREAM, NULL), 2);
        assert_int_equal(process_spawn(&spec, NULL, &pidfd, NULL), 0);

        wait_for("10.90.0.1", "web", 1, 1, web, sizeof(web));
        wait_for("10.90.0.1", "WEB.lan.moored.internal", 1, 1, web, sizeof(web));
        wait_for("10.90.0.1", "2.0.90.10.in-addr.arpa", 12, 1, web_name, sizeof(web_name));
        wait_for("10.90.0.1", "web", 28, 0, NULL, 0);
        wait_for("10.90.0.1", "db", 1, -1, NULL, 0);
        up(f, "db");
        wait_for("10.90.0.1", "db", 1, 1, db, sizeof(db));
        wait_for("10.90.0.1", "shop", 1, 2, "", 0);
        down(f, "web");
        wait_for("10.90.0.1", "web", 1, -1, NULL, 0);
        wait_for("10.90.0.1", "shop", 1, 1, db, sizeof(db));
        wait_for("10.90.0.1", "example.com", 1, -1, NULL, 0);
        /* Nowhere else. */
        wait_for("127.0.0.1", "shop", 1, -2, NULL, 0);

        assert_int_equal(pidfd_kill(pidfd, SIGKILL), 0);
        assert_int_equal(pidfd_wait(pidfd, &code, &status), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_come_and_go, setup, teardown),
                cmocka_unit_test_setup_teardown(test_recovery, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_networks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_asked, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_has_none, setup, teardown),
                cmocka_unit_test_setup_teardown(test_odd_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_network_goes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dnsmasq, setup, teardown),
        };

        netns_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
