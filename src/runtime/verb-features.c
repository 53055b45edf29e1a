/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* features: what this program takes in a specification, whether the host has it or not (features.md). Names
 * are not listed here a second time but asked of who deals with them: the table of mount options, the
 * parsers, the maker of filters. Only of seccomp's flags the kernel is asked, too, as the specification
 * wants it. */

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/strv.h"
#include "runtime/caps.h"
#include "runtime/command.h"
#include "runtime/mount-options.h"
#include "runtime/seccomp-cache.h"

/* Headers of Linux 5.19. */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ (1UL << 5)

/* What the specification knows, to be asked for. */
static const char *const actions[] = {
        "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",        NULL,
};
static const char *const operators[] = {
        "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
        "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
};
static const char *const architectures[] = {
        "SCMP_ARCH_AARCH64",  "SCMP_ARCH_ARM",         "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
        "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",      "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",       "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",       "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",
        "SCMP_ARCH_X32",      "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64",      NULL,
};
static const char *const memory_modes[] = {
        "MPOL_BIND",      "MPOL_DEFAULT",        "MPOL_INTERLEAVE",          "MPOL_LOCAL",
        "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE", NULL,
};
static const char *const memory_flags[] = {
        "MPOL_F_NUMA_BALANCING",
        "MPOL_F_RELATIVE_NODES",
        "MPOL_F_STATIC_NODES",
        NULL,
};

