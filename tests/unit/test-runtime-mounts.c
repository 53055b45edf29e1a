/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options of mounts, mappings of ids, and the copy into a tmpfs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/copy-up.h"
#include "runtime/idmap.h"
#include "runtime/mount-options.h"

/* ---- options ---- */

#define PARSE(o, ...) parse((o), (const char *const[]){ __VA_ARGS__, NULL })

static void parse(MountOptions *o, const char *const *options) {
        _cleanup_error_ Error e = ERROR_NULL;

        mount_options_done(o);
        assert_int_equal(mount_options_parse((char *const *) options, o, &e), 0);
}

static void test_flags(void **state) {
        _cleanup_(mount_options_done) MountOptions o = {};

        PARSE(&o, "ro", "nosuid", "noexec", "exec", "sync", "size=1m", "mode=700");
        assert_int_equal(o.flags, MS_RDONLY | MS_NOSUID | MS_SYNCHRONOUS);
        assert_int_equal(o.attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
        assert_int_equal(o.attr_clear, MOUNT_ATTR_NOEXEC);
        assert_string_equal(o.data, "size=1m,mode=700");

        PARSE(&o, "defaults", "");
        assert_int_equal(o.flags, 0);
        assert_null(o.data);
}

/* Every option of the specification's table is known, and so are crun's: none is left for the file system.
 */
static void test_all_names(void **state) {
        static const char *const names[] = {
                "async",
                "atime",
                "bind",
                "defaults",
                "dev",
                "diratime",
                "dirsync",
                "exec",
                "iversion",
                "lazytime",
                "loud",
                "mand",
                "noatime",
                "nodev",
                "nodiratime",
                "noexec",
                "noiversion",
                "nolazytime",
                "nomand",
                "norelatime",
                "nostrictatime",
                "nosuid",
                "nosymfollow",
                "private",
                "ratime",
                "rbind",
                "rdev",
                "rdiratime",
                "relatime",
                "remount",
                "rexec",
                "rnoatime",
                "rnodev",
                "rnodiratime",
                "rnoexec",
                "rnorelatime",
                "rnostrictatime",
                "rnosuid",
                "rnosymfollow",
                "ro",
                "rprivate",
                "rrelatime",
                "rro",
                "rrw",
                "rshared",
                "rslave",
                "rstrictatime",
                "rsuid",
                "rsymfollow",
                "runbindable",
                "rw",
                "shared",
                "silent",
                "slave",
                "strictatime",
                "suid",
                "symfollow",
                "sync",
                "tmpcopyup",
                "unbindable",
                "idmap",
                "ridmap",
                "rasync",
                "rdirsync",
                "rmand",
                "rnomand",
                "rsync",
                "copy-symlink",
                "src-nofollow",
                "dest-nofollow",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(mount_options_done) MountOptions o = {};

                PARSE(&o, names[i]);
                if (o.data)
                        fail_msg("\"%s\" is not known", names[i]);
        }
}

static void test_recursive(void **state) {
        _cleanup_(mount_options_done) MountOptions o = {};

        PARSE(&o, "rro", "rnosuid", "rsuid", "rnosymfollow");
        assert_int_equal(o.attr_set, 0);
        assert_int_equal(o.attr_set_all, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSYMFOLLOW);
        assert_int_equal(o.attr_clear_all, MOUNT_ATTR_NOSUID);
        /* The same on a file system that is mounted anew. */
        assert_int_equal(o.flags, MS_RDONLY | MS_NOSYMFOLLOW);

        /* These have no such form. */
        PARSE(&o, "rlazytime", "rdefaults");
        assert_string_equal(o.data, "rlazytime,rdefaults");
}

static void test_access_times(void **state) {
        _cleanup_(mount_options_done) MountOptions o = {};

        PARSE(&o, "noatime", "strictatime");
        assert_int_equal(o.flags, MS_STRICTATIME);
        assert_int_equal(o.attr_set, MOUNT_ATTR_STRICTATIME);
        assert_int_equal(o.attr_clear, MOUNT_ATTR__ATIME);
        PARSE(&o, "noatime", "atime");
        assert_int_equal(o.flags, 0);
        assert_int_equal(o.attr_set, 0);
        assert_int_equal(o.attr_clear, MOUNT_ATTR__ATIME);
        PARSE(&o, "noatime", "nostrictatime");
        assert_int_equal(o.attr_set, MOUNT_ATTR_NOATIME);
        PARSE(&o, "norelatime");
        assert_int_equal(o.attr_clear, 0);
        PARSE(&o, "rnoatime");
        assert_int_equal(o.attr_set_all, MOUNT_ATTR_NOATIME);
        assert_int_equal(o.attr_clear_all, MOUNT_ATTR__ATIME);
}

static void test_others(void **state) {
        _cleanup_(mount_options_done) MountOptions o = {};

        PARSE(&o, "rbind", "bind");
        assert_true(o.bind);
        assert_true(o.recursive);
        PARSE(&o, "bind", "rslave", "idmap", "src-nofollow", "dest-nofollow");
        assert_false(o.recursive);
        assert_int_equal(o.propagation, MS_SLAVE);
        assert_true(o.propagation_all);
        assert_true(o.idmap && !o.idmap_all && o.source_nofollow && o.target_nofollow);
        assert_null(o.idmap_text);
        PARSE(&o, "ridmap=uids=0-1-2;gids=0-1-2");
        assert_true(o.idmap && o.idmap_all);
        assert_string_equal(o.idmap_text, "uids=0-1-2;gids=0-1-2");
        PARSE(&o, "idmap=", "tmpcopyup", "copy-symlink", "remount");
        assert_true(o.idmap && o.copy_up && o.copy_symlink && o.remount);
        assert_null(o.idmap_text);

        assert_int_equal(propagation_from_string("runbindable"), MS_UNBINDABLE | MS_REC);
        assert_int_equal(propagation_from_string("private"), MS_PRIVATE);
        assert_int_equal(propagation_from_string("ro"), 0);
}

/* ---- mappings ---- */

static void test_mapping_text(void **state) {
        static SpecIdMapping container[] = { { 0, 100000, 1000 } };
        const RuntimeSpec spec = { .uid_mappings = { container, 1 }, .gid_mappings = { container, 1 } };
        static const char *const bad[] = {
                "",
                "uids=0-1-2",
                "uids=0-1-2;gids=",
                "uids=0-1;gids=0-1-2",
                "uids=0-1-2-3;gids=0-1-2",
                "uids=0-1-0;gids=0-1-2",
                "uids=0-4294967295-1;gids=0-1-2",
                "uids=-1-1-1;gids=0-1-2",
                "uids=0-1-2;gids=0-1-2;x=0-1-2",
                "uids=0-1-2;gids=0-1-2;gids=0-1-2",
                "uids=@0-1000-1;gids=0-1-2",
        };
        _cleanup_(id_map_done) IdMap m = {}, copy = {};
        uint32_t id;

        assert_int_equal(id_map_parse("uids=0-1000-10#10-2000-1;gids=@5-7-3", &spec, &m, NULL), 0);
        assert_int_equal(m.uids.n, 2);
        assert_int_equal(m.uids.mappings[1].container_id, 10);
        assert_int_equal(m.uids.mappings[1].host_id, 2000);
        assert_int_equal(m.gids.mappings[0].container_id, 5);
        assert_int_equal(m.gids.mappings[0].host_id, 100007);
        assert_int_equal(m.gids.mappings[0].size, 3);

        assert_int_equal(id_map_copy(&m.uids, &m.gids, &copy), 0);
        assert_true(id_map_equal(&m, &copy));
        copy.gids.mappings[0].size++;
        assert_false(id_map_equal(&m, &copy));

        assert_int_equal(id_map_to_host(&m.uids, 9, &id), 0);
        assert_int_equal(id, 1009);
        assert_int_equal(id_map_to_host(&m.uids, 11, &id), -ENXIO);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(id_map_done) IdMap b = {};
                _cleanup_error_ Error e = ERROR_NULL;

                if (id_map_parse(bad[i], &spec, &b, &e) >= 0)
                        fail_msg("accepted: \"%s\"", bad[i]);
                assert_non_null(strstr(error_message(&e), "idmap="));
        }
}

