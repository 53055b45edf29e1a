/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Error ↔ org.moored1.Error.*: the one place where the names of errors on the bus are made. */

#include <systemd/sd-bus.h>

#include "basic/error.h"

#define BUS_ERROR_PREFIX "org.moored1.Error."
#define BUS_ERROR_NAME_MAX 256U /* with the NUL; D-Bus allows 255 bytes */

/* The name on the bus of an error that is set; written to buf, which is returned. */
const char *bus_error_name(const Error *e, char buf[static BUS_ERROR_NAME_MAX]);
/* Fills ret_error and returns e's errno (negative): `return bus_error_set(ret_error, &error)` ends a
 * method. An e that is not set is an internal error and says so. */
int bus_error_set(sd_bus_error *ret_error, const Error *e);
/* Sends the reply of a method call that failed. */
int bus_error_reply(sd_bus_message *m, const Error *e);
