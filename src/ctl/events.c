/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signals are only the wake-up: the bus drops them for a slow reader, and moored may be restarted. A number
 * that is not the next one, or a new moored, makes us ask for all since the last that was shown. Where
 * moored does not keep them any more, or numbers are left out (after a power loss), that is said: what is
 * shown without such a sentence is complete. */

#include "ctl/event-record.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/event-filter.h"
#include "ctl/pager.h"
#include "ctl/terminal.h"

typedef struct EventsOptions {
        Ctl *c;
        bool follow;
        uint64_t since_sequence, since_usec, until_usec;
        bool since_set;
        uint64_t lines;
        EventFilter filter;
        /* state */
        uint64_t last;
        bool lost; /* some that should have been shown are not there */
        bool over; /* --until= has come */
        json_t *kept; /* with -n: what was read until all are known */
        bool stale;   /* ask again */
        int error;
} EventsOptions;

static int apply_since(const char *value, void *target, Error *reterr_error) {
        EventsOptions *o = target;

        o->since_set = true;
        if (parse_uint64(value, &o->since_sequence) >= 0)
                return 0;
        if (parse_timestamp(value, &o->since_usec) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--since=%s is neither an event's number nor a time, such as "
                                 "2026-01-02, -5min or today.",
                                 value);
        return 0;
}

static int apply_until(const char *value, void *target, Error *reterr_error) {
        EventsOptions *o = target;

        return option_parse_timestamp("until", value, &o->until_usec, reterr_error);
}

static int apply_filter(const char *value, void *target, Error *reterr_error) {
        return event_filter_add(&((EventsOptions *) target)->filter, value, reterr_error);
}

