/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <limits.h>
#include <locale.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "helper/extract.h"
#include "helper/tree-writer.h"
#include "place.h"
#include "tar-builder.h"

/* Owners, device nodes and trusted.* attributes are root's to set, and not on every file system: otherwise these
 * tests are skipped (and counted so). */

typedef struct Fixture {
        TestPlace place; /* holds "outside", "root" and "lower" */
        int dir;
        int root;
        int lower;     /* a directory for layers below … */
        int lower_fd;  /* … and what extraction is given of it */
        bool settle;   /* … with tree_settle() after it */
        TarBuilder tar;
        Error error;
        ExtractResult result;
        bool devices;
        uint64_t max_entries;
        size_t chunk; /* how much of the tar a read gives */
        size_t pos;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        (void) setlocale(LC_CTYPE, "C.UTF-8");
        if (test_place_make(&f->place, "test-extract", PLACE_WHITEOUTS | PLACE_USER_XATTRS) < 0)
                return -1;
        f->dir = open(f->place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->root = mkdirat_open(f->dir, "root", 0755);
        f->lower = mkdirat_open(f->dir, "lower", 0755);
        f->lower_fd = TREE_LOWER_NONE;
        f->max_entries = 1000;
        f->chunk = 1000;
        *state = f;
        return f->root < 0 || f->lower < 0 || write_file_atomic_at(f->dir, "outside", "safe", 4, 0644, false) < 0 ? -1 : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r;

        safe_close(f->root);
        safe_close(f->lower);
        safe_close(f->dir);
        tar_builder_done(&f->tar);
        error_done(&f->error);
        extract_result_done(&f->result);
        r = rm_rf_at(AT_FDCWD, f->place.path);
        free(f);
        return r;
}

static void need(Fixture *f, unsigned needed) {
        const char *why = geteuid() != 0 ? "needs root: owners and trusted.* attributes"
                                         : test_place_lacks(&f->place, needed);

        if (why) {
                print_message("%s\n", why);
                skip();
        }
}

static int on_read(void *userdata, const void **ret, size_t *ret_size, Error *reterr_error) {
        Fixture *f = userdata;
        size_t n = MIN(f->chunk, f->tar.size - f->pos);

        *ret = f->tar.data + f->pos;
        *ret_size = n;
        f->pos += n;
        return n > 0;
}

static int extract(Fixture *f) {
        ExtractSpec spec = { .root_fd = f->root,
                             .lower_fd = f->lower_fd,
                             .max_entries = f->max_entries,
                             .devices = f->devices,
                             .read = on_read,
                             .userdata = f };
        char *outside;
        size_t n;
        int r;

        error_done(&f->error);
        extract_result_done(&f->result);
        f->pos = 0;
        r = extract_tar(&spec, &f->result, &f->error);
        if (r >= 0 && f->settle)
                r = tree_settle(f->root, f->lower, f->result.implied, f->result.implied_size, &f->error);
        if (r < 0)
                print_message("%s: %s\n", error_name(&f->error), error_message(&f->error));
        else
                assert_false(error_is_set(&f->error));

        /* Whatever the archive says, nothing beside the root has changed. */
        assert_int_equal(read_file_at(f->dir, "outside", 100, &outside, &n), 0);
        assert_string_equal(outside, "safe");
        free(outside);
        assert_int_equal(faccessat(f->dir, "escaped", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        return r;
}

static void finish_ok(Fixture *f) {
        tar_end(&f->tar);
        assert_int_equal(extract(f), 0);
}

static void finish_refused(Fixture *f, const char *name) {
        tar_end(&f->tar);
        assert_true(extract(f) < 0);
        assert_string_equal(error_name(&f->error), name);
}

/* Empties the root and the tar. */
static void reset(Fixture *f) {
        tar_builder_done(&f->tar);
        safe_close(f->root);
        assert_int_equal(rm_rf_at(f->dir, "root"), 0);
        f->root = mkdirat_open(f->dir, "root", 0755);
        assert_true(f->root >= 0);
}

static struct stat stat_of(Fixture *f, const char *path) {
        struct stat st;

        assert_int_equal(fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st;
}

static bool exists(Fixture *f, const char *path) {
        return faccessat(f->root, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void assert_content(Fixture *f, const char *path, const char *expected) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        assert_int_equal(read_file_at(f->root, path, 1 << 20, &text, &n), 0);
        assert_string_equal(text, expected);
}

static ssize_t get_xattr(Fixture *f, const char *path, const char *name, char *buf, size_t n) {
        _cleanup_close_ int fd = open_beneath_nofollow(f->root, path, O_RDONLY, 0);

        assert_true(fd >= 0);
        return fgetxattr(fd, name, buf, n);
}

static bool is_opaque(Fixture *f, const char *path) {
        char c;

        return get_xattr(f, path, "trusted.overlay.opaque", &c, 1) == 1 && c == 'y';
}

static bool is_whiteout(Fixture *f, const char *path) {
        struct stat st = stat_of(f, path);

        return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

#define FILE_(n, text) .name = (n), .data = (text), .size = strlen(text)
#define DIR_(n) .name = (n), .type = '5'
#define PAX(...) .pax = (const char *const[]) { __VA_ARGS__, NULL }

static void test_tree(void **state) {
        Fixture *f = *state;
        char target[16] = {};
        struct stat st;

        need(f, 0);
        TAR_ADD(&f->tar, DIR_("./"), .mode = 0711, .uid = 5, .gid = 6, .mtime = 1000);
        TAR_ADD(&f->tar, DIR_("d/"), .mode = 0555, .mtime = 2000);
        TAR_ADD(&f->tar, FILE_("d/file", "hello"), .mode = 0640, .uid = 1000, .gid = 1001, .mtime = 3000,
                PAX("mtime", "3000.123456789"));
        TAR_ADD(&f->tar, .name = "d/empty", .mtime = 4000);
        TAR_ADD(&f->tar, FILE_("d/suid", "x"), .mode = 06755, .uid = 1000, .gid = 1000);
        TAR_ADD(&f->tar, .name = "d/link", .type = '2', .linkname = "../../../x", .uid = 7, .gid = 8,
                .mtime = 5000);
        TAR_ADD(&f->tar, .name = "hard", .type = '1', .linkname = "./d/file");
        TAR_ADD(&f->tar, .name = "hardlink-to-symlink", .type = '1', .linkname = "d/link");
        TAR_ADD(&f->tar, .name = "fifo", .type = '6', .mode = 0622);
        TAR_ADD(&f->tar, DIR_("sticky"), .mode = 01777);
        TAR_ADD(&f->tar, DIR_("sgid"), .mode = 02755, .gid = 50);
        TAR_ADD(&f->tar, .name = "sgid/file");
        finish_ok(f);
        assert_int_equal(f->result.entries, 12);
        assert_true(f->result.root);

        st = stat_of(f, ".");
        assert_int_equal(st.st_mode, S_IFDIR | 0711);
        assert_int_equal(st.st_uid, 5);
        assert_int_equal(st.st_gid, 6);
        assert_int_equal(st.st_mtim.tv_sec, 1000);
        st = stat_of(f, "d");
        assert_int_equal(st.st_mode, S_IFDIR | 0555);
        assert_int_equal(st.st_mtim.tv_sec, 2000);
        st = stat_of(f, "d/file");
        assert_int_equal(st.st_mode, S_IFREG | 0640);
        assert_int_equal(st.st_uid, 1000);
        assert_int_equal(st.st_gid, 1001);
        assert_int_equal(st.st_mtim.tv_sec, 3000);
        assert_int_equal(st.st_mtim.tv_nsec, 123456789);
        assert_int_equal(st.st_nlink, 2);
        assert_int_equal(stat_of(f, "hard").st_ino, st.st_ino);
        assert_content(f, "d/file", "hello");
        assert_int_equal(stat_of(f, "d/empty").st_size, 0);
        st = stat_of(f, "d/suid");
        assert_int_equal(st.st_mode, S_IFREG | 06755);
        assert_int_equal(st.st_uid, 1000);
        st = stat_of(f, "d/link");
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(st.st_uid, 7);
        assert_int_equal(st.st_mtim.tv_sec, 5000);
        assert_int_equal(readlinkat(f->root, "d/link", target, sizeof(target)), 10);
        assert_string_equal(target, "../../../x");
        assert_int_equal(stat_of(f, "hardlink-to-symlink").st_ino, st.st_ino);
        assert_int_equal(stat_of(f, "fifo").st_mode, S_IFIFO | 0622);
        assert_int_equal(stat_of(f, "sticky").st_mode, S_IFDIR | 01777);
        assert_int_equal(stat_of(f, "sgid").st_mode, S_IFDIR | 02755);
        assert_int_equal(stat_of(f, "sgid/file").st_gid, 0);
}

static void test_names(void **state) {
        static const char *const bad[] = { "../escaped", "a/../../escaped", "a/..",
                                           "..",         "/../escaped",     "./../escaped" };
        Fixture *f = *state;

        need(f, 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                reset(f);
                TAR_ADD(&f->tar, FILE_(bad[i], "x"));
                finish_refused(f, "InvalidArchive");
        }

        /* Absolute names are taken relative to the layer, as everybody does. "..x" is a name like any other.
         */
        reset(f);
        TAR_ADD(&f->tar, FILE_("/abs/./file", "x"));
        TAR_ADD(&f->tar, FILE_("//two//slashes", "y"));
        TAR_ADD(&f->tar, FILE_("..x", "z"));
        TAR_ADD(&f->tar, FILE_("...", "z"));
        finish_ok(f);
        assert_content(f, "abs/file", "x");
        assert_content(f, "two/slashes", "y");
        assert_content(f, "..x", "z");
        assert_content(f, "...", "z");
        assert_int_equal(stat_of(f, "abs").st_mode, S_IFDIR | 0755);
        assert_int_equal(stat_of(f, "abs").st_uid, 0);
        assert_false(f->result.root);

        reset(f);
        TAR_ADD(&f->tar, .name = ".", .type = '2', .linkname = "/etc");
        finish_refused(f, "InvalidArchive");
}

static void test_long_names(void **state) {
        Fixture *f = *state;
        char component[300] = {}, path[5000] = {}, deep[2 * (TREE_DEPTH_MAX + 1) + 1] = {};

        need(f, 0);
        memset(component, 'n', TREE_COMPONENT_MAX);
        TAR_ADD(&f->tar, FILE_("short", "x"), PAX("path", component));
        /* As long as it may be: 15 components of 255 and one of what is left. */
        for (size_t i = 0; i < TREE_PATH_MAX - 1; i++)
                path[i] = i % 256 == 255 ? '/' : 'p';
        TAR_ADD(&f->tar, FILE_("short", "y"), PAX("path", path));
        for (size_t i = 0; i < 2 * TREE_DEPTH_MAX - 1; i++)
                deep[i] = i % 2 ? '/' : 'd';
        TAR_ADD(&f->tar, FILE_("short", "z"), PAX("path", deep));
        TAR_ADD(&f->tar, FILE_("utf", "1"), PAX("path", "f\xc3\xbc\xc3\x9f/\xe6\xbc\xa2"));
        TAR_ADD(&f->tar, FILE_("latin\xfc", "2"));
        TAR_ADD(&f->tar, FILE_("bad", "3"), PAX("path", "pax\xfc\xff"));
        finish_ok(f);
        assert_content(f, component, "x");
        assert_content(f, path, "y");
        assert_content(f, deep, "z");
        assert_content(f, "f\xc3\xbc\xc3\x9f/\xe6\xbc\xa2", "1");
        assert_content(f, "latin\xfc", "2");
        assert_content(f, "pax\xfc\xff", "3");

        reset(f);
        component[TREE_COMPONENT_MAX] = 'n';
        TAR_ADD(&f->tar, FILE_("short", "x"), PAX("path", component));
        finish_refused(f, "InvalidArchive");
        reset(f);
        path[TREE_PATH_MAX - 1] = path[TREE_PATH_MAX] = 'p';
        TAR_ADD(&f->tar, FILE_("short", "x"), PAX("path", path));
        finish_refused(f, "InvalidArchive");
        reset(f);
        deep[2 * TREE_DEPTH_MAX - 1] = '/';
        deep[2 * TREE_DEPTH_MAX] = 'd';
        TAR_ADD(&f->tar, FILE_("short", "x"), PAX("path", deep));
        finish_refused(f, "InvalidArchive");
}

/* What leads out of the root for a naive extractor leads to somewhere in it. */
static void test_symlink_then_through(void **state) {
        static const struct {
                const char *target, *arrives;
        } cases[] = {
                { "..", "escaped" },
                { "../..", "escaped" },
                { "/", "escaped" },
                { "/..", "escaped" },
                { ".", "escaped" },
                { "real", "real/escaped" },
                { "/real", "real/escaped" },
                { "../real/.", "real/escaped" },
                { "real/../../real//", "real/escaped" },
                { "missing/deep", "missing/deep/escaped" },
                { "/missing/../real", "real/escaped" },
                { "../../../../../../../tmp", "tmp/escaped" },
                { "/proc/self/cwd", "proc/self/cwd/escaped" },
                { "/proc/self/root/..", "proc/self/escaped" },
                { "up", "escaped" },
                { "sub/up2/real", "real/escaped" },
                { "gone", "gone/escaped" },
        };
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                print_message("l -> %s\n", cases[i].target);
                reset(f);
                TAR_ADD(&f->tar, DIR_("real"));
                TAR_ADD(&f->tar, .name = "up", .type = '2', .linkname = "..");
                TAR_ADD(&f->tar, .name = "sub/up2", .type = '2', .linkname = "../../../up/.");
                TAR_ADD(&f->tar, .name = ".wh.gone");
                TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = cases[i].target);
                TAR_ADD(&f->tar, FILE_("l/escaped", "x"));
                finish_ok(f);
                assert_content(f, cases[i].arrives, "x");
                assert_true(S_ISLNK(stat_of(f, "l").st_mode));
        }

        /* The file at the end of the way is never followed. */
        reset(f);
        TAR_ADD(&f->tar, .name = "usr/bin/sh", .type = '2', .linkname = "../../../outside");
        TAR_ADD(&f->tar, .name = "bin", .type = '2', .linkname = "usr/bin");
        TAR_ADD(&f->tar, FILE_("bin/sh", "overwritten"));
        finish_ok(f);
        assert_content(f, "usr/bin/sh", "overwritten");

        /* A file in place of a symlink replaces the link and does not write through it. */
        reset(f);
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "../outside");
        TAR_ADD(&f->tar, FILE_("l", "overwritten"));
        finish_ok(f);
        assert_content(f, "l", "overwritten");

        /* The time and mode of a directory that was replaced by a symlink do not go through it. */
        reset(f);
        TAR_ADD(&f->tar, DIR_("d"), .mode = 0700, .uid = 77);
        TAR_ADD(&f->tar, DIR_("real"));
        TAR_ADD(&f->tar, .name = "d", .type = '2', .linkname = "real");
        finish_ok(f);
        assert_int_equal(stat_of(f, "real").st_uid, 0);
        assert_int_equal(stat_of(f, "real").st_mode, S_IFDIR | 0755);
}

/* A usual layer of a file system whose /bin is a link: everything arrives where the link leads. */
static void test_merged_usr(void **state) {
        Fixture *f = *state;
        struct stat st;

        need(f, PLACE_WHITEOUTS);
        f->devices = true;
        TAR_ADD(&f->tar, .name = "bin", .type = '2', .linkname = "usr/bin");
        TAR_ADD(&f->tar, FILE_("bin/foo", "foo"), .mode = 04755, .uid = 3);
        TAR_ADD(&f->tar, .name = "bin/bar", .type = '1', .linkname = "bin/foo");
        TAR_ADD(&f->tar, .name = "usr/bin/foo", .type = '1', .linkname = "/bin/foo");
        TAR_ADD(&f->tar, .name = "bin/bar", .type = '1', .linkname = "usr/bin/bar");
        TAR_ADD(&f->tar, .name = "bin/link", .type = '2', .linkname = "foo");
        TAR_ADD(&f->tar, .name = "bin/null", .type = '3', .major = 1, .minor = 3);
        TAR_ADD(&f->tar, DIR_("bin/dir"), .mode = 01770, .uid = 5, .gid = 6, .mtime = 1234,
                PAX("SCHILY.xattr.user.d", "1"));
        TAR_ADD(&f->tar, FILE_("bin/dir/x", "x"));
        TAR_ADD(&f->tar, .name = "bin/.wh.gone");
        TAR_ADD(&f->tar, .name = "bin/new/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("usr/bin/direct", "d"));
        TAR_ADD(&f->tar, FILE_("bin/after", "a"));
        finish_ok(f);
        st = stat_of(f, "usr/bin/foo");
        assert_int_equal(st.st_mode, S_IFREG | 04755);
        assert_int_equal(st.st_uid, 3);
        assert_int_equal(st.st_nlink, 2);
        assert_int_equal(stat_of(f, "usr/bin/bar").st_ino, st.st_ino);
        assert_true(S_ISLNK(stat_of(f, "usr/bin/link").st_mode));
        assert_int_equal(stat_of(f, "usr/bin/null").st_rdev, makedev(1, 3));
        st = stat_of(f, "usr/bin/dir");
        assert_int_equal(st.st_mode, S_IFDIR | 01770);
        assert_int_equal(st.st_uid, 5);
        assert_int_equal(st.st_mtim.tv_sec, 1234);
        assert_content(f, "usr/bin/dir/x", "x");
        assert_true(is_whiteout(f, "usr/bin/gone"));
        assert_true(is_opaque(f, "usr/bin/new"));
        assert_content(f, "usr/bin/direct", "d");
        assert_content(f, "usr/bin/after", "a");
        assert_true(S_ISLNK(stat_of(f, "bin").st_mode));

        /* The link is replaced by a directory, or by another link: what follows goes there. */
        reset(f);
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "one");
        TAR_ADD(&f->tar, FILE_("l/a", "1"));
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "two");
        TAR_ADD(&f->tar, FILE_("l/a", "2"));
        TAR_ADD(&f->tar, DIR_("l"));
        TAR_ADD(&f->tar, FILE_("l/a", "3"));
        finish_ok(f);
        assert_content(f, "one/a", "1");
        assert_content(f, "two/a", "2");
        assert_content(f, "l/a", "3");

        /* The directory that a way through a link leads over is removed by its real name, and by the link. */
        reset(f);
        TAR_ADD(&f->tar, .name = "d/root", .type = '2', .linkname = "/");
        TAR_ADD(&f->tar, FILE_("d/root/d", "now a file"));
        TAR_ADD(&f->tar, FILE_("e", "e"));
        finish_ok(f);
        assert_content(f, "d", "now a file");
        assert_content(f, "e", "e");
}

static void test_symlink_limits(void **state) {
        char name[16], target[TREE_PATH_MAX + 1] = {};
        Fixture *f = *state;

        need(f, 0);
        /* A chain of as many links as are followed, and one more. */
        for (unsigned more = 0; more < 2; more++) {
                reset(f);
                for (unsigned i = 0; i < TREE_SYMLINKS_MAX + more; i++) {
                        (void) snprintf(name, sizeof(name), "l%u", i);
                        (void) snprintf(target, sizeof(target), "l%u", i + 1);
                        TAR_ADD(&f->tar, .name = name, .type = '2', .linkname = target);
                }
                TAR_ADD(&f->tar, FILE_("l0/file", "x"));
                if (more > 0)
                        finish_refused(f, "InvalidArchive");
                else {
                        finish_ok(f);
                        assert_content(f, "l40/file", "x");
                }
        }

        reset(f);
        TAR_ADD(&f->tar, .name = "self", .type = '2', .linkname = "self");
        TAR_ADD(&f->tar, FILE_("self/file", "x"));
        finish_refused(f, "InvalidArchive");
        reset(f);
        TAR_ADD(&f->tar, .name = "a", .type = '2', .linkname = "b/x");
        TAR_ADD(&f->tar, .name = "b", .type = '2', .linkname = "/a");
        TAR_ADD(&f->tar, FILE_("a/file", "x"));
        finish_refused(f, "InvalidArchive");
        reset(f);
        TAR_ADD(&f->tar, .name = "grows", .type = '2', .linkname = "d/../grows/d");
        TAR_ADD(&f->tar, FILE_("grows/file", "x"));
        finish_refused(f, "InvalidArchive");

        /* To a file. */
        reset(f);
        TAR_ADD(&f->tar, FILE_("file", "f"));
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "file");
        TAR_ADD(&f->tar, FILE_("l/x", "x"));
        finish_refused(f, "InvalidArchive");
        assert_content(f, "file", "f");

        /* Names, paths and depths that an entry itself must not have. */
        reset(f);
        memset(target, 'n', TREE_COMPONENT_MAX + 1);
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "cut", PAX("linkpath", target));
        TAR_ADD(&f->tar, FILE_("l/x", "x"));
        finish_refused(f, "InvalidArchive");
        reset(f);
        for (size_t i = 0; i < TREE_PATH_MAX - 3; i++)
                target[i] = i % 200 == 199 ? '/' : 'p';
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "cut", PAX("linkpath", target));
        TAR_ADD(&f->tar, FILE_("l/q/x", "x"));
        finish_ok(f);
        reset(f);
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "cut", PAX("linkpath", target));
        TAR_ADD(&f->tar, FILE_("l/qq/x", "x"));
        finish_refused(f, "InvalidArchive");
        for (unsigned more = 0; more < 2; more++) {
                reset(f);
                memset(target, 0, sizeof(target));
                for (size_t i = 0; i < TREE_DEPTH_MAX + more; i++)
                        memcpy(target + 2 * i, "d/", 2);
                TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "cut", PAX("linkpath", target));
                TAR_ADD(&f->tar, FILE_("l/x", "x"));
                if (more > 0)
                        finish_refused(f, "InvalidArchive");
                else
                        finish_ok(f);
        }

        /* ".." is for targets, not for entries. */
        reset(f);
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "d");
        TAR_ADD(&f->tar, FILE_("l/../x", "x"));
        finish_refused(f, "InvalidArchive");
}

