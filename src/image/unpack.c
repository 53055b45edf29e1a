/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Unpacking. A LayerWork is one layer of one chain: however many pulls want it, it is unpacked once. An
 * UnpackSet is what one image wants of them.
 *
 *   WAITING ──unpack_blob_ready()──▶ QUEUED ──layers_work()──▶ UNPACKING ──layer_on_exit()──▶ UNPACKED
 *      ──layers_complete()──▶ (ready: gone)
 *      UNPACKED ──layers_complete()──▶ SETTLING ──layer_on_exit()──▶ UNPACKED, if it has a list
 *      UNPACKING, SETTLING ──layer_restart()──▶ QUEUED, once
 *      any ──layer_fail()──▶ (gone; the sets that wanted it fail)
 *
 * Whiteouts do not depend on the layers below, so that layers are unpacked in any order, as many at once as
 * configured, while others are still being downloaded. They become ready from the bottom up, and only after
 * the helper that wrote the tree is gone.
 *
 * Some layers do depend on those below: they have files in directories for which they have no entry. The
 * helper that unpacks one gives a list of these, which we only pass on: when the layers below are ready,
 * another helper may look into them and gives the directories their attributes ("settle"). Should they be
 * symlinks there, it says "LowerNeeded": then the layer is unpacked again, with a view of those below. */

#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "image/image-internal.h"

#define UNPACK_BYTES_MAX (UINT64_C(256) << 30)
#define UNPACK_ENTRIES_MAX UINT64_C(4000000)

typedef enum LayerState {
        LAYER_WAITING,
        LAYER_QUEUED,
        LAYER_UNPACKING,
        LAYER_UNPACKED,
        LAYER_SETTLING,
} LayerState;

struct LayerWork {
        ImageManager *manager;   /* weak */
        char *chain_id, *diff_id, *blob, *media_type;
        uint64_t blob_size;
        LayerWork *parent;       /* weak; NULL if the parent is ready or there is none */
        LayerState state;
        bool bottom;             /* of its chain */
        bool in_order;           /* is unpacked after its parent: it has asked for what is below */
        uint64_t snapshot;
        int dir_fd;
        int list_fd;             /* for settle */
        uint64_t size;
        bool reported;           /* TYPE=unpacked has been heard */
        bool has_root;           /* … with an entry for the root directory */
        HelperProcess *helper;
        UnpackSet **sets;        /* weak: who wants it */
        size_t n_sets;
};

struct UnpackSet {
        ImageManager *manager;   /* weak */
        Job *job;                /* weak: the set is freed with the job's work */
        UnpackDoneFunc func;
        void *userdata;
        size_t n_left;           /* layers that are not ready */
        bool finished;           /* func was called, or is about to be */
        sd_event_source *done_source;
        Error error;
        char **pins;             /* chain ids, and the blobs they come from */
};

LayerWork *layer_work_free(LayerWork *w) {
        if (!w)
                return NULL;

        if (w->helper) {
                w->manager->n_unpacking--;
                helper_free(w->helper);
        }
        safe_close(w->dir_fd);
        safe_close(w->list_fd);
        free(w->chain_id);
        free(w->diff_id);
        free(w->blob);
        free(w->media_type);
        free(w->sets);
        free(w);
        return NULL;
}
DEFINE_CLEANUP_FUNC(LayerWork *, layer_work_free)

static int set_on_done(sd_event_source *s, void *userdata) {
        UnpackSet *u = userdata;

        u->done_source = sd_event_source_disable_unref(u->done_source);
        u->func(error_is_set(&u->error) ? &u->error : NULL, u->userdata);
        return 0;
}

/* Tells from the loop: the caller may be in the middle of a list that the callback changes. */
static void set_finish(UnpackSet *u, const Error *error) {
        int r;

        if (u->finished)
                return;
        u->finished = true;
        if (error)
                (void) error_copy(&u->error, error);
        r = sd_event_add_defer(job_manager_event(u->manager->jobs), &u->done_source, set_on_done, u);
        if (r < 0)
                log_error_errno(r, "Failed to end an unpacking: %m");
}

