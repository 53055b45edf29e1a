/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Garbage, trash, sync, and index.json: what is done soon and in one go for many causes.
 *
 * A collection is one transaction of the store (mark from names, containers, leases and pins; rows of the
 * rest are deleted), then the files go: blobs are unlinked, trees are renamed into the trash, which a helper
 * empties. A crash in between leaves files without rows: the next start drops them. */

#include <time.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "image/image-internal.h"

#define GARBAGE_DELAY_USEC (100 * USEC_PER_MSEC)
#define GARBAGE_RETRY_USEC (5 * USEC_PER_SEC)
#define TRASH_DELAY_USEC (500 * USEC_PER_MSEC) /* the helper costs as much as some starts: one for many */
#define INDEX_DELAY_USEC (50 * USEC_PER_MSEC)

static int schedule(ImageManager *m, sd_event_source **source, uint64_t delay,
                    sd_event_time_handler_t handler) {
        int r;

        if (*source)
                return 0;
        r = sd_event_add_time_relative(job_manager_event(m->jobs), source, CLOCK_MONOTONIC, delay, 0,
                                       handler, m);
        return r == -ESTALE ? 0 : r; /* the loop has ended: the next start does it */
}

/* -- garbage -------------------------------------------------------------------------------------------- */

void image_manager_drop_lease(ImageManager *m, const char *lease) {
        int r;

        r = store_lease_remove(m->store, lease);
        if (r >= 0)
                return;
        log_debug_errno(r, "Failed to drop lease %s, trying again later: %m", lease);
        if (strv_contains(m->stale_leases, lease) || strv_extend(&m->stale_leases, lease) >= 0)
                image_schedule_garbage(m);
}

void image_manager_abort_layer(ImageManager *m, uint64_t snapshot_id) {
        uint64_t *l;
        int r;

        r = snapshot_layer_abort(m->snapshots, snapshot_id);
        if (r >= 0)
                return;
        log_debug_errno(r, "Failed to drop an unfinished layer, trying again later: %m");
        l = reallocarray(m->stale_layers, m->n_stale_layers + 1, sizeof(uint64_t));
        if (!l)
                return; /* it goes at the next start */
        m->stale_layers = l;
        m->stale_layers[m->n_stale_layers++] = snapshot_id;
        image_schedule_garbage(m);
}

static int garbage_retry(ImageManager *m) {
        while (m->n_stale_layers > 0) {
                uint64_t id = m->stale_layers[m->n_stale_layers - 1];
                int r = layers_use_snapshot(m, id) ? 0 : snapshot_layer_abort(m->snapshots, id);

                if (r < 0)
                        return r;
                m->n_stale_layers--;
                image_schedule_trash(m);
        }
        STRV_FOREACH(lease, m->stale_leases) {
                int r = pulls_use_lease(m, lease) ? 0 : store_lease_remove(m->store, lease);

                if (r < 0)
                        return r;
        }
        m->stale_leases = strv_free(m->stale_leases);
        return 0;
}

static bool garbage_is_pinned(const char *digest, void *userdata) {
        ImageManager *m = userdata;

        return hashmap_get(m->pins, digest);
}

