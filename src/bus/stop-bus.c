/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One call for many containers: a client may only have so many calls without an answer (128 at dbus-daemon),
 * and who stops more than that would have to do so in turn. */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/stop-bus.h"
#include "basic/log.h"
#include "basic/strv.h"

typedef struct StopMany {
        BusCall *call;
        size_t n_pending;
        char **failures; /* id, error's name, sentence; of each that was not stopped */
} StopMany;

typedef struct StopOne {
        StopMany *many; /* weak: lives as long as one of these */
        char *id;
} StopOne;

static int send_failures(sd_bus_message *m, char *const *failures) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = bus_reply_open_array(m, "(sss)", &reply);
        for (char *const *f = failures; f && *f && r >= 0; f += 3)
                r = sd_bus_message_append(reply, "(sss)", f[0], f[1], f[2]);
        return bus_reply_send_array(reply, r);
}

static void stop_many_unref(StopMany *many) {
        if (--many->n_pending > 0)
                return;

        bus_call_finish(many->call, send_failures(many->call->message, many->failures));
        strv_free(many->failures);
        free(many);
}

static void add_failure(StopMany *many, const char *id, const Error *e) {
        char name[BUS_ERROR_NAME_MAX];

        if (strv_extend(&many->failures, id) < 0 ||
            strv_extend(&many->failures, bus_error_name(e, name)) < 0 ||
            strv_extend(&many->failures, error_message(e)) < 0)
                (void) log_oom();
}

static void on_stopped(Container *c, const Error *error, void *userdata) {
        StopOne *one = userdata;

        if (error_is_set(error))
                add_failure(one->many, one->id, error);
        stop_many_unref(one->many);
        free(one->id);
        free(one);
}

static int stop_one(StopMany *many, ContainerManager *m, const char *ns, const char *id, uint64_t timeout,
                    Error *reterr_error) {
        StopOne *one = NULL;
        Container *c;
        int r;

        c = container_find(m, ns, id, reterr_error);
        if (!c)
                return reterr_error->error;
        one = malloc(sizeof(*one));
        if (!one)
                return error_oom(reterr_error);
        *one = (StopOne) { many, strdup(id) };
        many->n_pending++;
        r = one->id ? container_stop(c, timeout, on_stopped, one, reterr_error) : -ENOMEM;
        if (r < 0) {
                many->n_pending--;
                free(one->id);
                free(one);
                return error_is_set(reterr_error) ? r
                                                  : error_set_errno(reterr_error, r, "Container %s: %m", id);
        }
        return 0;
}

int bus_namespace_method_stop_containers(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        const BusOption ids_argument = { .name = "ids" };
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        StopMany *many;
        uint64_t timeout;
        int r;

        r = bus_option_strv(m, &ids_argument, &ids, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        r = sd_bus_message_read(m, "t", &timeout);
        if (r < 0)
                return r;
        many = calloc(1, sizeof(*many));
        if (!many)
                return -ENOMEM;
        many->call = bus_call_new(b, m);
        if (!many->call) {
                free(many);
                return -ENOMEM;
        }

        many->n_pending = 1; /* until all have been asked */
        STRV_FOREACH(id, ids) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (stop_one(many, b->context.containers, ns->name, id, timeout, &e) < 0)
                        add_failure(many, id, &e);
        }
        stop_many_unref(many);
        return 1;
}
