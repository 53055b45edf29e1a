/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/manifest.h"
#include "schema-fixture.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define DESCRIPTOR(type, more) "{\"mediaType\":\"" type "\",\"size\":1,\"digest\":\"" DIGEST "\"" more "}"
#define CONFIG DESCRIPTOR(MEDIA_TYPE_OCI_CONFIG, "")
#define LAYER DESCRIPTOR(MEDIA_TYPE_OCI_LAYER "+gzip", "")
#define MANIFEST(type) "{\"schemaVersion\":2," type "\"config\":" CONFIG ",\"layers\":[" LAYER "]}"
#define ENTRY(platform) DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ",\"platform\":" platform)
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static void test_media_types(void **state) {
        static const struct {
                const char *type;
                MediaKind kind;
                Compression compression;
        } table[] = {
                { MEDIA_TYPE_OCI_INDEX, MEDIA_INDEX, _COMPRESSION_INVALID },
                { MEDIA_TYPE_DOCKER_LIST, MEDIA_INDEX, _COMPRESSION_INVALID },
                { MEDIA_TYPE_OCI_MANIFEST, MEDIA_MANIFEST, _COMPRESSION_INVALID },
                { MEDIA_TYPE_DOCKER_MANIFEST "; charset=utf-8", MEDIA_MANIFEST, _COMPRESSION_INVALID },
                { "Application/VND.OCI.image.config.v1+json", MEDIA_CONFIG, _COMPRESSION_INVALID },
                { MEDIA_TYPE_DOCKER_CONFIG, MEDIA_CONFIG, _COMPRESSION_INVALID },
                { MEDIA_TYPE_OCI_LAYER, MEDIA_LAYER, COMPRESSION_NONE },
                { MEDIA_TYPE_OCI_LAYER "+gzip", MEDIA_LAYER, COMPRESSION_GZIP },
                { MEDIA_TYPE_OCI_LAYER "+zstd", MEDIA_LAYER, COMPRESSION_ZSTD },
                { "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_LAYER, COMPRESSION_GZIP },
                { MEDIA_TYPE_DOCKER_LAYER ".gzip", MEDIA_LAYER, COMPRESSION_GZIP },
                { MEDIA_TYPE_DOCKER_LAYER, MEDIA_LAYER, COMPRESSION_NONE },
                { "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER, COMPRESSION_GZIP },
                { MEDIA_TYPE_OCI_LAYER "+gzip+encrypted", MEDIA_OTHER, _COMPRESSION_INVALID },
                { MEDIA_TYPE_OCI_LAYER "+xz", MEDIA_OTHER, _COMPRESSION_INVALID },
                { "application/vnd.docker.distribution.manifest.v1+prettyjws", MEDIA_OTHER, _COMPRESSION_INVALID },
                { "application/json", MEDIA_OTHER, _COMPRESSION_INVALID },
                { "", MEDIA_OTHER, _COMPRESSION_INVALID },
                { NULL, MEDIA_OTHER, _COMPRESSION_INVALID },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                assert_int_equal(media_kind(table[i].type), table[i].kind);
                assert_int_equal(media_compression(table[i].type), table[i].compression);
        }

        assert_string_equal(compression_to_string(COMPRESSION_ZSTD), "zstd");
        assert_int_equal(compression_from_string("gzip"), COMPRESSION_GZIP);
        assert_true(compression_from_string("lzma") < 0);
}

static Manifest *parse_manifest(const char *text, const char *hint) {
        _cleanup_error_ Error e = ERROR_NULL;
        Manifest *m = NULL;

        if (manifest_parse(text, strlen(text), hint, &m, &e) < 0)
                fail_msg("%s: %s", text, error_message(&e));
        return m;
}

static void expect_bad(const char *text, const char *hint, int error, const char *name) {
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;
        _cleanup_(manifest_freep) Manifest *m = NULL;
        _cleanup_(index_freep) Index *x = NULL;
        int r;

        r = manifest_parse(text, strlen(text), hint, &m, &e);
        if (r != error)
                fail_msg("manifest %.200s: %i", text, r);
        assert_true(error_has_name(&e, name));

        r = index_parse(text, strlen(text), hint, &x, &f);
        if (r != error)
                fail_msg("index %.200s: %i", text, r);
        assert_true(error_has_name(&f, name));
}

static void test_manifest(void **state) {
        _cleanup_(manifest_freep) Manifest *m = NULL, *docker = NULL, *hinted = NULL, *empty = NULL;

        m = parse_manifest(MANIFEST("\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST "\","), "application/json");
        assert_string_equal(m->media_type, MEDIA_TYPE_OCI_MANIFEST);
        assert_string_equal(m->config.media_type, MEDIA_TYPE_OCI_CONFIG);
        assert_string_equal(m->config.digest, DIGEST);
        assert_int_equal(m->n_layers, 1);
        assert_int_equal(m->layers[0].size, 1);

        docker = parse_manifest(MANIFEST("\"mediaType\":\"" MEDIA_TYPE_DOCKER_MANIFEST "\","), MEDIA_TYPE_DOCKER_MANIFEST);
        assert_string_equal(docker->media_type, MEDIA_TYPE_DOCKER_MANIFEST);

        hinted = parse_manifest(MANIFEST(""), MEDIA_TYPE_DOCKER_MANIFEST "; charset=utf-8");
        assert_string_equal(hinted->media_type, MEDIA_TYPE_DOCKER_MANIFEST);

        empty = parse_manifest("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"mediaType\":null,\"x\":[{}]}", NULL);
        assert_int_equal(empty->n_layers, 0);
        assert_string_equal(empty->media_type, MEDIA_TYPE_OCI_MANIFEST);
}

static void test_bad(void **state) {
        static const char *const bad[] = {
                "", "{", "[]", "null", "{}", "{\"schemaVersion\":\"2\"}", "{\"schemaVersion\":3,\"layers\":[]}", "{\"schemaVersion\":2,\"config\":[],\"layers\":[]}",
                "{\"schemaVersion\":2,\"layers\":{}}", "{\"schemaVersion\":2,\"manifests\":{}}",
                "{\"schemaVersion\":2,\"schemaVersion\":2,\"manifests\":[]}",
                /* both at once: CVE-2021-41190 */
                "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                expect_bad(bad[i], NULL, -EBADMSG, "InvalidManifest");

        expect_bad("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, -EOPNOTSUPP, "UnsupportedMediaType");
        expect_bad("{\"schemaVersion\":2}", NULL, -EOPNOTSUPP, "UnsupportedMediaType");
        expect_bad("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\",\"layers\":[]}", NULL, -EOPNOTSUPP,
                   "UnsupportedMediaType");
}

static void expect_bad_manifest(const char *text, const char *hint) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(manifest_freep) Manifest *m = NULL;

        if (manifest_parse(text, strlen(text), hint, &m, &e) != -EBADMSG)
                fail_msg("%.200s: %s", text, error_message(&e));
        assert_true(error_has_name(&e, "InvalidManifest"));
        assert_true(string_is_safe(error_message(&e)));
}

static void test_bad_descriptor(void **state) {
        static const char *const layers[] = {
                "{}", "null", "1",
                "{\"mediaType\":\"x/y\",\"size\":1}",
                "{\"mediaType\":\"\",\"size\":1,\"digest\":\"" DIGEST "\"}",
                "{\"mediaType\":\"x/\\ny\",\"size\":1,\"digest\":\"" DIGEST "\"}",
                "{\"mediaType\":\"x/y\",\"size\":-1,\"digest\":\"" DIGEST "\"}",
                "{\"mediaType\":\"x/y\",\"size\":1.5,\"digest\":\"" DIGEST "\"}",
                "{\"mediaType\":\"x/y\",\"size\":99999999999999999999,\"digest\":\"" DIGEST "\"}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"sha256:../../../etc/passwd\"}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"sha384:" HEX "\"}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"" DIGEST "\",\"annotations\":{\"a\":1}}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"" DIGEST "\",\"annotations\":[]}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"" DIGEST "\",\"annotations\":{\"org.opencontainers.image.ref.name\":\"a\\u0007b\"}}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"" DIGEST "\",\"platform\":{\"os\":1}}",
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"" DIGEST "\",\"platform\":{\"os\":\"a\\tb\"}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(layers); i++) {
                _cleanup_free_ char *text = strjoin("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[", layers[i], "]}");

                expect_bad_manifest(text, NULL);
        }

        /* Of another kind than the registry says. */
        expect_bad_manifest(MANIFEST(""), MEDIA_TYPE_OCI_INDEX);
        expect_bad_manifest("{\"schemaVersion\":2,\"config\":" CONFIG "}", NULL);
        expect_bad_manifest("{\"schemaVersion\":2,\"layers\":[]}", NULL);
        expect_bad_manifest("{\"schemaVersion\":2,\"manifests\":[]}", NULL);
}

static char *repeat(const char *before, const char *item, size_t n, const char *after) {
        size_t l = strlen(item) + 1;
        char *s = malloc(strlen(before) + n * l + strlen(after) + 1), *p = stpcpy(s, before);

        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        *p++ = ',';
                p = stpcpy(p, item);
        }
        strcpy(p, after);
        return s;
}

static void test_limits(void **state) {
        _cleanup_free_ char *layers = repeat("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[", LAYER, LAYERS_MAX, "]}"),
                            *more_layers = repeat("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[", LAYER, LAYERS_MAX + 1, "]}"),
                            *manifests = repeat("{\"schemaVersion\":2,\"manifests\":[", DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ""), INDEX_MANIFESTS_MAX, "]}"),
                            *more_manifests = repeat("{\"schemaVersion\":2,\"manifests\":[", DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ""), INDEX_MANIFESTS_MAX + 1, "]}"),
                            *big = malloc(MANIFEST_SIZE_MAX + 2);
        _cleanup_(manifest_freep) Manifest *m = NULL, *m2 = NULL;
        _cleanup_(index_freep) Index *x = NULL, *x2 = NULL;

        m = parse_manifest(layers, NULL);
        assert_int_equal(m->n_layers, LAYERS_MAX);
        expect_bad_manifest(more_layers, NULL);

        assert_int_equal(index_parse(manifests, strlen(manifests), NULL, &x, NULL), 0);
        assert_int_equal(x->n_manifests, INDEX_MANIFESTS_MAX);
        assert_int_equal(index_parse(more_manifests, strlen(more_manifests), NULL, &x2, NULL), -EBADMSG);

        /* Blanks up to the last byte that is allowed, and one more. */
        memset(big, ' ', MANIFEST_SIZE_MAX + 1);
        memcpy(big, MANIFEST(""), strlen(MANIFEST("")));
        big[MANIFEST_SIZE_MAX + 1] = 0;
        assert_int_equal(manifest_parse(big, MANIFEST_SIZE_MAX, NULL, &m2, NULL), 0);
        expect_bad_manifest(big, NULL);
}

