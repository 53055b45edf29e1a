/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/bus-util.h"

#include <stdarg.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/polkit-agent.h"

#define ERROR_PREFIX_MOORED "org.moored1.Error."
#define CALL_TIMEOUT UINT64_MAX /* a stop or an authentication takes what it takes; the user has Ctrl-C */

static const struct {
        const char *bus_name, *name, *message; /* message NULL: the one that came */
} bus_errors[] = {
        { SD_BUS_ERROR_SERVICE_UNKNOWN, "NotRunning",
          "moored does not run and cannot be started over the bus. Is it installed? See: "
          "systemctl start moored.service" },
        { SD_BUS_ERROR_NAME_HAS_NO_OWNER, "NotRunning",
          "moored does not run. Start it: systemctl start moored.service" },
        { "org.freedesktop.DBus.Error.Spawn.ChildExited", "NotRunning",
          "moored could not be started. See: systemctl status moored.service" },
        { "org.freedesktop.systemd1.NoSuchUnit", "NotRunning",
          "moored's unit is not installed. See: systemctl status moored.service" },
        { "org.freedesktop.systemd1.UnitMasked", "NotRunning",
          "moored's unit is masked. Undo that: systemctl unmask moored.service" },
        { SD_BUS_ERROR_NO_REPLY, "NoReply",
          "moored went away before it answered. See: systemctl status moored.service" },
        { SD_BUS_ERROR_TIMEOUT, "NoReply",
          "moored did not answer in time. See: systemctl status moored.service" },
        { SD_BUS_ERROR_ACCESS_DENIED, "AccessDenied",
          "Access denied. Become root (sudo moorctl …), or have polkit's rules allow org.moored.* to you." },
        { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "AccessDenied",
          "This needs authentication. Become root (sudo moorctl …), or run it on a terminal "
          "without --no-ask-password." },
        { SD_BUS_ERROR_UNKNOWN_OBJECT, "NoSuchObject", NULL },
        { SD_BUS_ERROR_INVALID_ARGS, "InvalidArgument", NULL },
        { SD_BUS_ERROR_NO_MEMORY, "NoMemory", NULL },
};

int bus_error_to_error(const sd_bus_error *e, int r, Error *reterr_error) {
        const char *name, *message;

        if (!sd_bus_error_is_set(e))
                return error_set(reterr_error, r < 0 ? r : -EIO, "Failed", "The call to moored failed: %s",
                                 strerror(r < 0 ? -r : EIO));

        r = sd_bus_error_get_errno(e) > 0 ? -sd_bus_error_get_errno(e) : -EIO;
        message = isempty(e->message) ? e->name : e->message;
        name = startswith(e->name, ERROR_PREFIX_MOORED);
        if (name)
                return error_set(reterr_error, r, name, "%s", message);

        for (size_t i = 0; i < ELEMENTSOF(bus_errors); i++)
                if (streq(e->name, bus_errors[i].bus_name))
                        return error_set(reterr_error, r, bus_errors[i].name, "%s",
                                         bus_errors[i].message ?: message);

        return error_set(reterr_error, r, "Failed", "%s", message);
}

bool bus_error_is_lost(const sd_bus_error *e) {
        return sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_DISCONNECTED);
}

bool bus_error_is_moored(const sd_bus_error *e) {
        return startswith(strempty(e->name), ERROR_PREFIX_MOORED) ||
               sd_bus_error_has_names(e, SD_BUS_ERROR_INVALID_ARGS, SD_BUS_ERROR_NO_MEMORY,
                                      SD_BUS_ERROR_ACCESS_DENIED, SD_BUS_ERROR_UNKNOWN_METHOD);
}

bool bus_error_is_unknown_object(const sd_bus_error *e) {
        return sd_bus_error_has_names(e, SD_BUS_ERROR_UNKNOWN_OBJECT, SD_BUS_ERROR_UNKNOWN_METHOD,
                                      SD_BUS_ERROR_UNKNOWN_INTERFACE, BUS_ERROR_NO_SUCH_CONTAINER,
                                      ERROR_PREFIX_MOORED "NoSuchNamespace",
                                      ERROR_PREFIX_MOORED "NoSuchImage", ERROR_PREFIX_MOORED "NoSuchJob",
                                      ERROR_PREFIX_MOORED "NoSuchExec");
}

