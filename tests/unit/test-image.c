/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image-fixture.h"

#define NAME "docker.io/library/app:latest"

static int setup(void **state) {
        /* Trees that are thrown away and layers that are to be synced are no matter of these tests. */
        *state = fixture_new("/bin/true");
        return 0;
}

static int teardown(void **state) {
        fixture_free(*state);
        return 0;
}

static bool in_use(const char *ns, const char *name, char **ret_container, void *userdata) {
        Fixture *f = userdata;

        if (!f->user || !streq(ns, "default") || !streq(name, NAME))
                return false;
        *ret_container = strdup(f->user);
        return true;
}

static size_t count_blobs(Fixture *f) {
        return count_entries(f, "content/blobs/sha256");
}

static void collect(Fixture *f, bool dry_run, GarbageResult *ret) {
        assert_int_equal(image_collect_garbage(f->images, dry_run, ret, NULL), 0);
}

static void test_find(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, e2 = ERROR_NULL;
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Image *i;

        make_image(&t, "one,two", "amd64", -1);
        put_image(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(f->n_notified[NOTIFY_IMAGE_ADDED], 1);

        /* Any spelling finds it. */
        i = image_find(f->images, "default", "app", NULL);
        assert_non_null(i);
        assert_ptr_equal(image_find(f->images, "default", "library/app", NULL), i);
        assert_ptr_equal(image_find(f->images, "default", NAME, NULL), i);
        assert_string_equal(i->row.digest, t.manifest_digest);
        assert_string_equal(i->row.manifest_digest, t.manifest_digest);
        assert_string_equal(i->row.config_digest, t.config_digest);
        assert_string_equal(i->row.platform, "linux/amd64");
        assert_string_equal(i->row.media_type, MEDIA_TYPE_OCI_MANIFEST);
        assert_int_equal(i->row.size, strlen(t.manifest));
        assert_int_equal(i->row.total_size, strlen(t.manifest) + strlen(t.config) + 6);
        assert_true(strv_contains(i->row.labels, "a=b"));
        assert_false(i->unpacked);

        assert_null(image_find(f->images, "other", "app", &e));
        assert_string_equal(error_name(&e), "NoSuchImage");
        assert_null(image_find(f->images, "default", "UPPER", &e2));
        assert_string_equal(error_name(&e2), "InvalidReference");
        assert_int_equal(image_count(f->images, "default"), 1);
        assert_int_equal(image_count(f->images, "other"), 0);
        assert_int_equal(image_count(f->images, NULL), 1);
}

static void test_recover_from_rows(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        char stray[DIGEST_STRING_MAX];
        uint64_t tagged, id;
        Fixture *f = *state;
        Image *i;

        make_image(&t, "one,two", "amd64", -1);
        put_image(f, &t);
        put_layers(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        tagged = image_find(f->images, "default", "app", NULL)->row.tagged_usec;
        /* A blob whose row was not written, as after a crash. */
        assert_int_equal(content_write_blob(f->content, "stray", 5, NULL, stray, NULL), 0);
        assert_int_equal(count_blobs(f), 5);

        fixture_stop(f);
        fixture_start(f, false);
        i = image_find(f->images, "default", "app", NULL);
        assert_non_null(i);
        assert_int_equal(i->row.tagged_usec, tagged);
        assert_true(i->unpacked);
        assert_int_equal(image_get_snapshot(f->images, i, &id, NULL), 0);
        assert_int_equal(id, 2);
        assert_int_equal(count_blobs(f), 4);

        /* Its layers were not known to be on disk: they are to be synced now. */
        assert_true(f->images->n_syncing + f->images->n_unsynced == 2);
}

static void test_get_snapshot(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(test_image_done) TestImage t = {}, empty = {};
        uint64_t id = 99;
        Fixture *f = *state;
        Image *i;

        make_image(&t, "one,two", "amd64", -1);
        put_image(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        i = image_find(f->images, "default", "app", NULL);
        assert_int_equal(image_get_snapshot(f->images, i, &id, &e), -EAGAIN);
        assert_string_equal(error_name(&e), "ImageNotUnpacked");

        put_layers(f, &t);
        assert_int_equal(image_get_snapshot(f->images, i, &id, NULL), 0);
        assert_int_equal(id, 2);

        make_image(&empty, "", "amd64", -1);
        put_image(f, &empty);
        assert_int_equal(name_image(f, "default", "docker.io/library/empty:latest", empty.manifest_digest, "linux/amd64", NULL), 0);
        i = image_find(f->images, "default", "empty", NULL);
        assert_true(i->unpacked);
        assert_int_equal(image_get_snapshot(f->images, i, &id, NULL), 0);
        assert_int_equal(id, 0);
}

static void test_tag(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, e2 = ERROR_NULL;
        _cleanup_(test_image_done) TestImage t = {}, u = {};
        GarbageResult g;
        Fixture *f = *state;

        make_image(&t, "one", "amd64", -1);
        make_image(&u, "two", "amd64", -1);
        put_image(f, &t);
        put_image(f, &u);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(name_image(f, "default", "docker.io/library/other:1", u.manifest_digest, "linux/amd64", NULL), 0);

        assert_int_equal(image_tag(f->images, "default", "app", "host:5000/x/y:z", NULL), 0);
        assert_string_equal(image_find(f->images, "default", "host:5000/x/y:z", NULL)->row.digest, t.manifest_digest);
        assert_int_equal(f->n_notified[NOTIFY_IMAGE_ADDED], 3);
        /* To itself, and over another. */
        assert_int_equal(image_tag(f->images, "default", "app", "app", NULL), 0);
        assert_int_equal(image_tag(f->images, "default", "app", "other:1", NULL), 0);
        assert_int_equal(f->n_notified[NOTIFY_IMAGE_CHANGED], 2);
        assert_string_equal(image_find(f->images, "default", "other:1", NULL)->row.digest, t.manifest_digest);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 3);

        assert_int_equal(image_tag(f->images, "default", "nothing", "x", &e), -ENOENT);
        assert_string_equal(error_name(&e), "NoSuchImage");
        _cleanup_free_ char *digested = strjoin("app@", t.manifest_digest);
        assert_int_equal(image_tag(f->images, "default", "app", digested, &e2), -EINVAL);
        assert_string_equal(error_name(&e2), "InvalidReference");
}

static void test_remove(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, e2 = ERROR_NULL;
        _cleanup_(test_image_done) TestImage t = {};
        GarbageResult g;
        Fixture *f = *state;
        uint64_t id;

        make_image(&t, "one,two", "amd64", -1);
        put_image(f, &t);
        put_layers(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(image_tag(f->images, "default", "app", "second", NULL), 0);
        image_manager_set_in_use(f->images, in_use, f);

        f->user = "web";
        assert_int_equal(image_remove(f->images, "default", "app", false, &e), -EBUSY);
        assert_string_equal(error_name(&e), "ImageInUse");
        assert_non_null(strstr(error_message(&e), "web"));
        assert_int_equal(image_remove(f->images, "default", "app", true, NULL), 0);
        assert_null(image_find(f->images, "default", "app", NULL));
        assert_int_equal(image_remove(f->images, "default", "app", true, &e2), -ENOENT);
        assert_string_equal(error_name(&e2), "NoSuchImage");

        /* The other name keeps everything. */
        collect(f, false, &g);
        assert_int_equal(g.blobs, 0);
        assert_int_equal(g.snapshots, 0);

        assert_int_equal(image_remove(f->images, "default", "second", false, NULL), 0);
        assert_int_equal(f->n_notified[NOTIFY_IMAGE_REMOVED], 2);
        collect(f, true, &g);
        assert_int_equal(g.blobs, 4);
        assert_int_equal(g.snapshots, 2);
        assert_int_equal(count_blobs(f), 4);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 4);
        assert_int_equal(g.snapshots, 2);
        assert_int_equal(g.bytes, strlen(t.manifest) + strlen(t.config) + 6 + 2 * 10);
        assert_int_equal(count_blobs(f), 0);
        assert_int_equal(snapshot_find_layer(f->snapshots, t.chain_ids[1], &id), -ENOENT);
        assert_int_equal(count_entries(f, "snapshots/overlay/trash"), 2);
}

static void test_collect_soon(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "one", "amd64", -1);
        put_image(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        assert_int_equal(count_blobs(f), 3);
        fixture_run(f, 600 * USEC_PER_MSEC);
        assert_int_equal(count_blobs(f), 0);
}

static void test_pins(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        GarbageResult g;
        Fixture *f = *state;
        uint64_t id;

        make_image(&t, "one,two", "amd64", -1);
        put_image(f, &t);
        put_layers(f, &t);

        /* Pins are counted. */
        char **pins = NULL;
        assert_int_equal(image_manager_pin(f->images, t.config_digest), 1);
        assert_int_equal(image_manager_pin_in(f->images, t.config_digest, &pins), 0);
        assert_int_equal(image_manager_pin_in(f->images, t.chain_ids[0], &pins), 0);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 3);
        assert_int_equal(g.snapshots, 1);
        assert_int_equal(snapshot_find_layer(f->snapshots, t.chain_ids[0], &id), 0);

        image_manager_unpin(f->images, t.config_digest);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 0);
        image_manager_unpin_all(f->images, pins);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 1);
        assert_int_equal(g.snapshots, 1);
}

