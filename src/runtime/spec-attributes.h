/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Members of `process` and `linux` that are attributes of a process, resctrl's groups and network devices.
 */

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/bit-list.h"

#define SPEC_CPUS_MAX 8192U  /* the kernel's largest NR_CPUS */
#define SPEC_NODES_MAX 1024U /* the kernel's largest MAX_NUMNODES */
#define SPEC_NET_DEVICES_MAX 256U
#define SPEC_SCHEMATA_MAX 64U

/* process.scheduler, in sched_setattr()'s numbers. */
typedef struct SpecScheduler {
        bool wanted;
        uint32_t policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime;
        uint64_t deadline;
        uint64_t period;
} SpecScheduler;

/* linux.memoryPolicy */
typedef struct SpecMemoryPolicy {
        bool wanted;
        int mode; /* set_mempolicy()'s, with its flags */
        BitList nodes;
} SpecMemoryPolicy;

/* linux.intelRdt; each string is one line. */
typedef struct SpecIntelRdt {
        bool wanted;
        char *clos_id; /* a directory's name, or "/"; NULL: the container's id */
        char *l3_cache_schema;
        char *mem_bw_schema;
        char **schemata;
        bool enable_monitoring;
} SpecIntelRdt;

/* One of linux.netDevices. */
typedef struct SpecNetDevice {
        char *name;     /* on the host */
        char *new_name; /* in the container; may end in %d for a number of the kernel's choice */
} SpecNetDevice;

typedef struct SpecNetDevices {
        SpecNetDevice *devices;
        size_t n;
} SpecNetDevices;

int scheduler_spec_parse(json_t *object, SpecScheduler *ret, Error *reterr_error);
/* The value that ioprio_set() takes, never 0. */
int io_priority_spec_parse(json_t *object, int *ret, Error *reterr_error);
int cpu_affinity_spec_parse(json_t *object, BitList *ret_initial, BitList *ret_final, Error *reterr_error);
int memory_policy_spec_parse(json_t *object, SpecMemoryPolicy *ret, Error *reterr_error);
int personality_spec_parse(json_t *object, unsigned long *ret, Error *reterr_error);
int intel_rdt_spec_parse(json_t *object, SpecIntelRdt *ret, Error *reterr_error);
void intel_rdt_spec_done(SpecIntelRdt *s);
int net_devices_spec_parse(json_t *object, SpecNetDevices *ret, Error *reterr_error);
void net_devices_spec_done(SpecNetDevices *s);
