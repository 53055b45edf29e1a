/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One table of what is known (at the end), one of what is refused: settings that would come between the
 * launcher and PID 1 (Type=, ExecStart=, …), that have an option of their own, or that would set up a
 * sandbox around the launcher instead of the container.
 *
 * Units of time and size, percentages and lists are PID 1's (systemd.syntax(7), systemd.resource-control(5),
 * systemd.exec(5)); the types are those of org.freedesktop.systemd1(5). Ranges are left to PID 1: its
 * refusal names the property, too. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>

#include "basic/limit-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "unit/unit-properties.h"

#define NAME_MAX_ 128U

typedef struct Property Property;
typedef int (*PropertyFunc)(sd_bus_message *m, const Property *p, const char *value);

struct Property {
        const char *name;
        PropertyFunc func;
        const char *bus_name; /* where it differs */
};

static const char *bus_name(const Property *p) {
        return p->bus_name ?: p->name;
}

/* -- values ------------------------------------------------------------------------------------- */

static int open_property(sd_bus_message *m, const char *name, const char *type) {
        int r;

        if (!m)
                return 0;
        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append_basic(m, 's', name);
        if (r < 0)
                return r;

        return sd_bus_message_open_container(m, 'v', type);
}

static int close_property(sd_bus_message *m) {
        int r;

        if (!m)
                return 0;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const char *name, const char *type, ...) {
        va_list ap;
        int r;

        if (!m)
                return 0;
        r = open_property(m, name, type);
        if (r < 0)
                return r;
        va_start(ap, type);
        r = sd_bus_message_appendv(m, type, ap);
        va_end(ap);
        if (r < 0)
                return r;

        return close_property(m);
}

static int property_string(sd_bus_message *m, const Property *p, const char *value) {
        return append_value(m, bus_name(p), "s", value);
}

static int property_bool(sd_bus_message *m, const Property *p, const char *value) {
        int b = parse_boolean(value);

        return b < 0 ? b : append_value(m, bus_name(p), "b", b);
}

static int property_uint32(sd_bus_message *m, const Property *p, const char *value) {
        uint32_t u;
        int r;

        r = parse_uint32(value, &u);
        return r < 0 ? r : append_value(m, bus_name(p), "u", u);
}

static int property_uint64(sd_bus_message *m, const Property *p, const char *value) {
        uint64_t u = UINT64_MAX;
        int r;

        r = streq(value, "infinity") ? 0 : parse_uint64(value, &u);
        return r < 0 ? r : append_value(m, bus_name(p), "t", u);
}

static int property_weight(sd_bus_message *m, const Property *p, const char *value) {
        if (streq(value, "idle") && endswith(p->name, "CPUWeight"))
                return append_value(m, bus_name(p), "t", UINT64_C(0));
        if (isempty(value)) /* back to the default */
                return append_value(m, bus_name(p), "t", UINT64_MAX);

        return property_uint64(m, p, value);
}

static int property_int(sd_bus_message *m, const Property *p, const char *value) {
        bool negative = value[0] == '-';
        int i, r;

        r = parse_int(value + (negative || value[0] == '+'), &i);
        return r < 0 ? r : append_value(m, bus_name(p), "i", (int32_t) (negative ? -i : i));
}

static int property_usec(sd_bus_message *m, const Property *p, const char *value) {
        uint64_t usec;
        int r;

        r = parse_sec(value, &usec);
        return r < 0 ? r : append_value(m, bus_name(p), "t", usec);
}

static int property_signal(sd_bus_message *m, const Property *p, const char *value) {
        int signo = signal_from_string(value);

        return signo < 0 ? signo : append_value(m, bus_name(p), "i", (int32_t) signo);
}

static int property_log_level(sd_bus_message *m, const Property *p, const char *value) {
        int level = log_level_from_string(value);

        return level < 0 ? level : append_value(m, bus_name(p), "i", (int32_t) level);
}

static int property_umask(sd_bus_message *m, const Property *p, const char *value) {
        if (isempty(value) || strlen(value) > 4 || !string_in_charset(value, "01234567"))
                return -EINVAL;
        return append_value(m, bus_name(p), "u", (uint32_t) strtoul(value, NULL, 8));
}