int image_collect_garbage(ImageManager *m, bool dry_run, GarbageResult *ret, Error *reterr_error) {
        _cleanup_(garbage_done) Garbage g = {};
        int r;

        assert(m);

        r = dry_run ? 0 : garbage_retry(m);
        if (r >= 0)
                r = store_collect_garbage(m->store, now_usec(CLOCK_REALTIME), garbage_is_pinned, m, dry_run,
                                          &g);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to collect garbage: %m");

        if (ret)
                *ret = (GarbageResult) {
                        .blobs = strv_length(g.blobs),
                        .snapshots = g.n_snapshots,
                        .bytes = g.bytes,
                };
        if (dry_run)
                return 0;

        STRV_FOREACH(d, g.blobs) {
                ImageConfig *c = hashmap_remove(m->configs, d);

                image_config_free(c);
                r = content_remove_blob(m->content, d);
                if (r < 0)
                        log_debug_errno(r, "Failed to remove blob %s, ignoring: %m", d);
        }
        for (size_t i = 0; i < g.n_snapshots; i++) {
                r = snapshot_discard_tree(m->snapshots, g.snapshots[i]);
                if (r < 0)
                        log_debug_errno(r, "Failed to move snapshot %llu to the trash, ignoring: %m",
                                        (unsigned long long) g.snapshots[i]);
        }
        if (g.n_snapshots > 0)
                image_schedule_trash(m);
        if (g.blobs || g.n_snapshots > 0)
                log_debug("Collected %zu blobs and %zu snapshots.", strv_length(g.blobs), g.n_snapshots);
        return 0;
}

static int gc_on_garbage(sd_event_source *s, uint64_t usec, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        ImageManager *m = userdata;
        int r;

        m->garbage_source = sd_event_source_disable_unref(m->garbage_source);
        if (image_collect_garbage(m, false, NULL, &e) >= 0)
                return 0;
        log_warning("%s; trying again later.", error_message(&e));
        r = schedule(m, &m->garbage_source, GARBAGE_RETRY_USEC, gc_on_garbage);
        if (r < 0)
                log_warning_errno(r, "Failed to schedule garbage collection, ignoring: %m");
        return 0;
}

void image_schedule_garbage(ImageManager *m) {
        int r;

        r = schedule(m, &m->garbage_source, GARBAGE_DELAY_USEC, gc_on_garbage);
        if (r < 0)
                log_warning_errno(r, "Failed to schedule garbage collection, ignoring: %m");
}

/* -- trash ---------------------------------------------------------------------------------------------- */

static void helper_ignore_message(HelperProcess *h, ProtoMessage *msg, void *userdata) {
}

static void trash_on_exit(HelperProcess *h, const Error *error, void *userdata) {
        ImageManager *m = userdata;

        if (error)
                log_warning("Failed to delete removed layers: %s", error_message(error));
        m->remover = helper_free(m->remover);
        /* What was thrown away while it ran; after a failure only the next occasion tries again. */
        if (!error && snapshot_manager_trash_pending(m->snapshots))
                image_schedule_trash(m);
        if (m->n_stale_layers > 0 || m->stale_leases) { /* there may be space now */
                m->garbage_source = sd_event_source_disable_unref(m->garbage_source);
                image_schedule_garbage(m);
        }
}

static const HelperOps trash_ops = {
        .on_message = helper_ignore_message,
        .on_exit = trash_on_exit,
};

/* Starts a helper that gets one directory. Takes the descriptor. */
static int start_directory_helper(ImageManager *m, const char *verb, int dir_fd, const HelperOps *ops,
                                  HelperProcess **ret) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_close_ int fd = dir_fd;
        int r;

        if (fd < 0)
                return log_warning_errno(fd, "Failed to open the directory for moored-helper %s: %m", verb);
        request = json_object();
        if (!request)
                return log_oom();
        r = helper_start(m->jobs, verb, request, &fd, 1, ops, m, ret, &e);
        if (r < 0)
                return log_warning_errno(r, "%s", error_message(&e));
        return 0;
}

static int gc_on_trash(sd_event_source *s, uint64_t usec, void *userdata) {
        ImageManager *m = userdata;

        m->trash_source = sd_event_source_disable_unref(m->trash_source);
        if (!m->remover && snapshot_manager_trash_pending(m->snapshots))
                (void) start_directory_helper(m, "remove", snapshot_manager_open_trash(m->snapshots),
                                              &trash_ops, &m->remover);
        return 0;
}

void image_schedule_trash(ImageManager *m) {
        int r;

        r = schedule(m, &m->trash_source, TRASH_DELAY_USEC, gc_on_trash);
        if (r < 0)
                log_warning_errno(r, "Failed to schedule the deletion of removed layers, ignoring: %m");
}

