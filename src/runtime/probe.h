/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Health checks of moored's containers: what moored-probe.service runs. One connection a check, over the
 * socket that the service manager holds (SOCK_SEQPACKET):
 *
 *   moored                                              here
 *   one byte, with a memfd of the request's JSON ---->
 *   <---------------------------------------------      the answer's JSON; or the end, if the checker died
 *
 *   request   bundle, cgroup, pid (of the container's init), args, timeoutUSec, ready (tell the service manager
 *             that the container's unit is ready, if the check succeeds)
 *             or, in place of args, namespace: true: its network namespace
 *   answer    exitCode (-1: it took too long), output, ready (it has been told)
 *             or error: a sentence, and its name; nothing is said about the container's health then
 *
 *             or namespace: true, with a descriptor
 *
 * Whoever closes the connection wants no answer: the check is killed. */

#include "basic/error.h"

#define PROBE_REQUEST_MAX (1024U * 1024)
#define PROBE_OUTPUT_MAX 4096U /* bytes of output that are kept: the first */
#define PROBES_MAX 256U        /* at a time; others wait in the socket's queue */

/* `mooring probe`: serves the socket that it was given (sd_listen_fds(3)) and ends when there is nothing to do
 * for some seconds. As the verbs of launch.h. */
int probe_serve(char *argv[], Error *reterr_error);

/* One connection, in a process of its own. */
void probe_answer(int sock);
