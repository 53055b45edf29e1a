/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As nf_tables has concatenations: each part fills up 4 bytes. The protocol is one byte, a port two, in network
 * byte order; both come first in theirs. firewall.c has the types of the maps. */

#include <netinet/in.h> /* first: the next one would define the same */

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "basic/string-util.h"
#include "network/firewall-elements.h"

#define PART 4U
#define KEY_MAX (sizeof(struct in6_addr) + 2 * PART)
#define CHUNK 512U /* elements of a message: the length of an attribute is 16 bits, and one takes up to 68 bytes */
#define MESSAGE_SIZE (CHUNK * 72U + 256U)

typedef struct Messages {
        struct nl_msg *list[NETLINK_TRANSACTION_MAX];
        size_t n;
        struct nlattr *elements; /* of the last one, which has so many; NULL: it is complete */
        unsigned n_elements;
} Messages;

static void messages_done(Messages *m) {
        for (size_t i = 0; i < m->n; i++)
                nlmsg_free(m->list[i]);
}

const char *firewall_elements_map(const FirewallPort *p) {
        /* 0.0.0.0 and :: are all addresses of their family; the container's has the family. */
        if (address_is_unspecified(&p->port.host))
                return p->container.family == AF_INET6 ? "ports6" : "ports4";
        return p->container.family == AF_INET6 ? "hosts6" : "hosts4";
}

/* -- a message -- */

static int message_open(Messages *m, int type, const char *map) {
        struct nfgenmsg body = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };
        struct nl_msg *q;

        if (m->n == ELEMENTSOF(m->list))
                return -E2BIG;
        q = nlmsg_alloc_size(MESSAGE_SIZE);
        if (!q)
                return -ENOMEM;
        m->list[m->n++] = q;
        if (!nlmsg_put(q, NL_AUTO_PORT, NL_AUTO_SEQ, (NFNL_SUBSYS_NFTABLES << 8) | type, 0, NLM_F_CREATE) ||
            nlmsg_append(q, &body, sizeof(body), NLMSG_ALIGNTO) < 0 ||
            nla_put_string(q, NFTA_SET_ELEM_LIST_TABLE, FIREWALL_TABLE) < 0 ||
            nla_put_string(q, NFTA_SET_ELEM_LIST_SET, map) < 0)
                return -ENOMEM;
        m->elements = nla_nest_start(q, NFTA_SET_ELEM_LIST_ELEMENTS);
        m->n_elements = 0;
        return m->elements ? 0 : -ENOMEM;
}

static void message_close(Messages *m) {
        if (m->elements)
                (void) nla_nest_end(m->list[m->n - 1], m->elements);
        m->elements = NULL;
}

/* -- an element -- */

static size_t put_address(uint8_t *p, const Address *a) {
        size_t n = a->family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);

        memcpy(p, a->bytes, n);
        return n;
}

static size_t put_port(uint8_t *p, unsigned number) {
        uint16_t n = htobe16((uint16_t) number);

        memset(p, 0, PART);
        memcpy(p, &n, sizeof(n));
        return PART;
}

static size_t write_key(uint8_t *p, const Port *port, unsigned i) {
        size_t n = 0;

        if (!address_is_unspecified(&port->host))
                n += put_address(p, &port->host);
        memset(p + n, 0, PART);
        p[n] = (uint8_t) port_protocol_to_ip(port->protocol);
        n += PART;
        return n + put_port(p + n, port->host_port + i);
}

static size_t write_value(uint8_t *p, const FirewallPort *port, unsigned i) {
        size_t n = put_address(p, &port->container);

        return n + put_port(p + n, port->port.container_port + i);
}

static int put_data(struct nl_msg *q, int type, const uint8_t *data, size_t size) {
        struct nlattr *nest = nla_nest_start(q, type);

        if (!nest || nla_put(q, NFTA_DATA_VALUE, (int) size, data) < 0)
                return -ENOMEM;
        return nla_nest_end(q, nest) < 0 ? -ENOMEM : 0;
}

static int put_element(struct nl_msg *q, const FirewallPort *port, unsigned i, bool value) {
        struct nlattr *nest = nla_nest_start(q, NFTA_LIST_ELEM);
        uint8_t data[KEY_MAX];

        if (!nest || put_data(q, NFTA_SET_ELEM_KEY, data, write_key(data, &port->port, i)) < 0 ||
            (value && put_data(q, NFTA_SET_ELEM_DATA, data, write_value(data, port, i)) < 0))
                return -ENOMEM;
        return nla_nest_end(q, nest) < 0 ? -ENOMEM : 0;
}

/* -- all of them -- */

static int put_port_range(Messages *m, int type, const char *map, const FirewallPort *p) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < p->port.count; i++) {
                if (m->n_elements == CHUNK)
                        message_close(m);
                if (!m->elements)
                        r = message_open(m, type, map);
                if (r >= 0)
                        r = put_element(m->list[m->n - 1], p, i, type == NFT_MSG_NEWSETELEM);
                m->n_elements++;
        }
        return r;
}

static int put_all(Messages *m, int type, const FirewallPort *ports, size_t n) {
        static const char *const maps[] = { "ports4", "ports6", "hosts4", "hosts6" };
        int r = 0;

        for (size_t k = 0; k < ELEMENTSOF(maps); k++) {
                for (size_t i = 0; r >= 0 && i < n; i++)
                        if (streq(firewall_elements_map(ports + i), maps[k]))
                                r = put_port_range(m, type, maps[k], ports + i);
                message_close(m);
        }
        return r;
}

int firewall_elements_change(NetlinkSocket *s, ElementsChange change, const FirewallPort *ports, size_t n) {
        _cleanup_(messages_done) Messages m = {};
        int r = 0;

        if (change & ELEMENTS_ADD)
                r = put_all(&m, NFT_MSG_NEWSETELEM, ports, n);
        if (r >= 0 && change & ELEMENTS_DELETE)
                r = put_all(&m, NFT_MSG_DELSETELEM, ports, n);
        return r < 0 ? r : netlink_socket_transact(s, m.list, m.n);
}
