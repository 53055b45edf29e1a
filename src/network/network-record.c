/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* {"version": 1, "networks": […], "interfaces": […], "ports": […], "devices": […]}, each with the texts that the store has.
 * Numbers of rows mean nothing in another database: an interface names its network, an address is found in
 * its subnets. */

#include "network/network-record.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network.h"

/* -- to text -- */

static json_t *network_to_json(const NetworkRow *row) {
        _cleanup_json_ json_t *subnets = json_array();

        for (size_t i = 0; i < row->n_subnets; i++) {
                const SubnetRow *s = &row->subnets[i];

                if (json_array_append_new(subnets, json_pack("{s:s, s:s*, s:s*}", "prefix", s->prefix,
                                                             "gateway", s->gateway, "range", s->range)) < 0)
                        return NULL;
        }

        return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:I, s:b, s:b, s:b, s:o, s:I, s:O}", "name", row->name,
                         "driver", row->driver, "device", row->device, "parent", row->parent, "mode",
                         row->mode, "mtu", (json_int_t) row->mtu, "internal", (int) row->internal, "noDns",
                         (int) row->no_dns, "open", (int) row->open, "labels", json_from_strv(row->labels), "createdUSec",
                         (json_int_t) row->created_usec, "subnets", subnets);
}

typedef struct Build {
        Store *store;
        json_t *networks, *interfaces, *ports, *devices;
} Build;

static void build_done(Build *b) {
        json_decref(b->networks);
        json_decref(b->interfaces);
        json_decref(b->ports);
        json_decref(b->devices);
}

static int build_interface(const InterfaceRow *row, void *userdata) {
        _cleanup_(network_row_done) NetworkRow network = {};
        Build *b = userdata;
        json_t *j;
        int r;

        r = store_network_get(b->store, row->network, &network);
        if (r < 0)
                return r;
        j = json_pack("{s:s, s:s, s:s*, s:s, s:o, s:o}", "network", network.name, "name", row->name,
                      "hostDevice", row->host_device, "mac", row->mac, "aliases", json_from_strv(row->aliases),
                      "addresses", json_from_strv(row->addresses));
        if (json_array_append_new(b->interfaces, j) < 0)
                return -ENOMEM;
        return json_array_append_new(b->networks, network_to_json(&network)) < 0 ? -ENOMEM : 0;
}

static int build_port(const PortRow *row, void *userdata) {
        Build *b = userdata;
        json_t *j;

        j = json_pack("{s:s, s:s, s:i, s:i, s:i}", "protocol", row->protocol, "address", row->address,
                      "hostPort", (int) row->host_port, "containerPort", (int) row->container_port, "count",
                      (int) row->count);
        return json_array_append_new(b->ports, j) < 0 ? -ENOMEM : 0;
}

static int build_device(const DeviceRow *row, void *userdata) {
        _cleanup_(interface_spec_done) InterfaceSpec spec = {};
        Build *b = userdata;
        json_t *j;
        int r;

        r = interface_spec_parse(row->spec, &spec);
        if (r < 0)
                return r;
        j = json_pack("{s:s, s:s*, s:o}", "name", row->name, "hostDevice", row->host_device, "spec",
                      interface_spec_to_json(&spec));
        return json_array_append_new(b->devices, j) < 0 ? -ENOMEM : 0;
}

int network_record_build(Store *s, const char *ns, const char *container, json_t **ret) {
        _cleanup_(build_done) Build b = { s, json_array(), json_array(), json_array(), json_array() };
        json_t *j;
        int r;

        if (!b.networks || !b.interfaces || !b.ports || !b.devices)
                return -ENOMEM;

        r = store_interface_foreach(s, ns, container, build_interface, &b);
        if (r >= 0)
                r = store_port_foreach(s, ns, container, build_port, &b);
        if (r >= 0)
                r = store_device_foreach(s, ns, container, build_device, &b);
        if (r < 0)
                return r;
        if (json_array_size(b.interfaces) == 0 && json_array_size(b.ports) == 0 && json_array_size(b.devices) == 0) {
                *ret = NULL;
                return 0;
        }

        j = json_pack("{s:i, s:O, s:O, s:O, s:O}", "version", NETWORK_RECORD_VERSION, "networks", b.networks,
                      "interfaces", b.interfaces, "ports", b.ports, "devices", b.devices);
        if (!j)
                return -ENOMEM;

        *ret = j;
        return 0;
}

