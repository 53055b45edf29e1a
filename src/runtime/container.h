/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container that exists, as a verb gets hold of it. */

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
