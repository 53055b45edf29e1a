/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pull: one moored-helper fetch that is told what to get, and the unpacking of what it got.
 *
 *   RESOLVING ──manifest (index)──▶ RESOLVING ──manifest──▶ CONFIG ──configuration blob──▶ LAYERS
 *      ──all blobs, all layers──▶ (recorded)
 *
 * What is here already is pinned and not fetched. A blob that another pull is fetching is waited for: when
 * that pull is done with it, well or not, pulls_blob_settled() lets the others look again. */

#include <inttypes.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "image/image-internal.h"

#define LOW_SPEED_TIME_SEC 30
#define CONNECT_TIMEOUT_SEC 15

typedef enum BlobState {
        BLOB_WANTED,   /* not here: to be asked for, or another pull is at it */
        BLOB_FETCHING,
        BLOB_HERE,
} BlobState;

typedef struct PullBlob {
        Descriptor descriptor;
        BlobState state;
} PullBlob;

struct Pull {
        ImageManager *manager; /* weak */
        Job *job;              /* weak: owns us */
        char *name;            /* complete reference */
        Reference *ref;
        Platform platform;
        bool unpack;
        HelperProcess *fetch;
        Descriptor target;     /* what the name points at */
        Descriptor manifest_descriptor;
        Manifest *manifest;
        PullBlob *blobs;       /* [0] is the configuration */
        size_t n_blobs;
        unsigned n_fetching;
        UnpackSet *set;
        bool unpacked;
        char *lease;
        bool drop_lease; /* nobody is to go on with what is here */
        char **pins;
};

static void pull_fail(Pull *p, const Error *error);
static void pull_work(Pull *p);

static Pull *pull_free(Pull *p) {
        ImageManager *m;

        if (!p)
                return NULL;

        m = p->manager;
        for (size_t i = 0; i < m->n_pulls; i++)
                if (m->pulls[i] == p)
                        m->pulls[i--] = m->pulls[--m->n_pulls];

        helper_free(p->fetch);
        unpack_set_free(p->set);
        image_manager_unpin_all(m, p->pins);
        for (size_t i = 0; i < p->n_blobs; i++) {
                bool fetching = p->blobs[i].state == BLOB_FETCHING;

                if (fetching) /* others may want it: the ingest stays for them */
                        pulls_blob_settled(m, p->blobs[i].descriptor.digest);
                descriptor_done(&p->blobs[i].descriptor);
        }
        if (p->drop_lease && !pulls_use_lease(m, p->lease))
                image_manager_drop_lease(m, p->lease);
        free(p->blobs);
        descriptor_done(&p->target);
        descriptor_done(&p->manifest_descriptor);
        manifest_free(p->manifest);
        platform_done(&p->platform);
        reference_free(p->ref);
        free(p->name);
        free(p->lease);
        free(p);
        /* What it had pinned and no name reaches; what its name pointed at before. */
        image_schedule_garbage(m);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Pull *, pull_free)

static bool blob_is_fetched_by(ImageManager *m, const Pull *except, const char *digest) {
        for (size_t i = 0; i < m->n_pulls; i++) {
                if (m->pulls[i] == except)
                        continue;
                for (size_t k = 0; k < m->pulls[i]->n_blobs; k++)
                        if (m->pulls[i]->blobs[k].state == BLOB_FETCHING &&
                            streq(m->pulls[i]->blobs[k].descriptor.digest, digest))
                                return true;
        }
        return false;
}

void pulls_blob_settled(ImageManager *m, const char *digest) {
        for (size_t i = 0; i < m->n_pulls; i++)
                for (size_t k = 0; k < m->pulls[i]->n_blobs; k++)
                        if (m->pulls[i]->blobs[k].state == BLOB_WANTED &&
                            streq(m->pulls[i]->blobs[k].descriptor.digest, digest)) {
                                pull_work(m->pulls[i]);
                                break;
                        }
}

static bool blob_is_wanted_by_others(const Pull *p, const char *digest) {
        for (size_t i = 0; i < p->manager->n_pulls; i++) {
                const Pull *other = p->manager->pulls[i];

                for (size_t k = 0; other != p && other->job->state == JOB_RUNNING && k < other->n_blobs; k++)
                        if (other->blobs[k].state != BLOB_HERE &&
                            streq(other->blobs[k].descriptor.digest, digest))
                                return true;
        }
        return false;
}