/* -- from text -- */

static int restore_subnet(json_t *j, SubnetRow *ret) {
        static const JsonField fields[] = {
                { "prefix", JSON_FIELD_STRING, offsetof(SubnetRow, prefix), true, NULL },
                { "gateway", JSON_FIELD_STRING, offsetof(SubnetRow, gateway), false, NULL },
                { "range", JSON_FIELD_STRING, offsetof(SubnetRow, range), false, NULL },
                {},
        };
        Address a;
        Prefix p;
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, ret, "subnet", false, NULL) : -EBADMSG;
        if (r < 0)
                return r;
        if (prefix_parse(ret->prefix, &p) < 0 || (ret->gateway && address_parse(ret->gateway, &a) < 0) ||
            (ret->range && prefix_parse(ret->range, &p) < 0))
                return -EBADMSG;
        return 0;
}

typedef struct NetworkText {
        NetworkRow row;
        uint64_t mtu;
        json_t *subnets; /* borrowed */
} NetworkText;

static void network_text_done(NetworkText *t) {
        network_row_done(&t->row);
}

static bool is_same(const NetworkRow *a, const NetworkRow *b) {
        if (!streq(a->driver, b->driver) || !streq_ptr(a->device, b->device) || a->n_subnets != b->n_subnets)
                return false;
        for (size_t i = 0; i < a->n_subnets; i++)
                if (!streq(a->subnets[i].prefix, b->subnets[i].prefix))
                        return false;
        return true;
}

static int restore_network(Store *s, const char *ns, json_t *j) {
        static const JsonField fields[] = {
                { "name", JSON_FIELD_STRING, offsetof(NetworkText, row.name), true, NULL },
                { "driver", JSON_FIELD_STRING, offsetof(NetworkText, row.driver), true, NULL },
                { "device", JSON_FIELD_STRING, offsetof(NetworkText, row.device), false, NULL },
                { "parent", JSON_FIELD_STRING, offsetof(NetworkText, row.parent), false, NULL },
                { "mode", JSON_FIELD_STRING, offsetof(NetworkText, row.mode), false, NULL },
                { "mtu", JSON_FIELD_UINT64, offsetof(NetworkText, mtu), true, NULL },
                { "internal", JSON_FIELD_BOOL, offsetof(NetworkText, row.internal), true, NULL },
                { "noDns", JSON_FIELD_BOOL, offsetof(NetworkText, row.no_dns), true, NULL },
                { "open", JSON_FIELD_BOOL, offsetof(NetworkText, row.open), false, NULL },
                { "labels", JSON_FIELD_STRV, offsetof(NetworkText, row.labels), false, NULL },
                { "createdUSec", JSON_FIELD_UINT64, offsetof(NetworkText, row.created_usec), true, NULL },
                { "subnets", JSON_FIELD_ARRAY, offsetof(NetworkText, subnets), true, NULL },
                {},
        };
        _cleanup_(network_text_done) NetworkText t = {};
        _cleanup_(network_row_done) NetworkRow old = {};
        size_t n;
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &t, "network", false, NULL) : -EBADMSG;
        if (r < 0)
                return r;
        n = json_array_size(t.subnets);
        if (!network_name_is_valid(t.row.name) || network_driver_from_string(t.row.driver) < 0 ||
            t.mtu > UINT16_MAX || n > SUBNETS_MAX ||
            (t.row.device && !network_device_name_is_valid(t.row.device)))
                return -EBADMSG;
        t.row.mtu = (uint32_t) t.mtu;
        t.row.subnets = calloc(n + 1, sizeof(SubnetRow));
        t.row.ns = strdup(ns);
        if (!t.row.subnets || !t.row.ns)
                return -ENOMEM;
        while (t.row.n_subnets < n) {
                json_t *subnet = json_array_get(t.subnets, t.row.n_subnets);

                r = restore_subnet(subnet, &t.row.subnets[t.row.n_subnets++]);
                if (r < 0)
                        return r;
        }

        /* Many containers bring the same one. */
        r = store_network_find(s, ns, t.row.name, &old);
        if (r == -ENOENT)
                return store_network_add(s, &t.row);
        return r < 0 ? r : is_same(&old, &t.row) ? 0 : -EEXIST;
}

