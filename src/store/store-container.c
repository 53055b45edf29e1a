/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/store-internal.h"

/* clang-format off */
#define CONTAINER_COLUMNS                                                                      \
        "ns, id, image, image_digest, options, snapshot, auto_remove, created_usec, "          \
        "started_usec, finished_usec, boot_id, invocation_id, exit_code, exit_signal, result, "  \
        "restart_count, stopped, oom_kills"
/* clang-format on */

void container_row_done(ContainerRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->id);
        free(r->image);
        free(r->image_digest);
        free(r->options);
        free(r->boot_id);
        free(r->invocation_id);
        free(r->exit_signal);
        free(r->result);
        *r = (ContainerRow) {};
}

static int container_row_read(Query *q, ContainerRow *ret) {
        ContainerRow row = {
                .snapshot = query_uint64(q, 5),
                .auto_remove = query_bool(q, 6),
                .created_usec = query_uint64(q, 7),
                .started_usec = query_uint64(q, 8),
                .finished_usec = query_uint64(q, 9),
                .exit_code = sqlite3_column_int(q->stmt, 12),
                .restart_count = (uint32_t) query_uint64(q, 15),
                .stopped = query_bool(q, 16),
                .oom_kills = query_uint64(q, 17),
        };
        int r;

        if ((r = query_string(q, 0, &row.ns)) < 0 || (r = query_string(q, 1, &row.id)) < 0 ||
            (r = query_string(q, 2, &row.image)) < 0 || (r = query_string(q, 3, &row.image_digest)) < 0 ||
            (r = query_string(q, 4, &row.options)) < 0 || (r = query_string(q, 10, &row.boot_id)) < 0 ||
            (r = query_string(q, 11, &row.invocation_id)) < 0 ||
            (r = query_string(q, 13, &row.exit_signal)) < 0 || (r = query_string(q, 14, &row.result)) < 0) {
                container_row_done(&row);
                return r;
        }

        *ret = row;
        return 0;
}

int store_container_add(Store *s, const ContainerRow *row) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO containers (" CONTAINER_COLUMNS ") "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "
                        "?16, ?17, ?18)",
                        "sssssubuuussissubu", row->ns, row->id, row->image, row->image_digest, row->options,
                        row->snapshot, (int) row->auto_remove, row->created_usec, row->started_usec,
                        row->finished_usec, row->boot_id, row->invocation_id, (int64_t) row->exit_code,
                        row->exit_signal, row->result, (uint64_t) row->restart_count, (int) row->stopped,
                        row->oom_kills);
        /* The foreign key: no such namespace. */
        return r == -ENOTEMPTY ? -ENOENT : r < 0 ? r : 0;
}

int store_container_update(Store *s, const ContainerRow *row) {
        int r;

        r = store_write(s, true,
                        "UPDATE containers SET image = ?3, image_digest = ?4, options = ?5, snapshot = "
                        "?6, auto_remove = ?7, "
                        "created_usec = ?8, started_usec = ?9, finished_usec = ?10, boot_id = ?11, "
                        "invocation_id = ?12, "
                        "exit_code = ?13, exit_signal = ?14, result = ?15, restart_count = ?16, stopped = ?17, "
                        "oom_kills = ?18 "
                        "WHERE ns = ?1 AND id = ?2",
                        "sssssubuuussissubu", row->ns, row->id, row->image, row->image_digest, row->options,
                        row->snapshot, (int) row->auto_remove, row->created_usec, row->started_usec,
                        row->finished_usec, row->boot_id, row->invocation_id, (int64_t) row->exit_code,
                        row->exit_signal, row->result, (uint64_t) row->restart_count, (int) row->stopped,
                        row->oom_kills);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_container_remove(Store *s, const char *ns, const char *id) {
        int r;

        r = store_write(s, true, "DELETE FROM containers WHERE ns = ?1 AND id = ?2", "ss", ns, id);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_container_foreach(Store *s, const char *ns, int (*cb)(ContainerRow *r, void *userdata),
                            void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " CONTAINER_COLUMNS
                        " FROM containers WHERE ?1 IS NULL OR ns = ?1 ORDER BY ns, id",
                        "s", ns);
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(container_row_done) ContainerRow row = {};

                r = container_row_read(&q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}
