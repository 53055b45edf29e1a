/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Import: moored-helper import reads the archive and asks for an ingest for each blob; what it found as
 * images is then looked at here like a pulled one: parsed by the bounded parsers, unpacked, named.
 *
 *   READING ──helper ends──▶ for each image: describe, unpack_set ──▶ name ──▶ next … ──▶ (done)
 */

#include <inttypes.h>
#include <sys/stat.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "image/image-internal.h"

#define IMPORT_IMAGES_MAX 256U
#define IMPORT_BLOBS_MAX 8192U
#define IMPORT_BYTES_MAX (UINT64_C(256) << 30)

typedef struct ImportImage {
        char *name; /* complete reference */
        Descriptor target;
} ImportImage;

typedef struct Import {
        ImageManager *manager; /* weak */
        Job *job;              /* weak: owns us */
        HelperProcess *helper;
        char *name;            /* override, or NULL */
        Platform platform;
        ImportImage *images;
        size_t n_images, current;
        size_t n_blobs;
        char **ingests;        /* keys that are open */
        UnpackSet *set;
        char **pins;
} Import;

static void import_free(void *work) {
        ImageManager *m;
        Import *p = work;

        if (!p)
                return;
        m = p->manager;
        helper_free(p->helper);
        unpack_set_free(p->set);
        image_manager_unpin_all(p->manager, p->pins);
        STRV_FOREACH(k, p->ingests)
                (void) content_ingest_abort(p->manager->content, k);
        strv_free(p->ingests);
        for (size_t i = 0; i < p->n_images; i++) {
                free(p->images[i].name);
                descriptor_done(&p->images[i].target);
        }
        free(p->images);
        platform_done(&p->platform);
        free(p->name);
        free(p);
        image_schedule_garbage(m); /* blobs of the archive that no image needs */
}

static void import_stop(Import *p) {
        p->helper = helper_free(p->helper);
        p->set = unpack_set_free(p->set);
}

static void import_cancel(Job *j, void *work) {
        import_stop(work);
}

static void import_fail(Import *p, const Error *error) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (p->job->state != JOB_RUNNING)
                return;
        (void) error_copy(&e, error);
        (void) error_prefix(&e, "Importing %s", p->job->subject);
        import_stop(p);
        job_finish(p->job, &e);
}

static char *import_ingest_key(Import *p, const char *key) {
        return strformat("import-%" PRIu32 "-%s", p->job->id, key);
}

static int import_on_want_ingest(Import *p, ProtoMessage *msg, Error *reterr_error) {
        const char *key = strempty(proto_get(msg, "KEY"));
        _cleanup_free_ char *ingest = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t offset;
        int r;

        if (isempty(key) || strlen(key) > 20 || !string_in_charset(key, DIGITS))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "moored-helper import asked for a blob without a number.");
        if (++p->n_blobs > IMPORT_BLOBS_MAX)
                return error_set(reterr_error, -E2BIG, "InvalidArchive",
                                 "The archive has more than %u blobs.", IMPORT_BLOBS_MAX);

        ingest = import_ingest_key(p, key);
        if (!ingest || strv_extend(&p->ingests, ingest) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        (void) content_ingest_abort(p->manager->content, ingest); /* of a daemon that is no more */
        r = content_ingest_open(p->manager->content, ingest, &fd, &offset, reterr_error);
        if (r < 0)
                return r;
        r = proto_send(helper_socket(p->helper), &fd, 1, "ingest", "KEY", key, NULL);
        if (r < 0 && r != -EPIPE && r != -ECONNRESET) /* gone: import_on_exit() is about to hear why */
                return error_set_errno(reterr_error, r, "Failed to talk to moored-helper import: %m");
        return 0;
}

