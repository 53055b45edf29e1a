/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "basic/string-util.h"
#include "network/netlink-socket.h"
#include "network/netlink.h"
#include "network/netns.h"

struct Netlink {
        NetlinkSocket *socket;
};

static int open_socket(void *userdata) {
        Netlink *n = userdata;

        return netlink_socket_new(NETLINK_ROUTE, &n->socket);
}

int netlink_new(int netns, Netlink **ret) {
        _cleanup_(netlink_freep) Netlink *n = NULL;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        r = netns < 0 ? open_socket(n) : netns_run(netns, open_socket, n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

Netlink *netlink_free(Netlink *n) {
        if (!n)
                return NULL;
        netlink_socket_free(n->socket);
        free(n);
        return NULL;
}

const char *netlink_get_message(const Netlink *n) {
        return netlink_socket_get_message(n->socket);
}

NetlinkSocket *netlink_get_socket(Netlink *n) {
        return n->socket;
}

/* -- requests -- */

/* A message is a page at most; what is put into one here is some hundred bytes, so a failure is memory's.
 * Each put is checked by what it leaves in r. */
typedef struct Request {
        struct nl_msg *message;
        int r;
} Request;

static void request_done(Request *q) {
        nlmsg_free(q->message);
}
#define _cleanup_request_ _cleanup_(request_done)

static Request request_new(int type, int flags, const void *header, size_t size) {
        struct nl_msg *m = nlmsg_alloc_simple(type, flags);

        if (m && nlmsg_append(m, (void *) header, size, NLMSG_ALIGNTO) >= 0)
                return (Request) { .message = m };
        nlmsg_free(m);
        return (Request) { .r = -ENOMEM };
}

static void put(Request *q, int type, const void *p, size_t size) {
        if (q->r >= 0 && nla_put(q->message, type, (int) size, p) < 0)
                q->r = -ENOMEM;
}

static void put_uint32(Request *q, int type, uint32_t v) {
        put(q, type, &v, sizeof(v));
}

static void put_string(Request *q, int type, const char *s) {
        put(q, type, s, strlen(s) + 1);
}

static void put_address(Request *q, int type, const Address *a) {
        put(q, type, a->bytes, a->family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in));
}

static struct nlattr *nest(Request *q, int type) {
        struct nlattr *a = q->r >= 0 ? nla_nest_start(q->message, type) : NULL;

        if (!a && q->r >= 0)
                q->r = -ENOMEM;
        return a;
}

static void nest_end(Request *q, struct nlattr *a) {
        if (a && q->r >= 0)
                (void) nla_nest_end(q->message, a);
}

static int call(Netlink *n, const Request *q) {
        return q->r < 0 ? q->r : netlink_socket_call(n->socket, q->message, NULL, NULL);
}

/* -- links -- */

static bool name_is_valid(const char *name) {
        return !isempty(name) && strlen(name) < IF_NAMESIZE;
}

static void get_statistics(struct nlattr *a, struct LinkStatistics *ret) {
        struct rtnl_link_stats64 s = {};

        if (!a)
                return;
        (void) nla_memcpy(&s, a, sizeof(s));
        *ret = (struct LinkStatistics){
                .rx_bytes = s.rx_bytes,
                .rx_packets = s.rx_packets,
                .rx_errors = s.rx_errors,
                .rx_dropped = s.rx_dropped,
                .tx_bytes = s.tx_bytes,
                .tx_packets = s.tx_packets,
                .tx_errors = s.tx_errors,
                .tx_dropped = s.tx_dropped,
        };
}

static int parse_link(struct nlmsghdr *h, LinkInfo *ret) {
        struct nlattr *a[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
        struct ifinfomsg *m = nlmsg_data(h);
        LinkInfo l = {};

        if (nlmsg_parse(h, sizeof(*m), a, IFLA_MAX, NULL) < 0 || !a[IFLA_IFNAME])
                return -EBADMSG;
        l.index = m->ifi_index;
        l.up = m->ifi_flags & IFF_UP;
        l.running = m->ifi_flags & IFF_RUNNING;
        (void) nla_strlcpy(l.name, a[IFLA_IFNAME], sizeof(l.name));
        if (a[IFLA_IFALIAS])
                (void) nla_strlcpy(l.alias, a[IFLA_IFALIAS], sizeof(l.alias));
        if (a[IFLA_MTU])
                l.mtu = nla_get_u32(a[IFLA_MTU]);
        if (a[IFLA_MASTER])
                l.master = (int) nla_get_u32(a[IFLA_MASTER]);
        if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == ETHER_SIZE)
                (void) nla_memcpy(l.ether, a[IFLA_ADDRESS], ETHER_SIZE);
        if (a[IFLA_LINKINFO] && nla_parse_nested(info, IFLA_INFO_MAX, a[IFLA_LINKINFO], NULL) >= 0 &&
            info[IFLA_INFO_KIND])
                (void) nla_strlcpy(l.kind, info[IFLA_INFO_KIND], sizeof(l.kind));
        get_statistics(a[IFLA_STATS64], &l.statistics);
        *ret = l;
        return 0;
}

static int on_link(struct nlmsghdr *h, void *userdata) {
        return h->nlmsg_type == RTM_NEWLINK ? parse_link(h, userdata) : 0;
}

int netlink_get_link(Netlink *n, const char *name, LinkInfo *ret) {
        _cleanup_request_ Request q =
                        request_new(RTM_GETLINK, 0, &(struct ifinfomsg) {}, sizeof(struct ifinfomsg));
        LinkInfo l = {};
        int r;

        if (!name_is_valid(name))
                return -ENODEV;
        put_string(&q, IFLA_IFNAME, name);
        r = q.r < 0 ? q.r : netlink_socket_call(n->socket, q.message, on_link, &l);
        if (r < 0)
                return r;
        *ret = l;
        return 0;
}

typedef struct LinkVisit {
        int (*func)(const LinkInfo *l, void *userdata);
        void *userdata;
} LinkVisit;

static int visit_link(struct nlmsghdr *h, void *userdata) {
        const LinkVisit *v = userdata;
        LinkInfo l;
        int r;

        r = h->nlmsg_type == RTM_NEWLINK ? parse_link(h, &l) : 0;
        return r < 0 || h->nlmsg_type != RTM_NEWLINK ? r : v->func(&l, v->userdata);
}

int netlink_foreach_link(Netlink *n, int (*func)(const LinkInfo *l, void *userdata), void *userdata) {
        _cleanup_request_ Request q = request_new(RTM_GETLINK, NLM_F_DUMP, &(struct ifinfomsg) {},
                                                  sizeof(struct ifinfomsg));

        return q.r < 0 ? q.r
                       : netlink_socket_call(n->socket, q.message, visit_link,
                                             &(LinkVisit) { func, userdata });
}

/* A new device; what is special of its kind comes behind. */
static Request link_request(const char *name, uint32_t mtu, bool up) {
        struct ifinfomsg m = { .ifi_flags = up ? IFF_UP : 0, .ifi_change = up ? IFF_UP : 0 };
        Request q = request_new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));

        put_string(&q, IFLA_IFNAME, name);
        if (mtu > 0)
                put_uint32(&q, IFLA_MTU, mtu);
        return q;
}

