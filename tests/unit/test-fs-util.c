/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"

typedef struct Fixture {
        char path[PATH_MAX];
        int fd;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        const char *tmp = getenv("TMPDIR");

        (void) snprintf(f->path, sizeof(f->path), "%s/test-fs-util-XXXXXX", tmp ?: "/tmp");
        if (!mkdtemp(f->path))
                return -1;
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = f;
        return f->fd < 0 ? -1 : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r;

        safe_close(f->fd);
        r = rm_rf_at(AT_FDCWD, f->path);
        free(f);
        return r;
}

static void touch(int dirfd, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

static bool exists(int dirfd, const char *name) {
        return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static int check_fd(int fd) {
        if (fd >= 0) {
                assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
                safe_close(fd);
                return 0;
        }
        return fd;
}

static void test_open_beneath(void **state) {
        int root = ((Fixture *) *state)->fd;
        _cleanup_close_ int dir = -EBADF;

        touch(root, "outside", "secret");
        assert_int_equal(mkdirat_p(root, "dir/sub", 0755), 0);
        dir = openat(root, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
        touch(dir, "file", "x");
        assert_int_equal(symlinkat("file", dir, "in"), 0);
        assert_int_equal(symlinkat("../outside", dir, "up"), 0);
        assert_int_equal(symlinkat("/etc/passwd", dir, "abs"), 0);
        assert_int_equal(symlinkat("/file", dir, "rooted"), 0);
        assert_int_equal(symlinkat("/proc/self/root", dir, "magic"), 0);
        assert_int_equal(symlinkat("loop", dir, "loop"), 0);

        assert_int_equal(check_fd(open_beneath_nofollow(dir, "file", O_RDONLY, 0)), 0);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "sub/../file", O_RDONLY, 0)), 0);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "in", O_RDONLY, 0)), -ELOOP);
        assert_int_equal(
                        check_fd(open_beneath_nofollow(dir, "new", O_RDWR | O_CREAT | O_EXCL, S_IFREG | 0600)),
                        0);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, ".", O_TMPFILE | O_RDWR, 0600)), 0);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "none", O_RDONLY, 0755)), -ENOENT);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "..", O_PATH, 0)), -EXDEV);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "../outside", O_RDONLY, 0)), -EXDEV);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "sub/../../outside", O_RDONLY, 0)), -EXDEV);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "../dir/file", O_RDONLY, 0)), -EXDEV);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "up", O_RDONLY, 0)), -ELOOP);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "abs", O_RDONLY, 0)), -ELOOP);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "/etc/passwd", O_RDONLY, 0)), -EXDEV);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "magic/etc", O_PATH, 0)), -ELOOP);
        assert_int_equal(check_fd(open_beneath_nofollow(dir, "loop", O_RDONLY, 0)), -ELOOP);

        assert_int_equal(check_fd(open_in_root(dir, "rooted", O_RDONLY, 0)), 0);
        assert_int_equal(check_fd(open_in_root(dir, "/file", O_RDONLY, 0)), 0);
        assert_int_equal(check_fd(open_in_root(dir, "../../file", O_RDONLY, 0)), 0);
        assert_int_equal(check_fd(open_in_root(dir, "up", O_RDONLY, 0)), -ENOENT);
        assert_int_equal(check_fd(open_in_root(dir, "abs", O_RDONLY, 0)), -ENOENT);
}

