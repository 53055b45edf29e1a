/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container wrote is in the journal, with its name and namespace as fields. The lines are printed as
 * they were written. Only those since the container was made are shown: an earlier one may have had the same
 * name. */

#include <unistd.h>

#include <systemd/sd-journal.h>

#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/event-record.h"
#include "ctl/journal.h"
#include "ctl/pager.h"
#include "ctl/terminal.h"

typedef struct Logs {
        Ctl *c;
        /* options */
        bool follow, timestamps;
        uint64_t since_usec, lines;
        /* state */
        const char *id;
        sd_journal *journal;
        bool known, live; /* moored knows it; it may still write */
        size_t n_printed;
        bool ended; /* stop following */
        int error;
        /* where stdout is: in the middle of a line? */
        bool open_line;
} Logs;

static int apply_since(const char *value, void *target, Error *reterr_error) {
        Logs *l = target;

        if (parse_timestamp(value, &l->since_usec) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--since=%s is not a time, such as 2026-01-02 03:04, -5min, "
                                 "today or @1700000000.",
                                 value);
        return 0;
}

static int apply_lines(const char *value, void *target, Error *reterr_error) {
        Logs *l = target;

        if (streq(value, "all"))
                l->lines = UINT64_MAX;
        else if (parse_uint64(value, &l->lines) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "-n %s is not a number of lines.",
                                 value);
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

static int entry_print_json(Logs *l, uint64_t usec) {
        _cleanup_json_ json_t *j = json_object();
        const char *p;
        size_t size;

        p = entry_field(l->journal, "PRIORITY", &size);
        if (!j || json_object_set_new(j, "USec", json_integer((json_int_t) usec)) < 0 ||
            json_object_set_new(j, "Priority", json_integer(p && size == 1 ? p[0] - '0' : 6)) < 0)
                return -ENOMEM;
        p = entry_field(l->journal, "MESSAGE", &size);
        /* Bytes that are not UTF-8 cannot be a JSON string. */
        if (json_object_set_new(j, "Message", (p ? json_stringn(p, size) : NULL) ?: json_null()) < 0)
                return -ENOMEM;
        return json_print(j, l->c->json, stdout);
}

static void print_timestamp(uint64_t usec) {
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        char date[40] = "";
        struct tm tm;

        if (localtime_r(&seconds, &tm))
                (void) strftime(date, sizeof date, "%FT%T", &tm);
        printf("%s.%06u ", date, (unsigned) (usec % USEC_PER_SEC));
}

static int entry_print(Logs *l) {
        const char *p, *priority, *line_break;
        size_t size = 0, priority_size = 0, break_size = 0;
        bool red, whole;
        uint64_t usec;
        int r;

        r = sd_journal_get_realtime_usec(l->journal, &usec);
        if (r < 0)
                return r;
        if (l->c->json != OUTPUT_OFF)
                return entry_print_json(l, usec);

        priority = entry_field(l->journal, "PRIORITY", &priority_size);
        red = l->c->colors && priority && priority_size == 1 && priority[0] <= '3';
        /* journald splits very long lines. */
        line_break = entry_field(l->journal, "_LINE_BREAK", &break_size);
        whole = !field_is(line_break, break_size, "line-max");
        if (l->timestamps && !l->open_line)
                print_timestamp(usec);

        p = entry_field(l->journal, "MESSAGE", &size);
        if (red)
                fputs(ANSI_RED, stdout);
        if (p)
                (void) fwrite(p, 1, size, stdout);
        if (red)
                fputs(ANSI_RESET, stdout);
        if (whole)
                fputc('\n', stdout);
        l->open_line = !whole;
        return ferror(stdout) ? -EIO : 0;
}

static int print_entries(Logs *l) {
        int r;

        while ((r = sd_journal_next(l->journal)) > 0) {
                uint64_t usec;

                if (sd_journal_get_realtime_usec(l->journal, &usec) >= 0 && usec < l->since_usec)
                        continue;
                r = entry_print(l);
                if (r < 0)
                        return r;
                l->n_printed++;
        }
        if (r >= 0 && fflush(stdout) != 0)
                r = -errno;
        return r;
}

/* -- where to begin -- */

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = strjoin(field, "=", value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

static int journal_open(Logs *l) {
        int r;

        r = sd_journal_open(&l->journal, SD_JOURNAL_LOCAL_ONLY);
        if (r >= 0)
                r = sd_journal_set_data_threshold(l->journal, 0);
        if (r >= 0)
                r = add_match(l->journal, "MOORED_CONTAINER", l->id);
        if (r >= 0)
                r = add_match(l->journal, "MOORED_NAMESPACE", l->c->ns);
        /* PID 1's own messages about the unit have these fields as well (systemd 257, not 252). */
        if (r >= 0)
                r = add_match(l->journal, "_TRANSPORT", "stdout");
        if (r < 0)
                return r;

        if (l->lines == UINT64_MAX)
                return l->since_usec > 0 ? sd_journal_seek_realtime_usec(l->journal, l->since_usec)
                                         : sd_journal_seek_head(l->journal);
        r = sd_journal_seek_tail(l->journal);
        if (r < 0)
                return r;
        /* One further back, as the printing begins with a step forward; at the very beginning there is none.
         */
        r = sd_journal_previous_skip(l->journal, MIN(l->lines, UINT64_MAX - 1) + 1);
        if (r >= 0 && (uint64_t) r <= l->lines)
                r = sd_journal_seek_head(l->journal);
        return r;
}

static bool state_is_live(json_t *container) {
        return !streq(strempty(json_get_string(container, "State")), "exited");
}

/* What moored knows of it. Logs outlive the container and are there without moored, so that its errors are
 * none here. */
static int look_up(Logs *l, Error *reterr_error) {
        _cleanup_free_ char *path = container_path(l->c->ns, l->id);
        _cleanup_json_ json_t *container = NULL;
        uint64_t created;

        if (!path)
                return ctl_oom(reterr_error);
        if (ctl_get_all(l->c, path, BUS_CONTAINER, &container, NULL) < 0)
                return 0;
        l->known = true;
        l->live = state_is_live(container);
        created = (uint64_t) json_integer_value(json_object_get(container, "CreatedUSec"));
        l->since_usec = MAX(l->since_usec, created);
        return 0;
}

/* -- following -- */

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

static int logs_on_event(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(event_record_done) EventRecord e = {};
        Logs *l = userdata;

        if (bus_message_is_event(m) && event_record_read(m, false, &e) > 0 &&
            (streq(e.topic, "container/exited") || streq(e.topic, "container/removed")))
                l->ended = true;
        return 0;
}

static int logs_on_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        _cleanup_json_ json_t *container = NULL;
        Logs *l = userdata;

        if (bus_error_is_unknown_object(e) ||
            (!e && bus_message_to_json(m, &container) >= 0 && !state_is_live(container)))
                l->ended = true;
        return 1;
}

/* A new moored: the end may have been told to nobody. */
static int logs_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_message_ sd_bus_message *call = NULL;
        const char *name, *before, *after;
        _cleanup_free_ char *path = NULL;
        Logs *l = userdata;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0 || isempty(after))
                return 0;
        path = container_path(l->c->ns, l->id);
        if (path && ctl_new_call(l->c, path, BUS_PROPERTIES, "GetAll", &call, NULL) >= 0 &&
            sd_bus_message_append(call, "s", BUS_CONTAINER) >= 0)
                (void) sd_bus_call_async(l->c->bus, NULL, call, logs_on_state, l, UINT64_MAX);
        return 0;
}

