/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/detach-keys.h"

#include <ctype.h>

#include "basic/strv.h"

static int parse_key(const char *s, char *ret) {
        const char *control = startswith(s, "ctrl-") ?: startswith(s, "Ctrl-");

        if (s[0] && !s[1] && (unsigned char) s[0] < 0x80) {
                *ret = s[0];
                return 0;
        }
        if (!control || !control[0] || control[1])
                return -EINVAL;
        if (!isalpha((unsigned char) control[0]) && !strchr("@[\\]^_", control[0]))
                return -EINVAL;
        *ret = (char) (toupper((unsigned char) control[0]) & 0x1F);
        return 0;
}

int detach_keys_parse(const char *s, DetachKeys *ret, Error *reterr_error) {
        _cleanup_strv_free_ char **words = strv_split(s, ",");
        DetachKeys k = {};

        if (!words)
                return error_oom(reterr_error);
        STRV_FOREACH (w, words)
                if (k.n >= DETACH_KEYS_MAX || parse_key(w, &k.keys[k.n++]) < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--detach-keys=%s is not a sequence of at most %u keys, such as "
                                         "ctrl-p,ctrl-q or ctrl-],d.",
                                         s, DETACH_KEYS_MAX);
        *ret = k;
        return 0;
}

/* How many of the keys are matched when c follows those that are: the longest end of what was typed that is
 * a beginning of the sequence. */
static size_t next_match(const DetachKeys *k, char c) {
        char typed[DETACH_KEYS_MAX + 1];
        size_t n = k->matched;

        memcpy(typed, k->keys, n);
        typed[n++] = c;
        for (size_t skip = 0; skip < n; skip++)
                if (n - skip <= k->n && memcmp(typed + skip, k->keys, n - skip) == 0)
                        return n - skip;
        return 0;
}

size_t detach_keys_filter(DetachKeys *k, const char *in, size_t n, char *out, bool *ret_detached) {
        size_t done = 0;

        *ret_detached = false;
        for (size_t i = 0; i < n; i++) {
                size_t before = k->matched, after = next_match(k, in[i]), passed = before + 1 - after;

                /* What is no longer part of a match was typed after all. */
                for (size_t j = 0; j < passed; j++)
                        out[done++] = j < before ? k->keys[j] : in[i];
                k->matched = after;
                if (k->n > 0 && after == k->n) {
                        k->matched = 0;
                        *ret_detached = true;
                        return done;
                }
        }
        return done;
}
