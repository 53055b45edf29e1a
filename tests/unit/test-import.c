/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>
#include <locale.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "helper/import.h"
#include "tar-builder.h"

#define MAX_BYTES (UINT64_C(64) << 20)

/* What an importer's user sees: each blob's bytes by digest, and the images as "name digest". */
typedef struct Seen {
        Hashmap *blobs; /* digest → text, owned */
        char **images;
        int fd; /* dup of the ingest under way */
        Error error;
} Seen;

static int on_begin(void *userdata, uint64_t key, Error *reterr_error) {
        Seen *s = userdata;
        int fd = memfd_create("ingest", MFD_CLOEXEC);

        assert_true(s->fd < 0);
        assert_true(fd >= 0);
        s->fd = fd_dup(fd);
        return fd;
}

static int on_end(void *userdata, uint64_t key, const char *digest, uint64_t size, const char *media_type,
                  Error *reterr_error) {
        Seen *s = userdata;
        char *text, got[DIGEST_STRING_MAX];
        size_t n;

        assert_int_equal(digest_of_fd(digest_algorithm(digest), s->fd, got), 0);
        assert_string_equal(got, digest);
        assert_int_equal(lseek(s->fd, 0, SEEK_SET), 0);
        assert_int_equal(read_all(s->fd, MAX_BYTES, &text, &n), 0);
        assert_int_equal(n, size);
        s->fd = safe_close(s->fd);
        free(hashmap_get(s->blobs, digest));
        assert_true(hashmap_replace(s->blobs, digest, text) >= 0);
        return 0;
}

static int on_image(void *userdata, const char *name, const char *digest, const char *media_type,
                    uint64_t size, Error *reterr_error) {
        Seen *s = userdata;
        const char *text = hashmap_get(s->blobs, digest);

        assert_non_null(text);
        assert_int_equal(strlen(text), size);
        assert_true(media_kind(media_type) == MEDIA_MANIFEST || media_kind(media_type) == MEDIA_INDEX);
        return strv_extendf(&s->images, "%s %s", name ?: "-", digest);
}

static const ImportOps ops = { .begin = on_begin, .end = on_end, .image = on_image };

static void seen_reset(Seen *s) {
        char *text;

        HASHMAP_FOREACH(text, s->blobs)
                free(text);
        hashmap_free(s->blobs);
        s->blobs = hashmap_new();
        s->images = strv_free(s->images);
        s->fd = safe_close(s->fd);
        error_done(&s->error);
}

static int setup(void **state) {
        Seen *s = calloc(1, sizeof(Seen));

        (void) setlocale(LC_CTYPE, "C.UTF-8");
        s->fd = -EBADF;
        seen_reset(s);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        Seen *s = *state;

        seen_reset(s);
        hashmap_free(s->blobs);
        free(s);
        return 0;
}

static int run_fd(Seen *s, int fd, uint64_t max_bytes) {
        _cleanup_(import_done) Import m = {};
        int r;

        seen_reset(s);
        assert_int_equal(import_init(&m, &ops, s, max_bytes, NULL), 0);
        r = import_tar(&m, fd, &s->error);
        if (r >= 0)
                r = import_finish(&m, &s->error);
        if (r < 0)
                print_message("%s: %s\n", error_name(&s->error), error_message(&s->error));
        else
                assert_false(error_is_set(&s->error));
        return r;
}

static int run(Seen *s, TarBuilder *t) {
        _cleanup_close_ int fd = -EBADF;

        tar_end(t);
        fd = bytes_to_fd(t->data, t->size);
        return run_fd(s, fd, MAX_BYTES);
}

static void refused(Seen *s, TarBuilder *t, const char *name) {
        assert_true(run(s, t) < 0);
        assert_string_equal(error_name(&s->error), name);
        tar_builder_done(t);
}

/* -- images to be put into archives
 * ---------------------------------------------------------------------------------- */

#define LAYER "this is a layer's tar for all that an importer knows"
#define OTHER "another layer"

typedef struct Sample {
        char layer[DIGEST_STRING_MAX], other[DIGEST_STRING_MAX], config_digest[DIGEST_STRING_MAX],
                        manifest_digest[DIGEST_STRING_MAX];
        char *config, *manifest, *index;
} Sample;

static void sample_done(Sample *p) {
        free(p->config);
        free(p->manifest);
        free(p->index);
}

static void digest_text(const char *text, char ret[static DIGEST_STRING_MAX]) {
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, text, strlen(text), ret), 0);
}

