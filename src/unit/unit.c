/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A start is one method call and no property read. PID 1's order is relied upon:
 *
 *   StartTransientUnit ─▶ reply (job's path) ─▶ PropertiesChanged … ─▶ JobRemoved ─▶ … ─▶ UnitRemoved
 *
 * Before a job's end is announced, the pending change of its unit is sent, first the type's interface, then
 * Unit's, so that when JobRemoved comes, MainPID, InvocationID and StatusText are known here already; and a
 * pair of signals is complete when that of Unit has come, which is when it is told to container/. While the
 * start is under way nothing is told but its end.
 *
 * There is one match for the signals of all units: one for each container would meet the bus daemon's limit
 * of matches (512 by default). What is not ours is dropped by its path.
 *
 * A daemon-reload frees all units of PID 1 and makes them anew, UnitRemoved included: between
 * Reloading(true) and Reloading(false) that is not believed; then everything is asked for again. */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/unit-name.h"
#include "unit/unit-private.h"
#include "unit/unit-properties.h"

#define RECONNECT_MAX_USEC (10 * USEC_PER_SEC)
#define OUR_UNITS_PATH SYSTEMD_UNIT_PATH "/moored_2d"
#define OUR_TEMPLATE_PATH SYSTEMD_UNIT_PATH "/moored_40"
#define PROCESSES_MAX 65536U
#define CALLS_SENT_MAX 96U /* dbus-daemon lets a connection await 128 replies */

/* -- units -------------------------------------------------------------------------------------- */

Unit *unit_get(UnitManager *m, const char *name) {
        return name ? hashmap_get(m->units, name) : NULL;
}

static Unit *unit_free(Unit *u) {
        if (!u)
                return NULL;

        if (u->name && hashmap_get(u->manager->units, u->name) == u)
                (void) hashmap_remove(u->manager->units, u->name);
        unit_status_done(&u->status);
        free(u->name);
        free(u->job);
        free(u);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Unit *, unit_free)

int unit_new(UnitManager *m, const char *name, Unit **ret) {
        _cleanup_(unit_freep) Unit *u = NULL;
        int r;

        u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->manager = m;
        u->generation = m->generation;
        u->name = strdup(name);
        if (!u->name)
                return -ENOMEM;
        r = hashmap_put(m->units, name, u);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(u);
        return 0;
}

void unit_tell(Unit *u) {
        if (!u->start_pending && !u->syncing && u->status.loaded)
                container_unit_changed(u->manager->containers, u->name, &u->status);
}

void unit_gone(Unit *u) {
        _cleanup_(unit_freep) Unit *gone = u;

        /* Out of the table first: what is told may start it anew. */
        (void) hashmap_remove(u->manager->units, u->name);
        u->status.loaded = false;
        container_unit_changed(u->manager->containers, gone->name, &gone->status);
}

static void finish_start(Unit *u, int r, const Error *error) {
        UnitStartFunc func = u->start_func;
        UnitManager *m = u->manager;
        _cleanup_free_ char *name = strdup(u->name);

        u->start_pending = u->job_lost = u->job_canceled = false;
        u->start_func = NULL;
        (void) free_and_strdup(&u->job, NULL);
        func(r, &u->status, error, u->start_userdata);

        /* It may have ended, and gone, in the meantime. */
        u = unit_get(m, name);
        if (u && !u->start_pending && !u->status.loaded)
                unit_gone(u);
}

/* A start that is not a success: the unit, if there is one, is followed until it goes. */
static void fail_start(Unit *u, const char *job_result) {
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = unit_error_from_status(&u->status, u->name, job_result, &error);
        finish_start(u, r, &error);
}

void unit_settle_start(Unit *u) {
        const char *active = strempty(u->status.active_state);

        if (!u->status.loaded || streq(active, "failed") || streq(active, "inactive"))
                fail_start(u, u->job_canceled ? "canceled" : NULL);
        else if (streq(active, "active"))
                finish_start(u, 0, NULL);
        /* Otherwise the next change decides. */
}

/* -- calls -------------------------------------------------------------------------------------- */

static UnitCall *unit_call_free(UnitCall *c) {
        if (!c)
                return NULL;

        if (c->prev)
                c->prev->next = c->next;
        else if (c->manager->calls == c)
                c->manager->calls = c->next;
        if (c->next)
                c->next->prev = c->prev;
        if (c->slot)
                c->manager->n_sent--;
        sd_bus_slot_unref(c->slot);
        sd_bus_message_unref(c->waiting);
        free(c->unit);
        free(c);
        return NULL;
}
DEFINE_CLEANUP_FUNC(UnitCall *, unit_call_free)

static void send_waiting(UnitManager *m);

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        UnitCall *c = userdata;
        _cleanup_error_ Error error = ERROR_NULL;
        UnitManager *m = c->manager;
        int r;

        r = unit_error_from_message(reply, &error);
        c->handler(c, r < 0 ? NULL : reply, r, &error);
        unit_call_free(c);
        send_waiting(m);
        return 0;
}

