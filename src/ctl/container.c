/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* start, stop, restart, kill, rm, pause, resume, wait: one call for each container named, all side by side, so that
 * stopping thirty takes as long as stopping the slowest. ps: a list, then the properties of those that are
 * shown. */

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/container-calls.h"
#include "ctl/terminal.h"

/* -- start, stop, restart, kill, rm, pause, resume -- */

#define ALIVE_STATES "starting", "running", "paused", "restarting", "stopping"
#define IDLE_STATES "created", "exited"

static const char *const alive_states[] = { ALIVE_STATES, NULL };
static const char *const idle_states[] = { IDLE_STATES, NULL };
static const char *const all_states[] = { ALIVE_STATES, IDLE_STATES, NULL };

#define ALL_OPTION(short_name, which)                                                                       \
        { short_name, "all", NULL, OPTION_FLAG, offsetof(ContainerCalls, all),                              \
          .help = "All of the namespace " which }

static int start_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Start" };

        return container_calls_main(c, argv, &calls, idle_states, reterr_error);
}

static const Option start_options[] = {
        ALL_OPTION(0, "that do not run"),
        OPTION_END,
};

const Verb verb_start = {
        .name = "start",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Start containers that were made or have ended",
        .description =
                "Starts them in the background and returns when their commands run; output goes to the journal.\n\n"
                "Example:\n"
                "  moorctl start web db\n",
        .options = start_options,
        .max_args = UINT_MAX,
        .run = start_main,
};

static int apply_time(const char *value, void *target, Error *reterr_error) {
        ContainerCalls *calls = target;

        return option_parse_sec("time", value, &calls->timeout_usec, reterr_error);
}

#define TIME_OPTION                                                                                         \
        { 't', "time", "TIME", OPTION_CUSTOM, .apply = apply_time,                                          \
          .help = "Until SIGKILL (default: the container's own)" }

/* One call, so that any number of them stops together. */
static int stop_containers(Ctl *c, ContainerCalls *calls, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_free_ char *path = namespace_path(c->ns);
        const char *id, *name, *message;
        int r;

        if (!path)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        r = ctl_new_call(c, path, BUS_NAMESPACE, "StopContainers", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, calls->ids);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", calls->timeout_usec);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        r = ctl_call_message(c, m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(sss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sss)", &id, &name, &message)) > 0) {
                const sd_bus_error e = SD_BUS_ERROR_MAKE_CONST(name, message);

                r = container_calls_failed(c, calls, id, &e, reterr_error);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        return calls->n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int append_timeout(sd_bus_message *m, const ContainerCalls *calls) {
        return sd_bus_message_append(m, "t", calls->timeout_usec);
}

static int stop_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .run = stop_containers, .timeout_usec = UINT64_MAX };

        return container_calls_main(c, argv, &calls, alive_states, reterr_error);
}

static const Option stop_options[] = {
        ALL_OPTION('a', "that run"),
        TIME_OPTION,
        OPTION_END,
};

const Verb verb_stop = {
        .name = "stop",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Stop containers: their stop signal, then SIGKILL",
        .description = "All at once; returns when all have ended.\n\n"
                       "Example:\n"
                       "  moorctl stop -t 2 web db\n",
        .options = stop_options,
        .max_args = UINT_MAX,
        .run = stop_main,
};

static int restart_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Restart", .append = append_timeout, .timeout_usec = UINT64_MAX };

        return container_calls_main(c, argv, &calls, alive_states, reterr_error);
}

static const Option restart_options[] = {
        ALL_OPTION('a', "that run"),
        TIME_OPTION,
        OPTION_END,
};

const Verb verb_restart = {
        .name = "restart",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Stop containers and start them again",
        .description = "With the same root file system: what they had written is still there.\n\n"
                       "Example:\n"
                       "  moorctl restart -t 2 web\n",
        .options = restart_options,
        .max_args = UINT_MAX,
        .run = restart_main,
};

