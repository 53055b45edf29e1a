/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"
#include "runtime/spec-resources.h"

#define WHAT "linux.resources"

ResourceSpec *resource_spec_free(ResourceSpec *r) {
        if (!r)
                return NULL;

        free(r->cpuset_cpus);
        free(r->cpuset_mems);
        free(r->device_limits);
        for (size_t i = 0; i < r->n_hugepage_limits; i++)
                free(r->hugepage_limits[i].page_size);
        free(r->hugepage_limits);
        for (size_t i = 0; i < r->n_rdma_limits; i++)
                free(r->rdma_limits[i].device);
        free(r->rdma_limits);
        free(r->devices);
        for (size_t i = 0; i < r->n_unified; i++) {
                free(r->unified[i].key);
                free(r->unified[i].value);
        }
        free(r->unified);
        free(r);
        return NULL;
}

typedef enum NumberFlags {
        NUMBER_SIGNED = 1 << 0,    /* -1: unlimited */
        NUMBER_ZERO_NONE = 1 << 1, /* 0: as if it were not there */
        NUMBER_REQUIRED = 1 << 2,
} NumberFlags;

/* A member that is a number, to a ResourceValue at offset. */
typedef struct NumberField {
        const char *name;
        size_t offset;
        uint64_t max; /* 0: any */
        unsigned flags;
} NumberField;

static int number_error(const char *what, const char *name, const char *expected, Error *reterr_error) {
        return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s.%s: expected %s.", what, name,
                         expected);
}

static int take_number(json_t *object, const NumberField *f, const char *what, ResourceValue *ret,
                       Error *reterr_error) {
        json_t *v = json_object_get(object, f->name);
        uint64_t value;

        if (!v || json_is_null(v)) {
                if (f->flags & NUMBER_REQUIRED)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s.%s is missing.",
                                         what, f->name);
                return 0;
        }

        if ((f->flags & NUMBER_SIGNED) && json_is_integer(v) && json_integer_value(v) == -1)
                value = RESOURCE_UNLIMITED;
        else if (!json_get_uint64_wide(v, &value))
                return number_error(what, f->name,
                                    f->flags & NUMBER_SIGNED
                                                    ? "an integer that is not negative, or -1 for no limit"
                                                    : "an integer that is not negative",
                                    reterr_error);

        if (f->max > 0 && value > f->max)
                return error_set(reterr_error, -ERANGE, "InvalidArgument", "%s.%s: %ju is more than %ju.",
                                 what, f->name, (uintmax_t) value, (uintmax_t) f->max);
        if (value == 0 && (f->flags & NUMBER_ZERO_NONE))
                return 0;
        *ret = (ResourceValue){ .set = true, .value = value };
        return 0;
}

