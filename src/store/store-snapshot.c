/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/store-internal.h"

#define SNAPSHOT_COLUMNS                                                                                    \
        "id, driver, kind, chain_id, diff_id, parent, ready, synced, boot_id, size, created_usec"

void snapshot_row_done(SnapshotRow *r) {
        if (!r)
                return;

        free(r->driver);
        free(r->chain_id);
        free(r->diff_id);
        free(r->boot_id);
        *r = (SnapshotRow) {};
}

static int snapshot_row_read(Query *q, SnapshotRow *ret) {
        SnapshotRow row = {
                .id = query_uint64(q, 0),
                .kind = query_uint64(q, 2) == SNAPSHOT_LAYER ? SNAPSHOT_LAYER : SNAPSHOT_WRITABLE,
                .parent = query_uint64(q, 5), /* NULL reads as 0 */
                .ready = query_bool(q, 6),
                .synced = query_bool(q, 7),
                .size = query_uint64(q, 9),
                .created_usec = query_uint64(q, 10),
        };
        int r;

        if ((r = query_string(q, 1, &row.driver)) < 0 || (r = query_string(q, 3, &row.chain_id)) < 0 ||
            (r = query_string(q, 4, &row.diff_id)) < 0 || (r = query_string(q, 8, &row.boot_id)) < 0) {
                snapshot_row_done(&row);
                return r;
        }

        *ret = row;
        return 0;
}

int store_snapshot_add(Store *s, SnapshotRow *row) {
        int r;

        if (row->kind < 0 || row->kind >= _SNAPSHOT_KIND_MAX)
                return -EINVAL;

        r = store_write(s, true,
                        "INSERT INTO snapshots (" SNAPSHOT_COLUMNS ") "
                        "VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, nullif(?6, 0), ?7, ?8, ?9, ?10, ?11)",
                        "usissubbsuu", row->id, row->driver, (int64_t) row->kind, row->chain_id,
                        row->diff_id, row->parent, (int) row->ready, (int) row->synced, row->boot_id,
                        row->size, row->created_usec);
        if (r < 0)
                return r == -ENOTEMPTY ? -ENOENT /* the foreign key: no such parent */ : r;

        row->id = (uint64_t) sqlite3_last_insert_rowid(s->db);
        return 0;
}

int store_snapshot_set_ready(Store *s, uint64_t id, uint64_t size) {
        int r;

        r = store_write(s, true, "UPDATE snapshots SET ready = 1, size = ?2 WHERE id = ?1", "uu", id, size);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_snapshot_set_synced(Store *s, uint64_t id) {
        int r;

        r = store_write(s, true, "UPDATE snapshots SET synced = 1 WHERE id = ?1", "u", id);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_snapshot_reset(Store *s, uint64_t id, uint64_t parent, const char *boot_id) {
        int r;

        r = store_write(s, true,
                        "UPDATE snapshots SET ready = 0, synced = 0, size = 0, parent = nullif(?2, 0), "
                        "boot_id = ?3 WHERE id = ?1",
                        "uus", id, parent, boot_id);
        return r < 0 ? r == -ENOTEMPTY ? -ENOENT : r : r == 0 ? -ENOENT : 0;
}

static int get_one(Query *q, SnapshotRow *ret) {
        int r;

        r = query_step(q);
        if (r < 0)
                return r;

        return r == 0 ? -ENOENT : snapshot_row_read(q, ret);
}

int store_snapshot_get(Store *s, uint64_t id, SnapshotRow *ret) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots WHERE id = ?1", "u", id);
        return r < 0 ? r : get_one(&q, ret);
}

int store_snapshot_get_chain(Store *s, const char *driver, const char *chain_id, SnapshotRow *ret) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " SNAPSHOT_COLUMNS " FROM snapshots WHERE driver = ?1 AND chain_id = ?2",
                        "ss", driver, chain_id);
        return r < 0 ? r : get_one(&q, ret);
}

int store_snapshot_remove(Store *s, uint64_t id) {
        int r;

        /* -ENOTEMPTY: something stands on it. */
        r = store_write(s, true, "DELETE FROM snapshots WHERE id = ?1", "u", id);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_snapshot_foreach(Store *s, int (*cb)(const SnapshotRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots ORDER BY id", "");
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(snapshot_row_done) SnapshotRow row = {};

                r = snapshot_row_read(&q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}