int ctl_connect(Ctl *c, Error *reterr_error) {
        int r;

        if (c->bus)
                return 0;

        if (c->host) {
                r = sd_bus_open_system_remote(&c->bus, c->host);
                if (r < 0)
                        return error_set(reterr_error, r, "Failed", "Cannot reach the bus of %s: %s. Try: ssh %s moorctl version",
                                         c->host, strerror(-r), c->host);
        } else if (c->machine) {
                r = sd_bus_open_system_machine(&c->bus, c->machine);
                if (r < 0)
                        return error_set(reterr_error, r, "Failed",
                                         "Cannot reach the bus of the machine %s: %s. machinectl list shows "
                                         "those that run.",
                                         c->machine, strerror(-r));
        } else {
                r = sd_bus_open_system(&c->bus);
                if (r < 0)
                        return error_set(reterr_error, r, "Failed",
                                         "Cannot connect to the system bus: %s. Is it running? "
                                         "See: systemctl status dbus.service",
                                         strerror(-r));
        }
        return 0;
}

void ctl_start_agent(Ctl *c) {
        if (c->agent_pid > 0 || c->no_ask_password || c->host || c->machine || geteuid() == 0)
                return;
        if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
                c->agent_pid = polkit_agent_start();
}

char *namespace_path(const char *ns) {
        char *p = NULL;

        return sd_bus_path_encode(BUS_PATH "/namespace", ns, &p) < 0 ? NULL : p;
}

char *container_path(const char *ns, const char *id) {
        char *p = NULL;

        return sd_bus_path_encode_many(&p, BUS_PATH "/namespace/%/container/%", ns, id) < 0 ? NULL : p;
}

bool name_is_exec(const char *name) {
        const char *slash = strchr(name, '/');

        return slash && slash[1] && string_in_charset(slash + 1, DIGITS);
}

int exec_path_number(const char *path, uint64_t *ret) {
        _cleanup_free_ char *number = NULL;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATH "/namespace/%/container/%/exec/%", NULL, NULL, &number);
        return r < 0 ? r : r == 0 ? -EBADMSG : parse_uint64(number, ret);
}

char *container_or_exec_path(const char *ns, const char *name, const char **ret_interface) {
        const char *slash = name_is_exec(name) ? strchr(name, '/') : NULL;
        _cleanup_free_ char *id = NULL;
        char *p = NULL;

        if (ret_interface)
                *ret_interface = slash ? BUS_EXEC : BUS_CONTAINER;
        if (!slash)
                return container_path(ns, name);
        id = strndup(name, (size_t) (slash - name));
        if (!id)
                return NULL;
        return sd_bus_path_encode_many(&p, BUS_PATH "/namespace/%/container/%/exec/%", ns, id, slash + 1) < 0 ? NULL
                                                                                                              : p;
}

int container_error(Ctl *c, const char *id, const sd_bus_error *e, Error *reterr_error) {
        if (!sd_bus_error_has_names(e, SD_BUS_ERROR_UNKNOWN_OBJECT, SD_BUS_ERROR_UNKNOWN_METHOD,
                                    SD_BUS_ERROR_UNKNOWN_INTERFACE, BUS_ERROR_NO_SUCH_CONTAINER))
                return bus_error_to_error(e, 0, reterr_error);
        if (name_is_exec(id))
                return error_set(reterr_error, -ENOENT, "NoSuchExec",
                                 "There is no exec '%s' in the namespace %s; those that ended are forgotten in time.",
                                 id, c->ns);
        return error_set(reterr_error, -ENOENT, "NoSuchContainer",
                         "There is no container '%s' in the namespace %s; moorctl ps -a lists them.", id, c->ns);
}

