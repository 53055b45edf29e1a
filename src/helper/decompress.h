/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A descriptor's bytes (file or pipe), decompressed: gzip by ISA-L, zstd by libzstd, or as they are. Which
 * of them it is, is seen from the first bytes, never taken from a media type: registries and builders get
 * that wrong. */

#include "basic/error.h"
#include "oci/manifest.h"

#define DECOMPRESS_INPUT_SIZE (256U * 1024)
#define DECOMPRESS_ZSTD_WINDOW_LOG_MAX 27 /* 128 MiB: what zstd itself accepts by default */

typedef struct Decompressor Decompressor;

/* fd is borrowed and read from its current offset. */
int decompressor_new(int fd, Decompressor **ret, Error *reterr_error);
Decompressor *decompressor_free(Decompressor *d);
DEFINE_CLEANUP_FUNC(Decompressor *, decompressor_free)

/* Up to n bytes, less only at the end; 0 = complete end. -EBADMSG "InvalidArchive" if it is damaged or cut
 * off, -EOPNOTSUPP "UnsupportedMediaType" for compressions that are known but not supported. */
ssize_t decompressor_read(Decompressor *d, void *p, size_t n, Error *reterr_error);
/* Compressed bytes read so far. May be called from another thread. */
uint64_t decompressor_consumed(const Decompressor *d);

/* What the first bytes of a stream say; n >= DECOMPRESS_MAGIC_SIZE unless the stream is shorter. */
#define DECOMPRESS_MAGIC_SIZE 6U
Compression compression_detect(const void *p, size_t n);
