/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-signals.h"
#include "basic/json.h"
#include "basic/log.h"

/* A signal that cannot be sent is logged and that is all: who must not miss anything asks EventsSince().
 * Before the name is asked for there is nobody who could match a signal by its sender's name. */

#define EVENT_DETAILS_MAX (64U * 1024)

static int append_detail(sd_bus_message *m, const char *key, json_t *value) {
        if (json_is_string(value))
                return sd_bus_message_append(m, "{sv}", key, "s", json_string_value(value));
        if (json_is_integer(value))
                return sd_bus_message_append(m, "{sv}", key, "x", (int64_t) json_integer_value(value));
        if (json_is_boolean(value))
                return sd_bus_message_append(m, "{sv}", key, "b", (int) json_is_true(value));
        return 0;
}

int bus_append_event(sd_bus_message *m, const EventRow *row) {
        _cleanup_json_ json_t *details = NULL;
        const char *key;
        json_t *value;
        int r;

        if (!isempty(row->details))
                /* A record that does not parse is shown without its details. */
                (void) json_parse(row->details, strlen(row->details), EVENT_DETAILS_MAX, &details, NULL);

        r = sd_bus_message_append(m, "ttsss", row->sequence, row->usec, strempty(row->ns), row->topic,
                                  strempty(row->subject));
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        json_object_foreach(details, key, value) {
                r = append_detail(m, key, value);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int emit_event(Bus *b, const EventRow *row) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(b->bus, &m, BUS_PATH, BUS_INTERFACE_MANAGER, "Event");
        if (r < 0)
                return r;
        r = bus_append_event(m, row);
        if (r < 0)
                return r;
        return sd_bus_send(b->bus, m, NULL);
}

static int emit_namespace(Bus *b, NotifyType type, const char *name) {
        _cleanup_free_ char *path = bus_namespace_path(name);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_NAMESPACE_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_NAMESPACE, NULL);
        return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_NAMESPACE, NULL);
}

static int emit_image(Bus *b, NotifyType type, const char *ns, const char *name) {
        _cleanup_free_ char *path = bus_image_path(ns, name);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_IMAGE_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_IMAGE, NULL);
        if (type == NOTIFY_IMAGE_REMOVED)
                return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_IMAGE, NULL);
        return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_IMAGE, "Digest", "MediaType",
                                              "Size", "Platforms", "CreatedUSec", "TaggedUSec", "Labels",
                                              "Unpacked", NULL);
}

static int emit_container(Bus *b, NotifyType type, const char *ns, const char *id) {
        _cleanup_free_ char *path = bus_container_path(ns, id);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_CONTAINER_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_CONTAINER, NULL);
        if (type == NOTIFY_CONTAINER_REMOVED)
                return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_CONTAINER, NULL);
        if (type == NOTIFY_CONTAINER_LIMITS_CHANGED)
                return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_CONTAINER, "Limits",
                                                      "OOMKilled", "OOMKills", NULL);
        if (type == NOTIFY_CONTAINER_HEALTH)
                return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_CONTAINER, "Health",
                                                      "HealthFailingStreak", NULL);
        if (type == NOTIFY_CONTAINER_NETWORKS)
                return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_CONTAINER, "Network", "Networks",
                                                      "Interfaces", NULL);
        return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_CONTAINER, "State", "LeaderPID",
                                              "ExitCode", "ExitSignal", "Result", "StartedUSec",
                                              "FinishedUSec", "RestartCount", NULL);
}

static int emit_exec(Bus *b, NotifyType type, const Exec *e) {
        _cleanup_free_ char *path = bus_exec_path(e->row.ns, e->row.id, e->row.n);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_EXEC_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_EXEC, NULL);
        if (type == NOTIFY_EXEC_REMOVED)
                return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_EXEC, NULL);
        return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_EXEC, "State", "PID", "ExitCode",
                                              "ExitSignal", "Result", "FinishedUSec", NULL);
}

static int emit_interface(Bus *b, NotifyType type, const char *ns, const char *id, const char *name) {
        _cleanup_free_ char *path = bus_interface_path(ns, id, name);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_INTERFACE_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_INTERFACE, NULL);
        if (type == NOTIFY_INTERFACE_CHANGED)
                return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_INTERFACE, "MAC", "Addresses", "MTU", "Up",
                                                      "Routes", "SentRate", "ReceivedRate", NULL);
        return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_INTERFACE, NULL);
}

