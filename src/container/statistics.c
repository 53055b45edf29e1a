/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/container-private.h"
#include "container/options.h"
#include "container/statistics.h"

#define NSEC_PER_USEC 1000U
#define PROC_FILE_SIZE_MAX (64U * 1024)
#define NETWORK_FIELDS 16U /* of a line of /proc/net/dev: 8 received, 8 sent */
#define SLICES_MAX 16U

/* -- control group ------------------------------------------------------------------------------ */

typedef enum FileKind {
        FILE_NUMBER,
        FILE_KEY,
        FILE_USEC, /* a key, in microseconds: told in nanoseconds */
        FILE_SUM,
} FileKind;

static const struct {
        const char *name;
        FileKind kind;
        const char *file, *key;
} files[] = {
        { "CPUUsageNSec", FILE_USEC, "cpu.stat", "usage_usec" },
        { "CPUUserNSec", FILE_USEC, "cpu.stat", "user_usec" },
        { "CPUSystemNSec", FILE_USEC, "cpu.stat", "system_usec" },
        { "CPUThrottledNSec", FILE_USEC, "cpu.stat", "throttled_usec" },
        { "MemoryCurrent", FILE_NUMBER, "memory.current", NULL },
        { "MemoryPeak", FILE_NUMBER, "memory.peak", NULL },
        { "MemorySwapCurrent", FILE_NUMBER, "memory.swap.current", NULL },
        { "MemoryAnonymous", FILE_KEY, "memory.stat", "anon" },
        { "MemoryFile", FILE_KEY, "memory.stat", "file" },
        { "OOMKills", FILE_KEY, "memory.events", "oom_kill" },
        { "TasksCurrent", FILE_NUMBER, "pids.current", NULL },
        { "TasksMax", FILE_NUMBER, "pids.max", NULL },
        { "IOReadBytes", FILE_SUM, "io.stat", "rbytes" },
        { "IOWriteBytes", FILE_SUM, "io.stat", "wbytes" },
        { "IOReadOperations", FILE_SUM, "io.stat", "rios" },
        { "IOWriteOperations", FILE_SUM, "io.stat", "wios" },
};

static int read_file(int fd, size_t i, uint64_t *ret) {
        uint64_t n;
        int r;

        switch (files[i].kind) {
        case FILE_NUMBER:
                r = cgroup_read_number(fd, files[i].file, &n);
                break;
        case FILE_SUM:
                r = cgroup_read_sum(fd, files[i].file, files[i].key, &n);
                break;
        case FILE_KEY:
        case FILE_USEC:
        default:
                r = cgroup_read_key(fd, files[i].file, files[i].key, &n);
        }
        if (r < 0)
                return r;

        *ret = files[i].kind == FILE_USEC ? n * NSEC_PER_USEC : n;
        return 0;
}

/* The least of what the group, those above it and the machine allow. */
static uint64_t memory_limit(const char *control_group) {
        _cleanup_free_ char *path = strdup(control_group);
        uint64_t limit = UINT64_MAX, n;
        struct sysinfo info;

        for (unsigned i = 0; path && path[0] && !streq(path, "/") && i < SLICES_MAX; i++) {
                _cleanup_close_ int fd = cgroup_open_group(path);

                if (fd >= 0 && cgroup_read_number(fd, "memory.max", &n) >= 0)
                        limit = MIN(limit, n);
                *strrchr(path, '/') = 0;
        }
        if (sysinfo(&info) >= 0)
                limit = MIN(limit, (uint64_t) info.totalram * info.mem_unit);
        return limit;
}

/* -- network ------------------------------------------------------------------------------------ */

/* "  eth0: RECEIVED packets errs drop fifo frame compressed multicast SENT packets …", two lines of titles.
 * The loopback device is the container's own affair. */
static int read_network(uint32_t pid, uint64_t *ret_received, uint64_t *ret_sent) {
        char path[sizeof("/proc//net/dev") + 16];
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        uint64_t received = 0, sent = 0;
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%" PRIu32 "/net/dev", pid);
        r = read_file_at(AT_FDCWD, path, PROC_FILE_SIZE_MAX, &text, NULL);
        if (r < 0)
                return r;
        lines = strv_split(text, "\n");
        STRV_FOREACH(line, lines) {
                const char *colon = strchr(line, ':'), *name = line + strspn(line, " ");
                _cleanup_strv_free_ char **words = colon ? strv_split(colon + 1, " ") : NULL;
                uint64_t in, out;

                if (!words || strv_length(words) < NETWORK_FIELDS || startswith(name, "lo:"))
                        continue;
                if (parse_uint64(words[0], &in) >= 0 && parse_uint64(words[NETWORK_FIELDS / 2], &out) >= 0) {
                        received += in;
                        sent += out;
                }
        }

        *ret_received = received;
        *ret_sent = sent;
        return 0;
}

int container_get_statistics(const Container *c, StatisticFunc func, void *userdata, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t n, sent;
        int r;

        if (!container_is_alive(c) || !c->control_group)
                return error_set(reterr_error, -ESRCH, "NotRunning",
                                 "Container %s is not running, it is %s.", c->row.id,
                                 container_state_to_string(c->state));
        fd = cgroup_open_group(c->control_group);
        if (fd == -ENOENT) /* PID 1 has not told yet */
                return error_set(reterr_error, -ESRCH, "NotRunning", "Container %s is not running, it has just ended.",
                                 c->row.id);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "The control group of container %s: %m", c->row.id);

        r = func("TimestampUSec", now_usec(CLOCK_MONOTONIC), userdata);
        for (size_t i = 0; i < ELEMENTSOF(files) && r >= 0; i++)
                if (read_file(fd, i, &n) >= 0)
                        r = func(files[i].name, n, userdata);
        if (r >= 0 && cgroup_read_number(fd, "memory.current", &n) >= 0)
                r = func("MemoryLimit", memory_limit(c->control_group), userdata);
        if (r >= 0 && container_network_mode(&c->options, NULL) != NETWORK_MODE_HOST && c->leader_pid > 0 &&
            read_network(c->leader_pid, &n, &sent) >= 0) {
                r = func("NetworkReceivedBytes", n, userdata);
                if (r >= 0)
                        r = func("NetworkSentBytes", sent, userdata);
        }
        return r;
}