bool pulls_use_lease(ImageManager *m, const char *lease) {
        for (size_t i = 0; i < m->n_pulls; i++)
                if (m->pulls[i]->job && m->pulls[i]->job->state == JOB_RUNNING &&
                    streq(m->pulls[i]->lease, lease))
                        return true;
        return false;
}

/* Ends the work. keep: partial downloads can be resumed; otherwise only others that want the same blob keep
 * them. One that a dying helper may still write to (stuck in I/O) is never kept: whoever comes next starts
 * with a file of its own. */
static void pull_stop(Pull *p, bool keep) {
        bool gone = !p->fetch || helper_stop(p->fetch) >= 0;

        p->fetch = helper_free(p->fetch);
        p->set = unpack_set_free(p->set);
        for (size_t i = 0; i < p->n_blobs; i++) {
                const PullBlob *b = p->blobs + i;

                if (b->state == BLOB_HERE || ((gone || b->state != BLOB_FETCHING) &&
                                              (keep || blob_is_wanted_by_others(p, b->descriptor.digest))))
                        continue;
                (void) content_ingest_abort(p->manager->content, b->descriptor.digest);
        }
        p->drop_lease = !keep;
}

static bool error_is_transient(const Error *e) {
        return error_has_name(e, "RegistryUnavailable") || error_has_name(e, "Truncated") ||
               error_has_name(e, "HelperDied");
}

static void pull_fail(Pull *p, const Error *error) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (p->job->state != JOB_RUNNING)
                return;

        (void) error_copy(&e, error); /* before the helper that may own it goes */
        (void) error_prefix(&e, "Pulling %s", p->name);
        pull_stop(p, error_is_transient(&e));
        job_finish(p->job, &e);
}

static void pull_cancel(Job *j, void *work) {
        pull_stop(work, false);
}

/* A blob is in the store: from now on the lease keeps it if we do not live to record the name. */
static int pull_keep_blob(Pull *p, const Descriptor *d) {
        ImageManager *m = p->manager;
        int r;

        r = store_begin(m->store, false);
        if (r < 0)
                return r;
        r = store_blob_add(m->store, d->digest, d->size, d->media_type);
        if (r >= 0)
                r = store_lease_add(m->store, p->lease, d->digest, now_usec(CLOCK_REALTIME) + LEASE_USEC);
        if (r < 0) {
                (void) store_rollback(m->store);
                return r;
        }
        return store_commit(m->store);
}

static int pull_record(Pull *p, Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(image_row_done) ImageRow row = {};
        _cleanup_free_ char *digest = NULL;
        const ImageConfig *config;
        ImageManager *m = p->manager;
        int r;

        r = image_manager_describe(m, &p->target, &p->platform, &row, &manifest, &config, reterr_error);
        if (r < 0)
                return r;
        row.ns = strdup(p->job->ns);
        row.name = strdup(p->name);
        digest = strdup(row.digest);
        if (!row.ns || !row.name || !digest)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = image_manager_set_name(m, &row, manifest, config, p->lease, reterr_error);
        if (r < 0)
                return r;

        (void) free_and_strdup(&p->job->result_object, p->name);
        (void) events_record(m->events, p->job->ns, "image/pulled", p->name, "Digest", digest, NULL);
        return 0;
}

static void pull_finish(Pull *p) {
        _cleanup_error_ Error e = ERROR_NULL;
        ImageManager *m = p->manager;

        if (p->fetch)
                helper_hang_up(p->fetch);
        if (pull_record(p, &e) < 0) {
                pull_fail(p, &e);
                return;
        }

        for (size_t i = 0; i < p->job->n_parts; i++) {
                p->job->parts[i].phase = "done";
                p->job->parts[i].done = p->job->parts[i].total;
        }
        job_progress(p->job, true);
        image_manager_schedule_sync(m);
        image_manager_flush_index(m);
        job_finish(p->job, NULL);
}

