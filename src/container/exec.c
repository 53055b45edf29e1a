/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An exec is a row and a unit; its process is in the container's namespaces and control group, so that all limits of
 * the container hold for it, and the unit's own control group is empty.
 *
 * The row is there before PID 1 is asked: a daemon that is killed at any moment finds, when it comes back, an exec
 * for each unit, and for each row what became of it:
 *
 *   row        unit                  made of it
 *   starting   none, never active    dropped: nobody was told that it runs
 *   starting   active                it has started: adopted
 *   any        ended                 its exit is taken from the unit, then the unit is released
 *   running    none                  ended: as the unit has written down, or PID 1 in the journal; else "lost" or "reboot"
 *
 * Whoever called and got no answer calls again with the same token, and gets the same exec; one that has ended and
 * removed itself meanwhile is found by its events.
 *
 * When the container ends the kernel kills all of its execs first; that they have ended is heard in any order, so
 * a container that is to be removed waits for them. */

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "basic/json.h"
#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/exec.h"
#include "container/unit-name.h"

#define EXEC_OPTIONS_SIZE_MAX (8U * 1024 * 1024) /* the JSON text of a row */

static const char *const exec_state_table[_EXEC_STATE_MAX] = {
        [EXEC_STARTING] = "starting",
        [EXEC_RUNNING] = "running",
        [EXEC_EXITED] = "exited",
};
DEFINE_STRING_TABLE(exec_state, ExecState);

void exec_options_done(ExecOptions *o) {
        strv_free(o->command);
        strv_free(o->environment);
        free(o->working_directory);
        free(o->user);
        strv_free(o->groups);
        strv_free(o->cap_add);
        strv_free(o->cap_drop);
        free(o->terminal_size);
        free(o->token);
        *o = (ExecOptions){};
}

/* -- one exec ----------------------------------------------------------------------------------- */

int exec_add_waiter(Exec *e, WaiterKind kind, ExecFunc func, void *userdata) {
        const Waiter w = { .kind = kind, .exec = func, .userdata = userdata };

        return waiters_add(&e->waiters, &w);
}

static void exec_unlink(Exec *e) {
        Exec **p = &e->container->execs;

        while (*p && *p != e)
                p = &(*p)->next;
        if (*p)
                *p = e->next;
        if (e->unit && hashmap_get(e->container->manager->execs, e->unit) == e)
                (void) hashmap_remove(e->container->manager->execs, e->unit);
}

static Exec *exec_free(Exec *e) {
        if (!e)
                return NULL;

        exec_unlink(e);
        waiters_call(waiters_take(&e->waiters, WAITER_ALL), NULL, NULL);
        exec_row_done(&e->row);
        strv_free(e->command);
        free(e->user);
        free(e->working_directory);
        free(e->unit);
        free(e);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Exec *, exec_free)

static const JsonField shown_fields[] = {
        { "command", JSON_FIELD_STRV, offsetof(Exec, command), true },
        { "user", JSON_FIELD_STRING, offsetof(Exec, user) },
        { "workingDirectory", JSON_FIELD_STRING, offsetof(Exec, working_directory), true },
        { "privileged", JSON_FIELD_BOOL, offsetof(Exec, privileged) },
        { "terminal", JSON_FIELD_BOOL, offsetof(Exec, terminal) },
        {},
};

int exec_new(Container *c, ExecRow *row, Exec **ret, Error *reterr_error) {
        _cleanup_(exec_freep) Exec *e = NULL;
        _cleanup_json_ json_t *j = NULL;
        Exec **tail = &c->execs;
        int r;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->container = c;
        r = json_parse(row->options, strlen(row->options), EXEC_OPTIONS_SIZE_MAX, &j, reterr_error);
        if (r >= 0)
                r = json_dispatch(j, shown_fields, e, "exec", false, reterr_error);
        if (r < 0)
                return r;
        e->unit = exec_unit_name(row->ns, row->id, row->n);
        if (!e->unit)
                return -ENOMEM;
        if (strlen(e->unit) > UNIT_NAME_LENGTH_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The container's id is too long: the exec's unit would have a name of more than %u "
                                 "characters.",
                                 UNIT_NAME_LENGTH_MAX);
        r = hashmap_put(c->manager->execs, e->unit, e);
        if (r < 0)
                return r;

        e->row = *row;
        *row = (ExecRow){};
        e->state = e->row.started_usec == 0    ? EXEC_STARTING
                   : e->row.finished_usec == 0 ? EXEC_RUNNING
                                               : EXEC_EXITED;
        while (*tail)
                tail = &(*tail)->next;
        *tail = e;
        *ret = TAKE_PTR(e);
        return 0;
}

