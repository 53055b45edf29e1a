/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* network: create, ls, inspect, rm, prune, connect, disconnect, reload. Options are called as podman and docker call them. */

#include <limits.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/bus-util.h"
#include "ctl/container-calls.h"
#include "ctl/create-bag.h"
#include "ctl/plugin-networks.h"

typedef struct NetworkOptions {
        const char *driver, *device, *parent, *mode, *mtu, *isolate;
        const char *mac;
        char **subnets, **gateways, **ranges, **labels;
        char **addresses, **aliases;
        bool ipv6, internal, disable_dns, ignore, force;
} NetworkOptions;

static void network_options_done(NetworkOptions *o) {
        strv_free(o->subnets);
        strv_free(o->gateways);
        strv_free(o->ranges);
        strv_free(o->labels);
        strv_free(o->addresses);
        strv_free(o->aliases);
}

/* -- create -- */

/* What the others have as options of their drivers. */
static int apply_opt(const char *value, void *target, Error *reterr_error) {
        static const struct {
                const char *name;
                size_t offset;
        } names[] = {
                { "mtu=", offsetof(NetworkOptions, mtu) },
                { "com.docker.network.driver.mtu=", offsetof(NetworkOptions, mtu) },
                { "mode=", offsetof(NetworkOptions, mode) },
                { "macvlan_mode=", offsetof(NetworkOptions, mode) },
                { "ipvlan_mode=", offsetof(NetworkOptions, mode) },
                { "parent=", offsetof(NetworkOptions, parent) },
                { "isolate=", offsetof(NetworkOptions, isolate) },
                { "com.docker.network.bridge.name=", offsetof(NetworkOptions, device) },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *v = startswith(value, names[i].name);

                if (v) {
                        *(const char **) (void *) ((char *) target + names[i].offset) = v;
                        return 0;
                }
        }

        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "--opt= is one of mtu=, mode=, parent= and isolate=, not '%s'.", value);
}

/* Podman's "true" keeps apart those that have it, its "strict" is what this is. */
static int parse_isolate(const char *value, int *ret, Error *reterr_error) {
        *ret = !value || streq(value, "strict") ? 1 : parse_boolean(value);
        return *ret < 0 ? error_set(reterr_error, -EINVAL, "InvalidArgument",
                                    "--opt=isolate= is true (the default) or false, not '%s'.", value)
                        : 0;
}

static int append_options(sd_bus_message *m, const NetworkOptions *o, bool isolated, uint64_t mtu) {
        const struct {
                const char *key, *value;
        } strings[] = {
                { "Driver", o->driver },
                { "Device", o->device },
                { "Parent", o->parent },
                { "Mode", o->mode },
        };
        const struct {
                const char *key;
                char *const *list;
        } lists[] = {
                { "Subnets", o->subnets },
                { "Gateways", o->gateways },
                { "Ranges", o->ranges },
        };
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(strings); i++)
                r = bag_append_string(m, strings[i].key, strings[i].value);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(lists); i++)
                r = bag_append_list(m, lists[i].key, lists[i].list);
        if (r >= 0)
                r = bag_append_flag(m, "IPv6", o->ipv6);
        if (r >= 0)
                r = bag_append_flag(m, "Internal", o->internal);
        if (r >= 0 && !isolated)
                r = sd_bus_message_append(m, "{sv}", "Isolated", "b", 0);
        if (r >= 0 && o->disable_dns)
                r = sd_bus_message_append(m, "{sv}", "DNS", "b", 0);
        if (r >= 0 && mtu > 0)
                r = sd_bus_message_append(m, "{sv}", "MTU", "t", mtu);
        if (r >= 0)
                r = bag_append_labels(m, o->labels);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* A program that others have to install. */
static void warn_of_names(json_t *network) {
        const char *domain = json_get_string(network, "Domain");

        if (streq_ptr(json_get_string(network, "Driver"), "bridge") && json_is_true(json_object_get(network, "DNS")) &&
            domain && isempty(domain))
                fprintf(stderr,
                        "moorctl: Containers on “%s” will not find each other by name: dnsmasq is not installed (Debian: package dnsmasq-base).\n",
                        strempty(json_get_string(network, "Name")));
}

