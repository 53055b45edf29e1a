/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "runtime/criu-rpc.h"

#define RESPONSE_MAX (64U * 1024U)
#define CRIU_FDS_MAX (SPAWN_FDS_MAX - CRIU_FIRST_FD)

/* Wire types */
enum {
        WIRE_VARINT = 0,
        WIRE_64 = 1,
        WIRE_BYTES = 2,
        WIRE_32 = 5,
};

/* Numbers of fields: criu_req, criu_resp, criu_restore_resp, criu_notify. */
enum {
        REQ_TYPE = 1,
        REQ_OPTS = 2,
        REQ_NOTIFY_SUCCESS = 3,
        REQ_FEATURES = 5,

        RESP_TYPE = 1,
        RESP_SUCCESS = 2,
        RESP_RESTORE = 4,
        RESP_NOTIFY = 5,
        RESP_ERRNO = 7,
        RESP_FEATURES = 8,
        RESP_ERRMSG = 9,

        RESTORE_RESP_PID = 1,

        NOTIFY_SCRIPT = 1,
        NOTIFY_PID = 2,
};

void proto_writer_done(ProtoWriter *w) {
        free(w->data);
        *w = (ProtoWriter){};
}

static void put(ProtoWriter *w, const void *p, size_t n) {
        if (w->failed || n == 0)
                return;
        if (w->allocated - w->n < n) {
                size_t size = MAX(w->allocated * 2, w->n + n + 64);
                uint8_t *larger = realloc(w->data, size);

                if (!larger) {
                        w->failed = true;
                        return;
                }
                w->data = larger;
                w->allocated = size;
        }
        memcpy(w->data + w->n, p, n);
        w->n += n;
}

static void put_varint(ProtoWriter *w, uint64_t v) {
        uint8_t bytes[10];
        size_t n = 0;

        do {
                bytes[n] = (uint8_t) (v & 0x7f);
                v >>= 7;
                if (v)
                        bytes[n] |= 0x80;
                n++;
        } while (v);
        put(w, bytes, n);
}

void proto_write_int(ProtoWriter *w, unsigned field, int64_t value) {
        put_varint(w, (uint64_t) field << 3 | WIRE_VARINT);
        put_varint(w, (uint64_t) value);
}

void proto_write_bytes(ProtoWriter *w, unsigned field, const void *p, size_t n) {
        put_varint(w, (uint64_t) field << 3 | WIRE_BYTES);
        put_varint(w, n);
        put(w, p, n);
}

void proto_write_string(ProtoWriter *w, unsigned field, const char *s) {
        if (s)
                proto_write_bytes(w, field, s, strlen(s));
}

void proto_write_message(ProtoWriter *w, unsigned field, const ProtoWriter *m) {
        w->failed = w->failed || m->failed;
        proto_write_bytes(w, field, m->data, m->n);
}

static int take_varint(const uint8_t **p, size_t *n, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned shift = 0; shift < 64; shift += 7) {
                uint8_t byte;

                if (*n == 0)
                        return -EBADMSG;
                byte = **p;
                (*p)++;
                (*n)--;
                v |= (uint64_t) (byte & 0x7f) << shift;
                if (!(byte & 0x80)) {
                        *ret = v;
                        return 0;
                }
        }
        return -EBADMSG;
}

int proto_read(const uint8_t **p, size_t *n, ProtoField *ret) {
        uint64_t key, length;
        ProtoField f = {};

        if (*n == 0)
                return 0;
        if (take_varint(p, n, &key) < 0 || key >> 3 == 0 || key >> 3 > UINT32_MAX)
                return -EBADMSG;
        f.field = (unsigned) (key >> 3);

        switch (key & 7) {
        case WIRE_VARINT:
                if (take_varint(p, n, &f.value) < 0)
                        return -EBADMSG;
                *ret = f;
                return 1;
        case WIRE_64:
                length = 8;
                break;
        case WIRE_32:
                length = 4;
                break;
        case WIRE_BYTES:
                if (take_varint(p, n, &length) < 0)
                        return -EBADMSG;
                break;
        default:
                return -EBADMSG;
        }

        if (length > *n)
                return -EBADMSG;
        f.data = *p;
        f.n = (size_t) length;
        *p += length;
        *n -= (size_t) length;
        *ret = f;
        return 1;
}

int criu_request_encode(CriuRequest type, const ProtoWriter *options, const ProtoWriter *features,
                        ProtoWriter *ret) {
        proto_write_int(ret, REQ_TYPE, (int64_t) type);
        if (options)
                proto_write_message(ret, REQ_OPTS, options);
        if (features)
                proto_write_message(ret, REQ_FEATURES, features);
        return ret->failed ? -ENOMEM : 0;
}

static void take_text(char *buf, size_t size, const ProtoField *f) {
        size_t n = MIN(f->n, size - 1);

        if (f->data)
                memcpy(buf, f->data, n);
        buf[f->data ? n : 0] = 0;
        buf[strcspn(buf, "\n")] = 0;
        string_sanitize(buf);
}

static int decode_restore(const ProtoField *m, CriuResponse *r) {
        const uint8_t *p = m->data;
        size_t n = m->n;
        ProtoField f;
        int k;

        while ((k = proto_read(&p, &n, &f)) > 0)
                if (f.field == RESTORE_RESP_PID)
                        r->pid = (pid_t) f.value;
        return k;
}

static int decode_notify(const ProtoField *m, CriuResponse *r) {
        const uint8_t *p = m->data;
        size_t n = m->n;
        ProtoField f;
        int k;

        while ((k = proto_read(&p, &n, &f)) > 0)
                if (f.field == NOTIFY_SCRIPT)
                        take_text(r->script, sizeof(r->script), &f);
                else if (f.field == NOTIFY_PID)
                        r->pid = (pid_t) f.value;
        return k;
}

