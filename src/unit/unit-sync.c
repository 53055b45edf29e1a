/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is, at the start, after the connection was lost, and after PID 1 has reloaded: one call for the list
 * of units, one for the properties of each, a bounded number of them under way (a bus daemon limits the
 * replies that a client may await).
 *
 * PID 1 sends in order, so that a signal that comes before the reply to a call is older than what the reply
 * says, and one that comes after it newer: both are simply applied as they come. */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "unit/unit-private.h"

#define SYNC_INFLIGHT_MAX 32U
#define INVOCATION_ID_SIZE 16U

/* -- properties --------------------------------------------------------------------------------- */

typedef struct StatusField {
        const char *name;
        char type;
        size_t offset;
} StatusField;

static const StatusField status_fields[] = {
        { "ActiveEnterTimestamp", 't', offsetof(UnitStatus, active_enter_usec) },
        { "ActiveState", 's', offsetof(UnitStatus, active_state) },
        { "ControlGroup", 's', offsetof(UnitStatus, control_group) },
        { "ExecMainCode", 'i', offsetof(UnitStatus, exec_main_code) },
        { "ExecMainExitTimestamp", 't', offsetof(UnitStatus, exec_main_exit_usec) },
        { "ExecMainPID", 'u', offsetof(UnitStatus, exec_main_pid) },
        { "ExecMainStartTimestamp", 't', offsetof(UnitStatus, exec_main_start_usec) },
        { "ExecMainStatus", 'i', offsetof(UnitStatus, exec_main_status) },
        { "InactiveExitTimestamp", 't', offsetof(UnitStatus, inactive_exit_usec) },
        { "MainPID", 'u', offsetof(UnitStatus, main_pid) },
        { "Result", 's', offsetof(UnitStatus, result) },
        { "StatusText", 's', offsetof(UnitStatus, status_text) },
        { "SubState", 's', offsetof(UnitStatus, sub_state) },
};

static int read_basic(UnitStatus *s, const StatusField *f, sd_bus_message *m) {
        const char type[] = { f->type, 0 };
        void *p = (char *) s + f->offset;
        const char *text;
        int r;

        r = sd_bus_message_enter_container(m, 'v', type);
        if (r < 0)
                return r;
        if (f->type == 's') {
                r = sd_bus_message_read_basic(m, 's', &text);
                if (r >= 0)
                        r = free_and_strdup(p, isempty(text) ? NULL : text);
        } else
                r = sd_bus_message_read_basic(m, f->type, p);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_invocation_id(UnitStatus *s, sd_bus_message *m) {
        const void *bytes;
        char *hex = NULL;
        size_t n;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "ay");
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'y', &bytes, &n);
        if (r < 0)
                return r;
        if (n == INVOCATION_ID_SIZE) {
                hex = hex_encode(bytes, n);
                if (!hex)
                        return -ENOMEM;
        }
        free(s->invocation_id);
        s->invocation_id = hex;
        return sd_bus_message_exit_container(m);
}

static int read_exec_start(UnitStatus *s, sd_bus_message *m) {
        const char *path;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(sasbttttuii)");
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'a', "(sasbttttuii)");
        if (r < 0)
                return r;
        s->launcher = false;
        while ((r = sd_bus_message_enter_container(m, 'r', "sasbttttuii")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &path);
                if (r >= 0)
                        r = sd_bus_message_skip(m, "asbttttuii");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
                s->launcher = s->launcher || streq(path, MOORING_PATH);
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_member(UnitStatus *s, const char *name, sd_bus_message *m) {
        if (streq(name, "InvocationID"))
                return read_invocation_id(s, m);
        if (streq(name, "Job"))
                return sd_bus_message_read(m, "v", "(uo)", &s->job, NULL);
        if (streq(name, "ExecStart"))
                return read_exec_start(s, m);
        for (size_t i = 0; i < ELEMENTSOF(status_fields); i++)
                if (streq(status_fields[i].name, name))
                        return read_basic(s, &status_fields[i], m);

        return sd_bus_message_skip(m, "v");
}

int unit_status_read(UnitStatus *s, sd_bus_message *m) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &name);
                if (r >= 0)
                        r = read_member(s, name, m);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* -- enumeration -------------------------------------------------------------------------------- */

static void sync_work(UnitManager *m);

static void sync_finish(UnitManager *m) {
        Unit *u;

        strv_free(m->sync_queue);
        m->sync_queue = NULL;
        m->sync_next = 0;
        m->reconnect_usec = UNIT_RECONNECT_MIN_USEC;

        /* What is known but was neither listed nor made since is no more. */
        HASHMAP_FOREACH(u, m->units)
                if (u->generation < m->generation) {
                        if (u->start_pending) {
                                u->status.loaded = false;
                                unit_settle_start(u);
                        } else
                                unit_gone(u);
                }

        if (!m->ready_told) {
                m->ready_told = true;
                if (m->ready)
                        m->ready(m->userdata);
        }
}

/* The reply for one unit, for whatever reason it was asked for. */
static void take_properties(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        Unit *u = unit_get(c->manager, c->unit);

        if (!u)
                return;
        if (r >= 0)
                r = unit_status_read(&u->status, reply);
        if (r < 0)
                log_debug("Failed to read the properties of unit %s: %s", c->unit,
                          error_is_set(error) ? error_message(error) : strerror(-r));
        u->syncing = false;
        if (u->start_pending && u->job_lost)
                unit_settle_start(u);
        else
                unit_tell(u);
}