/* -- sync ------------------------------------------------------------------------------------------------
 * Layers can be used as soon as they are ready; that their bytes are on disk matters only to the next boot,
 * which drops layers of an earlier boot that were not marked as synced (they are unpacked again from their
 * blobs, which were synced before they became visible). So a pull does not wait for hundreds of megabytes of
 * files: syncfs() runs after it. */

int image_manager_layer_ready(ImageManager *m, uint64_t snapshot_id) {
        uint64_t *l = reallocarray(m->unsynced, m->n_unsynced + 1, sizeof(uint64_t));

        if (!l)
                return -ENOMEM;
        m->unsynced = l;
        m->unsynced[m->n_unsynced++] = snapshot_id;
        return 0;
}

static void sync_on_exit(HelperProcess *h, const Error *error, void *userdata) {
        ImageManager *m = userdata;
        int r;

        if (error)
                log_warning("Failed to sync unpacked layers: %s", error_message(error));
        else {
                r = snapshot_layers_synced(m->snapshots, m->syncing, m->n_syncing);
                if (r < 0)
                        log_warning_errno(r, "Failed to record that layers are synced, ignoring: %m");
        }

        m->syncer = helper_free(m->syncer);
        free(TAKE_PTR(m->syncing));
        m->n_syncing = 0;
        if (!error)
                image_manager_schedule_sync(m);
}

static const HelperOps sync_ops = {
        .on_message = helper_ignore_message,
        .on_exit = sync_on_exit,
};

void image_manager_schedule_sync(ImageManager *m) {
        if (m->syncer || m->n_unsynced == 0)
                return;

        if (start_directory_helper(m, "sync", snapshot_manager_open_dir(m->snapshots), &sync_ops,
                                   &m->syncer) < 0)
                return;
        m->syncing = TAKE_PTR(m->unsynced);
        m->n_syncing = m->n_unsynced;
        m->n_unsynced = 0;
}

/* -- index.json ------------------------------------------------------------------------------------------
 * The names, for whoever reads the directory as an OCI image layout, and for the day on which the database
 * is lost. */

static json_t *index_entry(const Image *i) {
        return json_pack("{s:s, s:s, s:I, s:{s:s, s:s, s:s}}", "mediaType", i->row.media_type, "digest",
                         i->row.digest, "size", (json_int_t) i->row.size, "annotations",
                         "org.opencontainers.image.ref.name", i->row.name, "org.moored.namespace", i->row.ns,
                         "org.moored.platform", i->row.platform);
}

int image_manager_write_index(ImageManager *m) {
        _cleanup_json_ json_t *index = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *manifests;
        Image *i;

        index = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", MEDIA_TYPE_OCI_INDEX,
                          "manifests");
        if (!index)
                return -ENOMEM;
        manifests = json_object_get(index, "manifests");
        HASHMAP_FOREACH(i, m->images)
                if (json_array_append_new(manifests, index_entry(i)) < 0)
                        return -ENOMEM;

        text = json_dump(index, false);
        if (!text)
                return -ENOMEM;
        return content_write_index(m->content, text, strlen(text), true);
}

static int gc_on_index(sd_event_source *s, uint64_t usec, void *userdata) {
        ImageManager *m = userdata;
        int r;

        m->index_source = sd_event_source_disable_unref(m->index_source);
        r = image_manager_write_index(m);
        if (r < 0)
                log_warning_errno(r, "Failed to write index.json, ignoring: %m");
        return 0;
}

void image_manager_flush_index(ImageManager *m) {
        if (m->index_source)
                (void) gc_on_index(m->index_source, 0, m);
}

void image_manager_schedule_index(ImageManager *m) {
        int r;

        r = schedule(m, &m->index_source, INDEX_DELAY_USEC, gc_on_index);
        if (r < 0)
                log_warning_errno(r, "Failed to schedule writing index.json, ignoring: %m");
}