static int send_call(UnitCall *c, sd_bus_message *message) {
        int r;

        r = sd_bus_call_async(c->manager->bus, &c->slot, message, on_reply, c, 0);
        if (r >= 0)
                c->manager->n_sent++;
        return r;
}

static UnitCall *oldest_waiting(UnitManager *m) {
        UnitCall *found = NULL;

        for (UnitCall *c = m->calls; c && c->waiting; c = c->next)
                found = c;
        return found;
}

static void send_waiting(UnitManager *m) {
        UnitCall *c;

        while (m->bus && m->n_sent < CALLS_SENT_MAX && (c = oldest_waiting(m))) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = TAKE_PTR(c->waiting);
                _cleanup_error_ Error error = ERROR_NULL;
                int r;

                r = send_call(c, message);
                if (r < 0) {
                        (void) error_set_errno(&error, r, "Failed to call systemd: %m");
                        c->handler(c, NULL, r, &error);
                        unit_call_free(c);
                }
        }
}

int unit_call(UnitManager *m, sd_bus_message *message, const UnitCall *template) {
        _cleanup_(unit_call_freep) UnitCall *c = NULL;
        int r;

        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = *template;
        c->manager = m;
        c->prev = c->next = NULL;
        c->slot = NULL;
        c->waiting = NULL;
        c->unit = NULL;
        r = free_and_strdup(&c->unit, template->unit);
        if (r < 0)
                return r;
        if (m->n_sent < CALLS_SENT_MAX && !oldest_waiting(m)) {
                r = send_call(c, message);
                if (r < 0)
                        return r;
        } else
                c->waiting = sd_bus_message_ref(message);

        c->next = m->calls;
        if (c->next)
                c->next->prev = c;
        m->calls = TAKE_PTR(c);
        return 0;
}

int unit_manager_message(UnitManager *m, const char *method, sd_bus_message **ret) {
        if (!m->bus || sd_bus_is_open(m->bus) <= 0)
                return -ENOTCONN;
        return sd_bus_message_new_method_call(m->bus, ret, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                              method);
}

int unit_call_method(UnitManager *m, const UnitCall *template, const char *method, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        va_list ap;
        int r;

        r = unit_manager_message(m, method, &message);
        if (r < 0)
                return r;
        if (types) {
                va_start(ap, types);
                r = sd_bus_message_appendv(message, types, ap);
                va_end(ap);
                if (r < 0)
                        return r;
        }

        return unit_call(m, message, template);
}

/* -- the backend of container/ ------------------------------------------------------------------ */

