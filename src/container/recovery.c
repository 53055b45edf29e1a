/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a unit says, and what is made of it: in normal operation, and after the daemon was away.
 *
 * The daemon may die at any instruction. What it finds when it comes back:
 *
 *   row            unit                     made of it
 *   never started  none                     created; gone if it was to remove itself and a start under way
 *   any            active, new invocation   started, and we died before that was recorded: adopted
 *   any            activating               starting; the unit will say more
 *   any            failed, never active     the start failed: as if it had not been tried
 *   running        active                   running
 *   running        ended                    its exit is taken from the unit, then the unit is released
 *   running        none                     ended: "lost" (someone took the unit away) or "reboot"
 *   ended          ended, same invocation   we died before the release: released now
 *   none           ours                     stopped and released: it was being removed
 *
 * Of execs the same is true, but that none is started again, and that one which never started is dropped (exec.c).
 *
 * The invocation id, which PID 1 makes anew for each start of a unit, tells whether row and unit speak of
 * the same run. */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/spec.h"
#include "container/unit-name.h"

#define STATUS_NOT_HEALTHY "NotHealthy:" /* of runtime/launch.c */

static UnitPhase unit_phase(const UnitStatus *u) {
        const char *active = strempty(u->active_state), *sub = strempty(u->sub_state);

        if (!u->loaded)
                return UNIT_GONE;
        if (streq(active, "active"))
                return streq(sub, "exited") ? UNIT_ENDED : UNIT_RUNNING;
        if (streq(active, "activating"))
                return startswith(sub, "auto-restart") ? UNIT_BETWEEN : UNIT_STARTING;
        /* With a job it is only passing through, on its way from "auto-restart" to the next start, say. */
        if (streq(active, "failed") || streq(active, "inactive"))
                return u->job == 0 ? UNIT_ENDED : UNIT_BETWEEN;
        if (streq(active, "reloading") || streq(active, "refreshing"))
                return UNIT_RUNNING;

        return UNIT_BETWEEN;
}

static bool same_invocation(const Container *c, const UnitStatus *u) {
        return u->invocation_id && streq_ptr(c->row.invocation_id, u->invocation_id);
}

/* In its last start: a unit that is installed remembers those before. */
static bool was_active(const UnitStatus *u) {
        return u->active_enter_usec > 0 && u->active_enter_usec >= u->inactive_exit_usec;
}

static void found(ContainerManager *m, FoundKind kind) {
        if (m->recovering)
                m->found[kind]++;
}

static void start_failed_unwatched(Container *c, const UnitStatus *u) {
        _cleanup_error_ Error e = ERROR_NULL;

        (void) error_set(&e, -EIO, "Failed", "Container %s did not start%s%s.", c->row.id,
                         isempty(u->status_text) ? "" : ": ", strempty(u->status_text));
        log_info("%s", error_message(&e));
        found(c->manager, FOUND_UNDONE);
        container_start_failed(c, &e);
}

const char *container_lost_result(const Container *c) {
        return streq_ptr(c->row.boot_id, c->manager->boot_id) ? "lost" : "reboot";
}

/* The launcher says so when its place has been taken by the container's process; of one that PID 1 starts again it
 * has perhaps written down the start already. */
void container_unit_waits(ContainerManager *m, const char *unit, const UnitStatus *status) {
        Container *c = container_find_by_unit(m, unit);

        if (!c || !c->work->process.ready_when_healthy || c->work->start_waits || status->main_pid == 0 ||
            !status->status_text || !startswith(status->status_text, STATUS_NOT_HEALTHY) ||
            (c->state != CONTAINER_STARTING && c->state != CONTAINER_RESTARTING && c->state != CONTAINER_RUNNING))
                return;

        c->leader_pid = status->main_pid;
        container_take_control_group(c, status);
        container_health_begin_start(c, status->invocation_id);
}

static void unit_started(ContainerManager *m, const char *unit) {
        Container *c = container_find_by_unit(m, unit);

        if (c)
                container_health_unit_started(c);
}