static void test_mkdir(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *absolute = path_join(f->path, "abs/x"), *long_name = malloc(NAME_MAX + 2);
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(mkdirat_p(f->fd, "a/b/c", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "a/b/c", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "./a//d/", 0755), 0);
        assert_true(exists(f->fd, "a/b/c") && exists(f->fd, "a/d"));
        assert_int_equal(mkdirat_p(f->fd, "", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "a/../e", 0755), -EINVAL);
        assert_false(exists(f->fd, "e"));
        assert_int_equal(mkdirat_p(f->fd, "/a", 0755), -EXDEV);
        assert_int_equal(mkdirat_p(AT_FDCWD, absolute, 0755), 0);
        assert_true(exists(f->fd, "abs/x"));

        touch(f->fd, "file", "");
        assert_int_equal(mkdirat_p(f->fd, "file/x", 0755), -ENOTDIR);
        assert_int_equal(symlinkat("a", f->fd, "link"), 0);
        assert_int_equal(mkdirat_p(f->fd, "link/x", 0755), -ELOOP);
        assert_false(exists(f->fd, "a/x"));

        fd = mkdirat_open(f->fd, "new", 0700);
        assert_true(fd >= 0);
        touch(fd, "x", "");
        assert_true(exists(f->fd, "new/x"));
        assert_int_equal(check_fd(mkdirat_open(f->fd, "new", 0700)), 0);
        assert_int_equal(mkdirat_open(f->fd, "link", 0700), -ELOOP);
        assert_int_equal(mkdirat_open(f->fd, "file", 0700), -ENOTDIR);
        assert_int_equal(mkdirat_open(f->fd, "a/z", 0700), -EINVAL);
        assert_int_equal(mkdirat_open(f->fd, "..", 0700), -EINVAL);
        memset(long_name, 'n', NAME_MAX + 1);
        long_name[NAME_MAX + 1] = 0;
        assert_int_equal(mkdirat_open(f->fd, long_name, 0700), -EINVAL);
        assert_int_equal(check_fd(mkdirat_open(f->fd, long_name + 1, 0700)), 0);
}

static int read_(int dirfd, const char *path, size_t max, const char *expected) {
        _cleanup_free_ char *s = NULL;
        size_t n;
        int r;

        r = read_file_at(dirfd, path, max, &s, &n);
        if (r < 0)
                return r;

        assert_int_equal(n, strlen(expected));
        assert_string_equal(s, expected);
        return 0;
}

static void test_read(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *absolute = path_join(f->path, "link"), *s = NULL;

        touch(f->fd, "file", "0123456789");
        touch(f->fd, "empty", "");
        assert_int_equal(mkdirat_p(f->fd, "d", 0755), 0);
        assert_int_equal(symlinkat("file", f->fd, "link"), 0);
        assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0);

        assert_int_equal(read_(f->fd, "file", 10, "0123456789"), 0);
        assert_int_equal(read_(f->fd, "file", 9, ""), -EFBIG);
        assert_int_equal(read_(f->fd, "empty", 0, ""), 0);
        assert_int_equal(read_(f->fd, "none", 10, ""), -ENOENT);
        assert_int_equal(read_(f->fd, "d", 10, ""), -EISDIR);
        assert_int_equal(read_(f->fd, "fifo", 10, ""), -EINVAL); /* and does not hang */
        assert_int_equal(read_(f->fd, "link", 10, ""), -ELOOP);
        assert_int_equal(read_(f->fd, "d/../../x", 10, ""), -EXDEV);
        /* Our own path. */
        assert_int_equal(read_(AT_FDCWD, absolute, 10, "0123456789"), 0);
        /* A regular file without a size. */
        assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/status", 100000, &s, NULL), 0);
        assert_non_null(startswith(s, "Name:"));
}

static void test_write(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *absolute = path_join(f->path, "d/abs");
        struct stat st;
        mode_t mask;

        assert_int_equal(mkdirat_p(f->fd, "d", 0755), 0);
        mask = umask(0077);
        assert_int_equal(write_file_atomic_at(f->fd, "file", "abc", 3, 0644, true), 0);
        umask(mask);
        assert_int_equal(read_(f->fd, "file", 10, "abc"), 0);
        assert_int_equal(fstatat(f->fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);

        assert_int_equal(write_file_atomic_at(f->fd, "file", "", 0, 0600, false), 0);
        assert_int_equal(read_(f->fd, "file", 10, ""), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "d/file", "x", 1, 0600, true), 0);
        assert_int_equal(read_(f->fd, "d/file", 10, "x"), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, absolute, "y", 1, 0600, true), 0);
        assert_int_equal(read_(f->fd, "d/abs", 10, "y"), 0);

        /* Replaces a symlink instead of writing through it. */
        assert_int_equal(symlinkat("d/file", f->fd, "link"), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "link", "z", 1, 0600, false), 0);
        assert_int_equal(read_(f->fd, "d/file", 10, "x"), 0);
        assert_int_equal(read_(f->fd, "link", 10, "z"), 0);

        /* Fails without a trace. */
        assert_int_equal(mkdirat_p(f->fd, "e/f", 0755), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "e/f", "x", 1, 0600, false), -EISDIR);
        assert_int_equal(rm_rf_at(f->fd, "e/f"), 0);
        assert_int_equal(dir_is_empty_at(f->fd, "e"), 1);
        assert_int_equal(write_file_atomic_at(f->fd, "none/f", "x", 1, 0600, false), -ENOENT);
        assert_int_equal(write_file_atomic_at(f->fd, "../f", "x", 1, 0600, false), -EXDEV);
        assert_int_equal(write_file_atomic_at(f->fd, "d/..", "x", 1, 0600, false), -EINVAL);
        assert_int_equal(write_file_atomic_at(f->fd, "", "x", 1, 0600, false), -EINVAL);
}

