/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "helper/extract.h"
#include "helper/helper.h"
#include "helper/layer-stream.h"
#include "helper/sandbox.h"
#include "helper/tree-writer.h"
#include "helper/unpack.h"
#include "job/proto.h"
#include "oci/digest.h"

/* The decompressed stream goes two ways at once (LayerStream): to the hasher and to extract_tar(). The tree
 * is right only if both ends agree: the whole stream, with what stands behind the tar's end, has the DiffID.
 */

#define BLOB_FD (PROTO_FIRST_FD + 0)
#define LIST_FD (PROTO_FIRST_FD + 0) /* of settle */
#define ROOT_FD (PROTO_FIRST_FD + 1)

void unpack_request_done(UnpackRequest *q) {
        free(q->media_type);
        free(q->diff_id);
        strv_free(q->lower);
        *q = (UnpackRequest) {};
}

void unpack_result_done(UnpackResult *result) {
        extract_result_done(&result->tree);
        *result = (UnpackResult) {};
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

int unpack_layer(const UnpackRequest *q, const UnpackFiles *files, UnpackProgressFunc progress,
                 UnpackResult *ret, Error *reterr_error) {
        _cleanup_(layer_stream_freep) LayerStream *stream = NULL;
        char digest[DIGEST_STRING_MAX];
        Unpack u = { .progress = progress };
        ExtractSpec spec = {
                .root_fd = files->root_fd,
                .lower_fd = files->lower_fd,
                .max_entries = q->max_entries,
                .devices = q->devices,
                .read = on_read,
                .userdata = &u,
        };
        _cleanup_(unpack_result_done) UnpackResult result = {};
        int r;

        if (!digest_is_valid(q->diff_id))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is no digest",
                                 q->diff_id);
        r = fd_size(files->blob_fd, &u.total);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot find out the size of the layer's blob: %m");

        r = layer_stream_new(files->blob_fd, digest_algorithm(q->diff_id), q->max_bytes, &stream,
                             reterr_error);
        if (r < 0)
                return r;
        u.stream = stream;

        r = extract_tar(&spec, &result.tree, reterr_error);
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
        result = (UnpackResult) {};
        return 0;
}

static int parse_request(json_t *request, UnpackRequest *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "mediaType", JSON_FIELD_STRING, offsetof(UnpackRequest, media_type) },
                { "diffId", JSON_FIELD_STRING, offsetof(UnpackRequest, diff_id), .required = true },
                { "maxBytes", JSON_FIELD_UINT64, offsetof(UnpackRequest, max_bytes), .required = true },
                { "maxEntries", JSON_FIELD_UINT64, offsetof(UnpackRequest, max_entries), .required = true },
                { "devices", JSON_FIELD_BOOL, offsetof(UnpackRequest, devices) },
                { "bottom", JSON_FIELD_BOOL, offsetof(UnpackRequest, bottom) },
                { "lower", JSON_FIELD_STRV, offsetof(UnpackRequest, lower) },
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

static int enter_sandbox(const UnpackRequest *q, int *ret_root_fd, int *ret_lower_fd, Error *reterr_error) {
        _cleanup_free_ char *lower = NULL;

        if (strv_length(q->lower) == 0)
                return sandbox_enter_directory(ROOT_FD, SANDBOX_UNPACK, ret_root_fd, reterr_error);

        lower = strv_join(q->lower, ":");
        if (!lower)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        return sandbox_enter_layer(ROOT_FD, lower, ret_root_fd, ret_lower_fd, reterr_error);
}

static int report(const UnpackRequest *q, const UnpackResult *result, Error *reterr_error) {
        char size[PROTO_U64_MAX], entries[PROTO_U64_MAX];
        _cleanup_close_ int fd = -EBADF;
        bool settle = result->tree.implied_size > 0;
        int r;

        if (settle) {
                fd = memfd_new_sealed("implied", result->tree.implied, result->tree.implied_size);
                if (fd < 0)
                        return error_set_errno(reterr_error, fd, "Cannot write a list of directories: %m");
        }
        r = proto_send(PROTO_SOCKET_FD, &fd, settle ? 1 : 0, "unpacked", "DIFF_ID", q->diff_id, "SIZE",
                       proto_u64(size, result->size), "ENTRIES", proto_u64(entries, result->tree.entries),
                       "ROOT", result->tree.root ? "1" : "0", NULL);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot report to moored: %m");
        return 0;
}

int verb_unpack(json_t *request, Error *reterr_error) {
        _cleanup_(unpack_request_done) UnpackRequest q = {};
        _cleanup_(unpack_result_done) UnpackResult result = {};
        _cleanup_close_ int root_fd = -EBADF, lower_fd = -EBADF;
        UnpackFiles files = { .blob_fd = BLOB_FD };
        int r;

        r = parse_request(request, &q, reterr_error);
        if (r < 0)
                return r;
        r = enter_sandbox(&q, &root_fd, &lower_fd, reterr_error);
        if (r < 0)
                return r;

        files.root_fd = root_fd;
        files.lower_fd = lower_fd >= 0 ? lower_fd : q.bottom ? TREE_LOWER_NONE : TREE_LOWER_UNKNOWN;
        r = unpack_layer(&q, &files, send_progress, &result, reterr_error);
        return r < 0 ? r : report(&q, &result, reterr_error);
}

/* -- settle: what an unpacked tree takes from the layers below ------------------------------------------ */

static int parse_settle_request(json_t *request, UnpackRequest *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "lower", JSON_FIELD_STRV, offsetof(UnpackRequest, lower), .required = true },
                {}
        };

        return json_dispatch(request, table, ret, "request", false, reterr_error);
}

/* It comes from a helper that has read the archive: a memfd, or anything. */
static int read_list(int fd, char **ret, size_t *ret_size, Error *reterr_error) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at the list of directories: %m");
        if (!S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_SET) < 0)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "The list of directories is no file");
        r = read_all(fd, TREE_IMPLIED_MAX, ret, ret_size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the list of directories: %m");
        return 0;
}

int verb_settle(json_t *request, Error *reterr_error) {
        _cleanup_(unpack_request_done) UnpackRequest q = {};
        _cleanup_close_ int root_fd = -EBADF, lower_fd = -EBADF;
        _cleanup_free_ char *list = NULL;
        size_t size;
        int r;

        r = parse_settle_request(request, &q, reterr_error);
        if (r >= 0)
                r = enter_sandbox(&q, &root_fd, &lower_fd, reterr_error);
        if (r >= 0)
                r = read_list(LIST_FD, &list, &size, reterr_error);
        return r < 0 ? r : tree_settle(root_fd, lower_fd, list, size, reterr_error);
}
