/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Mark and sweep over the tables; files are the caller's work, after the commit.
 *
 *   blobs      reached from image names, containers' manifests, leases and pins,
 *              then along the edges: index, manifest, config and layers
 *   snapshots  kept are layers of the chain of a reached manifest, leased or pinned chain ids (whoever
 *              unpacks a layer pins it), containers' writable snapshots; then along the parents. Whether a
 *              layer is ready does not matter: one that is not waits to be unpacked again, or is nobody's
 *
 * What a crash between the commit and the deletion of files leaves has no row, and is found that way at the
 * next start. */

#include "basic/strv.h"
#include "store/store-internal.h"

void garbage_done(Garbage *g) {
        if (!g)
                return;

        strv_free(g->blobs);
        free(g->snapshots);
        *g = (Garbage) {};
}

/* The SQL function pinned(digest). */
static void sql_pinned(sqlite3_context *context, int n, sqlite3_value **values) {
        const Store *s = sqlite3_user_data(context);
        const char *digest = (const char *) sqlite3_value_text(values[0]);

        sqlite3_result_int(context, digest && s->pinned && s->pinned(digest, s->pinned_userdata));
}

int store_gc_setup(Store *s) {
        static const char marks[] =
                        "CREATE TEMP TABLE reached (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
                        "CREATE TEMP TABLE kept (id INTEGER PRIMARY KEY) STRICT;";
        int k;

        k = sqlite3_create_function_v2(s->db, "pinned", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, s, sql_pinned,
                                       NULL, NULL, NULL);
        if (k == SQLITE_OK)
                k = sqlite3_exec(s->db, marks, NULL, NULL, NULL);

        return store_errno(s, k);
}

static int write_all(Store *s, const char *const *statements, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r = store_write(s, true, statements[i], "");

                if (r < 0)
                        return r;
        }

        return 0;
}

static int clear_marks(Store *s) {
        static const char *const statements[] = {
                "DELETE FROM temp.reached",
                "DELETE FROM temp.kept",
        };

        return write_all(s, statements, ELEMENTSOF(statements));
}

static int mark(Store *s, uint64_t now_usec) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO temp.reached WITH RECURSIVE r (digest) AS ("
                        " SELECT digest FROM images"
                        " UNION SELECT manifest_digest FROM images WHERE manifest_digest IS NOT NULL"
                        " UNION SELECT config_digest FROM images WHERE config_digest IS NOT NULL"
                        " UNION SELECT image_digest FROM containers WHERE image_digest IS NOT NULL"
                        " UNION SELECT digest FROM leases WHERE expires_usec > ?1"
                        " UNION SELECT digest FROM blobs WHERE pinned(digest)"
                        " UNION SELECT child FROM refs JOIN r ON refs.parent = r.digest) "
                        "SELECT digest FROM r",
                        "u", now_usec);
        if (r < 0)
                return r;

        r = store_write(s, true,
                        "INSERT INTO temp.kept WITH RECURSIVE k (id) AS ("
                        " SELECT id FROM snapshots WHERE chain_id IS NOT NULL AND ("
                        "  chain_id IN (SELECT chain_id FROM chains WHERE manifest IN temp.reached)"
                        "  OR chain_id IN (SELECT digest FROM leases WHERE expires_usec > ?1)"
                        "  OR pinned(chain_id))"
                        " UNION SELECT snapshots.id FROM snapshots JOIN containers ON "
                        "containers.snapshot = snapshots.id"
                        " UNION SELECT parent FROM snapshots JOIN k ON snapshots.id = k.id WHERE parent "
                        "IS NOT NULL) "
                        "SELECT id FROM k",
                        "u", now_usec);
        return r < 0 ? r : 0;
}

static int count(Store *s, const char *sql, size_t *ret) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, sql, "");
        if (r < 0)
                return r;

        r = query_step(&q);
        if (r < 0)
                return r;

        *ret = (size_t) query_uint64(&q, 0);
        return 0;
}

static int list_blobs(Store *s, Garbage *g) {
        _cleanup_query_ Query q = {};
        size_t n, i = 0;
        int r;

        r = count(s, "SELECT count(*) FROM blobs WHERE digest NOT IN temp.reached", &n);
        if (r < 0)
                return r;

        g->blobs = calloc(n + 1, sizeof(char *));
        if (!g->blobs)
                return -ENOMEM;

        r = query_begin(&q, s, "SELECT digest, size FROM blobs WHERE digest NOT IN temp.reached", "");
        if (r < 0)
                return r;

        while (i < n && (r = query_step(&q)) > 0) {
                r = query_string(&q, 0, &g->blobs[i++]);
                if (r < 0)
                        return r;

                g->bytes += query_uint64(&q, 1);
        }

        return r;
}

static int list_snapshots(Store *s, Garbage *g) {
        _cleanup_query_ Query q = {};
        size_t n;
        int r;

        r = count(s, "SELECT count(*) FROM snapshots WHERE id NOT IN temp.kept", &n);
        if (r < 0)
                return r;

        g->snapshots = calloc(MAX(n, (size_t) 1), sizeof(uint64_t));
        if (!g->snapshots)
                return -ENOMEM;

        /* Children before parents. Numbers do not tell: a parent may be younger. */
        r = query_begin(&q, s,
                        "WITH RECURSIVE d (id, size, depth) AS ("
                        " SELECT id, size, 0 FROM snapshots WHERE parent IS NULL"
                        " UNION ALL SELECT s.id, s.size, d.depth + 1 FROM snapshots s JOIN d ON "
                        "s.parent = d.id) "
                        "SELECT id, size FROM d WHERE id NOT IN temp.kept ORDER BY depth DESC",
                        "");
        if (r < 0)
                return r;

        while (g->n_snapshots < n && (r = query_step(&q)) > 0) {
                g->snapshots[g->n_snapshots++] = query_uint64(&q, 0);
                g->bytes += query_uint64(&q, 1);
        }

        return r;
}

static int sweep(Store *s, uint64_t now_usec) {
        static const char *const statements[] = {
                "DELETE FROM blobs WHERE digest NOT IN temp.reached",
                "DELETE FROM refs WHERE parent NOT IN temp.reached",
                "DELETE FROM chains WHERE manifest NOT IN temp.reached",
                "DELETE FROM snapshots WHERE id NOT IN temp.kept",
        };
        int r;

        r = store_write(s, true, "DELETE FROM leases WHERE expires_usec <= ?1", "u", now_usec);
        if (r < 0)
                return r;

        return write_all(s, statements, ELEMENTSOF(statements));
}

static int collect(Store *s, uint64_t now_usec, bool dry_run, Garbage *g) {
        int r;

        if ((r = clear_marks(s)) < 0 || (r = mark(s, now_usec)) < 0 || (r = list_blobs(s, g)) < 0 ||
            (r = list_snapshots(s, g)) < 0)
                return r;

        if (!dry_run) {
                r = sweep(s, now_usec);
                if (r < 0)
                        return r;
        }

        return clear_marks(s);
}

int store_collect_garbage(Store *s, uint64_t now_usec, bool (*pinned)(const char *digest, void *userdata),
                          void *userdata, bool dry_run, Garbage *ret) {
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_(garbage_done) Garbage g = {};
        int r;

        r = store_transaction_begin(&t, s, true);
        if (r < 0)
                return r;

        s->pinned = pinned;
        s->pinned_userdata = userdata;
        r = collect(s, now_usec, dry_run, &g);
        s->pinned = NULL;
        if (r < 0)
                return r;

        r = store_transaction_commit(&t);
        if (r < 0)
                return r;

        *ret = g;
        g = (Garbage) {};
        return 0;
}
