/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Published ports as elements of the maps of table "inet moored". By messages of nf_tables: libnftables, which
 * makes the table, takes ten times as long for a range of ports, as it reads and sorts them as text, and asks
 * for all sets that there are. */

#include "network/firewall.h"
#include "network/netlink-socket.h"

typedef enum ElementsChange {
        ELEMENTS_ADD = 1 << 0,
        ELEMENTS_DELETE = 1 << 1, /* by key, whatever the value is */
} ElementsChange;

/* The map that a port belongs in. */
const char *firewall_elements_map(const FirewallPort *p);

/* In one transaction; with both flags, in this order: so what is there is deleted, and what is not there is no
 * error. To add what is there already is none, either. -EEXIST: one is there with another value. -ENOENT: one that
 * is to be deleted is not there, or the table is not. -E2BIG: more than NETLINK_TRANSACTION_MAX messages, of some
 * hundred ports. */
int firewall_elements_change(NetlinkSocket *s, ElementsChange change, const FirewallPort *ports, size_t n);
