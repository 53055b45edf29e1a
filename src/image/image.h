/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Images: names that point at manifests, pull and import into the store, unpacking, removal, garbage
 * collection. */

#include "basic/error.h"
#include "content/content.h"
#include "events/events.h"
#include "job/job.h"
#include "oci/image-config.h"
#include "snapshot/snapshot.h"
#include "store/store.h"

typedef struct ImageManager ImageManager;

/* In memory for each name: the row and what the bus shows. */
typedef struct Image {
        ImageManager *manager; /* weak */
        ImageRow row;
        bool unpacked;
} Image;

typedef struct PullConfig { /* from moored.conf, section [Pull] */
        unsigned max_concurrent_downloads; /* for each pull */
        unsigned max_concurrent_unpacks;   /* for the whole daemon; 0: as many as cores */
        unsigned retries;
        uint64_t retry_delay_usec;
        char *ca_file;                     /* or NULL: the system's */
        char **insecure_registries;        /* plain HTTP; loopback always is */
} PullConfig;

int image_manager_new(Store *store, Content *content, SnapshotManager *snapshots, JobManager *jobs,
                      Events *events, const PullConfig *config /* borrowed, outlives it */,
                      ImageManager **ret, Error *reterr_error);
ImageManager *image_manager_free(ImageManager *m);
DEFINE_CLEANUP_FUNC(ImageManager *, image_manager_free)
/* Loads the rows; brings disk and records in line after a crash, and unpacks again, in the background, what
 * was lost; rebuild: refill the store from index.json. */
int image_manager_recover(ImageManager *m, bool rebuild, Error *reterr_error);

/* name: any spelling of a reference, completed here. NULL with "NoSuchImage" or "InvalidReference". */
Image *image_find(ImageManager *m, const char *ns, const char *name, Error *reterr_error);
/* Iterates over all images, in order of namespace and name of insertion. */
bool image_iterate(ImageManager *m, HashmapIterator *i, Image **ret);
size_t image_count(ImageManager *m, const char *ns); /* ns NULL: all */

typedef struct PullOptions {
        const char *platform; /* NULL: the host's */
        bool unpack;          /* default true */
} PullOptions;
int image_pull(ImageManager *m, const char *ns, const char *reference, const PullOptions *o, Job **ret,
               Error *reterr_error);

typedef struct ImportOptions {
        const char *name; /* for an archive with a single image without a name, or to override it; or NULL */
        const char *platform;
} ImportOptions;
/* fd: archive (file, pipe, socket; "InvalidArgument" for all others); taken over on success. */
int image_import(ImageManager *m, const char *ns, int fd, const ImportOptions *o, Job **ret,
                 Error *reterr_error);

int image_tag(ImageManager *m, const char *ns, const char *source, const char *target, Error *reterr_error);
/* in_use: asks whether a container was made from it ("ImageInUse" unless force). */
int image_remove(ImageManager *m, const char *ns, const char *name, bool force, Error *reterr_error);
void image_manager_set_in_use(ImageManager *m,
                              bool (*in_use)(const char *ns, const char *name, char **ret_container,
                                             void *userdata),
                              void *userdata);
/* The configuration of an image's manifest for this host, parsed (cached; borrowed until the next call for
 * another image). */
int image_get_config(ImageManager *m, Image *i, const ImageConfig **ret, Error *reterr_error);
int image_get_config_text(ImageManager *m, Image *i, char **ret, Error *reterr_error);
/* The top layer's snapshot id if all layers are unpacked and ready (0 for an image without layers); -EAGAIN
 * if they must be unpacked first. */
int image_get_snapshot(ImageManager *m, Image *i, uint64_t *ret_id, Error *reterr_error);
/* Unpacks what is missing (a pull without unpacking, a power loss before the sync). A job of kind
 * "unpack". */
int image_unpack(ImageManager *m, Image *i, Job **ret, Error *reterr_error);
/* The same of a manifest that the name may not point at any more, as a container's image; where such a job
 * runs already it is that one. */
int image_unpack_manifest(ImageManager *m, const char *ns, const char *name, const char *manifest_digest,
                          Job **ret, Error *reterr_error);

typedef struct GarbageResult {
        uint64_t blobs, snapshots, bytes;
} GarbageResult;
/* Mark and sweep now; files of blobs are unlinked, trees go to the trash and a helper deletes them. */
int image_collect_garbage(ImageManager *m, bool dry_run, GarbageResult *ret, Error *reterr_error);
/* Soon, when the loop is idle; many calls make one collection. */
void image_schedule_garbage(ImageManager *m);
/* The trash is emptied by a helper soon: for whoever called snapshot_remove(). */
void image_schedule_trash(ImageManager *m);
