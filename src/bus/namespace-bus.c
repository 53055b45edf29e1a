/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/bus-unpack.h"
#include "bus/cni-bus.h"
#include "bus/limits-bus.h"
#include "bus/network-bus.h"
#include "bus/stop-bus.h"
#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-name.h"

/* org.moored1.Namespace. userdata of methods and getters is the NamespaceRow. */

/* -- options -- */

typedef struct RunOptions {
        ContainerOptions container;
        ContainerStdio stdio; /* the message's descriptors */
} RunOptions;

static void run_options_done(RunOptions *o) {
        container_options_done(&o->container);
}

static int parse_entrypoint(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        ContainerOptions *c = target;
        int r;

        r = bus_option_strv(m, o, &c->entrypoint, reterr_error);
        if (r < 0)
                return r;

        c->entrypoint_set = true;
        return 0;
}

/* The only one, or one more. */
static int parse_network(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        ContainerOptions *c = target;
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, 's', &s);
        if (r >= 0)
                r = strv_extend(&c->networks, s);
        return r < 0 ? error_set_errno(reterr_error, r, "Option “%s” cannot be read: %m", o->name) : 0;
}

static int parse_seccomp(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        ContainerOptions *c = target;
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, 's', &s);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);
        if (!streq(s, "default") && !streq(s, "unconfined"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%s” is no seccomp profile: use “default” or “unconfined”.", s);

        c->privileged_seccomp = streq(s, "unconfined");
        return 0;
}

static int parse_mount(sd_bus_message *m, const BusOption *o, ContainerOptions *c, Error *reterr_error) {
        const char *type, *source, *destination;
        ContainerMount *mounts, *mount;
        int r;

        mounts = reallocarray(c->mounts, c->n_mounts + 1, sizeof(*mounts));
        if (!mounts)
                return bus_option_error(reterr_error, o, -ENOMEM);
        c->mounts = mounts;
        mount = c->mounts + c->n_mounts++;
        *mount = (ContainerMount) {};

        r = sd_bus_message_read(m, "sss", &type, &source, &destination);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        mount->type = strdup(type);
        mount->source = strdup(source);
        mount->destination = strdup(destination);
        if (!mount->type || !mount->source || !mount->destination)
                return bus_option_error(reterr_error, o, -ENOMEM);

        return bus_option_strv(m, o, &mount->options, reterr_error);
}

static int parse_mounts(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        ContainerOptions *c = target;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sssas)");
        while (r >= 0) {
                r = sd_bus_message_enter_container(m, 'r', "sssas");
                if (r <= 0)
                        break;
                if (c->n_mounts >= BUS_LIST_MAX)
                        return error_set(reterr_error, -E2BIG, "InvalidArgument",
                                         "There are more than %u mounts.", BUS_LIST_MAX);
                r = parse_mount(m, o, c, reterr_error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

static int parse_start_period(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        HealthOptions *h = target;
        int r;

        r = bus_option_uint64(m, o, &h->start_period_usec, reterr_error);
        if (r < 0)
                return r;

        h->start_period_set = true;
        return 0;
}

static int parse_health_check(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        static const BusOption options[] = {
                { "Disabled", "b", bus_option_bool, offsetof(HealthOptions, disabled) },
                { "Command", "as", bus_option_strv, offsetof(HealthOptions, command) },
                { "IntervalUSec", "t", bus_option_uint64, offsetof(HealthOptions, interval_usec) },
                { "TimeoutUSec", "t", bus_option_uint64, offsetof(HealthOptions, timeout_usec) },
                { "StartPeriodUSec", "t", parse_start_period, 0 },
                { "StartIntervalUSec", "t", bus_option_uint64, offsetof(HealthOptions, start_interval_usec) },
                { "Retries", "t", bus_option_uint64, offsetof(HealthOptions, retries) },
                { "OnFailure", "s", bus_option_string, offsetof(HealthOptions, on_failure) },
                {},
        };

        return bus_options_parse(m, options, target, reterr_error);
}

#define CONTAINER_OPTION(name, signature, parse, field) \
        { name, signature, parse, offsetof(RunOptions, container.field) }
#define CREATE_OPTIONS                                                                        \
        CONTAINER_OPTION("Command", "as", bus_option_strv, command),                          \
        { "Entrypoint", "as", parse_entrypoint, offsetof(RunOptions, container) },            \
        CONTAINER_OPTION("Environment", "as", bus_option_strv, environment),                  \
        CONTAINER_OPTION("WorkingDirectory", "s", bus_option_string, working_directory),      \
        CONTAINER_OPTION("User", "s", bus_option_string, user),                               \
        CONTAINER_OPTION("Groups", "as", bus_option_strv, groups),                            \
        CONTAINER_OPTION("Hostname", "s", bus_option_string, hostname),                       \
        { "Mounts", "a(sssas)", parse_mounts, offsetof(RunOptions, container) },              \
        CONTAINER_OPTION("ReadOnly", "b", bus_option_bool, read_only),                        \
        { "Network", "s", parse_network, offsetof(RunOptions, container) },                   \
        CONTAINER_OPTION("Networks", "as", bus_option_strv, networks),                        \
        CONTAINER_OPTION("Publish", "as", bus_option_strv, publish),                          \
        CONTAINER_OPTION("PublishAll", "b", bus_option_bool, publish_all),                    \
        CONTAINER_OPTION("Expose", "as", bus_option_strv, expose),                            \
        CONTAINER_OPTION("DNS", "as", bus_option_strv, dns),                                  \
        CONTAINER_OPTION("DNSSearch", "as", bus_option_strv, dns_search),                     \
        CONTAINER_OPTION("DNSOptions", "as", bus_option_strv, dns_options),                   \
        CONTAINER_OPTION("Hosts", "as", bus_option_strv, hosts),                              \
        CONTAINER_OPTION("Labels", "a{ss}", bus_option_labels, labels),                       \
        CONTAINER_OPTION("Properties", "as", bus_option_properties, properties),                   \
        CONTAINER_OPTION("Devices", "as", bus_option_strv, devices),                          \
        CONTAINER_OPTION("Limits", "a{sv}", bus_option_limits, properties),                   \
        CONTAINER_OPTION("CapabilitiesAdd", "as", bus_option_strv, cap_add),                  \
        CONTAINER_OPTION("CapabilitiesDrop", "as", bus_option_strv, cap_drop),                \
        { "Seccomp", "s", parse_seccomp, offsetof(RunOptions, container) },                   \
        CONTAINER_OPTION("StopSignal", "s", bus_option_string, stop_signal),                  \
        CONTAINER_OPTION("StopTimeoutUSec", "t", bus_option_uint64, stop_timeout_usec),       \
        CONTAINER_OPTION("AutoRemove", "b", bus_option_bool, auto_remove),                    \
        CONTAINER_OPTION("Restart", "s", bus_option_string, restart),                         \
        CONTAINER_OPTION("Platform", "s", bus_option_string, platform),                       \
        CONTAINER_OPTION("Log", "s", bus_option_string, log),                                 \
        CONTAINER_OPTION("Runtime", "s", bus_option_string, runtime),                         \
        CONTAINER_OPTION("Machine", "b", bus_option_bool, machine),                           \
        CONTAINER_OPTION("Systemd", "s", bus_option_string, systemd),                         \
        CONTAINER_OPTION("Scope", "b", bus_option_bool, scope),                               \
        CONTAINER_OPTION("HealthCheck", "a{sv}", parse_health_check, health),                 \
        CONTAINER_OPTION("ReadyWhenHealthy", "b", bus_option_bool, ready_when_healthy),       \
        CONTAINER_OPTION("Notify", "b", bus_option_bool, notify),                           \
        CONTAINER_OPTION("Terminal", "b", bus_option_bool, terminal),                         \
        CONTAINER_OPTION("TerminalSize", "(uu)", bus_option_terminal_size, terminal_size),         \
        CONTAINER_OPTION("OpenStandardInput", "b", bus_option_bool, open_stdin)

static const BusOption create_options[] = {
        CREATE_OPTIONS,
        CONTAINER_OPTION("Unit", "s", bus_option_string, unit),
        {},
};

static const BusOption run_options[] = {
        CREATE_OPTIONS,
        { "StandardInput", "h", bus_option_fd, offsetof(RunOptions, stdio.in) },
        { "StandardOutput", "h", bus_option_fd, offsetof(RunOptions, stdio.out) },
        { "StandardError", "h", bus_option_fd, offsetof(RunOptions, stdio.err) },
        { "TerminalDescriptor", "h", bus_option_fd, offsetof(RunOptions, stdio.terminal) },
        {},
};

typedef struct PullBag {
        char *platform;
        bool unpack;
} PullBag;

static void pull_bag_done(PullBag *b) {
        free(b->platform);
}

static const BusOption pull_options[] = {
        { "Platform", "s", bus_option_string, offsetof(PullBag, platform) },
        { "Unpack", "b", bus_option_bool, offsetof(PullBag, unpack) },
        {},
};

typedef struct ImportBag {
        char *name, *platform;
} ImportBag;

static void import_bag_done(ImportBag *b) {
        free(b->name);
        free(b->platform);
}

static const BusOption import_options[] = {
        { "Name", "s", bus_option_string, offsetof(ImportBag, name) },
        { "Platform", "s", bus_option_string, offsetof(ImportBag, platform) },
        {},
};

/* -- images -- */

static int method_pull_image(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_(pull_bag_done) PullBag bag = { .unpack = true };
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *ns = userdata;
        const char *reference;
        Job *j;
        int r;

        r = sd_bus_message_read(m, "s", &reference);
        if (r < 0)
                return r;
        r = bus_options_parse(m, pull_options, &bag, &error);
        if (r >= 0) {
                PullOptions options = { .platform = isempty(bag.platform) ? NULL : bag.platform,
                                        .unpack = bag.unpack };

                r = image_pull(b->context.images, ns->name, reference, &options, &j, &error);
        }
        if (r < 0)
                return bus_error_set(ret_error, &error);

        path = bus_job_path(j->id);
        return bus_reply_path(m, path);
}

static int method_import_image(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_(import_bag_done) ImportBag bag = {};
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_close_ int archive = -EBADF;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *ns = userdata;
        int r, fd;
        Job *j;

        r = sd_bus_message_read(m, "h", &fd);
        if (r < 0)
                return r;
        r = bus_options_parse(m, import_options, &bag, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        archive = fd_dup(fd); /* the message's own ends with it */
        if (archive < 0)
                r = error_set_errno(&error, archive, "The archive's descriptor cannot be kept: %m");
        else {
                ImportOptions options = {
                        .name = isempty(bag.name) ? NULL : bag.name,
                        .platform = isempty(bag.platform) ? NULL : bag.platform,
                };

                r = image_import(b->context.images, ns->name, archive, &options, &j, &error);
        }
        if (r < 0)
                return bus_error_set(ret_error, &error);

        TAKE_FD(archive);
        path = bus_job_path(j->id);
        return bus_reply_path(m, path);
}

static int method_tag_image(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        const char *source, *target;
        int r;

        r = sd_bus_message_read(m, "ss", &source, &target);
        if (r < 0)
                return r;
        r = image_tag(b->context.images, ns->name, source, target, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int method_remove_image(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        const char *reference;
        bool force;
        int r;

        r = sd_bus_message_read(m, "s", &reference);
        if (r < 0)
                return r;
        r = bus_options_parse_force(m, &force, &error);
        if (r >= 0)
                r = image_remove(b->context.images, ns->name, reference, force, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int method_list_images(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        const NamespaceRow *ns = userdata;
        HashmapIterator it = 0;
        Image *i;
        int r;

        r = bus_reply_open_array(m, "(so)", &reply);
        while (r >= 0 && image_iterate(b->context.images, &it, &i)) {
                _cleanup_free_ char *path = NULL;

                if (!streq(i->row.ns, ns->name))
                        continue;
                path = bus_image_path(i->row.ns, i->row.name);
                r = path ? sd_bus_message_append(reply, "(so)", i->row.name, path) : -ENOMEM;
        }
        return bus_reply_send_array(reply, r);
}

static int method_get_image(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *ns = userdata;
        const char *reference;
        Image *i;
        int r;

        r = sd_bus_message_read(m, "s", &reference);
        if (r < 0)
                return r;
        i = image_find(b->context.images, ns->name, reference, &error);
        if (!i)
                return bus_error_set(ret_error, &error);

        path = bus_image_path(i->row.ns, i->row.name);
        return bus_reply_path(m, path);
}

/* -- containers -- */

/* Reads "ssa{sv}". */
static int read_container(sd_bus_message *m, const BusOption *table, const char **ret_id,
                          const char **ret_image, RunOptions *ret_options, Error *reterr_error) {
        int r;

        r = sd_bus_message_read(m, "ss", ret_id, ret_image);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "The call cannot be read: %m");

        ret_options->container.stop_timeout_usec = UINT64_MAX; /* moored.conf's */
        r = bus_options_parse(m, table, ret_options, reterr_error);
        return r < 0 ? r
                     : container_check_stdio(ret_options->container.terminal, &ret_options->stdio, reterr_error);
}

static int method_create_container(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(run_options_done) RunOptions options = { .stdio = CONTAINER_STDIO_NULL };
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *ns = userdata;
        const char *id, *image;
        BusCall *call;
        Container *c;
        bool waited;
        int r;

        waited = bus_unpack_was_waiting(b, m);
        r = read_container(m, create_options, &id, &image, &options, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        r = container_create(b->context.containers, ns->name, id, image, &options.container, &c, &error);
        if (r < 0)
                return bus_error_or_unpack(b, m, waited, ns->name, image, NULL, &error, ret_error);

        if (c->options.unit) {
                call = bus_call_new(b, m);
                if (!call)
                        return -ENOMEM;
                r = container_apply_unit_limits(c, bus_call_reply_container, call, &error);
                if (r != 0)
                        return bus_call_pending(call, r, &error, ret_error);
                bus_call_free(call);
        }
        path = bus_container_path(c->row.ns, c->row.id);
        return bus_reply_path(m, path);
}

static int method_check_container(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(run_options_done) RunOptions options = { .stdio = CONTAINER_STDIO_NULL };
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        const char *id, *image;
        int r;

        r = read_container(m, create_options, &id, &image, &options, &error);
        if (r >= 0)
                r = container_check(b->context.containers, ns->name, id, image, &options.container, &error);
        return r < 0 ? bus_error_set(ret_error, &error) : sd_bus_reply_method_return(m, NULL);
}

static int method_run_container(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(run_options_done) RunOptions options = { .stdio = CONTAINER_STDIO_NULL };
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        const char *id, *image;
        BusCall *call;
        bool waited;
        int r;

        waited = bus_unpack_was_waiting(b, m);
        r = read_container(m, run_options, &id, &image, &options, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_run(b->context.containers, ns->name, id, image, &options.container, &options.stdio,
                          bus_call_reply_container, call, &error);
        if (r < 0) {
                bus_call_free(call);
                return bus_error_or_unpack(b, m, waited, ns->name, image, NULL, &error, ret_error);
        }
        return 1;
}

static int method_list_containers(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        const NamespaceRow *ns = userdata;
        HashmapIterator i = 0;
        Container *c;
        int r;

        r = bus_reply_open_array(m, "(sos)", &reply);
        while (r >= 0 && container_iterate(b->context.containers, &i, &c)) {
                _cleanup_free_ char *path = NULL;

                if (!streq(c->row.ns, ns->name))
                        continue;
                path = bus_container_path(c->row.ns, c->row.id);
                r = path ? sd_bus_message_append(reply, "(sos)", c->row.id, path,
                                                 container_state_to_string(c->state))
                         : -ENOMEM;
        }
        return bus_reply_send_array(reply, r);
}

static int method_get_container(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        const NamespaceRow *ns = userdata;
        const char *id;
        Container *c;
        int r;

        r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        c = container_find(b->context.containers, ns->name, id, &error);
        if (!c)
                return bus_error_set(ret_error, &error);

        path = bus_container_path(c->row.ns, c->row.id);
        return bus_reply_path(m, path);
}

/* -- the object -- */

static int property_get_slice(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const NamespaceRow *ns = userdata;
        _cleanup_free_ char *slice = namespace_slice_name(ns->name);

        return slice ? bus_append_string(reply, slice) : -ENOMEM;
}

static int namespace_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                                 void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *name = NULL;
        const NamespaceRow *ns;
        Bus *b = userdata;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_NAMESPACE, &name);
        if (r <= 0)
                return r;

        ns = b->context.namespace_ops->find(b->context.namespaces, name, NULL);
        *ret_found = (void *) ns;
        return !!ns;
}

static int namespace_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                               sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **nodes = NULL;
        const NamespaceRow *row;
        HashmapIterator i = 0;
        Bus *b = userdata;

        while (b->context.namespace_ops->iterate(b->context.namespaces, &i, &row))
                if (strv_consume(&nodes, bus_namespace_path(row->name)) < 0)
                        return -ENOMEM;

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable namespace_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("PullImage", SD_BUS_ARGS("s", reference, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_pull_image, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ImportImage", SD_BUS_ARGS("h", archive, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_import_image, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("TagImage", SD_BUS_ARGS("s", source, "s", target), SD_BUS_NO_RESULT,
                                method_tag_image, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveImage", SD_BUS_ARGS("s", reference, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_remove_image, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListImages", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(so)", images),
                                method_list_images, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetImage", SD_BUS_ARGS("s", reference), SD_BUS_RESULT("o", path),
                                method_get_image, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CheckContainer", SD_BUS_ARGS("s", id, "s", image, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_check_container, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateContainer", SD_BUS_ARGS("s", id, "s", image, "a{sv}", options),
                                SD_BUS_RESULT("o", path), method_create_container,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RunContainer", SD_BUS_ARGS("s", id, "s", image, "a{sv}", options),
                                SD_BUS_RESULT("o", path), method_run_container, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StopContainers", SD_BUS_ARGS("as", ids, "t", timeout_usec),
                                SD_BUS_RESULT("a(sss)", failures), bus_namespace_method_stop_containers,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListContainers", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sos)", containers),
                                method_list_containers, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetContainer", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                                method_get_container, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateNetwork", SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("o", path), bus_namespace_method_create_network,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveNetwork", SD_BUS_ARGS("s", name, "a{sv}", options), SD_BUS_NO_RESULT,
                                bus_namespace_method_remove_network, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListNetworks", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sos)", networks),
                                bus_namespace_method_list_networks, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPluginNetworks", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssasass)", networks),
                                bus_namespace_method_list_plugin_networks, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetNetwork", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path),
                                bus_namespace_method_get_network, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Name", "s", NULL, offsetof(NamespaceRow, name), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Labels", "a{ss}", bus_property_get_labels, offsetof(NamespaceRow, labels),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("CreatedUSec", "t", NULL, offsetof(NamespaceRow, created_usec),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Slice", "s", property_get_slice, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

const BusObject bus_namespace_object = {
        .interface = BUS_INTERFACE_NAMESPACE,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_NAMESPACE,
        .sample = BUS_PATH "/namespace/default",
        .vtable = namespace_vtable,
        .find = namespace_object_find,
        .enumerate = namespace_enumerate,
};