static void pull_on_unpacked(const Error *error, void *userdata) {
        Pull *p = userdata;

        if (error) {
                pull_fail(p, error);
                return;
        }
        p->unpacked = true;
        pull_work(p);
}

static int pull_begin_unpack(Pull *p, Error *reterr_error) {
        const ImageConfig *config;
        int r;

        r = image_manager_read_config(p->manager, p->manifest->config.digest, &config, reterr_error);
        if (r < 0)
                return r;
        r = image_check_layer_count(p->manifest, config, reterr_error);
        if (r < 0)
                return r;
        return unpack_set_new(p->manager, p->job, p->manifest, config, pull_on_unpacked, p, &p->set,
                              reterr_error);
}

static void pull_phase(Pull *p, const char *digest, const char *phase) {
        JobPart *part = job_find_part(p->job, digest);

        if (part) {
                part->phase = phase;
                job_progress(p->job, true);
        }
}

/* A helper that is no more: why, pull_on_exit() is about to hear. */
static int pull_check_sent(int r, Error *reterr_error) {
        if (r >= 0 || r == -EPIPE || r == -ECONNRESET)
                return 0;
        return error_set_errno(reterr_error, r, "Failed to talk to moored-helper fetch: %m");
}

static int pull_ask_for_blob(Pull *p, PullBlob *b, Error *reterr_error) {
        char size[PROTO_U64_MAX], offset[PROTO_U64_MAX];
        _cleanup_close_ int fd = -EBADF;
        uint64_t have;
        int r;

        r = content_ingest_open(p->manager->content, b->descriptor.digest, &fd, &have, reterr_error);
        if (r >= 0 && have > b->descriptor.size) { /* what a registry sent that lied about the size */
                fd = safe_close(fd);
                (void) content_ingest_abort(p->manager->content, b->descriptor.digest);
                r = content_ingest_open(p->manager->content, b->descriptor.digest, &fd, &have, reterr_error);
        }
        if (r < 0)
                return r;
        r = proto_send(helper_socket(p->fetch), &fd, 1, "get-blob", "DIGEST", b->descriptor.digest, "SIZE",
                       proto_u64(size, b->descriptor.size), "OFFSET", proto_u64(offset, have), NULL);
        r = pull_check_sent(r, reterr_error);
        if (r < 0)
                return r;

        b->state = BLOB_FETCHING;
        p->n_fetching++;
        pull_phase(p, b->descriptor.digest, "downloading");
        return 0;
}

/* A blob is here, by us or by others. */
static int pull_blob_here(Pull *p, PullBlob *b, bool reused, Error *reterr_error) {
        JobPart *part;
        int r;

        b->state = BLOB_HERE;
        r = pull_keep_blob(p, &b->descriptor);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to record blob %s: %m",
                                       b->descriptor.digest);

        part = job_find_part(p->job, b->descriptor.digest);
        if (part) {
                part->done = part->total;
                part->reused = reused;
                if (streq(part->phase, "waiting") || streq(part->phase, "downloading"))
                        part->phase = b == p->blobs || !p->unpack || reused ? "done" : "unpacking";
                job_progress(p->job, true);
        }
        unpack_blob_ready(p->manager, b->descriptor.digest);
        return 0;
}

