/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/limits-bus.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-limits.h"

/* In a dictionary a number is t (18446744073709551615: none), a set of numbers s ("0-3,7"), what differs
 * by device a(st). Inside, all of them are assignments (unit-limits.h). */

/* -- reading ------------------------------------------------------------------------------------ */

static int option_number(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        uint64_t n;
        int r;

        r = bus_option_uint64(m, o, &n, reterr_error);
        if (r < 0)
                return r;
        r = n == UINT64_MAX ? strv_extendf(target, "%s=infinity", o->name)
                            : strv_extendf(target, "%s=%" PRIu64, o->name, n);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

static int option_set(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        _cleanup_free_ char *s = NULL;
        int r;

        r = bus_option_string(m, o, &s, reterr_error);
        if (r < 0)
                return r;
        if (!string_is_safe(s))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Option “%s” has control characters.", o->name);
        r = strv_extendf(target, "%s=%s", o->name, s);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

static int option_devices(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        const char *path;
        size_t count = 0;
        uint64_t n;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(st)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(st)", &path, &n)) > 0) {
                if (++count > BUS_LIST_MAX || path[0] != '/' || strpbrk(path, " \t") || !string_is_safe(path))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Option “%s”: “%.200s” is not the path of a device.", o->name,
                                         path);
                r = n == UINT64_MAX ? strv_extendf(target, "%s=%s infinity", o->name, path)
                                    : strv_extendf(target, "%s=%s %" PRIu64, o->name, path, n);
        }
        if (r >= 0 && count == 0)
                r = strv_extendf(target, "%s=", o->name);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

int bus_option_properties(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = bus_option_strv(m, o, &l, reterr_error);
        if (r < 0)
                return r;
        r = strv_extend_strv(target, l);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

static const BusOption limit_options[] = {
        { "MemoryMax", "t", option_number },
        { "MemoryHigh", "t", option_number },
        { "MemoryLow", "t", option_number },
        { "MemoryMin", "t", option_number },
        { "MemorySwapMax", "t", option_number },
        { "MemoryZSwapMax", "t", option_number },
        { "CPUQuotaPerSecUSec", "t", option_number },
        { "CPUWeight", "t", option_number },
        { "AllowedCPUs", "s", option_set },
        { "AllowedMemoryNodes", "s", option_set },
        { "IOWeight", "t", option_number },
        { "IODeviceWeight", "a(st)", option_devices },
        { "IOReadBandwidthMax", "a(st)", option_devices },
        { "IOWriteBandwidthMax", "a(st)", option_devices },
        { "IOReadIOPSMax", "a(st)", option_devices },
        { "IOWriteIOPSMax", "a(st)", option_devices },
        { "TasksMax", "t", option_number },
        { "Properties", "as", bus_option_properties },
        {},
};

int bus_option_limits(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        return bus_options_parse(m, limit_options, target, reterr_error);
}

/* -- writing ------------------------------------------------------------------------------------ */

static int append_devices(sd_bus_message *m, const Limit *limit, char *const *l) {
        int r;

        r = sd_bus_message_open_container(m, 'v', "a(st)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(st)");
        STRV_FOREACH(s, l) {
                const char *value = limit_find(s) == limit ? strchr(s, '=') + 1 : "";
                size_t n = strcspn(value, " ");
                _cleanup_free_ char *path = strndup(value, n);
                uint64_t number = UINT64_MAX;

                if (r < 0 || value[n] == 0)
                        continue;
                (void) parse_uint64(value + n + 1, &number);
                r = path ? sd_bus_message_append(m, "(st)", path, number) : -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* A share of what the host has ("50%") is text. */
static int append_value(sd_bus_message *m, const Limit *limit, const char *value, char *const *l) {
        uint64_t n = UINT64_MAX;

        if (limit_is_list(limit))
                return append_devices(m, limit, l);
        if (limit->kind == LIMIT_SET || (!streq(value, "infinity") && parse_uint64(value, &n) < 0))
                return sd_bus_message_append(m, "v", "s", value);
        return sd_bus_message_append(m, "v", "t", n);
}

int bus_container_property_get_limits(sd_bus *bus, const char *path, const char *interface,
                                      const char *property, sd_bus_message *reply, void *userdata,
                                      sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = container_get_limits(userdata, &l);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        for (const Limit *limit = container_limits; r >= 0 && limit->name; limit++) {
                const char *found = NULL;

                STRV_FOREACH(s, l)
                        if (limit_find(s) == limit)
                                found = strchr(s, '=') + 1;
                if (!found)
                        continue;
                r = sd_bus_message_open_container(reply, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 's', limit->name);
                if (r >= 0)
                        r = append_value(reply, limit, found, l);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* -- methods ------------------------------------------------------------------------------------ */

int bus_container_method_update(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = bus_current(sd_bus_message_get_bus(m));
        _cleanup_strv_free_ char **limits = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call;
        int r;

        r = bus_options_parse(m, limit_options, &limits, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);
        call = bus_call_new(b, m);
        if (!call)
                return -ENOMEM;
        r = container_update(userdata, limits, bus_call_reply_empty, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}