static void test_hard_links(void **state) {
        static const char *const bad[] = { "../outside", "/etc/passwd",     "missing", "l/outside",
                                           "d",          "a/../../outside", ".",       "l/../outside",
                                           "abs/outside", "loop/x",         "dangling/x" };
        Fixture *f = *state;

        need(f, 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                reset(f);
                TAR_ADD(&f->tar, DIR_("d"));
                TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "..");
                TAR_ADD(&f->tar, .name = "abs", .type = '2', .linkname = f->place.path);
                TAR_ADD(&f->tar, .name = "loop", .type = '2', .linkname = "loop");
                TAR_ADD(&f->tar, .name = "dangling", .type = '2', .linkname = "nowhere");
                TAR_ADD(&f->tar, .name = "hard", .type = '1', .linkname = bad[i]);
                finish_refused(f, "InvalidArchive");
                assert_false(exists(f, "hard"));
                assert_false(exists(f, "nowhere"));
        }

        /* To itself; over a file; over another link to the same. */
        reset(f);
        TAR_ADD(&f->tar, FILE_("a", "A"));
        TAR_ADD(&f->tar, .name = "./a", .type = '1', .linkname = "a");
        TAR_ADD(&f->tar, FILE_("b", "B"));
        TAR_ADD(&f->tar, .name = "b", .type = '1', .linkname = "a");
        TAR_ADD(&f->tar, .name = "b", .type = '1', .linkname = "/a");
        TAR_ADD(&f->tar, .name = "new/c", .type = '1', .linkname = "b");
        finish_ok(f);
        assert_content(f, "a", "A");
        assert_content(f, "b", "A");
        assert_int_equal(stat_of(f, "new/c").st_nlink, 3);
}

