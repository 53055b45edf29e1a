/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host's ports that containers publish: rows like the addresses (reserve.c). They cannot be unique by a key (ranges, and
 * addresses of which one includes another): they are compared with those that are there, by the only process that adds any.
 *
 * A port may also be another program's. Whether it is, bind() says (of a large range, for those ports that somebody listens
 * on: listeners.c), and at each start the list of who listens; nothing is held afterwards, as a published port has no
 * socket: who takes it later gets no connections from elsewhere. */

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "network/listeners.h"
#include "network/network-private.h"

#define DYNAMIC_PORT_FIRST 49152U /* RFC 6335: not assigned to any service */
#define DYNAMIC_PORT_TRIES 128U
#define PORTS_TRIED 16U /* of a range: more are looked for first */
#define DNS_PORT 53U

/* -- recorded -- */

typedef struct PortSearch {
        const Port *port;
        char *owner; /* of the first that overlaps */
} PortSearch;

static int port_from_row(const PortRow *row, Port *ret) {
        Port p = {
                .protocol = port_protocol_from_string(row->protocol),
                .host_port = row->host_port,
                .container_port = row->container_port,
                .count = row->count,
        };

        if (p.protocol < 0 || (!isempty(row->address) && address_parse(row->address, &p.host) < 0))
                return -EINVAL;

        *ret = p;
        return 0;
}

static int find_overlap(const PortRow *row, void *userdata) {
        PortSearch *s = userdata;
        Port p;

        if (s->owner || port_from_row(row, &p) < 0 || !port_overlaps(&p, s->port))
                return 0;
        s->owner = strformat("%s of namespace “%s”", row->container, row->ns);
        return s->owner ? 0 : -ENOMEM;
}

static int recorded_owner(NetworkManager *m, const Port *p, char **ret) {
        PortSearch s = { .port = p };
        int r;

        r = store_port_foreach_overlap(m->store, port_protocol_to_string(p->protocol), p->host_port,
                                       (uint16_t) (p->host_port + p->count - 1), find_overlap, &s);
        if (r < 0) {
                free(s.owner);
                return r;
        }

        *ret = s.owner;
        return 0;
}

/* -- free -- */

/* Can a socket have it? What cannot be found out (no such family or protocol here, no permission) counts as
 * yes. */
static int try_bind(int family, const Port *p, uint16_t number) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } a = {};
        _cleanup_close_ int fd = -EBADF;
        const int one = 1;
        socklen_t size;

        fd = socket(family, (p->protocol == PORT_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC,
                    port_protocol_to_ip(p->protocol));
        if (fd < 0)
                return 0;

        /* Only what listens is in the way, not what has just ended. UDP knows no difference. */
        if (p->protocol == PORT_TCP)
                (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (family == AF_INET6) {
                (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
                a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htobe16(number) };
                if (p->host.family == AF_INET6)
                        a.in6.sin6_addr = p->host.in6;
                size = sizeof(a.in6);
        } else {
                a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htobe16(number) };
                if (p->host.family == AF_INET)
                        a.in.sin_addr = p->host.in;
                size = sizeof(a.in);
        }
        if (bind(fd, &a.sa, size) < 0 && (errno == EADDRINUSE || errno == EADDRNOTAVAIL))
                return -errno;
        return 0;
}

typedef struct ListenerSearch {
        NetworkManager *manager;
        const Port *port;
        uint16_t number; /* 0: nobody has it */
} ListenerSearch;

/* The resolver of a network of ours has that port of its bridge's addresses only, and keeps it (firewall.c). */
static bool is_resolver(NetworkManager *m, const Listener *l) {
        char device[IF_NAMESIZE] = "";
        Network *n;

        if (l->port != DNS_PORT)
                return false;
        if (l->device > 0)
                (void) if_indextoname((unsigned) l->device, device);
        HASHMAP_FOREACH (n, m->networks) {
                if (streq_ptr(n->row.device, device))
                        return true;
                for (size_t i = 0; i < n->n_subnets; i++)
                        if (network_has_gateway(n, i) && address_compare(&n->subnets[i].address, &l->address) == 0)
                                return true;
        }
        return false;
}

static int find_listener(const Listener *l, void *userdata) {
        ListenerSearch *s = userdata;

        return !is_resolver(s->manager, l) && listener_has_port(l, s->port, &s->number);
}

static int open_sockets(NetworkManager *m) {
        return m->sockets ? 0 : netlink_socket_new(NETLINK_SOCK_DIAG, &m->sockets);
}

/* 1: somebody listens there, 0: nobody does. only: of this port's numbers the one; 0: all. */
static int is_listened(NetworkManager *m, const Port *p, uint16_t only, uint16_t *ret_number) {
        ListenerSearch s = { .manager = m, .port = p };
        int r;

        r = open_sockets(m);
        if (r >= 0)
                r = listeners_foreach(m->sockets, p->protocol, only, find_listener, &s);
        if (r > 0)
                *ret_number = s.number;
        return r;
}

/* Of a range, ports that nobody listens on are not tried; NULL: all are. */
static bool *find_taken(NetworkManager *m, const Port *p) {
        bool *taken;

        if (p->count <= PORTS_TRIED)
                return NULL;
        taken = calloc(p->count, sizeof(bool));
        if (taken && (open_sockets(m) < 0 || listeners_find(m->sockets, p, taken) < 0)) {
                free(taken);
                taken = NULL;
        }
        return taken;
}

/* ret_number: the first that cannot be had. bind() refuses as well what is no hindrance: a port from which somebody has called
 * others, and one of a resolver of ours. */
