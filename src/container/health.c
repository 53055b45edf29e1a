/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A check that could not be made (moored-probe.service cannot be reached, say) says nothing about the container,
 * and is told in the log once, until one can be made again. Those that were made are not logged at all; a
 * change of state is an event.
 *
 * What is kept in memory is a few numbers: outputs are in the file only. */

#include <signal.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/health.h"
#include "container/probe.h"

#define ACCURACY_MAX_USEC (250 * USEC_PER_MSEC)

typedef struct HealthWaiter HealthWaiter;
struct HealthWaiter {
        HealthWaiter *next;
        HealthFunc func;
        void *userdata;
};

struct ContainerHealth {
        HealthStatus status;
        uint64_t failing_streak;
        bool passed;  /* a check of this run has succeeded: from then on failures count */
        bool known;   /* there is, or was, a run that this is about */
        bool active;  /* of the run that is under way; else the last that is known */
        bool waiting; /* the unit has not started before a check has succeeded */
        bool unreachable; /* moored-probe, which has been told */
        bool restarting;  /* it was unhealthy, and is to be started again when it has ended */
        char *invocation_id;
        uint64_t started_usec; /* CLOCK_REALTIME */
        uint64_t begin_usec;   /* of the check that is under way */
        sd_event_source *timer;
        Probe *probe;
        HealthWaiter *waiters;
};

static const char *const health_status_table[_HEALTH_STATUS_MAX] = {
        [HEALTH_STARTING] = "starting",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_UNHEALTHY] = "unhealthy",
};
DEFINE_STRING_TABLE(health_status, HealthStatus);

static void begin_check(Container *c);

static const HealthCheck *health_check(const Container *c) {
        return &c->work->process.health;
}

/* -- who waits for a check ---------------------------------------------------------------------- */

static void answer(ContainerHealth *h, Container *c, int exit_code, const char *output, const Error *error) {
        HealthWaiter *w = TAKE_PTR(h->waiters);

        while (w) {
                HealthWaiter *next = w->next;

                w->func(c, exit_code, output, error, w->userdata);
                free(w);
                w = next;
        }
}

static void cancel(ContainerHealth *h, Container *c, int r, const char *name, const char *why) {
        _cleanup_error_ Error error = ERROR_NULL;

        h->probe = probe_free(h->probe);
        h->timer = sd_event_source_disable_unref(h->timer);
        if (!h->waiters)
                return;
        (void) error_set(&error, r, name, "%s", why);
        answer(h, c, -1, NULL, &error);
}

ContainerHealth *container_health_free(ContainerHealth *h) {
        if (!h)
                return NULL;

        cancel(h, NULL, -ECANCELED, "Canceled", "The container is gone, or moored is ending.");
        free(h->invocation_id);
        free(h);
        return NULL;
}

/* -- the record ---------------------------------------------------------------------------------- */

typedef struct Record {
        char *invocation_id, *status;
        uint64_t failing_streak;
        bool passed, restarting;
        json_t *log; /* borrowed */
} Record;

static void record_done(Record *x) {
        free(x->invocation_id);
        free(x->status);
}

static int record_read(const Container *c, json_t **ret_json, Record *ret) {
        static const JsonField fields[] = {
                { "invocationId", JSON_FIELD_STRING, offsetof(Record, invocation_id), false, NULL },
                { "status", JSON_FIELD_STRING, offsetof(Record, status), true, NULL },
                { "failingStreak", JSON_FIELD_UINT64, offsetof(Record, failing_streak), true, NULL },
                { "passed", JSON_FIELD_BOOL, offsetof(Record, passed), true, NULL },
                { "restarting", JSON_FIELD_BOOL, offsetof(Record, restarting), false, NULL },
                { "log", JSON_FIELD_ARRAY, offsetof(Record, log), true, NULL },
                {},
        };
        _cleanup_(record_done) Record x = {};
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = bundle_read_health(c->manager->containers_fd, c->row.ns, c->row.id, &text);
        if (r < 0)
                return r;
        r = json_parse(text, strlen(text), HEALTH_RECORD_SIZE_MAX, &j, NULL);
        if (r >= 0)
                r = json_dispatch(j, fields, &x, "health", false, NULL);
        if (r >= 0 && health_status_from_string(x.status) < 0)
                r = -EBADMSG;
        if (r < 0)
                return r;

        *ret = x;
        x = (Record){};
        *ret_json = TAKE_PTR(j);
        return 0;
}

static json_t *log_entry(uint64_t begin_usec, uint64_t end_usec, const ProbeResult *result) {
        return json_pack("{s:I, s:I, s:i, s:s}", "beginUSec", (json_int_t) begin_usec, "endUSec",
                         (json_int_t) end_usec, "exitCode", result->exit_code, "output", result->output);
}

