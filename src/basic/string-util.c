/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <stdarg.h>
#include <sys/random.h>

#include "basic/string-util.h"
#include "basic/time-util.h"

/* Numbers are taken apart by hand: strtoull() accepts blanks, signs and the locale's opinion, and has no say
 * about what follows. */

char *strjoin_(const char *first, ...) {
        size_t n = 1;
        char *joined, *p;
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                n += strlen(s);
        va_end(ap);

        p = joined = malloc(n);
        if (!joined)
                return NULL;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                p = stpcpy(p, s);
        va_end(ap);

        *p = 0;
        return joined;
}

int free_and_strdup(char **p, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }

        free(*p);
        *p = copy;
        return 0;
}

char *strformat(const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&s, format, ap);
        va_end(ap);
        return r < 0 ? NULL : s;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Digits at *p, at least one; *p moves behind them. */
static int parse_digits(const char **p, uint64_t *ret) {
        const char *s = *p;
        uint64_t n = 0;

        if (!is_digit(*s))
                return -EINVAL;

        for (; is_digit(*s); s++)
                if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
                    __builtin_add_overflow(n, (uint64_t) (*s - '0'), &n))
                        return -ERANGE;

        *p = s;
        *ret = n;
        return 0;
}

int parse_uint64(const char *s, uint64_t *ret) {
        uint64_t n;
        int r;

        if (!s || s[strspn(s, DIGITS)] != 0)
                return -EINVAL;

        r = parse_digits(&s, &n);
        if (r < 0)
                return r;

        *ret = n;
        return 0;
}

int parse_uint32(const char *s, uint32_t *ret) {
        uint64_t n;
        int r;

        r = parse_uint64(s, &n);
        if (r < 0)
                return r;
        if (n > UINT32_MAX)
                return -ERANGE;

        *ret = (uint32_t) n;
        return 0;
}

int parse_int(const char *s, int *ret) {
        uint64_t n;
        int r;

        r = parse_uint64(s, &n);
        if (r < 0)
                return r;
        if (n > INT32_MAX)
                return -ERANGE;

        *ret = (int) n;
        return 0;
}

int parse_range(const char *s, uint32_t *ret_first, uint32_t *ret_last) {
        uint64_t first, last;
        int r;

        r = parse_digits(&s, &first);
        if (r < 0)
                return r;
        last = first;
        if (*s == '-') {
                s++;
                r = parse_digits(&s, &last);
                if (r < 0)
                        return r;
        }
        if (*s != 0 || first > last)
                return -EINVAL;
        if (last > UINT32_MAX)
                return -ERANGE;

        *ret_first = (uint32_t) first;
        *ret_last = (uint32_t) last;
        return 0;
}

int parse_boolean(const char *s) {
        static const char *const yes[] = { "1", "yes", "true", "on" };
        static const char *const no[] = { "0", "no", "false", "off" };

        if (!s)
                return -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (streq(s, yes[i]))
                        return 1;
                if (streq(s, no[i]))
                        return 0;
        }
        return -EINVAL;
}

/* "12", "1.5": a number whose integer part is returned, and the part behind the point in 1/1000000000. */
#define FRACTION_ONE UINT64_C(1000000000)
static int parse_decimal(const char **p, uint64_t *ret, uint64_t *ret_fraction) {
        uint64_t fraction = 0, unit = FRACTION_ONE;
        const char *s = *p;
        int r;

        r = parse_digits(&s, ret);
        if (r < 0)
                return r;

        if (*s == '.') {
                s++;
                if (!is_digit(*s))
                        return -EINVAL;
                for (; is_digit(*s); s++) {
                        unit /= 10;
                        fraction += (uint64_t) (*s - '0') * unit;
                }
        }

        *p = s;
        *ret_fraction = fraction;
        return 0;
}

