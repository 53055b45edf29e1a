/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "snapshot/snapshot.h"

typedef struct Place {
        char *dir;
        char *db;
        int fd;
        Store *store;
        SnapshotManager *manager;
} Place;

static int reopen(Place *p, const char *boot_id) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        p->manager = snapshot_manager_free(p->manager);
        p->store = store_free(p->store);
        if (store_open(p->db, &p->store, NULL, &e) < 0 || snapshot_manager_new(p->fd, "/state", p->store, &p->manager, &e) < 0)
                fail_msg("%s", error_message(&e));
        r = snapshot_manager_recover(p->manager, boot_id, &e);
        if (r < 0)
                fail_msg("%s", error_message(&e));
        return r;
}

static int setup(void **state) {
        static Place p;
        char template[] = "/tmp/test-snapshot-XXXXXX";

        p.dir = strdup(mkdtemp(template));
        p.db = strjoin(p.dir, "/moored.db");
        p.fd = open(p.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(reopen(&p, "boot-1"), 0);
        *state = &p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        p->manager = snapshot_manager_free(p->manager);
        p->store = store_free(p->store);
        p->fd = safe_close(p->fd);
        assert_int_equal(rm_rf_at(AT_FDCWD, p->dir), 0);
        free(p->dir);
        free(p->db);
        return 0;
}

/* "12/fs" below the driver's directory; "#" in name stands for the number. */
static bool has(Place *p, const char *name, uint64_t id) {
        _cleanup_free_ char *path = NULL;
        const char *hash = strchrnul(name, '#');

        path = *hash ? strformat("snapshots/overlay/%.*s%llu%s", (int) (hash - name), name, (unsigned long long) id, hash + 1)
                     : strjoin("snapshots/overlay/", name);
        return path && faccessat(p->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static const char *digest_of(const char *text, char buf[static DIGEST_STRING_MAX]) {
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, text, strlen(text), buf), 0);
        return buf;
}

/* Begins a layer with content text on a parent with the given chain id (NULL: none), chain id of the new one in chain. */
static int begin(Place *p, const char *text, const char *parent_chain, uint64_t parent, char chain[static DIGEST_STRING_MAX], uint64_t *ret_id) {
        _cleanup_close_ int fd = -EBADF;
        char diff[DIGEST_STRING_MAX];
        int r;

        assert_int_equal(chain_id(parent_chain, digest_of(text, diff), chain), 0);
        r = snapshot_layer_begin(p->manager, chain, diff, parent, ret_id, &fd, NULL);
        if (r >= 0)
                assert_int_equal(write_file_atomic_at(fd, "file", text, strlen(text), 0644, false), 0);
        return r;
}

static uint64_t make_layer(Place *p, const char *text, const char *parent_chain, uint64_t parent, char chain[static DIGEST_STRING_MAX]) {
        uint64_t id;

        assert_int_equal(begin(p, text, parent_chain, parent, chain, &id), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, id, 10, NULL), 0);
        return id;
}

static uint64_t make_writable(Place *p, uint64_t parent) {
        _cleanup_error_ Error e = ERROR_NULL;
        uint64_t id;

        if (snapshot_prepare(p->manager, parent, true, &id, &e) < 0)
                fail_msg("%s", error_message(&e));
        return id;
}

static bool row_exists(Place *p, uint64_t id) {
        _cleanup_(snapshot_row_done) SnapshotRow r = {};

        return store_snapshot_get(p->store, id, &r) >= 0;
}

