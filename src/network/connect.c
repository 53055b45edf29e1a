/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container that is there goes on another network, or leaves one.
 *
 *   connect      ┌ transaction ─────────────────────────────────────────────┐
 *                │ records ─▶ device in the namespace ─▶ ports ─▶ event      │ ─▶ done
 *                └──────────────── failure: all of it is undone ────────────┘
 *   disconnect   records and event, in a transaction ─▶ device, ports, routes
 *
 * Who dies before the commit of the first, or behind that of the second, leaves a device of which there is no record; the
 * next start of moored removes it (network-device.c). Of one that does not run it is the records alone. */

#include "basic/log.h"
#include "basic/string-util.h"
#include "network/network-private.h"

typedef struct Change {
        NetworkManager *manager;
        const char *ns, *container;
        int netns; /* -EBADF: it does not run */
} Change;

static int record_change(const Change *c, const char *topic, const char *network, const char *name) {
        return events_record(c->manager->events, c->ns, topic, network, "Container", c->container, "Interface", name,
                             NULL);
}

static int record_error(const Change *c, int r, Error *reterr_error) {
        return r == -ENOENT ? error_set(reterr_error, r, "NoSuchContainer", "There is no container “%s” any more.",
                                        c->container)
                            : error_set_errno(reterr_error, r, "The networks of the container “%s” cannot be recorded: %m",
                                              c->container);
}

typedef struct Found {
        const char *name; /* of the interface */
        char *found, *host_device;
        NetworkInterface interface; /* names, driver: of the strings above */
} Found;

static void found_done(Found *f) {
        free(f->found);
        free(f->host_device);
}

static int find_interface(const NetworkInterface *i, void *userdata) {
        Found *f = userdata;

        if (f->found || !streq(f->name, i->name))
                return 0;
        f->found = strdup(i->name);
        f->host_device = strdup(i->host_device);
        f->interface = (NetworkInterface){ .network = i->network, .name = f->found, .host_device = f->host_device };
        return f->found && f->host_device ? 0 : -ENOMEM;
}

static int find(const Change *c, Found *f) {
        return network_manager_foreach_interface(c->manager, c->ns, c->container, find_interface, f);
}

/* -- connect -- */

/* ret_made: also on failure, if the device is there. */
static int join(const Change *c, const char *attachment, Found *ret_made, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        NetworkManager *m = c->manager;
        _cleanup_free_ char *name = NULL;
        Found f = {};
        int r;

        r = store_transaction_begin(&t, m->store, true);
        if (r < 0)
                return record_error(c, r, reterr_error);
        r = network_manager_reserve_more(m, c->ns, c->container, attachment, &name, reterr_error);
        if (r < 0)
                return r;
        f.name = name;
        r = find(c, &f);
        if (r < 0 || !f.found) {
                found_done(&f);
                return record_error(c, r < 0 ? r : -ENOENT, reterr_error);
        }
        f.name = NULL;
        if (c->netns >= 0) {
                r = network_interface_set_up(m, c->ns, c->container, name, c->netns, reterr_error);
                if (r < 0) {
                        found_done(&f);
                        return r;
                }
        }
        *ret_made = f;
        if (c->netns >= 0)
                r = network_user_update(m, c->ns, c->container, reterr_error);
        if (r < 0)
                return r;
        r = record_change(c, "network/connected", f.interface.network->row.name, name);
        if (r >= 0)
                r = store_transaction_commit(&t);
        return r < 0 ? record_error(c, r, reterr_error) : 0;
}

int network_manager_connect(NetworkManager *m, const char *ns, const char *container, const char *attachment,
                            int netns, char **ret_interface, Error *reterr_error) {
        const Change c = { m, ns, container, netns };
        char *const attachments[] = { (char *) attachment, NULL };
        _cleanup_(found_done) Found made = {};
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        assert(!store_in_transaction(m->store));

        r = network_manager_prepare(m, ns, attachments, NULL, reterr_error);
        if (r < 0)
                return r;
        r = join(&c, attachment, &made, reterr_error);
        if (r < 0 && made.found && netns >= 0) {
                (void) network_interface_set_down(m, &made.interface, netns);
                if (network_user_update(m, ns, container, &e) < 0)
                        log_warning("Ports of the container “%s” are not open: %s", container, error_message(&e));
        }
        if (r < 0)
                network_manager_abandon(m, ns);
        else if (ret_interface)
                *ret_interface = TAKE_PTR(made.found);
        return r;
}

/* -- disconnect -- */

static void clear_away(const Change *c, const NetworkInterface *i) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = network_interface_set_down(c->manager, i, c->netns);
        if (r < 0)
                log_warning_errno(r, "The interface “%s” of the container “%s” is still there, ignoring: %m", i->name,
                                  c->container);
        if (network_user_update(c->manager, c->ns, c->container, &e) < 0)
                log_warning("Ports of the container “%s” are not open: %s", c->container, error_message(&e));
        r = network_routes_update(c->manager, c->ns, c->container, c->netns);
        if (r < 0)
                log_warning_errno(r, "The container “%s” may have no default route any more, ignoring: %m",
                                  c->container);
}

static int leave(const Change *c, Found *f, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        Store *store = c->manager->store;
        int r;

        r = store_transaction_begin(&t, store, true);
        if (r >= 0)
                r = store_interface_remove(store, c->ns, c->container, f->found);
        if (r >= 0)
                r = record_change(c, "network/disconnected", f->interface.network->row.name, f->found);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return record_error(c, r, reterr_error);
        /* The device of a container that has ended may be there: others may go on in its namespace. */
        if (c->netns >= 0)
                clear_away(c, &f->interface);
        else if (f->interface.network->driver == NETWORK_BRIDGE)
                (void) network_interface_set_down(c->manager, &f->interface, -EBADF);
        if (network_kept_count(c->manager, c->ns, c->container) == 0)
                network_kept_forget(c->manager, c->ns, c->container);
        return 0;
}

int network_manager_remove_interface(NetworkManager *m, const char *ns, const char *container, const char *name,
                                     int netns, Error *reterr_error) {
        const Change c = { m, ns, container, netns };
        _cleanup_(found_done) Found f = { .name = name };
        int r;

        r = find(&c, &f);
        if (r < 0)
                return record_error(&c, r, reterr_error);
        if (!f.found)
                return network_manager_remove_device(m, ns, container, name, netns, reterr_error);
        return leave(&c, &f, reterr_error);
}