static int apply_signal(const char *value, void *target, Error *reterr_error) {
        ContainerCalls *calls = target;
        int n = signal_from_string(value);

        if (n <= 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is not a signal, such as TERM, SIGHUP or 9.", value);
        calls->signo = n;
        return 0;
}

static int append_kill(sd_bus_message *m, const ContainerCalls *calls) {
        /* Of an exec there is only the main process. */
        return streq(sd_bus_message_get_interface(m), BUS_EXEC)
                               ? sd_bus_message_append(m, "i", calls->signo)
                               : sd_bus_message_append(m, "si", calls->whom, calls->signo);
}

static int kill_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Kill", .append = append_kill, .whom = "main", .signo = SIGKILL };
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &calls, &args, reterr_error);
        if (r <= 0)
                return r;
        if (!streq(calls.whom, "main") && !streq(calls.whom, "all"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--whom= is main or all, not '%s'.", calls.whom);
        return container_calls_run_all(c, &calls, args, alive_states, reterr_error);
}

static const Option kill_options[] = {
        ALL_OPTION('a', "that run"),
        { 's', "signal", "SIGNAL", OPTION_CUSTOM, .apply = apply_signal,
          .help = "Signal by name or number (default: KILL)" },
        { 0, "whom", "main|all", OPTION_STRING, offsetof(ContainerCalls, whom),
          .help = "The container's init or all processes (default: main)" },
        OPTION_END,
};

const Verb verb_kill = {
        .name = "kill",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER[/EXEC]…",
        .summary = "Send a signal to containers",
        .description =
                "SIGKILL where none is named. The init of a container gets no signal that it has no handler for,\n"
                "but for SIGKILL and SIGSTOP.\n\n"
                "Example:\n"
                "  moorctl kill -s HUP web\n",
        .options = kill_options,
        .max_args = UINT_MAX,
        .run = kill_main,
};

static int append_force(sd_bus_message *m, const ContainerCalls *calls) {
        return calls->force ? sd_bus_message_append(m, "a{sv}", 1, "Force", "b", 1)
                            : sd_bus_message_append(m, "a{sv}", 0);
}

static int rm_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Remove", .append = append_force };
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &calls, &args, reterr_error);
        if (r <= 0)
                return r;
        calls.ignore_missing = calls.force;
        return container_calls_run_all(c, &calls, args, calls.force ? all_states : idle_states, reterr_error);
}

static const Option rm_options[] = {
        ALL_OPTION('a', "that do not run,\nwith --force also those that do"),
        { 'f', "force", NULL, OPTION_FLAG, offsetof(ContainerCalls, force),
          .help = "Running ones too (SIGKILL); one that does\nnot exist is no error" },
        OPTION_END,
};

const Verb verb_rm = {
        .name = "rm",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER[/EXEC]…",
        .summary = "Remove containers and what they have written",
        .description = "Their logs stay in the journal.\n\n"
                       "Examples:\n"
                       "  moorctl rm job\n"
                       "  moorctl rm -fa\n",
        .options = rm_options,
        .max_args = UINT_MAX,
        .run = rm_main,
};

static int pause_main(Ctl *c, char **argv, Error *reterr_error) {
        static const char *const states[] = { "running", NULL };
        ContainerCalls calls = { .member = "Pause" };

        return container_calls_main(c, argv, &calls, states, reterr_error);
}

static const Option pause_options[] = {
        ALL_OPTION('a', "that run"),
        OPTION_END,
};

const Verb verb_pause = {
        .name = "pause",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Freeze all processes of containers",
        .description = "They keep their memory and get no time. resume lets them go on; stop does so first.\n\n"
                       "Example:\n"
                       "  moorctl pause web\n",
        .options = pause_options,
        .max_args = UINT_MAX,
        .run = pause_main,
};

static int resume_main(Ctl *c, char **argv, Error *reterr_error) {
        static const char *const states[] = { "paused", NULL };
        ContainerCalls calls = { .member = "Resume" };

        return container_calls_main(c, argv, &calls, states, reterr_error);
}

static const Option resume_options[] = {
        ALL_OPTION('a', "that are paused"),
        OPTION_END,
};

const Verb verb_resume = {
        .name = "resume",
        .alias = "unpause",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER…",
        .summary = "Let paused containers go on",
        .description = "Also known as unpause.\n\n"
                       "Example:\n"
                       "  moorctl resume web\n",
        .options = resume_options,
        .max_args = UINT_MAX,
        .run = resume_main,
};

static int wait_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Wait" };
        _cleanup_free_ char **args = NULL;
        _cleanup_free_ int *codes = NULL;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        codes = calloc(strv_length(args) + 1, sizeof(int));
        if (!codes)
                return error_oom(reterr_error);
        for (size_t i = 0; args[i]; i++)
                codes[i] = -1;
        calls.ids = args;
        calls.codes = codes;
        r = container_calls_run(c, &calls, reterr_error);
        if (r < 0)
                return r;
        for (size_t i = 0; args[i]; i++)
                if (codes[i] >= 0)
                        printf("%i\n", codes[i]);
        return r;
}

