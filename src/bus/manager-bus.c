/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <systemd/sd-login.h>

#include "bus/bus-error.h"
#include "bus/bus-object.h"
#include "bus/bus-options.h"
#include "bus/bus-signals.h"
#include "bus/network-bus.h"
#include "basic/strv.h"

/* org.moored1.Manager. userdata of methods and getters is the Bus. */

#define EVENTS_REPLY_MAX 10000U /* of one call of EventsSince(): a few MiB at most */

static const NamespaceRow *namespace_find(Bus *b, const char *name, Error *reterr_error) {
        return b->context.namespace_ops->find(b->context.namespaces, name, reterr_error);
}

static int method_create_namespace(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **labels = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *row;
        const char *name;
        Bus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = bus_read_labels(m, "labels", &labels, &error);
        if (r >= 0)
                r = b->context.namespace_ops->create(b->context.namespaces, name, &labels, &row, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        path = bus_namespace_path(row->name);
        return bus_reply_path(m, path);
}

static int method_remove_namespace(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        const char *name;
        Bus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = b->context.namespace_ops->remove(b->context.namespaces, name, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int method_list_namespaces(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const NamespaceRow *row;
        HashmapIterator i = 0;
        Bus *b = userdata;
        int r;

        r = bus_reply_open_array(m, "(so)", &reply);
        while (r >= 0 && b->context.namespace_ops->iterate(b->context.namespaces, &i, &row)) {
                _cleanup_free_ char *path = bus_namespace_path(row->name);

                r = path ? sd_bus_message_append(reply, "(so)", row->name, path) : -ENOMEM;
        }
        return bus_reply_send_array(reply, r);
}

static int method_get_namespace(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *row;
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        row = namespace_find(userdata, name, &error);
        if (!row)
                return bus_error_set(ret_error, &error);

        path = bus_namespace_path(row->name);
        return bus_reply_path(m, path);
}

static int reply_container(sd_bus_message *m, Bus *b, const char *unit, const Error *if_none,
                           sd_bus_error *ret_error) {
        Container *c = unit ? container_find_by_unit(b->context.containers, unit) : NULL;
        _cleanup_free_ char *path = NULL;

        if (!c)
                return bus_error_set(ret_error, if_none);

        path = bus_container_path(c->row.ns, c->row.id);
        return bus_reply_path(m, path);
}

static int method_get_container_by_pid(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *unit = NULL;
        uint32_t pid;
        int r;

        r = sd_bus_message_read(m, "u", &pid);
        if (r < 0)
                return r;
        if (pid == 0 || pid > INT32_MAX) {
                (void) error_set(&error, -EINVAL, "InvalidArgument", "%u is no process id.", pid);
                return bus_error_set(ret_error, &error);
        }

        /* Reads /proc/PID/cgroup; a process that is gone has no unit. */
        (void) sd_pid_get_unit((pid_t) pid, &unit);
        (void) error_set(&error, -ENXIO, "NoSuchContainer", "Process %u belongs to no container.", pid);
        return reply_container(m, userdata, unit, &error, ret_error);
}

static int method_get_container_by_unit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;

        (void) error_set(&error, -ENXIO, "NoSuchContainer", "Unit “%s” is no container.", unit);
        return reply_container(m, userdata, unit, &error, ret_error);
}

static int method_list_jobs(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        HashmapIterator i = 0;
        Bus *b = userdata;
        Job *j;
        int r;

        r = bus_reply_open_array(m, "(usso)", &reply);
        while (r >= 0 && job_manager_iterate(b->context.jobs, &i, &j)) {
                _cleanup_free_ char *path = bus_job_path(j->id);

                r = path ? sd_bus_message_append(reply, "(usso)", j->id, j->kind, strempty(j->subject), path)
                         : -ENOMEM;
        }
        return bus_reply_send_array(reply, r);
}

static int method_reload_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        Bus *b = userdata;
        int r;

        r = bus_reload_networks(b, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

typedef struct GarbageOptions {
        bool dry_run;
} GarbageOptions;

static const BusOption garbage_options[] = {
        { "DryRun", "b", bus_option_bool, offsetof(GarbageOptions, dry_run) },
        {},
};

static int method_collect_garbage(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        GarbageOptions options = {};
        GarbageResult result = {};
        Bus *b = userdata;
        int r;

        r = bus_options_parse(m, garbage_options, &options, &error);
        if (r >= 0)
                r = image_collect_garbage(b->context.images, options.dry_run, &result, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, "a{sv}", 3,
                                          "Blobs", "t", result.blobs,
                                          "Snapshots", "t", result.snapshots,
                                          "Bytes", "t", result.bytes);
}

static int append_event_struct(const EventRow *row, void *userdata) {
        sd_bus_message *reply = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ttsssa{sv}");
        if (r >= 0)
                r = bus_append_event(reply, row);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_events_since(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *b = userdata;
        _cleanup_error_ Error error = ERROR_NULL;
        uint64_t sequence;
        uint32_t max;
        int r;

        r = sd_bus_message_read(m, "tu", &sequence, &max);
        if (r < 0)
                return r;
        r = events_check_since(b->context.events, sequence, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        if (max == 0 || max > EVENTS_REPLY_MAX)
                max = EVENTS_REPLY_MAX;

        r = bus_reply_open_array(m, "(ttsssa{sv})", &reply);
        if (r >= 0)
                r = store_event_foreach_since(b->context.store, sequence, max, append_event_struct, reply);
        return bus_reply_send_array(reply, r);
}

static int property_get_constant(sd_bus *bus, const char *path, const char *interface, const char *property,
                                 sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        const struct {
                const char *property;
                const char *value;
        } table[] = {
                { "Version", MOORED_VERSION },
                { "DefaultSnapshotter", BUS_SNAPSHOTTER },
                { "DefaultRuntime", container_manager_default_runtime(b->context.containers) },
                { "StateDirectory", b->context.state_dir },
                { "Platform", b->context.platform },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(table[i].property, property))
                        return bus_append_string(reply, table[i].value);

        return -ENXIO;
}

static int property_get_list(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        if (streq(property, "Snapshotters"))
                return sd_bus_message_append(reply, "as", 1, BUS_SNAPSHOTTER);
        return sd_bus_message_append(reply, "as", 14, "pull", "import", "run", "exec", "terminals", "limits", "pause",
                                     "restart", "health", "events", "units", "scopes", "machines", "networks");
}

static int property_get_runtimes(sd_bus *bus, const char *path, const char *interface, const char *property,
                                 sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **names = NULL;
        Bus *b = userdata;
        int r;

        r = container_manager_list_runtimes(b->context.containers, &names);
        return r < 0 ? r : sd_bus_message_append_strv(reply, names);
}

static int property_get_count(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        size_t n = streq(property, "NImages") ? image_count(b->context.images, NULL)
                                              : container_count(b->context.containers, NULL);

        return sd_bus_message_append(reply, "u", (uint32_t) n);
}

static int property_get_event_sequence(sd_bus *bus, const char *path, const char *interface,
                                       const char *property, sd_bus_message *reply, void *userdata,
                                       sd_bus_error *ret_error) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "t",
                                     streq(property, "EventSequence")
                                                     ? events_last_sequence(b->context.events)
                                                     : events_oldest_sequence(b->context.events));
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("CreateNamespace", SD_BUS_ARGS("s", name, "a{ss}", labels),
                                SD_BUS_RESULT("o", path), method_create_namespace,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveNamespace", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                                method_remove_namespace, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListNamespaces", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(so)", namespaces),
                                method_list_namespaces, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetNamespace", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path),
                                method_get_namespace, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetContainerByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("o", path),
                                method_get_container_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetContainerByUnit", SD_BUS_ARGS("s", unit), SD_BUS_RESULT("o", path),
                                method_get_container_by_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usso)", jobs), method_list_jobs,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReloadNetworks", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload_networks,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CollectGarbage", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result), method_collect_garbage,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EventsSince", SD_BUS_ARGS("t", sequence, "u", max),
                                SD_BUS_RESULT("a(ttsssa{sv})", events), method_events_since,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("u", id, "o", path), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("u", id, "o", path, "s", result), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Event",
                                SD_BUS_ARGS("t", sequence, "t", usec, "s", namespace, "s", topic, "s",
                                            subject, "a{sv}", details),
                                0),
        SD_BUS_PROPERTY("Version", "s", property_get_constant, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "as", property_get_list, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Snapshotters", "as", property_get_list, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("DefaultSnapshotter", "s", property_get_constant, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Runtimes", "as", property_get_runtimes, 0, 0),
        SD_BUS_PROPERTY("DefaultRuntime", "s", property_get_constant, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StateDirectory", "s", property_get_constant, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Platform", "s", property_get_constant, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NContainers", "u", property_get_count, 0, 0),
        SD_BUS_PROPERTY("NImages", "u", property_get_count, 0, 0),
        SD_BUS_PROPERTY("EventSequence", "t", property_get_event_sequence, 0, 0),
        SD_BUS_PROPERTY("OldestEventSequence", "t", property_get_event_sequence, 0, 0),
        SD_BUS_VTABLE_END,
};

const BusObject bus_manager_object = {
        .interface = BUS_INTERFACE_MANAGER,
        .prefix = BUS_PATH,
        .sample = BUS_PATH,
        .vtable = manager_vtable,
};
