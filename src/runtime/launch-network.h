/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's network namespace, where moored has made it, or another container has it. moored gives it out on a socket of
 * its own. If the service manager may start the container again, it keeps the namespace in the unit's descriptor store: the
 * next process, made without moored, is on the same network, with the same addresses. */

#include "runtime/preserve.h"
#include "runtime/spec.h"

#define ANNOTATION_NETWORK "org.moored.network" /* the container, as the socket has it: "NAMESPACE/ID" */
#define ANNOTATION_NETWORK_KEEP ANNOTATION_NETWORK ".keep" /* there: the unit has such a store */
#define NETWORK_FD_NAME "moored-network"        /* in the store */

/* If the container has such: its descriptor (else -EBADF), taken out of preserved if the service manager had it; spec's
 * network namespace is then that, for as long as the descriptor is open. */
int launch_network(RuntimeSpec *spec, PreservedFds *preserved, int *ret_fd, Error *reterr_error);
