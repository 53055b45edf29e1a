/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/epoll.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "helper/curl-load.h"
#include "helper/helper.h"
#include "helper/registry.h"
#include "helper/sandbox.h"
#include "job/proto.h"
#include "oci/digest.h"
#include "oci/manifest.h"

/* The verb fetch: one image's pull. First the manifest that was named, then what moored asks for, until it
 * hangs up.
 *
 * moored's messages become Jobs in a queue; manifests go at once, blobs at most max_concurrent at a time. */

#define CA_FILE_SIZE_MAX (4U * 1024 * 1024)
#define FETCH_JOBS_MAX (2U * LAYERS_MAX) /* asked for and not answered */
#define CONCURRENT_MAX 64U
#define TIMEOUT_SEC_MAX 3600U

typedef struct Fetch Fetch;
typedef struct Job Job;

struct Job {
        Fetch *fetch; /* weak */
        Job *next;
        Transfer *transfer;
        char *digest; /* NULL: the manifest that the request named */
        char *media_type;
        uint64_t size;
        bool blob;
        bool running;
};

struct Fetch {
        FetchRequest request;
        sd_event *event;
        sd_event_source *socket_source;
        Registry *registry;
        Job *jobs; /* in the order of asking */
        size_t n_jobs;
        size_t n_blobs_running;
        Error error; /* what ends it */
};

static void fetch_work(Fetch *f);

static Job *job_free(Job *j) {
        if (!j)
                return NULL;

        transfer_free(j->transfer);
        free(j->digest);
        free(j->media_type);
        free(j);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Job *, job_free)

static void fetch_done(Fetch *f) {
        for (Job *j = f->jobs, *next; j; j = next) {
                next = j->next;
                job_free(j);
        }
        registry_free(f->registry);
        sd_event_source_disable_unref(f->socket_source);
        sd_event_unref(f->event);
        fetch_request_done(&f->request);
        error_done(&f->error);
}

static void fetch_fail(Fetch *f, Error *error) {
        if (!error_is_set(&f->error))
                (void) error_move(&f->error, error);
        (void) sd_event_exit(f->event, 1);
}

/* A send that fails means that moored is gone. */
static void fetch_sent(Fetch *f, int r) {
        if (r < 0)
                (void) sd_event_exit(f->event, 0);
}

static void unlink_job(Fetch *f, Job *j) {
        for (Job **p = &f->jobs; *p; p = &(*p)->next)
                if (*p == j) {
                        *p = j->next;
                        f->n_jobs--;
                        if (j->blob && j->running)
                                f->n_blobs_running--;
                        return;
                }
}

static void blob_on_progress(Transfer *t, uint64_t done, void *userdata) {
        Job *j = userdata;
        char d[PROTO_U64_MAX], s[PROTO_U64_MAX];

        fetch_sent(j->fetch, proto_send(PROTO_SOCKET_FD, NULL, 0, "progress", "DIGEST", j->digest, "DONE",
                                        proto_u64(d, done), "TOTAL", proto_u64(s, j->size), NULL));
}

static void blob_on_done(Transfer *t, Error *error, void *userdata) {
        _cleanup_(job_freep) Job *j = userdata;
        Fetch *f = j->fetch;
        char a[PROTO_U64_MAX], b[PROTO_U64_MAX];
        uint64_t size = transfer_size(t), reused = transfer_reused(t);

        unlink_job(f, j);
        /* moored moves the file into the store only when nobody can write to it any more: closed before it
         * is told. */
        j->transfer = transfer_free(j->transfer);
        if (error_is_set(error)) {
                helper_explain(error);
                fetch_sent(f, proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-failed", "DIGEST", j->digest,
                                         "NAME", error_name(error), "ERRNO",
                                         proto_u64(a, (uint64_t) - (int64_t) error->error), "MESSAGE",
                                         error_message(error), NULL));
        } else
                fetch_sent(f, proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-done", "DIGEST", j->digest, "SIZE",
                                         proto_u64(a, size), "REUSED", proto_u64(b, reused), NULL));
        fetch_work(f);
}

static const TransferOps blob_ops = {
        .on_progress = blob_on_progress,
        .on_done = blob_on_done,
};

/* What it says it is must be what it is, by the parsers that moored uses itself. */
static int validate_manifest(Transfer *t, const char *hint, char **ret_media_type, Error *reterr_error) {
        const char *data = transfer_data(t);
        size_t n = (size_t) transfer_size(t);
        char *media_type;
        int r;

        if (transfer_media_type(t))
                hint = transfer_media_type(t);
        if (manifest_detect(data, n, hint) == MEDIA_INDEX) {
                _cleanup_(index_freep) Index *x = NULL;

                r = index_parse(data, n, hint, &x, reterr_error);
                if (r < 0)
                        return r;
                media_type = strdup(x->media_type);
        } else {
                _cleanup_(manifest_freep) Manifest *m = NULL;

                r = manifest_parse(data, n, hint, &m, reterr_error);
                if (r < 0)
                        return r;
                media_type = strdup(m->media_type);
        }
        if (!media_type)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        *ret_media_type = media_type;
        return 0;
}