/* Created, exited, or starting by the hand of a daemon that is no more. */
static void idle_unit_changed(Container *c, const UnitStatus *u, UnitPhase phase) {
        switch (phase) {

        case UNIT_RUNNING:
                found(c->manager, FOUND_ADOPTED);
                log_debug("Adopting container %s, which runs.", c->row.id);
                container_started(c, u);
                break;

        case UNIT_STARTING:
                if (c->state != CONTAINER_STARTING)
                        container_set_state(c, CONTAINER_STARTING);
                break;

        case UNIT_ENDED:
                if (same_invocation(c, u) && c->row.finished_usec > 0)
                        container_release_unit(c);
                else if (!was_active(u)) {
                        if (c->state == CONTAINER_STARTING || (c->manager->recovering && c->work->run))
                                start_failed_unwatched(c, u);
                        else
                                container_release_unit(c);
                } else if (!c->options.unit || u->exec_main_start_usec >= c->row.created_usec) {
                        /* Not a run before this container was made. */
                        container_record_start(c, u);
                        container_record_exit(c, u, u->result);
                }
                break;

        case UNIT_GONE:
                if (c->state == CONTAINER_STARTING)
                        start_failed_unwatched(c, u);
                break;

        case UNIT_BETWEEN:
                break;
        }
}

/* A unit with Restart= shows "failed" for a moment before it shows "auto-restart". Where each run is a container of
 * its own, that is an end all the same. */
static bool end_is_confirmed(Container *c) {
        ContainerManager *m = c->manager;

        if (c->options.unit)
                return true;
        if (!container_restarts(c) || c->state == CONTAINER_STOPPING || c->work->confirming || !m->backend)
                return true;

        c->work->confirming = m->backend->refresh(m->backend_userdata, c->unit) >= 0;
        return !c->work->confirming;
}

/* It ran when the last daemon ended, and does so still. */
static void adopt(Container *c, const UnitStatus *u) {
        container_take_control_group(c, u);
        container_take_frozen(c, true);
        if (c->manager->watch)
                cgroup_watch_schedule(c->manager->watch);
}

/* The run that is known. */
static void goes_on(Container *c, const UnitStatus *u) {
        if (!c->control_group)
                adopt(c, u);
        if (c->leader_pid != u->main_pid) {
                c->leader_pid = u->main_pid;
                container_set_state(c, c->state);
        }
}

/* PID 1 has forgotten the run; its unit may have written down how it ended. */
static void ended_unseen(Container *c) {
        if (c->options.unit)
                container_take_unit_runs(c);
        if (container_is_alive(c))
                container_record_exit(c, NULL, container_lost_result(c));
}

static void running_unit_changed(Container *c, const UnitStatus *u, UnitPhase phase) {
        if (phase == UNIT_ENDED && !end_is_confirmed(c))
                return;
        c->work->confirming = false;

        switch (phase) {

        case UNIT_RUNNING:
                if (u->invocation_id && !same_invocation(c, u)) { /* Restart= of the user's */
                        container_started(c, u);
                        break;
                }
                goes_on(c, u);
                break;

        case UNIT_ENDED:
                if (c->options.unit && !same_invocation(c, u))
                        ended_unseen(c);
                else
                        container_record_exit(c, u, u->result);
                break;

        case UNIT_GONE:
                /* The last that was heard of it may have been its end. */
                if (u->exec_main_code != 0 && same_invocation(c, u))
                        container_record_exit(c, u, u->result);
                else
                        ended_unseen(c);
                break;

        case UNIT_STARTING:
                if (c->options.unit && u->invocation_id && !same_invocation(c, u)) {
                        ended_unseen(c);
                        container_set_state(c, CONTAINER_STARTING);
                }
                break;

        case UNIT_BETWEEN:
                /* The next run is another container. */
                if (c->options.unit && same_invocation(c, u) && startswith(strempty(u->sub_state), "auto-restart"))
                        container_record_exit(c, u, u->result);
                break;
        }
}

/* A run that the log of runs says nothing of. */
static bool is_new_run(const Container *c, const UnitStatus *u) {
        return u->invocation_id && !same_invocation(c, u) && u->exec_main_start_usec >= c->row.started_usec;
}

static bool is_live(const Container *c) {
        return c->state != CONTAINER_CREATED && c->state != CONTAINER_STARTING && c->state != CONTAINER_EXITED;
}

/* Of a container that PID 1 starts again. What happened is in the log of its runs, which may be ahead of what PID
 * 1 has told so far; the unit says whether it goes on. */
