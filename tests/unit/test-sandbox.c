/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "helper/sandbox.h"
#include "place.h"

/* Each sandbox is entered by a child of this process, which then tries what must work and what must not. Its
 * exit status is the line of the check that failed (modulo 256, never 0). */

typedef struct Fixture {
        TestPlace place;
        int root;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        if (test_place_make(&f->place, "test-sandbox", PLACE_WHITEOUTS) < 0)
                return -1;
        f->root = open(f->place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = f;
        return f->root < 0 || write_file_atomic_at(f->root, "here", "x", 1, 0600, false) < 0 ? -1 : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r;

        safe_close(f->root);
        r = rm_rf_at(AT_FDCWD, f->place.path);
        free(f);
        return r;
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#define SANITIZED_BY_CLANG __has_feature(address_sanitizer)

static void need(const Fixture *f, unsigned needed, bool user) {
        const char *why = test_place_lacks(&f->place, needed);

#if defined(__SANITIZE_ADDRESS__) || SANITIZED_BY_CLANG
        why = "not under AddressSanitizer: it needs more memory and system calls than the sandbox gives";
#endif
        if (geteuid() != 0)
                why = "needs root";
        else if (user && !getpwnam(MOORED_FETCH_USER))
                why = "needs the user " MOORED_FETCH_USER;
        if (why) {
                print_message("%s\n", why);
                skip();
        }
}

#define CHECK(x)                                         \
        do {                                             \
                if (!(x))                                \
                        _exit(__LINE__ % 255 + 1);       \
        } while (0)

static int run_child(void (*child)(Fixture *f), Fixture *f) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                child(f);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
                print_message("line %d (modulo 255) does not hold\n", WEXITSTATUS(status) - 1);
        return status;
}

static void works(void (*child)(Fixture *f), Fixture *f) {
        assert_int_equal(run_child(child, f), 0);
}

static void kills(void (*child)(Fixture *f), Fixture *f) {
        int status = run_child(child, f);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
}

static bool has_capability(cap_value_t c) {
        cap_flag_value_t v = CAP_CLEAR;
        cap_t caps = cap_get_proc();

        (void) cap_get_flag(caps, c, CAP_EFFECTIVE, &v);
        cap_free(caps);
        return v == CAP_SET;
}

/* Names that lead out of a directory if anything does. */
static bool sees_host(void) {
        static const char *const names[] = { "/etc/shadow", "/proc/1/root", "/proc/self/exe", "/root",
                                             "/var",        "/tmp",         "/../etc/shadow", "/home" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (open(names[i], O_RDONLY | O_CLOEXEC) >= 0)
                        return true;
        return false;
}

static int enter(Fixture *f, SandboxProfile profile) {
        Error e = {};
        int root = -EBADF;

        if (sandbox_enter_directory(f->root, profile, &root, &e) < 0)
                fprintf(stderr, "%s\n", error_message(&e));
        CHECK(root >= 0);
        return root;
}

static void unpack_child(Fixture *f) {
        int root, fd;
        struct stat st;

        root = enter(f, SANDBOX_UNPACK);
        /* What extraction does. */
        CHECK(fstatat(root, "here", &st, 0) >= 0);
        CHECK(mkdirat(root, "d", 0755) >= 0);
        fd = open_beneath_nofollow(root, "d/f", O_WRONLY | O_CREAT | O_EXCL, 0600);
        CHECK(fd >= 0);
        CHECK(write(fd, "x", 1) == 1);
        CHECK(fchown(fd, 1234, 5678) >= 0);
        CHECK(fchmod(fd, 04755) >= 0);
        CHECK(mknodat(root, "null", S_IFCHR | 0666, makedev(1, 3)) >= 0 || !has_capability(CAP_MKNOD));
        CHECK(mknodat(root, "whiteout", S_IFCHR, makedev(0, 0)) >= 0);
        fd = open_beneath_nofollow(root, "d", O_RDONLY | O_DIRECTORY, 0);
        CHECK(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) >= 0);
        CHECK(linkat(root, "here", root, "link", 0) >= 0);

        /* What it does not. */
        CHECK(!sees_host());
        CHECK(openat(root, "../../../../../etc/passwd", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(open("/null", O_RDWR | O_CLOEXEC) < 0); /* nodev */
        CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
        CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
        CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
              errno == EPERM);
        CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
        CHECK(fork() < 0);
        CHECK(kill(getppid(), 0) < 0);
        CHECK(setxattr("/here", "user.x", "y", 1, 0) < 0 && errno == EPERM);
        CHECK(ioctl(root, 0x5401) < 0 && errno == EPERM);
}

static void mount_child(Fixture *f) {
        (void) enter(f, SANDBOX_UNPACK);
        (void) mount("/", "/d", NULL, MS_BIND, NULL);
}

static void exec_child(Fixture *f) {
        (void) enter(f, SANDBOX_UNPACK);
        (void) execve("/here", (char *[]) { (char *) "x", NULL }, NULL);
}

static void unshare_child(Fixture *f) {
        (void) enter(f, SANDBOX_REMOVE);
        (void) unshare(CLONE_NEWUSER);
}

/* -- a layer's sandbox, with a view of the layers below -- */

static void make_layers(Fixture *f) {
        static const char *const dirs[] = { "1/fs/dir", "1/fs/opaque/old", "2/fs/opaque/new", "2/fs/second", "new-3/fs", "4/fs/other" };
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(dirs); i++)
                assert_int_equal(mkdirat_p(f->root, dirs[i], 0700), 0);
        assert_int_equal(mkdirat(f->root, "1/fs/hidden", 0700), 0);
        assert_int_equal(mknodat(f->root, "2/fs/hidden", S_IFCHR, makedev(0, 0)), 0);
        assert_int_equal(symlinkat("dir", f->root, "1/fs/link"), 0);
        fd = open_beneath_nofollow(f->root, "2/fs/opaque", O_RDONLY | O_DIRECTORY, 0);
        assert_int_equal(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
        safe_close(fd);
}

static int enter_layer(Fixture *f, const char *names) {
        int dir = open_beneath_nofollow(f->root, "new-3/fs", O_RDONLY | O_DIRECTORY, 0), root = -EBADF, lower = -EBADF;
        Error e = {};

        if (sandbox_enter_layer(dir, names, &root, &lower, &e) < 0)
                fprintf(stderr, "%s\n", error_message(&e));
        CHECK(root >= 0 && lower >= 0);
        CHECK(mkdirat(root, "made", 0700) >= 0);
        return lower;
}

static bool is_there(int lower, const char *name) {
        int fd = open_beneath_nofollow(lower, name, O_PATH | O_NOFOLLOW, 0);

        CHECK(fd >= 0 || fd == -ENOENT || fd == -ENOTDIR);
        safe_close(fd);
        return fd >= 0;
}

static void check_view(int lower) {
        struct stat st;
        char target[8];
        int fd;

        /* Only that of the layers below … */
        CHECK(is_there(lower, "dir"));
        CHECK(fstatat(lower, "link", &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISLNK(st.st_mode));
        fd = open_beneath_nofollow(lower, "link", O_PATH | O_NOFOLLOW, 0);
        CHECK(fd >= 0 && readlinkat(fd, "", target, sizeof(target)) == 3);
        CHECK(!is_there(lower, "other"));
        CHECK(!is_there(lower, "made"));
        CHECK(openat(lower, "../4/fs/other", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(openat(lower, "../../../../../../etc/passwd", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(fstatat(lower, "../dir", &st, 0) >= 0); /* ".." of its root is itself */
        CHECK(!sees_host());
        /* … and not to be changed. */
        CHECK(mkdirat(lower, "x", 0700) < 0 && errno == EROFS);
        CHECK(unlinkat(lower, "link", 0) < 0 && errno == EROFS);
        CHECK(fchownat(lower, "dir", 5, 5, 0) < 0 && errno == EROFS);
        CHECK(linkat(lower, "link", lower, "dir/hard", 0) < 0);
        fd = open_beneath_nofollow(lower, "dir", O_RDONLY | O_DIRECTORY, 0);
        CHECK(fd >= 0 && fchmod(fd, 0777) < 0 && errno == EROFS);
        CHECK(fsetxattr(fd, "user.x", "y", 1, 0) < 0 && errno == EROFS);
}

static void one_lower_child(Fixture *f) {
        int lower = enter_layer(f, "1/fs");

        check_view(lower);
        CHECK(is_there(lower, "hidden"));
        CHECK(!is_there(lower, "second"));
}

static void two_lower_child(Fixture *f) {
        int lower = enter_layer(f, "2/fs:1/fs");

        check_view(lower);
        CHECK(!is_there(lower, "hidden"));
        CHECK(is_there(lower, "second"));
        CHECK(is_there(lower, "opaque/new"));
        CHECK(!is_there(lower, "opaque/old"));
}

static void many_lower_child(Fixture *f) {
        static char names[2 * SANDBOX_LOWER_MAX];
        int dir = open_beneath_nofollow(f->root, "new-3/fs", O_RDONLY | O_DIRECTORY, 0), root, lower;
        const size_t max = SANDBOX_LOWER_MAX - strlen("lowerdir=");
        Error e = {};

        /* As long as it may be: a name that is not there, so that it is not the length that is refused. */
        (void) strcpy(names, "1/fs:");
        memset(names + 5, 'x', max - 5);
        CHECK(sandbox_enter_layer(dir, names, &root, &lower, &e) < 0 && streq(error_name(&e), "SandboxFailed"));
        error_done(&e);
        CHECK(chdir("new-3/fs") >= 0);
        dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        names[max] = 'x';
        CHECK(sandbox_enter_layer(dir, names, &root, &lower, &e) == -E2BIG && streq(error_name(&e), "LimitsExceeded"));
        error_done(&e);
}

static void test_lower(void **state) {
        struct stat st;
        Fixture *f = *state;

        need(*state, PLACE_WHITEOUTS, false);
        make_layers(f);
        works(one_lower_child, f);
        assert_int_equal(unlinkat(f->root, "new-3/fs/made", AT_REMOVEDIR), 0);
        works(two_lower_child, f);
        works(many_lower_child, f);
        /* The host has no mount of it. */
        assert_int_equal(fstatat(AT_FDCWD, "/run/opaque", &st, 0), -1);
}

static void test_unpack(void **state) {
        need(*state, PLACE_WHITEOUTS, false);
        works(unpack_child, *state);
        kills(mount_child, *state);
        kills(exec_child, *state);
        kills(unshare_child, *state);
}

static void remove_child(Fixture *f) {
        int root = enter(f, SANDBOX_REMOVE);

        CHECK(unlinkat(root, "here", 0) >= 0);
        CHECK(!sees_host());
        CHECK(!has_capability(CAP_SYS_ADMIN));
        CHECK(!has_capability(CAP_CHOWN));
        CHECK(mkdirat(root, "x", 0755) < 0 && errno == EPERM);
}

static void sync_child(Fixture *f) {
        int root = enter(f, SANDBOX_SYNC);

        CHECK(syncfs(root) >= 0);
        CHECK(!has_capability(CAP_DAC_OVERRIDE));
        CHECK(open("/here", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(unlinkat(root, "here", 0) < 0 && errno == EPERM);
}

static void test_remove_and_sync(void **state) {
        need(*state, 0, false);
        works(sync_child, *state);
        works(remove_child, *state);
}

static void check_nobody(void) {
        uid_t r, e, s;

        CHECK(getresuid(&r, &e, &s) < 0 || (r != 0 && r == e && e == s));
        CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0); /* 1, or EPERM */
        for (cap_value_t c = 0; c <= CAP_LAST_CAP; c++)
                CHECK(!has_capability(c));
        CHECK(!sees_host());
        CHECK(open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0);
        CHECK(mkdirat(AT_FDCWD, "/new", 0700) < 0);
        CHECK(setresuid(0, 0, 0) < 0);
}

static void fetch_child(Fixture *f) {
        Error e = {};
        int fd;

        if (sandbox_enter_user(SANDBOX_FETCH, &e) < 0)
                fprintf(stderr, "%s\n", error_message(&e));
        CHECK(!error_is_set(&e));
        check_nobody();
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        CHECK(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
        CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC) >= 0 || errno == ENOENT);
        CHECK(open("/usr/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
}

static void import_child(Fixture *f) {
        Error e = {};
        int fd = openat(f->root, "here", O_RDWR | O_CLOEXEC);
        char c;

        if (sandbox_enter_user(SANDBOX_IMPORT, &e) < 0)
                fprintf(stderr, "%s\n", error_message(&e));
        CHECK(!error_is_set(&e));
        check_nobody();
        /* What was opened before is at hand, whatever its mode (0600, root's); nothing else is. */
        CHECK(read(fd, &c, 1) == 1 && c == 'x');
        CHECK(write(fd, "y", 1) == 1 && fdatasync(fd) >= 0);
        CHECK(openat(f->root, "here", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
        CHECK(open_beneath_nofollow(f->root, "here", O_RDONLY, 0) == -EPERM);
        CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC) < 0);
        CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0);
}

static void setns_child(Fixture *f) {
        CHECK(sandbox_enter_user(SANDBOX_FETCH, NULL) >= 0);
        (void) setns(0, 0);
}

static void test_user(void **state) {
        need(*state, 0, true);
        works(fetch_child, *state);
        works(import_child, *state);
        kills(setns_child, *state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_unpack, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lower, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove_and_sync, setup, teardown),
                cmocka_unit_test_setup_teardown(test_user, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
