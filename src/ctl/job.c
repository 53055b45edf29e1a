/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The match on the jobs' properties is added before the call, so that no change is missed; Wait() tells the
 * end. A moored that is killed answers with NoReply (from the bus daemon): then the whole request is made
 * again. */

#include "ctl/job.h"

#include <signal.h>
#include <unistd.h>

#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/progress.h"
#include "ctl/terminal.h"

#define JOB_ATTEMPTS_MAX 5U
/* A stop of moored that is under way shall not be canceled by our start. */
#define JOB_RETRY_DELAY_USEC (300 * USEC_PER_MSEC)

#define MATCH_JOBS                                                                                          \
        "type='signal',sender='" BUS_NAME "',interface='" BUS_PROPERTIES "',member='PropertiesChanged',"    \
        "path_namespace='" BUS_PATH "/job'"

typedef struct JobWatch {
        Ctl *c;
        Progress *progress; /* NULL: quiet */
        char *path;         /* NULL until the call was answered */
        sd_bus_slot *match, *wait;
        sd_event_source *sigint, *sigterm;
        bool canceled, ended, lost;
        Error error; /* of Wait() */
} JobWatch;

static void watch_done(JobWatch *w) {
        if (w->progress)
                progress_finish(w->progress);
        progress_free(w->progress);
        sd_bus_slot_unref(w->match);
        sd_bus_slot_unref(w->wait);
        sd_event_source_disable_unref(w->sigint);
        sd_event_source_disable_unref(w->sigterm);
        free(w->path);
        error_done(&w->error);
}

static int read_parts(JobWatch *w, sd_bus_message *m) {
        const char *digest, *phase;
        uint64_t done, total;
        int r, reused;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_VARIANT, "a(ssttb)");
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "(ssttb)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(ssttb)", &digest, &phase, &done, &total, &reused)) > 0) {
                r = progress_set_part(w->progress, digest, phase, done, total, reused);
                if (r < 0 && r != -E2BIG)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

/* The a{sv} at the message's position. */
static int read_progress(JobWatch *w, sd_bus_message *m) {
        int r;

        if (!w->progress)
                return 0;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                r = streq(name, "Parts") ? read_parts(w, m) : sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        progress_draw(w->progress, now_usec(CLOCK_MONOTONIC));
        return 0;
}

static int watch_on_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        JobWatch *w = userdata;

        /* A message that cannot be read costs a redraw, no more. */
        if (w->path && streq_ptr(sd_bus_message_get_path(m), w->path) && sd_bus_message_skip(m, "s") >= 0)
                (void) read_progress(w, m);
        return 0;
}

static int watch_on_end(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        JobWatch *w = userdata;

        w->ended = true;
        if (e) {
                w->lost = bus_error_is_lost(e) || sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_OBJECT);
                (void) bus_error_to_error(e, 0, &w->error);
        }
        return 1;
}

static int watch_on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_message_ sd_bus_message *m = NULL;
        JobWatch *w = userdata;

        w->canceled = true;
        if (ctl_new_call(w->c, w->path, BUS_JOB, "Cancel", &m, NULL) >= 0)
                (void) sd_bus_send(w->c->bus, m, NULL);
        return 0;
}

static int watch_add_signals(JobWatch *w, sd_event *event) {
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(event, &w->sigint, SIGINT, watch_on_signal, w);
        if (r < 0)
                return r;
        return sd_event_add_signal(event, &w->sigterm, SIGTERM, watch_on_signal, w);
}

static void restore_signals(void) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        (void) sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

/* The state that the job was left in: its error, or the object that it made. */
static int read_result(JobWatch *w, char **ret_object, Error *reterr_error) {
        _cleanup_json_ json_t *job = NULL;
        const char *result, *message;
        char *object;
        int r;

        r = ctl_get_all(w->c, w->path, BUS_JOB, &job, reterr_error);
        if (r < 0)
                return r;
        result = strempty(json_get_string(job, "Result"));
        if (streq(result, "canceled"))
                return error_set(reterr_error, -ECANCELED, "Canceled", "Canceled. Nothing of it is kept.");
        if (!streq(result, "done")) {
                message = json_get_string(job, "ErrorMessage");
                return error_set(
                                reterr_error, -EIO, json_get_string(job, "ErrorName") ?: "Failed", "%s",
                                isempty(message)
                                                ? "The job failed without saying why; see: journalctl -u moored"
                                                : message);
        }
        if (ret_object) {
                object = strdup(json_get_string(job, "ResultObject") ?: "/");
                if (!object)
                        return error_oom(reterr_error);
                *ret_object = object;
        }
        return 0;
}