static int print_name(Ctl *c, const char *path, Error *reterr_error) {
        _cleanup_json_ json_t *network = NULL;
        int r;

        r = ctl_get_all(c, path, BUS_NETWORK, &network, reterr_error);
        if (r < 0)
                return r;
        warn_of_names(network);
        if (c->json != OUTPUT_OFF)
                return ctl_output(c, NULL, network, reterr_error);
        printf("%s\n", strempty(json_get_string(network, "Name")));
        return EXIT_SUCCESS;
}

static int network_create(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_free_ char *ns = namespace_path(c->ns);
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        const char *path;
        uint64_t mtu = 0;
        int isolated, r;

        if (!ns)
                return error_oom(reterr_error);
        if (o->mtu && parse_uint64(o->mtu, &mtu) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is not an MTU: that is a number of bytes.", o->mtu);
        r = parse_isolate(o->isolate, &isolated, reterr_error);
        if (r < 0)
                return r;

        ctl_start_agent(c);
        r = ctl_new_call(c, ns, BUS_NAMESPACE, "CreateNetwork", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", strempty(args[0]));
        if (r >= 0)
                r = append_options(m, o, isolated, mtu);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        r = ctl_call_message(c, m, &reply, &error);
        if (r < 0 && o->ignore && error_has_name(&error, "NetworkExists")) {
                printf("%s\n", args[0]);
                return EXIT_SUCCESS;
        }
        if (r < 0)
                return error_move(reterr_error, &error);
        r = sd_bus_message_read(reply, "o", &path);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : print_name(c, path, reterr_error);
}

/* -- ls -- */

static int add_row(Table *t, json_t *network) {
        _cleanup_strv_free_ char **subnets = NULL;
        _cleanup_free_ char *joined = NULL;
        json_t *subnet;
        size_t i;

        json_array_foreach (json_object_get(network, "Subnets"), i, subnet)
                if (strv_extend(&subnets, strempty(json_string_value(json_array_get(subnet, 0)))) < 0)
                        return -ENOMEM;
        joined = strv_join(subnets, " ");
        if (!joined || table_add(t, json_get_string(network, "Name")) < 0 ||
            table_add(t, json_get_string(network, "Driver")) < 0 ||
            table_add(t, isempty(json_get_string(network, "Device"))
                                         ? json_get_string(network, "Parent")
                                         : json_get_string(network, "Device")) < 0 ||
            table_add(t, joined) < 0 ||
            table_add(t, json_is_true(json_object_get(network, "Internal")) ? "yes" : "no") < 0 ||
            table_addf(t, "%zu", json_array_size(json_object_get(network, "Containers"))) < 0)
                return -ENOMEM;
        return 0;
}

static int network_list(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        static const TableColumn columns[] = { { "NAME", 0 },
                                               { "DRIVER", 0 },
                                               { "DEVICE", 0 },
                                               { "SUBNETS", TABLE_SHRINK },
                                               { "INTERNAL", 0 },
                                               { "CONTAINERS", TABLE_RIGHT },
                                               {} };
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_free_ char *ns = namespace_path(c->ns);
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_json_ json_t *networks = NULL, *plugins = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        const char *name, *path, *driver;
        json_t *network;
        size_t i;
        int r;

        if (!ns || !t)
                return error_oom(reterr_error);
        r = ctl_call(c, ns, BUS_NAMESPACE, "ListNetworks", &reply, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(sos)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sos)", &name, &path, &driver)) > 0) {
                if (c->quiet)
                        printf("%s\n", name);
                if (strv_extend(&paths, path) < 0)
                        return error_oom(reterr_error);
        }
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        if (c->quiet)
                return EXIT_SUCCESS;

        if (plugin_networks_read(c, ns, &plugins, &error) < 0)
                fprintf(stderr, "moorctl: Networks of plug-ins are not shown: %s\n", error_message(&error));
        r = ctl_get_all_many(c, paths, BUS_NETWORK, &networks, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach (networks, i, network)
                if (add_row(t, network) < 0)
                        return error_oom(reterr_error);
        if (plugins && (c->json == OUTPUT_OFF ? plugin_networks_add_rows(plugins, t) : json_array_extend(networks, plugins)) < 0)
                return error_oom(reterr_error);
        return ctl_output(c, t, networks, reterr_error);
}

/* -- inspect, rm, prune, reload -- */

/* path: the reply's. */
static int get_network(Ctl *c, const char *ns, const char *name, sd_bus_message **ret_reply, const char **ret_path,
                       Error *reterr_error) {
        int r;

        r = ctl_call(c, ns, BUS_NAMESPACE, "GetNetwork", ret_reply, reterr_error, "s", name);
        if (r < 0)
                return r;
        r = sd_bus_message_read(*ret_reply, "o", ret_path);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int inspect_one(Ctl *c, const char *ns, const char *name, json_t *all, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        json_t *network;
        const char *path;
        int r;

        if (startswith(name, PLUGIN_NETWORK_PREFIX)) {
                r = plugin_networks_find(c, ns, name, &network, reterr_error);
                return r < 0 ? r : json_array_append_new(all, network) < 0 ? error_oom(reterr_error) : 0;
        }
        r = get_network(c, ns, name, &reply, &path, reterr_error);
        if (r < 0)
                return r;
        r = ctl_get_all(c, path, BUS_NETWORK, &network, reterr_error);
        if (r < 0)
                return r;
        return json_array_append_new(all, network) < 0 ? error_oom(reterr_error) : 0;
}

static int network_inspect(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_free_ char *ns = namespace_path(c->ns);
        _cleanup_json_ json_t *all = json_array();
        int r;

        if (!ns || !all)
                return error_oom(reterr_error);
        STRV_FOREACH (name, args) {
                r = inspect_one(c, ns, name, all, reterr_error);
                if (r < 0)
                        return r;
        }

        if (c->json == OUTPUT_OFF)
                c->json = OUTPUT_PRETTY;
        return ctl_output(c, NULL, all, reterr_error);
}

static int append_force(sd_bus_message *m, const ContainerCalls *calls) {
        return sd_bus_message_append(m, "a{sv}", 1, "Force", "b", 1);
}

/* Those that are on it; what fails of them is said, and then the network cannot be removed. */
static int remove_containers(Ctl *c, const char *ns, const char *name, Error *reterr_error) {
        ContainerCalls calls = { .member = "Remove", .append = append_force, .ignore_missing = true };
        _cleanup_json_ json_t *all = json_array();
        _cleanup_strv_free_ char **ids = NULL;
        json_t *user;
        size_t i;
        int r;

        r = all ? inspect_one(c, ns, name, all, reterr_error) : error_oom(reterr_error);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(json_array_get(all, 0), "Containers"), i, user)
                if (strv_extend(&ids, strempty(json_string_value(json_array_get(user, 0)))) < 0)
                        return error_oom(reterr_error);
        if (!ids)
                return 0;
        calls.ids = ids;
        return container_calls_run(c, &calls, reterr_error);
}

static int remove_one(Ctl *c, const char *ns, const char *name, bool force, Error *reterr_error) {
        int r = 0;

        if (force)
                r = remove_containers(c, ns, name, reterr_error);
        return r < 0 ? r : ctl_call(c, ns, BUS_NAMESPACE, "RemoveNetwork", NULL, reterr_error, "sa{sv}", name, 0);
}

/* One that cannot be removed does not keep the others. */
static int network_rm(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_error_ Error first = ERROR_NULL;
        _cleanup_free_ char *ns = namespace_path(c->ns);

        if (!ns)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        STRV_FOREACH (name, args) {
                _cleanup_error_ Error error = ERROR_NULL;

                if (plugin_networks_refuse(name, "remove its file in /etc/cni/net.d", &error) >= 0 &&
                    remove_one(c, ns, name, o->force, &error) >= 0)
                        printf("%s\n", name);
                else if (o->ignore && error_has_name(&error, "NoSuchNetwork"))
                        continue;
                else if (!error_is_set(&first))
                        (void) error_move(&first, &error);
                else
                        fprintf(stderr, "moorctl: %s\n", error_message(&error));
        }

        return error_is_set(&first) ? error_move(reterr_error, &first) : EXIT_SUCCESS;
}

/* Whether a container is on it is looked at by moored, in the transaction that removes it. */
static int network_prune(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_free_ char *ns = namespace_path(c->ns);
        const char *name;
        int r;

        if (!ns)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        r = ctl_call(c, ns, BUS_NAMESPACE, "ListNetworks", &reply, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(sos)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sos)", &name, NULL, NULL)) > 0) {
                _cleanup_error_ Error error = ERROR_NULL;

                if (streq(name, "default"))
                        continue;
                if (ctl_call(c, ns, BUS_NAMESPACE, "RemoveNetwork", NULL, &error, "sa{sv}", name, 0) >= 0)
                        printf("%s\n", name);
                else if (!error_has_name(&error, "NetworkInUse") && !error_has_name(&error, "NoSuchNetwork"))
                        return error_move(reterr_error, &error);
        }
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : EXIT_SUCCESS;
}

/* -- connect, disconnect -- */

static int network_connect(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_free_ char *path = container_path(c->ns, args[1]);
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = plugin_networks_refuse(args[0], "a container is on it from its creation on (run --network=)", reterr_error);
        if (r < 0)
                return r;
        ctl_start_agent(c);
        r = ctl_new_call(c, path, BUS_CONTAINER, "AddInterface", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = bag_append_string(m, "Network", args[0]);
        if (r >= 0)
                r = bag_append_list(m, "Addresses", o->addresses);
        if (r >= 0)
                r = bag_append_string(m, "MAC", o->mac);
        if (r >= 0)
                r = bag_append_list(m, "Aliases", o->aliases);
        if (r >= 0)
                r = bag_append_string(m, "Name", o->device);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        return container_call_message(c, args[1], m, NULL, reterr_error);
}

static int network_disconnect(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_free_ char *ns = namespace_path(c->ns);
        const char *path;
        int r;

        if (!ns)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        r = get_network(c, ns, args[0], &reply, &path, reterr_error);
        return r < 0 ? r : ctl_call(c, path, BUS_NETWORK, "Disconnect", NULL, reterr_error, "sa{sv}", args[1], 0);
}

static int network_reload(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error) {
        ctl_start_agent(c);
        return ctl_call(c, BUS_PATH, BUS_MANAGER, "ReloadNetworks", NULL, reterr_error, NULL);
}

static const struct {
        const char *name;
        unsigned min_args, max_args;
        int (*run)(Ctl *c, char **args, const NetworkOptions *o, Error *reterr_error);
        const char *usage; /* NULL: networks alone */
} commands[] = {
        { "ls", 0, 0, network_list, NULL },
        { "create", 0, 1, network_create, NULL },
        { "inspect", 1, UINT_MAX, network_inspect, NULL },
        { "rm", 1, UINT_MAX, network_rm, NULL },
        { "prune", 0, 0, network_prune, NULL },
        { "connect", 2, 2, network_connect, "NETWORK CONTAINER" },
        { "disconnect", 2, 2, network_disconnect, "NETWORK CONTAINER" },
        { "reload", 0, 0, network_reload, NULL },
};

static int network_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_(network_options_done) NetworkOptions o = {};
        _cleanup_free_ char **args = NULL;
        char **rest;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;

        rest = args[0] ? args + 1 : args;
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                size_t n = strv_length(rest);

                if (!streq(commands[i].name, args[0] ?: "ls"))
                        continue;
                if (n < commands[i].min_args && commands[i].usage)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Which network, and which container? moorctl network %s %s", commands[i].name,
                                         commands[i].usage);
                if (n < commands[i].min_args)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Which networks? Name them: moorctl network %s NAME…", commands[i].name);
                if (n > commands[i].max_args)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "'%s' is too much for moorctl network %s; see moorctl network --help.",
                                         rest[commands[i].max_args], commands[i].name);
                return commands[i].run(c, rest, &o, reterr_error);
        }

        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "moorctl network has ls, create [OPTION…] [NAME], inspect NAME…, rm NAME…, prune, connect and disconnect NETWORK CONTAINER, and reload, not '%s'.",
                         args[0]);
}

