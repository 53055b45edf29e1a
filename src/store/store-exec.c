/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/store-internal.h"

/* clang-format off */
#define EXEC_COLUMNS                                                                           \
        "n, ns, id, options, token, auto_remove, created_usec, started_usec, finished_usec, "  \
        "boot_id, invocation_id, exit_code, exit_signal, result"
/* clang-format on */

void exec_row_done(ExecRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->id);
        free(r->options);
        free(r->token);
        free(r->boot_id);
        free(r->invocation_id);
        free(r->exit_signal);
        free(r->result);
        *r = (ExecRow) {};
}

static int exec_row_read(Query *q, ExecRow *ret) {
        ExecRow row = {
                .n = query_uint64(q, 0),
                .auto_remove = query_bool(q, 5),
                .created_usec = query_uint64(q, 6),
                .started_usec = query_uint64(q, 7),
                .finished_usec = query_uint64(q, 8),
                .exit_code = sqlite3_column_int(q->stmt, 11),
        };
        int r;

        if ((r = query_string(q, 1, &row.ns)) < 0 || (r = query_string(q, 2, &row.id)) < 0 ||
            (r = query_string(q, 3, &row.options)) < 0 || (r = query_string(q, 4, &row.token)) < 0 ||
            (r = query_string(q, 9, &row.boot_id)) < 0 || (r = query_string(q, 10, &row.invocation_id)) < 0 ||
            (r = query_string(q, 12, &row.exit_signal)) < 0 || (r = query_string(q, 13, &row.result)) < 0) {
                exec_row_done(&row);
                return r;
        }

        *ret = row;
        return 0;
}

int store_exec_add(Store *s, ExecRow *row) {
        int r;

        r = store_write(s, false,
                        "INSERT INTO execs (" EXEC_COLUMNS ") VALUES "
                        "(nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                        "ussssbuuussiss", row->n, row->ns, row->id, row->options, row->token,
                        (int) row->auto_remove, row->created_usec, row->started_usec, row->finished_usec,
                        row->boot_id, row->invocation_id, (int64_t) row->exit_code, row->exit_signal,
                        row->result);
        /* The foreign key: no such container. */
        if (r < 0)
                return r == -ENOTEMPTY ? -ENOENT : r;

        row->n = (uint64_t) sqlite3_last_insert_rowid(s->db);
        return 0;
}

int store_exec_update(Store *s, const ExecRow *row) {
        int r;

        r = store_write(s, false,
                        "UPDATE execs SET options = ?2, token = ?3, auto_remove = ?4, created_usec = ?5, "
                        "started_usec = ?6, finished_usec = ?7, boot_id = ?8, invocation_id = ?9, "
                        "exit_code = ?10, exit_signal = ?11, result = ?12 WHERE n = ?1",
                        "ussbuuussiss", row->n, row->options, row->token, (int) row->auto_remove,
                        row->created_usec, row->started_usec, row->finished_usec, row->boot_id,
                        row->invocation_id, (int64_t) row->exit_code, row->exit_signal, row->result);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_exec_remove(Store *s, uint64_t n) {
        int r;

        r = store_write(s, false, "DELETE FROM execs WHERE n = ?1", "u", n);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_exec_foreach(Store *s, int (*cb)(ExecRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " EXEC_COLUMNS " FROM execs ORDER BY n", "");
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(exec_row_done) ExecRow row = {};

                r = exec_row_read(&q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}
