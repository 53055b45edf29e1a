/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libseccomp makes a filter of the profile, as a binary tree: the kernel asks a filter about every system
 * call when it is installed (to remember those that are always allowed), and a list of some hundred
 * comparisons would make that slow.
 *
 * In front of it stand a few instructions of our own. A profile that answers EPERM to what it does not know
 * breaks programs built against a newer C library, which try a newer system call first and go on with an
 * older one only on ENOSYS. So a system call with a number higher than all that the profile names, on its
 * architecture, is answered with ENOSYS. */

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/strv.h"
#include "runtime/seccomp-compact.h"
#include "runtime/seccomp-filter.h"

#define X32_BIT 0x40000000U

static void context_release(scmp_filter_ctx *c) {
        if (*c)
                seccomp_release(*c);
}

typedef struct ActionName {
        const char *name;
        uint32_t action;
} ActionName;

static int action_from(const char *name, uint64_t errno_ret, const char *member, uint32_t *ret,
                       Error *reterr_error) {
        static const ActionName table[] = {
                { "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
                { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
                { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
                { "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
                { "SCMP_ACT_LOG", SCMP_ACT_LOG },
                { "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
                { "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
        };
        uint64_t value = errno_ret == UINT64_MAX ? EPERM : errno_ret;

        if (value > UINT16_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "linux.seccomp: the errno %ju is out of range.", (uintmax_t) value);
        if (streq(name, "SCMP_ACT_ERRNO")) {
                *ret = SCMP_ACT_ERRNO(value);
                return 0;
        }
        if (streq(name, "SCMP_ACT_TRACE")) {
                *ret = SCMP_ACT_TRACE(value);
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(table[i].name, name)) {
                        if (errno_ret != UINT64_MAX)
                                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                 "%s: \"%s\" has no errno, but one is given.", member, name);
                        *ret = table[i].action;
                        return 0;
                }
        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "%s: \"%s\" is not supported.", member,
                         name);
}

static int compare_from(const char *name, enum scmp_compare *ret, Error *reterr_error) {
        static const struct {
                const char *name;
                enum scmp_compare op;
        } table[] = {
                { "SCMP_CMP_NE", SCMP_CMP_NE },
                { "SCMP_CMP_LT", SCMP_CMP_LT },
                { "SCMP_CMP_LE", SCMP_CMP_LE },
                { "SCMP_CMP_EQ", SCMP_CMP_EQ },
                { "SCMP_CMP_GE", SCMP_CMP_GE },
                { "SCMP_CMP_GT", SCMP_CMP_GT },
                { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(table[i].name, name)) {
                        *ret = table[i].op;
                        return 0;
                }
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "linux.seccomp.syscalls.args.op: \"%s\" is not known.", name);
}

/* ---- architectures ---- */

/* SCMP_ARCH_X86_64 → SCMP_ARCH_X86_64's number; 0 if libseccomp does not know it. */
static uint32_t arch_from(const char *name) {
        static const char prefix[] = "SCMP_ARCH_";
        char lower[32];
        size_t i;

        if (!startswith(name, prefix))
                return 0;
        name += sizeof(prefix) - 1;
        for (i = 0; name[i] && i < sizeof(lower) - 1; i++)
                lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char) (name[i] + 'a' - 'A') : name[i];
        lower[i] = 0;
        return seccomp_arch_resolve_name(lower);
}

/* What processes of the other families would do need not be filtered on this machine: there are none. So one
 * profile serves several machines without making the filter longer. */
static bool arch_is_foreign(uint32_t token) {
        static const uint32_t families[][3] = {
                { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 },
                { SCMP_ARCH_AARCH64, SCMP_ARCH_ARM },
                { SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPS },
                { SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_MIPSEL },
                { SCMP_ARCH_PPC64, SCMP_ARCH_PPC },
                { SCMP_ARCH_S390X, SCMP_ARCH_S390 },
                { SCMP_ARCH_PARISC64, SCMP_ARCH_PARISC },
        };
        uint32_t native = seccomp_arch_native();

        if (token == native)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                bool ours = false, contains = false;

                for (size_t k = 0; k < ELEMENTSOF(families[i]); k++) {
                        ours = ours || families[i][k] == native;
                        contains = contains || families[i][k] == token;
                }
                if (ours && contains)
                        return false;
        }
        return true;
}

/* Those of the specification that the library may be too old for: foreign on every machine that it runs on. */
static bool arch_is_newer(const char *name) {
        static const char *const newer[] = { "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH",
                                             "SCMP_ARCH_SHEB", NULL };

        return strv_contains((char *const *) newer, name);
}

typedef struct Architectures {
        uint32_t tokens[SPEC_SECCOMP_ARCHITECTURES_MAX + 1];
        size_t n;
} Architectures;

static int add_architectures(scmp_filter_ctx c, const SeccompSpec *s, Architectures *ret,
                             Error *reterr_error) {
        Architectures a = { .tokens = { seccomp_arch_native() }, .n = 1 };

        for (size_t i = 0; s->architectures && s->architectures[i]; i++) {
                uint32_t token = arch_from(s->architectures[i]);
                int r;

                if (token == 0 && arch_is_newer(s->architectures[i]))
                        continue;
                if (token == 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "linux.seccomp.architectures: \"%s\" is not known.",
                                         s->architectures[i]);
                if (arch_is_foreign(token))
                        continue;
                r = seccomp_arch_add(c, token);
                if (r == -EEXIST)
                        continue;
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "linux.seccomp.architectures: cannot add \"%s\": %m",
                                               s->architectures[i]);
                a.tokens[a.n++] = token;
        }
        *ret = a;
        return 0;
}

/* ---- rules ---- */

/* libseccomp takes one comparison an argument: several of one argument are alternatives, as runc has it. */
static bool has_repeated_index(const SeccompRule *rule) {
        for (size_t i = 0; i < rule->n_args; i++)
                for (size_t k = i + 1; k < rule->n_args; k++)
                        if (rule->args[i].index == rule->args[k].index)
                                return true;
        return false;
}

static int add_rule(scmp_filter_ctx c, uint32_t action, const char *name, const struct scmp_arg_cmp *args,
                    unsigned n, bool fail_unknown, Error *reterr_error) {
        int number = seccomp_syscall_resolve_name(name), r;

        if (number == __NR_SCMP_ERROR) {
                if (!fail_unknown)
                        return 0;
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.seccomp.syscalls: the system call \"%s\" is not known.", name);
        }
        r = seccomp_rule_add_array(c, action, number, n, args);
        if (r < 0)
                return error_set_errno(reterr_error, r, "linux.seccomp.syscalls: cannot add \"%s\": %m",
                                       name);
        return 0;
}