int netlink_add_bridge(Netlink *n, const char *name, uint32_t mtu, const uint8_t ether[ETHER_SIZE]) {
        _cleanup_request_ Request q = link_request(name, mtu, false);
        struct nlattr *info;

        if (!name_is_valid(name))
                return -EINVAL;
        if (ether)
                put(&q, IFLA_ADDRESS, ether, ETHER_SIZE);
        info = nest(&q, IFLA_LINKINFO);
        put_string(&q, IFLA_INFO_KIND, "bridge");
        nest_end(&q, info);
        return call(n, &q);
}

int netlink_add_veth(Netlink *n, const char *name, int master, uint32_t mtu, int peer_netns,
                     const char *peer, const uint8_t mac[ETHER_SIZE]) {
        _cleanup_request_ Request q = link_request(name, mtu, true);
        struct nlattr *info, *data, *other;
        struct ifinfomsg m = {}; /* not up: when the kernel makes it, it is no pair yet */

        if (!name_is_valid(name) || !name_is_valid(peer))
                return -EINVAL;
        if (master > 0)
                put_uint32(&q, IFLA_MASTER, (uint32_t) master);
        info = nest(&q, IFLA_LINKINFO);
        put_string(&q, IFLA_INFO_KIND, "veth");
        data = nest(&q, IFLA_INFO_DATA);
        other = nest(&q, VETH_INFO_PEER);
        if (q.r >= 0 && nlmsg_append(q.message, &m, sizeof(m), NLMSG_ALIGNTO) < 0)
                q.r = -ENOMEM;
        put_string(&q, IFLA_IFNAME, peer);
        put_uint32(&q, IFLA_NET_NS_FD, (uint32_t) peer_netns);
        if (mtu > 0)
                put_uint32(&q, IFLA_MTU, mtu);
        if (mac)
                put(&q, IFLA_ADDRESS, mac, ETHER_SIZE);
        nest_end(&q, other);
        nest_end(&q, data);
        nest_end(&q, info);
        return call(n, &q);
}