static int take_numbers(json_t *object, const NumberField *table, void *target, const char *what,
                        Error *reterr_error) {
        int r;

        for (const NumberField *f = table; f->name; f++) {
                r = take_number(object, f, what, (ResourceValue *) (void *) ((char *) target + f->offset),
                                reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int not_unified(const char *what, const char *name, const char *remedy, Error *reterr_error) {
        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                         "%s.%s: cgroup v2 has nothing like it%s%s.", what, name, remedy ? "; " : "",
                         strempty(remedy));
}

static bool is_number(json_t *object, const char *name, json_int_t value) {
        json_t *v = json_object_get(object, name);

        return !v || json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == value);
}

static int parse_memory(json_t *object, ResourceSpec *s, Error *reterr_error) {
        static const NumberField numbers[] = {
                { "limit", offsetof(ResourceSpec, memory_limit), .flags = NUMBER_SIGNED },
                { "reservation", offsetof(ResourceSpec, memory_reservation), .flags = NUMBER_SIGNED },
                { "swap", offsetof(ResourceSpec, memory_swap), .flags = NUMBER_SIGNED },
                {},
        };
        typedef struct MemoryFields {
                bool disable_oom_killer, use_hierarchy, check_before_update;
        } MemoryFields;
        static const JsonField table[] = {
                { "disableOOMKiller", JSON_FIELD_BOOL, offsetof(MemoryFields, disable_oom_killer) },
                { "useHierarchy", JSON_FIELD_BOOL, offsetof(MemoryFields, use_hierarchy) },
                { "checkBeforeUpdate", JSON_FIELD_BOOL, offsetof(MemoryFields, check_before_update) },
                {},
        };
        MemoryFields f = { .use_hierarchy = true };
        const char *what = WHAT ".memory";
        int r;

        r = json_dispatch(object, table, &f, what, false, reterr_error);
        if (r < 0)
                return r;
        r = take_numbers(object, numbers, s, what, reterr_error);
        if (r < 0)
                return r;

        if (!is_number(object, "kernel", -1))
                return not_unified(what, "kernel", "memory.limit counts the kernel's memory, too",
                                   reterr_error);
        if (!is_number(object, "kernelTCP", -1))
                return not_unified(what, "kernelTCP", "memory.limit counts it, too", reterr_error);
        if (json_object_get(object, "swappiness") && !json_is_null(json_object_get(object, "swappiness")))
                return not_unified(what, "swappiness", "memory.swap limits the use of swap", reterr_error);
        if (f.disable_oom_killer)
                return not_unified(what, "disableOOMKiller", NULL, reterr_error);
        if (!f.use_hierarchy)
                return not_unified(what, "useHierarchy",
                                   "limits hold for all that is below a cgroup: only true is possible",
                                   reterr_error);

        if (s->memory_swap.set && s->memory_swap.value > 0 && s->memory_limit.set &&
            s->memory_limit.value != RESOURCE_UNLIMITED && s->memory_swap.value < s->memory_limit.value)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s.swap is the limit of memory and swap together: it cannot be less than "
                                 "%s.limit.",
                                 what, what);
        s->memory_check_before_update = f.check_before_update;
        return 0;
}

static int take_list(json_t *object, const char *name, char **target, Error *reterr_error) {
        json_t *v = json_object_get(object, name);
        const char *text = json_get_string(object, name);

        if (!v || json_is_null(v))
                return 0;
        if (!text || !string_in_charset(text, DIGITS ",- \n"))
                return number_error(WHAT ".cpu", name, "a list like \"0-3,7\"", reterr_error);
        if (isempty(text))
                return 0;
        return free_and_strdup(target, text) < 0 ? spec_oom(reterr_error) : 0;
}

static int parse_cpu(json_t *object, ResourceSpec *s, Error *reterr_error) {
        static const NumberField numbers[] = {
                { "shares", offsetof(ResourceSpec, cpu_shares), .flags = NUMBER_ZERO_NONE },
                { "quota", offsetof(ResourceSpec, cpu_quota), .flags = NUMBER_SIGNED | NUMBER_ZERO_NONE },
                { "burst", offsetof(ResourceSpec, cpu_burst) },
                { "period", offsetof(ResourceSpec, cpu_period), .flags = NUMBER_ZERO_NONE },
                { "idle", offsetof(ResourceSpec, cpu_idle), .max = 1 },
                {},
        };
        const char *what = WHAT ".cpu";
        int r;

        r = take_numbers(object, numbers, s, what, reterr_error);
        if (r < 0)
                return r;
        r = take_list(object, "cpus", &s->cpuset_cpus, reterr_error);
        if (r < 0)
                return r;
        r = take_list(object, "mems", &s->cpuset_mems, reterr_error);
        if (r < 0)
                return r;

        if (!is_number(object, "realtimeRuntime", 0))
                return not_unified(what, "realtimeRuntime", NULL, reterr_error);
        if (!is_number(object, "realtimePeriod", 0))
                return not_unified(what, "realtimePeriod", NULL, reterr_error);
        if (s->cpu_burst.set && s->cpu_quota.set && s->cpu_burst.value > s->cpu_quota.value)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s.burst is more than %s.quota.",
                                 what, what);
        return 0;
}

