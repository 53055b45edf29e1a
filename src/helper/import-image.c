/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "helper/import.h"
#include "oci/image-config.h"

/* What was in the archive. An index.json says all in an OCI layout (image-spec image-layout.md); docker's
 * newer archives have it as well, with the names in manifest.json only where an old client wrote it. Older
 * archives have just manifest.json: for them an OCI manifest is made. An image is reported when everything
 * that it is made of was there. */

#define LINKS_MAX 8U

const char *import_layer_media_type(Compression c) {
        switch (c) {
        case COMPRESSION_GZIP:
                return MEDIA_TYPE_OCI_LAYER "+gzip";
        case COMPRESSION_ZSTD:
                return MEDIA_TYPE_OCI_LAYER "+zstd";
        default:
                return MEDIA_TYPE_OCI_LAYER;
        }
}

static int missing(Error *reterr_error, const char *what) {
        return error_set(reterr_error, -ENOENT, "NoSuchBlob", "The archive is not complete: %s is not in it",
                         what);
}

static int check_blob(Import *m, const Descriptor *d, Error *reterr_error) {
        const ImportBlob *b = hashmap_get(m->blobs, d->digest);

        if (!b)
                return missing(reterr_error, d->digest);
        if (b->size != d->size)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive contradicts itself about the size of %s", d->digest);
        return 0;
}

static int check_manifest(Import *m, const ImportBlob *b, const char *hint, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        int r;

        r = manifest_parse(b->text, (size_t) b->size, hint, &manifest, reterr_error);
        if (r < 0)
                return r;
        r = check_blob(m, &manifest->config, reterr_error);
        for (size_t i = 0; r >= 0 && i < manifest->n_layers; i++)
                r = check_blob(m, &manifest->layers[i], reterr_error);
        return r;
}

static int check_image(Import *m, const Descriptor *d, unsigned depth, Error *reterr_error);

/* Of an image for many platforms often one alone is saved: one complete is enough. */
static int check_index(Import *m, const ImportBlob *b, const char *hint, unsigned depth,
                       Error *reterr_error) {
        _cleanup_(index_freep) Index *x = NULL;
        _cleanup_error_ Error first = {};
        bool complete = false;
        int r;

        r = index_parse(b->text, (size_t) b->size, hint, &x, reterr_error);
        if (r < 0)
                return r;

        for (size_t i = 0; i < x->n_manifests; i++) {
                _cleanup_error_ Error e = {};

                if (x->manifests[i].attestation)
                        continue;
                r = check_image(m, &x->manifests[i], depth + 1, &e);
                if (r >= 0)
                        complete = true;
                else if (r != -ENOENT)
                        return error_move(reterr_error, &e);
                else if (!error_is_set(&first))
                        (void) error_move(&first, &e);
        }
        if (!complete)
                return error_is_set(&first) ? error_move(reterr_error, &first)
                                            : missing(reterr_error, "any image of its index");
        return 0;
}

static int check_image(Import *m, const Descriptor *d, unsigned depth, Error *reterr_error) {
        const ImportBlob *b;
        int r;

        r = check_blob(m, d, reterr_error);
        if (r < 0)
                return r;
        b = hashmap_get(m->blobs, d->digest);
        if (!b->is_text || b->size > MANIFEST_SIZE_MAX || depth > IMPORT_INDEX_DEPTH_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive", "The archive's %s is no manifest",
                                 d->digest);

        return manifest_detect(b->text, (size_t) b->size, d->media_type) == MEDIA_INDEX
                               ? check_index(m, b, d->media_type, depth, reterr_error)
                               : check_manifest(m, b, d->media_type, reterr_error);
}

/* -- manifest.json
 * ---------------------------------------------------------------------------------------------------- */

/* It is an array, where our parser takes objects only. Borrowed array in *ret, of *ret_owner. */
static int parse_docker_manifest(Import *m, json_t **ret_owner, json_t **ret, Error *reterr_error) {
        _cleanup_free_ char *wrapped = NULL;
        _cleanup_json_ json_t *owner = NULL;
        json_t *array;
        int r;

        wrapped = strjoin("{\"images\":", (const char *) hashmap_get(m->texts, "manifest.json"), "}");
        if (!wrapped)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = json_parse(wrapped, strlen(wrapped), IMPORT_TEXT_MAX, &owner, reterr_error);
        if (r < 0)
                return r;
        array = json_object_get(owner, "images");
        if (!json_is_array(array) || json_array_size(array) > IMPORT_IMAGES_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive's manifest.json is no list of images");

        *ret = array;
        *ret_owner = TAKE_PTR(owner);
        return 0;
}

static const ImportBlob *find_file(const Import *m, const char *path) {
        for (unsigned i = 0; path && i < LINKS_MAX; i++) {
                const ImportBlob *b = hashmap_get(m->files, path);

                if (b)
                        return b;
                path = hashmap_get(m->links, path);
        }
        return NULL;
}

static json_t *pack_descriptor(const char *media_type, const ImportBlob *b) {
        return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", b->digest, "size",
                         (json_int_t) b->size);
}

