/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of image names. The store is the truth; the table is what it says, in memory, with what is
 * derived from it. Whatever a job needs and no name reaches yet is pinned, so that a collection beside it
 * takes nothing away: pins are counted and live as long as the work that holds them. */

#include <time.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "image/image-internal.h"

static char *image_key(const char *ns, const char *name) {
        return strjoin(ns, "\n", name);
}

static Image *image_free(Image *i) {
        if (!i)
                return NULL;

        image_row_done(&i->row);
        free(i);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Image *, image_free)

int image_manager_new(Store *store, Content *content, SnapshotManager *snapshots, JobManager *jobs,
                      Events *events, const PullConfig *config, ImageManager **ret, Error *reterr_error) {
        _cleanup_(image_manager_freep) ImageManager *m = NULL;

        assert(store && content && snapshots && jobs && events && config);
        assert(ret);

        m = calloc(1, sizeof(ImageManager));
        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        m->store = store;
        m->content = content;
        m->snapshots = snapshots;
        m->jobs = jobs;
        m->events = events;
        m->config = config;
        m->images = hashmap_new();
        m->configs = hashmap_new();
        m->pins = hashmap_new();
        m->layers = hashmap_new();
        if (!m->images || !m->configs || !m->pins || !m->layers)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        *ret = TAKE_PTR(m);
        return 0;
}

static void config_cache_clear(ImageManager *m) {
        ImageConfig *c;

        HASHMAP_FOREACH(c, m->configs)
                image_config_free(c);
        hashmap_free(m->configs);
        m->configs = NULL;
}

ImageManager *image_manager_free(ImageManager *m) {
        LayerWork *w;
        Image *i;

        if (!m)
                return NULL;

        assert(m->n_pulls == 0); /* the jobs are freed first */
        if (m->index_source) {
                int r = image_manager_write_index(m);

                if (r < 0)
                        log_warning_errno(r, "Failed to write index.json, ignoring: %m");
        }
        helper_free(m->remover);
        helper_free(m->syncer);
        sd_event_source_disable_unref(m->unpack_source);
        sd_event_source_disable_unref(m->garbage_source);
        sd_event_source_disable_unref(m->trash_source);
        sd_event_source_disable_unref(m->index_source);
        HASHMAP_FOREACH(w, m->layers)
                layer_work_free(w);
        HASHMAP_FOREACH(i, m->images)
                image_free(i);
        config_cache_clear(m);
        hashmap_free(m->images);
        hashmap_free(m->pins);
        hashmap_free(m->layers);
        free(m->pulls);
        strv_free(m->unpack_queue);
        strv_free(m->stale_leases);
        free(m->stale_layers);
        free(m->unsynced);
        free(m->syncing);
        free(m);
        return NULL;
}

int image_manager_pin(ImageManager *m, const char *digest) {
        uintptr_t n = (uintptr_t) hashmap_get(m->pins, digest);

        return hashmap_replace(m->pins, digest, (void *) (n + 1));
}

void image_manager_unpin(ImageManager *m, const char *digest) {
        uintptr_t n = (uintptr_t) hashmap_get(m->pins, digest);

        /* Replacing a value allocates nothing. */
        if (n > 1)
                (void) hashmap_replace(m->pins, digest, (void *) (n - 1));
        else
                hashmap_remove(m->pins, digest);
}

int image_manager_pin_in(ImageManager *m, const char *digest, char ***l) {
        int r;

        r = image_manager_pin(m, digest);
        if (r < 0)
                return r;
        r = strv_extend(l, digest);
        if (r < 0)
                image_manager_unpin(m, digest);
        return r;
}

void image_manager_unpin_all(ImageManager *m, char **l) {
        STRV_FOREACH(d, l)
                image_manager_unpin(m, d);
        strv_free(l);
}

static int read_manifest(ImageManager *m, const char *digest, const char *media_type, Manifest **ret,
                         Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = content_read_blob(m->content, digest, MANIFEST_SIZE_MAX, &text, &n, reterr_error);
        if (r < 0)
                return r;
        return manifest_parse(text, n, media_type, ret, reterr_error);
}