static void on_properties(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        UnitManager *m = c->manager;

        if (c->generation != m->generation || r == -ECANCELED)
                return;
        m->sync_inflight--;
        take_properties(c, reply, r, error);
        sync_work(m);
}

static void on_refreshed(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        /* A later enumeration asks for it itself. */
        if (c->generation == c->manager->generation && r != -ECANCELED)
                take_properties(c, reply, r, error);
}

int unit_call_get_all(UnitManager *m, const UnitCall *template, const char *interface) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!m->bus)
                return -ENOTCONN;
        r = sd_bus_path_encode(SYSTEMD_UNIT_PATH, template->unit, &path);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(m->bus, &message, SYSTEMD_NAME, path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", interface);
        return r < 0 ? r : unit_call(m, message, template);
}

static int ask_properties(UnitManager *m, const char *name, UnitCallHandler handler) {
        const UnitCall call = { .unit = (char *) name, .generation = m->generation, .handler = handler };

        /* No interface: the members of all of them, in one reply. */
        return unit_call_get_all(m, &call, "");
}

int unit_refresh(Unit *u) {
        int r;

        if (u->syncing) /* on its way already */
                return 0;
        r = ask_properties(u->manager, u->name, on_refreshed);
        if (r >= 0)
                u->syncing = true;
        return r;
}

static void sync_work(UnitManager *m) {
        int r;

        while (m->sync_queue && m->sync_queue[m->sync_next] && m->sync_inflight < SYNC_INFLIGHT_MAX) {
                const char *name = m->sync_queue[m->sync_next++];

                r = ask_properties(m, name, on_properties);
                if (r < 0) {
                        log_warning_errno(r, "Failed to ask for unit %s: %m", name);
                        unit_manager_reconnect_later(m);
                        return;
                }
                m->sync_inflight++;
        }

        if (m->sync_queue && m->sync_inflight == 0)
                sync_finish(m);
}

static int sync_add(UnitManager *m, const char *name, const char *active, const char *sub) {
        Unit *u = unit_get(m, name);
        int r;

        if (!u) {
                r = unit_new(m, name, &u);
                if (r < 0)
                        return r;
        }
        u->generation = m->generation;
        u->syncing = true;
        u->status.loaded = true;
        r = free_and_strdup(&u->status.active_state, active);
        if (r >= 0)
                r = free_and_strdup(&u->status.sub_state, sub);
        return r < 0 ? r : strv_extend(&m->sync_queue, name);
}

static int read_list(UnitManager *m, sd_bus_message *reply) {
        const char *name, *load, *active, *sub;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, &load, &active, &sub, NULL, NULL,
                                        NULL, NULL, NULL)) > 0)
                /* "not-found": only somebody's dependency. */
                if (streq(load, "loaded") || !streq(active, "inactive")) {
                        r = sync_add(m, name, active, sub);
                        if (r < 0)
                                return r;
                }
        return r;
}

static void on_list(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        UnitManager *m = c->manager;

        if (c->generation != m->generation || r == -ECANCELED)
                return;
        if (r >= 0)
                r = read_list(m, reply);
        if (r < 0) {
                log_warning("Failed to list the units of containers, trying again: %s",
                            error_is_set(error) ? error_message(error) : strerror(-r));
                unit_manager_reconnect_later(m);
                return;
        }

        if (!m->sync_queue) {
                m->sync_queue = calloc(1, sizeof(char *));
                if (!m->sync_queue) {
                        (void) log_oom();
                        unit_manager_reconnect_later(m);
                        return;
                }
        }
        sync_work(m);
}

static void on_subscribed(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        if (r < 0 && r != -ECANCELED) /* done before is an error, too */
                log_debug("Subscribing to systemd's signals: %s", error_message(error));
}

static void on_back_off(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        if (r != -ECANCELED && r != -ENOTCONN)
                c->manager->back_off = r >= 0;
}

/* Any service will do, and ours is there. */
static int ask_back_off(UnitManager *m) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        const UnitCall call = { .handler = on_back_off };
        int r;

        r = sd_bus_message_new_method_call(m->bus, &message, SYSTEMD_NAME,
                                           SYSTEMD_UNIT_PATH "/moored_2eservice",
                                           "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", SYSTEMD_NAME ".Service", "RestartSteps");
        return r < 0 ? r : unit_call(m, message, &call);
}

int unit_manager_sync(UnitManager *m) {
        UnitCall list = { .handler = on_list };
        const UnitCall subscribe = { .handler = on_subscribed };
        int r;

        m->generation++;
        m->sync_inflight = m->sync_next = 0;
        strv_free(m->sync_queue);
        m->sync_queue = NULL;
        list.generation = m->generation;

        r = unit_call_method(m, &subscribe, "Subscribe", NULL);
        if (r >= 0)
                r = ask_back_off(m);
        if (r < 0)
                return r;

        return unit_call_method(m, &list, "ListUnitsByPatterns", "asas", 0, 3, UNIT_PATTERN,
                                UNIT_SCOPE_PATTERN, UNIT_TEMPLATE_PATTERN);
}