static int backend_check_properties(void *backend, char *const *properties, Error *reterr_error) {
        int r;

        STRV_FOREACH(p, properties) {
                r = unit_property_append(NULL, p, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void on_start_reply(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        Unit *u = unit_get(c->manager, c->unit);
        const char *job;

        if (!u || !u->start_pending || r == -ECANCELED) /* the manager's end tells it itself */
                return;
        if (r < 0 && sd_bus_is_open(c->manager->bus) <= 0) {
                u->job_lost = true; /* it may have been asked for, or not */
                return;
        }
        if (r >= 0) {
                r = sd_bus_message_read(reply, "o", &job);
                if (r >= 0)
                        r = free_and_strdup(&u->job, job);
                if (r >= 0)
                        u->status.loaded = true;
        }
        if (r < 0) {
                /* Refused: a transient unit of that name, if there is one, is not ours. */
                u->status.loaded = u->status.loaded && unit_is_installed(u->name);
                finish_start(u, r, error);
        }
}

static int backend_start(void *backend, const UnitSpec *spec, UnitStartFunc func, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        const UnitCall call = { .unit = spec->name, .handler = on_start_reply };
        _cleanup_(unit_freep) Unit *u = NULL;
        UnitManager *m = backend;
        int r;

        if (unit_get(m, spec->name))
                return -EEXIST;
        r = unit_manager_message(m, "StartTransientUnit", &message);
        if (r >= 0)
                r = unit_spec_append(message, spec, m->back_off, NULL);
        if (r >= 0)
                r = unit_new(m, spec->name, &u);
        if (r >= 0)
                r = unit_call(m, message, &call);
        if (r < 0)
                return r;

        u->start_pending = true;
        u->start_func = func;
        u->start_userdata = userdata;
        u->status.launcher = true;
        (void) TAKE_PTR(u);
        return 0;
}

static int backend_start_installed(void *backend, const char *unit, UnitStartFunc func, void *userdata) {
        const UnitCall call = { .unit = (char *) unit, .handler = on_start_reply };
        UnitManager *m = backend;
        Unit *u = unit_get(m, unit);
        bool known = u;
        int r;

        if (known && u->start_pending)
                return -EALREADY;
        r = known ? 0 : unit_new(m, unit, &u);
        if (r < 0)
                return r;
        r = unit_call_method(m, &call, "StartUnit", "ss", unit, "replace");
        if (r < 0) {
                if (!known)
                        unit_free(u);
                return r;
        }

        u->start_pending = true;
        u->start_func = func;
        u->start_userdata = userdata;
        return 0;
}

static int backend_start_service(void *backend, const char *unit, UnitDoneFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, "StartUnit", "ss", unit, "replace");
}

static int backend_restart_service(void *backend, const char *unit, UnitDoneFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, "RestartUnit", "ss", unit, "replace");
}

static int backend_follow(void *backend, const char *unit) {
        UnitManager *m = backend;
        Unit *u = unit_get(m, unit);
        int r;

        if (!u) {
                r = unit_new(m, unit, &u);
                if (r < 0)
                        return r;
        }
        u->status.loaded = true;
        return unit_refresh(u);
}

void unit_call_done(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        c->done(r < 0 ? r : 0, r < 0 ? error : NULL, c->userdata);
}

static int backend_stop(void *backend, const char *unit, UnitDoneFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, "StopUnit", "ss", unit, "replace");
}

static int backend_kill(void *backend, const char *unit, const char *whom, int signo, UnitDoneFunc func,
                        void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, "KillUnit", "ssi", unit, whom, (int32_t) signo);
}

static void on_released(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        Unit *u;

        if (r >= 0 || r == -ECANCELED)
                return;
        log_debug("Failed to release unit %s: %s", c->unit, error_message(error));
        u = unit_get(c->manager, c->unit);
        if (u && r == -ENOENT && !u->start_pending)
                unit_gone(u);
        else
                container_unit_kept(c->manager->containers, c->unit);
}

static int backend_release(void *backend, const char *unit) {
        const UnitCall call = { .unit = (char *) unit, .handler = on_released };
        UnitManager *m = backend;
        Unit *u = unit_get(m, unit);

        if (!u || streq_ptr(u->status.active_state, "inactive"))
                return 0; /* it goes by itself */
        if (streq_ptr(u->status.active_state, "failed"))
                return unit_call_method(m, &call, "ResetFailedUnit", "s", unit);

        return unit_call_method(m, &call, "StopUnit", "ss", unit, "replace");
}

