/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store/store-internal.h"

void event_row_done(EventRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->topic);
        free(r->subject);
        free(r->details);
        *r = (EventRow) {};
}

int store_event_add(Store *s, EventRow *row) {
        int r;

        r = store_write(s, false,
                        "INSERT INTO events (usec, ns, topic, subject, details) VALUES (?1, ?2, ?3, ?4, ?5)",
                        "ussss", row->usec, row->ns, row->topic, row->subject, row->details);
        if (r < 0)
                return r;

        row->sequence = (uint64_t) sqlite3_last_insert_rowid(s->db);
        return 0;
}

int store_event_foreach_since(Store *s, uint64_t sequence, uint32_t max,
                              int (*cb)(const EventRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT sequence, usec, ns, topic, subject, details FROM events WHERE sequence "
                        "> ?1 ORDER BY sequence LIMIT ?2",
                        "uu", sequence, (uint64_t) max);
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(event_row_done) EventRow row = {
                        .sequence = query_uint64(&q, 0),
                        .usec = query_uint64(&q, 1),
                };

                if ((r = query_string(&q, 2, &row.ns)) < 0 || (r = query_string(&q, 3, &row.topic)) < 0 ||
                    (r = query_string(&q, 4, &row.subject)) < 0 ||
                    (r = query_string(&q, 5, &row.details)) < 0)
                        return r;

                r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

uint64_t store_event_last(Store *s) {
        _cleanup_query_ Query q = {};

        /* Of AUTOINCREMENT's own table: the last number stays known where all events were trimmed. */
        if (query_begin(&q, s, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", "") < 0 ||
            query_step(&q) <= 0)
                return 0;

        return query_uint64(&q, 0);
}

uint64_t store_event_oldest(Store *s) {
        _cleanup_query_ Query q = {};

        if (query_begin(&q, s, "SELECT min(sequence) FROM events", "") < 0 || query_step(&q) <= 0 ||
            query_uint64(&q, 0) == 0)
                return store_event_last(s) + 1;

        return query_uint64(&q, 0);
}

int store_event_skip_to(Store *s, uint64_t sequence) {
        int r;

        r = store_write(s, true, "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'events'", "u", sequence);
        if (r == 0) /* There was none yet. */
                r = store_write(s, true, "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", "u", sequence);
        return r < 0 ? r : 0;
}

int store_event_trim(Store *s, uint32_t keep) {
        uint64_t last = store_event_last(s);
        int r;

        if (last <= keep)
                return 0;

        r = store_write(s, false, "DELETE FROM events WHERE sequence <= ?1", "u", last - keep);
        return r < 0 ? r : r > 0;
}
