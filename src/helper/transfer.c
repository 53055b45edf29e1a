/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/random.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "helper/helper.h"
#include "helper/registry-internal.h"
#include "oci/manifest.h"

/* One object on its way here, through as many requests as it takes.
 *
 *                        ┌──────────── on_retry (back-off) ◀───────────┐
 *                        ▼                                             │ transfer_failed (transient)
 *   transfer_start ─▶ HASHING ─on_hash─▶ ASKING ─exchange_on_done──────┼──▶ transfer_finish: verified, or
 * failed for good (what is there)       ▲  └─401─▶ registry_authenticate └───────── transfer_on_token
 *
 * Invariant: the first `offset` bytes of the object are in fd (or in `data`) and have gone through
 * `digester`; `buffered` more are in `buffer`. A request always asks for what comes next; whatever ends it,
 * the next one resumes there. */

#define MANIFEST_ACCEPT                                                                                     \
        MEDIA_TYPE_OCI_INDEX ", " MEDIA_TYPE_OCI_MANIFEST ", " MEDIA_TYPE_DOCKER_LIST                       \
                             ", " MEDIA_TYPE_DOCKER_MANIFEST
#define BUFFER_SIZE (512U * 1024)
#define HASH_CHUNK_SIZE (4U * 1024 * 1024) /* of what is there already, a turn of the loop */
#define PROGRESS_RESETS_RETRIES                                                                             \
        (UINT64_C(1) << 20) /* a transfer that gets on may fail as often as it likes */

struct Transfer {
        Registry *registry; /* weak */
        const TransferOps *ops;
        void *userdata;

        char *reference;
        char *digest;   /* expected, or NULL */
        char *what;     /* "blob sha256:…", for messages */
        uint64_t size;  /* expected, UINT64_MAX: unknown */
        int fd;         /* -EBADF: a manifest */

        uint64_t there;         /* bytes found in fd at the start */
        uint64_t reused;
        uint64_t offset;
        uint64_t synced;        /* write-back has been started up to here */
        uint64_t attempt_start; /* offset when the request went out */
        char *buffer;           /* a blob's piece, or the whole manifest */
        size_t buffered;
        Digester *digester;
        char got[DIGEST_STRING_MAX];
        char *media_type;
        char *announced; /* Docker-Content-Digest */

        HttpExchange *exchange;
        sd_event_source *hash_source;
        sd_event_source *retry_source;
        unsigned attempts;      /* failed ones without progress */
        unsigned auth_attempts;
        unsigned used_serial;   /* of the token that was sent */
        bool from_scratch;      /* what was there has been thrown away once */
        bool headers_checked;
        Error error;            /* of our own callbacks: goes before curl's */
        uint64_t progress_usec;
};

static void transfer_ask(Transfer *t);

Transfer *transfer_free(Transfer *t) {
        if (!t)
                return NULL;

        registry_forget_waiter(t->registry, t);
        http_exchange_free(t->exchange);
        sd_event_source_disable_unref(t->hash_source);
        sd_event_source_disable_unref(t->retry_source);
        safe_close(t->fd);
        digester_free(t->digester);
        free(t->reference);
        free(t->digest);
        free(t->what);
        free(t->buffer);
        free(t->media_type);
        free(t->announced);
        error_done(&t->error);
        free(t);
        return NULL;
}

static bool is_blob(const Transfer *t) {
        return t->fd >= 0;
}

int transfer_new(Registry *r, const TransferSpec *spec, const TransferOps *ops, void *userdata,
                 Transfer **ret) {
        _cleanup_close_ int fd = spec->fd;
        _cleanup_(transfer_freep) Transfer *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->registry = r;
        t->ops = ops;
        t->userdata = userdata;
        t->fd = TAKE_FD(fd);
        t->there = spec->offset;
        t->size = spec->size;
        t->reference = strdup(spec->digest ?: spec->reference);
        t->digest = spec->digest ? strdup(spec->digest) : NULL;
        t->buffer = malloc(is_blob(t) ? BUFFER_SIZE : MANIFEST_SIZE_MAX);
        if (!t->reference || (spec->digest && !t->digest) || !t->buffer)
                return -ENOMEM;
        t->what = strjoin(is_blob(t) ? "blob " : spec->digest ? "manifest " : "tag ", t->reference);
        if (!t->what)
                return -ENOMEM;

        *ret = TAKE_PTR(t);
        return 0;
}

const char *transfer_digest(const Transfer *t) {
        return t->got;
}

uint64_t transfer_size(const Transfer *t) {
        return is_blob(t) ? t->offset : t->buffered;
}

uint64_t transfer_reused(const Transfer *t) {
        return t->reused;
}

