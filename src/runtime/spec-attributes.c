/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sys/personality.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-attributes.h"
#include "runtime/spec-private.h"

/* Since Linux 6.9. */
#define MPOL_WEIGHTED_INTERLEAVE_ 6

typedef struct NamedNumber {
        const char *name;
        uint64_t number;
} NamedNumber;

/* Tables end in an entry without name. */
static int number_from(const NamedNumber *table, const char *name, const char *what, uint64_t *ret,
                       Error *reterr_error) {
        for (const NamedNumber *n = table; n->name; n++)
                if (streq(n->name, name)) {
                        *ret = n->number;
                        return 0;
                }
        return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s: \"%s\" is not known.", what, name);
}

static int flags_from(const NamedNumber *table, char *const *names, const char *what, uint64_t *ret,
                      Error *reterr_error) {
        uint64_t flags = 0, flag = 0;
        int r;

        STRV_FOREACH (name, names) {
                r = number_from(table, name, what, &flag, reterr_error);
                if (r < 0)
                        return r;
                flags |= flag;
        }
        *ret = flags;
        return 0;
}

static int bits_from(const char *text, const char *what, unsigned max, BitList *ret, Error *reterr_error) {
        int r;

        r = bit_list_parse(strempty(text), max, ret);
        if (r == -ERANGE)
                return error_set(reterr_error, r, "InvalidArgument", "%s: in \"%s\" is a number above %u.",
                                 what, text, max - 1);
        if (r == -ENOMEM)
                return spec_oom(reterr_error);
        if (r < 0)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "%s: \"%s\" is not a list such as 0-3,7.", what, text);
        return 0;
}

/* ---- process.scheduler ---- */

typedef struct SchedulerFields {
        char *policy;
        char **flags;
        int64_t nice;
        int64_t priority;
} SchedulerFields;

static void scheduler_fields_done(SchedulerFields *f) {
        free(f->policy);
        strv_free(f->flags);
}

#define DEADLINE_MIN UINT64_C(1024)
#define DEADLINE_MAX ((uint64_t) INT64_MAX)

static int check_deadline_range(const char *name, uint64_t v, Error *reterr_error) {
        if (v >= DEADLINE_MIN && v <= DEADLINE_MAX)
                return 0;
        return error_set(reterr_error, -ERANGE, "InvalidArgument",
                         "process.scheduler: sched_setattr: `SCHED_DEADLINE` %s (%ju) must be between %ju "
                         "and %ju nanoseconds.",
                         name, (uintmax_t) v, (uintmax_t) DEADLINE_MIN, (uintmax_t) DEADLINE_MAX);
}

static int check_deadline_order(const char *less, uint64_t a, const char *more, uint64_t b,
                                Error *reterr_error) {
        if (a <= b)
                return 0;
        return error_set(reterr_error, -ERANGE, "InvalidArgument",
                         "process.scheduler: sched_setattr: `SCHED_DEADLINE` %s (%ju) must be <= %s (%ju).",
                         less, (uintmax_t) a, more, (uintmax_t) b);
}

/* The kernel answers EINVAL to all of this: sched(7) has the rules. */
static int check_deadline(json_t *object, const SpecScheduler *s, Error *reterr_error) {
        const struct {
                const char *name;
                uint64_t value;
        } needed[] = { { "runtime", s->runtime }, { "deadline", s->deadline } };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(needed); i++)
                if (!json_object_get(object, needed[i].name))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.scheduler: sched_setattr: `SCHED_DEADLINE` requires `%s`.",
                                         needed[i].name);
        for (size_t i = 0; i < ELEMENTSOF(needed); i++)
                if (needed[i].value == 0)
                        return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                         "process.scheduler: sched_setattr: `SCHED_DEADLINE` %s must be "
                                         "greater than 0.",
                                         needed[i].name);

        r = check_deadline_order("runtime", s->runtime, "deadline", s->deadline, reterr_error);
        if (r < 0)
                return r;
        /* No period is one as long as the deadline. */
        if (s->period != 0) {
                r = check_deadline_order("deadline", s->deadline, "period", s->period, reterr_error);
                if (r < 0)
                        return r;
                r = check_deadline_range("period", s->period, reterr_error);
                if (r < 0)
                        return r;
        }
        r = check_deadline_range("runtime", s->runtime, reterr_error);
        if (r < 0)
                return r;
        return check_deadline_range("deadline", s->deadline, reterr_error);
}

