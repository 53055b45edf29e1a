/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "job/job.h"

typedef struct Fixture {
        sd_event *event;
        Store *store;
        Events *events;
        JobManager *jobs;
        unsigned n_changed, n_removed, n_gone;
} Fixture;

static void on_notify(NotifyType type, const char *ns, const char *name, void *object, void *userdata) {
        Fixture *f = userdata;

        f->n_changed += type == NOTIFY_JOB_CHANGED;
        f->n_removed += type == NOTIFY_JOB_REMOVED;
        f->n_gone += type == NOTIFY_JOB_GONE;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(store_open(":memory:", &f->store, NULL, NULL), 0);
        assert_int_equal(events_new(f->store, 100, &f->events), 0);
        assert_int_equal(events_subscribe(f->events, on_notify, f), 0);
        assert_int_equal(job_manager_new(f->event, f->events, &f->jobs), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        job_manager_free(f->jobs);
        events_free(f->events);
        store_free(f->store);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void run_pending(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void count_waiter(Job *j, void *userdata) {
        (*(unsigned *) userdata)++;
}

static unsigned n_work_freed, n_work_canceled;

static void work_free(void *work) {
        n_work_freed++;
        free(work);
}

static void work_cancel(Job *j, void *work) {
        n_work_canceled++;
}

static Job *new_job(Fixture *f) {
        Job *j;

        assert_int_equal(job_new(f->jobs, "default", "pull", "docker.io/library/x:latest", &j, NULL), 0);
        j->work = malloc(1);
        j->work_free = work_free;
        j->work_cancel = work_cancel;
        return j;
}

static void test_done(void **state) {
        Fixture *f = *state;
        unsigned waited = 0;
        Job *j = new_job(f);

        n_work_freed = 0;
        assert_ptr_equal(job_manager_get(f->jobs, j->id), j);
        assert_int_equal(job_manager_n_running(f->jobs), 1);
        assert_int_equal(job_add_waiter(j, count_waiter, &waited), 1);
        assert_int_equal(waited, 0);

        job_finish(j, NULL);
        assert_int_equal(j->state, JOB_DONE);
        assert_int_equal(waited, 1);
        assert_int_equal(f->n_removed, 1);
        assert_true(j->finished_usec >= j->created_usec);

        /* The work goes from the loop, not under the feet of who finished it; the job can still be read. */
        assert_int_equal(n_work_freed, 0);
        run_pending(f);
        assert_int_equal(n_work_freed, 1);
        assert_ptr_equal(job_manager_get(f->jobs, j->id), j);
        assert_int_equal(job_manager_n_running(f->jobs), 0);

        /* A waiter that comes late is told at once; a second end changes nothing. */
        assert_int_equal(job_add_waiter(j, count_waiter, &waited), 0);
        assert_int_equal(waited, 2);
        _cleanup_error_ Error e = ERROR_NULL;
        (void) error_set(&e, -EIO, "Failed", "late");
        job_finish(j, &e);
        assert_int_equal(j->state, JOB_DONE);
        assert_int_equal(f->n_removed, 1);
}

static void test_failed(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Job *j = new_job(f);

        (void) error_set(&e, -EBADMSG, "DigestMismatch", "Layer x: wrong");
        job_finish(j, &e);
        assert_int_equal(j->state, JOB_FAILED);
        assert_string_equal(error_name(&j->error), "DigestMismatch");
        assert_string_equal(error_message(&j->error), "Layer x: wrong");
}

static void test_cancel(void **state) {
        Fixture *f = *state;
        unsigned waited = 0;
        Job *j = new_job(f);

        n_work_canceled = 0;
        assert_int_equal(job_add_waiter(j, count_waiter, &waited), 1);
        assert_int_equal(job_cancel(j), 0);
        assert_int_equal(n_work_canceled, 1);
        assert_int_equal(waited, 1);
        assert_int_equal(j->state, JOB_CANCELED);
        assert_int_equal(job_cancel(j), -EALREADY);
        assert_int_equal(n_work_canceled, 1);
}

/* Who holds a job may do so for longer than there is a manager. */
static void test_job_outlives_manager(void **state) {
        _cleanup_(job_unrefp) Job *running = NULL, *ended = NULL;
        Fixture *f = *state;

        n_work_freed = 0;
        running = job_ref(new_job(f));
        ended = job_ref(new_job(f));
        job_finish(ended, NULL);
        f->jobs = job_manager_free(f->jobs);
        assert_int_equal(n_work_freed, 2);
        assert_null(running->manager);
        assert_int_not_equal(running->state, JOB_RUNNING);
        run_pending(f);
        job_finish(running, NULL);
        job_progress(running, true);
        assert_string_equal(ended->kind, "pull");
}

static void test_limit(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Job *j, *first = NULL;

        for (unsigned i = 0; i < JOBS_MAX; i++) {
                assert_int_equal(job_new(f->jobs, "default", "pull", "x", &j, NULL), 0);
                first = first ?: j;
        }
        assert_int_equal(job_new(f->jobs, "default", "pull", "x", &j, &e), -EBUSY);
        assert_string_equal(error_name(&e), "TooManyJobs");

        /* One that has ended makes room, though it can still be read. */
        job_finish(first, NULL);
        assert_int_equal(job_new(f->jobs, "default", "pull", "x", &j, NULL), 0);
}

static void test_progress(void **state) {
        Fixture *f = *state;
        Job *j = new_job(f);
        JobPart *p;

        assert_non_null(job_add_part(j, "sha256:a", 100));
        p = job_add_part(j, "sha256:b", 50);
        assert_non_null(p);
        assert_ptr_equal(job_add_part(j, "sha256:b", 50), p);
        assert_int_equal(j->n_parts, 2);
        assert_null(job_find_part(j, "sha256:c"));

        p->phase = "downloading";
        p->done = 70; /* more than there is: a liar does not get beyond the whole */
        job_progress(j, false);
        assert_int_equal(j->bytes_total, 150);
        assert_int_equal(j->bytes_done, 50);
        assert_int_equal(f->n_changed, 1);

        /* At most four a second. */
        for (unsigned i = 0; i < 100; i++)
                job_progress(j, true);
        assert_int_equal(f->n_changed, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_done, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
                cmocka_unit_test_setup_teardown(test_job_outlives_manager, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
