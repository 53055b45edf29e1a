/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Executes a plan in the container's own, new mount namespace. The host's root is still "/" while it runs.
 * What plan_prepare() has opened is used up. */

#include "runtime/plan.h"

/* A plan that is being executed: the root, and what later operations need of earlier ones. */
typedef struct Apply Apply;

Apply *apply_free(Apply *a);
DEFINE_CLEANUP_FUNC(Apply *, apply_free)
/* Borrowed. */
int apply_root_fd(const Apply *a);

/* Everything but sysctls and what takes access away. Errors: NoSuchSource names a missing bind source. */
int plan_apply(const Plan *p, Apply **ret, Error *reterr_error);

/* The rest: sysctls, read-only mounts and paths, masks, the read-only root. When the hooks that may add to
 * the root and to the namespaces have run. */
int plan_protect(Apply *a, Error *reterr_error);

/* Only what is in the plan, in a root that there is. No path outside of it is used, not even in /proc. */
int plan_apply_at(const Plan *p, int root_fd, Error *reterr_error);

/* Makes it the root, and gives the root its propagation. no_pivot: where pivot_root(2) is refused. Ends in
 * the new "/". */
int plan_enter(const Plan *p, int root_fd, bool no_pivot, Error *reterr_error);