/* The log of this run, with the new entry if there is one. */
static json_t *log_extend(const Container *c, json_t *entry) {
        const ContainerHealth *h = c->work->health;
        _cleanup_(record_done) Record old = {};
        _cleanup_json_ json_t *j = NULL;
        json_t *log;

        if (record_read(c, &j, &old) >= 0 && streq_ptr(old.invocation_id, h->invocation_id))
                log = json_incref(old.log);
        else
                log = json_array();
        if (!log || (entry && json_array_append_new(log, entry) < 0)) {
                json_decref(log);
                return NULL;
        }
        while (json_array_size(log) > HEALTH_LOG_MAX)
                (void) json_array_remove(log, 0);
        return log;
}

/* result NULL: there is no new one. */
static int record_write(const Container *c, const ProbeResult *result) {
        const ContainerHealth *h = c->work->health;
        _cleanup_json_ json_t *log = NULL, *j = NULL;
        _cleanup_free_ char *text = NULL;

        log = log_extend(c, result ? log_entry(h->begin_usec, now_usec(CLOCK_REALTIME), result) : NULL);
        if (!log)
                return -ENOMEM;
        j = json_pack("{s:s*, s:s, s:I, s:b, s:b, s:O}", "invocationId", h->invocation_id, "status",
                      health_status_to_string(h->status), "failingStreak", (json_int_t) h->failing_streak,
                      "passed", (int) h->passed, "restarting", (int) h->restarting, "log", log);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return -ENOMEM;

        return bundle_write_health(c->manager->containers_fd, c->row.ns, c->row.id, text);
}

/* When the last check ended; 0: there was none. */
static uint64_t record_load(const Container *c, ContainerHealth *h, const char *invocation_id, bool any) {
        _cleanup_(record_done) Record x = {};
        _cleanup_json_ json_t *j = NULL;
        json_t *last;
        int r;

        r = record_read(c, &j, &x);
        if (r < 0) {
                if (r != -ENOENT)
                        log_debug_errno(r, "Failed to read the health of container %s, ignoring: %m",
                                        c->row.id);
                return 0;
        }
        if (!any && !streq_ptr(x.invocation_id, invocation_id))
                return 0;

        h->known = true;
        h->status = health_status_from_string(x.status);
        h->failing_streak = x.failing_streak;
        h->passed = x.passed;
        last = json_object_get(json_array_get(x.log, json_array_size(x.log) - 1), "endUSec");
        return (uint64_t) MAX(json_integer_value(last), (json_int_t) 0);
}

/* -- when ---------------------------------------------------------------------------------------- */

static bool in_start_period(const Container *c) {
        const ContainerHealth *h = c->work->health;
        uint64_t now = now_usec(CLOCK_REALTIME);

        return !h->passed && now >= h->started_usec &&
               now - h->started_usec < health_check(c)->start_period_usec;
}

static uint64_t current_interval(const Container *c) {
        const HealthCheck *check = health_check(c);

        return c->work->health->waiting || in_start_period(c) ? check->start_interval_usec
                                                              : check->interval_usec;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Container *c = userdata;

        if (!c->work->health->probe)
                begin_check(c);
        return 0;
}

static void schedule(Container *c, uint64_t usec) {
        ContainerHealth *h = c->work->health;
        int r;

        h->timer = sd_event_source_disable_unref(h->timer);
        if (health_check(c)->interval_usec == USEC_INFINITY)
                return;
        r = sd_event_add_time_relative(c->manager->event, &h->timer, CLOCK_MONOTONIC, usec,
                                       MIN(usec / 8 + 1, (uint64_t) ACCURACY_MAX_USEC), on_timer, c);
        if (r < 0)
                log_warning_errno(r, "The health of container %s is not checked any more: %m", c->row.id);
        else
                (void) sd_event_source_set_description(h->timer, "health");
}

/* -- what is made of it -------------------------------------------------------------------------- */

static void tell(Container *c) {
        events_notify(c->manager->events, NOTIFY_CONTAINER_HEALTH, c->row.ns, c->row.id, c);
}

static void record_event(Container *c) {
        const ContainerHealth *h = c->work->health;
        int r;

        r = events_record(c->manager->events, c->row.ns, "container/health-changed", c->row.id, "Health",
                          health_status_to_string(h->status), "#FailingStreak",
                          (int64_t) h->failing_streak, "Image", c->row.image, NULL);
        if (r < 0)
                log_error_errno(r, "Failed to record the health of container %s: %m", c->row.id);
}

/* The start fails then. */
static void kill_starting(Container *c) {
        ContainerManager *m = c->manager;

        if (m->backend)
                (void) m->backend->kill(m->backend_userdata, c->unit, "all", SIGKILL, unit_request_ignore,
                                        (void *) "kill a container that is starting");
}