static void test_mapping_limit(void **state) {
        for (size_t extra = 0; extra < 2; extra++) {
                _cleanup_(id_map_done) IdMap m = {};
                const RuntimeSpec spec = {};
                char *text = strdup("gids=0-0-1;uids=0-0-1");

                for (size_t i = 1; i < SPEC_ID_MAPPINGS_MAX + extra; i++) {
                        char *longer = strformat("%s#%zu-%zu-1", text, i, i);

                        free(text);
                        text = longer;
                }
                assert_int_equal(id_map_parse(text, &spec, &m, NULL), extra == 0 ? 0 : -EINVAL);
                free(text);
        }
}

/* ---- copies ---- */

typedef struct Trees {
        char *path;
        int dir, from, to;
} Trees;

static void trees_open(Trees *t) {
        char template[] = "/tmp/test-runtime-mounts-XXXXXX";

        assert_non_null(mkdtemp(template));
        t->path = strdup(template);
        t->dir = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        t->from = mkdirat_open(t->dir, "from", 0750);
        t->to = mkdirat_open(t->dir, "to", 0700);
        assert_true(t->from >= 0 && t->to >= 0);
}

static void trees_close(Trees *t) {
        safe_close(t->from);
        safe_close(t->to);
        safe_close(t->dir);
        assert_int_equal(rm_rf_at(AT_FDCWD, t->path), 0);
        free(t->path);
}

