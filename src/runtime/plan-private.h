/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the plan share. */

#include "runtime/plan.h"

int plan_oom(Error *reterr_error);

/* Adds an operation with copies of target and source (each may be NULL). NULL on OOM. */
Operation *plan_add(Plan *p, OperationType type, const char *target, const char *source);

/* An entry of `mounts`. */
int plan_mount(Plan *p, const RuntimeSpec *spec, const SpecMount *m, const char *bundle,
               Error *reterr_error);
/* Devices, links, and a place for the console. */
int plan_dev(Plan *p, const RuntimeSpec *spec, Error *reterr_error);
/* What had to wait until everything in the file systems is there. */
int plan_late(Plan *p, Error *reterr_error);