const char *transfer_media_type(const Transfer *t) {
        return t->media_type;
}

const char *transfer_data(const Transfer *t) {
        return t->buffer;
}

/* The last thing that is done to t here: it may be gone afterwards. */
static void transfer_finish(Transfer *t, Error *error) {
        t->exchange = http_exchange_free(t->exchange);
        t->ops->on_done(t, error, t->userdata);
}

static int reset_digester(Transfer *t) {
        t->digester = digester_free(t->digester);
        return digester_new(t->digest ? digest_algorithm(t->digest) : DIGEST_SHA256, &t->digester);
}

/* Throws away what is there. */
static int start_over(Transfer *t) {
        t->offset = t->synced = t->reused = t->there = 0;
        t->buffered = 0;
        if (is_blob(t) && ftruncate(t->fd, 0) < 0)
                return -errno;
        return reset_digester(t);
}

static int write_failed(Transfer *t, int error) {
        return error_set_errno(&t->error, error, "Cannot write %s: %m", t->what);
}

static int flush_buffer(Transfer *t) {
        int r;

        if (!is_blob(t) || t->buffered == 0)
                return 0;

        r = pwrite_full(t->fd, t->buffer, t->buffered, t->offset);
        if (r < 0)
                return write_failed(t, r);
        r = digester_update(t->digester, t->buffer, t->buffered);
        if (r < 0)
                return write_failed(t, r);
        t->offset += t->buffered;
        t->buffered = 0;

        /* Starts writing to disk now, so that there is little left for fdatasync() at the end. Its failure
         * would show there. */
        if (t->offset - t->synced >= SYNC_INTERVAL) {
                (void) sync_file_range(t->fd, (off_t) t->synced, (off_t) (t->offset - t->synced),
                                       SYNC_FILE_RANGE_WRITE);
                t->synced = t->offset;
        }
        return 0;
}

static void report_progress(Transfer *t) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (t->ops->on_progress && now - t->progress_usec >= HELPER_PROGRESS_INTERVAL_USEC) {
                t->progress_usec = now;
                t->ops->on_progress(t, t->offset + t->buffered, t->userdata);
        }
}

/* The headers of an answer that brings the object, before its first byte. */
static int check_headers(Transfer *t, const HttpResponse *response) {
        uint64_t expected;
        int r;

        if (response->status == 206 && response->range_start != t->offset)
                return error_set(&t->error, -EPROTO, "RegistryUnavailable",
                                 "Cannot get %s: %s sends another part of it than was asked for", t->what,
                                 t->registry->request->registry);
        if (response->status != 206 && t->offset > 0) {
                /* It does not do ranges. */
                r = start_over(t);
                if (r < 0)
                        return write_failed(t, r);
        }

        expected = t->size == UINT64_MAX ? UINT64_MAX : t->size - t->offset;
        if (!response->content_encoding && response->content_length != UINT64_MAX &&
            expected != UINT64_MAX && response->content_length != expected)
                return error_set(&t->error, -EBADMSG, "SizeMismatch",
                                 "Cannot get %s: %s announces %" PRIu64
                                 " bytes where the manifest says %" PRIu64,
                                 t->what, t->registry->request->registry, response->content_length,
                                 expected);
        return 0;
}

static int manifest_append(Transfer *t, const void *p, size_t n) {
        if (n > MANIFEST_SIZE_MAX - t->buffered)
                return error_set(&t->error, -EFBIG, "ManifestTooLarge",
                                 "Cannot get %s: it is larger than %u bytes, which is the limit", t->what,
                                 MANIFEST_SIZE_MAX);
        memcpy(t->buffer + t->buffered, p, n);
        t->buffered += n;
        return 0;
}

static int exchange_on_body(HttpExchange *x, const HttpResponse *response, const void *p, size_t n,
                            void *userdata) {
        Transfer *t = userdata;
        const char *b = p;
        int r;

        if (response->status >= 300)
                return 0; /* an error's explanation */
        if (!t->headers_checked) {
                r = check_headers(t, response);
                if (r < 0)
                        return r;
                t->headers_checked = true;
        }
        if (!is_blob(t))
                return manifest_append(t, p, n);
        if (n > t->size - t->offset - t->buffered)
                return error_set(&t->error, -EBADMSG, "SizeMismatch",
                                 "Cannot get %s: %s sends more than the %" PRIu64 " bytes that it has",
                                 t->what, t->registry->request->registry, t->size);

        while (n > 0) {
                size_t k = MIN(n, (size_t) BUFFER_SIZE - t->buffered);

                memcpy(t->buffer + t->buffered, b, k);
                t->buffered += k;
                b += k;
                n -= k;
                if (t->buffered == BUFFER_SIZE) {
                        r = flush_buffer(t);
                        if (r < 0)
                                return r;
                }
        }
        report_progress(t);
        return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        Transfer *t = userdata;

        t->retry_source = sd_event_source_disable_unref(t->retry_source);
        transfer_ask(t);
        return 0;
}

