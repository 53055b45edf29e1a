/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Text is read by inet_pton(), which takes one form of IPv4 only (no octal, no "10.1"), and written by
 * inet_ntop(): two addresses are the same if their texts are, once they have been parsed and formatted. */

#include "network/address.h"

#include <arpa/inet.h>

#include "basic/string-util.h"

static unsigned family_size(int family) {
        return family == AF_INET ? 4U : family == AF_INET6 ? 16U : 0U;
}

int address_parse(const char *text, Address *ret) {
        Address a = {};

        if (isempty(text))
                return -EINVAL;

        a.family = strchr(text, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(a.family, text, a.bytes) <= 0)
                return -EINVAL;

        *ret = a;
        return 0;
}

const char *address_format(const Address *a, char buffer[static ADDRESS_TEXT_MAX]) {
        if (!inet_ntop(a->family, a->bytes, buffer, ADDRESS_TEXT_MAX))
                buffer[0] = 0;
        return buffer;
}

int address_compare(const Address *a, const Address *b) {
        int c;

        if (a->family != b->family)
                return family_size(a->family) < family_size(b->family) ? -1 : 1;

        c = memcmp(a->bytes, b->bytes, family_size(a->family));
        return c < 0 ? -1 : c > 0;
}

bool address_add(const Address *a, uint64_t n, Address *ret) {
        Address sum = *a;
        uint64_t carry = 0;

        for (unsigned i = family_size(a->family); i-- > 0;) {
                carry += sum.bytes[i] + (n & 0xff);
                sum.bytes[i] = (uint8_t) carry;
                carry >>= 8;
                n >>= 8;
        }
        if (carry > 0 || n > 0 || family_size(a->family) == 0)
                return false;

        *ret = sum;
        return true;
}

uint64_t address_distance(const Address *from, const Address *to) {
        unsigned size = family_size(from->family);
        uint64_t low = 0;
        int borrow = 0;
        bool huge = false;

        if (from->family != to->family || address_compare(from, to) > 0)
                return UINT64_MAX;

        for (unsigned i = 0; i < size; i++) {
                int d = to->bytes[size - 1 - i] - from->bytes[size - 1 - i] - borrow;

                borrow = d < 0;
                if (d < 0)
                        d += 256;
                if (i < sizeof(uint64_t))
                        low |= (uint64_t) d << (8 * i);
                else
                        huge = huge || d != 0;
        }

        return huge ? UINT64_MAX : low;
}

bool address_is_unspecified(const Address *a) {
        static const uint8_t zeros[16];

        return memcmp(a->bytes, zeros, family_size(a->family)) == 0;
}

bool address_is_unicast(const Address *a) {
        if (a->family == AF_INET)
                /* 0.0.0.0/8, 127.0.0.0/8, and from 224.0.0.0 on: multicast, reserved, broadcast. */
                return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
        if (a->family == AF_INET6)
                return !IN6_IS_ADDR_UNSPECIFIED(&a->in6) && !IN6_IS_ADDR_LOOPBACK(&a->in6) &&
                       !IN6_IS_ADDR_MULTICAST(&a->in6) && !IN6_IS_ADDR_V4MAPPED(&a->in6);
        return false;
}

int prefix_parse(const char *text, Prefix *ret) {
        char address[ADDRESS_TEXT_MAX];
        const char *slash = text ? strchr(text, '/') : NULL;
        uint32_t length;
        Prefix p = {};

        if (!slash || (size_t) (slash - text) >= sizeof(address))
                return -EINVAL;

        memcpy(address, text, (size_t) (slash - text));
        address[slash - text] = 0;
        /* One form for each length, too. */
        if (address_parse(address, &p.address) < 0 || parse_uint32(slash + 1, &length) < 0 ||
            length > family_size(p.address.family) * 8 || (slash[1] == '0' && slash[2] != 0))
                return -EINVAL;

        p.length = length;
        *ret = p;
        return 0;
}

