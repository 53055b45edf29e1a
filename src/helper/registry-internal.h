/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between registry.c (token, failures) and transfer.c (one object). */

#include "helper/registry.h"
#include "oci/digest.h"

struct Registry {
        const FetchRequest *request; /* weak */
        sd_event *event;
        HttpClient *http;
        bool reached;            /* it has answered at least once */
        char *authorization;     /* "Bearer …", NULL: none needed so far */
        unsigned token_serial;   /* grows with each token */
        HttpExchange *token_exchange;
        char *token_text;
        size_t token_size;
        Transfer **waiting;      /* for the token; borrowed */
        size_t n_waiting;
};

typedef enum FailureKind {
        FAILURE_FINAL,
        FAILURE_TRANSIENT,
} FailureKind;

/* What a curl error or an HTTP status means. what: "manifest latest", "blob sha256:…". Fills *ret. */
FailureKind registry_explain(Registry *r, HttpExchange *x, CURLcode result, const HttpResponse *response,
                             const char *what, Error *ret);

/* Fetches a token as the challenge says; transfer_on_token() of t is called when it is there, or has failed.
 */
int registry_authenticate(Registry *r, const char *challenge, Transfer *t, Error *reterr_error);
void registry_forget_waiter(Registry *r, Transfer *t);

/* transfer.c. error NULL: go on with the new token. */
void transfer_on_token(Transfer *t, const Error *error, FailureKind kind, uint64_t retry_after_sec);