int ctl_new_call(Ctl *c, const char *path, const char *interface, const char *member, sd_bus_message **ret,
                 Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        r = ctl_connect(c, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(c->bus, &m, BUS_NAME, path, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(m, !c->no_ask_password);
        if (r < 0)
                return error_set(reterr_error, r, "Failed", "Cannot make the call %s: %s", member,
                                 strerror(-r));
        *ret = TAKE_PTR(m);
        return 0;
}

int namespace_error(const char *ns, const sd_bus_error *e, int r, Error *reterr_error) {
        if (!sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_OBJECT))
                return bus_error_to_error(e, r, reterr_error);
        return error_set(reterr_error, -ENOENT, "NoSuchNamespace",
                         "There is no namespace '%s'; moorctl namespace lists them.", ns);
}

/* What only looks may be asked once more. */
static bool only_looks(sd_bus_message *m) {
        const char *member = sd_bus_message_get_member(m);

        return startswith(member, "Get") || startswith(member, "List");
}

/* moored may be killed at any moment; systemd, or the bus, starts it again. */
static int call(Ctl *c, sd_bus_message *m, sd_bus_error *e, sd_bus_message **ret) {
        _cleanup_message_ sd_bus_message *again = NULL;
        int r, k;

        r = sd_bus_call(c->bus, m, CALL_TIMEOUT, e, ret);
        if (r >= 0 || !bus_error_is_lost(e) || !only_looks(m))
                return r;
        k = sd_bus_message_new_method_call(c->bus, &again, BUS_NAME, sd_bus_message_get_path(m),
                                           sd_bus_message_get_interface(m), sd_bus_message_get_member(m));
        if (k >= 0)
                k = sd_bus_message_rewind(m, true);
        if (k >= 0)
                k = sd_bus_message_copy(again, m, true);
        if (k < 0)
                return r;
        sd_bus_error_free(e);
        return sd_bus_call(c->bus, again, CALL_TIMEOUT, e, ret);
}

int ctl_call_message(Ctl *c, sd_bus_message *m, sd_bus_message **ret, Error *reterr_error) {
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *ns = NULL;
        int r;

        r = call(c, m, &e, ret);
        if (r >= 0)
                return 0;
        if (sd_bus_path_decode(sd_bus_message_get_path(m), BUS_PATH "/namespace", &ns) > 0 && !strchr(ns, '/'))
                return namespace_error(ns, &e, r, reterr_error);
        return bus_error_to_error(&e, r, reterr_error);
}

int container_call_message(Ctl *c, const char *name, sd_bus_message *m, sd_bus_message **ret, Error *reterr_error) {
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = call(c, m, &e, ret);
        return r < 0 ? container_error(c, name, &e, reterr_error) : 0;
}

int ctl_call(Ctl *c, const char *path, const char *interface, const char *member, sd_bus_message **ret,
             Error *reterr_error, const char *types, ...) {
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        r = ctl_new_call(c, path, interface, member, &m, reterr_error);
        if (r < 0)
                return r;
        if (!isempty(types)) {
                va_list ap;

                va_start(ap, types);
                r = sd_bus_message_appendv(m, types, ap);
                va_end(ap);
                if (r < 0)
                        return error_set(reterr_error, r, "InvalidArgument",
                                         "These arguments cannot be sent to moored: %s", strerror(-r));
        }
        return ctl_call_message(c, m, ret, reterr_error);
}

bool bus_message_is_event(sd_bus_message *m) {
        return sd_bus_message_is_signal(m, BUS_MANAGER, "Event") > 0 && !sd_bus_message_get_destination(m);
}

int ctl_match_events(Ctl *c, const char *subject, sd_bus_message_handler_t callback, void *userdata,
                     sd_bus_slot **ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *match = NULL;
        int r;

        /* A quote would end the rule; moored refuses such names as well. */
        if (strpbrk(subject, "'\\") || strpbrk(c->ns, "'\\"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' in '%s' cannot be a container's name.", subject, c->ns);
        match = strformat("type='signal',sender='" BUS_NAME "',path='" BUS_PATH "',interface='" BUS_MANAGER
                          "',member='Event',arg2='%s',arg4='%s'",
                          c->ns, subject);
        if (!match)
                return error_oom(reterr_error);

        /* sd-bus itself compares no string arguments behind one that is no string, as the event's number is:
         * the bus daemon does that, and here all signals pass a filter. */
        r = ctl_connect(c, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(c->bus, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                           "org.freedesktop.DBus", "AddMatch");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", match);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        if (r >= 0)
                r = sd_bus_send(c->bus, m, NULL);
        if (r >= 0)
                r = sd_bus_add_filter(c->bus, ret, callback, userdata);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

int ctl_get_all(Ctl *c, const char *path, const char *interface, json_t **ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(c, path, BUS_PROPERTIES, "GetAll", &reply, reterr_error, "s", interface);
        if (r < 0)
                return r;
        r = bus_message_to_json(reply, ret);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

int container_get_all(Ctl *c, const char *name, const char *path, const char *interface, json_t **ret,
                      Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = ctl_new_call(c, path, BUS_PROPERTIES, "GetAll", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", interface);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        r = container_call_message(c, name, m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = bus_message_to_json(reply, ret);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

/* -- many calls at once -- */

typedef struct BatchCall {
        struct BatchRun *run;
        size_t index;
} BatchCall;

typedef struct BatchRun {
        Ctl *c;
        const BusBatch *batch;
        BatchCall *calls;
        sd_bus_slot **slots;
        size_t n_sent, n_answered;
        int result;
        Error error;
} BatchRun;

static int batch_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BatchCall *call = userdata;
        BatchRun *run = call->run;

        run->n_answered++;
        if (run->result >= 0)
                run->result = run->batch->done(run->c, call->index, m, run->batch->userdata, &run->error);
        return 1;
}

static int batch_send(BatchRun *run) {
        _cleanup_message_ sd_bus_message *m = NULL;
        size_t i = run->n_sent;
        int r;

        r = run->batch->make(run->c, i, &m, run->batch->userdata, &run->error);
        if (r < 0)
                return r;
        run->calls[i] = (BatchCall) { .run = run, .index = i };
        r = sd_bus_call_async(run->c->bus, &run->slots[i], m, batch_on_reply, &run->calls[i], CALL_TIMEOUT);
        if (r < 0)
                return bus_error_to_error(NULL, r, &run->error);
        run->n_sent++;
        return 0;
}

static int batch_loop(BatchRun *run) {
        int r;

        while (run->n_answered < run->batch->n) {
                while (run->n_sent < run->batch->n && run->n_sent - run->n_answered < BUS_CALLS_MAX) {
                        r = batch_send(run);
                        if (r < 0)
                                return r;
                }
                r = sd_bus_process(run->c->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(run->c->bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return bus_error_to_error(NULL, r, &run->error);
                if (run->result < 0)
                        return run->result;
        }
        return 0;
}

int ctl_batch(Ctl *c, const BusBatch *batch, Error *reterr_error) {
        BatchRun run = { .c = c, .batch = batch };
        int r;

        r = ctl_connect(c, reterr_error);
        if (r < 0)
                return r;
        run.calls = calloc(batch->n + 1, sizeof(BatchCall));
        run.slots = calloc(batch->n + 1, sizeof(sd_bus_slot *));
        r = run.calls && run.slots ? batch_loop(&run) : error_oom(&run.error);

        for (size_t i = 0; run.slots && i < run.n_sent; i++)
                sd_bus_slot_unref(run.slots[i]);
        free(run.slots);
        free(run.calls);
        if (r < 0)
                return error_move(reterr_error, &run.error);
        return 0;
}

typedef struct GetAllMany {
        char *const *paths;
        const char *interface;
        json_t **results;
} GetAllMany;

static int get_all_make(Ctl *c, size_t i, sd_bus_message **ret, void *userdata, Error *reterr_error) {
        GetAllMany *g = userdata;
        int r;

        r = ctl_new_call(c, g->paths[i], BUS_PROPERTIES, "GetAll", ret, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(*ret, "s", g->interface);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int get_all_done(Ctl *c, size_t i, sd_bus_message *reply, void *userdata, Error *reterr_error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        GetAllMany *g = userdata;
        int r;

        if (bus_error_is_unknown_object(e))
                return 0;
        if (e)
                return bus_error_to_error(e, 0, reterr_error);
        r = bus_message_to_json(reply, &g->results[i]);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

int ctl_get_all_many(Ctl *c, char *const *paths, const char *interface, json_t **ret, Error *reterr_error) {
        _cleanup_json_ json_t *array = json_array();
        GetAllMany g = { .paths = paths, .interface = interface };
        BusBatch batch = {
                .n = strv_length(paths), .make = get_all_make, .done = get_all_done, .userdata = &g
        };
        int r;

        g.results = calloc(batch.n + 1, sizeof(json_t *));
        if (!array || !g.results) {
                free(g.results);
                return error_oom(reterr_error);
        }

        r = ctl_batch(c, &batch, reterr_error);
        for (size_t i = 0; i < batch.n; i++)
                if (g.results[i] && json_array_append_new(array, g.results[i]) < 0 && r >= 0)
                        r = error_oom(reterr_error);
        free(g.results);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}