static int apply_lines(const char *value, void *target, Error *reterr_error) {
        EventsOptions *o = target;

        if (parse_uint64(value, &o->lines) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-n %s is not a number of events, such as 20.", value);
        return 0;
}

static int event_print(Ctl *c, json_t *event) {
        _cleanup_free_ char *details = NULL;
        json_int_t usec = json_integer_value(json_object_get(event, "USec"));
        time_t seconds = (time_t) (usec / (json_int_t) USEC_PER_SEC);
        char date[32] = "";
        struct tm tm;

        if (c->json != OUTPUT_OFF)
                return json_print(event, c->json, stdout);
        details = event_details_to_string(json_object_get(event, "Details"));
        if (!details)
                return -ENOMEM;
        if (localtime_r(&seconds, &tm))
                (void) strftime(date, sizeof date, "%F %T", &tm);
        printf("%s%s.%03u%s  %-12s %-24s %s  %s%s%s\n", c->colors ? ANSI_GREY : "", date,
               (unsigned) ((uint64_t) usec % USEC_PER_SEC / USEC_PER_MSEC), c->colors ? ANSI_RESET : "",
               json_get_string(event, "Namespace"), json_get_string(event, "Topic"),
               json_get_string(event, "Subject"), c->colors ? ANSI_GREY : "", string_sanitize(details),
               c->colors ? ANSI_RESET : "");
        return 0;
}

static void events_tell_lost(EventsOptions *o, uint64_t first, uint64_t last) {
        o->lost = true;
        (void) fflush(stdout);
        fprintf(stderr, "moorctl: the events %" PRIu64 " to %" PRIu64 " are not kept any more.\n", first, last);
}

static int events_add(EventsOptions *o, const EventRecord *e) {
        _cleanup_json_ json_t *event = NULL;
        int r;

        /* Who asked for the last ones, or for those since a time, asked for no number. */
        if ((o->follow || (o->since_set && o->since_usec == 0)) && o->last > 0 && e->sequence > o->last + 1)
                events_tell_lost(o, o->last + 1, e->sequence - 1);
        o->last = MAX(o->last, e->sequence);
        if (e->usec > o->until_usec) {
                o->over = true;
                return 0;
        }
        if (e->usec < o->since_usec || (o->c->ns_option && !streq(e->ns, o->c->ns_option)) ||
            !event_filter_match(&o->filter, e))
                return 0;
        r = event_record_to_json(e, &event);
        if (r < 0)
                return r;
        if (!o->kept)
                return event_print(o->c, event);
        if (json_array_append(o->kept, event) < 0)
                return -ENOMEM;
        if (json_array_size(o->kept) > o->lines)
                (void) json_array_remove(o->kept, 0);
        return 0;
}

static int events_read(EventsOptions *o, sd_bus_message *reply, unsigned *ret_n) {
        unsigned n = 0;
        int r;

        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(ttsssa{sv})");
        while (r >= 0) {
                _cleanup_(event_record_done) EventRecord e = {};

                r = event_record_read(reply, true, &e);
                if (r <= 0)
                        break;
                n++;
                r = events_add(o, &e);
        }
        *ret_n = n;
        return r;
}

/* Of those after o->last some are gone: those that are there. */
static int events_since_lost(EventsOptions *o, sd_bus_message **ret, Error *reterr_error) {
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t newest = 0;
        int r;

        r = sd_bus_get_property_trivial(o->c->bus, BUS_NAME, BUS_PATH, BUS_MANAGER, "EventSequence", &e, 't', &newest);
        if (r < 0)
                return bus_error_to_error(&e, r, reterr_error);
        /* They are numbered anew: none is known. */
        if (newest < o->last) {
                o->lost = true;
                fprintf(stderr, "moorctl: the event %" PRIu64 " has not been; the last one is %" PRIu64 ".\n", o->last,
                        newest);
                o->last = 0;
        }
        return ctl_call(o->c, BUS_PATH, BUS_MANAGER, "EventsSince", ret, reterr_error, "tu", UINT64_C(0),
                        (uint32_t) EVENTS_PAGE);
}

/* All events after o->last. */
static int events_catch_up(EventsOptions *o, Error *reterr_error) {
        unsigned n;
        int r;

        do {
                _cleanup_message_ sd_bus_message *reply = NULL;
                _cleanup_error_ Error error = ERROR_NULL;

                r = ctl_call(o->c, BUS_PATH, BUS_MANAGER, "EventsSince", &reply, &error, "tu", o->last,
                             (uint32_t) EVENTS_PAGE);
                if (r < 0 && !error_has_name(&error, "EventsLost"))
                        return error_move(reterr_error, &error);
                if (r < 0) {
                        r = events_since_lost(o, &reply, reterr_error);
                        if (r < 0)
                                return r;
                }
                r = events_read(o, reply, &n);
                if (r < 0)
                        return bus_error_to_error(NULL, r, reterr_error);
        } while (n >= EVENTS_PAGE && !o->over);
        return 0;
}

static int events_on_event(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(event_record_done) EventRecord e = {};
        EventsOptions *o = userdata;

        if (!bus_message_is_event(m) || event_record_read(m, false, &e) <= 0 || e.sequence <= o->last)
                return 0;
        if (e.sequence > o->last + 1)
                o->stale = true;
        else if (!o->stale)
                o->error = events_add(o, &e);
        return 0;
}

static int events_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *name, *before, *after;
        EventsOptions *o = userdata;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) >= 0 && !isempty(after))
                o->stale = true;
        return 0;
}