static int pull_work_blobs(Pull *p, Error *reterr_error) {
        int r;

        for (size_t i = 0; i < p->n_blobs; i++) {
                PullBlob *b = p->blobs + i;
                uint64_t size;

                if (b->state != BLOB_WANTED)
                        continue;
                /* One of another size is damaged, or the manifest wrong: either way the registry decides. */
                if (content_has_blob(p->manager->content, b->descriptor.digest, &size) &&
                    size == b->descriptor.size) {
                        r = pull_blob_here(p, b, true, reterr_error);
                        if (r < 0)
                                return r;
                        continue;
                }
                /* One more than are downloaded at once, so that the helper is never without work. */
                if (p->n_fetching > p->manager->config->max_concurrent_downloads)
                        continue;
                if (!p->fetch || blob_is_fetched_by(p->manager, p, b->descriptor.digest))
                        continue;
                r = pull_ask_for_blob(p, b, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The one advance: looks at what is there and does what can be done next. */
static void pull_work(Pull *p) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        if (p->job->state != JOB_RUNNING || !p->manifest)
                return;

        r = pull_work_blobs(p, &e);
        if (r >= 0 && p->unpack && !p->set && p->blobs[0].state == BLOB_HERE)
                r = pull_begin_unpack(p, &e);
        if (r < 0) {
                pull_fail(p, &e);
                return;
        }

        for (size_t i = 0; i < p->n_blobs; i++)
                if (p->blobs[i].state != BLOB_HERE)
                        return;
        if (p->unpack && !p->unpacked)
                return;
        pull_finish(p);
}

static int pull_add_blob(Pull *p, const Descriptor *d, Error *reterr_error) {
        PullBlob *b = p->blobs + p->n_blobs;
        int r;

        for (size_t i = 0; i < p->n_blobs; i++) /* the same layer twice is fetched once */
                if (streq(p->blobs[i].descriptor.digest, d->digest))
                        return 0;

        *b = (PullBlob) { .state = BLOB_WANTED };
        r = descriptor_copy(&b->descriptor, d);
        if (r >= 0)
                r = image_manager_pin_in(p->manager, d->digest, &p->pins);
        if (r < 0 || !job_add_part(p->job, d->digest, d->size)) {
                descriptor_done(&b->descriptor);
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        p->n_blobs++;
        return 0;
}

static int pull_check_sizes(const Manifest *manifest, Error *reterr_error) {
        if (manifest->config.size > IMAGE_CONFIG_SIZE_MAX) /* it is hashed and parsed by us */
                return error_set(reterr_error, -EFBIG, "LimitsExceeded",
                                 "The image configuration %s has %" PRIu64 " bytes; at most %u are allowed.",
                                 manifest->config.digest, manifest->config.size, IMAGE_CONFIG_SIZE_MAX);
        for (size_t i = 0; i < manifest->n_layers; i++)
                if (manifest->layers[i].size > BLOB_SIZE_MAX)
                        return error_set(reterr_error, -EFBIG, "LimitsExceeded",
                                         "The layer %s has %" PRIu64 " bytes; at most %" PRIu64
                                         " are allowed.",
                                         manifest->layers[i].digest, manifest->layers[i].size,
                                         BLOB_SIZE_MAX);
        return 0;
}

static int pull_set_manifest(Pull *p, Manifest *manifest, Error *reterr_error) {
        int r;

        p->manifest = manifest;
        r = pull_check_sizes(manifest, reterr_error);
        if (r < 0)
                return r;
        p->blobs = calloc(manifest->n_layers + 1, sizeof(PullBlob));
        if (!p->blobs)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = pull_add_blob(p, &manifest->config, reterr_error);
        for (size_t i = 0; r >= 0 && i < manifest->n_layers; i++)
                r = pull_add_blob(p, manifest->layers + i, reterr_error);
        if (r < 0)
                return r;

        job_progress(p->job, true);
        pull_work(p);
        return 0;
}

/* A document that is verified and in the store: an index leads to the manifest, a manifest to the blobs. */
static int pull_take_document(Pull *p, const Descriptor *d, const char *text, size_t n,
                              Error *reterr_error) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(index_freep) Index *index = NULL;
        const Descriptor *chosen;
        char size[PROTO_U64_MAX];
        int r;

        r = image_manager_pin_in(p->manager, d->digest, &p->pins);
        if (r >= 0)
                r = pull_keep_blob(p, d);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to record manifest %s: %m", d->digest);

        if (manifest_detect(text, n, d->media_type) != MEDIA_INDEX) {
                r = manifest_parse(text, n, d->media_type, &manifest, reterr_error);
                if (r < 0)
                        return r;
                return pull_set_manifest(p, TAKE_PTR(manifest), reterr_error);
        }

        if (p->manifest_descriptor.digest)
                return error_set(reterr_error, -EBADMSG, "InvalidManifest",
                                 "The index %s names another index for %s/%s.", p->target.digest,
                                 p->platform.os, p->platform.architecture);
        r = index_parse(text, n, d->media_type, &index, reterr_error);
        if (r < 0)
                return r;
        chosen = index_select(index, &p->platform, reterr_error);
        if (!chosen)
                return -ENOENT;
        r = descriptor_copy(&p->manifest_descriptor, chosen);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");

        if (content_has_blob(p->manager->content, chosen->digest, NULL)) {
                _cleanup_free_ char *known = NULL;
                size_t l;

                r = content_read_blob(p->manager->content, chosen->digest, MANIFEST_SIZE_MAX, &known, &l,
                                      reterr_error);
                if (r < 0)
                        return r;
                return pull_take_document(p, &p->manifest_descriptor, known, l, reterr_error);
        }

        r = proto_send(helper_socket(p->fetch), NULL, 0, "get-manifest", "DIGEST", chosen->digest,
                       "MEDIA_TYPE", chosen->media_type, "SIZE", proto_u64(size, chosen->size), NULL);
        return pull_check_sent(r, reterr_error);
}

static int pull_on_manifest(Pull *p, ProtoMessage *msg, Error *reterr_error) {
        const char *digest = proto_get(msg, "DIGEST"), *media_type = proto_get(msg, "MEDIA_TYPE");
        const char *expected = p->manifest_descriptor.digest ?: p->ref->digest;
        _cleanup_(descriptor_done) Descriptor d = {};
        char computed[DIGEST_STRING_MAX];
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t n;
        int r;

        fd = proto_take_fd(msg, 0);
        if (fd < 0 || !digest || !digest_is_valid(digest) || p->manifest)
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "moored-helper fetch sent a manifest that was not asked for.");
        if (expected && !streq(expected, digest))
                return error_set(reterr_error, -EBADMSG, "DigestMismatch", "Asked for manifest %s, got %s.",
                                 expected, digest);

        r = read_all(fd, MANIFEST_SIZE_MAX, &text, &n);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to read the manifest: %m");

        d = (Descriptor) { .digest = strdup(digest), .media_type = strdup(strempty(media_type)), .size = n };
        if (!d.digest || !d.media_type)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        /* Hashes it once more: what the store shows is verified by the one who shows it. */
        r = content_write_blob(p->manager->content, text, n, digest, computed, reterr_error);
        if (r < 0)
                return r;
        if (!p->target.digest) {
                r = descriptor_copy(&p->target, &d);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Out of memory");
        }
        return pull_take_document(p, &d, text, n, reterr_error);
}

static PullBlob *pull_find_blob(Pull *p, const char *digest) {
        for (size_t i = 0; digest && i < p->n_blobs; i++)
                if (streq(p->blobs[i].descriptor.digest, digest))
                        return p->blobs + i;
        return NULL;
}

static int pull_on_blob_done(Pull *p, ProtoMessage *msg, Error *reterr_error) {
        PullBlob *b = pull_find_blob(p, proto_get(msg, "DIGEST"));
        const Descriptor *d;
        int r;

        if (!b || b->state != BLOB_FETCHING)
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "moored-helper fetch sent a blob that was not asked for.");
        d = &b->descriptor;

        /* The configuration is parsed here: it is small and hashed once more. Layers are checked by their
         * DiffID. */
        r = content_ingest_commit(p->manager->content, d->digest, d->digest, d->size, b == p->blobs,
                                  reterr_error);
        if (r < 0)
                return r;
        p->n_fetching--;
        r = pull_blob_here(p, b, false, reterr_error);
        if (r < 0)
                return r;

        pulls_blob_settled(p->manager, d->digest);
        pull_work(p);
        return 0;
}

