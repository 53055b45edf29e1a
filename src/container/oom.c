/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Units with Delegate= have OOMPolicy=continue: the kernel kills one process, PID 1 writes a line into the
 * journal, and if that was the main process its Result is "signal". Who was it? memory.events knows how many
 * as long as there is the group, the journal knows of all, also of what happened while we were away. The
 * journal is read a few times in a row, as its writers are not waited for; a run that was ended by a SIGKILL
 * that was not ours, or with the exit status that a shell makes of that, is recorded when it is known.
 *
 * A question opens the journal, reads at most some hundred entries of it by its index, and takes about a
 * millisecond; there is one only when something was killed. */

#include <signal.h>
#include <sys/wait.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "container/container-private.h"
#include "container/oom.h"

#define ATTEMPTS_MAX 9U
#define FIRST_DELAY_USEC (5 * USEC_PER_MSEC) /* doubled each time: 1.3 s in all */
#define EXIT_STATUS_KILLED (128 + SIGKILL)

struct OomQuery {
        Container *container; /* weak */
        sd_event_source *timer;
        unsigned attempt;
        uint64_t count; /* memory.events, as it was read last */
        bool ended;     /* what follows is its end */
        bool counted;   /* and count is what it was then */
        UnitStatus status;
        char *result;
};

static OomQuery *oom_query_free(OomQuery *q) {
        if (!q)
                return NULL;

        sd_event_source_disable_unref(q->timer);
        unit_status_done(&q->status);
        free(q->result);
        free(q);
        return NULL;
}

void container_oom_free(Container *c) {
        c->work->oom = oom_query_free(c->work->oom);
}

static int copy_status(UnitStatus *to, const UnitStatus *from) {
        const struct {
                char **to;
                const char *from;
        } strings[] = {
                { &to->active_state, from->active_state },   { &to->sub_state, from->sub_state },
                { &to->result, from->result },               { &to->status_text, from->status_text },
                { &to->invocation_id, from->invocation_id }, { &to->control_group, from->control_group },
        };

        *to = *from;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                *strings[i].to = NULL;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if (free_and_strdup(strings[i].to, strings[i].from) < 0)
                        return -ENOMEM;
        return 0;
}

/* -- what is known ------------------------------------------------------------------------------ */

static int read_report(Container *c, OomReport *ret) {
        _cleanup_(sd_journal_closep) sd_journal *j = NULL;
        const char *group = c->control_group ?: "/";
        int r;

        if (!c->row.invocation_id)
                return -ENXIO;
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        return r < 0 ? r : oom_report_read(j, c->row.invocation_id, group, c->row.started_usec, ret);
}

/* How many have been killed in this run, as far as is known. */
static uint64_t count_kills(const OomQuery *q, const OomReport *report) {
        uint64_t n = MAX(q->count, (uint64_t) report->n_victims);

        /* The counter of the group itself: the journal may speak of the run before as well. */
        if (!q->ended || q->counted)
                return MAX(q->count, q->container->row.oom_kills);
        return n == 0 && report->n_messages > 0 ? 1 : MAX(n, q->container->row.oom_kills);
}

/* Another look may tell more. */
static bool is_complete(const OomQuery *q, const OomReport *report) {
        uint64_t n = count_kills(q, report);

        if (q->ended && !report->exit_seen)
                return false;
        return report->n_victims >= n && (n > 0 || report->n_messages == 0);
}

static bool main_was_killed(const OomQuery *q, const OomReport *report) {
        const Container *c = q->container;

        if (q->status.exec_main_code != CLD_KILLED || q->status.exec_main_status != SIGKILL)
                return false;
        for (size_t i = 0; i < report->n_victims; i++)
                if (report->victims[i].pid == c->leader_pid)
                        return true;
        /* The kernel's lines may have been lost, or nobody reads them. */
        return report->n_victims == 0 && (report->n_messages > 0 || (q->counted && q->count > 0)) && !c->work->killed;
}

/* v NULL: nobody knows. */
static int record_kill(Container *c, const OomVictim *v, bool main) {
        return events_record(c->manager->events, c->row.ns, "container/oom", c->row.id, "Command",
                             v ? v->command : NULL, "#PID", (int64_t) (v ? v->pid : 0), "Process",
                             main ? "main" : "other", "Image", c->row.image, NULL);
}

/* The oldest first. */
static int record_kills(const OomQuery *q, uint64_t n_new, const OomReport *report) {
        _cleanup_transaction_ StoreTransaction t = {};
        Container *c = q->container;
        size_t n = (size_t) MIN(n_new, (uint64_t) report->n_victims);
        int r;

        r = store_transaction_begin(&t, c->manager->store, !c->row.auto_remove);
        if (r >= 0)
                r = store_container_update(c->manager->store, &c->row);
        for (size_t i = n; r >= 0 && i > 0; i--)
                r = record_kill(c, &report->victims[i - 1], report->victims[i - 1].pid == c->leader_pid);
        if (r >= 0 && n == 0)
                r = record_kill(c, NULL, main_was_killed(q, report));
        return r < 0 ? r : store_transaction_commit(&t);
}

/* -- the question ------------------------------------------------------------------------------- */

