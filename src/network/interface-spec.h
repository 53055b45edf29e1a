/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What somebody wants an interface of a container to be, beyond what a network gives it: of one that is on no network, all of it; of one
 * that is, what is different. Texts, which are kept in the store as JSON; pure. */

#include "basic/json.h"
#include "basic/macro.h"
#include "network/address.h"

#define INTERFACE_ADDRESSES_MAX 64U
#define INTERFACE_ROUTES_MAX 64U
#define INTERFACE_MTU_MIN 68U /* RFC 791 */
#define INTERFACE_MTU_MIN_IPV6 1280U /* RFC 8200: below it the kernel takes all that is IPv6's away from a device */
#define INTERFACE_MTU_MAX 65535U
#define INTERFACE_RATE_MIN UINT64_C(8000)
#define INTERFACE_RATE_MAX UINT64_C(1000000000000)

typedef enum InterfaceType {
        INTERFACE_NETWORK, /* on a network */
        INTERFACE_VETH,    /* a pair, the other end of which is the host's */
        INTERFACE_MACVLAN,
        INTERFACE_IPVLAN,
        INTERFACE_DEVICE, /* one of the host's, lent */
        INTERFACE_TAP,
        _INTERFACE_TYPE_MAX,
        _INTERFACE_TYPE_INVALID = -EINVAL,
} InterfaceType;
DECLARE_STRING_TABLE(interface_type, InterfaceType);

/* "10.9.0.0/16 via 10.1.0.1 metric 5", "default via fd00::1", "192.0.2.0/24": as ip-route(8) has them, on this interface. */
typedef struct Route {
        Prefix destination; /* length 0: the default route */
        Address gateway;    /* AF_UNSPEC: none */
        uint32_t metric;    /* 0: the kernel's */
} Route;
int route_parse(const char *text, Route *ret, Error *reterr_error);
char *route_format(const Route *r);

typedef struct InterfaceSpec {
        InterfaceType type;
        char *link;   /* macvlan, ipvlan: the device of the host below; device: which one */
        char *mode;   /* macvlan, ipvlan: as ip-link(8) has it; NULL: "bridge", "l2" */
        char *peer;   /* veth: the host's end */
        char *master; /* veth: a bridge of the host that this is a port of, or NULL */
        uint64_t user; /* tap: who may open it */
        char *mac;    /* NULL: the kernel's choice, or the device's own */
        uint64_t mtu; /* 0: likewise */
        bool down;
        char **addresses; /* with lengths: "10.1.0.2/16"; those that the network has given are not among them */
        char **routes;
        uint64_t sent_rate, received_rate; /* bits a second; 0: no limit */
        /* device: what it was at home, while it is lent */
        bool was_up;
        uint64_t was_mtu;
        char *was_kind, *was_mac, *was_master, *was_alias; /* MAC NULL: it is at home */
        uint64_t lent_index; /* of it in the container; 0: it is not there yet */
} InterfaceSpec;
void interface_spec_done(InterfaceSpec *s);
/* Of one that is wanted anew. Texts get their usual form. "InvalidArgument" says what is wrong with what. */
int interface_spec_check(InterfaceSpec *s, Error *reterr_error);
json_t *interface_spec_to_json(const InterfaceSpec *s);
int interface_spec_from_json(json_t *j, InterfaceSpec *ret); /* -EBADMSG */
char *interface_spec_format(const InterfaceSpec *s);
int interface_spec_parse(const char *text, InterfaceSpec *ret); /* -EBADMSG */
/* Nothing of what it does not say: as a network has it. */
bool interface_spec_is_empty(const InterfaceSpec *s);

#define INTERFACE_KEEP UINT64_MAX
typedef struct InterfaceChange {
        uint64_t mtu; /* INTERFACE_KEEP: as it is, as with the rates */
        uint64_t sent_rate, received_rate; /* 0: no limit any more */
        int up;       /* -1: as it is */
        char *mac;    /* NULL: likewise */
        char **add_addresses, **remove_addresses, **add_routes, **remove_routes;
} InterfaceChange;
#define INTERFACE_CHANGE_NULL \
        ((InterfaceChange) { .mtu = INTERFACE_KEEP, .sent_rate = INTERFACE_KEEP, .received_rate = INTERFACE_KEEP, .up = -1 })
void interface_change_done(InterfaceChange *c);
/* What it will be. What is to be removed has to be there, what is to be added may. */
int interface_spec_apply(const InterfaceSpec *s, const InterfaceChange *c, InterfaceSpec *ret, Error *reterr_error);
