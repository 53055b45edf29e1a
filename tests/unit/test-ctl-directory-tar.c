/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "ctl/directory-tar.h"

typedef struct Fixture {
        char path[64];
        int dir_fd, tree_fd, out_fd;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        strcpy(f->path, "/tmp/test-ctl-directory-tar-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->tree_fd = mkdirat_open(f->dir_fd, "tree", 0755);
        f->out_fd = mkdirat_open(f->dir_fd, "out", 0755);
        *state = f;
        return f->tree_fd < 0 || f->out_fd < 0 ? -1 : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        safe_close(f->tree_fd);
        safe_close(f->out_fd);
        safe_close(f->dir_fd);
        (void) rm_rf_at(AT_FDCWD, f->path);
        free(f);
        return 0;
}

static void put(Fixture *f, const char *name, const char *text) {
        assert_int_equal(write_file_atomic_at(f->tree_fd, name, text, strlen(text), 0644, false), 0);
}

/* Has tar(1) read it, which shares no code with what wrote it. */
static void unpack(Fixture *f, int archive) {
        _cleanup_free_ char *command = strformat("tar -C %s/out -xf - 2>&1", f->path);
        int saved = dup(STDIN_FILENO), r;

        assert_true(dup2(archive, STDIN_FILENO) >= 0);
        r = system(command);
        assert_true(dup2(saved, STDIN_FILENO) >= 0);
        close(saved);
        assert_int_equal(r, 0);
}

static void expect(Fixture *f, const char *name, const char *text) {
        _cleanup_free_ char *have = NULL;
        size_t size;

        assert_int_equal(read_file_at(f->out_fd, name, 1 << 20, &have, &size), 0);
        assert_string_equal(have, text);
}

static void test_tree(void **state) {
        char text[1025], long_name[201], long_link[301], target[400] = "";
        _cleanup_close_ int archive = memfd_create("archive", MFD_CLOEXEC);
        Fixture *f = *state;
        struct stat st;

        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        memset(long_name, 'n', sizeof long_name - 1);
        long_name[sizeof long_name - 1] = 0;
        memset(long_link, 'l', sizeof long_link - 1);
        long_link[sizeof long_link - 1] = 0;

        put(f, "oci-layout", "{}");
        put(f, "empty", "");
        assert_int_equal(mkdirat_p(f->tree_fd, "blobs/sha512", 0755), 0);
        put(f, "block", text); /* two blocks exactly */
        text[1000] = 0;
        put(f, "not-a-block", text);
        put(f, long_name, "long");
        text[99] = 0;
        put(f, text, "ninety-nine");
        assert_int_equal(symlinkat(long_link, f->tree_fd, "link"), 0);
        assert_int_equal(mkfifoat(f->tree_fd, "fifo", 0644), 0); /* neither read nor listed */

        assert_int_equal(directory_tar_write(f->tree_fd, archive), 0);
        assert_int_equal(fstat(archive, &st), 0);
        assert_int_equal(st.st_size % 512, 0);
        assert_int_equal(lseek(archive, 0, SEEK_SET), 0);
        unpack(f, archive);

        expect(f, "oci-layout", "{}");
        expect(f, "empty", "");
        expect(f, long_name, "long");
        expect(f, text, "ninety-nine");
        memset(text, 'x', sizeof text - 1);
        expect(f, "block", text);
        text[1000] = 0;
        expect(f, "not-a-block", text);
        assert_int_equal(readlinkat(f->out_fd, "link", target, sizeof target), 300);
        assert_int_equal(fstatat(f->out_fd, "blobs/sha512", &st, 0), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(fstatat(f->out_fd, "fifo", &st, 0), -1);
}

static void test_child(void **state) {
        _cleanup_close_ int archive = -EBADF;
        Fixture *f = *state;
        pid_t pid = 0;
        int status;

        put(f, "file", "content");
        archive = directory_tar_start(f->tree_fd, &pid);
        assert_true(archive >= 0);
        unpack(f, archive);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        expect(f, "file", "content");
}

static void test_depth(void **state) {
        _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char path[2 * (DIRECTORY_TAR_DEPTH_MAX + 2)] = "";
        Fixture *f = *state;

        for (unsigned i = 0; i < DIRECTORY_TAR_DEPTH_MAX; i++)
                strcat(path, i == 0 ? "d" : "/d");
        assert_int_equal(mkdirat_p(f->tree_fd, path, 0755), 0);
        assert_int_equal(directory_tar_write(f->tree_fd, null), 0);
        strcat(path, "/d");
        assert_int_equal(mkdirat_p(f->tree_fd, path, 0755), 0);
        assert_int_equal(directory_tar_write(f->tree_fd, null), -ELOOP);
}

static void test_write_error(void **state) {
        _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        Fixture *f = *state;

        put(f, "file", "content");
        assert_int_equal(directory_tar_write(f->tree_fd, full), -ENOSPC);
}

/* A size that octal digits cannot hold: the file is a hole, and only its header is read. */
static void test_large_file(void **state) {
        _cleanup_close_ int archive = -EBADF, large = -EBADF;
        uint8_t header[512];
        Fixture *f = *state;
        uint64_t size = 0;
        FILE *stream;
        pid_t pid = 0;

        large = openat(f->tree_fd, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(ftruncate(large, (off_t) 9 << 30), 0);
        archive = directory_tar_start(f->tree_fd, &pid);
        assert_true(archive >= 0);
        stream = fdopen(archive, "r");
        assert_non_null(stream);
        TAKE_FD(archive);
        assert_int_equal(fread(header, 1, sizeof(header), stream), sizeof(header));
        (void) fclose(stream); /* the writer ends by SIGPIPE */
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        assert_string_equal((const char *) header, "large");
        assert_int_equal(header[124], 0x80);
        for (size_t i = 128; i < 136; i++)
                size = size << 8 | header[i];
        assert_int_equal(size, UINT64_C(9) << 30);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
                cmocka_unit_test_setup_teardown(test_child, setup, teardown),
                cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
                cmocka_unit_test_setup_teardown(test_write_error, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_file, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
