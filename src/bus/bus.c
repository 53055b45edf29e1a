/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-object.h"
#include "bus/bus-signals.h"
#include "bus/bus-unpack.h"
#include "bus/firewalld-bus.h"
#include "basic/log.h"

/* The connection is opened without waiting for the broker's greeting. A daemon whose bus has gone ends;
 * systemd starts it again, and all that it knew is in the store and in the units. */

int bus_new(const BusContext *context, Bus **ret, Error *reterr_error) {
        _cleanup_(bus_freep) Bus *b = NULL;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return error_oom(reterr_error);

        *b = (Bus) { .context = *context, .waits = hashmap_new() };
        if (!b->waits)
                return error_oom(reterr_error);

        r = sd_bus_open_system_with_description(&b->bus, "moored");
        if (r < 0)
                return error_set_errno(reterr_error, r, "The system bus cannot be reached: %m");
        r = sd_bus_set_exit_on_disconnect(b->bus, true);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, context->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = bus_signals_subscribe(b);
        if (r >= 0)
                r = bus_watch_firewalld(b);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The bus connection cannot be set up: %m");

        r = bus_auth_new(b->bus, &b->auth, reterr_error);
        if (r < 0)
                return r;
        r = bus_register_objects(b, reterr_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(b);
        return 0;
}

Bus *bus_free(Bus *b) {
        const char *path;
        void *wait;

        if (!b)
                return NULL;

        sd_bus_slot_unref(b->name_slot);
        while (b->calls)
                bus_call_free(b->calls);
        bus_unpack_free_all(b);
        for (HashmapIterator i = 0; hashmap_iterate(b->waits, &i, &path, &wait);)
                bus_wait_free(wait);
        hashmap_free(b->waits);
        bus_auth_free(b->auth);
        sd_bus_flush_close_unref(b->bus);
        free(b);
        return NULL;
}

static int bus_on_name(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        uint32_t result = 0;
        int r;

        b->name_slot = sd_bus_slot_unref(b->name_slot);
        r = -sd_bus_message_get_errno(reply);
        if (r == 0)
                r = sd_bus_message_read(reply, "u", &result);
        if (r >= 0 && result != 1 /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */)
                r = -EEXIST;

        b->name_func(MIN(r, 0), b->name_userdata);
        return 1;
}

int bus_acquire_name(Bus *b, void (*func)(int r, void *userdata), void *userdata, Error *reterr_error) {
        int r;

        b->name_func = func;
        b->name_userdata = userdata;
        r = sd_bus_request_name_async(b->bus, &b->name_slot, BUS_NAME, 0, bus_on_name, b);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The name " BUS_NAME " cannot be asked for: %m");

        /* The broker reads our messages in order: signals sent from here on come from the name's owner. */
        b->exporting = true;
        return 0;
}
