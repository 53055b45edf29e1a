/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Options of run, create and update that limit a container. They become unit properties; the spellings
 * are docker's and podman's. */

#include "basic/error.h"
#include "ctl/options.h"

/* The first member of what the verb's option table fills. */
typedef struct LimitOptions {
        char **properties; /* "NAME=VALUE" */
        uint64_t memory;   /* UINT64_MAX: none; 0: not given */
        const char *memory_swap;
        uint64_t cpu_quota_usec, cpu_period_usec; /* 0: not given */
        bool ip_allow, ip_deny;
} LimitOptions;
void limit_options_done(LimitOptions *o);
/* After all are parsed: those whose meaning depends on each other. */
int limit_options_finish(LimitOptions *o, Error *reterr_error);

int limit_apply_property(const char *value, void *target, Error *reterr_error);
int limit_apply_memory(const char *value, void *target, Error *reterr_error);
int limit_apply_memory_reservation(const char *value, void *target, Error *reterr_error);
int limit_apply_memory_swap(const char *value, void *target, Error *reterr_error);
int limit_apply_cpus(const char *value, void *target, Error *reterr_error);
int limit_apply_cpu_period(const char *value, void *target, Error *reterr_error);
int limit_apply_cpu_quota(const char *value, void *target, Error *reterr_error);
int limit_apply_cpu_shares(const char *value, void *target, Error *reterr_error);
int limit_apply_cpu_weight(const char *value, void *target, Error *reterr_error);
int limit_apply_cpuset_cpus(const char *value, void *target, Error *reterr_error);
int limit_apply_cpuset_mems(const char *value, void *target, Error *reterr_error);
int limit_apply_pids_limit(const char *value, void *target, Error *reterr_error);
int limit_apply_blkio_weight(const char *value, void *target, Error *reterr_error);
int limit_apply_device_read_bps(const char *value, void *target, Error *reterr_error);
int limit_apply_device_write_bps(const char *value, void *target, Error *reterr_error);
int limit_apply_device_read_iops(const char *value, void *target, Error *reterr_error);
int limit_apply_device_write_iops(const char *value, void *target, Error *reterr_error);

/* Not to be changed later. */
int limit_apply_oom_score_adj(const char *value, void *target, Error *reterr_error);
int limit_apply_ulimit(const char *value, void *target, Error *reterr_error);
int limit_apply_ip_allow(const char *value, void *target, Error *reterr_error);
int limit_apply_ip_deny(const char *value, void *target, Error *reterr_error);

#define LIMIT_OPTION(long_name_, metavar_, apply_, help_)                                                   \
        { 0, long_name_, metavar_, OPTION_CUSTOM, .apply = apply_, .help = help_ }
/* Entries of an option table: what can be changed later as well. */
#define LIMIT_OPTIONS                                                                                       \
        LIMIT_OPTION("memory", "SIZE", limit_apply_memory, "Short for -p MemoryMax="),                      \
        LIMIT_OPTION("memory-reservation", "SIZE", limit_apply_memory_reservation,                          \
                     "Short for -p MemoryLow="),                                                            \
        LIMIT_OPTION("memory-swap", "SIZE", limit_apply_memory_swap,                                        \
                     "Memory and swap together; -1: any amount of swap"),                                   \
        LIMIT_OPTION("cpus", "NUMBER", limit_apply_cpus, "Short for -p CPUQuota= (1.5: 150%)"),             \
        LIMIT_OPTION("cpu-period", "USEC", limit_apply_cpu_period, "What --cpu-quota counts in (100000)"),  \
        LIMIT_OPTION("cpu-quota", "USEC", limit_apply_cpu_quota, "CPU time in each period"),                \
        LIMIT_OPTION("cpu-shares", "NUMBER", limit_apply_cpu_shares, "2 to 262144, as docker counts"),      \
        LIMIT_OPTION("cpu-weight", "NUMBER", limit_apply_cpu_weight, "Short for -p CPUWeight="),            \
        LIMIT_OPTION("cpuset-cpus", "LIST", limit_apply_cpuset_cpus, "Short for -p AllowedCPUs= (0-3,7)"),  \
        LIMIT_OPTION("cpuset-mems", "LIST", limit_apply_cpuset_mems, "Short for -p AllowedMemoryNodes="),   \
        LIMIT_OPTION("pids-limit", "NUMBER", limit_apply_pids_limit, "Short for -p TasksMax="),             \
        LIMIT_OPTION("blkio-weight", "NUMBER", limit_apply_blkio_weight, "10 to 1000, as docker counts"),   \
        LIMIT_OPTION("device-read-bps", "DEVICE:SIZE", limit_apply_device_read_bps,                         \
                     "Bytes a second to read from a device"),                                               \
        LIMIT_OPTION("device-write-bps", "DEVICE:SIZE", limit_apply_device_write_bps,                       \
                     "Bytes a second to write to it"),                                                      \
        LIMIT_OPTION("device-read-iops", "DEVICE:NUMBER", limit_apply_device_read_iops,                     \
                     "Read operations a second"),                                                           \
        LIMIT_OPTION("device-write-iops", "DEVICE:NUMBER", limit_apply_device_write_iops,                   \
                     "Write operations a second")

/* Pure; exported for the tests. "1.5" → "CPUQuota=150%", ("memory", "MemoryMax", "512m") →
 * "MemoryMax=536870912", "100" → "TasksMax=100". */
int parse_cpus(const char *value, char **ret, Error *reterr_error);
int parse_memory(const char *option, const char *property, const char *value, char **ret,
                 Error *reterr_error);
int parse_pids_limit(const char *value, char **ret, Error *reterr_error);
/* ("device-read-bps", "IOReadBandwidthMax", "/dev/sda:1mb") → "IOReadBandwidthMax=/dev/sda 1048576" */
int parse_device_rate(const char *option, const char *property, const char *value, bool size, char **ret,
                      Error *reterr_error);
