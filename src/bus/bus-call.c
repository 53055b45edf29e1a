/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "basic/log.h"

/* A call is in the Bus' list from its beginning to its answer, so that those that the core never answers
 * (the daemon ends) are freed with the Bus. Whether the caller is still there is not asked: the answer
 * takes seconds at most and is dropped by the broker. */

BusCall *bus_call_new(Bus *b, sd_bus_message *m) {
        BusCall *c;

        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;

        *c = (BusCall) { .bus = b, .message = sd_bus_message_ref(m), .next = b->calls };
        b->calls = c;
        return c;
}

BusCall *bus_call_free(BusCall *c) {
        BusCall **p;

        if (!c)
                return NULL;

        for (p = &c->bus->calls; *p && *p != c; p = &(*p)->next)
                ;
        if (*p)
                *p = c->next;
        sd_bus_message_unref(c->message);
        free(c);
        return NULL;
}

int bus_call_pending(BusCall *c, int r, const Error *error, sd_bus_error *ret_error) {
        if (r >= 0)
                return 1;
        bus_call_free(c);
        return error_is_set(error) ? bus_error_set(ret_error, error) : r;
}

void bus_call_finish(BusCall *c, int r) {
        if (r < 0)
                log_warning_errno(r, "The answer to %s cannot be sent: %m",
                                  sd_bus_message_get_member(c->message));
        bus_call_free(c);
}

void bus_call_finish_empty(BusCall *c, const Error *error) {
        bus_call_finish(c, error_is_set(error) ? bus_error_reply(c->message, error)
                                               : sd_bus_reply_method_return(c->message, NULL));
}

void bus_call_reply_empty(Container *container, const Error *error, void *userdata) {
        bus_call_finish_empty(userdata, error);
}

void bus_call_reply_container(Container *container, const Error *error, void *userdata) {
        _cleanup_error_ Error gone = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        BusCall *c = userdata;

        if (!error_is_set(error) && !container) {
                (void) error_set(&gone, -ENXIO, "NoSuchContainer",
                                 "The container was removed before it could be shown.");
                error = &gone;
        }
        if (error_is_set(error)) {
                bus_call_finish(c, bus_error_reply(c->message, error));
                return;
        }

        path = bus_container_path(container->row.ns, container->row.id);
        bus_call_finish(c, bus_reply_path(c->message, path));
}