static void test_annotation_limit(void **state) {
        for (unsigned n = ANNOTATIONS_MAX; n <= ANNOTATIONS_MAX + 1; n++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_(manifest_freep) Manifest *m = NULL;
                size_t size = 0;
                FILE *f = open_memstream(&text, &size);

                fputs("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"annotations\":{", f);
                for (unsigned i = 0; i < n; i++)
                        fprintf(f, "%s\"k%u\":\"v\"", i > 0 ? "," : "", i);
                fputs("}}", f);
                assert_int_equal(fclose(f), 0);
                assert_int_equal(manifest_parse(text, size, NULL, &m, NULL), n > ANNOTATIONS_MAX ? -EBADMSG : 0);
        }
}

static void test_index(void **state) {
        static const char text[] = INDEX(
                ENTRY("{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"\"}") ","
                DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}") ","
                "{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"blake3:abc\"},"
                DESCRIPTOR("application/vnd.example+json", "") ","
                DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\",\"io.containerd.image.name\":\"docker.io/library/x:v1\"}"));
        static const char bad_digest[] = INDEX("{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"sha256:abc\"}");
        static const char no_digest[] = INDEX("{\"mediaType\":\"x/y\",\"size\":1,\"digest\":\"a b\"}");
        _cleanup_(index_freep) Index *x = NULL, *y = NULL;
        Descriptor copy = {};

        assert_int_equal(index_parse(text, strlen(text), MEDIA_TYPE_DOCKER_LIST, &x, NULL), 0);
        assert_string_equal(x->media_type, MEDIA_TYPE_DOCKER_LIST);
        /* The one with a digest of an unknown algorithm is not there. */
        assert_int_equal(x->n_manifests, 4);
        assert_string_equal(x->manifests[0].platform.os, "linux");
        assert_null(x->manifests[0].platform.variant);
        assert_false(x->manifests[0].attestation);
        assert_true(x->manifests[1].attestation);
        assert_null(x->manifests[2].platform.os);
        assert_string_equal(x->manifests[3].ref_name, "v1");

        assert_int_equal(descriptor_copy(&copy, x->manifests + 3), 0);
        assert_string_equal(copy.image_name, "docker.io/library/x:v1");
        assert_string_equal(copy.digest, DIGEST);
        assert_ptr_not_equal(copy.digest, x->manifests[3].digest);
        descriptor_done(&copy);

        assert_int_equal(index_parse(bad_digest, strlen(bad_digest), NULL, &y, NULL), -EBADMSG);
        assert_int_equal(index_parse(no_digest, strlen(no_digest), NULL, &y, NULL), -EBADMSG);
        assert_int_equal(index_parse(INDEX(""), strlen(INDEX("")), NULL, &y, NULL), 0);
        assert_int_equal(y->n_manifests, 0);
}

