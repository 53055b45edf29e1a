/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making a container: `create`, and `run`, which is `create` and `start` in one. */

#include "runtime/command.h"

typedef struct CreateOptions {
        const char *id;
        const char *bundle;         /* NULL: the working directory */
        const char *config;         /* NULL: config.json; relative to the bundle */
        const char *pid_file;       /* NULL: none; as all below */
        const char *console_socket;
        const char *pidfd_socket;
        unsigned n_preserve_fds;
        bool no_pivot;
        bool no_new_keyring;
        bool detach;
        bool keep; /* the state of a container that has ended stays */
} CreateOptions;

/* The container is created, its init waits for container_start(). On failure nothing is left. */
int container_create(const GlobalOptions *g, const CreateOptions *o, Error *reterr_error);

/* The container is created and started. Not detached: returns the exit code, when it has ended and, but for
 * keep, been deleted. */
int container_run(const GlobalOptions *g, const CreateOptions *o, Error *reterr_error);

/* Starts a container that has been created; returns when its command has been executed. */
int container_start(const GlobalOptions *g, const char *id, Error *reterr_error);