/* Exponential, with jitter: many helpers that a registry's restart has thrown out should not come back in
 * step. */
static uint64_t retry_delay(const Transfer *t, uint64_t retry_after_sec) {
        uint64_t delay = t->registry->request->retry_delay_msec * USEC_PER_MSEC;
        uint32_t random = 0;

        for (unsigned i = 1; i < t->attempts && delay < RETRY_DELAY_MAX_USEC; i++)
                delay *= 2;
        delay = MIN(delay, (uint64_t) RETRY_DELAY_MAX_USEC);
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
                random = (uint32_t) getpid();
        delay = delay / 2 + random % (delay / 2 + 1);

        return MAX(delay, retry_after_sec * USEC_PER_SEC);
}

static void transfer_failed(Transfer *t, Error *error, FailureKind kind, uint64_t retry_after_sec) {
        Registry *registry = t->registry;
        uint64_t max = registry->request->retries;
        int r;

        t->exchange = http_exchange_free(t->exchange);
        if (t->offset >= t->attempt_start + PROGRESS_RESETS_RETRIES)
                t->attempts = 0;
        if (!registry->reached)
                max = MIN(max, (uint64_t) RETRIES_UNREACHED_MAX);
        if (kind == FAILURE_FINAL || t->attempts >= max || retry_after_sec > RETRY_AFTER_MAX_SEC) {
                transfer_finish(t, error);
                return;
        }

        t->attempts++;
        if (!is_blob(t))
                t->buffered = 0;
        r = sd_event_add_time_relative(registry->event, &t->retry_source, CLOCK_BOOTTIME,
                                       retry_delay(t, retry_after_sec), 0, on_retry, t);
        if (r < 0)
                transfer_finish(t, error);
}

