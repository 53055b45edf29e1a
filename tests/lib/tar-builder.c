/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "basic/fd-util.h"
#include "oci/digest.h"
#include "tar-builder.h"

static void *need(void *p) {
        if (!p)
                abort();
        return p;
}

void tar_add_bytes(TarBuilder *t, const void *p, size_t n) {
        if (n == 0)
                return;
        if (t->allocated - t->size < n) {
                t->allocated = (t->size + n) * 2;
                t->data = need(realloc(t->data, t->allocated));
        }
        memcpy(t->data + t->size, p, n);
        t->size += n;
}

static void pad(TarBuilder *t) {
        static const char zeros[TAR_BLOCK];

        tar_add_bytes(t, zeros, (TAR_BLOCK - t->size % TAR_BLOCK) % TAR_BLOCK);
}

/* Octal, or GNU's base-256 where that does not fit. */
static void put_number(char *field, size_t n, uint64_t v) {
        if (v < UINT64_C(1) << (3 * (n - 1))) {
                for (size_t i = n - 1; i-- > 0; v >>= 3)
                        field[i] = (char) ('0' + (v & 7));
                return;
        }
        for (size_t i = n; i-- > 1; v >>= 8)
                field[i] = (char) (v & 0xff);
        field[0] = (char) 0x80;
}

static void put_string(char *field, size_t n, const char *s) {
        if (s)
                memcpy(field, s, strlen(s) < n ? strlen(s) : n);
}

static void add_header(TarBuilder *t, const TarEntry *e) {
        char h[TAR_BLOCK] = {};
        unsigned sum = 0;
        char type = e->type ?: '0';

        put_string(h, 100, e->name);
        put_number(h + 100, 8, e->mode ?: type == '5' ? 0755 : 0644);
        put_number(h + 108, 8, e->uid);
        put_number(h + 116, 8, e->gid);
        put_number(h + 124, 12, e->size);
        put_number(h + 136, 12, (uint64_t) e->mtime);
        h[156] = type;
        put_string(h + 157, 100, e->linkname);
        memcpy(h + 257, "ustar\00000", 8);
        put_number(h + 329, 8, e->major);
        put_number(h + 337, 8, e->minor);

        memset(h + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(h); i++)
                sum += (unsigned char) h[i];
        if (e->bad_checksum)
                sum += 42;
        (void) snprintf(h + 148, 8, "%06o", sum);
        tar_add_bytes(t, h, sizeof(h));
}

static void add_pax(TarBuilder *t, const char *const *pax) {
        TarBuilder records = {};

        for (; *pax; pax += 2) {
                size_t l = strlen(pax[0]) + strlen(pax[1]) + 3, n = l;
                char number[24];

                /* The length counts its own digits. */
                do {
                        n = l + (size_t) snprintf(number, sizeof(number), "%zu", n);
                } while (n != l + (size_t) snprintf(number, sizeof(number), "%zu", n));
                tar_add_bytes(&records, number, strlen(number));
                tar_add_bytes(&records, " ", 1);
                tar_add_bytes(&records, pax[0], strlen(pax[0]));
                tar_add_bytes(&records, "=", 1);
                tar_add_bytes(&records, pax[1], strlen(pax[1]));
                tar_add_bytes(&records, "\n", 1);
        }
        TAR_ADD(t, .name = "PaxHeaders/x", .type = 'x', .data = records.data, .size = records.size);
        tar_builder_done(&records);
}

void tar_add(TarBuilder *t, const TarEntry *e) {
        if (e->pax)
                add_pax(t, e->pax);
        add_header(t, e);
        if (e->data) {
                tar_add_bytes(t, e->data, e->size);
                pad(t);
        }
}

void tar_end(TarBuilder *t) {
        static const char zeros[2 * TAR_BLOCK];

        tar_add_bytes(t, zeros, sizeof(zeros));
}

void tar_builder_done(TarBuilder *t) {
        free(t->data);
        *t = (TarBuilder) {};
}

typedef struct Gzip {
        struct isal_zstream stream;
        uint8_t level[ISAL_DEF_LVL1_DEFAULT];
        TarBuilder out;
} Gzip;

static Gzip *gzip_new(void) {
        Gzip *g = need(calloc(1, sizeof(Gzip)));

        isal_deflate_init(&g->stream);
        g->stream.level = 1;
        g->stream.level_buf = g->level;
        g->stream.level_buf_size = sizeof(g->level);
        g->stream.gzip_flag = IGZIP_GZIP;
        return g;
}

static void gzip_write(Gzip *g, const void *p, size_t n, bool end) {
        uint8_t out[65536];

        g->stream.next_in = (uint8_t *) p;
        g->stream.avail_in = (uint32_t) n;
        g->stream.end_of_stream = end;
        do {
                g->stream.next_out = out;
                g->stream.avail_out = sizeof(out);
                if (isal_deflate(&g->stream) != COMP_OK)
                        abort();
                tar_add_bytes(&g->out, out, sizeof(out) - g->stream.avail_out);
        } while (g->stream.avail_out == 0);
}

char *gzip_bytes(const void *p, size_t n, size_t *ret_size) {
        Gzip *g = gzip_new();
        char *data;

        gzip_write(g, p, n, true);
        data = g->out.data;
        *ret_size = g->out.size;
        free(g);
        return data;
}

char *zstd_bytes(const void *p, size_t n, size_t *ret_size) {
        size_t max = ZSTD_compressBound(n);
        char *data = need(malloc(max));

        *ret_size = ZSTD_compress(data, max, p, n, 3);
        if (ZSTD_isError(*ret_size))
                abort();
        return data;
}

int bytes_to_fd(const void *p, size_t n) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        if (fd < 0 || write_full(fd, p, n) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                abort();
        return fd;
}

int gzip_zeros_tar(uint64_t size, char ret_diff_id[static 136]) {
        static const char zeros[1 << 20];
        Gzip *g = gzip_new();
        Digester *d;
        TarBuilder header = {};
        int fd;

        if (size % sizeof(zeros) != 0 || digester_new(DIGEST_SHA256, &d) < 0)
                abort();
        TAR_ADD(&header, .name = "zeros", .size = size);
        gzip_write(g, header.data, header.size, false);
        (void) digester_update(d, header.data, header.size);
        for (uint64_t i = 0; i < size; i += sizeof(zeros)) {
                gzip_write(g, zeros, sizeof(zeros), false);
                (void) digester_update(d, zeros, sizeof(zeros));
        }
        gzip_write(g, zeros, 2 * TAR_BLOCK, true);
        (void) digester_update(d, zeros, 2 * TAR_BLOCK);
        if (digester_finish(d, ret_diff_id) < 0)
                abort();

        fd = bytes_to_fd(g->out.data, g->out.size);
        digester_free(d);
        tar_builder_done(&header);
        tar_builder_done(&g->out);
        free(g);
        return fd;
}
