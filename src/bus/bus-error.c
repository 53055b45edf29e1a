/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-error.h"
#include "basic/string-util.h"

/* Few names have a standard one that generic clients know; every other keeps its own below
 * org.moored1.Error. */
typedef struct BusErrorName {
        const char *name;
        const char *bus_name;
} BusErrorName;

static const BusErrorName error_names[] = {
        { "AccessDenied",                     SD_BUS_ERROR_ACCESS_DENIED                      },
        { "InteractiveAuthorizationRequired", SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED },
        { "InvalidArgument",                  SD_BUS_ERROR_INVALID_ARGS                       },
        { "LimitsExceeded",                   SD_BUS_ERROR_LIMITS_EXCEEDED                    },
        { "NoMemory",                         SD_BUS_ERROR_NO_MEMORY                          },
        { "UnknownMethod",                    SD_BUS_ERROR_UNKNOWN_METHOD                     },
};

/* A name may come from a helper or a launcher: what is no bus name must not make the reply impossible to
 * send. */
static bool name_is_valid(const char *name) {
        return strlen(name) < BUS_ERROR_NAME_MAX - strlen(BUS_ERROR_PREFIX) &&
               string_in_charset(name, UPPERCASE LOWERCASE DIGITS "_") && name[0] != 0 &&
               !strchr(DIGITS, name[0]);
}

const char *bus_error_name(const Error *e, char buf[static BUS_ERROR_NAME_MAX]) {
        const char *name = error_name(e);

        for (size_t i = 0; i < ELEMENTSOF(error_names); i++)
                if (streq(error_names[i].name, name)) {
                        (void) snprintf(buf, BUS_ERROR_NAME_MAX, "%s", error_names[i].bus_name);
                        return buf;
                }

        (void) snprintf(buf, BUS_ERROR_NAME_MAX, BUS_ERROR_PREFIX "%s",
                        name_is_valid(name) ? name : "Failed");
        return buf;
}

int bus_error_set(sd_bus_error *ret_error, const Error *e) {
        char name[BUS_ERROR_NAME_MAX];

        if (!error_is_set(e)) {
                (void) sd_bus_error_set(ret_error, BUS_ERROR_PREFIX "Failed",
                                        "Internal error: the call failed without a reason.");
                return -EIO;
        }

        /* Its result is the errno that libsystemd derives from the name, EIO for ours. */
        (void) sd_bus_error_set(ret_error, bus_error_name(e, name), error_message(e));
        return e->error;
}

int bus_error_reply(sd_bus_message *m, const Error *e) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) bus_error_set(&error, e);
        return sd_bus_reply_method_error(m, &error);
}
