/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/network-bus.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/interface-bus.h"
#include "container/names.h"

/* org.moored1.Network. userdata of methods and getters is the Network. */

int bus_reload_networks(Bus *b, Error *reterr_error) {
        int r;

        r = network_manager_reload(b->context.networks, reterr_error);
        if (r < 0)
                return r;
        container_names_reload(b->context.containers);
        container_cni_tend(b->context.containers);
        return 0;
}

/* -- of the namespace -- */

typedef struct NetworkBag {
        NetworkOptions network;
        char *driver;
        bool dns, isolated;
        uint64_t mtu;
} NetworkBag;

static void network_bag_done(NetworkBag *b) {
        network_options_done(&b->network);
        free(b->driver);
}

#define NETWORK_OPTION(name, signature, parse, field)                                                       \
        { name, signature, parse, offsetof(NetworkBag, field) }
static const BusOption create_options[] = {
        NETWORK_OPTION("Driver", "s", bus_option_string, driver),
        NETWORK_OPTION("Subnets", "as", bus_option_strv, network.subnets),
        NETWORK_OPTION("Gateways", "as", bus_option_strv, network.gateways),
        NETWORK_OPTION("Ranges", "as", bus_option_strv, network.ranges),
        NETWORK_OPTION("IPv6", "b", bus_option_bool, network.ipv6),
        NETWORK_OPTION("Internal", "b", bus_option_bool, network.internal),
        NETWORK_OPTION("DNS", "b", bus_option_bool, dns),
        NETWORK_OPTION("Isolated", "b", bus_option_bool, isolated),
        NETWORK_OPTION("MTU", "t", bus_option_uint64, mtu),
        NETWORK_OPTION("Parent", "s", bus_option_string, network.parent),
        NETWORK_OPTION("Mode", "s", bus_option_string, network.mode),
        NETWORK_OPTION("Device", "s", bus_option_string, network.device),
        NETWORK_OPTION("Labels", "a{ss}", bus_option_labels, network.labels),
        {},
};

/* There are none yet. */
static const BusOption remove_options[] = {
        {},
};

static void empty_is_null(char **s) {
        if (*s && isempty(*s))
                free(TAKE_PTR(*s));
}

static int bag_finish(NetworkBag *b, Error *reterr_error) {
        b->network.driver = isempty(b->driver) ? NETWORK_BRIDGE : network_driver_from_string(b->driver);
        if (b->network.driver < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%s” is no driver of networks: use “bridge”, “macvlan” or “ipvlan”.",
                                 b->driver);
        if (b->mtu > UINT32_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "The MTU is too large.");

        b->network.mtu = (uint32_t) b->mtu;
        b->network.no_dns = !b->dns;
        b->network.open = !b->isolated;
        empty_is_null(&b->network.parent);
        empty_is_null(&b->network.mode);
        empty_is_null(&b->network.device);
        return 0;
}

static int reply_network(sd_bus_message *m, const Network *n) {
        _cleanup_free_ char *path = bus_network_path(n->row.ns, n->row.name);

        return bus_reply_path(m, path);
}

/* The one that the call names. */
static int read_network(sd_bus_message *m, const NamespaceRow *ns, Network **ret, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_error_ Error error = ERROR_NULL;
        const char *name;
        Network *n;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        n = network_find(b->context.networks, ns->name, name, &error);
        if (!n)
                return bus_error_set(ret_error, &error);

        *ret = n;
        return 0;
}

int bus_namespace_method_create_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_(network_bag_done) NetworkBag bag = { .dns = true, .isolated = true };
        _cleanup_error_ Error error = ERROR_NULL;
        const NamespaceRow *ns = userdata;
        const char *name;
        Network *n;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = bus_options_parse(m, create_options, &bag, &error);
        if (r >= 0)
                r = bag_finish(&bag, &error);
        if (r >= 0)
                r = network_create(b->context.networks, ns->name, name, &bag.network, &n, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return reply_network(m, n);
}

static int remove_network(sd_bus_message *m, Network *n, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = bus_options_parse(m, remove_options, NULL, &error);
        if (r >= 0)
                r = network_remove(n, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

int bus_namespace_method_remove_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Network *n;
        int r;

        r = read_network(m, userdata, &n, ret_error);
        return r < 0 ? r : remove_network(m, n, ret_error);
}

int bus_namespace_method_list_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        const NamespaceRow *ns = userdata;
        HashmapIterator it = 0;
        Network *n;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sos)");
        while (r >= 0 && network_iterate(b->context.networks, &it, &n)) {
                _cleanup_free_ char *path = NULL;

                if (!streq(n->row.ns, ns->name))
                        continue;
                path = bus_network_path(n->row.ns, n->row.name);
                r = path ? sd_bus_message_append(reply, "(sos)", n->row.name, path, n->row.driver) : -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int bus_namespace_method_get_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Network *n;
        int r;

        r = read_network(m, userdata, &n, ret_error);
        return r < 0 ? r : reply_network(m, n);
}