const Verb verb_wait = {
        .name = "wait",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "CONTAINER[/EXEC]…",
        .summary = "Wait until containers have ended, print their exit codes",
        .description = "One line each, in the order of the arguments; at once for those that do not run.\n\n"
                       "Example:\n"
                       "  moorctl wait job\n",
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = wait_main,
};

/* -- ps -- */

typedef struct PsOptions {
        bool all;
        char **filters;
} PsOptions;

static bool state_is_alive(const char *state) {
        return strv_contains((char *const *) alive_states, state);
}

/* label=NAME or label=NAME=VALUE */
static bool label_matches(json_t *labels, const char *wanted) {
        size_t l = strcspn(wanted, "=");
        _cleanup_free_ char *name = strndup(wanted, l);
        const char *have = name ? json_get_string(labels, name) : NULL;

        return have && (wanted[l] == 0 || streq(have, wanted + l + 1));
}

static bool filter_matches(json_t *container, const char *filter) {
        const char *value = strchr(filter, '=') + 1;

        if (startswith(filter, "state="))
                return streq(strempty(json_get_string(container, "State")), value);
        if (startswith(filter, "health="))
                return streq(strempty(json_get_string(container, "Health")), value);
        if (startswith(filter, "image="))
                return strstr(strempty(json_get_string(container, "Image")), value);
        if (startswith(filter, "id="))
                return startswith(strempty(json_get_string(container, "Id")), value);
        return label_matches(json_object_get(container, "Labels"), value);
}

static int apply_filter(const char *value, void *target, Error *reterr_error) {
        PsOptions *o = target;

        if (!startswith(value, "state=") && !startswith(value, "image=") && !startswith(value, "id=") &&
            !startswith(value, "health=") && !startswith(value, "label="))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--filter= knows state=, image=, id=, health= and label=NAME[=VALUE], not '%s'.",
                                 value);
        return strv_extend(&o->filters, value) < 0 ? error_oom(reterr_error) : 0;
}

/* Ids and states of the namespace's containers: paths of those that may be shown. */
static int ps_list(Ctl *c, const PsOptions *o, char ***ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        const char *object, *state;
        int r;

        r = container_list(c, &reply, reterr_error);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(sos)", NULL, &object, &state)) > 0)
                if ((o->all || state_is_alive(state)) && strv_extend(&paths, object) < 0)
                        return error_oom(reterr_error);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret = TAKE_PTR(paths);
        return 0;
}

static const char *state_color(const char *state) {
        if (streq(state, "running"))
                return ANSI_GREEN;
        return state_is_alive(state) ? ANSI_YELLOW : ANSI_GREY;
}

static char *ps_state(json_t *container) {
        const char *state = strempty(json_get_string(container, "State"));
        const char *key = streq(state, "exited")    ? "FinishedUSec"
                          : streq(state, "created") ? "CreatedUSec"
                                                    : "StartedUSec";
        json_int_t usec = json_integer_value(json_object_get(container, key));
        const char *health = streq(state, "running") ? strempty(json_get_string(container, "Health")) : "";
        char since[64];

        if (usec <= 0)
                return strdup(state);
        return strjoin(state, " (", format_relative(since, sizeof since, (uint64_t) usec),
                       isempty(health) ? "" : ", ", health, ")");
}

/* "8080->80/tcp 127.0.0.1:8000-8009->80-89/tcp" */
static char *ps_ports(json_t *container) {
        _cleanup_strv_free_ char **l = NULL;
        json_t *port;
        size_t i;

        json_array_foreach(json_object_get(container, "Ports"), i, port) {
                const char *protocol = strempty(json_string_value(json_array_get(port, 0)));
                const char *host = strempty(json_string_value(json_array_get(port, 1)));
                json_int_t from = json_integer_value(json_array_get(port, 2)), to = json_integer_value(json_array_get(port, 3));
                json_int_t more = json_integer_value(json_array_get(port, 4)) - 1;
                bool brackets = strchr(host, ':');
                int r;

                r = more > 0 ? strv_extendf(&l, "%s%s%s%s%lli-%lli->%lli-%lli/%s", brackets ? "[" : "", host, brackets ? "]" : "",
                                            isempty(host) ? "" : ":", from, from + more, to, to + more, protocol)
                             : strv_extendf(&l, "%s%s%s%s%lli->%lli/%s", brackets ? "[" : "", host, brackets ? "]" : "",
                                            isempty(host) ? "" : ":", from, to, protocol);
                if (r < 0)
                        return NULL;
        }
        return strv_join(l, " ");
}

