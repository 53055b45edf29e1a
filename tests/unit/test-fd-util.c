/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"

static unsigned count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static void test_close(void **state) {
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        errno = EXDEV;
        assert_int_equal(safe_close(p[0]), -EBADF);
        assert_int_equal(errno, EXDEV);
        assert_false(is_open(p[0]));
        assert_int_equal(safe_close(-EBADF), -EBADF);
        p[0] = -EBADF;
        safe_close_pair(p);
        assert_int_equal(p[1], -EBADF);
}

static void test_flags(void **state) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        _cleanup_close_ int copy = -EBADF;

        assert_int_equal(pipe2(p, 0), 0);
        assert_int_equal(fd_set_nonblock(p[0], true), 0);
        assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(p[0], false), 0);
        assert_false(fcntl(p[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_cloexec(p[0], true), 0);
        assert_int_equal(fcntl(p[0], F_GETFD), FD_CLOEXEC);
        assert_int_equal(fd_set_cloexec(p[0], false), 0);
        assert_int_equal(fcntl(p[0], F_GETFD), 0);
        assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
        assert_int_equal(fd_set_cloexec(-1, true), -EBADF);

        copy = fd_dup(0);
        assert_true(copy > 2);
        assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fd_dup(-1), -EBADF);
}

/* In a child, which has no use for the rest. */
static void test_close_all(void **state) {
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int a = fcntl(0, F_DUPFD, 20), b = fcntl(0, F_DUPFD, 40), c = fcntl(0, F_DUPFD, 41);
                int except[] = { c, a, -EBADF, a, 1 };

                if (a < 0 || b < 0 || c < 0 || close_all_fds_except(except, ELEMENTSOF(except)) < 0)
                        _exit(1);
                if (!is_open(0) || !is_open(1) || !is_open(2) || !is_open(a) || !is_open(c))
                        _exit(2);
                for (int i = 3; i < 100; i++)
                        if (i != a && i != c && is_open(i))
                                _exit(3);
                if (close_all_fds_except(NULL, 0) < 0 || is_open(a) || is_open(c) || !is_open(2))
                        _exit(4);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_full(void **state) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        size_t n;

        assert_int_equal(write_full(fd, "0123456789", 10), 0);
        assert_int_equal(pwrite_full(fd, "ab", 2, 4), 0);
        assert_int_equal(pwrite_full(fd, "ab", 2, INT64_MAX), -EFBIG);
        assert_int_equal(pwrite_full(fd, "ab", 2, UINT64_MAX), -EFBIG);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(read_all(fd, 10, &text, &n), 0);
        assert_int_equal(n, 10);
        assert_string_equal(text, "0123ab6789");
        assert_int_equal(write_full(-1, "abc", 3), -EBADF);
}

static void check_read_all(size_t size, size_t max, int expected) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
        _cleanup_free_ char *data = malloc(size + 1), *got = NULL;
        size_t n = 77;
        int r;

        memset(data, 'x', size);
        assert_int_equal(write_full(fd, data, size), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        r = read_all(fd, max, &got, &n);
        assert_int_equal(r, expected);
        if (r < 0) {
                assert_null(got);
                assert_int_equal(n, 77);
                return;
        }
        assert_int_equal(n, size);
        assert_memory_equal(got, data, size);
        assert_int_equal(got[n], 0);
}

static void test_read_all(void **state) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        _cleanup_free_ char *got = NULL, *big = malloc(50000), *none = NULL;
        size_t n;

        check_read_all(0, 0, 0);
        check_read_all(1, 0, -EFBIG);
        check_read_all(0, 100, 0);
        check_read_all(100, 100, 0);
        check_read_all(101, 100, -EFBIG);
        check_read_all(4096, 4096, 0);
        check_read_all(4097, 10000, 0);
        check_read_all(1000000, 1000000, 0);
        check_read_all(1000001, 1000000, -EFBIG);
        assert_int_equal(read_all(0, SIZE_MAX, &none, &n), -EINVAL);

        /* No size to go by. */
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        memset(big, 'y', 50000);
        assert_int_equal(write_full(p[1], big, 50000), 0);
        p[1] = safe_close(p[1]);
        assert_int_equal(read_all(p[0], 50000, &got, &n), 0);
        assert_int_equal(n, 50000);
        assert_memory_equal(got, big, 50000);
}

