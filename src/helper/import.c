/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "helper/decompress.h"
#include "helper/helper.h"
#include "helper/import.h"
#include "helper/sandbox.h"
#include "helper/tree-writer.h"
#include "job/proto.h"

/* An image archive is taken apart in one pass, for it may come from a pipe: what could be a blob goes into
 * an ingest as it comes by, what could be needed to understand the archive (small JSON) is kept as well.
 * Only at its end is it known what was in it: see import-image.c. */

#define ARCHIVE_FD PROTO_FIRST_FD
#define CHUNK_SIZE (512U * 1024)
#define BLOBS_PREFIX "blobs/"

static ImportBlob *import_blob_free(ImportBlob *b) {
        if (!b)
                return NULL;
        free(b->text);
        free(b);
        return NULL;
}
DEFINE_CLEANUP_FUNC(ImportBlob *, import_blob_free)

static void free_values(Hashmap *h) {
        char *v;

        HASHMAP_FOREACH(v, h)
                free(v);
        hashmap_free(h);
}

void import_done(Import *m) {
        ImportBlob *b;

        HASHMAP_FOREACH(b, m->blobs)
                import_blob_free(b);
        hashmap_free(m->blobs);
        hashmap_free(m->files);
        free_values(m->texts);
        free_values(m->links);
        free(m->chunk);
}

int import_init(Import *m, const ImportOps *ops, void *userdata, uint64_t max_bytes, Error *reterr_error) {
        *m = (Import) {
                .ops = ops,
                .userdata = userdata,
                .max_bytes = max_bytes,
                .blobs = hashmap_new(),
                .files = hashmap_new(),
                .texts = hashmap_new(),
                .links = hashmap_new(),
                .chunk = malloc(CHUNK_SIZE),
        };

        if (!m->blobs || !m->files || !m->texts || !m->links || !m->chunk)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return 0;
}

/* Where a file's bytes come from: 0 = end. */
typedef struct Source {
        ssize_t (*read)(struct Source *s, void *p, size_t n, Error *reterr_error);
        struct archive *archive;
        const Error *read_error; /* of what feeds the archive */
        const char *text;
        size_t size;
} Source;

static int archive_failed(struct archive *a, const Error *read_error, Error *reterr_error) {
        if (error_is_set(read_error))
                return reterr_error ? error_copy(reterr_error, read_error) : read_error->error;
        return error_set(reterr_error, -EBADMSG, "InvalidArchive", "The archive is no valid tar: %s",
                         archive_error_string(a) ?: "unknown reason");
}

static ssize_t read_archive(Source *s, void *p, size_t n, Error *reterr_error) {
        la_ssize_t k = archive_read_data(s->archive, p, n);

        return k < 0 ? archive_failed(s->archive, s->read_error, reterr_error) : (ssize_t) k;
}

static ssize_t read_text(Source *s, void *p, size_t n, Error *reterr_error) {
        n = MIN(n, s->size);
        memcpy(p, s->text, n);
        s->text += n;
        s->size -= n;
        return (ssize_t) n;
}

static int account(Import *m, size_t n, Error *reterr_error) {
        m->total += n;
        if (m->total > m->max_bytes)
                return error_set(reterr_error, -EFBIG, "ArchiveTooLarge",
                                 "The archive holds more than %" PRIu64 " bytes, which is the limit",
                                 m->max_bytes);
        return 0;
}

/* Reads on until the chunk is full, so that what is at its beginning can be looked at. */
static ssize_t read_chunk(Import *m, Source *s, Error *reterr_error) {
        size_t done = 0;

        while (done < CHUNK_SIZE) {
                ssize_t k = s->read(s, m->chunk + done, CHUNK_SIZE - done, reterr_error);

                if (k < 0)
                        return k;
                if (k == 0)
                        break;
                done += (size_t) k;
        }
        return account(m, done, reterr_error) < 0 ? -EFBIG : (ssize_t) done;
}

/* Remembers JSON of a bearable size; forgets it again when it turns out not to be. */
static int keep_text(Import *m, ImportBlob *b, size_t n, Error *reterr_error) {
        char *longer;

        if (!b->is_text)
                return 0;
        if (b->size + n > IMPORT_TEXT_MAX || m->text_total + n > IMPORT_TEXT_TOTAL_MAX) {
                m->text_total -= b->size;
                free(TAKE_PTR(b->text));
                b->is_text = false;
                return 0;
        }

        longer = realloc(b->text, b->size + n + 1);
        if (!longer)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        memcpy(longer + b->size, m->chunk, n);
        longer[b->size + n] = 0;
        b->text = longer;
        m->text_total += n;
        return 0;
}

