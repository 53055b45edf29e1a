/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container wrote is in the journal, with its name and namespace as fields; what goes to stderr has
 * the priority of an error. The lines are printed as they were written, stderr's to stderr. Only those since
 * the container was made are shown: an earlier one may have had the same name.
 *
 * An exec's lines have the container's fields, as journald goes by the control group, but an identifier of
 * their own: CONTAINER/NUMBER. */

#include <limits.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-journal.h>
#include <systemd/sd-messages.h>

#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/event-record.h"
#include "ctl/journal.h"
#include "ctl/log-print.h"
#include "ctl/logs.h"
#include "ctl/pager.h"
#include "ctl/terminal.h"

#define EXEC_ALL UINT64_MAX
#define STDERR_BUFFER_SIZE (64U * 1024)

typedef struct Logs Logs;

/* One of the containers. */
typedef struct Source {
        LogSource source; /* first: what lines carry */
        Logs *logs;
        uint64_t since_usec;
        uint64_t exec;    /* 0: the container itself */
        bool known, live; /* moored knows it; it may still write */
        char *log, *unit; /* its properties, or NULL */
} Source;

struct Logs {
        Ctl *c;
        /* options */
        bool follow, timestamps, names;
        LogFormat format;
        bool format_set;
        uint64_t since_usec, until_usec, lines, exec;
        /* state */
        Source *sources;
        size_t n_sources;
        sd_journal *journal;
        LogPrinter printer;
        LogLines *assembly;
        bool ended; /* --until= has come */
        int error;
};

static int apply_since(const char *value, void *target, Error *reterr_error) {
        return option_parse_timestamp("since", value, &((Logs *) target)->since_usec, reterr_error);
}

static int apply_until(const char *value, void *target, Error *reterr_error) {
        return option_parse_timestamp("until", value, &((Logs *) target)->until_usec, reterr_error);
}