static int logs_subscribe(Logs *l, Error *reterr_error) {
        int r;

        r = ctl_match_events(l->c, l->id, logs_on_event, l, NULL, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_add_match(l->c->bus, NULL, MATCH_OWNER, logs_on_owner, l);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int logs_follow(Logs *l, Error *reterr_error) {
        sd_event_source *source = NULL;
        sd_event *event;
        int r;

        r = ctl_event(l->c, &event, reterr_error);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &source, sd_journal_get_fd(l->journal),
                            (uint32_t) sd_journal_get_events(l->journal), logs_on_journal, l);
        /* What came between the first reading and the watch on the journal. */
        if (r >= 0)
                r = print_entries(l);
        while (r >= 0 && !l->ended && l->error >= 0)
                r = sd_event_run(event, UINT64_MAX);
        sd_event_source_disable_unref(source);
        if (r >= 0)
                r = l->error;
        if (r >= 0) {
                journal_sync();
                (void) sd_journal_process(l->journal);
                r = print_entries(l);
        }
        return r < 0 ? error_set(reterr_error, r, "Failed", "Cannot follow the log: %s", strerror(-r))
                     : EXIT_SUCCESS;
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
        r = look_up(l, reterr_error);
        if (r < 0)
                return r;
        journal_sync();
        r = journal_open(l);
        if (r >= 0) {
                if (l->follow)
                        l->c->colors = terminal_has_colors(STDOUT_FILENO);
                else
                        pager_open(l->c);
                r = print_entries(l);
        }
        if (r < 0)
                return error_set(reterr_error, r, "Failed", "Cannot read the journal: %s", strerror(-r));
        if (l->follow && l->live)
                return logs_follow(l, reterr_error);
        if (l->n_printed == 0 && !l->known)
                return error_set(reterr_error, -ENOENT, "NoSuchContainer",
                                 "There is no container '%s' in the namespace %s, and nothing "
                                 "of it in the journal.%s",
                                 l->id, l->c->ns,
                                 geteuid() == 0 ? ""
                                                : " Only root and the group systemd-journal can "
                                                  "see all of that.");
        return EXIT_SUCCESS;
}

static int logs_main(Ctl *c, char **argv, Error *reterr_error) {
        Logs l = { .c = c, .lines = UINT64_MAX };
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
        l.id = args[0];
        r = logs_show(&l, reterr_error);
        sd_journal_close(l.journal);
        return r;
}

static const Option logs_options[] = {
        { 'f', "follow", NULL, OPTION_FLAG, offsetof(Logs, follow),
          .help = "Go on until the container ends" },
        { 'n', "lines", "NUMBER|all", OPTION_CUSTOM, .apply = apply_lines, .help = "The last lines only" },
        { 0, "since", "TIME", OPTION_CUSTOM, .apply = apply_since,
          .help = "Lines since then: 2026-01-02 03:04, -5min, today" },
        { 't', "timestamps", NULL, OPTION_FLAG, offsetof(Logs, timestamps),
          .help = "The time before each line" },
        OPTION_END,
};

const Verb verb_logs = {
        .name = "logs",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER",
        .summary = "Show what a container wrote",
        .description =
                "From the journal, as it was written; also of containers that were removed. A container that runs\n"
                "in the foreground writes to moorctl run instead. More: journalctl "
                "MOORED_CONTAINER=NAME.\n\n"
                "Examples:\n"
                "  moorctl logs -f web\n"
                "  moorctl logs -n 20 --since -1h job\n",
        .options = logs_options,
        .min_args = 1,
        .max_args = 1,
        .run = logs_main,
};
