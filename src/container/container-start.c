/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Start and end, and what is recorded of them.
 *
 * When the unit ends PID 1 keeps it, with its exit code ("active (exited)" or "failed"), until it is released: an
 * exit is never lost. Only when the end is recorded is the unit given back, and only when PID 1 says that it is gone
 * can the same name be started again (container_unit_gone()).
 *
 * At an exit the order is: record and event in one transaction, state, unit given back, waiters; what a
 * removal costs comes later, from the loop. */

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/devices.h"
#include "container/oom.h"
#include "container/unit-name.h"

#define SIGNAL_EXIT_BASE 128

/* -- records ------------------------------------------------------------------------------------ */

static ContainerState idle_state(const Container *c) {
        return c->row.finished_usec > 0 ? CONTAINER_EXITED : CONTAINER_CREATED;
}

char *container_slice(const Container *c) {
        const char *slice = container_options_get_property(&c->options, "Slice");

        return isempty(slice) ? namespace_slice_name(c->row.ns) : strdup(slice);
}

bool container_restarts(const Container *c) {
        return c->options.unit /* its owner decides, at any time */ || container_repeats(c);
}

int container_record(Container *c, int (*event)(Container *c)) {
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        r = store_transaction_begin(&t, c->manager->store, !c->row.auto_remove);
        if (r >= 0)
                r = store_container_update(c->manager->store, &c->row);
        if (r >= 0)
                r = event(c);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                log_error_errno(r, "Failed to record the state of container %s: %m", c->row.id);
        return r;
}

static int record_started_event(Container *c) {
        return events_record(c->manager->events, c->row.ns, "container/started", c->row.id, "#LeaderPID",
                             (int64_t) c->leader_pid, NULL);
}

/* It follows from the slice: no need to ask for it. */
void container_take_control_group(Container *c, const UnitStatus *status) {
        _cleanup_free_ char *slice = container_slice(c);

        free(c->control_group);
        c->control_group = status->control_group ? strdup(status->control_group)
                           : slice               ? unit_control_group(slice, c->unit)
                                                 : NULL;
}

void container_record_start(Container *c, const UnitStatus *status) {
        c->row.started_usec = status->exec_main_start_usec ?: now_usec(CLOCK_REALTIME);
        c->row.finished_usec = 0;
        c->row.exit_code = -1;
        c->row.stopped = false;
        c->row.restart_count = container_repeats(c) && !c->work->begun ? c->row.restart_count + 1 : 0;
        c->work->begun = false;
        (void) free_and_strdup(&c->row.exit_signal, NULL);
        (void) free_and_strdup(&c->row.result, NULL);
        if (free_and_strdup(&c->row.boot_id, c->manager->boot_id) < 0 ||
            free_and_strdup(&c->row.invocation_id, status->invocation_id) < 0)
                (void) log_oom();
        c->leader_pid = status->main_pid;
        if (c->row.oom_kills > 0) {
                c->row.oom_kills = 0;
                events_notify(c->manager->events, NOTIFY_CONTAINER_LIMITS_CHANGED, c->row.ns, c->row.id, c);
        }
        container_oom_free(c); /* of the last run */
        c->work->killed = c->work->oom_asked = false;
        if (c->manager->watch)
                cgroup_watch_schedule(c->manager->watch);
        c->work->run = false;
        c->work->released = false;

        container_take_control_group(c, status);
        (void) container_record(c, record_started_event);
        container_set_state(c, c->state == CONTAINER_STOPPING ? CONTAINER_STOPPING : CONTAINER_RUNNING);
}

static int record_exited_event(Container *c) {
        Events *events = c->manager->events;
        int r;

        r = events_record(events, c->row.ns, "container/exited", c->row.id, "#ExitCode",
                          (int64_t) c->row.exit_code, "ExitSignal", c->row.exit_signal, "Result",
                          c->row.result, "Image", c->row.image, NULL);
        if (r < 0 || !c->work->stop_requested)
                return r;

        return events_record(events, c->row.ns, "container/stopped", c->row.id, "Image", c->row.image, NULL);
}