static void test_layer(void **state) {
        Place *p = *state;
        char chain[DIGEST_STRING_MAX], other[DIGEST_STRING_MAX];
        uint64_t id, again, found = 0;
        struct stat st;

        (void) umask(077);
        assert_int_equal(begin(p, "one", NULL, 0, chain, &id), 0);
        (void) umask(022);
        assert_true(has(p, "new-#/fs/file", id));
        assert_false(has(p, "#", id));
        assert_int_equal(snapshot_find_layer(p->manager, chain, &found), -ENOENT);
        assert_int_equal(begin(p, "one", NULL, 0, other, &again), -EEXIST);
        assert_int_equal(snapshot_prepare(p->manager, id, true, &again, NULL), -EINVAL);

        assert_int_equal(snapshot_layer_complete(p->manager, id, 10, NULL), 0);
        assert_true(has(p, "#/fs/file", id));
        assert_false(has(p, "new-#", id));
        assert_int_equal(snapshot_find_layer(p->manager, chain, &found), 0);
        assert_int_equal(found, id);
        assert_int_equal(begin(p, "one", NULL, 0, other, &again), -EEXIST);
        assert_int_equal(snapshot_layer_complete(p->manager, id, 10, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_abort(p->manager, id), -EINVAL);
        assert_int_equal(snapshot_layer_complete(p->manager, 999, 10, NULL), -ENOENT);

        assert_int_equal(fstatat(p->fd, "snapshots/overlay", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(fstatat(p->fd, "snapshots/overlay/1", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(fstatat(p->fd, "snapshots/overlay/1/fs", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
}

/* -EEXIST does not spoil the caller's transaction. */
static void test_exists_in_transaction(void **state) {
        Place *p = *state;
        char chain[DIGEST_STRING_MAX];
        uint64_t id;

        (void) make_layer(p, "one", NULL, 0, chain);
        assert_int_equal(store_begin(p->store, true), 0);
        assert_int_equal(begin(p, "one", NULL, 0, chain, &id), -EEXIST);
        assert_int_equal(begin(p, "two", NULL, 0, chain, &id), 0);
        assert_int_equal(store_commit(p->store), 0);
        assert_true(row_exists(p, id));
}

static void test_chain(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX], diff[DIGEST_STRING_MAX];
        _cleanup_(snapshot_mount_done) SnapshotMount m = {}, none = {};
        uint64_t one = make_layer(p, "one", NULL, 0, a), two = make_layer(p, "two", a, one, b), three = make_layer(p, "three", b, two, c), w, bare, x;
        _cleanup_free_ char *lower = NULL, *expected = NULL, *upper = NULL, *work = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int fd = -EBADF;

        w = make_writable(p, three);
        assert_int_equal(snapshot_get_mount(p->manager, w, &m, NULL), 0);
        assert_string_equal(m.dir, "/state/snapshots/overlay");
        lower = strv_join(m.lower, ":");
        expected = strformat("%llu/fs:%llu/fs:%llu/fs", (unsigned long long) three, (unsigned long long) two, (unsigned long long) one);
        assert_string_equal(lower, expected);
        upper = strformat("%llu/fs", (unsigned long long) w);
        work = strformat("%llu/work", (unsigned long long) w);
        assert_string_equal(m.upper, upper);
        assert_string_equal(m.work, work);
        assert_true(has(p, "#/fs", w));
        assert_true(has(p, "#/work", w));

        bare = make_writable(p, 0);
        assert_int_equal(snapshot_get_mount(p->manager, bare, &none, NULL), 0);
        assert_int_equal(strv_length(none.lower), 0);

        assert_int_equal(snapshot_get_mount(p->manager, three, &none, &e), -EINVAL);
        assert_int_equal(snapshot_get_mount(p->manager, 999, &none, NULL), -ENOENT);
        assert_int_equal(snapshot_prepare(p->manager, w, true, &x, NULL), -EINVAL);
        assert_int_equal(snapshot_prepare(p->manager, 999, true, &x, NULL), -ENOENT);

        /* A chain id that is not that of parent and DiffID, a parent that is no layer or not there, no digests. */
        assert_int_equal(snapshot_layer_begin(p->manager, digest_of("z", c), digest_of("y", diff), 0, &x, &fd, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_begin(p->manager, digest_of("z", c), digest_of("z", diff), 999, &x, &fd, NULL), -ENOENT);
        assert_int_equal(snapshot_layer_begin(p->manager, digest_of("z", c), digest_of("y", diff), one, &x, &fd, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_begin(p->manager, digest_of("z", c), digest_of("z", diff), w, &x, &fd, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_begin(p->manager, "x", digest_of("y", diff), 0, &x, &fd, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_begin(p->manager, digest_of("y", diff), NULL, 0, &x, &fd, NULL), -EINVAL);
}

/* Unpacked in any order, ready in order. */
static void test_any_order(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX];
        _cleanup_error_ Error e = ERROR_NULL;
        uint64_t one, two, three;

        assert_int_equal(begin(p, "one", NULL, 0, a, &one), 0);
        assert_int_equal(begin(p, "two", a, one, b, &two), 0);
        assert_int_equal(begin(p, "three", b, two, c, &three), 0);

        assert_int_equal(snapshot_layer_complete(p->manager, three, 1, NULL), -EAGAIN);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, &e), -EAGAIN);
        assert_true(has(p, "new-#", two));
        assert_int_equal(snapshot_layer_complete(p->manager, one, 1, NULL), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, three, 1, NULL), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, three, 1, NULL), -EINVAL); /* ready */
}

static void test_abort(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX], x[DIGEST_STRING_MAX];
        uint64_t one, two, three, base = make_layer(p, "base", NULL, 0, x), found;

        assert_int_equal(begin(p, "one", x, base, a, &one), 0);
        assert_int_equal(begin(p, "two", a, one, b, &two), 0);
        assert_int_equal(begin(p, "three", b, two, c, &three), 0);
        assert_false(snapshot_manager_trash_pending(p->manager));

        assert_int_equal(snapshot_layer_abort(p->manager, three), 0);
        assert_true(snapshot_manager_trash_pending(p->manager));
        assert_false(has(p, "new-#", three));
        assert_int_equal(begin(p, "three", b, two, c, &three), 0);

        /* With it goes what was begun on top; a second time there is nothing to do. */
        assert_int_equal(snapshot_layer_abort(p->manager, one), 0);
        assert_false(row_exists(p, one) || row_exists(p, two) || row_exists(p, three));
        assert_false(has(p, "new-#", one) || has(p, "new-#", two) || has(p, "new-#", three));
        assert_int_equal(snapshot_layer_abort(p->manager, two), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), -ENOENT);
        assert_int_equal(snapshot_find_layer(p->manager, x, &found), 0);
}

static void test_root_mode(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], diff[DIGEST_STRING_MAX];
        _cleanup_free_ char *path = NULL, *bare_path = NULL;
        uint64_t id, w, bare;
        struct stat st;
        int fd;

        assert_int_equal(chain_id(NULL, digest_of("one", diff), a), 0);
        assert_int_equal(snapshot_layer_begin(p->manager, a, diff, 0, &id, &fd, NULL), 0);
        assert_int_equal(fchmod(fd, 01777), 0);
        if (geteuid() == 0)
                assert_int_equal(fchown(fd, 12, 34), 0);
        fd = safe_close(fd);
        assert_int_equal(snapshot_layer_complete(p->manager, id, 1, NULL), 0);

        (void) umask(077);
        w = make_writable(p, id);
        bare = make_writable(p, 0);
        (void) umask(022);
        path = strformat("snapshots/overlay/%llu/fs", (unsigned long long) w);
        assert_int_equal(fstatat(p->fd, path, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 01777);
        if (geteuid() == 0) {
                assert_int_equal(st.st_uid, 12);
                assert_int_equal(st.st_gid, 34);
        }
        bare_path = strformat("snapshots/overlay/%llu/fs", (unsigned long long) bare);
        assert_int_equal(fstatat(p->fd, bare_path, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
}

static void test_remove(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX];
        uint64_t id = make_layer(p, "one", NULL, 0, a), w = make_writable(p, id);
        _cleanup_close_ int trash = -EBADF, dir = -EBADF;

        assert_int_equal(snapshot_remove(p->manager, id), -ENOTEMPTY);
        assert_true(has(p, "#/fs", id));
        assert_int_equal(snapshot_remove(p->manager, w), 0);
        assert_false(has(p, "#", w));
        assert_true(has(p, "trash/#", w));
        assert_int_equal(snapshot_remove(p->manager, w), -ENOENT);

        assert_int_equal(store_snapshot_remove(p->store, id), 0);
        assert_true(snapshot_discard_tree(p->manager, id) > 0);
        assert_int_equal(snapshot_discard_tree(p->manager, id), 0);
        assert_true(has(p, "trash/#/fs/file", id));

        /* One of the same number in the trash is no obstacle. */
        assert_int_equal(mkdirat(p->fd, "snapshots/overlay/1", 0700), 0);
        assert_int_equal(id, 1);
        assert_true(snapshot_discard_tree(p->manager, id) > 0);
        assert_false(has(p, "#", id));

        trash = snapshot_manager_open_trash(p->manager);
        dir = snapshot_manager_open_dir(p->manager);
        assert_true(trash >= 0 && dir >= 0);
        assert_true(snapshot_manager_trash_pending(p->manager));
        assert_int_equal(rm_rf_at(dir, "trash"), 0);
}

static void test_recover_nothing(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX];
        uint64_t one = make_layer(p, "one", NULL, 0, a), two = make_layer(p, "two", a, one, b), w = make_writable(p, two), found;
        _cleanup_(snapshot_mount_done) SnapshotMount m = {};

        /* Same boot: all stays, synced or not. */
        assert_int_equal(reopen(p, "boot-1"), 0);
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), 0);
        assert_int_equal(snapshot_get_mount(p->manager, w, &m, NULL), 0);

        /* Synced: also after a reboot. */
        assert_int_equal(snapshot_layers_synced(p->manager, (uint64_t[]) { one, two, 999 }, 3), 0);
        assert_int_equal(reopen(p, "boot-2"), 0);
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), 0);
        assert_int_equal(found, two);
        assert_true(has(p, "#/fs/file", one));
}

