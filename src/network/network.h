/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Networks, and the interfaces of containers on them. What is wanted is recorded (store-network.c); the kernel's state is made from
 * that and can be made again at any time. A container's addresses, ports and MAC are its own from its creation to its removal, so that
 * it comes back with them; its devices live as long as its network namespace, which nothing but the container's processes
 * and the descriptor store of its unit hold: when the unit is gone, so are they.
 *
 *   network_manager_reserve()   creation: names resolved, addresses and MACs taken, in the transaction of the container's record
 *   network_manager_set_up()    start: namespace, devices, addresses, routes; ports opened
 *   network_manager_set_down()  end: ports closed
 *   (rows go with the container's)
 */

#include "basic/hashmap.h"
#include "events/events.h"
#include "network/firewall.h"
#include "network/interface-spec.h"
#include "network/netlink.h"
#include "store/store.h"

#define NETWORK_NAME_MAX 64U
#define NETWORKS_MAX 1024U
#define NETWORK_DEFAULT "default" /* made on first use */
#define NETWORK_DEFAULT_ALIAS "bridge" /* another name for it */
#define INTERFACES_MAX 64U        /* of a container */
#define SUBNETS_MAX 16U           /* of a network */
#define ALIASES_MAX 64U           /* of an interface */
#define NETWORK_LABELS_MAX 128U

typedef enum NetworkDriver {
        NETWORK_BRIDGE,
        NETWORK_MACVLAN,
        NETWORK_IPVLAN,
        _NETWORK_DRIVER_MAX,
        _NETWORK_DRIVER_INVALID = -EINVAL,
} NetworkDriver;
DECLARE_STRING_TABLE(network_driver, NetworkDriver);

/* The option bag of CreateNetwork. */
typedef struct NetworkOptions {
        NetworkDriver driver;
        char **subnets;  /* "10.90.0.0/24", "fd00:1::/64"; none: one of each family that is free (IPv6 only with ipv6) */
        char **gateways; /* of these subnets, in any order; without: the first address of each */
        char **ranges;   /* that addresses are taken from: "10.90.0.128/25", within a subnet */
        bool ipv6;
        bool internal;
        bool no_dns;     /* no names of other containers */
        bool open;       /* bridge: other networks that are open are reached, and reach this one */
        uint32_t mtu;    /* 0: the kernel's */
        char *parent;    /* macvlan, ipvlan: device of the host */
        char *mode;      /* macvlan: "bridge", "private", "vepa", "passthru"; ipvlan: "l2", "l3", "l3s" */
        char *device;    /* bridge: its name; NULL: "moored<N>" */
        char **labels;
} NetworkOptions;
void network_options_done(NetworkOptions *o);

typedef struct NetworkManager NetworkManager;
typedef struct Network {
        NetworkManager *manager; /* weak */
        NetworkRow row;
        NetworkDriver driver;
        Prefix *subnets; /* with the gateway as their address, if there is one: network_has_gateway() */
        size_t n_subnets;
        struct NetworkPool *pools;
        bool used; /* a container that is up is on it, or has been */
        bool made_on_demand; /* by network_manager_prepare(), in this process */
        bool up;   /* its device is there and has been looked at since this process began */
        int names_fd; /* the files of its resolver, while these are kept: names.h; -EBADF */
        bool names_ended; /* a resolver that had its directory has been told to end */
        unsigned n_asking; /* containers that are up and ask its resolver */
        int names_link; /* the bridge by which the host has been told to ask its resolver: network_names_link(); 0: none */
} Network;

bool network_name_is_valid(const char *name);        /* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most NETWORK_NAME_MAX */
bool network_device_name_is_valid(const char *name); /* of the same characters, at most 15, and none that the kernel gives a meaning */

/* How a container is to be on a network; what a user wrote as
 * NETWORK[:ip=ADDRESS,mac=ETHER,alias=NAME,interface_name=NAME,sent_rate=RATE,received_rate=RATE]. */
typedef struct Attachment {
        char *network;
        char *interface; /* NULL: eth0, eth1, … */
        char **addresses;
        char *mac;
        char **aliases;
        uint64_t sent_rate, received_rate; /* as InterfaceSpec has them */
} Attachment;
void attachment_done(Attachment *a);
int attachment_parse(const char *text, Attachment *ret, Error *reterr_error);
/* On a network of plug-ins: an address may have a length behind it ("10.1.0.2/16"), as some of them want it. */
int attachment_parse_cni(const char *text, Attachment *ret, Error *reterr_error);

int network_manager_new(Store *store, Events *events, const char *runtime_dir, NetworkManager **ret, Error *reterr_error);
/* Weak: work that is long goes on in its turns. Without, all is done within the calls. */
void network_manager_set_event(NetworkManager *m, sd_event *event);
NetworkManager *network_manager_free(NetworkManager *m);
DEFINE_CLEANUP_FUNC(NetworkManager *, network_manager_free)
/* At start: reads the records; touches the kernel only if there are networks with containers. */
int network_manager_load(NetworkManager *m, Error *reterr_error);

/* name NULL or "": one that is free. "NetworkExists", "InvalidArgument", "SubnetInUse" (says by what), "LimitsExceeded". */
int network_create(NetworkManager *m, const char *ns, const char *name, const NetworkOptions *options, Network **ret,
                   Error *reterr_error);
/* "NetworkInUse": by which containers. Its device, rules and reservations are gone afterwards. */
int network_remove(Network *n, Error *reterr_error);
/* "NoSuchNetwork" */
Network *network_find(NetworkManager *m, const char *ns, const char *name, Error *reterr_error);
size_t network_count(NetworkManager *m, const char *ns); /* the default network left out */
bool network_iterate(NetworkManager *m, HashmapIterator *i, Network **ret);
/* Rules and devices are made again as the records say: after "nft flush ruleset", or a firewall's reload. */
int network_manager_reload(NetworkManager *m, Error *reterr_error);

/* Before that transaction: are all texts right, and networks known? The default network is made if it is named and not there. */
int network_manager_prepare(NetworkManager *m, const char *ns, char *const *attachments, char *const *publish, Error *reterr_error);
/* What was prepared for has failed: if that has made the default network, and nobody is on it, it goes again. */
void network_manager_abandon(NetworkManager *m, const char *ns);
/* In the transaction that adds the container's row, after that. attachments: as the container's options have them. publish: as port_parse()
 * has them. "NoSuchNetwork", "AddressInUse", "NoAddressLeft", "PortInUse", "InvalidArgument". */
int network_manager_reserve(NetworkManager *m, const char *ns, const char *container, char *const *attachments,
                            char *const *publish, Error *reterr_error);
/* What a container has, as recorded, in the order of its attachments. Borrowed; func's negative result ends it and is returned. */
typedef struct NetworkInterface {
        const Network *network;
        const char *name;        /* in the container */
        const char *host_device; /* "": there is none */
        uint8_t mac[ETHER_SIZE];
        const Prefix *addresses; /* with the subnet's length */
        size_t n_addresses;
        char *const *aliases;
} NetworkInterface;
int network_manager_foreach_interface(NetworkManager *m, const char *ns, const char *container,
                                      int (*func)(const NetworkInterface *i, void *userdata), void *userdata);
/* The same, for all that are on a network. */
int network_foreach_user(Network *n, int (*func)(const char *container, const NetworkInterface *i, void *userdata), void *userdata);
/* host_port is the one that was chosen. */
int network_manager_foreach_port(NetworkManager *m, const char *ns, const char *container,
                                 int (*func)(const Port *p, void *userdata), void *userdata);
/* A namespace with everything in it, as a descriptor; ports are open. What was left of an earlier run is replaced. "PortInUse" names
 * who has it. Nothing is left behind where it fails. */
int network_manager_set_up(NetworkManager *m, const char *ns, const char *container, int *ret_netns, Error *reterr_error);
/* One that is there goes on another network, or leaves one. attachment: as above. netns: its namespace, if it is up, else
 * -EBADF: then it is so from its next start on. On failure nothing has changed. ret_interface: its name, or NULL.
 * "AlreadyConnected", "InterfaceExists", "NoSuchInterface", and those of network_manager_reserve(). */
int network_manager_connect(NetworkManager *m, const char *ns, const char *container, const char *attachment, int netns,
                            char **ret_interface, Error *reterr_error);
int network_manager_remove_interface(NetworkManager *m, const char *ns, const char *container, const char *name, int netns,
                                     Error *reterr_error);
/* Interfaces without a network, and what has been said of those on one. Of one on a network: type INTERFACE_NETWORK, host_device "". */
typedef struct NetworkDevice {
        const char *name;
        const char *host_device; /* veth: the host's end; device: its name at home; "": none */
        const InterfaceSpec *spec;
} NetworkDevice;
/* In the order of their addition. Borrowed; func's negative result ends it and is returned. */
int network_manager_foreach_device(NetworkManager *m, const char *ns, const char *container,
                                   int (*func)(const NetworkDevice *d, void *userdata), void *userdata);
/* 1: func has been called, with what there is of an interface: i, d, or both. 0: there is no such interface. */
int network_manager_get_interface(NetworkManager *m, const char *ns, const char *container, const char *name,
                                  int (*func)(const NetworkInterface *i, const NetworkDevice *d, void *userdata), void *userdata);
/* As network_manager_connect(). name: or NULL. spec: as for interface_spec_check(). "InterfaceExists", "NoSuchDevice", "DeviceInUse",
 * "LimitsExceeded", "InvalidArgument". */
int network_manager_add_interface(NetworkManager *m, const char *ns, const char *container, const char *name, InterfaceSpec *spec,
                                  int netns, char **ret_name, Error *reterr_error);
/* On failure nothing has changed. "NoSuchInterface", "NoSuchDevice": the container has lost it; and those of interface_spec_apply(). */
int network_manager_change_interface(NetworkManager *m, const char *ns, const char *container, const char *name,
                                     const InterfaceChange *change, int netns, Error *reterr_error);
/* Namespaces in which there is what has to be cleared away when the container has ended (interface-keep.c) are kept: name is for a store of
 * descriptors that outlives this process. fd -EBADF: not any more. */
typedef int (*NetworkKeepFunc)(const char *name, int fd, void *userdata);
void network_manager_set_keep(NetworkManager *m, NetworkKeepFunc func, void *userdata);
bool network_netns_is_kept(const char *name); /* it may be one of these */
/* Takes fd if name is one of these (1). */
int network_manager_adopt_netns(NetworkManager *m, const char *name, int fd);
/* Recovery, of one that runs: is that so, and its namespace not kept (the store was emptied)? And here it is. */
bool network_manager_misses_netns(NetworkManager *m, const char *ns, const char *container);
int network_manager_keep_netns(NetworkManager *m, const char *ns, const char *container, int netns);
/* Devices of the host's come back, and so on. Nothing happens if the namespace is not kept. */
void network_manager_clear_kept(NetworkManager *m, const char *ns, const char *container);

/* Ports are closed, and the host's devices are back; the namespace goes with its last user. Of one that is not up: nothing happens. */
int network_manager_set_down(NetworkManager *m, const char *ns, const char *container);
/* Of one that is not up: devices that its namespace has kept, as others are in it, leave their bridges. (Those of a parent's cannot be
 * found from outside.) */
int network_manager_drop_devices(NetworkManager *m, const char *ns, const char *container);
/* Recovery: this one runs, and has what the records say. Once all have been told: network_manager_recovered() makes the
 * rules anew, in one transaction, and removes devices that are nobody's. */
int network_manager_adopt(NetworkManager *m, const char *ns, const char *container);
int network_manager_recovered(NetworkManager *m, Error *reterr_error);
