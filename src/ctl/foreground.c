/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The matches are sent before the call and nothing is asked that is not needed: a run costs the connection,
 * RunContainer and the signals of its end. What makes it long is that moored may be killed at any moment of
 * it:
 *
 *   run_send ──reply──▶ running ──Event container/exited──▶ ended ──Event container/removed (--rm)──▶ over
 *      │ NoReply            │ NameOwnerChanged: no owner
 *      ▼                    ▼
 *   resync ◀───────────── lost: waits for the new moored, or for the container's own end (pidfd), whichever is
 *      │                  first; so that an idle or stopped moored is not started for the sake of waiting alone
 *      ├─ EventsSince(last seen): the exit may be among them ──▶ ended
 *      ├─ the container is there ──▶ running, or ended with its ExitCode
 *      ├─ it is not, and RunContainer was never answered ──▶ run_send again
 *      └─ it is not, and it had been: error (nobody knows its exit code)
 *
 * With a restart policy an exit need not be the end: that is then what Wait() tells, or the state after a resync.
 *
 * An exec goes the same way. Its number is moored's choice, so that what is sent again has the same token: that gets the exec
 * which is there already; and one that has ended meanwhile is known by the token in its events. Its unit writes no end down
 * (container/exec-start.c): while moored is away we hold a reference to it, so that PID 1 does not forget how it has ended
 * when somebody stops it.
 */

#include "ctl/foreground.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/create-call.h"
#include "ctl/event-record.h"
#include "ctl/logs.h"
#include "ctl/stdio-copy.h"
#include "ctl/terminal-session.h"
#include "ctl/terminal.h"

#define RUN_ATTEMPTS_MAX 5U
#define RESYNC_ATTEMPTS_MAX 60U
#define RESYNC_TELL_ATTEMPT 10U
#define RESYNC_DELAY_USEC (500 * USEC_PER_MSEC)
/* Before moored is started by us: it may be back by itself, and a start at once would cancel a stop that is
 * under way. Without a pidfd nothing else tells of the end. */
#define START_DELAY_USEC (300 * USEC_PER_MSEC)
#define LOST_DELAY_USEC USEC_PER_SEC        /* without a pidfd: how long a new moored is waited for */
#define REMOVE_WAIT_USEC (5 * USEC_PER_SEC) /* --rm: for the removal after the exit */
#define PENDING_SIGNALS_MAX 16U
#define IMPATIENT_SIGINTS 3U
#define SIGNAL_EXIT_BASE 128
#define IMPATIENT_USEC (2 * USEC_PER_SEC)

static const int forwarded_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

/* Where a container and an exec differ. */
typedef struct ForegroundKind {
        const char *interface;
        const char *started, *exited, *removed; /* topics; removed NULL: it is not waited for */
        const char *pid;                        /* the main process, as property and in the started event */
} ForegroundKind;

static const ForegroundKind container_kind = {
        BUS_CONTAINER, "container/started", "container/exited", "container/removed", "LeaderPID",
};
static const ForegroundKind exec_kind = {
        BUS_EXEC, "container/exec-started", "container/exec-exited", NULL, "PID",
};

typedef struct Foreground {
        const ForegroundKind *kind;
        Ctl *c;
        bool attach;                 /* it runs already */
        bool no_sig_proxy;
        const CreateOptions *options; /* when attaching: those that are about the terminal */
        const char *image;
        char *const *command;
        const char *id;
        char *path; /* of an exec: NULL until it has a number */
        uint64_t exec; /* that number, once it is known; 0 */
        char *unit;    /* an exec's, once it is known */
        sd_event *event; /* weak */
        LogFollower *log;         /* attached without a terminal */
        StdioCopy *stdio;         /* or, with a terminal: */
        TerminalSession *session;
        bool resized;       /* before it could be told */
        bool session_ended; /* our connection to the terminal */
        bool session_over;  /* what the terminal has shown is written */
        bool detached;     /* by its keys */
        sd_bus_slot *event_slot, *owner_slot, *run_slot, *resync_slot, *attach_slot, *wait_slot;
        sd_event_source *signals[ELEMENTSOF(forwarded_signals)], *timer, *leader;
        int leader_pidfd;
        uint64_t begin_usec, last_sequence;
        unsigned run_attempts, resync_attempts;
        bool running; /* RunContainer was answered, or the container was found */
        bool ended, removed, over;
        bool started; /* its process ran: it must not be run again */
        bool lost;    /* there is no moored, or it has not told yet what became of the container */
        bool deaf;    /* until EventsSince() has told the events before them, new ones are not listened to */
        int exit_code;
        int pending[PENDING_SIGNALS_MAX];
        size_t n_pending;
        uint64_t sigint_usec[IMPATIENT_SIGINTS];
        Error error;
} Foreground;

