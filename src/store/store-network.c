/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container has goes with its row, by the foreign keys; a network that somebody has cannot go.
 * Addresses are kept as numbers within their subnet, too: so the next one that is free is found in the order
 * of an index. */

#include "basic/strv.h"
#include "store/store-internal.h"

/* clang-format off */
#define NETWORK_COLUMNS                                                                        \
        "n, ns, name, driver, device, parent, mode, mtu, internal, no_dns, labels, created_usec, open"
#define SUBNET_COLUMNS "n, prefix, gateway, range"
#define INTERFACE_COLUMNS                                                                      \
        "n, ns, container, network, name, host_device, mac, aliases, "                         \
        "(SELECT group_concat(address, ' ') FROM addresses WHERE interface = interfaces.n)"
#define PORT_COLUMNS "ns, container, protocol, address, host_port, container_port, count"
/* clang-format on */

void subnet_row_done(SubnetRow *r) {
        if (!r)
                return;

        free(r->prefix);
        free(r->gateway);
        free(r->range);
        *r = (SubnetRow) {};
}

void network_row_done(NetworkRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->name);
        free(r->driver);
        free(r->device);
        free(r->parent);
        free(r->mode);
        strv_free(r->labels);
        for (size_t i = 0; i < r->n_subnets; i++)
                subnet_row_done(&r->subnets[i]);
        free(r->subnets);
        *r = (NetworkRow) {};
}

void interface_row_done(InterfaceRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->container);
        free(r->name);
        free(r->host_device);
        free(r->mac);
        strv_free(r->aliases);
        strv_free(r->addresses);
        *r = (InterfaceRow) {};
}

void device_row_done(DeviceRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->container);
        free(r->name);
        free(r->host_device);
        free(r->spec);
        *r = (DeviceRow) {};
}

void port_row_done(PortRow *r) {
        if (!r)
                return;

        free(r->ns);
        free(r->container);
        free(r->protocol);
        free(r->address);
        *r = (PortRow) {};
}

/* Words with blanks between. */
static int query_words(Query *q, int column, char ***ret) {
        _cleanup_free_ char *text = NULL;
        char **words;
        int r;

        r = query_string(q, column, &text);
        if (r < 0)
                return r;

        words = strv_split(strempty(text), " ");
        if (!words)
                return -ENOMEM;

        *ret = words;
        return 0;
}

/* -- networks -- */

static int add_subnet(Store *s, const NetworkRow *network, SubnetRow *row) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO subnets (network, prefix, gateway, range) VALUES (?1, ?2, ?3, ?4)",
                        "usss", network->n, row->prefix, row->gateway, row->range);
        if (r < 0)
                return r;

        row->n = (uint64_t) sqlite3_last_insert_rowid(s->db);
        return 0;
}

int store_network_add(Store *s, NetworkRow *row) {
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_free_ char *labels = NULL;
        int r;

        r = labels_to_json(row->labels, &labels);
        if (r < 0)
                return r;

        r = store_transaction_begin(&t, s, true);
        if (r < 0)
                return r;
        r = store_write(s, true,
                        "INSERT INTO networks (" NETWORK_COLUMNS ") VALUES "
                        "(NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                        "ssssssubbsub", row->ns, row->name, row->driver, row->device, row->parent, row->mode,
                        (uint64_t) row->mtu, (int) row->internal, (int) row->no_dns, labels,
                        row->created_usec, (int) row->open);
        /* The foreign key: no such namespace. */
        if (r < 0)
                return r == -ENOTEMPTY ? -ENOENT : r;

        row->n = (uint64_t) sqlite3_last_insert_rowid(s->db);
        for (size_t i = 0; i < row->n_subnets; i++) {
                r = add_subnet(s, row, &row->subnets[i]);
                if (r < 0)
                        return r;
        }

        return store_transaction_commit(&t);
}