static const struct {
        const char *name;
        unsigned long flags; /* with which the kernel is asked */
} seccomp_flags[] = {
        { "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
        { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
        { "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
        { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
          SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ | SECCOMP_FILTER_FLAG_NEW_LISTENER },
};

static const char *const unsafe_annotations[] = {
        "org.criu.config", "org.moored.", "org.systemd.property.", "run.oci.", NULL,
};

/* Whether a profile with these can be made; NULL: nothing of that kind in it. */
static bool seccomp_takes(const char *action, const char *operator, const char * architecture,
                          const char *flag) {
        char *names[] = { (char *) "getppid", NULL }, *archs[] = { (char *) architecture, NULL },
             *flags[] = { (char *) flag, NULL };
        SeccompArg arg = { .op = (char *) operator};
        SeccompRule rule = {
                .names = names,
                .action = (char *) (action ?: "SCMP_ACT_LOG"),
                .errno_ret = UINT64_MAX,
                .args = &arg,
                .n_args = operator? 1 : 0,
        };
        SeccompSpec spec = {
                /* One that differs from the rule's, which would be no rule else. */
                .default_action = (char *) (streq_ptr(action, "SCMP_ACT_ALLOW") ? "SCMP_ACT_LOG"
                                                                                : "SCMP_ACT_ALLOW"),
                .default_errno_ret = UINT64_MAX,
                .architectures = archs,
                .flags = flags,
                .listener_path = (char *) "/",
                .rules = &rule,
                .n_rules = 1,
        };
        _cleanup_(seccomp_program_done) SeccompProgram p = {};

        return seccomp_get_by_content(&spec, "", &p, NULL) >= 0;
}

static bool takes_action(const char *name) {
        return seccomp_takes(name, NULL, NULL, NULL);
}

static bool takes_operator(const char *name) {
        return seccomp_takes(NULL, name, NULL, NULL);
}

static bool takes_architecture(const char *name) {
        return seccomp_takes(NULL, NULL, name, NULL);
}

static bool kernel_takes_flags(unsigned long flags) {
        /* Without a filter it fails in any case, with EINVAL if it does not know a flag. */
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}

static bool memory_policy_takes(const char *mode, const char *nodes, const char *flag) {
        _cleanup_json_ json_t *o =
                        json_pack("{s:s, s:s*, s:[s*]}", "mode", mode, "nodes", nodes, "flags", flag);
        SpecMemoryPolicy p = {};
        bool takes = o && memory_policy_spec_parse(o, &p, NULL) >= 0;

        bit_list_done(&p.nodes);
        return takes;
}

static bool takes_memory_mode(const char *name) {
        return memory_policy_takes(name, "0", NULL) || memory_policy_takes(name, NULL, NULL);
}

static bool takes_memory_flag(const char *name) {
        return memory_policy_takes("MPOL_BIND", "0", name);
}

/* The arrays. NULL: out of memory, which json_pack()'s "o" hands on. */

static json_t *names_to_json(const char *const *names, bool (*takes)(const char *name)) {
        json_t *a = json_array();

        STRV_FOREACH (name, names)
                if ((!takes || takes(name)) && json_array_append_new(a, json_string(name)) < 0) {
                        json_decref(a);
                        return NULL;
                }
        return a;
}

static json_t *mount_options_to_json(void) {
        _cleanup_strv_free_ char **names = NULL;

        return mount_options_names(&names) < 0 ? NULL : names_to_json((const char *const *) names, NULL);
}

static json_t *hooks_to_json(void) {
        const char *names[_HOOK_TYPE_MAX + 1] = {};

        for (HookType t = 0; t < _HOOK_TYPE_MAX; t++)
                names[t] = hook_type_to_string(t);
        return names_to_json(names, NULL);
}

static json_t *namespaces_to_json(void) {
        const char *names[_NAMESPACE_TYPE_MAX + 1] = {};

        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++)
                names[t] = namespace_type_to_string(t);
        return names_to_json(names, NULL);
}

static json_t *caps_to_json(void) {
        const char *names[65] = {};

        for (unsigned i = 0; i < 64 && cap_name_from_number(i); i++)
                names[i] = cap_name_from_number(i);
        return names_to_json(names, NULL);
}

static json_t *seccomp_flags_to_json(bool supported) {
        const char *names[ELEMENTSOF(seccomp_flags) + 1] = {};
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(seccomp_flags); i++)
                if (seccomp_takes(NULL, NULL, NULL, seccomp_flags[i].name) &&
                    (!supported || kernel_takes_flags(seccomp_flags[i].flags)))
                        names[n++] = seccomp_flags[i].name;
        return names_to_json(names, NULL);
}

static json_t *annotations_to_json(void) {
        const struct scmp_version *v = seccomp_version();
        char text[64];

        (void) snprintf(text, sizeof(text), "%u.%u.%u", v->major, v->minor, v->micro);
        /* The last two are what engines look for before they offer checkpoints. */
        return json_pack("{s:s, s:s, s:s, s:s}", "org.moored.version", MOORED_VERSION,
                         "io.github.seccomp.libseccomp.version", text,
                         "org.opencontainers.runc.checkpoint.enabled", "true",
                         "run.oci.crun.checkpoint.enabled", "true");
}

static json_t *linux_to_json(void) {
        return json_pack(
                        "{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:{s:b, s:o, s:o, s:o, s:o, s:o}, s:{s:b}, s:{s:b}, "
                        "s:{s:b, s:b, s:b}, s:{s:o, s:o}, s:{s:{s:b}}, s:{s:b}}",
                        "namespaces", namespaces_to_json(), "capabilities", caps_to_json(), "cgroup", "v1",
                        0, "v2", 1, "systemd", 1, "systemdUser", 1, "rdma", 1, "seccomp", "enabled", 1,
                        "actions", names_to_json(actions, takes_action), "operators",
                        names_to_json(operators, takes_operator), "archs",
                        names_to_json(architectures, takes_architecture), "knownFlags",
                        seccomp_flags_to_json(false), "supportedFlags", seccomp_flags_to_json(true),
                        "apparmor", "enabled", 1, "selinux", "enabled", 1, "intelRdt", "enabled", 1,
                        "schemata", 1, "monitoring", 1, "memoryPolicy", "modes",
                        names_to_json(memory_modes, takes_memory_mode), "flags",
                        names_to_json(memory_flags, takes_memory_flag), "mountExtensions", "idmap",
                        "enabled", 1, "netDevices", "enabled", 1);
}

int command_features(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = { COMMAND_OPTION_HELP, {} };
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = command_option(argc, argv, "+:h", options, reterr_error);
        if (r >= 0)
                r = command_check_arguments(argc, argv, 0, 0, reterr_error);
        if (r < 0)
                return r;

        o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "ociVersionMin", "1.0.0", "ociVersionMax",
                      OCI_VERSION, "hooks", hooks_to_json(), "mountOptions", mount_options_to_json(),
                      "linux", linux_to_json(), "annotations", annotations_to_json(),
                      "potentiallyUnsafeConfigAnnotations", names_to_json(unsafe_annotations, NULL));
        text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (puts(text) < 0 || fflush(stdout) != 0)
                return error_set_errno(reterr_error, -errno, "Cannot write to stdout: %m");
        return 0;
}
