/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delivery is synchronous and in order of subscription: a subscriber that must not act inside the emitter's
 * call (because it would free what the emitter still uses) defers its work itself. The numbered log is
 * trimmed every EVENTS_TRIM_INTERVAL records rather than at each, so that recording costs one insert.
 *
 * A numbered event is told to nobody before it is stored for good: one that is recorded inside a transaction
 * waits for its end, and is forgotten if that is rolled back. Otherwise its number would be given to
 * another.
 *
 * What was not on disk yet is gone after a power loss, and its numbers would be given again; so after the
 * boot that follows, more numbers are left out than can have been lost: SQLite syncs its log at least each
 * thousand pages. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "events/event-journal.h"
#include "events/events.h"

#define SUBSCRIBERS_MAX 8U
#define EVENTS_TRIM_INTERVAL 256U
#define EVENTS_LEFT_OUT 10000U /* after a power loss */
#define DETAILS_SIZE_MAX (64U * 1024)

typedef struct Subscriber {
        NotifyFunc func;
        void *userdata;
} Subscriber;

/* Recorded, but its transaction has not ended. */
typedef struct Queued {
        EventRow row;
        json_t *details;
        struct Queued *next;
} Queued;

struct Events {
        Store *store; /* weak */
        uint32_t keep;
        unsigned n_recorded;
        uint64_t last; /* that was told */
        int mark_fd;   /* the number of the last one in the journal; a file that does not outlive the boot */
        Queued *queue, **queue_tail;
        Subscriber subscribers[SUBSCRIBERS_MAX];
        size_t n_subscribers;
};

static Queued *queued_free(Queued *q) {
        if (!q)
                return NULL;
        event_row_done(&q->row);
        json_decref(q->details);
        free(q);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Queued *, queued_free)

static Queued *queue_take(Events *e) {
        Queued *q = TAKE_PTR(e->queue);

        e->queue_tail = &e->queue;
        return q;
}

static void set_mark(Events *e, uint64_t sequence) {
        if (e->mark_fd >= 0 && pwrite_full(e->mark_fd, &sequence, sizeof(sequence), 0) < 0)
                log_debug("Failed to note that event %" PRIu64 " is in the journal, ignoring.", sequence);
}

static void publish(Events *e, const EventRow *row, json_t *details) {
        e->last = row->sequence;
        event_to_journal(row, details);
        set_mark(e, row->sequence);
        events_notify(e, NOTIFY_EVENT, row->ns, row->topic, (EventRow *) row);
}

static void on_transaction_ended(bool committed, void *userdata) {
        Events *e = userdata;
        Queued *q = queue_take(e);

        while (q) {
                Queued *next = q->next;

                if (committed)
                        publish(e, &q->row, q->details);
                queued_free(q);
                q = next;
        }
}

Events *events_free(Events *e) {
        if (!e)
                return NULL;

        store_set_ended(e->store, NULL, NULL);
        safe_close(e->mark_fd);
        for (Queued *q = e->queue, *next; q; q = next) {
                next = q->next;
                queued_free(q);
        }
        free(e);
        return NULL;
}

int events_new(Store *store, uint32_t keep, Events **ret) {
        Events *e;

        assert(store);
        assert(ret);

        e = calloc(1, sizeof(Events));
        if (!e)
                return -ENOMEM;

        e->store = store;
        e->keep = keep;
        e->mark_fd = -EBADF;
        e->last = store_event_last(store);
        e->queue_tail = &e->queue;
        store_set_ended(store, on_transaction_ended, e);
        /* EventsMax= may be smaller than it was. */
        (void) store_event_trim(store, keep);

        *ret = e;
        return 0;
}

int events_subscribe(Events *e, NotifyFunc func, void *userdata) {
        assert(e);
        assert(func);

        if (e->n_subscribers >= SUBSCRIBERS_MAX)
                return -ENOBUFS;

        e->subscribers[e->n_subscribers++] = (Subscriber) { func, userdata };
        return 0;
}

void events_notify(Events *e, NotifyType type, const char *ns, const char *name, void *object) {
        assert(e);

        for (size_t i = 0; i < e->n_subscribers; i++)
                e->subscribers[i].func(type, ns, name, object, e->subscribers[i].userdata);
}