static void test_devices(void **state) {
        Fixture *f = *state;

        need(f, 0);
        TAR_ADD(&f->tar, .name = "null", .type = '3', .major = 1, .minor = 3, .mode = 0666);
        finish_refused(f, "DeviceNotAllowed");
        assert_int_equal(f->error.error, -EPERM);
        assert_false(exists(f, "null"));

        reset(f);
        f->devices = true;
        TAR_ADD(&f->tar, .name = "null", .type = '3', .major = 1, .minor = 3, .mode = 0666);
        TAR_ADD(&f->tar, .name = "disk", .type = '4', .major = 8, .minor = 1, .mode = 0660, .gid = 6);
        finish_ok(f);
        assert_int_equal(stat_of(f, "null").st_mode, S_IFCHR | 0666);
        assert_int_equal(stat_of(f, "null").st_rdev, makedev(1, 3));
        assert_int_equal(stat_of(f, "disk").st_mode, S_IFBLK | 0660);
        assert_int_equal(stat_of(f, "disk").st_rdev, makedev(8, 1));
        assert_int_equal(stat_of(f, "disk").st_gid, 6);
}

static void test_whiteouts(void **state) {
        static const char *const bad[] = { ".wh.",         ".wh..",       ".wh...",      "d/.wh...",
                                           ".wh..wh.plnk", ".wh..wh.x/y", ".wh.dir/file" };
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS);
        TAR_ADD(&f->tar, .name = ".wh.gone");
        TAR_ADD(&f->tar, .name = "d/.wh.gone");
        TAR_ADD(&f->tar, .name = "o/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("o/new", "new"));
        TAR_ADD(&f->tar, .name = ".wh..hidden");
        TAR_ADD(&f->tar, .name = ".wh....");
        /* Together with the name itself, in either order: lower layers only are hidden. */
        TAR_ADD(&f->tar, FILE_("kept", "kept"));
        TAR_ADD(&f->tar, .name = ".wh.kept");
        TAR_ADD(&f->tar, .name = ".wh.later");
        TAR_ADD(&f->tar, FILE_("later", "later"));
        TAR_ADD(&f->tar, FILE_("dir1/x", "x"));
        TAR_ADD(&f->tar, .name = ".wh.dir1");
        TAR_ADD(&f->tar, .name = ".wh.dir2");
        TAR_ADD(&f->tar, DIR_("dir2"), .mode = 0700);
        TAR_ADD(&f->tar, .name = ".wh.dir3");
        TAR_ADD(&f->tar, FILE_("dir3/x", "x"));
        finish_ok(f);
        assert_true(is_whiteout(f, "gone"));
        assert_true(is_whiteout(f, "d/gone"));
        assert_true(is_whiteout(f, ".hidden"));
        assert_true(is_whiteout(f, "..."));
        assert_true(is_opaque(f, "o"));
        assert_false(is_opaque(f, "d"));
        assert_content(f, "o/new", "new");
        assert_false(exists(f, "o/.wh..wh..opq"));
        assert_content(f, "kept", "kept");
        assert_content(f, "later", "later");
        assert_content(f, "dir1/x", "x");
        assert_true(is_opaque(f, "dir1"));
        assert_true(is_opaque(f, "dir2"));
        assert_int_equal(stat_of(f, "dir2").st_mode, S_IFDIR | 0700);
        assert_true(is_opaque(f, "dir3"));
        assert_content(f, "dir3/x", "x");

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                reset(f);
                TAR_ADD(&f->tar, .name = bad[i]);
                finish_refused(f, "InvalidArchive");
        }
}