static void test_recover_unsynced(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX];
        uint64_t one = make_layer(p, "one", NULL, 0, a), two = make_layer(p, "two", a, one, b), three = make_layer(p, "three", b, two, c),
                 w1 = make_writable(p, one), w3 = make_writable(p, three), found, again;
        _cleanup_(snapshot_mount_done) SnapshotMount m = {}, n = {};
        _cleanup_error_ Error e = ERROR_NULL;

        /* The middle one was not synced: its tree goes after a reboot, with all layers above, synced or not. */
        assert_int_equal(snapshot_layers_synced(p->manager, (uint64_t[]) { one, three }, 2), 0);
        assert_int_equal(reopen(p, "boot-2"), 1);
        assert_int_equal(snapshot_find_layer(p->manager, a, &found), 0);
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), -ENOENT);
        assert_int_equal(snapshot_find_layer(p->manager, c, &found), -ENOENT);
        assert_true(has(p, "trash/#/fs/file", two));
        assert_true(has(p, "trash/#/fs/file", three));

        /* What stands on them is somebody's, and stays; it cannot be mounted for now, and no other begun on it. */
        assert_true(row_exists(p, w1) && row_exists(p, two) && row_exists(p, three) && row_exists(p, w3));
        assert_true(has(p, "#/fs", w3) && has(p, "#/work", w3));
        assert_int_equal(snapshot_get_mount(p->manager, w1, &m, NULL), 0);
        assert_int_equal(snapshot_get_mount(p->manager, w3, &n, &e), -EAGAIN);
        assert_true(error_has_name(&e, "ImageNotUnpacked"));
        assert_int_equal(snapshot_prepare(p->manager, three, true, &found, NULL), -EINVAL);

        /* Once more: the same. Then they are unpacked again under their numbers, so that the chain fits. */
        assert_int_equal(reopen(p, "boot-2"), 1);
        assert_int_equal(begin(p, "two", a, one, b, &again), 0);
        assert_int_equal(again, two);
        assert_int_equal(begin(p, "two", a, one, b, &found), -EEXIST);
        assert_int_equal(begin(p, "three", b, two, c, &again), 0);
        assert_int_equal(again, three);
        assert_int_equal(snapshot_layer_complete(p->manager, three, 1, NULL), -EAGAIN);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, three, 1, NULL), 0);
        assert_int_equal(snapshot_get_mount(p->manager, w3, &n, NULL), 0);
        assert_int_equal(strv_length(n.lower), 3);

        /* They are of the second boot now. */
        assert_int_equal(reopen(p, "boot-2"), 1);
        assert_int_equal(snapshot_find_layer(p->manager, c, &found), 0);
        assert_int_equal(reopen(p, "boot-3"), 1);
        assert_int_equal(snapshot_find_layer(p->manager, c, &found), -ENOENT);
}