static void set_phase(UnpackSet *u, const char *digest, const char *phase, uint64_t done) {
        JobPart *p = job_find_part(u->job, digest);

        if (!p)
                return;
        bool changed = !streq(p->phase, phase);
        p->done = done;
        p->phase = phase;
        job_progress(u->job, changed);
}

/* A layer that is unpacked already: its blob may still have to be fetched. */
static void set_ready_phase(UnpackSet *u, const Descriptor *layer) {
        uint64_t size;

        if (content_has_blob(u->manager->content, layer->digest, &size) && size == layer->size)
                set_phase(u, layer->digest, "done", layer->size);
}

static void layer_phase(LayerWork *w, const char *phase, uint64_t done) {
        for (size_t i = 0; i < w->n_sets; i++)
                set_phase(w->sets[i], w->blob, phase, done);
}

static LayerWork *layer_find_child(LayerWork *parent) {
        LayerWork *w;

        HASHMAP_FOREACH(w, parent->manager->layers)
                if (w->parent == parent)
                        return w;
        return NULL;
}

/* Undoes a layer: nothing of it stays. Those above it belong to sets that contain it, so that they fall with
 * it, and first. */
static void layer_drop(LayerWork *w) {
        ImageManager *m = w->manager;
        LayerWork *child;

        while ((child = layer_find_child(w)))
                layer_drop(child);

        hashmap_remove(m->layers, w->chain_id);
        if (w->helper) {
                m->n_unpacking--;
                w->helper = helper_free(w->helper);
        }
        image_manager_abort_layer(m, w->snapshot);
        layer_work_free(w);
        image_schedule_trash(m);
}

static void layers_work(ImageManager *m);

static void layer_fail(LayerWork *w, const Error *error) {
        ImageManager *m = w->manager;

        for (size_t i = 0; i < w->n_sets; i++) {
                set_phase(w->sets[i], w->blob, "failed", 0);
                set_finish(w->sets[i], error);
        }
        layer_drop(w);
        layers_work(m);
}

/* Makes a layer ready whose tree is complete and below which all is ready. */
static void layer_complete(LayerWork *w) {
        _cleanup_error_ Error e = ERROR_NULL;
        ImageManager *m = w->manager;
        LayerWork *child;
        int r;

        r = w->has_root ? 0 : snapshot_layer_inherit_root(m->snapshots, w->snapshot, &e);
        if (r >= 0)
                r = snapshot_layer_complete(m->snapshots, w->snapshot, w->size, &e);
        if (r < 0) {
                layer_fail(w, &e);
                return;
        }
        r = image_manager_layer_ready(m, w->snapshot);
        if (r < 0)
                log_debug_errno(r, "Failed to note that a layer is to be synced, ignoring: %m");

        for (size_t i = 0; i < w->n_sets; i++) {
                set_phase(w->sets[i], w->blob, "done", w->blob_size);
                if (--w->sets[i]->n_left == 0)
                        set_finish(w->sets[i], NULL);
        }
        hashmap_remove(m->layers, w->chain_id);
        while ((child = layer_find_child(w)))
                child->parent = NULL;
        layer_work_free(w);
}

static void layers_complete(ImageManager *m);

static void layer_on_message(HelperProcess *h, ProtoMessage *msg, void *userdata) {
        LayerWork *w = userdata;
        const char *type = strempty(proto_get(msg, "TYPE"));
        uint64_t done, list_size;

        if (streq(type, "progress") && proto_get_uint64(msg, "DONE", &done) >= 0)
                layer_phase(w, "unpacking", done);
        else if (streq(type, "unpacked") && w->state == LAYER_UNPACKING) {
                if (proto_get_uint64(msg, "SIZE", &w->size) < 0)
                        w->size = 0;
                w->has_root = streq_ptr(proto_get(msg, "ROOT"), "1");
                safe_close(w->list_fd);
                w->list_fd = proto_take_fd(msg, 0);
                /* It is kept until the layers below are ready: not anything of any size. */
                w->reported = streq_ptr(proto_get(msg, "DIFF_ID"), w->diff_id) &&
                              (w->list_fd < 0 ||
                               (fd_size(w->list_fd, &list_size) >= 0 && list_size <= PROTO_LIST_MAX));
        }
}

