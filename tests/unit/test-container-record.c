/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/record.h"
#include "oci/digest.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"

static Store *new_store(void) {
        _cleanup_error_ Error e = ERROR_NULL;
        Store *s = NULL;

        if (store_open(":memory:", &s, NULL, &e) < 0)
                fail_msg("%s", error_message(&e));
        return s;
}

static void add_snapshot(Store *s, uint64_t id, const char *chain, const char *diff, uint64_t parent) {
        SnapshotRow row = {
                .id = id,
                .driver = (char *) "overlay",
                .kind = chain ? SNAPSHOT_LAYER : SNAPSHOT_WRITABLE,
                .chain_id = (char *) chain,
                .diff_id = (char *) diff,
                .parent = parent,
                .ready = true,
                .synced = true,
                .boot_id = (char *) "earlier",
                .size = id * 10,
        };

        assert_int_equal(store_snapshot_add(s, &row), 0);
}

/* Two layers and a container on them. */
static void fill(Store *s, const char *id, uint64_t writable, ContainerRow *ret) {
        const NamespaceRow ns = { .name = (char *) "n" };
        char chain[DIGEST_STRING_MAX];
        ContainerRow row = {
                .ns = (char *) "n",
                .id = (char *) id,
                .image = (char *) "example.org/a:1",
                .image_digest = (char *) D1,
                .options = (char *) "{\"options\":\"“text”\"}",
                .snapshot = writable,
                .created_usec = 1,
                .started_usec = 2,
                .finished_usec = 3,
                .boot_id = (char *) "b",
                .invocation_id = (char *) "i",
                .exit_code = -1,
                .exit_signal = (char *) "KILL",
                .result = (char *) "signal",
                .restart_count = 8,
                .stopped = true,
        };
        _cleanup_(snapshot_row_done) SnapshotRow old = {};

        (void) store_namespace_add(s, &ns);
        if (store_snapshot_get(s, 7, &old) < 0) {
                assert_int_equal(chain_id(D1, D2, chain), 0);
                add_snapshot(s, 7, D1, D1, 0);
                add_snapshot(s, 5, chain, D2, 7);
        }
        add_snapshot(s, writable, NULL, NULL, 5);
        assert_int_equal(store_container_add(s, &row), 0);
        *ret = row;
}

static int dump_container(ContainerRow *r, void *userdata) {
        return strv_extendf(userdata, "%s/%s %s %s %s %llu %i %llu %llu %llu %s %s %i %s %s %u %i", r->ns, r->id,
                            r->image, r->image_digest, r->options, (unsigned long long) r->snapshot,
                            r->auto_remove, (unsigned long long) r->created_usec,
                            (unsigned long long) r->started_usec, (unsigned long long) r->finished_usec,
                            strempty(r->boot_id), strempty(r->invocation_id), r->exit_code,
                            strempty(r->exit_signal), strempty(r->result), r->restart_count, r->stopped);
}

static int dump_snapshot(const SnapshotRow *r, void *userdata) {
        return strv_extendf(userdata, "%llu %s %i %s %s %llu %llu %i", (unsigned long long) r->id, r->driver,
                            (int) r->kind, strempty(r->chain_id), strempty(r->diff_id),
                            (unsigned long long) r->parent, (unsigned long long) r->size, r->ready);
}

static char *dump(Store *s) {
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(store_container_foreach(s, NULL, dump_container, &l), 0);
        assert_int_equal(store_snapshot_foreach(s, dump_snapshot, &l), 0);
        return strv_join(l, "\n");
}

static int dump_interface(const InterfaceRow *r, void *userdata) {
        _cleanup_free_ char *aliases = strv_join(r->aliases, ","), *addresses = strv_join(r->addresses, ",");

        return strv_extendf(userdata, "%s/%s %s %s %s %s %s", r->ns, r->container, r->name, strempty(r->host_device), r->mac, aliases, addresses);
}

static int dump_port(const PortRow *r, void *userdata) {
        return strv_extendf(userdata, "%s/%s %s %s %u %u %u", r->ns, r->container, r->protocol, r->address, r->host_port, r->container_port, r->count);
}

