/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The part of a plan's execution that needs the host's namespaces: sources of idmapped mounts, of mounts
 * that stay peers of the host's, and, for containers in a user namespace, whatever its processes may not
 * reach. Everything opened is a detached mount, held by descriptor in the plan. */

#include <sys/stat.h>

#include "runtime/plan.h"

/* In the parent, before the container's process is made (which inherits the descriptors). Where nothing
 * needs it, it makes no system call. plan_apply() expects it to have been called. */
int plan_prepare(Plan *p, Error *reterr_error);
/* In the container's mount namespace, by a process that is not in its pid namespace (pid_fd): procfs shows the pid
 * namespace of who makes it. */
int plan_prepare_proc(Plan *p, int pid_fd, Error *reterr_error);
/* In the parent, when the child has them. */
void plan_close(Plan *p);

typedef enum OpenTreeMode {
        OPEN_TREE_OUTSIDE, /* this process is in the host's namespaces */
        OPEN_TREE_INSIDE,  /* in the container's */
        OPEN_TREE_LOCKED,  /* in the container's, whose user namespace may not clear what the host has set */
} OpenTreeMode;

/* The detached tree of a bind mount, with its attributes but not idmapped. Errors: NoSuchSource. */
int operation_open_tree(const Plan *p, const Operation *o, OpenTreeMode mode, Error *reterr_error);

/* The options of a file system to be mounted on target (NULL: not known yet). *ret is owned, or NULL. */
int operation_data(const Plan *p, const Operation *o, const struct stat *target, char **ret);