/* A layer that is to be as the layers below have it is unpacked again when these are ready. */
static int layer_restart(LayerWork *w, Error *reterr_error) {
        int r;

        w->dir_fd = safe_close(w->dir_fd);
        w->list_fd = safe_close(w->list_fd);
        r = snapshot_layer_restart(w->manager->snapshots, w->snapshot, &w->dir_fd, reterr_error);
        if (r < 0)
                return r;
        w->in_order = true;
        w->reported = false;
        w->state = LAYER_QUEUED;
        image_schedule_trash(w->manager);
        return 0;
}

/* What a helper's end means: UNPACKED, or QUEUED again. */
static int layer_conclude(LayerWork *w, const Error *error, Error *reterr_error) {
        if (error && error_has_name(error, "LowerNeeded") && !w->bottom && !w->in_order)
                return layer_restart(w, reterr_error);
        if (error) {
                (void) error_copy(reterr_error, error);
                return error_prefix(reterr_error, "Layer %s", w->blob);
        }
        if (!w->reported)
                return error_set(reterr_error, -EIO, "HelperDied",
                                 "moored-helper unpack ended without saying that layer %s is complete.",
                                 w->blob);

        if (w->state == LAYER_SETTLING || w->bottom)
                w->list_fd = safe_close(w->list_fd);
        if (w->list_fd < 0)
                w->dir_fd = safe_close(w->dir_fd);
        w->state = LAYER_UNPACKED;
        return 0;
}

static void layer_on_exit(HelperProcess *h, const Error *error, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        LayerWork *w = userdata;
        ImageManager *m = w->manager;
        int r;

        r = layer_conclude(w, error, &e);
        /* error was the helper's own. */
        w->helper = helper_free(w->helper);
        m->n_unpacking--;
        if (r < 0) {
                layer_fail(w, &e);
                return;
        }

        layers_complete(m);
        layers_work(m);
}

static const HelperOps layer_ops = {
        .on_message = layer_on_message,
        .on_exit = layer_on_exit,
};

/* The names of the layers below. */
static int layer_add_lower(LayerWork *w, json_t *request, Error *reterr_error) {
        _cleanup_strv_free_ char **lower = NULL;
        int r;

        r = snapshot_layer_get_lower(w->manager->snapshots, w->snapshot, &lower, reterr_error);
        if (r < 0)
                return r;

        if (json_object_set_new(request, "lower", json_from_strv(lower)) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return 0;
}

static int layer_start(LayerWork *w, Error *reterr_error) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_close_ int blob = -EBADF;
        int r;

        blob = content_open_blob(w->manager->content, w->blob, NULL, reterr_error);
        if (blob < 0)
                return blob;

        request = json_pack("{s:s, s:s, s:I, s:I, s:b, s:b}", "mediaType", w->media_type, "diffId",
                            w->diff_id, "maxBytes", (json_int_t) UNPACK_BYTES_MAX, "maxEntries",
                            (json_int_t) UNPACK_ENTRIES_MAX, "devices", 1, "bottom", w->bottom);
        if (!request)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (w->in_order) {
                r = layer_add_lower(w, request, reterr_error);
                if (r < 0)
                        return r;
        }

        r = helper_start(w->manager->jobs, "unpack", request, (int[]){ blob, w->dir_fd }, 2, &layer_ops, w,
                         &w->helper, reterr_error);
        if (r < 0)
                return r;

        w->state = LAYER_UNPACKING;
        w->manager->n_unpacking++;
        layer_phase(w, "unpacking", 0);
        return 0;
}

