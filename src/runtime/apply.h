/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Executes a plan in the container's own, new mount namespace. The host's root is still "/" while it runs.
 * What plan_prepare() has opened is used up. */

#include "runtime/plan.h"

/* On success *ret_root_fd is the finished root, for plan_enter(). Errors: NoSuchSource names a missing bind
 * source. */
int plan_apply(const Plan *p, int *ret_root_fd, Error *reterr_error);

/* Only what is in the plan, in a root that there is. No path outside of it is used, not even in /proc. */
int plan_apply_at(const Plan *p, int root_fd, Error *reterr_error);

/* Makes it the root, and gives the root its propagation. no_pivot: where pivot_root(2) is refused. Ends in the
 * new "/". */
int plan_enter(const Plan *p, int root_fd, bool no_pivot, Error *reterr_error);