static MediaKind detect(const char *text, const char *hint) {
        return manifest_detect(text, strlen(text), hint);
}

static void test_detect(void **state) {
        assert_int_equal(detect(MANIFEST(""), NULL), MEDIA_MANIFEST);
        assert_int_equal(detect(INDEX(""), NULL), MEDIA_INDEX);
        assert_int_equal(detect(INDEX(""), "text/plain"), MEDIA_INDEX);
        assert_int_equal(detect("{\"schemaVersion\":2}", MEDIA_TYPE_DOCKER_LIST), MEDIA_INDEX);
        assert_int_equal(detect("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX "\"}", MEDIA_TYPE_OCI_MANIFEST), MEDIA_INDEX);
        assert_int_equal(detect("{\"schemaVersion\":2,\"mediaType\":\"x/y\",\"manifests\":[]}", NULL), MEDIA_OTHER);
        assert_int_equal(detect("{\"schemaVersion\":1,\"fsLayers\":[]}", MEDIA_TYPE_DOCKER_MANIFEST), MEDIA_OTHER);
        assert_int_equal(detect("<html>", NULL), MEDIA_OTHER);
}

static void test_platform_parse(void **state) {
        static const struct {
                const char *s, *expected;
        } table[] = {
                { "linux/amd64", "linux/amd64" },
                { "linux/arm64/v8", "linux/arm64/v8" },
                { "arm64", "linux/arm64" },
                { "x86_64", "linux/amd64" },
                { "linux/aarch64", "linux/arm64" },
                { "armhf", "linux/arm/v7" },
                { "linux/arm/v6", "linux/arm/v6" },
                { "windows/amd64", "windows/amd64" },
                { "i686", "linux/386" },
                { "", NULL },
                { "linux", NULL },
                { "/", NULL },
                { "linux/", NULL },
                { "linux//v8", NULL },
                { "/amd64", NULL },
                { "a/b/c/d", NULL },
                { "linux/amd 64", NULL },
                { "LINUX/AMD64", NULL },
                { NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(platform_done) Platform p = {};
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *s = NULL;
                int r = platform_parse(table[i].s, &p, &e);

                if (!table[i].expected) {
                        assert_int_equal(r, -EINVAL);
                        assert_true(error_has_name(&e, "InvalidArgument"));
                        continue;
                }
                assert_int_equal(r, 0);
                s = platform_to_string(&p);
                assert_string_equal(s, table[i].expected);
        }
}

static int match(const char *wanted, const char *offered) {
        _cleanup_(platform_done) Platform w = {}, o = {};

        assert_int_equal(platform_parse(wanted, &w, NULL), 0);
        assert_int_equal(platform_parse(offered, &o, NULL), 0);
        return platform_match(&w, &o);
}

static void test_platform_match(void **state) {
        _cleanup_(platform_done) Platform host = {};
        Platform raw = { (char *) "linux", (char *) "aarch64", NULL }, none = {};
        Platform arm64 = { (char *) "linux", (char *) "arm64", (char *) "v8" };

        assert_true(match("linux/amd64", "linux/amd64") > 0);
        assert_int_equal(match("linux/amd64", "linux/arm64"), 0);
        assert_int_equal(match("linux/amd64", "windows/amd64"), 0);
        assert_true(match("linux/arm64/v8", "linux/arm64") > 0);
        assert_true(match("linux/arm64", "linux/arm64/v8") > 0);
        assert_true(match("linux/arm64/v8", "linux/arm64/v8") > match("linux/arm64/v8", "linux/arm64"));
        assert_true(match("linux/arm/v7", "linux/arm/v7") > match("linux/arm/v7", "linux/arm/v6"));
        assert_true(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"));
        assert_true(match("linux/arm/v7", "linux/arm/v5") > 0);
        assert_int_equal(match("linux/arm/v6", "linux/arm/v7"), 0);
        assert_int_equal(match("linux/amd64/v3", "linux/amd64/v2"), 0);
        assert_true(platform_match(&arm64, &raw) > 0);
        assert_int_equal(platform_match(&arm64, &none), 0);
        assert_int_equal(platform_match(&none, &arm64), 0);

        assert_int_equal(platform_host(&host), 0);
        assert_true(platform_match(&host, &host) > 0);
}

static void test_select(void **state) {
        static const char text[] = INDEX(
                DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},\"annotations\":{\"vnd.docker.reference.type\":\"x\"}") ","
                DESCRIPTOR("x/y", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}") ","
                ENTRY("{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v5\"}") ","
                ENTRY("{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}") ","
                ENTRY("{\"os\":\"linux\",\"architecture\":\"amd64\"}"));
        static const char bare[] = INDEX(DESCRIPTOR(MEDIA_TYPE_OCI_MANIFEST, ""));
        _cleanup_(platform_done) Platform amd64 = {}, arm = {}, s390x = {};
        _cleanup_(index_freep) Index *x = NULL, *one = NULL, *empty = NULL;
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;

        assert_int_equal(platform_parse("amd64", &amd64, NULL), 0);
        assert_int_equal(platform_parse("linux/arm/v7", &arm, NULL), 0);
        assert_int_equal(platform_parse("s390x", &s390x, NULL), 0);
        assert_int_equal(index_parse(text, strlen(text), NULL, &x, NULL), 0);

        assert_ptr_equal(index_select(x, &amd64, &e), x->manifests + 4);
        assert_ptr_equal(index_select(x, &arm, &e), x->manifests + 3);
        assert_false(error_is_set(&e));
        assert_null(index_select(x, &s390x, &e));
        assert_true(error_has_name(&e, "NoSuchPlatform"));
        assert_non_null(strstr(error_message(&e), "linux/s390x"));
        assert_non_null(strstr(error_message(&e), "linux/arm/v5, linux/arm/v6, linux/amd64"));

        assert_int_equal(index_parse(bare, strlen(bare), NULL, &one, NULL), 0);
        assert_ptr_equal(index_select(one, &s390x, NULL), one->manifests);

        assert_int_equal(index_parse(INDEX(""), strlen(INDEX("")), NULL, &empty, NULL), 0);
        assert_null(index_select(empty, &amd64, &f));
        assert_true(error_has_name(&f, "NoSuchPlatform"));
}

