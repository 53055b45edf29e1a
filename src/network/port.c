/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Read from the right: "/PROTOCOL" behind the last slash, the container's ports behind the last colon, the
 * host's behind the one before; what is left is the address. So an IPv6 address needs its brackets, as
 * everywhere that a port follows. */

#include "network/port.h"

#include "basic/string-util.h"

#define PORT_TEXT_MAX 128U
#define PORTS_MAX_ 4096 /* as a number to be printed */
static_assert(PORTS_MAX_ == PORTS_MAX, "one limit");

static const char *const port_protocol_table[_PORT_PROTOCOL_MAX] = {
        [PORT_TCP] = "tcp",
        [PORT_UDP] = "udp",
        [PORT_SCTP] = "sctp",
};
DEFINE_STRING_TABLE(port_protocol, PortProtocol)

int port_protocol_to_ip(PortProtocol p) {
        return p == PORT_TCP ? IPPROTO_TCP : p == PORT_UDP ? IPPROTO_UDP : IPPROTO_SCTP;
}

static int invalid(Error *e, const char *text, const char *why) {
        return error_set(e, -EINVAL, "InvalidArgument", "\"%s\" is not a port to publish: %s.", text, why);
}

/* What range_parse() has read: first and how many; count 0: nothing, as the text was empty. */
typedef struct PortRange {
        uint16_t first;
        uint32_t count;
} PortRange;

static int number_parse(const char *s, uint16_t *ret) {
        uint32_t n;

        if (isempty(s) || parse_uint32(s, &n) < 0 || n == 0 || n > UINT16_MAX)
                return -EINVAL;

        *ret = (uint16_t) n;
        return 0;
}

/* "80", "8000-8010"; in place. NULL: fine, else what is wrong. */
static const char *range_parse(char *s, PortRange *ret) {
        char *dash = strchr(s, '-');
        uint16_t first, last;

        if (dash)
                *dash = 0;
        if (number_parse(s, &first) < 0 || (dash && number_parse(dash + 1, &last) < 0))
                return "a port is a number from 1 to 65535, a range two of them with a \"-\" between";
        if (!dash)
                last = first;
        if (last < first)
                return "the range ends before it begins";
        if (last - first >= (int) PORTS_MAX)
                return "the range has more than " STRINGIFY(PORTS_MAX_) " ports";

        *ret = (PortRange) { first, (uint32_t) (last - first) + 1 };
        return NULL;
}

/* Cuts "/PROTOCOL" off; in place. */
static const char *protocol_parse(char *s, PortProtocol *ret) {
        char *slash = strrchr(s, '/');

        *ret = PORT_TCP;
        if (!slash)
                return NULL;

        *slash = 0;
        *ret = port_protocol_from_string(slash + 1);
        return *ret < 0 ? "the protocol is \"tcp\", \"udp\" or \"sctp\"" : NULL;
}

/* "", "192.0.2.1", "[2001:db8::1]"; in place. */
static const char *host_parse(char *s, Address *ret) {
        size_t n = strlen(s);
        bool brackets = n >= 2 && s[0] == '[' && s[n - 1] == ']';

        if (brackets) {
                s[n - 1] = 0;
                s++;
        }
        if (address_parse(s, ret) < 0)
                return "what is before the ports is not an IP address (an IPv6 address is written in brackets)";
        if (brackets != (ret->family == AF_INET6))
                return brackets ? "only an IPv6 address is written in brackets"
                                : "an IPv6 address is written in brackets";
        return NULL;
}

static int copy_text(const char *text, char copy[static PORT_TEXT_MAX], Error *reterr_error) {
        if (isempty(text))
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "A port to publish is missing: it is written as \"8080:80\", \"127.0.0.1:8080:80/udp\" or \"80\".");
        if (strlen(text) >= PORT_TEXT_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%.32s…\" is not a port to publish: it is too long.", text);

        strcpy(copy, text);
        return 0;
}