static int deliver_manifest(const Job *j, Transfer *t, Error *reterr_error) {
        _cleanup_free_ char *media_type = NULL;
        _cleanup_close_ int fd = -EBADF;
        char size[PROTO_U64_MAX];
        int r;

        r = validate_manifest(t, j->media_type, &media_type, reterr_error);
        if (r < 0) {
                (void) error_prefix(reterr_error, "%s/%s", j->fetch->request.registry,
                                    j->fetch->request.repository);
                return r;
        }

        fd = memfd_new_sealed("manifest", transfer_data(t), (size_t) transfer_size(t));
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot hand the manifest over: %m");
        fetch_sent(j->fetch,
                   proto_send(PROTO_SOCKET_FD, &fd, 1, "manifest", "DIGEST", transfer_digest(t), "SIZE",
                              proto_u64(size, transfer_size(t)), "MEDIA_TYPE", media_type, NULL));
        return 0;
}

static void manifest_on_done(Transfer *t, Error *error, void *userdata) {
        _cleanup_(job_freep) Job *j = userdata;
        Fetch *f = j->fetch;

        unlink_job(f, j);
        if (error_is_set(error) || deliver_manifest(j, t, error) < 0)
                fetch_fail(f, error);
}

static const TransferOps manifest_ops = { .on_done = manifest_on_done };

static Job *next_job(Fetch *f) {
        for (Job *j = f->jobs; j; j = j->next)
                if (!j->running && (!j->blob || f->n_blobs_running < f->request.max_concurrent))
                        return j;
        return NULL;
}

/* Starts what may run now. A transfer may end, and its job be gone, while it is being started: the list is
 * looked through anew each time. */
static void fetch_work(Fetch *f) {
        Job *j;

        while ((j = next_job(f))) {
                _cleanup_error_ Error e = {};
                int r;

                j->running = true;
                f->n_blobs_running += j->blob;
                r = transfer_start(j->transfer);
                if (r < 0) {
                        (void) error_set_errno(&e, r, "Cannot start a transfer: %m");
                        (j->blob ? blob_on_done : manifest_on_done)(j->transfer, &e, j);
                }
        }
}

/* Takes over what spec and j own. */
static int fetch_add_job(Fetch *f, Job **job, TransferSpec *spec) {
        Job *j = *job, **last = &f->jobs;
        int r;

        if (f->n_jobs >= FETCH_JOBS_MAX) {
                safe_close(spec->fd);
                return -E2BIG;
        }
        j->fetch = f;
        r = transfer_new(f->registry, spec, j->blob ? &blob_ops : &manifest_ops, j, &j->transfer);
        if (r < 0)
                return r;

        while (*last)
                last = &(*last)->next;
        *last = TAKE_PTR(*job);
        f->n_jobs++;
        return 0;
}

static int on_get(Fetch *f, ProtoMessage *m, bool blob) {
        _cleanup_(job_freep) Job *j = calloc(1, sizeof(*j));
        const char *digest = proto_get(m, "DIGEST");
        TransferSpec spec = { .fd = -EBADF, .digest = digest };
        int r;

        if (!j)
                return -ENOMEM;
        if (!digest || !digest_is_valid(digest))
                return -EBADMSG;
        r = proto_get_uint64(m, "SIZE", &spec.size);
        if (r < 0)
                return r;
        if (blob) {
                r = proto_get_uint64(m, "OFFSET", &spec.offset);
                if (r < 0)
                        return r;
                spec.fd = proto_take_fd(m, 0);
                if (spec.fd < 0)
                        return -EBADMSG;
        } else if (spec.size > MANIFEST_SIZE_MAX)
                return -EFBIG;

        j->blob = blob;
        j->size = spec.size;
        j->digest = strdup(digest);
        j->media_type = proto_get(m, "MEDIA_TYPE") ? strdup(proto_get(m, "MEDIA_TYPE")) : NULL;
        if (!j->digest || (proto_get(m, "MEDIA_TYPE") && !j->media_type)) {
                safe_close(spec.fd);
                return -ENOMEM;
        }
        r = fetch_add_job(f, &j, &spec);
        if (r < 0)
                return r;

        fetch_work(f);
        return 0;
}

static int on_socket(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        _cleanup_proto_message_ ProtoMessage m = {};
        _cleanup_error_ Error e = {};
        Fetch *f = userdata;
        const char *type;
        int r;

        r = proto_receive(fd, &m, false);
        if (r == -EAGAIN)
                return 0;
        if (r == 0)
                return sd_event_exit(f->event, 0);
        if (r > 0) {
                type = proto_get(&m, "TYPE");
                r = streq(type, "get-blob")       ? on_get(f, &m, true)
                    : streq(type, "get-manifest") ? on_get(f, &m, false)
                                                  : -EBADMSG;
        }
        if (r < 0) {
                (void) error_set_errno(&e, r, "Cannot do what moored asks for: %m");
                fetch_fail(f, &e);
        }
        return 0;
}

