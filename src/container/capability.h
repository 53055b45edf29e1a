/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Capabilities as sets of 64 bits and by name (capabilities(7)). */

#include "basic/macro.h"

/* Docker's default set: what an ordinary image expects of root. */
extern const uint64_t capability_default_mask;

/* "NET_ADMIN", "CAP_NET_ADMIN", in either case; "ALL": every known one. 0: unknown. */
uint64_t capability_mask_from_string(const char *s);
/* "CAP_NET_ADMIN", NULL if unknown. */
const char *capability_to_string(unsigned i);
/* What PID 1 may hand on (its bounding set); every known one if that cannot be read. */
uint64_t capability_available_mask(void);