static int parse_pids(json_t *object, ResourceSpec *s, Error *reterr_error) {
        static const NumberField numbers[] = {
                { "limit", offsetof(ResourceSpec, pids_limit), .flags = NUMBER_SIGNED },
                {},
        };

        return take_numbers(object, numbers, s, WHAT ".pids", reterr_error);
}

/* One list of blockIO, each entry a device and a number. */
static int parse_device_limits(json_t *array, const char *name, DeviceLimitType type, ResourceSpec *s,
                               Error *reterr_error) {
        typedef struct LimitFields {
                ResourceValue major, minor, value, leaf_weight;
        } LimitFields;
        static const NumberField rates[] = {
                { "major", offsetof(LimitFields, major), UINT32_MAX, NUMBER_REQUIRED },
                { "minor", offsetof(LimitFields, minor), UINT32_MAX, NUMBER_REQUIRED },
                { "rate", offsetof(LimitFields, value), .flags = NUMBER_REQUIRED },
                {},
        };
        static const NumberField weights[] = {
                { "major", offsetof(LimitFields, major), UINT32_MAX, NUMBER_REQUIRED },
                { "minor", offsetof(LimitFields, minor), UINT32_MAX, NUMBER_REQUIRED },
                { "weight", offsetof(LimitFields, value), 1000, NUMBER_ZERO_NONE },
                { "leafWeight", offsetof(LimitFields, leaf_weight), UINT16_MAX, NUMBER_ZERO_NONE },
                {},
        };
        _cleanup_free_ char *what = strjoin(WHAT ".blockIO.", name);
        DeviceLimit *larger;
        json_t *item;
        size_t i;
        int r;

        if (!what)
                return spec_oom(reterr_error);
        if (json_array_size(array) > RESOURCE_LIMITS_MAX)
                return spec_too_many(what, RESOURCE_LIMITS_MAX, reterr_error);
        larger = reallocarray(s->device_limits, s->n_device_limits + json_array_size(array) + 1,
                              sizeof(DeviceLimit));
        if (!larger)
                return spec_oom(reterr_error);
        s->device_limits = larger;

        json_array_foreach (array, i, item) {
                LimitFields f = {};

                if (!json_is_object(item))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s: expected objects.",
                                         what);
                r = take_numbers(item, type == DEVICE_LIMIT_WEIGHT ? weights : rates, &f, what,
                                 reterr_error);
                if (r < 0)
                        return r;
                if (f.leaf_weight.set)
                        return not_unified(what, "leafWeight", NULL, reterr_error);
                if (!f.value.set)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s.weight is missing.",
                                         what);
                s->device_limits[s->n_device_limits++] =
                                (DeviceLimit){ type, f.major.value, f.minor.value, f.value.value };
        }
        return 0;
}