static int ps_row(Table *t, json_t *container) {
        const char *state = strempty(json_get_string(container, "State"));
        json_int_t pid = json_integer_value(json_object_get(container, "LeaderPID"));
        json_int_t code = json_integer_value(json_object_get(container, "ExitCode"));
        _cleanup_free_ char *command = NULL, *shown = ps_state(container), *ports = ps_ports(container);
        _cleanup_strv_free_ char **words = NULL;
        json_t *word;
        size_t i;
        int r;

        json_array_foreach(json_object_get(container, "Command"), i, word)
                if (strv_extend(&words, strempty(json_string_value(word))) < 0)
                        return -ENOMEM;
        command = strv_join(words, " ");
        if (!command || !shown || !ports)
                return -ENOMEM;

        r = table_add(t, json_get_string(container, "Id"));
        if (r >= 0)
                r = table_add(t, json_get_string(container, "Image"));
        if (r >= 0)
                r = table_add(t, command);
        if (r >= 0)
                r = table_add(t, shown);
        if (r >= 0) {
                table_color(t, state_color(state));
                r = streq(state, "exited") ? table_addf(t, "%lli", (long long) code) : table_add(t, NULL);
        }
        if (r >= 0) {
                if (streq(state, "exited") && code != 0)
                        table_color(t, ANSI_RED);
                r = pid > 0 ? table_addf(t, "%lli", (long long) pid) : table_add(t, NULL);
        }
        if (r >= 0)
                r = table_add(t, isempty(ports) ? NULL : ports);
        return r < 0 ? r : table_add(t, json_get_string(container, "Unit"));
}

static int ps_print(Ctl *c, json_t *containers, Error *reterr_error) {
        static const TableColumn columns[] = {
                { "ID", 0 },
                { "IMAGE", TABLE_SHRINK },
                { "COMMAND", TABLE_SHRINK },
                { "STATE", 0 },
                { "EXIT", TABLE_RIGHT },
                { "PID", TABLE_RIGHT },
                { "PORTS", TABLE_SHRINK },
                { "UNIT", TABLE_SHRINK },
                {},
        };
        _cleanup_(table_freep) Table *t = table_new(columns);
        json_t *container;
        size_t i;

        if (!t)
                return error_oom(reterr_error);
        json_array_foreach(containers, i, container)
                if (ps_row(t, container) < 0)
                        return error_oom(reterr_error);
        return ctl_output(c, t, containers, reterr_error);
}

static int ps_show(Ctl *c, const PsOptions *o, Error *reterr_error) {
        _cleanup_json_ json_t *containers = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        json_t *container;
        size_t i;
        int r;

        r = ps_list(c, o, &paths, reterr_error);
        if (r < 0)
                return r;
        r = ctl_get_all_many(c, paths, BUS_CONTAINER, &containers, reterr_error);
        if (r < 0)
                return r;

        for (i = json_array_size(containers); i > 0; i--) {
                bool show = true;

                container = json_array_get(containers, i - 1);
                STRV_FOREACH(f, o->filters)
                        show = show && filter_matches(container, f);
                if (!show)
                        (void) json_array_remove(containers, i - 1);
        }
        if (c->quiet && c->json == OUTPUT_OFF) {
                json_array_foreach(containers, i, container)
                        printf("%s\n", strempty(json_get_string(container, "Id")));
                return EXIT_SUCCESS;
        }
        return ps_print(c, containers, reterr_error);
}

static int ps_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        PsOptions o = {};
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r > 0)
                r = ps_show(c, &o, reterr_error);
        strv_free(o.filters);
        return r;
}

static const Option ps_options[] = {
        { 'a', "all", NULL, OPTION_FLAG, offsetof(PsOptions, all), .help = "Also those that do not run" },
        { 'f', "filter", "KEY=VALUE", OPTION_CUSTOM, .apply = apply_filter,
          .help = "Only with this state=, image=, id=, health=,\nlabel=; several: all of them" },
        OPTION_END,
};

const Verb verb_ps = {
        .name = "ps",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…]",
        .summary = "List containers",
        .description =
                "Those that run; with -a all. -q prints their names only, --json all their properties.\n\n"
                "Examples:\n"
                "  moorctl ps -a\n"
                "  moorctl ps -a --filter state=exited --json=short\n",
        .options = ps_options,
        .run = ps_main,
};
