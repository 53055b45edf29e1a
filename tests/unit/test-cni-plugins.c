/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Real plug-ins, Debian's containernetworking-plugins, in a network namespace of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <sys/stat.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "network/netlink.h"
#include "netns-fixture.h"
#include "runtime/cni.h"

static char dir[] = "/tmp/test-cni-XXXXXX";

static const char *const plugins = "{\"type\":\"bridge\",\"bridge\":\"cnitest0\",\"isGateway\":true,"
                                   "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/ipam\",\"ranges\":[[{\"subnet\":\"10.99.7.0/24\"}],"
                                   "[{\"subnet\":\"fd99:7::/64\"}]],"
                                   "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}},"
                                   "{\"type\":\"tuning\",\"capabilities\":{\"mac\":true},\"sysctl\":{\"net.ipv4.conf.all.log_martians\":\"1\"}}%s";
/* These two run iptables. CHECK of portmap 1.1.1 (checkPorts()) looks for each family's rules in the tables of both, and so fails wherever
 * ip6tables works: that is what disableCheck is for. */
static const char *const filters = ",{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true},\"snat\":true},{\"type\":\"firewall\"}";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
        return remove(path);
}

static bool has_link(const char *name) {
        _cleanup_(netlink_freep) Netlink *n = NULL;
        LinkInfo l;

        assert_int_equal(netlink_new(-EBADF, &n), 0);
        return netlink_get_link(n, name, &l) >= 0;
}

static int look_inside(void *userdata) {
        LinkInfo *l = userdata;
        _cleanup_(netlink_freep) Netlink *n = NULL;
        int r;

        r = netlink_new(-EBADF, &n);
        return r < 0 ? r : netlink_get_link(n, "eth0", l);
}

static unsigned n_addresses(void) {
        _cleanup_free_ char *path = strformat("%s/ipam/a", dir);
        unsigned n = 0;
        struct stat st;

        for (unsigned i = 2; i < 10; i++) {
                _cleanup_free_ char *p = strformat("%s/10.99.7.%u", path, i);

                n += stat(p, &st) >= 0;
        }
        return n;
}

static bool ask(const CniPlaces *places, const char *command, int netns, json_t **ret) {
        _cleanup_json_ json_t *j = json_pack("{s:s, s:s, s:s, s:[{s:s, s:s, s:{s:s, s:[{s:i, s:i, s:s}]}}]}", "command", command,
                                             "container", "moored.1.a.b", "network", "a", "attachments", "network", "a",
                                             "interface", "eth0", "capabilities", "mac", "02:00:5e:00:53:01", "portMappings",
                                             "hostPort", 8080, "containerPort", 80, "protocol", "tcp");
        _cleanup_error_ Error e = ERROR_NULL;

        assert_non_null(j);
        if (cni_serve_request(places, j, netns, ret, &e) >= 0)
                return true;
        print_message("%s: %s\n", command, error_message(&e));
        return false;
}

static int check_shown(const CniShown *s, void *userdata) {
        assert_string_equal(s->network, "a");
        assert_string_equal(s->name, "eth0");
        assert_string_equal(s->mac, "02:00:5e:00:53:01");
        assert_non_null(startswith(s->addresses[0], "10.99.7."));
        assert_non_null(startswith(s->addresses[1], "fd99:7::"));
        assert_null(s->addresses[2]);
        return 0;
}