static int parse_block_io(json_t *object, ResourceSpec *s, Error *reterr_error) {
        static const NumberField numbers[] = {
                { "weight", offsetof(ResourceSpec, io_weight), 1000, NUMBER_ZERO_NONE },
                {},
        };
        static const char *const lists[_DEVICE_LIMIT_MAX] = {
                [DEVICE_LIMIT_WEIGHT] = "weightDevice",
                [DEVICE_LIMIT_READ_BPS] = "throttleReadBpsDevice",
                [DEVICE_LIMIT_WRITE_BPS] = "throttleWriteBpsDevice",
                [DEVICE_LIMIT_READ_IOPS] = "throttleReadIOPSDevice",
                [DEVICE_LIMIT_WRITE_IOPS] = "throttleWriteIOPSDevice",
        };
        int r;

        r = take_numbers(object, numbers, s, WHAT ".blockIO", reterr_error);
        if (r < 0)
                return r;
        if (!is_number(object, "leafWeight", 0))
                return not_unified(WHAT ".blockIO", "leafWeight", NULL, reterr_error);

        for (DeviceLimitType t = 0; t < _DEVICE_LIMIT_MAX; t++) {
                json_t *array = json_object_get(object, lists[t]);

                if (!array || json_is_null(array))
                        continue;
                if (!json_is_array(array))
                        return number_error(WHAT ".blockIO", lists[t], "an array", reterr_error);
                r = parse_device_limits(array, lists[t], t, s, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "2MB", "64KB", "1GB": the name is part of a file's. */
static bool page_size_is_valid(const char *s) {
        size_t n = strspn(s, DIGITS);

        return n > 0 && n < 16 && s[0] != '0' &&
               (streq(s + n, "KB") || streq(s + n, "MB") || streq(s + n, "GB"));
}

static int parse_hugepages(json_t *array, ResourceSpec *s, Error *reterr_error) {
        static const NumberField limit = { "limit", 0, .flags = NUMBER_REQUIRED };
        const char *what = WHAT ".hugepageLimits";
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) > RESOURCE_LIMITS_MAX)
                return spec_too_many(what, RESOURCE_LIMITS_MAX, reterr_error);
        s->hugepage_limits = calloc(json_array_size(array) + 1, sizeof(HugepageLimit));
        if (!s->hugepage_limits)
                return spec_oom(reterr_error);

        json_array_foreach (array, i, item) {
                const char *size = json_get_string(item, "pageSize");
                ResourceValue value = {};

                if (!size || !page_size_is_valid(size))
                        return number_error(what, "pageSize", "a size like \"2MB\"", reterr_error);
                r = take_number(item, &limit, what, &value, reterr_error);
                if (r < 0)
                        return r;
                s->hugepage_limits[i] = (HugepageLimit){ strdup(size), value.value };
                s->n_hugepage_limits = i + 1;
                if (!s->hugepage_limits[i].page_size)
                        return spec_oom(reterr_error);
        }
        return 0;
}

static int parse_rdma(json_t *object, ResourceSpec *s, Error *reterr_error) {
        static const NumberField numbers[] = {
                { "hcaHandles", offsetof(RdmaLimit, hca_handles), .max = UINT32_MAX },
                { "hcaObjects", offsetof(RdmaLimit, hca_objects), .max = UINT32_MAX },
                {},
        };
        const char *what = WHAT ".rdma", *device;
        json_t *item;
        int r;

        if (json_object_size(object) > RESOURCE_LIMITS_MAX)
                return spec_too_many(what, RESOURCE_LIMITS_MAX, reterr_error);
        s->rdma_limits = calloc(json_object_size(object) + 1, sizeof(RdmaLimit));
        if (!s->rdma_limits)
                return spec_oom(reterr_error);

        json_object_foreach (object, device, item) {
                RdmaLimit *l = &s->rdma_limits[s->n_rdma_limits];

                if (isempty(device) || strpbrk(device, " \t\n"))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s: \"%s\" is not the name of a device.", what, device);
                l->device = strdup(device);
                s->n_rdma_limits++;
                if (!l->device)
                        return spec_oom(reterr_error);
                r = take_numbers(item, numbers, l, what, reterr_error);
                if (r < 0)
                        return r;
                if (!l->hca_handles.set && !l->hca_objects.set)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s.%s needs hcaHandles or hcaObjects.", what, device);
        }
        return 0;
}

/* Major or minor number: absent and -1 are all. */
static int take_device_number(json_t *object, const char *name, int64_t *ret, Error *reterr_error) {
        const NumberField field = { name, .flags = NUMBER_SIGNED };
        const char *what = WHAT ".devices";
        ResourceValue v = {};
        int r;

        r = take_number(object, &field, what, &v, reterr_error);
        if (r < 0)
                return r;
        if (v.set && v.value != RESOURCE_UNLIMITED && v.value > UINT32_MAX)
                return number_error(what, name, "the number of a device", reterr_error);
        *ret = v.set && v.value != RESOURCE_UNLIMITED ? (int64_t) v.value : DEVICE_ANY;
        return 0;
}

