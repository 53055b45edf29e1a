/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "network/conntrack.h"
#include "network/netlink-socket.h"

/* For the kernel, which compares these only (nf_internals.h; since Linux 5.8). */
#define FILTER_PROTO_NUM (1U << 3)
#define FILTER_SRC_PORT (1U << 4)
#define FILTER_DST_PORT (1U << 5)

/* The kernel takes some milliseconds to look through its table, even if there is nothing in it: not while a container is
 * being started or removed, and once for all that come and go together. */
#define DELAY_USEC (100 * USEC_PER_MSEC)
#define MERGED_MAX 256U /* ports, ranges counting as one */

/* Datagrams of a dump that are read without a pause; each has up to 200 flows, of which each that is to be forgotten
 * costs a call. */
#define SLICE 2U

typedef struct Tuple {
        Address source, destination;
        uint16_t source_port, destination_port;
        uint8_t protocol;
} Tuple;

typedef bool (*Matches)(const FirewallPort *p, const Tuple *orig, const Tuple *reply, uint32_t status);

typedef struct Wanted {
        FirewallPort port; /* of UDP */
        Matches matches;
} Wanted;

typedef struct Search {
        struct Search *next;
        size_t family; /* the next of the two that is dumped */
        size_t n;
        Wanted list[];
} Search;

/* One search at a time: the first. */
struct Conntrack {
        NetlinkSocket *dump, *calls; /* while there are any */
        Search *searches;
        bool dumping;
        sd_event *event; /* weak */
        sd_event_source *source;
};

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

/* Who has found a flow that is gone meanwhile, has what he wanted. */
static int forget(Conntrack *c, struct nlattr *const a[], int family) {
        _cleanup_(netlink_message_freep) struct nl_msg *q =
                        netfilter_message_new(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, 0, family);
        int r;

        if (!q)
                return -ENOMEM;
        for (int type = 0; type <= CTA_MAX; type++)
                if (a[type] && (type == CTA_TUPLE_ORIG || type == CTA_ID || type == CTA_ZONE) &&
                    nla_put(q, a[type]->nla_type, nla_len(a[type]), nla_data(a[type])) < 0)
                        return -ENOMEM;
        r = netlink_socket_call(c->calls, q, NULL, NULL);
        return r == -ENOENT ? 0 : r;
}