static void pull_on_message(HelperProcess *h, ProtoMessage *msg, void *userdata) {
        const char *type = strempty(proto_get(msg, "TYPE"));
        _cleanup_error_ Error e = ERROR_NULL;
        Pull *p = userdata;
        uint64_t done;
        int r = 0;

        if (streq(type, "progress")) {
                JobPart *part = job_find_part(p->job, strempty(proto_get(msg, "DIGEST")));

                if (part && streq(part->phase, "downloading") && proto_get_uint64(msg, "DONE", &done) >= 0) {
                        part->done = done;
                        job_progress(p->job, false);
                }
        } else if (streq(type, "manifest"))
                r = pull_on_manifest(p, msg, &e);
        else if (streq(type, "blob-done"))
                r = pull_on_blob_done(p, msg, &e);
        else if (streq(type, "blob-failed"))
                r = proto_get_error(msg, &e) < 0 || error_is_set(&e) ? -EIO : 0;

        if (r < 0) {
                (void) error_set_errno(&e, r, "Failed: %m");
                pull_fail(p, &e);
        }
}

static void pull_on_exit(HelperProcess *h, const Error *error, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        Pull *p = userdata;

        if (error)
                (void) error_copy(&e, error);
        else
                (void) error_set(&e, -EIO, "HelperDied",
                                 "moored-helper fetch ended before its work was done.");
        p->fetch = helper_free(p->fetch);

        /* After the last blob it may go while layers are still being unpacked. */
        for (size_t i = 0; i < p->n_blobs; i++)
                if (p->blobs[i].state != BLOB_HERE) {
                        pull_fail(p, &e);
                        return;
                }
        if (!p->manifest)
                pull_fail(p, &e);
}