static int property_strv(sd_bus_message *m, const Property *p, const char *value) {
        _cleanup_strv_free_ char **l = strv_split(value, WHITESPACE);
        int r;

        if (!l)
                return -ENOMEM;
        if (!m)
                return 0;
        r = open_property(m, bus_name(p), "as");
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, l);
        return r < 0 ? r : close_property(m);
}

/* PID 1 would start it again and again after a clean exit, which RemainAfterExit= rules out. */
typedef struct NamedNumber {
        const char *name;
        int number;
} NamedNumber;

static int property_named(sd_bus_message *m, const Property *p, const char *value,
                          const NamedNumber *table) {
        for (; table->name; table++)
                if (streq(table->name, value))
                        return append_value(m, bus_name(p), "i", (int32_t) table->number);
        return -EINVAL;
}

static int property_cpu_policy(sd_bus_message *m, const Property *p, const char *value) {
        static const NamedNumber table[] = {
                { "other", SCHED_OTHER }, { "batch", SCHED_BATCH }, { "idle", SCHED_IDLE },
                { "fifo", SCHED_FIFO },   { "rr", SCHED_RR },       {},
        };

        return property_named(m, p, value, table);
}

static int property_io_class(sd_bus_message *m, const Property *p, const char *value) {
        static const NamedNumber table[] = {
                { "none", 0 }, { "realtime", 1 }, { "best-effort", 2 }, { "idle", 3 }, {},
        };

        return property_named(m, p, value, table);
}

/* Bytes or tasks: a number, "infinity", or a share of what the host has, which goes under the name …Scale.
 */
static int append_limit(sd_bus_message *m, const Property *p, const char *value, bool size) {
        char scale[NAME_MAX_];
        uint64_t n;
        int r;

        if (parse_permyriad(value, &n) >= 0) {
                if (n > PERMYRIAD_ALL)
                        return -ERANGE;
                (void) snprintf(scale, sizeof(scale), "%sScale", bus_name(p));
                return append_value(m, scale, "u", (uint32_t) (n * UINT32_MAX / PERMYRIAD_ALL));
        }

        if (isempty(value) || streq(value, "infinity"))
                n = UINT64_MAX;
        else {
                r = size ? parse_size(value, &n) : parse_uint64(value, &n);
                if (r < 0)
                        return r;
        }

        return append_value(m, bus_name(p), "t", n);
}

static int property_size_limit(sd_bus_message *m, const Property *p, const char *value) {
        return append_limit(m, p, value, true);
}

static int property_count_limit(sd_bus_message *m, const Property *p, const char *value) {
        return append_limit(m, p, value, false);
}