/* Beyond the number that is configured: it is short, and the layers above wait for it. */
static int layer_settle(LayerWork *w, Error *reterr_error) {
        _cleanup_json_ json_t *request = json_object();
        int r;

        if (!request)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = layer_add_lower(w, request, reterr_error);
        if (r < 0)
                return r;
        r = helper_start(w->manager->jobs, "settle", request, (int[]){ w->list_fd, w->dir_fd }, 2,
                         &layer_ops, w, &w->helper, reterr_error);
        if (r < 0)
                return r;

        w->state = LAYER_SETTLING;
        w->manager->n_unpacking++;
        return 0;
}

static LayerWork *layers_next_unpacked(ImageManager *m) {
        LayerWork *w;

        HASHMAP_FOREACH(w, m->layers)
                if (w->state == LAYER_UNPACKED && !w->parent)
                        return w;
        return NULL;
}

/* From the bottom up, until no more can be made ready: each step may allow the next. */
static void layers_complete(ImageManager *m) {
        LayerWork *w;

        while ((w = layers_next_unpacked(m))) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (w->list_fd < 0)
                        layer_complete(w);
                else if (layer_settle(w, &e) < 0)
                        layer_fail(w, &e);
        }
}

static unsigned unpacks_max(ImageManager *m) {
        long n;

        if (m->config->max_concurrent_unpacks > 0)
                return m->config->max_concurrent_unpacks;
        n = sysconf(_SC_NPROCESSORS_ONLN);
        return n > 0 ? (unsigned) n : 1;
}

static LayerWork *layers_next_queued(ImageManager *m) {
        LayerWork *w;

        HASHMAP_FOREACH(w, m->layers)
                if (w->state == LAYER_QUEUED && (!w->in_order || !w->parent))
                        return w;
        return NULL;
}

static void layers_work(ImageManager *m) {
        unsigned max = unpacks_max(m);
        LayerWork *w;

        while (m->n_unpacking < max && (w = layers_next_queued(m))) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (layer_start(w, &e) < 0) {
                        layer_fail(w, &e); /* comes back here */
                        return;
                }
        }
}

void unpack_blob_ready(ImageManager *m, const char *digest) {
        LayerWork *w;

        HASHMAP_FOREACH(w, m->layers)
                if (w->state == LAYER_WAITING && streq(w->blob, digest))
                        w->state = LAYER_QUEUED;
        layers_work(m);
}

typedef struct Unfinished {
        const char *chain_id;
        uint64_t id;
} Unfinished;

static int find_unfinished(const SnapshotRow *row, void *userdata) {
        Unfinished *u = userdata;

        if (!row->ready && streq_ptr(row->chain_id, u->chain_id))
                u->id = row->id;
        return 0;
}

/* Another row of this chain that is neither ready nor in our table is what an abort that failed has left. */
static int layer_begin(LayerWork *w, uint64_t parent_snapshot, Error *reterr_error) {
        Unfinished u = { .chain_id = w->chain_id };
        _cleanup_error_ Error e = ERROR_NULL;
        ImageManager *m = w->manager;
        int r;

        r = snapshot_layer_begin(m->snapshots, w->chain_id, w->diff_id, parent_snapshot, &w->snapshot,
                                 &w->dir_fd, &e);
        if (r != -EEXIST)
                return r < 0 ? error_move(reterr_error, &e) : 0;

        r = store_snapshot_foreach(m->store, find_unfinished, &u);
        if (r >= 0)
                r = u.id > 0 ? snapshot_layer_abort(m->snapshots, u.id) : -EEXIST;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to drop what is left of layer %s: %m",
                                       w->diff_id);
        image_schedule_trash(m);
        return snapshot_layer_begin(m->snapshots, w->chain_id, w->diff_id, parent_snapshot, &w->snapshot,
                                    &w->dir_fd, reterr_error);
}

