/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "network/listeners.h"

typedef struct Visit {
        uint16_t port;
        int (*func)(const Listener *l, void *userdata);
        void *userdata;
} Visit;

static void get_address(const struct inet_diag_msg *m, Address *ret) {
        struct in6_addr in6;

        memcpy(&in6, m->id.idiag_src, sizeof(in6));
        *ret = (Address) { .family = m->idiag_family };
        if (m->idiag_family == AF_INET)
                memcpy(&ret->in, m->id.idiag_src, sizeof(ret->in));
        else if (IN6_IS_ADDR_V4MAPPED(&in6)) {
                ret->family = AF_INET;
                memcpy(&ret->in, in6.s6_addr + 12, sizeof(ret->in));
        } else
                ret->in6 = in6;
}

static int visit(struct nlmsghdr *h, void *userdata) {
        const struct inet_diag_msg *m = nlmsg_data(h);
        const Visit *v = userdata;
        struct nlattr *only;
        Listener l;

        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || nlmsg_datalen(h) < (int) sizeof(*m))
                return 0;
        only = nlmsg_find_attr(h, sizeof(*m), INET_DIAG_SKV6ONLY);
        get_address(m, &l.address);
        l.port = be16toh(m->id.idiag_sport);
        l.device = (int) m->id.idiag_if;
        l.both = l.address.family == AF_INET6 && address_is_unspecified(&l.address) && !(only && nla_get_u8(only));
        return l.port == 0 || (v->port > 0 && l.port != v->port) ? 0 : v->func(&l, v->userdata);
}

static int foreach_of(NetlinkSocket *socket, int family, PortProtocol protocol, Visit *v) {
        const struct inet_diag_req_v2 request = {
                .sdiag_family = (uint8_t) family,
                .sdiag_protocol = (uint8_t) port_protocol_to_ip(protocol),
                /* A socket of UDP is either connected or this. */
                .idiag_states = 1U << (protocol == PORT_UDP ? TCP_CLOSE : TCP_LISTEN),
                .id.idiag_sport = htobe16(v->port),
        };
        _cleanup_(netlink_message_freep) struct nl_msg *q = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);

        if (!q || nlmsg_append(q, (void *) &request, sizeof(request), NLMSG_ALIGNTO) < 0)
                return -ENOMEM;
        return netlink_socket_call(socket, q, visit, v);
}

int listeners_foreach(NetlinkSocket *socket, PortProtocol protocol, uint16_t port,
                      int (*func)(const Listener *l, void *userdata), void *userdata) {
        Visit v = { port, func, userdata };
        int r;

        r = foreach_of(socket, AF_INET, protocol, &v);
        return r == 0 ? foreach_of(socket, AF_INET6, protocol, &v) : r;
}

typedef struct Range {
        const Port *port;
        bool *taken;
} Range;

static int mark(const Listener *l, void *userdata) {
        const Range *range = userdata;

        if (l->port >= range->port->host_port && l->port - range->port->host_port < range->port->count)
                range->taken[l->port - range->port->host_port] = true;
        return 0;
}

int listeners_find(NetlinkSocket *socket, const Port *p, bool *ret) {
        memset(ret, 0, p->count * sizeof(*ret));
        return listeners_foreach(socket, p->protocol, p->count == 1 ? p->host_port : 0, mark, &(Range) { p, ret });
}

bool listener_has_port(const Listener *l, const Port *p, uint16_t *ret) {
        if (l->port < p->host_port || l->port - p->host_port >= p->count)
                return false;
        if (p->host.family != AF_UNSPEC && p->host.family != l->address.family && !(l->both && p->host.family == AF_INET))
                return false;
        if (!address_is_unspecified(&p->host) && !address_is_unspecified(&l->address) &&
            address_compare(&p->host, &l->address) != 0)
                return false;
        *ret = l->port;
        return true;
}