static int scale(uint64_t n, uint64_t fraction, uint64_t unit, uint64_t *ret) {
        __extension__ unsigned __int128 v = (unsigned __int128) n * unit;

        v += (unsigned __int128) fraction * unit / FRACTION_ONE;
        /* The largest value means "infinity". */
        if (v >= UINT64_MAX)
                return -ERANGE;

        *ret = (uint64_t) v;
        return 0;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGTPE";
        uint64_t n, fraction, unit = 1;
        int r;

        if (!s)
                return -EINVAL;
        if (streq(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }

        r = parse_decimal(&s, &n, &fraction);
        if (r < 0)
                return r;

        if (*s != 0) {
                char upper = *s >= 'a' && *s <= 'z' ? (char) (*s - 'a' + 'A') : *s;
                const char *suffix = strchr(suffixes, upper);

                if (suffix)
                        unit = UINT64_C(1024) << (10 * (suffix - suffixes));
                else if (*s != 'B')
                        return -EINVAL;
                if (s[1] != 0)
                        return -EINVAL;
        }
        if (unit == 1 && fraction > 0) /* no half bytes */
                return -EINVAL;

        return scale(n, fraction, unit, ret);
}

static const struct {
        const char *name;
        uint64_t usec;
} time_units[] = {
        { "", USEC_PER_SEC },
        { "us", 1 },
        { "usec", 1 },
        { "µs", 1 },
        { "ms", USEC_PER_MSEC },
        { "msec", USEC_PER_MSEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "seconds", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC },
        { "minutes", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC },
        { "d", 86400 * USEC_PER_SEC },
        { "day", 86400 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC },
        { "w", 7 * 86400 * USEC_PER_SEC },
        { "week", 7 * 86400 * USEC_PER_SEC },
        { "weeks", 7 * 86400 * USEC_PER_SEC },
};

static int parse_time_unit(const char **p, uint64_t *ret) {
        size_t l = strcspn(*p, DIGITS " ");

        for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
                if (strlen(time_units[i].name) == l && strncmp(*p, time_units[i].name, l) == 0) {
                        *p += l;
                        *ret = time_units[i].usec;
                        return 0;
                }

        return -EINVAL;
}

int parse_sec(const char *s, uint64_t *ret_usec) {
        uint64_t sum = 0;
        bool any = false;
        int r;

        if (!s)
                return -EINVAL;
        if (streq(s, "infinity")) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }

        for (;;) {
                uint64_t n, fraction, unit, v;

                s += strspn(s, " ");
                if (*s == 0)
                        break;

                r = parse_decimal(&s, &n, &fraction);
                if (r < 0)
                        return r;
                s += strspn(s, " ");
                r = parse_time_unit(&s, &unit);
                if (r < 0)
                        return r;
                r = scale(n, fraction, unit, &v);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(sum, v, &sum) || sum == USEC_INFINITY)
                        return -ERANGE;
                any = true;
        }
        if (!any)
                return -EINVAL;

        *ret_usec = sum;
        return 0;
}

int signal_from_string(const char *s) {
        static const struct {
                const char *name;
                int signo;
        } aliases[] = { { "IO", SIGIO }, { "IOT", SIGABRT }, { "CLD", SIGCHLD } };
        const char *e;
        uint32_t n;

        if (!s)
                return -EINVAL;
        if (parse_uint32(s, &n) >= 0)
                return n >= 1 && n <= (uint32_t) SIGRTMAX ? (int) n : -EINVAL;

        s = startswith(s, "SIG") ?: s;
        if (streq(s, "RTMIN"))
                return SIGRTMIN;
        if (streq(s, "RTMAX"))
                return SIGRTMAX;
        e = startswith(s, "RTMIN+");
        if (e)
                return parse_uint32(e, &n) >= 0 && n <= (uint32_t) (SIGRTMAX - SIGRTMIN) ? SIGRTMIN + (int) n
                                                                                         : -EINVAL;
        e = startswith(s, "RTMAX-");
        if (e)
                return parse_uint32(e, &n) >= 0 && n <= (uint32_t) (SIGRTMAX - SIGRTMIN) ? SIGRTMAX - (int) n
                                                                                         : -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
                if (streq(aliases[i].name, s))
                        return aliases[i].signo;
        for (int i = 1; i < SIGRTMIN; i++)
                if (streq_ptr(sigabbrev_np(i), s))
                        return i;

        return -EINVAL;
}