static void test_memfd(void **state) {
        _cleanup_close_ int fd = memfd_new_sealed("test", "abc", 3);
        _cleanup_free_ char *got = NULL;
        size_t n;

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(read_all(fd, 100, &got, &n), 0);
        assert_int_equal(n, 3);
        assert_string_equal(got, "abc");
        assert_int_equal(pwrite_full(fd, "x", 1, 0), -EPERM);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, 10), -1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void test_pass(void **state) {
        _cleanup_close_pair_ int s[2] = { -EBADF, -EBADF };
        int send[FDS_MAX + 1], got[FDS_MAX];
        size_t n = 77;
        char buf[16];
        unsigned before;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
        before = count_fds();
        for (size_t i = 0; i < ELEMENTSOF(send); i++)
                send[i] = s[0];

        assert_int_equal(send_with_fds(s[0], "hello", 5, send, FDS_MAX, 0), 0);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), 5);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(n, FDS_MAX);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
                safe_close(got[i]);
        }

        assert_int_equal(send_with_fds(s[0], "x", 1, NULL, 0, 0), 0);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), 1);
        assert_int_equal(n, 0);

        assert_int_equal(send_with_fds(s[0], "x", 1, send, FDS_MAX + 1, 0), -EINVAL);
        assert_int_equal(send_with_fds(s[0], "", 0, NULL, 0, 0), -EINVAL);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, MSG_DONTWAIT), -EAGAIN);

        /* Too long for the buffer: refused, and its descriptor closed. */
        assert_int_equal(send_with_fds(s[0], "0123456789abcdefg", 17, send, 1, 0), 0);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), -EMSGSIZE);
        assert_int_equal(count_fds(), before);

        s[0] = safe_close(s[0]);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), 0);
        assert_int_equal(n, 0);
        assert_int_equal(send_with_fds(s[1], "x", 1, NULL, 0, 0), -EPIPE);
}

/* A sender that does not keep to FDS_MAX. */
static void send_many(int sock, int fd, size_t n_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * 253)];
        } control = {};
        char byte = 'x';
        struct iovec iov = { &byte, 1 };
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds),
        };

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (size_t i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd, sizeof(int));
        assert_int_equal(sendmsg(sock, &mh, 0), 1);
}

static void test_pass_too_many(void **state) {
        static const size_t counts[] = { FDS_MAX + 1, 64, 253 };
        _cleanup_close_pair_ int s[2] = { -EBADF, -EBADF };
        int got[FDS_MAX], on = 1;
        unsigned before;
        char buf[16];
        size_t n;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
        before = count_fds();
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                send_many(s[0], s[0], counts[i]);
                assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), -EMSGSIZE);
                assert_int_equal(count_fds(), before);
        }

        /* Credentials besides are no harm. */
        assert_int_equal(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        send_many(s[0], s[0], FDS_MAX);
        assert_int_equal(recv_with_fds(s[1], buf, sizeof(buf), got, &n, 0), 1);
        assert_int_equal(n, FDS_MAX);
        for (size_t i = 0; i < n; i++)
                safe_close(got[i]);
}

static void test_size(void **state) {
        _cleanup_close_ int fd = memfd_new_sealed("test", "abc", 3),
                            null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char path[PROC_FD_PATH_MAX];
        struct stat a, b;
        uint64_t n;

        assert_int_equal(fd_size(fd, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(fd_size(null, &n), -EINVAL);
        assert_int_equal(fd_size(-1, &n), -EBADF);

        assert_ptr_equal(proc_fd_path(path, fd), path);
        assert_int_equal(stat(path, &a), 0);
        assert_int_equal(fstat(fd, &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        proc_fd_path(path, INT32_MIN);
        assert_string_equal(path, "/proc/self/fd/-2147483648");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_close),     cmocka_unit_test(test_flags),
                cmocka_unit_test(test_close_all), cmocka_unit_test(test_full),
                cmocka_unit_test(test_memfd),     cmocka_unit_test(test_read_all),
                cmocka_unit_test(test_pass),      cmocka_unit_test(test_pass_too_many),
                cmocka_unit_test(test_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