static void test_rm_rf(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdirat_p(f->fd, "keep/sub", 0755), 0);
        touch(f->fd, "keep/file", "x");
        assert_int_equal(mkdirat_p(f->fd, "t/a/b/c", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "t/d", 0755), 0);
        assert_int_equal(mkfifoat(f->fd, "t/a/fifo", 0600), 0);
        touch(f->fd, "t/a/b/file", "x");
        assert_int_equal(symlinkat("../keep", f->fd, "t/link"), 0);
        assert_int_equal(symlinkat("../../keep", f->fd, "t/a/link"), 0);
        assert_int_equal(symlinkat("/nowhere", f->fd, "t/a/dangling"), 0);

        assert_int_equal(rm_rf_at(f->fd, "t"), 0);
        assert_false(exists(f->fd, "t"));
        assert_true(exists(f->fd, "keep/file") && exists(f->fd, "keep/sub"));
        assert_int_equal(rm_rf_at(f->fd, "t"), 0);
        assert_int_equal(rm_rf_at(f->fd, "no/such"), 0);

        /* The name itself is a symlink, and one is on the way. */
        assert_int_equal(symlinkat("keep", f->fd, "link"), 0);
        assert_int_equal(rm_rf_at(f->fd, "link/sub"), -ELOOP);
        assert_int_equal(rm_rf_at(f->fd, "link"), 0);
        assert_false(exists(f->fd, "link"));
        assert_true(exists(f->fd, "keep/sub"));
        assert_int_equal(rm_rf_at(f->fd, "keep/file"), 0);
        assert_false(exists(f->fd, "keep/file"));

        assert_int_equal(rm_rf_at(f->fd, "."), -EINVAL);
        assert_int_equal(rm_rf_at(f->fd, "keep/.."), -EINVAL);
        assert_int_equal(rm_rf_at(f->fd, "keep/"), -EINVAL);
        assert_int_equal(rm_rf_at(f->fd, ""), -EINVAL);
        assert_true(exists(f->fd, "keep/sub"));
}

#define DEEP 3000U

/* Far deeper than PATH_MAX and than there are descriptors; and wide. */
static void test_rm_rf_large(void **state) {
        Fixture *f = *state;
        char name[101];
        int fd;

        memset(name, 'd', 100);
        name[100] = 0;
        assert_int_equal(mkdirat(f->fd, "deep", 0755), 0);
        fd = openat(f->fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < DEEP; i++) {
                int next;

                touch(fd, "file", "x");
                assert_int_equal(mkdirat(fd, "second", 0755), 0);
                next = mkdirat_open(fd, name, 0755);
                assert_true(next >= 0);
                safe_close(fd);
                fd = next;
        }
        safe_close(fd);
        assert_int_equal(rm_rf_at(f->fd, "deep"), 0);
        assert_false(exists(f->fd, "deep"));

        fd = mkdirat_open(f->fd, "wide", 0755);
        for (unsigned i = 0; i < 3000; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                if (i % 3 == 0)
                        assert_int_equal(mkdirat(fd, name, 0755), 0);
                else
                        touch(fd, name, "x");
        }
        safe_close(fd);
        assert_int_equal(rm_rf_at(f->fd, "wide"), 0);
        assert_false(exists(f->fd, "wide"));
}

