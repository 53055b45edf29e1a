/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows (store/) and directories change one after the other, so a crash can fall between. The order is such
 * that what is left is always seen as incomplete by snapshot_manager_recover():
 *
 *   snapshot_layer_begin      row (not ready), then new-<id>         → row not ready
 *                             (one that is there and not ready keeps its number)
 *   snapshot_layer_restart    new-<id> to the trash, then another  → row not ready
 *   snapshot_layer_complete   new-<id> becomes <id>, then row ready  → row not ready
 *   snapshot_layer_abort      new-<id> to the trash, then the row,   → row not ready
 *                             unless something stands on it
 *   snapshot_prepare          row and <id> in one transaction        → directory without a row, or the
 *                                                                      reverse (power loss)
 *   snapshot_remove           the row, then <id> to the trash        → directory without a row
 *
 * The bytes of layers are not synced one by one: a layer is trusted after a reboot only if a sync of the
 * whole file system has ended since (snapshot_layers_synced()). Deleting trees is a helper's work: here they
 * are only renamed. */

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "snapshot/snapshot-internal.h"

SnapshotManager *snapshot_manager_free(SnapshotManager *m) {
        if (!m)
                return NULL;

        safe_close(m->dir_fd);
        safe_close(m->trash_fd);
        free(m->dir);
        free(m->boot_id);
        free(m);
        return NULL;
}

static int open_directories(SnapshotManager *m, int state_fd) {
        _cleanup_close_ int fd = mkdirat_open(state_fd, "snapshots", 0700);

        if (fd < 0)
                return fd;

        m->dir_fd = mkdirat_open(fd, SNAPSHOT_DRIVER, 0700);
        if (m->dir_fd < 0)
                return m->dir_fd;

        m->trash_fd = mkdirat_open(m->dir_fd, "trash", 0700);
        return m->trash_fd < 0 ? m->trash_fd : 0;
}

int snapshot_manager_new(int state_fd, const char *state_path, Store *store, SnapshotManager **ret,
                         Error *reterr_error) {
        _cleanup_(snapshot_manager_freep) SnapshotManager *m = NULL;
        int r;

        m = malloc(sizeof(SnapshotManager));
        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        *m = (SnapshotManager) {
                .dir_fd = -EBADF,
                .trash_fd = -EBADF,
                .store = store,
                .dir = path_join(state_path, "snapshots/" SNAPSHOT_DRIVER),
        };
        if (!m->dir)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        r = open_directories(m, state_fd);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The directory of the snapshots, %s, cannot be opened: %m", m->dir);

        *ret = TAKE_PTR(m);
        return 0;
}

int snapshot_manager_open_dir(SnapshotManager *m) {
        return fd_dup(m->dir_fd);
}

int snapshot_manager_open_trash(SnapshotManager *m) {
        return fd_dup(m->trash_fd);
}

bool snapshot_manager_trash_pending(SnapshotManager *m) {
        return dir_is_empty_at(m->trash_fd, ".") == 0;
}

/* -- names -- */

static const char *format_name(char buf[static SNAPSHOT_NAME_MAX], const char *prefix, uint64_t id) {
        snprintf(buf, SNAPSHOT_NAME_MAX, "%s%" PRIu64, prefix, id);
        return buf;
}

int snapshot_discard(SnapshotManager *m, const char *name) {
        _cleanup_free_ char *random = NULL, *other = NULL;

        if (renameat2(m->dir_fd, name, m->trash_fd, name, RENAME_NOREPLACE) >= 0)
                return 1;
        if (errno == ENOENT)
                return 0;
        if (errno != EEXIST)
                return -errno;

        /* Of an earlier life of this number (the database was lost) and not deleted yet. */
        random = random_hex(8);
        other = random ? strjoin(name, ".", random) : NULL;
        if (!other)
                return -ENOMEM;

        return renameat(m->dir_fd, name, m->trash_fd, other) < 0 ? -errno : 1;
}

int snapshot_discard_tree(SnapshotManager *m, uint64_t id) {
        char name[SNAPSHOT_NAME_MAX];
        int r, k;

        r = snapshot_discard(m, format_name(name, "", id));
        k = snapshot_discard(m, format_name(name, "new-", id));
        return r < 0 ? r : k < 0 ? k : r || k;
}