static int apply_lines(const char *value, void *target, Error *reterr_error) {
        Logs *l = target;

        if (streq(value, "all"))
                l->lines = UINT64_MAX;
        else if (parse_uint64(value, &l->lines) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-n %s is not a number of lines, such as 20, nor all.", value);
        return 0;
}

static int apply_output(const char *value, void *target, Error *reterr_error) {
        Logs *l = target;

        l->format = log_format_from_string(value);
        l->format_set = true;
        if (l->format < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-o is one of cat, short, short-iso, short-precise, json, json-pretty, not '%s'.",
                                 value);
        return 0;
}

static int apply_exec(const char *value, void *target, Error *reterr_error) {
        Logs *l = target;

        if (streq(value, "all"))
                l->exec = EXEC_ALL;
        else if (parse_uint64(value, &l->exec) < 0 || l->exec == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--exec=%s is neither an exec's number nor 'all'.", value);
        return 0;
}

/* -- an entry -- */

/* Borrowed until the next call on the journal. */
static const char *entry_field(sd_journal *j, const char *field, size_t *ret_size) {
        const void *data;
        size_t size, skip = strlen(field) + 1;

        if (sd_journal_get_data(j, field, &data, &size) < 0 || size < skip)
                return NULL;
        *ret_size = size - skip;
        return (const char *) data + skip;
}

static bool field_is(const char *p, size_t size, const char *s) {
        return p && size == strlen(s) && memcmp(p, s, size) == 0;
}

/* 0: the container's own process. */
static uint64_t entry_exec(const Logs *l, const Source *s) {
        size_t size, prefix = strlen(s->source.id);
        const char *p = entry_field(l->journal, "SYSLOG_IDENTIFIER", &size);
        _cleanup_free_ char *number = NULL;
        uint64_t n;

        if (!p || size <= prefix + 1 || memcmp(p, s->source.id, prefix) != 0 || p[prefix] != '/')
                return 0;
        number = strndup(p + prefix + 1, size - prefix - 1);
        return number && parse_uint64(number, &n) >= 0 ? n : 0;
}

typedef struct Entry {
        Source *source;
        uint64_t usec, exec;
        bool dropped; /* journald tells how many lines it left out */
} Entry;

static bool entry_is(const Logs *l, const char *field, const char *value) {
        size_t size = 0;
        const char *p = entry_field(l->journal, field, &size);

        return value && field_is(p, size, value);
}

static bool source_has_entry(const Logs *l, const Source *s, Entry *e) {
        if (e->usec < s->since_usec || e->usec > l->until_usec)
                return false;
        e->dropped = entry_is(l, "OBJECT_SYSTEMD_UNIT", s->unit) && entry_is(l, "_TRANSPORT", "driver");
        if (e->dropped)
                return true;
        if (l->n_sources > 1 && !entry_is(l, "MOORED_CONTAINER", s->source.id))
                return false;
        e->exec = entry_exec(l, s);
        return s->exec == EXEC_ALL || e->exec == s->exec;
}

/* 1 if it is to be shown. */
static int entry_select(Logs *l, Entry *ret) {
        Entry e = {};
        int r;

        r = sd_journal_get_realtime_usec(l->journal, &e.usec);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l->n_sources; i++)
                if (source_has_entry(l, &l->sources[i], &e)) {
                        e.source = &l->sources[i];
                        *ret = e;
                        return 1;
                }
        return 0;
}

static int entry_take_image(Logs *l, Source *s) {
        const char *p;
        size_t size;

        if (s->source.image || l->format < LOG_FORMAT_JSON)
                return 0;
        p = entry_field(l->journal, "MOORED_IMAGE", &size);
        s->source.image = p ? strndup(p, size) : NULL;
        return p && !s->source.image ? -ENOMEM : 0;
}

static int entry_add(Logs *l, const Entry *e) {
        _cleanup_free_ char *stream = NULL, *line_break = NULL;
        LogPiece piece = { .usec = e->usec, .source = e->source, .exec = e->exec, .priority = 6 };
        const char *p;
        int r;

        r = entry_take_image(l, e->source);
        if (r < 0)
                return r;
        p = entry_field(l->journal, "PRIORITY", &piece.size);
        if (p && piece.size == 1 && p[0] >= '0' && p[0] <= '7')
                piece.priority = p[0] - '0';
        /* A field is valid until the next is asked for. */
        p = entry_field(l->journal, "_STREAM_ID", &piece.stream_size);
        if (p && !(piece.stream = stream = strndup(p, piece.stream_size)))
                return -ENOMEM;
        p = entry_field(l->journal, "_LINE_BREAK", &piece.line_break_size);
        if (p && !(piece.line_break = line_break = strndup(p, piece.line_break_size)))
                return -ENOMEM;
        piece.data = entry_field(l->journal, "MESSAGE", &piece.size);
        if (!piece.data)
                piece.size = 0;
        return log_lines_add(l->assembly, &piece);
}

/* Where the rate limit was reached; journald writes it when it takes lines again. */
static int entry_tell_dropped(Logs *l, const Entry *e) {
        size_t size;
        const char *p = entry_field(l->journal, "N_DROPPED", &size);

        if (p && fflush(stdout) == 0)
                fprintf(stderr, "moorctl: journald left out %.*s lines of %s here (see --log-rate= of run).\n", (int) size, p,
                        e->source->source.id);
        return 0;
}

static int print_entries(Logs *l) {
        int r;

        while ((r = sd_journal_next(l->journal)) > 0) {
                Entry e;

                r = entry_select(l, &e);
                if (r > 0)
                        r = e.dropped ? entry_tell_dropped(l, &e) : entry_add(l, &e);
                if (r < 0)
                        return r;
        }
        if (r >= 0 && (fflush(stdout) != 0 || fflush(stderr) != 0))
                r = -errno;
        return r;
}

/* Where an unfinished line is all there will be. */
static int print_rest(Logs *l) {
        int r;

        r = log_lines_flush(l->assembly);
        /* For the shell's prompt. */
        if (l->printer.open[0] && (l->printer.together || isatty(STDOUT_FILENO)))
                fputc('\n', stdout);
        if (l->printer.open[1] && isatty(STDERR_FILENO))
                fputc('\n', stderr);
        if (r >= 0 && (fflush(stdout) != 0 || fflush(stderr) != 0))
                r = -errno;
        return r;
}

/* Of what will write no more. */
static int print_last(Logs *l) {
        int r;

        journal_sync();
        (void) sd_journal_process(l->journal);
        r = print_entries(l);
        return r < 0 ? r : print_rest(l);
}

/* -- where to begin -- */

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = strjoin(field, "=", value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

/* What comes by a stream has the fields that PID 1 gave the unit, and what a terminal showed is told by
 * moored: anybody may send entries with such fields. */
static int add_matches(Logs *l, const Source *s) {
        static const char *const by[][3] = {
                { "_TRANSPORT=stdout" },
                { "MOORED_STREAM=terminal", "_TRANSPORT=journal", "_SYSTEMD_UNIT=moored.service" },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(by) && r >= 0; i++) {
                r = add_match(l->journal, "MOORED_CONTAINER", s->source.id);
                if (r >= 0)
                        r = add_match(l->journal, "MOORED_NAMESPACE", s->source.ns);
                for (size_t k = 0; k < ELEMENTSOF(by[i]) && by[i][k] && r >= 0; k++)
                        r = sd_journal_add_match(l->journal, by[i][k], 0);
                if (r >= 0)
                        r = sd_journal_add_disjunction(l->journal);
        }
        if (r < 0 || !s->unit)
                return r;
        r = sd_journal_add_match(l->journal, "MESSAGE_ID=" SD_MESSAGE_JOURNAL_DROPPED_STR, 0);
        if (r >= 0)
                r = sd_journal_add_match(l->journal, "_TRANSPORT=driver", 0);
        if (r >= 0)
                r = add_match(l->journal, "OBJECT_SYSTEMD_UNIT", s->unit);
        return r < 0 ? r : sd_journal_add_disjunction(l->journal);
}

static uint64_t oldest_usec(const Logs *l) {
        uint64_t usec = UINT64_MAX;

        for (size_t i = 0; i < l->n_sources; i++)
                usec = MIN(usec, l->sources[i].since_usec);
        return usec;
}

/* In front of the last lines: behind the entry that ended the one before. */
static int seek_lines(Logs *l) {
        uint64_t n = 0;
        int r;

        r = sd_journal_seek_tail(l->journal);
        while (r >= 0 && (r = sd_journal_previous(l->journal)) > 0) {
                const char *line_break;
                size_t size = 0;
                Entry e;

                r = entry_select(l, &e);
                if (r <= 0 || e.dropped)
                        continue;
                line_break = entry_field(l->journal, "_LINE_BREAK", &size);
                if (log_break_ends_line(line_break, size) && n++ == l->lines)
                        return 0;
        }
        return r < 0 ? r : sd_journal_seek_head(l->journal);
}

static int journal_open(Logs *l) {
        int r;

        r = sd_journal_open(&l->journal, SD_JOURNAL_LOCAL_ONLY);
        if (r >= 0)
                r = sd_journal_set_data_threshold(l->journal, 0);
        for (size_t i = 0; i < l->n_sources && r >= 0; i++)
                r = add_matches(l, &l->sources[i]);
        if (r < 0)
                return r;
        if (l->lines != UINT64_MAX)
                return seek_lines(l);
        return oldest_usec(l) > 0 ? sd_journal_seek_realtime_usec(l->journal, oldest_usec(l))
                                  : sd_journal_seek_head(l->journal);
}

static bool state_is_live(json_t *container) {
        return !streq(strempty(json_get_string(container, "State")), "exited");
}

/* What moored knows of it. Logs outlive the container and are there without moored, so that its errors are
 * none here. */
static int look_up(Logs *l, Source *s, Error *reterr_error) {
        _cleanup_free_ char *path = container_path(s->source.ns, s->source.id);
        _cleanup_json_ json_t *container = NULL;
        uint64_t created;

        s->since_usec = l->since_usec;
        if (!path)
                return error_oom(reterr_error);
        if (ctl_get_all(l->c, path, BUS_CONTAINER, &container, NULL) < 0)
                return 0;
        s->known = true;
        s->live = state_is_live(container);
        created = (uint64_t) json_integer_value(json_object_get(container, "CreatedUSec"));
        s->since_usec = MAX(s->since_usec, created);
        if (free_and_strdup(&s->log, json_get_string(container, "Log")) < 0 ||
            free_and_strdup(&s->unit, json_get_string(container, "Unit")) < 0 ||
            free_and_strdup(&s->source.image, json_get_string(container, "Image")) < 0)
                return error_oom(reterr_error);
        return 0;
}

static int check_has_log(const Source *s, Error *reterr_error) {
        const char *path = s->log ? startswith(s->log, "file:") : NULL;

        if (path)
                return error_set(reterr_error, -ENODATA, "NoLog", "The log of the container '%s' is the file %s.",
                                 s->source.id, path);
        if (streq_ptr(s->log, "none"))
                return error_set(reterr_error, -ENODATA, "NoLog",
                                 "The container '%s' has no log: it was made with --log=none.", s->source.id);
        return 0;
}

/* -- following -- */

static bool any_is_live(const Logs *l) {
        for (size_t i = 0; i < l->n_sources; i++)
                if (l->sources[i].live)
                        return true;
        return false;
}

static int logs_on_journal(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Logs *l = userdata;
        int r;

        r = sd_journal_process(l->journal);
        if (r >= 0 && r != SD_JOURNAL_NOP)
                r = print_entries(l);
        if (r < 0)
                l->error = r;
        return 0;
}

static int logs_on_until(sd_event_source *s, uint64_t usec, void *userdata) {
        Logs *l = userdata;

        l->ended = true;
        return 0;
}

static int logs_on_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        _cleanup_json_ json_t *container = NULL;
        Source *s = userdata;

        if (bus_error_is_unknown_object(e) ||
            (!e && bus_message_to_json(m, &container) >= 0 && !state_is_live(container)))
                s->live = false;
        return 1;
}

static void ask_state(Source *s) {
        _cleanup_free_ char *path = container_path(s->source.ns, s->source.id);
        _cleanup_message_ sd_bus_message *call = NULL;
        Ctl *c = s->logs->c;

        if (path && ctl_new_call(c, path, BUS_PROPERTIES, "GetAll", &call, NULL) >= 0 &&
            sd_bus_message_append(call, "s", BUS_CONTAINER) >= 0)
                (void) sd_bus_call_async(c->bus, NULL, call, logs_on_state, s, UINT64_MAX);
}

/* An end need not be one for good: the state says that. */
static int logs_on_change(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Source *s = userdata;

        if (s->live)
                ask_state(s);
        return 0;
}

static int logs_on_event(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(event_record_done) EventRecord e = {};
        Source *s = userdata;

        if (!bus_message_is_event(m) || event_record_read(m, false, &e) <= 0 || !streq(e.ns, s->source.ns) ||
            !streq(e.subject, s->source.id))
                return 0;
        if (streq(e.topic, "container/removed"))
                s->live = false;
        return 0;
}

/* A new moored: the end may have been told to nobody. */
static int logs_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *name, *before, *after;
        Logs *l = userdata;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0 || isempty(after))
                return 0;
        for (size_t i = 0; i < l->n_sources; i++)
                if (l->sources[i].live)
                        ask_state(&l->sources[i]);
        return 0;
}

