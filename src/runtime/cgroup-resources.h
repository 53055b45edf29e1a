/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From resources, which the specification has in the terms of cgroup v1, to the files of a cgroup of v2 and
 * what is written to them. Pure. */

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/spec-resources.h"

typedef struct CgroupWrite {
        char *file; /* "CONTROLLER.…" */
        char *value;
        char *other_file; /* where file does not exist, this; NULL: an error */
        char *other_value;
        bool optional; /* the file need not exist */
} CgroupWrite;

typedef struct CgroupWrites {
        CgroupWrite *writes;
        size_t n;
} CgroupWrites;

void cgroup_writes_done(CgroupWrites *w);

/* What the cgroup has now, for values of which only a part is given. */
typedef struct CgroupCurrent {
        uint64_t memory_max; /* RESOURCE_UNLIMITED */
        uint64_t cpu_quota;  /* likewise */
        uint64_t cpu_period;
} CgroupCurrent;

#define CGROUP_CURRENT_NEW ((CgroupCurrent){ RESOURCE_UNLIMITED, RESOURCE_UNLIMITED, 100000 })

/* In the order in which they are to be done. Rules of devices are not files: cgroup-devices.h. */
int cgroup_writes_new(const ResourceSpec *r, const CgroupCurrent *current, CgroupWrites *ret,
                      Error *reterr_error);

/* 2 … 262144, default 1024 → 1 … 10000, default 100. */
uint64_t cgroup_cpu_weight(uint64_t shares);
/* 10 … 1000 → 1 … 10000. */
uint64_t cgroup_io_weight(uint64_t weight);
/* The swap limit without memory; -EINVAL if memory is needed and has no limit. */
int cgroup_swap_max(const ResourceSpec *r, const CgroupCurrent *current, uint64_t *ret);

/* "memory" of "memory.max": points to static or thread-local storage. "" if there is no dot. */
#define CONTROLLER_NAME_MAX 32U
const char *cgroup_file_controller(const char *file, char buf[static CONTROLLER_NAME_MAX]);
