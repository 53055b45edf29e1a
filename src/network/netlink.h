/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* rtnetlink: links, addresses, routes. A Netlink is a socket in one network namespace; calls are answered by
 * the kernel at once (no call waits for anything but the kernel's own lock) and return 0 or a negative
 * errno. Names of devices: at most IFNAMSIZ - 1 bytes (the kernel's dev_valid_name()). */

#include <net/if.h>

#include "network/address.h"

typedef struct Netlink Netlink;

/* netns: -EBADF for the caller's own. Iterations end with the first result of func that is not 0, and return
 * it; -EAGAIN: something was changed meanwhile, so that they may lack something. */
int netlink_new(int netns, Netlink **ret);
Netlink *netlink_free(Netlink *n);
DEFINE_CLEANUP_FUNC(Netlink *, netlink_free)
/* What the kernel said about the last call's error, or "". */
const char *netlink_get_message(const Netlink *n);
/* For what is said by other files than netlink.c. */
struct NetlinkSocket *netlink_get_socket(Netlink *n);

#define LINK_ALIAS_MAX 255U /* IFALIASZ */
typedef struct LinkInfo {
        int index;
        char name[IF_NAMESIZE];
        char kind[16]; /* "veth", "bridge", …; "": a device */
        char alias[LINK_ALIAS_MAX + 1];
        uint32_t mtu;
        bool up;
        bool running; /* and has a carrier */
        int master; /* 0: none */
        uint8_t ether[ETHER_SIZE];
        struct LinkStatistics {
                uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
                uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
        } statistics;
} LinkInfo;
/* -ENODEV */
int netlink_get_link(Netlink *n, const char *name, LinkInfo *ret);
int netlink_foreach_link(Netlink *n, int (*func)(const LinkInfo *l, void *userdata), void *userdata);

/* -EEXIST. Not up: how it treats IPv6 has to be said before. */
int netlink_add_bridge(Netlink *n, const char *name, uint32_t mtu,
                       const uint8_t ether[ETHER_SIZE] /* or NULL */);
/* A pair: name here, up, a port of the bridge master (0: of none); peer in peer_netns, with mac (or NULL),
 * not up. mtu 0: the kernel's. */
int netlink_add_veth(Netlink *n, const char *name, int master, uint32_t mtu, int peer_netns,
                     const char *peer, const uint8_t mac[ETHER_SIZE]);
/* kind: "macvlan" or "ipvlan"; mode as ip-link(8) names it, NULL for "bridge" and "l2". In netns, not up. */
int netlink_add_sub_link(Netlink *n, const char *kind, const char *parent, const char *mode, uint32_t mtu,
                         int netns, const char *name, const uint8_t mac[ETHER_SIZE]);
int netlink_delete_link(Netlink *n, const char *name); /* -ENODEV */
/* What is not to change: NULL, 0. netns -EBADF: it stays here. */
typedef struct LinkChange {
        const char *name;
        const char *alias; /* "": none any more */
        uint32_t mtu;
        const uint8_t *ether;
        bool up, down;
        bool hairpin; /* a port of a bridge: what comes in may go out by it */
        int master;   /* index; -1: of none any more */
        int netns;
} LinkChange;
int netlink_change_link(Netlink *n, int index, const LinkChange *change);

/* Without duplicate address detection: our addresses are unique. -EEXIST. */
int netlink_add_address(Netlink *n, int index, const Prefix *p);
int netlink_delete_address(Netlink *n, int index, const Prefix *p); /* -EADDRNOTAVAIL */
/* What is remembered of who has this address. -ENOENT: nothing. */
int netlink_delete_neighbor(Netlink *n, int index, const Address *address);
int netlink_foreach_address(Netlink *n, int (*func)(int index, const Prefix *p, void *userdata),
                            void *userdata);
/* destination length 0: the default route; index 0: as the gateway says; metric 0: the kernel's. */
int netlink_add_route(Netlink *n, const Prefix *destination, const Address *gateway /* or NULL */, int index,
                      uint32_t metric);
int netlink_delete_route(Netlink *n, const Prefix *destination, const Address *gateway, int index,
                         uint32_t metric);
/* What comes by the device for the destination is the host's own. -EEXIST: of this metric there is one. */
int netlink_add_local_route(Netlink *n, const Prefix *destination, int index, uint32_t metric);
/* Of all tables but the local one, of both families, default routes left out: to find subnets that are free.
 */
int netlink_foreach_route(Netlink *n, int (*func)(const Prefix *destination, int index, void *userdata),
                          void *userdata);