static void act(Container *c) {
        HealthAction action = health_check(c)->on_failure;
        _cleanup_error_ Error error = ERROR_NULL;
        int r = 0;

        if (action == HEALTH_ACTION_NONE)
                return;
        log_notice("Container %s is unhealthy: %s.", c->row.id, health_action_to_string(action));
        if (c->state != CONTAINER_RUNNING) {
                kill_starting(c);
                return;
        }

        if (action == HEALTH_ACTION_KILL)
                r = container_kill(c, "main", SIGKILL, NULL, NULL, &error);
        else if (action == HEALTH_ACTION_STOP)
                r = container_stop(c, UINT64_MAX, NULL, NULL, &error);
        else {
                c->work->health->restarting = true;
                (void) record_write(c, NULL);
                r = container_restart(c, UINT64_MAX, NULL, NULL, &error);
        }
        if (r < 0)
                log_warning("Container %s stays as it is: %s", c->row.id,
                            error_is_set(&error) ? error_message(&error) : strerror(-r));
}

static void take_result(Container *c, const ProbeResult *result) {
        ContainerHealth *h = c->work->health;
        HealthStatus before = h->status;
        uint64_t streak = h->failing_streak;
        int r;

        if (result->exit_code == 0) {
                h->failing_streak = 0;
                h->passed = true;
                h->status = HEALTH_HEALTHY;
        } else if (!in_start_period(c) && ++h->failing_streak >= health_check(c)->retries)
                h->status = HEALTH_UNHEALTHY;
        h->unreachable = false;
        schedule(c, current_interval(c));

        r = record_write(c, result);
        if (r < 0)
                log_debug_errno(r, "Failed to keep the health of container %s, ignoring: %m", c->row.id);
        if (h->status != before)
                record_event(c);
        if (h->status != before || h->failing_streak != streak)
                tell(c);
        answer(h, c, result->exit_code, result->output, NULL);
        /* Last: it may end all of this. */
        if (h->status != before && h->status == HEALTH_UNHEALTHY)
                act(c);
}

static void check_failed(Container *c, const Error *error) {
        ContainerHealth *h = c->work->health;
        /* It is about to end, which will be told; or it has only begun to run. */
        bool gone = error_has_name(error, "NotRunning") || error_has_name(error, "InvalidState");

        schedule(c, current_interval(c));
        if (!gone && !h->unreachable) {
                h->unreachable = true;
                log_warning("The health of container %s cannot be checked: %s", c->row.id,
                            error_message(error));
        }
        answer(h, c, -1, NULL, error);
}

static void on_probe(const ProbeResult *result, const Error *error, void *userdata) {
        Container *c = userdata;
        ContainerHealth *h = c->work->health;

        h->probe = probe_free(h->probe);
        if (result)
                take_result(c, result);
        else
                check_failed(c, error);
}

static int start_probe(Container *c, Error *reterr_error) {
        ContainerManager *m = c->manager;
        _cleanup_free_ char *bundle = bundle_path(m->runtime_dir, c->row.ns, c->row.id),
                            *path = strjoin(m->runtime_dir, "/" PROBE_SOCKET);
        ContainerHealth *h = c->work->health;

        if (!bundle || !path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        const ProbeRequest request = {
                .bundle = bundle,
                .control_group = strempty(c->control_group),
                .pid = c->leader_pid,
                .command = health_check(c)->command,
                .timeout_usec = health_check(c)->timeout_usec,
                .ready = h->waiting,
        };
        h->begin_usec = now_usec(CLOCK_REALTIME);
        return probe_new(m->event, path, &request, on_probe, c, &h->probe, reterr_error);
}

static void begin_check(Container *c) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (start_probe(c, &error) < 0)
                check_failed(c, &error);
}

/* -- the container's states ---------------------------------------------------------------------- */

static ContainerHealth *health_get(Container *c) {
        if (!c->work->health && health_check(c)->command) {
                c->work->health = calloc(1, sizeof(ContainerHealth));
                if (c->work->health)
                        (void) record_load(c, c->work->health, NULL, true);
        }
        return c->work->health;
}

/* The time of the first check, or of the next where others were before. */
static uint64_t first_delay(const Container *c, uint64_t last_usec) {
        uint64_t now = now_usec(CLOCK_REALTIME), interval = current_interval(c);

        if (last_usec == 0)
                return 0;
        if (now < last_usec || interval == USEC_INFINITY)
                return interval;
        return now - last_usec < interval ? interval - (now - last_usec) : 0;
}

