/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libseccomp compares a call's number with each number that the profile names: 1261 instructions for
 * moored's, on x86_64. But what is allowed, and what is not, lies in runs of numbers, of which there are
 * 280: a tree over their borders takes a quarter.
 *
 * A filter is taken apart like this: as long as it has looked only at the architecture and the number, what
 * becomes of a call (its Outcome) can be found by running the filter (decide()). It changes only at numbers
 * that are somewhere in the filter (survey()). An outcome is either a return value or a block: the first
 * instruction that loads one of the call's arguments. Blocks are taken over as they are, behind the new
 * trees.
 *
 * Nothing is taken on trust: when the new filter is there, it is compared with the old one. */

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "runtime/seccomp-compact.h"

#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define LOAD_NUMBER offsetof(struct seccomp_data, nr)
#define LOAD_ARCH offsetof(struct seccomp_data, arch)

#define ARCHS_MAX 64U
#define OUTCOMES_MAX 256U /* different ones */
#define CHAIN_MAX 4U      /* comparisons in a row, at the end of a tree */

typedef struct Outcome {
        bool block;
        uint32_t value; /* returned; of a block: its position */
} Outcome;

/* A run of numbers with the same outcome: until the next one's first. */
typedef struct Range {
        uint32_t first;
        Outcome outcome;
} Range;

/* What is known of a filter. */
typedef struct Survey {
        uint32_t archs[ARCHS_MAX]; /* those it asks for, in its order */
        size_t n_archs;
        uint32_t *numbers; /* at which an outcome may change; sorted */
        size_t n_numbers;
        uint8_t *seen; /* for each instruction: what the accumulator may be there */
} Survey;

enum {
        SEEN_NUMBER = 1 << 0,
        SEEN_ARCH = 1 << 1,
        SEEN_BLOCK = 1 << 2, /* it is part of a block */
        SEEN_START = 1 << 3, /* nothing has been loaded yet */
};

static void survey_done(Survey *s) {
        free(s->numbers);
        free(s->seen);
}

static bool outcome_equal(Outcome a, Outcome b) {
        return a.block == b.block && a.value == b.value;
}

static bool is_jump(const struct sock_filter *i) {
        return BPF_CLASS(i->code) == BPF_JMP;
}

static bool jump_taken(const struct sock_filter *i, uint32_t a) {
        switch (BPF_OP(i->code)) {
        case BPF_JEQ:
                return a == i->k;
        case BPF_JGT:
                return a > i->k;
        case BPF_JGE:
                return a >= i->k;
        default:
                return (a & i->k) != 0;
        }
}

/* ---- taking apart ---- */

/* Runs it. p has been surveyed: it ends. */
static Outcome decide(const SeccompProgram *p, uint32_t arch, uint32_t number) {
        uint32_t a = 0;

        for (size_t pc = 0;;) {
                const struct sock_filter *i = &p->filter[pc++];

                if (i->code == (BPF_RET | BPF_K))
                        return (Outcome){ .value = i->k };
                if (i->code == (BPF_JMP | BPF_JA))
                        pc += i->k;
                else if (is_jump(i))
                        pc += jump_taken(i, a) ? i->jt : i->jf;
                else if (i->k == LOAD_NUMBER)
                        a = number;
                else if (i->k == LOAD_ARCH)
                        a = arch;
                else
                        return (Outcome){ .block = true, .value = (uint32_t) (pc - 1) };
        }
}

static bool asks_for(const Survey *s, uint32_t arch) {
        for (size_t i = 0; i < s->n_archs; i++)
                if (s->archs[i] == arch)
                        return true;
        return false;
}

static bool add_arch(Survey *s, uint32_t arch) {
        if (asks_for(s, arch))
                return true;
        if (s->n_archs == ARCHS_MAX)
                return false;
        s->archs[s->n_archs++] = arch;
        return true;
}

/* What changes the accumulator, and goes on with the next instruction. */
static bool survey_value(Survey *s, const SeccompProgram *p, size_t pc) {
        const struct sock_filter *i = &p->filter[pc];
        bool number = i->code == LOAD && i->k == LOAD_NUMBER, arch = i->code == LOAD && i->k == LOAD_ARCH;

        if (pc + 1 >= p->n)
                return false;
        if ((number || arch) && s->seen[pc] & SEEN_BLOCK)
                return false;
        if (i->code != LOAD && s->seen[pc] != SEEN_BLOCK)
                return false;

        if (!number && !arch)
                s->seen[pc] = SEEN_BLOCK;
        s->seen[pc + 1] |= number ? SEEN_NUMBER : arch ? SEEN_ARCH : SEEN_BLOCK;
        return true;
}