static int decode_features(const ProtoField *m, CriuResponse *r) {
        const uint8_t *p = m->data;
        size_t n = m->n;
        ProtoField f;
        int k;

        while ((k = proto_read(&p, &n, &f)) > 0)
                if (f.field < ELEMENTSOF(r->features))
                        r->features[f.field] = f.value != 0;
        return k;
}

static int decode_field(const ProtoField *f, CriuResponse *r) {
        switch (f->field) {
        case RESP_TYPE:
                r->type = (CriuRequest) f->value;
                return 0;
        case RESP_SUCCESS:
                r->success = f->value != 0;
                return 0;
        case RESP_ERRNO:
                r->error = (int) f->value;
                return 0;
        case RESP_ERRMSG:
                take_text(r->text, sizeof(r->text), f);
                return 0;
        case RESP_RESTORE:
                return decode_restore(f, r);
        case RESP_NOTIFY:
                return decode_notify(f, r);
        case RESP_FEATURES:
                return decode_features(f, r);
        default:
                return 0;
        }
}

int criu_response_decode(const void *data, size_t n, CriuResponse *ret) {
        const uint8_t *p = data;
        CriuResponse r = {};
        ProtoField f;
        int k;

        while ((k = proto_read(&p, &n, &f)) > 0) {
                k = decode_field(&f, &r);
                if (k < 0)
                        return k;
        }
        if (k < 0)
                return k;
        *ret = r;
        return 0;
}

int criu_start(const char *path, const int *fds, size_t n_fds, Criu *ret, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        char *argv[] = { (char *) "criu", (char *) "swrk", (char *) STRINGIFY(3), NULL };
        SpawnSpec spawn = { .path = path, .argv = argv, .envp = environ, .n_fds = CRIU_FIRST_FD + n_fds };
        int r;

        if (n_fds > CRIU_FDS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded", "Too many descriptors for CRIU.");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");

        for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
                spawn.fds[i] = i;
        spawn.fds[3] = pair[1];
        for (size_t i = 0; i < n_fds; i++)
                spawn.fds[CRIU_FIRST_FD + i] = fds[i];

        r = process_spawn(&spawn, &ret->pid, &ret->pidfd, reterr_error);
        if (r < 0)
                return r;
        ret->sock = TAKE_FD(pair[0]);
        return 0;
}

void criu_done(Criu *c) {
        struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
        int code, status;

        /* It ends at the end of its socket. */
        c->sock = safe_close(c->sock);
        if (c->pidfd >= 0) {
                if (TEMP_FAILURE_RETRY(poll(&p, 1, 5000)) <= 0) {
                        (void) pidfd_kill(c->pidfd, SIGKILL);
                        (void) TEMP_FAILURE_RETRY(poll(&p, 1, -1));
                }
                (void) pidfd_reap(c->pidfd, &code, &status);
        }
        c->pidfd = safe_close(c->pidfd);
}

static int send_message(Criu *c, const ProtoWriter *m, Error *reterr_error) {
        if (m->failed)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (TEMP_FAILURE_RETRY(send(c->sock, m->data, m->n, MSG_NOSIGNAL)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot speak to CRIU: %m");
        return 0;
}

static int receive(Criu *c, CriuResponse *ret, int *ret_fd, Error *reterr_error) {
        _cleanup_free_ uint8_t *buf = malloc(RESPONSE_MAX);
        int fds[FDS_MAX];
        size_t n_fds = 0;
        ssize_t n;

        if (!buf)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        n = recv_with_fds(c->sock, buf, RESPONSE_MAX, fds, &n_fds, 0);
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        *ret_fd = n_fds > 0 ? fds[0] : -EBADF;
        if (n == 0)
                return error_set(reterr_error, -EIO, "CheckpointFailed", "CRIU ended without an answer.");
        if (n < 0)
                return error_set_errno(reterr_error, (int) n, "Cannot hear CRIU: %m");
        if (criu_response_decode(buf, (size_t) n, ret) < 0)
                return error_set(reterr_error, -EBADMSG, "CheckpointFailed",
                                 "CRIU's answer makes no sense.");
        return 0;
}

static int answer(Criu *c, bool success, Error *reterr_error) {
        _cleanup_(proto_writer_done) ProtoWriter w = {};

        proto_write_int(&w, REQ_TYPE, CRIU_REQUEST_NOTIFY);
        proto_write_int(&w, REQ_NOTIFY_SUCCESS, success);
        return send_message(c, &w, reterr_error);
}

int criu_call(Criu *c, const ProtoWriter *request, CriuNotify notify, void *userdata, CriuResponse *ret,
              Error *reterr_error) {
        _cleanup_error_ Error mistake = ERROR_NULL;
        int r;

        r = send_message(c, request, reterr_error);
        if (r < 0)
                return r;

        for (;;) {
                _cleanup_close_ int fd = -EBADF;

                r = receive(c, ret, &fd, reterr_error);
                if (r < 0)
                        return r;
                if (ret->type == CRIU_REQUEST_NOTIFY) {
                        /* After a mistake of ours CRIU gives up by itself, and says so. */
                        r = notify ? notify(ret->script, ret->pid, fd, userdata, &mistake) : 0;
                        r = answer(c, r >= 0, reterr_error);
                        if (r < 0)
                                return r;
                        continue;
                }

                if (ret->success)
                        return 0;
                if (error_is_set(&mistake))
                        return error_move(reterr_error, &mistake);
                return error_set(reterr_error, -EIO, "CheckpointFailed", "CRIU has failed%s%s%s%s.",
                                 ret->text[0] ? ": " : "", ret->text, ret->error > 0 ? ": " : "",
                                 ret->error > 0 ? strerror(ret->error) : "");
        }
}
