/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Digests "sha256:<64 hex>" and "sha512:<128 hex>" (image-spec descriptor.md), computed by OpenSSL. */

#include "basic/error.h"

typedef enum DigestAlgorithm {
        DIGEST_SHA256,
        DIGEST_SHA512,
        _DIGEST_ALGORITHM_MAX,
        _DIGEST_ALGORITHM_INVALID = -EINVAL,
} DigestAlgorithm;

#define DIGEST_STRING_MAX (7U + 128U + 1U) /* with NUL */

bool digest_is_valid(const char *s); /* known algorithm, right length, lower-case hex */
DigestAlgorithm digest_algorithm(const char *s);
const char *digest_algorithm_to_string(DigestAlgorithm a); /* "sha256" */
/* The hex part; s must be valid. */
const char *digest_hex(const char *s);

typedef struct Digester Digester;
int digester_new(DigestAlgorithm a, Digester **ret);
Digester *digester_free(Digester *d);
DEFINE_CLEANUP_FUNC(Digester *, digester_free)
int digester_update(Digester *d, const void *p, size_t n);
/* Ends it; the result is a whole digest string. */
int digester_finish(Digester *d, char ret[static DIGEST_STRING_MAX]);

int digest_of_bytes(DigestAlgorithm a, const void *p, size_t n, char ret[static DIGEST_STRING_MAX]);
/* Whole file from offset 0, by pread. */
int digest_of_fd(DigestAlgorithm a, int fd, char ret[static DIGEST_STRING_MAX]);

/* image-spec config.md, "Layer ChainID": parent NULL for the lowest layer. */
int chain_id(const char *parent, const char *diff_id, char ret[static DIGEST_STRING_MAX]);