/* -- traffic that PID 1 counts ------------------------------------------------------------------- */

/* A unit that is installed may say so itself. */
static bool may_count_traffic(const Container *c) {
        const char *value = container_options_get_property(&c->options, "IPAccounting");

        return c->options.unit || (value && parse_boolean(value) > 0);
}

int container_ask_traffic(const Container *c, void (*func)(int r, const UnitTraffic *traffic, void *userdata),
                          void *userdata) {
        ContainerManager *m = c->manager;
        int r;

        if (!m->backend || !m->backend->traffic || !may_count_traffic(c))
                return 0;
        r = m->backend->traffic(m->backend_userdata, c->unit, func, userdata);
        return r < 0 ? r : 1;
}

int traffic_foreach(const UnitTraffic *t, StatisticFunc func, void *userdata) {
        const struct {
                const char *name;
                uint64_t value;
        } values[] = {
                { "IPIngressBytes", t->received_bytes },
                { "IPIngressPackets", t->received_packets },
                { "IPEgressBytes", t->sent_bytes },
                { "IPEgressPackets", t->sent_packets },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(values) && r >= 0; i++)
                if (values[i].value != TRAFFIC_UNKNOWN)
                        r = func(values[i].name, values[i].value, userdata);
        return r;
}

/* -- processes ---------------------------------------------------------------------------------- */

/* The fields of /proc/PID/stat behind the name, which may hold anything: proc(5) counts the state as 3. */
enum {
        STAT_STATE = 0,
        STAT_PPID = 1,
        STAT_UTIME = 11,
        STAT_STIME = 12,
        STAT_STARTTIME = 19,
        STAT_RSS = 21,
        STAT_FIELDS = 22,
};

static uint64_t ticks_to_usec(uint64_t ticks) {
        long hz = sysconf(_SC_CLK_TCK);

        return ticks * USEC_PER_SEC / (uint64_t) (hz > 0 ? hz : 100);
}

static int parse_stat(const char *stat, uint64_t boot_usec, ProcessInfo *info) {
        static const size_t numbers[] = { STAT_PPID, STAT_UTIME, STAT_STIME, STAT_STARTTIME, STAT_RSS };
        const char *end = strrchr(stat, ')');
        _cleanup_strv_free_ char **words = NULL;
        uint64_t n[ELEMENTSOF(numbers)];
        long page = sysconf(_SC_PAGESIZE);

        if (!end)
                return -EBADMSG;
        words = strv_split(end + 1, " \n");
        if (!words)
                return -ENOMEM;
        if (strv_length(words) < STAT_FIELDS)
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (parse_uint64(words[numbers[i]], &n[i]) < 0)
                        return -EBADMSG;

        info->state = words[STAT_STATE][0];
        info->parent_pid = (uint32_t) n[0];
        info->cpu_usec = ticks_to_usec(n[1] + n[2]);
        info->started_usec = boot_usec + ticks_to_usec(n[3]);
        info->memory_bytes = n[4] * (uint64_t) (page > 0 ? page : 4096);
        return 0;
}

/* "Uid:	real	effective	…", "NSpid:	host	…	innermost" */
static int parse_status(const char *status, ProcessInfo *info) {
        _cleanup_strv_free_ char **lines = strv_split(status, "\n");

        if (!lines)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                const char *uids = startswith(line, "Uid:"), *pids = startswith(line, "NSpid:");
                _cleanup_strv_free_ char **words = NULL;
                size_t n;

                if (!uids && !pids)
                        continue;
                words = strv_split(uids ?: pids, "\t ");
                n = strv_length(words);
                if (uids && n >= 2 && parse_uint32(words[1], &info->uid) < 0)
                        return -EBADMSG;
                if (pids && n >= 2 && parse_uint32(words[n - 1], &info->container_pid) < 0)
                        return -EBADMSG;
        }
        return 0;
}

int process_info_parse(const char *stat, const char *status, uint64_t boot_usec, ProcessInfo *ret) {
        ProcessInfo info = {};
        int r;

        r = parse_stat(stat, boot_usec, &info);
        if (r >= 0)
                r = parse_status(status, &info);
        if (r < 0)
                return r;

        *ret = info;
        return 0;
}

int process_info_read(uint32_t pid, ProcessInfo *ret) {
        uint64_t boot_usec = now_usec(CLOCK_REALTIME) - now_usec(CLOCK_BOOTTIME);
        _cleanup_free_ char *stat = NULL, *status = NULL;
        _cleanup_close_ int fd = -EBADF;
        char path[sizeof("/proc/") + 16];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
        r = fd = openat2_full(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, 0);
        if (r >= 0)
                r = read_file_at(fd, "stat", PROC_FILE_SIZE_MAX, &stat, NULL);
        if (r >= 0)
                r = read_file_at(fd, "status", PROC_FILE_SIZE_MAX, &status, NULL);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;

        r = process_info_parse(stat, status, boot_usec, ret);
        if (r >= 0)
                ret->pid = pid;
        return r;
}
