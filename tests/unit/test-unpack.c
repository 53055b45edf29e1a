/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "helper/decompress.h"
#include "helper/layer-stream.h"
#include "helper/remove.h"
#include "helper/tree-writer.h"
#include "helper/unpack.h"
#include "oci/digest.h"
#include "tar-builder.h"

#define GIB (UINT64_C(1) << 30)

typedef struct Fixture {
        char path[PATH_MAX];
        int root;
        Error error;
        UnpackResult result;
        TarBuilder tar;
        char diff_id[DIGEST_STRING_MAX];
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        const char *tmp = getenv("TMPDIR");

        (void) setlocale(LC_CTYPE, "C.UTF-8");
        (void) snprintf(f->path, sizeof(f->path), "%s/test-unpack-XXXXXX", tmp ?: "/tmp");
        if (!mkdtemp(f->path))
                return -1;
        f->root = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* Larger than the input buffer, not compressible to nothing, and with a known tail. */
        for (unsigned i = 0; i < 400; i++) {
                char name[32], data[3000];

                for (size_t k = 0; k < sizeof(data); k++)
                        data[k] = (char) ((k * k * (i + 7) >> 5) ^ (k * 31));
                (void) snprintf(name, sizeof(name), "file%u", i);
                TAR_ADD(&f->tar, .name = name, .data = data, .size = sizeof(data));
        }
        tar_end(&f->tar);
        *state = f;
        return f->root < 0 || digest_of_bytes(DIGEST_SHA256, f->tar.data, f->tar.size, f->diff_id) < 0 ? -1
                                                                                                       : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r;

        safe_close(f->root);
        error_done(&f->error);
        unpack_result_done(&f->result);
        tar_builder_done(&f->tar);
        r = rm_rf_at(AT_FDCWD, f->path);
        free(f);
        return r;
}

static int unpack_fd(Fixture *f, int fd, char *diff_id, uint64_t max_bytes) {
        UnpackRequest q = { .diff_id = diff_id, .max_bytes = max_bytes, .max_entries = 1000 };
        const UnpackFiles files = { .blob_fd = fd, .root_fd = f->root, .lower_fd = TREE_LOWER_NONE };
        int r;

        error_done(&f->error);
        unpack_result_done(&f->result);
        assert_int_equal(remove_contents(f->root, NULL), 0);
        r = unpack_layer(&q, &files, NULL, &f->result, &f->error);
        if (r < 0)
                print_message("%s: %s\n", error_name(&f->error), error_message(&f->error));
        return r;
}

static int unpack(Fixture *f, const void *p, size_t n) {
        _cleanup_close_ int fd = bytes_to_fd(p, n);

        return unpack_fd(f, fd, f->diff_id, GIB);
}

