/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Networks in memory are what the records say, no more: a network is in the table exactly if its row is
 * there. So none is made inside somebody's transaction, which could be undone; whoever needs the default
 * network has it made before. */

#include "network/network.h"

#include <time.h>

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "network/names.h"
#include "network/network-private.h"

#define USERS_TOLD 3U /* containers named in an error */

static const char *const network_driver_table[_NETWORK_DRIVER_MAX] = {
        [NETWORK_BRIDGE] = "bridge",
        [NETWORK_MACVLAN] = "macvlan",
        [NETWORK_IPVLAN] = "ipvlan",
};
DEFINE_STRING_TABLE(network_driver, NetworkDriver)

void network_options_done(NetworkOptions *o) {
        if (!o)
                return;

        strv_free(o->subnets);
        strv_free(o->gateways);
        strv_free(o->ranges);
        strv_free(o->labels);
        free(o->parent);
        free(o->mode);
        free(o->device);
        *o = (NetworkOptions) {};
}

static Network *network_free(Network *n) {
        if (!n)
                return NULL;

        network_names_close(n);
        network_row_done(&n->row);
        free(n->subnets);
        free(n->pools);
        free(n);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Network *, network_free)

/* -- from the record -- */

static int parse_subnet(const SubnetRow *row, Prefix *ret, NetworkPool *ret_pool) {
        NetworkPool pool = { .subnet = row->n };
        Prefix subnet;
        int r;

        r = prefix_parse(row->prefix, &subnet);
        if (r >= 0) {
                pool.subnet_prefix = pool.range = subnet;
                if (row->range)
                        r = prefix_parse(row->range, &pool.range);
        }
        if (r >= 0 && row->gateway)
                r = address_parse(row->gateway, &subnet.address);
        if (r < 0)
                return r;

        *ret = subnet;
        *ret_pool = pool;
        return 0;
}

/* Takes the row. */
static int network_from_row(NetworkManager *m, NetworkRow *row, Network **ret) {
        _cleanup_(network_freep) Network *n = calloc(1, sizeof(Network));
        int r;

        if (!n)
                return -ENOMEM;

        n->manager = m;
        n->names_fd = -EBADF;
        n->driver = network_driver_from_string(row->driver);
        if (n->driver < 0)
                return -EINVAL;
        n->subnets = calloc(MAX(row->n_subnets, (size_t) 1), sizeof(Prefix));
        n->pools = calloc(MAX(row->n_subnets, (size_t) 1), sizeof(NetworkPool));
        if (!n->subnets || !n->pools)
                return -ENOMEM;
        for (; n->n_subnets < row->n_subnets; n->n_subnets++) {
                r = parse_subnet(&row->subnets[n->n_subnets], &n->subnets[n->n_subnets],
                                 &n->pools[n->n_subnets]);
                if (r < 0)
                        return r;
        }

        n->row = *row;
        *row = (NetworkRow) {};
        *ret = TAKE_PTR(n);
        return 0;
}

static int table_put(NetworkManager *m, Network *n) {
        _cleanup_free_ char *key = strjoin(n->row.ns, "/", n->row.name);

        return key ? hashmap_put(m->networks, key, n) : -ENOMEM;
}

static void table_remove(NetworkManager *m, Network *n) {
        _cleanup_free_ char *key = strjoin(n->row.ns, "/", n->row.name);

        if (key)
                (void) hashmap_remove(m->networks, key);
}

static int load_network(NetworkRow *row, void *userdata) {
        _cleanup_(network_freep) Network *n = NULL;
        NetworkManager *m = userdata;
        int r;

        r = network_from_row(m, row, &n);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                log_warning("The record of network “%s” of namespace “%s” cannot be understood, ignoring it.",
                            row->name, row->ns);
                return 0;
        }

        r = table_put(m, n);
        if (r < 0)
                return r;
        TAKE_PTR(n);
        return 0;
}

