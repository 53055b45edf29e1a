/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A directory for each ingest, <ingest>/<key>/data. The bytes are written by a helper that holds a
 * descriptor; the daemon trusts them only when nobody can change them any more: a read lease is granted only
 * while no descriptor and no mapping anywhere allows writing. The path is known to root alone, so nobody can
 * open it for writing again before or after the rename. */

#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/time-util.h"
#include "content/content-internal.h"

#define DATA_NAME "data"

/* "sha256:…" as a file name that every tool takes. */
static int key_to_name(const char *key, char ret[static NAME_MAX + 1]) {
        char *colon;

        if (isempty(key) || strlen(key) > NAME_MAX || !filename_is_valid(key))
                return -EINVAL;

        strcpy(ret, key);
        if (digest_is_valid(key)) {
                colon = strchr(ret, ':');
                *colon = '-';
        }

        return 0;
}

int content_ingest_open(Content *c, const char *key, int *ret_fd, uint64_t *ret_offset,
                        Error *reterr_error) {
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        char name[NAME_MAX + 1];
        struct stat st;
        int r;

        r = key_to_name(key, name);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "\"%s\" cannot be the key of an ingest.", strempty(key));

        dir_fd = mkdirat_open(c->ingest_fd, name, 0700);
        if (dir_fd < 0)
                return error_set_errno(reterr_error, dir_fd,
                                       "A place for the download of %s cannot be made: %m", key);

        fd = openat(dir_fd, DATA_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                    0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "A file for the download of %s cannot be made: %m", key);
        if (!S_ISREG(st.st_mode))
                return error_set_errno(reterr_error, -EIO, "The download of %s is not a regular file.", key);

        *ret_fd = TAKE_FD(fd);
        *ret_offset = (uint64_t) st.st_size;
        return 0;
}

/* Fails with -EBUSY while somebody could write. The lease is given back at once: what it proves stays true.
 */
static int check_no_writer(int fd) {
        if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
                if (errno == EAGAIN)
                        return -EBUSY;

                log_debug_errno(errno,
                                "This file system has no leases, not checking whether a download is "
                                "still written to: %m");
                return 0;
        }

        return RET_NERRNO(fcntl(fd, F_SETLEASE, F_UNLCK));
}

static int check_bytes(int fd, const char *digest, uint64_t size, bool verify, uint64_t *ret_size,
                       Error *reterr_error) {
        char actual[DIGEST_STRING_MAX];
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "The download of %s cannot be read: %m",
                                       digest);
        if (!S_ISREG(st.st_mode))
                return error_set_errno(reterr_error, -EIO, "The download of %s is not a regular file.",
                                       digest);
        if (size != UINT64_MAX && (uint64_t) st.st_size != size)
                return error_set(reterr_error, -EBADMSG, "SizeMismatch",
                                 "%s has %llu bytes instead of %llu.", digest,
                                 (unsigned long long) st.st_size, (unsigned long long) size);

        if (verify) {
                r = digest_of_fd(digest_algorithm(digest), fd, actual);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "The download of %s cannot be read: %m",
                                               digest);
                if (!streq(actual, digest))
                        return error_set(reterr_error, -EBADMSG, "DigestMismatch",
                                         "What was downloaded as %s is %s.", digest, actual);
        }

        *ret_size = (uint64_t) st.st_size;
        return 0;
}

int content_ingest_commit(Content *c, const char *key, const char *digest, uint64_t size, bool verify,
                          Error *reterr_error) {
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        uint64_t actual_size = 0, present_size = 0;
        char name[NAME_MAX + 1];
        int blobs_fd, r;

        r = digest_is_valid(digest) ? key_to_name(key, name) : -EINVAL;
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "\"%s\" is not a digest, or \"%s\" not a key.", strempty(digest),
                                 strempty(key));

        blobs_fd = c->blobs_fd[digest_algorithm(digest)];

        dir_fd = open_beneath_nofollow(c->ingest_fd, name, O_RDONLY | O_DIRECTORY, 0);
        fd = dir_fd < 0 ? dir_fd
                        : open_beneath_nofollow(dir_fd, DATA_NAME, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "There is no download of %s: %m", digest);

        r = check_no_writer(fd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The download of %s is still being written to.",
                                       digest);

        r = check_bytes(fd, digest, size, verify, &actual_size, reterr_error);
        if (r < 0)
                return r;

        /* One that is here is kept, so that readers of it and we share pages; one of another size is
         * damaged. */
        if (!content_has_blob(c, digest, &present_size) || present_size != actual_size) {
                if (renameat(dir_fd, DATA_NAME, blobs_fd, digest_hex(digest)) < 0)
                        return error_set_errno(reterr_error, -errno,
                                               "The blob %s cannot be put into the store: %m", digest);

                r = fsync_dir(blobs_fd);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "The blob %s cannot be synced: %m", digest);
        }

        r = rm_rf_at(c->ingest_fd, name);
        if (r < 0)
                log_debug_errno(r, "Cannot remove the remains of the download of %s, ignoring: %m", digest);
        return 0;
}

int content_ingest_abort(Content *c, const char *key) {
        char name[NAME_MAX + 1];
        int r;

        r = key_to_name(key, name);
        if (r < 0)
                return r;

        return rm_rf_at(c->ingest_fd, name);
}

/* The reverse of key_to_name() for keys that are digests. */
static bool name_is_digest(const char *name) {
        char digest[DIGEST_STRING_MAX];
        char *dash;

        if (strlen(name) >= sizeof(digest))
                return false;

        strcpy(digest, name);
        dash = strchr(digest, '-');
        if (!dash)
                return false;

        *dash = ':';
        return digest_is_valid(digest);
}

static bool is_older(Content *c, const char *name, uint64_t max_age_usec) {
        _cleanup_close_ int dir_fd = -EBADF;
        uint64_t now, then;
        struct stat st;

        dir_fd = openat(c->ingest_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir_fd < 0 ||
            (fstatat(dir_fd, DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 && fstat(dir_fd, &st) < 0))
                return true; /* nothing that could be resumed */

        now = now_usec(CLOCK_REALTIME);
        then = (uint64_t) MAX(st.st_mtim.tv_sec, (time_t) 0) * USEC_PER_SEC +
               (uint64_t) st.st_mtim.tv_nsec / 1000;
        return now > then && now - then > max_age_usec;
}

int content_ingest_clean(Content *c, uint64_t max_age_usec) {
        _cleanup_(closedirp) DIR *d = NULL;
        struct dirent *e;
        int n = 0, r;

        r = open_dir_stream(c->ingest_fd, &d);
        if (r < 0)
                return r;

        while ((errno = 0, e = readdir(d))) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (max_age_usec > 0 && name_is_digest(e->d_name) && !is_older(c, e->d_name, max_age_usec))
                        continue;

                r = rm_rf_at(c->ingest_fd, e->d_name);
                if (r < 0)
                        return r;
                n++;
        }

        return errno > 0 ? -errno : n;
}