const char *signal_to_string(int signo) {
        static _Thread_local char buf[sizeof("RTMIN+") + 12];

        if (signo < SIGRTMIN || signo > SIGRTMAX)
                return sigabbrev_np(signo);
        if (signo == SIGRTMIN)
                return "RTMIN";

        (void) snprintf(buf, sizeof(buf), "RTMIN+%d", signo - SIGRTMIN);
        return buf;
}

char *format_bytes(char *buf, size_t l, uint64_t n) {
        static const char suffixes[] = "KMGTPE";
        uint64_t unit = 1024;
        size_t i = 0;

        if (n < 1024) {
                (void) snprintf(buf, l, "%uB", (unsigned) n);
                return buf;
        }

        for (; i + 1 < strlen(suffixes) && n / unit >= 1024; i++)
                unit *= 1024;

        (void) snprintf(buf, l, "%u.%u%c", (unsigned) (n / unit),
                        (unsigned) (__extension__(unsigned __int128)(n % unit) * 10 / unit), suffixes[i]);
        return buf;
}

char *hex_encode(const void *p, size_t n) {
        static const char digits[] = HEX_LOWER;
        const uint8_t *b = p;
        char *s;

        if (n > (SIZE_MAX - 1) / 2)
                return NULL;

        s = malloc(n * 2 + 1);
        if (!s)
                return NULL;

        for (size_t i = 0; i < n; i++) {
                s[2 * i] = digits[b[i] >> 4];
                s[2 * i + 1] = digits[b[i] & 15];
        }
        s[2 * n] = 0;
        return s;
}

/* Length of the character at s if it is UTF-8 in its shortest form and no control character, else 0. */
static size_t safe_character(const char *s) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t c = (uint8_t) *s;
        uint32_t u;
        size_t n;

        if (c < 0x80)
                return c >= 0x20 && c != 0x7f ? 1 : 0;

        if ((c & 0xe0) == 0xc0) {
                n = 2;
                u = c & 0x1f;
        } else if ((c & 0xf0) == 0xe0) {
                n = 3;
                u = c & 0x0f;
        } else if ((c & 0xf8) == 0xf0) {
                n = 4;
                u = c & 0x07;
        } else
                return 0;

        for (size_t i = 1; i < n; i++) {
                if (((uint8_t) s[i] & 0xc0) != 0x80) /* the NUL at the end, too */
                        return 0;
                u = u << 6 | ((uint8_t) s[i] & 0x3f);
        }

        if (u < smallest[n] || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
                return 0;
        return u < 0xa0 ? 0 : n; /* U+0080…U+009F are control characters */
}

bool string_is_safe(const char *s) {
        if (!s)
                return false;

        while (*s) {
                size_t n = safe_character(s);

                if (n == 0)
                        return false;
                s += n;
        }
        return true;
}

char *string_sanitize(char *s) {
        for (char *p = s; *p;) {
                size_t n = safe_character(p);

                if (n == 0) {
                        *p = '?';
                        n = 1;
                }
                p += n;
        }
        return s;
}

bool string_in_charset(const char *s, const char *charset) {
        return s && s[strspn(s, charset)] == 0;
}

char *random_hex(size_t n) {
        _cleanup_free_ uint8_t *p = NULL;
        size_t done = 0;

        p = malloc(n ?: 1);
        if (!p)
                return NULL;

        while (done < n) {
                ssize_t k = getrandom(p + done, n - done, 0);

                if (k < 0 && errno != EINTR)
                        abort(); /* cannot happen on a kernel that we support, and a predictable name is
                                    worse */
                if (k > 0)
                        done += (size_t) k;
        }
        return hex_encode(p, n);
}
