/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* stats and top. A share of CPU time needs two looks: the first table shows the time between two of them that
 * are half a second apart. */

#include <inttypes.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/container-calls.h"
#include "ctl/stats-rows.h"
#include "ctl/terminal.h"

#define INTERVAL_DEFAULT_USEC (2 * USEC_PER_SEC)
#define INTERVAL_MIN_USEC (100 * USEC_PER_MSEC)
#define FIRST_USEC (500 * USEC_PER_MSEC)

typedef struct StatsOptions {
        bool no_stream;
        uint64_t interval_usec;
} StatsOptions;

typedef struct Sample {
        char **ids;
        json_t **results; /* of each; NULL: it does not run (any more) */
} Sample;

static int sample_make(Ctl *c, size_t i, sd_bus_message **ret, void *userdata, Error *reterr_error) {
        Sample *s = userdata;
        _cleanup_free_ char *path = container_path(c->ns, s->ids[i]);

        return path ? ctl_new_call(c, path, BUS_CONTAINER, "Statistics", ret, reterr_error)
                    : error_oom(reterr_error);
}

static int sample_done(Ctl *c, size_t i, sd_bus_message *reply, void *userdata, Error *reterr_error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        Sample *s = userdata;
        int r;

        if (bus_error_is_unknown_object(e) || sd_bus_error_has_name(e, BUS_ERROR_NOT_RUNNING))
                return 0;
        if (e)
                return bus_error_to_error(e, 0, reterr_error);
        r = bus_message_to_json(reply, &s->results[i]);
        if (r >= 0 && json_object_set_new(s->results[i], "Id", json_string(s->ids[i])) < 0)
                r = -ENOMEM;
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

/* Statistics of those named, or of all that run: an object, Id → statistics. */
static int take_sample(Ctl *c, char *const *names, json_t **ret, Error *reterr_error) {
        static const char *const alive[] = { "running", "paused", "stopping", NULL };
        _cleanup_json_ json_t *all = json_object();
        _cleanup_strv_free_ char **ids = NULL;
        Sample s = {};
        BusBatch batch = { .make = sample_make, .done = sample_done, .userdata = &s };
        int r = 0;

        if (names[0]) {
                ids = strv_copy(names);
                r = ids ? 0 : error_oom(reterr_error);
        } else
                r = container_ids_by_state(c, alive, &ids, reterr_error);
        if (r < 0)
                return r;
        s.ids = ids;
        batch.n = strv_length(ids);
        s.results = calloc(batch.n + 1, sizeof(json_t *));
        if (!all || !s.results) {
                free(s.results);
                return error_oom(reterr_error);
        }
        r = ctl_batch(c, &batch, reterr_error);
        for (size_t i = 0; i < batch.n; i++)
                if (s.results[i] && json_object_set_new(all, ids[i], s.results[i]) < 0 && r >= 0)
                        r = error_oom(reterr_error);
        free(s.results);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(all);
        return 0;
}

static int print_stats(Ctl *c, json_t *before, json_t *now, unsigned *lines, Error *reterr_error) {
        _cleanup_(table_freep) Table *t = table_new(stats_columns);
        _cleanup_json_ json_t *array = json_array();
        const char *id;
        json_t *one;
        int r = 0;

        if (!t || !array)
                return error_oom(reterr_error);
        json_object_foreach(now, id, one) {
                stats_add_rates(one, json_object_get(before, id));
                if (json_array_append(array, one) < 0 || stats_add_row(t, one) < 0)
                        return error_oom(reterr_error);
        }
        if (c->json != OUTPUT_OFF)
                r = json_print(array, c->json, stdout);
        else {
                /* More than the screen has cannot be gone back over. */
                if (*lines > 0 && *lines < terminal_rows(STDOUT_FILENO))
                        printf("\033[%uA\033[J", *lines);
                else if (*lines > 0)
                        printf("\033[H\033[2J");
                r = table_print(t, stdout, c->full ? 0 : c->columns, !c->no_legend, c->colors);
                *lines = terminal_can_redraw(STDOUT_FILENO)
                                         ? (unsigned) json_array_size(array) + (c->no_legend ? 0 : 1)
                                         : 0;
        }
        if (r >= 0 && fflush(stdout) != 0)
                r = -errno;
        return r < 0 ? error_set(reterr_error, r, "Failed", "Cannot write the output: %s", strerror(-r)) : 0;
}

static void sleep_usec(uint64_t usec) {
        const struct timespec t = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                                    .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };

        (void) nanosleep(&t, NULL);
}

