/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* linux.netDevices: network devices of this process's network namespace are moved to the container's. */

#include "basic/error.h"
#include "runtime/spec-attributes.h"

/* What has been moved, and from where. Looks at the SpecNetDevices, which must outlive it. */
typedef struct NetdevMoves NetdevMoves;

NetdevMoves *netdev_moves_free(NetdevMoves *m);
DEFINE_CLEANUP_FUNC(NetdevMoves *, netdev_moves_free)

/* Moves all of s to the network namespace netns_fd: by their new names, with their permanent addresses of
 * global scope, and up. A device that cannot be had as it is wanted is moved back, as is what has been moved
 * before it. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN on both sides, and one thread: the process joins the
 * namespace for a moment. When the container's namespaces exist, before hooks look at them. */
int netdev_move(const SpecNetDevices *s, int netns_fd, NetdevMoves **ret, Error *reterr_error);

/* The same to the namespace of process pid. *ret is NULL if there are no devices. */
int netdev_move_to_process(const SpecNetDevices *s, pid_t pid, NetdevMoves **ret, Error *reterr_error);

/* Moves all back, for a creation that failed later: a virtual device would end with the namespace, which m
 * keeps. m may be NULL. */
void netdev_undo(NetdevMoves *m);
