/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What firewalld does to its own table does not touch ours; but there are versions and settings of it, and what it is
 * set up to run, that flush everything. So after each time that it has loaded its rules, ours are made anew, in
 * one transaction, which costs a millisecond or two and no connection. */

#include "bus/firewalld-bus.h"

#include "basic/log.h"
#include "basic/string-util.h"
#include "bus/network-bus.h"

#define FIREWALLD_NAME "org.fedoraproject.FirewallD1"

static void reload(Bus *b, const char *what) {
        _cleanup_error_ Error error = ERROR_NULL;

        /* Recovery makes them in any case, and before it not all that is wanted is known. */
        if (!b->exporting)
                return;
        if (bus_reload_networks(b, &error) < 0)
                log_warning("firewalld %s; the rules of networks could not be made anew: %s", what, error_message(&error));
        else
                log_info("firewalld %s; the rules of networks have been made anew.", what);
}

/* Anybody may send us one directly, the broker passes on only firewalld's to those that have a match. */
static int on_reloaded(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        if (!sd_bus_message_get_destination(m))
                reload(userdata, "has loaded its rules");
        return 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *owner;

        if (sd_bus_message_read(m, "sss", NULL, NULL, &owner) >= 0 && !isempty(owner))
                reload(userdata, "has come");
        return 0;
}

int bus_watch_firewalld(Bus *b) {
        int r;

        r = sd_bus_match_signal_async(b->bus, NULL, FIREWALLD_NAME, "/org/fedoraproject/FirewallD1", FIREWALLD_NAME,
                                      "Reloaded", on_reloaded, NULL, b);
        if (r >= 0)
                r = sd_bus_add_match_async(b->bus, NULL,
                                           "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                           "member='NameOwnerChanged',arg0='" FIREWALLD_NAME "'",
                                           on_owner_changed, NULL, b);
        return r;
}
