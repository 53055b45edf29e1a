/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Jobs. The manager's table owns one reference for as long as the job can be read (until JOB_KEEP_USEC after
 * its end); whoever does the work hangs it onto job->work, which is freed when the job ends, so that a
 * finished job holds no process and no descriptor.
 *
 *   running ──job_finish(NULL)──▶ done
 *      │ ╰──job_finish(error)──▶ failed
 *      ╰──job_cancel()──work_cancel()──job_finish(-ECANCELED)──▶ canceled
 *   done, failed, canceled ──job_on_expired()──▶ (freed)
 */

#include <inttypes.h>
#include <time.h>

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "job/job.h"
#include "job/proto.h"

#define WAITERS_MAX 128U

typedef struct JobWaiter {
        void (*func)(Job *j, void *userdata);
        void *userdata;
} JobWaiter;

/* The public part first, so that a Job* is a JobPrivate*. */
typedef struct JobPrivate {
        Job job;
        JobWaiter *waiters;
        size_t n_waiters;
        sd_event_source *expire;
        sd_event_source *free_work;
        uint64_t progress_usec; /* monotonic time of the last notification */
        sd_event_source *progress_timer;
} JobPrivate;

struct JobManager {
        sd_event *event;
        Events *events; /* weak */
        Hashmap *jobs;  /* id in decimal → JobPrivate, owned */
        uint32_t last_id;
        char *helper_path; /* NULL: MOORED_HELPER_PATH */
};

static const char *const job_state_table[_JOB_STATE_MAX] = {
        [JOB_RUNNING] = "running",
        [JOB_DONE] = "done",
        [JOB_FAILED] = "failed",
        [JOB_CANCELED] = "canceled",
};
DEFINE_STRING_TABLE(job_state, JobState)

static void job_key(uint32_t id, char buf[static 16]) {
        snprintf(buf, 16, "%" PRIu32, id);
}

static void job_free_work(Job *j) {
        void *work = TAKE_PTR(j->work);

        if (work && j->work_free)
                j->work_free(work);
}

/* It may be held by others for longer than its manager keeps it: then nothing calls back any more. */
static void job_detach(JobPrivate *p) {
        p->expire = sd_event_source_disable_unref(p->expire);
        p->free_work = sd_event_source_disable_unref(p->free_work);
        p->progress_timer = sd_event_source_disable_unref(p->progress_timer);
        p->job.manager = NULL;
}

static JobPrivate *job_free(JobPrivate *p) {
        if (!p)
                return NULL;

        job_free_work(&p->job);
        job_detach(p);
        for (size_t i = 0; i < p->job.n_parts; i++)
                free(p->job.parts[i].digest);
        free(p->job.parts);
        free(p->job.ns);
        free(p->job.kind);
        free(p->job.subject);
        free(p->job.result_object);
        error_done(&p->job.error);
        free(p->waiters);
        free(p);
        return NULL;
}

Job *job_ref(Job *j) {
        assert(j);

        j->n_ref++;
        return j;
}

Job *job_unref(Job *j) {
        if (!j)
                return NULL;

        assert(j->n_ref > 0);
        if (--j->n_ref == 0)
                job_free((JobPrivate *) j);
        return NULL;
}

int job_manager_new(sd_event *event, Events *events, JobManager **ret) {
        _cleanup_(job_manager_freep) JobManager *m = NULL;

        assert(event);
        assert(ret);

        m = calloc(1, sizeof(JobManager));
        if (!m)
                return -ENOMEM;

        m->event = sd_event_ref(event);
        m->events = events;
        m->jobs = hashmap_new();
        if (!m->jobs)
                return -ENOMEM;

        *ret = TAKE_PTR(m);
        return 0;
}

JobManager *job_manager_free(JobManager *m) {
        Job *j;

        if (!m)
                return NULL;

        /* First of all nobody works on: when one job's work goes, those that waited for what it did would
         * take over. */
        HASHMAP_FOREACH(j, m->jobs)
                if (j->state == JOB_RUNNING)
                        j->state = JOB_CANCELED;
        HASHMAP_FOREACH(j, m->jobs) {
                job_free_work(j);
                job_detach((JobPrivate *) j);
        }
        HASHMAP_FOREACH(j, m->jobs)
                job_unref(j);
        hashmap_free(m->jobs);
        sd_event_unref(m->event);
        free(m->helper_path);
        free(m);
        return NULL;
}

