/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How fast a device sends: a token bucket (tbf, tc-tbf(8)) as its root. What a device receives the kernel does not slow down; of a pair the
 * other end can. */

#include "network/netlink.h"

/* bits: a second; 0: no limit any more. A discipline that is somebody else's is replaced by a limit, but never removed. */
int qdisc_set_rate(Netlink *n, const LinkInfo *l, uint64_t bits);