int store_network_remove(Store *s, uint64_t n) {
        int r;

        r = store_write(s, true, "DELETE FROM networks WHERE n = ?1", "u", n);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

static int read_subnets(Store *s, NetworkRow *network) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " SUBNET_COLUMNS " FROM subnets WHERE network = ?1 ORDER BY n", "u",
                        network->n);
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                SubnetRow row = { .n = query_uint64(&q, 0) }, *more;

                more = reallocarray(network->subnets, network->n_subnets + 1, sizeof(SubnetRow));
                if (!more)
                        return -ENOMEM;
                network->subnets = more;
                if ((r = query_string(&q, 1, &row.prefix)) < 0 ||
                    (r = query_string(&q, 2, &row.gateway)) < 0 ||
                    (r = query_string(&q, 3, &row.range)) < 0) {
                        subnet_row_done(&row);
                        return r;
                }
                more[network->n_subnets++] = row;
        }

        return r;
}

static int network_row_read(Query *q, NetworkRow *row) {
        int r;

        *row = (NetworkRow) {
                .n = query_uint64(q, 0),
                .mtu = (uint32_t) query_uint64(q, 7),
                .internal = query_bool(q, 8),
                .no_dns = query_bool(q, 9),
                .created_usec = query_uint64(q, 11),
                .open = query_bool(q, 12),
        };
        if ((r = query_string(q, 1, &row->ns)) < 0 || (r = query_string(q, 2, &row->name)) < 0 ||
            (r = query_string(q, 3, &row->driver)) < 0 || (r = query_string(q, 4, &row->device)) < 0 ||
            (r = query_string(q, 5, &row->parent)) < 0 || (r = query_string(q, 6, &row->mode)) < 0 ||
            (r = query_labels(q, 10, &row->labels)) < 0)
                return r;

        return read_subnets(q->store, row);
}

static int network_get(Query *q, NetworkRow *ret) {
        _cleanup_(network_row_done) NetworkRow row = {};
        int r;

        r = query_step(q);
        if (r == 0)
                return -ENOENT;
        if (r > 0)
                r = network_row_read(q, &row);
        if (r < 0)
                return r;

        *ret = row;
        row = (NetworkRow) {};
        return 0;
}

int store_network_get(Store *s, uint64_t n, NetworkRow *ret) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " NETWORK_COLUMNS " FROM networks WHERE n = ?1", "u", n);
        return r < 0 ? r : network_get(&q, ret);
}

int store_network_find(Store *s, const char *ns, const char *name, NetworkRow *ret) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " NETWORK_COLUMNS " FROM networks WHERE ns = ?1 AND name = ?2", "ss",
                        ns, name);
        return r < 0 ? r : network_get(&q, ret);
}

