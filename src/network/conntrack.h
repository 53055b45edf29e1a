/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Connections that the kernel follows, where a change of published ports does not reach them: a flow of UDP
 * is translated, or not, as its first packet was, for as long as it goes on. */

#include "network/firewall.h"
#include "network/netlink-socket.h"

/* Ports have been opened: flows to them that nobody has answered begin anew with their next packet. Ports of
 * other protocols are left out, here and below. socket: of NETLINK_NETFILTER. */
int conntrack_forget_unanswered(NetlinkSocket *socket, const FirewallPort *ports, size_t n);
/* Ports have been closed: flows to where they led likewise. */
int conntrack_forget_translated(NetlinkSocket *socket, const FirewallPort *ports, size_t n);