static const Option network_options[] = {
        { 'd', "driver", "DRIVER", OPTION_STRING, offsetof(NetworkOptions, driver),
          .help = "create: bridge (default), macvlan, ipvlan" },
        { 0, "subnet", "SUBNET", OPTION_STRV, offsetof(NetworkOptions, subnets),
          .help = "create: as in 10.90.0.0/24; again for the other family\n(default: one that is free)" },
        { 0, "gateway", "ADDRESS", OPTION_STRV, offsetof(NetworkOptions, gateways),
          .help = "create: of a subnet (default: its first address)" },
        { 0, "ip-range", "SUBNET", OPTION_STRV, offsetof(NetworkOptions, ranges),
          .help = "create: take addresses from this part of a subnet" },
        { 0, "ipv6", NULL, OPTION_FLAG, offsetof(NetworkOptions, ipv6),
          .help = "create: with an IPv6 subnet, too" },
        { 0, "internal", NULL, OPTION_FLAG, offsetof(NetworkOptions, internal),
          .help = "create: no way out, and none in" },
        { 0, "disable-dns", NULL, OPTION_FLAG, offsetof(NetworkOptions, disable_dns),
          .help = "create: containers do not find each other by name" },
        { 0, "interface-name", "NAME", OPTION_STRING, offsetof(NetworkOptions, device),
          .help = "create: name of the bridge\nconnect: of the device in the container (default: eth and a number)" },
        { 0, "ip", "ADDRESS", OPTION_STRV, offsetof(NetworkOptions, addresses),
          .help = "connect: an address of the network (default: one that is free)" },
        { 0, "ip6", "ADDRESS", OPTION_STRV, offsetof(NetworkOptions, addresses),
          .help = "connect: the same, of its IPv6 subnet" },
        { 0, "alias", "NAME", OPTION_STRV, offsetof(NetworkOptions, aliases),
          .help = "connect: another name on this network" },
        { 0, "mac-address", "MAC", OPTION_STRING, offsetof(NetworkOptions, mac),
          .help = "connect: the device's (default: one made of the address)" },
        { 0, "parent", "DEVICE", OPTION_STRING, offsetof(NetworkOptions, parent),
          .help = "create: the host's device (macvlan, ipvlan)" },
        { 'o', "opt", "NAME=VALUE", OPTION_CUSTOM, .apply = apply_opt,
          .help = "create: mtu=, mode=, parent=, isolate=" },
        { 0, "label", "NAME[=VALUE]", OPTION_STRV, offsetof(NetworkOptions, labels),
          .help = "create: attach a label" },
        { 0, "ignore", NULL, OPTION_FLAG, offsetof(NetworkOptions, ignore),
          .help = "create, rm: one that is there, or not there, is no error" },
        { 'f', "force", NULL, OPTION_FLAG, offsetof(NetworkOptions, force),
          .help = "rm: remove its containers first (SIGKILL)" },
        OPTION_END,
};

