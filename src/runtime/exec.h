/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Another process in a container that runs. */

#include "runtime/command.h"

typedef struct ExecOptions {
        const char *id;
        const char *process; /* a file with `process` of the specification; NULL: the container's with what follows */
        char **args;         /* NULL-terminated, or NULL */
        const char *cwd;     /* NULL: the container's; as all below */
        const char *user;    /* UID[:GID] */
        char **env;          /* added */
        char **caps;         /* added to all sets but the ambient */
        uint32_t *groups;    /* added */
        size_t n_groups;
        const char *apparmor;
        const char *process_label;
        const char *pid_file;
        const char *console_socket;
        const char *pidfd_socket;
        const char *cgroup; /* below the container's */
        unsigned n_preserve_fds;
        bool tty;
        bool detach;
        bool no_new_privileges;
        bool ignore_paused;
} ExecOptions;

/* Returns the exit code; detached: 0. */
int container_exec(const GlobalOptions *g, const ExecOptions *o, Error *reterr_error);
