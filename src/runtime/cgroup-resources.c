/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-resources.h"
#include "runtime/spec-private.h"

void cgroup_writes_done(CgroupWrites *w) {
        for (size_t i = 0; i < w->n; i++) {
                free(w->writes[i].file);
                free(w->writes[i].value);
                free(w->writes[i].other_file);
                free(w->writes[i].other_value);
        }
        free(w->writes);
        *w = (CgroupWrites){};
}

/* The exponent is the polynomial of degree two through minimum, default and maximum of both scales, which
 * kubernetes' KEP-2254 and the other runtimes use since 2025. */
uint64_t cgroup_cpu_weight(uint64_t shares) {
        double l;

        if (shares <= 2)
                return 1;
        if (shares >= 262144)
                return 10000;
        l = log2((double) shares);
        return (uint64_t) ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

uint64_t cgroup_io_weight(uint64_t weight) {
        return weight <= 10 ? 1 : MIN(1 + (weight - 10) * 9999 / 990, UINT64_C(10000));
}

int cgroup_swap_max(const ResourceSpec *r, const CgroupCurrent *current, uint64_t *ret) {
        uint64_t memory = r->memory_limit.set ? r->memory_limit.value : current->memory_max;

        if (!r->memory_swap.set)
                /* No limit of memory and none of both said: both were unlimited in cgroup v1. */
                *ret = RESOURCE_UNLIMITED;
        else if (r->memory_swap.value == RESOURCE_UNLIMITED || r->memory_swap.value == 0)
                *ret = r->memory_swap.value;
        else if (memory == RESOURCE_UNLIMITED) {
                if (!r->memory_limit.set)
                        return -EINVAL;
                *ret = r->memory_swap.value;
        } else if (r->memory_swap.value < memory)
                return -ERANGE;
        else
                *ret = r->memory_swap.value - memory;
        return 0;
}

const char *cgroup_file_controller(const char *file, char buf[static CONTROLLER_NAME_MAX]) {
        const char *dot = strchr(file, '.');
        size_t n = dot ? MIN((size_t) (dot - file), (size_t) CONTROLLER_NAME_MAX - 1) : 0;

        memcpy(buf, file, n);
        buf[n] = 0;
        return buf;
}

/* Takes value over. */
static CgroupWrite *add(CgroupWrites *w, const char *file, char *value) {
        CgroupWrite *larger, *added;

        larger = value ? reallocarray(w->writes, w->n + 1, sizeof(CgroupWrite)) : NULL;
        if (!larger) {
                free(value);
                return NULL;
        }
        w->writes = larger;
        added = &w->writes[w->n++];
        *added = (CgroupWrite){ .file = strdup(file), .value = value };
        return added->file ? added : NULL;
}

static char *format_limit(uint64_t v) {
        return v == RESOURCE_UNLIMITED ? strdup("max") : strformat("%ju", (uintmax_t) v);
}

static int add_limit(CgroupWrites *w, const char *file, const ResourceValue *v) {
        if (!v->set)
                return 0;
        return add(w, file, format_limit(v->value)) ? 0 : -ENOMEM;
}

static int add_memory(CgroupWrites *w, const ResourceSpec *r, const CgroupCurrent *current,
                      Error *reterr_error) {
        CgroupWrite *swap;
        uint64_t v = 0;
        int q;

        if (r->memory_swap.set || (r->memory_limit.set && r->memory_limit.value == RESOURCE_UNLIMITED)) {
                q = cgroup_swap_max(r, current, &v);
                if (q == -ERANGE)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "linux.resources.memory.swap is the limit of memory and swap "
                                         "together: it cannot be less than that of memory, %ju.",
                                         (uintmax_t) current->memory_max);
                if (q < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "linux.resources.memory.swap is the limit of memory and swap "
                                         "together: it needs linux.resources.memory.limit.");
                swap = add(w, "memory.swap.max", format_limit(v));
                if (!swap)
                        return -ENOMEM;
                /* A kernel without swap has none to limit. */
                swap->optional = v == 0 || v == RESOURCE_UNLIMITED;
        }
        q = add_limit(w, "memory.max", &r->memory_limit);
        return q < 0 ? q : add_limit(w, "memory.low", &r->memory_reservation);
}

static int add_cpu(CgroupWrites *w, const ResourceSpec *r, const CgroupCurrent *current) {
        uint64_t quota = r->cpu_quota.set ? r->cpu_quota.value : current->cpu_quota;
        uint64_t period = r->cpu_period.set ? r->cpu_period.value : current->cpu_period;
        _cleanup_free_ char *q = NULL;

        if (r->cpu_idle.set && !add(w, "cpu.idle", format_limit(r->cpu_idle.value)))
                return -ENOMEM;
        /* Idle is the smallest of all weights: the kernel takes no other then. */
        if (r->cpu_shares.set && !(r->cpu_idle.set && r->cpu_idle.value == 1) &&
            !add(w, "cpu.weight", format_limit(cgroup_cpu_weight(r->cpu_shares.value))))
                return -ENOMEM;

        if (r->cpu_quota.set || r->cpu_period.set) {
                /* At no time may the burst be more than the quota: not the old one with the new quota, nor
                 * the new one with the old quota. */
                if (r->cpu_burst.set && r->cpu_quota.set && !add(w, "cpu.max.burst", strdup("0")))
                        return -ENOMEM;
                q = format_limit(quota);
                if (!q)
                        return -ENOMEM;
                if (!add(w, "cpu.max", strformat("%s %ju", q, (uintmax_t) period)))
                        return -ENOMEM;
        }
        return add_limit(w, "cpu.max.burst", &r->cpu_burst);
}

