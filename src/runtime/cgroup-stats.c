/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runc's events have the names and the shape of cgroup v1; this is how files of v2 become that. What a
 * kernel or a cgroup does not have is left out or 0. */

#include <dirent.h>
#include <fcntl.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-tree.h"
#include "runtime/cgroup.h"
#include "runtime/spec-private.h"

/* What JSON integers hold; for "max", too. */
static json_t *number(uint64_t v) {
        return json_integer((json_int_t) MIN(v, (uint64_t) INT64_MAX));
}

static uint64_t read_or_zero(int fd, const char *file) {
        uint64_t v = 0;

        return cgroup_read_number(fd, file, &v) < 0 ? 0 : v;
}

static uint64_t key_or_zero(int fd, const char *file, const char *key) {
        uint64_t v = 0;

        return cgroup_read_key(fd, file, key, &v) < 0 ? 0 : v;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same of "full". NULL where there is none. */
static json_t *pressure(int fd, const char *file) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *all, *part = NULL;

        if (cgroup_read(fd, file, &text) < 0)
                return NULL;
        words = strv_split(text, " \n");
        all = json_object();
        STRV_FOREACH (word, words) {
                char *equals = strchr(word, '=');
                uint64_t total;

                if (!equals) {
                        part = json_object();
                        (void) json_object_set_new(all, word, part);
                        continue;
                }
                *equals++ = 0;
                if (streq(word, "total") && parse_uint64(equals, &total) >= 0)
                        (void) json_object_set_new(part, word, number(total));
                else
                        (void) json_object_set_new(part, word, json_real(strtod(equals, NULL)));
        }
        return all;
}

static json_t *with_pressure(json_t *object, int fd, const char *file) {
        json_t *p = pressure(fd, file);

        if (p)
                (void) json_object_set_new(object, "psi", p);
        return object;
}

static json_t *cpu(int fd) {
        const char *file = "cpu.stat";

        return with_pressure(json_pack("{s:{s:o,s:o,s:o},s:{s:o,s:o,s:o}}", "usage", "total",
                                       number(key_or_zero(fd, file, "usage_usec") * 1000), "kernel",
                                       number(key_or_zero(fd, file, "system_usec") * 1000), "user",
                                       number(key_or_zero(fd, file, "user_usec") * 1000), "throttling",
                                       "periods", number(key_or_zero(fd, file, "nr_periods")),
                                       "throttledPeriods", number(key_or_zero(fd, file, "nr_throttled")),
                                       "throttledTime",
                                       number(key_or_zero(fd, file, "throttled_usec") * 1000)),
                             fd, "cpu.pressure");
}

static json_t *memory_entry(uint64_t limit, uint64_t usage, uint64_t max, uint64_t failures) {
        return json_pack("{s:o,s:o,s:o,s:o}", "limit", number(limit), "usage", number(usage), "max",
                         number(max), "failcnt", number(failures));
}

/* All of memory.stat. */
static json_t *memory_raw(int fd) {
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *raw = json_object();

        if (cgroup_read(fd, "memory.stat", &text) >= 0)
                lines = strv_split(text, "\n");
        STRV_FOREACH (line, lines) {
                char *blank = strchr(line, ' ');
                uint64_t v;

                if (!blank)
                        continue;
                *blank++ = 0;
                if (parse_uint64(blank, &v) >= 0)
                        (void) json_object_set_new(raw, line, number(v));
        }
        return raw;
}

static json_t *memory(int fd) {
        uint64_t usage = read_or_zero(fd, "memory.current"), limit = read_or_zero(fd, "memory.max");
        uint64_t swap_limit = read_or_zero(fd, "memory.swap.max");
        json_t *m;

        /* Swap is memory and swap together in cgroup v1. */
        if (swap_limit != UINT64_MAX)
                swap_limit = limit == UINT64_MAX ? UINT64_MAX : swap_limit + limit;
        m = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "cache", number(key_or_zero(fd, "memory.stat", "file")),
                      "usage",
                      memory_entry(limit, usage, read_or_zero(fd, "memory.peak"),
                                   key_or_zero(fd, "memory.events", "max")),
                      "swap",
                      memory_entry(swap_limit, read_or_zero(fd, "memory.swap.current") + usage, 0,
                                   key_or_zero(fd, "memory.swap.events", "fail")),
                      "kernel", memory_entry(0, key_or_zero(fd, "memory.stat", "kernel"), 0, 0), "kernelTCP",
                      memory_entry(0, key_or_zero(fd, "memory.stat", "sock"), 0, 0), "raw", memory_raw(fd));
        return with_pressure(m, fd, "memory.pressure");
}