/* Exactly this mode and owner, whatever the umask. */
static int set_mode_and_owner(int fd, mode_t mode, uid_t uid, gid_t gid) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
                return -errno;

        return RET_NERRNO(fchmod(fd, mode & 07777));
}

/* -- layers -- */

int snapshot_find_layer(SnapshotManager *m, const char *chain_id, uint64_t *ret_id) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        int r;

        r = store_snapshot_get_chain(m->store, SNAPSHOT_DRIVER, chain_id, &row);
        if (r < 0)
                return r;
        if (!row.ready)
                return -ENOENT;

        *ret_id = row.id;
        return 0;
}

/* Does the layer stand on this parent (0: on nothing)? */
static int check_parent(SnapshotManager *m, const char *layer_chain_id, const char *diff_id,
                        uint64_t parent) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        char expected[DIGEST_STRING_MAX];
        int r;

        if (parent > 0) {
                r = store_snapshot_get(m->store, parent, &row);
                if (r < 0)
                        return r;
                if (row.kind != SNAPSHOT_LAYER)
                        return -EINVAL;
        }

        r = chain_id(row.chain_id, diff_id, expected);
        if (r < 0)
                return r;
        return streq(expected, layer_chain_id) ? 0 : -EINVAL;
}

/* 0 while it is not. */
static int parent_is_ready(SnapshotManager *m, uint64_t parent) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        int r;

        if (parent == 0)
                return 1;

        r = store_snapshot_get(m->store, parent, &row);
        return r < 0 ? r : row.ready;
}

static int make_layer_directory(SnapshotManager *m, uint64_t id, int *ret_fd) {
        _cleanup_close_ int dir_fd = -EBADF, fs_fd = -EBADF;
        char name[SNAPSHOT_NAME_MAX];
        int r;

        dir_fd = mkdirat_open(m->dir_fd, format_name(name, "new-", id), 0700);
        if (dir_fd < 0)
                return dir_fd;

        fs_fd = mkdirat_open(dir_fd, "fs", 0755);
        if (fs_fd < 0)
                return fs_fd;

        r = set_mode_and_owner(fs_fd, 0755, geteuid(), getegid());
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fs_fd);
        return 0;
}

