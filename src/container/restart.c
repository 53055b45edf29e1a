/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Restart policies. PID 1 carries them out (Restart= and its like: unit-spec.c), so that a container is started
 * again whether the daemon is there or not. What PID 1 does not do is remember: it knows the last run only. So
 * the unit writes its starts and ends into the bundle (basic/run-log.h), and here they are taken over, each
 * once and in order, whenever the unit is heard of:
 *
 *   bundle's log     begin  start A        exit A          start B  …
 *   row              …      A, running     A, ended        B, running
 *   state            starting  running     restarting      running    … until the unit is gone, or failed: exited
 *
 * What has been taken over is told by the row's invocation id and whether the row has an end: lines up to there
 * are old. PID 1 may speak of a run before the launcher has written of it: then the line is added here, and the
 * launcher's own, which says the same, is an old one. Ends that could not be written down (a full /run) are taken
 * from the unit, if it still knows.
 *
 * After a boot the daemon starts those that their policy wants back, a bounded number at a time; layers that the
 * power took away are unpacked first. */

#include <fcntl.h>
#include <sys/wait.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/run-log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/oom.h"

#define RUN_LOG_CLEAR_SIZE (64U * 1024)
#define BOOT_STARTS_MAX 16U
#define STABLE_USEC (10 * USEC_PER_SEC) /* docker's */
#define STABLE_ACCURACY_USEC USEC_PER_SEC
#define SETTLE_USEC (10 * USEC_PER_SEC)
#define SETTLE_ACCURACY_USEC USEC_PER_SEC

static const char *const restart_policy_table[_RESTART_POLICY_MAX] = {
        [RESTART_NO] = "no",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
        [RESTART_UNLESS_STOPPED] = "unless-stopped",
};
DEFINE_STRING_TABLE(restart_policy, RestartPolicy);

int restart_parse(const char *text, Restart *ret) {
        const char *max;
        Restart x = {};
        int r;

        if (!isempty(text)) {
                max = startswith(text, "on-failure:");
                x.policy = restart_policy_from_string(max ? "on-failure" : text);
                if (x.policy < 0)
                        return -EINVAL;
                if (max) {
                        r = parse_uint32(max, &x.max);
                        if (r < 0)
                                return r;
                        if (x.max == 0 || x.max > RESTART_MAX)
                                return -ERANGE;
                }
        }
        *ret = x;
        return 0;
}

/* -- the bundle's log --------------------------------------------------------------------------- */

static int open_log(const Container *c, bool create) {
        _cleanup_close_ int dir = -EBADF;

        dir = bundle_open(c->manager->containers_fd, c->row.ns, c->row.id);
        return dir < 0 ? dir : run_log_open(dir, create);
}

void container_begin_runs(Container *c) {
        static const RunRecord begin = { .type = RUN_BEGIN };
        _cleanup_close_ int fd = -EBADF;
        int r;

        c->work->begun = true;
        if (!container_logs_runs(c))
                return;
        /* Nothing runs, and all that did is in the row. */
        r = fd = open_log(c, true);
        if (r >= 0)
                r = run_log_clear(fd, UINT64_MAX);
        if (r >= 0)
                r = run_log_append(fd, &begin);
        if (r < 0)
                log_debug_errno(r, "Failed to begin the log of container %s's runs, ignoring: %m", c->row.id);
}

bool run_log_last_words(int fd, const char *invocation_id, UnitStatus *ret) {
        _cleanup_free_ RunRecord *records = NULL;
        size_t n;

        if (run_log_read(fd, &records, &n, NULL) < 0)
                return false;
        for (size_t i = n; i > 0; i--) {
                const RunRecord *r = &records[i - 1];

                if (r->type != RUN_EXIT || r->code == 0 || !streq_ptr(r->invocation_id, invocation_id))
                        continue;
                if (free_and_strdup(&ret->result, r->result) < 0)
                        return false;
                ret->exec_main_code = r->code;
                ret->exec_main_status = r->status;
                ret->exec_main_exit_usec = r->usec;
                return true;
        }
        return false;
}

bool container_ends_unheard(const Container *c) {
        static const char *const properties[] = { "SuccessExitStatus", "LogLevelMax" };

        if (c->options.scope)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                if (container_options_get_property(&c->options, properties[i]))
                        return true;
        return false;
}