static int try_ports(NetworkManager *m, const Port *p, uint16_t *ret_number) {
        _cleanup_free_ bool *taken = find_taken(m, p);

        for (uint32_t i = 0; i < p->count; i++) {
                uint16_t number = (uint16_t) (p->host_port + i);
                int r = 0;

                /* The first one tells whether there is such an address. */
                if (taken && !taken[i] && i > 0)
                        continue;
                if (p->host.family != AF_INET6)
                        r = try_bind(AF_INET, p, number);
                if (r >= 0 && p->host.family != AF_INET)
                        r = try_bind(AF_INET6, p, number);
                if (r == -EADDRINUSE && is_listened(m, p, number, &number) == 0)
                        r = 0;
                if (r < 0) {
                        *ret_number = number;
                        return r;
                }
        }

        return 0;
}

/* -- reserved -- */

static int others_port(const Port *p, const char *text, uint16_t number, Error *reterr_error) {
        return error_set(reterr_error, -EADDRINUSE, "PortInUse",
                         "“%s” cannot be published: another program of this host has the port %u/%s (“ss -lnp” shows which).",
                         text, (unsigned) number, port_protocol_to_string(p->protocol));
}

static int check_port_free(NetworkManager *m, const Port *p, Error *reterr_error) {
        _cleanup_free_ char *owner = NULL, *text = NULL;
        char address[ADDRESS_TEXT_MAX];
        uint16_t number;
        int r;

        r = recorded_owner(m, p, &owner);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The published ports cannot be read: %m");
        text = port_format(p);
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (owner)
                return error_set(reterr_error, -EADDRINUSE, "PortInUse",
                                 "“%s” cannot be published: the port is that of the container %s.", text,
                                 owner);

        r = try_ports(m, p, &number);
        if (r == -EADDRNOTAVAIL)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%s” cannot be published: this host has no address %s.", text,
                                 address_format(&p->host, address));
        return r < 0 ? others_port(p, text, number, reterr_error) : 0;
}

/* The host's port is one that nobody has, nor another of the list. */
static int choose_port(NetworkManager *m, Port *ports, size_t n_ports, size_t n, Error *reterr_error) {
        Port *p = &ports[n];
        uint32_t range = UINT16_MAX - DYNAMIC_PORT_FIRST + 1 - p->count + 1;

        for (unsigned i = 0; i < DYNAMIC_PORT_TRIES; i++) {
                _cleanup_free_ char *owner = NULL;
                uint32_t random;
                uint16_t number;
                bool own = false;
                int r;

                if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
                        return error_set_errno(reterr_error, -EIO, "The kernel has no random bytes: %m");
                p->host_port = (uint16_t) (DYNAMIC_PORT_FIRST + random % range);

                for (size_t k = 0; k < n_ports; k++)
                        own = own || (k != n && port_overlaps(&ports[k], p));
                if (own)
                        continue;
                r = recorded_owner(m, p, &owner);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "The published ports cannot be read: %m");
                if (owner)
                        continue;
                r = try_ports(m, p, &number);
                if (r >= 0)
                        return 0;
                /* No other port will do. */
                if (r == -EADDRNOTAVAIL)
                        return check_port_free(m, p, reterr_error);
        }

        return error_set(reterr_error, -EADDRINUSE, "PortInUse",
                         "No port of this host was found that nobody has: name one.");
}

int network_port_reserve(NetworkManager *m, const char *ns, const char *container, Port *ports, size_t n_ports,
                         size_t n, Error *reterr_error) {
        Port *p = &ports[n];
        char address[ADDRESS_TEXT_MAX] = "";
        PortRow row = {
                .ns = (char *) ns,
                .container = (char *) container,
                .protocol = (char *) port_protocol_to_string(p->protocol),
                .address = p->host.family == AF_UNSPEC ? address
                                                       : (char *) address_format(&p->host, address),
                .container_port = p->container_port,
                .count = p->count,
        };
        int r;

        r = p->host_port == 0 ? choose_port(m, ports, n_ports, n, reterr_error) : check_port_free(m, p, reterr_error);
        if (r < 0)
                return r;

        row.host_port = p->host_port;
        r = store_port_add(m->store, &row);
        return r < 0 ? error_set_errno(reterr_error, r, "A published port cannot be recorded: %m") : 0;
}

typedef struct PortCall {
        int (*func)(const Port *p, void *userdata);
        void *userdata;
} PortCall;

static int call_port(const PortRow *row, void *userdata) {
        PortCall *c = userdata;
        Port p;
        int r;

        r = port_from_row(row, &p);
        return r < 0 ? r : c->func(&p, c->userdata);
}

int network_manager_foreach_port(NetworkManager *m, const char *ns, const char *container,
                                 int (*func)(const Port *p, void *userdata), void *userdata) {
        PortCall c = { func, userdata };

        return store_port_foreach(m->store, ns, container, call_port, &c);
}

/* -- at a start -- */

typedef struct PortCheck {
        NetworkManager *manager;
        Error *reterr_error;
} PortCheck;

static int check_listened(const Port *p, void *userdata) {
        _cleanup_free_ char *text = NULL;
        const PortCheck *c = userdata;
        uint16_t number;
        int r;

        r = is_listened(c->manager, p, p->count == 1 ? p->host_port : 0, &number);
        if (r <= 0)
                return 0; /* what cannot be found out counts as free */
        text = port_format(p);
        return text ? others_port(p, text, number, c->reterr_error) : -ENOMEM;
}

int network_manager_check_ports(NetworkManager *m, const char *ns, const char *container, Error *reterr_error) {
        PortCheck c = { m, reterr_error };

        return network_manager_foreach_port(m, ns, container, check_listened, &c);
}
