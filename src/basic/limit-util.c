/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

#define PERMYRIAD_PER_CENT 100U

int parse_permyriad(const char *s, uint64_t *ret) {
        _cleanup_free_ char *whole = NULL;
        const char *end = endswith(s, "%"), *dot;
        uint64_t n, fraction = 0;
        int r;

        if (!end)
                return -EINVAL;
        dot = memchr(s, '.', (size_t) (end - s));
        whole = strndup(s, (size_t) ((dot ?: end) - s));
        if (!whole)
                return -ENOMEM;
        r = parse_uint64(whole, &n);
        if (r < 0)
                return r;
        if (n > UINT32_MAX)
                return -ERANGE;

        if (dot) {
                size_t digits = (size_t) (end - dot - 1);

                if (digits < 1 || digits > 2 || strspn(dot + 1, DIGITS) != digits)
                        return -EINVAL;
                fraction = (uint64_t) (dot[1] - '0') * 10 + (digits == 2 ? (uint64_t) (dot[2] - '0') : 0);
        }

        *ret = n * PERMYRIAD_PER_CENT + fraction;
        return 0;
}

int parse_bandwidth(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGTPE";
        _cleanup_free_ char *number = NULL;
        size_t digits = strspn(s, DIGITS);
        const char *suffix;
        uint64_t n;
        int r;

        if (streq(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        number = strndup(s, digits);
        if (!number)
                return -ENOMEM;
        r = parse_uint64(number, &n);
        if (r < 0)
                return r;
        if (s[digits] != 0) {
                suffix = strchr(suffixes, s[digits]);
                if (!suffix || s[digits + 1] != 0)
                        return -EINVAL;
                for (const char *x = suffixes; x <= suffix; x++)
                        if (__builtin_mul_overflow(n, UINT64_C(1000), &n))
                                return -ERANGE;
        }

        *ret = n;
        return 0;
}

int parse_bit_rate(const char *s, uint64_t *ret) {
        static const struct {
                const char *unit;
                uint64_t factor;
        } units[] = { { "", 1 }, { "k", 1000 }, { "m", 1000000 }, { "g", 1000000000 }, { "t", UINT64_C(1000000000000) } };
        size_t digits = strspn(s, DIGITS), length = strlen(s + digits);
        _cleanup_free_ char *number = strndup(s, digits);
        uint64_t n;
        int r;

        if (!number)
                return -ENOMEM;
        r = parse_uint64(number, &n);
        if (r < 0)
                return r;
        if (length >= strlen("bit") && strcasecmp(s + strlen(s) - strlen("bit"), "bit") == 0)
                length -= strlen("bit");
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].unit) == length && strncasecmp(units[i].unit, s + digits, length) == 0) {
                        if (__builtin_mul_overflow(n, units[i].factor, &n))
                                return -ERANGE;
                        *ret = n;
                        return 0;
                }
        return -EINVAL;
}

static int number_set_add_range(NumberSet *set, const char *s) {
        uint32_t from, to;
        int r;

        r = parse_range(s, &from, &to);
        if (r < 0)
                return r;
        if (to >= NUMBER_SET_MAX)
                return -ERANGE;

        for (uint32_t i = from; i <= to; i++)
                set->bits[i / 8] |= (uint8_t) (1U << (i % 8));
        set->size = MAX(set->size, (size_t) to / 8 + 1);
        return 0;
}

int number_set_parse(const char *s, NumberSet *ret) {
        _cleanup_strv_free_ char **l = strv_split(s, ", \t");
        int r;

        if (!l)
                return -ENOMEM;
        *ret = (NumberSet) {};
        STRV_FOREACH(range, l) {
                r = number_set_add_range(ret, range);
                if (r < 0)
                        return r;
        }
        return 0;
}

char *number_set_to_string(const uint8_t *bits, size_t size) {
        size_t n = MIN(size, (size_t) NUMBER_SET_MAX / 8) * 8, length;
        char *text = NULL;
        FILE *f;

        f = open_memstream(&text, &length);
        if (!f)
                return NULL;
        for (size_t i = 0, end; i < n; i = end) {
                end = i + 1;
                if (!(bits[i / 8] & (1U << (i % 8))))
                        continue;
                while (end < n && (bits[end / 8] & (1U << (end % 8))))
                        end++;
                (void) fprintf(f, "%s%zu", ftell(f) > 0 ? "," : "", i);
                if (end > i + 1)
                        (void) fprintf(f, "-%zu", end - 1);
        }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