static int parse_device_rule(json_t *object, DeviceRule *ret, Error *reterr_error) {
        typedef struct RuleFields {
                char *type, *access;
                bool allow;
        } RuleFields;
        static const JsonField table[] = {
                { "allow", JSON_FIELD_BOOL, offsetof(RuleFields, allow), .required = true },
                { "type", JSON_FIELD_STRING, offsetof(RuleFields, type) },
                { "access", JSON_FIELD_STRING, offsetof(RuleFields, access) },
                {},
        };
        RuleFields f = {};
        _cleanup_free_ char *type = NULL, *access = NULL;
        const char *what = WHAT ".devices";
        int r;

        r = json_dispatch(object, table, &f, what, false, reterr_error);
        type = f.type;
        access = f.access;
        if (r < 0)
                return r;

        *ret = (DeviceRule){ .allow = f.allow, .type = 'a' };
        if (!isempty(type)) {
                if (!streq(type, "a") && !streq(type, "b") && !streq(type, "c"))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s.type: \"%s\" is none of a, b, c.", what, type);
                ret->type = type[0];
        }

        for (const char *p = strempty(access); *p; p++)
                if (*p == 'r')
                        ret->access |= DEVICE_READ;
                else if (*p == 'w')
                        ret->access |= DEVICE_WRITE;
                else if (*p == 'm')
                        ret->access |= DEVICE_MKNOD;
                else
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s.access: \"%s\" has more than the letters r, w and m.", what,
                                         access);
        if (isempty(access))
                ret->access = DEVICE_ALL;

        r = take_device_number(object, "major", &ret->major, reterr_error);
        if (r < 0)
                return r;
        return take_device_number(object, "minor", &ret->minor, reterr_error);
}

static int parse_devices(json_t *array, ResourceSpec *s, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) > RESOURCE_DEVICES_MAX)
                return spec_too_many(WHAT ".devices", RESOURCE_DEVICES_MAX, reterr_error);
        s->devices = calloc(json_array_size(array) + 1, sizeof(DeviceRule));
        if (!s->devices)
                return spec_oom(reterr_error);
        json_array_foreach (array, i, item) {
                r = parse_device_rule(item, &s->devices[i], reterr_error);
                if (r < 0)
                        return r;
                s->n_devices = i + 1;
        }
        return 0;
}

static int parse_unified(json_t *object, ResourceSpec *s, Error *reterr_error) {
        SpecPair *pairs = NULL;
        size_t n = 0;
        int r;

        r = spec_parse_pairs(object, WHAT ".unified", RESOURCE_LIMITS_MAX, &pairs, &n, reterr_error);
        if (r < 0)
                return r;
        s->unified = calloc(n + 1, sizeof(UnifiedValue));
        for (size_t i = 0; s->unified && i < n; i++)
                s->unified[s->n_unified++] =
                                (UnifiedValue){ TAKE_PTR(pairs[i].name), TAKE_PTR(pairs[i].value) };
        spec_free_pairs(pairs, n);
        if (!s->unified)
                return spec_oom(reterr_error);

        for (size_t i = 0; i < n; i++) {
                const char *key = s->unified[i].key;

                if (strchr(key, '/'))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         WHAT ".unified: \"%s\" is not the name of a file.", key);
                if (!strchr(key, '.') || key[0] == '.')
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         WHAT ".unified: the specified key has not the form "
                                              "CONTROLLER.VALUE `%s`",
                                         key);
        }
        return 0;
}

/* net_cls and net_prio are of cgroup v1 alone. */
static int parse_network(json_t *object, Error *reterr_error) {
        json_t *class = json_object_get(object, "classID"),
               *priorities = json_object_get(object, "priorities");
        const char *remedy = "mark packets by the container's cgroup in a packet filter";

        if (class && !json_is_null(class))
                return not_unified(WHAT ".network", "classID", remedy, reterr_error);
        if (json_array_size(priorities) > 0)
                return not_unified(WHAT ".network", "priorities", remedy, reterr_error);
        return 0;
}

