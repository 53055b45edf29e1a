/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* linux.intelRdt: groups of the resctrl file system, which divide caches and memory bandwidth. */

#include "basic/error.h"
#include "runtime/spec-attributes.h"

#define RESCTRL_ROOT "/sys/fs/resctrl"

/* For `create`, before the container's process goes on: its group is made, or checked if it is there, the
 * schemata written, process pid put into it. On failure nothing is left. Nothing is done without intelRdt,
 * here and below. */
int resctrl_create(const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error);
/* For an exec. */
int resctrl_join(const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error);
/* For `update`: NULL leaves as it is. */
int resctrl_update(const SpecIntelRdt *s, const char *id, const char *l3_cache_schema,
                   const char *mem_bw_schema, Error *reterr_error);
/* For `delete`, and when a creation failed later: what resctrl_create() made. 0 also if there is nothing. */
int resctrl_remove(const SpecIntelRdt *s, const char *id, Error *reterr_error);

/* The same with the directory that the file system is mounted on. */
int resctrl_create_at(int root, const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error);
int resctrl_remove_at(int root, const SpecIntelRdt *s, const char *id, Error *reterr_error);