static void run(const char *version, const char *more) {
        _cleanup_free_ char *list = strformat(plugins, dir, more), *conf_dir = path_join(dir, "net.d"), *state = path_join(dir, "state"),
                            *names = path_join(dir, "netns"), *file = path_join(dir, "net.d/a.conflist"),
                            *text = strformat("{\"cniVersion\":\"%s\",\"name\":\"a\",\"disableCheck\":%s,\"plugins\":[%s]}", version,
                                              isempty(more) ? "false" : "true", list);
        const CniPlaces places = { conf_dir, "/usr/lib/cni", state, names, 20 * USEC_PER_SEC };
        _cleanup_json_ json_t *result = NULL, *again = NULL;
        _cleanup_(cni_record_done) CniRecord record = {};
        _cleanup_(cni_result_done) CniResult parsed = {};
        _cleanup_close_ int netns = netns_new(NULL, NULL);
        LinkInfo l = {};

        assert_true(netns >= 0);
        (void) mkdir(conf_dir, 0700);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, file, text, strlen(text), 0600, false), 0);
        assert_true(ask(&places, "ADD", netns, &result));
        assert_int_equal(cni_record_from_json(result, &record, NULL), 0);
        assert_int_equal(cni_result_from_json(record.attachments[0].result, version, &parsed, NULL), 0);
        assert_int_equal(cni_attachment_foreach(&record.attachments[0], check_shown, NULL), 0);
        assert_int_equal(parsed.n_addresses, 2);
        assert_true(parsed.n_interfaces >= 3);
        assert_true(has_link("cnitest0"));
        assert_int_equal(netns_run(netns, look_inside, &l), 0);
        assert_int_equal(n_addresses(), 1);
        assert_true(ask(&places, "CHECK", netns, NULL));
        assert_true(ask(&places, "ADD", netns, &again));
        assert_true(json_equal(result, again));
        assert_int_equal(n_addresses(), 1);

        assert_true(ask(&places, "DEL", netns, NULL));
        assert_int_equal(n_addresses(), 0);
        assert_int_equal(netns_run(netns, look_inside, &l), -ENODEV);
        assert_true(ask(&places, "STATUS", -EBADF, NULL));
        assert_true(ask(&places, "GC", -EBADF, NULL));

        /* Without the namespace: the host went down, say. */
        json_decref(result);
        result = NULL;
        assert_true(ask(&places, "ADD", netns, &result));
        assert_int_equal(n_addresses(), 1);
        assert_true(ask(&places, "DEL", -EBADF, NULL));
        assert_int_equal(n_addresses(), 0);
}

static void test_versions(void **state) {
        static const char *const versions[] = { "0.3.1", "0.4.0", "1.0.0" };

        NETNS_NEEDED();
        for (size_t i = 0; i < ELEMENTSOF(versions); i++)
                run(versions[i], "");
}

static void test_filters(void **state) {
        NETNS_NEEDED();
        if (system("iptables -t nat -L -n >/dev/null 2>&1") != 0) {
                print_message("%s: iptables does not work here\n", __func__);
                skip();
        }
        run("1.0.0", filters);
}

/* The last of a chain fails: "firewall" removes its rules by the addresses that "bridge" has given. */
static void test_filters_undone(void **state) {
        static const char *const failing = ",{\"type\":\"firewall\"},{\"type\":\"tuning\",\"sysctl\":{\"net.ipv4.no_such\":\"1\"}}";
        _cleanup_free_ char *list = strformat(plugins, dir, failing), *conf_dir = path_join(dir, "net.d"), *records = path_join(dir, "state"),
                            *names = path_join(dir, "netns"), *file = path_join(dir, "net.d/a.conflist"),
                            *text = strformat("{\"cniVersion\":\"1.0.0\",\"name\":\"a\",\"plugins\":[%s]}", list);
        const CniPlaces places = { conf_dir, "/usr/lib/cni", records, names, 20 * USEC_PER_SEC };
        _cleanup_close_ int netns = -EBADF;

        NETNS_NEEDED();
        if (system("iptables -t nat -L -n >/dev/null 2>&1") != 0) {
                print_message("%s: iptables does not work here\n", __func__);
                skip();
        }
        netns = netns_new(NULL, NULL);
        assert_true(netns >= 0);
        (void) mkdir(conf_dir, 0700);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, file, text, strlen(text), 0600, false), 0);
        assert_false(ask(&places, "ADD", netns, NULL));
        assert_int_equal(n_addresses(), 0);
        assert_int_not_equal(system("iptables-save | grep -q '10\\.99\\.7\\.[0-9]*/32'"), 0);
        assert_int_not_equal(system("ip6tables-save | grep -q fd99:7::"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_versions), cmocka_unit_test(test_filters), cmocka_unit_test(test_filters_undone) };
        int r;

        if (access("/usr/lib/cni/bridge", X_OK) < 0)
                netns_missing = "there are no CNI plug-ins here: apt install containernetworking-plugins";
        else if (geteuid() != 0)
                netns_missing = "not root"; /* plug-ins enter namespaces of the initial user namespace */
        else
                netns_enter();
        if (!mkdtemp(dir))
                return EXIT_FAILURE;
        r = cmocka_run_group_tests(tests, NULL, NULL);
        (void) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        return r;
}