static int layer_new(ImageManager *m, const char *chain, const char *diff_id, const Descriptor *blob,
                     uint64_t parent_snapshot, LayerWork **ret, Error *reterr_error) {
        _cleanup_(layer_work_freep) LayerWork *w = NULL;
        int r;

        w = calloc(1, sizeof(LayerWork));
        if (!w)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        w->manager = m;
        w->dir_fd = w->list_fd = -EBADF;
        w->bottom = parent_snapshot == 0;
        w->chain_id = strdup(chain);
        w->diff_id = strdup(diff_id);
        w->blob = strdup(blob->digest);
        w->media_type = strdup(blob->media_type);
        w->blob_size = blob->size;
        if (!w->chain_id || !w->diff_id || !w->blob || !w->media_type)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = layer_begin(w, parent_snapshot, reterr_error);
        if (r < 0)
                return r;
        r = hashmap_put(m->layers, chain, w);
        if (r < 0) {
                image_manager_abort_layer(m, w->snapshot);
                return error_set_errno(reterr_error, r, "Out of memory");
        }

        *ret = TAKE_PTR(w);
        return 0;
}

static int layer_add_set(LayerWork *w, UnpackSet *u) {
        UnpackSet **sets = reallocarray(w->sets, w->n_sets + 1, sizeof(UnpackSet *));

        if (!sets)
                return -ENOMEM;
        w->sets = sets;
        w->sets[w->n_sets++] = u;
        u->n_left++;
        return 0;
}

static int unpack_set_add_layers(UnpackSet *u, const Manifest *manifest, const ImageConfig *config,
                                 Error *reterr_error) {
        ImageManager *m = u->manager;
        char parent_chain[DIGEST_STRING_MAX] = "";
        LayerWork *parent = NULL;
        uint64_t parent_snapshot = 0;
        int r;

        for (size_t i = 0; i < manifest->n_layers; i++) {
                char chain[DIGEST_STRING_MAX];
                uint64_t size;
                LayerWork *w;

                r = chain_id(isempty(parent_chain) ? NULL : parent_chain, config->diff_ids[i], chain);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Failed to compute a chain id: %m");
                memcpy(parent_chain, chain, sizeof(parent_chain));
                r = image_manager_pin_in(m, chain, &u->pins);
                if (r >= 0)
                        r = image_manager_pin_in(m, manifest->layers[i].digest, &u->pins);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Out of memory");

                if (snapshot_find_layer(m->snapshots, chain, &parent_snapshot) >= 0) {
                        parent = NULL;
                        set_ready_phase(u, manifest->layers + i);
                        continue;
                }

                w = hashmap_get(m->layers, chain);
                if (!w) {
                        r = layer_new(m, chain, config->diff_ids[i], manifest->layers + i, parent_snapshot,
                                      &w, reterr_error);
                        if (r < 0)
                                return r;
                        w->parent = parent;
                }
                if (w->state == LAYER_WAITING && content_has_blob(m->content, w->blob, &size) &&
                    size == w->blob_size)
                        w->state = LAYER_QUEUED;
                r = layer_add_set(w, u);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Out of memory");
                parent = w;
                parent_snapshot = w->snapshot;
        }
        return 0;
}

bool layers_use_snapshot(ImageManager *m, uint64_t id) {
        LayerWork *w;

        HASHMAP_FOREACH(w, m->layers)
                if (w->snapshot == id)
                        return true;
        return false;
}

static LayerWork *layers_find_unwanted(ImageManager *m) {
        LayerWork *w;

        HASHMAP_FOREACH(w, m->layers)
                if (w->n_sets == 0)
                        return w;
        return NULL;
}

const char *unpack_set_missing(const UnpackSet *u) {
        const LayerWork *w;

        HASHMAP_FOREACH(w, u->manager->layers)
                for (size_t i = 0; w->state == LAYER_WAITING && i < w->n_sets; i++)
                        if (w->sets[i] == u)
                                return w->blob;
        return NULL;
}

UnpackSet *unpack_set_free(UnpackSet *u) {
        LayerWork *w;

        if (!u)
                return NULL;

        HASHMAP_FOREACH(w, u->manager->layers)
                for (size_t i = 0; i < w->n_sets; i++)
                        if (w->sets[i] == u)
                                w->sets[i--] = w->sets[--w->n_sets];
        while ((w = layers_find_unwanted(u->manager)))
                layer_drop(w);
        sd_event_source_disable_unref(u->done_source);
        image_manager_unpin_all(u->manager, u->pins);
        error_done(&u->error);
        free(u);
        return NULL;
}