static int dump_network(NetworkRow *r, void *userdata) {
        int n = strv_extendf(userdata, "%s/%s %s %s %s %s %u %i %i %i %s %llu", r->ns, r->name, r->driver, strempty(r->device), strempty(r->parent),
                             strempty(r->mode), r->mtu, r->internal, r->no_dns, r->open, strv_length(r->labels) > 0 ? r->labels[0] : "",
                             (unsigned long long) r->created_usec);

        for (size_t i = 0; i < r->n_subnets && n >= 0; i++)
                n = strv_extendf(userdata, "%s %s %s", r->subnets[i].prefix, strempty(r->subnets[i].gateway), strempty(r->subnets[i].range));
        return n;
}

static char *dump_networks(Store *s) {
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(store_network_foreach(s, dump_network, &l), 0);
        for (const char *id = "c"; id; id = streq(id, "c") ? "d" : NULL) {
                assert_int_equal(store_interface_foreach(s, "n", id, dump_interface, &l), 0);
                assert_int_equal(store_port_foreach(s, "n", id, dump_port, &l), 0);
        }
        return strv_join(l, "\n");
}

/* Two on one network, one of them on another as well. */
static void fill_networks(Store *s) {
        char *labels[] = { (char *) "a=b", NULL }, *aliases[] = { (char *) "x", (char *) "y", NULL };
        SubnetRow lan[] = {
                { .prefix = (char *) "10.1.0.0/24", .gateway = (char *) "10.1.0.1", .range = (char *) "10.1.0.128/25" },
                { .prefix = (char *) "fd00::/64", .gateway = (char *) "fd00::1" },
        };
        SubnetRow street[] = { { .prefix = (char *) "192.0.2.0/24" } };
        NetworkRow networks[] = {
                { .ns = (char *) "n", .name = (char *) "lan", .driver = (char *) "bridge", .device = (char *) "moored0", .mtu = 1400, .internal = true,
                  .no_dns = true, .open = true, .labels = labels, .created_usec = 5, .subnets = lan, .n_subnets = 2 },
                { .ns = (char *) "n", .name = (char *) "street", .driver = (char *) "macvlan", .parent = (char *) "eth0", .mode = (char *) "vepa",
                  .subnets = street, .n_subnets = 1 },
        };
        InterfaceRow c = { .ns = (char *) "n", .container = (char *) "c", .name = (char *) "eth0", .host_device = (char *) "mv1",
                           .mac = (char *) "02:00:00:00:00:01", .aliases = aliases };
        InterfaceRow d = { .ns = (char *) "n", .container = (char *) "d", .name = (char *) "eth0", .mac = (char *) "02:00:00:00:00:02" }, e = d;
        PortRow port = { .ns = (char *) "n", .container = (char *) "c", .protocol = (char *) "udp", .address = (char *) "192.0.2.1", .host_port = 65530,
                         .container_port = 1, .count = 6 };

        for (size_t i = 0; i < 2; i++)
                assert_int_equal(store_network_add(s, &networks[i]), 0);
        c.network = d.network = networks[0].n;
        e.network = networks[1].n;
        e.name = (char *) "eth1";
        assert_int_equal(store_interface_add(s, &c), 0);
        assert_int_equal(store_interface_add(s, &d), 0);
        assert_int_equal(store_interface_add(s, &e), 0);
        assert_int_equal(store_address_add(s, lan[0].n, 5, "10.1.0.5", c.n), 0);
        assert_int_equal(store_address_add(s, lan[1].n, 5, "fd00::5", c.n), 0);
        assert_int_equal(store_address_add(s, lan[0].n, 6, "10.1.0.6", d.n), 0);
        assert_int_equal(store_address_add(s, street[0].n, 6, "192.0.2.6", e.n), 0);
        assert_int_equal(store_port_add(s, &port), 0);
        port.address = (char *) "";
        assert_int_equal(store_port_add(s, &port), 0);
}