bool container_last_words(const Container *c, UnitStatus *ret) {
        _cleanup_close_ int fd = -EBADF;

        if (!container_ends_unheard(c))
                return false;
        fd = open_log(c, false);
        return fd >= 0 && run_log_last_words(fd, c->row.invocation_id, ret);
}

/* The first line that the row does not know of. */
static size_t first_new(const Container *c, const RunRecord *records, size_t n) {
        const char *id = c->row.invocation_id;

        for (size_t i = n; id && i > 0; i--)
                if (streq(records[i - 1].invocation_id, id))
                        return records[i - 1].type == RUN_EXIT && c->row.finished_usec == 0 ? i - 1 : i;
        return 0;
}

static bool run_is_open(const Container *c) {
        return c->row.started_usec > 0 && c->row.finished_usec == 0;
}

static void take_start(Container *c, const RunRecord *record) {
        const UnitStatus u = {
                .loaded = true,
                .main_pid = record->pid,
                .exec_main_start_usec = record->usec,
                .invocation_id = (char *) record->invocation_id,
        };

        /* It was said by PID 1 and by the launcher. */
        if (streq_ptr(c->row.invocation_id, record->invocation_id))
                return;
        if (run_is_open(c))
                (void) container_record_end(c, NULL, container_lost_result(c));
        c->work->settle_timer = sd_event_source_disable_unref(c->work->settle_timer);
        container_record_start(c, &u);
        container_watch_run(c);
        if (c->manager->recovering)
                c->manager->found[FOUND_RUNS] += c->row.restart_count > 0;
}

static void take_end(Container *c, const RunRecord *record) {
        const UnitStatus u = {
                .exec_main_code = record->code,
                .exec_main_status = record->status,
                .exec_main_exit_usec = record->usec,
        };

        if (!streq_ptr(c->row.invocation_id, record->invocation_id)) {
                log_info("Container %s could not be started again (%s); systemd goes on by its restart policy.",
                         c->row.id, record->result);
                return;
        }
        if (run_is_open(c))
                (void) container_record_end(c, &u, container_oom_settle(c, &u, record->result, record->n));
        c->work->stable_timer = sd_event_source_disable_unref(c->work->stable_timer);
        if (container_repeats(c) && (c->state == CONTAINER_RUNNING || c->state == CONTAINER_PAUSED))
                container_set_state(c, CONTAINER_RESTARTING);
}

static void take_record(Container *c, const RunRecord *record) {
        switch (record->type) {
        case RUN_BEGIN: /* of a daemon that is no more: of our own we know */
                c->work->begun = c->work->begun || c->manager->recovering;
                break;
        case RUN_START:
                take_start(c, record);
                break;
        case RUN_EXIT:
                take_end(c, record);
                break;
        case RUN_DROPPED:
                c->row.restart_count += (uint32_t) MIN(record->n, (uint64_t) UINT32_MAX - c->row.restart_count);
                log_warning("Container %s was started again %" PRIu64
                            " times while nobody looked; how these runs ended is not known.",
                            c->row.id, record->n);
                break;
        default:
                break;
        }
}

bool container_take_runs(Container *c, const char *invocation) {
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_free_ RunRecord *records = NULL;
        _cleanup_close_ int fd = -EBADF;
        bool found = false;
        uint64_t size;
        size_t n, i;
        int r;

        if (!container_logs_runs(c) && !c->options.unit)
                return false;
        r = fd = open_log(c, false);
        if (r >= 0)
                r = run_log_read(fd, &records, &n, &size);
        if (r < 0) {
                if (r != -ENOENT)
                        log_warning_errno(r, "Failed to read the log of container %s's runs: %m", c->row.id);
                return false;
        }

        i = first_new(c, records, n);
        if (i < n)
                r = store_transaction_begin(&t, c->manager->store, true);
        for (; i < n; i++)
                take_record(c, &records[i]);
        if (r >= 0 && t.store)
                r = store_transaction_commit(&t);
        if (r < 0)
                log_error_errno(r, "Failed to record the runs of container %s: %m", c->row.id);
        else if (size > RUN_LOG_CLEAR_SIZE)
                (void) run_log_clear(fd, size);

        for (i = 0; i < n && invocation && !found; i++)
                found = streq(records[i].invocation_id, invocation);
        return found;
}

uint32_t container_run_pid(const Container *c) {
        _cleanup_free_ RunRecord *records = NULL;
        _cleanup_close_ int fd = open_log(c, false);
        uint64_t size;
        size_t n;

        if (fd < 0 || run_log_read(fd, &records, &n, &size) < 0)
                return 0;
        for (size_t i = n; i > 0; i--)
                if (records[i - 1].type == RUN_START && streq_ptr(records[i - 1].invocation_id, c->row.invocation_id))
                        return records[i - 1].pid;
        return 0;
}

