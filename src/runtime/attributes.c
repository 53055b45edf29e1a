/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/ioprio.h>
#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/attributes.h"

/* struct sched_attr, version 1. Newer C libraries have one that older kernel headers clash with. */
typedef struct SchedAttr {
        uint32_t size;
        uint32_t policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime;
        uint64_t deadline;
        uint64_t period;
        uint32_t util_min;
        uint32_t util_max;
} SchedAttr;

_Static_assert(sizeof(SchedAttr) == 56, "SchedAttr is not what the kernel takes");

/* Utilisation is counted up to this; it is the range that is no bound. */
#define UTIL_MAX 1024U

static int set_scheduler(pid_t pid, const SpecScheduler *s, Error *reterr_error) {
        SchedAttr a = {
                .size = sizeof(SchedAttr),
                .policy = s->policy,
                .flags = s->flags,
                .nice = s->nice,
                .priority = s->priority,
                .runtime = s->runtime,
                .deadline = s->deadline,
                .period = s->period,
                /* The specification has the flags of clamping, but no values to go with them. */
                .util_max = UTIL_MAX,
        };

        if (syscall(SYS_sched_setattr, pid, &a, 0) >= 0)
                return 0;
        if (errno == EPERM)
                return error_set(reterr_error, -EPERM, "NotPermitted",
                                 "process.scheduler: sched_setattr: %m: it takes CAP_SYS_NICE, and with "
                                 "SCHED_DEADLINE no cpuset.");
        return error_set_errno(reterr_error, -errno, "process.scheduler: sched_setattr: %m");
}

int attributes_apply(pid_t pid, const ProcessSpec *p, Error *reterr_error) {
        if (p->io_priority != 0 && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, p->io_priority) < 0)
                return error_set_errno(reterr_error, -errno, "process.ioPriority: ioprio_set: %m");
        if (p->scheduler.wanted)
                return set_scheduler(pid, &p->scheduler, reterr_error);
        return 0;
}

static int set_memory_policy(const SpecMemoryPolicy *p, Error *reterr_error) {
        /* The kernel takes one bit less than it is told. */
        unsigned long max = p->nodes.n_words > 0 ? p->nodes.n_words * BIT_LIST_BITS + 1 : 0;

        if (syscall(SYS_set_mempolicy, p->mode, p->nodes.words, max) >= 0)
                return 0;
        if (errno == EINVAL)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "linux.memoryPolicy: set_mempolicy: the kernel does not have this mode with "
                                "these flags, or none of these nodes is allowed: %m");
        return error_set_errno(reterr_error, -errno, "linux.memoryPolicy: set_mempolicy: %m");
}

int attributes_apply_self(const RuntimeSpec *s, Error *reterr_error) {
        if (s->memory_policy.wanted) {
                int r = set_memory_policy(&s->memory_policy, reterr_error);

                if (r < 0)
                        return r;
        }
        if (s->has_personality && personality(s->personality) < 0)
                return error_set_errno(reterr_error, -errno, "linux.personality: %m");
        return 0;
}

int attributes_set_affinity(pid_t pid, const BitList *cpus, Error *reterr_error) {
        if (cpus->n_words == 0)
                return 0;
        if (syscall(SYS_sched_setaffinity, pid, cpus->n_words * sizeof(unsigned long), cpus->words) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "process.execCPUAffinity: sched_setaffinity: %m: the list has no CPU "
                                       "that is there and allowed.");
        return 0;
}

int attributes_reset_affinity(pid_t pid, Error *reterr_error) {
        unsigned long all[SPEC_CPUS_MAX / BIT_LIST_BITS];

        memset(all, 0xff, sizeof(all));
        if (syscall(SYS_sched_setaffinity, pid, sizeof(all), all) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot reset the CPU affinity: %m");
        return 0;
}
