/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The OCI runtime specification's config.json as C structs: bounded, typed, pure. What the specification
 * defines and this program does not do is listed in `unsupported`, so that the plan can refuse it by name;
 * what the specification does not define is ignored, as it demands. */

#include <sys/stat.h>

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/namespaces.h"
#include "runtime/spec-hooks.h"
#include "runtime/spec-process.h"
#include "runtime/spec-resources.h"

#define SPEC_SIZE_MAX (4U * 1024U * 1024U)
#define SPEC_MOUNTS_MAX 1024U
#define SPEC_DEVICES_MAX 1024U
#define SPEC_PATHS_MAX 1024U /* of masked and of read-only paths */
#define SPEC_SYSCTLS_MAX 1024U
#define SPEC_ANNOTATIONS_MAX 4096U
#define SPEC_ID_MAPPINGS_MAX 340U /* the kernel takes no more */
#define SPEC_SECCOMP_RULES_MAX 4096U
#define SPEC_SECCOMP_ARGS_MAX 6U /* a system call has no more */
#define SPEC_SECCOMP_ARCHITECTURES_MAX 32U

/* One line of uid_map or gid_map; size > 0, neither range goes beyond UINT32_MAX. */
typedef struct SpecIdMapping {
        uint32_t container_id;
        uint32_t host_id;
        uint32_t size;
} SpecIdMapping;

typedef struct SpecIdMappings {
        SpecIdMapping *mappings;
        size_t n;
} SpecIdMappings;

typedef struct SpecMount {
        char *destination; /* absolute and normalized */
        char *type;
        char *source;
        char **options;
        SpecIdMappings uid_mappings; /* of the file system's ids to the host's */
        SpecIdMappings gid_mappings;
} SpecMount;

typedef struct SpecDevice {
        char *path;
        mode_t mode; /* with S_IFCHR, S_IFBLK or S_IFIFO */
        uint32_t major;
        uint32_t minor;
        uid_t uid;
        gid_t gid;
} SpecDevice;

typedef struct SpecNamespace {
        bool wanted;
        char *path; /* to join; NULL: a new one */
} SpecNamespace;

/* Of a new time namespace, in the order and with the names of /proc/PID/timens_offsets. */
typedef enum TimeOffsetClock {
        TIME_OFFSET_MONOTONIC,
        TIME_OFFSET_BOOTTIME,
        _TIME_OFFSET_CLOCK_MAX,
        _TIME_OFFSET_CLOCK_INVALID = -EINVAL,
} TimeOffsetClock;

/* "monotonic", "boottime" */
DECLARE_STRING_TABLE(time_offset_clock, TimeOffsetClock);

typedef struct SpecTimeOffset {
        bool wanted;
        int64_t secs;
        uint32_t nanosecs; /* < 10^9 */
} SpecTimeOffset;

typedef struct SpecPair {
        char *name;
        char *value;
} SpecPair;

typedef struct SeccompArg {
        uint64_t index;
        uint64_t value;
        uint64_t value_two;
        char *op;
} SeccompArg;

typedef struct SeccompRule {
        char **names;
        char *action;
        uint64_t errno_ret; /* UINT64_MAX: not given */
        SeccompArg *args;
        size_t n_args;
} SeccompRule;

typedef struct SeccompSpec {
        char *default_action;
        uint64_t default_errno_ret; /* UINT64_MAX: not given */
        char **architectures;
        char **flags; /* NULL: not given, which is not an empty list */
        char *listener_path;
        char *listener_metadata;
        bool fail_unknown; /* a system call that is not known is an error */
        SeccompRule *rules;
        size_t n_rules;
} SeccompSpec;

typedef struct RuntimeSpec {
        char *oci_version;
        char *hostname;
        char *domainname;

        char *root_path; /* NULL: no root given */
        bool root_readonly;

        bool has_process;
        ProcessSpec process;

        SpecMount *mounts;
        size_t n_mounts;
        SpecDevice *devices;
        size_t n_devices;
        SpecNamespace namespaces[_NAMESPACE_TYPE_MAX];
        SpecIdMappings uid_mappings;
        SpecIdMappings gid_mappings;
        SpecTimeOffset time_offsets[_TIME_OFFSET_CLOCK_MAX];
        SpecMemoryPolicy memory_policy;
        bool has_personality;
        unsigned long personality; /* personality()'s */
        SpecIntelRdt intel_rdt;
        SpecNetDevices net_devices;
        char *mount_label; /* SELinux' */
        SpecPair *sysctls;
        size_t n_sysctls;
        char **masked_paths;
        char **readonly_paths;
        char *rootfs_propagation;
        SeccompSpec *seccomp; /* NULL: none */

        ResourceSpec *resources; /* NULL: none given */
        char *cgroups_path;      /* NULL: not given */

        SpecHooks hooks[_HOOK_TYPE_MAX];

        SpecPair *annotations;
        size_t n_annotations;

        char **unsupported; /* "linux.intelRdt", "hooks", …: also what is parsed, as long as nobody does it */
} RuntimeSpec;

/* Text of n bytes. Errors: -EBADMSG and the like with name InvalidArgument, naming the member. */
int runtime_spec_parse(const char *text, size_t n, RuntimeSpec **ret, Error *reterr_error);
RuntimeSpec *runtime_spec_free(RuntimeSpec *s);
DEFINE_CLEANUP_FUNC(RuntimeSpec *, runtime_spec_free)

/* NotSupported, naming the members, if there are any. */
int spec_check_unsupported(char *const *unsupported, Error *reterr_error);

void spec_free_pairs(SpecPair *pairs, size_t n);
int spec_copy_pairs(const SpecPair *pairs, size_t n, SpecPair **ret, size_t *ret_n);

/* The annotation's value, or NULL. */
const char *runtime_spec_annotation(const RuntimeSpec *s, const char *name);