static void test_networks(void **state) {
        _cleanup_(store_freep) Store *a = new_store(), *b = new_store(), *other = new_store();
        _cleanup_free_ char *one = NULL, *two = NULL, *before = NULL, *after = NULL, *same = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        ContainerRow c, d;

        fill(a, "c", 40, &c);
        fill(a, "d", 41, &d);
        fill_networks(a);
        assert_int_equal(record_build(a, &c, &one), 0);
        assert_int_equal(record_build(a, &d, &two), 0);
        assert_int_equal(record_restore(b, "n", "c", one, "b", NULL), 0);
        assert_int_equal(record_restore(b, "n", "d", two, "b", NULL), 0);
        before = dump_networks(a);
        after = dump_networks(b);
        assert_string_equal(after, before);

        /* What says that two have an address is not believed. */
        same = strdup(two);
        memcpy(strstr(same, "10.1.0.6"), "10.1.0.5", 8);
        assert_int_equal(record_restore(other, "n", "c", one, "b", NULL), 0);
        assert_true(record_restore(other, "n", "d", same, "b", &e) < 0);
        assert_true(error_has_name(&e, "InvalidRecord"));
        assert_int_equal(store_container_remove(other, "n", "d"), -ENOENT);
}

static void test_there_and_back(void **state) {
        _cleanup_(store_freep) Store *a = new_store(), *b = new_store();
        _cleanup_free_ char *one = NULL, *two = NULL, *before = NULL, *after = NULL;
        _cleanup_(snapshot_row_done) SnapshotRow layer = {};
        SnapshotRow next = { .driver = (char *) "overlay", .kind = SNAPSHOT_WRITABLE };
        ContainerRow c, d;

        fill(a, "c", 40, &c);
        fill(a, "d", 41, &d);
        d.auto_remove = true;
        d.boot_id = d.invocation_id = d.exit_signal = d.result = NULL;
        assert_int_equal(store_container_update(a, &d), 0);
        assert_int_equal(record_build(a, &c, &one), 0);
        assert_int_equal(record_build(a, &d, &two), 0);

        assert_int_equal(record_restore(b, "n", "c", one, "now", NULL), 0);
        assert_int_equal(record_restore(b, "n", "d", two, "now", NULL), 0);
        before = dump(a);
        after = dump(b);
        assert_string_equal(before, after);

        /* Trusted in this boot, until a sync says more; numbers are not given out again. */
        assert_int_equal(store_snapshot_get(b, 7, &layer), 0);
        assert_false(layer.synced);
        assert_string_equal(layer.boot_id, "now");
        assert_int_equal(store_snapshot_add(b, &next), 0);
        assert_int_equal(next.id, 42);

        /* It is there already. */
        assert_int_equal(record_restore(b, "n", "c", one, "now", NULL), -EEXIST);
}

static void expect_refused(const char *ns, const char *id, json_t *j) {
        _cleanup_(store_freep) Store *s = new_store();
        _cleanup_free_ char *text = json_dump(j, false);
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(record_restore(s, ns, id, text, "now", &e) < 0);
        assert_true(error_is_set(&e));
}

static json_t *snapshot(json_t *record, size_t i) {
        return json_array_get(json_object_get(record, "snapshots"), i);
}

