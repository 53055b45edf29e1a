/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Image archives, all of them tar: OCI image layouts and what `docker save` writes, old and new. The logic
 * without process, sandbox and socket. */

#include "basic/error.h"
#include "basic/hashmap.h"
#include "oci/digest.h"
#include "oci/manifest.h"

#define IMPORT_ENTRIES_MAX 65536U
#define IMPORT_TEXT_MAX                                                                                     \
        (8U * 1024 * 1024) /* a JSON file: the largest of IMAGE_CONFIG_SIZE_MAX and MANIFEST_SIZE_MAX */
#define IMPORT_TEXT_TOTAL_MAX (64U * 1024 * 1024) /* of those that are kept in memory */
#define IMPORT_INDEX_DEPTH_MAX 4U                 /* indexes in indexes */
#define IMPORT_IMAGES_MAX 1024U                   /* in a docker archive's manifest.json */

typedef struct ImportOps {
        /* A file for the next blob: descriptor (the importer closes it before end()), or an error. */
        int (*begin)(void *userdata, uint64_t key, Error *reterr_error);
        int (*end)(void *userdata, uint64_t key, const char *digest, uint64_t size, const char *media_type,
                   Error *reterr_error);
        /* After all its blobs. name may be NULL. */
        int (*image)(void *userdata, const char *name, const char *digest, const char *media_type,
                     uint64_t size, Error *reterr_error);
        void (*progress)(void *userdata, uint64_t done, uint64_t total); /* or NULL; total 0: not known */
} ImportOps;

typedef struct ImportBlob {
        char digest[DIGEST_STRING_MAX];
        uint64_t size;
        Compression compression; /* _COMPRESSION_INVALID: one that is not supported */
        bool is_text;            /* begins as JSON does, and text is all of it */
        char *text;
} ImportBlob;

typedef struct Import {
        const ImportOps *ops;
        void *userdata;
        uint64_t max_bytes;
        uint64_t total;
        size_t text_total;
        uint64_t key;
        Hashmap *blobs; /* digest → ImportBlob, owned */
        Hashmap *files; /* path in the archive → ImportBlob, borrowed */
        Hashmap *texts; /* "index.json", "manifest.json", "oci-layout" → text, owned */
        Hashmap *links; /* path → path, owned */
        char *chunk;
} Import;

int import_init(Import *m, const ImportOps *ops, void *userdata, uint64_t max_bytes, Error *reterr_error);
void import_done(Import *m);

/* Reads all of it. fd may be a pipe; the tar may be compressed. */
int import_tar(Import *m, int fd, Error *reterr_error);
/* A blob that was not in the archive. */
int import_text_blob(Import *m, const char *text, const ImportBlob **ret, Error *reterr_error);

/* import-image.c: what images these were. -EBADMSG "InvalidArchive", -ENOENT "NoSuchBlob" if one is not
 * complete. */
int import_finish(Import *m, Error *reterr_error);
/* MEDIA_TYPE_OCI_LAYER with its suffix. */
const char *import_layer_media_type(Compression c);