static void test_replacing(void **state) {
        Fixture *f = *state;

        need(f, 0);
        TAR_ADD(&f->tar, FILE_("file-file", "old content that is longer"), .mode = 04755, .uid = 1);
        TAR_ADD(&f->tar, FILE_("file-file", "new"), .mode = 0600);
        TAR_ADD(&f->tar, FILE_("file-dir", "x"));
        TAR_ADD(&f->tar, DIR_("file-dir"), .mode = 0750);
        TAR_ADD(&f->tar, FILE_("dir-file/a/b/c", "x"));
        TAR_ADD(&f->tar, FILE_("dir-file", "file"));
        TAR_ADD(&f->tar, DIR_("dir-dir"), .mode = 0700, .mtime = 1);
        TAR_ADD(&f->tar, FILE_("dir-dir/kept", "kept"));
        TAR_ADD(&f->tar, DIR_("dir-dir"), .mode = 0711, .mtime = 2);
        TAR_ADD(&f->tar, DIR_("dir-link"));
        TAR_ADD(&f->tar, .name = "dir-link", .type = '2', .linkname = "file-file");
        TAR_ADD(&f->tar, .name = "link-dir", .type = '2', .linkname = "..");
        TAR_ADD(&f->tar, DIR_("link-dir"));
        /* A directory with metadata goes, another of that name comes without an entry of its own. */
        TAR_ADD(&f->tar, DIR_("again"), .mode = 0700, .uid = 9);
        TAR_ADD(&f->tar, .name = "again", .type = '2', .linkname = "x");
        TAR_ADD(&f->tar, DIR_("again"));
        TAR_ADD(&f->tar, FILE_("again/x", "x"));
        finish_ok(f);
        assert_content(f, "file-file", "new");
        assert_int_equal(stat_of(f, "file-file").st_mode, S_IFREG | 0600);
        assert_int_equal(stat_of(f, "file-file").st_uid, 0);
        assert_int_equal(stat_of(f, "file-dir").st_mode, S_IFDIR | 0750);
        assert_content(f, "dir-file", "file");
        assert_content(f, "dir-dir/kept", "kept");
        assert_int_equal(stat_of(f, "dir-dir").st_mode, S_IFDIR | 0711);
        assert_int_equal(stat_of(f, "dir-dir").st_mtim.tv_sec, 2);
        assert_true(S_ISLNK(stat_of(f, "dir-link").st_mode));
        assert_true(S_ISDIR(stat_of(f, "link-dir").st_mode));
        assert_int_equal(stat_of(f, "again").st_mode, S_IFDIR | 0755);
        assert_int_equal(stat_of(f, "again").st_uid, 0);

        /* A file cannot be used as a directory. */
        reset(f);
        TAR_ADD(&f->tar, FILE_("f", "x"));
        TAR_ADD(&f->tar, FILE_("f/g", "x"));
        finish_refused(f, "InvalidArchive");
}

