/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Documents of two families that differ in their media types only: OCI's and Docker's schema 2. They come
 * from a registry, so each list has a maximum, and a document that could be read as either a manifest or an
 * index is refused: the two readings would name different content under one digest (CVE-2021-41190). For the
 * same reason the Content-Type must agree with what is inside. */

#include <strings.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/digest.h"
#include "oci/manifest.h"

#define MEDIA_TYPE_MAX 255U
#define PLATFORM_PART_MAX 64U
#define ANNOTATION_MAX 4096U /* of those that we keep */
#define PLATFORMS_SHOWN_MAX 16U

#define OCI_LAYER_NONDISTRIBUTABLE "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define DOCKER_LAYER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff.tar"

static const char *const compression_table[] = {
        [COMPRESSION_NONE] = "none",
        [COMPRESSION_GZIP] = "gzip",
        [COMPRESSION_ZSTD] = "zstd",
};

DEFINE_STRING_TABLE(compression, Compression)

/* -- media types -- */

/* As in a Content-Type header: any case, parameters do not count. */
static bool media_type_is(const char *s, const char *type) {
        size_t n = strlen(type);

        return strncasecmp(s, type, n) == 0 && (s[n] == 0 || s[n] == ';' || s[n] == ' ');
}

static const struct {
        const char *type;
        Compression compression;
} layer_types[] = {
        { MEDIA_TYPE_OCI_LAYER, COMPRESSION_NONE },
        { MEDIA_TYPE_OCI_LAYER "+gzip", COMPRESSION_GZIP },
        { MEDIA_TYPE_OCI_LAYER "+zstd", COMPRESSION_ZSTD },
        { OCI_LAYER_NONDISTRIBUTABLE, COMPRESSION_NONE },
        { OCI_LAYER_NONDISTRIBUTABLE "+gzip", COMPRESSION_GZIP },
        { OCI_LAYER_NONDISTRIBUTABLE "+zstd", COMPRESSION_ZSTD },
        { MEDIA_TYPE_DOCKER_LAYER, COMPRESSION_NONE },
        { MEDIA_TYPE_DOCKER_LAYER ".gzip", COMPRESSION_GZIP },
        { MEDIA_TYPE_DOCKER_LAYER ".zstd", COMPRESSION_ZSTD },
        { DOCKER_LAYER_FOREIGN, COMPRESSION_NONE },
        { DOCKER_LAYER_FOREIGN ".gzip", COMPRESSION_GZIP },
};

static const struct {
        const char *type;
        MediaKind kind;
} document_types[] = {
        { MEDIA_TYPE_OCI_INDEX, MEDIA_INDEX },          { MEDIA_TYPE_OCI_MANIFEST, MEDIA_MANIFEST },
        { MEDIA_TYPE_OCI_CONFIG, MEDIA_CONFIG },        { MEDIA_TYPE_DOCKER_LIST, MEDIA_INDEX },
        { MEDIA_TYPE_DOCKER_MANIFEST, MEDIA_MANIFEST }, { MEDIA_TYPE_DOCKER_CONFIG, MEDIA_CONFIG },
};

Compression media_compression(const char *media_type) {
        for (size_t i = 0; media_type && i < ELEMENTSOF(layer_types); i++)
                if (media_type_is(media_type, layer_types[i].type))
                        return layer_types[i].compression;

        return _COMPRESSION_INVALID;
}

MediaKind media_kind(const char *media_type) {
        for (size_t i = 0; media_type && i < ELEMENTSOF(document_types); i++)
                if (media_type_is(media_type, document_types[i].type))
                        return document_types[i].kind;

        return media_compression(media_type) >= 0 ? MEDIA_LAYER : MEDIA_OTHER;
}

/* -- descriptors -- */

void descriptor_done(Descriptor *d) {
        if (!d)
                return;

        free(d->media_type);
        free(d->digest);
        platform_done(&d->platform);
        free(d->ref_name);
        free(d->image_name);
        *d = (Descriptor) {};
}

