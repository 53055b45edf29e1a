/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Delivery is synchronous and in order of subscription: a subscriber that must not act inside the emitter's
 * call (because it would free what the emitter still uses) defers its work itself. The numbered log is
 * trimmed every EVENTS_TRIM_INTERVAL records rather than at each, so that recording costs one insert. */

#include <stdarg.h>
#include <time.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "events/events.h"

#define SUBSCRIBERS_MAX 8U
#define EVENTS_TRIM_INTERVAL 256U

typedef struct Subscriber {
        NotifyFunc func;
        void *userdata;
} Subscriber;

struct Events {
        Store *store; /* weak */
        uint32_t keep;
        unsigned n_recorded;
        uint64_t last;
        Subscriber subscribers[SUBSCRIBERS_MAX];
        size_t n_subscribers;
};

Events *events_free(Events *e) {
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
        e->last = store_event_last(store);

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
                const char *key = va_arg(ap, const char *), *value;
                json_t *v;

                if (!key)
                        break;
                value = va_arg(ap, const char *);

                if (key[0] == '#') {
                        key++;
                        v = json_integer(strtoll(strempty(value), NULL, 10));
                } else
                        v = json_string(strempty(value));
                if (json_object_set_new(details, key, v) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(details);
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

        r = store_event_add(e->store, &row);
        if (r < 0)
                return r;

        e->last = row.sequence;
        if (++e->n_recorded % EVENTS_TRIM_INTERVAL == 0)
                (void) store_event_trim(e->store, e->keep);

        events_notify(e, NOTIFY_EVENT, ns, topic, &row);
        return 1;
}

uint64_t events_last_sequence(Events *e) {
        assert(e);

        return e->last;
}