int store_network_foreach(Store *s, int (*cb)(NetworkRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " NETWORK_COLUMNS " FROM networks ORDER BY n", "");
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0) {
                _cleanup_(network_row_done) NetworkRow row = {};

                r = network_row_read(&q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

/* -- interfaces -- */

int store_interface_add(Store *s, InterfaceRow *row) {
        _cleanup_free_ char *aliases = NULL;
        int r;

        aliases = strv_join(row->aliases, " ");
        if (!aliases)
                return -ENOMEM;

        r = store_write(s, true,
                        "INSERT INTO interfaces (ns, container, network, name, host_device, mac, aliases) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                        "ssussss", row->ns, row->container, row->network, row->name, row->host_device,
                        row->mac, aliases);
        /* The foreign keys: no such container, or network. */
        if (r < 0)
                return r == -ENOTEMPTY ? -ENOENT : r;

        row->n = (uint64_t) sqlite3_last_insert_rowid(s->db);
        return 0;
}

static int interface_row_read(Query *q, InterfaceRow *row) {
        int r;

        *row = (InterfaceRow) { .n = query_uint64(q, 0), .network = query_uint64(q, 3) };
        if ((r = query_string(q, 1, &row->ns)) < 0 || (r = query_string(q, 2, &row->container)) < 0 ||
            (r = query_string(q, 4, &row->name)) < 0 || (r = query_string(q, 5, &row->host_device)) < 0 ||
            (r = query_string(q, 6, &row->mac)) < 0 || (r = query_words(q, 7, &row->aliases)) < 0)
                return r;

        return query_words(q, 8, &row->addresses);
}

static int interface_foreach(Query *q, int (*cb)(const InterfaceRow *r, void *userdata), void *userdata) {
        int r;

        while ((r = query_step(q)) > 0) {
                _cleanup_(interface_row_done) InterfaceRow row = {};

                r = interface_row_read(q, &row);
                if (r >= 0)
                        r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

int store_interface_foreach(Store *s, const char *ns, const char *container,
                            int (*cb)(const InterfaceRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " INTERFACE_COLUMNS
                        " FROM interfaces WHERE ns = ?1 AND container = ?2 ORDER BY n",
                        "ss", ns, container);
        return r < 0 ? r : interface_foreach(&q, cb, userdata);
}

int store_interface_foreach_in(Store *s, uint64_t network, int (*cb)(const InterfaceRow *r, void *userdata),
                               void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT " INTERFACE_COLUMNS " FROM interfaces WHERE network = ?1 ORDER BY n",
                        "u", network);
        return r < 0 ? r : interface_foreach(&q, cb, userdata);
}

int store_interface_remove(Store *s, const char *ns, const char *container, const char *name) {
        int r;

        r = store_write(s, true, "DELETE FROM interfaces WHERE ns = ?1 AND container = ?2 AND name = ?3", "sss",
                        ns, container, name);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

bool store_host_device_is_known(Store *s, const char *device) {
        _cleanup_query_ Query q = {};

        return query_begin(&q, s, "SELECT 1 FROM interfaces WHERE host_device = ?1 "
                           "UNION ALL SELECT 1 FROM devices WHERE host_device = ?1", "s", device) < 0 ||
               query_step(&q) != 0;
}

/* -- what is special of them, and those that are on no network -- */

int store_device_put(Store *s, const DeviceRow *row) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO devices (ns, container, name, host_device, spec, interface) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, "
                        "(SELECT n FROM interfaces WHERE ns = ?1 AND container = ?2 AND name = ?3)) "
                        "ON CONFLICT (ns, container, name) DO UPDATE SET host_device = excluded.host_device, spec = excluded.spec",
                        "sssss", row->ns, row->container, row->name, row->host_device, row->spec);
        /* The foreign key: no such container. */
        return r == -ENOTEMPTY ? -ENOENT : MIN(r, 0);
}

int store_device_foreach(Store *s, const char *ns, const char *container,
                         int (*cb)(const DeviceRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT ns, container, name, host_device, spec FROM devices "
                        "WHERE ns = ?1 AND container = ?2 ORDER BY n",
                        "ss", ns, container);
        if (r < 0)
                return r;
        while ((r = query_step(&q)) > 0) {
                _cleanup_(device_row_done) DeviceRow row = {};

                if ((r = query_string(&q, 0, &row.ns)) < 0 || (r = query_string(&q, 1, &row.container)) < 0 ||
                    (r = query_string(&q, 2, &row.name)) < 0 || (r = query_string(&q, 3, &row.host_device)) < 0 ||
                    (r = query_string(&q, 4, &row.spec)) < 0)
                        return r;
                r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }
        return r;
}

int store_device_remove(Store *s, const char *ns, const char *container, const char *name) {
        int r;

        r = store_write(s, true, "DELETE FROM devices WHERE ns = ?1 AND container = ?2 AND name = ?3", "sss", ns,
                        container, name);
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_host_device_owner(Store *s, const char *device, char **ret_ns, char **ret_container) {
        _cleanup_free_ char *ns = NULL, *container = NULL;
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s, "SELECT ns, container FROM devices WHERE host_device = ?1", "s", device);
        if (r >= 0)
                r = query_step(&q);
        if (r == 0)
                return -ENOENT;
        if (r < 0 || (r = query_string(&q, 0, &ns)) < 0 || (r = query_string(&q, 1, &container)) < 0)
                return r;

        *ret_ns = TAKE_PTR(ns);
        *ret_container = TAKE_PTR(container);
        return 0;
}

int store_address_add(Store *s, uint64_t subnet, uint64_t number, const char *address, uint64_t interface) {
        int r;

        r = store_write(s, true,
                        "INSERT INTO addresses (subnet, number, address, interface) VALUES (?1, ?2, ?3, ?4)",
                        "uusu", subnet, number, address, interface);
        return r < 0 ? r : 0;
}

int store_address_next(Store *s, uint64_t subnet, uint64_t first, uint64_t last, uint64_t *ret) {
        _cleanup_query_ Query q = {};
        uint64_t number = first;
        int r;

        r = query_begin(&q, s,
                        "SELECT number FROM addresses WHERE subnet = ?1 AND number BETWEEN ?2 AND ?3 ORDER BY number",
                        "uuu", subnet, first, last);
        if (r < 0)
                return r;

        while ((r = query_step(&q)) > 0 && query_uint64(&q, 0) == number)
                number++;
        if (r < 0)
                return r;
        if (first > last || number > last)
                return -ENOENT;

        *ret = number;
        return 0;
}

int store_address_owner(Store *s, uint64_t subnet, const char *address, char **ret_ns,
                        char **ret_container) {
        _cleanup_free_ char *ns = NULL, *container = NULL;
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT i.ns, i.container FROM addresses a JOIN interfaces i ON i.n = a.interface "
                        "WHERE a.subnet = ?1 AND a.address = ?2",
                        "us", subnet, address);
        if (r >= 0)
                r = query_step(&q);
        if (r == 0)
                return -ENOENT;
        if (r >= 0)
                r = query_string(&q, 0, &ns);
        if (r >= 0)
                r = query_string(&q, 1, &container);
        if (r < 0)
                return r;

        *ret_ns = TAKE_PTR(ns);
        *ret_container = TAKE_PTR(container);
        return 0;
}

/* -- ports -- */

int store_port_add(Store *s, const PortRow *row) {
        int r;

        r = store_write(s, true, "INSERT INTO ports (" PORT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                        "ssssuuu", row->ns, row->container, row->protocol, row->address,
                        (uint64_t) row->host_port, (uint64_t) row->container_port, (uint64_t) row->count);
        /* The foreign key: no such container. */
        return r == -ENOTEMPTY ? -ENOENT : r < 0 ? r : 0;
}

static int port_foreach(Query *q, int (*cb)(const PortRow *r, void *userdata), void *userdata) {
        int r;

        while ((r = query_step(q)) > 0) {
                _cleanup_(port_row_done) PortRow row = {
                        .host_port = (uint16_t) query_uint64(q, 4),
                        .container_port = (uint16_t) query_uint64(q, 5),
                        .count = (uint16_t) query_uint64(q, 6),
                };

                if ((r = query_string(q, 0, &row.ns)) < 0 || (r = query_string(q, 1, &row.container)) < 0 ||
                    (r = query_string(q, 2, &row.protocol)) < 0 ||
                    (r = query_string(q, 3, &row.address)) < 0)
                        return r;
                r = cb(&row, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}

int store_port_foreach(Store *s, const char *ns, const char *container,
                       int (*cb)(const PortRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " PORT_COLUMNS " FROM ports WHERE ns = ?1 AND container = ?2 ORDER BY n",
                        "ss", ns, container);
        return r < 0 ? r : port_foreach(&q, cb, userdata);
}

int store_port_foreach_overlap(Store *s, const char *protocol, uint16_t first, uint16_t last,
                               int (*cb)(const PortRow *r, void *userdata), void *userdata) {
        _cleanup_query_ Query q = {};
        int r;

        r = query_begin(&q, s,
                        "SELECT " PORT_COLUMNS " FROM ports WHERE protocol = ?1 "
                        "AND host_port <= ?3 AND host_port + count > ?2 ORDER BY host_port",
                        "suu", protocol, (uint64_t) first, (uint64_t) last);
        return r < 0 ? r : port_foreach(&q, cb, userdata);
}
