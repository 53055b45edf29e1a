/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <netinet/tcp.h> /* first: the next ones would define the same */

#include <endian.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include "network/listeners.h"
#include "network/netlink-socket.h"

/* A condition is two words: what is compared and where it goes on, and the port. It jumps by bytes; behind the end by
 * exactly nothing is "yes", by a word "no". */
#define CONDITION_SIZE (2 * sizeof(struct inet_diag_bc_op))

typedef struct Range {
        const Port *port;
        bool *taken;
} Range;

static int mark(struct nlmsghdr *h, void *userdata) {
        const struct inet_diag_msg *m = nlmsg_data(h);
        Range *range = userdata;
        unsigned number;

        if (nlmsg_datalen(h) < (int) sizeof(*m))
                return 0;
        number = be16toh(m->id.idiag_sport);
        if (number >= range->port->host_port && number - range->port->host_port < range->port->count)
                range->taken[number - range->port->host_port] = true;
        return 0;
}

static struct nl_msg *question_new(const Port *p, int family) {
        const struct inet_diag_req_v2 q = {
                .sdiag_family = (uint8_t) family,
                .sdiag_protocol = (uint8_t) port_protocol_to_ip(p->protocol),
                /* What listens is in the way, not what has just ended. UDP knows no difference. */
                .idiag_states = p->protocol == PORT_TCP ? 1U << TCP_LISTEN : UINT32_MAX,
        };
        const struct inet_diag_bc_op conditions[] = {
                { INET_DIAG_BC_S_GE, CONDITION_SIZE, 2 * CONDITION_SIZE + 4 },
                { .no = p->host_port },
                { INET_DIAG_BC_S_LE, CONDITION_SIZE, CONDITION_SIZE + 4 },
                { .no = (uint16_t) (p->host_port + p->count - 1) },
        };
        struct nl_msg *m = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);

        if (m && (nlmsg_append(m, (void *) &q, sizeof(q), NLMSG_ALIGNTO) < 0 ||
                  nla_put(m, INET_DIAG_REQ_BYTECODE, sizeof(conditions), conditions) < 0))
                m = netlink_message_free(m);
        return m;
}

int listeners_find(const Port *p, bool *ret) {
        static const int families[] = { AF_INET, AF_INET6 };
        _cleanup_(netlink_socket_freep) NetlinkSocket *s = NULL;
        Range range = { p, ret };
        int r;

        /* The kernel has seldom loaded what answers for SCTP. */
        if (p->protocol == PORT_SCTP)
                return -EOPNOTSUPP;
        r = netlink_socket_new(NETLINK_SOCK_DIAG, &s);
        if (r < 0)
                return r;
        memset(ret, 0, p->count * sizeof(*ret));
        /* One of IPv6 may have the port of IPv4 as well. */
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                _cleanup_(netlink_message_freep) struct nl_msg *m = question_new(p, families[i]);

                if (!m)
                        return -ENOMEM;
                r = netlink_socket_call(s, m, mark, &range);
                if (r < 0)
                        return r;
        }
        return 0;
}