static void put(int dir, const char *name, const char *text, mode_t mode) {
        _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(write_full(fd, text, strlen(text)), 0);
        assert_int_equal(fchmod(fd, mode), 0);
}

static void test_copy(void **state) {
        const struct timespec times[2] = { { 1000, 5 }, { 2000, 6 } };
        _cleanup_free_ char *text = NULL;
        char link[16] = {};
        struct stat st;
        size_t size;
        Trees t;

        trees_open(&t);
        put(t.from, "file", "text", 04751);
        assert_int_equal(mkdirat(t.from, "dir", 01777), 0);
        assert_int_equal(fchmodat(t.from, "dir", 01777, 0), 0);
        put(t.from, "dir/inner", "", 0600);
        assert_int_equal(symlinkat("/etc/passwd", t.from, "link"), 0);
        assert_int_equal(mkfifoat(t.from, "fifo", 0640), 0);
        assert_int_equal(utimensat(t.from, "file", times, 0), 0);

        assert_int_equal(copy_up(t.from, t.to, true), 0);
        assert_int_equal(read_file_at(t.to, "file", 100, &text, &size), 0);
        assert_string_equal(text, "text");
        assert_int_equal(fstatat(t.to, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 04751);
        assert_int_equal(st.st_mtim.tv_sec, 2000);
        assert_int_equal(fstatat(t.to, "dir", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 01777);
        assert_int_equal(faccessat(t.to, "dir/inner", F_OK, 0), 0);
        assert_int_equal(readlinkat(t.to, "link", link, sizeof(link) - 1), 11);
        assert_string_equal(link, "/etc/passwd");
        assert_int_equal(fstatat(t.to, "fifo", &st, 0), 0);
        assert_true(S_ISFIFO(st.st_mode));
        assert_int_equal(fstat(t.to, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        trees_close(&t);
}

static void test_copy_xattrs(void **state) {
        _cleanup_close_ int file = -EBADF;
        char value[8] = {};
        Trees t;

        trees_open(&t);
        put(t.from, "file", "text", 0600);
        file = openat(t.from, "file", O_RDONLY | O_CLOEXEC);
        if (fsetxattr(file, "user.test", "value", 5, 0) < 0) {
                trees_close(&t);
                print_message("the file system has no user attributes\n");
                skip();
        }
        assert_int_equal(copy_up(t.from, t.to, false), 0);
        file = safe_close(file);
        file = openat(t.to, "file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fgetxattr(file, "user.test", value, sizeof(value)), 5);
        assert_string_equal(value, "value");
        trees_close(&t);
}

static void test_copy_depth(void **state) {
        for (unsigned extra = 0; extra < 2; extra++) {
                _cleanup_close_ int fd = -EBADF;
                Trees t;

                trees_open(&t);
                fd = fd_dup(t.from);
                for (unsigned i = 0; i < COPY_UP_DEPTH_MAX + extra; i++) {
                        int next = mkdirat_open(fd, "d", 0755);

                        assert_true(next >= 0);
                        safe_close(fd);
                        fd = next;
                }
                assert_int_equal(copy_up(t.from, t.to, false), extra == 0 ? 0 : -EMLINK);
                trees_close(&t);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flags),         cmocka_unit_test(test_all_names),
                cmocka_unit_test(test_recursive),     cmocka_unit_test(test_access_times),
                cmocka_unit_test(test_others),        cmocka_unit_test(test_mapping_text),
                cmocka_unit_test(test_mapping_limit), cmocka_unit_test(test_copy),
                cmocka_unit_test(test_copy_xattrs),   cmocka_unit_test(test_copy_depth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