static void repeating_unit_changed(Container *c, const UnitStatus *u, UnitPhase phase) {
        bool repeats = phase == UNIT_BETWEEN && startswith(strempty(u->sub_state), "auto-restart");
        bool known = container_take_runs(c, u->invocation_id);
        int recorded = 0;

        if (!is_live(c)) {
                if (phase == UNIT_STARTING || repeats) {
                        if (u->active_enter_usec > 0) {
                                container_set_state(c, CONTAINER_RESTARTING);
                                container_limit_runs(c);
                        } else if (repeats) /* the first start is not tried twice */
                                start_failed_unwatched(c, u);
                        else if (c->state != CONTAINER_STARTING)
                                container_set_state(c, CONTAINER_STARTING);
                } else if (phase != UNIT_RUNNING)
                        idle_unit_changed(c, u, phase);
                else if (!known && is_new_run(c, u))
                        container_add_run(c, u);
                return;
        }
        if (phase == UNIT_ENDED && !end_is_confirmed(c))
                return;
        c->work->confirming = false;

        switch (phase) {

        case UNIT_RUNNING:
                if (!known && is_new_run(c, u))
                        container_add_run(c, u);
                else if (same_invocation(c, u) && c->row.finished_usec == 0) {
                        goes_on(c, u);
                        container_watch_run(c);
                }
                break;

        case UNIT_STARTING:
        case UNIT_BETWEEN:
                if (c->row.finished_usec > 0 && c->state != CONTAINER_STOPPING && c->state != CONTAINER_RESTARTING)
                        container_set_state(c, CONTAINER_RESTARTING);
                if (repeats)
                        container_limit_runs(c);
                break;

        case UNIT_ENDED:
        case UNIT_GONE:
                if (c->row.finished_usec == 0) {
                        bool told = u->exec_main_code != 0 && same_invocation(c, u);

                        recorded = container_record_end(c, told ? u : NULL,
                                                        told ? u->result : container_lost_result(c));
                }
                container_ended(c, recorded);
                break;
        }
}

bool unit_release(ContainerManager *m, const char *unit) {
        if (!m->backend || m->backend->release(m->backend_userdata, unit) < 0)
                return false;
        /* Until it is gone PID 1 tells some changes more. */
        if (hashmap_get(m->units, unit) && hashmap_replace(m->units, unit, UNIT_RELEASED) < 0)
                (void) log_oom();
        return true;
}

void container_unit_kept(ContainerManager *m, const char *unit) {
        if (hashmap_get(m->units, unit) && hashmap_replace(m->units, unit, UNIT_THERE) < 0)
                (void) log_oom();
}

/* Nobody else makes units of such names that run our launcher. */
static void orphan_unit_changed(ContainerManager *m, const char *unit, const UnitStatus *u,
                                UnitPhase phase) {
        if (!m->backend || (!u->launcher && !endswith(unit, ".scope")) || unit_is_plugin_run(unit) || m->unreadable ||
            phase == UNIT_GONE || phase == UNIT_BETWEEN)
                return;
        if (hashmap_get(m->units, unit) == UNIT_RELEASED && phase == UNIT_ENDED)
                return;
        /* One that is about to ask for its container, or what its owner wants to see. */
        if (unit_is_installed(unit) && phase != UNIT_RUNNING)
                return;

        found(m, FOUND_ORPHANS);
        if (phase == UNIT_ENDED)
                (void) unit_release(m, unit);
        else {
                log_warning("Unit %s belongs to no container that is known, stopping it.", unit);
                (void) m->backend->stop(m->backend_userdata, unit, unit_request_ignore,
                                        (void *) "stop a unit without a record");
        }
}

