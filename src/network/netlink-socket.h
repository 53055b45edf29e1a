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

/* protocol: NETLINK_ROUTE, … In the network namespace that the caller is in, and stays in it. */
int netlink_socket_new(int protocol, NetlinkSocket **ret);
NetlinkSocket *netlink_socket_free(NetlinkSocket *s);
DEFINE_CLEANUP_FUNC(NetlinkSocket *, netlink_socket_free)

/* Sends a message and reads what comes back, up to the acknowledgement or the end of a dump. func (or NULL)
 * sees each message of the answer; the first result of it that is not 0 is the call's (what is left is read
 * all the same). -EAGAIN: a dump that was changed meanwhile, and may lack something. */
int netlink_socket_call(NetlinkSocket *s, struct nl_msg *m, int (*func)(struct nlmsghdr *h, void *userdata),
                        void *userdata);
/* What the kernel said about the last call's error, or "". */
const char *netlink_socket_get_message(const NetlinkSocket *s);