int image_manager_read_config(ImageManager *m, const char *digest, const ImageConfig **ret,
                              Error *reterr_error) {
        _cleanup_(image_config_freep) ImageConfig *c = NULL;
        _cleanup_free_ char *text = NULL;
        ImageConfig *cached;
        size_t n;
        int r;

        cached = hashmap_get(m->configs, digest);
        if (cached) {
                *ret = cached;
                return 0;
        }

        r = content_read_blob(m->content, digest, IMAGE_CONFIG_SIZE_MAX, &text, &n, reterr_error);
        if (r < 0)
                return r;
        r = image_config_parse(text, n, &c, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "Image configuration %s", digest);

        if (hashmap_size(m->configs) >= CONFIG_CACHE_MAX) {
                config_cache_clear(m);
                m->configs = hashmap_new();
                if (!m->configs)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        r = hashmap_put(m->configs, digest, c);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");

        *ret = TAKE_PTR(c);
        return 0;
}

int image_chain_id(char *const *diff_ids, char ret[static DIGEST_STRING_MAX]) {
        char parent[DIGEST_STRING_MAX] = "";
        int r;

        STRV_FOREACH(d, diff_ids) {
                char next[DIGEST_STRING_MAX];

                r = chain_id(isempty(parent) ? NULL : parent, d, next);
                if (r < 0)
                        return r;
                memcpy(parent, next, sizeof(parent));
        }

        memcpy(ret, parent, sizeof(parent));
        return 0;
}

static int image_top_snapshot(ImageManager *m, const ImageConfig *config, uint64_t *ret_id) {
        char chain[DIGEST_STRING_MAX];
        int r;

        r = image_chain_id(config->diff_ids, chain);
        if (r < 0)
                return r;
        if (isempty(chain)) {
                *ret_id = 0;
                return 0;
        }
        return snapshot_find_layer(m->snapshots, chain, ret_id);
}

void image_refresh_unpacked(Image *i) {
        const ImageConfig *config;
        uint64_t id;

        i->unpacked = image_manager_read_config(i->manager, i->row.config_digest, &config, NULL) >= 0 &&
                      image_top_snapshot(i->manager, config, &id) >= 0;
}

/* Takes what is in the row. */
static int image_table_set(ImageManager *m, ImageRow *row, Image **ret) {
        _cleanup_free_ char *key = NULL;
        Image *i;
        int r;

        key = image_key(row->ns, row->name);
        if (!key)
                return -ENOMEM;

        i = hashmap_get(m->images, key);
        if (i) {
                image_row_done(&i->row);
                i->row = *row;
                *row = (ImageRow) {};
                *ret = i;
                return 0;
        }

        _cleanup_(image_freep) Image *new_image = calloc(1, sizeof(Image));
        if (!new_image)
                return -ENOMEM;
        r = hashmap_put(m->images, key, new_image);
        if (r < 0)
                return r;

        new_image->manager = m;
        new_image->row = *row;
        *row = (ImageRow) {};
        *ret = TAKE_PTR(new_image);
        return 1;
}

static int image_add_edges(ImageManager *m, const ImageRow *row, const Manifest *manifest,
                           const ImageConfig *config) {
        char chain[DIGEST_STRING_MAX];
        int r;

        /* None from an index to its manifests: the name itself keeps the one of its platform, and after a
         * pull for another platform no longer. */
        r = store_blob_add_ref(m->store, row->manifest_digest, manifest->config.digest);
        if (r < 0)
                return r;
        for (size_t i = 0; i < manifest->n_layers; i++) {
                r = store_blob_add_ref(m->store, row->manifest_digest, manifest->layers[i].digest);
                if (r < 0)
                        return r;
        }

        r = image_chain_id(config->diff_ids, chain);
        if (r < 0)
                return r;
        return isempty(chain) ? 0 : store_manifest_set_chain(m->store, row->manifest_digest, chain);
}

int image_manager_set_name(ImageManager *m, ImageRow *row, const Manifest *manifest,
                           const ImageConfig *config, const char *lease, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        bool added;
        Image *i;
        int r;

        r = store_transaction_begin(&t, m->store, true);
        if (r >= 0)
                r = image_add_edges(m, row, manifest, config);
        if (r >= 0)
                r = store_image_set(m->store, row);
        if (r >= 0 && lease)
                r = store_lease_remove(m->store, lease);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to record image %s: %m", row->name);

        r = image_table_set(m, row, &i);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");
        added = r > 0;

        image_refresh_unpacked(i);
        image_manager_schedule_index(m);
        events_notify(m->events, added ? NOTIFY_IMAGE_ADDED : NOTIFY_IMAGE_CHANGED, i->row.ns, i->row.name,
                      i);
        return 0;
}

int image_check_layer_count(const Manifest *manifest, const ImageConfig *config, Error *reterr_error) {
        if (strv_length(config->diff_ids) == manifest->n_layers)
                return 0;
        return error_set(reterr_error, -EBADMSG, "InvalidImageConfig",
                         "The manifest has %zu layers, but its configuration %s has %zu DiffIDs.",
                         manifest->n_layers, manifest->config.digest, strv_length(config->diff_ids));
}

static int describe_manifest(ImageManager *m, const Descriptor *target, const Platform *platform,
                             ImageRow *row, Manifest **ret_manifest, Error *reterr_error) {
        _cleanup_(index_freep) Index *index = NULL;
        _cleanup_free_ char *text = NULL;
        const Descriptor *d = target;
        size_t n;
        int r;

        r = content_read_blob(m->content, target->digest, MANIFEST_SIZE_MAX, &text, &n, reterr_error);
        if (r < 0)
                return r;
        row->size = n;

        if (manifest_detect(text, n, target->media_type) == MEDIA_INDEX) {
                r = index_parse(text, n, target->media_type, &index, reterr_error);
                if (r < 0)
                        return error_prefix(reterr_error, "Index %s", target->digest);
                d = index_select(index, platform, reterr_error);
                if (!d)
                        return reterr_error && error_is_set(reterr_error) ? reterr_error->error : -ENOENT;
        }

        r = read_manifest(m, d->digest, d->media_type, ret_manifest, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "Manifest %s", d->digest);

        row->digest = strdup(target->digest);
        row->media_type = strdup(index ? index->media_type : (*ret_manifest)->media_type);
        row->manifest_digest = strdup(d->digest);
        row->config_digest = strdup((*ret_manifest)->config.digest);
        if (!row->digest || !row->media_type || !row->manifest_digest || !row->config_digest)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return 0;
}

static int read_config_of(ImageManager *m, const Manifest *manifest, const ImageConfig **ret,
                          Error *reterr_error) {
        const ImageConfig *config;
        int r;

        r = image_manager_read_config(m, manifest->config.digest, &config, reterr_error);
        if (r < 0)
                return r;
        r = image_check_layer_count(manifest, config, reterr_error);
        if (r < 0)
                return r;

        *ret = config;
        return 0;
}

int image_manager_describe(ImageManager *m, const Descriptor *target, const Platform *platform,
                           ImageRow *ret, Manifest **ret_manifest, const ImageConfig **ret_config,
                           Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        int r;

        r = describe_manifest(m, target, platform, &row, &manifest, reterr_error);
        if (r < 0)
                return r;
        r = read_config_of(m, manifest, &config, reterr_error);
        if (r < 0)
                return r;

        row.total_size = row.size + manifest->config.size;
        for (size_t i = 0; i < manifest->n_layers; i++)
                row.total_size += manifest->layers[i].size;
        row.created_usec = config->created_usec;
        row.tagged_usec = now_usec(CLOCK_REALTIME);
        row.platform = platform_to_string(&config->platform);
        row.labels = strv_copy(config->labels);
        if (!row.platform || (config->labels && !row.labels))
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        *ret = row;
        row = (ImageRow) {};
        *ret_manifest = TAKE_PTR(manifest);
        *ret_config = config;
        return 0;
}

int image_manager_describe_manifest(ImageManager *m, const char *digest, Manifest **ret_manifest,
                                    const ImageConfig **ret_config, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        const ImageConfig *config;
        int r;

        r = read_manifest(m, digest, NULL, &manifest, reterr_error);
        if (r < 0)
                return r;
        r = read_config_of(m, manifest, &config, reterr_error);
        if (r < 0)
                return r;

        *ret_manifest = TAKE_PTR(manifest);
        *ret_config = config;
        return 0;
}

Image *image_find(ImageManager *m, const char *ns, const char *name, Error *reterr_error) {
        _cleanup_(reference_freep) Reference *ref = NULL;
        _cleanup_free_ char *full = NULL, *key = NULL;
        Image *i;

        assert(m);

        if (reference_parse(name, &ref, reterr_error) < 0)
                return NULL;
        full = reference_to_string(ref);
        key = full ? image_key(ns, full) : NULL;
        if (!key) {
                (void) error_set_errno(reterr_error, -ENOMEM, "Out of memory");
                return NULL;
        }

        i = hashmap_get(m->images, key);
        if (!i)
                (void) error_set(reterr_error, -ENOENT, "NoSuchImage",
                                 "There is no image %s in namespace %s; moorctl images lists them, moorctl pull %s "
                                 "fetches it.",
                                 full, ns, name);
        return i;
}

bool image_iterate(ImageManager *m, HashmapIterator *i, Image **ret) {
        return hashmap_iterate(m->images, i, NULL, (void **) ret);
}

size_t image_count(ImageManager *m, const char *ns) {
        size_t n = 0;
        Image *i;

        if (!ns)
                return hashmap_size(m->images);
        HASHMAP_FOREACH(i, m->images)
                n += streq(i->row.ns, ns);
        return n;
}

static int image_row_copy(const ImageRow *src, ImageRow *ret) {
        _cleanup_(image_row_done) ImageRow row = {
                .size = src->size,
                .total_size = src->total_size,
                .created_usec = src->created_usec,
                .tagged_usec = now_usec(CLOCK_REALTIME),
        };

        row.ns = strdup(src->ns);
        row.digest = strdup(src->digest);
        row.media_type = strdup(src->media_type);
        row.manifest_digest = strdup(src->manifest_digest);
        row.config_digest = strdup(src->config_digest);
        row.platform = strdup(src->platform);
        row.labels = strv_copy(src->labels);
        if (!row.ns || !row.digest || !row.media_type || !row.manifest_digest || !row.config_digest ||
            !row.platform || (src->labels && !row.labels))
                return -ENOMEM;

        *ret = row;
        row = (ImageRow) {};
        return 0;
}

int image_tag(ImageManager *m, const char *ns, const char *source, const char *target, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(reference_freep) Reference *ref = NULL;
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        _cleanup_free_ char *name = NULL;
        Image *i;
        int r;

        assert(m);

        i = image_find(m, ns, source, reterr_error);
        if (!i)
                return -ENOENT;
        r = reference_parse(target, &ref, reterr_error);
        if (r < 0)
                return r;
        if (ref->digest)
                return error_set(reterr_error, -EINVAL, "InvalidReference",
                                 "%s names a digest: a tag is a name that may be moved; write it without "
                                 "@%s.",
                                 target, ref->digest);

        r = image_row_copy(&i->row, &row);
        if (r >= 0)
                row.name = reference_to_string(ref);
        if (!row.name)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = image_manager_describe_manifest(m, i->row.manifest_digest, &manifest, &config, reterr_error);
        if (r < 0)
                return r;

        name = strdup(row.name);
        if (!name)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = image_manager_set_name(m, &row, manifest, config, NULL, reterr_error);
        if (r < 0)
                return r;

        (void) events_record(m->events, ns, "image/tagged", name, "Source", source, NULL);
        image_schedule_garbage(m); /* what the name pointed at before */
        return 0;
}

void image_manager_set_in_use(ImageManager *m,
                              bool (*in_use)(const char *ns, const char *name, char **ret_container,
                                             void *userdata),
                              void *userdata) {
        m->in_use = in_use;
        m->in_use_userdata = userdata;
}

int image_remove(ImageManager *m, const char *ns, const char *name, bool force, Error *reterr_error) {
        _cleanup_free_ char *container = NULL, *key = NULL;
        Image *i;
        int r;

        assert(m);

        i = image_find(m, ns, name, reterr_error);
        if (!i)
                return error_is_set(reterr_error) ? reterr_error->error : -ENOENT;

        if (!force && m->in_use && m->in_use(ns, i->row.name, &container, m->in_use_userdata))
                return error_set(reterr_error, -EBUSY, "ImageInUse",
                                 "Image %s is used by container %s; remove that first, or use --force to "
                                 "drop only the name.",
                                 i->row.name, strempty(container));

        key = image_key(i->row.ns, i->row.name);
        if (!key)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = store_image_remove(m->store, i->row.ns, i->row.name);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to remove image %s: %m", i->row.name);

        hashmap_remove(m->images, key);
        (void) events_record(m->events, i->row.ns, "image/removed", i->row.name, "Digest", i->row.digest,
                             NULL);
        events_notify(m->events, NOTIFY_IMAGE_REMOVED, i->row.ns, i->row.name, i);
        image_free(i);
        image_manager_schedule_index(m);
        image_schedule_garbage(m);
        return 0;
}

int image_get_config(ImageManager *m, Image *i, const ImageConfig **ret, Error *reterr_error) {
        return image_manager_read_config(m, i->row.config_digest, ret, reterr_error);
}

int image_get_config_text(ImageManager *m, Image *i, char **ret, Error *reterr_error) {
        size_t n;

        return content_read_blob(m->content, i->row.config_digest, IMAGE_CONFIG_SIZE_MAX, ret, &n,
                                 reterr_error);
}

int image_get_snapshot(ImageManager *m, Image *i, uint64_t *ret_id, Error *reterr_error) {
        const ImageConfig *config;
        int r;

        r = image_get_config(m, i, &config, reterr_error);
        if (r < 0)
                return r;

        r = image_top_snapshot(m, config, ret_id);
        if (r == -ENOENT)
                return error_set(reterr_error, -EAGAIN, "ImageNotUnpacked",
                                 "The layers of image %s are not unpacked; pull it again (moorctl pull %s).",
                                 i->row.name, i->row.name);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to look up the layers of image %s: %m",
                                       i->row.name);
        return 0;
}

