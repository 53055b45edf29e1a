/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "basic/string-util.h"
#include "basic/time-util.h"

/* Dates are checked here field by field: strptime() depends on the locale and mktime() takes a 31st of
 * February for a 3rd of March. */

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
/* The last microsecond of the year 9999: what has a form in RFC 3339. */
#define USEC_DATE_MAX (UINT64_C(253402300799) * USEC_PER_SEC + 999999)

uint64_t now_usec(int clock_id) {
        struct timespec ts;

        if (clock_gettime(clock_id, &ts) < 0)
                return 0;

        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* Exactly n digits; moves *p. */
static int take_number(const char **p, size_t n, int *ret) {
        int v = 0;

        for (size_t i = 0; i < n; i++) {
                char c = (*p)[i];

                if (c < '0' || c > '9')
                        return -EINVAL;
                v = v * 10 + (c - '0');
        }

        *p += n;
        *ret = v;
        return 0;
}

static bool take_char(const char **p, const char *set) {
        if (**p == 0 || !strchr(set, **p))
                return false;

        (*p)++;
        return true;
}

static int days_of_month(int year, int month) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
                return 29;

        return days[month - 1];
}

static int take_date(const char **p, struct tm *tm) {
        int year, month, day;

        if (take_number(p, 4, &year) < 0 || !take_char(p, "-") || take_number(p, 2, &month) < 0 ||
            !take_char(p, "-") || take_number(p, 2, &day) < 0)
                return -EINVAL;
        if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
                return -EINVAL;

        tm->tm_year = year - 1900;
        tm->tm_mon = month - 1;
        tm->tm_mday = day;
        return 0;
}

/* hh:mm:ss with a fraction; without seconds only where they may be left out. */
static int take_time(const char **p, bool need_seconds, struct tm *tm, uint64_t *ret_fraction) {
        int hour, minute, second = 0, digit;
        uint64_t fraction = 0;

        if (take_number(p, 2, &hour) < 0 || !take_char(p, ":") || take_number(p, 2, &minute) < 0)
                return -EINVAL;

        if (take_char(p, ":")) {
                if (take_number(p, 2, &second) < 0)
                        return -EINVAL;
                if (take_char(p, ".")) {
                        uint64_t unit = USEC_PER_SEC;

                        if (take_number(p, 1, &digit) < 0)
                                return -EINVAL;
                        do {
                                unit /= 10;
                                fraction += (uint64_t) digit * unit;
                        } while (take_number(p, 1, &digit) >= 0);
                }
        } else if (need_seconds)
                return -EINVAL;

        if (hour > 23 || minute > 59 ||
            second > 60) /* 60: a leap second, which POSIX time counts as the next one */
                return -EINVAL;

        tm->tm_hour = hour;
        tm->tm_min = minute;
        tm->tm_sec = second;
        *ret_fraction = fraction;
        return 0;
}

/* "Z" or "+01:00": seconds east of UTC. */
static int take_offset(const char **p, int *ret) {
        int hour, minute;
        bool west;

        if (take_char(p, "Zz")) {
                *ret = 0;
                return 0;
        }

        west = **p == '-';
        if (!take_char(p, "+-") || take_number(p, 2, &hour) < 0 || !take_char(p, ":") ||
            take_number(p, 2, &minute) < 0)
                return -EINVAL;
        if (hour > 23 || minute > 59)
                return -EINVAL;

        *ret = (hour * 3600 + minute * 60) * (west ? -1 : 1);
        return 0;
}

int parse_rfc3339(const char *s, uint64_t *ret_usec) {
        struct tm tm = {};
        uint64_t fraction;
        int64_t t;
        int offset;

        if (!s)
                return -EINVAL;
        if (take_date(&s, &tm) < 0 || !take_char(&s, "Tt ") || take_time(&s, true, &tm, &fraction) < 0 ||
            take_offset(&s, &offset) < 0 || *s != 0)
                return -EINVAL;

        t = (int64_t) timegm(&tm) - offset;
        *ret_usec = t < 0 ? 0 : (uint64_t) t * USEC_PER_SEC + fraction;
        return 0;
}

