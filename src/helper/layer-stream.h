/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A layer's blob as a stream of decompressed blocks, its DiffID computed beside. */

#include "basic/error.h"
#include "oci/digest.h"
#include "oci/manifest.h"

#define LAYER_STREAM_BLOCK_SIZE (256U * 1024)
#define LAYER_STREAM_BLOCKS 16U

typedef struct LayerStream LayerStream;

/* fd is borrowed until layer_stream_free(). More than max_bytes of decompressed data are -EFBIG
 * "LayerTooLarge". Starts two threads. */
int layer_stream_new(int fd, DigestAlgorithm algorithm, uint64_t max_bytes, LayerStream **ret,
                     Error *reterr_error);
/* Ends the threads, wherever they are. */
LayerStream *layer_stream_free(LayerStream *s);
DEFINE_CLEANUP_FUNC(LayerStream *, layer_stream_free)

/* The next block, valid until the next call. 1: there is one; 0: end. */
int layer_stream_next(LayerStream *s, const void **ret, size_t *ret_size, Error *reterr_error);
/* Reads on to the end, whatever was read before, and yields digest and size of all of it. Once. */
int layer_stream_finish(LayerStream *s, char ret_digest[static DIGEST_STRING_MAX], uint64_t *ret_size,
                        Error *reterr_error);
/* Compressed bytes read so far. */
uint64_t layer_stream_consumed(const LayerStream *s);
