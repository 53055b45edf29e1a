/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tar stream becomes the tree of one overlay layer (image-spec layer.md). */

#include "basic/error.h"

#define EXTRACT_FILE_SIZE_MAX (UINT64_C(1) << 40) /* apparent size of one file, holes included */
#define EXTRACT_XATTRS_MAX 64U                    /* of one entry */
#define EXTRACT_XATTR_SIZE_MAX 65536U             /* the kernel's own limit (XATTR_SIZE_MAX) */

typedef struct ExtractSpec {
        int root_fd;          /* an empty directory, borrowed; everything happens beneath */
        int lower_fd;         /* what is below, borrowed, or why not: see tree_writer_new() */
        uint64_t max_entries; /* -E2BIG "TooManyEntries" beyond */
        bool devices;         /* device nodes are made; otherwise -EPERM "DeviceNotAllowed" */
        /* The next piece of the stream, valid until the next call: 1, 0 = end, or an error. */
        int (*read)(void *userdata, const void **ret, size_t *ret_size, Error *reterr_error);
        void *userdata;
} ExtractSpec;

typedef struct ExtractResult {
        uint64_t entries;
        bool root;     /* one of them is for the root directory */
        char *implied; /* owned; see tree_writer_implied() */
        size_t implied_size;
} ExtractResult;

void extract_result_done(ExtractResult *result);

/* Reads until the end of the archive, not necessarily of the stream. What is wrong with an archive is
 * -EBADMSG "InvalidArchive"; then the tree is incomplete and to be thrown away. Likewise -EAGAIN
 * "LowerNeeded", see tree_writer_enter(). Needs the capabilities to chown and to set trusted.* attributes.
 * Changes the process's umask. */
int extract_tar(const ExtractSpec *spec, ExtractResult *ret, Error *reterr_error);