/* The two parts in front of the container's port; both may be missing. */
static const char *front_parse(char *front, Port *p, PortRange *host) {
        char *colon = strrchr(front, ':'), *numbers;

        /* "[::1]:80" has one colon that counts. */
        if (colon && strchr(colon, ']'))
                return "between an address and the container's port stands the host's port, or nothing: \"[::1]::80\"";

        numbers = colon ? colon + 1 : front;
        if (colon) {
                const char *why;

                *colon = 0;
                why = host_parse(front, &p->host);
                if (why)
                        return why;
        } else if (strchr(front, '.') || front[0] == '[')
                return "between an address and the container's port stands the host's port, or nothing: "
                       "\"127.0.0.1::80\"";

        /* "0" and nothing: a free one. */
        if (isempty(numbers) || streq(numbers, "0"))
                return NULL;
        return range_parse(numbers, host);
}

int port_parse(const char *text, Port *ret, Error *reterr_error) {
        PortRange host = {}, container = {};
        char copy[PORT_TEXT_MAX], *colon;
        const char *why;
        Port p = {};
        int r;

        r = copy_text(text, copy, reterr_error);
        if (r < 0)
                return r;

        why = protocol_parse(copy, &p.protocol);
        if (why)
                return invalid(reterr_error, text, why);

        colon = strrchr(copy, ':');
        if (colon && strchr(colon, ']'))
                return invalid(reterr_error, text, "the container's port is missing behind the address");
        why = range_parse(colon ? colon + 1 : copy, &container);
        if (!why && colon) {
                *colon = 0;
                why = front_parse(copy, &p, &host);
        }
        if (why)
                return invalid(reterr_error, text, why);
        if (host.count > 0 && host.count != container.count)
                return invalid(reterr_error, text, "the two ranges have different sizes");

        p.host_port = host.first;
        p.container_port = container.first;
        p.count = (uint16_t) container.count;
        *ret = p;
        return 0;
}

int port_parse_exposed(const char *text, Port *ret, Error *reterr_error) {
        PortRange container = {};
        char copy[PORT_TEXT_MAX];
        const char *why;
        Port p = {};
        int r;

        r = copy_text(text, copy, reterr_error);
        if (r < 0)
                return r;

        why = protocol_parse(copy, &p.protocol);
        if (!why)
                why = range_parse(copy, &container);
        if (why)
                return invalid(reterr_error, text, why);

        p.container_port = container.first;
        p.count = (uint16_t) container.count;
        *ret = p;
        return 0;
}

static void range_format(char buffer[static 16], uint16_t first, uint16_t count) {
        if (first == 0)
                buffer[0] = 0;
        else if (count == 1)
                (void) snprintf(buffer, 16, "%u", (unsigned) first);
        else
                (void) snprintf(buffer, 16, "%u-%u", (unsigned) first, first + count - 1U);
}

char *port_format(const Port *p) {
        char address[ADDRESS_TEXT_MAX], host[16], container[16];
        const char *protocol = p->protocol == PORT_TCP ? "" : port_protocol_to_string(p->protocol);
        bool ipv6 = p->host.family == AF_INET6, any = p->host.family == AF_UNSPEC;

        range_format(host, p->host_port, p->count);
        range_format(container, p->container_port, p->count);
        return strformat("%s%s%s%s%s%s%s%s%s", ipv6 ? "[" : "", any ? "" : address_format(&p->host, address),
                         ipv6 ? "]" : "", any ? "" : ":", host, any && host[0] == 0 ? "" : ":", container,
                         isempty(protocol) ? "" : "/", strempty(protocol));
}

/* Whether one socket could not have both. */
static bool host_overlaps(const Address *a, const Address *b) {
        if (a->family == AF_UNSPEC || b->family == AF_UNSPEC)
                return true;
        if (a->family != b->family)
                return false;
        return address_is_unspecified(a) || address_is_unspecified(b) || address_compare(a, b) == 0;
}

bool port_overlaps(const Port *a, const Port *b) {
        if (a->protocol != b->protocol || a->host_port == 0 || b->host_port == 0)
                return false;
        if (!host_overlaps(&a->host, &b->host))
                return false;
        return a->host_port < b->host_port + b->count && b->host_port < a->host_port + a->count;
}