static int run_send(Foreground *f);
static int resync_send(Foreground *f);

static void foreground_done(Foreground *f) {
        sd_bus_slot_unref(f->event_slot);
        sd_bus_slot_unref(f->owner_slot);
        sd_bus_slot_unref(f->run_slot);
        sd_bus_slot_unref(f->resync_slot);
        sd_bus_slot_unref(f->wait_slot);
        sd_bus_slot_unref(f->attach_slot);
        sd_event_source_disable_unref(f->timer);
        sd_event_source_disable_unref(f->leader);
        for (size_t i = 0; i < ELEMENTSOF(forwarded_signals); i++)
                sd_event_source_disable_unref(f->signals[i]);
        stdio_copy_free(f->stdio);
        terminal_session_free(f->session);
        log_follower_free(f->log);
        safe_close(f->leader_pidfd);
        free(f->path);
        free(f->unit);
        error_done(&f->error);
}

/* Ends the loop with an error. Always returns 0: callbacks that fail would be disabled by sd-event without a
 * word. */
static int foreground_fail(Foreground *f, int error, const char *message) {
        (void) error_set(&f->error, error, "Failed", "%s", message);
        f->over = true;
        return 0;
}

static int foreground_set_timer(Foreground *f, uint64_t usec, sd_event_time_handler_t handler) {
        sd_event_source_disable_unref(f->timer);
        f->timer = NULL;
        return sd_event_add_time_relative(f->event, &f->timer, CLOCK_MONOTONIC, usec, 0, handler, f);
}

/* -- the end -- */

static int foreground_on_removal_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        Foreground *f = userdata;

        f->over = true;
        return 0;
}

static int attach_send(Foreground *f);

/* Called after each change. */
static void foreground_work(Foreground *f) {
        if (f->detached && f->running)
                f->over = true;
        if (f->session_ended && f->running && !f->lost) {
                f->session_ended = false;
                if (f->ended)
                        f->session_over = true;
                else
                        (void) attach_send(f);
        }
        if (!f->running || !f->ended || f->over)
                return;
        /* It is closed at the end; one that is started again keeps its terminal. */
        if (f->session && !f->session_over)
                return;
        if (!f->kind->removed || !f->options->auto_remove || f->removed)
                f->over = true;
        else if (foreground_set_timer(f, REMOVE_WAIT_USEC, foreground_on_removal_timeout) < 0)
                f->over = true;
}

static void foreground_set_leader(Foreground *f, int64_t pid) {
        if (f->leader_pidfd < 0 && pid > 0 && !f->c->host && !f->c->machine)
                f->leader_pidfd = pidfd_open_((pid_t) pid);
}

static void foreground_set_unit(Foreground *f, const char *unit) {
        /* Without it only the reference is missing. */
        if (f->kind == &exec_kind && unit)
                (void) free_and_strdup(&f->unit, unit);
}

/* It goes with our connection. PID 1 refuses it to who may not manage units: they do without. */
static void foreground_keep_unit(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        if (f->unit &&
            sd_bus_message_new_method_call(f->c->bus, &m, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                           "org.freedesktop.systemd1.Manager", "RefUnit") >= 0 &&
            sd_bus_message_append(m, "s", f->unit) >= 0)
                (void) sd_bus_send(f->c->bus, m, NULL);
}

static bool foreground_repeats(const Foreground *f) {
        return f->kind == &container_kind && f->options->restart && !streq(f->options->restart, "no");
}

static int foreground_on_wait(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Foreground *f = userdata;
        int32_t exit_code;

        /* A moored that goes away is heard of in other ways. */
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "is", &exit_code, NULL) < 0)
                return 0;
        f->exit_code = exit_code;
        f->ended = true;
        foreground_work(f);
        return 0;
}

