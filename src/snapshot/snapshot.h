/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Snapshots: unpacked layers shared by chain id, and a writable layer for each container. One driver:
 * overlay.
 *
 *   <state>/snapshots/overlay/<id>/fs            a layer's tree, or a writable one's upper directory
 *   <state>/snapshots/overlay/<id>/work          overlay's work directory (writable ones)
 *   <state>/snapshots/overlay/new-<id>/fs        being unpacked: renamed to <id> when complete
 *   <state>/snapshots/overlay/trash/<id>         moved here to be deleted by moored-helper remove
 *
 * A layer appears under its id, and its row becomes ready, only after the helper that wrote it has ended and
 * its DiffID matched. */

#include "basic/error.h"
#include "store/store.h"

typedef struct SnapshotManager SnapshotManager;

int snapshot_manager_new(int state_fd, const char *state_path, Store *store, SnapshotManager **ret,
                         Error *reterr_error);
SnapshotManager *snapshot_manager_free(SnapshotManager *m);
DEFINE_CLEANUP_FUNC(SnapshotManager *, snapshot_manager_free)
/* At start: the trees of half-unpacked layers, of layers of an earlier boot that were not synced and of what
 * stands on such a layer go (to the trash, by rename), and so do directories without a row. The rows of
 * these layers stay and are not ready: snapshot_layer_begin() takes them up again, a collection drops those
 * that nobody wants. Writable snapshots stay, but for those without a directory. Returns > 0 if the trash
 * wants a helper. */
int snapshot_manager_recover(SnapshotManager *m, const char *boot_id, Error *reterr_error);

/* id of a ready layer by chain id, or -ENOENT. */
int snapshot_find_layer(SnapshotManager *m, const char *chain_id, uint64_t *ret_id);
/* Makes the row (not ready) and new-<id>/fs; *ret_fd is that directory (O_RDONLY|O_DIRECTORY), to hand to
 * moored-helper unpack. A row of this chain id that is not ready and that nobody unpacks keeps its number,
 * so that what stands on it fits again. parent: id, 0: none. -EINVAL if the chain id is not that of parent
 * and DiffID, -EEXIST if it is there already, ready or being unpacked. */
int snapshot_layer_begin(SnapshotManager *m, const char *chain_id, const char *diff_id, uint64_t parent,
                         uint64_t *ret_id, int *ret_fd, Error *reterr_error);
/* A layer that was begun is unpacked anew: what there is of its tree goes (to the trash), *ret_fd is an
 * empty directory in its place. */
int snapshot_layer_restart(SnapshotManager *m, uint64_t id, int *ret_fd, Error *reterr_error);
/* The directories of the layers below a layer ("12/fs"), topmost first. "ImageNotUnpacked" (-EAGAIN) if one
 * is not ready. */
int snapshot_layer_get_lower(SnapshotManager *m, uint64_t id, char ***ret, Error *reterr_error);
/* For a layer that says nothing of its root directory: it gets the owner and mode of its parent's, which
 * must be ready. Before it is complete. */
int snapshot_layer_inherit_root(SnapshotManager *m, uint64_t id, Error *reterr_error);
/* Layers are unpacked in any order, but become ready in order. -EAGAIN while the parent is not ready:
 * nothing has changed then. */
int snapshot_layer_complete(SnapshotManager *m, uint64_t id, uint64_t size, Error *reterr_error);
/* Aborts what was begun on top of it, too. Rows that a writable snapshot stands on stay, not ready. Fine if
 * it is gone already. */
int snapshot_layer_abort(SnapshotManager *m, uint64_t id);
/* All ready layers made so far are on disk (a sync helper has run since). */
int snapshot_layers_synced(SnapshotManager *m, const uint64_t *ids, size_t n);
/* The directory that holds everything of the driver: for sync and remove helpers. */
int snapshot_manager_open_dir(SnapshotManager *m);
int snapshot_manager_open_trash(SnapshotManager *m);
bool snapshot_manager_trash_pending(SnapshotManager *m);

/* A writable snapshot over a ready layer (parent 0: over nothing). */
int snapshot_prepare(SnapshotManager *m, uint64_t parent, bool durable, uint64_t *ret_id,
                     Error *reterr_error);
/* Moves the tree to the trash and drops the row. -ENOTEMPTY: something stands on it. */
int snapshot_remove(SnapshotManager *m, uint64_t id);
/* Rows are gone already (garbage): only the tree. */
int snapshot_discard_tree(SnapshotManager *m, uint64_t id);

/* What the launcher mounts, relative to dir: lower[0] is the topmost. */
typedef struct SnapshotMount {
        char *dir;    /* "/var/lib/moored/snapshots/overlay" */
        char **lower; /* "12/fs", … */
        char *upper;  /* "40/fs" */
        char *work;   /* "40/work" */
} SnapshotMount;
void snapshot_mount_done(SnapshotMount *m);
/* "ImageNotUnpacked" (-EAGAIN) if a layer is not ready. */
int snapshot_get_mount(SnapshotManager *m, uint64_t id, SnapshotMount *ret, Error *reterr_error);
