/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* linux.resources of the runtime specification, and what `update --resources` reads: the same object. What
 * the unified hierarchy (cgroup v2) cannot do is refused here by name; values that change nothing there
 * (useHierarchy: true, disableOOMKiller: false, kernel: -1, …) are taken. */

#include <stdint.h>

#include "basic/error.h"
#include "basic/json.h"

#define RESOURCE_DEVICES_MAX 4096U /* rules */
#define RESOURCE_LIMITS_MAX 4096U  /* entries of each other list */

/* -1 in a member that is an int64. */
#define RESOURCE_UNLIMITED UINT64_MAX

typedef struct ResourceValue {
        bool set;
        uint64_t value;
} ResourceValue;

typedef enum DeviceAccess {
        DEVICE_MKNOD = 1 << 0, /* as the kernel has them in BPF_DEVCG_ACC_… */
        DEVICE_READ = 1 << 1,
        DEVICE_WRITE = 1 << 2,
        DEVICE_ALL = DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE,
} DeviceAccess;

#define DEVICE_ANY (-1) /* major, minor */

typedef struct DeviceRule {
        bool allow;
        char type; /* 'a' (both), 'b', 'c' */
        int64_t major;
        int64_t minor;
        unsigned access; /* DEVICE_… */
} DeviceRule;

typedef enum DeviceLimitType {
        DEVICE_LIMIT_WEIGHT,
        DEVICE_LIMIT_READ_BPS,
        DEVICE_LIMIT_WRITE_BPS,
        DEVICE_LIMIT_READ_IOPS,
        DEVICE_LIMIT_WRITE_IOPS,
        _DEVICE_LIMIT_MAX,
        _DEVICE_LIMIT_INVALID = -EINVAL,
} DeviceLimitType;

typedef struct DeviceLimit {
        DeviceLimitType type;
        uint64_t major;
        uint64_t minor;
        uint64_t value;
} DeviceLimit;

typedef struct HugepageLimit {
        char *page_size; /* "2MB" */
        uint64_t limit;
} HugepageLimit;

typedef struct RdmaLimit {
        char *device;
        ResourceValue hca_handles;
        ResourceValue hca_objects;
} RdmaLimit;

typedef struct UnifiedValue {
        char *key; /* a file's name: "CONTROLLER.VALUE" */
        char *value;
} UnifiedValue;

typedef struct ResourceSpec {
        ResourceValue memory_limit;
        ResourceValue memory_reservation;
        ResourceValue memory_swap; /* memory and swap */
        bool memory_check_before_update;

        ResourceValue cpu_shares; /* cgroup v1's: 2 … 262144 */
        ResourceValue cpu_quota;  /* µs a period */
        ResourceValue cpu_burst;
        ResourceValue cpu_period;
        ResourceValue cpu_idle;
        char *cpuset_cpus; /* NULL: not given */
        char *cpuset_mems;

        ResourceValue pids_limit;

        ResourceValue io_weight; /* cgroup v1's: 10 … 1000 */
        DeviceLimit *device_limits;
        size_t n_device_limits;

        HugepageLimit *hugepage_limits;
        size_t n_hugepage_limits;
        RdmaLimit *rdma_limits;
        size_t n_rdma_limits;

        DeviceRule *devices; /* in the order in which they apply */
        size_t n_devices;

        UnifiedValue *unified;
        size_t n_unified;
} ResourceSpec;

/* Errors name the member ("linux.resources.cpu.quota"). Members that mean "not given" (shares, quota, period
 * and weight of 0, empty strings) are not set in the result. */
int resource_spec_parse(json_t *object, ResourceSpec **ret, Error *reterr_error);
/* The same of text, for `update`. */
int resource_spec_parse_text(const char *text, size_t n, ResourceSpec **ret, Error *reterr_error);

ResourceSpec *resource_spec_free(ResourceSpec *r);
DEFINE_CLEANUP_FUNC(ResourceSpec *, resource_spec_free)

/* The first member that limits something ("memory.limit"), or NULL: rules of devices do not count. */
const char *resource_spec_first_limit(const ResourceSpec *r);