const Verb verb_network = {
        .name = "network",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "[ls | create [OPTION…] [NAME] | inspect NAME… |\n"
                     "         rm [-f] NAME… | prune |\n"
                     "         connect [OPTION…] NETWORK CONTAINER | disconnect NETWORK CONTAINER | reload]",
        .summary = "List, make, show and remove networks",
        .description = "Containers are on networks by run --network=NAME; \"default\" is made by whoever needs it first.\n"
                       "\"create\" prints the name, and chooses one if none is given. A network that has containers, running\n"
                       "or not, is removed with --force only, and they with it. \"prune\" removes all that have none, but for\n"
                       "\"default\". \"connect\" puts a container on one more network, \"disconnect\" takes it off one: at\n"
                       "once if it runs, and for all starts to come. \"reload\" brings the rules back after nft flush ruleset.\n"
                       "\"ls\" (without -q) and \"inspect\" also show networks of CNI plug-ins (cni:NAME), which are files in /etc/cni/net.d.\n\n"
                       "Examples:\n"
                       "  moorctl network create --ipv6 lan\n"
                       "  moorctl network create --internal --subnet=10.90.0.0/24 back\n"
                       "  moorctl network create -d macvlan --parent=eth0 --subnet=192.0.2.0/24 --ip-range=192.0.2.128/28 street\n"
                       "  moorctl run --rm --network=lan busybox ip address\n"
                       "  moorctl network connect --alias=shop back web\n",
        .options = network_options,
        .max_args = UINT_MAX,
        .run = network_main,
};