/* Unpacking again fails: the number is kept for what stands on it, and the next attempt takes it. */
static void test_abort_below_writable(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX];
        uint64_t one = make_layer(p, "one", NULL, 0, a), two = make_layer(p, "two", a, one, b), w = make_writable(p, two), again;

        assert_int_equal(reopen(p, "boot-2"), 1);
        assert_int_equal(begin(p, "one", NULL, 0, a, &again), 0);
        assert_int_equal(again, one);
        assert_int_equal(begin(p, "two", a, one, b, &again), 0);
        assert_int_equal(snapshot_layer_abort(p->manager, one), 0);
        assert_false(has(p, "new-#", one) || has(p, "new-#", two));
        assert_true(row_exists(p, one) && row_exists(p, two) && row_exists(p, w));

        assert_int_equal(begin(p, "one", NULL, 0, a, &again), 0);
        assert_int_equal(again, one);
        assert_int_equal(begin(p, "two", a, one, b, &again), 0);
        assert_int_equal(again, two);
        assert_int_equal(snapshot_layer_complete(p->manager, one, 1, NULL), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), 0);

        /* Nothing stands on it any more: an abort leaves nothing. */
        assert_int_equal(snapshot_remove(p->manager, w), 0);
        assert_int_equal(reopen(p, "boot-3"), 1);
        assert_int_equal(begin(p, "one", NULL, 0, a, &again), 0);
        assert_int_equal(snapshot_layer_abort(p->manager, one), 0);
        assert_false(row_exists(p, one) || row_exists(p, two));
}

