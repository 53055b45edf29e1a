/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Clocks and dates. Microseconds since the epoch unless said otherwise; 0 = not set. */

#include "basic/macro.h"

#define USEC_INFINITY UINT64_MAX
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

uint64_t now_usec(int clock_id);
/* RFC 3339 date-time ("2026-01-02T03:04:05.678Z", any offset) as in OCI image configurations. What lies
 * before 1970 (builders write year 1 for "no date") yields 0. -EINVAL if it is not a date. */
int parse_rfc3339(const char *s, uint64_t *ret_usec);
/* In UTC with microseconds where they are not 0. NULL on OOM. */
char *format_rfc3339(uint64_t usec);
/* "3min ago", "2h ago", "just now"; "in 5min"; "n/a" for 0, "never" for USEC_INFINITY. buf is returned. */
char *format_relative(char *buf, size_t l, uint64_t usec);
/* "2026-01-02 03:04:05", "yesterday", "today", "now", "-5min", "5min ago", "@1700000000", RFC 3339.
 * Dates without an offset are local time. -EINVAL, -ERANGE. */
int parse_timestamp(const char *s, uint64_t *ret_usec);
