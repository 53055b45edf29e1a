/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IP and Ethernet addresses as text and bytes: pure, no socket is opened here. */

#include <netinet/in.h>
#include <stdint.h>

#include "basic/error.h"
#include "basic/macro.h"

#define ADDRESS_TEXT_MAX (INET6_ADDRSTRLEN + 4U) /* with "/128" and its NUL */
#define ETHER_SIZE 6U
#define ETHER_TEXT_MAX 18U

/* Bytes in network order; those that an IPv4 address does not have are 0. */
typedef struct Address {
        int family; /* AF_INET, AF_INET6; AF_UNSPEC: none */
        union {
                uint8_t bytes[16];
                struct in_addr in;
                struct in6_addr in6;
        };
} Address;

/* An address with the length of its network: an interface's ("10.1.0.2/16"), or a subnet ("10.1.0.0/16"). */
typedef struct Prefix {
        Address address;
        unsigned length;
} Prefix;

/* "192.0.2.1", "2001:db8::1"; no scope, no port. -EINVAL. */
int address_parse(const char *text, Address *ret);
const char *address_format(const Address *a, char buffer[static ADDRESS_TEXT_MAX]);
/* -1, 0, 1: IPv4 before IPv6, then by value. */
int address_compare(const Address *a, const Address *b);
/* The address so many after it; false if there is none. */
bool address_add(const Address *a, uint64_t n, Address *ret);
/* How many lie between; UINT64_MAX for more than that, and if to is not behind from, or of the other family. */
uint64_t address_distance(const Address *from, const Address *to);
/* 0.0.0.0, :: */
bool address_is_unspecified(const Address *a); /* 0.0.0.0, ::, AF_UNSPEC */
/* May be an interface's: neither unspecified nor loopback, multicast, reserved or IPv4 as IPv6. */
bool address_is_unicast(const Address *a);

/* "10.1.0.2/16". -EINVAL. */
int prefix_parse(const char *text, Prefix *ret);
const char *prefix_format(const Prefix *p, char buffer[static ADDRESS_TEXT_MAX]);
/* All bits behind the length are 0. */
bool prefix_is_subnet(const Prefix *p);
Prefix prefix_subnet(const Prefix *p);
bool prefix_equal(const Prefix *a, const Prefix *b);
bool prefix_contains(const Prefix *p, const Address *a);
bool prefix_overlaps(const Prefix *a, const Prefix *b);
/* The last address of a subnet. */
Address prefix_last(const Prefix *p);
/* Can be given to an interface: in the subnet, not its first address, and with IPv4 not its last (with two addresses or one: any). */
bool prefix_can_assign(const Prefix *p, const Address *a);

/* "02:00:5e:00:53:01". -EINVAL; also if it is a group's or all zeros. */
int ether_parse(const char *text, uint8_t ret[static ETHER_SIZE]);
/* The same for the same bytes and number; locally administered, one device's. */
void ether_derive(const void *bytes, size_t size, uint64_t number, uint8_t ret[static ETHER_SIZE]);
const char *ether_format(const uint8_t ether[static ETHER_SIZE], char buffer[static ETHER_TEXT_MAX]);