/* The instruction pc and where it leads to; false: that is beyond this. All jumps go forward, so each
 * instruction has been reached by all that lead to it when it is its turn. */
static bool survey_one(Survey *s, const SeccompProgram *p, size_t pc) {
        const struct sock_filter *i = &p->filter[pc];
        uint8_t seen = s->seen[pc];
        size_t t, f;

        if (i->code == (BPF_RET | BPF_K))
                return true;
        if (i->code == LOAD || i->code == (BPF_ALU | BPF_AND | BPF_K))
                return survey_value(s, p, pc);
        if (!is_jump(i) || BPF_SRC(i->code) != BPF_K)
                return false;

        t = pc + 1 + (BPF_OP(i->code) == BPF_JA ? i->k : i->jt);
        f = pc + 1 + (BPF_OP(i->code) == BPF_JA ? i->k : i->jf);
        if (t >= p->n || f >= p->n)
                return false;
        s->seen[t] |= seen;
        s->seen[f] |= seen;
        if (BPF_OP(i->code) == BPF_JA || seen == SEEN_BLOCK)
                return true;
        if (seen & SEEN_START || BPF_OP(i->code) == BPF_JSET)
                return false;
        if (seen & SEEN_ARCH && (BPF_OP(i->code) != BPF_JEQ || !add_arch(s, i->k)))
                return false;
        if (seen & SEEN_NUMBER) {
                s->numbers[s->n_numbers++] = i->k;
                if (i->k < UINT32_MAX)
                        s->numbers[s->n_numbers++] = i->k + 1;
        }
        return true;
}

static int compare_numbers(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return x < y ? -1 : x > y;
}

/* 0: it is none that can be taken apart. */
static int survey(const SeccompProgram *p, Survey *ret) {
        Survey s = {};
        bool good = p->n > 0;
        size_t n = 1;

        s.numbers = calloc(2 * p->n + 1, sizeof(uint32_t));
        s.seen = calloc(p->n + 1, 1);
        if (!s.numbers || !s.seen) {
                survey_done(&s);
                return -ENOMEM;
        }

        s.n_numbers = 1; /* 0 */
        s.seen[0] = SEEN_START;
        for (size_t pc = 0; good && pc < p->n; pc++)
                if (s.seen[pc] != 0)
                        good = survey_one(&s, p, pc);
        if (!good) {
                survey_done(&s);
                return 0;
        }

        qsort(s.numbers, s.n_numbers, sizeof(uint32_t), compare_numbers);
        for (size_t i = 1; i < s.n_numbers; i++)
                if (s.numbers[i] != s.numbers[n - 1])
                        s.numbers[n++] = s.numbers[i];
        s.n_numbers = n;
        *ret = s;
        return 1;
}

/* One that it does not ask for. */
static uint32_t other_arch(const Survey *s) {
        uint32_t arch = 0;

        while (asks_for(s, arch))
                arch++;
        return arch;
}

/* ranges has room for s->n_numbers. */
static size_t make_ranges(const SeccompProgram *p, const Survey *s, uint32_t arch, Range *ranges) {
        size_t n = 0;

        for (size_t i = 0; i < s->n_numbers; i++) {
                Outcome o = decide(p, arch, s->numbers[i]);

                if (n == 0 || !outcome_equal(ranges[n - 1].outcome, o))
                        ranges[n++] = (Range){ s->numbers[i], o };
        }
        return n;
}

/* ---- putting together ---- */

/* A filter is written from its end to its beginning: jumps go forward, so where they go is there already. A
 * position counts from the end, from 1. */
typedef struct Writer {
        struct sock_filter *buffer;
        size_t size;
        size_t n;
        bool full;
        struct {
                Outcome outcome;
                size_t position; /* of the last instruction that comes to it */
        } known[OUTCOMES_MAX];
        size_t n_known;
} Writer;

static size_t put(Writer *w, struct sock_filter i) {
        if (w->n == w->size)
                w->full = true;
        else
                w->buffer[w->size - ++w->n] = i;
        return w->n;
}

