/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <isa-l/igzip_lib.h>
#include <stdatomic.h>
#include <unistd.h>
#include <zstd.h>

#include "helper/decompress.h"

/* One input buffer, filled by read(); the decoder takes from it and writes straight into the caller's
 * buffer. A stream may consist of several gzip members or zstd frames (pigz, estargz and zstd:chunked make
 * such), the end of one is the end of all only if nothing follows. */

struct Decompressor {
        int fd; /* borrowed */
        Compression compression;
        bool started;
        bool input_end;
        bool done;
        uint8_t *input;
        size_t input_pos, input_len;
        atomic_uint_fast64_t consumed;

        struct inflate_state *gzip;
        bool member_open;

        ZSTD_DStream *zstd;
        bool frame_open;
};

Decompressor *decompressor_free(Decompressor *d) {
        if (!d)
                return NULL;

        free(d->gzip);
        if (d->zstd)
                ZSTD_freeDStream(d->zstd);
        free(d->input);
        free(d);
        return NULL;
}

int decompressor_new(int fd, Decompressor **ret, Error *reterr_error) {
        _cleanup_(decompressor_freep) Decompressor *d = calloc(1, sizeof(*d));

        if (!d)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        d->fd = fd;
        d->input = malloc(DECOMPRESS_INPUT_SIZE);
        if (!d->input)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        *ret = TAKE_PTR(d);
        return 0;
}

uint64_t decompressor_consumed(const Decompressor *d) {
        return atomic_load_explicit(&d->consumed, memory_order_relaxed);
}

static bool is_zstd(const uint8_t *b, size_t n) {
        /* A frame (RFC 8878, 3.1.1) or a skippable frame (3.1.2). */
        return n >= 4 && ((b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd) ||
                          ((b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18));
}

Compression compression_detect(const void *p, size_t n) {
        const uint8_t *b = p;

        if (n >= 3 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8)
                return COMPRESSION_GZIP;
        if (is_zstd(b, n))
                return COMPRESSION_ZSTD;
        if ((n >= 6 && memcmp(b, "\xfd"
                                 "7zXZ",
                              6) == 0) ||
            (n >= 4 && memcmp(b, "BZh", 3) == 0 && b[3] >= '1' && b[3] <= '9'))
                return _COMPRESSION_INVALID;
        return COMPRESSION_NONE;
}

/* Makes sure that there is input, unless it has ended. */
static int fill(Decompressor *d, Error *reterr_error) {
        while (d->input_pos >= d->input_len && !d->input_end) {
                ssize_t k = read(d->fd, d->input, DECOMPRESS_INPUT_SIZE);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot read the archive: %m");
                if (k == 0)
                        d->input_end = true;
                d->input_pos = 0;
                d->input_len = (size_t) k;
                atomic_fetch_add_explicit(&d->consumed, (uint64_t) k, memory_order_relaxed);
        }
        return 0;
}

/* A pipe may give the first bytes one at a time. */
static int fill_magic(Decompressor *d, Error *reterr_error) {
        while (d->input_len < DECOMPRESS_MAGIC_SIZE) {
                ssize_t k = read(d->fd, d->input + d->input_len, DECOMPRESS_INPUT_SIZE - d->input_len);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot read the archive: %m");
                if (k == 0) {
                        d->input_end = true;
                        break;
                }
                d->input_len += (size_t) k;
        }
        atomic_fetch_add_explicit(&d->consumed, (uint64_t) d->input_len, memory_order_relaxed);
        return 0;
}

static int start(Decompressor *d, Error *reterr_error) {
        int r;

        r = fill_magic(d, reterr_error);
        if (r < 0)
                return r;

        d->compression = compression_detect(d->input, d->input_len);
        switch (d->compression) {
        case COMPRESSION_GZIP:
                d->gzip = calloc(1, sizeof(*d->gzip));
                if (!d->gzip)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                isal_inflate_init(d->gzip);
                d->gzip->crc_flag = ISAL_GZIP;
                d->member_open = true;
                break;
        case COMPRESSION_ZSTD:
                d->zstd = ZSTD_createDStream();
                if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                                                    DECOMPRESS_ZSTD_WINDOW_LOG_MAX)))
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                break;
        case COMPRESSION_NONE:
                break;
        default:
                return error_set(
                                reterr_error, -EOPNOTSUPP, "UnsupportedMediaType",
                                "The archive is compressed by xz or bzip2, which is not supported: use gzip or zstd");
        }
        d->started = true;
        return 0;
}