/* -- the table -- */

NetworkManager *network_manager_free(NetworkManager *m) {
        struct Kept *l;
        NetworkUser *u;
        Network *n;

        if (!m)
                return NULL;

        HASHMAP_FOREACH (n, m->networks)
                network_free(n);
        hashmap_free(m->networks);
        HASHMAP_FOREACH (u, m->users)
                network_user_free(u);
        hashmap_free(m->users);
        HASHMAP_FOREACH (l, m->kept)
                kept_free(l);
        hashmap_free(m->kept);
        netlink_free(m->netlink);
        firewall_free(m->firewall);
        netlink_socket_free(m->sockets);
        free(m->runtime_dir);
        free(m);
        return NULL;
}

int network_manager_new(Store *store, Events *events, const char *runtime_dir, NetworkManager **ret,
                        Error *reterr_error) {
        _cleanup_(network_manager_freep) NetworkManager *m = calloc(1, sizeof(NetworkManager));

        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        m->store = store;
        m->events = events;
        m->runtime_dir = strdup(runtime_dir);
        m->networks = hashmap_new();
        m->users = hashmap_new();
        m->kept = hashmap_new();
        if (!m->runtime_dir || !m->networks || !m->users || !m->kept)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        *ret = TAKE_PTR(m);
        return 0;
}

void network_manager_set_event(NetworkManager *m, sd_event *event) {
        m->event = event;
}

int network_manager_netlink(NetworkManager *m, Netlink **ret, Error *reterr_error) {
        int r;

        if (!m->netlink) {
                r = netlink_new(-EBADF, &m->netlink);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "The kernel's network devices cannot be reached: %m");
        }

        *ret = m->netlink;
        return 0;
}

int network_manager_load(NetworkManager *m, Error *reterr_error) {
        int r;

        r = store_network_foreach(m->store, load_network, m);
        return r < 0 ? error_set_errno(reterr_error, r, "The records of networks cannot be read: %m") : 0;
}

Network *network_manager_get(NetworkManager *m, uint64_t number) {
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (n->row.n == number)
                        return n;
        return NULL;
}

Network *network_find(NetworkManager *m, const char *ns, const char *name, Error *reterr_error) {
        _cleanup_free_ char *key = NULL;
        Network *n;

        if (streq(name, NETWORK_DEFAULT_ALIAS))
                name = NETWORK_DEFAULT;
        key = strjoin(ns, "/", name);
        n = key ? hashmap_get(m->networks, key) : NULL;
        if (!n)
                (void) error_set(
                                reterr_error, -ENOENT, "NoSuchNetwork",
                                "There is no network “%s” in namespace “%s”: “moorctl network ls” shows which there are.",
                                name, ns);
        return n;
}

size_t network_count(NetworkManager *m, const char *ns) {
        size_t count = 0;
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                count += streq(n->row.ns, ns) && !streq(n->row.name, NETWORK_DEFAULT);
        return count;
}

bool network_iterate(NetworkManager *m, HashmapIterator *i, Network **ret) {
        void *n;

        if (!hashmap_iterate(m->networks, i, NULL, &n))
                return false;

        *ret = n;
        return true;
}

/* -- making and removing -- */

static int record_created(NetworkManager *m, Network *n) {
        _cleanup_free_ char *subnets = strdup("");
        char text[ADDRESS_TEXT_MAX];

        for (size_t i = 0; subnets && i < n->n_subnets; i++) {
                char *more = strjoin(subnets, i > 0 ? " " : "",
                                     prefix_format(&n->pools[i].subnet_prefix, text));

                free(subnets);
                subnets = more;
        }
        if (!subnets)
                return -ENOMEM;

        return events_record(m->events, n->row.ns, "network/created", n->row.name, "Driver", n->row.driver,
                             "Subnets", subnets, NULL);
}