static bool is_being_unpacked(SnapshotManager *m, uint64_t id) {
        char name[SNAPSHOT_NAME_MAX];

        return faccessat(m->dir_fd, format_name(name, "new-", id), F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* A new row; or that of a layer whose tree was lost: containers stand on that number. */
static int add_or_renew_row(SnapshotManager *m, SnapshotRow *row) {
        _cleanup_(snapshot_row_done) SnapshotRow old = {};
        int r;

        r = store_snapshot_add(m->store, row);
        if (r != -EEXIST)
                return r;

        r = store_snapshot_get_chain(m->store, SNAPSHOT_DRIVER, row->chain_id, &old);
        if (r < 0)
                return r;
        if (old.ready || is_being_unpacked(m, old.id))
                return -EEXIST;

        r = snapshot_discard_tree(m, old.id);
        if (r < 0)
                return r;
        row->id = old.id;
        return store_snapshot_reset(m->store, old.id, row->parent, m->boot_id);
}

int snapshot_layer_begin(SnapshotManager *m, const char *layer_chain_id, const char *diff_id,
                         uint64_t parent, uint64_t *ret_id, int *ret_fd, Error *reterr_error) {
        SnapshotRow row = {
                .driver = (char *) SNAPSHOT_DRIVER,
                .kind = SNAPSHOT_LAYER,
                .chain_id = (char *) layer_chain_id,
                .diff_id = (char *) diff_id,
                .parent = parent,
                .boot_id = m->boot_id,
                .created_usec = now_usec(CLOCK_REALTIME),
        };
        int r;

        if (!digest_is_valid(layer_chain_id) || !digest_is_valid(diff_id))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A layer's chain ID or DiffID is not a digest.");

        r = check_parent(m, layer_chain_id, diff_id, parent);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The layer %s does not stand on snapshot %" PRIu64 ".", diff_id,
                                       parent);

        /* Not durable: after a power loss a layer that was not ready is of no use anyway. */
        r = store_begin(m->store, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "A layer cannot be recorded: %m");

        r = add_or_renew_row(m, &row);
        if (r < 0) {
                (void) store_commit(m->store); /* Nothing was written; a rollback would doom the caller's
                                                  transaction. */
                return error_set_errno(reterr_error, r, "The layer %s cannot be recorded: %m",
                                       layer_chain_id);
        }

        r = make_layer_directory(m, row.id, ret_fd);
        if (r < 0) {
                (void) snapshot_discard_tree(m, row.id);
                (void) store_rollback(m->store);
                return error_set_errno(reterr_error, r, "A directory for the layer %s cannot be made: %m",
                                       layer_chain_id);
        }

        r = store_commit(m->store);
        if (r < 0) {
                *ret_fd = safe_close(*ret_fd);
                (void) snapshot_discard_tree(m, row.id);
                return error_set_errno(reterr_error, r, "The layer %s cannot be recorded: %m",
                                       layer_chain_id);
        }

        *ret_id = row.id;
        return 0;
}

/* The topmost layer's root directory is the one that is seen: it looks like that of the layer below. */
static int copy_root_mode(SnapshotManager *m, uint64_t parent, int fs_fd) {
        char name[SNAPSHOT_NAME_MAX + 3];
        struct stat st;

        if (parent == 0)
                return set_mode_and_owner(fs_fd, 0755, geteuid(), getegid());

        snprintf(name, sizeof(name), "%" PRIu64 "/fs", parent);
        if (fstatat(m->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;

        return set_mode_and_owner(fs_fd, st.st_mode, st.st_uid, st.st_gid);
}

static int collect_lower(SnapshotManager *m, uint64_t id, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **lower = NULL;

        for (size_t n = 0; id > 0; n++) {
                _cleanup_(snapshot_row_done) SnapshotRow row = {};
                int r;

                if (n >= LAYERS_MAX)
                        return error_set_errno(reterr_error, -ELOOP,
                                               "The chain of layers is longer than %u.", LAYERS_MAX);

                r = store_snapshot_get(m->store, id, &row);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "The layer in snapshot %" PRIu64 " is missing.", id);
                if (row.kind != SNAPSHOT_LAYER)
                        return error_set_errno(reterr_error, -EINVAL, "Snapshot %" PRIu64 " is not a layer.",
                                               id);
                if (!row.ready)
                        return error_set(reterr_error, -EAGAIN, "ImageNotUnpacked",
                                         "The layer %s is not unpacked; pull its image again.",
                                         row.chain_id);

                r = strv_extendf(&lower, "%" PRIu64 "/fs", id);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Out of memory.");

                id = row.parent;
        }

        *ret = TAKE_PTR(lower);
        return 0;
}

static int get_unfinished_layer(SnapshotManager *m, uint64_t id, SnapshotRow *ret, Error *reterr_error) {
        int r;

        r = store_snapshot_get(m->store, id, ret);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The layer that was unpacked as snapshot %" PRIu64
                                       " is not known any more.",
                                       id);
        if (ret->kind != SNAPSHOT_LAYER || ret->ready)
                return error_set_errno(reterr_error, -EINVAL,
                                       "Snapshot %" PRIu64 " is not a layer that is being unpacked.", id);
        return 0;
}

int snapshot_layer_restart(SnapshotManager *m, uint64_t id, int *ret_fd, Error *reterr_error) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        int r;

        r = get_unfinished_layer(m, id, &row, reterr_error);
        if (r < 0)
                return r;

        r = snapshot_discard_tree(m, id);
        if (r >= 0)
                r = make_layer_directory(m, id, ret_fd);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The directory for the layer %s cannot be emptied: %m", row.chain_id);
        return 0;
}

int snapshot_layer_get_lower(SnapshotManager *m, uint64_t id, char ***ret, Error *reterr_error) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        int r;

        r = get_unfinished_layer(m, id, &row, reterr_error);
        return r < 0 ? r : collect_lower(m, row.parent, ret, reterr_error);
}

