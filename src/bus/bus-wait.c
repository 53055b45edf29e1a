/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "basic/log.h"

/* The core is asked once for each object and keeps that one question until the object ends; callers come
 * and go here. A caller that leaves the bus is forgotten at once, so clients that are killed and started
 * again do not pile up. */

typedef struct Waiter {
        BusWait *wait; /* weak */
        sd_bus_message *message;
        sd_bus_track *track; /* of the caller */
        struct Waiter *next;
} Waiter;

struct BusWait {
        Bus *bus; /* weak */
        char *path;
        Waiter *waiters;
};

static Waiter *waiter_free(Waiter *w) {
        if (!w)
                return NULL;

        if (w->wait) {
                Waiter **p = &w->wait->waiters;

                while (*p && *p != w)
                        p = &(*p)->next;
                if (*p) {
                        *p = w->next;
                        w->wait->bus->n_waiters--;
                }
        }
        sd_bus_track_unref(w->track);
        sd_bus_message_unref(w->message);
        free(w);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Waiter *, waiter_free)

BusWait *bus_wait_free(BusWait *w) {
        if (!w)
                return NULL;

        while (w->waiters)
                waiter_free(w->waiters);
        if (w->path && hashmap_get(w->bus->waits, w->path) == w)
                (void) hashmap_remove(w->bus->waits, w->path);
        free(w->path);
        free(w);
        return NULL;
}
DEFINE_CLEANUP_FUNC(BusWait *, bus_wait_free)

static int waiter_on_gone(sd_bus_track *track, void *userdata) {
        waiter_free(userdata);
        return 0;
}

static int waiter_new(BusWait *wait, sd_bus_message *m, Waiter **ret) {
        _cleanup_(waiter_freep) Waiter *w = NULL;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;

        *w = (Waiter) { .wait = wait, .message = sd_bus_message_ref(m), .next = wait->waiters };
        wait->waiters = w;
        wait->bus->n_waiters++;

        r = sd_bus_track_new(wait->bus->bus, &w->track, waiter_on_gone, w);
        if (r >= 0)
                r = sd_bus_track_add_sender(w->track, m);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(w);
        return 0;
}

/* Once the core has answered; send() makes one reply. */
static void wait_finish(BusWait *wait, int (*send)(sd_bus_message *m, const void *object),
                        const void *object) {
        while (wait->waiters) {
                int r = send(wait->waiters->message, object);

                if (r < 0)
                        log_warning_errno(r, "The end of %s cannot be told: %m", wait->path);
                waiter_free(wait->waiters);
        }
        bus_wait_free(wait);
}

static int send_error(sd_bus_message *m, const void *object) {
        return bus_error_reply(m, object);
}

static int send_container(sd_bus_message *m, const void *object) {
        const Container *c = object;

        return sd_bus_reply_method_return(m, "is", c->row.exit_code, strempty(c->row.exit_signal));
}

static int send_exec(sd_bus_message *m, const void *object) {
        const Exec *e = object;

        return sd_bus_reply_method_return(m, "is", e->row.exit_code, strempty(e->row.exit_signal));
}

static int send_job(sd_bus_message *m, const void *object) {
        const Job *j = object;

        return sd_bus_reply_method_return(m, "s", job_state_to_string(j->state));
}

static void wait_on_container(Container *c, const Error *error, void *userdata) {
        _cleanup_error_ Error gone = ERROR_NULL;

        if (!error_is_set(error) && !c) {
                (void) error_set(&gone, -ENXIO, "NoSuchContainer", "The container was removed.");
                error = &gone;
        }
        if (error_is_set(error))
                wait_finish(userdata, send_error, error);
        else
                wait_finish(userdata, send_container, c);
}

static void wait_on_exec(Exec *e, const Error *error, void *userdata) {
        _cleanup_error_ Error gone = ERROR_NULL;

        if (!error_is_set(error) && !e) {
                (void) error_set(&gone, -ENXIO, "NoSuchExec", "The exec was removed.");
                error = &gone;
        }
        if (error_is_set(error))
                wait_finish(userdata, send_error, error);
        else
                wait_finish(userdata, send_exec, e);
}

static void wait_on_job(Job *j, void *userdata) {
        wait_finish(userdata, send_job, j);
}

/* > 0: the object is new here and the core must be asked. */
static int wait_add(Bus *b, sd_bus_message *m, BusWait **ret, Error *reterr_error) {
        _cleanup_(bus_wait_freep) BusWait *fresh = NULL;
        const char *path = sd_bus_message_get_path(m);
        BusWait *wait = hashmap_get(b->waits, path);
        Waiter *waiter;
        int r;

        if (b->n_waiters >= BUS_WAITERS_MAX)
                return error_set(reterr_error, -EBUSY, "LimitsExceeded",
                                 "Too many calls of Wait() are under way (%u); try again later.", BUS_WAITERS_MAX);

        if (!wait) {
                wait = fresh = calloc(1, sizeof(*wait));
                if (!wait)
                        return error_oom(reterr_error);
                *wait = (BusWait) { .bus = b, .path = strdup(path) };
                if (!wait->path || hashmap_put(b->waits, path, wait) < 0)
                        return error_oom(reterr_error);
        }

        r = waiter_new(wait, m, &waiter);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The caller cannot be watched: %m");

        *ret = wait;
        return TAKE_PTR(fresh) ? 1 : 0;
}

int bus_wait_container(Bus *b, sd_bus_message *m, Container *c, Error *reterr_error) {
        BusWait *wait;
        int r;

        r = wait_add(b, m, &wait, reterr_error);
        if (r <= 0)
                return r;

        r = container_wait(c, wait_on_container, wait);
        if (r < 0) {
                bus_wait_free(wait);
                return error_set_errno(reterr_error, r, "Container %s cannot be waited for: %m", c->row.id);
        }
        return 0;
}

int bus_wait_exec(Bus *b, sd_bus_message *m, Exec *e, Error *reterr_error) {
        BusWait *wait;
        int r;

        r = wait_add(b, m, &wait, reterr_error);
        if (r <= 0)
                return r;

        r = exec_wait(e, wait_on_exec, wait);
        if (r < 0) {
                bus_wait_free(wait);
                return error_set_errno(reterr_error, r, "Exec %" PRIu64 " of container %s cannot be waited for: %m", e->row.n,
                                       e->row.id);
        }
        return 0;
}

int bus_wait_job(Bus *b, sd_bus_message *m, Job *j, Error *reterr_error) {
        BusWait *wait;
        int r;

        r = wait_add(b, m, &wait, reterr_error);
        if (r <= 0)
                return r;

        r = job_add_waiter(j, wait_on_job, wait);
        if (r < 0) {
                bus_wait_free(wait);
                return error_set_errno(reterr_error, r, "Job %u cannot be waited for: %m", j->id);
        }
        return 0;
}
