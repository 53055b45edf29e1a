/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls that need an image's layers which are not unpacked: they wait for that and are processed once more.
 * See bus-unpack.c. */

#include "bus/bus-object.h"

/* To be asked at the beginning of a method: true if this call has waited already. */
bool bus_unpack_was_waiting(Bus *b, sd_bus_message *m);
/* For a method that failed with error: 1 if that was "ImageNotUnpacked" and the call waits from now on; else
 * what bus_error_set() says. waited: what bus_unpack_was_waiting() said. manifest_digest NULL: what the name
 * points at. */
int bus_error_or_unpack(Bus *b, sd_bus_message *m, bool waited, const char *ns, const char *image,
                        const char *manifest_digest, const Error *error, sd_bus_error *ret_error);
void bus_unpack_free_all(Bus *b);
