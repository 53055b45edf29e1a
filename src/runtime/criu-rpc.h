/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Speaking to CRIU: its program is started as `criu swrk FD` and gets one request over that socket, in
 * protobuf's coding (images/rpc.proto of its source). Meanwhile it asks back, which is answered. */

#include "basic/error.h"
#include "basic/macro.h"

/* Protobuf's coding, as far as it is needed: messages of numbers, strings and messages. */

typedef struct ProtoWriter {
        uint8_t *data; /* owned */
        size_t n;
        size_t allocated;
        bool failed; /* out of memory: what was written is incomplete */
} ProtoWriter;

void proto_writer_done(ProtoWriter *w);
/* Integers and enums (negative ones as 64 bits), booleans. */
void proto_write_int(ProtoWriter *w, unsigned field, int64_t value);
void proto_write_bytes(ProtoWriter *w, unsigned field, const void *p, size_t n);
void proto_write_string(ProtoWriter *w, unsigned field, const char *s); /* NULL: nothing */
void proto_write_message(ProtoWriter *w, unsigned field, const ProtoWriter *m);

typedef struct ProtoField {
        unsigned field;
        uint64_t value;      /* of a number */
        const uint8_t *data; /* of a string or a message, else NULL */
        size_t n;
} ProtoField;

/* The next field of the n bytes at *p, both of which are moved. 1, 0 at the end, -EBADMSG. */
int proto_read(const uint8_t **p, size_t *n, ProtoField *ret);

typedef enum CriuRequest {
        CRIU_REQUEST_DUMP = 1,
        CRIU_REQUEST_RESTORE = 2,
        CRIU_REQUEST_PRE_DUMP = 4,
        CRIU_REQUEST_NOTIFY = 6,
        CRIU_REQUEST_FEATURE_CHECK = 9,
} CriuRequest;

#define CRIU_FEATURE_MEMORY_TRACKING 1U
#define CRIU_FEATURE_LAZY_PAGES 2U

/* The request: type, and criu_opts or criu_features, whichever is given. */
int criu_request_encode(CriuRequest type, const ProtoWriter *options, const ProtoWriter *features,
                        ProtoWriter *ret);

typedef struct CriuResponse {
        CriuRequest type;
        bool success;
        int error;        /* errno */
        char text[512];   /* what CRIU says about it, cut */
        pid_t pid;        /* of what has been restored, or of NOTIFY */
        char script[64];  /* of NOTIFY: at which point it is */
        bool features[3]; /* by number */
} CriuResponse;

int criu_response_decode(const void *p, size_t n, CriuResponse *ret);

typedef struct Criu {
        pid_t pid;
        int pidfd;
        int sock;
} Criu;

#define CRIU_NULL ((Criu){ .pidfd = -EBADF, .sock = -EBADF })

/* Starts CRIU. fds[0 … n) become its descriptors 4 and on. */
#define CRIU_FIRST_FD 4
int criu_start(const char *path, const int *fds, size_t n_fds, Criu *ret, Error *reterr_error);
/* Ends it if it is still there, and waits for that. */
void criu_done(Criu *c);

/* Called when CRIU says how far it is: fd is a descriptor that came with it, or negative; it is closed
 * after. */
typedef int (*CriuNotify)(const char *script, pid_t pid, int fd, void *userdata, Error *reterr_error);

/* Sends a request and waits until it has been dealt with. -EIO if CRIU says that it has failed. */
int criu_call(Criu *c, const ProtoWriter *request, CriuNotify notify, void *userdata, CriuResponse *ret,
              Error *reterr_error);
