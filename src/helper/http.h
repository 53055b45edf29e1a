/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* HTTP GETs by libcurl's multi interface on an sd-event loop. curl_load() comes first. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "basic/error.h"

#define HTTP_REDIRECTS_MAX 10L
#define HTTP_HEADER_VALUE_MAX 8192U /* longer ones are not kept */
#define HTTP_BUFFER_SIZE (512L * 1024)

typedef struct HttpConfig {
        const char *user_agent; /* these three: copied */
        const char *ca;         /* PEM text, NULL: the system's */
        size_t ca_size;
        bool allow_http; /* URLs, and redirects from HTTP: with https only, a redirect to http is refused */
        long connect_timeout_sec;
        long low_speed_time_sec; /* less than a byte a second for so long is a timeout */
} HttpConfig;

typedef struct HttpClient HttpClient;
int http_client_new(sd_event *event, const HttpConfig *config, HttpClient **ret, Error *reterr_error);
HttpClient *http_client_free(HttpClient *c); /* exchanges must be gone */
DEFINE_CLEANUP_FUNC(HttpClient *, http_client_free)

typedef struct HttpResponse {
        long status;
        uint64_t content_length; /* UINT64_MAX: not said */
        uint64_t range_start;    /* of Content-Range; UINT64_MAX: none */
        uint64_t retry_after_sec;
        char *content_type;      /* without parameters */
        char *content_encoding;
        char *content_digest;    /* Docker-Content-Digest */
        char *authenticate;      /* WWW-Authenticate lines, joined by commas */
} HttpResponse;

typedef struct HttpExchange HttpExchange;
typedef struct HttpOps {
        /* A piece of the final response's body; the response's headers are complete. Negative: end it
         * (CURLE_WRITE_ERROR). The exchange must not be freed here. */
        int (*on_body)(HttpExchange *x, const HttpResponse *response, const void *p, size_t n,
                       void *userdata);
        /* Once, last; the exchange may be freed here. */
        void (*on_done)(HttpExchange *x, const HttpResponse *response, CURLcode result, void *userdata);
} HttpOps;

/* GET url from the byte range_start on (0: without Range:). authorization is sent to the URL's own host
 * only, never after a redirect to another one; it and accept may be NULL. */
typedef struct HttpRequest {
        const char *url;
        const char *accept;
        const char *authorization; /* "Bearer …" */
        uint64_t range_start;
} HttpRequest;

int http_get(HttpClient *c, const HttpRequest *q, const HttpOps *ops, void *userdata, HttpExchange **ret);
HttpExchange *http_exchange_free(HttpExchange *x); /* ends it without on_done */
DEFINE_CLEANUP_FUNC(HttpExchange *, http_exchange_free)
/* At the end: curl's own words, and the errno behind a failed connect (or 0). */
const char *http_exchange_detail(const HttpExchange *x);
int http_exchange_os_error(const HttpExchange *x);
/* X509_V_ERR_* of the server's certificate. */
long http_exchange_certificate_error(const HttpExchange *x);
