/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Executes a plan in the container's own, new mount namespace. The host's root is still "/" while it runs.
 */

#include "runtime/plan.h"

/* On success *ret_root_fd is the finished root, to which mount_pivot() can go. Errors: NoSuchSource names a
 * missing bind source. */
int plan_apply(const Plan *p, int *ret_root_fd, Error *reterr_error);
