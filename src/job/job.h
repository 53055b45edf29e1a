/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A long piece of work: number, kind, progress, parts, waiters, cancel, and the helper processes that do it.
 *
 *   waiting ──job_start──▶ running ──job_finish──▶ done | failed | canceled ──(a minute)──▶ gone
 */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/hashmap.h"
#include "basic/json.h"
#include "events/events.h"
#include "job/proto.h"

#define JOBS_MAX 64U                          /* that have not ended */
#define JOB_KEEP_USEC (UINT64_C(60) * 1000000) /* readable after its end */
#define JOB_PROGRESS_INTERVAL_USEC (UINT64_C(250) * 1000)
#define JOB_PARTS_MAX 1024U

typedef struct JobManager JobManager;
typedef struct Job Job;

typedef enum JobState {
        JOB_RUNNING,
        JOB_DONE,
        JOB_FAILED,
        JOB_CANCELED,
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;
DECLARE_STRING_TABLE(job_state, JobState); /* "running", "done", "failed", "canceled" */

typedef struct JobPart {
        char *digest;
        const char *phase; /* "waiting", "downloading", "unpacking", "done", "failed": static strings */
        uint64_t done, total;
        bool reused;       /* was here already: nothing was fetched */
} JobPart;

struct Job {
        JobManager *manager; /* weak */
        unsigned n_ref;
        uint32_t id;
        char *ns;
        char *kind;          /* "pull", "import", "remove", "sync", "gc" */
        char *subject;       /* image reference, … */
        JobState state;
        uint64_t bytes_total, bytes_done;
        JobPart *parts;
        size_t n_parts;
        Error error;
        char *result_object; /* what it made: image reference, …; NULL */
        uint64_t created_usec, finished_usec;
        /* the work behind it */
        void *work;                              /* owned through work_free */
        void (*work_cancel)(Job *j, void *work); /* ends the work; calls job_finish() now or later */
        void (*work_free)(void *work);
};

int job_manager_new(sd_event *event, Events *events, JobManager **ret);
JobManager *job_manager_free(JobManager *m); /* kills all helpers */
DEFINE_CLEANUP_FUNC(JobManager *, job_manager_free)
sd_event *job_manager_event(JobManager *m);
/* Another program in place of MOORED_HELPER_PATH: tests run the one that was just built. */
int job_manager_set_helper_path(JobManager *m, const char *path);
const char *job_manager_helper_path(const JobManager *m);
Job *job_manager_get(JobManager *m, uint32_t id);
size_t job_manager_n_running(JobManager *m);
bool job_manager_iterate(JobManager *m, HashmapIterator *i, Job **ret);

/* -EBUSY "TooManyJobs". The manager holds a reference until the job is gone; *ret is borrowed. */
int job_new(JobManager *m, const char *ns, const char *kind, const char *subject, Job **ret,
            Error *reterr_error);
Job *job_ref(Job *j);
Job *job_unref(Job *j);
DEFINE_CLEANUP_FUNC(Job *, job_unref)
/* Ends it once; later calls change nothing. error NULL or not set: done. -ECANCELED: canceled. Waiters are
 * told. */
void job_finish(Job *j, const Error *error);
int job_cancel(Job *j); /* -EALREADY if it has ended */
/* Called (and forgotten) at the end; at once if it has ended. */
int job_add_waiter(Job *j, void (*func)(Job *j, void *userdata), void *userdata);
/* Valid until the next part is added. */
JobPart *job_add_part(Job *j, const char *digest, uint64_t total);
JobPart *job_find_part(Job *j, const char *digest);
/* Sums up the parts and notifies, throttled; now: at once (a phase has changed). */
void job_progress(Job *j, bool now);

/* -- helper processes ----------------------------------------------------------------------------------- */
typedef struct HelperProcess HelperProcess;
typedef struct HelperOps {
        /* A message; m's descriptors are closed after the call unless taken. */
        void (*on_message)(HelperProcess *h, ProtoMessage *m, void *userdata);
        /* It is gone (reaped, all messages delivered). error: NULL after exit status 0 without a TYPE=error
         * message. */
        void (*on_exit)(HelperProcess *h, const Error *error, void *userdata);
} HelperOps;

/* fds (borrowed) become 4, 5, … of the helper; request is dumped to its stdin. Ends with the daemon
 * (PDEATHSIG). */
int helper_start(JobManager *m, const char *verb, json_t *request, const int *fds, size_t n_fds,
                 const HelperOps *ops, void *userdata, HelperProcess **ret, Error *reterr_error);
int helper_socket(HelperProcess *h); /* for proto_send() */
/* Closes the daemon's end of the socket: a helper that waits for work ends with 0. */
void helper_hang_up(HelperProcess *h);
/* Kills it and waits for a moment until it is gone: then it writes to nothing that it was given any more.
 * -EAGAIN if it is still there (stuck in I/O). ops are not called any more; helper_free() is to follow. */
int helper_stop(HelperProcess *h);
/* Kills it; ops are not called any more. */
HelperProcess *helper_free(HelperProcess *h);
DEFINE_CLEANUP_FUNC(HelperProcess *, helper_free)
