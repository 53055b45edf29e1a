/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A layer's blob becomes a tree, its DiffID verified. */

#include "helper/extract.h"

typedef struct UnpackRequest {
        char *media_type; /* a hint for messages: the bytes decide */
        char *diff_id;
        uint64_t max_bytes;
        uint64_t max_entries;
        bool devices;
        bool bottom;  /* no layer is below */
        char **lower; /* those below, topmost first; empty: not there yet */
} UnpackRequest;

void unpack_request_done(UnpackRequest *q);

typedef struct UnpackResult {
        uint64_t size; /* of the tar */
        ExtractResult tree;
} UnpackResult;

void unpack_result_done(UnpackResult *result);

/* Borrowed. lower: see tree_writer_new(). */
typedef struct UnpackFiles {
        int blob_fd, root_fd, lower_fd;
} UnpackFiles;

/* Without a sandbox. progress (may be NULL) is called now and then with the compressed bytes read, of how
 * many. On errors the tree is to be thrown away. -EBADMSG "DigestMismatch" if the DiffID is another, -EAGAIN
 * "LowerNeeded" if it takes the layers below. */
typedef void (*UnpackProgressFunc)(uint64_t done, uint64_t total);
int unpack_layer(const UnpackRequest *q, const UnpackFiles *files, UnpackProgressFunc progress,
                 UnpackResult *ret, Error *reterr_error);
