/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of CPUs and of memory nodes, "0-3,7", as the bit masks that system calls take. */

#include "basic/macro.h"

#define BIT_LIST_BITS (8U * sizeof(unsigned long)) /* of a word */

typedef struct BitList {
        unsigned long *words;
        size_t n_words; /* 0: no list */
} BitList;

/* Numbers and ranges, separated by commas; more commas than needed and blanks around are taken. All numbers
 * must be less than max. The empty text is no list. ret is left alone on failure. -EINVAL, -ERANGE, -ENOMEM.
 */
int bit_list_parse(const char *text, unsigned max, BitList *ret);
void bit_list_done(BitList *l);

bool bit_list_has(const BitList *l, unsigned bit);
