/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the tests of src/image/: everything below it, real, in a directory of its own; and images made of a few bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "image/image-internal.h"

#define TEST_LAYERS_MAX 4U

typedef struct Fixture {
        char path[64];
        int fd;
        sd_event *event;
        Store *store;
        Content *content;
        SnapshotManager *snapshots;
        Events *events;
        JobManager *jobs;
        ImageManager *images;
        PullConfig config;
        const char *helper; /* program */
        const char *boot;
        const char *user;   /* in_use() answers with it */
        unsigned n_notified[_NOTIFY_TYPE_MAX];
} Fixture;

static inline void fixture_on_notify(NotifyType type, const char *ns, const char *name, void *object, void *userdata) {
        Fixture *f = userdata;

        f->n_notified[type]++;
}

static inline void fixture_start(Fixture *f, bool expect_rebuild) {
        _cleanup_free_ char *db = path_join(f->path, "moored.db");
        _cleanup_error_ Error e = ERROR_NULL;
        bool rebuild = false;

        assert_non_null(db);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(store_open(db, &f->store, &rebuild, &e), 0);
        assert_int_equal(content_open(f->fd, &f->content, &e), 0);
        assert_int_equal(snapshot_manager_new(f->fd, f->path, f->store, &f->snapshots, &e), 0);
        assert_true(snapshot_manager_recover(f->snapshots, f->boot, &e) >= 0);
        assert_int_equal(events_new(f->store, 100, &f->events), 0);
        assert_int_equal(events_subscribe(f->events, fixture_on_notify, f), 0);
        assert_int_equal(job_manager_new(f->event, f->events, &f->jobs), 0);
        assert_int_equal(job_manager_set_helper_path(f->jobs, f->helper), 0);
        assert_int_equal(image_manager_new(f->store, f->content, f->snapshots, f->jobs, f->events, &f->config, &f->images, &e), 0);
        (void) store_namespace_add(f->store, &(NamespaceRow) { .name = (char *) "default" });
        assert_int_equal(image_manager_recover(f->images, expect_rebuild, &e), 0);
}

static inline void fixture_stop(Fixture *f) {
        f->jobs = job_manager_free(f->jobs);
        f->images = image_manager_free(f->images);
        f->events = events_free(f->events);
        f->snapshots = snapshot_manager_free(f->snapshots);
        f->content = content_free(f->content);
        f->store = store_free(f->store);
        f->event = sd_event_unref(f->event);
        while (waitpid(-1, NULL, 0) > 0) /* helpers that were killed with nobody left to reap them */
                ;
}

static inline Fixture *fixture_new(const char *helper) {
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        f->helper = helper;
        f->boot = "11111111-2222-3333-4444-555555555555";
        f->config = (PullConfig) { .max_concurrent_downloads = 4, .max_concurrent_unpacks = 2, .retries = 1, .retry_delay_usec = 1000 };
        strcpy(f->path, "/tmp/test-image-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        fixture_start(f, false);
        return f;
}

static inline void fixture_free(Fixture *f) {
        fixture_stop(f);
        safe_close(f->fd);
        assert_int_equal(rm_rf_at(AT_FDCWD, f->path), 0);
        free(f);
}

/* Turns the loop until done() says so; fails after 20 s. */
static inline void fixture_run_until(Fixture *f, bool (*done)(Fixture *f, void *userdata), void *userdata) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + 20 * USEC_PER_SEC;

        while (!done(f, userdata)) {
                assert_true(now_usec(CLOCK_MONOTONIC) < end);
                assert_true(sd_event_run(f->event, 50 * USEC_PER_MSEC) >= 0);
        }
}

static inline void fixture_run(Fixture *f, uint64_t usec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + usec;

        while (now_usec(CLOCK_MONOTONIC) < end)
                assert_true(sd_event_run(f->event, 20 * USEC_PER_MSEC) >= 0);
}

static inline size_t count_entries(Fixture *f, const char *path) {
        _cleanup_free_ char *command = strformat("ls -A %s/%s 2>/dev/null | wc -l", f->path, path);
        unsigned n = 0;
        FILE *p;

        assert_non_null(command);
        p = popen(command, "r");
        assert_non_null(p);
        assert_int_equal(fscanf(p, "%u", &n), 1);
        pclose(p);
        return n;
}

/* -- images ---------------------------------------------------------------------------------------------------------------
 * A layer's blob is any text (the tests' unpack helper does not read it, or is not run); its DiffID is the digest of "diff of <text>". */

typedef struct TestImage {
        char *layers[TEST_LAYERS_MAX]; /* texts */
        char layer_digests[TEST_LAYERS_MAX][DIGEST_STRING_MAX];
        char diff_ids[TEST_LAYERS_MAX][DIGEST_STRING_MAX];
        char chain_ids[TEST_LAYERS_MAX][DIGEST_STRING_MAX];
        size_t n_layers;
        char *config, *manifest;
        char config_digest[DIGEST_STRING_MAX], manifest_digest[DIGEST_STRING_MAX];
} TestImage;

static inline void digest_text(const char *text, char ret[static DIGEST_STRING_MAX]) {
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, text, strlen(text), ret), 0);
}

