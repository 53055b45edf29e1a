/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "NAME=VALUE", as in unit files, to the typed values that PID 1's bus interface wants. */

#include <systemd/sd-bus.h>

#include "basic/error.h"

/* Appends one (sv) or more to the array that is open in m; m NULL: checks only. "InvalidArgument" with the
 * property's name: an unknown one, one that containers must not set (the message says what to use instead),
 * a malformed value. */
int unit_property_append(sd_bus_message *m, const char *assignment, Error *reterr_error);
