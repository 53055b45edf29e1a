/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of network/ only. network.c has the objects and their records, subnet.c finds subnets that are free, reserve.c
 * and host-port.c hand out what containers get; what is done to the kernel is network-device.c's. */

#include "network/netlink-socket.h"
#include "network/network.h"

#define HOST_DEVICE_PREFIX "mv" /* and ten hex digits: the host's end of a container's device */
#define HOST_DEVICE_RANDOM 5U   /* bytes: ten hex digits */
#define ALIAS_PREFIX "moored: " /* of what is ours: a bridge's and "NAMESPACE/NAME", a host's end and "NAMESPACE/CONTAINER" */
#define LENT_PREFIX "moored: lent " /* of a device of the host's, while it is a container's; and its name at home */

struct NetworkManager {
        Store *store; /* weak, as is the next */
        Events *events;
        char *runtime_dir;
        Hashmap *networks; /* "ns/name" → Network, owns them */
        Netlink *netlink;  /* the host's; NULL until network_manager_netlink() */
        Firewall *firewall; /* NULL until network_manager_firewall() */
        bool loopback6; /* its rules have been made for network_reaches_loopback6() */
        NetlinkSocket *sockets; /* that tells of the host's; NULL until somebody asks */
        sd_event *event;    /* weak; or NULL */
        Hashmap *users;     /* "ns/container" → NetworkUser, owns them */
        Hashmap *kept;      /* "ns/container" → Kept, owns them: interface-keep.c */
        NetworkKeepFunc keep; /* or NULL */
        void *keep_userdata;
};

/* A container's names on one network, as hosts(5) has them: for that network's resolver, and for another's. */
typedef struct UserNames {
        Network *network; /* weak */
        char *own, *foreign;
} UserNames;
void user_names_done(UserNames *u);

/* A container that is up, and the ports that it has open. */
typedef struct NetworkUser {
        char *ns, *container;
        FirewallPort *ports;
        size_t n_ports;
        UserNames *names; /* of the networks that have any */
        size_t n_names;
        Network *resolver; /* weak: of these the one whose resolver it asks */
} NetworkUser;
NetworkUser *network_user_free(NetworkUser *u);
DEFINE_CLEANUP_FUNC(NetworkUser *, network_user_free)

/* Addresses of a subnet that are handed out; parallel to Network.subnets. */
typedef struct NetworkPool {
        uint64_t subnet; /* SubnetRow.n */
        Prefix subnet_prefix;
        Prefix range;    /* addresses are taken from; the subnet itself if none was given */
        uint64_t last;   /* that was handed out, as a number in the subnet: what was given back lately is not taken at once */
} NetworkPool;

/* Of the subnet i. By its address one cannot tell: of two addresses the first may be the gateway's. */
static inline bool network_has_gateway(const Network *n, size_t i) {
        return n->row.subnets[i].gateway;
}

/* The socket in the host's network namespace. */
int network_manager_netlink(NetworkManager *m, Netlink **ret, Error *reterr_error);
Network *network_manager_get(NetworkManager *m, uint64_t n); /* by number; NULL: none */

/* subnet.c: what a subnet must not overlap, each with the words for an error message. */
typedef struct TakenSubnet {
        Prefix prefix;
        char *by; /* "the network “lan” of namespace “default”", "a route of this host by way of eth0" */
} TakenSubnet;
typedef struct TakenSubnets {
        TakenSubnet *list;
        size_t n;
} TakenSubnets;
void taken_subnets_done(TakenSubnets *t);
int taken_subnets_add(TakenSubnets *t, const Prefix *p, const char *by);
/* Of all networks, and, with host, of the host's addresses and routes, which are read anew. */
int taken_subnets_collect(NetworkManager *m, bool host, TakenSubnets *ret, Error *reterr_error);
/* The one that it overlaps; NULL: it is free. */
const TakenSubnet *taken_subnets_find(const TakenSubnets *t, const Prefix *p);
/* wanted: to be taken if it is free; or NULL. t is in another order afterwards. "NoSubnetLeft" */
int subnet_choose(TakenSubnets *t, int family, const Prefix *wanted, Prefix *ret, Error *reterr_error);

/* create.c: what the record of a new network is to be; nothing is made. */
int network_row_new(NetworkManager *m, const char *ns, const char *name, const NetworkOptions *o, NetworkRow *ret,
                    Error *reterr_error);