static void test_config_cache(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        const ImageConfig *c, *again;
        Fixture *f = *state;
        TestImage t[CONFIG_CACHE_MAX + 1];

        for (size_t i = 0; i < ELEMENTSOF(t); i++) {
                _cleanup_free_ char *text = strformat("layer%zu", i);

                make_image(t + i, text, "amd64", -1);
                put_image(f, t + i);
                assert_int_equal(image_manager_read_config(f->images, t[i].config_digest, &c, NULL), 0);
                assert_string_equal(c->cmd[0], text);
                assert_int_equal(image_manager_read_config(f->images, t[i].config_digest, &again, NULL), 0);
                assert_ptr_equal(c, again);
        }
        assert_in_range(hashmap_size(f->images->configs), 1, CONFIG_CACHE_MAX);
        assert_int_equal(image_manager_read_config(f->images, t[0].config_digest, &c, NULL), 0);
        assert_string_equal(c->cmd[0], "layer0");

        /* What is collected is not in the cache either. */
        collect(f, false, NULL);
        assert_int_equal(image_manager_read_config(f->images, t[0].config_digest, &c, &e), -ENOENT);
        assert_string_equal(error_name(&e), "NoSuchBlob");
        for (size_t i = 0; i < ELEMENTSOF(t); i++)
                test_image_done(t + i);
}

