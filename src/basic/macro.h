/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small macros for every file: ownership (_cleanup_, TAKE_PTR, TAKE_FD), attributes, string comparison. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))
#define _printf_(a, b) __attribute__((__format__(printf, a, b)))
#define _noreturn_ __attribute__((__noreturn__))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)

/* The counter makes the names of nested uses differ, for -Wshadow. */
#define MIN(a, b) MIN_(a, b, CONCAT(min_a_, __COUNTER__), CONCAT(min_b_, __COUNTER__))
#define MIN_(a, b, x, y)             \
        ({                           \
                __typeof__(a) x = (a); \
                __typeof__(b) y = (b); \
                x < y ? x : y;       \
        })
#define MAX(a, b) MAX_(a, b, CONCAT(max_a_, __COUNTER__), CONCAT(max_b_, __COUNTER__))
#define MAX_(a, b, x, y)             \
        ({                           \
                __typeof__(a) x = (a); \
                __typeof__(b) y = (b); \
                x > y ? x : y;       \
        })

/* Hands ownership over: yields the value, leaves the variable empty, so that its _cleanup_ does nothing. */
#define TAKE_PTR(ptr)                            \
        ({                                       \
                __typeof__(ptr) *take_p_ = &(ptr); \
                __typeof__(ptr) take_v_ = *take_p_; \
                *take_p_ = NULL;                 \
                take_v_;                         \
        })
#define TAKE_FD(fd)               \
        ({                        \
                int *take_p_ = &(fd); \
                int take_v_ = *take_p_; \
                *take_p_ = -EBADF; \
                take_v_;          \
        })

/* Defines funcp(Type *p) for _cleanup_(funcp). The destructor must accept NULL. */
#define DEFINE_CLEANUP_FUNC(type, func)          \
        static inline void func##p(type *p) {    \
                if (*p)                          \
                        (void) func(*p);         \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

#define _cleanup_free_ _cleanup_(freep)

#define streq(a, b) (strcmp((a), (b)) == 0)

static inline bool isempty(const char *s) {
        return !s || s[0] == 0;
}

static inline const char *strempty(const char *s) {
        return s ?: "";
}

/* NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b) {
        return (a && b) ? streq(a, b) : a == b;
}

/* The rest of s behind prefix, or NULL. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t l = strlen(prefix);

        return strncmp(s, prefix, l) == 0 ? s + l : NULL;
}

/* The place in s where suffix begins, or NULL. */
static inline const char *endswith(const char *s, const char *suffix) {
        size_t a = strlen(s), b = strlen(suffix);

        return a >= b && streq(s + a - b, suffix) ? s + a - b : NULL;
}

/* Wraps a call that returns -1 and sets errno into one that returns a negative errno. */
#define RET_NERRNO(call)              \
        ({                            \
                __typeof__(call) ret_r_ = (call); \
                ret_r_ < 0 ? -errno : ret_r_;     \
        })

/* An enum's names: x_to_string() gives NULL and x_from_string() -EINVAL for what is not in the table
 * (so that the enum needs a negative member: without one it is unsigned and "< 0" never true). */
#define DECLARE_STRING_TABLE(name, type)        \
        const char *name##_to_string(type v);   \
        type name##_from_string(const char *s)
#define DEFINE_STRING_TABLE(name, type)                                                  \
        const char *name##_to_string(type v) {                                           \
                /* A negative value becomes a huge one. */                               \
                if ((size_t) v >= ELEMENTSOF(name##_table))                              \
                        return NULL;                                                     \
                return name##_table[v];                                                  \
        }                                                                                \
        type name##_from_string(const char *s) {                                         \
                for (size_t i = 0; s && i < ELEMENTSOF(name##_table); i++)               \
                        if (name##_table[i] && streq(name##_table[i], s))                \
                                return (type) i;                                         \
                return (type) -EINVAL;                                                   \
        }