static void begin(Container *c, const char *invocation_id, bool waiting) {
        ContainerHealth *h = health_get(c);
        HealthStatus before;
        uint64_t last_usec;

        if (!h) {
                (void) log_oom();
                return;
        }
        if (h->active && streq_ptr(h->invocation_id, invocation_id)) {
                h->waiting = h->waiting || waiting;
                if (!h->probe && !h->timer) /* it had been about to stop, or paused */
                        schedule(c, current_interval(c));
                return;
        }

        before = h->status;
        cancel(h, c, -ESRCH, "NotRunning", "The container was started again.");
        if (free_and_strdup(&h->invocation_id, invocation_id) < 0)
                (void) log_oom();
        h->status = HEALTH_STARTING;
        h->failing_streak = 0;
        h->passed = h->unreachable = h->restarting = false;
        h->known = h->active = true;
        h->waiting = waiting;
        h->started_usec = waiting || c->row.started_usec == 0 ? now_usec(CLOCK_REALTIME) : c->row.started_usec;
        last_usec = record_load(c, h, invocation_id, false);
        if (h->status != before)
                tell(c);
        schedule(c, first_delay(c, last_usec));
}

void container_health_follow(Container *c) {
        ContainerHealth *h = c->work->health;

        if (!health_check(c)->command)
                return;

        if (c->state == CONTAINER_RUNNING) {
                if (c->leader_pid > 0)
                        begin(c, c->row.invocation_id, false);
                return;
        }
        if (!h)
                return;
        h->waiting = false;
        cancel(h, c, -ESRCH, "NotRunning", "The container is not running any more.");
        if (c->state == CONTAINER_EXITED || c->state == CONTAINER_CREATED)
                h->active = false;
}

void container_health_recovered(Container *c) {
        _cleanup_(record_done) Record x = {};
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        if (health_check(c)->on_failure != HEALTH_ACTION_RESTART || c->work->remove ||
            (c->state != CONTAINER_RUNNING && c->state != CONTAINER_EXITED) || record_read(c, &j, &x) < 0 ||
            !x.restarting || !streq_ptr(x.invocation_id, c->row.invocation_id))
                return;

        log_info("Container %s had been unhealthy, and was to be started again.", c->row.id);
        r = container_restart(c, UINT64_MAX, NULL, NULL, &error);
        if (r < 0)
                log_warning("%s", error_is_set(&error) ? error_message(&error) : strerror(-r));
}

void container_health_begin_start(Container *c, const char *invocation_id) {
        if (health_check(c)->command)
                begin(c, invocation_id, true);
}

void container_health_unit_started(Container *c) {
        ContainerHealth *h = c->work->health;

        if (!h || !h->waiting)
                return;
        h->waiting = false;
        if (!h->probe)
                schedule(c, current_interval(c));
}

/* -- what others want to know -------------------------------------------------------------------- */

const HealthCheck *container_get_health_check(const Container *c) {
        return health_check(c);
}

const char *container_get_health(Container *c) {
        const ContainerHealth *h = health_get(c);

        return h && h->known ? health_status_to_string(h->status) : NULL;
}

uint32_t container_get_failing_streak(Container *c) {
        const ContainerHealth *h = health_get(c);

        return h ? (uint32_t) MIN(h->failing_streak, (uint64_t) UINT32_MAX) : 0;
}

int container_foreach_health_log(Container *c,
                                 int (*cb)(uint64_t begin_usec, uint64_t end_usec, int exit_code,
                                           const char *output, void *userdata),
                                 void *userdata) {
        _cleanup_(record_done) Record x = {};
        _cleanup_json_ json_t *j = NULL;
        json_t *entry;
        size_t i;
        int r;

        if (!health_check(c)->command || record_read(c, &j, &x) < 0)
                return 0;
        json_array_foreach (x.log, i, entry) {
                r = cb((uint64_t) json_integer_value(json_object_get(entry, "beginUSec")),
                       (uint64_t) json_integer_value(json_object_get(entry, "endUSec")),
                       (int) json_integer_value(json_object_get(entry, "exitCode")),
                       strempty(json_get_string(entry, "output")), userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int container_check_health(Container *c, HealthFunc func, void *userdata, Error *reterr_error) {
        ContainerHealth *h = health_get(c);
        HealthWaiter *w;
        int r;

        if (!health_check(c)->command)
                return error_set(reterr_error, -ENODATA, "NoHealthCheck",
                                 "Container %s has no health check: neither has its image, nor was one given "
                                 "when it was made.",
                                 c->row.id);
        if (!h || !h->active || (c->state != CONTAINER_RUNNING && !h->waiting))
                return error_set(reterr_error, -ESRCH, "NotRunning", "Container %s is not running, it is %s.",
                                 c->row.id, container_state_to_string(c->state));

        w = malloc(sizeof(*w));
        if (!w)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = h->probe ? 0 : start_probe(c, reterr_error);
        if (r < 0) {
                free(w);
                return r;
        }
        *w = (HealthWaiter){ h->waiters, func, userdata };
        h->waiters = w;
        return 0;
}