static int parse_request(json_t *request, FetchRequest *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "scheme", JSON_FIELD_STRING, offsetof(FetchRequest, scheme), .required = true },
                { "host", JSON_FIELD_STRING, offsetof(FetchRequest, host), .required = true },
                { "registry", JSON_FIELD_STRING, offsetof(FetchRequest, registry), .required = true },
                { "repository", JSON_FIELD_STRING, offsetof(FetchRequest, repository), .required = true },
                { "reference", JSON_FIELD_STRING, offsetof(FetchRequest, reference), .required = true },
                { "caFile", JSON_FIELD_STRING, offsetof(FetchRequest, ca_file) },
                { "userAgent", JSON_FIELD_STRING, offsetof(FetchRequest, user_agent), .required = true },
                { "retries", JSON_FIELD_UINT64, offsetof(FetchRequest, retries), .required = true },
                { "retryDelayMSec", JSON_FIELD_UINT64, offsetof(FetchRequest, retry_delay_msec),
                  .required = true },
                { "connectTimeoutSec", JSON_FIELD_UINT64, offsetof(FetchRequest, connect_timeout_sec),
                  .required = true },
                { "lowSpeedTimeSec", JSON_FIELD_UINT64, offsetof(FetchRequest, low_speed_time_sec),
                  .required = true },
                { "maxConcurrent", JSON_FIELD_UINT64, offsetof(FetchRequest, max_concurrent),
                  .required = true },
                {}
        };
        int r;

        r = json_dispatch(request, table, ret, "request", false, reterr_error);
        if (r < 0)
                return r;
        /* They become an URL. */
        if (!string_in_charset(ret->repository, "._-/" DIGITS LOWERCASE UPPERCASE) ||
            !string_in_charset(ret->reference, "._-:+" DIGITS LOWERCASE UPPERCASE) ||
            !string_in_charset(ret->host, ".-:[]_" DIGITS LOWERCASE UPPERCASE) ||
            (!streq(ret->scheme, "http") && !streq(ret->scheme, "https")) || ret->max_concurrent == 0 ||
            ret->max_concurrent > CONCURRENT_MAX || ret->connect_timeout_sec > TIMEOUT_SEC_MAX ||
            ret->low_speed_time_sec > TIMEOUT_SEC_MAX || ret->retry_delay_msec > TIMEOUT_SEC_MAX * 1000)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The request has a value that is not allowed");
        return 0;
}

/* The administrator's file, read while we are still root. */
static int read_ca(const FetchRequest *q, char **ret, size_t *ret_size, Error *reterr_error) {
        int r;

        if (isempty(q->ca_file))
                return 0;
        r = read_file_at(AT_FDCWD, q->ca_file, CA_FILE_SIZE_MAX, ret, ret_size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read %s (CAFile= in moored.conf): %m",
                                       q->ca_file);
        return 0;
}

static int fetch_first(Fetch *f, Error *reterr_error) {
        const char *reference = f->request.reference;
        TransferSpec spec = {
                .fd = -EBADF,
                .reference = reference,
                .digest = digest_is_valid(reference) ? reference : NULL,
                .size = UINT64_MAX,
        };
        _cleanup_(job_freep) Job *j = calloc(1, sizeof(*j));
        int r;

        r = j ? fetch_add_job(f, &j, &spec) : -ENOMEM;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot ask for the manifest: %m");
        fetch_work(f);
        return 0;
}

int verb_fetch(json_t *request, Error *reterr_error) {
        _cleanup_(fetch_done) Fetch f = {};
        _cleanup_free_ char *ca = NULL;
        size_t ca_size = 0;
        int r;

        r = parse_request(request, &f.request, reterr_error);
        if (r < 0)
                return r;
        r = read_ca(&f.request, &ca, &ca_size, reterr_error);
        if (r < 0)
                return r;
        /* Before the sandbox: it reads OpenSSL's configuration. */
        r = curl_load(reterr_error);
        if (r < 0)
                return r;
        r = sandbox_enter_user(SANDBOX_FETCH, reterr_error);
        if (r < 0)
                return r;

        r = sd_event_new(&f.event);
        if (r >= 0)
                r = sd_event_add_io(f.event, &f.socket_source, PROTO_SOCKET_FD, EPOLLIN, on_socket, &f);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make an event loop: %m");
        r = registry_new(f.event, &f.request, ca, ca_size, &f.registry, reterr_error);
        if (r < 0)
                return r;
        r = fetch_first(&f, reterr_error);
        if (r < 0)
                return r;

        r = sd_event_loop(f.event);
        if (error_is_set(&f.error))
                return error_move(reterr_error, &f.error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The event loop failed: %m");
        return 0;
}
