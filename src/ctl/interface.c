/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* interface: ls, add, set, rm. Options are called as ip-link(8) and network connect have them. */

#include <limits.h>

#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/bus-util.h"
#include "ctl/create-bag.h"

#define RATE_NONE "none"

typedef struct InterfaceOptions {
        const char *type, *link, *mode, *peer, *master, *user, *mac, *mtu, *sent_rate, *received_rate;
        char **addresses, **routes, **gone_addresses, **gone_routes;
        bool up, down, statistics;
} InterfaceOptions;

static void interface_options_done(InterfaceOptions *o) {
        strv_free(o->addresses);
        strv_free(o->routes);
        strv_free(o->gone_addresses);
        strv_free(o->gone_routes);
}

static char *interface_path(Ctl *c, const char *container, const char *name) {
        _cleanup_free_ char *path = container_path(c->ns, container), *prefix = path ? strjoin(path, "/interface") : NULL;
        char *encoded;

        return prefix && sd_bus_path_encode(prefix, name, &encoded) >= 0 ? encoded : NULL;
}

/* -- add, set -- */

static int parse_rate(const char *text, const char *option, uint64_t *ret, Error *reterr_error) {
        if (streq(text, RATE_NONE)) {
                *ret = 0;
                return 0;
        }
        return parse_bit_rate(text, ret) >= 0
                               ? 0
                               : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                           "--%s=%s: a rate is a number of bits a second with k, m or g (10mbit), or “none”.", option, text);
}