static int stream_blob(Import *m, Source *s, int fd, Digester *digester, ImportBlob *b,
                       Error *reterr_error) {
        for (;;) {
                ssize_t k = read_chunk(m, s, reterr_error);
                int r;

                if (k <= 0)
                        return (int) k;
                if (b->size == 0) {
                        b->compression = compression_detect(m->chunk, (size_t) k);
                        b->is_text = m->chunk[0] == '{';
                }
                r = keep_text(m, b, (size_t) k, reterr_error);
                if (r < 0)
                        return r;
                r = digester_update(digester, m->chunk, (size_t) k);
                if (r >= 0)
                        r = write_full(fd, m->chunk, (size_t) k);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot write a blob of the archive: %m");
                b->size += (uint64_t) k;
                (void) sync_file_range(fd, (off_t) b->size - k, k, SYNC_FILE_RANGE_WRITE);
        }
}

static const char *blob_media_type(const ImportBlob *b) {
        if (b->is_text)
                switch (manifest_detect(b->text, (size_t) b->size, NULL)) {
                case MEDIA_INDEX:
                        return MEDIA_TYPE_OCI_INDEX;
                case MEDIA_MANIFEST:
                        return MEDIA_TYPE_OCI_MANIFEST;
                default:
                        return MEDIA_TYPE_OCI_CONFIG;
                }
        return import_layer_media_type(b->compression);
}