static int foreground_wait(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        f->wait_slot = sd_bus_slot_unref(f->wait_slot);
        if (ctl_new_call(f->c, f->path, BUS_CONTAINER, "Wait", &m, NULL) < 0 ||
            sd_bus_call_async(f->c->bus, &f->wait_slot, m, foreground_on_wait, f, UINT64_MAX) < 0)
                return foreground_fail(f, -EIO, "Cannot wait for the container.");
        return 0;
}

static void foreground_handle_event(Foreground *f, const EventRecord *e) {
        if (e->sequence <= f->last_sequence)
                return;
        f->last_sequence = e->sequence;
        if (!streq(e->ns, f->c->ns) || !streq(e->subject, f->id))
                return;
        if (f->options->token && !streq_ptr(json_get_string(e->details, "Token"), f->options->token))
                return;
        if (f->exec > 0 && (uint64_t) json_integer_value(json_object_get(e->details, "Exec")) != f->exec)
                return;

        if (streq(e->topic, f->kind->started)) {
                f->started = true;
                if (f->session)
                        f->ended = false;
                foreground_set_leader(f, json_integer_value(json_object_get(e->details, f->kind->pid)));
                foreground_set_unit(f, json_get_string(e->details, "Unit"));
        } else if (streq(e->topic, f->kind->exited) && !foreground_repeats(f)) {
                f->exit_code = (int) json_integer_value(json_object_get(e->details, "ExitCode"));
                f->ended = true;
        } else if (streq_ptr(f->kind->removed, e->topic))
                f->removed = true;
}

static int foreground_on_event(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(event_record_done) EventRecord e = {};
        Foreground *f = userdata;

        if (sd_bus_message_is_signal(m, BUS_MANAGER, "Event") <= 0)
                return 0;
        if (!f->deaf && bus_message_is_event(m) && event_record_read(m, false, &e) > 0) {
                foreground_handle_event(f, &e);
                foreground_work(f);
        }
        return 0;
}

/* -- signals -- */

static void foreground_send_kill(Foreground *f, int signo) {
        _cleanup_message_ sd_bus_message *m = NULL;

        /* Whether it arrives is seen by what the container does; one that has just ended cannot be killed.
         */
        if (ctl_new_call(f->c, f->path, f->kind->interface, "Kill", &m, NULL) >= 0 &&
            (f->kind == &exec_kind || sd_bus_message_append(m, "s", "main") >= 0) &&
            sd_bus_message_append(m, "i", signo) >= 0)
                (void) sd_bus_send(f->c->bus, m, NULL);
}

static bool foreground_is_impatient(Foreground *f) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), first;

        memmove(f->sigint_usec, f->sigint_usec + 1, sizeof f->sigint_usec - sizeof f->sigint_usec[0]);
        f->sigint_usec[IMPATIENT_SIGINTS - 1] = now;
        first = f->sigint_usec[0];
        return first > 0 && now - first < IMPATIENT_USEC;
}

static int foreground_on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_message_ sd_bus_message *m = NULL;
        Foreground *f = userdata;
        int signo = (int) si->ssi_signo;

        if (f->ended)
                return 0;
        if (f->no_sig_proxy) {
                f->exit_code = SIGNAL_EXIT_BASE + signo;
                f->over = true;
                return 0;
        }
        /* The init of a pid namespace does not get signals that it has no handler for. Whoever presses
         * Ctrl-C again and again wants it to end: also one that is about to start, which may take its time to
         * become healthy. */
        if (signo == SIGINT && foreground_is_impatient(f) && (f->running || f->kind != &exec_kind)) {
                if (f->lost)
                        return foreground_fail(
                                        f, -ECANCELED,
                                        "Given up: moored is away, and the container's end is not known.");
                if (!f->c->quiet)
                        fprintf(stderr, "moorctl: stopping %s\n", f->kind == &exec_kind ? "the command" : f->id);
                if (f->kind == &exec_kind)
                        foreground_send_kill(f, SIGKILL);
                else if (ctl_new_call(f->c, f->path, BUS_CONTAINER, "Stop", &m, NULL) >= 0 &&
                    sd_bus_message_append(m, "t", UINT64_MAX) >= 0)
                        (void) sd_bus_send(f->c->bus, m, NULL);
                return 0;
        }
        if (f->running)
                foreground_send_kill(f, signo);
        else if (f->n_pending < PENDING_SIGNALS_MAX)
                f->pending[f->n_pending++] = signo;
        return 0;
}

