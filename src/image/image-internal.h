/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of src/image/ share, and nobody else sees. */

#include <systemd/sd-event.h>

#include "image/image.h"
#include "oci/reference.h"

typedef struct Pull Pull;
typedef struct LayerWork LayerWork;
typedef struct UnpackSet UnpackSet;

#define CONFIG_CACHE_MAX 16U
#define LEASE_USEC (UINT64_C(24) * 3600 * 1000000) /* how long an interrupted transfer keeps its blobs */

struct ImageManager {
        Store *store;               /* weak, as all here but what is said to be owned */
        Content *content;
        SnapshotManager *snapshots;
        JobManager *jobs;
        Events *events;
        const PullConfig *config;

        Hashmap *images;            /* "ns\nname" → Image, owned */
        Hashmap *configs;           /* digest → ImageConfig, owned; at most CONFIG_CACHE_MAX */
        Hashmap *pins;              /* digest → number of holders, as a pointer-sized integer */

        Pull **pulls;               /* under way; each is owned by its job */
        size_t n_pulls;

        Hashmap *layers;            /* chain id → LayerWork, owned: being unpacked or waiting for it */
        unsigned n_unpacking;

        HelperProcess *remover;     /* owned; empties the trash */
        HelperProcess *syncer;      /* owned */
        uint64_t *unsynced;         /* layers that became ready since the last sync began */
        size_t n_unsynced;
        uint64_t *syncing;          /* … and those that the sync under way covers */
        size_t n_syncing;

        char **stale_leases; /* what could not be dropped, as when the disk was full: tried again with each
                                collection */
        uint64_t *stale_layers;
        size_t n_stale_layers;

        char **unpack_queue;        /* keys of images that recovery unpacks again, one after the other */
        Job *unpack_job;            /* borrowed: the one under way */

        sd_event_source *unpack_source;
        sd_event_source *garbage_source;
        sd_event_source *trash_source;
        sd_event_source *index_source;

        bool (*in_use)(const char *ns, const char *name, char **ret_container, void *userdata);
        void *in_use_userdata;
};

/* image.c */
int image_manager_pin(ImageManager *m, const char *digest);
void image_manager_unpin(ImageManager *m, const char *digest);
/* Pins and remembers in *l, for image_manager_unpin_all(). */
int image_manager_pin_in(ImageManager *m, const char *digest, char ***l);
void image_manager_unpin_all(ImageManager *m, char **l);
/* A verified small blob. */
int image_manager_read_config(ImageManager *m, const char *digest, const ImageConfig **ret,
                              Error *reterr_error);
/* "InvalidImageConfig" */
int image_check_layer_count(const Manifest *manifest, const ImageConfig *config, Error *reterr_error);
/* Top chain id of diff_ids; "" for none. */
int image_chain_id(char *const *diff_ids, char ret[static DIGEST_STRING_MAX]);
/* Row, edges and table entry for a name: one durable transaction, which also drops the lease (or NULL). row
 * is moved from. */
int image_manager_set_name(ImageManager *m, ImageRow *row, const Manifest *manifest,
                           const ImageConfig *config, const char *lease, Error *reterr_error);
/* Fills digests, sizes and times of a row from a target that is in the store. target: index or manifest. */
int image_manager_describe(ImageManager *m, const Descriptor *target, const Platform *platform,
                           ImageRow *ret, Manifest **ret_manifest, const ImageConfig **ret_config,
                           Error *reterr_error);
/* The same of a manifest. config: borrowed until the next that is read. */
int image_manager_describe_manifest(ImageManager *m, const char *digest, Manifest **ret_manifest,
                                    const ImageConfig **ret_config, Error *reterr_error);
void image_refresh_unpacked(Image *i);

/* unpack.c: the layers of one image, unpacked in any order, made ready from the bottom up, shared between
 * all who want them. */
typedef void (*UnpackDoneFunc)(const Error *error, void *userdata);
/* func is called once, from the loop, never from within unpack_set_new(). job: gets progress of its
 * parts. */
int unpack_set_new(ImageManager *m, Job *job, const Manifest *manifest, const ImageConfig *config,
                   UnpackDoneFunc func, void *userdata, UnpackSet **ret, Error *reterr_error);
/* The digest of a blob that is not here, so that a layer waits for it; NULL if there is none. */
const char *unpack_set_missing(const UnpackSet *u);
UnpackSet *unpack_set_free(UnpackSet *u);
DEFINE_CLEANUP_FUNC(UnpackSet *, unpack_set_free)
/* A blob has been committed: layers that waited for it are queued. */
void unpack_blob_ready(ImageManager *m, const char *digest);
LayerWork *layer_work_free(LayerWork *w);
bool layers_use_snapshot(ImageManager *m, uint64_t id);
/* Images whose layers were unpacked before and are lost (all: every image that is not unpacked) are unpacked
 * again, from the loop. */
int image_manager_queue_unpacks(ImageManager *m, bool all);

/* pull.c */
bool pulls_use_lease(ImageManager *m, const char *lease);
void pulls_blob_settled(ImageManager *m, const char *digest);

/* gc.c */
/* Ends with certainty, be it later. */
void image_manager_drop_lease(ImageManager *m, const char *lease);
void image_manager_abort_layer(ImageManager *m, uint64_t snapshot_id);
void image_manager_schedule_sync(ImageManager *m);
int image_manager_layer_ready(ImageManager *m, uint64_t snapshot_id);
int image_manager_write_index(ImageManager *m);
void image_manager_schedule_index(ImageManager *m);
/* What is scheduled is written now: before somebody is told that an image is here. */
void image_manager_flush_index(ImageManager *m);

/* recover.c */
int image_manager_rebuild(ImageManager *m);
int image_manager_drop_unknown_blobs(ImageManager *m);
int image_manager_find_unsynced(ImageManager *m);