void exit_data_from_unit(const UnitStatus *status, ExitData *ret) {
        *ret = (ExitData){
                .code = -1,
                .finished_usec = status && status->exec_main_exit_usec > 0 ? status->exec_main_exit_usec
                                                                           : now_usec(CLOCK_REALTIME),
        };
        if (status && status->exec_main_code == CLD_EXITED)
                ret->code = status->exec_main_status;
        else if (status && (status->exec_main_code == CLD_KILLED || status->exec_main_code == CLD_DUMPED)) {
                ret->code = SIGNAL_EXIT_BASE + status->exec_main_status;
                ret->signal_name = signal_to_string(status->exec_main_status);
        }
}

static void take_exit_data(Container *c, const UnitStatus *status, const char *result) {
        ExitData data;

        exit_data_from_unit(status, &data);
        c->row.exit_code = data.code;
        c->row.stopped = c->work->stop_requested;
        /* It was stopped by PID 1, or ended just before that. */
        if (c->manager->host_stops && !c->work->stop_requested)
                result = "reboot";
        c->row.finished_usec = data.finished_usec;
        if (free_and_strdup(&c->row.exit_signal, data.signal_name) < 0 ||
            free_and_strdup(&c->row.result, result) < 0)
                (void) log_oom();
}

void container_release_unit(Container *c) {
        ContainerManager *m = c->manager;

        if (c->options.unit || c->work->released || !m->backend || !hashmap_get(m->units, c->unit))
                return;

        /* "failed" may be what PID 1 shows before it starts it again. */
        if (container_repeats(c))
                (void) m->backend->stop(m->backend_userdata, c->unit, unit_request_ignore,
                                        (void *) "stop a unit that is released");
        c->work->released = unit_release(m, c->unit);
}

/* -- start -------------------------------------------------------------------------------------- */

uint64_t container_stop_timeout(const Container *c) {
        return c->options.stop_timeout_usec != UINT64_MAX ? c->options.stop_timeout_usec
                                                          : c->manager->stop_timeout_usec;
}

static int add_devices(const Container *c, char ***properties) {
        _cleanup_strv_free_ char **allowed = NULL;
        int r;

        r = container_devices_resolve(c->options.devices, NULL, &allowed, NULL);
        return r < 0 ? r : strv_extend_strv(properties, allowed);
}

static int mooring_command(const char *verb, const char *bundle, char ***ret) {
        const char *const argv[] = { MOORING_PATH, verb, bundle, NULL };

        return strv_extend_strv(ret, (char *const *) argv);
}

static int build_unit_spec(Container *c, const ContainerStdio *stdio, UnitSpec *ret) {
        _cleanup_(unit_spec_done) UnitSpec u = { .stdio = *stdio };
        _cleanup_free_ char *bundle = bundle_path(c->manager->runtime_dir, c->row.ns, c->row.id);
        const char *const argv[] = { MOORING_PATH, "launch", container_repeats(c) ? "--record" : bundle,
                                     container_repeats(c) ? bundle : NULL, NULL };
        int r;

        if (!bundle)
                return -ENOMEM;
        u.name = strdup(c->unit);
        u.description = strjoin("Container ", c->row.id, " (", c->row.image, ")");
        u.slice = container_slice(c);
        u.syslog_identifier = strdup(c->row.id);
        u.scope_pid = c->work->scope_pid;
        u.keeps_network = container_keeps_network(c);
        if (free_and_strdup(&u.log, c->options.log) < 0)
                return -ENOMEM;
        if (!u.name || !u.description || !u.slice || !u.syslog_identifier)
                return -ENOMEM;

        r = strv_extend_strv(&u.exec_start, (char *const *) argv);
        if (r < 0)
                return r;
        u.restart = c->restart;
        if (container_repeats(c) || container_ends_unheard(c)) {
                r = mooring_command("record-exit", bundle, &u.exec_stop_post);
                if (r < 0)
                        return r;
        }
        if (c->options.runtime) {
                r = mooring_command("clean", bundle, &u.exec_clean);
                if (r < 0)
                        return r;
        }
        r = strv_extendf(&u.log_extra_fields, "MOORED_NAMESPACE=%s", c->row.ns);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_CONTAINER=%s", c->row.id);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_IMAGE=%s", c->row.image);
        if (r >= 0)
                r = strv_extend_strv(&u.properties, c->options.properties);
        if (r >= 0 && c->options.devices)
                r = add_devices(c, &u.properties);
        if (r < 0)
                return r;
        u.kill_signal = c->work->process.stop_signal;
        u.timeout_stop_usec = container_stop_timeout(c);
        u.timeout_start_usec = CONTAINER_START_TIMEOUT_USEC;

        *ret = u;
        u = (UnitSpec){ .stdio = CONTAINER_STDIO_NULL };
        return 0;
}

