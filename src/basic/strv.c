/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "basic/string-util.h"
#include "basic/strv.h"

char **strv_free(char **l) {
        for (char **i = l; i && *i; i++)
                free(*i);
        free(l);
        return NULL;
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

/* Makes room for n more entries. The space grows by powers of two, so that appending one by one stays
 * linear. */
static int strv_reserve(char ***l, size_t length, size_t n) {
        size_t need, size = 4;
        char **p;

        if (__builtin_add_overflow(length, n, &need) || need >= SIZE_MAX / sizeof(char *) / 2)
                return -ENOMEM;

        while (size < need + 1)
                size *= 2;
        p = reallocarray(*l, size, sizeof(char *));
        if (!p)
                return -ENOMEM;

        p[length] = NULL;
        *l = p;
        return 0;
}

char **strv_copy(char *const *l) {
        _cleanup_strv_free_ char **copy = NULL;

        if (strv_reserve(&copy, 0, strv_length(l)) < 0 || strv_extend_strv(&copy, l) < 0)
                return NULL;

        return TAKE_PTR(copy);
}

int strv_consume(char ***l, char *s) {
        size_t n = strv_length(*l);
        int r;

        if (!s)
                return -ENOMEM;

        r = strv_reserve(l, n, 1);
        if (r < 0) {
                free(s);
                return r;
        }

        (*l)[n] = s;
        (*l)[n + 1] = NULL;
        return 0;
}

int strv_extend(char ***l, const char *s) {
        return strv_consume(l, strdup(s));
}

int strv_extendf(char ***l, const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&s, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;

        return strv_consume(l, s);
}

int strv_extend_strv(char ***l, char *const *other) {
        size_t n = strv_length(*l), m = strv_length(other);
        int r;

        r = strv_reserve(l, n, m);
        if (r < 0)
                return r;

        for (size_t i = 0; i < m; i++) {
                char *s = strdup(other[i]);

                if (!s) {
                        /* All or nothing. */
                        while (i-- > 0)
                                free((*l)[n + i]);
                        (*l)[n] = NULL;
                        return -ENOMEM;
                }
                (*l)[n + i] = s;
        }
        (*l)[n + m] = NULL;
        return 0;
}

bool strv_contains(char *const *l, const char *s) {
        STRV_FOREACH(i, l)
                if (streq(i, s))
                        return true;
        return false;
}

const char *strv_env_get(char *const *l, const char *name) {
        size_t n = strlen(name);

        STRV_FOREACH(i, l)
                if (strncmp(i, name, n) == 0 && i[n] == '=')
                        return i + n + 1;
        return NULL;
}

int strv_env_set(char ***l, const char *assignment) {
        const char *eq = strchr(assignment, '=');
        size_t n;

        if (!eq || eq == assignment)
                return -EINVAL;

        n = (size_t) (eq - assignment) + 1;
        for (char **i = *l; i && *i; i++)
                if (strncmp(*i, assignment, n) == 0)
                        return free_and_strdup(i, assignment);

        return strv_extend(l, assignment);
}

char **strv_split(const char *s, const char *seps) {
        _cleanup_strv_free_ char **l = NULL;

        if (strv_reserve(&l, 0, 0) < 0)
                return NULL;

        for (;;) {
                size_t n;

                s += strspn(s, seps);
                n = strcspn(s, seps);
                if (n == 0)
                        return TAKE_PTR(l);
                if (strv_consume(&l, strndup(s, n)) < 0)
                        return NULL;
                s += n;
        }
}

static int hex_digit(char c) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *p = c ? strchr(digits, c) : NULL;

        return p ? (int) (p - digits) % 16 : -EINVAL;
}

/* s is behind the backslash. Returns how many characters belong to it. */
static int unescape(const char *s, char *ret) {
        static const char from[] = "abfnrtvs\\\"'", to[] = "\a\b\f\n\r\t\v \\\"'";
        const char *p = *s ? strchr(from, *s) : NULL;

        if (p) {
                *ret = to[p - from];
                return 1;
        }
        if (*s != 'x' || hex_digit(s[1]) < 0 || hex_digit(s[2]) < 0)
                return -EINVAL;
        *ret = (char) (hex_digit(s[1]) * 16 + hex_digit(s[2]));
        return *ret ? 3 : -EINVAL;
}

/* Writes the first word of *s to word, and moves *s behind it. */
static int split_word(const char **s, char *word) {
        const char *p = *s;
        char quote = 0;

        for (; *p && (quote || !strchr(WHITESPACE, *p)); p++)
                if (*p == '\\') {
                        int n = unescape(p + 1, word++);

                        if (n < 0)
                                return n;
                        p += n;
                } else if (*p == quote)
                        quote = 0;
                else if (!quote && (*p == '"' || *p == '\''))
                        quote = *p;
                else
                        *word++ = *p;
        if (quote)
                return -EINVAL;

        *word = 0;
        *s = p;
        return 0;
}

int strv_split_quoted(const char *s, char ***ret) {
        _cleanup_free_ char *word = malloc(strlen(s) + 1);
        _cleanup_strv_free_ char **l = NULL;
        int r;

        if (!word || strv_reserve(&l, 0, 0) < 0)
                return -ENOMEM;
        for (s += strspn(s, WHITESPACE); *s; s += strspn(s, WHITESPACE)) {
                r = split_word(&s, word);
                if (r >= 0)
                        r = strv_extend(&l, word);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

char *strv_join(char *const *l, const char *sep) {
        size_t n = 1, k = strlen(sep);
        char *joined, *p;

        STRV_FOREACH(i, l)
                n += strlen(i) + k;

        p = joined = malloc(n);
        if (!joined)
                return NULL;

        for (size_t i = 0; l && l[i]; i++) {
                if (i > 0)
                        p = stpcpy(p, sep);
                p = stpcpy(p, l[i]);
        }
        *p = 0;
        return joined;
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

void strv_sort(char **l) {
        if (l)
                qsort(l, strv_length(l), sizeof(char *), compare);
}