static void check_required(const char *schema_name, const char *document, bool is_index) {
        _cleanup_json_ json_t *schema = schema_load(schema_name);
        json_t *required = json_object_get(schema, "required"), *name;
        size_t i;

        assert_true(json_array_size(required) > 0);
        json_array_foreach(required, i, name) {
                _cleanup_json_ json_t *j = NULL;
                _cleanup_(manifest_freep) Manifest *m = NULL;
                _cleanup_(index_freep) Index *x = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(json_parse(document, strlen(document), MANIFEST_SIZE_MAX, &j, NULL), 0);
                assert_int_equal(json_object_del(j, json_string_value(name)), 0);
                text = json_dump(j, false);
                if (is_index)
                        assert_true(index_parse(text, strlen(text), NULL, &x, NULL) < 0);
                else
                        assert_true(manifest_parse(text, strlen(text), NULL, &m, NULL) < 0);
        }
}

static void test_schema_required(void **state) {
        check_required("image-manifest-schema.json", MANIFEST(""), false);
        check_required("image-index-schema.json", INDEX(ENTRY("{\"os\":\"linux\",\"architecture\":\"amd64\"}")), true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_media_types),    cmocka_unit_test(test_manifest),       cmocka_unit_test(test_bad),
                cmocka_unit_test(test_bad_descriptor), cmocka_unit_test(test_limits),         cmocka_unit_test(test_annotation_limit),
                cmocka_unit_test(test_index),          cmocka_unit_test(test_detect),         cmocka_unit_test(test_platform_parse),
                cmocka_unit_test(test_platform_match), cmocka_unit_test(test_select),         cmocka_unit_test(test_schema_required),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