static void test_recover_unready(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX];
        uint64_t base = make_layer(p, "base", NULL, 0, a), one, two, found;

        /* A child that is older than its parent. */
        assert_int_equal(begin(p, "other", NULL, 0, c, &two), 0);
        assert_int_equal(begin(p, "one", a, base, b, &one), 0);
        assert_int_equal(store_snapshot_reset(p->store, two, one, "boot-1"), 0);

        assert_int_equal(reopen(p, "boot-1"), 1);
        assert_true(row_exists(p, one) && row_exists(p, two));
        assert_false(has(p, "new-#", one) || has(p, "new-#", two));
        assert_true(has(p, "trash/new-#/fs/file", one));
        assert_int_equal(snapshot_find_layer(p->manager, c, &found), -ENOENT);
        assert_int_equal(snapshot_find_layer(p->manager, a, &found), 0);
}

static void move_away(Place *p, uint64_t id) {
        _cleanup_free_ char *from = strformat("snapshots/overlay/%llu", (unsigned long long) id);

        assert_int_equal(renameat(p->fd, from, p->fd, "away"), 0);
}

static void test_recover_missing_directory(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX];
        uint64_t one = make_layer(p, "one", NULL, 0, a), two = make_layer(p, "two", a, one, b), w = make_writable(p, two), alone = make_writable(p, 0), found;

        move_away(p, alone);
        assert_int_equal(reopen(p, "boot-1"), 0);
        assert_false(row_exists(p, alone));
        assert_true(row_exists(p, w));

        assert_int_equal(rm_rf_at(p->fd, "away"), 0);
        move_away(p, one);
        assert_int_equal(reopen(p, "boot-1"), 1);
        assert_true(row_exists(p, one) && row_exists(p, two) && row_exists(p, w));
        assert_false(has(p, "#", two));
        assert_true(has(p, "#/fs", w));
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), -ENOENT);
}

