/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Namespaces, image names, blobs and the edges between them, leases. */

#include "basic/strv.h"
#include "store/store-internal.h"

/* -- namespaces -- */

void namespace_row_done(NamespaceRow *r) {
        if (!r)
                return;

        free(r->name);
        strv_free(r->labels);
        *r = (NamespaceRow) {};
}

int store_namespace_add(Store *s, const NamespaceRow *row) {
        _cleanup_free_ char *labels = NULL;
        int r;

        r = labels_to_json(row->labels, &labels);
        if (r < 0)
                return r;

        r = store_write(s, true, "INSERT INTO namespaces (name, labels, created_usec) VALUES (?1, ?2, ?3)",
                        "ssu", row->name, labels, row->created_usec);
        return r < 0 ? r : 0;
}

int store_namespace_remove(Store *s, const char *name) {
        int r;

        /* Images and containers refer to it: then this is -ENOTEMPTY. */
        r = store_write(s, true, "DELETE FROM namespaces WHERE name = ?1", "s", name);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_namespace_foreach(Store *s, int (*cb)(const NamespaceRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT name, labels, created_usec FROM namespaces ORDER BY name", "");
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(namespace_row_done) NamespaceRow row = { .created_usec = query_uint64(&q, 2) };

                r = query_string(&q, 0, &row.name);
                if (r >= 0)
                        r = query_labels(&q, 1, &row.labels);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

/* -- images -- */

/* clang-format off */
#define IMAGE_COLUMNS                                                                          \
        "ns, name, digest, media_type, size, manifest_digest, config_digest, platform, "       \
        "total_size, created_usec, tagged_usec, labels"
/* clang-format on */

void image_row_done(ImageRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->name);
        free(r->digest);
        free(r->media_type);
        free(r->manifest_digest);
        free(r->config_digest);
        free(r->platform);
        strv_free(r->labels);
        *r = (ImageRow) {};
}

static int image_row_read(Query *q, ImageRow *ret) {
        ImageRow row = {
                .size = query_uint64(q, 4),
                .total_size = query_uint64(q, 8),
                .created_usec = query_uint64(q, 9),
                .tagged_usec = query_uint64(q, 10),
        };
        int r;

        if ((r = query_string(q, 0, &row.ns)) < 0 || (r = query_string(q, 1, &row.name)) < 0 ||
            (r = query_string(q, 2, &row.digest)) < 0 || (r = query_string(q, 3, &row.media_type)) < 0 ||
            (r = query_string(q, 5, &row.manifest_digest)) < 0 ||
            (r = query_string(q, 6, &row.config_digest)) < 0 ||
            (r = query_string(q, 7, &row.platform)) < 0 || (r = query_labels(q, 11, &row.labels)) < 0) {
                image_row_done(&row);
                return r;
        }

        *ret = row;
        return 0;
}

int store_image_set(Store *s, const ImageRow *row) {
        _cleanup_free_ char *labels = NULL;
        int r;

        r = labels_to_json(row->labels, &labels);
        if (r < 0)
                return r;

        r = store_write(s, true,
                        "INSERT OR REPLACE INTO images (" IMAGE_COLUMNS ") "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                        "ssssusssuuus", row->ns, row->name, row->digest, row->media_type, row->size,
                        row->manifest_digest, row->config_digest, row->platform, row->total_size,
                        row->created_usec, row->tagged_usec, labels);
        /* The foreign key: no such namespace. */
        return r == -ENOTEMPTY ? -ENOENT : r < 0 ? r : 0;
}

int store_image_remove(Store *s, const char *ns, const char *name) {
        int r;

        r = store_write(s, true, "DELETE FROM images WHERE ns = ?1 AND name = ?2", "ss", ns, name);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_image_foreach(Store *s, const char *ns, int (*cb)(ImageRow *r, void *userdata),
                        void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " IMAGE_COLUMNS " FROM images WHERE ?1 IS NULL OR ns = ?1 ORDER BY ns, name",
                        "s", ns);
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(image_row_done) ImageRow row = {};

                r = image_row_read(&q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

/* -- blobs -- */

int store_blob_add(Store *s, const char *digest, uint64_t size, const char *media_type) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO blobs (digest, size, media_type) VALUES (?1, ?2, ?3) "
                        "ON CONFLICT (digest) DO UPDATE SET size = excluded.size, "
                        "media_type = coalesce(excluded.media_type, media_type)",
                        "sus", digest, size, media_type);
        return r < 0 ? r : 0;
}

int store_blob_add_ref(Store *s, const char *parent, const char *child) {
        int r;

        r = store_write(s, true, "INSERT OR IGNORE INTO refs (parent, child) VALUES (?1, ?2)", "ss", parent,
                        child);
        return r < 0 ? r : 0;
}

int store_blob_foreach(Store *s, int (*cb)(const char *digest, uint64_t size, void *userdata),
                       void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT digest, size FROM blobs ORDER BY digest", "");
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_free_ char *digest = NULL;

                r = query_string(&q, 0, &digest);
                if (r >= 0)
                        r = cb(digest, query_uint64(&q, 1), userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

int store_manifest_set_chain(Store *s, const char *manifest_digest, const char *chain_id) {
        int r;

        r = store_write(s, true, "INSERT OR REPLACE INTO chains (manifest, chain_id) VALUES (?1, ?2)", "ss",
                        manifest_digest, chain_id);
        return r < 0 ? r : 0;
}

/* -- leases -- */

int store_lease_add(Store *s, const char *lease, const char *digest, uint64_t expires_usec) {
        int r;

        r = store_write(s, true,
                        "INSERT OR REPLACE INTO leases (lease, digest, expires_usec) VALUES (?1, ?2, ?3)",
                        "ssu", lease, digest, expires_usec);
        return r < 0 ? r : 0;
}

int store_lease_remove(Store *s, const char *lease) {
        int r;

        r = store_write(s, true, "DELETE FROM leases WHERE lease = ?1", "s", lease);
        return r < 0 ? r : 0;
}
