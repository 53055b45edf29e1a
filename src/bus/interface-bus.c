/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/interface-bus.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"

/* org.moored1.Interface. An interface is a record, of which no object is kept: userdata of methods and getters is the
 * Container, and which of its interfaces it is the path says. */

/* -- adding one -- */

typedef struct InterfaceBag {
        char *network, *mac, *name, *type;
        char **addresses, **aliases;
        InterfaceSpec spec; /* of one without a network, but for what is above */
        bool up;
} InterfaceBag;
#define INTERFACE_BAG_NULL ((InterfaceBag) { .up = true })

static void interface_bag_done(InterfaceBag *b) {
        free(b->network);
        free(b->mac);
        free(b->name);
        free(b->type);
        strv_free(b->addresses);
        strv_free(b->aliases);
        interface_spec_done(&b->spec);
}

#define INTERFACE_OPTIONS                                                                                   \
        { "Addresses", "as", bus_option_strv, offsetof(InterfaceBag, addresses) },                          \
        { "MAC", "s", bus_option_string, offsetof(InterfaceBag, mac) },                                     \
        { "Aliases", "as", bus_option_strv, offsetof(InterfaceBag, aliases) },                              \
        { "Name", "s", bus_option_string, offsetof(InterfaceBag, name) }
static const BusOption connect_options[] = { INTERFACE_OPTIONS, {} };
static const BusOption add_options[] = {
        { "Network", "s", bus_option_string, offsetof(InterfaceBag, network) },
        INTERFACE_OPTIONS,
        { "Type", "s", bus_option_string, offsetof(InterfaceBag, type) },
        { "Link", "s", bus_option_string, offsetof(InterfaceBag, spec.link) },
        { "Mode", "s", bus_option_string, offsetof(InterfaceBag, spec.mode) },
        { "Peer", "s", bus_option_string, offsetof(InterfaceBag, spec.peer) },
        { "Master", "s", bus_option_string, offsetof(InterfaceBag, spec.master) },
        { "User", "t", bus_option_uint64, offsetof(InterfaceBag, spec.user) },
        { "MTU", "t", bus_option_uint64, offsetof(InterfaceBag, spec.mtu) },
        { "Up", "b", bus_option_bool, offsetof(InterfaceBag, up) },
        { "Routes", "as", bus_option_strv, offsetof(InterfaceBag, spec.routes) },
        { "SentRate", "t", bus_option_uint64, offsetof(InterfaceBag, spec.sent_rate) },
        { "ReceivedRate", "t", bus_option_uint64, offsetof(InterfaceBag, spec.received_rate) },
        {},
};
static int option_up(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        bool up;
        int r;

        r = bus_option_bool(m, o, &up, reterr_error);
        if (r >= 0)
                *(int *) target = up;
        return r;
}

static const BusOption change_options[] = {
        { "MTU", "t", bus_option_uint64, offsetof(InterfaceChange, mtu) },
        { "Up", "b", option_up, offsetof(InterfaceChange, up) },
        { "MAC", "s", bus_option_string, offsetof(InterfaceChange, mac) },
        { "AddAddresses", "as", bus_option_strv, offsetof(InterfaceChange, add_addresses) },
        { "RemoveAddresses", "as", bus_option_strv, offsetof(InterfaceChange, remove_addresses) },
        { "AddRoutes", "as", bus_option_strv, offsetof(InterfaceChange, add_routes) },
        { "RemoveRoutes", "as", bus_option_strv, offsetof(InterfaceChange, remove_routes) },
        { "SentRate", "t", bus_option_uint64, offsetof(InterfaceChange, sent_rate) },
        { "ReceivedRate", "t", bus_option_uint64, offsetof(InterfaceChange, received_rate) },
        {},
};
/* There are none yet. */
static const BusOption no_options[] = { {} };

/* The value must not become another key. */
static int add_key(char ***list, const char *key, const char *value, Error *reterr_error) {
        if (strchr(value, ','))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%.100s” has a comma, which no address, name or alias can have.", value);
        return strv_extendf(list, "%s=%s", key, value);
}