int snapshot_layer_inherit_root(SnapshotManager *m, uint64_t id, Error *reterr_error) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        _cleanup_close_ int fd = -EBADF;
        char name[SNAPSHOT_NAME_MAX + 3];
        int r;

        r = get_unfinished_layer(m, id, &row, reterr_error);
        if (r < 0 || row.parent == 0)
                return r;

        (void) snprintf(name, sizeof(name), "new-%" PRIu64 "/fs", id);
        fd = open_beneath_nofollow(m->dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
        r = fd < 0 ? fd : copy_root_mode(m, row.parent, fd);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The root directory of the layer %s cannot be set up: %m",
                                       row.chain_id);
        return 0;
}

int snapshot_layer_complete(SnapshotManager *m, uint64_t id, uint64_t size, Error *reterr_error) {
        char from[SNAPSHOT_NAME_MAX], to[SNAPSHOT_NAME_MAX];
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        r = get_unfinished_layer(m, id, &row, reterr_error);
        if (r < 0)
                return r;

        r = parent_is_ready(m, row.parent);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The layer below %s cannot be looked up: %m",
                                       row.chain_id);
        if (r == 0)
                return error_set_errno(reterr_error, -EAGAIN, "The layer below %s is not ready yet.",
                                       row.chain_id);

        /* Not durable: the layer counts only in this boot, until it is synced. */
        r = store_transaction_begin(&t, m->store, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The layer %s cannot be recorded: %m", row.chain_id);

        if (renameat2(m->dir_fd, format_name(from, "new-", id), m->dir_fd, format_name(to, "", id),
                      RENAME_NOREPLACE) < 0)
                return error_set_errno(reterr_error, -errno, "The layer %s cannot be put in its place: %m",
                                       row.chain_id);

        r = store_snapshot_set_ready(m->store, id, size);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The layer %s cannot be recorded: %m", row.chain_id);

        return 0;
}

typedef struct Children {
        uint64_t parent;
        uint64_t *ids;
        size_t n;
} Children;

static int collect_children(const SnapshotRow *row, void *userdata) {
        Children *c = userdata;
        uint64_t *ids;

        if (row->parent != c->parent || row->kind != SNAPSHOT_LAYER)
                return 0;

        ids = reallocarray(c->ids, c->n + 1, sizeof(uint64_t));
        if (!ids)
                return -ENOMEM;

        c->ids = ids;
        c->ids[c->n++] = row->id;
        return 0;
}

int snapshot_layer_abort(SnapshotManager *m, uint64_t id) {
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_free_ uint64_t *ids = NULL;
        Children children = { .parent = id };
        int r;

        r = store_snapshot_get(m->store, id, &row);
        if (r == -ENOENT) /* went with its parent */
                return snapshot_discard_tree(m, id);
        if (r < 0)
                return r;
        if (row.kind != SNAPSHOT_LAYER || row.ready)
                return -EINVAL;

        r = store_transaction_begin(&t, m->store, false);
        if (r < 0)
                return r;

        /* What stands on it could never become ready. Chains have at most LAYERS_MAX layers: so deep is this
         * recursion. */
        r = store_snapshot_foreach(m->store, collect_children, &children);
        ids = children.ids;
        for (size_t i = 0; r >= 0 && i < children.n; i++)
                r = snapshot_layer_abort(m, ids[i]);
        if (r < 0)
                return r;

        r = snapshot_discard_tree(m, id);
        if (r < 0)
                return r;

        r = store_snapshot_remove(m->store, id);
        if (r < 0 && r != -ENOTEMPTY) /* A container stands on it. */
                return r;

        return store_transaction_commit(&t);
}

int snapshot_layers_synced(SnapshotManager *m, const uint64_t *ids, size_t n) {
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        r = store_transaction_begin(&t, m->store, true);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n; i++) {
                r = store_snapshot_set_synced(m->store, ids[i]);
                if (r < 0 && r != -ENOENT) /* may have been collected meanwhile */
                        return r;
        }

        return store_transaction_commit(&t);
}

/* -- writable snapshots -- */