static int look_at(struct nlmsghdr *h, void *userdata) {
        struct nlattr *a[CTA_MAX + 1];
        Conntrack *c = userdata;
        const Search *s = c->searches;
        Tuple orig, reply;
        uint32_t status;

        if (nlmsg_parse(h, sizeof(struct nfgenmsg), a, CTA_MAX, NULL) < 0 ||
            !get_tuple(a[CTA_TUPLE_ORIG], &orig) || !get_tuple(a[CTA_TUPLE_REPLY], &reply) ||
            orig.protocol != IPPROTO_UDP)
                return 0;
        status = a[CTA_STATUS] ? be32toh(nla_get_u32(a[CTA_STATUS])) : 0;
        for (size_t i = 0; i < s->n; i++)
                if (s->list[i].matches(&s->list[i].port, &orig, &reply, status))
                        return forget(c, a, orig.source.family);
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

static int start_dump(Conntrack *c, const Search *s, int family) {
        const Port *p = &s->list[0].port.port;
        bool single = s->n == 1 && p->count == 1, reply = s->list[0].matches == is_translated;
        _cleanup_(netlink_message_freep) struct nl_msg *q =
                        netfilter_message_new(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
        int r;

        if (!q)
                return -ENOMEM;
        r = put_filter(q, reply, !single ? 0 : reply ? p->container_port : p->host_port);
        return r < 0 ? r : netlink_socket_dump_start(c->dump, q);
}

/* -- searches -- */

static const int families[] = { AF_INET, AF_INET6 };

static bool has_family(const Search *s, int family) {
        for (size_t i = 0; i < s->n; i++)
                if (s->list[i].port.container.family == family)
                        return true;
        return false;
}

static void end_search(Conntrack *c) {
        Search *s = c->searches;

        c->searches = s->next;
        c->dumping = false;
        free(s);
        if (!c->searches) {
                c->dump = netlink_socket_free(c->dump);
                c->calls = netlink_socket_free(c->calls);
        }
}

/* One datagram of the first search. What goes wrong costs somebody a flow that he has to begin anew. */
static int step(Conntrack *c) {
        Search *s = c->searches;
        int r = 0;

        if (c->dumping) {
                r = netlink_socket_dump_continue(c->dump, look_at, c);
                c->dumping = r > 0;
        } else if (s->family == ELEMENTSOF(families))
                end_search(c);
        else {
                int family = families[s->family++];

                if (has_family(s, family)) {
                        r = start_dump(c, s, family);
                        c->dumping = r >= 0;
                }
        }
        return MIN(r, 0);
}

/* Until there has been enough for one time; all: until the end. The first error. */
static int work(Conntrack *c, bool all) {
        int r = 0, k;

        for (unsigned n = 0; c->searches && (all || n < SLICE);) {
                n += c->dumping;
                k = step(c);
                r = r < 0 ? r : k;
        }
        return r;
}

static int go_on_later(Conntrack *c, uint64_t usec);

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        Conntrack *c = userdata;
        int r;

        r = work(c, false);
        if (r < 0)
                log_debug_errno(r, "Failed to forget flows of published ports, ignoring: %m");
        return c->searches ? go_on_later(c, 0) : 0;
}

static int go_on_later(Conntrack *c, uint64_t usec) {
        int r;

        if (!c->source) {
                r = sd_event_add_time_relative(c->event, &c->source, CLOCK_MONOTONIC, usec, USEC_PER_MSEC, on_turn, c);
                if (r >= 0)
                        (void) sd_event_source_set_description(c->source, "conntrack");
                return r;
        }
        r = sd_event_source_set_time_relative(c->source, usec);
        return r < 0 ? r : sd_event_source_set_enabled(c->source, SD_EVENT_ONESHOT);
}

/* Behind those that wait, or with the last of them. 1: there is something to do. */
static int add_search(Conntrack *c, Matches matches, const FirewallPort *ports, size_t n) {
        Search **last = &c->searches, *s;
        size_t before;

        while (*last && (*last)->next)
                last = &(*last)->next;
        if (*last && ((*last)->family > 0 || (*last)->n >= MERGED_MAX))
                last = &(*last)->next;
        before = *last ? (*last)->n : 0;
        s = realloc(*last, sizeof(*s) + (before + n) * sizeof(*s->list));
        if (!s)
                return -ENOMEM;
        if (!*last)
                *s = (Search) {};
        for (size_t i = 0; i < n; i++)
                if (ports[i].port.protocol == PORT_UDP)
                        s->list[s->n++] = (Wanted) { ports[i], matches };
        if (s->n > 0) {
                *last = s;
                return 1;
        }
        free(s);
        *last = NULL;
        return 0;
}

static int open_sockets(Conntrack *c) {
        int r;

        r = netlink_socket_new(NETLINK_NETFILTER, &c->dump);
        return r < 0 ? r : netlink_socket_new(NETLINK_NETFILTER, &c->calls);
}

static int search(Conntrack *c, Matches matches, const FirewallPort *ports, size_t n) {
        bool busy = c->searches;
        int r;

        r = add_search(c, matches, ports, n);
        if (r <= 0 || busy)
                return r;
        r = open_sockets(c);
        if (r < 0) {
                end_search(c);
                return r;
        }
        return c->event && go_on_later(c, DELAY_USEC) >= 0 ? 0 : work(c, true);
}

int conntrack_forget_unanswered(Conntrack *c, const FirewallPort *ports, size_t n) {
        return search(c, is_unanswered, ports, n);
}

int conntrack_forget_translated(Conntrack *c, const FirewallPort *ports, size_t n) {
        return search(c, is_translated, ports, n);
}

/* -- itself -- */

int conntrack_new(Conntrack **ret) {
        Conntrack *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *ret = c;
        return 0;
}

Conntrack *conntrack_free(Conntrack *c) {
        if (!c)
                return NULL;
        while (c->searches)
                end_search(c);
        sd_event_source_disable_unref(c->source);
        free(c);
        return NULL;
}

void conntrack_set_event(Conntrack *c, sd_event *event) {
        c->event = event;
}