static void test_xattrs(void **state) {
        /* VFS_CAP_REVISION_2, cap_net_raw+ep. */
        static const char cap[20] = { 1, 0, 0, 2, 0, 0x20 };
        Fixture *f = *state;
        TarBuilder records = {};
        char value[64], head[64];
        ssize_t n;
        int l;

        need(f, PLACE_USER_XATTRS);
        TAR_ADD(&f->tar, FILE_("file", "x"),
                PAX("SCHILY.xattr.user.note", "hello", "SCHILY.xattr.user.overlay.opaque", "y",
                    "SCHILY.xattr.trusted.overlay.redirect", "/etc", "SCHILY.xattr.trusted.x", "y",
                    "SCHILY.xattr.security.selinux", "label"));
        TAR_ADD(&f->tar, DIR_("dir"),
                PAX("SCHILY.xattr.user.d", "1", "SCHILY.xattr.trusted.overlay.opaque", "y"));
        l = snprintf(head, sizeof(head), "%zu SCHILY.xattr.security.capability=",
                     3 + strlen("SCHILY.xattr.security.capability=") + sizeof(cap) + 1);
        tar_add_bytes(&records, head, (size_t) l);
        tar_add_bytes(&records, cap, sizeof(cap));
        tar_add_bytes(&records, "\n", 1);
        TAR_ADD(&f->tar, .name = "x", .type = 'x', .data = records.data, .size = records.size);
        TAR_ADD(&f->tar, FILE_("capable", "#!"), .mode = 0755, .uid = 1000);
        tar_builder_done(&records);
        finish_ok(f);

        n = get_xattr(f, "file", "user.note", value, sizeof(value));
        assert_int_equal(n, 5);
        assert_memory_equal(value, "hello", 5);
        assert_int_equal(get_xattr(f, "file", "user.overlay.opaque", value, sizeof(value)), -1);
        assert_int_equal(get_xattr(f, "file", "trusted.overlay.redirect", value, sizeof(value)), -1);
        assert_int_equal(get_xattr(f, "file", "trusted.x", value, sizeof(value)), -1);
        assert_int_equal(get_xattr(f, "dir", "user.d", value, sizeof(value)), 1);
        assert_false(is_opaque(f, "dir"));
        assert_int_equal(get_xattr(f, "capable", "security.capability", value, sizeof(value)),
                         (ssize_t) sizeof(cap));
        assert_memory_equal(value, cap, sizeof(cap));
}

static void test_too_many_xattrs(void **state) {
        static char names[EXTRACT_XATTRS_MAX + 1][40];
        const char *pax[2 * (EXTRACT_XATTRS_MAX + 1) + 1] = {};
        Fixture *f = *state;
        char value[8];

        need(f, PLACE_USER_XATTRS);
        for (size_t i = 0; i <= EXTRACT_XATTRS_MAX; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "SCHILY.xattr.user.a%zu", i);
                pax[2 * i] = names[i];
                pax[2 * i + 1] = "v";
        }
        TAR_ADD(&f->tar, FILE_("file", "x"), .pax = pax);
        finish_refused(f, "InvalidArchive");

        reset(f);
        pax[2 * EXTRACT_XATTRS_MAX] = NULL;
        TAR_ADD(&f->tar, FILE_("file", "x"), .pax = pax);
        finish_ok(f);
        assert_int_equal(get_xattr(f, "file", "user.a63", value, sizeof(value)), 1);
}

static void test_sparse(void **state) {
        Fixture *f = *state;
        char data[2048], byte;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        need(f, 0);
        memset(data, 'S', sizeof(data));
        /* Two pieces of 1 KiB: at 1 MiB and at 8 MiB of 16 MiB. */
        TAR_ADD(&f->tar, .name = "sparse", .data = data, .size = sizeof(data),
                PAX("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.size", "16777216",
                    "GNU.sparse.numblocks", "2", "GNU.sparse.map", "1048576,1024,8388608,1024"));
        TAR_ADD(&f->tar, FILE_("after", "after"));
        finish_ok(f);
        st = stat_of(f, "sparse");
        assert_int_equal(st.st_size, 16777216);
        assert_true(st.st_blocks * 512 < 1048576);
        fd = open_beneath_nofollow(f->root, "sparse", O_RDONLY, 0);
        assert_int_equal(pread(fd, &byte, 1, 1048576), 1);
        assert_int_equal(byte, 'S');
        assert_int_equal(pread(fd, &byte, 1, 8388608 + 1023), 1);
        assert_int_equal(byte, 'S');
        assert_int_equal(pread(fd, &byte, 1, 8388608 + 1024), 1);
        assert_int_equal(byte, 0);
        assert_content(f, "after", "after");

        /* Larger than anybody needs. */
        reset(f);
        TAR_ADD(&f->tar, .name = "sparse", .data = data, .size = sizeof(data),
                PAX("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.size", "1099511627777",
                    "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,2048"));
        finish_refused(f, "InvalidArchive");
}

static void test_damaged(void **state) {
        Fixture *f = *state;
        char *huge;

        need(f, 0);
        TAR_ADD(&f->tar, FILE_("a", "x"));
        TAR_ADD(&f->tar, FILE_("b", "x"), .bad_checksum = true);
        finish_refused(f, "InvalidArchive");

        /* Cut off in the data, and in a header. */
        reset(f);
        TAR_ADD(&f->tar, .name = "a", .data = "0123456789", .size = 10);
        f->tar.size = TAR_BLOCK + 5;
        assert_int_equal(extract(f), -EBADMSG);
        f->tar.size = TAR_BLOCK - 100;
        assert_int_equal(extract(f), -EBADMSG);

        /* Says more than there is. */
        reset(f);
        TAR_ADD(&f->tar, .name = "a", .size = UINT64_C(1) << 33);
        finish_refused(f, "InvalidArchive");
        reset(f);
        TAR_ADD(&f->tar, .name = "a", .size = (UINT64_C(1) << 40) + 1);
        finish_refused(f, "InvalidArchive");

        /* A pax header of 2 MiB. */
        reset(f);
        huge = calloc(1, (2 << 20) + 1);
        memset(huge, 'h', 2 << 20);
        TAR_ADD(&f->tar, FILE_("a", "x"), PAX("path", huge));
        free(huge);
        finish_refused(f, "InvalidArchive");

        reset(f);
        TAR_ADD(&f->tar, FILE_("a", "x"), .uid = UINT32_MAX);
        finish_refused(f, "InvalidArchive");

        reset(f);
        tar_add_bytes(&f->tar, "This is no tar, but it is text.", 31);
        assert_int_equal(extract(f), -EBADMSG);
}