/* How far it is from the next instruction, which `more` others may follow before the jump. */
static size_t distance(const Writer *w, size_t position, size_t more) {
        return w->n + more - position;
}

/* Something that goes to position and can be reached by a condition's jump. */
static size_t put_near(Writer *w, size_t position) {
        if (distance(w, position, 1) <= UINT8_MAX)
                return position;
        return put(w, (struct sock_filter) BPF_STMT(BPF_JMP | BPF_JA, (uint32_t) distance(w, position, 0)));
}

/* The same for an outcome. */
static size_t put_outcome(Writer *w, Outcome o) {
        size_t i = 0;

        while (i < w->n_known && !outcome_equal(w->known[i].outcome, o))
                i++;
        if (i < w->n_known && distance(w, w->known[i].position, 2) <= UINT8_MAX)
                return w->known[i].position;
        if (i == OUTCOMES_MAX || (o.block && i == w->n_known)) {
                w->full = true;
                return w->n;
        }
        if (i == w->n_known)
                w->known[w->n_known++].outcome = o;
        w->known[i].position = o.block ? put_near(w, w->known[i].position)
                                       : put(w, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, o.value));
        return w->known[i].position;
}

static size_t put_jump(Writer *w, unsigned op, uint32_t k, size_t t, size_t f) {
        t = put_near(w, t);
        f = put_near(w, f);
        return put(w, (struct sock_filter) BPF_JUMP(BPF_JMP | op | BPF_K, k, (uint8_t) distance(w, t, 0),
                                                    (uint8_t) distance(w, f, 0)));
}

/* Single numbers in one long run, which is the last range. */
static bool is_chain(const Range *r, size_t n) {
        if (n / 2 > CHAIN_MAX)
                return false;
        for (size_t i = 0; i + 1 < n; i++)
                if (i % 2 == (n - 1) % 2 ? !outcome_equal(r[i].outcome, r[n - 1].outcome)
                                         : r[i + 1].first != r[i].first + 1)
                        return false;
        return true;
}

/* Returns where it begins. Depth: the logarithm of n. */
static size_t put_tree(Writer *w, const Range *r, size_t n) {
        size_t next, middle = n / 2, t, f;

        if (is_chain(r, n)) {
                next = put_outcome(w, r[n - 1].outcome);
                for (size_t i = n - 1; i-- > 0;)
                        if (i % 2 != (n - 1) % 2)
                                next = put_jump(w, BPF_JEQ, r[i].first, put_outcome(w, r[i].outcome), next);
                return next;
        }
        t = put_tree(w, r + middle, n - middle);
        f = put_tree(w, r, middle);
        return put_jump(w, BPF_JGE, r[middle].first, t, f);
}

/* An architecture's numbers. */
static size_t put_arch(Writer *w, const Range *r, size_t n) {
        size_t begin = put_tree(w, r, n);

        if (n == 1)
                return begin;
        if (begin != w->n)
                put(w, (struct sock_filter) BPF_STMT(BPF_JMP | BPF_JA, (uint32_t) distance(w, begin, 0)));
        return put(w, (struct sock_filter) BPF_STMT(LOAD, LOAD_NUMBER));
}

/* As they are, in their order: none is farther from another than before. */
static void put_blocks(Writer *w, const SeccompProgram *p, const Survey *s, size_t *positions) {
        for (size_t pc = p->n; pc-- > 0;) {
                struct sock_filter i = p->filter[pc];

                if (!(s->seen[pc] & SEEN_BLOCK))
                        continue;
                if (i.code == (BPF_JMP | BPF_JA))
                        i.k = (uint32_t) distance(w, positions[pc + 1 + i.k], 0);
                else if (is_jump(&i)) {
                        i.jt = (uint8_t) distance(w, positions[pc + 1 + i.jt], 0);
                        i.jf = (uint8_t) distance(w, positions[pc + 1 + i.jf], 0);
                }
                positions[pc] = put(w, i);
                if (i.code == LOAD && w->n_known < OUTCOMES_MAX) {
                        w->known[w->n_known].outcome = (Outcome){ .block = true, .value = (uint32_t) pc };
                        w->known[w->n_known++].position = w->n;
                }
        }
}

