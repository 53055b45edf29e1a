/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Blobs are written once, under a temporary name or in an ingest, synced, and renamed; the directory is
 * synced before anybody is told. So a name that is there stands for whole and verified bytes, also after a
 * power loss. Blobs are for root and for those that get a descriptor. */

#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "content/content-internal.h"
#include "oci/manifest.h"

#define LAYOUT_SIZE_MAX 4096U
#define INDEX_FILE_SIZE_MAX (16U * 1024 * 1024)
#define TEMPORARY_PREFIX ".tmp-" /* of write_file_atomic_at() */
#define BLOB_MODE 0600

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}\n";
static const char empty_index[] =
                "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX "\",\"manifests\":[]}\n";

Content *content_free(Content *c) {
        if (!c)
                return NULL;

        safe_close(c->content_fd);
        for (DigestAlgorithm a = 0; a < _DIGEST_ALGORITHM_MAX; a++)
                safe_close(c->blobs_fd[a]);
        safe_close(c->ingest_fd);
        free(c);
        return NULL;
}

int open_dir_stream(int dirfd, DIR **ret) {
        _cleanup_close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d;

        if (fd < 0)
                return -errno;

        d = fdopendir(fd);
        if (!d)
                return -errno;

        TAKE_FD(fd);
        *ret = d;
        return 0;
}

/* What a process that died while it wrote has left. */
static int drop_temporary_files(int dirfd) {
        _cleanup_(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = open_dir_stream(dirfd, &d);
        if (r < 0)
                return r;

        while ((errno = 0, e = readdir(d)))
                if (startswith(e->d_name, TEMPORARY_PREFIX) && unlinkat(dirfd, e->d_name, 0) < 0 &&
                    errno != ENOENT)
                        return -errno;

        return -errno;
}

static int write_if_missing(int dirfd, const char *name, const char *text) {
        if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0)
                return 0;
        if (errno != ENOENT)
                return -errno;

        return write_file_atomic_at(dirfd, name, text, strlen(text), 0644, true);
}

static int check_layout(Content *c, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        size_t n;
        int r;

        r = read_file_at(c->content_fd, "oci-layout", LAYOUT_SIZE_MAX, &text, &n);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The file oci-layout of the content store cannot be read: %m");

        r = json_parse(text, n, LAYOUT_SIZE_MAX, &j, NULL);
        if (r < 0 || !streq_ptr(json_get_string(j, "imageLayoutVersion"), "1.0.0"))
                return error_set(
                                reterr_error, -EBADMSG, "UnsupportedLayout",
                                "The content store is not an OCI image layout of version 1.0.0: see its "
                                "file oci-layout.");

        return 0;
}

static int make_directories(Content *c, int state_fd) {
        _cleanup_close_ int blobs_fd = -EBADF;

        c->content_fd = mkdirat_open(state_fd, "content", 0700);
        if (c->content_fd < 0)
                return c->content_fd;

        c->ingest_fd = mkdirat_open(state_fd, "ingest", 0700);
        if (c->ingest_fd < 0)
                return c->ingest_fd;

        blobs_fd = mkdirat_open(c->content_fd, "blobs", 0755);
        if (blobs_fd < 0)
                return blobs_fd;

        for (DigestAlgorithm a = 0; a < _DIGEST_ALGORITHM_MAX; a++) {
                c->blobs_fd[a] = mkdirat_open(blobs_fd, digest_algorithm_to_string(a), 0755);
                if (c->blobs_fd[a] < 0)
                        return c->blobs_fd[a];
        }

        return fsync_dir(blobs_fd);
}