void container_add_run(Container *c, const UnitStatus *u) {
        RunRecord record = { .type = RUN_START, .usec = u->exec_main_start_usec, .pid = u->main_pid };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (strlen(strempty(u->invocation_id)) != RUN_ID_SIZE - 1)
                return;
        memcpy(record.invocation_id, u->invocation_id, RUN_ID_SIZE);
        r = fd = open_log(c, true);
        if (r >= 0)
                r = run_log_append(fd, &record);
        if (r >= 0) {
                (void) container_take_runs(c, NULL);
                return;
        }
        log_warning_errno(r, "Failed to add to the log of container %s's runs: %m", c->row.id);
        take_start(c, &record);
}

static int on_stable(sd_event_source *s, uint64_t usec, void *userdata) {
        Container *c = userdata;
        ContainerManager *m = c->manager;

        c->work->stable_timer = sd_event_source_disable_unref(c->work->stable_timer);
        if (m->backend && m->backend->reset_delay && container_is_alive(c))
                (void) m->backend->reset_delay(m->backend_userdata, c->unit);
        return 0;
}

/* Only where the number of restarts is without limit: PID 1 has one counter for both. */
void container_watch_run(Container *c) {
        int r;

        if (c->work->stable_timer || c->restart.max > 0 || c->row.restart_count == 0)
                return;
        r = sd_event_add_time_relative(c->manager->event, &c->work->stable_timer, CLOCK_MONOTONIC, STABLE_USEC,
                                       STABLE_ACCURACY_USEC, on_stable, c);
        if (r < 0)
                log_debug_errno(r, "Failed to set a timer for container %s, ignoring: %m", c->row.id);
}

/* PID 1 forgets its count with each reload. */
void container_limit_runs(Container *c) {
        ContainerManager *m = c->manager;

        if (c->restart.max > 0 && c->row.restart_count >= c->restart.max && m->backend)
                (void) m->backend->stop(m->backend_userdata, c->unit, unit_request_ignore,
                                        (void *) "stop a unit that was restarted often enough");
}

static int record_stopped(Container *c) {
        return events_record(c->manager->events, c->row.ns, "container/stopped", c->row.id, "Image", c->row.image,
                             NULL);
}

static int record_nothing(Container *c) {
        return 0;
}

static int on_settle(sd_event_source *s, uint64_t usec, void *userdata) {
        Container *c = userdata;

        /* The timer is still set, so that this time it is not put off. */
        if (c->state == CONTAINER_EXITED)
                container_settle_runs(c);
        c->work->settle_timer = sd_event_source_disable_unref(c->work->settle_timer);
        return 0;
}

void container_settle_runs(Container *c) {
        ContainerManager *m = c->manager;
        bool goes_on = c->restart.policy == RESTART_ALWAYS || c->restart.policy == RESTART_UNLESS_STOPPED;

        if (c->row.stopped)
                return;
        if (!c->work->stop_requested && (!goes_on || m->host_stops || !streq_ptr(c->row.boot_id, m->boot_id)))
                return;
        /* That the host goes down may be heard of later than that a unit is stopped. Where we end before we know,
         * the next daemon does this, or starts the container if there has been a boot. */
        if (!c->work->stop_requested && !m->recovering && !c->work->settle_timer &&
            sd_event_add_time_relative(m->event, &c->work->settle_timer, CLOCK_MONOTONIC, SETTLE_USEC,
                                       SETTLE_ACCURACY_USEC, on_settle, c) >= 0)
                return;
        c->row.stopped = true;
        (void) container_record(c, c->work->stop_requested ? record_stopped : record_nothing);
}

/* -- after a boot ------------------------------------------------------------------------------- */

static bool is_wanted(const Container *c) {
        if (c->state != CONTAINER_EXITED || c->work->remove ||
            streq_ptr(c->row.boot_id, c->manager->boot_id))
                return false;

        switch (c->restart.policy) {
        case RESTART_ALWAYS:
                return true;
        case RESTART_UNLESS_STOPPED:
                return !c->row.stopped;
        case RESTART_ON_FAILURE:
                return !c->row.stopped && streq_ptr(c->row.result, "reboot");
        default:
                return false;
        }
}

static void boot_work(ContainerManager *m);

