/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/exec-bus.h"
#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

/* org.moored1.Exec, and org.moored1.Container's method that makes one. userdata of methods and getters is the Exec. */

/* -- Container.Exec() -- */

typedef struct ExecBag {
        ExecOptions exec;
        ContainerStdio stdio; /* the message's descriptors */
} ExecBag;

static void exec_bag_done(ExecBag *b) {
        exec_options_done(&b->exec);
}

static const BusOption exec_options[] = {
        { "Environment", "as", bus_option_strv, offsetof(ExecBag, exec.environment) },
        { "WorkingDirectory", "s", bus_option_string, offsetof(ExecBag, exec.working_directory) },
        { "User", "s", bus_option_string, offsetof(ExecBag, exec.user) },
        { "Groups", "as", bus_option_strv, offsetof(ExecBag, exec.groups) },
        { "CapabilitiesAdd", "as", bus_option_strv, offsetof(ExecBag, exec.cap_add) },
        { "CapabilitiesDrop", "as", bus_option_strv, offsetof(ExecBag, exec.cap_drop) },
        { "Privileged", "b", bus_option_bool, offsetof(ExecBag, exec.privileged) },
        { "AutoRemove", "b", bus_option_bool, offsetof(ExecBag, exec.auto_remove) },
        { "Terminal", "b", bus_option_bool, offsetof(ExecBag, exec.terminal) },
        { "TerminalSize", "(uu)", bus_option_terminal_size, offsetof(ExecBag, exec.terminal_size) },
        { "TerminalDescriptor", "h", bus_option_fd, offsetof(ExecBag, stdio.terminal) },
        { "Token", "s", bus_option_string, offsetof(ExecBag, exec.token) },
        { "StandardInput", "h", bus_option_fd, offsetof(ExecBag, stdio.in) },
        { "StandardOutput", "h", bus_option_fd, offsetof(ExecBag, stdio.out) },
        { "StandardError", "h", bus_option_fd, offsetof(ExecBag, stdio.err) },
        {},
};

static const BusOption command_option = { "Command", "as", bus_option_strv, 0 };

static void reply_started(Exec *e, const Error *error, void *userdata) {
        _cleanup_error_ Error gone = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        BusCall *call = userdata;

        if (!error_is_set(error) && !e) {
                (void) error_set(&gone, -ENXIO, "NoSuchExec", "The exec was removed before it could be shown.");
                error = &gone;
        }
        if (error_is_set(error)) {
                bus_call_finish(call, bus_error_reply(call->message, error));
                return;
        }

        path = bus_exec_path(e->row.ns, e->row.id, e->row.n);
        bus_call_finish(call, bus_reply_path(call->message, path));
}

static void reply_empty(Exec *e, const Error *error, void *userdata) {
        bus_call_finish_empty(userdata, error);
}

int bus_container_method_exec(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(exec_bag_done) ExecBag bag = { .stdio = CONTAINER_STDIO_NULL };
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int r;

        r = bus_option_strv(m, &command_option, &bag.exec.command, &error);
        if (r >= 0)
                r = bus_options_parse(m, exec_options, &bag, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        if (isempty(bag.exec.token)) {
                free(bag.exec.token);
                bag.exec.token = NULL;
        }

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = exec_start(userdata, &bag.exec, &bag.stdio, reply_started, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

/* -- the object -- */

static int method_wait(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (bus_wait_exec(bus_current(sd_bus_message_get_bus(m)), m, userdata, &error) < 0)
                return bus_error_set(ret_error, &error);
        return 1;
}

static int method_kill(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int32_t signo;
        int r;

        r = sd_bus_message_read(m, "i", &signo);
        if (r < 0)
                return r;

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = exec_kill(userdata, signo, reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        bool force;
        int r;

        r = bus_options_parse_force(m, &force, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = exec_remove(userdata, force, reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        static const BusOption options[] = { { "Packets", "b", bus_option_bool, 0 }, {} };
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_close_ int fd = -EBADF;
        bool packets = false;
        int r;

        r = bus_options_parse(m, options, &packets, &error);
        if (r >= 0)
                r = exec_attach(userdata, packets, &fd, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        return sd_bus_reply_method_return(m, "a{sv}", 1, "Terminal", "h", fd);
}

static int method_resize(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        uint32_t rows, columns;
        int r;

        r = sd_bus_message_read(m, "uu", &rows, &columns);
        if (r < 0)
                return r;
        if (exec_resize(userdata, rows, columns, &error) < 0)
                return bus_error_set(ret_error, &error);
        return sd_bus_reply_method_return(m, NULL);
}

static int property_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Exec *e = userdata;

        return bus_append_string(reply, exec_state_to_string(e->state));
}

static int exec_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                            void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *id = NULL, *number = NULL;
        Bus *b = userdata;
        Container *c;
        uint64_t n;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_EXEC, &ns, &id, &number);
        if (r <= 0 || parse_uint64(number, &n) < 0)
                return MIN(r, 0);

        c = container_find(b->context.containers, ns, id, NULL);
        *ret_found = c ? exec_find(c, n, NULL) : NULL;
        return !!*ret_found;
}

static int exec_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                          sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **nodes = NULL;
        Bus *b = userdata;
        HashmapIterator i = 0;
        Container *c;

        while (container_iterate(b->context.containers, &i, &c))
                for (const Exec *e = c->execs; e; e = e->next)
                        if (e->state != EXEC_STARTING &&
                            strv_consume(&nodes, bus_exec_path(e->row.ns, e->row.id, e->row.n)) < 0)
                                return -ENOMEM;

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable exec_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("i", signal), SD_BUS_NO_RESULT, method_kill,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Wait", SD_BUS_NO_ARGS, SD_BUS_RESULT("i", exit_code, "s", exit_signal),
                                method_wait, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", descriptors),
                                method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resize", SD_BUS_ARGS("u", rows, "u", columns), SD_BUS_NO_RESULT, method_resize,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "t", NULL, offsetof(Exec, row.n), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(Exec, row.ns), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Container", "s", NULL, offsetof(Exec, row.id), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Command", "as", NULL, offsetof(Exec, command), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("User", "s", NULL, offsetof(Exec, user), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("WorkingDirectory", "s", NULL, offsetof(Exec, working_directory),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Privileged", "b", bus_property_get_bool, offsetof(Exec, privileged),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Terminal", "b", bus_property_get_bool, offsetof(Exec, terminal),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Unit", "s", NULL, offsetof(Exec, unit), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("UnitPath", "o", bus_property_get_unit_path, offsetof(Exec, unit),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PID", "u", NULL, offsetof(Exec, pid), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ExitCode", "i", NULL, offsetof(Exec, row.exit_code), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ExitSignal", "s", NULL, offsetof(Exec, row.exit_signal),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Result", "s", NULL, offsetof(Exec, row.result), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CreatedUSec", "t", NULL, offsetof(Exec, row.created_usec), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StartedUSec", "t", NULL, offsetof(Exec, row.started_usec), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("FinishedUSec", "t", NULL, offsetof(Exec, row.finished_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AutoRemove", "b", bus_property_get_bool, offsetof(Exec, row.auto_remove),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

const BusObject bus_exec_object = {
        .interface = BUS_INTERFACE_EXEC,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_EXEC,
        .sample = BUS_PATH "/namespace/default/container/web/exec/_31",
        .vtable = exec_vtable,
        .find = exec_object_find,
        .enumerate = exec_enumerate,
};