static const struct {
        const char *name;
        uint32_t macvlan; /* 0: not one of its */
        int ipvlan;       /* -1: likewise */
} modes[] = {
        { "bridge", MACVLAN_MODE_BRIDGE, -1 }, { "private", MACVLAN_MODE_PRIVATE, -1 },
        { "vepa", MACVLAN_MODE_VEPA, -1 },     { "passthru", MACVLAN_MODE_PASSTHRU, -1 },
        { "l2", 0, IPVLAN_MODE_L2 },           { "l3", 0, IPVLAN_MODE_L3 },
        { "l3s", 0, IPVLAN_MODE_L3S },
};

static int put_mode(Request *q, const char *kind, const char *mode) {
        bool macvlan = streq(kind, "macvlan");

        if (!macvlan && !streq(kind, "ipvlan"))
                return -EINVAL;
        if (isempty(mode))
                mode = macvlan ? "bridge" : "l2";
        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                uint16_t m = (uint16_t) modes[i].ipvlan;

                if (!streq(modes[i].name, mode) || (macvlan ? modes[i].macvlan == 0 : modes[i].ipvlan < 0))
                        continue;
                if (macvlan)
                        put_uint32(q, IFLA_MACVLAN_MODE, modes[i].macvlan);
                else
                        put(q, IFLA_IPVLAN_MODE, &m, sizeof(m));
                return 0;
        }
        return -EINVAL;
}

int netlink_add_sub_link(Netlink *n, const char *kind, const char *parent, const char *mode, uint32_t mtu,
                         int netns, const char *name, const uint8_t mac[ETHER_SIZE]) {
        _cleanup_request_ Request q = link_request(name, mtu, false);
        struct nlattr *info, *data;
        LinkInfo l;
        int r;

        if (!name_is_valid(name))
                return -EINVAL;
        r = netlink_get_link(n, parent, &l);
        if (r < 0)
                return r;
        put_uint32(&q, IFLA_LINK, (uint32_t) l.index);
        put_uint32(&q, IFLA_NET_NS_FD, (uint32_t) netns);
        if (mac)
                put(&q, IFLA_ADDRESS, mac, ETHER_SIZE);
        info = nest(&q, IFLA_LINKINFO);
        put_string(&q, IFLA_INFO_KIND, kind);
        data = nest(&q, IFLA_INFO_DATA);
        r = put_mode(&q, kind, mode);
        if (r < 0)
                return r;
        nest_end(&q, data);
        nest_end(&q, info);
        return call(n, &q);
}

int netlink_delete_link(Netlink *n, const char *name) {
        _cleanup_request_ Request q =
                        request_new(RTM_DELLINK, 0, &(struct ifinfomsg) {}, sizeof(struct ifinfomsg));

        if (!name_is_valid(name))
                return -ENODEV;
        put_string(&q, IFLA_IFNAME, name);
        return call(n, &q);
}

