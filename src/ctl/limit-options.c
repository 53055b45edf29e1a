/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <inttypes.h>
#include <math.h>

#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/limit-options.h"

#define CPUS_MAX 10000.0
#define OOM_SCORE_MAX 1000
#define CPU_PERIOD_DEFAULT_USEC 100000U
#define CPU_PERIOD_MIN_USEC 1000U
#define CPU_PERIOD_MAX_USEC 1000000U
#define SHARES_MIN 2U
#define SHARES_MAX 262144U
#define BLKIO_WEIGHT_MIN 10U
#define BLKIO_WEIGHT_MAX 1000U
#define WEIGHT_MAX 10000U /* of control groups; the lowest is 1 */

void limit_options_done(LimitOptions *o) {
        strv_free(o->properties);
        *o = (LimitOptions) {};
}

static int add(LimitOptions *o, int r, char *s, Error *reterr_error) {
        if (r < 0)
                return r;
        return !s || strv_consume(&o->properties, s) < 0 ? error_oom(reterr_error) : 0;
}

/* -- values ------------------------------------------------------------------------------------- */

/* "64b" and "64mb" are docker's; systemd's spelling has no b. */
static int parse_bytes(const char *value, uint64_t *ret) {
        _cleanup_free_ char *s = strdup(value);
        size_t l = strlen(value);

        if (!s)
                return -ENOMEM;
        if (l > 1 && (s[l - 1] == 'b' || s[l - 1] == 'B'))
                s[l - 1] = 0;
        return parse_size(s, ret);
}

