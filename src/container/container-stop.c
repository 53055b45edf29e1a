/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping, and signals.
 *
 * A stop sends the stop signal to the main process and, when the time is up, SIGKILL; it does not stop the
 * unit. So the unit ends by itself, as any other (container-start.c), and its exit is not lost even if the daemon
 * dies in the middle of a stop. */

#include <signal.h>

#include "basic/string-util.h"
#include "container/container-private.h"
#include "container/system.h"

#define STOP_TIMER_MAX_USEC (UINT64_C(10) * 365 * 24 * 3600 * 1000000) /* what is longer is for ever */
#define STOP_TIMER_ACCURACY_USEC (UINT64_C(10) * 1000)

/* The container goes on as if it had not been asked. */
static void stop_failed(Container *c, const Error *error) {
        c->work->stop_timer = sd_event_source_disable_unref(c->work->stop_timer);
        c->work->stop_requested = c->work->restart = c->work->remove = false;
        if (c->state == CONTAINER_STOPPING)
                container_set_state(c, c->row.finished_usec > 0 ? CONTAINER_RESTARTING : CONTAINER_RUNNING);
        container_answer(c, WAITER_START | WAITER_STOP | WAITER_REMOVE, error);
}

static void on_killed(int r, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c;

        if (r == -ECANCELED && q->stop) /* moored is ending */
                return;
        c = unit_request_find(q);

        /* -ESRCH, -ENOENT: it has ended by itself, which the unit will tell. */
        if (q->stop && r < 0 && r != -ESRCH && r != -ENOENT && c && c->state == CONTAINER_STOPPING)
                stop_failed(c, error);
        if (q->container)
                q->container(c, r < 0 ? error : NULL, q->userdata);
}

/* signo 0: the unit is stopped instead. */
static int send_signal(Container *c, const char *whom, int signo, const UnitRequest *request,
                       Error *reterr_error) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;
        int r;

        q = unit_request_new(m, c->unit, request);
        if (!q)
                return -ENOMEM;

        if (c->options.scope && signo > 0 && c->leader_pid > 0 && (signo == SIGKILL || streq_ptr(whom, "main"))) {
                _cleanup_error_ Error error = ERROR_NULL;

                r = container_scope_kill(c, signo);
                if (r < 0)
                        (void) error_set_errno(&error, r, "The process of container %s cannot be signaled: %m",
                                               c->row.id);
                else if (signo == SIGKILL)
                        c->work->killed = true;
                on_killed(r, &error, TAKE_PTR(q));
                return 0;
        }

        if (!m->backend)
                r = -ENOTCONN;
        else if (signo == 0)
                r = m->backend->stop(m->backend_userdata, c->unit, on_killed, q);
        else
                r = m->backend->kill(m->backend_userdata, c->unit, whom, signo, on_killed, q);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Failed to ask systemd to send a signal to container %s: %m",
                                       c->row.id);

        if (signo == SIGKILL)
                c->work->killed = true;
        (void) TAKE_PTR(q);
        return 0;
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        const UnitRequest request = { .stop = true };
        _cleanup_error_ Error error = ERROR_NULL;
        Container *c = userdata;

        c->work->stop_timer = sd_event_source_disable_unref(c->work->stop_timer);
        if (send_signal(c, "all", SIGKILL, &request, &error) < 0)
                stop_failed(c, &error);
        return 0;
}

static int arm_stop_timer(Container *c, uint64_t timeout_usec) {
        c->work->stop_timer = sd_event_source_disable_unref(c->work->stop_timer);
        if (timeout_usec > STOP_TIMER_MAX_USEC)
                return 0;

        return sd_event_add_time_relative(c->manager->event, &c->work->stop_timer, CLOCK_MONOTONIC,
                                          timeout_usec, STOP_TIMER_ACCURACY_USEC, on_stop_timeout, c);
}

static int send_stop_signal(Container *c, uint64_t timeout_usec, Error *reterr_error) {
        const UnitRequest request = { .stop = true };

        /* Where PID 1 would start it anew, only PID 1 can end it. */
        if (container_restarts(c))
                return send_signal(c, NULL, 0, &request, reterr_error);
        return timeout_usec > 0 ? send_signal(c, "main", c->work->process.stop_signal, &request, reterr_error)
                                : 0;
}

void container_stop_thawed(Container *c) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (c->state == CONTAINER_STOPPING &&
            send_stop_signal(c, c->work->stop_timeout_usec, &error) < 0)
                stop_failed(c, &error);
}

