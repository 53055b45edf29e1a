/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "content/content.h"
#include "place.h"

#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                                          \
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                                        \
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define OTHER "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define BLOB_PATH "content/blobs/sha256/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define INGEST_PATH "ingest/sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OTHER_INGEST_PATH "ingest/sha256-0000000000000000000000000000000000000000000000000000000000000000"

typedef struct Place {
        TestPlace place;
        int fd;
        Content *content;
} Place;

static void reopen(Place *p) {
        _cleanup_error_ Error e = ERROR_NULL;

        p->content = content_free(p->content);
        if (content_open(p->fd, &p->content, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static int setup(void **state) {
        static Place p;

        assert_int_equal(test_place_make(&p.place, "test-content", PLACE_LEASES), 0);
        p.fd = open(p.place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        reopen(&p);
        *state = &p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        p->content = content_free(p->content);
        p->fd = safe_close(p->fd);
        assert_int_equal(rm_rf_at(AT_FDCWD, p->place.path), 0);
        return 0;
}

/* Without them who still writes cannot be known, and what is tested here does not exist. */
static void need_leases(Place *p) {
        const char *why = test_place_lacks(&p->place, PLACE_LEASES);

        if (why) {
                print_message("%s\n", why);
                skip();
        }
}

static bool exists(Place *p, const char *path) {
        return faccessat(p->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void put_file(Place *p, const char *path, const char *text) {
        assert_int_equal(write_file_atomic_at(p->fd, path, text, strlen(text), 0600, false), 0);
}

static void check_file(Place *p, const char *path, const char *text) {
        _cleanup_free_ char *s = NULL;
        size_t n;

        assert_int_equal(read_file_at(p->fd, path, 1 << 20, &s, &n), 0);
        assert_string_equal(s, text);
}

static void test_layout(void **state) {
        Place *p = *state;
        _cleanup_error_ Error e = ERROR_NULL;
        Content *c = NULL;

        check_file(p, "content/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}\n");
        check_file(p, "content/index.json", "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}\n");
        assert_true(exists(p, "content/blobs/sha256"));
        assert_true(exists(p, "content/blobs/sha512"));
        assert_true(exists(p, "ingest"));

        /* What is there stays; what a writer that died has left goes. */
        put_file(p, "content/index.json", "{}");
        put_file(p, "content/.tmp-1234", "x");
        put_file(p, "content/blobs/sha256/.tmp-1234", "x");
        put_file(p, BLOB_PATH, "abc");
        reopen(p);
        check_file(p, "content/index.json", "{}");
        check_file(p, BLOB_PATH, "abc");
        assert_false(exists(p, "content/.tmp-1234"));
        assert_false(exists(p, "content/blobs/sha256/.tmp-1234"));

        put_file(p, "content/oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
        assert_int_equal(content_open(p->fd, &c, &e), -EBADMSG);
        assert_true(error_has_name(&e, "UnsupportedLayout"));
        assert_null(c);
}

static void test_blob(void **state) {
        Place *p = *state;
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL, g = ERROR_NULL, h = ERROR_NULL, i = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        char digest[DIGEST_STRING_MAX];
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 0;
        size_t n = 0;

        assert_false(content_has_blob(p->content, ABC, NULL));
        assert_int_equal(content_open_blob(p->content, ABC, NULL, &e), -ENOENT);
        assert_true(error_has_name(&e, "NoSuchBlob"));

        assert_int_equal(content_write_blob(p->content, "abc", 3, OTHER, digest, &f), -EBADMSG);
        assert_true(error_has_name(&f, "DigestMismatch"));
        assert_int_equal(content_write_blob(p->content, "abc", 3, NULL, digest, NULL), 0);
        assert_string_equal(digest, ABC);
        assert_int_equal(content_write_blob(p->content, "abc", 3, ABC_512, digest, NULL), 0);
        assert_string_equal(digest, ABC_512);
        assert_true(content_has_blob(p->content, ABC, &size));
        assert_int_equal(size, 3);
        assert_true(content_has_blob(p->content, ABC_512, NULL));

        fd = content_open_blob(p->content, ABC, &size, NULL);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);

        assert_int_equal(content_read_blob(p->content, ABC, 3, &text, &n, NULL), 0);
        assert_int_equal(n, 3);
        assert_string_equal(text, "abc");
        assert_int_equal(content_read_blob(p->content, ABC, 2, &text, &n, &g), -EFBIG);
        assert_true(error_has_name(&g, "LimitsExceeded"));

        /* Damaged on disk: with the same size it is seen when read; of another size it is written anew. */
        put_file(p, BLOB_PATH, "abd");
        assert_int_equal(content_read_blob(p->content, ABC, 3, &text, &n, &h), -EBADMSG);
        assert_true(error_has_name(&h, "DigestMismatch"));
        put_file(p, BLOB_PATH, "ab");
        assert_int_equal(content_write_blob(p->content, "abc", 3, ABC, digest, NULL), 0);
        check_file(p, BLOB_PATH, "abc");

        assert_int_equal(content_remove_blob(p->content, ABC), 1);
        assert_int_equal(content_remove_blob(p->content, ABC), 0);
        assert_int_equal(content_remove_blob(p->content, "sha256:../../index.json"), -EINVAL);
        assert_int_equal(content_open_blob(p->content, "sha256:../../../index.json", NULL, &i), -EINVAL);
        assert_int_equal(content_write_blob(p->content, "", 0, "sha256:x", digest, NULL), -EINVAL);
}

static void test_blob_symlink(void **state) {
        Place *p = *state;

        assert_int_equal(symlinkat("/etc/passwd", p->fd, BLOB_PATH), 0);
        assert_false(content_has_blob(p->content, ABC, NULL));
        assert_true(content_open_blob(p->content, ABC, NULL, NULL) < 0);
        assert_int_equal(unlinkat(p->fd, BLOB_PATH, 0), 0);
        assert_int_equal(mkdirat(p->fd, BLOB_PATH, 0700), 0);
        assert_int_equal(content_open_blob(p->content, ABC, NULL, NULL), -EIO);
}

static int add_size(const char *digest, uint64_t size, void *userdata) {
        assert_true(digest_is_valid(digest));
        *(uint64_t *) userdata += size;
        return 0;
}

static int stop(const char *digest, uint64_t size, void *userdata) {
        return -ECANCELED;
}

static void test_foreach(void **state) {
        Place *p = *state;
        char name[NAME_MAX + 32] = "content/blobs/sha256/", digest[DIGEST_STRING_MAX];
        uint64_t sum = 0;

        assert_int_equal(content_write_blob(p->content, "abc", 3, NULL, digest, NULL), 0);
        assert_int_equal(content_write_blob(p->content, "abc", 3, ABC_512, digest, NULL), 0);
        assert_int_equal(content_write_blob(p->content, "", 0, NULL, digest, NULL), 0);
        put_file(p, "content/blobs/sha256/other", "xxxxxxxx");
        memset(name + strlen(name), 'a', NAME_MAX);
        put_file(p, name, "xxxxxxxx");
        assert_int_equal(content_foreach_blob(p->content, add_size, &sum), 0);
        assert_int_equal(sum, 6);
        assert_int_equal(content_foreach_blob(p->content, stop, NULL), -ECANCELED);
}

static void test_ingest(void **state) {
        Place *p = *state;
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL, g = ERROR_NULL, h = ERROR_NULL;
        uint64_t offset = 1;
        int fd = -EBADF;

        need_leases(p);
        assert_int_equal(content_ingest_open(p->content, ABC, &fd, &offset, NULL), 0);
        assert_int_equal(offset, 0);
        assert_true(exists(p, INGEST_PATH "/data"));
        assert_int_equal(write_full(fd, "ab", 2), 0);
        fd = safe_close(fd);

        /* Goes on after a restart. */
        reopen(p);
        assert_int_equal(content_ingest_open(p->content, ABC, &fd, &offset, NULL), 0);
        assert_int_equal(offset, 2);
        assert_int_equal(pwrite_full(fd, "c", 1, offset), 0);

        /* Somebody can still write: we ourselves. */
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, true, &e), -EBUSY);
        assert_false(content_has_blob(p->content, ABC, NULL));
        fd = safe_close(fd);

        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 4, true, &f), -EBADMSG);
        assert_true(error_has_name(&f, "SizeMismatch"));
        assert_int_equal(content_ingest_commit(p->content, ABC, OTHER, 3, true, &g), -EBADMSG);
        assert_true(error_has_name(&g, "DigestMismatch"));
        assert_true(exists(p, INGEST_PATH "/data"));

        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, true, NULL), 0);
        check_file(p, BLOB_PATH, "abc");
        assert_false(exists(p, INGEST_PATH));
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, true, &h), -ENOENT);
}