sd_event *job_manager_event(JobManager *m) {
        return m->event;
}

int job_manager_set_helper_path(JobManager *m, const char *path) {
        return free_and_strdup(&m->helper_path, path);
}

const char *job_manager_helper_path(const JobManager *m) {
        return m->helper_path ?: MOORED_HELPER_PATH;
}

Job *job_manager_get(JobManager *m, uint32_t id) {
        char key[16];

        job_key(id, key);
        return hashmap_get(m->jobs, key);
}

bool job_manager_iterate(JobManager *m, HashmapIterator *i, Job **ret) {
        return hashmap_iterate(m->jobs, i, NULL, (void **) ret);
}

size_t job_manager_n_running(JobManager *m) {
        size_t n = 0;
        Job *j;

        HASHMAP_FOREACH(j, m->jobs)
                n += j->state == JOB_RUNNING;
        return n;
}

int job_new(JobManager *m, const char *ns, const char *kind, const char *subject, Job **ret,
            Error *reterr_error) {
        JobPrivate *p;
        char key[16];
        Job *j;
        int r;

        assert(m);
        assert(ret);

        if (job_manager_n_running(m) >= JOBS_MAX)
                return error_set(reterr_error, -EBUSY, "TooManyJobs",
                                 "%u jobs are running already; wait for one to end, or cancel one (moorctl "
                                 "jobs).",
                                 JOBS_MAX);

        p = calloc(1, sizeof(JobPrivate));
        if (!p)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        j = &p->job;
        *j = (Job) {
                .manager = m,
                .n_ref = 1,
                .id = ++m->last_id,
                .state = JOB_RUNNING,
                .created_usec = now_usec(CLOCK_REALTIME),
                .ns = strdup(ns),
                .kind = strdup(kind),
                .subject = strdup(subject),
        };
        job_key(j->id, key);
        r = j->ns && j->kind && j->subject ? hashmap_put(m->jobs, key, j) : -ENOMEM;
        if (r < 0) {
                job_free(p);
                return error_set_errno(reterr_error, r, "Out of memory");
        }

        if (m->events) {
                events_notify(m->events, NOTIFY_JOB_ADDED, ns, key, j);
                (void) events_record(m->events, ns, "job/new", key, "Kind", kind, "Subject", subject, NULL);
        }

        *ret = j;
        return 0;
}

static int job_on_expired(sd_event_source *s, uint64_t usec, void *userdata) {
        Job *j = userdata;
        JobManager *m = j->manager;
        char key[16];

        job_key(j->id, key);
        if (m->events)
                events_notify(m->events, NOTIFY_JOB_GONE, j->ns, key, j);
        hashmap_remove(m->jobs, key);
        job_free_work(j);
        job_detach((JobPrivate *) j);
        job_unref(j);
        return 0;
}

static int job_on_free_work(sd_event_source *s, void *userdata) {
        job_free_work(userdata);
        return 0;
}

static void job_run_waiters(JobPrivate *p) {
        /* The job has ended: none of them can add another. */
        for (size_t i = 0; i < p->n_waiters; i++)
                p->waiters[i].func(&p->job, p->waiters[i].userdata);
        p->n_waiters = 0;
}

void job_finish(Job *j, const Error *error) {
        JobPrivate *p = (JobPrivate *) j;
        _cleanup_(job_unrefp) Job *hold = NULL;
        JobManager *m;
        char key[16];
        int r;

        assert(j);

        m = j->manager;
        if (j->state != JOB_RUNNING || !m)
                return;

        hold = job_ref(j);
        p->progress_timer = sd_event_source_disable_unref(p->progress_timer);
        j->finished_usec = now_usec(CLOCK_REALTIME);
        if (!error_is_set(error))
                j->state = JOB_DONE;
        else {
                (void) error_copy(&j->error, error);
                /* Helpers have said it; the database and the store have not. */
                if (error_has_name(&j->error, "NoSpace") && !strstr(error_message(&j->error), PROTO_NO_SPACE))
                        (void) error_prefix(&j->error, PROTO_NO_SPACE);
                j->state = error->error == -ECANCELED ? JOB_CANCELED : JOB_FAILED;
        }

        /* The work may be what called us: it is freed from the loop, when the stack is empty. */
        r = sd_event_add_defer(m->event, &p->free_work, job_on_free_work, j);
        if (r < 0)
                log_debug_errno(r, "Failed to defer the clean-up of a job, ignoring: %m");
        r = sd_event_add_time_relative(m->event, &p->expire, CLOCK_MONOTONIC, JOB_KEEP_USEC, USEC_PER_SEC,
                                       job_on_expired, j);
        if (r < 0)
                log_debug_errno(r, "Failed to arm the expiry of a job, ignoring: %m");

        job_key(j->id, key);
        if (m->events) {
                events_notify(m->events, NOTIFY_JOB_CHANGED, j->ns, key, j);
                (void) events_record(m->events, j->ns, "job/removed", key, "Kind", j->kind, "Subject",
                                     j->subject, "Result", job_state_to_string(j->state), NULL);
                events_notify(m->events, NOTIFY_JOB_REMOVED, j->ns, key, j);
        }
        job_run_waiters(p);
}