/* -- of the network -- */

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        return remove_network(m, userdata, ret_error);
}

static int property_get_mtu(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Network *n = userdata;

        return sd_bus_message_append(reply, "u", n->row.mtu);
}

static int property_get_bool(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Network *n = userdata;
        bool b = streq(property, "Internal")   ? n->row.internal
                 : streq(property, "Isolated") ? !n->row.open
                                               : !n->row.no_dns;

        return sd_bus_message_append(reply, "b", (int) b);
}

static int property_get_labels(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Network *n = userdata;

        return bus_append_labels(reply, n->row.labels);
}

static int property_get_subnets(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Network *n = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sss)");
        for (size_t i = 0; r >= 0 && i < n->row.n_subnets; i++) {
                const SubnetRow *s = &n->row.subnets[i];

                r = sd_bus_message_append(reply, "(sss)", s->prefix, strempty(s->gateway),
                                          strempty(s->range));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_get_domain(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Bus *b = bus_current(bus);
        _cleanup_free_ char *domain = NULL;
        const Network *n = userdata;

        if (!container_names_are_served(b->context.containers, n))
                return sd_bus_message_append(reply, "s", "");
        domain = network_names_domain(n);
        return domain ? sd_bus_message_append(reply, "s", domain) : -ENOMEM;
}

static int append_user(const char *container, const NetworkInterface *i, void *userdata) {
        sd_bus_message *reply = userdata;
        _cleanup_free_ char *path = bus_container_path(i->network->row.ns, container);
        char text[ADDRESS_TEXT_MAX];
        int r;

        if (!path)
                return -ENOMEM;

        r = sd_bus_message_open_container(reply, 'r', "sosasas");
        if (r >= 0)
                r = sd_bus_message_append(reply, "sos", container, path, i->name);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t k = 0; r >= 0 && k < i->n_addresses; k++)
                r = sd_bus_message_append(reply, "s", address_format(&i->addresses[k].address, text));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, (char **) i->aliases);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_get_containers(sd_bus *bus, const char *path, const char *interface,
                                   const char *property, sd_bus_message *reply, void *userdata,
                                   sd_bus_error *ret_error) {
        Network *n = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sosasas)");
        if (r >= 0)
                r = network_foreach_user(n, append_user, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int network_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                               void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *name = NULL;
        Bus *b = userdata;
        Network *n;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_NETWORK, &ns, &name);
        if (r <= 0)
                return r;

        n = network_find(b->context.networks, ns, name, NULL);
        /* By its other name the default network has no object. */
        if (!n || !streq(n->row.name, name))
                return 0;

        *ret_found = n;
        return 1;
}

static int network_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                             sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **nodes = NULL;
        HashmapIterator it = 0;
        Bus *b = userdata;
        Network *n;

        while (network_iterate(b->context.networks, &it, &n)) {
                char *path = bus_network_path(n->row.ns, n->row.name);

                if (!path || strv_consume(&nodes, path) < 0)
                        return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable network_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Connect", SD_BUS_ARGS("s", container, "a{sv}", options),
                                SD_BUS_RESULT("o", interface), bus_network_method_connect,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Disconnect", SD_BUS_ARGS("s", container, "a{sv}", options), SD_BUS_NO_RESULT,
                                bus_network_method_disconnect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Name", "s", NULL, offsetof(Network, row.name), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(Network, row.ns), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Driver", "s", NULL, offsetof(Network, row.driver), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Device", "s", NULL, offsetof(Network, row.device), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Parent", "s", NULL, offsetof(Network, row.parent), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Mode", "s", NULL, offsetof(Network, row.mode), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MTU", "u", property_get_mtu, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Internal", "b", property_get_bool, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Isolated", "b", property_get_bool, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("DNS", "b", property_get_bool, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Subnets", "a(sss)", property_get_subnets, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Labels", "a{ss}", property_get_labels, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("CreatedUSec", "t", NULL, offsetof(Network, row.created_usec),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Domain", "s", property_get_domain, 0, 0),
        SD_BUS_PROPERTY("Containers", "a(sosasas)", property_get_containers, 0, 0),
        SD_BUS_VTABLE_END,
};

const BusObject bus_network_object = {
        .interface = BUS_INTERFACE_NETWORK,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_NETWORK,
        .sample = BUS_PATH "/namespace/default/network/default",
        .vtable = network_vtable,
        .find = network_object_find,
        .enumerate = network_enumerate,
};