static void sample_init(Sample *p, const char *annotations) {
        digest_text(LAYER, p->layer);
        digest_text(OTHER, p->other);
        p->config = strformat(
                        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"]}}",
                        p->layer, p->other);
        digest_text(p->config, p->config_digest);
        p->manifest = strformat(
                        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
                        "\",\"config\":{\"mediaType\":\"" MEDIA_TYPE_OCI_CONFIG
                        "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_LAYER
                        "\",\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":\"" MEDIA_TYPE_OCI_LAYER
                        "\",\"digest\":\"%s\",\"size\":%zu}]}",
                        p->config_digest, strlen(p->config), p->layer, strlen(LAYER), p->other,
                        strlen(OTHER));
        digest_text(p->manifest, p->manifest_digest);
        p->index = strformat("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
                             "\",\"digest\":\"%s\",\"size\":%zu%s}]}",
                             p->manifest_digest, strlen(p->manifest), annotations);
}

static void add_text(TarBuilder *t, const char *name, const char *text) {
        TAR_ADD(t, .name = name, .data = text, .size = strlen(text));
}

static void add_blob(TarBuilder *t, const char *digest, const char *text) {
        char name[200];

        (void) snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
        add_text(t, name, text);
}

static void add_blobs(TarBuilder *t, const Sample *p) {
        add_blob(t, p->layer, LAYER);
        add_blob(t, p->other, OTHER);
        add_blob(t, p->config_digest, p->config);
        add_blob(t, p->manifest_digest, p->manifest);
}

#define NAMED ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"a:1\"}"

static void assert_image(Seen *s, size_t i, const char *name, const char *digest) {
        _cleanup_free_ char *expected = strformat("%s %s", name, digest);

        assert_true(strv_length(s->images) > i);
        assert_string_equal(s->images[i], expected);
}

static void test_oci(void **state) {
        _cleanup_(sample_done) Sample p = {};
        Seen *s = *state;
        TarBuilder t = {};

        sample_init(&p, NAMED);
        /* The index first, and last; "./" before the names; a directory and other files beside. */
        add_text(&t, "./index.json", p.index);
        add_text(&t, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
        TAR_ADD(&t, .name = "blobs/", .type = '5');
        add_text(&t, "blobs/sha256/README", "ignored");
        add_text(&t, "README", "ignored");
        add_blobs(&t, &p);
        assert_int_equal(run(s, &t), 0);
        assert_int_equal(strv_length(s->images), 1);
        assert_image(s, 0, "a:1", p.manifest_digest);
        assert_int_equal(hashmap_size(s->blobs), 4);
        assert_string_equal(hashmap_get(s->blobs, p.layer), LAYER);
        tar_builder_done(&t);

        add_blobs(&t, &p);
        add_text(&t, "index.json", p.index);
        assert_int_equal(run(s, &t), 0);
        assert_image(s, 0, "a:1", p.manifest_digest);
        tar_builder_done(&t);
}

static void test_names(void **state) {
        _cleanup_(sample_done) Sample p = {}, q = {};
        Seen *s = *state;
        TarBuilder t = {};
        char *docker;

        /* containerd's annotation is the complete name: it goes before. */
        sample_init(&p,
                    ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"1\",\"io.containerd.image.name\":\"docker.io/library/a:1\"}");
        add_blobs(&t, &p);
        add_text(&t, "index.json", p.index);
        assert_int_equal(run(s, &t), 0);
        assert_image(s, 0, "docker.io/library/a:1", p.manifest_digest);
        tar_builder_done(&t);

        sample_init(&q, "");
        add_blobs(&t, &q);
        add_text(&t, "index.json", q.index);
        assert_int_equal(run(s, &t), 0);
        assert_image(s, 0, "-", q.manifest_digest);

        /* Without annotations docker's own list has the names. */
        t.size -= 2 * TAR_BLOCK;
        docker = strformat("[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[\"x:1\",\"x:2\"],\"Layers\":[]}]",
                           digest_hex(q.config_digest));
        add_text(&t, "manifest.json", docker);
        free(docker);
        assert_int_equal(run(s, &t), 0);
        assert_int_equal(strv_length(s->images), 2);
        assert_image(s, 0, "x:1", q.manifest_digest);
        assert_image(s, 1, "x:2", q.manifest_digest);
        tar_builder_done(&t);
}

static void test_docker(void **state) {
        _cleanup_(sample_done) Sample p = {};
        Seen *s = *state;
        TarBuilder t = {};
        char config[100];
        _cleanup_free_ char *manifest = NULL;
        _cleanup_(manifest_freep) Manifest *m = NULL;
        const char *text, *digest;

        sample_init(&p, "");
        (void) snprintf(config, sizeof(config), "%s.json", digest_hex(p.config_digest));
        manifest = strformat(
                        "[{\"Config\":\"%s\",\"RepoTags\":[\"old:1\"],\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\"]},"
                        "{\"Config\":\"%s\",\"RepoTags\":null,\"Layers\":[\"aa/layer.tar\",\"cc/layer.tar\"]}]",
                        config, config);
        add_text(&t, "aa/VERSION", "1.0");
        add_text(&t, "aa/layer.tar", LAYER);
        add_text(&t, "bb/layer.tar", OTHER);
        TAR_ADD(&t, .name = "cc/layer.tar", .type = '2', .linkname = "../bb/layer.tar");
        add_text(&t, config, p.config);
        add_text(&t, "manifest.json", manifest);
        add_text(&t, "repositories", "{}");
        assert_int_equal(run(s, &t), 0);
        assert_int_equal(strv_length(s->images), 2);
        digest = startswith(s->images[0], "old:1 ");
        assert_non_null(digest);
        assert_image(s, 1, "-", digest);

        text = hashmap_get(s->blobs, digest);
        assert_int_equal(manifest_parse(text, strlen(text), NULL, &m, NULL), 0);
        assert_string_equal(m->config.digest, p.config_digest);
        assert_int_equal(m->n_layers, 2);
        assert_string_equal(m->layers[0].digest, p.layer);
        assert_string_equal(m->layers[1].digest, p.other);
        assert_string_equal(m->layers[1].media_type, MEDIA_TYPE_OCI_LAYER);
        tar_builder_done(&t);
}

static void test_docker_bad(void **state) {
        static const char *const bad[][2] = {
                { "[{\"Config\":\"missing.json\",\"Layers\":[]}]", "NoSuchBlob" },
                { "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\"]}]",
                  "InvalidArchive" }, /* one layer of two */
                { "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\",\"missing.tar\"]}]", "NoSuchBlob" },
                { "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\",\"loop/layer.tar\"]}]", "NoSuchBlob" },
                { "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\",5]}]", "NoSuchBlob" },
                { "[{\"Config\":\"c.json\"}]", "InvalidArchive" },
                { "[{\"Config\":\"a.tar\",\"Layers\":[]}]", "InvalidArchive" },
                { "[7]", "NoSuchBlob" },
                { "[]", "InvalidArchive" },
                { "{}", "InvalidArchive" },
        };
        _cleanup_(sample_done) Sample p = {};
        Seen *s = *state;

        sample_init(&p, "");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                TarBuilder t = {};

                add_text(&t, "a.tar", LAYER);
                add_text(&t, "c.json", p.config);
                TAR_ADD(&t, .name = "loop/layer.tar", .type = '2', .linkname = "layer.tar");
                add_text(&t, "manifest.json", bad[i][0]);
                refused(s, &t, bad[i][1]);
        }
}