int unpack_set_new(ImageManager *m, Job *job, const Manifest *manifest, const ImageConfig *config,
                   UnpackDoneFunc func, void *userdata, UnpackSet **ret, Error *reterr_error) {
        _cleanup_(unpack_set_freep) UnpackSet *u = NULL;
        int r;

        assert(m && job && manifest && config && func);
        assert(ret);

        u = calloc(1, sizeof(UnpackSet));
        if (!u)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        u->manager = m;
        u->job = job;
        u->func = func;
        u->userdata = userdata;

        r = unpack_set_add_layers(u, manifest, config, reterr_error);
        if (r < 0)
                return r;

        if (u->n_left == 0)
                set_finish(u, NULL);
        layers_work(m);
        *ret = TAKE_PTR(u);
        return 0;
}

/* -- the job "unpack": what is in the store already ----------------------------------------------------- */

typedef struct UnpackJob {
        ImageManager *manager; /* weak */
        Job *job;              /* weak */
        UnpackSet *set;
        char *manifest_digest;
} UnpackJob;

static void unpack_job_free(void *work) {
        UnpackJob *w = work;

        ImageManager *m = w->manager;

        unpack_set_free(w->set);
        free(w->manifest_digest);
        free(w);
        image_schedule_garbage(m); /* the image may have been removed meanwhile */
}

static void unpack_job_cancel(Job *j, void *work) {
        UnpackJob *w = work;

        w->set = unpack_set_free(w->set);
}

static void unpack_job_on_done(const Error *error, void *userdata) {
        UnpackJob *w = userdata;
        ImageManager *m = w->manager;
        Image *i;

        HASHMAP_FOREACH(i, m->images) {
                if (!streq_ptr(i->row.manifest_digest, w->manifest_digest))
                        continue;
                image_refresh_unpacked(i);
                events_notify(m->events, NOTIFY_IMAGE_CHANGED, i->row.ns, i->row.name, i);
        }
        image_manager_schedule_sync(m);
        job_finish(w->job, error);
}

static int unpack_job_start(UnpackJob *w, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        const ImageConfig *config;
        const char *missing;
        int r;

        r = image_manager_describe_manifest(w->manager, w->manifest_digest, &manifest, &config,
                                            reterr_error);
        if (r < 0)
                return r;
        for (size_t k = 0; k < manifest->n_layers; k++)
                (void) job_add_part(w->job, manifest->layers[k].digest, manifest->layers[k].size);
        r = unpack_set_new(w->manager, w->job, manifest, config, unpack_job_on_done, w, &w->set,
                           reterr_error);
        if (r < 0)
                return r;

        missing = unpack_set_missing(w->set);
        if (missing)
                return error_set(reterr_error, -ENOENT, "NoSuchBlob",
                                 "Layer %s of image %s is not in the store; pull the image again.", missing,
                                 w->job->subject);
        return 0;
}

static Job *find_unpack_job(ImageManager *m, const char *ns, const char *name, const char *manifest_digest) {
        HashmapIterator i = 0;
        Job *j;

        while (job_manager_iterate(m->jobs, &i, &j)) {
                const UnpackJob *w = j->work;

                if (j->state == JOB_RUNNING && w && j->work_free == unpack_job_free &&
                    streq(w->manifest_digest, manifest_digest) && streq(j->ns, ns) &&
                    streq(j->subject, name))
                        return j;
        }
        return NULL;
}