/* Into the store. expected may be NULL. path (NULL: made up) is remembered. */
static int import_blob(Import *m, Source *s, const char *path, const char *expected, const ImportBlob **ret,
                       Error *reterr_error) {
        _cleanup_(import_blob_freep) ImportBlob *b = calloc(1, sizeof(*b));
        _cleanup_(digester_freep) Digester *digester = NULL;
        _cleanup_close_ int fd = -EBADF;
        ImportBlob *known;
        int r;

        if (!b || digester_new(expected ? digest_algorithm(expected) : DIGEST_SHA256, &digester) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        fd = m->ops->begin(m->userdata, ++m->key, reterr_error);
        if (fd < 0)
                return fd;
        r = stream_blob(m, s, fd, digester, b, reterr_error);
        if (r < 0)
                return r;
        r = digester_finish(digester, b->digest);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot compute a digest: %m");
        if (expected && !streq(expected, b->digest))
                return error_set(reterr_error, -EBADMSG, "DigestMismatch",
                                 "The archive is damaged: its file %s has the digest %s", path, b->digest);
        if (fdatasync(fd) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot write a blob of the archive to disk: %m");
        fd = safe_close(fd);
        r = m->ops->end(m->userdata, m->key, b->digest, b->size, blob_media_type(b), reterr_error);
        if (r < 0)
                return r;

        known = hashmap_get(m->blobs, b->digest);
        if (!known) {
                if (hashmap_put(m->blobs, b->digest, b) < 0)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                known = TAKE_PTR(b);
        }
        if (path && hashmap_replace(m->files, path, known) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (ret)
                *ret = known;
        return 0;
}

int import_text_blob(Import *m, const char *text, const ImportBlob **ret, Error *reterr_error) {
        Source s = { .read = read_text, .text = text, .size = strlen(text) };

        return import_blob(m, &s, NULL, NULL, ret, reterr_error);
}

/* index.json and such: to memory only. */
static int import_text(Import *m, Source *s, const char *path, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        for (;;) {
                ssize_t k = read_chunk(m, s, reterr_error);
                char *longer;

                if (k < 0)
                        return (int) k;
                if (n + (size_t) k > IMPORT_TEXT_MAX)
                        return error_set(reterr_error, -EFBIG, "ManifestTooLarge",
                                         "The archive's %s is larger than %u bytes, which is the limit",
                                         path, IMPORT_TEXT_MAX);
                longer = realloc(text, n + (size_t) k + 1);
                if (!longer)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                text = longer;
                memcpy(text + n, m->chunk, (size_t) k);
                n += (size_t) k;
                text[n] = 0;
                if (k == 0)
                        break;
        }

        free(hashmap_remove(m->texts, path));
        r = hashmap_put(m->texts, path, text);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");
        TAKE_PTR(text);
        return 0;
}

/* "blobs/sha256/<hex>" → "sha256:<hex>" */
static bool path_to_digest(const char *path, char ret[static DIGEST_STRING_MAX]) {
        const char *algorithm = startswith(path, BLOBS_PREFIX),
                   *hex = algorithm ? strchr(algorithm, '/') : NULL;

        if (!hex || strlen(algorithm) >= DIGEST_STRING_MAX)
                return false;
        memcpy(ret, algorithm, strlen(algorithm) + 1);
        ret[hex - algorithm] = ':';
        return digest_is_valid(ret);
}

/* Docker's "<hex>.json": an image configuration named by its digest. */
static bool config_to_digest(const char *path, char ret[static DIGEST_STRING_MAX]) {
        const char *suffix = endswith(path, ".json");

        if (!suffix || suffix - path != 64)
                return false;
        (void) snprintf(ret, DIGEST_STRING_MAX, "sha256:%.64s", path);
        return digest_is_valid(ret);
}

static int import_file(Import *m, Source *s, const char *path, Error *reterr_error) {
        static const char *const texts[] = { "index.json", "manifest.json", "oci-layout" };
        char digest[DIGEST_STRING_MAX];
        bool top = !strchr(path, '/');

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (streq(path, texts[i]))
                        return import_text(m, s, path, reterr_error);

        if (path_to_digest(path, digest) || (top && config_to_digest(path, digest)))
                return import_blob(m, s, path, digest, NULL, reterr_error);
        if (endswith(path, "/layer.tar") || (top && (endswith(path, ".tar") || endswith(path, ".tar.gz") ||
                                                     endswith(path, ".tgz") || endswith(path, ".json"))))
                return import_blob(m, s, path, NULL, NULL, reterr_error);
        return 0; /* VERSION, repositories, … */
}

/* -- a tar -- */

typedef struct TarFeed {
        Import *import;
        Decompressor *decompressor;
        uint8_t *buffer;
        uint64_t total;
        uint64_t progress_usec;
        Error error;
} TarFeed;

static void tar_feed_done(TarFeed *f) {
        decompressor_free(f->decompressor);
        free(f->buffer);
        error_done(&f->error);
}

static la_ssize_t tar_on_read(struct archive *a, void *userdata, const void **ret) {
        TarFeed *f = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        ssize_t k;

        if (f->import->ops->progress && now - f->progress_usec >= HELPER_PROGRESS_INTERVAL_USEC) {
                f->progress_usec = now;
                f->import->ops->progress(f->import->userdata, decompressor_consumed(f->decompressor),
                                         f->total);
        }

        k = decompressor_read(f->decompressor, f->buffer, CHUNK_SIZE, &f->error);
        if (k < 0) {
                archive_set_error(a, (int) -k, "Read error");
                return ARCHIVE_FATAL;
        }
        *ret = f->buffer;
        return k;
}

/* docker save has a layer once and links to it: "<id>/layer.tar" → "../<other>/layer.tar". */
static int keep_link(Import *m, const char *path, const char *target, bool symbolic, Error *reterr_error) {
        _cleanup_free_ char *joined = NULL, *value = NULL;
        char normalized[TREE_PATH_MAX + 1];
        const char *slash = strrchr(path, '/');
        int r;

        if (symbolic && slash) {
                /* One level up is all that docker makes. */
                const char *up = startswith(target, "../");
                const char *first = strchr(path, '/');

                if (up && first == slash)
                        target = up;
                else {
                        joined = strformat("%.*s/%s", (int) (slash - path), path, target);
                        if (!joined)
                                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                        target = joined;
                }
        }

        r = tree_normalize(target, normalized, reterr_error);
        if (r < 0)
                return r;
        value = strdup(normalized);
        if (!value)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        free(hashmap_remove(m->links, path));
        r = hashmap_put(m->links, path, value);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");
        TAKE_PTR(value);
        return 0;
}

static int import_entry(Import *m, Source *s, struct archive_entry *e, Error *reterr_error) {
        char path[TREE_PATH_MAX + 1];
        int r;

        r = tree_normalize(strempty(archive_entry_pathname(e)), path, reterr_error);
        if (r < 0)
                return r;
        if (isempty(path))
                return 0;
        if (archive_entry_hardlink(e))
                return keep_link(m, path, archive_entry_hardlink(e), false, reterr_error);
        if (archive_entry_filetype(e) == AE_IFLNK)
                return keep_link(m, path, strempty(archive_entry_symlink(e)), true, reterr_error);
        if (archive_entry_filetype(e) != AE_IFREG)
                return 0;
        return import_file(m, s, path, reterr_error);
}

static int read_entries(Import *m, struct archive *a, TarFeed *f, Error *reterr_error) {
        Source s = { .read = read_archive, .archive = a, .read_error = &f->error };

        if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
            archive_read_open(a, f, NULL, tar_on_read, NULL) != ARCHIVE_OK)
                return archive_failed(a, &f->error, reterr_error);

        for (uint64_t n = 0;; n++) {
                struct archive_entry *e;
                int r = archive_read_next_header(a, &e);

                if (r == ARCHIVE_EOF)
                        return 0;
                if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                        return archive_failed(a, &f->error, reterr_error);
                if (n >= IMPORT_ENTRIES_MAX)
                        return error_set(reterr_error, -E2BIG, "TooManyEntries",
                                         "The archive has more than %u entries, which is the limit",
                                         IMPORT_ENTRIES_MAX);
                r = import_entry(m, &s, e, reterr_error);
                if (r < 0)
                        return r;
        }
}

int import_tar(Import *m, int fd, Error *reterr_error) {
        _cleanup_(tar_feed_done) TarFeed f = { .import = m };
        struct archive *a;
        struct stat st;
        int r;

        if (fstat(fd, &st) >= 0 && S_ISREG(st.st_mode))
                f.total = (uint64_t) st.st_size;
        r = decompressor_new(fd, &f.decompressor, reterr_error);
        if (r < 0)
                return r;
        f.buffer = malloc(CHUNK_SIZE);
        a = f.buffer ? archive_read_new() : NULL;
        if (!a)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = read_entries(m, a, &f, reterr_error);
        archive_read_free(a);
        return r;
}

/* -- the verb
 * ---------------------------------------------------------------------------------------------------------
 */

static int verb_begin(void *userdata, uint64_t key, Error *reterr_error) {
        _cleanup_proto_message_ ProtoMessage m = {};
        char text[PROTO_U64_MAX];
        uint64_t got;
        int r, fd;

        r = proto_send(PROTO_SOCKET_FD, NULL, 0, "want-ingest", "KEY", proto_u64(text, key), NULL);
        if (r >= 0)
                r = proto_receive(PROTO_SOCKET_FD, &m, true);
        if (r == 0)
                r = -ECONNRESET;
        if (r >= 0 &&
            (!streq(proto_get(&m, "TYPE"), "ingest") || proto_get_uint64(&m, "KEY", &got) < 0 || got != key))
                r = -EBADMSG;
        fd = r >= 0 ? proto_take_fd(&m, 0) : r;
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot get a file for a blob from moored: %m");
        return fd;
}

static int verb_end(void *userdata, uint64_t key, const char *digest, uint64_t size, const char *media_type,
                    Error *reterr_error) {
        char k[PROTO_U64_MAX], s[PROTO_U64_MAX];
        int r;

        r = proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-done", "KEY", proto_u64(k, key), "DIGEST", digest,
                       "SIZE", proto_u64(s, size), "MEDIA_TYPE", media_type, NULL);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot report to moored: %m") : 0;
}

static int verb_image(void *userdata, const char *name, const char *digest, const char *media_type,
                      uint64_t size, Error *reterr_error) {
        char s[PROTO_U64_MAX];
        int r;

        /* A NULL key ends the list: a name that is missing is left out so. */
        r = proto_send(PROTO_SOCKET_FD, NULL, 0, "image", "DIGEST", digest, "MEDIA_TYPE", media_type, "SIZE",
                       proto_u64(s, size), name ? "NAME" : NULL, name, NULL);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot report to moored: %m") : 0;
}

static void verb_progress(void *userdata, uint64_t done, uint64_t total) {
        char d[PROTO_U64_MAX], t[PROTO_U64_MAX];

        (void) proto_send(PROTO_SOCKET_FD, NULL, 0, "progress", "DONE", proto_u64(d, done), "TOTAL",
                          proto_u64(t, total), NULL);
}

static const ImportOps verb_ops = {
        .begin = verb_begin,
        .end = verb_end,
        .image = verb_image,
        .progress = verb_progress,
};

int verb_import(json_t *request, Error *reterr_error) {
        _cleanup_(import_done) Import m = {};
        uint64_t max_bytes = 0;
        const JsonField table[] = { { "maxBytes", JSON_FIELD_UINT64, 0, .required = true }, {} };
        int r;

        r = json_dispatch(request, table, &max_bytes, "request", false, reterr_error);
        if (r < 0)
                return r;
        r = sandbox_enter_user(SANDBOX_IMPORT, reterr_error);
        if (r < 0)
                return r;

        r = import_init(&m, &verb_ops, NULL, max_bytes, reterr_error);
        if (r < 0)
                return r;
        r = import_tar(&m, ARCHIVE_FD, reterr_error);
        if (r < 0)
                return r;
        return import_finish(&m, reterr_error);
}
