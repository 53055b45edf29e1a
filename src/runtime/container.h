/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container that exists, as a verb gets hold of it. */

#include "runtime/cgroup.h"
#include "runtime/command.h"
#include "runtime/state.h"

typedef struct Container {
        int root_fd; /* of states */
        int dir_fd;  /* of this one */
        ContainerState state;
} Container;

#define CONTAINER_NULL ((Container){ .root_fd = -EBADF, .dir_fd = -EBADF })

void container_done(Container *c);

/* Errors: InvalidArgument, NoSuchContainer. */
int container_open(const GlobalOptions *g, const char *id, bool lock, Container *ret, Error *reterr_error);

ContainerStatus container_status(const Container *c);

/* Borrows from c: not for cgroup_done(). */
Cgroup container_cgroup(const GlobalOptions *g, const Container *c);

/* The specification as it was at the creation. */
int container_spec(const Container *c, RuntimeSpec **ret, Error *reterr_error);

/* Kills init and waits for its end; nothing if it has ended. */
int container_kill_init(const Container *c, Error *reterr_error);

/* Runs the hooks of a type that the container has. */
int container_run_hooks(const Container *c, HookType type, ContainerStatus status, Error *reterr_error);

/* Kills what runs, removes cgroup and resctrl group, runs the poststop hooks (whose failures are reported,
 * no more) and removes the state. c is locked. */
int container_delete(const GlobalOptions *g, Container *c, Error *reterr_error);

/* Calls f for each container whose id the extended regular expression matches. The failures of all are
 * reported; the last one is returned. */
typedef int (*ContainerFunc)(const GlobalOptions *g, const char *id, void *userdata, Error *reterr_error);
int container_for_each_match(const GlobalOptions *g, const char *regex, ContainerFunc f, void *userdata,
                             Error *reterr_error);
