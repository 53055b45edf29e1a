/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Filters before and after, run by an interpreter of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#include "runtime/seccomp-compact.h"

#define LOAD(field)                                                                                         \
        (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, value)
#define JUMP(op, k, t, f) (struct sock_filter) BPF_JUMP(BPF_JMP | (op) | BPF_K, k, t, f)
#define AND(k) (struct sock_filter) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)
#define GO(n) (struct sock_filter) BPF_STMT(BPF_JMP | BPF_JA, n)

#define INSTRUCTIONS_MAX 4096U

/* Always the same sequence. */
static uint32_t random_number(uint32_t below) {
        static uint64_t state = 1;

        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (state >> 33) % below;
}

static uint32_t interpret(const SeccompProgram *p, const struct seccomp_data *data) {
        uint32_t a = 0;

        for (size_t pc = 0; pc < p->n; pc++) {
                const struct sock_filter *i = &p->filter[pc];
                bool taken;

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        assert_true(i->k + sizeof(a) <= sizeof(*data));
                        memcpy(&a, (const uint8_t *) data + i->k, sizeof(a));
                        continue;
                case BPF_RET | BPF_K:
                        return i->k;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        continue;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        continue;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        taken = a == i->k;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        taken = a > i->k;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        taken = a >= i->k;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        taken = a & i->k;
                        break;
                default:
                        fail_msg("Instruction %zu has code %x.", pc, i->code);
                        return 0;
                }
                pc += taken ? i->jt : i->jf;
        }
        fail_msg("The filter does not end.");
        return 0;
}

static SeccompProgram program(const struct sock_filter *filter, size_t n) {
        SeccompProgram p = { .n = n };

        p.filter = malloc(n * sizeof(*filter));
        assert_non_null(p.filter);
        memcpy(p.filter, filter, n * sizeof(*filter));
        return p;
}

static void check_call(const SeccompProgram *a, const SeccompProgram *b, uint32_t arch, uint32_t number) {
        struct seccomp_data data = { .nr = (int) number, .arch = arch };

        for (size_t i = 0; i < 6; i++)
                data.args[i] = (uint64_t) random_number(8) << 32 | random_number(8);
        if (interpret(a, &data) != interpret(b, &data))
                fail_msg("Architecture %x, call %x: %x, but %x", arch, number, interpret(a, &data),
                         interpret(b, &data));
}

/* Compacts a copy, which is to decide as the original does; returns how many instructions it has. */
static size_t check(const struct sock_filter *filter, size_t n, uint32_t numbers) {
        static const uint32_t archs[] = {
                AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 1, 2, 3
        };
        _cleanup_(seccomp_program_done) SeccompProgram before = program(filter, n),
                                                       after = program(filter, n);
        int r;

        r = seccomp_compact(&after);
        assert_true(r == 0 || r == 1);
        assert_true(after.n <= before.n);
        if (r == 0)
                assert_int_equal(after.n, before.n);
        else
                assert_true(seccomp_programs_agree(&before, &after));
        for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
                for (uint32_t number = 0; number < numbers; number++)
                        check_call(&before, &after, archs[i], number);
                check_call(&before, &after, archs[i], UINT32_MAX);
                check_call(&before, &after, archs[i], UINT32_MAX - 1);
                check_call(&before, &after, archs[i], 0x40000000);
        }
        return after.n;
}

/* ---- filters as libseccomp makes them ---- */