static void put_hairpin(Request *q) {
        struct nlattr *info, *data;
        uint8_t on = 1;

        info = nest(q, IFLA_LINKINFO);
        put_string(q, IFLA_INFO_SLAVE_KIND, "bridge");
        data = nest(q, IFLA_INFO_SLAVE_DATA);
        put(q, IFLA_BRPORT_MODE, &on, sizeof(on));
        nest_end(q, data);
        nest_end(q, info);
}

int netlink_change_link(Netlink *n, int index, const LinkChange *change) {
        struct ifinfomsg m = {
                .ifi_index = index,
                .ifi_flags = change->up ? IFF_UP : 0,
                .ifi_change = change->up || change->down ? IFF_UP : 0,
        };
        _cleanup_request_ Request q = request_new(RTM_NEWLINK, 0, &m, sizeof(m));

        if (index <= 0)
                return -ENODEV;
        if (change->name)
                put_string(&q, IFLA_IFNAME, change->name);
        if (change->alias)
                put(&q, IFLA_IFALIAS, change->alias, strlen(change->alias));
        if (change->mtu > 0)
                put_uint32(&q, IFLA_MTU, change->mtu);
        if (change->ether)
                put(&q, IFLA_ADDRESS, change->ether, ETHER_SIZE);
        if (change->master != 0)
                put_uint32(&q, IFLA_MASTER, change->master > 0 ? (uint32_t) change->master : 0);
        if (change->hairpin)
                put_hairpin(&q);
        if (change->netns >= 0)
                put_uint32(&q, IFLA_NET_NS_FD, (uint32_t) change->netns);
        return call(n, &q);
}

/* -- addresses -- */

static int change_address(Netlink *n, int type, int flags, int index, const Prefix *p) {
        struct ifaddrmsg m = {
                .ifa_family = (uint8_t) p->address.family,
                .ifa_prefixlen = (uint8_t) p->length,
                .ifa_flags = p->address.family == AF_INET6 ? IFA_F_NODAD : 0,
                .ifa_index = (uint32_t) index,
        };
        _cleanup_request_ Request q = request_new(type, flags, &m, sizeof(m));

        put_address(&q, IFA_LOCAL, &p->address);
        put_address(&q, IFA_ADDRESS, &p->address);
        return call(n, &q);
}

int netlink_add_address(Netlink *n, int index, const Prefix *p) {
        return change_address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, p);
}

int netlink_delete_address(Netlink *n, int index, const Prefix *p) {
        return change_address(n, RTM_DELADDR, 0, index, p);
}

int netlink_delete_neighbor(Netlink *n, int index, const Address *address) {
        struct ndmsg m = { .ndm_family = (uint8_t) address->family, .ndm_ifindex = index };
        _cleanup_request_ Request q = request_new(RTM_DELNEIGH, 0, &m, sizeof(m));

        put_address(&q, NDA_DST, address);
        return call(n, &q);
}

typedef struct PrefixVisit {
        int family; /* AF_UNSPEC: any */
        int (*func)(int index, const Prefix *p, void *userdata);
        int (*route_func)(const Prefix *p, int index, void *userdata);
        void *userdata;
} PrefixVisit;

static bool get_address(struct nlattr *a, int family, Address *ret) {
        size_t size = family == AF_INET ? sizeof(ret->in) : sizeof(ret->in6);

        *ret = (Address) { .family = family };
        return (family == AF_INET || family == AF_INET6) && a && (size_t) nla_len(a) == size &&
               nla_memcpy(ret->bytes, a, (int) size) >= 0;
}

static int visit_address(struct nlmsghdr *h, void *userdata) {
        struct nlattr *a[IFA_MAX + 1];
        const PrefixVisit *v = userdata;
        struct ifaddrmsg *m = nlmsg_data(h);
        Prefix p;

        if (h->nlmsg_type != RTM_NEWADDR)
                return 0;
        if (nlmsg_parse(h, sizeof(*m), a, IFA_MAX, NULL) < 0)
                return -EBADMSG;
        /* Of a point-to-point link IFA_ADDRESS is the other end. */
        if (!get_address(a[IFA_LOCAL] ?: a[IFA_ADDRESS], m->ifa_family, &p.address))
                return 0;
        p.length = m->ifa_prefixlen;
        return v->func((int) m->ifa_index, &p, v->userdata);
}

