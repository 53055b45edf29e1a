/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/bus-unpack.h"
#include "bus/container-network-bus.h"
#include "bus/interface-bus.h"
#include "bus/exec-bus.h"
#include "bus/limits-bus.h"
#include "bus/statistics-bus.h"
#include "basic/fd-util.h"
#include "basic/strv.h"
#include "container/health.h"
#include "container/runtimes.h"
#include "container/system.h"

/* org.moored1.Container. userdata of methods and getters is the Container. */

/* Layers that are missing are those of the image as it was when the container was made. */
static int start_failed(BusCall *call, bool waited, const Container *c, const Error *error,
                        sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = sd_bus_message_ref(call->message);
        Bus *b = call->bus;

        bus_call_free(call);
        return bus_error_or_unpack(b, m, waited, c->row.ns, c->row.image, c->row.image_digest, error,
                                   ret_error);
}

static int method_start(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        ContainerStdio stdio = CONTAINER_STDIO_NULL;
        bool waited = bus_unpack_was_waiting(b, m);
        BusCall *call = bus_call_new(b, m);

        if (!call)
                return -ENOMEM;
        if (container_start(userdata, &stdio, bus_call_reply_empty, call, &error) < 0)
                return start_failed(call, waited, userdata, &error, ret_error);
        return 1;
}

