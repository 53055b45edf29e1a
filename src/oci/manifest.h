/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Descriptors, manifests and indexes (image-spec v1.1; Docker image manifest v2 schema 2 and manifest list).
 * Pure and bounded. */

#include "basic/error.h"

#define MANIFEST_SIZE_MAX (4U * 1024 * 1024)
#define LAYERS_MAX 512U
#define INDEX_MANIFESTS_MAX 1024U
#define ANNOTATIONS_MAX 1024U

#define MEDIA_TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_TYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_TYPE_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

typedef struct Platform {
        char *os;
        char *architecture;
        char *variant; /* or NULL */
} Platform;

void platform_done(Platform *p);
/* "linux/arm64/v8", "linux/amd64", "arm64" → InvalidArgument with a sentence otherwise. */
int platform_parse(const char *s, Platform *ret, Error *reterr_error);
/* By uname(): amd64, arm64 (v8), arm (v7), … */
int platform_host(Platform *ret);
char *platform_to_string(const Platform *p);
/* Same os and architecture (normalised: x86_64 = amd64, aarch64 = arm64); variant: equal, or absent on one
 * side, or arm's v7 accepting v6 and v5. > 0: matches, larger is better; 0: does not. */
int platform_match(const Platform *wanted, const Platform *offered);

typedef enum MediaKind {
        MEDIA_INDEX,
        MEDIA_MANIFEST,
        MEDIA_CONFIG,
        MEDIA_LAYER,
        MEDIA_OTHER,
        _MEDIA_KIND_INVALID = -EINVAL,
} MediaKind;

typedef enum Compression {
        COMPRESSION_NONE,
        COMPRESSION_GZIP,
        COMPRESSION_ZSTD,
        _COMPRESSION_INVALID = -EINVAL,
} Compression;

MediaKind media_kind(const char *media_type);
/* Of a layer's media type: OCI tar, tar+gzip, tar+zstd, nondistributable forms, Docker tar, tar.gzip,
 * foreign. */
Compression media_compression(const char *media_type);
DECLARE_STRING_TABLE(compression, Compression);

typedef struct Descriptor {
        char *media_type;
        char *digest;
        uint64_t size;
        Platform platform; /* empty strings are NULL */
        char *ref_name;    /* annotation org.opencontainers.image.ref.name, or NULL */
        char *image_name;  /* annotation io.containerd.image.name, or NULL */
        bool attestation;  /* annotation vnd.docker.reference.type is there: not an image to run */
} Descriptor;
void descriptor_done(Descriptor *d);
int descriptor_copy(Descriptor *dst, const Descriptor *src);

typedef struct Manifest {
        char *media_type;
        Descriptor config;
        Descriptor *layers;
        size_t n_layers;
} Manifest;

typedef struct Index {
        char *media_type;
        Descriptor *manifests;
        size_t n_manifests;
} Index;

/* media_type_hint: the Content-Type, used where the document has none. -EBADMSG "InvalidManifest" with what
 * is wrong; -EOPNOTSUPP "UnsupportedMediaType" for schema 1 and other documents. */
int manifest_parse(const char *text, size_t n, const char *media_type_hint, Manifest **ret,
                   Error *reterr_error);
Manifest *manifest_free(Manifest *m);
DEFINE_CLEANUP_FUNC(Manifest *, manifest_free)
int index_parse(const char *text, size_t n, const char *media_type_hint, Index **ret, Error *reterr_error);
Index *index_free(Index *x);
DEFINE_CLEANUP_FUNC(Index *, index_free)
/* Which of the two a document is, by its mediaType member, the hint, or its shape. */
MediaKind manifest_detect(const char *text, size_t n, const char *media_type_hint);
/* The best entry for a platform; NULL if there is none ("NoSuchPlatform" with the ones on offer in the
 * message). */
const Descriptor *index_select(const Index *x, const Platform *wanted, Error *reterr_error);