static int make_writable_directory(SnapshotManager *m, uint64_t id, uint64_t parent, bool sync) {
        _cleanup_close_ int dir_fd = -EBADF, fs_fd = -EBADF, work_fd = -EBADF;
        char name[SNAPSHOT_NAME_MAX];
        int r;

        dir_fd = mkdirat_open(m->dir_fd, format_name(name, "", id), 0700);
        if (dir_fd < 0)
                return dir_fd;

        fs_fd = mkdirat_open(dir_fd, "fs", 0755);
        if (fs_fd < 0)
                return fs_fd;

        work_fd = mkdirat_open(dir_fd, "work", 0700);
        if (work_fd < 0)
                return work_fd;

        r = copy_root_mode(m, parent, fs_fd);
        if (r < 0 || !sync)
                return r;

        if ((r = fsync_dir(fs_fd)) < 0 || (r = fsync_dir(dir_fd)) < 0)
                return r;

        return fsync_dir(m->dir_fd);
}

int snapshot_prepare(SnapshotManager *m, uint64_t parent, bool durable, uint64_t *ret_id,
                     Error *reterr_error) {
        SnapshotRow row = {
                .driver = (char *) SNAPSHOT_DRIVER,
                .kind = SNAPSHOT_WRITABLE,
                .parent = parent,
                .ready = true,
                .synced = durable,
                .boot_id = m->boot_id,
                .created_usec = now_usec(CLOCK_REALTIME),
        };
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        if (parent > 0) {
                _cleanup_(snapshot_row_done) SnapshotRow p = {};

                r = store_snapshot_get(m->store, parent, &p);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "There is no snapshot %" PRIu64 " to start from.", parent);
                if (p.kind != SNAPSHOT_LAYER || !p.ready)
                        return error_set_errno(reterr_error, -EINVAL,
                                               "Snapshot %" PRIu64 " is not a layer that is ready.", parent);
        }

        r = store_transaction_begin(&t, m->store, durable);
        if (r < 0)
                return error_set_errno(reterr_error, r, "A snapshot cannot be recorded: %m");

        r = store_snapshot_add(m->store, &row);
        if (r < 0)
                return error_set_errno(reterr_error, r, "A snapshot cannot be recorded: %m");

        r = make_writable_directory(m, row.id, parent, durable);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0) {
                (void) snapshot_discard_tree(m, row.id);
                return error_set_errno(reterr_error, r, "A writable snapshot cannot be made: %m");
        }

        *ret_id = row.id;
        return 0;
}

int snapshot_remove(SnapshotManager *m, uint64_t id) {
        int r;

        r = store_snapshot_remove(m->store, id);
        if (r < 0)
                return r;

        r = snapshot_discard_tree(m, id);
        return r < 0 ? r : 0;
}

/* -- what is mounted -- */

void snapshot_mount_done(SnapshotMount *mount) {
        if (!mount)
                return;

        free(mount->dir);
        strv_free(mount->lower);
        free(mount->upper);
        free(mount->work);
        *mount = (SnapshotMount) {};
}

int snapshot_get_mount(SnapshotManager *m, uint64_t id, SnapshotMount *ret, Error *reterr_error) {
        _cleanup_(snapshot_mount_done) SnapshotMount mount = {};
        _cleanup_(snapshot_row_done) SnapshotRow row = {};
        int r;

        r = store_snapshot_get(m->store, id, &row);
        if (r < 0)
                return error_set_errno(reterr_error, r, "There is no snapshot %" PRIu64 ".", id);
        if (row.kind != SNAPSHOT_WRITABLE)
                return error_set_errno(reterr_error, -EINVAL,
                                       "Snapshot %" PRIu64 " is a layer, not one to write to.", id);

        r = collect_lower(m, row.parent, &mount.lower, reterr_error);
        if (r < 0)
                return r;

        mount.dir = strdup(m->dir);
        mount.upper = strformat("%" PRIu64 "/fs", id);
        mount.work = strformat("%" PRIu64 "/work", id);
        if (!mount.dir || !mount.upper || !mount.work)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        *ret = mount;
        mount = (SnapshotMount) {};
        return 0;
}