int content_open(int state_fd, Content **ret, Error *reterr_error) {
        _cleanup_(content_freep) Content *c = NULL;
        bool fresh;
        int r;

        c = malloc(sizeof(Content));
        if (!c)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        *c = (Content) { .content_fd = -EBADF, .ingest_fd = -EBADF };
        for (DigestAlgorithm a = 0; a < _DIGEST_ALGORITHM_MAX; a++)
                c->blobs_fd[a] = -EBADF;

        fresh = faccessat(state_fd, "content/oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) < 0;

        r = make_directories(c, state_fd);
        if (r >= 0)
                r = write_if_missing(c->content_fd, "index.json", empty_index);
        if (r >= 0)
                r = write_if_missing(c->content_fd, "oci-layout", layout_text);
        if (r >= 0 && fresh)
                r = fsync_dir(state_fd);
        if (r >= 0)
                r = drop_temporary_files(c->content_fd);
        for (DigestAlgorithm a = 0; r >= 0 && a < _DIGEST_ALGORITHM_MAX; a++)
                r = drop_temporary_files(c->blobs_fd[a]);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The content store cannot be opened: %m");

        r = check_layout(c, reterr_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* -- blobs -- */

static int invalid_digest(Error *e, const char *digest) {
        return error_set(e, -EINVAL, "InvalidArgument", "\"%s\" is not a digest.", strempty(digest));
}

bool content_has_blob(Content *c, const char *digest, uint64_t *ret_size) {
        struct stat st;

        if (!digest_is_valid(digest) ||
            fstatat(c->blobs_fd[digest_algorithm(digest)], digest_hex(digest), &st, AT_SYMLINK_NOFOLLOW) <
                            0 ||
            !S_ISREG(st.st_mode))
                return false;

        if (ret_size)
                *ret_size = (uint64_t) st.st_size;
        return true;
}

int content_open_blob(Content *c, const char *digest, uint64_t *ret_size, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!digest_is_valid(digest))
                return invalid_digest(reterr_error, digest);

        fd = openat(c->blobs_fd[digest_algorithm(digest)], digest_hex(digest),
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT)
                return error_set(reterr_error, -ENOENT, "NoSuchBlob", "There is no blob %s.", digest);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "The blob %s cannot be opened: %m", digest);
        if (!S_ISREG(st.st_mode))
                return error_set_errno(reterr_error, -EIO, "The blob %s is not a regular file.", digest);

        if (ret_size)
                *ret_size = (uint64_t) st.st_size;
        return TAKE_FD(fd);
}

int content_read_blob(Content *c, const char *digest, size_t max, char **ret, size_t *ret_size,
                      Error *reterr_error) {
        char actual[DIGEST_STRING_MAX];
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *p = NULL;
        size_t n;
        int r;

        fd = content_open_blob(c, digest, NULL, reterr_error);
        if (fd < 0)
                return fd;

        r = read_all(fd, max, &p, &n);
        if (r == -EFBIG)
                return error_set(reterr_error, r, "LimitsExceeded", "The blob %s is larger than %zu bytes.",
                                 digest, max);
        if (r >= 0)
                r = digest_of_bytes(digest_algorithm(digest), p, n, actual);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The blob %s cannot be read: %m", digest);

        if (!streq(actual, digest))
                return error_set(
                                reterr_error, -EBADMSG, "DigestMismatch",
                                "The blob %s is damaged on disk: remove the images that use it and pull "
                                "them again.",
                                digest);

        *ret = TAKE_PTR(p);
        if (ret_size)
                *ret_size = n;
        return 0;
}

int content_write_blob(Content *c, const void *p, size_t n, const char *expected,
                       char ret_digest[static DIGEST_STRING_MAX], Error *reterr_error) {
        char digest[DIGEST_STRING_MAX];
        DigestAlgorithm a = expected ? digest_algorithm(expected) : DIGEST_SHA256;
        uint64_t size;
        int r;

        if (expected && !digest_is_valid(expected))
                return invalid_digest(reterr_error, expected);

        r = digest_of_bytes(a, p, n, digest);
        if (r < 0)
                return error_set_errno(reterr_error, r, "A blob cannot be hashed: %m");
        if (expected && !streq(digest, expected))
                return error_set(reterr_error, -EBADMSG, "DigestMismatch",
                                 "The blob is %s, not %s as expected.", digest, expected);

        /* One of another size is damaged. */
        if (!content_has_blob(c, digest, &size) || size != n) {
                r = write_file_atomic_at(c->blobs_fd[a], digest_hex(digest), p, n, BLOB_MODE, true);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "The blob %s cannot be written: %m", digest);
        }

        strcpy(ret_digest, digest);
        return 0;
}

int content_remove_blob(Content *c, const char *digest) {
        if (!digest_is_valid(digest))
                return -EINVAL;
        if (unlinkat(c->blobs_fd[digest_algorithm(digest)], digest_hex(digest), 0) < 0)
                return errno == ENOENT ? 0 : -errno;

        return 1;
}

static int foreach_of_algorithm(Content *c, DigestAlgorithm a,
                                int (*cb)(const char *digest, uint64_t size, void *userdata),
                                void *userdata) {
        _cleanup_(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = open_dir_stream(c->blobs_fd[a], &d);
        if (r < 0)
                return r;

        while ((errno = 0, e = readdir(d))) {
                char digest[DIGEST_STRING_MAX];
                uint64_t size;

                if (snprintf(digest, sizeof(digest), "%s:%.128s", digest_algorithm_to_string(a),
                             e->d_name) >= (int) sizeof(digest) ||
                    strlen(e->d_name) > 128 || !content_has_blob(c, digest, &size))
                        continue;

                r = cb(digest, size, userdata);
                if (r < 0)
                        return r;
        }

        return -errno;
}

int content_foreach_blob(Content *c, int (*cb)(const char *digest, uint64_t size, void *userdata),
                         void *userdata) {
        for (DigestAlgorithm a = 0; a < _DIGEST_ALGORITHM_MAX; a++) {
                int r = foreach_of_algorithm(c, a, cb, userdata);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* -- index.json and the rest -- */

int content_write_index(Content *c, const char *text, size_t n, bool sync) {
        return write_file_atomic_at(c->content_fd, "index.json", text, n, 0644, sync);
}

int content_read_index(Content *c, char **ret, size_t *ret_size) {
        return read_file_at(c->content_fd, "index.json", INDEX_FILE_SIZE_MAX, ret, ret_size);
}
