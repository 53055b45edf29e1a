/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A netlink socket that is asked one thing at a time; made with libnl's core. Its objects for links and
 * addresses (libnl-route) are not used: they turn the kernel's errors into fewer ones of their own, and what
 * an error means here is an errno.
 *
 * The kernel answers within the call that asks, so nothing here waits: an answer that is not there has been
 * lost, -EIO. */

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "basic/macro.h"

typedef struct NetlinkSocket NetlinkSocket;

static inline struct nl_msg *netlink_message_free(struct nl_msg *m) {
        nlmsg_free(m);
        return NULL;
}
DEFINE_CLEANUP_FUNC(struct nl_msg *, netlink_message_free)

/* For NETLINK_NETFILTER: with the header that all its messages have. NULL: no memory. */
struct nl_msg *netfilter_message_new(int subsystem, int type, int flags, int family);

/* protocol: NETLINK_ROUTE, … In the network namespace that the caller is in, and stays in it. */
int netlink_socket_new(int protocol, NetlinkSocket **ret);
NetlinkSocket *netlink_socket_free(NetlinkSocket *s);
DEFINE_CLEANUP_FUNC(NetlinkSocket *, netlink_socket_free)

/* Sends a message and reads what comes back, up to the acknowledgement or the end of a dump. func (or NULL)
 * sees each message of the answer; the first result of it that is not 0 is the call's (what is left is read
 * all the same). -EAGAIN: a dump that was changed meanwhile, and may lack something. */
int netlink_socket_call(NetlinkSocket *s, struct nl_msg *m, int (*func)(struct nlmsghdr *h, void *userdata),
                        void *userdata);
/* A dump piece by piece: start asks for it, each continue reads one datagram and calls func for what is in it. 1: there
 * may be more, 0: that was the end; an error is the end as well. */
int netlink_socket_dump_start(NetlinkSocket *s, struct nl_msg *m);
int netlink_socket_dump_continue(NetlinkSocket *s, int (*func)(struct nlmsghdr *h, void *userdata), void *userdata);
/* Messages for nf_tables, as one transaction: all of them or none. n up to NETLINK_TRANSACTION_MAX; the first
 * error of any. */
#define NETLINK_TRANSACTION_MAX 128U
int netlink_socket_transact(NetlinkSocket *s, struct nl_msg *const *messages, size_t n);
/* What the kernel said about the last call's error, or "". */
const char *netlink_socket_get_message(const NetlinkSocket *s);
