/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a crash has left between database and disk, and a lost database, filled again from the image layout:
 * every blob file becomes a row, every entry of index.json a name. Unpacked layers have no record of their
 * chain on disk: those that containers stand on come back from the bundles (container/record.c), the others
 * are unpacked again. */

#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "image/image-internal.h"

static int rebuild_blob(const char *digest, uint64_t size, void *userdata) {
        ImageManager *m = userdata;

        return store_blob_add(m->store, digest, size, "");
}

static int rebuild_name(ImageManager *m, json_t *entry, Error *reterr_error) {
        json_t *annotations = json_object_get(entry, "annotations");
        const char *name = json_get_string(annotations, "org.opencontainers.image.ref.name");
        const char *ns = json_get_string(annotations, "org.moored.namespace");
        const char *platform_text = json_get_string(annotations, "org.moored.platform");
        const char *digest = json_get_string(entry, "digest");
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(platform_done) Platform platform = {};
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        int r;

        if (!name || !ns || !digest || !digest_is_valid(digest))
                return error_set(reterr_error, -EBADMSG, "InvalidManifest",
                                 "An entry of index.json has no name, namespace or digest.");
        r = platform_text ? platform_parse(platform_text, &platform, reterr_error)
                          : platform_host(&platform);
        if (r < 0)
                return r;

        NamespaceRow nsrow = { .name = (char *) ns };
        r = store_namespace_add(m->store, &nsrow);
        if (r < 0 && r != -EEXIST)
                return error_set_errno(reterr_error, r, "Failed to record namespace %s: %m", ns);

        const Descriptor target = {
                .digest = (char *) digest,
                .media_type = (char *) strempty(json_get_string(entry, "mediaType")),
        };
        r = image_manager_describe(m, &target, &platform, &row, &manifest, &config, reterr_error);
        if (r < 0)
                return r;
        row.ns = strdup(ns);
        row.name = strdup(name);
        if (!row.ns || !row.name)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return image_manager_set_name(m, &row, manifest, config, NULL, reterr_error);
}

int image_manager_rebuild(ImageManager *m) {
        _cleanup_json_ json_t *index = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *entry;
        size_t i, n;
        int r;

        r = store_begin(m->store, true);
        if (r < 0)
                return r;
        r = content_foreach_blob(m->content, rebuild_blob, m);
        if (r < 0) {
                (void) store_rollback(m->store);
                return r;
        }
        r = store_commit(m->store);
        if (r < 0)
                return r;

        r = content_read_index(m->content, &text, &n);
        if (r >= 0)
                r = json_parse(text, n, JSON_TEXT_MAX, &index, NULL);
        if (r < 0) {
                log_warning_errno(r, "Failed to read index.json; the names of images are lost: %m");
                return 0;
        }

        json_array_foreach(json_object_get(index, "manifests"), i, entry) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (rebuild_name(m, entry, &e) < 0)
                        log_warning("Failed to bring back an image from index.json, ignoring: %s",
                                    error_message(&e));
        }
        if (hashmap_size(m->images) > 0)
                log_notice("Brought back %zu images from the image layout.", hashmap_size(m->images));
        return 0;
}

static int note_digest(const char *digest, uint64_t size, void *userdata) {
        return hashmap_put(userdata, digest, userdata);
}

typedef struct Sweep {
        Content *content;
        const Hashmap *known;
} Sweep;

static int drop_unknown(const char *digest, uint64_t size, void *userdata) {
        const Sweep *s = userdata;

        return hashmap_get(s->known, digest) ? 0 : content_remove_blob(s->content, digest);
}

/* Files without a row: a collection was killed before it unlinked them, or a download before it was
 * recorded. */
int image_manager_drop_unknown_blobs(ImageManager *m) {
        _cleanup_(hashmap_freep) Hashmap *known = hashmap_new();
        int r;

        if (!known)
                return -ENOMEM;
        r = store_blob_foreach(m->store, note_digest, known);
        if (r < 0)
                return r;

        Sweep s = { .content = m->content, .known = known };
        return content_foreach_blob(m->content, drop_unknown, &s);
}

static int note_unsynced(const SnapshotRow *row, void *userdata) {
        return row->kind == SNAPSHOT_LAYER && row->ready && !row->synced
                               ? image_manager_layer_ready(userdata, row->id)
                               : 0;
}

/* Layers that were ready, but whose sync did not end before the last daemon did: without this they were
 * unpacked again after the next boot. */
int image_manager_find_unsynced(ImageManager *m) {
        return store_snapshot_foreach(m->store, note_unsynced, m);
}
