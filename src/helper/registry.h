/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One repository of one registry (OCI distribution-spec, "Pull"): requests with a token where one is asked
 * for, and what failures mean. */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "helper/http.h"

#define RETRY_DELAY_MAX_USEC (UINT64_C(30) * 1000000)
#define RETRY_AFTER_MAX_SEC 120U          /* a registry that wants us to wait longer has failed */
#define RETRIES_UNREACHED_MAX                                                                               \
        2U /* for a registry that has never answered: a wrong name should not take minutes */
#define AUTH_ATTEMPTS_MAX 2U              /* tokens asked for by one transfer without progress */
#define SYNC_INTERVAL (UINT64_C(8) << 20) /* write-back is started so often */

typedef struct FetchRequest {
        char *scheme;
        char *host;       /* where to connect */
        char *registry;   /* as people call it: for messages */
        char *repository;
        char *reference;  /* tag or digest */
        char *ca_file;
        char *user_agent;
        uint64_t retries;
        uint64_t retry_delay_msec;
        uint64_t connect_timeout_sec;
        uint64_t low_speed_time_sec;
        uint64_t max_concurrent;
} FetchRequest;

void fetch_request_done(FetchRequest *q);

typedef struct Registry Registry;
typedef struct Transfer Transfer;

/* request is borrowed and must outlive it; ca: PEM text or NULL. */
int registry_new(sd_event *event, const FetchRequest *request, const char *ca, size_t ca_size,
                 Registry **ret, Error *reterr_error);
Registry *registry_free(Registry *r); /* transfers must be gone */
DEFINE_CLEANUP_FUNC(Registry *, registry_free)

typedef struct TransferOps {
        void (*on_progress)(Transfer *t, uint64_t done, void *userdata);
        /* The end, once. error is not set: complete and verified. The transfer may be freed here. */
        void (*on_done)(Transfer *t, Error *error, void *userdata);
} TransferOps;

typedef struct TransferSpec {
        const char *reference; /* a manifest: what to ask for if there is no digest */
        const char *digest;    /* NULL: whatever reference (a tag) names */
        uint64_t size;         /* UINT64_MAX: not known */
        int fd; /* a blob: where to; taken over, also on failure. -EBADF: a manifest, into memory */
        uint64_t offset;       /* bytes that are in fd already */
} TransferSpec;

int transfer_new(Registry *r, const TransferSpec *spec, const TransferOps *ops, void *userdata,
                 Transfer **ret);
int transfer_start(Transfer *t);
Transfer *transfer_free(Transfer *t);
DEFINE_CLEANUP_FUNC(Transfer *, transfer_free)

/* After success. */
const char *transfer_digest(const Transfer *t);
uint64_t transfer_size(const Transfer *t);
uint64_t transfer_reused(const Transfer *t); /* bytes that had not to be fetched */
const char *transfer_media_type(const Transfer *t); /* Content-Type, or NULL */
const char *transfer_data(const Transfer *t);       /* a manifest's */