static int logs_subscribe(Logs *l, Error *reterr_error) {
        int r;

        for (size_t i = 0; i < l->n_sources; i++) {
                Source *s = &l->sources[i];
                _cleanup_free_ char *path = container_path(s->source.ns, s->source.id);

                if (!path)
                        return error_oom(reterr_error);
                r = ctl_match_events(l->c, s->source.id, logs_on_event, s, NULL, reterr_error);
                if (r < 0)
                        return r;
                r = sd_bus_match_signal(l->c->bus, NULL, BUS_NAME, path, BUS_PROPERTIES, "PropertiesChanged",
                                        logs_on_change, s);
                if (r < 0)
                        return bus_error_to_error(NULL, r, reterr_error);
        }
        r = sd_bus_add_match(l->c->bus, NULL, MATCH_OWNER, logs_on_owner, l);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int logs_follow(Logs *l, Error *reterr_error) {
        sd_event_source *source = NULL, *timer = NULL;
        sd_event *event;
        int r;

        r = ctl_event(l->c, &event, reterr_error);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &source, sd_journal_get_fd(l->journal),
                            (uint32_t) sd_journal_get_events(l->journal), logs_on_journal, l);
        if (r >= 0 && l->until_usec != UINT64_MAX)
                r = sd_event_add_time(event, &timer, CLOCK_REALTIME, l->until_usec, 0, logs_on_until, l);
        /* What came between the first reading and the watch on the journal. */
        if (r >= 0)
                r = print_entries(l);
        while (r >= 0 && !l->ended && any_is_live(l) && l->error >= 0)
                r = sd_event_run(event, UINT64_MAX);
        sd_event_source_disable_unref(source);
        sd_event_source_disable_unref(timer);
        if (r >= 0)
                r = l->error;
        if (r >= 0)
                r = print_last(l);
        return r < 0 ? error_set(reterr_error, r, "Failed", "Cannot follow the log: %s", strerror(-r))
                     : EXIT_SUCCESS;
}