static int emit_network(Bus *b, NotifyType type, const char *ns, const char *name) {
        _cleanup_free_ char *path = bus_network_path(ns, name);

        if (!path)
                return -ENOMEM;
        if (type == NOTIFY_NETWORK_ADDED)
                return sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_NETWORK, NULL);
        return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_NETWORK, NULL);
}

static int emit_job_ended(Bus *b, const char *path, const Job *j) {
        int r;

        r = sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_JOB, "State", "BytesTotal",
                                           "BytesDone", "Parts", "Result", "ErrorName", "ErrorMessage",
                                           "ResultObject", NULL);
        if (r < 0)
                return r;
        return sd_bus_emit_signal(b->bus, BUS_PATH, BUS_INTERFACE_MANAGER, "JobRemoved", "uos", j->id, path,
                                  job_state_to_string(j->state));
}

static int emit_job(Bus *b, NotifyType type, const char *name, const Job *j) {
        _cleanup_free_ char *path = NULL;
        int r;

        /* The name is the number in decimal, and outlives the object. */
        r = sd_bus_path_encode_many(&path, BUS_PATTERN_JOB, name);
        if (r < 0)
                return r;
        if (type == NOTIFY_JOB_GONE)
                return sd_bus_emit_interfaces_removed(b->bus, path, BUS_INTERFACE_JOB, NULL);
        if (type == NOTIFY_JOB_REMOVED)
                return emit_job_ended(b, path, j);
        if (type == NOTIFY_JOB_CHANGED)
                return sd_bus_emit_properties_changed(b->bus, path, BUS_INTERFACE_JOB, "State", "BytesTotal",
                                                      "BytesDone", "Parts", NULL);

        r = sd_bus_emit_interfaces_added(b->bus, path, BUS_INTERFACE_JOB, NULL);
        if (r < 0)
                return r;
        return sd_bus_emit_signal(b->bus, BUS_PATH, BUS_INTERFACE_MANAGER, "JobNew", "uo", j->id, path);
}

static void signals_on_notify(NotifyType type, const char *ns, const char *name, void *object,
                              void *userdata) {
        Bus *b = userdata;
        int r = 0;

        if (!b->exporting)
                return;

        switch (type) {
        case NOTIFY_NAMESPACE_ADDED:
        case NOTIFY_NAMESPACE_REMOVED:
                r = emit_namespace(b, type, name);
                break;
        case NOTIFY_IMAGE_ADDED:
        case NOTIFY_IMAGE_CHANGED:
        case NOTIFY_IMAGE_REMOVED:
                r = emit_image(b, type, ns, name);
                break;
        case NOTIFY_CONTAINER_ADDED:
        case NOTIFY_CONTAINER_CHANGED:
        case NOTIFY_CONTAINER_LIMITS_CHANGED:
        case NOTIFY_CONTAINER_HEALTH:
        case NOTIFY_CONTAINER_NETWORKS:
        case NOTIFY_CONTAINER_REMOVED:
                r = emit_container(b, type, ns, name);
                break;
        case NOTIFY_EXEC_ADDED:
        case NOTIFY_EXEC_CHANGED:
        case NOTIFY_EXEC_REMOVED:
                r = emit_exec(b, type, object);
                break;
        case NOTIFY_INTERFACE_ADDED:
        case NOTIFY_INTERFACE_CHANGED:
        case NOTIFY_INTERFACE_REMOVED:
                r = emit_interface(b, type, ns, name, object);
                break;
        case NOTIFY_NETWORK_ADDED:
        case NOTIFY_NETWORK_REMOVED:
                r = emit_network(b, type, ns, name);
                break;
        case NOTIFY_JOB_ADDED:
        case NOTIFY_JOB_CHANGED:
        case NOTIFY_JOB_REMOVED:
        case NOTIFY_JOB_GONE:
                r = emit_job(b, type, name, object);
                break;
        case NOTIFY_EVENT:
                r = emit_event(b, object);
                break;
        case _NOTIFY_TYPE_MAX:
        default:
                break;
        }
        if (r < 0)
                log_debug_errno(r, "A signal about %s cannot be sent, ignoring: %m", strempty(name));
}

int bus_signals_subscribe(Bus *b) {
        return events_subscribe(b->context.events, signals_on_notify, b);
}
