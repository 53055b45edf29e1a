/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a container's cgroup is, and whose. Pure but for the own cgroup. */

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/spec.h"

/* What a relative linux.cgroupsPath, and a container without one, is below. */
#define CGROUP_PARENT "/mooring"

/* below is a path without ".." components; blanks between slashes and "." are left out. -EINVAL if it is
 * not, or names nothing. */
int cgroup_path_join(const char *path, const char *below, char **ret);

/* Where the container's cgroup is to be. */
int cgroup_place(const char *cgroups_path, const char *id, char **ret, Error *reterr_error);
/* Where it may be if it cannot be there and no path was given: beside the own cgroup, then below it. Those
 * who may make no cgroups in the hierarchy's root may often make them there. strv. */
int cgroup_other_places(const char *id, char ***ret);

/* The user outside of the container who is to own its cgroup. always: even if it cannot write there. False
 * if nobody is to. */
bool cgroup_owner_from_spec(const RuntimeSpec *spec, bool always, uid_t *ret);