static void write_ingest(Place *p, const char *key, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t offset;

        assert_int_equal(content_ingest_open(p->content, key, &fd, &offset, NULL), 0);
        assert_int_equal(pwrite_full(fd, text, strlen(text), offset), 0);
}

static void test_ingest_other_process(void **state) {
        Place *p = *state;
        int fd, fds[2], status;
        uint64_t offset;
        char c;
        pid_t pid;

        need_leases(p);
        assert_int_equal(content_ingest_open(p->content, ABC, &fd, &offset, NULL), 0);
        assert_int_equal(write_full(fd, "abc", 3), 0);
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(fds[1]);
                (void) !read(fds[0], &c, 1); /* until the parent closes its end */
                _exit(0);
        }
        assert_int_equal(close(fds[0]), 0);
        fd = safe_close(fd);
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, false, NULL), -EBUSY);
        assert_int_equal(close(fds[1]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, false, NULL), 0);
}

static void test_ingest_mapping(void **state) {
        Place *p = *state;
        uint64_t offset;
        void *map;
        int fd;

        need_leases(p);
        assert_int_equal(content_ingest_open(p->content, ABC, &fd, &offset, NULL), 0);
        assert_int_equal(write_full(fd, "abc", 3), 0);
        map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(map, MAP_FAILED);
        fd = safe_close(fd);
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, false, NULL), -EBUSY);
        assert_int_equal(munmap(map, 3), 0);
        assert_int_equal(content_ingest_commit(p->content, ABC, ABC, 3, false, NULL), 0);
}