static int import_on_blob_done(Import *p, ProtoMessage *msg, Error *reterr_error) {
        const char *digest = strempty(proto_get(msg, "DIGEST")), *key = strempty(proto_get(msg, "KEY"));
        _cleanup_free_ char *ingest = import_ingest_key(p, key);
        _cleanup_transaction_ StoreTransaction t = {};
        ImageManager *m = p->manager;
        uint64_t size;
        JobPart *part;
        int r;

        if (!ingest || !strv_contains(p->ingests, ingest) || !digest_is_valid(digest) ||
            proto_get_uint64(msg, "SIZE", &size) < 0)
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "moored-helper import sent a blob that was not asked for.");

        r = image_manager_pin_in(m, digest, &p->pins);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");
        r = content_ingest_commit(m->content, ingest, digest, size, size <= MANIFEST_SIZE_MAX, reterr_error);
        if (r < 0)
                return r;
        /* No lease: an import that is interrupted begins anew, and the pins last as long as it does. */
        r = store_transaction_begin(&t, m->store, false);
        if (r >= 0)
                r = store_blob_add(m->store, digest, size, strempty(proto_get(msg, "MEDIA_TYPE")));
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to record blob %s: %m", digest);
        unpack_blob_ready(m, digest);
        pulls_blob_settled(m, digest);

        part = job_add_part(p->job, digest, size);
        if (part) {
                part->done = size;
                part->phase = "done";
                job_progress(p->job, true);
        }
        return 0;
}

static int import_on_image(Import *p, ProtoMessage *msg, Error *reterr_error) {
        const char *name = p->name ?: proto_get(msg, "NAME"), *digest = strempty(proto_get(msg, "DIGEST"));
        _cleanup_(reference_freep) Reference *ref = NULL;
        ImportImage *images, *i;
        int r;

        if (!digest_is_valid(digest))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "moored-helper import sent an image without a digest.");
        if (isempty(name))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The archive does not name its image; give it a name (moorctl import "
                                 "--name NAME).");
        if (p->name && p->n_images > 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The archive has several images: one name (%s) cannot be given to all.",
                                 p->name);
        if (p->n_images >= IMPORT_IMAGES_MAX)
                return error_set(reterr_error, -E2BIG, "InvalidArchive",
                                 "The archive has more than %u images.", IMPORT_IMAGES_MAX);
        r = reference_parse(name, &ref, reterr_error);
        if (r < 0)
                return r;

        images = reallocarray(p->images, p->n_images + 1, sizeof(ImportImage));
        if (!images)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        p->images = images;
        i = images + p->n_images++;
        *i = (ImportImage){
                .name = reference_to_string(ref),
                .target = { .digest = strdup(digest),
                            .media_type = strdup(strempty(proto_get(msg, "MEDIA_TYPE"))) },
        };
        if (!i->name || !i->target.digest || !i->target.media_type)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return 0;
}

static void import_on_message(HelperProcess *h, ProtoMessage *msg, void *userdata) {
        const char *type = strempty(proto_get(msg, "TYPE"));
        _cleanup_error_ Error e = ERROR_NULL;
        Import *p = userdata;
        int r = 0;

        if (streq(type, "want-ingest"))
                r = import_on_want_ingest(p, msg, &e);
        else if (streq(type, "blob-done"))
                r = import_on_blob_done(p, msg, &e);
        else if (streq(type, "image"))
                r = import_on_image(p, msg, &e);
        if (r < 0) {
                (void) error_set_errno(&e, r, "Failed: %m");
                import_fail(p, &e);
        }
}

static void import_next(Import *p);

static int import_name_current(Import *p, Error *reterr_error) {
        ImportImage *i = p->images + p->current;
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        ImageManager *m = p->manager;
        int r;

        r = image_manager_describe(m, &i->target, &p->platform, &row, &manifest, &config, reterr_error);
        if (r < 0)
                return r;
        row.ns = strdup(p->job->ns);
        row.name = strdup(i->name);
        if (!row.ns || !row.name)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = image_manager_set_name(m, &row, manifest, config, NULL, reterr_error);
        if (r < 0)
                return r;

        (void) free_and_strdup(&p->job->result_object, i->name);
        (void) events_record(m->events, p->job->ns, "image/tagged", i->name, "Digest", i->target.digest,
                             "Source", "import", NULL);
        return 0;
}