static void test_incomplete(void **state) {
        _cleanup_(sample_done) Sample p = {};
        Seen *s = *state;
        TarBuilder t = {};
        _cleanup_free_ char *broken = NULL;

        sample_init(&p, NAMED);
        add_text(&t, "index.json", p.index);
        refused(s, &t, "NoSuchBlob");

        add_text(&t, "index.json", p.index);
        add_blob(&t, p.manifest_digest, p.manifest);
        add_blob(&t, p.config_digest, p.config);
        add_blob(&t, p.layer, LAYER);
        refused(s, &t, "NoSuchBlob");

        /* A blob that is not what its name says. */
        add_text(&t, "index.json", p.index);
        add_blobs(&t, &p);
        add_blob(&t, p.layer, OTHER);
        refused(s, &t, "DigestMismatch");

        /* Not a manifest. */
        broken = strformat("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
                           "\",\"digest\":\"%s\",\"size\":%zu}]}",
                           p.layer, strlen(LAYER));
        add_text(&t, "index.json", broken);
        add_blobs(&t, &p);
        refused(s, &t, "InvalidArchive");

        add_text(&t, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
        refused(s, &t, "InvalidArchive");
        add_text(&t, "etc/passwd", "root");
        refused(s, &t, "InvalidArchive");
        add_text(&t, "../index.json", "{}");
        refused(s, &t, "InvalidArchive");
        tar_add_bytes(&t, "no tar at all", 13);
        refused(s, &t, "InvalidArchive");
}

/* An index of two platforms, one of which was saved. */
static void test_index(void **state) {
        _cleanup_(sample_done) Sample p = {};
        _cleanup_free_ char *inner = NULL, *outer = NULL;
        char digest[DIGEST_STRING_MAX], missing[DIGEST_STRING_MAX];
        Seen *s = *state;
        TarBuilder t = {};

        sample_init(&p, "");
        digest_text("not here", missing);
        inner = strformat(
                        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX
                        "\",\"manifests\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
                        "\",\"digest\":\"%s\",\"size\":8,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}},{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
                        "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
                        missing, p.manifest_digest, strlen(p.manifest));
        digest_text(inner, digest);
        outer = strformat("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX
                          "\",\"digest\":\"%s\",\"size\":%zu" NAMED "}]}",
                          digest, strlen(inner));
        add_text(&t, "index.json", outer);
        add_blob(&t, digest, inner);
        add_blobs(&t, &p);
        assert_int_equal(run(s, &t), 0);
        assert_image(s, 0, "a:1", digest);
        tar_builder_done(&t);

        add_text(&t, "index.json", outer);
        add_blob(&t, digest, inner);
        refused(s, &t, "NoSuchBlob");
}

static void test_compressed_and_limits(void **state) {
        _cleanup_(sample_done) Sample p = {};
        _cleanup_free_ char *gz = NULL, *zst = NULL, *big = NULL;
        Seen *s = *state;
        TarBuilder t = {};
        size_t n, total;
        int fd;

        sample_init(&p, NAMED);
        add_text(&t, "index.json", p.index);
        add_blobs(&t, &p);
        tar_end(&t);
        gz = gzip_bytes(t.data, t.size, &n);
        fd = bytes_to_fd(gz, n);
        assert_int_equal(run_fd(s, fd, MAX_BYTES), 0);
        safe_close(fd);
        zst = zstd_bytes(t.data, t.size, &n);
        fd = bytes_to_fd(zst, n);
        assert_int_equal(run_fd(s, fd, MAX_BYTES), 0);
        assert_image(s, 0, "a:1", p.manifest_digest);

        /* To the byte: what is read of files. */
        total = strlen(p.index) + strlen(LAYER) + strlen(OTHER) + strlen(p.config) + strlen(p.manifest);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(run_fd(s, fd, total), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(run_fd(s, fd, total - 1), -EFBIG);
        assert_string_equal(error_name(&s->error), "ArchiveTooLarge");
        safe_close(fd);
        tar_builder_done(&t);

        big = malloc(IMPORT_TEXT_MAX + 2);
        memset(big, ' ', IMPORT_TEXT_MAX + 1);
        big[IMPORT_TEXT_MAX + 1] = 0;
        add_text(&t, "index.json", big);
        refused(s, &t, "ManifestTooLarge");
        /* A large blob that looks like JSON is a blob like any other. */
        big[0] = '{';
        add_text(&t, "x.tar", big);
        add_text(&t, "index.json", p.index);
        add_blobs(&t, &p);
        assert_int_equal(run(s, &t), 0);
        tar_builder_done(&t);
}

/* A layout that grows until it is complete. */
static void test_layout(void **state) {
        _cleanup_(sample_done) Sample p = {};
        Seen *s = *state;
        TarBuilder t = {};
        char name[200];

        sample_init(&p, NAMED);
        assert_int_equal(run(s, &t), -EBADMSG);
        t.size -= 2 * TAR_BLOCK;
        TAR_ADD(&t, .name = "blobs", .type = '5');
        TAR_ADD(&t, .name = "blobs/sha256", .type = '5');
        add_text(&t, "index.json", p.index);
        for (unsigned i = 0; i < 4; i++) {
                const char *digests[] = { p.layer, p.other, p.config_digest, p.manifest_digest };
                const char *texts[] = { LAYER, OTHER, p.config, p.manifest };

                assert_int_equal(run(s, &t), -ENOENT);
                t.size -= 2 * TAR_BLOCK;
                if (i == 3) {
                        /* Neither a FIFO nor a symlink is a blob. */
                        (void) snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digests[i]));
                        TAR_ADD(&t, .name = name, .type = '6');
                        assert_int_equal(run(s, &t), -ENOENT);
                        t.size -= 2 * TAR_BLOCK;
                        TAR_ADD(&t, .name = name, .type = '2', .linkname = "/etc/hostname");
                        assert_int_equal(run(s, &t), -ENOENT);
                        t.size -= 2 * TAR_BLOCK;
                }
                add_blob(&t, digests[i], texts[i]);
        }
        assert_int_equal(run(s, &t), 0);
        assert_image(s, 0, "a:1", p.manifest_digest);
        tar_builder_done(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_oci, setup, teardown),
                cmocka_unit_test_setup_teardown(test_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_docker, setup, teardown),
                cmocka_unit_test_setup_teardown(test_docker_bad, setup, teardown),
                cmocka_unit_test_setup_teardown(test_incomplete, setup, teardown),
                cmocka_unit_test_setup_teardown(test_index, setup, teardown),
                cmocka_unit_test_setup_teardown(test_compressed_and_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
