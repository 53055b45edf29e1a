/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blob store: an OCI image layout on disk (image-spec image-layout.md), and the ingests that lead into
 * it.
 *
 *   <state>/content/{oci-layout,index.json,blobs/<algorithm>/<hex>}     <state>/ingest/<key>/data
 *
 * A blob is visible only under its verified digest: content_ingest_commit() renames the file into place
 * after its bytes are synced, the size is right, and no other process can write to it any more (a read lease
 * is taken to prove it). Everything here is a few system calls; hashing of large files is the helpers' work.
 * Thread- and loop-free. */

#include "basic/error.h"
#include "oci/digest.h"

#define BLOB_SIZE_MAX (UINT64_C(64) << 30)
#define INGEST_AGE_MAX_USEC (UINT64_C(24) * 3600 * 1000000) /* older leftovers are dropped at start */

typedef struct Content Content;

/* Makes the directories, oci-layout and an empty index.json where they are missing. state_fd is borrowed
 * (dup'ed). */
int content_open(int state_fd, Content **ret, Error *reterr_error);
Content *content_free(Content *c);
DEFINE_CLEANUP_FUNC(Content *, content_free)

/* Reads by descriptor. -ENOENT "NoSuchBlob". */
int content_open_blob(Content *c, const char *digest, uint64_t *ret_size, Error *reterr_error);
bool content_has_blob(Content *c, const char *digest, uint64_t *ret_size);
/* A small blob (manifest, config) whole, its digest verified while reading. */
int content_read_blob(Content *c, const char *digest, size_t max, char **ret, size_t *ret_size,
                      Error *reterr_error);
/* A small blob from memory: hashed, written, synced, renamed. expected may be NULL. */
int content_write_blob(Content *c, const void *p, size_t n, const char *expected,
                       char ret_digest[static DIGEST_STRING_MAX], Error *reterr_error);
/* 1: removed, 0: it was not there. */
int content_remove_blob(Content *c, const char *digest);
/* Calls back for each blob file; a negative result ends it. */
int content_foreach_blob(Content *c, int (*cb)(const char *digest, uint64_t size, void *userdata),
                         void *userdata);

/* An ingest: a file that grows under a key (a digest, or any file name) until it is committed or aborted.
 * Opens O_RDWR, what is there already stays (its length is *ret_offset): resumable, also after a restart.
 * One writer a key is the caller's care. */
int content_ingest_open(Content *c, const char *key, int *ret_fd, uint64_t *ret_offset, Error *reterr_error);
/* size: expected, UINT64_MAX = any. The helper that wrote has verified the digest and synced the bytes.
 * -EBUSY while somebody still has the file open for writing; -EBADMSG "SizeMismatch". An existing blob of
 * that digest is kept. verify: hash it here once more (small blobs). */
int content_ingest_commit(Content *c, const char *key, const char *digest, uint64_t size, bool verify,
                          Error *reterr_error);
int content_ingest_abort(Content *c, const char *key);
/* At start: drops ingests that were not touched for max_age_usec (0: all), and those whose key is no digest:
 * nobody could know what they were to become. Returns how many. */
int content_ingest_clean(Content *c, uint64_t max_age_usec);

/* Replaces index.json atomically. */
int content_write_index(Content *c, const char *text, size_t n, bool sync);
int content_read_index(Content *c, char **ret, size_t *ret_size);
