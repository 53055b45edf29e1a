/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of the host's ports other programs have, as the kernel's sock_diag(7) tells. */

#include "network/netlink-socket.h"
#include "network/port.h"

/* A socket that waits for connections, or with UDP for datagrams of anybody. address: of IPv6, and not bound to an
 * address: of both families, if it is that. */
typedef struct Listener {
        Address address;
        bool both;
        uint16_t port;
        int device; /* that it is bound to, as a link-local address always is; 0: none */
} Listener;

/* Those of a protocol; ends with the first result of func that is not 0, and returns it. port 0: all. socket: of
 * NETLINK_SOCK_DIAG. -EOPNOTSUPP, -ENOENT: this kernel does not tell. */
int listeners_foreach(NetlinkSocket *socket, PortProtocol protocol, uint16_t port,
                      int (*func)(const Listener *l, void *userdata), void *userdata);
/* ret: p->count of them; true: somebody listens there, on whatever address. */
int listeners_find(NetlinkSocket *socket, const Port *p, bool *ret);
/* Would connections to the port, published, have been the listener's? ret: which number. */
bool listener_has_port(const Listener *l, const Port *p, uint16_t *ret);