static int collect_layers(Import *m, json_t *names, json_t *ret, Error *reterr_error) {
        size_t i;
        json_t *name;

        if (!json_is_array(names) || json_array_size(names) > LAYERS_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive's manifest.json has an image without a list of layers");

        json_array_foreach(names, i, name) {
                const ImportBlob *b = find_file(m, json_string_value(name));

                if (!b)
                        return missing(reterr_error, json_string_value(name) ?: "a layer");
                if (b->compression < 0)
                        return error_set(
                                        reterr_error, -EOPNOTSUPP, "UnsupportedMediaType",
                                        "The archive's layer %s is compressed by xz or bzip2, which is not supported",
                                        json_string_value(name));
                if (json_array_append_new(ret, pack_descriptor(import_layer_media_type(b->compression), b)) <
                    0)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        return 0;
}

/* An OCI manifest for an image of an old archive, put into the store. */
static int make_manifest(Import *m, json_t *image, const ImportBlob **ret, Error *reterr_error) {
        _cleanup_(image_config_freep) ImageConfig *c = NULL;
        _cleanup_json_ json_t *layers = json_array(), *manifest = NULL;
        const char *config_path = json_get_string(image, "Config");
        const ImportBlob *config = find_file(m, config_path);
        _cleanup_free_ char *text = NULL;
        int r;

        if (!config)
                return missing(reterr_error, config_path ?: "an image's configuration");
        if (!config->is_text)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive's %s is no image configuration", config_path);
        r = image_config_parse(config->text, (size_t) config->size, &c, reterr_error);
        if (r < 0)
                return r;

        if (!layers)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = collect_layers(m, json_object_get(image, "Layers"), layers, reterr_error);
        if (r < 0)
                return r;
        if (strv_length(c->diff_ids) != json_array_size(layers))
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive has %zu layers for an image of %zu", json_array_size(layers),
                                 strv_length(c->diff_ids));

        manifest = json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType",
                             MEDIA_TYPE_OCI_MANIFEST, "config",
                             pack_descriptor(MEDIA_TYPE_OCI_CONFIG, config), "layers", layers);
        text = manifest ? json_dump(manifest, false) : NULL;
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return import_text_blob(m, text, ret, reterr_error);
}

/* Reports an image under each of the names; *n counts. */
static int report_names(Import *m, json_t *names, const char *digest, const char *media_type, uint64_t size,
                        Error *reterr_error) {
        size_t i, n = 0;
        json_t *name;
        int r;

        json_array_foreach(names, i, name) {
                if (!json_is_string(name) || i >= IMPORT_IMAGES_MAX)
                        continue;
                r = m->ops->image(m->userdata, json_string_value(name), digest, media_type, size,
                                  reterr_error);
                if (r < 0)
                        return r;
                n++;
        }
        return n > 0 ? 0 : m->ops->image(m->userdata, NULL, digest, media_type, size, reterr_error);
}

static int finish_docker(Import *m, Error *reterr_error) {
        _cleanup_json_ json_t *owner = NULL;
        json_t *images, *image;
        size_t i;
        int r;

        r = parse_docker_manifest(m, &owner, &images, reterr_error);
        if (r < 0)
                return r;
        if (json_array_size(images) == 0)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive", "The archive has no image in it");

        json_array_foreach(images, i, image) {
                const ImportBlob *b;

                r = make_manifest(m, image, &b, reterr_error);
                if (r < 0)
                        return r;
                r = report_names(m, json_object_get(image, "RepoTags"), b->digest, MEDIA_TYPE_OCI_MANIFEST,
                                 b->size, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The RepoTags of the image in manifest.json whose configuration this manifest has. */
static json_t *docker_names(Import *m, json_t *images, const Descriptor *d) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        const ImportBlob *b = hashmap_get(m->blobs, d->digest);
        json_t *image;
        size_t i;

        if (!images || manifest_parse(b->text, (size_t) b->size, d->media_type, &manifest, NULL) < 0)
                return NULL;
        json_array_foreach(images, i, image) {
                const ImportBlob *config = find_file(m, json_get_string(image, "Config"));

                if (config && streq(config->digest, manifest->config.digest))
                        return json_object_get(image, "RepoTags");
        }
        return NULL;
}

static int finish_oci(Import *m, const char *text, Error *reterr_error) {
        _cleanup_(index_freep) Index *x = NULL;
        _cleanup_json_ json_t *owner = NULL;
        json_t *images = NULL;
        int r;

        r = index_parse(text, strlen(text), MEDIA_TYPE_OCI_INDEX, &x, reterr_error);
        if (r < 0)
                return r;
        if (x->n_manifests == 0)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive", "The archive has no image in it");
        if (hashmap_get(m->texts, "manifest.json")) {
                r = parse_docker_manifest(m, &owner, &images, reterr_error);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < x->n_manifests; i++) {
                const Descriptor *d = &x->manifests[i];
                const char *name = d->image_name ?: d->ref_name;

                if (d->attestation)
                        continue;
                r = check_image(m, d, 0, reterr_error);
                if (r < 0)
                        return r;
                r = name ? m->ops->image(m->userdata, name, d->digest, d->media_type, d->size, reterr_error)
                         : report_names(m, docker_names(m, images, d), d->digest, d->media_type, d->size,
                                        reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int import_finish(Import *m, Error *reterr_error) {
        const char *index = hashmap_get(m->texts, "index.json");

        if (index)
                return finish_oci(m, index, reterr_error);
        if (hashmap_get(m->texts, "manifest.json"))
                return finish_docker(m, reterr_error);

        return error_set(
                        reterr_error, -EBADMSG, "InvalidArchive",
                        "This is neither an OCI image layout (there is no index.json in it) nor what docker save writes (no manifest.json)");
}
