/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* moorctl: a table of verbs. Each verb is a `const Verb` of its file; this one finds it, gives help, prints
 * the error and chooses the exit status. All that moorctl does it does by org.moored1; only logs are read
 * from the journal. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/log.h"
#include "ctl/bus-util.h"
#include "ctl/ctl.h"
#include "ctl/pager.h"
#include "ctl/polkit-agent.h"
#include "ctl/terminal.h"

static const Verb *const verbs[] = {
        &verb_pull,    &verb_images, &verb_tag,     &verb_rmi,  &verb_import, &verb_run,       &verb_create,
        &verb_attach,
        &verb_start,   &verb_stop,   &verb_restart, &verb_kill, &verb_rm,     &verb_ps,        &verb_wait,
        &verb_pause,   &verb_resume, &verb_update,  &verb_healthcheck, &verb_exec,
        &verb_stats,   &verb_top,
        &verb_inspect, &verb_logs,   &verb_events,  &verb_info, &verb_gc,     &verb_namespace, &verb_network, &verb_interface,
        &verb_version,
        &verb_verify,  &verb_unit,
};

static const char *const verb_group_titles[_VERB_GROUP_MAX] = {
        [VERB_GROUP_IMAGES] = "Images",
        [VERB_GROUP_CONTAINERS] = "Containers",
        [VERB_GROUP_SYSTEM] = "The rest",
};

static int apply_json(const char *value, void *target, Error *reterr_error) {
        Ctl *c = target;
        OutputMode m = output_mode_from_string(value);

        if (m < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--json= is one of pretty, short, off, not '%s'.", value);
        c->json = m;
        return 0;
}

const Option ctl_options[] = {
        { 'n', "namespace", "NAME", OPTION_STRING, offsetof(Ctl, ns_option),
          .help = "Namespace to work in ($MOORED_NAMESPACE, else default)" },
        { 'H', "host", "[USER@]HOST", OPTION_STRING, offsetof(Ctl, host),
          .help = "Talk to moored on another host, by ssh" },
        { 'M', "machine", "MACHINE", OPTION_STRING, offsetof(Ctl, machine),
          .help = "Talk to moored in a local machine (systemd-nspawn)" },
        { 'q', "quiet", NULL, OPTION_FLAG, offsetof(Ctl, quiet),
          .help = "Less output: names only, no progress" },
        { 'l', "full", NULL, OPTION_FLAG, offsetof(Ctl, full), .help = "Do not cut table cells" },
        { 0, "json", "pretty|short|off", OPTION_CUSTOM, .apply = apply_json,
          .help = "Print JSON; keys are the bus property names" },
        { 0, "no-legend", NULL, OPTION_FLAG, offsetof(Ctl, no_legend), .help = "No table headings" },
        { 0, "no-pager", NULL, OPTION_FLAG, offsetof(Ctl, no_pager),
          .help = "Do not pipe output into a pager" },
        { 0, "no-ask-password", NULL, OPTION_FLAG, offsetof(Ctl, no_ask_password),
          .help = "Do not let polkit ask for a password" },
        { 'h', "help", NULL, OPTION_FLAG, offsetof(Ctl, help), .help = "Show this help, or a verb's" },
        { 0, "version", NULL, OPTION_FLAG, offsetof(Ctl, version), .help = "Show moorctl's version" },
        OPTION_END,
};

int ctl_event(Ctl *c, sd_event **ret, Error *reterr_error) {
        int r;

        r = ctl_connect(c, reterr_error);
        if (r < 0)
                return r;
        if (!c->event) {
                r = sd_event_new(&c->event);
                if (r >= 0)
                        r = sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
                if (r < 0)
                        return error_set(reterr_error, r, "Failed", "Cannot make an event loop: %s",
                                         strerror(-r));
        }
        *ret = c->event;
        return 0;
}

int ctl_output(Ctl *c, const Table *table, json_t *json, Error *reterr_error) {
        int r;

        pager_open(c);
        if (c->json != OUTPUT_OFF)
                r = json_print(json, c->json, stdout);
        else
                r = table_print(table, stdout, c->full ? 0 : c->columns, !c->no_legend, c->colors);
        if (r < 0)
                return error_set(reterr_error, r, "Failed", "Cannot write the output: %s", strerror(-r));
        return 0;
}

void ctl_done(Ctl *c) {
        pager_close(c);
        polkit_agent_stop(c->agent_pid);
        if (c->event && c->bus)
                (void) sd_bus_detach_event(c->bus);
        c->bus = sd_bus_flush_close_unref(c->bus);
        c->event = sd_event_unref(c->event);
}

static void print_help(Ctl *c) {
        pager_open(c);
        printf("Usage: moorctl [OPTION…] VERB [ARGUMENT…]\n\n"
               "Runs containers as systemd units, through moored.\n");
        for (VerbGroup g = 0; g < _VERB_GROUP_MAX; g++) {
                printf("\n%s%s:%s\n", c->colors ? ANSI_BOLD : "", verb_group_titles[g],
                       c->colors ? ANSI_RESET : "");
                for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                        if (verbs[i]->group == g)
                                printf("  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
        }
        printf("\n%sOptions:%s\n", c->colors ? ANSI_BOLD : "", c->colors ? ANSI_RESET : "");
        options_print_help(ctl_options, NULL, stdout);
        printf("\nA first container:\n"
               "  moorctl run --rm busybox echo hello\n\n"
               "moorctl VERB --help tells more of a verb, with examples; moorctl(1) is the manual.\n");
}

static void print_verb_help(Ctl *c) {
        const Verb *v = c->verb;

        pager_open(c);
        printf("Usage: moorctl [OPTION…] %s%s%s\n\n%s", v->name, isempty(v->arguments) ? "" : " ",
               strempty(v->arguments), v->description);
        if (v->options) {
                printf("\nOptions:\n");
                options_print_help(v->options, NULL, stdout);
        }
        printf("\nOptions of every verb:\n");
        options_print_help(ctl_options, v->options, stdout);
}

int ctl_parse(Ctl *c, char **argv, void *target, char ***ret_args, Error *reterr_error) {
        const Verb *v = c->verb;
        OptionSet sets[] = {
                { v->options, target },
                { ctl_options, c },
        };
        _cleanup_free_ char **args = NULL;
        size_t n = 0;
        int r;

        r = options_parse(sets, ELEMENTSOF(sets), argv, v->stop_at_first, &args, reterr_error);
        if (r < 0)
                return r;
        if (c->help) {
                print_verb_help(c);
                return 0;
        }
        if (c->host && c->machine)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-H and -M cannot be used together.");
        if (c->ns_option)
                c->ns = c->ns_option;
        if (isempty(c->ns))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A namespace has a name; moorctl namespace ls lists them.");

        while (args[n])
                n++;
        if (n < v->min_args)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Too few arguments. Usage: moorctl %s %s (more: moorctl %s --help)",
                                 v->name, v->arguments, v->name);
        if (n > v->max_args)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is one argument too many for %s; see moorctl %s --help.",
                                 args[v->max_args], v->name, v->name);
        *ret_args = TAKE_PTR(args);
        return 1;
}