static void assert_unpacked(Fixture *f, const void *p, size_t n) {
        assert_int_equal(unpack(f, p, n), 0);
        assert_int_equal(f->result.size, f->tar.size);
        assert_int_equal(f->result.tree.entries, 400);
        assert_int_equal(faccessat(f->root, "file399", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void assert_refused(Fixture *f, const void *p, size_t n, const char *name) {
        assert_true(unpack(f, p, n) < 0);
        assert_string_equal(error_name(&f->error), name);
}

static void test_compressions(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *gz = NULL, *zst = NULL;
        size_t gz_size, zst_size;

        gz = gzip_bytes(f->tar.data, f->tar.size, &gz_size);
        zst = zstd_bytes(f->tar.data, f->tar.size, &zst_size);
        assert_true(gz_size > DECOMPRESS_INPUT_SIZE);
        assert_unpacked(f, f->tar.data, f->tar.size);
        assert_unpacked(f, gz, gz_size);
        assert_unpacked(f, zst, zst_size);

        assert_refused(f, "\xfd" "7zXZ\0\0", 8, "UnsupportedMediaType");
        assert_refused(f, "BZh91AY&SY", 10, "UnsupportedMediaType");
}

/* pigz, estargz and zstd:chunked write several members; padding of zeros is what tapes had. */
static void test_members(void **state) {
        Fixture *f = *state;
        TarBuilder gz = {}, zst = {};
        static const char zeros[4096];
        static const char skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'x', 'x', 'x', 'x' };
        size_t step = 100 * 1000;

        for (size_t pos = 0; pos < f->tar.size; pos += step) {
                size_t n = MIN(step, f->tar.size - pos), size;
                char *piece = gzip_bytes(f->tar.data + pos, n, &size);

                tar_add_bytes(&gz, piece, size);
                free(piece);
                piece = zstd_bytes(f->tar.data + pos, n, &size);
                tar_add_bytes(&zst, piece, size);
                tar_add_bytes(&zst, skippable, sizeof(skippable));
                free(piece);
        }
        assert_unpacked(f, gz.data, gz.size);
        assert_unpacked(f, zst.data, zst.size);

        tar_add_bytes(&gz, zeros, sizeof(zeros));
        assert_unpacked(f, gz.data, gz.size);
        tar_add_bytes(&gz, "x", 1);
        assert_refused(f, gz.data, gz.size, "InvalidArchive");
        tar_add_bytes(&zst, "x", 1);
        assert_refused(f, zst.data, zst.size, "InvalidArchive");
        tar_builder_done(&gz);
        tar_builder_done(&zst);
}

static void test_truncated(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *gz = NULL, *zst = NULL;
        size_t gz_size, zst_size;

        gz = gzip_bytes(f->tar.data, f->tar.size, &gz_size);
        zst = zstd_bytes(f->tar.data, f->tar.size, &zst_size);
        /* In the header, in the data, in the trailer. */
        for (size_t cut = 1; cut < 12; cut++)
                assert_refused(f, gz, gz_size - cut, "InvalidArchive");
        for (size_t n = 3; n < gz_size; n = n * 3 + 1)
                assert_refused(f, gz, n, "InvalidArchive");
        for (size_t n = 5; n < zst_size; n = n * 3 + 1)
                assert_refused(f, zst, n, "InvalidArchive");
        assert_refused(f, zst, zst_size - 1, "InvalidArchive");
        assert_refused(f, f->tar.data, f->tar.size - 2 * TAR_BLOCK - 1, "InvalidArchive");
        /* The end alone is missing: a tar for everybody, but not this one. */
        assert_refused(f, f->tar.data, f->tar.size - 2 * TAR_BLOCK, "DigestMismatch");
}

static void test_damaged(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *gz = NULL;
        size_t n;

        gz = gzip_bytes(f->tar.data, f->tar.size, &n);
        gz[n - 1] ^= 1; /* length */
        assert_refused(f, gz, n, "InvalidArchive");
        gz[n - 1] ^= 1;
        gz[n - 8] ^= 1; /* CRC */
        assert_refused(f, gz, n, "InvalidArchive");
        gz[n - 8] ^= 1;
        gz[n / 2] ^= 0x55;
        assert_true(unpack(f, gz, n) < 0);
}

static void test_diff_id(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int fd = -EBADF;
        char other[DIGEST_STRING_MAX];

        /* Bytes behind the tar's end count. */
        tar_add_bytes(&f->tar, "\0padding", 8);
        assert_refused(f, f->tar.data, f->tar.size, "DigestMismatch");
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, f->tar.data, f->tar.size, f->diff_id), 0);
        assert_unpacked(f, f->tar.data, f->tar.size);

        assert_int_equal(digest_of_bytes(DIGEST_SHA512, f->tar.data, f->tar.size, other), 0);
        fd = bytes_to_fd(f->tar.data, f->tar.size);
        assert_int_equal(unpack_fd(f, fd, other, GIB), 0);
        assert_int_equal(unpack_fd(f, fd, (char *) "md5:x", GIB), -EINVAL);
}

static void test_empty(void **state) {
        Fixture *f = *state;

        assert_int_equal(digest_of_bytes(DIGEST_SHA256, "", 0, f->diff_id), 0);
        assert_int_equal(unpack(f, "", 0), 0);
        assert_int_equal(f->result.tree.entries, 0);
        assert_int_equal(f->result.size, 0);
}