static void on_delay_reset(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        if (r < 0 && r != -ECANCELED)
                log_debug("Failed to reset the restart delay of unit %s, ignoring: %s", c->unit, error_message(error));
}

/* It resets the counter that the delay follows, whatever the unit's state. */
static int backend_reset_delay(void *backend, const char *unit) {
        const UnitCall call = { .unit = (char *) unit, .handler = on_delay_reset };
        UnitManager *m = backend;

        return m->back_off ? unit_call_method(m, &call, "ResetFailedUnit", "s", unit) : 0;
}

static int backend_refresh(void *backend, const char *unit) {
        Unit *u = unit_get(backend, unit);

        return u ? unit_refresh(u) : -ENOENT;
}

static int backend_last_words(void *backend, const char *unit, const char *invocation_id, UnitStatus *ret) {
        return unit_journal_last_words(unit, invocation_id, ret);
}

static int read_processes(sd_bus_message *reply, uint32_t **ret_pids, char ***ret_commands, size_t *ret_n) {
        _cleanup_strv_free_ char **commands = NULL;
        _cleanup_free_ uint32_t *pids = NULL;
        const char *command;
        uint32_t pid;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sus)");
        if (r < 0)
                return r;
        while (n < PROCESSES_MAX && (r = sd_bus_message_read(reply, "(sus)", NULL, &pid, &command)) > 0) {
                uint32_t *p = reallocarray(pids, n + 1, sizeof(*pids));

                if (!p)
                        return -ENOMEM;
                pids = p;
                pids[n++] = pid;
                r = strv_extend(&commands, command);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret_pids = TAKE_PTR(pids);
        *ret_commands = TAKE_PTR(commands);
        *ret_n = n;
        return 0;
}

static void on_processes(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        _cleanup_strv_free_ char **commands = NULL;
        _cleanup_free_ uint32_t *pids = NULL;
        size_t n = 0;

        if (r >= 0)
                r = read_processes(reply, &pids, &commands, &n);
        c->processes(r < 0 ? r : 0, pids, commands, n, c->userdata);
}

static int backend_processes(void *backend, const char *unit, UnitProcessesFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = on_processes, .processes = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, "GetUnitProcesses", "s", unit);
}

static const UnitBackend unit_backend = {
        .check_properties = backend_check_properties,
        .start = backend_start,
        .start_installed = backend_start_installed,
        .start_service = backend_start_service,
        .restart_service = backend_restart_service,
        .follow = backend_follow,
        .stop = backend_stop,
        .kill = backend_kill,
        .release = backend_release,
        .reset_delay = backend_reset_delay,
        .refresh = backend_refresh,
        .last_words = backend_last_words,
        .processes = backend_processes,
        .update = unit_update,
        .freeze = unit_freeze,
        .limits = unit_limits,
        .traffic = unit_traffic,
        .set_names_link = unit_set_names_link,
        .revert_names_link = unit_revert_names_link,
};

/* -- signals ------------------------------------------------------------------------------------ */

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const char *path = sd_bus_message_get_path(message), *interface;
        _cleanup_free_ char *name = NULL;
        UnitManager *m = userdata;
        Unit *u;
        int r;

        if (!path || !(startswith(path, OUR_UNITS_PATH) || startswith(path, OUR_TEMPLATE_PATH)))
                return 0;
        r = sd_bus_path_decode(path, SYSTEMD_UNIT_PATH, &name);
        if (r <= 0)
                return r;
        u = unit_get(m, name);
        if (!u)
                return 0;

        r = sd_bus_message_read_basic(message, 's', &interface);
        if (r >= 0)
                r = unit_status_read(&u->status, message);
        if (r < 0) {
                log_debug_errno(r, "Failed to read a change of unit %s, ignoring: %m", name);
                return 0;
        }
        /* The second and last of a pair. */
        if (!streq(interface, SYSTEMD_NAME ".Unit"))
                return 0;
        if (u->start_pending && u->job_lost && !u->syncing)
                unit_settle_start(u);
        else if (u->start_pending && u->status.status_text)
                container_unit_waits(m->containers, u->name, &u->status);
        else
                unit_tell(u);
        return 0;
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const char *job, *name, *result;
        UnitManager *m = userdata;
        Unit *u;
        int r;

        r = sd_bus_message_read(message, "uoss", NULL, &job, &name, &result);
        if (r < 0)
                return 0;
        if (unit_is_resolver(name) && (streq(result, "failed") || streq(result, "timeout")))
                container_service_failed(m->containers, name, result);
        u = unit_get(m, name);
        if (!u || !u->start_pending || !streq_ptr(u->job, job))
                return 0;

        if (streq(result, "done") && streq_ptr(u->status.active_state, "active"))
                finish_start(u, 0, NULL);
        else if (streq(result, "canceled")) {
                /* By a job to stop it, which has not begun yet. */
                u->job_lost = u->job_canceled = true;
                unit_settle_start(u);
        } else
                fail_start(u, result);
        return 0;
}