static const Verb *verb_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(verbs[i]->name, name) || streq_ptr(verbs[i]->alias, name))
                        return verbs[i];
        return NULL;
}

static void print_error(const Error *e) {
        bool colors = terminal_has_colors(STDERR_FILENO);

        fprintf(stderr, "%smoorctl: %s%s\n", colors ? ANSI_RED : "", error_message(e),
                colors ? ANSI_RESET : "");
}

static int run(Ctl *c, char **argv, Error *reterr_error) {
        OptionSet set = { ctl_options, c };
        _cleanup_free_ char **words = NULL;
        int r;

        r = options_parse(&set, 1, argv, /* stop_at_first= */ true, &words, reterr_error);
        if (r < 0)
                return r;
        if (c->version) {
                printf("moorctl %s\n", MOORED_VERSION);
                return EXIT_SUCCESS;
        }
        if (words[0] && streq(words[0], "help")) {
                c->help = true;
                c->verb = words[1] ? verb_find(words[1]) : NULL;
        } else if (words[0]) {
                c->verb = verb_find(words[0]);
                if (!c->verb)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "There is no verb '%s'; moorctl --help lists them.", words[0]);
        }

        if (!c->verb && c->help) {
                print_help(c);
                return EXIT_SUCCESS;
        }
        if (!c->verb)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "What shall be done? moorctl --help lists the verbs.");
        if (c->help) {
                print_verb_help(c);
                return EXIT_SUCCESS;
        }
        return c->verb->run(c, words + 1, reterr_error);
}

/* A program that was started without one of these would mix its sockets up with them. */
static void open_standard_descriptors(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd > STDERR_FILENO)
                (void) close(fd);
}

int main(int argc, char **argv) {
        _cleanup_error_ Error error = ERROR_NULL;
        Ctl c = { .ns = getenv("MOORED_NAMESPACE") };
        int r;

        open_standard_descriptors();
        if (argc < 1)
                return EXIT_FAILURE;
        if (isempty(c.ns))
                c.ns = "default";

        r = run(&c, argv + 1, &error);
        if (r >= 0 && c.pager_pid <= 0 && fflush(stdout) != 0)
                r = error_set(&error, -errno, "Failed", "Cannot write the output: %m");
        ctl_done(&c);
        if (r < 0) {
                print_error(&error);
                if (c.failure == 0 && c.verb)
                        c.failure = c.verb->failure;
                r = c.failure ?: EXIT_FAILURE;
        }
        return r;
}
