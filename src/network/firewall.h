/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table "inet moored": masquerading, published ports, isolation of networks. Rules are
 * few and stay the same; what containers add are elements of maps, by key, so that one container is one
 * short transaction and what it leaves is found by key as well. No other table is read or written.
 *
 * What comes to a bridge from elsewhere is dropped unless it belongs to a connection that a container has
 * opened or came by a published port. Other tables may drop more: an "accept" here does not bind them.
 *
 * Whoever flushes the ruleset takes the table away: firewall_load() brings all of it back, in one
 * transaction. */

#include <systemd/sd-event.h>

#include "network/port.h"

#define FIREWALL_TABLE "moored"

typedef struct Firewall Firewall;

/* A bridge and what may leave it. */
typedef struct FirewallNetwork {
        const char *device;
        const Prefix *subnets;
        size_t n_subnets;
        bool internal; /* no way out, and none in */
        bool isolated; /* not open to those other networks that are neither isolated nor internal */
} FirewallNetwork;

/* One container's port: host_port is a number. container: address inside; of the family of port.host, if
 * that has one. */
typedef struct FirewallPort {
        Port port;
        Address container;
} FirewallPort;

/* In the network namespace that the caller is in; the first who changes something must be in the same.
 * "NotSupported": no nf_tables here, or no right to it; later as well: libnftables is not installed. */
int firewall_new(Firewall **ret, Error *reterr_error);
Firewall *firewall_free(Firewall *f);
DEFINE_CLEANUP_FUNC(Firewall *, firewall_free)
/* Weak; or NULL. Flows of UDP are looked through in its turns, a moment later. */
void firewall_set_event(Firewall *f, sd_event *event);
/* Replaces the whole table, in one transaction: connections that are established go on. (Large ranges of ports follow
 * in a second one.) loopback6: published ports are the host's at ::1 as well. "NotSupported": the kernel lacks a part. */
int firewall_load(Firewall *f, bool loopback6, const FirewallNetwork *networks, size_t n_networks,
                  const FirewallPort *ports, size_t n_ports, Error *reterr_error);
/* 1: the table is there, 0: it is not. A question to the kernel, of some microseconds. */
int firewall_is_loaded(Firewall *f);
/* -ENOENT "NoTable": the table is not there (any more): firewall_load(). */
int firewall_add_network(Firewall *f, const FirewallNetwork *network, Error *reterr_error);
/* What is not there is ignored, here and below. */
int firewall_remove_network(Firewall *f, const FirewallNetwork *network, Error *reterr_error);
/* "NoTable". Replaces those of the same host address and port. */
int firewall_add_ports(Firewall *f, const FirewallPort *ports, size_t n, Error *reterr_error);
/* Flows of UDP that go on lead there no more; connections of TCP are their owners'. */
int firewall_remove_ports(Firewall *f, const FirewallPort *ports, size_t n, Error *reterr_error);
/* Nothing of ours is left. */
int firewall_unload(Firewall *f, Error *reterr_error);