static int show_stats(Ctl *c, const StatsOptions *o, char *const *names, Error *reterr_error) {
        _cleanup_json_ json_t *before = NULL;
        unsigned lines = 0;
        int r;

        if (isatty(STDOUT_FILENO)) {
                c->columns = terminal_columns(STDOUT_FILENO);
                c->colors = terminal_has_colors(STDOUT_FILENO);
        }
        r = take_sample(c, names, &before, reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                if (!json_object_get(before, name))
                        return error_set(reterr_error, -ESRCH, "NotRunning",
                                         "No container '%s' runs in the namespace %s; moorctl ps lists those that do.",
                                         name, c->ns);
        for (uint64_t usec = FIRST_USEC;; usec = o->interval_usec) {
                json_t *now;

                sleep_usec(usec);
                r = take_sample(c, names, &now, reterr_error);
                if (r < 0)
                        return r;
                r = print_stats(c, before, now, &lines, reterr_error);
                json_decref(before);
                before = now;
                if (r < 0 || o->no_stream)
                        return r;
                /* Nothing of those that were named will come back by itself. */
                if (names[0] && json_object_size(now) == 0)
                        return EXIT_SUCCESS;
        }
}

static int apply_interval(const char *value, void *target, Error *reterr_error) {
        StatsOptions *o = target;

        if (parse_sec(value, &o->interval_usec) < 0 || o->interval_usec < INTERVAL_MIN_USEC ||
            o->interval_usec == UINT64_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--interval=%s is not a time of at least 100ms.", value);
        return 0;
}

static int stats_main(Ctl *c, char **argv, Error *reterr_error) {
        StatsOptions o = { .interval_usec = INTERVAL_DEFAULT_USEC };
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        return r <= 0 ? r : show_stats(c, &o, args, reterr_error);
}

static const Option stats_options[] = {
        { 0, "no-stream", NULL, OPTION_FLAG, offsetof(StatsOptions, no_stream),
          .help = "Show them once, instead of again and again" },
        { 'i', "interval", "TIME", OPTION_CUSTOM, .apply = apply_interval,
          .help = "Time between two tables (default: 2s)" },
        OPTION_END,
};

const Verb verb_stats = {
        .name = "stats",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] [CONTAINER…]",
        .summary = "Show what containers use, live",
        .description =
                "Of those named, or of all that run. CPU% of 100 is one CPU. With --json one array each time,\n"
                "all numbers of Statistics() in org.moored1.Container(5), and CPUPercent.\n\n"
                "Examples:\n"
                "  moorctl stats\n"
                "  moorctl stats --no-stream --json=short web\n",
        .options = stats_options,
        .max_args = UINT_MAX,
        .run = stats_main,
};

/* -- top ---------------------------------------------------------------------------------------- */

static int top_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_json_ json_t *processes = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_free_ char **args = NULL, *path = NULL;
        json_t *process;
        size_t i;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        path = container_path(c->ns, args[0]);
        t = table_new(top_columns);
        if (!path || !t)
                return error_oom(reterr_error);
        r = ctl_new_call(c, path, BUS_CONTAINER, "GetProcesses", &m, reterr_error);
        if (r < 0)
                return r;
        r = container_call_message(c, args[0], m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = bus_message_to_json(reply, &processes);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);

        json_array_foreach(processes, i, process)
                if (top_add_row(t, process) < 0)
                        return error_oom(reterr_error);
        return ctl_output(c, t, processes, reterr_error);
}

const Verb verb_top = {
        .name = "top",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "CONTAINER",
        .summary = "List the processes of a container",
        .description = "PID on the host and inside, user number, state as in proc(5), CPU time, resident memory.\n\n"
                       "Example:\n"
                       "  moorctl top web\n",
        .min_args = 1,
        .max_args = 1,
        .run = top_main,
};