static int block_signals(int how) {
        sigset_t mask;

        sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(forwarded_signals); i++)
                sigaddset(&mask, forwarded_signals[i]);
        return RET_NERRNO(sigprocmask(how, &mask, NULL));
}

static int foreground_add_signals(Foreground *f) {
        int r;

        r = block_signals(SIG_BLOCK);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(forwarded_signals); i++) {
                r = sd_event_add_signal(f->event, &f->signals[i], forwarded_signals[i], foreground_on_signal,
                                        f);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* -- moored went away -- */

static void foreground_on_resized(unsigned rows, unsigned columns, void *userdata);

static void foreground_set_running(Foreground *f) {
        unsigned rows, columns;

        f->running = true;
        f->lost = false;
        f->resync_attempts = 0;
        if (f->stdio)
                stdio_copy_release(f->stdio);
        if (f->session && terminal_session_start(f->session) < 0)
                (void) foreground_fail(f, -EIO, "Cannot use this terminal.");
        if (f->resized && terminal_window_size(&rows, &columns))
                foreground_on_resized(rows, columns, f);
        for (size_t i = 0; i < f->n_pending; i++)
                foreground_send_kill(f, f->pending[i]);
        f->n_pending = 0;
        if (foreground_repeats(f) && !f->ended)
                (void) foreground_wait(f);
        foreground_work(f);
}

static int resync_on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        return resync_send(userdata);
}

static int resync_later(Foreground *f, uint64_t usec) {
        if (foreground_set_timer(f, usec, resync_on_timer) < 0)
                return foreground_fail(f, -ENOMEM, "Out of memory.");
        return 0;
}

/* No answer, or one of the bus daemon's or PID 1's: moored cannot be started now. A container that runs is
 * waited for as long as it takes; before that the call has failed. */
static int resync_again(Foreground *f, const sd_bus_error *e) {
        _cleanup_error_ Error error = ERROR_NULL;

        (void) bus_error_to_error(e, 0, &error);
        f->resync_attempts++;
        if (bus_error_is_moored(e) || (!f->running && f->resync_attempts >= RESYNC_ATTEMPTS_MAX)) {
                (void) error_move(&f->error, &error);
                (void) error_prefix(&f->error, "Cannot learn how the %s %s ended",
                                    f->kind == &exec_kind ? "command in the container" : "container", f->id);
                f->over = true;
                return 0;
        }
        if (f->resync_attempts == RESYNC_TELL_ATTEMPT && !f->c->quiet)
                fprintf(stderr,
                        "moorctl: waiting for moored to tell how %s ended (three Ctrl-C give up): %s\n",
                        f->id, error_message(&error));
        return resync_later(f, RESYNC_DELAY_USEC);
}

/* The container was recorded, but its start was not: it is made anew, as its descriptors are known to us
 * alone. */
static int resync_remove_created(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        if (ctl_new_call(f->c, f->path, BUS_CONTAINER, "Remove", &m, NULL) < 0 ||
            sd_bus_message_append(m, "a{sv}", 1, "Force", "b", 1) < 0 || sd_bus_send(f->c->bus, m, NULL) < 0)
                return foreground_fail(f, -EIO, "Cannot start the container again after moored's restart.");
        return run_send(f);
}

