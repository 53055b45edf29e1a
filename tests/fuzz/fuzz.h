/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a fuzz target defines. Both fail by abort() (a sanitizer's or an assertion's) and by nothing else. */

#include "basic/macro.h"

/* libFuzzer's entry. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Does the parser take these bytes? fuzz-main.c compares that with the names of a corpus: ok-*, should-fail-*. */
bool fuzz_accepts(const uint8_t *data, size_t size);

/* As assert(), but also with NDEBUG: what must hold for each input that is taken. */
#define FUZZ_ASSERT(x)                                                                                \
        do {                                                                                          \
                if (!(x)) {                                                                           \
                        fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);         \
                        abort();                                                                      \
                }                                                                                     \
        } while (false)