static int restore_address(Store *s, const NetworkRow *network, const char *text, uint64_t interface) {
        char canonical[ADDRESS_TEXT_MAX];
        Address a;

        if (address_parse(text, &a) < 0)
                return -EBADMSG;
        for (size_t i = 0; i < network->n_subnets; i++) {
                Prefix p;

                if (prefix_parse(network->subnets[i].prefix, &p) >= 0 && prefix_contains(&p, &a))
                        return store_address_add(s, network->subnets[i].n, address_distance(&p.address, &a),
                                                 address_format(&a, canonical), interface);
        }

        return -EBADMSG;
}

typedef struct InterfaceText {
        InterfaceRow row;
        char *network;
} InterfaceText;

static void interface_text_done(InterfaceText *t) {
        interface_row_done(&t->row);
        free(t->network);
}

static int restore_interface(Store *s, const char *ns, const char *container, json_t *j) {
        static const JsonField fields[] = {
                { "network", JSON_FIELD_STRING, offsetof(InterfaceText, network), true, NULL },
                { "name", JSON_FIELD_STRING, offsetof(InterfaceText, row.name), true, NULL },
                { "hostDevice", JSON_FIELD_STRING, offsetof(InterfaceText, row.host_device), false, NULL },
                { "mac", JSON_FIELD_STRING, offsetof(InterfaceText, row.mac), true, NULL },
                { "aliases", JSON_FIELD_STRV, offsetof(InterfaceText, row.aliases), true, NULL },
                { "addresses", JSON_FIELD_STRV, offsetof(InterfaceText, row.addresses), true, NULL },
                {},
        };
        _cleanup_(interface_text_done) InterfaceText t = {};
        _cleanup_(network_row_done) NetworkRow network = {};
        uint8_t ether[ETHER_SIZE];
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &t, "interface", false, NULL) : -EBADMSG;
        if (r < 0)
                return r;
        if (!network_device_name_is_valid(t.row.name) || ether_parse(t.row.mac, ether) < 0 ||
            (t.row.host_device && !network_device_name_is_valid(t.row.host_device)))
                return -EBADMSG;

        r = store_network_find(s, ns, t.network, &network);
        if (r < 0)
                return r;
        t.row.network = network.n;
        t.row.ns = strdup(ns);
        t.row.container = strdup(container);
        if (!t.row.ns || !t.row.container)
                return -ENOMEM;
        r = store_interface_add(s, &t.row);
        STRV_FOREACH (a, t.row.addresses)
                if (r >= 0)
                        r = restore_address(s, &network, a, t.row.n);
        return r;
}

typedef struct PortText {
        char *protocol, *address;
        uint64_t host_port, container_port, count;
} PortText;

static void port_text_done(PortText *t) {
        free(t->protocol);
        free(t->address);
}

static int restore_port(Store *s, const char *ns, const char *container, json_t *j) {
        static const JsonField fields[] = {
                { "protocol", JSON_FIELD_STRING, offsetof(PortText, protocol), true, NULL },
                { "address", JSON_FIELD_STRING, offsetof(PortText, address), true, NULL },
                { "hostPort", JSON_FIELD_UINT64, offsetof(PortText, host_port), true, NULL },
                { "containerPort", JSON_FIELD_UINT64, offsetof(PortText, container_port), true, NULL },
                { "count", JSON_FIELD_UINT64, offsetof(PortText, count), true, NULL },
                {},
        };
        _cleanup_(port_text_done) PortText t = {};
        Address a;
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &t, "port", false, NULL) : -EBADMSG;
        if (r < 0)
                return r;
        if (port_protocol_from_string(t.protocol) < 0 ||
            (!isempty(t.address) && address_parse(t.address, &a) < 0) || t.count == 0 ||
            t.count > PORTS_MAX || t.host_port == 0 || t.host_port + t.count > UINT16_MAX + 1 ||
            t.container_port == 0 || t.container_port + t.count > UINT16_MAX + 1)
                return -EBADMSG;

        const PortRow row = {
                .ns = (char *) ns,
                .container = (char *) container,
                .protocol = t.protocol,
                .address = t.address,
                .host_port = (uint16_t) t.host_port,
                .container_port = (uint16_t) t.container_port,
                .count = (uint16_t) t.count,
        };
        return store_port_add(s, &row);
}