/* In a mount namespace of its own; where the system allows none there is nothing to cross. */
static void test_mounts(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *source = path_join(f->path, "source"), *dir = path_join(f->path, "t/dir/mnt"),
                            *file = path_join(f->path, "t/file"), *top = path_join(f->path, "top"),
                            *source_file = path_join(f->path, "source/file");
        int status;
        pid_t pid;

        assert_int_equal(mkdirat_p(f->fd, "t/dir/mnt", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "source", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "top", 0755), 0);
        assert_int_equal(mkdirat_p(f->fd, "u", 0755), 0);
        touch(f->fd, "source/file", "precious");

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
                    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount(source, dir, NULL, MS_BIND, NULL) < 0 ||
                    mount(source, top, NULL, MS_BIND, NULL) < 0)
                        _exit(77);
                /* The old descriptor belongs to the old namespace, where nothing is mounted. */
                safe_close(f->fd);
                f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (rm_rf_at(f->fd, "t") != -EXDEV)
                        _exit(1);
                if (rm_rf_at(f->fd, "top") != -EXDEV)
                        _exit(2);
                touch(f->fd, "t/file", "");
                if (umount(dir) < 0 || mount(source_file, file, NULL, MS_BIND, NULL) < 0)
                        _exit(77);
                if (rm_rf_at(f->fd, "t") != -EBUSY)
                        _exit(3);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(read_(f->fd, "source/file", 100, "precious"), 0);
        if (WEXITSTATUS(status) == 77) {
                print_message("the system lets us mount nothing\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_empty(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdirat_p(f->fd, "x/y", 0755), 0);
        assert_int_equal(dir_is_empty_at(f->fd, "x"), 0);
        assert_int_equal(dir_is_empty_at(f->fd, "x/y"), 1);
        assert_int_equal(dir_is_empty_at(f->fd, "none"), -ENOENT);
        touch(f->fd, ".hidden", "");
        assert_int_equal(dir_is_empty_at(f->fd, ".hidden"), -ENOTDIR);
        assert_int_equal(dir_is_empty_at(f->fd, "."), 0);
        assert_int_equal(fsync_dir(f->fd), 0);
}

static void check_join(const char *a, const char *b, const char *expected) {
        _cleanup_free_ char *s = path_join(a, b);

        assert_string_equal(s, expected);
}

static void test_names(void **state) {
        static const char *const good[] = { "/", "/a", "/a/b", "/a/...", "/.a", "/a/..b" };
        static const char *const bad[] = { "",    "a",    "//",    "/a/",     "/a//b", "/.",
                                           "/..", "/a/.", "/a/..", "/a/../b", "/./a" };
        char name[PATH_MAX + 1];

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(path_is_normalized(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(path_is_normalized(bad[i]));
        assert_false(path_is_normalized(NULL));
        memset(name, 'a', sizeof(name));
        name[0] = '/';
        name[PATH_MAX] = 0;
        assert_false(path_is_normalized(name));
        name[PATH_MAX - 1] = 0;
        assert_true(path_is_normalized(name));

        assert_true(filename_is_valid("a"));
        assert_true(filename_is_valid("..."));
        assert_false(filename_is_valid(""));
        assert_false(filename_is_valid(NULL));
        assert_false(filename_is_valid("."));
        assert_false(filename_is_valid(".."));
        assert_false(filename_is_valid("a/b"));
        assert_false(filename_is_valid("/"));
        name[0] = 'a';
        name[NAME_MAX] = 0;
        assert_true(filename_is_valid(name));
        name[NAME_MAX] = 'a';
        assert_false(filename_is_valid(name));

        check_join("/a", "b", "/a/b");
        check_join("/a/", "/b", "/a/b");
        check_join("/a//", "//b/", "/a/b/");
        check_join("/", "b", "/b");
        check_join("a", "b/c", "a/b/c");
}

static void test_path_startswith(void **state) {
        assert_string_equal(path_startswith("/a/b", "/a"), "/b");
        assert_string_equal(path_startswith("/a", "/a"), "");
        assert_null(path_startswith("/ab", "/a"));
        assert_null(path_startswith("/a", "/a/b"));
        assert_null(path_startswith("/b/a", "/a"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_path_startswith),
                cmocka_unit_test_setup_teardown(test_open_beneath, setup, teardown),
                cmocka_unit_test_setup_teardown(test_mkdir, setup, teardown),
                cmocka_unit_test_setup_teardown(test_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_write, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rm_rf, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rm_rf_large, setup, teardown),
                cmocka_unit_test_setup_teardown(test_mounts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
