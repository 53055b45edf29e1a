/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* D-Bus values as JSON. Keys are the names on the bus. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "basic/macro.h"

typedef enum OutputMode {
        OUTPUT_OFF,
        OUTPUT_SHORT,
        OUTPUT_PRETTY,
        _OUTPUT_MODE_MAX,
        _OUTPUT_MODE_INVALID = -EINVAL,
} OutputMode;
DECLARE_STRING_TABLE(output_mode, OutputMode); /* "off", "short", "pretty" */

/* The next complete value of m, of any type: dictionaries become objects, arrays and structures arrays, a
 * variant what it holds. Unsigned numbers above INT64_MAX ("infinity", "not known") become null, as do
 * descriptors. */
int bus_message_to_json(sd_bus_message *m, json_t **ret);
/* Replaces the string member by the JSON that it holds ("Spec", "Config"); leaves it alone if it is none. */
void json_member_expand(json_t *object, const char *name);
/* With a newline behind it. Nothing for OUTPUT_OFF. -EIO. */
int json_print(json_t *j, OutputMode mode, FILE *f);