/* As attachment_parse() has it. */
static int bag_to_attachment(const InterfaceBag *b, char **ret, Error *reterr_error) {
        _cleanup_strv_free_ char **keys = NULL;
        _cleanup_free_ char *joined = NULL;
        int r = 0;

        if (isempty(b->network) || strchr(b->network, ':'))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Network: which one? Name one of “moorctl network ls”.");
        STRV_FOREACH (a, b->addresses)
                if (r >= 0)
                        r = add_key(&keys, "ip", a, reterr_error);
        if (r >= 0 && !isempty(b->mac))
                r = add_key(&keys, "mac", b->mac, reterr_error);
        if (r >= 0 && !isempty(b->name))
                r = add_key(&keys, "interface_name", b->name, reterr_error);
        STRV_FOREACH (a, b->aliases)
                if (r >= 0)
                        r = add_key(&keys, "alias", a, reterr_error);
        if (r < 0)
                return r;
        joined = strv_join(keys, ",");
        *ret = joined ? strjoin(b->network, isempty(joined) ? "" : ":", joined) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static void reply_interface(Container *c, const char *name, const Error *error, void *userdata) {
        _cleanup_free_ char *path = NULL;
        BusCall *call = userdata;

        if (error) {
                bus_call_finish_empty(call, error);
                return;
        }
        path = bus_interface_path(c->row.ns, c->row.id, strempty(name));
        bus_call_finish(call, bus_reply_path(call->message, path));
}

static void reply_done(Container *c, const char *name, const Error *error, void *userdata) {
        bus_call_finish_empty(userdata, error);
}

static int add_interface(sd_bus_message *m, Bus *b, Container *c, const InterfaceBag *bag, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *attachment = NULL;
        BusCall *call;
        int r;

        r = bag_to_attachment(bag, &attachment, &error);
        if (r < 0)
                return error_is_set(&error) ? bus_error_set(ret_error, &error) : r;
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_connect(c, attachment, reply_interface, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

/* Which of both it is, and whether the rest fits. */
static int check_bag(InterfaceBag *b, Error *reterr_error) {
        if (!b->type) {
                b->spec.down = !b->up;
                return interface_spec_is_empty(&b->spec) && !b->spec.link && !b->spec.mode && !b->spec.peer && !b->spec.master && b->spec.user == 0
                                       ? 0
                                       : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                   "What an interface on a network is, the network says: only Addresses, MAC, Aliases and Name can be "
                                                   "given, and Change() can be called afterwards. One without a network needs a Type.");
        }
        b->spec.type = interface_type_from_string(b->type);
        if (b->spec.type <= INTERFACE_NETWORK)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Type: “%.100s” is none; there are veth, macvlan, ipvlan, device and tap.", b->type);
        if (b->network || strv_length(b->aliases) > 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "An interface has a Network, and Aliases there, or a Type, but not both.");
        return 0;
}

static int add_device(sd_bus_message *m, Bus *b, Container *c, InterfaceBag *bag, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int r;

        bag->spec.down = !bag->up;
        bag->spec.mac = TAKE_PTR(bag->mac);
        bag->spec.addresses = TAKE_PTR(bag->addresses);
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_add_interface(c, isempty(bag->name) ? NULL : bag->name, &bag->spec, reply_interface, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

int bus_container_method_add_interface(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(interface_bag_done) InterfaceBag bag = INTERFACE_BAG_NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;

        if (bus_options_parse(m, add_options, &bag, &error) < 0 || check_bag(&bag, &error) < 0)
                return bus_error_set(ret_error, &error);
        return bag.type ? add_device(m, b, userdata, &bag, ret_error) : add_interface(m, b, userdata, &bag, ret_error);
}

/* The container that a method of a network names; of the same namespace. */
static int read_container(sd_bus_message *m, Bus *b, const Network *n, Container **ret, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        const char *id;
        int r;

        r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        *ret = container_find(b->context.containers, n->row.ns, id, &error);
        return *ret ? 0 : bus_error_set(ret_error, &error);
}

int bus_network_method_connect(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(interface_bag_done) InterfaceBag bag = INTERFACE_BAG_NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const Network *n = userdata;
        Container *c;
        int r;

        r = read_container(m, b, n, &c, ret_error);
        if (r < 0)
                return r;
        if (bus_options_parse(m, connect_options, &bag, &error) < 0)
                return bus_error_set(ret_error, &error);
        bag.network = strdup(n->row.name);
        return bag.network ? add_interface(m, b, c, &bag, ret_error) : -ENOMEM;
}

int bus_network_method_disconnect(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const Network *n = userdata;
        BusCall *call;
        Container *c;
        int r;

        r = read_container(m, b, n, &c, ret_error);
        if (r < 0)
                return r;
        if (bus_options_parse(m, no_options, NULL, &error) < 0)
                return bus_error_set(ret_error, &error);
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_disconnect(c, n, reply_done, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

/* -- which one -- */

static int decode_path(const char *path, char **ret_ns, char **ret_id, char **ret_name) {
        return sd_bus_path_decode_many(path, BUS_PATTERN_INTERFACE, ret_ns, ret_id, ret_name);
}

typedef struct Lookup {
        const char *property; /* NULL: is it there? */
        const char *path;
        char *name;
        sd_bus_message *reply;
        bool found;
} Lookup;

/* What of an interface is recorded: i, of one on a network; d, what somebody has said of it. One of both may be NULL. */
typedef struct View {
        const NetworkInterface *i;
        const NetworkDevice *d;
        const InterfaceSpec *spec; /* never NULL */
        const char *path;
} View;

static const char *view_type(const View *v) {
        if (!v->i)
                return interface_type_to_string(v->spec->type);
        return v->i->network->driver == NETWORK_BRIDGE ? "veth" : v->i->network->row.driver;
}

static int append_text(sd_bus_message *reply, const char *property, const View *v) {
        const NetworkRow *network = v->i ? &v->i->network->row : NULL;
        char mac[ETHER_TEXT_MAX];
        const struct {
                const char *property, *value;
        } texts[] = {
                { "Name", v->i ? v->i->name : v->d->name },
                { "Network", network ? network->name : "" },
                { "Driver", network ? network->driver : "" },
                { "HostDevice", v->i ? v->i->host_device : v->d->host_device },
                { "MAC", v->i ? ether_format(v->i->mac, mac) : v->spec->mac },
                { "Type", view_type(v) },
                { "Link", network ? network->parent : v->spec->link },
                { "Master", network ? network->device : v->spec->master },
                { "Mode", network ? network->mode : v->spec->mode },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (streq(texts[i].property, property))
                        return bus_append_string(reply, strempty(texts[i].value));
        if (streq(property, "Container")) {
                _cleanup_free_ char *container = strdup(v->path);

                /* Without "/interface/NAME", in which there is no other "/". */
                for (unsigned k = 0; container && k < 2; k++)
                        *strrchr(container, '/') = 0;
                return container ? sd_bus_message_append_basic(reply, 'o', container) : -ENOMEM;
        }
        return -ENXIO;
}

static int append_addresses(sd_bus_message *reply, const View *v) {
        char text[ADDRESS_TEXT_MAX];
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t k = 0; r >= 0 && v->i && k < v->i->n_addresses; k++)
                r = sd_bus_message_append_basic(reply, 's', prefix_format(&v->i->addresses[k], text));
        STRV_FOREACH (a, v->spec->addresses)
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 's', a);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_property(sd_bus_message *reply, const char *property, const View *v) {
        uint64_t network_mtu = v->i ? v->i->network->row.mtu : 0;

        if (streq(property, "Aliases"))
                return sd_bus_message_append_strv(reply, v->i ? (char **) v->i->aliases : NULL);
        if (streq(property, "Addresses"))
                return append_addresses(reply, v);
        if (streq(property, "Routes"))
                return sd_bus_message_append_strv(reply, v->spec->routes);
        if (streq(property, "MTU"))
                return sd_bus_message_append(reply, "t", v->spec->mtu > 0 ? v->spec->mtu : network_mtu);
        if (streq(property, "Up"))
                return sd_bus_message_append(reply, "b", (int) !v->spec->down);
        if (streq(property, "SentRate"))
                return sd_bus_message_append(reply, "t", v->spec->sent_rate);
        if (streq(property, "ReceivedRate"))
                return sd_bus_message_append(reply, "t", v->spec->received_rate);
        return append_text(reply, property, v);
}

static int look_up_one(const NetworkInterface *i, const NetworkDevice *d, void *userdata) {
        static const InterfaceSpec nothing = { .type = INTERFACE_NETWORK };
        Lookup *l = userdata;
        View v = { .i = i, .d = d, .spec = d ? d->spec : &nothing, .path = l->path };

        l->found = true;
        return l->property ? append_property(l->reply, l->property, &v) : 0;
}

/* 1: it is there. */
static int look_up(const Container *c, Lookup *l) {
        _cleanup_free_ char *ns = NULL, *id = NULL;
        int r;

        r = decode_path(l->path, &ns, &id, &l->name);
        if (r > 0 && container_network_owner_is_self(c))
                r = container_get_interface(c, l->name, look_up_one, l);
        free(l->name);
        return r < 0 ? r : l->found;
}

static int property_get(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Lookup l = { .property = property, .path = path, .reply = reply };
        int r;

        r = look_up(userdata, &l);
        return r == 0 ? -ENOENT : r;
}

static int interface_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                                 void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *id = NULL, *name = NULL;
        Lookup l = { .path = path };
        Bus *b = userdata;
        Container *c;
        int r;

        r = decode_path(path, &ns, &id, &name);
        if (r <= 0)
                return r;
        c = container_find(b->context.containers, ns, id, NULL);
        r = c ? look_up(c, &l) : 0;
        if (r > 0)
                *ret_found = c;
        return r;
}

static int interface_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                               sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **nodes = NULL;
        HashmapIterator it = 0;
        Bus *b = userdata;
        Container *c;

        while (container_iterate(b->context.containers, &it, &c)) {
                _cleanup_strv_free_ char **names = NULL;
                int r;

                r = container_interface_names(c, &names);
                if (r < 0)
                        return r;
                STRV_FOREACH (name, names)
                        if (strv_consume(&nodes, bus_interface_path(c->row.ns, c->row.id, name)) < 0)
                                return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

/* -- methods -- */

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *id = NULL, *name = NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int r;

        r = decode_path(sd_bus_message_get_path(m), &ns, &id, &name);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        if (bus_options_parse(m, no_options, NULL, &error) < 0)
                return bus_error_set(ret_error, &error);
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_remove_interface(userdata, name, reply_done, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_change(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(interface_change_done) InterfaceChange change = INTERFACE_CHANGE_NULL;
        _cleanup_free_ char *ns = NULL, *id = NULL, *name = NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int r;

        r = decode_path(sd_bus_message_get_path(m), &ns, &id, &name);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        if (bus_options_parse(m, change_options, &change, &error) < 0)
                return bus_error_set(ret_error, &error);
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_change_interface(userdata, name, &change, reply_done, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}

static int method_statistics(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *ns = NULL, *id = NULL, *name = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        struct LinkStatistics s;
        int r;

        r = decode_path(sd_bus_message_get_path(m), &ns, &id, &name);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = container_interface_statistics(userdata, name, &s, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        r = bus_reply_open_array(m, "{sv}", &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "ReceivedBytes", "t", s.rx_bytes,
                                          "ReceivedPackets", "t", s.rx_packets, "ReceivedErrors", "t", s.rx_errors,
                                          "ReceivedDropped", "t", s.rx_dropped, "SentBytes", "t", s.tx_bytes,
                                          "SentPackets", "t", s.tx_packets, "SentErrors", "t", s.tx_errors,
                                          "SentDropped", "t", s.tx_dropped);
        return bus_reply_send_array(reply, r);
}

static const sd_bus_vtable interface_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Change", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_change,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Statistics", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", statistics), method_statistics,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Name", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Container", "o", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Network", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Driver", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("HostDevice", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Type", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Link", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Master", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Mode", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MAC", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MTU", "t", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Up", "b", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Addresses", "as", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Routes", "as", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SentRate", "t", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ReceivedRate", "t", property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Aliases", "as", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

const BusObject bus_interface_object = {
        .interface = BUS_INTERFACE_INTERFACE,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_INTERFACE,
        .sample = BUS_PATH "/namespace/default/container/web/interface/eth0",
        .vtable = interface_vtable,
        .find = interface_object_find,
        .enumerate = interface_enumerate,
};