static int begin_stop(Container *c, uint64_t timeout_usec, Error *reterr_error) {
        const UnitRequest request = { .stop = true };
        int r = 0;

        if (c->state == CONTAINER_PAUSED)
                r = container_thaw_for_stop(c, reterr_error);
        else if (c->state != CONTAINER_STOPPING)
                r = send_stop_signal(c, timeout_usec, reterr_error);
        if (r < 0)
                return r;

        /* The first signal is not sent twice; but a second call may be in more of a hurry. */
        return timeout_usec > 0 ? arm_stop_timer(c, timeout_usec)
                                : send_signal(c, "all", SIGKILL, &request, reterr_error);
}

/* One that says itself when it is ready, or is to be healthy first, may take any time to: its start is canceled by
 * PID 1. Others are let start first, and stopped then. */
static bool may_start_for_long(const Container *c) {
        return c->work->process.ready_when_healthy || container_has_host_dir(&c->options, c->work->process.args);
}

static int stop_starting(Container *c, uint64_t timeout_usec, Error *reterr_error) {
        const UnitRequest request = { .stop = true };
        int r;

        if (c->work->start_waits || !may_start_for_long(c))
                return 0;
        r = send_signal(c, NULL, 0, &request, reterr_error);
        if (r < 0)
                return r;
        return timeout_usec > 0 ? arm_stop_timer(c, timeout_usec)
                                : send_signal(c, "all", SIGKILL, &request, reterr_error);
}

int container_stop(Container *c, uint64_t timeout_usec, ContainerFunc func, void *userdata,
                   Error *reterr_error) {
        int r;

        if (timeout_usec == UINT64_MAX)
                timeout_usec = container_stop_timeout(c);
        if (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED) {
                if (func)
                        func(c, NULL, userdata);
                return 0;
        }
        c->work->stop_requested = true;
        c->work->stop_timeout_usec = timeout_usec;
        if (c->state == CONTAINER_STARTING) {
                r = stop_starting(c, timeout_usec, reterr_error);
                return r < 0 ? r : container_add_waiter(c, WAITER_STOP, func, userdata);
        }

        r = begin_stop(c, timeout_usec, reterr_error);
        if (r < 0) {
                c->work->stop_requested = c->state == CONTAINER_STOPPING;
                return error_is_set(reterr_error)
                                       ? r
                                       : error_set_errno(reterr_error, r, "Failed to stop container %s: %m",
                                                         c->row.id);
        }

        container_set_state(c, CONTAINER_STOPPING);
        return container_add_waiter(c, WAITER_STOP, func, userdata);
}

int container_restart(Container *c, uint64_t timeout_usec, ContainerFunc func, void *userdata,
                      Error *reterr_error) {
        int r;

        r = container_check_scope_start(c, reterr_error);
        if (r < 0)
                return r;
        if ((c->state != CONTAINER_RUNNING && c->state != CONTAINER_PAUSED && c->state != CONTAINER_RESTARTING) ||
            c->work->remove)
                return container_start(c, NULL, func, userdata, reterr_error);

        r = container_stop(c, timeout_usec, NULL, NULL, reterr_error);
        if (r < 0)
                return r;
        c->work->restart = true;
        return container_add_waiter(c, WAITER_START, func, userdata);
}

static int check_running(const Container *c, Error *reterr_error) {
        if (!container_is_alive(c))
                return container_not_running(c, reterr_error);
        return 0;
}

int container_kill(Container *c, const char *whom, int signo, ContainerFunc func, void *userdata,
                   Error *reterr_error) {
        const UnitRequest request = { .container = func, .userdata = userdata };
        int r;

        if (isempty(whom))
                whom = "main";
        if (!streq(whom, "main") && !streq(whom, "all"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%.100s\" is neither \"main\" nor \"all\".", whom);
        if (signo <= 0 || signo > SIGRTMAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no signal %i.", signo);
        r = check_running(c, reterr_error);
        if (r < 0)
                return r;

        return send_signal(c, whom, signo, &request, reterr_error);
}

int container_list_processes(Container *c,
                             void (*func)(int r, const uint32_t *pids, char *const *commands, size_t n,
                                          void *userdata),
                             void *userdata, Error *reterr_error) {
        ContainerManager *m = c->manager;
        int r;

        r = check_running(c, reterr_error);
        if (r < 0)
                return r;
        r = m->backend ? m->backend->processes(m->backend_userdata, c->unit, func, userdata) : -ENOTCONN;
        if (r < 0)
                return error_set_errno(reterr_error, r, "The processes of container %s cannot be listed: %m",
                                       c->row.id);
        return 0;
}
