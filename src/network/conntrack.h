/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Connections that the kernel follows, where a change of published ports does not reach them: a flow of UDP
 * is translated, or not, as its first packet was, for as long as it goes on.
 *
 * The kernel's whole table is looked through for it, which may have a quarter of a million of them. */

#include <systemd/sd-event.h>

#include "network/firewall.h"

typedef struct Conntrack Conntrack;

/* For the network namespace that callers of the rest are in. */
int conntrack_new(Conntrack **ret);
Conntrack *conntrack_free(Conntrack *c);
DEFINE_CLEANUP_FUNC(Conntrack *, conntrack_free)
/* event (weak): it is done in this loop, a tenth of a second later, piece by piece. NULL: within the call. */
void conntrack_set_event(Conntrack *c, sd_event *event);

/* Ports have been opened: flows to them that nobody has answered begin anew with their next packet. Ports of
 * other protocols are left out, here and below. */
int conntrack_forget_unanswered(Conntrack *c, const FirewallPort *ports, size_t n);
/* Ports have been closed: flows to where they led likewise. */
int conntrack_forget_translated(Conntrack *c, const FirewallPort *ports, size_t n);