static void test_recover_stray(void **state) {
        Place *p = *state;
        static const char *const names[] = { "77", "new-77", "007", "x", "new-", "18446744073709551616" };
        char a[DIGEST_STRING_MAX];
        uint64_t one = make_layer(p, "one", NULL, 0, a);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = strjoin("snapshots/overlay/", names[i]);

                assert_int_equal(mkdirat(p->fd, path, 0700), 0);
        }
        assert_int_equal(write_file_atomic_at(p->fd, "snapshots/overlay/file", "", 0, 0600, false), 0);
        assert_int_equal(mkdirat(p->fd, "snapshots/overlay/001", 0700), 0);

        assert_int_equal(reopen(p, "boot-1"), 1);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = strjoin("snapshots/overlay/trash/", names[i]);

                assert_int_equal(faccessat(p->fd, path, F_OK, 0), 0);
        }
        assert_true(has(p, "trash/file", 0));
        assert_true(has(p, "trash/001", 0));
        assert_true(has(p, "#/fs/file", one));

        /* The trash itself is left to its helper: it is still reported. */
        assert_int_equal(reopen(p, "boot-1"), 1);
}

/* What the first half of a step leaves when the daemon dies before the second. */
static void test_recover_between(void **state) {
        Place *p = *state;
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX];
        uint64_t one, two, w;
        _cleanup_free_ char *from = NULL, *to = NULL;

        /* complete: renamed, but the row is not ready */
        assert_int_equal(begin(p, "one", NULL, 0, a, &one), 0);
        from = strformat("snapshots/overlay/new-%llu", (unsigned long long) one);
        to = strformat("snapshots/overlay/%llu", (unsigned long long) one);
        assert_int_equal(renameat(p->fd, from, p->fd, to), 0);
        assert_int_equal(reopen(p, "boot-1"), 1);
        assert_int_equal(snapshot_find_layer(p->manager, a, &w), -ENOENT);
        assert_true(has(p, "trash/#/fs/file", one));

        /* remove: the row is gone, the tree is there */
        two = make_layer(p, "two", NULL, 0, b);
        w = make_writable(p, two);
        assert_int_equal(store_snapshot_remove(p->store, w), 0);
        assert_int_equal(reopen(p, "boot-1"), 1);
        assert_false(has(p, "#", w));
        assert_true(has(p, "trash/#/fs", w));
        assert_true(row_exists(p, two));
}

static void make_chain(Place *p, unsigned n) {
        char chain[DIGEST_STRING_MAX], next[DIGEST_STRING_MAX];
        uint64_t parent = 0;

        for (unsigned i = 0; i < n; i++) {
                char text[32];

                snprintf(text, sizeof(text), "layer %u", i);
                parent = make_layer(p, text, i == 0 ? NULL : chain, parent, next);
                strcpy(chain, next);
        }
}

static void test_depth(void **state) {
        Place *p = *state;
        _cleanup_(snapshot_mount_done) SnapshotMount m = {}, n = {};
        _cleanup_error_ Error e = ERROR_NULL;
        uint64_t w, deeper;

        make_chain(p, LAYERS_MAX + 1);
        w = make_writable(p, LAYERS_MAX);
        assert_int_equal(snapshot_get_mount(p->manager, w, &m, NULL), 0);
        assert_int_equal(strv_length(m.lower), LAYERS_MAX);
        deeper = make_writable(p, LAYERS_MAX + 1);
        assert_int_equal(snapshot_get_mount(p->manager, deeper, &n, &e), -ELOOP);
}