typedef struct DeviceText {
        char *name, *host_device;
        json_t *spec; /* borrowed */
} DeviceText;

static void device_text_done(DeviceText *t) {
        free(t->name);
        free(t->host_device);
}

static int restore_device(Store *s, const char *ns, const char *container, json_t *j) {
        static const JsonField fields[] = {
                { "name", JSON_FIELD_STRING, offsetof(DeviceText, name), true, NULL },
                { "hostDevice", JSON_FIELD_STRING, offsetof(DeviceText, host_device), false, NULL },
                { "spec", JSON_FIELD_OBJECT, offsetof(DeviceText, spec), true, NULL },
                {},
        };
        _cleanup_(interface_spec_done) InterfaceSpec spec = {};
        _cleanup_(device_text_done) DeviceText t = {};
        _cleanup_free_ char *text = NULL;
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &t, "device", false, NULL) : -EBADMSG;
        if (r >= 0)
                r = interface_spec_from_json(t.spec, &spec);
        if (r < 0)
                return r;
        if (!network_device_name_is_valid(t.name) || (t.host_device && !network_device_name_is_valid(t.host_device)))
                return -EBADMSG;
        text = interface_spec_format(&spec);
        if (!text)
                return -ENOMEM;

        const DeviceRow row = {
                .ns = (char *) ns,
                .container = (char *) container,
                .name = t.name,
                .host_device = t.host_device,
                .spec = text,
        };
        return store_device_put(s, &row);
}

typedef struct RecordText {
        uint64_t version;
        json_t *networks, *interfaces, *ports, *devices; /* borrowed */
} RecordText;

static int restore(Store *s, const char *ns, const char *container, const RecordText *t) {
        json_t *j;
        size_t i;
        int r;

        if (t->version != NETWORK_RECORD_VERSION || json_array_size(t->networks) > INTERFACES_MAX ||
            json_array_size(t->interfaces) > INTERFACES_MAX || json_array_size(t->ports) > PORTS_MAX ||
            json_array_size(t->devices) > 2 * INTERFACES_MAX)
                return -EBADMSG;

        json_array_foreach (t->networks, i, j) {
                r = restore_network(s, ns, j);
                if (r < 0)
                        return r;
        }
        json_array_foreach (t->interfaces, i, j) {
                r = restore_interface(s, ns, container, j);
                if (r < 0)
                        return r;
        }
        json_array_foreach (t->ports, i, j) {
                r = restore_port(s, ns, container, j);
                if (r < 0)
                        return r;
        }
        json_array_foreach (t->devices, i, j) {
                r = restore_device(s, ns, container, j);
                if (r < 0)
                        return r;
        }

        return 0;
}

int network_record_restore(Store *s, const char *ns, const char *container, json_t *record,
                           Error *reterr_error) {
        static const JsonField fields[] = {
                { "version", JSON_FIELD_UINT64, offsetof(RecordText, version), true, NULL },
                { "networks", JSON_FIELD_ARRAY, offsetof(RecordText, networks), true, NULL },
                { "interfaces", JSON_FIELD_ARRAY, offsetof(RecordText, interfaces), true, NULL },
                { "ports", JSON_FIELD_ARRAY, offsetof(RecordText, ports), true, NULL },
                { "devices", JSON_FIELD_ARRAY, offsetof(RecordText, devices), false, NULL },
                {},
        };
        RecordText t = {};
        int r;

        r = json_dispatch(record, fields, &t, "network", false, reterr_error);
        if (r < 0)
                return r;
        r = restore(s, ns, container, &t);
        return r < 0 ? error_set(reterr_error, r, "InvalidRecord",
                                 "Its networks make no sense, or contradict others: %s.", strerror(-r))
                     : 0;
}