int image_unpack_manifest(ImageManager *m, const char *ns, const char *name, const char *manifest_digest,
                          Job **ret, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        UnpackJob *w;
        Job *j;
        int r;

        assert(m && ns && name && manifest_digest && ret);

        j = find_unpack_job(m, ns, name, manifest_digest);
        if (j) {
                *ret = j;
                return 0;
        }

        w = calloc(1, sizeof(UnpackJob));
        if (!w)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *w = (UnpackJob) { .manager = m, .manifest_digest = strdup(manifest_digest) };
        r = w->manifest_digest ? job_new(m->jobs, ns, "unpack", name, &j, reterr_error)
                               : error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (r < 0) {
                unpack_job_free(w);
                return r;
        }
        w->job = j;
        j->work = w;
        j->work_cancel = unpack_job_cancel;
        j->work_free = unpack_job_free;
        (void) free_and_strdup(&j->result_object, name);

        if (unpack_job_start(w, &e) < 0) { /* the job is there: it tells */
                w->set = unpack_set_free(w->set);
                job_finish(j, &e);
        }

        *ret = j;
        return 0;
}

int image_unpack(ImageManager *m, Image *i, Job **ret, Error *reterr_error) {
        return image_unpack_manifest(m, i->row.ns, i->row.name, i->row.manifest_digest, ret, reterr_error);
}

/* -- what recovery found to be lost: one image after the other, behind everything else ------------------ */

static void unpack_next(ImageManager *m);

static void queued_on_finished(Job *j, void *userdata) {
        ImageManager *m = userdata;

        m->unpack_job = NULL;
        if (j->state == JOB_FAILED)
                log_warning("Failed to unpack image %s again: %s", j->subject, error_message(&j->error));
        unpack_next(m);
}

static int unpack_on_next(sd_event_source *s, void *userdata) {
        ImageManager *m = userdata;

        m->unpack_source = sd_event_source_disable_unref(m->unpack_source);
        while (!m->unpack_job && m->unpack_queue && m->unpack_queue[0]) {
                _cleanup_free_ char *key = m->unpack_queue[0];
                _cleanup_error_ Error e = ERROR_NULL;
                Image *i = hashmap_get(m->images, key);
                size_t n = strv_length(m->unpack_queue);

                memmove(m->unpack_queue, m->unpack_queue + 1, n * sizeof(char *));
                if (!i || i->unpacked)
                        continue;

                log_info("Unpacking image %s again, whose layers were lost.", i->row.name);
                if (image_unpack(m, i, &m->unpack_job, &e) < 0 ||
                    job_add_waiter(m->unpack_job, queued_on_finished, m) < 0) {
                        m->unpack_job = NULL;
                        log_warning("Failed to unpack image %s again: %s", i->row.name, error_message(&e));
                }
        }
        return 0;
}

static void unpack_next(ImageManager *m) {
        int r;

        if (m->unpack_source || strv_length(m->unpack_queue) == 0)
                return;
        r = sd_event_add_defer(job_manager_event(m->jobs), &m->unpack_source, unpack_on_next, m);
        if (r >= 0)
                r = sd_event_source_set_priority(m->unpack_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                log_warning_errno(r, "Failed to schedule unpacking, ignoring: %m");
}

static int note_lost_chain(const SnapshotRow *row, void *userdata) {
        return row->kind == SNAPSHOT_LAYER && !row->ready ? hashmap_put(userdata, row->chain_id, userdata)
                                                          : 0;
}

int image_manager_queue_unpacks(ImageManager *m, bool all) {
        _cleanup_(hashmap_freep) Hashmap *lost = hashmap_new();
        HashmapIterator it = 0;
        const char *key;
        void *value;
        int r;

        if (!lost)
                return -ENOMEM;
        r = store_snapshot_foreach(m->store, note_lost_chain, lost);
        if (r < 0)
                return r;

        /* An image that was never unpacked has no rows: nobody has asked for it. */
        while (hashmap_iterate(m->images, &it, &key, &value)) {
                const Image *i = value;
                char chain[DIGEST_STRING_MAX];
                const ImageConfig *config;

                if (i->unpacked || image_manager_read_config(m, i->row.config_digest, &config, NULL) < 0 ||
                    image_chain_id(config->diff_ids, chain) < 0)
                        continue;
                if (!all && !hashmap_get(lost, chain))
                        continue;
                r = strv_extend(&m->unpack_queue, key);
                if (r < 0)
                        return r;
        }
        unpack_next(m);
        return 0;
}