static int count_processes(int fd, void *userdata) {
        _cleanup_free_ char *text = NULL;
        uint64_t *n = userdata;

        if (cgroup_read(fd, "cgroup.procs", &text) >= 0 && text[0])
                for (const char *p = text; p; p = strchr(p + 1, '\n'))
                        (*n)++;
        return 0;
}

static json_t *pids(int fd) {
        uint64_t current = 0, limit = read_or_zero(fd, "pids.max");

        if (cgroup_read_number(fd, "pids.current", &current) < 0)
                (void) cgroup_foreach(fd, count_processes, &current);
        return json_pack("{s:o,s:o}", "current", number(current), "limit",
                         number(limit == UINT64_MAX ? 0 : limit));
}

/* Lines "MAJOR:MINOR rbytes=1 wbytes=2 rios=3 …". */
static json_t *blkio(int fd) {
        static const struct {
                const char *key, *list, *op;
        } table[] = {
                { "rbytes", "ioServiceBytesRecursive", "Read" },
                { "wbytes", "ioServiceBytesRecursive", "Write" },
                { "rios", "ioServicedRecursive", "Read" },
                { "wios", "ioServicedRecursive", "Write" },
        };
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *b = json_object();
        unsigned major = 0, minor = 0;

        if (cgroup_read(fd, "io.stat", &text) >= 0)
                words = strv_split(text, " \n");
        STRV_FOREACH (word, words) {
                char *equals = strchr(word, '=');
                uint64_t v;

                if (!equals) {
                        (void) sscanf(word, "%u:%u", &major, &minor);
                        continue;
                }
                *equals++ = 0;
                for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                        json_t *list;

                        if (!streq(word, table[i].key) || parse_uint64(equals, &v) < 0)
                                continue;
                        list = json_object_get(b, table[i].list);
                        if (!list) {
                                list = json_array();
                                (void) json_object_set_new(b, table[i].list, list);
                        }
                        (void) json_array_append_new(list, json_pack("{s:I,s:I,s:s,s:o}", "major",
                                                                     (json_int_t) major, "minor",
                                                                     (json_int_t) minor, "op", table[i].op,
                                                                     "value", number(v)));
                }
        }
        return with_pressure(b, fd, "io.pressure");
}

/* One entry a page size: those for which there is "hugetlb.SIZE.current". */
static json_t *hugetlb(int fd) {
        json_t *h = json_object();
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
        struct dirent *de;

        if (!d)
                safe_close(copy);
        while (d && (de = readdir(d))) {
                const char *size = startswith(de->d_name, "hugetlb."), *end;
                char key[NAME_MAX + 1], file[NAME_MAX + 32];

                end = size ? endswith(size, ".current") : NULL;
                if (!end || endswith(size, ".rsvd.current"))
                        continue;
                (void) snprintf(key, sizeof(key), "%.*s", (int) (end - size), size);
                (void) snprintf(file, sizeof(file), "hugetlb.%s.events", key);
                (void) json_object_set_new(h, key,
                                           json_pack("{s:o,s:o}", "usage",
                                                     number(read_or_zero(fd, de->d_name)), "failcnt",
                                                     number(key_or_zero(fd, file, "max"))));
        }
        if (d)
                closedir(d);
        return h;
}

/* "0-3,7" → [0,1,2,3,7] */
static json_t *cpu_list(int fd, const char *file) {
        _cleanup_strv_free_ char **ranges = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *list = json_array();

        if (cgroup_read(fd, file, &text) >= 0)
                ranges = strv_split(text, ",");
        STRV_FOREACH (range, ranges) {
                unsigned first = 0, last = 0;
                int n = sscanf(range, "%u-%u", &first, &last);

                for (unsigned i = first; n > 0 && i <= (n > 1 ? last : first) && i <= UINT16_MAX; i++)
                        (void) json_array_append_new(list, json_integer(i));
        }
        return list;
}

int cgroup_stats(const Cgroup *c, json_t **ret, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        json_t *j;

        fd = cgroup_open(c);
        if (fd < 0 && !c->path)
                return error_set(reterr_error, -ENOENT, "NotSupported", "The container has no cgroup.");
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open cgroup \"%s\": %m", c->path);

        j = json_pack("{s:o,s:{s:o,s:o},s:o,s:o,s:o,s:o}", "cpu", cpu(fd), "cpuset", "cpus",
                      cpu_list(fd, "cpuset.cpus.effective"), "mems", cpu_list(fd, "cpuset.mems.effective"),
                      "memory", memory(fd), "pids", pids(fd), "blkio", blkio(fd), "hugetlb", hugetlb(fd));
        if (!j)
                return spec_oom(reterr_error);
        *ret = j;
        return 0;
}