/* names.c: what u has there, of an interface; its files, in all directories that are kept. */
int user_names_plan(NetworkUser *u, const NetworkInterface *i, Network *n);
void user_names_add(NetworkManager *m, const NetworkUser *u); /* it is among the users */
void user_names_remove(NetworkManager *m, const NetworkUser *u); /* it is not, any more */
void user_names_change(NetworkManager *m, const NetworkUser *before, const NetworkUser *u); /* u has taken its place */

/* reserve.c: for a container that is there, in a transaction. ret_name: of the interface. */
int network_manager_reserve_more(NetworkManager *m, const char *ns, const char *container,
                                 const char *attachment, char **ret_name, Error *reterr_error);

/* host-port.c: records the n-th of a container's ports, in a transaction; one without a number on the host gets one that is
 * neither another program's, nor a container's, nor of the list. "PortInUse", "InvalidArgument" */
int network_port_reserve(NetworkManager *m, const char *ns, const char *container, Port *ports, size_t n_ports,
                         size_t n, Error *reterr_error);
/* At a start: does another program have a port that the container publishes? "PortInUse" */
int network_manager_check_ports(NetworkManager *m, const char *ns, const char *container, Error *reterr_error);

/* set-up.c: what a container that is up has anew, in its namespace; nothing of it is left on failure. */
int network_interface_set_up(NetworkManager *m, const char *ns, const char *container, const char *name,
                             int netns, Error *reterr_error);
/* What is not there is ignored. */
int network_interface_set_down(NetworkManager *m, const NetworkInterface *i, int netns);
/* After a change of the records: its ports lead to the address that it has now, its names are those of the networks that it
 * is on now, */
int network_user_update(NetworkManager *m, const char *ns, const char *container, Error *reterr_error);
/* and where its default route is gone another network takes over. */
int network_routes_update(NetworkManager *m, const char *ns, const char *container, int netns);
/* Of an interface that has been down: the network's addresses. */
int network_addresses_restore(NetworkManager *m, const char *ns, const char *container, const char *name, int netns);

/* reserve.c: of those that nobody was given by a manufacturer, and one device's. */
int network_random_mac(char text[static ETHER_TEXT_MAX]);
/* The first that is not in the list: "eth0", "eth1", … */
char *network_free_name(char *const *taken);
char *network_random_device(void); /* HOST_DEVICE_PREFIX and more; NULL on OOM */

/* network-device.c: does what the host sends to a published port at ::1 come back? Not while bridges call on nf_tables. */
bool network_reaches_loopback6(void);

/* interface-device.c: what somebody has said of interfaces, in the kernel. */
typedef struct DevicePlace {
        NetworkManager *manager;
        const char *ns, *container;
        Netlink *host, *inside; /* borrowed */
        int netns;
        Error *reterr_error; /* or NULL */
} DevicePlace;
int device_set_up(const DevicePlace *p, const NetworkDevice *d);
/* What is not there is ignored. */
int device_set_down(const DevicePlace *p, const NetworkDevice *d);
/* old: what it is now. -ENODEV "NoSuchDevice" */
int device_change(const DevicePlace *p, const NetworkDevice *d, const InterfaceSpec *old);

/* interface-keep.c: what is cleared away before a container's namespace ends. */
struct Kept *kept_free(struct Kept *l);
unsigned network_kept_count(NetworkManager *m, const char *ns, const char *container);
/* Nothing is in there any more. */
void network_kept_forget(NetworkManager *m, const char *ns, const char *container);
void network_kept_recovered(NetworkManager *m); /* all that run are among the users */
int device_lend(const DevicePlace *p, const NetworkDevice *d);
/* 0: it is at home again, or is not in the container. */
int device_fetch(const DevicePlace *p, const NetworkDevice *d);

/* interface-change.c */
int network_manager_remove_device(NetworkManager *m, const char *ns, const char *container, const char *name, int netns,
                                  Error *reterr_error);
/* Names of all that it has, of both kinds; *ret is extended. */
int network_interface_names(NetworkManager *m, const char *ns, const char *container, char ***ret);

/* network-device.c */

int network_manager_firewall(NetworkManager *m, Firewall **ret, Error *reterr_error);
/* The whole table, for the bridges that are up and the ports of all users. */
int network_rules_load(NetworkManager *m, Error *reterr_error);
/* Makes the device and all it needs if it is not there. ret_index: a bridge's. */
int network_device_set_up(Network *n, int *ret_index, Error *reterr_error);
/* All bridges that are in use, or there, and the rules; bridges of networks that are gone go. */
int network_devices_restore(NetworkManager *m, Error *reterr_error);

/* The bridge, and its elements in the firewall's sets. Nothing happens if they are not there. */
int network_device_remove(Network *n, Error *reterr_error);