typedef struct BootStart {
        ContainerManager *manager;
        char *ns, *id;
} BootStart;

static BootStart *boot_start_free(BootStart *b) {
        if (!b)
                return NULL;
        free(b->ns);
        free(b->id);
        free(b);
        return NULL;
}
DEFINE_CLEANUP_FUNC(BootStart *, boot_start_free)

static void boot_start_end(BootStart *b, const Error *error) {
        ContainerManager *m = b->manager;

        if (error_is_set(error) && error->error == -ECANCELED) /* moored is ending */
                return;
        if (error_is_set(error))
                log_warning("Container %s in namespace %s, which its restart policy wants back, cannot be started: %s",
                            b->id, b->ns, error_message(error));
        m->boot_inflight--;
        boot_work(m);
}

static void on_boot_started(Container *c, const Error *error, void *userdata) {
        _cleanup_(boot_start_freep) BootStart *b = userdata;

        boot_start_end(b, error);
}

static void on_boot_unpacked(Job *j, void *userdata) {
        _cleanup_(boot_start_freep) BootStart *b = userdata;
        _cleanup_error_ Error error = ERROR_NULL;
        Container *c;

        if (j->state != JOB_DONE) {
                boot_start_end(b, &j->error);
                return;
        }
        c = container_find(b->manager, b->ns, b->id, &error);
        if (c && is_wanted(c) && container_start(c, NULL, on_boot_started, b, &error) >= 0) {
                (void) TAKE_PTR(b);
                return;
        }
        boot_start_end(b, &error);
}

static int boot_unpack(Container *c, BootStart *b, Error *reterr_error) {
        Job *j;
        int r;

        r = image_unpack_manifest(c->manager->images, c->row.ns, c->row.image, c->row.image_digest, &j,
                                  reterr_error);
        return r < 0 ? r : job_add_waiter(j, on_boot_unpacked, b);
}

static void boot_start(Container *c) {
        _cleanup_(boot_start_freep) BootStart *b = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        ContainerManager *m = c->manager;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b || !(b->ns = strdup(c->row.ns)) || !(b->id = strdup(c->row.id))) {
                (void) log_oom();
                return;
        }
        b->manager = m;

        r = container_start(c, NULL, on_boot_started, b, &error);
        if (r < 0 && error_has_name(&error, "ImageNotUnpacked")) {
                error_done(&error);
                r = boot_unpack(c, b, &error);
        }
        if (r >= 0) {
                m->boot_inflight++;
                (void) TAKE_PTR(b);
                return;
        }
        log_warning("Container %s in namespace %s, which its restart policy wants back, cannot be started: %s",
                    b->id, b->ns, error_is_set(&error) ? error_message(&error) : strerror(-r));
}

static void boot_work(ContainerManager *m) {
        while (m->boot_inflight < BOOT_STARTS_MAX && m->boot_queue && m->boot_queue[m->boot_next]) {
                Container *c = hashmap_get(m->containers, m->boot_queue[m->boot_next++]);

                if (c && is_wanted(c))
                        boot_start(c);
        }
        if (m->boot_queue && !m->boot_queue[m->boot_next] && m->boot_inflight == 0) {
                strv_free(m->boot_queue);
                m->boot_queue = NULL;
        }
}

void container_start_wanted(ContainerManager *m) {
        size_t n = 0;
        Container *c;

        HASHMAP_FOREACH(c, m->containers) {
                if (!is_wanted(c))
                        continue;
                if (strv_extendf(&m->boot_queue, "%s/%s", c->row.ns, c->row.id) < 0) {
                        (void) log_oom();
                        break;
                }
                n++;
        }
        if (n > 0)
                log_notice("The host was booted: starting %zu containers that their restart policies want back.", n);
        boot_work(m);
}

/* Some may have been stopped before we heard of it. */
void container_manager_host_stops(ContainerManager *m, bool stops) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        Container *c;

        if (m->host_stops == stops)
                return;
        m->host_stops = stops;
        if (!stops)
                return;
        HASHMAP_FOREACH(c, m->containers)
                if (container_repeats(c) && c->state == CONTAINER_EXITED && !c->row.stopped &&
                    streq_ptr(c->row.boot_id, m->boot_id) && c->row.finished_usec + SETTLE_USEC > now) {
                        if (free_and_strdup(&c->row.result, "reboot") < 0)
                                (void) log_oom();
                        (void) container_record(c, record_nothing);
                }
}
