/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sequence of keys that leaves a container's terminal: "ctrl-p,ctrl-q". */

#include "basic/error.h"

#define DETACH_KEYS_MAX 8U
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

typedef struct DetachKeys {
        char keys[DETACH_KEYS_MAX];
        size_t n;       /* 0: there is none */
        size_t matched; /* of them were typed, and are held back */
} DetachKeys;

/* Keys with commas between: a character, or ctrl- and one of a–z @ [ \ ] ^ _. "": none. */
int detach_keys_parse(const char *s, DetachKeys *ret, Error *reterr_error);

/* What is passed on of n bytes that were typed: at most n + DETACH_KEYS_MAX, written to out. *ret_detached:
 * the whole sequence was among them; what came behind it is dropped. */
size_t detach_keys_filter(DetachKeys *k, const char *in, size_t n, char *out, bool *ret_detached);