char *format_rfc3339(uint64_t usec) {
        char buf[sizeof("9999-12-31T23:59:59")];
        struct tm tm;
        time_t t;

        usec = MIN(usec, USEC_DATE_MAX);
        t = (time_t) (usec / USEC_PER_SEC);
        usec %= USEC_PER_SEC;

        if (!gmtime_r(&t, &tm) || strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return NULL;

        return usec > 0 ? strformat("%s.%06uZ", buf, (unsigned) usec) : strformat("%sZ", buf);
}

char *format_relative(char *buf, size_t l, uint64_t usec) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "y", 365 * USEC_PER_DAY }, { "month", 30 * USEC_PER_DAY }, { "w", 7 * USEC_PER_DAY },
                { "d", USEC_PER_DAY },       { "h", USEC_PER_HOUR },         { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC },
        };
        uint64_t now = now_usec(CLOCK_REALTIME), distance;
        size_t i = 0;

        if (usec == 0 || usec == USEC_INFINITY) {
                (void) snprintf(buf, l, "%s", usec == 0 ? "n/a" : "never");
                return buf;
        }

        distance = usec < now ? now - usec : usec - now;
        while (i < ELEMENTSOF(units) && distance < units[i].usec)
                i++;

        if (i >= ELEMENTSOF(units))
                (void) snprintf(buf, l, "just now");
        else if (usec < now)
                (void) snprintf(buf, l, "%llu%s ago", (unsigned long long) (distance / units[i].usec),
                                units[i].name);
        else
                (void) snprintf(buf, l, "in %llu%s", (unsigned long long) (distance / units[i].usec),
                                units[i].name);
        return buf;
}

static int from_local(struct tm *tm, uint64_t fraction, uint64_t *ret) {
        time_t t;

        tm->tm_isdst = -1;
        t = mktime(tm);
        if (t < 0)
                return -ERANGE;

        *ret = (uint64_t) t * USEC_PER_SEC + fraction;
        return 0;
}

/* Local midnight so many days from today. */
static int midnight(int days, uint64_t *ret) {
        time_t t = time(NULL);
        struct tm tm;

        if (!localtime_r(&t, &tm))
                return -ERANGE;

        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday += days;
        return from_local(&tm, 0, ret);
}

static int parse_local(const char *s, uint64_t *ret) {
        struct tm tm = {};
        uint64_t fraction = 0;

        if (take_date(&s, &tm) < 0)
                return -EINVAL;
        if (*s != 0 && (!take_char(&s, " T") || take_time(&s, false, &tm, &fraction) < 0 || *s != 0))
                return -EINVAL;

        return from_local(&tm, fraction, ret);
}

static int parse_relative(const char *span, bool future, uint64_t *ret) {
        uint64_t now = now_usec(CLOCK_REALTIME), d;
        int r;

        r = parse_sec(span, &d);
        if (r < 0)
                return r;
        if (d > (future ? USEC_DATE_MAX - now : now))
                return -ERANGE;

        *ret = future ? now + d : now - d;
        return 0;
}

/* "@" and seconds since the epoch: digits, and a fraction if there is one. */
static int parse_epoch(const char *s, uint64_t *ret) {
        uint64_t v;
        int r;

        if (!string_in_charset(s, DIGITS "."))
                return -EINVAL;

        r = parse_sec(s, &v);
        if (r < 0)
                return r;
        if (v > USEC_DATE_MAX)
                return -ERANGE;

        *ret = v;
        return 0;
}

int parse_timestamp(const char *s, uint64_t *ret_usec) {
        _cleanup_free_ char *span = NULL;
        const char *ago;

        if (!s)
                return -EINVAL;
        if (streq(s, "now")) {
                *ret_usec = now_usec(CLOCK_REALTIME);
                return 0;
        }
        if (streq(s, "today"))
                return midnight(0, ret_usec);
        if (streq(s, "yesterday"))
                return midnight(-1, ret_usec);
        if (s[0] == '@')
                return parse_epoch(s + 1, ret_usec);
        if (s[0] == '-' || s[0] == '+')
                return parse_relative(s + 1, s[0] == '+', ret_usec);

        ago = endswith(s, " ago");
        if (ago) {
                span = strndup(s, (size_t) (ago - s));
                if (!span)
                        return -ENOMEM;
                return parse_relative(span, false, ret_usec);
        }

        if (parse_rfc3339(s, ret_usec) >= 0)
                return 0;
        return parse_local(s, ret_usec);
}