static int stdio_copy(ContainerStdio *dst, const ContainerStdio *src) {
        const int from[] = { src->in, src->out, src->err, src->terminal };
        int *to[] = { &dst->in, &dst->out, &dst->err, &dst->terminal };

        for (size_t i = 0; i < ELEMENTSOF(from); i++) {
                if (from[i] < 0)
                        continue;
                *to[i] = fd_dup(from[i]);
                if (*to[i] < 0) {
                        int r = *to[i];

                        container_stdio_close(dst);
                        return r;
                }
        }

        return 0;
}

void container_start_failed(Container *c, const Error *error) {
        Waiter *waiters = waiters_take(&c->work->waiters, WAITER_START);
        bool gone = false;

        c->work->start_pending = c->work->start_waits = false;
        c->work->stop_requested = c->work->restart = false;
        c->work->stop_timer = sd_event_source_disable_unref(c->work->stop_timer);
        container_stdio_close(&c->work->stdio);
        container_scope_done(c);
        container_close_input(c);
        container_network_set_down(c);
        c->leader_pid = 0;
        container_release_unit(c);

        if (c->work->run || c->work->remove) {
                _cleanup_error_ Error e = ERROR_NULL;

                gone = container_drop(c, &e) >= 0;
                if (!gone)
                        log_warning("%s", error_message(&e));
        }
        if (!gone) {
                container_set_state(c, idle_state(c));
                container_answer(c, WAITER_ENDED, NULL);
        }
        waiters_call(waiters, gone ? NULL : c, error);
}

void container_started(Container *c, const UnitStatus *status) {
        if (!container_repeats(c))
                container_record_start(c, status);
        else if (!container_take_runs(c, status->invocation_id)) /* it may be on its next run already */
                container_add_run(c, status);
        if (c->work->stop_requested || c->work->remove)
                (void) container_stop(c, c->work->stop_timeout_usec, NULL, NULL, NULL);
}

static void on_started(int r, const UnitStatus *status, const Error *error, void *userdata) {
        Container *c = userdata;

        c->work->start_pending = false;
        if (r == -ECANCELED) { /* moored is ending: the next one finds out */
                container_answer(c, WAITER_START, error);
                return;
        }
        if (status && status->loaded && hashmap_replace(c->manager->units, c->unit, UNIT_THERE) < 0)
                (void) log_oom();
        if (r < 0) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (!error_is_set(error))
                        (void) error_set_errno(&e, r, "Failed to start unit %s: %m", c->unit);
                container_start_failed(c, error_is_set(error) ? error : &e);
                return;
        }

        if (c->options.scope)
                container_scope_started(c, status);
        else
                container_started(c, status);
        container_health_unit_started(c);
        container_answer(c, WAITER_START, NULL);
}