/* -- all of it -- */

static void printer_set_up(Logs *l) {
        static char buffer[STDERR_BUFFER_SIZE];

        if (!l->follow)
                pager_open(l->c);
        l->printer = (LogPrinter) {
                .format = l->format,
                .timestamps = l->timestamps,
                .names = l->names || l->n_sources > 1,
                .together = l->c->pager_pid > 0,
                .colors = { l->follow ? terminal_has_colors(STDOUT_FILENO) : l->c->colors,
                            terminal_has_colors(STDERR_FILENO) },
        };
        (void) setvbuf(stderr, buffer, _IOFBF, sizeof(buffer));
}

static int logs_open(Logs *l) {
        int r;

        journal_sync();
        r = journal_open(l);
        if (r < 0)
                return r;
        printer_set_up(l);
        return log_lines_new(LOG_LINE_SIZE_MAX, log_print_line, &l->printer, &l->assembly);
}

static int check_found(const Logs *l, Error *reterr_error) {
        for (size_t i = 0; i < l->n_sources && l->printer.n_printed == 0; i++)
                if (!l->sources[i].known)
                        return error_set(reterr_error, -ENOENT, "NoSuchContainer",
                                         "There is no container '%s' in the namespace %s, and nothing "
                                         "of it in the journal.%s",
                                         l->sources[i].source.id, l->c->ns,
                                         geteuid() == 0 ? ""
                                                        : " Only root and the group systemd-journal can "
                                                          "see all of that.");
        return EXIT_SUCCESS;
}