static void test_ingest_existing(void **state) {
        Place *p = *state;
        char digest[DIGEST_STRING_MAX];
        struct stat before, after;

        assert_int_equal(content_write_blob(p->content, "abc", 3, NULL, digest, NULL), 0);
        assert_int_equal(fstatat(p->fd, BLOB_PATH, &before, 0), 0);
        write_ingest(p, "some-key", "abc");
        assert_int_equal(content_ingest_commit(p->content, "some-key", ABC, UINT64_MAX, false, NULL), 0);
        assert_int_equal(fstatat(p->fd, BLOB_PATH, &after, 0), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_false(exists(p, "ingest/some-key"));

        /* Not kept where its size shows that it is damaged. */
        put_file(p, BLOB_PATH, "abcd");
        write_ingest(p, "some-key", "abc");
        assert_int_equal(content_ingest_commit(p->content, "some-key", ABC, 3, true, NULL), 0);
        check_file(p, BLOB_PATH, "abc");
}

static void test_ingest_keys(void **state) {
        Place *p = *state;
        static const char *const bad[] = { "", ".", "..", "a/b", "../x", NULL };
        _cleanup_error_ Error e = ERROR_NULL;
        char key[NAME_MAX + 2];
        uint64_t offset;
        int fd = -EBADF;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(content_ingest_open(p->content, bad[i], &fd, &offset, NULL), -EINVAL);
                assert_int_equal(content_ingest_abort(p->content, bad[i]), -EINVAL);
                assert_int_equal(content_ingest_commit(p->content, bad[i], ABC, 3, true, NULL), -EINVAL);
        }

        memset(key, 'k', sizeof(key));
        key[NAME_MAX + 1] = 0;
        assert_int_equal(content_ingest_open(p->content, key, &fd, &offset, &e), -EINVAL);
        key[NAME_MAX] = 0;
        write_ingest(p, key, "x");
        assert_int_equal(content_ingest_abort(p->content, key), 0);
        assert_int_equal(content_ingest_abort(p->content, key), 0);
        assert_int_equal(content_ingest_commit(p->content, "k", "sha256:x", 3, true, NULL), -EINVAL);
}

static void test_ingest_clean(void **state) {
        Place *p = *state;
        const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

        write_ingest(p, OTHER, "x");
        write_ingest(p, ABC, "x");
        write_ingest(p, "import-1", "x");
        write_ingest(p, "sha256-", "x");
        assert_int_equal(utimensat(p->fd, OTHER_INGEST_PATH "/data", old, 0), 0);
        put_file(p, "ingest/stray", "x");
        assert_int_equal(content_ingest_clean(p->content, INGEST_AGE_MAX_USEC), 4);
        assert_false(exists(p, OTHER_INGEST_PATH));
        assert_false(exists(p, "ingest/stray"));
        assert_false(exists(p, "ingest/import-1"));
        assert_true(exists(p, INGEST_PATH "/data"));
        assert_int_equal(content_ingest_clean(p->content, INGEST_AGE_MAX_USEC), 0);
        assert_int_equal(content_ingest_clean(p->content, 0), 1);
        assert_false(exists(p, "ingest/new"));
}

static void test_index(void **state) {
        Place *p = *state;
        _cleanup_free_ char *text = NULL;
        size_t n;

        assert_int_equal(content_write_index(p->content, "{\"x\":1}", 7, true), 0);
        assert_int_equal(content_read_index(p->content, &text, &n), 0);
        assert_int_equal(n, 7);
        assert_string_equal(text, "{\"x\":1}");
}

/* Killed anywhere while it writes blobs: what is visible afterwards is whole. */
static int check_blob(const char *digest, uint64_t size, void *userdata) {
        _cleanup_free_ char *text = NULL;

        assert_int_equal(content_read_blob(userdata, digest, 1 << 20, &text, NULL, NULL), 0);
        return 0;
}

static void test_killed(void **state) {
        Place *p = *state;

        for (unsigned i = 0; i < 20; i++) {
                int status;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0) {
                        static char big[200000], digest[DIGEST_STRING_MAX];

                        for (unsigned k = 0;; k++) {
                                memcpy(big, &k, sizeof(k));
                                memcpy(big + 4, &i, sizeof(i));
                                if (content_write_blob(p->content, big, sizeof(big), NULL, digest, NULL) < 0)
                                        _exit(1);
                        }
                }
                assert_int_equal(usleep(500 * i), 0);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                reopen(p);
                assert_int_equal(content_foreach_blob(p->content, check_blob, p->content), 0);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_layout),
                TEST(test_blob),
                TEST(test_blob_symlink),
                TEST(test_foreach),
                TEST(test_ingest),
                TEST(test_ingest_other_process),
                TEST(test_ingest_mapping),
                TEST(test_ingest_existing),
                TEST(test_ingest_keys),
                TEST(test_ingest_clean),
                TEST(test_index),
                TEST(test_killed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
