/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containers in a scope: their process is a child of the caller's, which PID 1 only moves into the container's
 * control group:
 *
 *   CreateContainer(Scope) ─▶ record, snapshot, bundle
 *   StartScope(PID) ─▶ transient scope with that process ─▶ answer; the caller executes `mooring launch-scope`, which
 *   writes start and end into the bundle (basic/run-log.h), where they are looked for whenever the file has changed
 *
 * PID 1 says when nobody is in the scope any more: that is the end of the container, be it written down or not
 * ("lost": the caller's process was killed, and the container with it).
 *
 *   starting ──line "start"──▶ running ──line "exit", scope gone──▶ exited
 *      └──scope gone──▶ the start has failed: the caller knows why
 *
 * There is no main process for PID 1 to send a signal to, so that is done here. SIGKILL for all is one for the first
 * process, with which its pid namespace ends: the caller's is to live to write the end down. */

#include <sys/inotify.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/process.h"
#include "basic/run-log.h"
#include "basic/string-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/runtimes.h"

static int contradicts(const char *option, Error *reterr_error) {
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Scope: a container that is the caller's own child has no %s.", option);
}

int container_check_scope(const ContainerOptions *o, Error *reterr_error) {
        if (!o->scope)
                return 0;
        if (o->unit)
                return contradicts("Unit", reterr_error);
        if (!isempty(o->restart) && !streq(o->restart, "no"))
                return contradicts("Restart", reterr_error);
        if (o->log)
                return contradicts("Log: its output is where the caller's is", reterr_error);
        if (o->runtime && !streq(o->runtime, RUNTIME_OWN))
                return contradicts("Runtime: it is made by mooring", reterr_error);
        if (o->open_stdin)
                return contradicts("OpenStandardInput: its input is the caller's", reterr_error);
        if (o->machine)
                return contradicts("Machine", reterr_error);
        if (streq_ptr(o->systemd, "always"))
                return contradicts("Systemd", reterr_error);
        if (o->notify)
                return contradicts("Notify", reterr_error);
        if (o->ready_when_healthy)
                return contradicts("ReadyWhenHealthy", reterr_error);
        if (streq_ptr(o->health.on_failure, "restart"))
                return contradicts("OnFailure=restart", reterr_error);
        return 0;
}

int container_check_scope_start(const Container *c, Error *reterr_error) {
        return !c->options.scope || c->work->scope_pid > 0
                               ? 0
                               : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                           "Container %s is a child of whoever starts it: StartScope() does, "
                                           "which is what moorctl run --scope calls.",
                                           c->row.id);
}

int container_start_scope(Container *c, uint32_t pid, ContainerFunc func, void *userdata, Error *reterr_error) {
        int r;

        if (!c->options.scope)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Container %s was not made for a scope (option Scope): Start() starts it.", c->row.id);
        if (pid <= 1 || pid > INT32_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%u is no process that could be moved.",
                                 pid);
        c->work->scope_pid = pid;
        r = container_start(c, NULL, func, userdata, reterr_error);
        if (r < 0) {
                c->work->scope_pid = 0;
                return r;
        }
        /* As one that is run: if it comes to nothing, nothing stays. */
        c->work->run = c->row.started_usec == 0;
        return 0;
}

char *container_bundle_path(const Container *c) {
        return bundle_path(c->manager->runtime_dir, c->row.ns, c->row.id);
}

const char *container_scope_invocation(const Container *c) {
        return c->work->scope_invocation;
}

/* -- the bundle's log --------------------------------------------------------------------------- */

static int on_log_changed(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        Container *c = userdata;
        bool starting = c->state == CONTAINER_STARTING;

        (void) container_take_runs(c, NULL);
        if (starting && c->state == CONTAINER_RUNNING && (c->work->stop_requested || c->work->remove))
                (void) container_stop(c, c->work->stop_timeout_usec, NULL, NULL, NULL);
        return 0;
}

static void watch_log(Container *c) {
        _cleanup_free_ char *path = bundle_path(c->manager->runtime_dir, c->row.ns, c->row.id), *log = NULL;
        int r;

        if (c->work->scope_watch)
                return;
        log = path ? path_join(path, RUN_LOG_NAME) : NULL;
        r = log ? sd_event_add_inotify(c->manager->event, &c->work->scope_watch, log, IN_MODIFY, on_log_changed, c)
                : -ENOMEM;
        /* Then its end tells. */
        if (r < 0)
                log_warning_errno(r, "Failed to watch the log of container %s's runs: %m", c->row.id);
        else
                (void) sd_event_source_set_description(c->work->scope_watch, "scope");
}

/* -- the unit ------------------------------------------------------------------------------------ */

void container_scope_started(Container *c, const UnitStatus *status) {
        container_take_control_group(c, status);
        if (free_and_strdup(&c->work->scope_invocation, status->invocation_id) < 0)
                (void) log_oom();
        watch_log(c);
        (void) container_take_runs(c, NULL);
}

void container_scope_done(Container *c) {
        c->work->scope_watch = sd_event_source_disable_unref(c->work->scope_watch);
        c->work->scope_pid = 0;
        free(c->work->scope_invocation);
        c->work->scope_invocation = NULL;
}

static void scope_ended(Container *c) {
        _cleanup_error_ Error error = ERROR_NULL;
        int recorded = 0;

        container_scope_done(c);
        if (c->state == CONTAINER_STARTING) {
                (void) error_set(&error, -EIO, "Failed",
                                 "Container %s did not start; why was told by the process that was to start it.",
                                 c->row.id);
                container_start_failed(c, &error);
                return;
        }
        if (!container_is_alive(c))
                return;
        if (c->row.finished_usec == 0)
                recorded = container_record_end(c, NULL, container_lost_result(c));
        container_ended(c, recorded);
}

/* It ran when the last daemon ended, and does so still. */
static void adopt(Container *c) {
        c->leader_pid = container_run_pid(c);
        container_set_state(c, c->state);
}

void container_scope_changed(Container *c, const UnitStatus *u, UnitPhase phase) {
        switch (phase) {

        case UNIT_STARTING:
        case UNIT_RUNNING:
                if (!container_is_alive(c) && c->state != CONTAINER_STARTING) /* by a daemon that is no more */
                        container_set_state(c, CONTAINER_STARTING);
                container_scope_started(c, u);
                if (container_is_alive(c) && c->leader_pid == 0 && c->row.finished_usec == 0)
                        adopt(c);
                break;

        case UNIT_BETWEEN:
                (void) container_take_runs(c, NULL);
                break;

        case UNIT_ENDED:
        case UNIT_GONE:
                (void) container_take_runs(c, NULL);
                scope_ended(c);
                break;
        }
}

/* -- signals -------------------------------------------------------------------------------------- */

/* Whether a process is in the container's control group, or below. */
static bool is_inside(const Container *c, uint32_t pid) {
        _cleanup_free_ char *path = NULL;

        return c->control_group && cgroup_of_process((pid_t) pid, &path) >= 0 &&
               path_startswith(path, c->control_group);
}

int container_scope_kill(Container *c, int signo) {
        _cleanup_close_ int pidfd = -EBADF;

        if (c->leader_pid == 0)
                return -ESRCH;
        pidfd = pidfd_open_((pid_t) c->leader_pid);
        if (pidfd < 0)
                return pidfd;
        /* Its number may be another's by now. */
        return is_inside(c, c->leader_pid) ? pidfd_kill(pidfd, signo) : -ESRCH;
}