int scheduler_spec_parse(json_t *object, SpecScheduler *ret, Error *reterr_error) {
        static const JsonField fields[] = {
                { "policy", JSON_FIELD_STRING, offsetof(SchedulerFields, policy), .required = true },
                { "flags", JSON_FIELD_STRV, offsetof(SchedulerFields, flags) },
                { "nice", JSON_FIELD_INT64, offsetof(SchedulerFields, nice) },
                { "priority", JSON_FIELD_INT64, offsetof(SchedulerFields, priority) },
                {},
        };
        static const JsonField times[] = {
                { "runtime", JSON_FIELD_UINT64_WIDE, offsetof(SpecScheduler, runtime) },
                { "deadline", JSON_FIELD_UINT64_WIDE, offsetof(SpecScheduler, deadline) },
                { "period", JSON_FIELD_UINT64_WIDE, offsetof(SpecScheduler, period) },
                {},
        };
        static const NamedNumber policies[] = {
                { "SCHED_OTHER", SCHED_NORMAL },
                { "SCHED_FIFO", SCHED_FIFO },
                { "SCHED_RR", SCHED_RR },
                { "SCHED_BATCH", SCHED_BATCH },
                { "SCHED_IDLE", SCHED_IDLE },
                { "SCHED_DEADLINE", SCHED_DEADLINE },
                { "SCHED_ISO", 4 }, /* reserved by the kernel, which answers EINVAL */
                {},
        };
        static const NamedNumber flag_names[] = {
                { "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
                { "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
                { "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
                { "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
                { "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
                { "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
                { "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
                {},
        };
        _cleanup_(scheduler_fields_done) SchedulerFields f = {};
        SpecScheduler s = { .wanted = true };
        uint64_t policy = 0;
        int r;

        r = json_dispatch(object, fields, &f, "process.scheduler", false, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(object, times, &s, "process.scheduler", false, reterr_error);
        if (r < 0)
                return r;
        r = number_from(policies, f.policy, "process.scheduler.policy", &policy, reterr_error);
        if (r < 0)
                return r;
        r = flags_from(flag_names, f.flags, "process.scheduler.flags", &s.flags, reterr_error);
        if (r < 0)
                return r;
        if (f.nice < -20 || f.nice > 19)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.scheduler.nice is not between -20 and 19.");
        if (f.priority < 0 || f.priority > 99)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.scheduler.priority is not between 0 and 99.");

        s.policy = (uint32_t) policy;
        s.nice = (int32_t) f.nice;
        s.priority = (uint32_t) f.priority;
        if (s.policy == SCHED_DEADLINE && !(s.flags & (SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS))) {
                r = check_deadline(object, &s, reterr_error);
                if (r < 0)
                        return r;
        }

        *ret = s;
        return 0;
}

/* ---- process.ioPriority, process.execCPUAffinity ---- */

int io_priority_spec_parse(json_t *object, int *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "priority", JSON_FIELD_INT64, 0 },
                {},
        };
        static const NamedNumber classes[] = {
                { "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
                { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
                { "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
                {},
        };
        const char *name = json_get_string(object, "class");
        int64_t priority = 0;
        uint64_t class = 0;
        int r;

        if (!name)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "process.ioPriority.class is missing or not a string.");
        r = number_from(classes, name, "process.ioPriority.class", &class, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(object, table, &priority, "process.ioPriority", false, reterr_error);
        if (r < 0)
                return r;
        if (priority < 0 || priority >= IOPRIO_NR_LEVELS)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.ioPriority.priority is not between 0 and %d.",
                                 IOPRIO_NR_LEVELS - 1);
        *ret = (int) IOPRIO_PRIO_VALUE(class, (uint64_t) priority);
        return 0;
}

int cpu_affinity_spec_parse(json_t *object, BitList *ret_initial, BitList *ret_final, Error *reterr_error) {
        typedef struct AffinityFields {
                char *initial, *final;
        } AffinityFields;
        static const JsonField table[] = {
                { "initial", JSON_FIELD_STRING, offsetof(AffinityFields, initial) },
                { "final", JSON_FIELD_STRING, offsetof(AffinityFields, final) },
                {},
        };
        AffinityFields f = {};
        int r;

        r = json_dispatch(object, table, &f, "process.execCPUAffinity", false, reterr_error);
        if (r >= 0)
                r = bits_from(f.initial, "process.execCPUAffinity.initial", SPEC_CPUS_MAX, ret_initial,
                              reterr_error);
        if (r >= 0)
                r = bits_from(f.final, "process.execCPUAffinity.final", SPEC_CPUS_MAX, ret_final,
                              reterr_error);
        free(f.initial);
        free(f.final);
        return r;
}

/* ---- linux.memoryPolicy ---- */

typedef struct MemoryPolicyFields {
        char *mode;
        char *nodes;
        char **flags;
} MemoryPolicyFields;

static void memory_policy_fields_done(MemoryPolicyFields *f) {
        free(f->mode);
        free(f->nodes);
        strv_free(f->flags);
}

/* What set_mempolicy(2) says about modes, nodes and flags; a kernel may know more, or less. */
static int check_memory_policy(const MemoryPolicyFields *f, uint64_t mode, uint64_t flags,
                               Error *reterr_error) {
        bool no_nodes = mode == MPOL_DEFAULT || mode == MPOL_LOCAL;

        if (no_nodes && !isempty(f->nodes))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.memoryPolicy.nodes: %s goes without nodes.", f->mode);
        if (!no_nodes && mode != MPOL_PREFERRED && isempty(f->nodes))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.memoryPolicy.nodes: %s needs nodes.", f->mode);
        if ((flags & MPOL_F_STATIC_NODES) && (flags & MPOL_F_RELATIVE_NODES))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES "
                                 "exclude each other.");
        return 0;
}

int memory_policy_spec_parse(json_t *object, SpecMemoryPolicy *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "mode", JSON_FIELD_STRING, offsetof(MemoryPolicyFields, mode), .required = true },
                { "nodes", JSON_FIELD_STRING, offsetof(MemoryPolicyFields, nodes) },
                { "flags", JSON_FIELD_STRV, offsetof(MemoryPolicyFields, flags) },
                {},
        };
        static const NamedNumber modes[] = {
                { "MPOL_DEFAULT", MPOL_DEFAULT },
                { "MPOL_PREFERRED", MPOL_PREFERRED },
                { "MPOL_BIND", MPOL_BIND },
                { "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
                { "MPOL_LOCAL", MPOL_LOCAL },
                { "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
                { "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE_ },
                {},
        };
        static const NamedNumber flag_names[] = {
                { "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
                { "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
                { "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
                {},
        };
        _cleanup_(memory_policy_fields_done) MemoryPolicyFields f = {};
        uint64_t mode = 0, flags = 0;
        int r;

        r = json_dispatch(object, table, &f, "linux.memoryPolicy", false, reterr_error);
        if (r < 0)
                return r;
        r = number_from(modes, f.mode, "linux.memoryPolicy.mode", &mode, reterr_error);
        if (r < 0)
                return r;
        r = flags_from(flag_names, f.flags, "linux.memoryPolicy.flags", &flags, reterr_error);
        if (r < 0)
                return r;
        r = check_memory_policy(&f, mode, flags, reterr_error);
        if (r < 0)
                return r;
        r = bits_from(f.nodes, "linux.memoryPolicy.nodes", SPEC_NODES_MAX, &ret->nodes, reterr_error);
        if (r < 0)
                return r;

        ret->wanted = true;
        ret->mode = (int) (mode | flags);
        return 0;
}

/* ---- linux.personality ---- */

int personality_spec_parse(json_t *object, unsigned long *ret, Error *reterr_error) {
        static const NamedNumber domains[] = {
                { "LINUX", PER_LINUX },
                { "LINUX32", PER_LINUX32 },
                {},
        };
        const char *domain = json_get_string(object, "domain");
        json_t *flags = json_object_get(object, "flags");
        uint64_t number = 0;
        int r;

        if (!domain)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.personality.domain is missing or not a string.");
        r = number_from(domains, domain, "linux.personality.domain", &number, reterr_error);
        if (r < 0)
                return r;
        if (flags && !json_is_null(flags) && (!json_is_array(flags) || json_array_size(flags) > 0))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.personality.flags: the specification has no flags yet.");
        *ret = (unsigned long) number;
        return 0;
}

/* ---- linux.intelRdt ---- */

void intel_rdt_spec_done(SpecIntelRdt *s) {
        free(s->clos_id);
        free(s->l3_cache_schema);
        free(s->mem_bw_schema);
        strv_free(s->schemata);
        *s = (SpecIntelRdt){};
}

static int check_line(const char *line, const char *what, Error *reterr_error) {
        if (line && strchr(line, '\n'))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.intelRdt.%s must be one line.", what);
        return 0;
}

static int check_intel_rdt(const SpecIntelRdt *s, Error *reterr_error) {
        int r;

        if (s->clos_id && !streq(s->clos_id, "/") &&
            (!filename_is_valid(s->clos_id) || strchr(s->clos_id, '\n')))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.intelRdt.closID: \"%s\" is not the name of a directory.",
                                 s->clos_id);
        r = check_line(s->l3_cache_schema, "l3CacheSchema", reterr_error);
        if (r < 0)
                return r;
        r = check_line(s->mem_bw_schema, "memBwSchema", reterr_error);
        if (r < 0)
                return r;
        if (s->mem_bw_schema && !startswith(s->mem_bw_schema, "MB:"))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.intelRdt.memBwSchema: \"%s\" does not begin with MB:.",
                                 s->mem_bw_schema);
        if (strv_length(s->schemata) > SPEC_SCHEMATA_MAX)
                return spec_too_many("linux.intelRdt.schemata", SPEC_SCHEMATA_MAX, reterr_error);
        STRV_FOREACH (line, s->schemata) {
                r = check_line(line, "schemata", reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int intel_rdt_spec_parse(json_t *object, SpecIntelRdt *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "closID", JSON_FIELD_STRING, offsetof(SpecIntelRdt, clos_id) },
                { "l3CacheSchema", JSON_FIELD_STRING, offsetof(SpecIntelRdt, l3_cache_schema) },
                { "memBwSchema", JSON_FIELD_STRING, offsetof(SpecIntelRdt, mem_bw_schema) },
                { "schemata", JSON_FIELD_STRV, offsetof(SpecIntelRdt, schemata) },
                { "enableMonitoring", JSON_FIELD_BOOL, offsetof(SpecIntelRdt, enable_monitoring) },
                {},
        };
        int r;

        r = json_dispatch(object, table, ret, "linux.intelRdt", false, reterr_error);
        if (r < 0)
                return r;
        /* Empty is as good as absent. */
        if (isempty(ret->clos_id))
                (void) free_and_strdup(&ret->clos_id, NULL);
        if (isempty(ret->l3_cache_schema))
                (void) free_and_strdup(&ret->l3_cache_schema, NULL);
        if (isempty(ret->mem_bw_schema))
                (void) free_and_strdup(&ret->mem_bw_schema, NULL);
        ret->wanted = true;
        return check_intel_rdt(ret, reterr_error);
}

/* ---- linux.netDevices ---- */

void net_devices_spec_done(SpecNetDevices *s) {
        for (size_t i = 0; i < s->n; i++) {
                free(s->devices[i].name);
                free(s->devices[i].new_name);
        }
        free(s->devices);
        *s = (SpecNetDevices){};
}

/* As the kernel has it; %d is a number that it chooses. */
static bool device_name_is_valid(const char *name, bool may_be_template) {
        const char *percent = strchr(name, '%');

        if (isempty(name) || strlen(name) >= IFNAMSIZ || streq(name, ".") || streq(name, ".."))
                return false;
        if (percent && (!may_be_template || percent[1] != 'd' || strchr(percent + 1, '%')))
                return false;
        for (const char *c = name; *c; c++)
                if (*c == '/' || *c == ':' || *c <= ' ' || *c == 0x7f)
                        return false;
        return true;
}

int net_devices_spec_parse(json_t *object, SpecNetDevices *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "name", JSON_FIELD_STRING, offsetof(SpecNetDevice, new_name) },
                {},
        };
        const char *name;
        json_t *value;
        int r;

        net_devices_spec_done(ret);
        if (json_object_size(object) == 0)
                return 0;
        if (json_object_size(object) > SPEC_NET_DEVICES_MAX)
                return spec_too_many("linux.netDevices", SPEC_NET_DEVICES_MAX, reterr_error);
        ret->devices = calloc(json_object_size(object), sizeof(SpecNetDevice));
        if (!ret->devices)
                return spec_oom(reterr_error);

        json_object_foreach (object, name, value) {
                SpecNetDevice *d = &ret->devices[ret->n++];

                r = json_dispatch(value, table, d, "linux.netDevices", false, reterr_error);
                if (r < 0)
                        return r;
                d->name = strdup(name);
                if (!d->name)
                        return spec_oom(reterr_error);
                if (isempty(d->new_name) && free_and_strdup(&d->new_name, name) < 0)
                        return spec_oom(reterr_error);
                if (!device_name_is_valid(d->name, false) || !device_name_is_valid(d->new_name, true))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.netDevices: \"%s\" is not a network device's name.",
                                         device_name_is_valid(d->name, false) ? d->new_name : d->name);
        }
        return 0;
}