static void test_empty(void **state) {
        Fixture *f = *state;

        need(f, 0);
        assert_int_equal(extract(f), 0);
        assert_int_equal(f->result.entries, 0);
        finish_ok(f);
        assert_int_equal(f->result.entries, 0);
}

static void test_many_entries(void **state) {
        Fixture *f = *state;
        char name[64];

        need(f, 0);
        f->chunk = 256 * 1024;
        f->max_entries = 100000;
        for (unsigned i = 0; i < 100000; i++) {
                (void) snprintf(name, sizeof(name), "d%u/e%u/f%u", i / 10000, i / 100, i);
                TAR_ADD(&f->tar, .name = name);
        }
        finish_ok(f);
        assert_int_equal(f->result.entries, 100000);
        assert_true(exists(f, "d9/e999/f99999"));

        f->max_entries = 99999;
        reset(f);
        for (unsigned i = 0; i < 100000; i++)
                TAR_ADD(&f->tar, .name = "same");
        finish_refused(f, "TooManyEntries");
        assert_int_equal(f->error.error, -E2BIG);
}

/* The same in pieces of any size: what libarchive has to put together across reads. */
static void test_pieces(void **state) {
        Fixture *f = *state;

        need(f, 0);
        for (f->chunk = 1; f->chunk < 3000; f->chunk = f->chunk * 2 + 1) {
                reset(f);
                TAR_ADD(&f->tar, FILE_("dir/file", "some text"), PAX("mtime", "1.5"));
                TAR_ADD(&f->tar, .name = "hard", .type = '1', .linkname = "dir/file");
                finish_ok(f);
                assert_content(f, "hard", "some text");
        }
}

/* -- directories without an entry, over other layers ---------------------------------------------------- */

/* In two steps, as where the layers below come later. */
static int setup_settle(void **state) {
        int r = setup(state);

        ((Fixture *) *state)->settle = true;
        return r;
}

/* A directory below, recognisable by all that it has. */
static void make_below(Fixture *f, const char *path) {
        const struct timespec times[2] = { { .tv_sec = 12345, .tv_nsec = 678 }, { .tv_sec = 12345, .tv_nsec = 678 } };
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(mkdirat_p(f->lower, path, 0755), 0);
        fd = open_beneath_nofollow(f->lower, path, O_RDONLY | O_DIRECTORY, 0);
        assert_true(fd >= 0);
        assert_int_equal(fsetxattr(fd, "user.note", "kept", 4, 0), 0);
        assert_int_equal(fsetxattr(fd, "user.overlay.x", "x", 1, 0), 0);
        assert_int_equal(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
        assert_int_equal(fchown(fd, 12, 34), 0);
        assert_int_equal(fchmod(fd, 03771), 0);
        assert_int_equal(futimens(fd, times), 0);
}

static void assert_inherited_as(Fixture *f, const char *path, bool opaque) {
        struct stat st = stat_of(f, path);
        char value[8];

        assert_int_equal(st.st_mode, S_IFDIR | 03771);
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_gid, 34);
        assert_int_equal(st.st_mtim.tv_sec, 12345);
        assert_int_equal(st.st_mtim.tv_nsec, 678);
        assert_int_equal(get_xattr(f, path, "user.note", value, sizeof(value)), 4);
        assert_memory_equal(value, "kept", 4);
        assert_int_equal(get_xattr(f, path, "user.overlay.x", value, sizeof(value)), -1);
        assert_int_equal(is_opaque(f, path), opaque);
}

static void assert_inherited(Fixture *f, const char *path) {
        assert_inherited_as(f, path, false);
}

static void assert_plain(Fixture *f, const char *path) {
        struct stat st = stat_of(f, path);
        char value[8];

        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_gid, 0);
        assert_int_not_equal(st.st_mtim.tv_sec, 12345);
        assert_int_equal(get_xattr(f, path, "user.note", value, sizeof(value)), -1);
}

static void reset_lower(Fixture *f) {
        reset(f);
        safe_close(f->lower);
        assert_int_equal(rm_rf_at(f->dir, "lower"), 0);
        f->lower = mkdirat_open(f->dir, "lower", 0755);
        f->lower_fd = f->settle ? TREE_LOWER_UNKNOWN : f->lower;
        assert_true(f->lower >= 0);
}

