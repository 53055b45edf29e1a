/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layers may be missing where an image is used: it was pulled without unpacking, or its layers were lost
 * with the power. What a caller would do by hand (have it unpacked, call again) is done here: the call is
 * kept, the job "unpack" is started or joined, and at its end the message goes through the connection from
 * the start, authorization included. A call does this once; if the layers are missing again it gets the
 * error. */

#include "bus/bus-unpack.h"
#include "basic/log.h"
#include "bus/bus-error.h"

#define UNPACK_CALLS_MAX 1024U

struct BusUnpack {
        Bus *bus; /* weak */
        sd_bus_message *message;
        bool requeued;
        BusUnpack *next;
};

static BusUnpack *unpack_free(BusUnpack *u) {
        BusUnpack **p = &u->bus->unpacks;

        while (*p && *p != u)
                p = &(*p)->next;
        if (*p)
                *p = u->next;
        sd_bus_message_unref(u->message);
        free(u);
        return NULL;
}

void bus_unpack_free_all(Bus *b) {
        while (b->unpacks)
                unpack_free(b->unpacks);
}

bool bus_unpack_was_waiting(Bus *b, sd_bus_message *m) {
        for (BusUnpack *u = b->unpacks; u; u = u->next)
                if (u->message == m) {
                        unpack_free(u);
                        return true;
                }

        return false;
}

/* Those that came by again and did not reach their method, being refused now. Where polkit is still being
 * asked the call may wait a second time, nothing worse. */
static size_t forget_requeued(Bus *b) {
        BusUnpack *u, *next;
        size_t n = 0;

        for (u = b->unpacks; u; u = next) {
                next = u->next;
                if (u->requeued)
                        unpack_free(u);
                else
                        n++;
        }
        return n;
}

static void on_unpacked(Job *j, void *userdata) {
        BusUnpack *u = userdata;
        int r;

        if (j->state != JOB_DONE) {
                r = bus_error_reply(u->message, &j->error);
                if (r < 0)
                        log_warning_errno(r, "The answer to %s cannot be sent: %m",
                                          sd_bus_message_get_member(u->message));
                unpack_free(u);
                return;
        }

        u->requeued = true;
        r = sd_bus_enqueue_for_read(u->bus->bus, u->message);
        if (r < 0) {
                log_warning_errno(r, "%s cannot go on: %m", sd_bus_message_get_member(u->message));
                unpack_free(u);
        }
}

static int wait_for_job(Bus *b, sd_bus_message *m, Job *j, Error *reterr_error) {
        BusUnpack *u;
        int r;

        if (forget_requeued(b) >= UNPACK_CALLS_MAX)
                return error_set(reterr_error, -EBUSY, "LimitsExceeded", "%u calls wait for layers already; try again later.",
                                 UNPACK_CALLS_MAX);

        u = calloc(1, sizeof(*u));
        if (!u)
                return error_oom(reterr_error);
        *u = (BusUnpack){ .bus = b, .message = sd_bus_message_ref(m), .next = b->unpacks };
        b->unpacks = u;

        r = job_add_waiter(j, on_unpacked, u);
        if (r < 0) {
                unpack_free(u);
                return error_set_errno(reterr_error, r, "The end of the unpacking cannot be waited for: %m");
        }
        return 0;
}

int bus_error_or_unpack(Bus *b, sd_bus_message *m, bool waited, const char *ns, const char *image,
                        const char *manifest_digest, const Error *error, sd_bus_error *ret_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        Image *i = NULL;
        Job *j;
        int r;

        if (waited || !error_has_name(error, "ImageNotUnpacked"))
                return bus_error_set(ret_error, error);

        if (!manifest_digest) {
                i = image_find(b->context.images, ns, image, NULL);
                if (!i)
                        return bus_error_set(ret_error, error);
        }
        r = i ? image_unpack(b->context.images, i, &j, &e)
              : image_unpack_manifest(b->context.images, ns, image, manifest_digest, &j, &e);
        if (r >= 0)
                r = wait_for_job(b, m, j, &e);
        return r < 0 ? bus_error_set(ret_error, &e) : 1;
}