static void import_on_unpacked(const Error *error, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        Import *p = userdata;

        if (error) {
                import_fail(p, error);
                return;
        }
        p->set = unpack_set_free(p->set);
        if (import_name_current(p, &e) < 0) {
                import_fail(p, &e);
                return;
        }
        p->current++;
        import_next(p);
}

static int import_unpack_current(Import *p, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(image_row_done) ImageRow row = {};
        const ImageConfig *config;
        const char *missing;
        int r;

        r = image_manager_describe(p->manager, &p->images[p->current].target, &p->platform, &row, &manifest,
                                   &config, reterr_error);
        if (r < 0)
                return r;
        r = unpack_set_new(p->manager, p->job, manifest, config, import_on_unpacked, p, &p->set,
                           reterr_error);
        if (r < 0)
                return r;

        missing = unpack_set_missing(p->set);
        for (size_t i = 0; !missing && i < manifest->n_layers;
             i++) /* unpacked already, but to be kept nevertheless */
                if (!content_has_blob(p->manager->content, manifest->layers[i].digest, NULL))
                        missing = manifest->layers[i].digest;
        if (missing)
                return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                                 "The archive lacks layer %s of image %s.", missing,
                                 p->images[p->current].name);
        return 0;
}

static void import_next(Import *p) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (p->current < p->n_images) {
                if (import_unpack_current(p, &e) < 0)
                        import_fail(p, &e);
                return;
        }

        image_manager_schedule_sync(p->manager);
        image_manager_flush_index(p->manager);
        job_finish(p->job, NULL);
}

static void import_on_exit(HelperProcess *h, const Error *error, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        Import *p = userdata;

        if (error) {
                import_fail(p, error);
                return;
        }
        p->helper = helper_free(p->helper);
        if (p->n_images == 0) {
                (void) error_set(&e, -EBADMSG, "InvalidArchive",
                                 "No image found: neither an OCI image layout (index.json) nor an archive of "
                                 "docker save (manifest.json).");
                import_fail(p, &e);
                return;
        }
        import_next(p);
}

static const HelperOps import_ops = {
        .on_message = import_on_message,
        .on_exit = import_on_exit,
};

static int import_start(Import *p, int fd, const ImportOptions *o, Error *reterr_error) {
        _cleanup_json_ json_t *request = NULL;
        int r;

        if (o->name && free_and_strdup(&p->name, o->name) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = o->platform ? platform_parse(o->platform, &p->platform, reterr_error)
                        : platform_host(&p->platform);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to find out the platform: %m");
        request = json_pack("{s:I}", "maxBytes", (json_int_t) IMPORT_BYTES_MAX);
        if (!request)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        return helper_start(p->manager->jobs, "import", request, &fd, 1, &import_ops, p, &p->helper,
                            reterr_error);
}

/* The helper sees no file system but its own: what is to be read it gets as a stream. */
static int import_check_archive(int fd, Error *reterr_error) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "The archive cannot be looked at: %m");
        if (S_ISDIR(st.st_mode))
                return error_set(reterr_error, -EISDIR, "InvalidArgument",
                                 "A directory cannot be imported over the bus: send it as a tar archive "
                                 "(moorctl import DIRECTORY does).");
        if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The archive is neither a file nor a pipe nor a socket: pass one.");
        return 0;
}

int image_import(ImageManager *m, const char *ns, int fd, const ImportOptions *o, Job **ret,
                 Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        Import *p;
        Job *j;
        int r;

        assert(m && ns && fd >= 0 && o && ret);

        r = import_check_archive(fd, reterr_error);
        if (r < 0)
                return r;
        p = calloc(1, sizeof(Import));
        if (!p)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r = job_new(m->jobs, ns, "import", o->name ?: "archive", &j, reterr_error);
        if (r < 0) {
                free(p);
                return r;
        }
        *p = (Import) { .manager = m, .job = j };
        j->work = p;
        j->work_cancel = import_cancel;
        j->work_free = import_free;

        if (import_start(p, fd, o, &e) < 0)
                import_fail(p, &e);

        safe_close(fd);
        *ret = j;
        return 0;
}
