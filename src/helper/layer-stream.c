/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <pthread.h>

#include "helper/decompress.h"
#include "helper/layer-stream.h"

/* Inflating, hashing and writing files cost about the same, so that each has a thread of its own: the
 * decoder fills a ring of blocks, the hasher and the extractor (the caller of layer_stream_next(), the main
 * thread) each read every block without copying it.
 *
 *   tail = min(hashed, taken)          head
 *     ▼                                 ▼
 *   [ block ][ block ][ block ][ block ][ free ]…      block i lives in slot i % LAYER_STREAM_BLOCKS
 *
 * Invariants: hashed, taken <= head <= tail + LAYER_STREAM_BLOCKS; all four only change with the mutex held;
 * a block's bytes are written only while it is not below head, and read only below head, so that they need
 * no lock. The extractor holds the block it was given last: taken is advanced when it asks for the next one.
 */

struct LayerStream {
        Decompressor *decompressor;
        Digester *digester;
        uint64_t max_bytes;
        uint64_t total; /* decoder's */
        uint8_t *ring;
        size_t sizes[LAYER_STREAM_BLOCKS];

        pthread_mutex_t mutex;
        pthread_cond_t cond;
        uint64_t head, hashed, taken;
        bool holding;     /* the extractor has block number taken */
        bool detached;    /* the extractor wants no more */
        bool end;         /* head will not grow */
        bool stop;
        Error error;      /* the decoder's or hasher's; set before end */

        pthread_t decoder, hasher;
        bool decoder_runs, hasher_runs;
};

static uint8_t *block_of(LayerStream *s, uint64_t i) {
        return s->ring + (i % LAYER_STREAM_BLOCKS) * (size_t) LAYER_STREAM_BLOCK_SIZE;
}

static uint64_t tail(const LayerStream *s) {
        return s->detached ? s->hashed : MIN(s->hashed, s->taken);
}

/* Waits for a free slot. False: stop. */
static bool decoder_wait(LayerStream *s) {
        bool go;

        pthread_mutex_lock(&s->mutex);
        while (!s->stop && s->head - tail(s) >= LAYER_STREAM_BLOCKS)
                pthread_cond_wait(&s->cond, &s->mutex);
        go = !s->stop;
        pthread_mutex_unlock(&s->mutex);
        return go;
}

static void *decoder_main(void *userdata) {
        LayerStream *s = userdata;
        _cleanup_error_ Error e = {};
        ssize_t k = 1;

        while (k > 0 && decoder_wait(s)) {
                k = decompressor_read(s->decompressor, block_of(s, s->head), LAYER_STREAM_BLOCK_SIZE, &e);
                if (k <= 0)
                        break;
                s->total += (uint64_t) k;
                if (s->total > s->max_bytes) {
                        (void) error_set(&e, -EFBIG, "LayerTooLarge",
                                         "The layer is larger than %" PRIu64
                                         " bytes when decompressed, which is the limit",
                                         s->max_bytes);
                        break;
                }

                pthread_mutex_lock(&s->mutex);
                s->sizes[s->head % LAYER_STREAM_BLOCKS] = (size_t) k;
                s->head++;
                pthread_cond_broadcast(&s->cond);
                pthread_mutex_unlock(&s->mutex);
        }

        pthread_mutex_lock(&s->mutex);
        if (error_is_set(&e) && !error_is_set(&s->error))
                (void) error_move(&s->error, &e);
        s->end = true;
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        return NULL;
}

static void *hasher_main(void *userdata) {
        LayerStream *s = userdata;

        pthread_mutex_lock(&s->mutex);
        for (;;) {
                uint64_t i = s->hashed;
                int r;

                while (!s->stop && !s->end && i >= s->head)
                        pthread_cond_wait(&s->cond, &s->mutex);
                if (s->stop || i >= s->head)
                        break;
                pthread_mutex_unlock(&s->mutex);

                r = digester_update(s->digester, block_of(s, i), s->sizes[i % LAYER_STREAM_BLOCKS]);

                pthread_mutex_lock(&s->mutex);
                if (r < 0) {
                        (void) error_set_errno(&s->error, r, "Cannot compute the layer's digest: %m");
                        s->stop = s->end = true;
                }
                s->hashed++;
                pthread_cond_broadcast(&s->cond);
        }
        pthread_mutex_unlock(&s->mutex);
        return NULL;
}

LayerStream *layer_stream_free(LayerStream *s) {
        if (!s)
                return NULL;

        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        if (s->decoder_runs)
                pthread_join(s->decoder, NULL);
        if (s->hasher_runs)
                pthread_join(s->hasher, NULL);

        pthread_cond_destroy(&s->cond);
        pthread_mutex_destroy(&s->mutex);
        decompressor_free(s->decompressor);
        digester_free(s->digester);
        error_done(&s->error);
        free(s->ring);
        free(s);
        return NULL;
}

int layer_stream_new(int fd, DigestAlgorithm algorithm, uint64_t max_bytes, LayerStream **ret,
                     Error *reterr_error) {
        _cleanup_(layer_stream_freep) LayerStream *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        pthread_mutex_init(&s->mutex, NULL);
        pthread_cond_init(&s->cond, NULL);
        s->max_bytes = max_bytes;
        s->ring = malloc((size_t) LAYER_STREAM_BLOCKS * LAYER_STREAM_BLOCK_SIZE);
        if (!s->ring)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = digester_new(algorithm, &s->digester);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot compute digests: %m");
        r = decompressor_new(fd, &s->decompressor, reterr_error);
        if (r < 0)
                return r;

        r = -pthread_create(&s->decoder, NULL, decoder_main, s);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot start a thread: %m");
        s->decoder_runs = true;
        r = -pthread_create(&s->hasher, NULL, hasher_main, s);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot start a thread: %m");
        s->hasher_runs = true;

        *ret = TAKE_PTR(s);
        return 0;
}

int layer_stream_next(LayerStream *s, const void **ret, size_t *ret_size, Error *reterr_error) {
        int r = 0;

        pthread_mutex_lock(&s->mutex);
        if (s->holding) {
                s->taken++;
                s->holding = false;
                pthread_cond_broadcast(&s->cond);
        }
        while (s->taken >= s->head && !s->end)
                pthread_cond_wait(&s->cond, &s->mutex);

        if (s->taken < s->head) {
                s->holding = true;
                *ret = block_of(s, s->taken);
                *ret_size = s->sizes[s->taken % LAYER_STREAM_BLOCKS];
                r = 1;
        } else if (error_is_set(&s->error))
                r = reterr_error ? error_copy(reterr_error, &s->error) : s->error.error;
        pthread_mutex_unlock(&s->mutex);
        return r;
}

int layer_stream_finish(LayerStream *s, char ret_digest[static DIGEST_STRING_MAX], uint64_t *ret_size,
                        Error *reterr_error) {
        int r;

        pthread_mutex_lock(&s->mutex);
        s->holding = false;
        s->detached = true;
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mutex);

        pthread_join(s->decoder, NULL);
        s->decoder_runs = false;
        pthread_join(s->hasher, NULL);
        s->hasher_runs = false;

        if (error_is_set(&s->error))
                return error_move(reterr_error, &s->error);
        r = digester_finish(s->digester, ret_digest);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot compute the layer's digest: %m");
        *ret_size = s->total;
        return 0;
}

uint64_t layer_stream_consumed(const LayerStream *s) {
        return decompressor_consumed(s->decompressor);
}