/* -- layers that depend on those below -- */

static void assert_lower(Place *p, uint64_t id, const char *expected) {
        _cleanup_strv_free_ char **lower = NULL;
        _cleanup_free_ char *joined = NULL;

        assert_int_equal(snapshot_layer_get_lower(p->manager, id, &lower, NULL), 0);
        joined = strv_join(lower, ":");
        assert_string_equal(joined, expected);
}

static void test_restart(void **state) {
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], c[DIGEST_STRING_MAX];
        _cleanup_close_ int fd = -EBADF, again = -EBADF;
        _cleanup_strv_free_ char **lower = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        uint64_t one, two, three, found;
        Place *p = *state;

        assert_int_equal(begin(p, "one", NULL, 0, a, &one), 0);
        assert_int_equal(begin(p, "two", a, one, b, &two), 0);
        assert_int_equal(begin(p, "three", b, two, c, &three), 0);
        assert_lower(p, one, "");
        assert_int_equal(snapshot_layer_get_lower(p->manager, three, &lower, &e), -EAGAIN);
        assert_string_equal(error_name(&e), "ImageNotUnpacked");
        assert_int_equal(snapshot_layer_complete(p->manager, one, 1, NULL), 0);
        assert_lower(p, two, "1/fs");

        assert_true(has(p, "new-#/fs/file", two));
        assert_int_equal(snapshot_layer_restart(p->manager, two, &fd, NULL), 0);
        assert_true(has(p, "trash/new-#/fs/file", two));
        assert_true(has(p, "new-#/fs", two));
        assert_int_equal(dir_is_empty_at(fd, "."), 1);
        assert_int_equal(write_file_atomic_at(fd, "file", "x", 1, 0600, false), 0);
        assert_true(has(p, "new-#/fs/file", two));
        /* What was there before may be in the trash still. */
        assert_int_equal(snapshot_layer_restart(p->manager, two, &again, NULL), 0);
        assert_int_equal(dir_is_empty_at(again, "."), 1);
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), -ENOENT);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), 0);
        assert_int_equal(snapshot_find_layer(p->manager, b, &found), 0);
        assert_int_equal(found, two);
        assert_lower(p, three, "2/fs:1/fs");

        /* Not what is ready, and not what is not there. */
        again = safe_close(again);
        assert_int_equal(snapshot_layer_restart(p->manager, two, &again, NULL), -EINVAL);
        assert_int_equal(snapshot_layer_restart(p->manager, 77, &again, NULL), -ENOENT);
        assert_int_equal(snapshot_layer_restart(p->manager, make_writable(p, two), &again, NULL), -EINVAL);
        assert_true(has(p, "#/fs", two));
}

static struct stat root_of(Place *p, const char *format, uint64_t id) {
        _cleanup_free_ char *path = strformat("snapshots/overlay/%s%llu/fs", format, (unsigned long long) id);
        struct stat st;

        assert_int_equal(fstatat(p->fd, path, &st, 0), 0);
        return st;
}

