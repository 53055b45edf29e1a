/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "network/conntrack.h"

/* For the kernel, which compares these only (nf_internals.h; since Linux 5.8). */
#define FILTER_PROTO_NUM (1U << 3)
#define FILTER_SRC_PORT (1U << 4)
#define FILTER_DST_PORT (1U << 5)

#define FLOWS_MAX 65536U

typedef struct Tuple {
        Address source, destination;
        uint16_t source_port, destination_port;
        uint8_t protocol;
} Tuple;

/* Those that are to be forgotten are kept until the dump is over. */
typedef struct Search {
        const FirewallPort *ports;
        size_t n_ports;
        bool (*matches)(const FirewallPort *p, const Tuple *orig, const Tuple *reply, uint32_t status);
        struct nl_msg **found;
        size_t n_found;
} Search;

static void search_done(Search *s) {
        for (size_t i = 0; i < s->n_found; i++)
                nlmsg_free(s->found[i]);
        free(s->found);
}

/* -- what a message says -- */

static void get_address(struct nlattr *v4, struct nlattr *v6, Address *ret) {
        *ret = (Address) { .family = v4 ? AF_INET : v6 ? AF_INET6 : AF_UNSPEC };
        if (v4)
                (void) nla_memcpy(ret->bytes, v4, sizeof(ret->in));
        else if (v6)
                (void) nla_memcpy(ret->bytes, v6, sizeof(ret->in6));
}

static bool get_tuple(struct nlattr *a, Tuple *ret) {
        struct nlattr *t[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];

        if (!a || nla_parse_nested(t, CTA_TUPLE_MAX, a, NULL) < 0 || !t[CTA_TUPLE_IP] ||
            !t[CTA_TUPLE_PROTO] || nla_parse_nested(ip, CTA_IP_MAX, t[CTA_TUPLE_IP], NULL) < 0 ||
            nla_parse_nested(proto, CTA_PROTO_MAX, t[CTA_TUPLE_PROTO], NULL) < 0 || !proto[CTA_PROTO_NUM] ||
            !proto[CTA_PROTO_SRC_PORT] || !proto[CTA_PROTO_DST_PORT])
                return false;
        *ret = (Tuple) {
                .protocol = nla_get_u8(proto[CTA_PROTO_NUM]),
                .source_port = be16toh(nla_get_u16(proto[CTA_PROTO_SRC_PORT])),
                .destination_port = be16toh(nla_get_u16(proto[CTA_PROTO_DST_PORT])),
        };
        get_address(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC], &ret->source);
        get_address(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST], &ret->destination);
        return true;
}

static bool in_range(uint16_t number, uint16_t first, uint16_t count) {
        return number >= first && number - first < count;
}

static bool is_unanswered(const FirewallPort *p, const Tuple *orig, const Tuple *reply, uint32_t status) {
        return !(status & IPS_SEEN_REPLY) && orig->destination.family == p->container.family &&
               in_range(orig->destination_port, p->port.host_port, p->port.count) &&
               (address_is_unspecified(&p->port.host) || address_compare(&p->port.host, &orig->destination) == 0);
}

static bool is_translated(const FirewallPort *p, const Tuple *orig, const Tuple *reply, uint32_t status) {
        return status & IPS_DST_NAT && address_compare(&reply->source, &p->container) == 0 &&
               in_range(reply->source_port, p->port.container_port, p->port.count);
}

/* -- messages -- */

static struct nl_msg *message_new(unsigned type, int flags, int family) {
        struct nfgenmsg m = { .nfgen_family = (uint8_t) family, .version = NFNETLINK_V0 };
        struct nl_msg *q = nlmsg_alloc_simple((NFNL_SUBSYS_CTNETLINK << 8) | (int) type, flags);

        if (q && nlmsg_append(q, &m, sizeof(m), NLMSG_ALIGNTO) < 0) {
                nlmsg_free(q);
                q = NULL;
        }
        return q;
}

static int add_found(Search *s, struct nlattr *const a[]) {
        _cleanup_(netlink_message_freep) struct nl_msg *q = NULL;
        struct nl_msg **found;
        Tuple t;

        if (!get_tuple(a[CTA_TUPLE_ORIG], &t) || s->n_found >= FLOWS_MAX)
                return 0;
        q = message_new(IPCTNL_MSG_CT_DELETE, 0, t.source.family);
        if (!q)
                return -ENOMEM;
        for (int type = 0; type <= CTA_MAX; type++)
                if (a[type] && (type == CTA_TUPLE_ORIG || type == CTA_ID || type == CTA_ZONE) &&
                    nla_put(q, a[type]->nla_type, nla_len(a[type]), nla_data(a[type])) < 0)
                        return -ENOMEM;
        found = reallocarray(s->found, s->n_found + 1, sizeof(*found));
        if (!found)
                return -ENOMEM;
        s->found = found;
        s->found[s->n_found++] = TAKE_PTR(q);
        return 0;
}