const char *prefix_format(const Prefix *p, char buffer[static ADDRESS_TEXT_MAX]) {
        size_t n;

        n = strlen(address_format(&p->address, buffer));
        (void) snprintf(buffer + n, ADDRESS_TEXT_MAX - n, "/%u", p->length);
        return buffer;
}

/* The bits of byte i that belong to the network. */
static uint8_t mask_byte(unsigned length, unsigned i) {
        unsigned bits = length <= i * 8 ? 0 : MIN(length - i * 8, 8U);

        return (uint8_t) (0xff00U >> bits);
}

Prefix prefix_subnet(const Prefix *p) {
        Prefix s = *p;

        for (unsigned i = 0; i < family_size(p->address.family); i++)
                s.address.bytes[i] &= mask_byte(p->length, i);
        return s;
}

bool prefix_is_subnet(const Prefix *p) {
        Prefix s = prefix_subnet(p);

        return address_compare(&s.address, &p->address) == 0;
}

bool prefix_equal(const Prefix *a, const Prefix *b) {
        return a->length == b->length && address_compare(&a->address, &b->address) == 0;
}

bool prefix_contains(const Prefix *p, const Address *a) {
        Prefix mine = prefix_subnet(p), its = prefix_subnet(&(Prefix) { *a, p->length });

        return a->family == p->address.family && address_compare(&mine.address, &its.address) == 0;
}

bool prefix_overlaps(const Prefix *a, const Prefix *b) {
        return a->length <= b->length ? prefix_contains(a, &b->address) : prefix_contains(b, &a->address);
}

Address prefix_last(const Prefix *p) {
        Address a = p->address;

        for (unsigned i = 0; i < family_size(a.family); i++)
                a.bytes[i] |= (uint8_t) ~mask_byte(p->length, i);
        return a;
}

bool prefix_can_assign(const Prefix *p, const Address *a) {
        Prefix s = prefix_subnet(p);
        Address last = prefix_last(p);

        if (!prefix_contains(p, a) || !address_is_unicast(a))
                return false;
        /* RFC 3021, RFC 6164: with two addresses or one, all are hosts'. */
        if (p->length + 1 >= family_size(a->family) * 8)
                return true;
        /* IPv6 has no broadcast, but the first is the routers' anycast address (RFC 4291, 2.6.1). */
        return address_compare(a, &s.address) != 0 &&
               (a->family == AF_INET6 || address_compare(a, &last) != 0);
}

int ether_parse(const char *text, uint8_t ret[static ETHER_SIZE]) {
        uint8_t ether[ETHER_SIZE];
        bool zero = true;

        if (!text || strlen(text) != ETHER_TEXT_MAX - 1)
                return -EINVAL;

        for (unsigned i = 0; i < ETHER_SIZE; i++) {
                const char digits[3] = { text[3 * i], text[3 * i + 1] };

                if (!string_in_charset(digits, HEX_LOWER "ABCDEF") ||
                    text[3 * i + 2] != (i + 1 < ETHER_SIZE ? ':' : 0))
                        return -EINVAL;
                ether[i] = (uint8_t) strtoul(digits, NULL, 16);
                zero = zero && ether[i] == 0;
        }
        if (zero || (ether[0] & 1))
                return -EINVAL;

        memcpy(ret, ether, ETHER_SIZE);
        return 0;
}

/* FNV-1a. */
void ether_derive(const void *bytes, size_t size, uint64_t number, uint8_t ret[static ETHER_SIZE]) {
        uint64_t hash = 0xcbf29ce484222325U;

        for (const uint8_t *p = bytes, *end = p + size; p < end; p++)
                hash = (hash ^ *p) * 0x100000001b3U;
        hash = (hash ^ number) * 0x100000001b3U;
        ret[0] = 0x02; /* locally administered, one device's */
        for (size_t i = 1; i < ETHER_SIZE; i++)
                ret[i] = (uint8_t) (hash >> (8 * i));
}

const char *ether_format(const uint8_t ether[static ETHER_SIZE], char buffer[static ETHER_TEXT_MAX]) {
        (void) snprintf(buffer, ETHER_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", ether[0], ether[1],
                        ether[2], ether[3], ether[4], ether[5]);
        return buffer;
}