Exec *exec_find(Container *c, uint64_t n, Error *reterr_error) {
        for (Exec *e = c->execs; e; e = e->next)
                if (e->row.n == n)
                        return e;

        (void) error_set(reterr_error, -ENOENT, "NoSuchExec",
                         "Container %s has no exec %" PRIu64 "; those that ended are forgotten in time.", c->row.id,
                         n);
        return NULL;
}

bool container_has_live_execs(const Container *c) {
        for (const Exec *e = c->execs; e; e = e->next)
                if (e->state != EXEC_EXITED)
                        return true;
        return false;
}

bool exec_is_live(ContainerManager *m, const char *ns, const char *id, const char *n) {
        Container *c = container_find(m, ns, id, NULL);
        uint64_t number;
        Exec *e;

        e = c && parse_uint64(n, &number) >= 0 ? exec_find(c, number, NULL) : NULL;
        return e && e->state != EXEC_EXITED;
}

static void exec_notify(Exec *e, NotifyType type) {
        events_notify(e->container->manager->events, type, e->row.ns, e->row.id, e);
}

static void exec_remove_file(const Exec *e) {
        int r;

        r = bundle_remove_exec(e->container->manager->containers_fd, e->row.ns, e->row.id, e->row.n);
        if (r < 0)
                log_debug_errno(r, "Failed to remove the file of exec %" PRIu64 ", ignoring: %m", e->row.n);
}

static void exec_release_unit(Exec *e) {
        ContainerManager *m = e->container->manager;

        if (e->released || !m->backend || !hashmap_get(m->units, e->unit))
                return;
        e->released = unit_release(m, e->unit);
}

/* The object goes; its row has gone, or goes with the container's. */
static void exec_forget(Exec *e, const Error *error) {
        Waiter *waiters = waiters_take(&e->waiters, WAITER_ALL);

        /* One that never started was never shown. */
        if (e->state != EXEC_STARTING && !error_is_set(error))
                exec_notify(e, NOTIFY_EXEC_REMOVED);
        exec_free(e);
        waiters_call(waiters, NULL, error);
}

void container_forget_execs(Container *c, const Error *error) {
        while (c->execs)
                exec_forget(c->execs, error);
}

int exec_drop(Exec *e, Error *reterr_error) {
        int r;

        r = store_exec_remove(e->container->manager->store, e->row.n);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(reterr_error, r, "Failed to remove exec %" PRIu64 ": %m", e->row.n);
        exec_remove_file(e);
        exec_forget(e, NULL);
        return 0;
}

/* Those that ended first are forgotten. */
static void prune_execs(Container *c) {
        unsigned n = 0;
        Exec *next;

        for (const Exec *e = c->execs; e; e = e->next)
                n += e->state == EXEC_EXITED;
        while (n-- > EXECS_ENDED_MAX) {
                _cleanup_error_ Error error = ERROR_NULL;
                Exec *oldest = NULL;

                for (next = c->execs; next; next = next->next)
                        if (next->state == EXEC_EXITED &&
                            (!oldest || next->row.finished_usec < oldest->row.finished_usec))
                                oldest = next;
                if (exec_drop(oldest, &error) < 0) {
                        log_warning("%s", error_message(&error));
                        return;
                }
        }
}

/* -- records ------------------------------------------------------------------------------------ */

static int record_exec_started(Exec *e) {
        return events_record(e->container->manager->events, e->row.ns, "container/exec-started", e->row.id, "#Exec",
                             (int64_t) e->row.n, "#PID", (int64_t) e->pid, "Unit", e->unit, "Token",
                             e->row.token, NULL);
}

static int record_exec_exited(Exec *e) {
        return events_record(e->container->manager->events, e->row.ns, "container/exec-exited", e->row.id, "#Exec",
                             (int64_t) e->row.n, "#ExitCode", (int64_t) e->row.exit_code, "ExitSignal",
                             e->row.exit_signal, "Result", e->row.result, "Token", e->row.token, NULL);
}

/* Row and event as one. */
static int exec_record(Exec *e, bool gone, int (*event)(Exec *e)) {
        _cleanup_transaction_ StoreTransaction t = {};
        Store *s = e->container->manager->store;
        int r;

        r = store_transaction_begin(&t, s, false);
        if (r >= 0)
                r = gone ? store_exec_remove(s, e->row.n) : store_exec_update(s, &e->row);
        if (r >= 0)
                r = event(e);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                log_error_errno(r, "Failed to record the state of exec %" PRIu64 " of container %s: %m", e->row.n,
                                e->row.id);
        return r;
}

/* -- what PID 1 says ---------------------------------------------------------------------------- */

