/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be done to a unit that runs: its limits changed and read, its traffic read, its processes frozen. All changes are
 * runtime ones: PID 1 writes them as drop-ins of the transient unit, so that they survive a daemon-reload
 * and go with the unit. */

#include <inttypes.h>

#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-limits.h"
#include "unit/unit-private.h"
#include "unit/unit-properties.h"

int unit_update(void *backend, const char *unit, char *const *properties, UnitDoneFunc func,
                void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = unit_manager_message(backend, "SetUnitProperties", &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "sb", unit, (int) true);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "(sv)");
        if (r < 0)
                return r;
        STRV_FOREACH(p, properties) {
                r = unit_property_append(message, p, NULL);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(message);
        return r < 0 ? r : unit_call(backend, message, &call);
}

int unit_freeze(void *backend, const char *unit, bool freeze, UnitDoneFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = unit_call_done, .done = func, .userdata = userdata
        };

        return unit_call_method(backend, &call, freeze ? "FreezeUnit" : "ThawUnit", "s", unit);
}

/* -- reading ------------------------------------------------------------------------------------ */

static int read_number(sd_bus_message *m, const Limit *l, char ***limits) {
        uint64_t n;
        int r;

        r = sd_bus_message_read(m, "v", "t", &n);
        if (r < 0)
                return r;
        return n == UINT64_MAX ? strv_extendf(limits, "%s=infinity", l->name)
                               : strv_extendf(limits, "%s=%" PRIu64, l->name, n);
}

static int read_set(sd_bus_message *m, const Limit *l, char ***limits) {
        _cleanup_free_ char *text = NULL;
        const void *bits;
        size_t size;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &bits, &size);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        text = number_set_to_string(bits, size);
        return text ? strv_extendf(limits, "%s=%s", l->name, text) : -ENOMEM;
}

static int read_devices(sd_bus_message *m, const Limit *l, char ***limits) {
        const char *path;
        uint64_t n;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(st)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(st)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(st)", &path, &n)) > 0) {
                r = strv_extendf(limits, "%s=%s %" PRIu64, l->name, path, n);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_limits(sd_bus_message *m, char ***limits) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const Limit *l;

                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                l = limit_find(name);
                r = !l                        ? sd_bus_message_skip(m, "v")
                    : limit_is_list(l)        ? read_devices(m, l, limits)
                    : l->kind == LIMIT_SET    ? read_set(m, l, limits)
                                              : read_number(m, l, limits);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void on_limits(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        _cleanup_strv_free_ char **limits = NULL;

        if (r >= 0)
                r = read_limits(reply, &limits);
        c->limits(r < 0 ? r : 0, limits, c->userdata);
}

static const char *interface_of(const char *unit) {
        return endswith(unit, ".scope") ? SYSTEMD_NAME ".Scope" : SYSTEMD_NAME ".Service";
}

int unit_limits(void *backend, const char *unit, UnitLimitsFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = on_limits, .limits = func, .userdata = userdata
        };

        return unit_call_get_all(backend, &call, interface_of(unit));
}

static uint64_t *traffic_member(UnitTraffic *t, const char *name) {
        const struct {
                const char *name;
                uint64_t *member;
        } members[] = {
                { "IPIngressBytes", &t->received_bytes },
                { "IPIngressPackets", &t->received_packets },
                { "IPEgressBytes", &t->sent_bytes },
                { "IPEgressPackets", &t->sent_packets },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (streq(members[i].name, name))
                        return members[i].member;
        return NULL;
}

static int read_traffic(sd_bus_message *m, UnitTraffic *traffic) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                uint64_t *member;

                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                member = traffic_member(traffic, name);
                r = member ? sd_bus_message_read(m, "v", "t", member) : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void on_traffic(UnitCall *c, sd_bus_message *reply, int r, const Error *error) {
        UnitTraffic traffic = { TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN, TRAFFIC_UNKNOWN };

        if (r >= 0)
                r = read_traffic(reply, &traffic);
        c->traffic(r < 0 ? r : 0, &traffic, c->userdata);
}

int unit_traffic(void *backend, const char *unit, UnitTrafficFunc func, void *userdata) {
        const UnitCall call = {
                .unit = (char *) unit, .handler = on_traffic, .traffic = func, .userdata = userdata
        };

        return unit_call_get_all(backend, &call, interface_of(unit));
}
