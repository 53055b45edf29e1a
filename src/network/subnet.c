/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Subnets that nobody has. Of IPv4 those that others (docker, podman, libvirt) do not begin with, /24 each;
 * the places that are looked at are few, as each one that is taken moves the search behind what takes it. Of
 * IPv6 a unique local prefix with 40 random bits (RFC 4193), so that two hosts that are joined later do not
 * have the same.
 *
 * The host's routes count with their whole size: a VPN that has 10.0.0.0/8 leaves nothing of it. */

#include <net/if.h>
#include <sys/random.h>

#include "basic/string-util.h"
#include "network/network-private.h"

#define AUTOMATIC_LENGTH 24U
#define ULA_LENGTH 64U
#define ULA_RANDOM 5U
#define ULA_TRIES 64U
#define DUMP_TRIES 10U

static const struct {
        uint8_t first[4], last[4];
} pools[] = {
        { { 10, 87, 0, 0 }, { 10, 255, 255, 0 } },
        { { 172, 16, 0, 0 }, { 172, 31, 255, 0 } },
        { { 192, 168, 0, 0 }, { 192, 168, 255, 0 } },
        { { 10, 0, 0, 0 }, { 10, 86, 255, 0 } },
};

void taken_subnets_done(TakenSubnets *t) {
        if (!t)
                return;

        for (size_t i = 0; i < t->n; i++)
                free(t->list[i].by);
        free(t->list);
        *t = (TakenSubnets) {};
}

int taken_subnets_add(TakenSubnets *t, const Prefix *p, const char *by) {
        TakenSubnet *more;

        more = reallocarray(t->list, t->n + 1, sizeof(TakenSubnet));
        if (!more)
                return -ENOMEM;
        t->list = more;
        more[t->n] = (TakenSubnet) { .prefix = prefix_subnet(p), .by = strdup(by) };
        return more[t->n++].by ? 0 : -ENOMEM;
}

static int add_host(TakenSubnets *t, const Prefix *p, int index, const char *what) {
        char name[IF_NAMESIZE] = "", by[64];

        if (!if_indextoname((unsigned) index, name))
                strcpy(name, "?");
        (void) snprintf(by, sizeof(by), "%s of this host (%s)", what, name);
        return taken_subnets_add(t, p, by);
}

static int add_route(const Prefix *destination, int index, void *userdata) {
        return add_host(userdata, destination, index, "a route");
}

static int add_address(int index, const Prefix *p, void *userdata) {
        return add_host(userdata, p, index, "an address");
}

/* Again, if something was changed meanwhile; what is told twice does no harm. */
static int read_host(Netlink *netlink, TakenSubnets *t) {
        int r = -EAGAIN;

        for (unsigned i = 0; r == -EAGAIN && i < DUMP_TRIES; i++) {
                r = netlink_foreach_route(netlink, add_route, t);
                if (r >= 0)
                        r = netlink_foreach_address(netlink, add_address, t);
        }
        return r;
}

/* The networks first: their routes are among the host's, and it is their names that help. */
int taken_subnets_collect(NetworkManager *m, bool host, TakenSubnets *ret, Error *reterr_error) {
        _cleanup_(taken_subnets_done) TakenSubnets t = {};
        Netlink *netlink;
        Network *n;
        int r;

        HASHMAP_FOREACH (n, m->networks) {
                _cleanup_free_ char *by =
                                strformat("the network “%s” of namespace “%s”", n->row.name, n->row.ns);

                if (!by)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                for (size_t i = 0; i < n->n_subnets; i++) {
                        r = taken_subnets_add(&t, &n->subnets[i], by);
                        if (r < 0)
                                return error_set_errno(reterr_error, r, "Out of memory");
                }
        }

        if (host) {
                r = network_manager_netlink(m, &netlink, reterr_error);
                if (r < 0)
                        return r;
                r = read_host(netlink, &t);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "The routes of this host cannot be read: %m");
        }

        *ret = t;
        t = (TakenSubnets) {};
        return 0;
}

const TakenSubnet *taken_subnets_find(const TakenSubnets *t, const Prefix *p) {
        for (size_t i = 0; i < t->n; i++)
                if (prefix_overlaps(&t->list[i].prefix, p))
                        return &t->list[i];
        return NULL;
}

static int compare_taken(const void *a, const void *b) {
        const TakenSubnet *x = a, *y = b;

        return address_compare(&x->prefix.address, &y->prefix.address);
}

/* The first from first to last; t is in order. */
static bool search_pool(const TakenSubnets *t, const Address *first, const Address *last, Prefix *ret) {
        Prefix p = { *first, AUTOMATIC_LENGTH };

        for (size_t i = 0; i < t->n; i++) {
                Address end;

                if (!prefix_overlaps(&t->list[i].prefix, &p))
                        continue;

                /* Behind whichever is larger: the candidate itself may be. */
                end = prefix_last(t->list[i].prefix.length < AUTOMATIC_LENGTH ? &t->list[i].prefix : &p);
                if (!address_add(&end, 1, &p.address))
                        return false;
        }
        if (address_compare(&p.address, last) > 0)
                return false;

        *ret = p;
        return true;
}

static int choose_ipv4(TakenSubnets *t, Prefix *ret, Error *reterr_error) {
        if (t->n > 0)
                qsort(t->list, t->n, sizeof(TakenSubnet), compare_taken);
        for (size_t i = 0; i < ELEMENTSOF(pools); i++) {
                Address first = { .family = AF_INET }, last = first;

                memcpy(first.bytes, pools[i].first, sizeof(pools[i].first));
                memcpy(last.bytes, pools[i].last, sizeof(pools[i].last));
                if (search_pool(t, &first, &last, ret))
                        return 0;
        }

        return error_set(
                        reterr_error, -EADDRNOTAVAIL, "NoSubnetLeft",
                        "This host's routes and networks leave no private IPv4 subnet for another network: name one (--subnet).");
}

static int choose_ipv6(TakenSubnets *t, Prefix *ret, Error *reterr_error) {
        for (unsigned i = 0; i < ULA_TRIES; i++) {
                Prefix p = { { .family = AF_INET6, .bytes = { 0xfd } }, ULA_LENGTH };

                if (getrandom(p.address.bytes + 1, ULA_RANDOM, 0) != (ssize_t) ULA_RANDOM)
                        return error_set_errno(reterr_error, -EIO, "The kernel has no random bytes: %m");
                if (taken_subnets_find(t, &p))
                        continue;

                *ret = p;
                return 0;
        }

        return error_set(
                        reterr_error, -EADDRNOTAVAIL, "NoSubnetLeft",
                        "This host's routes leave no private IPv6 subnet for another network: name one (--subnet).");
}

int subnet_choose(TakenSubnets *t, int family, const Prefix *wanted, Prefix *ret, Error *reterr_error) {
        if (wanted && !taken_subnets_find(t, wanted)) {
                *ret = *wanted;
                return 0;
        }

        return family == AF_INET ? choose_ipv4(t, ret, reterr_error) : choose_ipv6(t, ret, reterr_error);
}