int network_create(NetworkManager *m, const char *ns, const char *name, const NetworkOptions *options,
                   Network **ret, Error *reterr_error) {
        _cleanup_(network_row_done) NetworkRow row = {};
        _cleanup_(network_freep) Network *n = NULL;
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        assert(!store_in_transaction(m->store));

        r = network_row_new(m, ns, name, options, &row, reterr_error);
        if (r < 0)
                return r;

        row.created_usec = now_usec(CLOCK_REALTIME);
        r = store_transaction_begin(&t, m->store, true);
        if (r >= 0)
                r = store_network_add(m->store, &row);
        if (r >= 0)
                r = network_from_row(m, &row, &n);
        if (r >= 0)
                r = record_created(m, n);
        if (r >= 0)
                r = table_put(m, n);
        if (r >= 0) {
                r = store_transaction_commit(&t);
                if (r < 0)
                        table_remove(m, n);
        }
        if (r == -ENOENT)
                return error_set(reterr_error, -ENXIO, "NoSuchNamespace", "There is no namespace “%s”.", ns);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The network cannot be recorded: %m");

        *ret = TAKE_PTR(n);
        events_notify(m->events, NOTIFY_NETWORK_ADDED, (*ret)->row.ns, (*ret)->row.name, *ret);
        return 0;
}

typedef struct Users {
        char *text;
        unsigned n;
} Users;

static int add_user(const InterfaceRow *row, void *userdata) {
        Users *u = userdata;
        char *more;

        if (u->n++ >= USERS_TOLD)
                return 0;

        more = strjoin(strempty(u->text), u->n > 1 ? ", " : "", row->container);
        if (!more)
                return -ENOMEM;
        free(u->text);
        u->text = more;
        return 0;
}

static int in_use(Network *n, Error *reterr_error) {
        Users u = {};
        int r;

        r = store_interface_foreach_in(n->manager->store, n->row.n, add_user, &u);
        if (r < 0 || u.n == 0)
                r = error_set_errno(reterr_error, r < 0 ? r : -EBUSY,
                                    "The network “%s” cannot be removed: %m", n->row.name);
        else if (u.n > USERS_TOLD)
                r = error_set(reterr_error, -EBUSY, "NetworkInUse",
                              "The network “%s” has containers on it (%s and %u more): remove them first.",
                              n->row.name, u.text, u.n - USERS_TOLD);
        else
                r = error_set(reterr_error, -EBUSY, "NetworkInUse",
                              "The network “%s” has %s on it (%s): remove %s first.", n->row.name,
                              u.n == 1 ? "a container" : "containers", u.text, u.n == 1 ? "it" : "them");
        free(u.text);
        return r;
}

int network_remove(Network *n, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_error_ Error e = ERROR_NULL;
        NetworkManager *m = n->manager;
        int r;

        r = store_transaction_begin(&t, m->store, true);
        if (r >= 0)
                r = store_network_remove(m->store, n->row.n);
        if (r >= 0)
                r = events_record(m->events, n->row.ns, "network/removed", n->row.name, NULL);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r == -ENOTEMPTY)
                return in_use(n, reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The network “%s” cannot be removed: %m",
                                       n->row.name);

        /* Only now: who dies before this leaves a device that is nobody's, which recovery removes. */
        r = network_device_remove(n, &e);
        if (r < 0)
                log_warning("What the network “%s” had in the kernel is not all gone, ignoring: %s",
                            n->row.name, error_message(&e));
        /* If a resolver may still run there, its own or that of a network that had the device before: who ends it does this then. */
        if (n->row.device && n->names_ended) {
                r = network_manager_drop_names(m, n->row.device);
                if (r < 0)
                        log_debug_errno(r, "The names of the network “%s” are not all gone, ignoring: %m", n->row.name);
        }

        table_remove(m, n);
        events_notify(m->events, NOTIFY_NETWORK_REMOVED, n->row.ns, n->row.name, n);
        network_free(n);
        return 0;
}