static void test_inherit_root(void **state) {
        char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX];
        uid_t owner = geteuid() == 0 ? 1234 : geteuid();
        _cleanup_close_ int fd = -EBADF;
        uint64_t one, two, w;
        Place *p = *state;

        assert_int_equal(begin(p, "one", NULL, 0, a, &one), 0);
        assert_int_equal(snapshot_layer_inherit_root(p->manager, one, NULL), 0);
        assert_int_equal(root_of(p, "new-", one).st_mode, S_IFDIR | 0755);
        assert_int_equal(snapshot_layer_restart(p->manager, one, &fd, NULL), 0);
        assert_int_equal(fchown(fd, owner, getegid()), 0);
        assert_int_equal(fchmod(fd, 01711), 0);
        assert_int_equal(snapshot_layer_complete(p->manager, one, 1, NULL), 0);

        assert_int_equal(begin(p, "two", a, one, b, &two), 0);
        assert_int_equal(root_of(p, "new-", two).st_mode, S_IFDIR | 0755);
        assert_int_equal(snapshot_layer_inherit_root(p->manager, two, NULL), 0);
        assert_int_equal(root_of(p, "new-", two).st_mode, S_IFDIR | 01711);
        assert_int_equal(root_of(p, "new-", two).st_uid, owner);
        assert_int_equal(snapshot_layer_complete(p->manager, two, 1, NULL), 0);
        assert_int_equal(snapshot_layer_inherit_root(p->manager, two, NULL), -EINVAL);
        w = make_writable(p, two);
        assert_int_equal(root_of(p, "", w).st_mode, S_IFDIR | 01711);
        assert_int_equal(root_of(p, "", w).st_uid, owner);
}

/* Killed at any time while it makes and removes snapshots: afterwards rows and directories agree. */
static int check_row(const SnapshotRow *row, void *userdata) {
        if (!row->ready) {
                assert_int_equal(row->kind, SNAPSHOT_LAYER);
                assert_false(has(userdata, "#", row->id) || has(userdata, "new-#", row->id));
                return 0;
        }
        assert_true(has(userdata, "#/fs", row->id));
        if (row->kind == SNAPSHOT_LAYER)
                assert_true(has(userdata, "#/fs/file", row->id));
        return 0;
}

static void churn(Place *p, unsigned round) {
        for (unsigned i = 0;; i++) {
                char a[DIGEST_STRING_MAX], b[DIGEST_STRING_MAX], text[32];
                _cleanup_close_ int fd = -EBADF;
                uint64_t one, two, w;

                snprintf(text, sizeof(text), "%u/%u", round, i);
                if (begin(p, text, NULL, 0, a, &one) < 0 || begin(p, "two", a, one, b, &two) < 0 ||
                    snapshot_layer_complete(p->manager, one, 1, NULL) < 0)
                        _exit(1);
                if (snapshot_layer_restart(p->manager, two, &fd, NULL) < 0 || write_file_atomic_at(fd, "file", "x", 1, 0644, false) < 0)
                        _exit(4);
                if (i % 2 ? snapshot_layer_complete(p->manager, two, 1, NULL) < 0 : snapshot_layer_abort(p->manager, two) < 0)
                        _exit(2);
                if (snapshot_prepare(p->manager, one, i % 3 == 0, &w, NULL) < 0 || snapshot_remove(p->manager, w) < 0)
                        _exit(3);
        }
}

static void test_killed(void **state) {
        Place *p = *state;

        for (unsigned i = 0; i < 25; i++) {
                int status;
                pid_t pid;

                /* SQLite's connection must not be used on both sides of a fork. */
                p->manager = snapshot_manager_free(p->manager);
                p->store = store_free(p->store);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        (void) reopen(p, "boot-1");
                        churn(p, i);
                }
                assert_int_equal(usleep(2000 + 1700 * i), 0);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));

                (void) reopen(p, "boot-1");
                assert_int_equal(store_snapshot_foreach(p->store, check_row, p), 0);
                assert_int_equal(reopen(p, "boot-1"), snapshot_manager_trash_pending(p->manager));
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_layer),
                TEST(test_exists_in_transaction),
                TEST(test_chain),
                TEST(test_any_order),
                TEST(test_abort),
                TEST(test_root_mode),
                TEST(test_remove),
                TEST(test_recover_nothing),
                TEST(test_recover_unsynced),
                TEST(test_abort_below_writable),
                TEST(test_recover_unready),
                TEST(test_recover_missing_directory),
                TEST(test_recover_stray),
                TEST(test_recover_between),
                TEST(test_depth),
                TEST(test_restart),
                TEST(test_inherit_root),
                TEST(test_killed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