static void take_kills(const OomQuery *q, const OomReport *report) {
        Container *c = q->container;
        uint64_t n = count_kills(q, report), n_new = n - c->row.oom_kills;
        int r;

        if (n_new == 0)
                return;
        c->row.oom_kills = n;
        r = record_kills(q, n_new, report);
        if (r < 0)
                log_error_errno(r, "Failed to record an out-of-memory kill in container %s: %m", c->row.id);
        events_notify(c->manager->events, NOTIFY_CONTAINER_LIMITS_CHANGED, c->row.ns, c->row.id, c);
}

static void finish(OomQuery *q, const OomReport *report) {
        Container *c = q->container;
        bool main = q->ended && main_was_killed(q, report);

        c->work->oom = NULL;
        take_kills(q, report);
        if (q->ended) {
                c->work->oom_asked = true;
                container_record_exit(c, &q->status, main ? "oom-kill" : q->result);
        }
        oom_query_free(q);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata);

static void ask(OomQuery *q) {
        _cleanup_(oom_report_done) OomReport report = {};
        Container *c = q->container;
        /* The unit of a container that is installed may run again at once, with another container. */
        bool last = q->attempt >= ATTEMPTS_MAX || c->manager->recovering || c->options.unit;
        int r;

        r = read_report(c, &report);
        if (r < 0) {
                log_debug_errno(r, "Failed to look for what the OOM killer did in the journal: %m");
                last = true;
        }
        if (!last && !is_complete(q, &report)) {
                uint64_t delay = FIRST_DELAY_USEC << q->attempt++;

                sd_event_source_disable_unref(q->timer);
                q->timer = NULL;
                r = sd_event_add_time_relative(c->manager->event, &q->timer, CLOCK_MONOTONIC, delay,
                                               USEC_PER_MSEC, on_timer, q);
                if (r >= 0)
                        return;
        }
        finish(q, &report);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        ask(userdata);
        return 0;
}

static OomQuery *oom_query_get(Container *c) {
        if (!c->work->oom) {
                c->work->oom = calloc(1, sizeof(OomQuery));
                if (c->work->oom)
                        c->work->oom->container = c;
        }
        if (c->work->oom)
                c->work->oom->attempt = 0;
        return c->work->oom;
}

void container_oom_look(Container *c) {
        _cleanup_close_ int fd = c->control_group ? cgroup_open_group(c->control_group) : -EBADF;
        uint64_t count;
        OomQuery *q;

        if (fd < 0 || cgroup_read_key(fd, "memory.events", "oom_kill", &count) < 0 ||
            count <= c->row.oom_kills || (c->work->oom && c->work->oom->count == count))
                return;

        q = oom_query_get(c);
        if (!q) {
                (void) log_oom();
                return;
        }
        q->count = count;
        ask(q);
}

/* Whether this end could be the killer's work. What moored killed itself was not; while it was away anything
 * may have happened. */
static bool end_is_suspicious(const Container *c, const UnitStatus *status, const char *result) {
        bool killed = status->exec_main_code == CLD_KILLED && status->exec_main_status == SIGKILL;

        if (c->work->oom || streq_ptr(result, "oom-kill"))
                return true;
        if (killed || (status->exec_main_code == CLD_EXITED && status->exec_main_status == EXIT_STATUS_KILLED))
                return !c->work->killed;
        return c->manager->recovering && !streq_ptr(result, "success");
}

bool container_oom_delay_exit(Container *c, const UnitStatus *status, const char *result) {
        OomQuery *q;

        if (c->work->oom && c->work->oom->ended) /* on its way */
                return true;
        if (!c->manager->memory_watched || !status || c->work->oom_asked ||
            !end_is_suspicious(c, status, result))
                return false;
        q = oom_query_get(c);
        if (!q) {
                (void) log_oom();
                return false;
        }
        if (copy_status(&q->status, status) < 0 || free_and_strdup(&q->result, result) < 0) {
                (void) log_oom();
                container_oom_free(c);
                return false;
        }
        q->ended = true;
        /* The run of a container that an earlier daemon knew. */
        if (!c->control_group)
                container_take_control_group(c, status);
        if (c->leader_pid == 0)
                c->leader_pid = status->exec_main_pid;
        ask(q);
        return true;
}

/* The journal may not have got the kernel's line yet, and the next run does not wait for it: then the kill is told
 * without its victim. */
const char *container_oom_settle(Container *c, const UnitStatus *status, const char *result, uint64_t kills) {
        _cleanup_(oom_report_done) OomReport report = {};
        const OomQuery q = { .container = c, .count = kills, .ended = true, .counted = true, .status = *status };
        bool killed = status->exec_main_code == CLD_KILLED && status->exec_main_status == SIGKILL;
        int r;

        container_oom_free(c);
        if (!c->manager->memory_watched || (kills == 0 && !(killed && !c->work->killed)))
                return result;
        r = read_report(c, &report);
        if (r < 0)
                log_debug_errno(r, "Failed to look for what the OOM killer did in the journal: %m");
        take_kills(&q, &report);
        return main_was_killed(&q, &report) ? "oom-kill" : result;
}
