/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containers whose unit is installed: moored@ID.service, a template's instance that its owner enables,
 * starts and stops by systemctl. Here the unit is first:
 *
 *   start job ─▶ ExecStartPre=moorctl unit prepare ID ─▶ CreateContainer(Unit=…): record, snapshot,
 *   bundle; from then on the unit is followed ─▶ ExecStart=mooring launch BUNDLE ─▶ as any other
 *
 * Each run is a container of its own, made from what the file says by then; the one of the last run stays,
 * with its exit code, until the next. Whether the unit is kept, started again or looked at is not moored's
 * business: it is never released. Container.Start() is StartUnit, Container.Stop() StopUnit.
 *
 * Limits that the file has are set at the unit, until the host is booted again. As PID 1 would keep those
 * that are no longer in the file, what the unit had before is kept, and given back to it. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container-private.h"
#include "container/unit-limits.h"
#include "container/unit-name.h"

#define TEMPLATE_NAMESPACE "default" /* the template says where the bundle is */

int container_check_unit(const char *ns, const char *id, const ContainerOptions *o, Error *reterr_error) {
        _cleanup_free_ char *unit = container_template_unit_name(strempty(id));

        if (!unit)
                return -ENOMEM;
        if (!streq(ns, TEMPLATE_NAMESPACE))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Unit: containers of units are in namespace \"" TEMPLATE_NAMESPACE "\".");
        if (!streq(o->unit, unit))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Unit: the unit of container \"%s\" is %s, not \"%.300s\".", strempty(id),
                                 unit, o->unit);
        const struct {
                bool given;
                const char *option, *why;
        } refused[] = {
                { o->auto_remove, "AutoRemove", "a unit's container stays until the unit's next start" },
                { o->restart && !streq(o->restart, "no"), "Restart", "say Restart= in a drop-in of the unit" },
                { o->log && !streq(o->log, "journal"), "Log", "say StandardOutput= in a drop-in of the unit" },
                { o->terminal, "Terminal", "say StandardInput= in a drop-in of the unit" },
                { o->open_stdin, "OpenStandardInput", "say StandardInput= in a drop-in of the unit" },
                { o->devices, "Devices", "the container of a unit has none of the host's" },
        };
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                if (refused[i].given)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s cannot be said together with Unit: %s.", refused[i].option,
                                         refused[i].why);
        STRV_FOREACH(p, o->properties) {
                const Limit *l = limit_find(p);

                if (!l || limit_is_list(l))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Properties: %.*s= is said in a drop-in of %s.",
                                         (int) strcspn(p, "="), p, unit);
        }
        return 0;
}

int container_check_replaceable(Container *old, const char *unit, Error *reterr_error) {
        ContainerManager *m = old->manager;

        if (!streq_ptr(old->options.unit, unit))
                return error_set(reterr_error, -EEXIST, "ContainerExists",
                                 "There is a container \"%s\" that does not belong to %s: remove it "
                                 "(moorctl rm %s), or name the unit otherwise.",
                                 old->row.id, unit, old->row.id);
        if (old->work->remove)
                return error_set(reterr_error, -EBUSY, "ContainerRunning", "Container %s is being removed.",
                                 old->row.id);
        if (container_is_alive(old))
                container_take_unit_runs(old);
        if (!container_is_alive(old))
                return 0;

        if (m->backend)
                (void) m->backend->refresh(m->backend_userdata, old->unit);
        return error_set(reterr_error, -EBUSY, "ContainerRunning", "Container %s is %s.", old->row.id,
                         container_state_to_string(old->state));
}

int container_replace(Container *c, Error *reterr_error) {
        Container *old = container_find(c->manager, c->row.ns, c->row.id, NULL);
        _cleanup_strv_free_ char **limits = NULL;
        Waiter *waiters;
        bool pending;
        int r;

        if (!old)
                return 0;
        limits = strv_copy(old->options.unit_limits);
        if (old->options.unit_limits && !limits)
                return -ENOMEM;
        waiters = waiters_take(&old->work->waiters, WAITER_ALL);
        pending = old->work->start_pending;
        old->work->start_pending = false;
        r = container_drop(old, reterr_error);
        if (r < 0) {
                old->work->waiters = waiters;
                old->work->start_pending = pending;
                return r;
        }

        c->options.unit_limits = TAKE_PTR(limits);
        c->work->waiters = waiters;
        c->work->start_pending = pending;
        if (pending)
                c->state = CONTAINER_STARTING;
        return 0;
}

