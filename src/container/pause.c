/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A paused container is a unit whose control group PID 1 has frozen. The kernel keeps that, so nothing of it
 * is recorded: a daemon that comes back reads it there (container_take_frozen()), and so does one that is
 * told by cgroup-watch.c that somebody else has frozen or thawed the unit.
 *
 * A frozen process gets no signal but SIGKILL, and PID 1 stops no frozen unit (257; 252 thaws it): who wants
 * to stop a paused container thaws it first. */

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "container/container-private.h"

/* State and event. */
static void set_paused(Container *c, bool paused) {
        int r;

        if (c->state != (paused ? CONTAINER_RUNNING : CONTAINER_PAUSED))
                return;

        r = events_record(c->manager->events, c->row.ns, paused ? "container/paused" : "container/resumed",
                          c->row.id, "Image", c->row.image, NULL);
        if (r < 0)
                log_warning_errno(r, "Failed to record an event of container %s, ignoring: %m", c->row.id);
        container_set_state(c, paused ? CONTAINER_PAUSED : CONTAINER_RUNNING);
}

void container_take_frozen(Container *c, bool adopted) {
        _cleanup_close_ int fd = c->control_group ? cgroup_open_group(c->control_group) : -EBADF;
        uint64_t frozen;

        if (fd < 0 || cgroup_read_key(fd, "cgroup.events", "frozen", &frozen) < 0)
                return;
        /* Whoever froze it while we were away may have been ourselves: that has been told. */
        if (adopted && frozen > 0 && c->state == CONTAINER_RUNNING)
                container_set_state(c, CONTAINER_PAUSED);
        else
                set_paused(c, frozen > 0);
}

static void on_done(int r, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c = unit_request_find(q);

        if (q->stop) {
                if (c && r != -ECANCELED)
                        container_stop_thawed(c);
                return;
        }
        if (r >= 0 && c)
                set_paused(c, q->pause);
        if (q->container)
                q->container(c, r < 0 ? error : NULL, q->userdata);
}

static int ask(Container *c, const UnitRequest *request, Error *reterr_error) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;
        int r;

        q = unit_request_new(m, c->unit, request);
        if (!q)
                return -ENOMEM;
        r = m->backend ? m->backend->freeze(m->backend_userdata, c->unit, q->pause, on_done, q) : -ENOTCONN;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to ask systemd to %s container %s: %m",
                                       q->pause ? "freeze" : "thaw", c->row.id);
        (void) TAKE_PTR(q);
        return 0;
}

int container_pause(Container *c, ContainerFunc func, void *userdata, Error *reterr_error) {
        const UnitRequest request = { .pause = true, .container = func, .userdata = userdata };

        if (c->state == CONTAINER_PAUSED)
                return error_set(reterr_error, -EALREADY, "AlreadyPaused", "Container %s is paused already.",
                                 c->row.id);
        if (c->state != CONTAINER_RUNNING)
                return error_set(reterr_error, -ESRCH, "NotRunning",
                                 "Container %s cannot be paused: it is %s.", c->row.id,
                                 container_state_to_string(c->state));
        return ask(c, &request, reterr_error);
}

int container_resume(Container *c, ContainerFunc func, void *userdata, Error *reterr_error) {
        const UnitRequest request = { .container = func, .userdata = userdata };

        if (c->state != CONTAINER_PAUSED)
                return error_set(reterr_error, -EINVAL, "NotPaused", "Container %s is not paused, it is %s.",
                                 c->row.id, container_state_to_string(c->state));
        return ask(c, &request, reterr_error);
}

int container_thaw_for_stop(Container *c, Error *reterr_error) {
        const UnitRequest request = { .stop = true };

        return ask(c, &request, reterr_error);
}