/* More than 100% is more than one CPU. */
static int property_cpu_quota(sd_bus_message *m, const Property *p, const char *value) {
        uint64_t n;
        int r;

        if (isempty(value))
                return append_value(m, bus_name(p), "t", UINT64_MAX);
        r = parse_permyriad(value, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return -ERANGE;

        return append_value(m, bus_name(p), "t", n * 1000000 / PERMYRIAD_ALL);
}

static int property_permyriad(sd_bus_message *m, const Property *p, const char *value) {
        uint64_t n;
        int r;

        r = parse_permyriad(value, &n);
        if (r < 0)
                return r;
        if (n > PERMYRIAD_ALL)
                return -ERANGE;

        return append_value(m, bus_name(p), "u", (uint32_t) (n * UINT32_MAX / PERMYRIAD_ALL));
}

/* -- resource limits ---------------------------------------------------------------------------- */

static int parse_rlimit(const char *name, const char *s, uint64_t *ret) {
        static const char *const sizes[] = {
                "LimitFSIZE", "LimitDATA",    "LimitSTACK",    "LimitCORE", "LimitRSS",
                "LimitAS",    "LimitMEMLOCK", "LimitMSGQUEUE", NULL,
        };
        uint64_t usec;
        int r;

        if (streq(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        STRV_FOREACH(n, sizes)
                if (streq(n, name))
                        return parse_size(s, ret);
        if (!streq(name, "LimitCPU"))
                return parse_uint64(s, ret);

        /* Whole seconds, rounded up. */
        r = parse_sec(s, &usec);
        if (r < 0)
                return r;
        *ret = usec == UINT64_MAX ? usec : usec / 1000000 + (usec % 1000000 > 0);
        return 0;
}

/* "SOFT:HARD", or one for both. */
static int property_rlimit(sd_bus_message *m, const Property *p, const char *value) {
        _cleanup_free_ char *first = NULL;
        const char *colon = strchr(value, ':');
        char soft_name[NAME_MAX_];
        uint64_t soft, hard;
        int r;

        first = strndup(value, colon ? (size_t) (colon - value) : strlen(value));
        if (!first)
                return -ENOMEM;
        r = parse_rlimit(p->name, first, &soft);
        if (r < 0)
                return r;
        hard = soft;
        if (colon) {
                r = parse_rlimit(p->name, colon + 1, &hard);
                if (r < 0)
                        return r;
        }
        if (soft > hard)
                return -EINVAL;

        (void) snprintf(soft_name, sizeof(soft_name), "%sSoft", p->name);
        r = append_value(m, p->name, "t", hard);
        return r < 0 ? r : append_value(m, soft_name, "t", soft);
}

/* -- devices ------------------------------------------------------------------------------------ */

/* "PATH REST": exactly two words; *ret_rest NULL if there is only one and that is allowed. */
static int split_device(const char *value, bool rest_needed, char **ret_path, char **ret_rest) {
        _cleanup_strv_free_ char **l = strv_split(value, WHITESPACE);
        size_t n;

        if (!l)
                return -ENOMEM;
        n = strv_length(l);
        if (n < 1 || n > 2 || (n == 1 && rest_needed))
                return -EINVAL;

        *ret_path = TAKE_PTR(l[0]); /* both, as the list ends at the first that is gone */
        *ret_rest = n == 2 ? TAKE_PTR(l[1]) : NULL;
        return 0;
}

static int property_device_allow(sd_bus_message *m, const Property *p, const char *value) {
        _cleanup_free_ char *path = NULL, *permissions = NULL;
        int r;

        if (isempty(value))
                return append_value(m, bus_name(p), "a(ss)", 0);
        r = split_device(value, false, &path, &permissions);
        if (r < 0)
                return r;
        if (permissions && !string_in_charset(permissions, "rwm"))
                return -EINVAL;

        return append_value(m, bus_name(p), "a(ss)", 1, path, permissions ?: "rwm");
}

static int append_device_number(sd_bus_message *m, const Property *p, const char *value,
                                int (*parse)(const char *, uint64_t *)) {
        _cleanup_free_ char *path = NULL, *number = NULL;
        uint64_t n;
        int r;

        if (isempty(value))
                return append_value(m, bus_name(p), "a(st)", 0);
        r = split_device(value, true, &path, &number);
        if (r < 0)
                return r;
        r = parse(number, &n);
        if (r < 0)
                return r;

        return append_value(m, bus_name(p), "a(st)", 1, path, n);
}

static int property_device_bandwidth(sd_bus_message *m, const Property *p, const char *value) {
        return append_device_number(m, p, value, parse_bandwidth);
}

static int property_device_weight(sd_bus_message *m, const Property *p, const char *value) {
        return append_device_number(m, p, value, parse_uint64);
}

static int property_device_latency(sd_bus_message *m, const Property *p, const char *value) {
        return append_device_number(m, p, value, parse_sec);
}

/* -- addresses ---------------------------------------------------------------------------------- */

static int append_address(sd_bus_message *m, const char *word) {
        uint8_t address[sizeof(struct in6_addr)];
        _cleanup_free_ char *host = NULL;
        const char *slash = strchr(word, '/');
        uint32_t prefix, bits;
        size_t size;
        int family, r;

        host = strndup(word, slash ? (size_t) (slash - word) : strlen(word));
        if (!host)
                return -ENOMEM;
        family = strchr(host, ':') ? AF_INET6 : AF_INET;
        size = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
        bits = prefix = (uint32_t) size * 8;
        if (inet_pton(family, host, address) != 1)
                return -EINVAL;
        if (slash) {
                r = parse_uint32(slash + 1, &prefix);
                if (r < 0)
                        return r;
                if (prefix > bits)
                        return -ERANGE;
        }
        if (!m)
                return 0;

        r = sd_bus_message_open_container(m, 'r', "iayu");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 'i', &(int32_t){ family });
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', address, size);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 'u', &prefix);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_address_word(sd_bus_message *m, const char *word) {
        static const struct {
                const char *name;
                const char *addresses[2];
        } names[] = {
                { "any", { "0.0.0.0/0", "::/0" } },
                { "localhost", { "127.0.0.0/8", "::1/128" } },
                { "link-local", { "169.254.0.0/16", "fe80::/64" } },
                { "multicast", { "224.0.0.0/4", "ff00::/8" } },
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(word, names[i].name)) {
                        r = append_address(m, names[i].addresses[0]);
                        return r < 0 ? r : append_address(m, names[i].addresses[1]);
                }

        return append_address(m, word);
}

static int property_addresses(sd_bus_message *m, const Property *p, const char *value) {
        _cleanup_strv_free_ char **l = strv_split(value, WHITESPACE);
        int r;

        if (!l)
                return -ENOMEM;
        r = open_property(m, bus_name(p), "a(iayu)");
        if (r >= 0 && m)
                r = sd_bus_message_open_container(m, 'a', "(iayu)");
        if (r < 0)
                return r;
        STRV_FOREACH(s, l) {
                r = append_address_word(m, s);
                if (r < 0)
                        return r;
        }
        if (m) {
                r = sd_bus_message_close_container(m);
                if (r < 0)
                        return r;
        }

        return close_property(m);
}

/* -- sets of numbers ---------------------------------------------------------------------------- */

static int property_cpu_set(sd_bus_message *m, const Property *p, const char *value) {
        NumberSet set;
        int r;

        r = number_set_parse(value, &set);
        if (r < 0 || !m)
                return r;

        r = open_property(m, bus_name(p), "ay");
        if (r < 0)
                return r;
        r = sd_bus_message_append_array(m, 'y', set.bits, set.size);
        return r < 0 ? r : close_property(m);
}

/* "0 3 SIGTERM" → codes and signals. */
static int property_exit_status(sd_bus_message *m, const Property *p, const char *value) {
        int32_t codes[256], signals[64];
        size_t n_codes = 0, n_signals = 0;
        _cleanup_strv_free_ char **l = strv_split(value, WHITESPACE);
        int r;

        if (!l)
                return -ENOMEM;
        STRV_FOREACH(s, l) {
                uint32_t code;
                int signo;

                if (parse_uint32(s, &code) >= 0) {
                        if (code > 255 || n_codes >= ELEMENTSOF(codes))
                                return -ERANGE;
                        codes[n_codes++] = (int32_t) code;
                        continue;
                }
                signo = signal_from_string(s);
                if (signo < 0)
                        return signo;
                if (n_signals >= ELEMENTSOF(signals))
                        return -ERANGE;
                signals[n_signals++] = signo;
        }
        if (!m)
                return 0;

        r = open_property(m, bus_name(p), "(aiai)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "aiai");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'i', codes, n_codes * sizeof(int32_t));
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'i', signals, n_signals * sizeof(int32_t));
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : close_property(m);
}

/* -- tables ------------------------------------------------------------------------------------- */

static const Property known[] = {
        { "AllowedCPUs", property_cpu_set },
        { "AllowedMemoryNodes", property_cpu_set },
        { "CPUAccounting", property_bool },
        { "CPUQuota", property_cpu_quota, "CPUQuotaPerSecUSec" },
        { "CPUQuotaPerSecUSec", property_uint64 },
        { "CPUQuotaPeriodSec", property_usec, "CPUQuotaPeriodUSec" },
        { "CPUWeight", property_weight },
        { "DeviceAllow", property_device_allow },
        { "DevicePolicy", property_string },
        { "IOAccounting", property_bool },
        { "IODeviceLatencyTargetSec", property_device_latency, "IODeviceLatencyTargetUSec" },
        { "IODeviceWeight", property_device_weight },
        { "IOReadBandwidthMax", property_device_bandwidth },
        { "IOReadIOPSMax", property_device_bandwidth },
        { "IOWeight", property_weight },
        { "IOWriteBandwidthMax", property_device_bandwidth },
        { "IOWriteIOPSMax", property_device_bandwidth },
        { "IPAccounting", property_bool },
        { "IPAddressAllow", property_addresses },
        { "IPAddressDeny", property_addresses },
        { "IPEgressFilterPath", property_strv },
        { "IPIngressFilterPath", property_strv },
        { "ManagedOOMMemoryPressure", property_string },
        { "ManagedOOMMemoryPressureLimit", property_permyriad },
        { "ManagedOOMPreference", property_string },
        { "ManagedOOMSwap", property_string },
        { "MemoryAccounting", property_bool },
        { "MemoryHigh", property_size_limit },
        { "MemoryLow", property_size_limit },
        { "MemoryMax", property_size_limit },
        { "MemoryMin", property_size_limit },
        { "MemorySwapMax", property_size_limit },
        { "MemoryZSwapMax", property_size_limit },
        { "Slice", property_string },
        { "StartupAllowedCPUs", property_cpu_set },
        { "StartupAllowedMemoryNodes", property_cpu_set },
        { "StartupCPUWeight", property_weight },
        { "StartupIOWeight", property_weight },
        { "TasksAccounting", property_bool },
        { "TasksMax", property_count_limit },

        { "CPUAffinity", property_cpu_set },
        { "CPUSchedulingPolicy", property_cpu_policy },
        { "CPUSchedulingPriority", property_int },
        { "CPUSchedulingResetOnFork", property_bool },
        { "IOSchedulingClass", property_io_class },
        { "IOSchedulingPriority", property_int },
        { "LimitAS", property_rlimit },
        { "LimitCORE", property_rlimit },
        { "LimitCPU", property_rlimit },
        { "LimitDATA", property_rlimit },
        { "LimitFSIZE", property_rlimit },
        { "LimitLOCKS", property_rlimit },
        { "LimitMEMLOCK", property_rlimit },
        { "LimitMSGQUEUE", property_rlimit },
        { "LimitNICE", property_rlimit },
        { "LimitNOFILE", property_rlimit },
        { "LimitNPROC", property_rlimit },
        { "LimitRSS", property_rlimit },
        { "LimitRTPRIO", property_rlimit },
        { "LimitRTTIME", property_rlimit },
        { "LimitSIGPENDING", property_rlimit },
        { "LimitSTACK", property_rlimit },
        { "LogLevelMax", property_log_level },
        { "LogNamespace", property_string },
        { "LogRateLimitBurst", property_uint32 },
        { "LogRateLimitIntervalSec", property_usec, "LogRateLimitIntervalUSec" },
        { "Nice", property_int },
        { "OOMScoreAdjust", property_int },
        { "SyslogLevel", property_log_level },
        { "TimerSlackNSec", property_uint64 },
        { "UMask", property_umask },

        { "FinalKillSignal", property_signal },
        { "RestartKillSignal", property_signal },
        { "SendSIGHUP", property_bool },

        { "OOMPolicy", property_string },
        { "RestartForceExitStatus", property_exit_status },
        { "RestartPreventExitStatus", property_exit_status },
        { "RestartMaxDelaySec", property_usec, "RestartMaxDelayUSec" },
        { "RestartSec", property_usec, "RestartUSec" },
        { "RestartSteps", property_uint32 },
        { "RuntimeMaxSec", property_usec, "RuntimeMaxUSec" },
        { "RuntimeRandomizedExtraSec", property_usec, "RuntimeRandomizedExtraUSec" },
        { "SuccessExitStatus", property_exit_status },
        { "TimeoutStartSec", property_usec, "TimeoutStartUSec" },

        { "After", property_strv },
        { "Before", property_strv },
        { "BindsTo", property_strv },
        { "Conflicts", property_strv },
        { "DefaultDependencies", property_bool },
        { "Description", property_string },
        { "Documentation", property_strv },
        { "FailureAction", property_string },
        { "FailureActionExitStatus", property_int },
        { "IgnoreOnIsolate", property_bool },
        { "JobRunningTimeoutSec", property_usec, "JobRunningTimeoutUSec" },
        { "JobTimeoutAction", property_string },
        { "JobTimeoutSec", property_usec, "JobTimeoutUSec" },
        { "OnFailure", property_strv },
        { "OnFailureJobMode", property_string },
        { "OnSuccess", property_strv },
        { "OnSuccessJobMode", property_string },
        { "PartOf", property_strv },
        { "PropagatesStopTo", property_strv },
        { "Requires", property_strv },
        { "RequiresMountsFor", property_strv },
        { "Requisite", property_strv },
        { "StartLimitAction", property_string },
        { "StartLimitBurst", property_uint32 },
        { "StartLimitIntervalSec", property_usec, "StartLimitIntervalUSec" },
        { "StopPropagatedFrom", property_strv },
        { "StopWhenUnneeded", property_bool },
        { "SuccessAction", property_string },
        { "SuccessActionExitStatus", property_int },
        { "Upholds", property_strv },
        { "Wants", property_strv },
};

static const struct {
        const char *prefix; /* or the whole name */
        const char *reason;
} refused[] = {
        { "AmbientCapabilities", "use the options for capabilities" },
        { "Bind", "it is about the launcher; use Mounts" },
        { "BusName", "the unit's Type= is fixed" },
        { "CapabilityBoundingSet", "use the options for capabilities" },
        { "CollectMode", "moored needs the unit until it has recorded the exit" },
        { "Delegate", "it is always on" },
        { "DynamicUser", "use User" },
        { "Environment", "it is about the launcher; use Environment of the container" },
        { "Exec", "what is run is the container's command" },
        { "ExitType", "it would break the hand-over to the container's init" },
        { "FileDescriptorStore", "the container's init does not see systemd's socket" },
        { "Group", "use User" },
        { "GuessMainPID", "the main process is the container's init" },
        { "Inaccessible", "it is about the launcher; use Mounts" },
        { "JoinsNamespaceOf", "it is about the launcher" },
        { "KillMode", "it is always \"mixed\"" },
        { "KillSignal", "use StopSignal" },
        { "LoadCredential", "it is about the launcher" },
        { "LogExtraFields", "moored finds a container's log by them" },
        { "Mount", "it is about the launcher" },
        { "NetworkNamespacePath", "use Network" },
        { "NoNewPrivileges", "it is always on" },
        { "NotifyAccess", "it would break the hand-over to the container's init" },
        { "PAMName", "it is about the launcher" },
        { "PIDFile", "the main process is the container's init" },
        { "PassEnvironment", "it is about the launcher; use Environment of the container" },
        { "Private", "it is about the launcher; a container has its own" },
        { "Protect", "it is about the launcher; a container has its own" },
        { "ReadOnlyPaths", "it is about the launcher; use Mounts or ReadOnly" },
        { "ReadWritePaths", "it is about the launcher; use Mounts" },
        { "RefuseManualStop", "moored could not release the unit" },
        { "RemainAfterExit", "moored needs the unit until it has recorded the exit" },
        { "Restart", "use Restart of the container" },
        { "Restrict", "it would take from the launcher what it needs; see Seccomp" },
        { "Root", "the root is the image's" },
        { "SecureBits", "use the options for capabilities" },
        { "SendSIGKILL", "it is always on" },
        { "SetCredential", "it is about the launcher" },
        { "Standard", "pass descriptors to RunContainer" },
        { "SupplementaryGroups", "use Groups" },
        { "SyslogIdentifier", "it is the container's id" },
        { "SystemCall", "it would take from the launcher what it needs; see Seccomp" },
        { "TTY", "it is about the launcher" },
        { "TemporaryFileSystem", "it is about the launcher; use Mounts" },
        { "TimeoutStopSec", "use StopTimeoutUSec" },
        { "TimeoutSec", "use StopTimeoutUSec and TimeoutStartSec=" },
        { "Type", "it would break the hand-over to the container's init" },
        { "User", "use User of the container" },
        { "WatchdogSec", "the container's init does not see systemd's socket" },
        { "WorkingDirectory", "use WorkingDirectory of the container" },
};

static int refuse(const char *name, Error *reterr_error) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                if (startswith(name, refused[i].prefix))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Properties: %s= cannot be set for a container: %s.", name,
                                         refused[i].reason);

        return error_set(
                        reterr_error, -EINVAL, "InvalidArgument",
                        "Properties: \"%.100s\" is not a unit property that is known (see systemd.resource-control(5), "
                        "systemd.service(5), systemd.unit(5)).",
                        name);
}

int unit_property_append(sd_bus_message *m, const char *assignment, Error *reterr_error) {
        _cleanup_free_ char *name = NULL;
        const char *eq = strchr(assignment, '=');
        int r;

        if (!eq || eq == assignment || (size_t) (eq - assignment) >= NAME_MAX_ / 2)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Properties: \"%.100s\" is not of the form NAME=VALUE.", assignment);
        name = strndup(assignment, (size_t) (eq - assignment));
        if (!name)
                return -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (!streq(known[i].name, name))
                        continue;
                r = known[i].func(m, &known[i], eq + 1);
                if (r == -EINVAL || r == -ERANGE)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Properties: \"%.100s\" is not a value for %s=.", eq + 1, name);
                return r < 0 ? error_set_errno(reterr_error, r, "Failed to set the unit property %s=: %m",
                                               name)
                             : 0;
        }

        return refuse(name, reterr_error);
}