static int watch_start(JobWatch *w, const JobRequest *q, sd_event *event, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL, *wait = NULL;
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *path;
        int r;

        r = q->make(w->c, &m, q->userdata, reterr_error);
        if (r < 0)
                return r;
        if (w->progress) {
                r = sd_bus_add_match_async(w->c->bus, &w->match, MATCH_JOBS, watch_on_changed, NULL, w);
                if (r < 0)
                        return bus_error_to_error(NULL, r, reterr_error);
        }
        r = sd_bus_call(w->c->bus, m, UINT64_MAX, &e, &reply);
        if (r < 0) {
                w->lost = bus_error_is_lost(&e);
                return namespace_error(w->c->ns, &e, r, reterr_error);
        }
        r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        w->path = strdup(path);
        if (!w->path)
                return error_oom(reterr_error);

        r = watch_add_signals(w, event);
        if (r >= 0)
                r = sd_bus_message_new_method_call(w->c->bus, &wait, BUS_NAME, w->path, BUS_JOB, "Wait");
        if (r >= 0)
                r = sd_bus_call_async(w->c->bus, &w->wait, wait, watch_on_end, w, UINT64_MAX);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int watch_loop(JobWatch *w, const JobRequest *q, sd_event *event, char **ret_object,
                      Error *reterr_error) {
        int r;

        r = watch_start(w, q, event, reterr_error);
        if (r < 0)
                return r;
        while (!w->ended) {
                r = sd_event_run(event, UINT64_MAX);
                if (r < 0)
                        return bus_error_to_error(NULL, r, reterr_error);
        }
        if (w->canceled && w->lost)
                return error_set(reterr_error, -ECANCELED, "Canceled", "Canceled.");
        if (error_is_set(&w->error))
                return error_move(reterr_error, &w->error);
        if (w->progress) {
                _cleanup_message_ sd_bus_message *reply = NULL;

                /* The last redraw: all parts as they ended. */
                if (ctl_call(w->c, w->path, BUS_PROPERTIES, "GetAll", &reply, NULL, "s", BUS_JOB) >= 0)
                        (void) read_progress(w, reply);
        }
        return read_result(w, ret_object, reterr_error);
}

int job_run(Ctl *c, const JobRequest *q, char **ret_object, Error *reterr_error) {
        sd_event *event;
        int r;

        r = ctl_event(c, &event, reterr_error);
        if (r < 0)
                return r;
        ctl_start_agent(c);
        if (!c->quiet)
                fprintf(stderr, "%s\n", q->title);

        for (unsigned attempt = 1;; attempt++) {
                _cleanup_(watch_done) JobWatch w = { .c = c };
                _cleanup_error_ Error error = ERROR_NULL;

                if (!c->quiet) {
                        w.progress = progress_new(stderr, terminal_can_redraw(STDERR_FILENO),
                                                  terminal_has_colors(STDERR_FILENO),
                                                  terminal_columns(STDERR_FILENO),
                                                  terminal_rows(STDERR_FILENO));
                        if (!w.progress)
                                return error_oom(reterr_error);
                }
                r = watch_loop(&w, q, event, ret_object, &error);
                restore_signals();
                if (r >= 0)
                        return 0;
                if (!w.lost || w.canceled || q->once || attempt >= JOB_ATTEMPTS_MAX)
                        return error_move(reterr_error, &error);
                if (!c->quiet)
                        fprintf(stderr, "moored was restarted; asking again.\n");
                (void) usleep(JOB_RETRY_DELAY_USEC);
        }
}

typedef struct PullRequest {
        const char *reference, *platform;
} PullRequest;

static int pull_make(Ctl *c, sd_bus_message **ret, void *userdata, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = namespace_path(c->ns);
        PullRequest *p = userdata;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = ctl_new_call(c, path, BUS_NAMESPACE, "PullImage", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", p->reference);
        if (r >= 0)
                r = p->platform ? sd_bus_message_append(m, "a{sv}", 1, "Platform", "s", p->platform)
                                : sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "'%s' cannot be sent to moored: %s",
                                 p->reference, strerror(-r));
        *ret = TAKE_PTR(m);
        return 0;
}

int job_pull(Ctl *c, const char *reference, const char *platform, char **ret_object, Error *reterr_error) {
        _cleanup_free_ char *title = NULL;
        PullRequest p = { reference, platform };
        JobRequest q = { .make = pull_make, .userdata = &p };

        if (asprintf(&title, "Pulling %s", reference) < 0) {
                title = NULL;
                return error_oom(reterr_error);
        }
        q.title = title;
        return job_run(c, &q, ret_object, reterr_error);
}