static void test_platforms(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *index = NULL;
        char digest[DIGEST_STRING_MAX];
        GarbageResult g;
        Fixture *f = *state;
        Image *i;

        make_image(&a, "intel", "amd64", -1);
        make_image(&b, "arm", "arm64", -1);
        put_image(f, &a);
        put_image(f, &b);
        index = make_index(&a, "amd64", &b, "arm64");
        digest_text(index, digest);
        put_blob(f, index);

        assert_int_equal(name_image(f, "default", NAME, digest, "linux/arm64", NULL), 0);
        i = image_find(f->images, "default", "app", NULL);
        assert_string_equal(i->row.digest, digest);
        assert_string_equal(i->row.media_type, MEDIA_TYPE_OCI_INDEX);
        assert_string_equal(i->row.manifest_digest, b.manifest_digest);
        assert_string_equal(i->row.platform, "linux/arm64");
        assert_int_equal(i->row.size, strlen(index));

        /* Only what belongs to the chosen platform is kept. */
        collect(f, false, &g);
        assert_int_equal(g.blobs, 3);
        assert_true(content_has_blob(f->content, b.layer_digests[0], NULL));
        assert_false(content_has_blob(f->content, a.layer_digests[0], NULL));

        /* For another platform the same name and index lead to something else, and what was for the first goes. */
        put_image(f, &a);
        assert_int_equal(name_image(f, "default", NAME, digest, "linux/amd64", NULL), 0);
        assert_string_equal(image_find(f->images, "default", "app", NULL)->row.manifest_digest, a.manifest_digest);
        collect(f, false, &g);
        assert_int_equal(g.blobs, 3);
        assert_true(content_has_blob(f->content, a.layer_digests[0], NULL));
        assert_false(content_has_blob(f->content, b.layer_digests[0], NULL));

        assert_int_equal(name_image(f, "default", NAME, digest, "linux/s390x", &e), -ENOENT);
        assert_string_equal(error_name(&e), "NoSuchPlatform");
}

static void test_wrong_count_of_layers(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, e2 = ERROR_NULL;
        _cleanup_(test_image_done) TestImage few = {}, many = {};
        Fixture *f = *state;

        make_image(&few, "one,two", "amd64", 1);
        make_image(&many, "one", "amd64", 2);
        put_image(f, &few);
        put_image(f, &many);
        assert_int_equal(name_image(f, "default", NAME, few.manifest_digest, "linux/amd64", &e), -EBADMSG);
        assert_string_equal(error_name(&e), "InvalidImageConfig");
        assert_int_equal(name_image(f, "default", NAME, many.manifest_digest, "linux/amd64", &e2), -EBADMSG);
        assert_string_equal(error_name(&e2), "InvalidImageConfig");
        assert_int_equal(image_count(f->images, NULL), 0);
}