static const char *gzip_strerror(int r) {
        switch (r) {
        case ISAL_INCORRECT_CHECKSUM:
                return "its checksum is wrong";
        case ISAL_INVALID_WRAPPER:
        case ISAL_UNSUPPORTED_METHOD:
                return "its header is not gzip's";
        default:
                return "invalid deflate data";
        }
}

static int truncated(Error *reterr_error, const char *what) {
        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                         "The archive is cut off in the middle of its %s data: get it again", what);
}

/* Behind a member: another one, the end, or zeros (tape padding) up to the end. */
static int gzip_next_member(Decompressor *d, Error *reterr_error) {
        for (;;) {
                int r = fill(d, reterr_error);

                if (r < 0)
                        return r;
                if (d->input_pos >= d->input_len) {
                        d->done = true;
                        return 0;
                }
                if (d->input[d->input_pos] != 0)
                        break;
                d->input_pos++;
        }
        if (d->input[d->input_pos] != 0x1f)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive has garbage behind its gzip data");

        isal_inflate_reset(d->gzip);
        d->gzip->crc_flag = ISAL_GZIP;
        d->member_open = true;
        return 0;
}

static ssize_t gzip_read(Decompressor *d, uint8_t *p, size_t n, Error *reterr_error) {
        struct inflate_state *s = d->gzip;
        size_t done = 0;
        int r;

        while (done < n && !d->done) {
                size_t before_out, before_in;

                r = d->member_open ? fill(d, reterr_error) : gzip_next_member(d, reterr_error);
                if (r < 0)
                        return r;
                if (d->done)
                        break;

                s->next_in = d->input + d->input_pos;
                s->avail_in = (uint32_t) (d->input_len - d->input_pos);
                s->next_out = p + done;
                s->avail_out = (uint32_t) MIN(n - done, (size_t) 1 << 30);
                before_in = s->avail_in;
                before_out = s->avail_out;

                r = isal_inflate(s);
                if (r < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                         "The archive's gzip data are damaged: %s", gzip_strerror(r));
                if (r == ISAL_NEED_DICT)
                        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                         "The archive's gzip data need a dictionary");

                d->input_pos = d->input_len - s->avail_in;
                done += before_out - s->avail_out;
                if (s->block_state == ISAL_BLOCK_FINISH)
                        d->member_open = false;
                else if (d->input_end && before_in == 0 && before_out == s->avail_out)
                        return truncated(reterr_error, "gzip");
        }
        return (ssize_t) done;
}

static ssize_t zstd_read(Decompressor *d, uint8_t *p, size_t n, Error *reterr_error) {
        ZSTD_outBuffer out = { p, n, 0 };

        while (out.pos < out.size && !d->done) {
                ZSTD_inBuffer in = {};
                size_t before = out.pos, k;
                int r = fill(d, reterr_error);

                if (r < 0)
                        return r;
                if (d->input_pos >= d->input_len && !d->frame_open) {
                        d->done = true;
                        break;
                }

                in = (ZSTD_inBuffer) { d->input, d->input_len, d->input_pos };
                k = ZSTD_decompressStream(d->zstd, &out, &in);
                if (ZSTD_isError(k))
                        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                         "The archive's zstd data are damaged: %s", ZSTD_getErrorName(k));
                d->frame_open = k != 0;
                if (d->frame_open && d->input_end && in.pos == d->input_pos && out.pos == before)
                        return truncated(reterr_error, "zstd");
                d->input_pos = in.pos;
        }
        return (ssize_t) out.pos;
}

static ssize_t plain_read(Decompressor *d, uint8_t *p, size_t n, Error *reterr_error) {
        size_t done = 0;

        while (done < n) {
                size_t k;
                int r = fill(d, reterr_error);

                if (r < 0)
                        return r;
                k = MIN(n - done, d->input_len - d->input_pos);
                if (k == 0)
                        break;
                memcpy(p + done, d->input + d->input_pos, k);
                d->input_pos += k;
                done += k;
        }
        return (ssize_t) done;
}

ssize_t decompressor_read(Decompressor *d, void *p, size_t n, Error *reterr_error) {
        if (!d->started) {
                int r = start(d, reterr_error);

                if (r < 0)
                        return r;
        }

        switch (d->compression) {
        case COMPRESSION_GZIP:
                return gzip_read(d, p, n, reterr_error);
        case COMPRESSION_ZSTD:
                return zstd_read(d, p, n, reterr_error);
        default:
                return plain_read(d, p, n, reterr_error);
        }
}
