/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tars made in code, right and wrong ones: what no tar program would write is written here on purpose. Out
 * of memory aborts. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TAR_BLOCK 512U

typedef struct TarBuilder {
        char *data;
        size_t size;
        size_t allocated;
} TarBuilder;

/* One header and its data. type 0 is '0'. */
typedef struct TarEntry {
        const char *name;     /* at most 100 bytes: longer ones by pax "path" */
        const char *linkname; /* likewise */
        char type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6' FIFO, …
                    */
        unsigned mode;        /* 0: 0644, for directories 0755 */
        uint64_t uid, gid;
        int64_t mtime;
        unsigned major, minor;
        const char *data;
        size_t size;              /* of data; with data NULL: only what the header says */
        const char *const *pax;   /* "key", "value" pairs, NULL-terminated: a pax header before the entry */
        bool bad_checksum;
} TarEntry;

void tar_add(TarBuilder *t, const TarEntry *e);
#define TAR_ADD(t, ...) tar_add((t), &(const TarEntry) { __VA_ARGS__ })
void tar_add_bytes(TarBuilder *t, const void *p, size_t n);
/* Two blocks of zeros. */
void tar_end(TarBuilder *t);
void tar_builder_done(TarBuilder *t);

/* Compressed copies: free(). */
char *gzip_bytes(const void *p, size_t n, size_t *ret_size);
char *zstd_bytes(const void *p, size_t n, size_t *ret_size);
/* A memfd with these bytes, offset 0. */
int bytes_to_fd(const void *p, size_t n);
/* A gzip'ed tar of one file "zeros" of so many bytes, with its end, in a memfd; and its DiffID. */
int gzip_zeros_tar(uint64_t size, char ret_diff_id[static 136]);