static int parse_all(json_t *object, ResourceSpec *s, Error *reterr_error) {
        typedef struct ResourceFields {
                json_t *memory, *cpu, *pids, *block_io, *hugepages, *rdma, *network, *devices, *unified;
        } ResourceFields;
        static const JsonField table[] = {
                { "memory", JSON_FIELD_OBJECT, offsetof(ResourceFields, memory) },
                { "cpu", JSON_FIELD_OBJECT, offsetof(ResourceFields, cpu) },
                { "pids", JSON_FIELD_OBJECT, offsetof(ResourceFields, pids) },
                { "blockIO", JSON_FIELD_OBJECT, offsetof(ResourceFields, block_io) },
                { "hugepageLimits", JSON_FIELD_ARRAY, offsetof(ResourceFields, hugepages) },
                { "rdma", JSON_FIELD_OBJECT, offsetof(ResourceFields, rdma) },
                { "network", JSON_FIELD_OBJECT, offsetof(ResourceFields, network) },
                { "devices", JSON_FIELD_ARRAY, offsetof(ResourceFields, devices) },
                { "unified", JSON_FIELD_OBJECT, offsetof(ResourceFields, unified) },
                {},
        };
        ResourceFields f = {};
        int r;

        r = json_dispatch(object, table, &f, WHAT, false, reterr_error);
        if (r < 0)
                return r;
        if (f.memory && (r = parse_memory(f.memory, s, reterr_error)) < 0)
                return r;
        if (f.cpu && (r = parse_cpu(f.cpu, s, reterr_error)) < 0)
                return r;
        if (f.pids && (r = parse_pids(f.pids, s, reterr_error)) < 0)
                return r;
        if (f.block_io && (r = parse_block_io(f.block_io, s, reterr_error)) < 0)
                return r;
        if (f.hugepages && (r = parse_hugepages(f.hugepages, s, reterr_error)) < 0)
                return r;
        if (f.rdma && (r = parse_rdma(f.rdma, s, reterr_error)) < 0)
                return r;
        if (f.network && (r = parse_network(f.network, reterr_error)) < 0)
                return r;
        if (f.devices && (r = parse_devices(f.devices, s, reterr_error)) < 0)
                return r;
        if (f.unified && (r = parse_unified(f.unified, s, reterr_error)) < 0)
                return r;
        return 0;
}

int resource_spec_parse(json_t *object, ResourceSpec **ret, Error *reterr_error) {
        _cleanup_(resource_spec_freep) ResourceSpec *s = NULL;
        int r;

        s = calloc(1, sizeof(ResourceSpec));
        if (!s)
                return spec_oom(reterr_error);
        r = parse_all(object, s, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int resource_spec_parse_text(const char *text, size_t n, ResourceSpec **ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse_wide(text, n, SPEC_SIZE_MAX, &j, reterr_error);
        if (r < 0)
                return r;
        return resource_spec_parse(j, ret, reterr_error);
}

const char *resource_spec_first_limit(const ResourceSpec *r) {
        const struct {
                bool given;
                const char *member;
        } table[] = {
                { r->memory_limit.set, "memory.limit" },
                { r->memory_reservation.set, "memory.reservation" },
                { r->memory_swap.set, "memory.swap" },
                { r->cpu_shares.set, "cpu.shares" },
                { r->cpu_quota.set, "cpu.quota" },
                { r->cpu_burst.set, "cpu.burst" },
                { r->cpu_period.set, "cpu.period" },
                { r->cpu_idle.set, "cpu.idle" },
                { r->cpuset_cpus, "cpu.cpus" },
                { r->cpuset_mems, "cpu.mems" },
                { r->pids_limit.set, "pids.limit" },
                { r->io_weight.set || r->n_device_limits > 0, "blockIO" },
                { r->n_hugepage_limits > 0, "hugepageLimits" },
                { r->n_rdma_limits > 0, "rdma" },
                { r->n_unified > 0, "unified" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (table[i].given)
                        return table[i].member;
        return NULL;
}
