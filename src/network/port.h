/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Published ports as users write them: "[IP:][HOST]:CONTAINER[/PROTOCOL]", each number also a range; pure. */

#include "network/address.h"

#define PORTS_MAX 4096U /* of one container, ranges counted in full */

typedef enum PortProtocol {
        PORT_TCP,
        PORT_UDP,
        PORT_SCTP,
        _PORT_PROTOCOL_MAX,
        _PORT_PROTOCOL_INVALID = -EINVAL,
} PortProtocol;
DECLARE_STRING_TABLE(port_protocol, PortProtocol);
int port_protocol_to_ip(PortProtocol p); /* IPPROTO_TCP, … */

typedef struct Port {
        PortProtocol protocol;
        Address host;       /* AF_UNSPEC: all of the host's, of both families */
        uint16_t host_port; /* 0: one that is free, chosen when the container is created */
        uint16_t container_port;
        uint16_t count; /* so many, counted upwards from both; at least 1 */
} Port;

/* "8080:80", "80" (a free port of the host), "127.0.0.1:8080:80/udp", "[::1]::80", "8000-8009:80-89/tcp". The ranges are of one
 * size. "InvalidArgument" says what is wrong with what. */
int port_parse(const char *text, Port *ret, Error *reterr_error);
/* As port_parse() takes it; to be freed. */
char *port_format(const Port *p);
/* "80", "80/udp", "8000-8010/tcp": as image configurations have ExposedPorts and --expose has it. host_port is 0. */
int port_parse_exposed(const char *text, Port *ret, Error *reterr_error);
/* Both want the same port of the same address. */
bool port_overlaps(const Port *a, const Port *b);