static void test_index_json(void **state) {
        _cleanup_json_ json_t *index = NULL;
        _cleanup_(test_image_done) TestImage t = {};
        _cleanup_free_ char *text = NULL;
        json_t *manifests, *entry;
        Fixture *f = *state;
        size_t n;

        make_image(&t, "one", "amd64", -1);
        put_image(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        fixture_run(f, 400 * USEC_PER_MSEC);

        assert_int_equal(content_read_index(f->content, &text, &n), 0);
        assert_int_equal(json_parse(text, n, JSON_TEXT_MAX, &index, NULL), 0);
        assert_int_equal(json_integer_value(json_object_get(index, "schemaVersion")), 2);
        manifests = json_object_get(index, "manifests");
        assert_int_equal(json_array_size(manifests), 1);
        entry = json_array_get(manifests, 0);
        assert_string_equal(json_get_string(entry, "digest"), t.manifest_digest);
        assert_string_equal(json_get_string(entry, "mediaType"), MEDIA_TYPE_OCI_MANIFEST);
        assert_int_equal(json_integer_value(json_object_get(entry, "size")), strlen(t.manifest));
        assert_string_equal(json_get_string(json_object_get(entry, "annotations"), "org.opencontainers.image.ref.name"), NAME);

        /* A change that is not written yet is written at the end. */
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        fixture_stop(f);
        fixture_start(f, false);
        _cleanup_free_ char *later = NULL;
        assert_int_equal(content_read_index(f->content, &later, &n), 0);
        assert_null(strstr(later, NAME));
}

static void lose_database(Fixture *f) {
        fixture_stop(f);
        assert_int_equal(unlinkat(f->fd, "moored.db", 0), 0);
        (void) unlinkat(f->fd, "moored.db-wal", 0);
        (void) unlinkat(f->fd, "moored.db-shm", 0);
}

static void test_rebuild(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        _cleanup_free_ char *index = NULL;
        char digest[DIGEST_STRING_MAX];
        GarbageResult g;
        Fixture *f = *state;
        Image *i;

        make_image(&a, "intel,more", "amd64", -1);
        make_image(&b, "arm", "arm64", -1);
        put_image(f, &a);
        put_image(f, &b);
        index = make_index(&a, "amd64", &b, "arm64");
        digest_text(index, digest);
        put_blob(f, index);
        assert_int_equal(store_namespace_add(f->store, &(NamespaceRow) { .name = (char *) "team" }), 0);
        assert_int_equal(name_image(f, "default", NAME, digest, "linux/arm64", NULL), 0);
        assert_int_equal(name_image(f, "team", NAME, a.manifest_digest, "linux/amd64", NULL), 0);

        lose_database(f);
        fixture_start(f, true);
        assert_int_equal(image_count(f->images, NULL), 2);
        i = image_find(f->images, "default", "app", NULL);
        assert_non_null(i);
        assert_string_equal(i->row.digest, digest);
        assert_string_equal(i->row.manifest_digest, b.manifest_digest);
        i = image_find(f->images, "team", "app", NULL);
        assert_non_null(i);
        assert_string_equal(i->row.manifest_digest, a.manifest_digest);
        assert_int_equal(i->row.total_size, strlen(a.manifest) + strlen(a.config) + strlen("intelmore"));

        collect(f, false, &g);
        assert_int_equal(g.blobs, 0);
        assert_true(content_has_blob(f->content, a.layer_digests[1], NULL));
}

static void test_rebuild_of_the_damaged(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;

        make_image(&a, "one", "amd64", -1);
        make_image(&b, "two", "amd64", -1);
        put_image(f, &a);
        put_image(f, &b);
        assert_int_equal(name_image(f, "default", NAME, a.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(name_image(f, "default", "docker.io/library/other:1", b.manifest_digest, "linux/amd64", NULL), 0);

        /* One image has lost its configuration: the other comes back. */
        assert_int_equal(content_remove_blob(f->content, b.config_digest), 1);
        lose_database(f);
        fixture_start(f, true);
        assert_int_equal(image_count(f->images, NULL), 1);
        assert_non_null(image_find(f->images, "default", "app", NULL));

        /* An index.json that is no JSON costs the names, not the start. */
        lose_database(f);
        assert_int_equal(content_open(f->fd, &f->content, NULL), 0);
        assert_int_equal(content_write_index(f->content, "{", 1, false), 0);
        f->content = content_free(f->content);
        fixture_start(f, true);
        assert_int_equal(image_count(f->images, NULL), 0);
}

static void test_unpack_without_blobs(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "one", "amd64", -1);
        put_image(f, &t);
        assert_int_equal(name_image(f, "default", NAME, t.manifest_digest, "linux/amd64", NULL), 0);
        assert_int_equal(content_remove_blob(f->content, t.layer_digests[0]), 1);
        assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
        assert_int_equal(j->state, JOB_FAILED);
        assert_string_equal(error_name(&j->error), "NoSuchBlob");
        assert_int_equal(hashmap_size(f->images->layers), 0);
        assert_int_equal(count_entries(f, "snapshots/overlay"), 1); /* the trash */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_find, setup, teardown),
                cmocka_unit_test_setup_teardown(test_recover_from_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(test_get_snapshot, setup, teardown),
                cmocka_unit_test_setup_teardown(test_tag, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
                cmocka_unit_test_setup_teardown(test_collect_soon, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pins, setup, teardown),
                cmocka_unit_test_setup_teardown(test_config_cache, setup, teardown),
                cmocka_unit_test_setup_teardown(test_platforms, setup, teardown),
                cmocka_unit_test_setup_teardown(test_wrong_count_of_layers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_index_json, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rebuild, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rebuild_of_the_damaged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_without_blobs, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
