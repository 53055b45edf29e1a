/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which ports of a range sockets of this host may have: one question to the kernel, where to try each takes some
 * microseconds. */

#include "network/port.h"

/* ret: p->count of them; true: some socket listens there (of UDP: is bound), on whatever address. False: nobody does.
 * -EOPNOTSUPP, or another error: the kernel cannot say. */
int listeners_find(const Port *p, bool *ret);