static inline void test_image_done(TestImage *t) {
        for (size_t i = 0; i < t->n_layers; i++)
                free(t->layers[i]);
        free(t->config);
        free(t->manifest);
}

static inline char *make_manifest(const char *config, size_t config_size, const TestImage *t) {
        _cleanup_free_ char *layers = strdup("");

        for (size_t i = 0; i < t->n_layers; i++) {
                char *more = strformat("%s%s{\"mediaType\":\"" MEDIA_TYPE_OCI_LAYER "\",\"digest\":\"%s\",\"size\":%zu}", layers, i > 0 ? "," : "",
                                       t->layer_digests[i], strlen(t->layers[i]));

                assert_non_null(more);
                free(layers);
                layers = more;
        }
        return strformat("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST "\",\"config\":{\"mediaType\":\"" MEDIA_TYPE_OCI_CONFIG
                         "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
                         config, config_size, layers);
}

/* texts: of the layers, by commas; "" for none. n_diff_ids: as many as layers, unless a test wants it wrong. */
static inline void make_image(TestImage *ret, const char *texts, const char *architecture, int n_diff_ids) {
        _cleanup_strv_free_ char **l = strv_split(texts, ",");
        _cleanup_free_ char *diff_ids = strdup("");
        TestImage t = {};

        STRV_FOREACH(s, l) {
                _cleanup_free_ char *diff = strjoin("diff of ", s);
                size_t i = t.n_layers++;

                t.layers[i] = strdup(s);
                digest_text(s, t.layer_digests[i]);
                digest_text(diff, t.diff_ids[i]);
                assert_int_equal(chain_id(i > 0 ? t.chain_ids[i - 1] : NULL, t.diff_ids[i], t.chain_ids[i]), 0);
        }
        for (int i = 0; i < (n_diff_ids < 0 ? (int) t.n_layers : n_diff_ids); i++) {
                char *more = strformat("%s%s\"%s\"", diff_ids, i > 0 ? "," : "", i < (int) t.n_layers ? t.diff_ids[i] : t.diff_ids[0]);

                free(diff_ids);
                diff_ids = more;
        }

        t.config = strformat("{\"architecture\":\"%s\",\"os\":\"linux\",\"created\":\"2024-01-02T03:04:05Z\",\"config\":{\"Cmd\":[\"%s\"],"
                             "\"Labels\":{\"a\":\"b\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
                             architecture, texts, diff_ids);
        assert_non_null(t.config);
        digest_text(t.config, t.config_digest);
        t.manifest = make_manifest(t.config_digest, strlen(t.config), &t);
        assert_non_null(t.manifest);
        digest_text(t.manifest, t.manifest_digest);
        *ret = t;
}

/* An index of two platforms. */
static inline char *make_index(const TestImage *a, const char *architecture_a, const TestImage *b, const char *architecture_b) {
        const char entry[] = "{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
                             "\"architecture\":\"%s\"}}";
        _cleanup_free_ char *x = NULL, *y = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        x = strformat(entry, a->manifest_digest, strlen(a->manifest), architecture_a);
        y = strformat(entry, b->manifest_digest, strlen(b->manifest), architecture_b);
#pragma GCC diagnostic pop
        return strformat("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX "\",\"manifests\":[%s,%s]}", x, y);
}

static inline void put_blob(Fixture *f, const char *text) {
        char digest[DIGEST_STRING_MAX];

        assert_int_equal(content_write_blob(f->content, text, strlen(text), NULL, digest, NULL), 0);
        assert_int_equal(store_blob_add(f->store, digest, strlen(text), ""), 0);
}

/* Into content and store, without a name. */
static inline void put_image(Fixture *f, const TestImage *t) {
        for (size_t i = 0; i < t->n_layers; i++)
                put_blob(f, t->layers[i]);
        put_blob(f, t->config);
        put_blob(f, t->manifest);
}

/* The layers as if they had been unpacked. */
static inline void put_layers(Fixture *f, const TestImage *t) {
        uint64_t parent = 0, id;
        int fd;

        for (size_t i = 0; i < t->n_layers; i++) {
                if (snapshot_find_layer(f->snapshots, t->chain_ids[i], &parent) >= 0)
                        continue;
                assert_int_equal(snapshot_layer_begin(f->snapshots, t->chain_ids[i], t->diff_ids[i], parent, &id, &fd, NULL), 0);
                safe_close(fd);
                assert_int_equal(snapshot_layer_complete(f->snapshots, id, 10, NULL), 0);
                parent = id;
        }
}

/* Names what is in the store. */
static inline int name_image(Fixture *f, const char *ns, const char *name, const char *target, const char *platform, Error *reterr_error) {
        const Descriptor d = { .digest = (char *) target, .media_type = (char *) "" };
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(platform_done) Platform p = {};
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        int r;

        assert_int_equal(platform_parse(platform, &p, NULL), 0);
        r = image_manager_describe(f->images, &d, &p, &row, &manifest, &config, reterr_error);
        if (r < 0)
                return r;
        row.ns = strdup(ns);
        row.name = strdup(name);
        return image_manager_set_name(f->images, &row, manifest, config, NULL, reterr_error);
}