static int look_at(struct nlmsghdr *h, void *userdata) {
        struct nlattr *a[CTA_MAX + 1];
        Search *s = userdata;
        Tuple orig, reply;
        uint32_t status;

        if (nlmsg_parse(h, sizeof(struct nfgenmsg), a, CTA_MAX, NULL) < 0 ||
            !get_tuple(a[CTA_TUPLE_ORIG], &orig) || !get_tuple(a[CTA_TUPLE_REPLY], &reply) ||
            orig.protocol != IPPROTO_UDP)
                return 0;
        status = a[CTA_STATUS] ? be32toh(nla_get_u32(a[CTA_STATUS])) : 0;
        for (size_t i = 0; i < s->n_ports; i++)
                if (s->ports[i].port.protocol == PORT_UDP && s->matches(s->ports + i, &orig, &reply, status))
                        return add_found(s, a);
        return 0;
}

/* The kernel passes over what is not UDP, and, of a single port, all others. */
static int put_filter(struct nl_msg *q, bool reply, uint16_t port) {
        struct nlattr *tuple, *proto, *filter;
        uint32_t flags = FILTER_PROTO_NUM, none = 0;

        if (port > 0)
                flags |= reply ? FILTER_SRC_PORT : FILTER_DST_PORT;
        tuple = nla_nest_start(q, reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
        proto = tuple ? nla_nest_start(q, CTA_TUPLE_PROTO) : NULL;
        if (!proto || nla_put_u8(q, CTA_PROTO_NUM, IPPROTO_UDP) < 0 ||
            (port > 0 && nla_put_u16(q, reply ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT, htobe16(port)) < 0))
                return -ENOMEM;
        (void) nla_nest_end(q, proto);
        (void) nla_nest_end(q, tuple);
        filter = nla_nest_start(q, CTA_FILTER);
        if (!filter || nla_put_u32(q, CTA_FILTER_ORIG_FLAGS, reply ? none : flags) < 0 ||
            nla_put_u32(q, CTA_FILTER_REPLY_FLAGS, reply ? flags : none) < 0)
                return -ENOMEM;
        (void) nla_nest_end(q, filter);
        return 0;
}

static int search(NetlinkSocket *socket, Search *s, int family, bool reply) {
        const FirewallPort *p = s->ports;
        bool single = s->n_ports == 1 && p->port.count == 1;
        _cleanup_(netlink_message_freep) struct nl_msg *q =
                        message_new(IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
        int r;

        if (!q)
                return -ENOMEM;
        r = put_filter(q, reply, !single ? 0 : reply ? p->port.container_port : p->port.host_port);
        return r < 0 ? r : netlink_socket_call(socket, q, look_at, s);
}

static int forget(NetlinkSocket *socket, Search *s, bool reply) {
        int r = 0;

        for (int i = 0; i < 2; i++) {
                int family = i == 0 ? AF_INET : AF_INET6;
                bool any = false;

                for (size_t k = 0; k < s->n_ports; k++)
                        any |= s->ports[k].port.protocol == PORT_UDP &&
                               s->ports[k].container.family == family;
                if (any)
                        r = search(socket, s, family, reply) ?: r;
        }
        for (size_t i = 0; i < s->n_found; i++) {
                int k = netlink_socket_call(socket, s->found[i], NULL, NULL);

                if (k < 0 && k != -ENOENT)
                        r = k;
        }
        return r == -EAGAIN ? 0 : r;
}

int conntrack_forget_unanswered(NetlinkSocket *socket, const FirewallPort *ports, size_t n) {
        _cleanup_(search_done) Search s = { .ports = ports, .n_ports = n, .matches = is_unanswered };

        return forget(socket, &s, false);
}

int conntrack_forget_translated(NetlinkSocket *socket, const FirewallPort *ports, size_t n) {
        _cleanup_(search_done) Search s = { .ports = ports, .n_ports = n, .matches = is_translated };

        return forget(socket, &s, true);
}