int netlink_foreach_address(Netlink *n, int (*func)(int index, const Prefix *p, void *userdata),
                            void *userdata) {
        _cleanup_request_ Request q = request_new(RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg) {},
                                                  sizeof(struct ifaddrmsg));
        PrefixVisit v = { .func = func, .userdata = userdata };

        return q.r < 0 ? q.r : netlink_socket_call(n->socket, q.message, visit_address, &v);
}

/* -- routes -- */

/* kind: RTN_UNICAST or RTN_LOCAL, which has a table of its own. */
static int change_route(Netlink *n, int type, int flags, uint8_t kind, const Prefix *destination, const Address *gateway,
                        int index, uint32_t metric) {
        struct rtmsg m = {
                .rtm_family = (uint8_t) destination->address.family,
                .rtm_dst_len = (uint8_t) destination->length,
                .rtm_table = kind == RTN_LOCAL ? RT_TABLE_LOCAL : RT_TABLE_MAIN,
                .rtm_protocol = RTPROT_STATIC,
                .rtm_scope = kind == RTN_LOCAL ? RT_SCOPE_HOST : gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                .rtm_type = kind,
        };
        _cleanup_request_ Request q = request_new(type, flags, &m, sizeof(m));

        if (destination->length > 0)
                put_address(&q, RTA_DST, &destination->address);
        if (gateway)
                put_address(&q, RTA_GATEWAY, gateway);
        if (index > 0)
                put_uint32(&q, RTA_OIF, (uint32_t) index);
        if (metric > 0)
                put_uint32(&q, RTA_PRIORITY, metric);
        return call(n, &q);
}

int netlink_add_route(Netlink *n, const Prefix *destination, const Address *gateway, int index,
                      uint32_t metric) {
        return change_route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, RTN_UNICAST, destination, gateway, index, metric);
}

int netlink_add_local_route(Netlink *n, const Prefix *destination, int index, uint32_t metric) {
        return change_route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, RTN_LOCAL, destination, NULL, index, metric);
}

int netlink_delete_route(Netlink *n, const Prefix *destination, const Address *gateway, int index,
                         uint32_t metric) {
        return change_route(n, RTM_DELROUTE, 0, RTN_UNICAST, destination, gateway, index, metric);
}

/* Others' tables count as well: what a VPN routes by a table of its own is no less in use. What the kernel
 * adds by itself for addresses (local, broadcast, …) does not. */
static int visit_route(struct nlmsghdr *h, void *userdata) {
        struct nlattr *a[RTA_MAX + 1];
        const PrefixVisit *v = userdata;
        struct rtmsg *m = nlmsg_data(h);
        Prefix p;

        if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_family != v->family || m->rtm_dst_len == 0)
                return 0;
        if (m->rtm_flags & RTM_F_CLONED || m->rtm_table == RT_TABLE_LOCAL || m->rtm_type == RTN_MULTICAST)
                return 0;
        if (nlmsg_parse(h, sizeof(*m), a, RTA_MAX, NULL) < 0)
                return -EBADMSG;
        if (!get_address(a[RTA_DST], m->rtm_family, &p.address))
                return 0;
        p.length = m->rtm_dst_len;
        return v->route_func(&p, a[RTA_OIF] ? (int) nla_get_u32(a[RTA_OIF]) : 0, v->userdata);
}

int netlink_foreach_route(Netlink *n, int (*func)(const Prefix *destination, int index, void *userdata),
                          void *userdata) {
        static const int families[] = { AF_INET, AF_INET6 };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(families) && r == 0; i++) {
                struct rtmsg m = { .rtm_family = (uint8_t) families[i] };
                _cleanup_request_ Request q = request_new(RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m));
                PrefixVisit v = { .family = families[i], .route_func = func, .userdata = userdata };

                r = q.r < 0 ? q.r : netlink_socket_call(n->socket, q.message, visit_route, &v);
        }
        return r;
}