static void test_runs(void **state) {
        struct sock_filter f[INSTRUCTIONS_MAX];
        size_t n = 0;

        /* 0–99 are allowed but for 7 and 50; one of them is a question of its argument. */
        f[n++] = LOAD(arch);
        f[n++] = JUMP(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
        f[n++] = RETURN(SECCOMP_RET_KILL_PROCESS);
        f[n++] = LOAD(nr);
        for (uint32_t i = 0; i < 100; i++)
                if (i != 7 && i != 50 && i != 60) {
                        f[n++] = JUMP(BPF_JEQ, i, 0, 1);
                        f[n++] = RETURN(SECCOMP_RET_ALLOW);
                }
        f[n++] = JUMP(BPF_JEQ, 60, 0, 5);
        f[n++] = LOAD(args[0]);
        f[n++] = AND(6);
        f[n++] = JUMP(BPF_JEQ, 4, 0, 2);
        f[n++] = LOAD(args[1]);
        f[n++] = JUMP(BPF_JGT, 5, 1, 0);
        f[n++] = RETURN(SECCOMP_RET_ERRNO | 1);
        f[n++] = RETURN(SECCOMP_RET_ALLOW);

        assert_in_range(check(f, n, 300), 10, 30);
}

/* Instructions that are too far apart for a condition's jump. */
static void test_far(void **state) {
        struct sock_filter f[INSTRUCTIONS_MAX];
        size_t n = 0;

        f[n++] = LOAD(arch);
        f[n++] = JUMP(BPF_JEQ, AUDIT_ARCH_I386, 0, 1);
        f[n++] = GO(1);
        f[n++] = RETURN(1);
        f[n++] = LOAD(nr);
        for (uint32_t i = 0; i < 1000; i++) {
                f[n++] = JUMP(BPF_JEQ, i * 2, 0, 1);
                f[n++] = RETURN(10 + i % 20);
        }
        f[n++] = JUMP(BPF_JEQ, 2001, 0, 2);
        f[n++] = LOAD(args[3]);
        f[n++] = JUMP(BPF_JEQ, 3, 0, 1);
        f[n++] = RETURN(2);
        f[n++] = RETURN(3);

        assert_in_range(check(f, n, 2100), 1000, 1900);
}

static void test_too_many_outcomes(void **state) {
        struct sock_filter f[INSTRUCTIONS_MAX];
        size_t n = 0;

        f[n++] = LOAD(nr);
        for (uint32_t i = 0; i < 400; i++) {
                f[n++] = JUMP(BPF_JEQ, i, 0, 1);
                f[n++] = RETURN(i);
        }
        f[n++] = RETURN(0);
        assert_int_equal(check(f, n, 500), n);
}

/* No more can be done than has been done. */
static void test_constant(void **state) {
        const struct sock_filter one[] = { RETURN(7) };
        const struct sock_filter f[] = {
                LOAD(arch),
                JUMP(BPF_JEQ, AUDIT_ARCH_I386, 0, 1),
                RETURN(7),
                LOAD(nr),
                JUMP(BPF_JGT, 5, 0, 0),
                RETURN(7),
        };

        assert_int_equal(check(one, 1, 10), 1);
        assert_true(check(f, 6, 10) < 6);
}

/* ---- filters that it does not make ---- */

static void test_left_alone(void **state) {
        const struct sock_filter filters[][8] = {
                /* bits of the number, a number that is computed, an architecture that is compared otherwise
                 */
                { LOAD(nr), JUMP(BPF_JSET, 1, 0, 1), RETURN(1), RETURN(2), RETURN(2), RETURN(2) },
                { LOAD(nr), AND(1), JUMP(BPF_JEQ, 1, 0, 1), RETURN(1), RETURN(2), RETURN(2), RETURN(2) },
                { LOAD(arch), JUMP(BPF_JGE, 2, 0, 1), RETURN(1), RETURN(2), RETURN(2), RETURN(2) },
                /* the number after an argument, nothing before a comparison */
                { LOAD(args[0]), LOAD(nr), JUMP(BPF_JEQ, 1, 0, 1), RETURN(1), RETURN(2), RETURN(2) },
                { JUMP(BPF_JEQ, 0, 0, 1), RETURN(1), RETURN(2), RETURN(2), RETURN(2), RETURN(2) },
        };

        for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
                assert_int_equal(check(filters[i], 6, 10), 6);
}

static void check_left_alone(const struct sock_filter *filter, size_t n) {
        _cleanup_(seccomp_program_done) SeccompProgram p = program(filter, n);

        assert_int_equal(seccomp_compact(&p), 0);
        assert_int_equal(p.n, n);
        assert_memory_equal(p.filter, filter, n * sizeof(*filter));
}

/* What the kernel would not take either. */
static void test_broken(void **state) {
        const struct sock_filter beyond[] = { LOAD(nr), JUMP(BPF_JEQ, 1, 0, 9), RETURN(1) };
        const struct sock_filter far[] = { LOAD(nr), GO(UINT32_MAX), RETURN(1) };
        const struct sock_filter endless[] = { RETURN(1), LOAD(nr) };
        const struct sock_filter no_end[] = { LOAD(nr) };
        const struct sock_filter unknown[] = { BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RETURN(1) };
        const struct sock_filter other[] = { LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 0),
                                             RETURN(1) };
        SeccompProgram none = {};

        check_left_alone(beyond, 3);
        check_left_alone(far, 3);
        check_left_alone(no_end, 1);
        check_left_alone(unknown, 2);
        check_left_alone(other, 3);
        assert_int_equal(seccomp_compact(&none), 0);
        /* What cannot be reached does no harm. */
        assert_int_equal(check(endless, 2, 2), 2);
}

