/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's network namespace, where moored has made it, or another container has it. moored gives it out once, on a
 * socket of its own; from then on the service manager keeps it in the unit's descriptor store, so that a process that it
 * starts again, without moored, is on the same network, with the same addresses. */

#include "runtime/preserve.h"
#include "runtime/spec.h"

#define ANNOTATION_NETWORK "org.moored.network" /* the container, as the socket has it: "NAMESPACE/ID" */
#define NETWORK_FD_NAME "moored-network"        /* in the store */

/* If the container has such: its descriptor (else -EBADF), taken out of preserved if the service manager had it; spec's
 * network namespace is then that, for as long as the descriptor is open. */
int launch_network(RuntimeSpec *spec, PreservedFds *preserved, int *ret_fd, Error *reterr_error);