int job_cancel(Job *j) {
        _cleanup_error_ Error e = ERROR_NULL;

        assert(j);

        if (j->state != JOB_RUNNING)
                return -EALREADY;
        if (j->work_cancel)
                j->work_cancel(j, j->work);

        (void) error_set(&e, -ECANCELED, "Canceled", "Canceled on request.");
        job_finish(j, &e);
        return 0;
}

int job_add_waiter(Job *j, void (*func)(Job *j, void *userdata), void *userdata) {
        JobPrivate *p = (JobPrivate *) j;
        JobWaiter *w;

        assert(j);
        assert(func);

        if (j->state != JOB_RUNNING) {
                func(j, userdata);
                return 0;
        }
        if (p->n_waiters >= WAITERS_MAX)
                return -ENOBUFS;

        w = reallocarray(p->waiters, p->n_waiters + 1, sizeof(JobWaiter));
        if (!w)
                return -ENOMEM;
        p->waiters = w;
        w[p->n_waiters++] = (JobWaiter) { func, userdata };
        return 1;
}

JobPart *job_find_part(Job *j, const char *digest) {
        for (size_t i = 0; i < j->n_parts; i++)
                if (streq(j->parts[i].digest, digest))
                        return j->parts + i;
        return NULL;
}

JobPart *job_add_part(Job *j, const char *digest, uint64_t total) {
        JobPart *parts, *found;
        char *copy;

        assert(j);

        found = job_find_part(j, digest);
        if (found)
                return found;
        if (j->n_parts >= JOB_PARTS_MAX)
                return NULL;

        parts = reallocarray(j->parts, j->n_parts + 1, sizeof(JobPart));
        if (!parts)
                return NULL;
        j->parts = parts;

        copy = strdup(digest);
        if (!copy)
                return NULL;

        parts[j->n_parts] = (JobPart) { .digest = copy, .phase = "waiting", .total = total };
        return parts + j->n_parts++;
}

static void job_notify_progress(JobPrivate *p) {
        Job *j = &p->job;
        char key[16];

        p->progress_usec = now_usec(CLOCK_MONOTONIC);
        p->progress_timer = sd_event_source_disable_unref(p->progress_timer);
        job_key(j->id, key);
        if (j->manager && j->manager->events)
                events_notify(j->manager->events, NOTIFY_JOB_CHANGED, j->ns, key, j);
}

static int job_on_progress_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        job_notify_progress(userdata);
        return 0;
}

void job_progress(Job *j, bool now) {
        JobPrivate *p = (JobPrivate *) j;
        uint64_t t, next;

        assert(j);

        if (j->state != JOB_RUNNING || !j->manager)
                return;

        j->bytes_total = j->bytes_done = 0;
        for (size_t i = 0; i < j->n_parts; i++) {
                bool fetched = streq(j->parts[i].phase, "unpacking") || streq(j->parts[i].phase, "done");

                j->bytes_total += j->parts[i].total;
                j->bytes_done += fetched ? j->parts[i].total : MIN(j->parts[i].done, j->parts[i].total);
        }

        /* A change of phase is told soon too, but not each on its own: twenty small layers are one
         * signal. */
        t = now_usec(CLOCK_MONOTONIC);
        next = p->progress_usec + JOB_PROGRESS_INTERVAL_USEC;
        if (t >= next)
                job_notify_progress(p);
        else if (now && !p->progress_timer)
                (void) sd_event_add_time(j->manager->event, &p->progress_timer, CLOCK_MONOTONIC, next, 0,
                                         job_on_progress_timer, p);
}