static int events_subscribe(EventsOptions *o, Error *reterr_error) {
        int r;

        r = ctl_connect(o->c, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(o->c->bus, NULL, BUS_NAME, BUS_PATH, BUS_MANAGER, "Event", events_on_event,
                                o);
        if (r >= 0)
                r = sd_bus_add_match(o->c->bus, NULL, MATCH_OWNER, events_on_owner, o);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

/* How long to wait for the next event. */
static uint64_t events_timeout(EventsOptions *o) {
        uint64_t now = now_usec(CLOCK_REALTIME);

        return o->until_usec == UINT64_MAX ? UINT64_MAX : o->until_usec > now ? o->until_usec - now : 0;
}

static int events_follow(EventsOptions *o, Error *reterr_error) {
        int r = 0;

        while (!o->over) {
                r = sd_bus_process(o->c->bus, NULL);
                if (r >= 0 && o->error < 0)
                        r = o->error;
                if (r > 0)
                        continue;
                if (r == 0 && o->stale) {
                        o->stale = false;
                        r = events_catch_up(o, reterr_error);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (r == 0 && fflush(stdout) != 0)
                        r = -errno;
                if (r == 0 && events_timeout(o) == 0)
                        break;
                if (r == 0)
                        r = sd_bus_wait(o->c->bus, events_timeout(o));
                if (r < 0 && r != -EINTR)
                        return bus_error_to_error(NULL, r, reterr_error);
        }
        return 0;
}

static int events_show(EventsOptions *o, Error *reterr_error) {
        json_t *event;
        size_t i;
        int r;

        if (o->follow) {
                o->c->colors = terminal_has_colors(STDOUT_FILENO);
                r = events_subscribe(o, reterr_error);
                if (r < 0)
                        return r;
        } else
                pager_open(o->c);

        o->last = o->since_sequence;
        if (o->follow && !o->since_set && o->lines == UINT64_MAX) {
                _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;

                r = sd_bus_get_property_trivial(o->c->bus, BUS_NAME, BUS_PATH, BUS_MANAGER, "EventSequence",
                                                &e, 't', &o->last);
                if (r < 0)
                        return bus_error_to_error(&e, r, reterr_error);
        }
        if (o->lines != UINT64_MAX) {
                o->kept = json_array();
                if (!o->kept)
                        return error_oom(reterr_error);
        }
        r = events_catch_up(o, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach(o->kept, i, event)
                if (event_print(o->c, event) < 0)
                        return error_oom(reterr_error);
        json_decref(o->kept);
        o->kept = NULL;
        if (o->follow) {
                r = events_follow(o, reterr_error);
                if (r < 0)
                        return r;
        }
        return o->lost ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int events_main(Ctl *c, char **argv, Error *reterr_error) {
        EventsOptions o = { .c = c, .lines = UINT64_MAX, .until_usec = UINT64_MAX };
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r > 0)
                r = events_show(&o, reterr_error);
        event_filter_done(&o.filter);
        json_decref(o.kept);
        return r;
}

static const Option events_options[] = {
        { 'f', "follow", NULL, OPTION_FLAG, offsetof(EventsOptions, follow),
          .help = "Wait for new ones; shows old ones only if asked" },
        { 0, "since", "NUMBER|TIME", OPTION_CUSTOM, .apply = apply_since,
          .help = "Those after this event's number, or since a time" },
        { 0, "until", "TIME", OPTION_CUSTOM, .apply = apply_until,
          .help = "Those until then; with -f it ends then" },
        { 0, "filter", "KEY=VALUE", OPTION_CUSTOM, .apply = apply_filter,
          .help = "Those that match: container=, image=, type=container,\nevent=exited, namespace=, network=, subject=" },
        { 'n', "lines", "NUMBER", OPTION_CUSTOM, .apply = apply_lines, .help = "The last ones only" },
        OPTION_END,
};

const Verb verb_events = {
        .name = "events",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "[OPTION…]",
        .summary = "Show what has happened, or what happens",
        .description =
                "Events of all namespaces that moored still keeps, oldest first, or with --namespace those of one.\n"
                "With --json one object each: Sequence, USec, Namespace, Topic, Subject, Details. If some after\n"
                "--since NUMBER, or while following, are not kept any more, that is said, and the exit status is 1.\n\n"
                "Examples:\n"
                "  moorctl events --since -1h\n"
                "  moorctl events -f --json=short\n"
                "  moorctl events --filter type=container --filter event=exited\n",
        .options = events_options,
        .run = events_main,
};
