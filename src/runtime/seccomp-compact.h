/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A filter that decides the same with fewer instructions. The kernel compiles each container's filter anew
 * when it is installed, and keeps it for each: what is saved here is saved at every start, in time and in
 * memory. */

#include "runtime/seccomp-filter.h"

/* Replaces the filter by a smaller one. 0: it stays as it is, there is nothing to be had, or it has
 * instructions in an order that libseccomp does not make. */
int seccomp_compact(SeccompProgram *p);

/* Whether both decide the same for each architecture and number. What depends on a call's arguments is the
 * same if it is done by the same instructions. False also where that cannot be told. */
bool seccomp_programs_agree(const SeccompProgram *a, const SeccompProgram *b);
