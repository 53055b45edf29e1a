/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "basic/string-util.h"
#include "basic/strv.h"

/* org.moored1.Job. userdata of methods and getters is the Job. */

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        Job *j = userdata;
        uint32_t id = j->id;
        int r;

        r = job_cancel(j);
        if (r == -EALREADY)
                (void) error_set(&error, r, "JobEnded", "Job %u has ended already.", id);
        else if (r < 0)
                (void) error_set_errno(&error, r, "Job %u cannot be canceled: %m", id);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int method_wait(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (bus_wait_job(bus_current(sd_bus_message_get_bus(m)), m, userdata, &error) < 0)
                return bus_error_set(ret_error, &error);
        return 1;
}

static int property_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Job *j = userdata;

        /* The result is the state in which it ended. */
        if (streq(property, "Result") && j->state == JOB_RUNNING)
                return bus_append_string(reply, NULL);
        return bus_append_string(reply, job_state_to_string(j->state));
}

static int property_get_parts(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Job *j = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssttb)");
        for (size_t i = 0; i < j->n_parts && r >= 0; i++)
                r = sd_bus_message_append(reply, "(ssttb)", strempty(j->parts[i].digest),
                                          strempty(j->parts[i].phase), j->parts[i].done, j->parts[i].total,
                                          (int) j->parts[i].reused);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_get_error(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Job *j = userdata;
        char name[BUS_ERROR_NAME_MAX];

        if (!error_is_set(&j->error))
                return bus_append_string(reply, NULL);
        return bus_append_string(reply, streq(property, "ErrorName") ? bus_error_name(&j->error, name)
                                                                     : error_message(&j->error));
}

static int property_get_result_object(sd_bus *bus, const char *path, const char *interface,
                                      const char *property, sd_bus_message *reply, void *userdata,
                                      sd_bus_error *ret_error) {
        _cleanup_free_ char *image = NULL;
        const Job *j = userdata;

        if (!j->result_object)
                return sd_bus_message_append(reply, "o", "/");

        image = bus_image_path(j->ns, j->result_object);
        return image ? sd_bus_message_append(reply, "o", image) : -ENOMEM;
}

static int job_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                           void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *number = NULL;
        Bus *b = userdata;
        uint32_t id;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_JOB, &number);
        if (r <= 0 || parse_uint32(number, &id) < 0)
                return MIN(r, 0);

        *ret_found = job_manager_get(b->context.jobs, id);
        return !!*ret_found;
}

static int job_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                         sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **nodes = NULL;
        HashmapIterator i = 0;
        Bus *b = userdata;
        Job *j;

        while (job_manager_iterate(b->context.jobs, &i, &j))
                if (strv_consume(&nodes, bus_job_path(j->id)) < 0)
                        return -ENOMEM;

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Wait", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", result), method_wait,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", NULL, offsetof(Job, id), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(Job, ns), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Kind", "s", NULL, offsetof(Job, kind), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Subject", "s", NULL, offsetof(Job, subject), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BytesTotal", "t", NULL, offsetof(Job, bytes_total),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BytesDone", "t", NULL, offsetof(Job, bytes_done),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Parts", "a(ssttb)", property_get_parts, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Result", "s", property_get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ErrorName", "s", property_get_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ErrorMessage", "s", property_get_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ResultObject", "o", property_get_result_object, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

const BusObject bus_job_object = {
        .interface = BUS_INTERFACE_JOB,
        .prefix = BUS_PATH "/job",
        .pattern = BUS_PATTERN_JOB,
        .sample = BUS_PATH "/job/_31",
        .vtable = job_vtable,
        .find = job_object_find,
        .enumerate = job_enumerate,
};