static int image_load_row(ImageRow *row, void *userdata) {
        ImageManager *m = userdata;
        Image *i;
        int r;

        r = image_table_set(m, row, &i);
        if (r < 0)
                return r;
        image_refresh_unpacked(i);
        return 0;
}

int image_manager_recover(ImageManager *m, bool rebuild, Error *reterr_error) {
        int r;

        assert(m);

        if (rebuild) {
                r = image_manager_rebuild(m);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "Failed to rebuild the database from the image layout: %m");
        }

        r = store_image_foreach(m->store, NULL, image_load_row, m);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to load the images: %m");

        r = image_manager_drop_unknown_blobs(m);
        if (r < 0)
                log_warning_errno(r, "Failed to drop what an interrupted collection has left, ignoring: %m");
        r = image_manager_find_unsynced(m);
        if (r < 0)
                log_warning_errno(r, "Failed to look for layers that are not synced, ignoring: %m");
        r = image_manager_queue_unpacks(m, rebuild);
        if (r < 0)
                log_warning_errno(r, "Failed to look for layers that are lost, ignoring: %m");
        (void) content_ingest_clean(m->content, INGEST_AGE_MAX_USEC);
        image_manager_schedule_index(m); /* the last change of a name may not have reached it */
        image_manager_schedule_sync(m);
        image_schedule_garbage(m);
        image_schedule_trash(m);
        return 0;
}