static int resync_on_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        _cleanup_json_ json_t *properties = NULL;
        Foreground *f = userdata;
        const char *state;

        if (f->over)
                return 0;
        if (f->ended) {
                foreground_set_running(f);
                return 0;
        }
        if (bus_error_is_unknown_object(e)) {
                if (!f->running && !f->started && !f->attach)
                        return run_send(f);
                return foreground_fail(f, -ENOENT,
                                       "What was started is gone, and moored does not know how it ended.");
        }
        if (e)
                return resync_again(f, e);
        if (bus_message_to_json(m, &properties) < 0)
                return foreground_fail(f, -EBADMSG, "moored's answer cannot be read.");

        state = strempty(json_get_string(properties, "State"));
        if (!f->running && !f->started && !f->attach && streq(state, "created"))
                return resync_remove_created(f);
        if (!f->running && f->attach && !streq(state, "exited"))
                return attach_send(f);
        /* It may not come to that, and then nothing is told of it: made anew, it fails with the reason. */
        if (!f->running && streq(state, "starting"))
                return resync_later(f, START_DELAY_USEC);
        foreground_set_leader(f, json_integer_value(json_object_get(properties, f->kind->pid)));
        foreground_set_unit(f, json_get_string(properties, "Unit"));
        if (streq(state, "exited")) {
                f->exit_code = (int) json_integer_value(json_object_get(properties, "ExitCode"));
                f->ended = true;
        }
        foreground_set_running(f);
        return 0;
}

static int resync_get_state(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        f->resync_slot = sd_bus_slot_unref(f->resync_slot);
        if (!f->path)
                return run_send(f);
        if (ctl_new_call(f->c, f->path, BUS_PROPERTIES, "GetAll", &m, NULL) < 0 ||
            sd_bus_message_append(m, "s", f->kind->interface) < 0 ||
            sd_bus_call_async(f->c->bus, &f->resync_slot, m, resync_on_state, f, UINT64_MAX) < 0)
                return foreground_fail(f, -EIO, "Cannot ask moored for the container's state.");
        return 0;
}

static int resync_on_events(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        Foreground *f = userdata;
        unsigned n = 0;
        int r;

        /* What has been since is not kept any more: those that are, and the container itself, have to do. */
        if (e && streq_ptr(e->name, BUS_ERROR_EVENTS_LOST) && f->last_sequence > 0) {
                f->last_sequence = 0;
                return resync_send(f);
        }
        if (e)
                return resync_again(f, e);
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "(ttsssa{sv})");
        while (r >= 0) {
                _cleanup_(event_record_done) EventRecord record = {};

                r = event_record_read(m, true, &record);
                if (r <= 0)
                        break;
                n++;
                /* A container of the same name may have been there before. */
                if (record.usec < f->begin_usec)
                        f->last_sequence = MAX(f->last_sequence, record.sequence);
                else
                        foreground_handle_event(f, &record);
        }
        if (r < 0)
                return foreground_fail(f, r, "moored's answer cannot be read.");
        if (n >= EVENTS_PAGE)
                return resync_send(f);
        /* After a loss of its database moored begins to count anew. */
        if (n == 0)
                f->last_sequence = 0;
        f->deaf = false;
        if (f->ended) {
                foreground_set_running(f);
                return 0;
        }
        return resync_get_state(f);
}

static int resync_send(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        f->deaf = true;
        sd_event_source_disable_unref(f->timer);
        f->timer = NULL;
        sd_event_source_disable_unref(f->leader);
        f->leader = NULL;
        f->resync_slot = sd_bus_slot_unref(f->resync_slot);
        if (ctl_new_call(f->c, BUS_PATH, BUS_MANAGER, "EventsSince", &m, NULL) < 0 ||
            sd_bus_message_append(m, "tu", f->last_sequence, (uint32_t) EVENTS_PAGE) < 0 ||
            sd_bus_call_async(f->c->bus, &f->resync_slot, m, resync_on_events, f, UINT64_MAX) < 0)
                return foreground_fail(f, -EIO, "Cannot ask moored what happened.");
        return 0;
}

static int foreground_on_leader_gone(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        return resync_later(userdata, START_DELAY_USEC);
}

static int foreground_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *name, *before, *after;
        Foreground *f = userdata;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0 || f->ended)
                return 0;
        if (!isempty(after)) {
                /* The owner may have changed hands at once, or come for our own call. */
                return f->lost || (f->running && !isempty(before)) ? resync_send(f) : 0;
        }
        if (!f->running)
                return 0; /* RunContainer's own answer tells */

        f->lost = f->deaf = true;
        foreground_keep_unit(f);
        f->resync_slot = sd_bus_slot_unref(f->resync_slot);
        sd_event_source_disable_unref(f->leader);
        f->leader = NULL;
        if (f->leader_pidfd >= 0 && sd_event_add_io(f->event, &f->leader, f->leader_pidfd, EPOLLIN,
                                                    foreground_on_leader_gone, f) >= 0) {
                (void) sd_event_source_set_enabled(f->leader, SD_EVENT_ONESHOT);
                return 0;
        }
        return resync_later(f, LOST_DELAY_USEC);
}