void exec_started(Exec *e, const UnitStatus *status) {
        e->row.started_usec = status->exec_main_start_usec ?: now_usec(CLOCK_REALTIME);
        if (free_and_strdup(&e->row.boot_id, e->container->manager->boot_id) < 0 ||
            free_and_strdup(&e->row.invocation_id, status->invocation_id) < 0)
                (void) log_oom();
        e->pid = status->main_pid;
        (void) exec_record(e, false, record_exec_started);
        e->state = EXEC_RUNNING;
        exec_notify(e, NOTIFY_EXEC_ADDED);
        waiters_call(waiters_take(&e->waiters, WAITER_START), e, NULL);
}

/* status NULL: nothing is known of its end but result. */
static void exec_exited(Exec *e, const UnitStatus *status, const char *result) {
        Container *c = e->container;
        bool gone = e->row.auto_remove;
        ExitData data;
        int r;

        exit_data_from_unit(status, &data);
        e->row.exit_code = data.code;
        e->row.finished_usec = data.finished_usec;
        if (free_and_strdup(&e->row.exit_signal, data.signal_name) < 0 ||
            free_and_strdup(&e->row.result, result) < 0)
                (void) log_oom();
        e->pid = 0;
        r = exec_record(e, gone, record_exec_exited);
        e->state = EXEC_EXITED;
        if (c->manager->recovering)
                log_info("Exec %" PRIu64 " in container %s ended meanwhile (%s, exit code %" PRIi32 ").", e->row.n,
                         e->row.id, strempty(e->row.result), e->row.exit_code);
        if (!gone || r < 0) /* else it goes at once */
                exec_notify(e, NOTIFY_EXEC_CHANGED);

        /* Without a record PID 1 is the only one who knows: it keeps the unit. */
        if (r >= 0)
                exec_release_unit(e);
        exec_remove_file(e);
        exec_close_terminal(e);
        waiters_call(waiters_take(&e->waiters, WAITER_ENDED), e, NULL);
        if (gone && r >= 0)
                exec_forget(e, NULL);
        else
                prune_execs(c);
        if (c->work->remove && c->state == CONTAINER_EXITED && !container_has_live_execs(c))
                container_schedule_drop(c);
}

void exec_start_failed(Exec *e, const Error *error) {
        Waiter *waiters = waiters_take(&e->waiters, WAITER_START);
        _cleanup_error_ Error failed = ERROR_NULL;
        Container *c = e->container;

        exec_release_unit(e);
        exec_close_terminal(e);
        if (exec_drop(e, &failed) < 0)
                log_warning("%s", error_message(&failed));
        waiters_call(waiters, NULL, error);
        if (c->work->remove && c->state == CONTAINER_EXITED && !container_has_live_execs(c))
                container_schedule_drop(c);
}

static void start_failed_unwatched(Exec *e, const UnitStatus *u) {
        _cleanup_error_ Error error = ERROR_NULL;

        (void) error_set(&error, -EIO, "Failed", "The exec in container %s did not start%s%s.", e->row.id,
                         isempty(u->status_text) ? "" : ": ", strempty(u->status_text));
        log_info("%s", error_message(&error));
        exec_start_failed(e, &error);
}

static const char *exec_lost_result(const Exec *e) {
        return streq_ptr(e->row.boot_id, e->container->manager->boot_id) ? "lost" : "reboot";
}

/* What the unit has written down: see exec-start.c. */
static bool read_end(const Exec *e, UnitStatus *ret) {
        _cleanup_close_ int fd = -EBADF;

        fd = bundle_open_exec_end(e->container->manager->containers_fd, e->row.ns, e->row.id, e->row.n, false);
        return fd >= 0 && run_log_last_words(fd, e->row.invocation_id, ret);
}

/* SIGTERM is a clean end to PID 1, of which it does not say more than of code 0; the init of a container does not die
 * of that, an exec does. */
static bool journal_knows(const Exec *e, UnitStatus *ret) {
        return unit_last_words(e->container->manager, e->unit, e->row.boot_id, e->row.invocation_id, ret) &&
               !(ret->exec_main_code == CLD_EXITED && ret->exec_main_status == 0);
}

/* Somebody has stopped the unit, or the host went down. */
static void exec_ended_unseen(Exec *e) {
        _cleanup_(unit_status_done) UnitStatus u = {};
        bool known = read_end(e, &u) || journal_knows(e, &u);

        exec_exited(e, known ? &u : NULL, known ? u.result : exec_lost_result(e));
}

static void starting_unit_changed(Exec *e, const UnitStatus *u, UnitPhase phase) {
        if (phase == UNIT_RUNNING)
                exec_started(e, u);
        else if (phase == UNIT_ENDED && u->active_enter_usec > 0) {
                exec_started(e, u);
                exec_exited(e, u, u->result);
        } else if (phase == UNIT_ENDED || phase == UNIT_GONE)
                start_failed_unwatched(e, u);
}