void container_take_unit_runs(Container *c) {
        (void) container_take_runs(c, NULL);
        if (container_is_alive(c) && c->row.finished_usec > 0)
                container_ended(c, 0);
}

void container_follow_unit(Container *c) {
        ContainerManager *m = c->manager;

        if (c->options.unit && m->backend)
                (void) m->backend->follow(m->backend_userdata, c->unit);
}

/* -- limits ------------------------------------------------------------------------------------- */

static const char *find_same(char *const *l, const char *assignment) {
        STRV_FOREACH(s, l)
                if (limit_find(s) == limit_find(assignment))
                        return s;
        return NULL;
}

/* now: what the unit has. */
static int plan_limits(const Container *c, char *const *now, char ***ret_changes, char ***ret_before) {
        _cleanup_strv_free_ char **changes = NULL, **before = NULL;
        const ContainerOptions *o = &c->options;
        int r = 0;

        STRV_FOREACH(s, o->unit_limits)
                if (r >= 0 && !find_same(o->properties, s))
                        r = strv_extend(&changes, s);
        STRV_FOREACH(p, o->properties) {
                const char *was = find_same(o->unit_limits, p) ?: find_same(now, p);
                _cleanup_free_ char *text = NULL;

                if (r >= 0)
                        r = limit_canonical(p, &text);
                if (r >= 0)
                        r = limit_set(&changes, text);
                if (r >= 0 && was)
                        r = limit_set(&before, was);
        }
        if (r < 0)
                return r;

        *ret_changes = TAKE_PTR(changes);
        *ret_before = TAKE_PTR(before);
        return 0;
}

static int record_options(Container *c, Error *reterr_error) {
        _cleanup_free_ char *text = NULL, *old = c->row.options;
        int r;

        r = container_options_to_json(&c->options, &c->work->process, &text, reterr_error);
        if (r < 0)
                return r;
        c->row.options = text;
        r = store_container_update(c->manager->store, &c->row);
        if (r >= 0)
                r = container_write_record(c);
        if (r < 0) {
                c->row.options = TAKE_PTR(old);
                return error_set_errno(reterr_error, r, "Failed to record the limits of container %s: %m",
                                       c->row.id);
        }
        (void) TAKE_PTR(text);
        return 0;
}

static void on_limits_set(int r, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;

        q->container(unit_request_find(q), r < 0 ? error : NULL, q->userdata);
}

/* What the unit has had is recorded first: nobody could find it out afterwards. */
static int set_limits(Container *c, char *const *now, UnitRequest *q, Error *reterr_error) {
        _cleanup_strv_free_ char **changes = NULL, **before = NULL;
        ContainerManager *m = c->manager;
        int r;

        r = plan_limits(c, now, &changes, &before);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory.");
        strv_free(c->options.unit_limits);
        c->options.unit_limits = TAKE_PTR(before);
        r = record_options(c, reterr_error);
        if (r < 0)
                return r;
        r = m->backend ? m->backend->update(m->backend_userdata, c->unit, changes, on_limits_set, q)
                       : -ENOTCONN;
        return r < 0 ? error_set_errno(reterr_error, r, "Failed to ask systemd to change unit %s: %m",
                                       c->unit)
                     : 0;
}

static void on_limits_known(int r, char *const *limits, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c = unit_request_find(q);
        _cleanup_error_ Error error = ERROR_NULL;

        if (!c)
                r = error_set(&error, -ENOENT, "NoSuchContainer", "The container of %s is gone.", q->unit);
        else if (r < 0)
                (void) error_set_errno(&error, r, "Failed to read the limits of unit %s: %m", q->unit);
        else
                r = set_limits(c, limits, q, &error);
        if (r < 0)
                q->container(c, &error, q->userdata);
        else
                (void) TAKE_PTR(q);
}

int container_apply_unit_limits(Container *c, ContainerFunc func, void *userdata, Error *reterr_error) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;
        int r;

        if (!c->options.unit ||
            (strv_length(c->options.properties) == 0 && strv_length(c->options.unit_limits) == 0))
                return 0;
        q = unit_request_new(m, c->unit, &(UnitRequest){ .container = func, .userdata = userdata });
        if (!q)
                return -ENOMEM;
        r = m->backend ? m->backend->limits(m->backend_userdata, c->unit, on_limits_known, q) : -ENOTCONN;
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Failed to ask systemd for the limits of unit %s: %m", c->unit);

        (void) TAKE_PTR(q);
        return 1;
}
