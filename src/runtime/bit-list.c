/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/bit-list.h"
#include "basic/string-util.h"
#include "basic/strv.h"

void bit_list_done(BitList *l) {
        free(l->words);
        *l = (BitList){};
}

bool bit_list_has(const BitList *l, unsigned bit) {
        return bit / BIT_LIST_BITS < l->n_words && l->words[bit / BIT_LIST_BITS] >> bit % BIT_LIST_BITS & 1;
}

int bit_list_parse(const char *text, unsigned max, BitList *ret) {
        _cleanup_(bit_list_done) BitList l = {};
        _cleanup_strv_free_ char **parts = NULL;
        int r;

        parts = strv_split(text, ", \t");
        if (!parts)
                return -ENOMEM;
        if (!parts[0])
                /* Commas alone say nothing. */
                return isempty(text) ? 0 : -EINVAL;

        l.n_words = (max + BIT_LIST_BITS - 1) / BIT_LIST_BITS;
        l.words = calloc(l.n_words, sizeof(unsigned long));
        if (!l.words)
                return -ENOMEM;
        STRV_FOREACH (part, parts) {
                uint32_t first = 0, last = 0;

                r = parse_range(part, &first, &last);
                if (r < 0)
                        return r;
                if (last >= max)
                        return -ERANGE;
                for (uint32_t i = first; i <= last; i++)
                        l.words[i / BIT_LIST_BITS] |= 1UL << i % BIT_LIST_BITS;
        }

        bit_list_done(ret);
        *ret = l;
        l = (BitList){};
        return 0;
}