static int launch(Container *c, const ContainerStdio *stdio, Error *reterr_error) {
        _cleanup_(unit_spec_done) UnitSpec u = { .stdio = CONTAINER_STDIO_NULL };
        _cleanup_close_ int input = -EBADF;
        ContainerManager *m = c->manager;
        int r;

        r = build_unit_spec(c, stdio, &u);
        if (r < 0)
                return r;
        r = container_names_start(c, &u.after);
        if (r >= 0)
                r = container_open_input(c, stdio, &input, reterr_error);
        if (r < 0)
                return r;
        if (input >= 0)
                u.stdio.in = input;
        container_begin_runs(c);
        r = m->backend->start(m->backend_userdata, &u, on_started, c);
        if (r < 0) {
                container_close_input(c);
                return error_set_errno(reterr_error, r, "Failed to ask systemd for unit %s: %m", c->unit);
        }

        c->work->start_pending = true;
        container_network_set_up(c);
        return 0;
}

/* What ends is the start of whichever container the unit has by then: see container_replace(). */
/* What ends is the start of whichever container the unit has by then: see container_replace(). */
static void on_installed_started(int r, const UnitStatus *status, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c = unit_request_find(q);

        if (c && c->work->start_pending)
                on_started(r, status, error, c);
}

static int start_installed(Container *c, Error *reterr_error) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;
        int r;

        q = unit_request_new(m, c->unit, &(UnitRequest){});
        if (!q)
                return -ENOMEM;
        r = m->backend->start_installed(m->backend_userdata, c->unit, on_installed_started, q);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to ask systemd for unit %s: %m", c->unit);

        (void) TAKE_PTR(q);
        c->work->start_pending = true;
        container_set_state(c, CONTAINER_STARTING);
        return 0;
}

/* What may have changed since the bundle was written, which for a container that has just been made is no time ago:
 * sources and layers may be gone, the host's resolver be another one, the numbers of devices others, the runtime be
 * somewhere else. */
static int look_again(Container *c, Error *reterr_error) {
        _cleanup_(snapshot_mount_done) SnapshotMount mount = {};
        ContainerManager *m = c->manager;
        int r;

        if (c->work->run)
                return 0;
        r = container_options_check_sources(&c->options, reterr_error);
        if (r >= 0)
                r = snapshot_get_mount(m->snapshots, c->row.snapshot, &mount, reterr_error);
        if (r >= 0 && (container_network_mode(&c->options, NULL) != NETWORK_MODE_NONE || c->options.devices || c->options.runtime ||
                       !bundle_exists(m->containers_fd, c->row.ns, c->row.id)))
                r = container_write_bundle(c, reterr_error);
        return r;
}

/* Everything but the waiter: for a start, a restart, and what had to wait. */
static int begin_start(Container *c, const ContainerStdio *stdio, Error *reterr_error) {
        ContainerManager *m = c->manager;
        int r;

        if (!m->backend)
                return error_set(reterr_error, -ENOTCONN, "Failed", "There is no connection to systemd.");
        if (c->options.unit) /* which has the container made anew */
                return start_installed(c, reterr_error);
        r = look_again(c, reterr_error);
        if (r < 0)
                return r;

        if (hashmap_get(m->units, c->unit)) {
                r = stdio_copy(&c->work->stdio, stdio);
                if (r < 0)
                        return r;
                c->work->released = false; /* once more: nothing else would ever take it away */
                container_release_unit(c);
                c->work->start_pending = c->work->start_waits = true;
        } else {
                r = launch(c, stdio, reterr_error);
                if (r < 0)
                        return r;
        }

        container_set_state(c, CONTAINER_STARTING);
        return 0;
}

void container_unit_gone(Container *c) {
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        c->work->released = false;
        if (c->work->remove && c->state == CONTAINER_EXITED)
                container_schedule_drop(c);
        if (!c->work->start_waits)
                return;

        c->work->start_waits = c->work->start_pending = false;
        r = launch(c, &c->work->stdio, &error);
        if (r < 0) {
                if (!error_is_set(&error))
                        (void) error_set_errno(&error, r, "Failed to start container %s: %m", c->row.id);
                container_start_failed(c, &error);
                return;
        }
        container_stdio_close(&c->work->stdio);
}