int descriptor_copy(Descriptor *dst, const Descriptor *src) {
        Descriptor d = { .size = src->size, .attestation = src->attestation };

        if (free_and_strdup(&d.media_type, src->media_type) < 0 ||
            free_and_strdup(&d.digest, src->digest) < 0 ||
            free_and_strdup(&d.platform.os, src->platform.os) < 0 ||
            free_and_strdup(&d.platform.architecture, src->platform.architecture) < 0 ||
            free_and_strdup(&d.platform.variant, src->platform.variant) < 0 ||
            free_and_strdup(&d.ref_name, src->ref_name) < 0 ||
            free_and_strdup(&d.image_name, src->image_name) < 0) {
                descriptor_done(&d);
                return -ENOMEM;
        }

        *dst = d;
        return 0;
}

static void descriptors_free(Descriptor *l, size_t n) {
        for (size_t i = 0; i < n; i++)
                descriptor_done(l + i);
        free(l);
}

static int bad(Error *e, const char *where, const char *why) {
        return error_set(e, -EBADMSG, "InvalidManifest", "%s: %s.", where, why);
}

static int oom(Error *e) {
        return error_set_errno(e, -ENOMEM, "Out of memory.");
}

/* Keeps the errno of a JSON error, but under the name that these functions promise. */
static int bad_json(Error *reterr_error, int error, const Error *e) {
        if (error == -ENOMEM)
                return oom(reterr_error);

        return error_set(reterr_error, -EBADMSG, "InvalidManifest", "%s", error_message(e));
}

static int check_annotations(json_t *a, const char *where, Error *reterr_error) {
        const char *key;
        json_t *value;

        if (!a)
                return 0;
        if (json_object_size(a) > ANNOTATIONS_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidManifest", "%s: more than %u annotations.",
                                 where, ANNOTATIONS_MAX);

        json_object_foreach(a, key, value)
                if (!json_is_string(value))
                        return bad(reterr_error, where, "an annotation is not a string");

        return 0;
}

static int take_annotation(json_t *a, const char *key, const char *where, char **target,
                           Error *reterr_error) {
        const char *s = a ? json_get_string(a, key) : NULL;

        if (isempty(s))
                return 0;
        if (strlen(s) > ANNOTATION_MAX || !string_is_safe(s))
                return error_set(reterr_error, -EBADMSG, "InvalidManifest",
                                 "%s: annotation %s is longer than %u bytes or has control characters.",
                                 where, key, ANNOTATION_MAX);

        return free_and_strdup(target, s) < 0 ? oom(reterr_error) : 0;
}

/* image-spec descriptor.md, "Digests": what may stand there, be it of an algorithm that we know or not. */
static bool digest_has_form(const char *s) {
        size_t n;

        for (;;) {
                n = strspn(s, LOWERCASE DIGITS);
                if (n == 0)
                        return false;
                s += n;
                if (*s == ':')
                        return s[1] != 0 && string_in_charset(s + 1, LOWERCASE UPPERCASE DIGITS "=_-");
                if (*s == 0 || !strchr("+._-", *s))
                        return false;
                s++;
        }
}

static int platform_take_part(char **part, const char *where, Error *reterr_error) {
        if (!*part)
                return 0;
        if (strlen(*part) > PLATFORM_PART_MAX || !string_is_safe(*part))
                return bad(reterr_error, where,
                           "a part of the platform is too long or has control characters");

        if (isempty(*part)) {
                free(*part);
                *part = NULL;
        }
        return 0;
}

