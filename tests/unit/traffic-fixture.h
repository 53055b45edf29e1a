/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Connections between network namespaces, and whom a listener sees. Included once, behind cmocka.h; netns-fixture.h comes with it. */

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "netns-fixture.h"

#define PATIENCE_MSEC 3000 /* a packet that is lost is sent again after a second */
#define DROPPED_MSEC 400   /* for what is not to come */
#define HOST (-EBADF)

static const char *nft_missing; /* set by the test's main() */

#define FIREWALL_NEEDED()                                                     \
        do {                                                                  \
                NETNS_NEEDED();                                               \
                if (nft_missing) {                                            \
                        print_message("%s: %s\n", __func__, nft_missing);     \
                        skip();                                               \
                }                                                             \
        } while (false)

typedef struct Node {
        int netns, listener;
} Node;

typedef struct Call {
        const char *host;
        uint16_t port;
        int fd;
} Call;

static struct sockaddr_storage sockaddr_of(const Call *c) {
        struct sockaddr_storage s = {};
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &s;
        struct sockaddr_in *in = (struct sockaddr_in *) &s;

        if (inet_pton(AF_INET, c->host, &in->sin_addr) == 1) {
                in->sin_family = AF_INET;
                in->sin_port = htons(c->port);
        } else {
                assert_int_equal(inet_pton(AF_INET6, c->host, &in6->sin6_addr), 1);
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons(c->port);
        }
        return s;
}

static int open_listener(void *userdata) {
        Call *c = userdata;
        struct sockaddr_storage s = sockaddr_of(c);

        c->fd = socket(s.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return RET_NERRNO(bind(c->fd, (struct sockaddr *) &s, sizeof(s))) ?: RET_NERRNO(listen(c->fd, 8));
}

static int open_connection(void *userdata) {
        Call *c = userdata;
        struct sockaddr_storage s = sockaddr_of(c);

        c->fd = socket(s.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return connect(c->fd, (struct sockaddr *) &s, sizeof(s)) < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int run_in(int netns, int (*func)(void *userdata), Call *c) {
        return netns == HOST ? func(c) : netns_run(netns, func, c);
}

/* Who the listener sees, or NULL: nobody has come. Valid until the next call. */
static const char *accept_one(int listener, int client, int msec) {
        static char text[INET6_ADDRSTRLEN];
        struct pollfd p[] = { { .fd = listener, .events = POLLIN }, { .fd = client, .events = POLLIN } };
        struct sockaddr_in6 s;
        socklen_t l = sizeof(s);
        int fd;

        /* The client's descriptor tells of a refusal. */
        for (int waited = 0; waited < msec && poll(p, 2, msec) > 0; waited += 10) {
                fd = accept4(listener, (struct sockaddr *) &s, &l, SOCK_CLOEXEC);
                if (fd >= 0) {
                        close(fd);
                        assert_non_null(inet_ntop(AF_INET6, &s.sin6_addr, text, sizeof(text)));
                        return startswith(text, "::ffff:") ?: text;
                }
                if (p[1].revents & (POLLERR | POLLHUP))
                        return NULL;
                poll(NULL, 0, 10);
        }
        return NULL;
}

static const char *reach_within(int from, const char *host, uint16_t port, const Node *to, int msec) {
        Call c = { .host = host, .port = port };
        const char *seen;

        seen = run_in(from, open_connection, &c) < 0 ? NULL : accept_one(to->listener, c.fd, msec);
        close(c.fd);
        return seen;
}

static const char *reach(int from, const char *host, uint16_t port, const Node *to) {
        return reach_within(from, host, port, to, PATIENCE_MSEC);
}

#define assert_reached(from, host, port, to, as)                                \
        do {                                                                    \
                const char *seen_ = reach((from), (host), (port), (to));         \
                assert_non_null(seen_);                                         \
                assert_string_equal(seen_, (as));                               \
        } while (false)
#define assert_unreached(from, host, port, to) assert_null(reach_within((from), (host), (port), (to), DROPPED_MSEC))
