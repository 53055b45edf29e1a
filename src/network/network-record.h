/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a container has on networks, and these networks, as a member of its bundle's record.json (container/record.h): with a database
 * that was lost goes no address or port that somebody still uses. */

#include "basic/json.h"
#include "store/store.h"

#define NETWORK_RECORD_VERSION 1

/* NULL: it has nothing. */
int network_record_build(Store *s, const char *ns, const char *container, json_t **ret);
/* Networks that are not there are made as they were, with new numbers. "InvalidRecord": it makes no sense, or contradicts another's. The
 * container's row is there. */
int network_record_restore(Store *s, const char *ns, const char *container, json_t *record, Error *reterr_error);