static int on_unit_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        UnitManager *m = userdata;
        const char *name;
        Unit *u;

        if (m->reloading || sd_bus_message_read(message, "so", &name, NULL) < 0)
                return 0;
        u = unit_get(m, name);
        if (!u)
                return 0;

        if (u->start_pending)
                u->status.loaded = false; /* the reply or the job's end is on its way */
        else
                unit_gone(u);
        return 0;
}

static int on_reloading(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        UnitManager *m = userdata;
        int active, r;

        if (sd_bus_message_read(message, "b", &active) < 0)
                return 0;
        m->reloading = active;
        if (!active) {
                r = unit_manager_sync(m);
                if (r < 0)
                        unit_manager_reconnect_later(m);
        }
        return 0;
}

/* Of shutdown.target's only: see add_matches(). */
static int on_job_new(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        UnitManager *m = userdata;

        container_manager_host_stops(m->containers, true);
        return 0;
}

/* logind says so before it asks PID 1. */
static int on_prepare_for_shutdown(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        UnitManager *m = userdata;
        int stops;

        if (sd_bus_message_read(message, "b", &stops) >= 0)
                container_manager_host_stops(m->containers, stops);
        return 0;
}

/* PID 1 has executed itself anew. */
static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        UnitManager *m = userdata;
        const char *owner;
        int r;

        if (sd_bus_message_read(message, "sss", NULL, NULL, &owner) < 0 || isempty(owner))
                return 0;
        m->reloading = false;
        r = unit_manager_sync(m);
        if (r < 0)
                unit_manager_reconnect_later(m);
        return 0;
}

/* -- connection --------------------------------------------------------------------------------- */

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        log_warning("The connection to systemd is lost, connecting again.");
        unit_manager_reconnect_later(userdata);
        return 0;
}

static int add_matches(UnitManager *m) {
        static const struct {
                const char *member;
                sd_bus_message_handler_t handler;
        } signals[] = {
                { "JobRemoved", on_job_removed },
                { "UnitRemoved", on_unit_removed },
                { "Reloading", on_reloading },
        };
        int r;

        r = sd_bus_match_signal(m->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, m);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_bus_match_signal_async(m->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                              signals[i].member, signals[i].handler, NULL, m);
        if (r >= 0)
                r = sd_bus_add_match_async(m->bus, NULL,
                                           "type='signal',sender='" SYSTEMD_NAME
                                           "',interface='org.freedesktop.DBus.Properties',"
                                           "member='PropertiesChanged',path_namespace='" SYSTEMD_UNIT_PATH
                                           "'",
                                           on_properties_changed, NULL, m);
        if (r >= 0)
                r = sd_bus_add_match_async(m->bus, NULL,
                                           "type='signal',sender='" SYSTEMD_NAME "',path='" SYSTEMD_PATH
                                           "',interface='" SYSTEMD_MANAGER
                                           "',member='JobNew',arg2='shutdown.target'",
                                           on_job_new, NULL, m);
        if (r >= 0)
                r = sd_bus_add_match_async(m->bus, NULL,
                                           "type='signal',sender='org.freedesktop.login1',"
                                           "interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'",
                                           on_prepare_for_shutdown, NULL, m);
        if (r >= 0)
                r = sd_bus_add_match_async(
                                m->bus, NULL,
                                "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                "member='NameOwnerChanged',arg0='" SYSTEMD_NAME "'",
                                on_owner_changed, NULL, m);
        return r;
}