static void test_zeros(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int fd = gzip_zeros_tar(GIB, f->diff_id);
        struct stat st;

        /* A megabyte that becomes a gigabyte is no error in itself … */
        assert_int_equal(unpack_fd(f, fd, f->diff_id, GIB + 3 * TAR_BLOCK), 0);
        assert_int_equal(f->result.size, GIB + 3 * TAR_BLOCK);
        assert_int_equal(fstatat(f->root, "zeros", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_size, GIB);

        /* … but is where the limit is, to the byte. */
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(unpack_fd(f, fd, f->diff_id, GIB + 3 * TAR_BLOCK - 1), -EFBIG);
        assert_string_equal(error_name(&f->error), "LayerTooLarge");
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(unpack_fd(f, fd, f->diff_id, 1 << 20), -EFBIG);
}

typedef struct Drip {
        int fd;
        const char *p;
        size_t n;
} Drip;

static void *drip_main(void *userdata) {
        Drip *d = userdata;

        for (size_t i = 0; i < d->n; i += 7)
                assert_int_equal(write_full(d->fd, d->p + i, MIN((size_t) 7, d->n - i)), 0);
        close(d->fd);
        return NULL;
}

/* Input in pieces of seven bytes, output in pieces of odd sizes. */
static void test_pieces(void **state) {
        Fixture *f = *state;

        for (unsigned kind = 0; kind < 3; kind++) {
                _cleanup_(decompressor_freep) Decompressor *d = NULL;
                _cleanup_free_ char *out = malloc(f->tar.size + 1), *in = NULL;
                size_t n = f->tar.size, done = 0;
                Drip drip;
                pthread_t thread;
                int p[2];

                in = kind == 0   ? gzip_bytes(f->tar.data, f->tar.size, &n)
                     : kind == 1 ? zstd_bytes(f->tar.data, f->tar.size, &n)
                                 : NULL;
                assert_int_equal(pipe2(p, O_CLOEXEC), 0);
                drip = (Drip) { p[1], in ?: f->tar.data, n };
                assert_int_equal(pthread_create(&thread, NULL, drip_main, &drip), 0);
                assert_int_equal(decompressor_new(p[0], &d, NULL), 0);
                for (size_t piece = 1;; piece = piece * 2 % 70001 + 1) {
                        ssize_t k = decompressor_read(d, out + done, MIN(piece, f->tar.size + 1 - done),
                                                      NULL);

                        assert_true(k >= 0);
                        if (k == 0)
                                break;
                        done += (size_t) k;
                }
                assert_int_equal(done, f->tar.size);
                assert_memory_equal(out, f->tar.data, done);
                assert_int_equal(decompressor_consumed(d), n);
                assert_int_equal(pthread_join(thread, NULL), 0);
                close(p[0]);
        }
}

/* A stream that nobody reads to its end stops its threads. */
static void test_abandoned(void **state) {
        _cleanup_close_ int fd = -EBADF;
        Fixture *f = *state;
        const void *p;
        size_t n;

        fd = gzip_zeros_tar(UINT64_C(64) << 20, f->diff_id);
        for (unsigned i = 0; i < 20; i++) {
                LayerStream *s;

                assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
                assert_int_equal(layer_stream_new(fd, DIGEST_SHA256, GIB, &s, NULL), 0);
                for (unsigned k = 0; k < i; k++)
                        assert_int_equal(layer_stream_next(s, &p, &n, NULL), 1);
                layer_stream_free(s);
        }
}

static void test_remove(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdirat_p(f->root, "a/b/c", 0700), 0);
        assert_int_equal(symlinkat("/", f->root, "link"), 0);
        assert_int_equal(write_file_atomic_at(f->root, "file", "x", 1, 0400, false), 0);
        assert_int_equal(remove_contents(f->root, NULL), 0);
        assert_int_equal(dir_is_empty_at(f->root, "."), 1);
        assert_int_equal(faccessat(f->root, ".", F_OK, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_compressions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_members, setup, teardown),
                cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_diff_id, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
                cmocka_unit_test_setup_teardown(test_zeros, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
