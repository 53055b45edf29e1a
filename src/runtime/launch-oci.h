/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container of moored's whose process another OCI runtime makes: runc, crun, or what else has their
 * command line. The launcher does what an engine does, without staying for it. */

#include "runtime/prepare.h"
#include "runtime/preserve.h"

#define ANNOTATION_RUNTIME "org.moored.runtime" /* the program's path */

/* The group that the runtime makes, below the unit's. */
#define OCI_LAUNCH_CGROUP "/container"

typedef struct OciLaunch OciLaunch;

/* A process that was not started is killed. */
OciLaunch *oci_launch_free(OciLaunch *l);
DEFINE_CLEANUP_FUNC(OciLaunch *, oci_launch_free)

/* Makes the root, and by the runtime's `create` the container: *ret_pid is its first process, which has
 * executed nothing yet. p->spec is there, and has the annotation. Errors: CommandNotFound,
 * CommandNotExecutable. */
int oci_launch_create(const Prepared *p, const char *bundle, const PreservedFds *preserved, OciLaunch **ret,
                      pid_t *ret_pid, Error *reterr_error);

/* The runtime's `start`. */
int oci_launch_start(OciLaunch *l, Error *reterr_error);

/* The runtime's `delete`, when the container has ended: what it has kept goes, inside the bundle and
 * elsewhere. */
int oci_launch_delete(const Prepared *p, const char *bundle, Error *reterr_error);