void container_unit_changed(ContainerManager *m, const char *unit, const UnitStatus *status) {
        UnitPhase phase = unit_phase(status);
        Container *c;
        Exec *e;

        if (phase == UNIT_GONE)
                (void) hashmap_remove(m->units, unit);
        else if (!hashmap_get(m->units, unit) && hashmap_put(m->units, unit, UNIT_THERE) < 0)
                (void) log_oom();

        e = hashmap_get(m->execs, unit);
        if (e) {
                exec_unit_changed(e, status, phase);
                return;
        }
        c = container_find_by_unit(m, unit);
        if (!c) {
                orphan_unit_changed(m, unit, status, phase);
                return;
        }

        if (c->work->start_waits) {
                /* The last run's unit: it only has to go. */
                if (phase == UNIT_ENDED)
                        container_release_unit(c);
        } else if (c->work->start_pending)
                return;
        else if (c->options.scope)
                container_scope_changed(c, status, phase);
        else if (container_repeats(c))
                repeating_unit_changed(c, status, phase);
        else if (container_is_alive(c))
                running_unit_changed(c, status, phase);
        else
                idle_unit_changed(c, status, phase);

        if (phase == UNIT_STARTING)
                container_unit_waits(m, unit, status);
        else if (phase == UNIT_RUNNING)
                unit_started(m, unit);
        else if (phase == UNIT_GONE) {
                c = container_find_by_unit(m, unit);
                if (c)
                        container_unit_gone(c);
        }
}

/* -- at the start of the daemon ----------------------------------------------------------------- */

static int load_row(ContainerRow *row, void *userdata) {
        _cleanup_(container_options_done) ContainerOptions options = { .stop_timeout_usec = UINT64_MAX };
        _cleanup_(container_process_done) ContainerProcess process = {};
        _cleanup_(container_freep) Container *c = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        ContainerManager *m = userdata;
        int r;

        r = container_options_from_json(strempty(row->options), &options, &process, &error);
        if (r >= 0)
                r = container_new(m, row, &options, &process, &c, &error);
        if (r < 0) {
                /* One unreadable record must not keep the others from their owners. */
                log_warning("The record of container %s in namespace %s cannot be read, ignoring it: %s",
                            row->id, row->ns, error_is_set(&error) ? error_message(&error) : strerror(-r));
                m->unreadable = true;
                return r == -ENOMEM ? r : 0;
        }
        *row = (ContainerRow){};
        options = (ContainerOptions){};
        process = (ContainerProcess){};
        c->work->announced = true;
        /* A boot id without a start says that container_run() was at it. */
        c->work->run = c->state == CONTAINER_CREATED && c->row.boot_id;

        r = container_link(c);
        if (r < 0)
                return r;
        (void) TAKE_PTR(c);
        return 0;
}

int container_manager_load(ContainerManager *m, Error *reterr_error) {
        int r;

        m->recovering = true;
        r = store_container_foreach(m->store, NULL, load_row, m);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to read the records of containers: %m");
        r = execs_load(m);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to read the records of execs: %m");

        return 0;
}

/* Of a container whose unit is gone. */
static void recover_runs(Container *c) {
        int recorded = 0;

        (void) container_take_runs(c, NULL);
        if (is_live(c)) {
                if (c->row.finished_usec == 0)
                        recorded = container_record_end(c, NULL, container_lost_result(c));
                container_ended(c, recorded);
        } else if (c->state == CONTAINER_EXITED)
                container_settle_runs(c); /* we died before that */
}

bool unit_last_words(ContainerManager *m, const char *unit, const char *boot_id, const char *invocation_id,
                     UnitStatus *ret) {
        int r = -ENODATA;

        if (m->backend && m->backend->last_words && streq_ptr(boot_id, m->boot_id))
                r = m->backend->last_words(m->backend_userdata, unit, invocation_id, ret);
        if (r < 0 && r != -ENODATA)
                log_debug_errno(r, "Failed to look for the end of unit %s in the journal, ignoring: %m", unit);
        return r >= 0;
}

/* Somebody has stopped the unit, or the host went down. */
static void recover_end(Container *c) {
        _cleanup_(unit_status_done) UnitStatus u = {};
        bool known = container_last_words(c, &u) ||
                     unit_last_words(c->manager, c->unit, c->row.boot_id, c->row.invocation_id, &u);

        container_record_exit(c, known ? &u : NULL, known ? u.result : container_lost_result(c));
}

static void recover_container(Container *c) {
        bool unit = hashmap_get(c->manager->units, c->unit);

        if (container_logs_runs(c) && !unit)
                recover_runs(c);
        if (c->options.unit && !unit) /* it may have been started, too, behind the last daemon's back */
                container_take_unit_runs(c);
        if (container_is_alive(c) && !unit)
                recover_end(c);

        if (c->state == CONTAINER_EXITED && c->row.auto_remove)
                c->work->remove = true;
        else if (c->state == CONTAINER_CREATED && c->row.auto_remove && c->work->run)
                c->work->remove = true;
        else if (c->state == CONTAINER_CREATED)
                c->work->run = false; /* it stays, and is an ordinary container from now on */
        if (c->work->remove) {
                found(c->manager, FOUND_REMOVED);
                container_schedule_drop(c);
        } else if (container_is_alive(c))
                found(c->manager, FOUND_RUNNING);
}