static int details_from_pairs(va_list ap, json_t **ret) {
        _cleanup_json_ json_t *details = json_object();

        if (!details)
                return -ENOMEM;

        for (;;) {
                const char *key = va_arg(ap, const char *);
                json_t *v;

                if (!key)
                        break;
                if (key[0] == '#') {
                        key++;
                        v = json_integer(va_arg(ap, int64_t));
                } else
                        v = json_string(strempty(va_arg(ap, const char *)));
                if (json_object_set_new(details, key, v) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(details);
        return 0;
}

static int record_later(Events *e, const EventRow *row, json_t *details) {
        _cleanup_(queued_freep) Queued *q = calloc(1, sizeof(Queued));
        int r;

        if (!q)
                return -ENOMEM;
        q->row = (EventRow) {
                .usec = row->usec,
                .ns = strdup(row->ns),
                .topic = strdup(row->topic),
                .subject = strdup(row->subject),
                .details = strdup(row->details),
        };
        q->details = json_incref(details);
        if (!q->row.ns || !q->row.topic || !q->row.subject || !q->row.details)
                return -ENOMEM;
        r = store_event_add(e->store, &q->row);
        if (r < 0)
                return r;

        *e->queue_tail = q;
        e->queue_tail = &q->next;
        (void) TAKE_PTR(q);
        return 0;
}

int events_record(Events *e, const char *ns, const char *topic, const char *subject, ...) {
        _cleanup_json_ json_t *details = NULL;
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int r;

        assert(e);
        assert(topic);

        va_start(ap, subject);
        r = details_from_pairs(ap, &details);
        va_end(ap);
        if (r < 0)
                return r;

        text = json_dump(details, false);
        if (!text)
                return -ENOMEM;

        /* The row borrows its strings: it is not passed to event_row_done(). */
        EventRow row = {
                .usec = now_usec(CLOCK_REALTIME),
                .ns = (char *) strempty(ns),
                .topic = (char *) topic,
                .subject = (char *) strempty(subject),
                .details = text,
        };

        if (store_in_transaction(e->store)) {
                r = record_later(e, &row, details);
                if (r < 0)
                        return r;
        } else {
                r = store_event_add(e->store, &row);
                if (r < 0)
                        return r;
                publish(e, &row, details);
        }

        if (++e->n_recorded % EVENTS_TRIM_INTERVAL == 0)
                (void) store_event_trim(e->store, e->keep);
        return 1;
}

uint64_t events_last_sequence(Events *e) {
        assert(e);

        return e->last;
}

uint64_t events_oldest_sequence(Events *e) {
        assert(e);

        return store_event_oldest(e->store);
}

int events_check_since(Events *e, uint64_t sequence, Error *reterr_error) {
        uint64_t oldest = store_event_oldest(e->store);

        if (sequence > e->last)
                return error_set(reterr_error, -ENODATA, "EventsLost",
                                 "There was no event number %" PRIu64 " yet, the last one is %" PRIu64
                                 ": these are not the events that you know. Begin with 0.",
                                 sequence, e->last);
        if (sequence > 0 && sequence + 1 < oldest)
                return error_set(reterr_error, -ENODATA, "EventsLost",
                                 "The events %" PRIu64 " to %" PRIu64
                                 " are not kept any more (EventsMax= of moored.conf). The rest are those since %" PRIu64 ".",
                                 sequence + 1, oldest - 1, oldest - 1);
        return 0;
}

static int skip_to(Events *e, uint64_t last, const char *reason) {
        uint64_t first = e->last + 1;
        int r;

        r = store_event_skip_to(e->store, last);
        if (r < 0)
                return r;
        return events_record(e, NULL, "events/lost", "", "#First", (int64_t) first, "#Last",
                             (int64_t) last, "Reason", reason, NULL);
}

int events_after_power_loss(Events *e) {
        return skip_to(e, e->last + EVENTS_LEFT_OUT, "power-loss");
}

int events_after_database_loss(Events *e) {
        return skip_to(e, MAX(e->last, now_usec(CLOCK_REALTIME) / USEC_PER_MSEC), "database-lost");
}

static int to_journal(const EventRow *row, void *userdata) {
        _cleanup_json_ json_t *details = NULL;

        (void) json_parse(row->details, strlen(row->details), DETAILS_SIZE_MAX, &details, NULL);
        event_to_journal(row, details);
        return 0;
}

int events_keep_mark(Events *e, const char *path) {
        uint64_t mark;
        int r;

        assert(e->mark_fd < 0);

        e->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (e->mark_fd < 0)
                return -errno;
        if (pread(e->mark_fd, &mark, sizeof(mark), 0) == sizeof(mark) && mark < e->last) {
                r = store_event_foreach_since(e->store, mark, EVENTS_TRIM_INTERVAL, to_journal, NULL);
                if (r < 0)
                        return r;
        }
        set_mark(e, e->last);
        return 0;
}