static void running_unit_changed(Exec *e, const UnitStatus *u, UnitPhase phase) {
        if (phase == UNIT_ENDED)
                exec_exited(e, u, u->result);
        else if (phase == UNIT_GONE && u->exec_main_code != 0 && streq_ptr(u->invocation_id, e->row.invocation_id))
                exec_exited(e, u, u->result); /* the last that was heard of it was its end */
        else if (phase == UNIT_GONE)
                exec_ended_unseen(e);
        else if (phase == UNIT_RUNNING && e->pid != u->main_pid) {
                e->pid = u->main_pid;
                exec_notify(e, NOTIFY_EXEC_CHANGED);
        }
}

void exec_unit_changed(Exec *e, const UnitStatus *u, UnitPhase phase) {
        if (e->start_pending)
                return;
        if (e->state == EXEC_STARTING)
                starting_unit_changed(e, u, phase);
        else if (e->state == EXEC_RUNNING)
                running_unit_changed(e, u, phase);
        else if (phase == UNIT_ENDED) /* we died before the release */
                exec_release_unit(e);
}

/* -- what else is done to one ------------------------------------------------------------------- */

int exec_wait(Exec *e, ExecFunc func, void *userdata) {
        if (e->state == EXEC_EXITED) {
                func(e, NULL, userdata);
                return 0;
        }
        return exec_add_waiter(e, WAITER_WAIT, func, userdata);
}

static void on_exec_killed(int r, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;

        if (q->exec)
                q->exec(r == -ECANCELED ? NULL : hashmap_get(q->manager->execs, q->unit), r < 0 ? error : NULL,
                        q->userdata);
}

int exec_kill(Exec *e, int signo, ExecFunc func, void *userdata, Error *reterr_error) {
        ContainerManager *m = e->container->manager;
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        int r;

        if (signo <= 0 || signo > SIGRTMAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no signal %i.", signo);
        if (e->state != EXEC_RUNNING)
                return error_set(reterr_error, -ESRCH, "NotRunning", "Exec %" PRIu64 " is not running, it is %s.",
                                 e->row.n, exec_state_to_string(e->state));
        q = unit_request_new(m, e->unit, &(UnitRequest){ .exec = func, .userdata = userdata });
        r = !q           ? -ENOMEM
            : m->backend ? m->backend->kill(m->backend_userdata, e->unit, "main", signo, on_exec_killed, q)
                         : -ENOTCONN;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to ask systemd to send a signal to exec %" PRIu64 ": %m",
                                       e->row.n);

        (void) TAKE_PTR(q);
        return 0;
}

int exec_remove(Exec *e, bool force, ExecFunc func, void *userdata, Error *reterr_error) {
        int r;

        if (e->state != EXEC_EXITED && !force)
                return error_set(reterr_error, -EBUSY, "ExecRunning",
                                 "Exec %" PRIu64 " is %s: kill it first, or remove it with force.", e->row.n,
                                 exec_state_to_string(e->state));
        if (e->state == EXEC_EXITED) {
                r = exec_drop(e, reterr_error);
                if (r >= 0 && func)
                        func(NULL, NULL, userdata);
                return r;
        }

        r = exec_kill(e, SIGKILL, NULL, NULL, reterr_error);
        if (r < 0)
                return r;
        e->row.auto_remove = true;
        return exec_add_waiter(e, WAITER_REMOVE, func, userdata);
}

/* -- at the start of the daemon ----------------------------------------------------------------- */

static int load_exec(ExecRow *row, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        ContainerManager *m = userdata;
        Container *c = container_find(m, row->ns, row->id, NULL);
        Exec *e;
        int r;

        if (!c) /* its record could not be read */
                return 0;
        r = exec_new(c, row, &e, &error);
        if (r < 0) {
                log_warning("The record of exec %" PRIu64 " in container %s cannot be read, ignoring it: %s", row->n,
                            row->id, error_is_set(&error) ? error_message(&error) : strerror(-r));
                return r == -ENOMEM ? r : 0;
        }
        return 0;
}

int execs_load(ContainerManager *m) {
        return store_exec_foreach(m->store, load_exec, m);
}

void execs_recovered(ContainerManager *m) {
        Exec *e;

        HASHMAP_FOREACH(e, m->execs) {
                if (hashmap_get(m->units, e->unit))
                        continue;
                if (e->state == EXEC_RUNNING)
                        exec_ended_unseen(e);
                else if (e->state == EXEC_STARTING)
                        start_failed_unwatched(e, &(UnitStatus){});
        }
}