static void put_all(Writer *w, const SeccompProgram *p, const Survey *s, Range *ranges, size_t *positions) {
        size_t next;

        put_blocks(w, p, s, positions);
        next = put_arch(w, ranges, make_ranges(p, s, other_arch(s), ranges));
        for (size_t i = s->n_archs; i-- > 0;) {
                size_t begin = put_arch(w, ranges, make_ranges(p, s, s->archs[i], ranges));

                next = put_jump(w, BPF_JEQ, s->archs[i], begin, next);
        }
        if (next != w->n)
                put(w, (struct sock_filter) BPF_STMT(BPF_JMP | BPF_JA, (uint32_t) distance(w, next, 0)));
        put(w, (struct sock_filter) BPF_STMT(LOAD, LOAD_ARCH));
}

/* ---- comparing ---- */

static size_t skip_jumps(const SeccompProgram *p, size_t pc) {
        while (p->filter[pc].code == (BPF_JMP | BPF_JA))
                pc += 1 + p->filter[pc].k;
        return pc;
}

/* twins: for each instruction of a, the one of b that it was found to be the same as; 0: none yet (that is
 * no block's). */
static bool blocks_agree(const SeccompProgram *a, size_t x, const SeccompProgram *b, size_t y,
                         size_t *twins) {
        for (;;) {
                const struct sock_filter *i, *k;

                x = skip_jumps(a, x);
                y = skip_jumps(b, y);
                i = &a->filter[x];
                k = &b->filter[y];
                if (i->code != k->code || i->k != k->k)
                        return false;
                if (i->code == (BPF_RET | BPF_K))
                        return true;
                if (twins[x] != 0)
                        return twins[x] == y;
                twins[x] = y;
                if (is_jump(i)) {
                        if (!blocks_agree(a, x + 1 + i->jt, b, y + 1 + k->jt, twins))
                                return false;
                        x += i->jf;
                        y += k->jf;
                }
                x++;
                y++;
        }
}

static bool arch_agrees(const SeccompProgram *a, const SeccompProgram *b, const Survey *s, uint32_t arch,
                        size_t *twins) {
        for (size_t i = 0; i < s->n_numbers; i++) {
                Outcome x = decide(a, arch, s->numbers[i]), y = decide(b, arch, s->numbers[i]);

                if (x.block != y.block)
                        return false;
                if (x.block ? !blocks_agree(a, x.value, b, y.value, twins) : x.value != y.value)
                        return false;
        }
        return true;
}

/* At all that is in one of them. */
static bool agree_at(const SeccompProgram *a, const SeccompProgram *b, const Survey *s, uint32_t other,
                     size_t *twins) {
        for (size_t i = 0; i < s->n_archs; i++)
                if (!arch_agrees(a, b, s, s->archs[i], twins))
                        return false;
        return arch_agrees(a, b, s, other, twins);
}

bool seccomp_programs_agree(const SeccompProgram *a, const SeccompProgram *b) {
        _cleanup_(survey_done) Survey x = {}, y = {};
        _cleanup_free_ size_t *twins = calloc(a->n + 1, sizeof(size_t));
        uint32_t other = 0;

        if (!twins || survey(a, &x) <= 0 || survey(b, &y) <= 0)
                return false;
        while (asks_for(&x, other) || asks_for(&y, other))
                other++;
        return agree_at(a, b, &x, other, twins) && agree_at(a, b, &y, other, twins);
}

/* ---- all of it ---- */

int seccomp_compact(SeccompProgram *p) {
        _cleanup_free_ struct sock_filter *buffer = NULL;
        _cleanup_free_ size_t *positions = NULL;
        _cleanup_free_ Range *ranges = NULL;
        _cleanup_free_ Writer *w = NULL;
        _cleanup_(survey_done) Survey s = {};
        SeccompProgram q = { .flags = p->flags };
        int r;

        r = survey(p, &s);
        if (r <= 0)
                return r;
        buffer = calloc(p->n, sizeof(*buffer));
        positions = calloc(p->n, sizeof(*positions));
        ranges = calloc(s.n_numbers, sizeof(*ranges));
        w = calloc(1, sizeof(*w));
        if (!buffer || !positions || !ranges || !w)
                return -ENOMEM;

        w->buffer = buffer;
        w->size = p->n;
        put_all(w, p, &s, ranges, positions);
        q.filter = buffer + w->size - w->n;
        q.n = w->n;
        if (w->full || !seccomp_programs_agree(p, &q))
                return 0;

        memcpy(p->filter, q.filter, q.n * sizeof(*q.filter));
        p->n = q.n;
        return 1;
}
