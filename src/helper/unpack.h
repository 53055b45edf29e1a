/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A layer's blob becomes a tree, its DiffID verified. */

#include "basic/error.h"

typedef struct UnpackRequest {
        char *media_type; /* a hint for messages: the bytes decide */
        char *diff_id;
        uint64_t max_bytes;
        uint64_t max_entries;
        bool devices;
} UnpackRequest;

void unpack_request_done(UnpackRequest *q);

typedef struct UnpackResult {
        uint64_t size; /* of the tar */
        uint64_t entries;
} UnpackResult;

/* Without a sandbox. progress (may be NULL) is called now and then with the compressed bytes read, of how
 * many. On errors the tree is to be thrown away. -EBADMSG "DigestMismatch" if the DiffID is another. */
typedef void (*UnpackProgressFunc)(uint64_t done, uint64_t total);
int unpack_layer(const UnpackRequest *q, int blob_fd, int root_fd, UnpackProgressFunc progress,
                 UnpackResult *ret, Error *reterr_error);
