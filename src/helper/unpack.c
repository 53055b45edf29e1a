/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "helper/extract.h"
#include "helper/helper.h"
#include "helper/layer-stream.h"
#include "helper/sandbox.h"
#include "helper/unpack.h"
#include "job/proto.h"
#include "oci/digest.h"

/* The decompressed stream goes two ways at once (LayerStream): to the hasher and to extract_tar(). The tree
 * is right only if both ends agree: the whole stream, with what stands behind the tar's end, has the DiffID.
 */

#define BLOB_FD (PROTO_FIRST_FD + 0)
#define ROOT_FD (PROTO_FIRST_FD + 1)

void unpack_request_done(UnpackRequest *q) {
        free(q->media_type);
        free(q->diff_id);
        *q = (UnpackRequest) {};
}

typedef struct Unpack {
        LayerStream *stream;
        UnpackProgressFunc progress;
        uint64_t total;
        uint64_t reported_usec;
} Unpack;

static int on_read(void *userdata, const void **ret, size_t *ret_size, Error *reterr_error) {
        Unpack *u = userdata;

        if (u->progress) {
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                if (now - u->reported_usec >= HELPER_PROGRESS_INTERVAL_USEC) {
                        u->progress(layer_stream_consumed(u->stream), u->total);
                        u->reported_usec = now;
                }
        }
        return layer_stream_next(u->stream, ret, ret_size, reterr_error);
}

int unpack_layer(const UnpackRequest *q, int blob_fd, int root_fd, UnpackProgressFunc progress,
                 UnpackResult *ret, Error *reterr_error) {
        _cleanup_(layer_stream_freep) LayerStream *stream = NULL;
        char digest[DIGEST_STRING_MAX];
        Unpack u = { .progress = progress };
        ExtractSpec spec = {
                .root_fd = root_fd,
                .max_entries = q->max_entries,
                .devices = q->devices,
                .read = on_read,
                .userdata = &u,
        };
        UnpackResult result;
        int r;

        if (!digest_is_valid(q->diff_id))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is no digest",
                                 q->diff_id);
        r = fd_size(blob_fd, &u.total);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot find out the size of the layer's blob: %m");

        r = layer_stream_new(blob_fd, digest_algorithm(q->diff_id), q->max_bytes, &stream, reterr_error);
        if (r < 0)
                return r;
        u.stream = stream;

        r = extract_tar(&spec, &result.entries, reterr_error);
        if (r < 0)
                return r;
        r = layer_stream_finish(stream, digest, &result.size, reterr_error);
        if (r < 0)
                return r;
        if (!streq(digest, q->diff_id))
                return error_set(
                                reterr_error, -EBADMSG, "DigestMismatch",
                                "The layer's content is not what the image configuration says: expected %s, got %s",
                                q->diff_id, digest);

        *ret = result;
        return 0;
}

static int parse_request(json_t *request, UnpackRequest *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "mediaType", JSON_FIELD_STRING, offsetof(UnpackRequest, media_type) },
                { "diffId", JSON_FIELD_STRING, offsetof(UnpackRequest, diff_id), .required = true },
                { "maxBytes", JSON_FIELD_UINT64, offsetof(UnpackRequest, max_bytes), .required = true },
                { "maxEntries", JSON_FIELD_UINT64, offsetof(UnpackRequest, max_entries), .required = true },
                { "devices", JSON_FIELD_BOOL, offsetof(UnpackRequest, devices) },
                {}
        };

        return json_dispatch(request, table, ret, "request", false, reterr_error);
}

static void send_progress(uint64_t done, uint64_t total) {
        char d[PROTO_U64_MAX], t[PROTO_U64_MAX];

        /* A daemon that is gone ends us by the signal of its death. */
        (void) proto_send(PROTO_SOCKET_FD, NULL, 0, "progress", "DONE", proto_u64(d, done), "TOTAL",
                          proto_u64(t, total), NULL);
}

int verb_unpack(json_t *request, Error *reterr_error) {
        _cleanup_(unpack_request_done) UnpackRequest q = {};
        char size[PROTO_U64_MAX], entries[PROTO_U64_MAX];
        _cleanup_close_ int root_fd = -EBADF;
        UnpackResult result;
        int r;

        r = parse_request(request, &q, reterr_error);
        if (r < 0)
                return r;
        r = sandbox_enter_directory(ROOT_FD, SANDBOX_UNPACK, &root_fd, reterr_error);
        if (r < 0)
                return r;

        r = unpack_layer(&q, BLOB_FD, root_fd, send_progress, &result, reterr_error);
        if (r < 0)
                return r;

        r = proto_send(PROTO_SOCKET_FD, NULL, 0, "unpacked", "DIFF_ID", q.diff_id, "SIZE",
                       proto_u64(size, result.size), "ENTRIES", proto_u64(entries, result.entries), NULL);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot report to moored: %m");
        return 0;
}
