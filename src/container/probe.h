/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One health check, or the network namespace of a container, by moored-probe.service: this daemon may not join a container itself. What is said
 * over the socket: runtime/probe.h. */

#include <systemd/sd-event.h>

#include "basic/error.h"

#define PROBE_SOCKET "probe" /* in the runtime directory */

typedef struct ProbeRequest {
        const char *bundle, *control_group;
        uint32_t pid; /* of the container's init */
        char *const *command; /* NULL: no check, but its network namespace */
        uint64_t timeout_usec;
        bool ready; /* tell PID 1 that the unit is ready, if it succeeds */
} ProbeRequest;

typedef struct ProbeResult {
        int exit_code; /* -1: it took too long */
        const char *output;
        bool ready;
        int netns; /* -EBADF, or a descriptor, which is closed after the call */
} ProbeResult;

typedef struct Probe Probe;
/* Once, from the loop; the probe may be freed in it. result NULL: there is none, error says why ("NotRunning": the
 * container has ended meanwhile). */
typedef void (*ProbeFunc)(const ProbeResult *result, const Error *error, void *userdata);

int probe_new(sd_event *event, const char *socket_path, const ProbeRequest *request, ProbeFunc func,
              void *userdata, Probe **ret, Error *reterr_error);
/* Kills the check if it is still under way; func is not called any more. */
Probe *probe_free(Probe *p);
DEFINE_CLEANUP_FUNC(Probe *, probe_free)