int parse_cpus(const char *value, char **ret, Error *reterr_error) {
        char *end;
        double d;

        errno = 0;
        d = strtod(value, &end);
        if (errno != 0 || end == value || *end || !isfinite(d) || d < 0.01 || d > CPUS_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--cpus=%s is not a number of CPUs, such as 1.5.", value);
        *ret = strformat("CPUQuota=%.0f%%", d * 100);
        return *ret ? 0 : error_oom(reterr_error);
}

int parse_memory(const char *option, const char *property, const char *value, char **ret,
                 Error *reterr_error) {
        uint64_t n = UINT64_MAX;

        if (!streq(value, "-1") && (parse_bytes(value, &n) < 0 || n == 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a size, such as 512m or 2G.", option, value);
        *ret = n == UINT64_MAX ? strformat("%s=infinity", property) : strformat("%s=%" PRIu64, property, n);
        return *ret ? 0 : error_oom(reterr_error);
}

int parse_pids_limit(const char *value, char **ret, Error *reterr_error) {
        uint64_t n = UINT64_MAX;

        if (!streq(value, "-1") && !streq(value, "infinity") && (parse_uint64(value, &n) < 0 || n == 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--pids-limit=%s is not a number of processes, such as 100; -1: any number.", value);
        *ret = n == UINT64_MAX ? strdup("TasksMax=infinity") : strformat("TasksMax=%" PRIu64, n);
        return *ret ? 0 : error_oom(reterr_error);
}

int parse_device_rate(const char *option, const char *property, const char *value, bool size, char **ret,
                      Error *reterr_error) {
        const char *colon = strrchr(value, ':');
        uint64_t n;

        if (value[0] != '/' || !colon || (size ? parse_bytes(colon + 1, &n) : parse_uint64(colon + 1, &n)) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a device and a number: --%s=/dev/sda:%s", option, value,
                                 option, size ? "10mb" : "1000");
        *ret = strformat("%s=%.*s %" PRIu64, property, (int) (colon - value), value, n);
        return *ret ? 0 : error_oom(reterr_error);
}

/* A range of others' weights as one of control groups, in the proportion that other runtimes use. */
static int parse_weight(const char *option, const char *property, const char *value, uint64_t min,
                        uint64_t max, char **ret, Error *reterr_error) {
        uint64_t n;

        if (parse_uint64(value, &n) < 0 || n < min || n > max)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a number from %" PRIu64 " to %" PRIu64 ".", option, value,
                                 min, max);
        *ret = strformat("%s=%" PRIu64, property, 1 + (n - min) * (WEIGHT_MAX - 1) / (max - min));
        return *ret ? 0 : error_oom(reterr_error);
}

static int parse_set(const char *option, const char *property, const char *value, char **ret,
                     Error *reterr_error) {
        NumberSet set;

        if (isempty(value) || number_set_parse(value, &set) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a list of numbers, such as 0-3,7.", option, value);
        *ret = strjoin(property, "=", value);
        return *ret ? 0 : error_oom(reterr_error);
}

static int parse_usec(const char *option, const char *value, uint64_t min, uint64_t max, uint64_t *ret,
                      Error *reterr_error) {
        if (parse_uint64(value, ret) < 0 || *ret < min || *ret > max)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a number of microseconds, at least %" PRIu64 ".", option,
                                 value, min);
        return 0;
}

/* -- appliers ----------------------------------------------------------------------------------- */

int limit_apply_property(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;

        if (!strchr(value, '=') || value[0] == '=')
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is not a unit property: -p NAME=VALUE, such as -p "
                                 "MemoryMax=1G; see systemd.resource-control(5).",
                                 value);
        return strv_extend(&o->properties, value) < 0 ? error_oom(reterr_error) : 0;
}

int limit_apply_memory(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;
        char *s = NULL;
        int r;

        r = parse_memory("memory", "MemoryMax", value, &s, reterr_error);
        if (r >= 0 && parse_uint64(strchr(s, '=') + 1, &o->memory) < 0)
                o->memory = UINT64_MAX;
        return add(o, r, s, reterr_error);
}

int limit_apply_memory_reservation(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_memory("memory-reservation", "MemoryLow", value, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_memory_swap(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;

        o->memory_swap = value;
        return 0;
}

int limit_apply_cpus(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_cpus(value, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_cpu_period(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;

        return parse_usec("cpu-period", value, CPU_PERIOD_MIN_USEC, CPU_PERIOD_MAX_USEC, &o->cpu_period_usec,
                          reterr_error);
}

int limit_apply_cpu_quota(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;

        return parse_usec("cpu-quota", value, CPU_PERIOD_MIN_USEC, UINT32_MAX, &o->cpu_quota_usec,
                          reterr_error);
}

int limit_apply_cpu_shares(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_weight("cpu-shares", "CPUWeight", value, SHARES_MIN, SHARES_MAX, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_cpu_weight(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_weight("cpu-weight", "CPUWeight", value, 1, WEIGHT_MAX, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_cpuset_cpus(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_set("cpuset-cpus", "AllowedCPUs", value, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_cpuset_mems(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_set("cpuset-mems", "AllowedMemoryNodes", value, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_pids_limit(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_pids_limit(value, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_blkio_weight(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_weight("blkio-weight", "IOWeight", value, BLKIO_WEIGHT_MIN, BLKIO_WEIGHT_MAX, &s,
                             reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_device_read_bps(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_device_rate("device-read-bps", "IOReadBandwidthMax", value, true, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_device_write_bps(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_device_rate("device-write-bps", "IOWriteBandwidthMax", value, true, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_device_read_iops(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_device_rate("device-read-iops", "IOReadIOPSMax", value, false, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_device_write_iops(const char *value, void *target, Error *reterr_error) {
        char *s = NULL;
        int r = parse_device_rate("device-write-iops", "IOWriteIOPSMax", value, false, &s, reterr_error);

        return add(target, r, s, reterr_error);
}

int limit_apply_oom_score_adj(const char *value, void *target, Error *reterr_error) {
        int n;

        if (parse_int(value + (value[0] == '-'), &n) < 0 || n > OOM_SCORE_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--oom-score-adj=%s is not a number from -1000 to 1000.", value);
        return add(target, 0, strjoin("OOMScoreAdjust=", value), reterr_error);
}

/* "nofile=1024:4096", "nofile=1024", "core=unlimited" */
int limit_apply_ulimit(const char *value, void *target, Error *reterr_error) {
        static const char *const names[] = { "as",     "core", "cpu",    "data",   "fsize",      "locks",
                                             "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
                                             "rtprio", "rttime", "sigpending", "stack", NULL };
        const char *eq = strchr(value, '=');
        _cleanup_free_ char *name = eq ? strndup(value, (size_t) (eq - value)) : NULL;
        _cleanup_strv_free_ char **parts = eq ? strv_split(eq + 1, ":") : NULL;
        size_t n = strv_length(parts);

        if (!name || !strv_contains((char *const *) names, name) || n < 1 || n > 2)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--ulimit=%s is not a limit: --ulimit nofile=1024:4096", value);
        for (char *p = name; *p; p++)
                *p = (char) toupper((unsigned char) *p);
        for (size_t i = 0; i < n; i++)
                if ((streq(parts[i], "unlimited") || streq(parts[i], "-1")) &&
                    free_and_strdup(&parts[i], "infinity") < 0)
                        return error_oom(reterr_error);
        return add(target, 0,
                   n == 1 ? strformat("Limit%s=%s", name, parts[0])
                          : strformat("Limit%s=%s:%s", name, parts[0], parts[1]),
                   reterr_error);
}

/* "10.0.0.0/8,localhost": which addresses there are, moored says. */
static int parse_addresses(const char *option, const char *property, const char *value, char **ret,
                           Error *reterr_error) {
        _cleanup_strv_free_ char **l = strv_split(value, ",");
        _cleanup_free_ char *joined = l ? strv_join(l, " ") : NULL;

        if (!joined)
                return error_oom(reterr_error);
        if (strv_length(l) == 0 || strpbrk(value, WHITESPACE))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a list of addresses, such as 192.0.2.0/24,localhost.", option, value);
        *ret = strjoin(property, "=", joined);
        return *ret ? 0 : error_oom(reterr_error);
}

int limit_apply_ip_allow(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;
        char *s = NULL;
        int r = parse_addresses("ip-allow", "IPAddressAllow", value, &s, reterr_error);

        o->ip_allow = true;
        return add(o, r, s, reterr_error);
}

int limit_apply_ip_deny(const char *value, void *target, Error *reterr_error) {
        LimitOptions *o = target;
        char *s = NULL;
        int r = parse_addresses("ip-deny", "IPAddressDeny", value, &s, reterr_error);

        o->ip_deny = true;
        return add(o, r, s, reterr_error);
}

/* -- what depends on each other ----------------------------------------------------------------- */

static int finish_swap(LimitOptions *o, Error *reterr_error) {
        uint64_t n = UINT64_MAX;
        char *s;

        if (!streq(o->memory_swap, "-1") && (parse_bytes(o->memory_swap, &n) < 0 || n == 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--memory-swap=%s is not a size, such as 512m or 2G.", o->memory_swap);
        if (n == UINT64_MAX)
                s = strdup("MemorySwapMax=infinity");
        else if (o->memory == 0 || o->memory == UINT64_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--memory-swap is memory and swap together: it needs --memory. "
                                 "-p MemorySwapMax= limits swap alone.");
        else if (n < o->memory)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--memory-swap=%s is memory and swap together, and less than --memory.",
                                 o->memory_swap);
        else
                s = strformat("MemorySwapMax=%" PRIu64, n - o->memory);
        return add(o, 0, s, reterr_error);
}

int limit_options_finish(LimitOptions *o, Error *reterr_error) {
        uint64_t period = o->cpu_period_usec ?: CPU_PERIOD_DEFAULT_USEC;
        int r = 0;

        if (o->memory_swap)
                r = finish_swap(o, reterr_error);
        if (r >= 0 && o->cpu_quota_usec > 0)
                r = add(o, 0, strformat("CPUQuotaPerSecUSec=%" PRIu64, o->cpu_quota_usec * 1000000 / period),
                        reterr_error);
        if (r >= 0 && o->cpu_period_usec > 0 && o->cpu_quota_usec == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--cpu-period says nothing without --cpu-quota.");
        /* What is not denied is allowed already. */
        if (r >= 0 && o->ip_allow && !o->ip_deny)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--ip-allow says nothing without --ip-deny: --ip-deny=any denies all others. "
                                 "Where a slice denies them: -p IPAddressAllow=");
        return r;
}