/* -- the call -- */

static int run_take_path(Foreground *f, sd_bus_message *m) {
        const char *path;

        if (f->kind != &exec_kind)
                return 0;
        if (sd_bus_message_read(m, "o", &path) < 0 || exec_path_number(path, &f->exec) < 0 ||
            free_and_strdup(&f->path, path) < 0)
                return foreground_fail(f, -EBADMSG, "moored's answer cannot be read.");
        return 0;
}

static int run_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        Foreground *f = userdata;

        if (!e) {
                (void) run_take_path(f, m);
                foreground_set_running(f);
                return 1;
        }
        if (bus_error_is_lost(e) && f->run_attempts < RUN_ATTEMPTS_MAX) {
                f->lost = f->deaf = true;
                return resync_later(f, START_DELAY_USEC);
        }
        (void) (f->kind == &exec_kind ? container_error(f->c, f->id, e, &f->error)
                                      : namespace_error(f->c->ns, e, 0, &f->error));
        f->over = true;
        return 1;
}

/* RunContainer's descriptors: the three, or a terminal's. */
static int run_new_call(Foreground *f, sd_bus_message **ret) {
        _cleanup_close_ int sock = -EBADF;
        CreateDescriptors fds = CREATE_DESCRIPTORS_NULL;
        int r;

        if (f->session) {
                r = terminal_session_pair(f->session, &sock);
                if (r < 0)
                        return error_set(&f->error, r, "Failed", "Cannot make a socket: %s", strerror(-r));
                fds.terminal = sock;
        } else
                memcpy(fds.standard, stdio_copy_fds(f->stdio), sizeof fds.standard);
        if (f->kind == &exec_kind)
                return new_exec_call(f->c, f->id, f->options, f->command, &fds, ret, &f->error);
        return new_create_call(f->c, "RunContainer", f->id, f->image, f->options, f->command, &fds, ret,
                               &f->error);
}

static int run_send(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        f->lost = f->deaf = false;
        f->run_attempts++;
        r = run_new_call(f, &m);
        if (r >= 0) {
                f->run_slot = sd_bus_slot_unref(f->run_slot);
                r = sd_bus_call_async(f->c->bus, &f->run_slot, m, run_on_reply, f, UINT64_MAX);
                if (r < 0)
                        (void) bus_error_to_error(NULL, r, &f->error);
        }
        if (r < 0)
                f->over = true;
        return 0;
}

