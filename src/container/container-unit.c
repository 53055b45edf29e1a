/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containers whose unit is installed: moored@ID.service, a template's instance that its owner enables, starts and
 * stops by systemctl. Here the unit is first:
 *
 *   start job ─▶ ExecStartPre=moorctl unit prepare ID ─▶ CreateContainer(Unit=…): record, snapshot, bundle; from
 *   then on the unit is followed ─▶ ExecStart=mooring launch BUNDLE ─▶ as any other
 *
 * Each run is a container of its own, made from what the file says by then; the one of the last run stays, with
 * its exit code, until the next. Whether the unit is kept, started again or looked at is not moored's business: it
 * is never released. Container.Start() is StartUnit, Container.Stop() StopUnit. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container-private.h"
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
                                 "Unit: the unit of container \"%s\" is %s, not \"%.300s\".", strempty(id), unit,
                                 o->unit);
        if (o->auto_remove)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "AutoRemove: a unit's container stays until the unit's next start.");
        if (o->log && !streq(o->log, "journal"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Log: where a unit's output goes is said in a drop-in of %s, by StandardOutput=.", unit);
        return strv_length(o->properties) == 0
                               ? 0
                               : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                           "Properties: those of a unit are said in a drop-in of %s.", unit);
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
        if (old->state != CONTAINER_RUNNING && old->state != CONTAINER_STOPPING)
                return 0;

        if (m->backend)
                (void) m->backend->refresh(m->backend_userdata, old->unit);
        return error_set(reterr_error, -EBUSY, "ContainerRunning", "Container %s is %s.", old->row.id,
                         container_state_to_string(old->state));
}

int container_replace(Container *c, Error *reterr_error) {
        Container *old = container_find(c->manager, c->row.ns, c->row.id, NULL);
        Waiter *waiters;
        bool pending;
        int r;

        if (!old)
                return 0;
        waiters = container_take_waiters(old, WAITER_ALL);
        pending = old->work->start_pending;
        old->work->start_pending = false;
        r = container_drop(old, reterr_error);
        if (r < 0) {
                old->work->waiters = waiters;
                old->work->start_pending = pending;
                return r;
        }

        c->work->waiters = waiters;
        c->work->start_pending = pending;
        if (pending)
                c->state = CONTAINER_STARTING;
        return 0;
}

void container_follow_unit(Container *c) {
        ContainerManager *m = c->manager;

        if (c->options.unit && m->backend)
                (void) m->backend->follow(m->backend_userdata, c->unit);
}