static int logs_show(Logs *l, Error *reterr_error) {
        int r;

        /* Subscribed before the state is asked for: otherwise the end could come between the two and be
         * missed. */
        if (l->follow) {
                r = logs_subscribe(l, reterr_error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < l->n_sources; i++) {
                r = look_up(l, &l->sources[i], reterr_error);
                if (r >= 0)
                        r = check_has_log(&l->sources[i], reterr_error);
                if (r < 0)
                        return r;
        }
        r = logs_open(l);
        if (r >= 0)
                r = print_entries(l);
        if (r >= 0 && l->follow && any_is_live(l))
                return logs_follow(l, reterr_error);
        if (r >= 0)
                r = print_rest(l);
        if (r < 0)
                return error_set(reterr_error, r, "Failed", "Cannot read the journal: %s", strerror(-r));
        return check_found(l, reterr_error);
}

static void logs_done(Logs *l) {
        log_lines_free(l->assembly);
        sd_journal_close(l->journal);
        for (size_t i = 0; i < l->n_sources; i++) {
                free(l->sources[i].source.image);
                free(l->sources[i].log);
                free(l->sources[i].unit);
        }
        free(l->sources);
}

/* "web", or "web/3": its third exec. */
static int source_set(Logs *l, Source *s, char *name, Error *reterr_error) {
        char *slash = strchr(name, '/');

        *s = (Source) { .source = { .ns = l->c->ns, .id = name }, .logs = l, .exec = l->exec };
        if (!slash)
                return 0;
        if (parse_uint64(slash + 1, &s->exec) < 0 || s->exec == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is neither a container nor an exec (CONTAINER/NUMBER).", name);
        *slash = 0;
        return 0;
}

/* -- for other verbs -- */

struct LogFollower {
        Logs logs;
        Source source;
        sd_event_source *io;
};

LogFollower *log_follower_free(LogFollower *f) {
        if (!f)
                return NULL;

        sd_event_source_disable_unref(f->io);
        f->logs.sources = NULL;
        f->logs.n_sources = 0;
        free(f->source.source.image);
        logs_done(&f->logs);
        free(f);
        return NULL;
}

int log_follower_new(Ctl *c, sd_event *event, const char *id, LogFollower **ret, Error *reterr_error) {
        LogFollower *f = calloc(1, sizeof(LogFollower));
        int r;

        if (!f)
                return error_oom(reterr_error);
        f->logs = (Logs) { .c = c, .follow = true, .until_usec = UINT64_MAX, .sources = &f->source, .n_sources = 1 };
        f->source = (Source) { .source = { .ns = c->ns, .id = id }, .logs = &f->logs };
        r = logs_open(&f->logs);
        if (r >= 0)
                r = sd_event_add_io(event, &f->io, sd_journal_get_fd(f->logs.journal),
                                    (uint32_t) sd_journal_get_events(f->logs.journal), logs_on_journal, &f->logs);
        /* What came before the journal was watched. */
        if (r >= 0)
                r = print_entries(&f->logs);
        if (r < 0) {
                log_follower_free(f);
                return error_set(reterr_error, r, "Failed", "Cannot read the journal: %s", strerror(-r));
        }
        *ret = f;
        return 0;
}

void log_follower_finish(LogFollower *f) {
        (void) print_last(&f->logs);
}

static int logs_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_(logs_done) Logs l = { .c = c, .lines = UINT64_MAX, .until_usec = UINT64_MAX };
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &l, &args, reterr_error);
        if (r <= 0)
                return r;
        if (c->host)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Logs are in that host's journal: ssh %s moorctl logs %s", c->host,
                                 args[0]);
        if (c->machine)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Logs are in that machine's journal: journalctl -M %s MOORED_CONTAINER=%s",
                                 c->machine, args[0]);
        if (!l.format_set && c->json != OUTPUT_OFF)
                l.format = c->json == OUTPUT_SHORT ? LOG_FORMAT_JSON : LOG_FORMAT_JSON_PRETTY;

        while (args[l.n_sources])
                l.n_sources++;
        l.sources = calloc(l.n_sources, sizeof(Source));
        if (!l.sources) {
                l.n_sources = 0;
                return error_oom(reterr_error);
        }
        for (size_t i = 0; i < l.n_sources; i++) {
                r = source_set(&l, &l.sources[i], args[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return logs_show(&l, reterr_error);
}

static const Option logs_options[] = {
        { 'f', "follow", NULL, OPTION_FLAG, offsetof(Logs, follow),
          .help = "Go on until the containers end" },
        { 'n', "lines", "NUMBER|all", OPTION_CUSTOM, .apply = apply_lines, .help = "The last lines only" },
        { 0, "tail", "NUMBER|all", OPTION_CUSTOM, .apply = apply_lines, .help = "The same" },
        { 0, "since", "TIME", OPTION_CUSTOM, .apply = apply_since,
          .help = "Lines since then: 2026-01-02 03:04, -5min, today" },
        { 0, "until", "TIME", OPTION_CUSTOM, .apply = apply_until, .help = "Lines until then" },
        { 'o', "output", "FORMAT", OPTION_CUSTOM, .apply = apply_output,
          .help = "cat (as written, the default), short, short-iso,\nshort-precise, json, json-pretty" },
        { 't', "timestamps", NULL, OPTION_FLAG, offsetof(Logs, timestamps),
          .help = "The time before each line" },
        { 0, "names", NULL, OPTION_FLAG, offsetof(Logs, names),
          .help = "The container's name before each line; always so\nwith more than one" },
        { 0, "exec", "NUMBER|all", OPTION_CUSTOM, .apply = apply_exec,
          .help = "What an exec wrote; all: and the container itself" },
        OPTION_END,
};

const Verb verb_logs = {
        .name = "logs",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Show what containers wrote",
        .description =
                "From the journal, as it was written, to stdout and stderr; also of containers that were removed. A\n"
                "container that runs in the foreground writes to moorctl run instead. CONTAINER/NUMBER is an exec.\n"
                "More: journalctl MOORED_CONTAINER=NAME.\n\n"
                "Examples:\n"
                "  moorctl logs -f web\n"
                "  moorctl logs -n 20 --since -1h job\n"
                "  moorctl logs -f -t web db\n",
        .options = logs_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = logs_main,
};
