/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's row, the rows of the snapshots that it stands on and what it has on networks, as record.json in its bundle: what is
 * needed to go on with it when the database is lost while the host stays up. It holds what it says as long
 * as the boot lasts, as the bundle does. */

#include "basic/error.h"
#include "oci/manifest.h"
#include "store/store.h"

#define RECORD_SIZE_MAX (17U * 1024 * 1024)
#define RECORD_SNAPSHOTS_MAX (LAYERS_MAX + 1) /* the writable one */

/* The text for a row whose snapshots are in the store. */
int record_build(Store *s, const ContainerRow *row, char **ret);
/* Adds what the text says to the store: namespace, snapshots with their numbers (ready, in this boot),
 * container, networks, addresses, ports. ns, id: whose bundle it is; "InvalidRecord" if it speaks of another one, or of snapshots that
 * contradict others. */
int record_restore(Store *s, const char *ns, const char *id, const char *text, const char *boot_id,
                   Error *reterr_error);
/* All records below containers_fd; those that cannot be used are told in the log. Returns how many were
 * restored. */
int record_restore_all(Store *s, int containers_fd, const char *boot_id, Error *reterr_error);