static int append_number(sd_bus_message *m, const char *key, const char *option, const char *text, Error *reterr_error) {
        uint64_t value;

        if (!text)
                return 0;
        if (parse_uint64(text, &value) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--%s= is a number, not '%s'.", option, text);
        return sd_bus_message_append(m, "{sv}", key, "t", value);
}

static int append_rate(sd_bus_message *m, const char *key, const char *option, const char *text, Error *reterr_error) {
        uint64_t value;
        int r;

        if (!text)
                return 0;
        r = parse_rate(text, option, &value, reterr_error);
        return r < 0 ? r : sd_bus_message_append(m, "{sv}", key, "t", value);
}

/* What add and set have in common; the names of the lists differ. */
static int append_settings(sd_bus_message *m, const InterfaceOptions *o, bool add, Error *reterr_error) {
        int r;

        if (o->up && o->down)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--up and --down exclude each other.");
        r = append_number(m, "MTU", "mtu", o->mtu, reterr_error);
        if (r >= 0)
                r = bag_append_string(m, "MAC", o->mac);
        if (r >= 0)
                r = append_rate(m, "SentRate", "sent-rate", o->sent_rate, reterr_error);
        if (r >= 0)
                r = append_rate(m, "ReceivedRate", "received-rate", o->received_rate, reterr_error);
        if (r >= 0 && (o->up || o->down))
                r = sd_bus_message_append(m, "{sv}", "Up", "b", (int) o->up);
        if (r >= 0)
                r = bag_append_list(m, add ? "Addresses" : "AddAddresses", o->addresses);
        return r < 0 ? r : bag_append_list(m, add ? "Routes" : "AddRoutes", o->routes);
}

static int append_add(sd_bus_message *m, const InterfaceOptions *o, const char *name, Error *reterr_error) {
        const struct {
                const char *key, *value;
        } strings[] = {
                { "Type", o->type },
                { "Link", o->link },
                { "Mode", o->mode },
                { "Peer", o->peer },
                { "Master", o->master },
                { "Name", name },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(strings); i++)
                r = bag_append_string(m, strings[i].key, strings[i].value);
        if (r >= 0)
                r = append_number(m, "User", "user", o->user, reterr_error);
        return r < 0 ? r : append_settings(m, o, true, reterr_error);
}

/* Of a bag: the error may be set already. */
static int close_bag(sd_bus_message *m, int r, Error *reterr_error) {
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r >= 0 || error_is_set(reterr_error) ? r : bus_error_to_error(NULL, r, reterr_error);
}

static int interface_add(Ctl *c, char **args, const InterfaceOptions *o, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_free_ char *path = container_path(c->ns, args[0]), *prefix = NULL, *name = NULL;
        const char *object;
        int r;

        if (!o->type)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Which type? --type= is one of veth, macvlan, ipvlan, device and tap; onto a network: moorctl network connect.");
        prefix = path ? strjoin(path, "/interface") : NULL;
        if (!prefix)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        r = ctl_new_call(c, path, BUS_CONTAINER, "AddInterface", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_add(m, o, args[1], reterr_error);
        r = close_bag(m, r, reterr_error);
        if (r >= 0)
                r = container_call_message(c, args[0], m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &object);
        if (r >= 0)
                r = sd_bus_path_decode(object, prefix, &name);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        printf("%s\n", strempty(name));
        return EXIT_SUCCESS;
}

static int no_such_interface(const char *container, const char *name, Error *reterr_error) {
        return error_set(reterr_error, -ENOENT, "NoSuchInterface",
                         "Container %s has no interface %s; moorctl interface ls %s shows them.", container, name, container);
}

static int call_interface(Ctl *c, const char *container, const char *name, sd_bus_message *m, Error *reterr_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(c->bus, m, UINT64_MAX, &e, NULL);
        return r >= 0                           ? 0
               : bus_error_is_unknown_object(&e) ? no_such_interface(container, name, reterr_error)
                                                 : bus_error_to_error(&e, r, reterr_error);
}

static int interface_set(Ctl *c, char **args, const InterfaceOptions *o, Error *reterr_error) {
        _cleanup_free_ char *path = interface_path(c, args[0], args[1]);
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        if (!path)
                return error_oom(reterr_error);
        if (o->type || o->link || o->mode || o->peer || o->master || o->user)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "What an interface is stays: remove it, and add another. “set” is for --mtu, --mac-address, --ip, --route, --up, --down and rates.");
        ctl_start_agent(c);
        r = ctl_new_call(c, path, BUS_INTERFACE, "Change", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_settings(m, o, false, reterr_error);
        if (r >= 0)
                r = bag_append_list(m, "RemoveAddresses", o->gone_addresses);
        if (r >= 0)
                r = bag_append_list(m, "RemoveRoutes", o->gone_routes);
        r = close_bag(m, r, reterr_error);
        return r < 0 ? r : call_interface(c, args[0], args[1], m, reterr_error);
}

/* -- rm -- */

static int interface_rm(Ctl *c, char **args, const InterfaceOptions *o, Error *reterr_error) {
        int r;

        ctl_start_agent(c);
        STRV_FOREACH (name, args + 1) {
                _cleanup_free_ char *path = interface_path(c, args[0], name);
                _cleanup_message_ sd_bus_message *m = NULL;

                if (!path)
                        return error_oom(reterr_error);
                r = ctl_new_call(c, path, BUS_INTERFACE, "Remove", &m, reterr_error);
                if (r < 0)
                        return r;
                r = close_bag(m, sd_bus_message_open_container(m, 'a', "{sv}"), reterr_error);
                if (r >= 0)
                        r = call_interface(c, args[0], name, m, reterr_error);
                if (r < 0)
                        return r;
                printf("%s\n", name);
        }
        return EXIT_SUCCESS;
}

/* -- ls -- */

static const char *below(json_t *interface) {
        static const char *const keys[] = { "Network", "Master", "Link" };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (!isempty(json_get_string(interface, keys[i])))
                        return json_get_string(interface, keys[i]);
        return "-";
}

static int add_counter(Table *t, json_t *interface, const char *key) {
        json_t *value = json_object_get(json_object_get(interface, "Statistics"), key);
        char text[32];

        return table_add(t, json_is_integer(value) ? format_bytes(text, sizeof(text), (uint64_t) json_integer_value(value)) : "-");
}

static int add_row(Table *t, json_t *interface, bool statistics) {
        _cleanup_strv_free_ char **addresses = NULL;
        _cleanup_free_ char *joined = NULL;
        json_t *a;
        size_t i;

        json_array_foreach (json_object_get(interface, "Addresses"), i, a)
                if (strv_extend(&addresses, strempty(json_string_value(a))) < 0)
                        return -ENOMEM;
        joined = strv_join(addresses, " ");
        if (!joined || table_add(t, json_get_string(interface, "Name")) < 0 ||
            table_add(t, json_get_string(interface, "Type")) < 0 || table_add(t, below(interface)) < 0 ||
            table_add(t, json_is_true(json_object_get(interface, "Up")) ? "up" : "down") < 0 ||
            table_add(t, json_get_string(interface, "MAC")) < 0 || table_add(t, joined) < 0)
                return -ENOMEM;
        return statistics && (add_counter(t, interface, "ReceivedBytes") < 0 || add_counter(t, interface, "SentBytes") < 0) ? -ENOMEM : 0;
}

/* Of one that does not run there are none. */
static int add_statistics(Ctl *c, const char *container, json_t *interface, Error *reterr_error) {
        _cleanup_free_ char *path = interface_path(c, container, strempty(json_get_string(interface, "Name")));
        _cleanup_message_ sd_bus_message *reply = NULL;
        json_t *statistics;
        int r;

        if (!path)
                return error_oom(reterr_error);
        if (ctl_call(c, path, BUS_INTERFACE, "Statistics", &reply, NULL, NULL) < 0)
                return 0;
        r = bus_message_to_json(reply, &statistics);
        if (r >= 0)
                r = json_object_set_new(interface, "Statistics", statistics);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int get_interfaces(Ctl *c, const char *container, json_t **ret, Error *reterr_error) {
        _cleanup_free_ char *path = container_path(c->ns, container);
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_json_ json_t *all = NULL;
        json_t *object;
        size_t i;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = container_get_all(c, container, path, BUS_CONTAINER, &all, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(all, "Interfaces"), i, object)
                if (strv_extend(&paths, strempty(json_string_value(object))) < 0)
                        return error_oom(reterr_error);
        return ctl_get_all_many(c, paths, BUS_INTERFACE, ret, reterr_error);
}

static int interface_list(Ctl *c, char **args, const InterfaceOptions *o, Error *reterr_error) {
        static const TableColumn plain[] = { { "NAME", 0 }, { "TYPE", 0 },      { "ON", 0 }, { "STATE", 0 },
                                             { "MAC", 0 },  { "ADDRESSES", TABLE_SHRINK }, {} },
                                 counted[] = { { "NAME", 0 }, { "TYPE", 0 }, { "ON", 0 },
                                               { "STATE", 0 }, { "MAC", 0 }, { "ADDRESSES", TABLE_SHRINK },
                                               { "RECEIVED", TABLE_RIGHT }, { "SENT", TABLE_RIGHT }, {} };
        _cleanup_(table_freep) Table *t = table_new(o->statistics ? counted : plain);
        _cleanup_json_ json_t *interfaces = NULL;
        json_t *interface;
        size_t i;
        int r;

        if (!t)
                return error_oom(reterr_error);
        r = get_interfaces(c, args[0], &interfaces, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach (interfaces, i, interface) {
                if (c->quiet)
                        printf("%s\n", strempty(json_get_string(interface, "Name")));
                r = o->statistics ? add_statistics(c, args[0], interface, reterr_error) : 0;
                if (r < 0)
                        return r;
                if (add_row(t, interface, o->statistics) < 0)
                        return error_oom(reterr_error);
        }
        return c->quiet ? EXIT_SUCCESS : ctl_output(c, t, interfaces, reterr_error);
}

static const struct {
        const char *name, *usage;
        unsigned min_args, max_args;
        int (*run)(Ctl *c, char **args, const InterfaceOptions *o, Error *reterr_error);
} commands[] = {
        { "ls", "CONTAINER", 1, 1, interface_list },
        { "add", "--type=TYPE [OPTION…] CONTAINER [NAME]", 1, 2, interface_add },
        { "set", "[OPTION…] CONTAINER NAME", 2, 2, interface_set },
        { "rm", "CONTAINER NAME…", 2, UINT_MAX, interface_rm },
};

static int interface_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_(interface_options_done) InterfaceOptions o = {};
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;

        for (size_t i = 0; args[0] && i < ELEMENTSOF(commands); i++) {
                size_t n = strv_length(args + 1);

                if (!streq(commands[i].name, args[0]))
                        continue;
                if (n < commands[i].min_args)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument", "Of which container, and which one? moorctl interface %s %s",
                                         commands[i].name, commands[i].usage);
                if (n > commands[i].max_args)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "'%s' is too much for moorctl interface %s; see moorctl interface --help.",
                                         args[1 + commands[i].max_args], commands[i].name);
                return commands[i].run(c, args + 1, &o, reterr_error);
        }

        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "moorctl interface has ls CONTAINER, add --type=TYPE [OPTION…] CONTAINER [NAME], set [OPTION…] CONTAINER NAME, and rm CONTAINER NAME…, not '%s'.",
                         strempty(args[0]));
}