static const HelperOps pull_ops = {
        .on_message = pull_on_message,
        .on_exit = pull_on_exit,
};

static int pull_start_helper(Pull *p, Error *reterr_error) {
        const PullConfig *c = p->manager->config;
        _cleanup_json_ json_t *request = NULL;
        bool http;

        http = reference_is_loopback(p->ref) || strv_contains(c->insecure_registries, p->ref->registry);
        request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:i, s:i, s:i, s:s*}", "scheme",
                            http ? "http" : "https", "host", reference_host(p->ref), "registry",
                            p->ref->registry, "repository", p->ref->repository, "reference",
                            reference_object(p->ref), "userAgent", "moored/" MOORED_VERSION, "retries",
                            (int) c->retries, "retryDelayMSec",
                            (json_int_t) (c->retry_delay_usec / USEC_PER_MSEC), "connectTimeoutSec",
                            CONNECT_TIMEOUT_SEC, "lowSpeedTimeSec", LOW_SPEED_TIME_SEC, "maxConcurrent",
                            (int) c->max_concurrent_downloads, "caFile", c->ca_file);
        if (!request)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        return helper_start(p->manager->jobs, "fetch", request, NULL, 0, &pull_ops, p, &p->fetch,
                            reterr_error);
}

static int pull_new(ImageManager *m, const char *reference, const PullOptions *o, Pull **ret,
                    Error *reterr_error) {
        _cleanup_(pull_freep) Pull *p = NULL;
        Pull **pulls;
        int r;

        p = calloc(1, sizeof(Pull));
        if (!p)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        p->manager = m;
        p->unpack = o->unpack;

        r = reference_parse(reference, &p->ref, reterr_error);
        if (r < 0)
                return r;
        r = o->platform ? platform_parse(o->platform, &p->platform, reterr_error)
                        : platform_host(&p->platform);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to find out the platform: %m");
        p->name = reference_to_string(p->ref);
        if (!p->name)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        pulls = reallocarray(m->pulls, m->n_pulls + 1, sizeof(Pull *));
        if (!pulls)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        m->pulls = pulls;
        m->pulls[m->n_pulls++] = p;

        *ret = TAKE_PTR(p);
        return 0;
}

static void pull_free_work(void *work) {
        pull_free(work);
}

int image_pull(ImageManager *m, const char *ns, const char *reference, const PullOptions *o, Job **ret,
               Error *reterr_error) {
        _cleanup_(pull_freep) Pull *p = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        Job *j;
        int r;

        assert(m && ns && reference && o && ret);

        r = pull_new(m, reference, o, &p, reterr_error);
        if (r < 0)
                return r;
        p->lease = strjoin("pull:", ns, ":", p->name);
        if (!p->lease)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = job_new(m->jobs, ns, "pull", p->name, &j, reterr_error);
        if (r < 0)
                return r;
        p->job = j;
        j->work_cancel = pull_cancel;
        j->work_free = pull_free_work;
        j->work = p;

        r = pull_start_helper(p, &e);
        if (r < 0) /* the job is there: it tells */
                pull_fail(p, &e);
        TAKE_PTR(p);

        *ret = j;
        return 0;
}