static int add_cpuset(CgroupWrites *w, const ResourceSpec *r) {
        if (r->cpuset_cpus && !add(w, "cpuset.cpus", strdup(r->cpuset_cpus)))
                return -ENOMEM;
        if (r->cpuset_mems && !add(w, "cpuset.mems", strdup(r->cpuset_mems)))
                return -ENOMEM;
        return 0;
}

/* The weights of BFQ have the scale of cgroup v1; io.weight is iocost's. */
static int add_io_weight(CgroupWrites *w, const char *device, uint64_t weight) {
        CgroupWrite *a = add(w, "io.bfq.weight", strformat("%s%ju", device, (uintmax_t) weight));

        if (!a)
                return -ENOMEM;
        a->other_file = strdup("io.weight");
        a->other_value = strformat("%s%ju", device, (uintmax_t) cgroup_io_weight(weight));
        return a->other_file && a->other_value ? 0 : -ENOMEM;
}

static int add_io(CgroupWrites *w, const ResourceSpec *r) {
        static const char *const keys[_DEVICE_LIMIT_MAX] = {
                [DEVICE_LIMIT_READ_BPS] = "rbps",
                [DEVICE_LIMIT_WRITE_BPS] = "wbps",
                [DEVICE_LIMIT_READ_IOPS] = "riops",
                [DEVICE_LIMIT_WRITE_IOPS] = "wiops",
        };
        int q;

        if (r->io_weight.set && (q = add_io_weight(w, "", r->io_weight.value)) < 0)
                return q;

        for (size_t i = 0; i < r->n_device_limits; i++) {
                const DeviceLimit *l = &r->device_limits[i];
                _cleanup_free_ char *value = NULL, *device = NULL;

                device = strformat("%ju:%ju ", (uintmax_t) l->major, (uintmax_t) l->minor);
                if (!device)
                        return -ENOMEM;
                if (l->type == DEVICE_LIMIT_WEIGHT) {
                        q = add_io_weight(w, device, l->value);
                        if (q < 0)
                                return q;
                        continue;
                }
                /* A rate of 0 took a limit away in cgroup v1. */
                value = format_limit(l->value == 0 ? RESOURCE_UNLIMITED : l->value);
                if (!value || !add(w, "io.max", strjoin(device, keys[l->type], "=", value)))
                        return -ENOMEM;
        }
        return 0;
}

static int add_hugepages(CgroupWrites *w, const ResourceSpec *r) {
        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                const HugepageLimit *l = &r->hugepage_limits[i];
                _cleanup_free_ char *used = NULL, *reserved = NULL;
                CgroupWrite *a;

                used = strjoin("hugetlb.", l->page_size, ".max");
                reserved = strjoin("hugetlb.", l->page_size, ".rsvd.max");
                if (!used || !reserved)
                        return -ENOMEM;
                if (!add(w, used, format_limit(l->limit)))
                        return -ENOMEM;
                a = add(w, reserved, format_limit(l->limit));
                if (!a)
                        return -ENOMEM;
                a->optional = true; /* since Linux 5.7 */
        }
        return 0;
}

static int add_rdma(CgroupWrites *w, const ResourceSpec *r) {
        for (size_t i = 0; i < r->n_rdma_limits; i++) {
                const RdmaLimit *l = &r->rdma_limits[i];
                char handles[48] = "", objects[48] = "";

                if (l->hca_handles.set)
                        (void) snprintf(handles, sizeof(handles), " hca_handle=%ju",
                                        (uintmax_t) l->hca_handles.value);
                if (l->hca_objects.set)
                        (void) snprintf(objects, sizeof(objects), " hca_object=%ju",
                                        (uintmax_t) l->hca_objects.value);
                if (!add(w, "rdma.max", strjoin(l->device, handles, objects)))
                        return -ENOMEM;
        }
        return 0;
}

/* Last, so that they win. A file takes one line a write. */
static int add_unified(CgroupWrites *w, const ResourceSpec *r) {
        for (size_t i = 0; i < r->n_unified; i++) {
                _cleanup_strv_free_ char **lines = strv_split(r->unified[i].value, "\n");

                if (!lines)
                        return -ENOMEM;
                STRV_FOREACH (line, lines)
                        if (!add(w, r->unified[i].key, strdup(line)))
                                return -ENOMEM;
                /* A write of nothing does nothing; an empty line resets what can be reset. */
                if (!lines[0] && !add(w, r->unified[i].key, strdup("\n")))
                        return -ENOMEM;
        }
        return 0;
}

static int add_all(CgroupWrites *w, const ResourceSpec *r, const CgroupCurrent *current,
                   Error *reterr_error) {
        ResourceValue pids = r->pids_limit;
        int q;

        q = add_memory(w, r, current, reterr_error);
        if (q < 0)
                return q;
        q = add_cpu(w, r, current);
        if (q < 0)
                return q;
        q = add_cpuset(w, r);
        if (q < 0)
                return q;
        /* Nothing has fewer processes than one: 0 would only be in the way of a process that is born in the
         * cgroup, and a service manager has no 0 either. */
        if (pids.value == 0)
                pids.value = 1;
        q = add_limit(w, "pids.max", &pids);
        if (q < 0)
                return q;
        q = add_io(w, r);
        if (q < 0)
                return q;
        q = add_hugepages(w, r);
        if (q < 0)
                return q;
        q = add_rdma(w, r);
        return q < 0 ? q : add_unified(w, r);
}

int cgroup_writes_new(const ResourceSpec *r, const CgroupCurrent *current, CgroupWrites *ret,
                      Error *reterr_error) {
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        int q;

        q = add_all(&w, r, current, reterr_error);
        if (q == -ENOMEM)
                return spec_oom(reterr_error);
        if (q < 0)
                return q;
        *ret = w;
        w = (CgroupWrites){};
        return 0;
}
