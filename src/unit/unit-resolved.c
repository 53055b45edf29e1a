/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd-resolved as the host's own resolver (org.freedesktop.resolve1(5)): names of a network's containers are asked of
 * that network's resolver, by its bridge, and no others are. What is said of a link lives as long as the link, and is kept
 * by resolved over its own restarts; where it comes later than moored, or is not one that does so, everything is said again.
 *
 * It is not started for that. Nobody waits for its answers. */

#include <stdarg.h>

#include <systemd/sd-bus.h>

#include "basic/log.h"
#include "basic/string-util.h"
#include "network/names.h"
#include "unit/unit-private.h"

#define RESOLVED_NAME "org.freedesktop.resolve1"
#define RESOLVED_PATH "/org/freedesktop/resolve1"
#define RESOLVED_MANAGER RESOLVED_NAME ".Manager"

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);

        if (e)
                log_debug("systemd-resolved does not take what it is told of a link: %s", e->message);
        return 0;
}

/* A link that networkd manages, say, is not to be changed by others. That is said once a link. */
static int on_servers_set(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);

        if (e && streq(e->name, RESOLVED_NAME ".LinkBusy"))
                log_notice("systemd-resolved does not find containers by name: %s", e->message);
        return e ? on_reply(reply, userdata, ret_error) : 0;
}

static int message_new(UnitManager *m, const char *method, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(m->bus, &message, RESOLVED_NAME, RESOLVED_PATH, RESOLVED_MANAGER, method);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(message);
        return 0;
}

static int call(UnitManager *m, const char *method, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        va_list args;
        int r;

        r = message_new(m, method, &message);
        if (r < 0)
                return r;
        va_start(args, types);
        r = sd_bus_message_appendv(message, types, args);
        va_end(args);
        return r < 0 ? r : sd_bus_call_async(m->bus, NULL, message, on_reply, m, 0);
}

static int set_servers(UnitManager *m, const NamesLink *l) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = message_new(m, "SetLinkDNS", &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "i", l->index);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "(iay)");
        for (size_t i = 0; r >= 0 && i < l->n_servers; i++) {
                const Address *a = l->servers + i;

                r = sd_bus_message_open_container(message, 'r', "iay");
                if (r >= 0)
                        r = sd_bus_message_append(message, "i", a->family);
                if (r >= 0)
                        r = sd_bus_message_append_array(message, 'y', a->bytes,
                                                        a->family == AF_INET ? sizeof(a->in) : sizeof(a->in6));
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_call_async(m->bus, NULL, message, on_servers_set, m, 0);
}

/* First whom not to ask, then whom to ask. The network's resolver speaks neither TLS nor DNSSEC, whatever is set for all. */
void unit_set_names_link(void *backend, const NamesLink *l) {
        UnitManager *m = backend;
        int r;

        if (!m->bus || !m->resolved)
                return;
        r = call(m, "SetLinkDefaultRoute", "ib", l->index, 0);
        if (r >= 0)
                r = call(m, "SetLinkDomains", "ia(sb)", l->index, 1, l->domain, 1);
        if (r >= 0)
                r = call(m, "SetLinkDNSOverTLS", "is", l->index, "no");
        if (r >= 0)
                r = call(m, "SetLinkDNSSEC", "is", l->index, "no");
        if (r >= 0)
                r = set_servers(m, l);
        if (r < 0)
                log_debug_errno(r, "Failed to tell systemd-resolved of a link: %m");
}

void unit_revert_names_link(void *backend, int index) {
        UnitManager *m = backend;
        int r;

        if (!m->bus || !m->resolved)
                return;
        r = call(m, "RevertLink", "i", index);
        if (r < 0)
                log_debug_errno(r, "Failed to tell systemd-resolved of a link: %m");
}

static void resolved_came(UnitManager *m, bool there) {
        m->resolved = there;
        if (there)
                container_names_host_came(m->containers);
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const char *owner;

        if (sd_bus_message_read(message, "sss", NULL, NULL, &owner) >= 0)
                resolved_came(userdata, !isempty(owner));
        return 0;
}

static int on_has_owner(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        int there;

        if (!sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_read(reply, "b", &there) >= 0)
                resolved_came(userdata, there);
        return 0;
}

int unit_resolved_connect(UnitManager *m) {
        int r;

        r = sd_bus_add_match_async(m->bus, NULL,
                                   "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                   "member='NameOwnerChanged',arg0='" RESOLVED_NAME "'",
                                   on_owner_changed, NULL, m);
        if (r >= 0)
                r = sd_bus_call_method_async(m->bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                             "org.freedesktop.DBus", "NameHasOwner", on_has_owner, m, "s", RESOLVED_NAME);
        return r;
}