static int foreground_add_matches(Foreground *f, Error *reterr_error) {
        int r;

        r = ctl_match_events(f->c, f->id, foreground_on_event, f, &f->event_slot, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(f->c->bus, &f->owner_slot, MATCH_OWNER, foreground_on_owner, NULL, f);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

/* -- the terminal -- */

static void foreground_on_resized(unsigned rows, unsigned columns, void *userdata) {
        _cleanup_message_ sd_bus_message *m = NULL;
        Foreground *f = userdata;

        f->resized = !f->running || f->lost;
        if (!f->resized && ctl_new_call(f->c, f->path, f->kind->interface, "Resize", &m, NULL) >= 0 &&
            sd_bus_message_append(m, "uu", (uint32_t) rows, (uint32_t) columns) >= 0)
                (void) sd_bus_send(f->c->bus, m, NULL);
}

/* A copy of the descriptor of that name in Attach's reply. -ENOENT: there is none. */
static int attachment_read(sd_bus_message *m, const char *wanted, int *ret) {
        const char *key;
        int fd, r;

        r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        while (r >= 0 && (r = sd_bus_message_read(m, "{sv}", &key, "h", &fd)) > 0)
                if (streq(key, wanted)) {
                        fd = fd_dup(fd);
                        if (fd >= 0)
                                *ret = fd;
                        return fd < 0 ? fd : 0;
                }
        return r < 0 ? r : -ENOENT;
}

static void attach_on_input_end(void *userdata) {
        _cleanup_message_ sd_bus_message *m = NULL;
        Foreground *f = userdata;

        if (ctl_new_call(f->c, f->path, BUS_CONTAINER, "CloseStandardInput", &m, NULL) >= 0)
                (void) sd_bus_send(f->c->bus, m, NULL);
}

static int attach_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        Foreground *f = userdata;
        int fd = -EBADF;

        if (e && !f->running) {
                if (bus_error_is_lost(e))
                        return resync_later(f, START_DELAY_USEC);
                (void) bus_error_to_error(e, 0, &f->error);
                f->over = true;
                return 1;
        }
        /* The end of the container will be told, or moored comes back. */
        if (e && (f->ended || bus_error_is_unknown_object(e) || bus_error_is_lost(e) ||
                  sd_bus_error_has_name(e, BUS_ERROR_NOT_RUNNING))) {
                f->session_over = true;
                foreground_work(f);
                return 1;
        }
        if (e) {
                (void) bus_error_to_error(e, 0, &f->error);
                f->over = true;
                return 1;
        }
        if (f->session && (attachment_read(m, "Terminal", &fd) < 0 || terminal_session_connect(f->session, fd) < 0))
                return foreground_fail(f, -EBADMSG, "The container's terminal cannot be used.");
        if (!f->session && f->options->interactive && attachment_read(m, "StandardInput", &fd) >= 0 &&
            stdio_copy_new_input(f->event, fd, attach_on_input_end, f, &f->stdio) < 0)
                return foreground_fail(f, -EBADMSG, "The container's standard input cannot be used.");
        if (!f->running) {
                f->resized = !!f->session;
                foreground_set_running(f);
        }
        return 1;
}

/* Whoever attaches does so; and who was too slow, whom moored has dropped. */
static int attach_send(Foreground *f) {
        _cleanup_message_ sd_bus_message *m = NULL;

        f->lost = f->deaf = false;
        f->attach_slot = sd_bus_slot_unref(f->attach_slot);
        if (ctl_new_call(f->c, f->path, f->kind->interface, "Attach", &m, NULL) < 0 ||
            sd_bus_message_append(m, "a{sv}", 1, "Packets", "b", 1) < 0 ||
            sd_bus_call_async(f->c->bus, &f->attach_slot, m, attach_on_reply, f, UINT64_MAX) < 0)
                return foreground_fail(f, -EIO, "Cannot ask moored for the container's terminal.");
        return 0;
}

static void foreground_on_session_ended(bool detached, void *userdata) {
        Foreground *f = userdata;

        if (detached) {
                /* An exec's name is in an answer that may come after the first that it shows. Who does not want to
                 * wait types the keys again. */
                f->over = f->detached || f->kind != &exec_kind;
                f->detached = true;
        } else
                f->session_ended = true;
        foreground_work(f);
}

static int foreground_open_session(Foreground *f, Error *reterr_error) {
        const TerminalSessionSpec spec = {
                .input = f->options->interactive,
                .detach_keys = f->options->detach_keys,
                .resized = foreground_on_resized,
                .ended = foreground_on_session_ended,
                .userdata = f,
        };

        return terminal_session_new(f->event, &spec, &f->session, reterr_error);
}

static int foreground_loop(Foreground *f, Error *reterr_error) {
        int r;

        if (f->options->terminal) {
                r = foreground_open_session(f, reterr_error);
                if (r < 0)
                        return r;
        } else if (f->attach) {
                r = log_follower_new(f->c, f->event, f->id, &f->log, reterr_error);
                if (r < 0)
                        return r;
        } else
                r = stdio_copy_new(f->event, f->options->interactive, &f->stdio);
        if (r >= 0)
                r = foreground_add_signals(f);
        if (r < 0)
                return error_set(reterr_error, r, "Failed", "Cannot prepare to run the container: %s",
                                 strerror(-r));
        r = foreground_add_matches(f, reterr_error);
        if (r < 0)
                return r;
        (void) (f->attach ? attach_send(f) : run_send(f));

        while (!f->over) {
                r = sd_event_run(f->event, UINT64_MAX);
                if (r < 0)
                        return error_set(reterr_error, r, "Failed",
                                         "The connection to the bus broke: %s. The container %s goes on.",
                                         strerror(-r), f->id);
        }
        if (f->stdio)
                stdio_copy_drain(f->stdio);
        f->session = terminal_session_free(f->session);
        if (f->log)
                log_follower_finish(f->log);
        if (error_is_set(&f->error))
                return error_move(reterr_error, &f->error);
        if (f->detached) {
                _cleanup_free_ char *name = f->kind != &exec_kind ? strdup(f->id)
                                            : f->exec > 0         ? strformat("%s/%" PRIu64, f->id, f->exec)
                                                                  : NULL;

                if (!f->c->quiet && name)
                        fprintf(stderr, "\nmoorctl: %s goes on; moorctl attach %s comes back to it.\n", name, name);
                return EXIT_SUCCESS;
        }
        return f->exit_code & 0xFF;
}

static int foreground_run(Foreground *f, Error *reterr_error) {
        int r;

        r = ctl_event(f->c, &f->event, reterr_error);
        if (r < 0)
                return r;
        (void) signal(SIGPIPE, SIG_IGN);
        r = foreground_loop(f, reterr_error);
        /* One that came too late for the container must not take the place of its exit code. */
        if (r < 0)
                (void) block_signals(SIG_UNBLOCK);
        return r;
}

int attach_foreground(Ctl *c, const AttachOptions *o, const char *name, Error *reterr_error) {
        const char *interface;
        _cleanup_free_ char *path = container_or_exec_path(c->ns, name, &interface),
                            *id = strndup(name, strcspn(name, "/"));
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (!path || !id)
                return error_oom(reterr_error);
        r = container_get_all(c, name, path, interface, &object, reterr_error);
        if (r < 0)
                return r;

        const CreateOptions options = {
                .interactive = !o->no_stdin,
                .terminal = json_is_true(json_object_get(object, "Terminal")),
                .detach_keys = o->detach_keys,
        };
        _cleanup_(foreground_done) Foreground f = {
                .kind = streq(interface, BUS_EXEC) ? &exec_kind : &container_kind,
                .c = c,
                .attach = true,
                .no_sig_proxy = !o->sig_proxy,
                .options = &options,
                .id = id,
                .leader_pidfd = -EBADF,
                .begin_usec = now_usec(CLOCK_REALTIME),
        };

        if (f.kind == &exec_kind && !options.terminal)
                return error_set(reterr_error, -ENOTTY, "NoTerminal",
                                 "%s has no terminal; moorctl logs shows what it writes to the journal.", name);
        if (f.kind == &exec_kind && exec_path_number(path, &f.exec) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "'%s' is no exec's name.", name);
        f.path = TAKE_PTR(path);
        foreground_set_leader(&f, json_integer_value(json_object_get(object, f.kind->pid)));
        foreground_set_unit(&f, json_get_string(object, "Unit"));
        return foreground_run(&f, reterr_error);
}

int run_foreground(Ctl *c, const CreateOptions *o, const char *image, char *const *command,
                   Error *reterr_error) {
        _cleanup_free_ char *id = o->name ? strdup(o->name) : random_hex(6);
        _cleanup_(foreground_done) Foreground f = {
                .kind = &container_kind,
                .c = c,
                .options = o,
                .image = image,
                .command = command,
                .id = id,
                .leader_pidfd = -EBADF,
                .begin_usec = now_usec(CLOCK_REALTIME),
        };

        f.path = id ? container_path(c->ns, id) : NULL;
        return f.path ? foreground_run(&f, reterr_error) : error_oom(reterr_error);
}

int exec_foreground(Ctl *c, const CreateOptions *o, const char *id, char *const *command, Error *reterr_error) {
        _cleanup_free_ char *token = random_hex(16);
        CreateOptions options = *o; /* borrows */
        _cleanup_(foreground_done) Foreground f = {
                .kind = &exec_kind,
                .c = c,
                .options = &options,
                .command = command,
                .id = id,
                .leader_pidfd = -EBADF,
                .begin_usec = now_usec(CLOCK_REALTIME),
        };

        options.auto_remove = true;
        options.token = token;
        return token ? foreground_run(&f, reterr_error) : error_oom(reterr_error);
}