/* ---- anything ---- */

static struct sock_filter random_instruction(size_t left) {
        static const unsigned ops[] = { BPF_JEQ, BPF_JEQ, BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
        uint32_t kind = random_number(20), most = left > 40 ? 40 : (uint32_t) left;

        if (left == 0 || kind == 0)
                return RETURN(random_number(4));
        if (kind == 1)
                return LOAD(nr);
        if (kind == 2)
                return LOAD(args[1]);
        if (kind == 3)
                return AND(random_number(8));
        if (kind == 4)
                return GO(random_number(most));
        return JUMP(ops[random_number(kind < 6 ? 6 : 5)], random_number(12), (uint8_t) random_number(most),
                    (uint8_t) random_number(most));
}

static void test_random(void **state) {
        unsigned n_smaller = 0;

        for (unsigned k = 0; k < 20000; k++) {
                struct sock_filter f[64];
                size_t n = 4 + random_number(60);

                f[0] = random_number(2) == 0 ? LOAD(nr) : LOAD(arch);
                for (size_t i = 1; i < n; i++)
                        f[i] = random_instruction(n - 1 - i);
                n_smaller += check(f, n, 16) < n;
        }
        /* That something has been tested at all. */
        assert_true(n_smaller > 2000);
}

/* ---- the comparison ---- */

static void test_differences_are_seen(void **state) {
        struct sock_filter f[] = {
                LOAD(arch),
                JUMP(BPF_JEQ, AUDIT_ARCH_I386, 0, 5),
                LOAD(nr),
                JUMP(BPF_JGE, 100, 3, 0),
                JUMP(BPF_JEQ, 7, 0, 3),
                LOAD(args[2]),
                JUMP(BPF_JSET, 4, 0, 1),
                RETURN(1),
                RETURN(2),
        };
        const size_t n = sizeof(f) / sizeof(f[0]);
        SeccompProgram p = { .filter = f, .n = n };

        for (size_t i = 0; i < n; i++) {
                _cleanup_(seccomp_program_done) SeccompProgram q = program(f, n);

                assert_true(seccomp_programs_agree(&p, &q));
                q.filter[i].k += 8;
                assert_false(seccomp_programs_agree(&p, &q));
                assert_false(seccomp_programs_agree(&q, &p));
        }
        for (size_t i = 1; i < n; i++) {
                _cleanup_(seccomp_program_done) SeccompProgram q = program(f, n);
                uint8_t t = q.filter[i].jt;

                if (BPF_CLASS(f[i].code) != BPF_JMP)
                        continue;
                q.filter[i].jt = q.filter[i].jf;
                q.filter[i].jf = t;
                assert_false(seccomp_programs_agree(&p, &q));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_runs),
                cmocka_unit_test(test_far),
                cmocka_unit_test(test_too_many_outcomes),
                cmocka_unit_test(test_constant),
                cmocka_unit_test(test_left_alone),
                cmocka_unit_test(test_broken),
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_differences_are_seen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