static int descriptor_take_platform(Descriptor *d, json_t *platform, const char *where,
                                    Error *reterr_error) {
        static const JsonField table[] = {
                { "os", JSON_FIELD_STRING, offsetof(Platform, os), false, NULL },
                { "architecture", JSON_FIELD_STRING, offsetof(Platform, architecture), false, NULL },
                { "variant", JSON_FIELD_STRING, offsetof(Platform, variant), false, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        if (!platform)
                return 0;

        r = json_dispatch(platform, table, &d->platform, where, false, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = platform_take_part(&d->platform.os, where, reterr_error);
        if (r < 0)
                return r;

        r = platform_take_part(&d->platform.architecture, where, reterr_error);
        if (r < 0)
                return r;

        return platform_take_part(&d->platform.variant, where, reterr_error);
}

/* *ret is empty before, and to be emptied by the caller also on failure. */
static int descriptor_parse(json_t *j, const char *where, Descriptor *ret, Error *reterr_error) {
        struct {
                char *media_type, *digest;
                uint64_t size;
                json_t *annotations, *platform;
        } t = {};
        static const JsonField table[] = {
                { "mediaType", JSON_FIELD_STRING, offsetof(__typeof__(t), media_type), true, NULL },
                { "digest", JSON_FIELD_STRING, offsetof(__typeof__(t), digest), true, NULL },
                { "size", JSON_FIELD_UINT64, offsetof(__typeof__(t), size), true, NULL },
                { "annotations", JSON_FIELD_OBJECT, offsetof(__typeof__(t), annotations), false, NULL },
                { "platform", JSON_FIELD_OBJECT, offsetof(__typeof__(t), platform), false, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        if (!json_is_object(j))
                return bad(reterr_error, where, "not an object");

        r = json_dispatch(j, table, &t, where, false, &e);
        ret->media_type = t.media_type;
        ret->digest = t.digest;
        ret->size = t.size;
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        if (isempty(ret->media_type) || strlen(ret->media_type) > MEDIA_TYPE_MAX ||
            !string_is_safe(ret->media_type))
                return bad(reterr_error, where,
                           "the media type is empty, too long or has control characters");
        if (!digest_has_form(ret->digest))
                return bad(reterr_error, where, "the digest is malformed");

        r = check_annotations(t.annotations, where, reterr_error);
        if (r < 0)
                return r;

        r = take_annotation(t.annotations, "org.opencontainers.image.ref.name", where, &ret->ref_name,
                            reterr_error);
        if (r < 0)
                return r;

        r = take_annotation(t.annotations, "io.containerd.image.name", where, &ret->image_name,
                            reterr_error);
        if (r < 0)
                return r;

        ret->attestation = t.annotations && json_object_get(t.annotations, "vnd.docker.reference.type");
        return descriptor_take_platform(ret, t.platform, where, reterr_error);
}

/* One that we will fetch or open: the digest must be one that we can compute. */
static int descriptor_parse_supported(json_t *j, const char *where, Descriptor *ret, Error *reterr_error) {
        int r;

        r = descriptor_parse(j, where, ret, reterr_error);
        if (r < 0)
                return r;
        if (!digest_is_valid(ret->digest))
                return bad(reterr_error, where, "the digest is neither sha256 nor sha512, or malformed");

        return 0;
}

/* -- documents -- */

typedef struct Document {
        json_t *json; /* owned */
        char *media_type;
        uint64_t schema_version;
        json_t *config, *layers, *manifests, *annotations; /* borrowed from json */
} Document;

static void document_done(Document *d) {
        json_decref(d->json);
        free(d->media_type);
        *d = (Document) {};
}

static int document_load(const char *text, size_t n, Document *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "schemaVersion", JSON_FIELD_UINT64, offsetof(Document, schema_version), true, NULL },
                { "mediaType", JSON_FIELD_STRING, offsetof(Document, media_type), false, NULL },
                { "config", JSON_FIELD_OBJECT, offsetof(Document, config), false, NULL },
                { "layers", JSON_FIELD_ARRAY, offsetof(Document, layers), false, NULL },
                { "manifests", JSON_FIELD_ARRAY, offsetof(Document, manifests), false, NULL },
                { "annotations", JSON_FIELD_OBJECT, offsetof(Document, annotations), false, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = json_parse(text, n, MANIFEST_SIZE_MAX, &ret->json, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = json_dispatch(ret->json, table, ret, "manifest", false, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        return 0;
}

static MediaKind document_shape(const Document *d) {
        if (d->manifests)
                return MEDIA_INDEX;

        return d->config || d->layers ? MEDIA_MANIFEST : MEDIA_OTHER;
}

static int unsupported(Error *e, const char *what) {
        return error_set(e, -EOPNOTSUPP, "UnsupportedMediaType",
                         "%s is not an image manifest or index that moored can read.", what);
}

/* Everything that holds for both kinds; leaves the media type in d->media_type. */
static int document_check(Document *d, const char *hint, MediaKind wanted, const char *fallback,
                          Error *reterr_error) {
        MediaKind hinted = media_kind(hint);
        int r;

        if (d->schema_version == 1)
                return unsupported(reterr_error, "A document of Docker's schema 1");
        if (d->schema_version != 2)
                return bad(reterr_error, "manifest", "schemaVersion is not 2");
        if (d->media_type && (strlen(d->media_type) > MEDIA_TYPE_MAX || !string_is_safe(d->media_type)))
                return bad(reterr_error, "manifest", "the media type is too long or has control characters");

        if (isempty(d->media_type) &&
            free_and_strdup(&d->media_type, hinted == wanted ? hint : fallback) < 0)
                return oom(reterr_error);
        if (media_kind(d->media_type) != wanted)
                return unsupported(reterr_error, d->media_type);
        if ((hinted == MEDIA_INDEX || hinted == MEDIA_MANIFEST) && hinted != wanted)
                return bad(reterr_error, "manifest",
                           "it is of another kind than the registry's Content-Type says");
        if (d->manifests && (d->config || d->layers))
                return bad(reterr_error, "manifest", "it has the members of a manifest and of an index");
        if (document_shape(d) == MEDIA_OTHER)
                return unsupported(reterr_error, "A document with neither layers nor manifests");
        if (document_shape(d) != wanted)
                return bad(reterr_error, "manifest", "its members are not those of its media type");

        /* Parameters of a Content-Type are not part of the type that is stored. */
        d->media_type[strcspn(d->media_type, "; ")] = 0;

        r = check_annotations(d->annotations, "manifest", reterr_error);
        return r;
}

Manifest *manifest_free(Manifest *m) {
        if (!m)
                return NULL;

        free(m->media_type);
        descriptor_done(&m->config);
        descriptors_free(m->layers, m->n_layers);
        free(m);
        return NULL;
}

int manifest_parse(const char *text, size_t n, const char *media_type_hint, Manifest **ret,
                   Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *m = NULL;
        _cleanup_(document_done) Document d = {};
        json_t *layer;
        size_t i;
        int r;

        r = document_load(text, n, &d, reterr_error);
        if (r < 0)
                return r;

        r = document_check(&d, media_type_hint, MEDIA_MANIFEST, MEDIA_TYPE_OCI_MANIFEST, reterr_error);
        if (r < 0)
                return r;
        if (!d.config || !d.layers)
                return bad(reterr_error, "manifest", "config or layers is missing");
        if (json_array_size(d.layers) > LAYERS_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidManifest",
                                 "The manifest has more than %u layers.", LAYERS_MAX);

        m = calloc(1, sizeof(Manifest));
        if (!m)
                return oom(reterr_error);

        m->media_type = TAKE_PTR(d.media_type);
        m->layers = calloc(MAX(json_array_size(d.layers), (size_t) 1), sizeof(Descriptor));
        if (!m->layers)
                return oom(reterr_error);

        r = descriptor_parse_supported(d.config, "config", &m->config, reterr_error);
        if (r < 0)
                return r;

        json_array_foreach(d.layers, i, layer) {
                char where[32];

                snprintf(where, sizeof(where), "layers[%zu]", i);
                r = descriptor_parse_supported(layer, where, m->layers + m->n_layers++, reterr_error);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(m);
        return 0;
}

Index *index_free(Index *x) {
        if (!x)
                return NULL;

        free(x->media_type);
        descriptors_free(x->manifests, x->n_manifests);
        free(x);
        return NULL;
}

int index_parse(const char *text, size_t n, const char *media_type_hint, Index **ret, Error *reterr_error) {
        _cleanup_(document_done) Document d = {};
        _cleanup_(index_freep) Index *x = NULL;
        json_t *entry;
        size_t i;
        int r;

        r = document_load(text, n, &d, reterr_error);
        if (r < 0)
                return r;

        r = document_check(&d, media_type_hint, MEDIA_INDEX, MEDIA_TYPE_OCI_INDEX, reterr_error);
        if (r < 0)
                return r;
        if (json_array_size(d.manifests) > INDEX_MANIFESTS_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidManifest",
                                 "The index has more than %u manifests.", INDEX_MANIFESTS_MAX);

        x = calloc(1, sizeof(Index));
        if (!x)
                return oom(reterr_error);

        x->media_type = TAKE_PTR(d.media_type);
        x->manifests = calloc(MAX(json_array_size(d.manifests), (size_t) 1), sizeof(Descriptor));
        if (!x->manifests)
                return oom(reterr_error);

        json_array_foreach(d.manifests, i, entry) {
                Descriptor *e = x->manifests + x->n_manifests++;
                char where[32];

                snprintf(where, sizeof(where), "manifests[%zu]", i);
                r = descriptor_parse(entry, where, e, reterr_error);
                if (r < 0)
                        return r;

                /* An entry with a digest of the future does not spoil the others; of a known algorithm it
                 * must be right. */
                if (!digest_is_valid(e->digest)) {
                        if (digest_algorithm(e->digest) >= 0)
                                return bad(reterr_error, where, "the digest is malformed");

                        descriptor_done(e);
                        x->n_manifests--;
                }
        }

        *ret = TAKE_PTR(x);
        return 0;
}

MediaKind manifest_detect(const char *text, size_t n, const char *media_type_hint) {
        _cleanup_(document_done) Document d = {};
        MediaKind k;

        if (document_load(text, n, &d, NULL) < 0 || d.schema_version != 2)
                return MEDIA_OTHER;

        if (isempty(d.media_type)) {
                k = media_kind(media_type_hint);
                return k == MEDIA_INDEX || k == MEDIA_MANIFEST ? k : document_shape(&d);
        }

        k = media_kind(d.media_type);
        return k == MEDIA_INDEX || k == MEDIA_MANIFEST ? k : MEDIA_OTHER;
}

/* -- selection -- */

/* image-index.md: an entry of an unknown media type is ignored. */
static bool descriptor_is_image(const Descriptor *d) {
        MediaKind k = media_kind(d->media_type);

        return !d->attestation && (k == MEDIA_MANIFEST || k == MEDIA_INDEX);
}

static void set_no_such_platform(const Index *x, const Platform *wanted, Error *reterr_error) {
        _cleanup_free_ char *w = platform_to_string(wanted), *list = NULL;
        _cleanup_strv_free_ char **offered = NULL;
        int r = 0;

        for (size_t i = 0; i < x->n_manifests && r >= 0 && strv_length(offered) < PLATFORMS_SHOWN_MAX; i++) {
                const Descriptor *d = x->manifests + i;
                _cleanup_free_ char *s = NULL;

                if (!descriptor_is_image(d) || !d->platform.os)
                        continue;

                s = platform_to_string(&d->platform);
                r = !s ? -ENOMEM : strv_contains(offered, s) ? 0 : strv_consume(&offered, TAKE_PTR(s));
        }

        list = strv_join(offered, ", ");
        if (r < 0 || !w || !list)
                error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        else if (isempty(list))
                error_set(reterr_error, -ENOENT, "NoSuchPlatform", "There is no image for %s in the index.",
                          w);
        else
                error_set(reterr_error, -ENOENT, "NoSuchPlatform", "There is no image for %s; on offer: %s.",
                          w, list);
}

const Descriptor *index_select(const Index *x, const Platform *wanted, Error *reterr_error) {
        const Descriptor *best = NULL;
        int best_score = 0;

        for (size_t i = 0; i < x->n_manifests; i++) {
                const Descriptor *d = x->manifests + i;
                int score;

                if (!descriptor_is_image(d))
                        continue;

                /* Without a platform it may be for any: layouts that skopeo and umoci write have one such
                 * entry. */
                score = d->platform.os || d->platform.architecture ? platform_match(wanted, &d->platform)
                                                                   : 1;
                if (score > best_score) {
                        best = d;
                        best_score = score;
                }
        }

        if (!best)
                set_no_such_platform(x, wanted, reterr_error);
        return best;
}
