/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values of limits in the spelling of systemd.resource-control(5), but for rates of networks. */

#include "basic/macro.h"

#define PERMYRIAD_ALL 10000U
#define NUMBER_SET_MAX 8192U /* one more than the highest number in a list of CPUs or memory nodes */

/* "25%", "12.5%", "0.25%" → hundredths of a per cent, also above 100%. -EINVAL if it is no percentage. */
int parse_permyriad(const char *s, uint64_t *ret);
/* "5M" → 5000000: bandwidths go by powers of 1000; K, M, G, T, P, E; "infinity" → UINT64_MAX. */
int parse_bandwidth(const char *s, uint64_t *ret);
/* "10mbit", "500k", "2g", "8000" → bits a second, as tc(8) has them: powers of 1000; "bit" and case are of no account. */
int parse_bit_rate(const char *s, uint64_t *ret);

/* A bit for each number, the lowest first. */
typedef struct NumberSet {
        uint8_t bits[NUMBER_SET_MAX / 8];
        size_t size; /* bytes in use */
} NumberSet;

/* "0-3,7 9". -EINVAL, -ERANGE. */
int number_set_parse(const char *s, NumberSet *ret);
/* "0-3,7,9"; NULL on OOM. Bits beyond NUMBER_SET_MAX are left out. */
char *number_set_to_string(const uint8_t *bits, size_t size);