static void test_implied(void **state) {
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        reset_lower(f);
        make_below(f, "tmp");
        make_below(f, "var/lib/deep");
        make_below(f, "var");
        make_below(f, "own");
        make_below(f, "later/sub");
        make_below(f, "gone");
        make_below(f, "whiteouts");
        make_below(f, "opaque");
        assert_int_equal(write_file_atomic_at(f->lower, "file", "x", 1, 0600, false), 0);
        assert_int_equal(mknodat(f->lower, "hidden", S_IFCHR, makedev(0, 0)), 0);
        TAR_ADD(&f->tar, FILE_("tmp/x", "x"));
        TAR_ADD(&f->tar, FILE_("var/lib/deep/new/x", "x"));
        TAR_ADD(&f->tar, DIR_("own"), .mode = 0700);
        TAR_ADD(&f->tar, FILE_("own/x", "x"));
        TAR_ADD(&f->tar, FILE_("later/sub/x", "x"));
        TAR_ADD(&f->tar, DIR_("later/sub"), .mode = 0700);
        TAR_ADD(&f->tar, FILE_("gone/x", "x"));
        TAR_ADD(&f->tar, FILE_("gone", "file"));
        TAR_ADD(&f->tar, .name = "whiteouts/.wh.x");
        TAR_ADD(&f->tar, .name = "opaque/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("file/x", "x"));
        TAR_ADD(&f->tar, FILE_("hidden/x", "x"));
        TAR_ADD(&f->tar, FILE_("new/x", "x"));
        finish_ok(f);
        assert_inherited(f, "tmp");
        assert_content(f, "tmp/x", "x");
        assert_int_equal(stat_of(f, "tmp/x").st_gid, 0);
        assert_inherited(f, "var");
        assert_plain(f, "var/lib");
        assert_inherited(f, "var/lib/deep");
        assert_plain(f, "var/lib/deep/new");
        assert_int_equal(stat_of(f, "own").st_mode, S_IFDIR | 0700);
        assert_int_equal(stat_of(f, "own").st_uid, 0);
        assert_int_equal(stat_of(f, "later/sub").st_mode, S_IFDIR | 0700);
        assert_int_equal(stat_of(f, "later/sub").st_uid, 0);
        assert_content(f, "gone", "file");
        assert_inherited(f, "whiteouts");
        assert_inherited_as(f, "opaque", true); /* it is the same, without its files */
        assert_plain(f, "file");
        assert_plain(f, "hidden");
        assert_plain(f, "new");

        /* Nothing has changed below. */
        assert_int_equal(faccessat(f->lower, "tmp/x", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(faccessat(f->lower, "new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

/* What this layer hides of those below is not taken over, wherever in the archive it says so. */
static void test_implied_hidden(void **state) {
        static const char *const names[] = { "after/a/b", "before/a/b", "whiteout-after/a", "whiteout-before/a", "replaced/a" };
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        reset_lower(f);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                make_below(f, names[i]);
        make_below(f, "top");
        TAR_ADD(&f->tar, FILE_("after/a/b/x", "x"));
        TAR_ADD(&f->tar, .name = "after/.wh..wh..opq");
        TAR_ADD(&f->tar, .name = "before/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("before/a/b/x", "x"));
        TAR_ADD(&f->tar, FILE_("whiteout-after/a/x", "x"));
        TAR_ADD(&f->tar, .name = "whiteout-after/.wh.a");
        TAR_ADD(&f->tar, FILE_("top/x", "x"));
        TAR_ADD(&f->tar, .name = ".wh.top");
        TAR_ADD(&f->tar, .name = "whiteout-before/.wh.a");
        TAR_ADD(&f->tar, FILE_("whiteout-before/a/x", "x"));
        /* Implied, replaced, and there again by another name. */
        TAR_ADD(&f->tar, FILE_("replaced/a/x", "x"));
        TAR_ADD(&f->tar, .name = "replaced/a", .type = '2', .linkname = "b");
        TAR_ADD(&f->tar, FILE_("replaced/a/x", "x"));
        finish_ok(f);
        for (size_t i = 0; i < 4; i++)
                assert_plain(f, names[i]);
        assert_plain(f, "top");
        assert_true(is_opaque(f, "after"));
        assert_true(is_opaque(f, "before"));
        assert_true(is_opaque(f, "whiteout-after/a"));
        assert_true(is_opaque(f, "whiteout-before/a"));
        assert_plain(f, "replaced/b");
        assert_content(f, "replaced/b/x", "x");
}

/* A layer with "bin/x" and without "bin", where below "bin" is a link: the link stays. */
static void test_implied_symlinks(void **state) {
        static const char *const targets[] = { "usr/bin", "/usr/bin", "../../usr/./bin", "other/bin" };
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                reset_lower(f);
                make_below(f, "usr/bin");
                assert_int_equal(symlinkat("usr", f->lower, "other"), 0);
                assert_int_equal(symlinkat(targets[i], f->lower, "bin"), 0);
                TAR_ADD(&f->tar, FILE_("bin/a", "a"));
                TAR_ADD(&f->tar, DIR_("bin/d"), .mode = 0700, .uid = 5);
                TAR_ADD(&f->tar, .name = "bin/hard", .type = '1', .linkname = "bin/a");
                TAR_ADD(&f->tar, .name = "hard", .type = '1', .linkname = "/bin/hard");
                TAR_ADD(&f->tar, .name = "bin/.wh.gone");
                TAR_ADD(&f->tar, FILE_("usr/bin/a", "again"));
                finish_ok(f);
                assert_false(exists(f, "bin"));
                assert_false(exists(f, "other"));
                assert_inherited(f, "usr/bin");
                assert_plain(f, "usr");
                assert_content(f, "usr/bin/a", "again");
                assert_content(f, "usr/bin/hard", "a");
                assert_content(f, "hard", "a");
                assert_true(is_whiteout(f, "usr/bin/gone"));
                assert_int_equal(stat_of(f, "usr/bin/d").st_uid, 5);
                assert_int_equal(faccessat(f->lower, "usr/bin/a", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        }

        /* What this layer replaces or hides is not followed. */
        reset_lower(f);
        make_below(f, "usr/bin");
        assert_int_equal(symlinkat("usr/bin", f->lower, "bin"), 0);
        assert_int_equal(symlinkat("usr/bin", f->lower, "sbin"), 0);
        assert_int_equal(mkdirat_p(f->lower, "opaque", 0755), 0);
        assert_int_equal(symlinkat("../usr/bin", f->lower, "opaque/bin"), 0);
        TAR_ADD(&f->tar, DIR_("bin"));
        TAR_ADD(&f->tar, FILE_("bin/sub/x", "x"));
        TAR_ADD(&f->tar, .name = ".wh.sbin");
        TAR_ADD(&f->tar, FILE_("sbin/x", "x"));
        TAR_ADD(&f->tar, .name = "opaque/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("opaque/bin/x", "x"));
        finish_ok(f);
        assert_content(f, "bin/sub/x", "x");
        assert_content(f, "sbin/x", "x");
        assert_content(f, "opaque/bin/x", "x");
        assert_false(exists(f, "usr"));

        /* Nothing leads out, and nothing leads round for ever. */
        reset_lower(f);
        assert_int_equal(symlinkat("../..", f->lower, "up"), 0);
        assert_int_equal(symlinkat("/proc/self/root/..", f->lower, "root"), 0);
        TAR_ADD(&f->tar, FILE_("up/escaped", "x"));
        TAR_ADD(&f->tar, FILE_("root/escaped", "x"));
        finish_ok(f);
        assert_content(f, "escaped", "x");
        assert_content(f, "proc/self/escaped", "x");
        reset_lower(f);
        assert_int_equal(symlinkat("b", f->lower, "a"), 0);
        TAR_ADD(&f->tar, .name = "b", .type = '2', .linkname = "a");
        TAR_ADD(&f->tar, FILE_("a/x", "x"));
        finish_refused(f, "InvalidArchive");

        /* A hard link still goes to what this layer has. */
        reset_lower(f);
        make_below(f, "usr/bin");
        assert_int_equal(symlinkat("usr/bin", f->lower, "bin"), 0);
        assert_int_equal(write_file_atomic_at(f->lower, "usr/bin/a", "x", 1, 0600, false), 0);
        TAR_ADD(&f->tar, .name = "hard", .type = '1', .linkname = "bin/a");
        finish_refused(f, "InvalidArchive");
}

static void assert_list(Fixture *f, const char *expected) {
        assert_int_equal(f->result.implied_size, strlen(expected));
        for (size_t i = 0; i < f->result.implied_size; i++)
                assert_int_equal(f->result.implied[i] ?: '\n', expected[i]);
}

/* Without a look at what is below: what depends on it is listed. */
static void test_implied_unknown(void **state) {
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        f->lower_fd = TREE_LOWER_UNKNOWN;
        TAR_ADD(&f->tar, FILE_("x", "x"));
        TAR_ADD(&f->tar, DIR_("d"));
        TAR_ADD(&f->tar, FILE_("d/x", "x"));
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "d");
        TAR_ADD(&f->tar, FILE_("l/y", "x"));
        TAR_ADD(&f->tar, .name = ".wh.gone");
        TAR_ADD(&f->tar, FILE_("gone/a/x", "x"));
        TAR_ADD(&f->tar, DIR_("o"));
        TAR_ADD(&f->tar, .name = "o/.wh..wh..opq");
        TAR_ADD(&f->tar, FILE_("o/a/b/x", "x"));
        finish_ok(f);
        assert_plain(f, "o/a/b");
        assert_null(f->result.implied);
        assert_list(f, "");

        reset(f);
        TAR_ADD(&f->tar, FILE_("tmp/x", "x"));
        TAR_ADD(&f->tar, FILE_("a/b/c", "x"));
        TAR_ADD(&f->tar, DIR_("d"));
        TAR_ADD(&f->tar, FILE_("d/new\nline/x", "x"));
        TAR_ADD(&f->tar, .name = "l", .type = '2', .linkname = "there/it/is");
        TAR_ADD(&f->tar, FILE_("l/x", "x"));
        TAR_ADD(&f->tar, .name = "w/.wh.x");
        TAR_ADD(&f->tar, FILE_("later/x", "x"));
        TAR_ADD(&f->tar, DIR_("later"));
        finish_ok(f);
        assert_list(f, "tmp\na\na/b\nd/new\nline\nthere\nthere/it\nthere/it/is\nw\n");
        assert_plain(f, "a/b");
}

/* A file below this many directories, one in the other. On the list each takes 256 bytes more than the one above. */
static void add_deep(Fixture *f, unsigned number, unsigned levels) {
        char path[TREE_PATH_MAX + 1];

        memset(path, 'n', sizeof(path));
        (void) snprintf(path, sizeof(path), "%04u", number);
        path[4] = 'n';
        for (unsigned i = 1; i <= levels; i++)
                path[i * (TREE_COMPONENT_MAX + 1) - 1] = '/';
        path[levels * (TREE_COMPONENT_MAX + 1) + 1] = 0;
        TAR_ADD(&f->tar, .name = "x", PAX("path", path));
}

static void add_list_max(Fixture *f) {
        reset(f);
        for (unsigned i = 0; i < 34; i++)
                add_deep(f, i, 15);
        add_deep(f, 34, 5);
        add_deep(f, 35, 1);
}

/* As long as the list may be, and longer. */
static void test_implied_limit(void **state) {
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        assert_int_equal((34 * 120 + 15 + 1) * (TREE_COMPONENT_MAX + 1), TREE_IMPLIED_MAX);
        f->lower_fd = TREE_LOWER_UNKNOWN;
        add_list_max(f);
        finish_ok(f);
        assert_int_equal(f->result.implied_size, TREE_IMPLIED_MAX);
        assert_int_equal(tree_settle(f->root, f->lower, f->result.implied, f->result.implied_size, NULL), 0);
        assert_int_equal(tree_settle(f->root, f->lower, f->result.implied, TREE_IMPLIED_MAX + 1, NULL), -EBADMSG);

        add_list_max(f);
        TAR_ADD(&f->tar, FILE_("a/x", "x"));
        finish_refused(f, "LowerNeeded");
        assert_int_equal(f->error.error, -EAGAIN);

        /* With a look at what is below there is no list, and no limit. */
        f->lower_fd = f->lower;
        add_list_max(f);
        TAR_ADD(&f->tar, FILE_("a/x", "x"));
        finish_ok(f);
        assert_null(f->result.implied);
}

/* What tree_settle() is told may be anything. */
static void test_settle(void **state) {
        static const char *const bad[] = { "", "/", ".", "..", "../escaped", "d/../d", "/d", "d/", "./d", "d//d" };
        static const char *const nothing[] = { "missing", "missing/d", "file", "file/d", "link/d", "only-below" };
        char longer[TREE_PATH_MAX + 2];
        Fixture *f = *state;

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        reset_lower(f);
        make_below(f, "d/d");
        make_below(f, "d");
        make_below(f, "file");
        make_below(f, "missing");
        make_below(f, "only-below");
        assert_int_equal(mkdirat_p(f->root, "d/d", 0755), 0);
        assert_int_equal(write_file_atomic_at(f->root, "file", "x", 1, 0600, false), 0);
        assert_int_equal(symlinkat("d", f->root, "link"), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(tree_settle(f->root, f->lower, bad[i], strlen(bad[i]) + 1, NULL), -EBADMSG);
        assert_int_equal(tree_settle(f->root, f->lower, "d\0d/d", 5, NULL), -EBADMSG); /* cut off */
        memset(longer, 'x', sizeof(longer));
        for (size_t i = 200; i < sizeof(longer); i += 200)
                longer[i] = '/';
        longer[sizeof(longer) - 1] = 0;
        assert_int_equal(tree_settle(f->root, f->lower, longer, sizeof(longer), NULL), -EBADMSG);
        assert_plain(f, "d");
        for (size_t i = 0; i < ELEMENTSOF(nothing); i++)
                assert_int_equal(tree_settle(f->root, f->lower, nothing[i], strlen(nothing[i]) + 1, NULL), 0);
        assert_false(exists(f, "missing") || exists(f, "only-below"));
        assert_content(f, "file", "x");
        assert_plain(f, "d");
        assert_plain(f, "d/d");

        assert_int_equal(tree_settle(f->root, f->lower, "d/d", 4, NULL), 0);
        assert_inherited(f, "d/d");
        assert_plain(f, "d");
        assert_int_equal(tree_settle(f->root, f->lower, "d\0d/d\0d", 8, NULL), 0);
        assert_inherited(f, "d");
        assert_int_equal(tree_settle(f->root, f->lower, NULL, 0, NULL), 0);

        /* A directory here, a symlink below: whatever was made of it is wrong. */
        assert_int_equal(mkdirat(f->root, "bin", 0755), 0);
        assert_int_equal(symlinkat("d", f->lower, "bin"), 0);
        assert_int_equal(tree_settle(f->root, f->lower, "d\0bin", 6, &f->error), -EAGAIN);
        assert_string_equal(error_name(&f->error), "LowerNeeded");
}

/* Attributes of as many and as large as the file system takes. */
static void test_implied_xattrs(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int fd = -EBADF;
        char name[32], big[3000], value[sizeof(big) + 1];

        need(f, PLACE_WHITEOUTS | PLACE_USER_XATTRS);
        reset_lower(f);
        assert_int_equal(mkdirat(f->lower, "d", 0755), 0);
        fd = open_beneath_nofollow(f->lower, "d", O_RDONLY | O_DIRECTORY, 0);
        memset(big, 'b', sizeof(big));
        assert_int_equal(fsetxattr(fd, "user.big", big, sizeof(big), 0), 0);
        assert_int_equal(fsetxattr(fd, "user.empty", "", 0, 0), 0);
        for (unsigned i = 0; i < 10; i++) {
                (void) snprintf(name, sizeof(name), "user.a%u", i);
                assert_int_equal(fsetxattr(fd, name, name, strlen(name), 0), 0);
        }
        TAR_ADD(&f->tar, FILE_("d/x", "x"));
        finish_ok(f);
        assert_int_equal(get_xattr(f, "d", "user.big", value, sizeof(value)), sizeof(big));
        assert_memory_equal(value, big, sizeof(big));
        assert_int_equal(get_xattr(f, "d", "user.empty", value, sizeof(value)), 0);
        assert_int_equal(get_xattr(f, "d", "user.a9", value, sizeof(value)), 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
                cmocka_unit_test_setup_teardown(test_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_symlink_then_through, setup, teardown),
                cmocka_unit_test_setup_teardown(test_merged_usr, setup, teardown),
                cmocka_unit_test_setup_teardown(test_symlink_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hard_links, setup, teardown),
                cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
                cmocka_unit_test_setup_teardown(test_whiteouts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replacing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_xattrs, setup, teardown),
                cmocka_unit_test_setup_teardown(test_too_many_xattrs, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_entries, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied, setup_settle, teardown),
                cmocka_unit_test_setup_teardown(test_implied_hidden, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied_hidden, setup_settle, teardown),
                cmocka_unit_test_setup_teardown(test_implied_symlinks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied_unknown, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied_xattrs, setup, teardown),
                cmocka_unit_test_setup_teardown(test_implied_xattrs, setup_settle, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