/* What was found, in one sentence; nothing, if nothing was. */
static void log_found(ContainerManager *m) {
        static const char *const texts[_FOUND_KIND_MAX] = {
                [FOUND_RUNNING] = "containers running",
                [FOUND_ADOPTED] = "started without a record of it",
                [FOUND_ENDED] = "ended meanwhile",
                [FOUND_REBOOT] = "ended by a reboot",
                [FOUND_LOST] = "ended nobody knows how",
                [FOUND_RUNS] = "restarted by policy",
                [FOUND_UNDONE] = "starts undone",
                [FOUND_REMOVED] = "removals finished",
                [FOUND_ORPHANS] = "units of no container",
                [FOUND_REMAINS] = "directories and layers of no container",
        };
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *text = NULL;
        bool news = false;

        for (FoundKind k = 0; k < _FOUND_KIND_MAX; k++)
                if (m->found[k] > 0) {
                        news = news || k != FOUND_RUNNING;
                        if (strv_extendf(&parts, "%s: %u", texts[k], m->found[k]) < 0)
                                return;
                }
        if (!parts)
                return;
        text = strv_join(parts, ", ");
        log_full_errno(news ? LOG_NOTICE : LOG_INFO, 0, "What was found: %s.", strempty(text));
}

static void drop_bundle(const char *ns, const char *id, void *userdata) {
        ContainerManager *m = userdata;

        if (!container_find(m, ns, id, NULL)) {
                log_debug("Removing the bundle of %s/%s, which is no container.", ns, id);
                m->found[FOUND_REMAINS]++;
                (void) bundle_remove(m->containers_fd, ns, id);
        }
}

typedef struct StraySnapshots {
        ContainerManager *manager;
        uint64_t *ids;
        size_t n;
} StraySnapshots;

static int collect_stray_snapshot(const SnapshotRow *row, void *userdata) {
        StraySnapshots *s = userdata;
        uint64_t *ids;
        Container *c;

        if (row->kind != SNAPSHOT_WRITABLE)
                return 0;
        HASHMAP_FOREACH(c, s->manager->containers)
                if (c->row.snapshot == row->id)
                        return 0;

        ids = reallocarray(s->ids, s->n + 1, sizeof(*ids));
        if (!ids)
                return -ENOMEM;
        s->ids = ids;
        s->ids[s->n++] = row->id;
        return 0;
}

static int drop_stray_snapshots(ContainerManager *m) {
        StraySnapshots s = { .manager = m };
        int r;

        r = store_snapshot_foreach(m->store, collect_stray_snapshot, &s);
        m->found[FOUND_REMAINS] += (unsigned) s.n;
        for (size_t i = 0; r >= 0 && i < s.n; i++)
                r = snapshot_remove(m->snapshots, s.ids[i]);
        if (s.n > 0)
                image_schedule_trash(m->images);
        free(s.ids);
        return r;
}

/* What the first container will most likely want, and every other. */
static void prepare_defaults(ContainerManager *m) {
        static const ContainerOptions none = {};
        uint64_t capabilities;

        if (container_capabilities_resolve(&none, m->capabilities, &capabilities, NULL) >= 0)
                seccomp_store_prepare(m->seccomp, capabilities);
}

int container_manager_recovered(ContainerManager *m) {
        Container *c;
        int r;

        HASHMAP_FOREACH(c, m->containers)
                recover_container(c);
        execs_recovered(m);
        m->recovering = false;
        container_inputs_recovered(m);
        container_networks_recovered(m);

        HASHMAP_FOREACH(c, m->containers)
                container_health_recovered(c);
        prepare_defaults(m);
        if (!m->unreadable) {
                r = bundle_foreach(m->containers_fd, drop_bundle, m);
                if (r < 0)
                        log_debug_errno(r, "Failed to look through the bundles, ignoring: %m");
                r = drop_stray_snapshots(m);
                if (r < 0)
                        return r;
        }

        log_found(m);
        container_start_wanted(m);
        return 0;
}