static int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        uint64_t timeout;
        BusCall *call;
        int r;

        r = sd_bus_message_read(m, "t", &timeout);
        if (r < 0)
                return r;

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_stop(userdata, timeout, bus_call_reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_kill(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const char *whom;
        BusCall *call;
        int32_t signo;
        int r;

        r = sd_bus_message_read(m, "si", &whom, &signo);
        if (r < 0)
                return r;

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_kill(userdata, whom, signo, bus_call_reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_restart(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        bool waited = bus_unpack_was_waiting(b, m);
        uint64_t timeout;
        BusCall *call;
        int r;

        r = sd_bus_message_read(m, "t", &timeout);
        if (r < 0)
                return r;

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        if (container_restart(userdata, timeout, bus_call_reply_empty, call, &error) < 0)
                return start_failed(call, waited, userdata, &error, ret_error);
        return 1;
}

static int method_wait(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (bus_wait_container(bus_current(sd_bus_message_get_bus(m)), m, userdata, &error) < 0)
                return bus_error_set(ret_error, &error);
        return 1;
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        bool force;
        BusCall *call;
        int r;

        r = bus_options_parse_force(m, &force, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_remove(userdata, force, bus_call_reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_freeze(sd_bus_message *m, Container *c,
                         int (*func)(Container *c, ContainerFunc func, void *userdata, Error *reterr_error),
                         sd_bus_error *ret_error) {
        BusCall *call = bus_call_new(bus_current(sd_bus_message_get_bus(m)), m);
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        if (!call)
                return -ENOMEM;
        r = func(c, bus_call_reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_pause(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        return method_freeze(m, userdata, container_pause, ret_error);
}

static int method_resume(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        return method_freeze(m, userdata, container_resume, ret_error);
}

static int append_descriptor(sd_bus_message *m, const char *key, int fd) {
        return fd < 0 ? 0 : sd_bus_message_append(m, "{sv}", key, "h", fd);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        static const BusOption options[] = { { "Packets", "b", bus_option_bool, 0 }, {} };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        ContainerAttachment a = { -EBADF, -EBADF };
        _cleanup_error_ Error error = ERROR_NULL;
        bool packets = false;
        int r;

        r = bus_options_parse(m, options, &packets, &error);
        if (r >= 0)
                r = container_attach(userdata, packets, &a, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        r = bus_reply_open_array(m, "{sv}", &reply);
        if (r >= 0)
                r = append_descriptor(reply, "Terminal", a.terminal);
        if (r >= 0)
                r = append_descriptor(reply, "StandardInput", a.input);
        safe_close(a.terminal);
        safe_close(a.input);
        return bus_reply_send_array(reply, r);
}

static int method_resize(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        uint32_t rows, columns;
        int r;

        r = sd_bus_message_read(m, "uu", &rows, &columns);
        if (r < 0)
                return r;
        if (container_resize(userdata, rows, columns, &error) < 0)
                return bus_error_set(ret_error, &error);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_close_standard_input(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (container_end_input(userdata, &error) < 0)
                return bus_error_set(ret_error, &error);
        return sd_bus_reply_method_return(m, NULL);
}

static void on_scope_started(Container *c, const Error *error, void *userdata) {
        _cleanup_free_ char *bundle = c && !error ? container_bundle_path(c) : NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        BusCall *call = userdata;

        if (!error && !bundle) {
                (void) error_set(&e, -ENOENT, "NoSuchContainer", "The container is gone.");
                error = &e;
        }
        bus_call_finish(call, error ? bus_error_reply(call->message, error)
                                    : sd_bus_reply_method_return(call->message, "ss", bundle,
                                                                 strempty(container_scope_invocation(c))));
}

/* The caller says which process is moved: for root alone, as there is no rule. */
static int method_start_scope(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        uint32_t pid;
        int r;

        r = sd_bus_message_read(m, "u", &pid);
        if (r < 0)
                return r;

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_start_scope(userdata, pid, on_scope_started, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static void on_health_checked(Container *c, int exit_code, const char *output, const Error *error,
                              void *userdata) {
        BusCall *call = userdata;

        bus_call_finish(call, error ? bus_error_reply(call->message, error)
                                    : sd_bus_reply_method_return(call->message, "is", (int32_t) exit_code,
                                                                 strempty(output)));
}

static int method_run_health_check(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusCall *call = bus_call_new(bus_current(sd_bus_message_get_bus(m)), m);
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        if (!call)
                return -ENOMEM;
        r = container_check_health(userdata, on_health_checked, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int property_get_health(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        return bus_append_string(reply, container_get_health(userdata));
}

static int property_get_failing_streak(sd_bus *bus, const char *path, const char *interface,
                                       const char *property, sd_bus_message *reply, void *userdata,
                                       sd_bus_error *ret_error) {
        return sd_bus_message_append(reply, "u", container_get_failing_streak(userdata));
}

static int property_get_health_check(sd_bus *bus, const char *path, const char *interface,
                                     const char *property, sd_bus_message *reply, void *userdata,
                                     sd_bus_error *ret_error) {
        const HealthCheck *h = container_get_health_check(userdata);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0 && h->command) {
                r = sd_bus_message_open_container(reply, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(reply, "s", "Command");
                if (r >= 0)
                        r = sd_bus_message_open_container(reply, 'v', "as");
                if (r >= 0)
                        r = sd_bus_message_append_strv(reply, h->command);
                for (unsigned i = 0; i < 2 && r >= 0; i++)
                        r = sd_bus_message_close_container(reply);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "IntervalUSec", "t",
                                                  h->interval_usec, "TimeoutUSec", "t", h->timeout_usec,
                                                  "StartPeriodUSec", "t", h->start_period_usec,
                                                  "StartIntervalUSec", "t", h->start_interval_usec,
                                                  "Retries", "t", h->retries, "OnFailure", "s",
                                                  health_action_to_string(h->on_failure));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_health_log(uint64_t begin_usec, uint64_t end_usec, int exit_code, const char *output,
                             void *userdata) {
        return sd_bus_message_append(userdata, "(ttis)", begin_usec, end_usec, (int32_t) exit_code, output);
}

static int property_get_health_log(sd_bus *bus, const char *path, const char *interface,
                                   const char *property, sd_bus_message *reply, void *userdata,
                                   sd_bus_error *ret_error) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ttis)");
        if (r >= 0)
                r = container_foreach_health_log(userdata, append_health_log, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Container *c = userdata;

        return bus_append_string(reply, container_state_to_string(c->state));
}

static int property_get_restart_policy(sd_bus *bus, const char *path, const char *interface,
                                       const char *property, sd_bus_message *reply, void *userdata,
                                       sd_bus_error *ret_error) {
        const Container *c = userdata;

        return bus_append_string(reply, isempty(c->options.restart) ? "no" : c->options.restart);
}

static int property_get_log(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Container *c = userdata;

        return bus_append_string(reply, isempty(c->options.log) ? "journal" : c->options.log);
}

static int property_get_machine(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_free_ char *name = NULL;
        const Container *c = userdata;

        if (c->options.machine)
                (void) container_machine_name(c->row.ns, c->row.id, &name, NULL);
        return bus_append_string(reply, name);
}

static int property_get_backend(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Container *c = userdata;

        if (streq(property, "Runtime"))
                return bus_append_string(reply, c->options.runtime ?: RUNTIME_OWN);
        return bus_append_string(reply, BUS_SNAPSHOTTER);
}

static int property_get_oom_killed(sd_bus *bus, const char *path, const char *interface,
                                   const char *property, sd_bus_message *reply, void *userdata,
                                   sd_bus_error *ret_error) {
        const Container *c = userdata;

        return sd_bus_message_append(reply, "b", (int) (c->row.oom_kills > 0));
}

static int property_get_spec(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *spec = NULL;
        int r;

        r = container_get_spec(userdata, &spec, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return bus_append_string(reply, spec);
}

static int container_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                                 void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *id = NULL;
        Bus *b = userdata;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_CONTAINER, &ns, &id);
        if (r <= 0)
                return r;

        *ret_found = container_find(b->context.containers, ns, id, NULL);
        return !!*ret_found;
}

static int container_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                               sd_bus_error *ret_error) {
        size_t n = 0;
        Bus *b = userdata;
        _cleanup_strv_free_ char **nodes = calloc(container_count(b->context.containers, NULL) + 1,
                                                  sizeof(*nodes));
        HashmapIterator i = 0;
        Container *c;

        if (!nodes)
                return -ENOMEM;
        while (container_iterate(b->context.containers, &i, &c)) {
                nodes[n] = bus_container_path(c->row.ns, c->row.id);
                if (!nodes[n++])
                        return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable container_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Start", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_start,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("t", timeout_usec), SD_BUS_NO_RESULT, method_stop,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("s", whom, "i", signal), SD_BUS_NO_RESULT, method_kill,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restart", SD_BUS_ARGS("t", timeout_usec), SD_BUS_NO_RESULT, method_restart,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Wait", SD_BUS_NO_ARGS, SD_BUS_RESULT("i", exit_code, "s", exit_signal),
                                method_wait, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Pause", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_pause,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resume", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_resume,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", limits), SD_BUS_NO_RESULT,
                                bus_container_method_update, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Exec", SD_BUS_ARGS("as", command, "a{sv}", options), SD_BUS_RESULT("o", exec),
                                bus_container_method_exec, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Statistics", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", statistics),
                                bus_container_method_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetProcesses", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", processes),
                                bus_container_method_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListProcesses", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(us)", processes),
                                bus_container_method_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StartScope", SD_BUS_ARGS("u", pid),
                                SD_BUS_RESULT("s", bundle, "s", invocation_id), method_start_scope,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RunHealthCheck", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT("i", exit_code, "s", output), method_run_health_check,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", descriptors),
                                method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resize", SD_BUS_ARGS("u", rows, "u", columns), SD_BUS_NO_RESULT, method_resize,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CloseStandardInput", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                                method_close_standard_input, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("AddInterface", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", interface),
                                bus_container_method_add_interface, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "s", NULL, offsetof(Container, row.id), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(Container, row.ns), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Image", "s", NULL, offsetof(Container, row.image), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ImageDigest", "s", NULL, offsetof(Container, row.image_digest),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Command", "as", NULL, offsetof(Container, command), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Unit", "s", NULL, offsetof(Container, unit), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("UnitPath", "o", bus_property_get_unit_path, offsetof(Container, unit),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("LeaderPID", "u", NULL, offsetof(Container, leader_pid),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ExitCode", "i", NULL, offsetof(Container, row.exit_code),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ExitSignal", "s", NULL, offsetof(Container, row.exit_signal),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Result", "s", NULL, offsetof(Container, row.result),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CreatedUSec", "t", NULL, offsetof(Container, row.created_usec),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StartedUSec", "t", NULL, offsetof(Container, row.started_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("FinishedUSec", "t", NULL, offsetof(Container, row.finished_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Labels", "a{ss}", bus_property_get_labels, offsetof(Container, options.labels),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("AutoRemove", "b", bus_property_get_bool, offsetof(Container, row.auto_remove),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("RestartPolicy", "s", property_get_restart_policy, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("RestartCount", "u", NULL, offsetof(Container, row.restart_count),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Terminal", "b", bus_property_get_bool, offsetof(Container, options.terminal),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("OpenStandardInput", "b", bus_property_get_bool, offsetof(Container, options.open_stdin),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Network", "s", bus_container_property_get_network, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Networks", "a(sssasas)", bus_container_property_get_networks, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Interfaces", "ao", bus_container_property_get_interfaces, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ports", "a(ssqqq)", bus_container_property_get_ports, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NetworkNamespace", "s", bus_container_property_get_network_namespace, 0, 0),
        SD_BUS_PROPERTY("Log", "s", property_get_log, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Runtime", "s", property_get_backend, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Machine", "s", property_get_machine, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Snapshotter", "s", property_get_backend, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Snapshot", "t", NULL, offsetof(Container, row.snapshot),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ControlGroup", "s", NULL, offsetof(Container, control_group), 0),
        SD_BUS_PROPERTY("Limits", "a{sv}", bus_container_property_get_limits, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Health", "s", property_get_health, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HealthFailingStreak", "u", property_get_failing_streak, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HealthCheck", "a{sv}", property_get_health_check, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("HealthLog", "a(ttis)", property_get_health_log, 0, 0),
        SD_BUS_PROPERTY("OOMKilled", "b", property_get_oom_killed, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("OOMKills", "t", NULL, offsetof(Container, row.oom_kills),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Spec", "s", property_get_spec, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_VTABLE_END,
};

const BusObject bus_container_object = {
        .interface = BUS_INTERFACE_CONTAINER,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_CONTAINER,
        .sample = BUS_PATH "/namespace/default/container/web",
        .vtable = container_vtable,
        .find = container_object_find,
        .enumerate = container_enumerate,
};