static int add_rules(scmp_filter_ctx c, const SeccompRule *rule, uint32_t default_action, bool fail_unknown,
                     Error *reterr_error) {
        struct scmp_arg_cmp args[SPEC_SECCOMP_ARGS_MAX];
        bool alternatives = has_repeated_index(rule);
        uint32_t action;
        int r;

        r = action_from(rule->action, rule->errno_ret, "linux.seccomp.syscalls.action", &action,
                        reterr_error);
        if (r < 0)
                return r;
        /* libseccomp refuses what would change nothing. */
        if (action == default_action)
                return 0;

        for (size_t i = 0; i < rule->n_args; i++) {
                args[i] = (struct scmp_arg_cmp) {
                        .arg = (unsigned) rule->args[i].index,
                        .datum_a = rule->args[i].value,
                        .datum_b = rule->args[i].value_two,
                };
                r = compare_from(rule->args[i].op, &args[i].op, reterr_error);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; rule->names && rule->names[i]; i++) {
                size_t n_alternatives = alternatives ? rule->n_args : 1;

                for (size_t k = 0; k < n_alternatives; k++) {
                        r = add_rule(c, action, rule->names[i], args + k,
                                     alternatives ? 1 : (unsigned) rule->n_args, fail_unknown, reterr_error);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* ---- the instructions in front ---- */

/* The highest number that the profile names on this architecture. */
static uint32_t highest_number(const SeccompSpec *s, uint32_t arch) {
        uint32_t highest = 0;

        for (size_t i = 0; i < s->n_rules; i++)
                for (size_t k = 0; s->rules[i].names && s->rules[i].names[k]; k++) {
                        int number = seccomp_syscall_resolve_name_arch(arch, s->rules[i].names[k]);

                        if (number >= 0)
                                highest = MAX(highest, (uint32_t) number);
                }
        return highest;
}

/* The audit number, which is what the kernel shows a filter: x32 shares x86_64's. */
static uint32_t audit_arch(uint32_t token) {
        return token == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64 : token;
}

#define PRELUDE_BLOCK 7U /* instructions an architecture */

/* Fills buf, which has room for 1 + PRELUDE_BLOCK * a->n; returns the number of instructions. */
static size_t prelude_make(const SeccompSpec *s, const Architectures *a, struct sock_filter *buf) {
        uint32_t x32_highest = UINT32_MAX;
        size_t n = 0, n_blocks = 0, block = 0;

        for (size_t i = 0; i < a->n; i++) {
                if (a->tokens[i] == SCMP_ARCH_X32)
                        x32_highest = highest_number(s, SCMP_ARCH_X32) | X32_BIT;
                else
                        n_blocks++;
        }

        buf[n++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                 offsetof(struct seccomp_data, arch));
        for (size_t i = 0; i < a->n; i++) {
                uint32_t highest, x32;
                size_t left;

                if (a->tokens[i] == SCMP_ARCH_X32)
                        continue;
                highest = highest_number(s, a->tokens[i]);
                x32 = a->tokens[i] == SCMP_ARCH_X86_64 ? x32_highest : highest;
                left = n_blocks - ++block;

                buf[n++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit_arch(a->tokens[i]),
                                                         0, 6);
                buf[n++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                         offsetof(struct seccomp_data, nr));
                buf[n++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0);
                buf[n++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, highest, 1, 2);
                buf[n++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, x32, 0, 1);
                buf[n++] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
                buf[n++] = (struct sock_filter) BPF_STMT(BPF_JMP | BPF_JA,
                                                         (uint32_t) (left * PRELUDE_BLOCK));
        }
        return n;
}

/* ---- all of it ---- */

static int export_program(scmp_filter_ctx c, const SeccompSpec *s, const Architectures *a, bool prelude,
                          SeccompProgram *ret, Error *reterr_error) {
        struct sock_filter front[1 + PRELUDE_BLOCK * (SPEC_SECCOMP_ARCHITECTURES_MAX + 1)];
        _cleanup_free_ char *program = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size, n, n_front;
        int r;

        fd = memfd_create("seccomp", MFD_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a file in memory: %m");
        r = seccomp_export_bpf(c, fd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "linux.seccomp: cannot compile the profile: %m");
        if (lseek(fd, 0, SEEK_SET) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot read the compiled seccomp profile: %m");
        r = read_all(fd, 16 * SECCOMP_INSTRUCTIONS_MAX * sizeof(struct sock_filter), &program, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the compiled seccomp profile: %m");

        n = size / sizeof(struct sock_filter);
        n_front = prelude ? prelude_make(s, a, front) : 0;
        if (n + n_front > SECCOMP_INSTRUCTIONS_MAX)
                return error_set(
                                reterr_error, -E2BIG, "LimitsExceeded",
                                "linux.seccomp: the profile compiles to %zu instructions, the "
                                "kernel takes %u.",
                                n + n_front, SECCOMP_INSTRUCTIONS_MAX);

        ret->filter = malloc((n + n_front) * sizeof(struct sock_filter));
        if (!ret->filter)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        memcpy(ret->filter, front, n_front * sizeof(struct sock_filter));
        memcpy(ret->filter + n_front, program, n * sizeof(struct sock_filter));
        ret->n = n + n_front;
        return 0;
}

int seccomp_compile(const SeccompSpec *s, SeccompProgram *ret, Error *reterr_error) {
        _cleanup_(context_release) scmp_filter_ctx c = NULL;
        uint32_t default_action;
        Architectures a;
        bool prelude;
        int r;

        r = action_from(s->default_action, s->default_errno_ret, "linux.seccomp.defaultAction",
                        &default_action, reterr_error);
        if (r < 0)
                return r;

        c = seccomp_init(default_action);
        if (!c)
                return error_set_errno(reterr_error, -ENOMEM, "Cannot start to make a seccomp filter: %m");
        /* Two: a binary tree. An older libseccomp without it makes a list. */
        (void) seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);

        r = add_architectures(c, s, &a, reterr_error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s->n_rules; i++) {
                r = add_rules(c, &s->rules[i], default_action, s->fail_unknown, reterr_error);
                if (r < 0)
                        return r;
        }

        prelude = (default_action & 0xffff0000U) == SCMP_ACT_ERRNO(0) &&
                  default_action != SCMP_ACT_ERRNO(ENOSYS);
        r = export_program(c, s, &a, prelude, ret, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_compact(ret);
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}