static void end_calls(UnitManager *m, int r, const Error *error) {
        while (m->calls) {
                UnitCall *c = m->calls;

                c->handler(c, NULL, r, error);
                unit_call_free(c);
        }
}

static void unit_manager_disconnect(UnitManager *m) {
        _cleanup_error_ Error error = ERROR_NULL;
        Unit *u;

        m->generation++; /* an enumeration that is under way is over */
        m->reloading = m->resolved = false;
        sd_bus_close(m->bus);
        (void) error_set(&error, -ENOTCONN, "Failed", "The connection to systemd is lost.");
        end_calls(m, -ENOTCONN, &error);
        m->bus = sd_bus_unref(m->bus);
        HASHMAP_FOREACH(u, m->units)
                u->job_lost = u->start_pending;
}

static int unit_manager_connect(UnitManager *m) {
        int r;

        r = sd_bus_open_system_with_description(&m->bus, "moored-units");
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(m->bus, false);
        /* Before clients: who has asked PID 1 for something and then us is told of what came of it. */
        if (r >= 0)
                r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL - 1);
        if (r >= 0)
                r = add_matches(m);
        if (r >= 0)
                r = unit_resolved_connect(m);
        if (r >= 0)
                r = unit_manager_sync(m);
        return r;
}

static int on_reconnect(sd_event_source *s, uint64_t usec, void *userdata) {
        UnitManager *m = userdata;
        int r;

        m->reconnect_timer = sd_event_source_disable_unref(m->reconnect_timer);
        unit_manager_disconnect(m);
        r = unit_manager_connect(m);
        if (r < 0) {
                log_debug_errno(r, "Failed to connect to systemd, trying again: %m");
                unit_manager_reconnect_later(m);
        }
        return 0;
}

void unit_manager_reconnect_later(UnitManager *m) {
        int r;

        if (m->reconnect_timer)
                return;
        r = sd_event_add_time_relative(m->event, &m->reconnect_timer, CLOCK_MONOTONIC, m->reconnect_usec, 0,
                                       on_reconnect, m);
        if (r < 0)
                log_error_errno(r, "Failed to set a timer, the connection to systemd stays lost: %m");
        m->reconnect_usec = MIN(m->reconnect_usec * 2, RECONNECT_MAX_USEC);
}

int unit_manager_new(sd_event *event, ContainerManager *containers, void (*ready)(void *userdata),
                     void *userdata, UnitManager **ret, Error *reterr_error) {
        _cleanup_(unit_manager_freep) UnitManager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->event = sd_event_ref(event);
        m->containers = containers;
        m->ready = ready;
        m->userdata = userdata;
        m->reconnect_usec = UNIT_RECONNECT_MIN_USEC;
        m->units = hashmap_new();
        if (!m->units)
                return -ENOMEM;

        r = unit_manager_connect(m);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to connect to the system bus: %m");

        container_manager_set_backend(containers, &unit_backend, m);
        *ret = TAKE_PTR(m);
        return 0;
}

UnitManager *unit_manager_free(UnitManager *m) {
        _cleanup_error_ Error error = ERROR_NULL;
        Unit *u;

        if (!m)
                return NULL;

        (void) error_set(&error, -ECANCELED, "Canceled", "moored is ending.");
        end_calls(m, -ECANCELED, &error);
        HASHMAP_FOREACH(u, m->units) {
                if (u->start_pending)
                        u->start_func(-ECANCELED, NULL, &error, u->start_userdata);
                unit_free(u);
        }
        if (m->ready_told || m->bus)
                container_manager_set_backend(m->containers, NULL, NULL);
        strv_free(m->sync_queue);
        sd_event_source_disable_unref(m->reconnect_timer);
        sd_bus_flush_close_unref(m->bus);
        hashmap_free(m->units);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}