static int check_startable(Container *c, Error *reterr_error) {
        if (c->manager->recovering)
                return error_set(reterr_error, -EBUSY, "Busy", "moored is still starting; try again.");
        if (c->work->remove)
                return error_set(reterr_error, -ENOENT, "NoSuchContainer", "Container %s is being removed.",
                                 c->row.id);
        if ((c->state != CONTAINER_CREATED && c->state != CONTAINER_EXITED) || c->work->start_pending)
                return error_set(reterr_error, -EALREADY, "AlreadyRunning", "Container %s is %s already.",
                                 c->row.id, container_state_to_string(c->state));
        return container_check_scope_start(c, reterr_error);
}

int container_start(Container *c, const ContainerStdio *stdio, ContainerFunc func, void *userdata,
                    Error *reterr_error) {
        const ContainerStdio none = CONTAINER_STDIO_NULL;
        Waiter *waiters;
        int r;

        r = check_startable(c, reterr_error);
        if (r < 0)
                return r;
        r = container_add_waiter(c, WAITER_START, func, userdata);
        if (r < 0)
                return r;
        r = begin_start(c, stdio ?: &none, reterr_error);
        if (r < 0) {
                /* It is told by the result, not by a call. */
                waiters = waiters_take(&c->work->waiters, WAITER_START);
                free(waiters);
                return error_is_set(reterr_error)
                                       ? r
                                       : error_set_errno(reterr_error, r, "Failed to start container %s: %m",
                                                         c->row.id);
        }

        return 0;
}

/* -- the end ------------------------------------------------------------------------------------ */

/* An end that nobody saw. */
static void container_log_end(Container *c) {
        const char *result = strempty(c->row.result);
        FoundKind kind = streq(result, "lost") ? FOUND_LOST : streq(result, "reboot") ? FOUND_REBOOT : FOUND_ENDED;

        c->manager->found[kind]++;
        log_info("Container %s in namespace %s ended meanwhile (%s, exit code %" PRIi32 ").", c->row.id, c->row.ns, result,
                 c->row.exit_code);
}

int container_record_end(Container *c, const UnitStatus *status, const char *result) {
        int r;

        take_exit_data(c, status, result);
        c->leader_pid = 0;
        (void) free_and_strdup(&c->control_group, NULL);
        strv_free(c->live_limits);
        c->live_limits = NULL;
        if (c->manager->watch)
                cgroup_watch_drop(c->manager->watch, c);
        if (c->manager->recovering)
                container_log_end(c);
        r = container_record(c, record_exited_event);
        if (!c->row.auto_remove) {
                int k = container_write_record(c);

                if (k < 0)
                        log_debug_errno(k, "Failed to write the record of container %s, ignoring: %m",
                                        c->row.id);
        }
        return r;
}

void container_ended(Container *c, int recorded) {
        const ContainerStdio none = CONTAINER_STDIO_NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        bool restart = c->work->restart && !c->work->remove;
        int r;

        container_close_input(c);
        container_network_set_down(c);
        c->work->stop_timer = sd_event_source_disable_unref(c->work->stop_timer);
        if (container_repeats(c))
                container_settle_runs(c);
        c->work->stop_requested = c->work->restart = false;
        if (c->row.auto_remove && !restart)
                c->work->remove = true;
        container_set_state(c, CONTAINER_EXITED);

        /* Without a record PID 1 is the only one who knows: it keeps the unit until the name is wanted
         * again. */
        if (recorded >= 0)
                container_release_unit(c);
        if (c->work->remove)
                container_schedule_drop(c);
        container_answer(c, WAITER_ENDED, NULL);

        if (restart) {
                r = begin_start(c, &none, &error);
                if (r < 0) {
                        if (!error_is_set(&error))
                                (void) error_set_errno(&error, r, "Failed to start container %s: %m",
                                                       c->row.id);
                        container_start_failed(c, &error);
                }
        }
}

void container_record_exit(Container *c, const UnitStatus *status, const char *result) {
        if (!container_oom_delay_exit(c, status, result))
                container_ended(c, container_record_end(c, status, result));
}