static const Option interface_options[] = {
        { 0, "type", "TYPE", OPTION_STRING, offsetof(InterfaceOptions, type),
          .help = "add: veth, macvlan, ipvlan, tap, or device: one of the host's" },
        { 0, "link", "DEVICE", OPTION_STRING, offsetof(InterfaceOptions, link),
          .help = "add: the host's device (macvlan, ipvlan, device)" },
        { 0, "mode", "MODE", OPTION_STRING, offsetof(InterfaceOptions, mode),
          .help = "add: bridge, private, vepa, passthru (macvlan); l2, l3, l3s (ipvlan)" },
        { 0, "peer", "NAME", OPTION_STRING, offsetof(InterfaceOptions, peer),
          .help = "add: name of the host's end (veth; default: a random one)" },
        { 0, "master", "BRIDGE", OPTION_STRING, offsetof(InterfaceOptions, master),
          .help = "add: a bridge of the host for that end (veth)" },
        { 0, "user", "UID", OPTION_STRING, offsetof(InterfaceOptions, user),
          .help = "add: who may open it (tap; default: 0)" },
        { 0, "mtu", "BYTES", OPTION_STRING, offsetof(InterfaceOptions, mtu), .help = "Largest packet" },
        { 0, "mac-address", "MAC", OPTION_STRING, offsetof(InterfaceOptions, mac), .help = "The device's MAC" },
        { 0, "ip", "ADDRESS/LENGTH", OPTION_STRV, offsetof(InterfaceOptions, addresses),
          .help = "One more address, of either family" },
        { 0, "remove-ip", "ADDRESS/LENGTH", OPTION_STRV, offsetof(InterfaceOptions, gone_addresses),
          .help = "set: an address less" },
        { 0, "route", "ROUTE", OPTION_STRV, offsetof(InterfaceOptions, routes),
          .help = "One more route: \"SUBNET [via ADDRESS] [metric NUMBER]\"" },
        { 0, "remove-route", "ROUTE", OPTION_STRV, offsetof(InterfaceOptions, gone_routes),
          .help = "set: a route less" },
        { 0, "up", NULL, OPTION_FLAG, offsetof(InterfaceOptions, up), .help = "Up (default of add)" },
        { 0, "down", NULL, OPTION_FLAG, offsetof(InterfaceOptions, down), .help = "Down" },
        { 0, "sent-rate", "RATE", OPTION_STRING, offsetof(InterfaceOptions, sent_rate),
          .help = "Bits a second that the container sends at most: 10mbit, none" },
        { 0, "received-rate", "RATE", OPTION_STRING, offsetof(InterfaceOptions, received_rate),
          .help = "Bits a second that it receives at most (veth)" },
        { 0, "statistics", NULL, OPTION_FLAG, offsetof(InterfaceOptions, statistics),
          .help = "ls: what was received and sent" },
        OPTION_END,
};

const Verb verb_interface = {
        .name = "interface",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "ls CONTAINER | add --type=TYPE [OPTION…] CONTAINER [NAME] |\n"
                     "         set [OPTION…] CONTAINER NAME | rm CONTAINER NAME…",
        .summary = "List, add, change and remove interfaces of a container",
        .description = "At once if the container runs, and for all starts to come. \"add\" is for interfaces that are on no network of\n"
                       "moored's (those: moorctl network connect) and prints the name; a device of the host's comes back when the\n"
                       "container ends. \"set\" and \"rm\" are for all.\n\n"
                       "Examples:\n"
                       "  moorctl interface ls --statistics web\n"
                       "  moorctl interface add --type=macvlan --link=eth0 --ip=192.0.2.77/24 web\n"
                       "  moorctl interface add --type=veth --master=br0 --mtu=9000 web fast0\n"
                       "  moorctl interface add --type=device --link=enp3s0 web\n"
                       "  moorctl interface set --sent-rate=100mbit --route=\"198.51.100.0/24 via 192.0.2.1\" web eth0\n"
                       "  moorctl interface set --down web eth1\n",
        .options = interface_options,
        .max_args = UINT_MAX,
        .run = interface_main,
};