static void test_hostile(void **state) {
        static const char *const texts[] = { "", "{", "[]", "{}", "null", "{\"version\":1}" };
        _cleanup_(store_freep) Store *s = new_store();
        _cleanup_free_ char *text = NULL;
        ContainerRow c;
        const struct {
                int snapshot; /* -1: the record itself */
                const char *key;
                json_t *value;
        } changes[] = {
                { -1, "version", json_integer(2) },
                { -1, "id", json_string("other") },
                { -1, "namespace", json_string("other") },
                { -1, "options", json_integer(1) },
                { -1, "createdUSec", json_integer(-1) },
                { -1, "snapshots", json_array() },
                { -1, "snapshots", json_object() },
                { 0, "id", json_integer(0) },
                { 0, "id", json_integer(5) },
                { 0, "id", json_integer(-1) },
                { 0, "id", json_string("40") },
                { 0, "chainId", json_string(D2) },
                { 1, "chainId", json_string(D2) },
                { 1, "chainId", json_string("../../etc") },
                { 1, "chainId", json_null() },
                { 1, "diffId", json_string(D1) },
                { 1, "diffId", json_null() },
                { 2, "id", json_integer(5) },
                { 2, "diffId", json_string("x") },
                { 2, "driver", json_null() },
        };

        fill(s, "c", 40, &c);
        assert_int_equal(record_build(s, &c, &text), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(store_freep) Store *empty = new_store();

                assert_true(record_restore(empty, "n", "c", texts[i], "now", NULL) < 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_json_ json_t *j = NULL;

                assert_int_equal(json_parse(text, strlen(text), RECORD_SIZE_MAX, &j, NULL), 0);
                assert_int_equal(json_object_set_new(
                                                 changes[i].snapshot < 0
                                                                 ? j
                                                                 : snapshot(j, (size_t) changes[i].snapshot),
                                                 changes[i].key, changes[i].value),
                                 0);
                expect_refused("n", "c", j);
        }

        _cleanup_json_ json_t *j = NULL;
        assert_int_equal(json_parse(text, strlen(text), RECORD_SIZE_MAX, &j, NULL), 0);
        expect_refused("m", "c", j);
        expect_refused("n", "d", j);
}

/* At most RECORD_SNAPSHOTS_MAX. */
static void test_limit(void **state) {
        _cleanup_(store_freep) Store *s = new_store(), *t = new_store();
        const NamespaceRow ns = { .name = (char *) "n" };
        char chain[DIGEST_STRING_MAX] = D1, next[DIGEST_STRING_MAX];
        ContainerRow c = {
                .ns = (char *) "n", .id = (char *) "c", .image = (char *) "i", .options = (char *) "{}"
        };
        _cleanup_free_ char *text = NULL, *none = NULL;

        assert_int_equal(store_namespace_add(s, &ns), 0);
        add_snapshot(s, 1, D1, D1, 0);
        for (uint64_t i = 2; i <= RECORD_SNAPSHOTS_MAX; i++) {
                assert_int_equal(chain_id(chain, D2, next), 0);
                add_snapshot(s, i, next, D2, i - 1);
                memcpy(chain, next, sizeof(chain));
        }
        add_snapshot(s, 1000, NULL, NULL, RECORD_SNAPSHOTS_MAX - 1);
        add_snapshot(s, 1001, NULL, NULL, RECORD_SNAPSHOTS_MAX);

        c.snapshot = 1000;
        assert_int_equal(record_build(s, &c, &text), 0);
        assert_int_equal(record_restore(t, "n", "c", text, "now", NULL), 0);
        c.snapshot = 1001;
        assert_int_equal(record_build(s, &c, &none), -ELOOP);
}

/* One that cannot be used takes no other with it. */
static void test_all(void **state) {
        _cleanup_(store_freep) Store *a = new_store(), *b = new_store();
        _cleanup_free_ char *text = NULL, *after = NULL;
        char dir[] = "/tmp/test-record-XXXXXX";
        ContainerRow c;
        int fd;

        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        fill(a, "c", 40, &c);
        assert_int_equal(record_build(a, &c, &text), 0);
        assert_int_equal(bundle_write_record(fd, "n", "c", text), -ENOENT);
        assert_int_equal(mkdirat_p(fd, "n/a", 0700), 0);
        assert_int_equal(mkdirat_p(fd, "n/b", 0700), 0);
        assert_int_equal(mkdirat_p(fd, "n/c", 0700), 0);
        assert_int_equal(bundle_write_record(fd, "n", "a", "{}"), 0);
        assert_int_equal(bundle_write_record(fd, "n", "c", text), 0);

        assert_int_equal(record_restore_all(b, fd, "now", NULL), 1);
        after = dump(b);
        assert_non_null(strstr(after, "n/c example.org/a:1"));

        close(fd);
        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_networks),
                cmocka_unit_test(test_there_and_back),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