/* All of it has been received. */
static int verify(Transfer *t, Error *reterr_error) {
        const char *expected = t->digest
                                               ?: (t->announced && digest_is_valid(t->announced))
                                                  ? t->announced
                                                  : NULL;
        int r;

        if (!is_blob(t)) {
                if (t->size != UINT64_MAX && t->buffered != t->size)
                        return error_set(reterr_error, -EBADMSG, "SizeMismatch",
                                         "%s is not what the index says: expected %" PRIu64
                                         " bytes, got %zu",
                                         t->what, t->size, t->buffered);
                r = digest_of_bytes(expected ? digest_algorithm(expected) : DIGEST_SHA256, t->buffer,
                                    t->buffered, t->got);
        } else
                r = digester_finish(t->digester, t->got);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot compute the digest of %s: %m", t->what);

        if (expected && !streq(expected, t->got))
                return error_set(
                                reterr_error, -EBADMSG, "DigestMismatch",
                                "What %s sent as %s is something else: expected %s, got %s: it was damaged or forged on the way",
                                t->registry->request->registry, t->what, expected, t->got);
        if (is_blob(t) && fdatasync(t->fd) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot write %s to disk: %m", t->what);
        return 0;
}

/* Returns true if it begins anew: bytes from an earlier time may have been the wrong ones. */
static bool try_from_scratch(Transfer *t) {
        if (t->from_scratch || t->there == 0 || start_over(t) < 0)
                return false;

        t->from_scratch = true;
        t->exchange = http_exchange_free(t->exchange);
        transfer_ask(t);
        return true;
}

static void transfer_complete(Transfer *t) {
        _cleanup_error_ Error e = {};

        if (verify(t, &e) < 0 && is_blob(t) && error_has_name(&e, "DigestMismatch")) {
                if (try_from_scratch(t))
                        return;
                (void) start_over(t); /* what is wrong must not be resumed */
        }
        transfer_finish(t, &e);
}

/* 401: with a token that is no longer the current one, again with that; else with a new one. */
static void transfer_unauthorized(Transfer *t, const HttpResponse *response, Error *error) {
        _cleanup_error_ Error e = {};
        int r;

        if (t->registry->authorization && t->used_serial != t->registry->token_serial) {
                t->exchange = http_exchange_free(t->exchange);
                transfer_ask(t);
                return;
        }
        if (t->auth_attempts++ >= AUTH_ATTEMPTS_MAX) {
                transfer_finish(t, error);
                return;
        }

        r = registry_authenticate(t->registry, response->authenticate, t, &e);
        if (r < 0)
                transfer_finish(t, &e);
        else
                t->exchange = http_exchange_free(t->exchange);
}

void transfer_on_token(Transfer *t, const Error *error, FailureKind kind, uint64_t retry_after_sec) {
        _cleanup_error_ Error e = {};

        if (!error) {
                transfer_ask(t);
                return;
        }
        (void) error_copy(&e, error);
        transfer_failed(t, &e, kind, retry_after_sec);
}

static void keep_response(Transfer *t, const HttpResponse *response) {
        if (is_blob(t))
                return;
        (void) free_and_strdup(&t->media_type, response->content_type);
        (void) free_and_strdup(&t->announced, response->content_digest);
}

static void exchange_on_done(HttpExchange *x, const HttpResponse *response, CURLcode result,
                             void *userdata) {
        Transfer *t = userdata;
        _cleanup_error_ Error e = {};
        uint64_t retry_after = response->retry_after_sec;
        FailureKind kind;

        if (response->status > 0)
                t->registry->reached = true;
        if (response->status == 416 && t->offset > 0 && try_from_scratch(t))
                return;
        if (response->status < 300 && !error_is_set(&t->error))
                (void) flush_buffer(t);
        if (error_is_set(&t->error)) {
                (void) error_move(&e, &t->error);
                transfer_failed(t, &e, FAILURE_FINAL, 0);
                return;
        }

        if (result == CURLE_OK && response->status < 300) {
                keep_response(t, response);
                if (!is_blob(t) || t->offset == t->size) {
                        transfer_complete(t);
                        return;
                }
                /* Without Content-Length the end of the connection is all that curl sees. */
                result = CURLE_PARTIAL_FILE;
        }

        kind = registry_explain(t->registry, x, result, response, t->what, &e);
        if (response->status == 401)
                transfer_unauthorized(t, response, &e);
        else
                transfer_failed(t, &e, kind, retry_after);
}

static const HttpOps exchange_ops = {
        .on_body = exchange_on_body,
        .on_done = exchange_on_done,
};

static void transfer_ask(Transfer *t) {
        const FetchRequest *q = t->registry->request;
        _cleanup_free_ char *url = NULL;
        _cleanup_error_ Error e = {};
        HttpRequest request = {
                .accept = is_blob(t) ? NULL : MANIFEST_ACCEPT,
                .authorization = t->registry->authorization,
                .range_start = is_blob(t) ? t->offset : 0,
        };
        int r = -ENOMEM;

        if (!is_blob(t))
                t->buffered = 0;
        t->headers_checked = false;
        t->attempt_start = t->offset;
        t->used_serial = t->registry->token_serial;

        url = strjoin(q->scheme, "://", q->host, "/v2/", q->repository,
                      is_blob(t) ? "/blobs/" : "/manifests/", t->reference);
        if (url) {
                request.url = url;
                r = http_get(t->registry->http, &request, &exchange_ops, t, &t->exchange);
        }
        if (r < 0) {
                (void) error_set_errno(&e, r, "Cannot ask for %s: %m", t->what);
                transfer_finish(t, &e);
        }
}

/* What is in fd already goes through the digest first, a piece at each idle turn of the loop. */
static int on_hash(sd_event_source *s, void *userdata) {
        Transfer *t = userdata;
        _cleanup_error_ Error e = {};
        uint64_t end = MIN(t->there, t->offset + HASH_CHUNK_SIZE);

        while (t->offset < end) {
                ssize_t k = pread(t->fd, t->buffer, MIN((size_t) (end - t->offset), (size_t) BUFFER_SIZE),
                                  (off_t) t->offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0 || digester_update(t->digester, t->buffer, (size_t) k) < 0) {
                        (void) error_set_errno(&e, k < 0 ? -errno : -EIO,
                                               "Cannot read what is there of %s: %m", t->what);
                        transfer_finish(t, &e);
                        return 0;
                }
                t->offset += (uint64_t) k;
        }
        if (t->offset < t->there)
                return 0;

        t->hash_source = sd_event_source_disable_unref(t->hash_source);
        t->reused = t->synced = t->offset;
        if (t->offset == t->size)
                transfer_complete(t);
        else
                transfer_ask(t);
        return 0;
}

int transfer_start(Transfer *t) {
        int r;

        /* Longer than it may be: not the beginning of this object. */
        r = t->there > t->size ? start_over(t) : reset_digester(t);
        if (r < 0)
                return r;
        if (t->there == 0 && t->size > 0) {
                transfer_ask(t);
                return 0;
        }

        r = sd_event_add_defer(t->registry->event, &t->hash_source, on_hash, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->hash_source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->hash_source, SD_EVENT_ON);
        return r;
}
