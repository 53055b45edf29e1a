/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <openssl/x509_vfy.h>

#include "basic/string-util.h"
#include "helper/auth.h"
#include "helper/curl-load.h"
#include "helper/registry-internal.h"

/* One token serves all transfers (its scope is the repository, for pulling). The first that is answered 401
 * has it fetched; those that are answered the same meanwhile wait with it. token_serial tells a transfer
 * whether the token that was refused is still the current one. */

void fetch_request_done(FetchRequest *q) {
        free(q->scheme);
        free(q->host);
        free(q->registry);
        free(q->repository);
        free(q->reference);
        free(q->ca_file);
        free(q->user_agent);
        *q = (FetchRequest) {};
}

Registry *registry_free(Registry *r) {
        if (!r)
                return NULL;

        http_exchange_free(r->token_exchange);
        http_client_free(r->http);
        sd_event_unref(r->event);
        free(r->authorization);
        free(r->token_text);
        free(r->waiting);
        free(r);
        return NULL;
}

int registry_new(sd_event *event, const FetchRequest *request, const char *ca, size_t ca_size,
                 Registry **ret, Error *reterr_error) {
        _cleanup_(registry_freep) Registry *r = calloc(1, sizeof(*r));
        HttpConfig config = {
                .user_agent = request->user_agent,
                .ca = ca,
                .ca_size = ca_size,
                .allow_http = streq(request->scheme, "http"),
                .connect_timeout_sec = (long) request->connect_timeout_sec,
                .low_speed_time_sec = (long) request->low_speed_time_sec,
        };
        int k;

        if (!r)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r->request = request;
        r->event = sd_event_ref(event);
        r->token_text = malloc(AUTH_REPLY_MAX);
        if (!r->token_text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        k = http_client_new(event, &config, &r->http, reterr_error);
        if (k < 0)
                return k;

        *ret = TAKE_PTR(r);
        return 0;
}

/* The remedy depends on what is wrong with it. */
static void explain_certificate(long error, const char *what, const char *name, const char *detail,
                                Error *ret) {
        switch (error) {
        case X509_V_OK:
        case X509_V_ERR_UNSPECIFIED: /* what curl leaves there if the name is wrong, which it looks at first */
                (void) error_set(
                                ret, -EPROTO, "RegistryUnavailable",
                                "Cannot get %s: the certificate of %s is for another name (%s): use a name that is in it",
                                what, name, detail);
                break;
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
                (void) error_set(
                                ret, -EPROTO, "RegistryUnavailable",
                                "Cannot get %s: the certificate of %s is not valid now (%s): it has to be renewed, or the clock of this host is wrong",
                                what, name, detail);
                break;
        default:
                (void) error_set(
                                ret, -EPROTO, "RegistryUnavailable",
                                "Cannot get %s: the certificate of %s is not trusted (%s): name its authority by CAFile= in moored.conf",
                                what, name, detail);
        }
}

/* Sets *ret and says whether to try again. */
static FailureKind explain_curl(Registry *r, HttpExchange *x, CURLcode result, const char *what,
                                Error *ret) {
        const char *name = r->request->registry, *detail = http_exchange_detail(x);
        int os_error = http_exchange_os_error(x);

        if (isempty(detail))
                detail = sym_curl_easy_strerror(result);

        switch (result) {
        case CURLE_COULDNT_RESOLVE_HOST:
                (void) error_set(
                                ret, -EHOSTUNREACH, "RegistryUnavailable",
                                "Cannot get %s: there is no such host as %s, or its name cannot be resolved now",
                                what, r->request->host);
                return FAILURE_TRANSIENT;
        case CURLE_COULDNT_CONNECT:
                if (os_error == ECONNREFUSED)
                        (void) error_set(ret, -ECONNREFUSED, "RegistryUnavailable",
                                         "Cannot get %s: connection refused by %s: is the registry running?",
                                         what, name);
                else
                        (void) error_set(ret, os_error > 0 ? -os_error : -EHOSTUNREACH,
                                         "RegistryUnavailable", "Cannot get %s: cannot connect to %s: %s",
                                         what, name, detail);
                return FAILURE_TRANSIENT;
        case CURLE_OPERATION_TIMEDOUT:
                (void) error_set(ret, -ETIMEDOUT, "RegistryUnavailable",
                                 "Cannot get %s: %s does not answer in time (%s)", what, name, detail);
                return FAILURE_TRANSIENT;
        case CURLE_PARTIAL_FILE:
                (void) error_set(ret, -EPIPE, "Truncated",
                                 "Cannot get %s: %s ended the transfer before all of it was sent", what,
                                 name);
                return FAILURE_TRANSIENT;
        case CURLE_PEER_FAILED_VERIFICATION:
                explain_certificate(http_exchange_certificate_error(x), what, name, detail, ret);
                return FAILURE_FINAL;
        case CURLE_SSL_CACERT_BADFILE:
                (void) error_set(
                                ret, -EPROTO, "RegistryUnavailable",
                                "Cannot get %s: no certificate can be read from what CAFile= in moored.conf names, or from the system's (%s)",
                                what, detail);
                return FAILURE_FINAL;
        case CURLE_SSL_CONNECT_ERROR:
                (void) error_set(
                                ret, -EPROTO, "RegistryUnavailable",
                                "Cannot get %s: no TLS connection to %s (%s): a registry without TLS must be listed by InsecureRegistry= in "
                                "moored.conf",
                                what, name, detail);
                return FAILURE_FINAL;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_TOO_MANY_REDIRECTS:
        case CURLE_URL_MALFORMAT:
                (void) error_set(ret, -EPROTO, "InvalidRedirect",
                                 "Cannot get %s: %s redirects to where we must not go (%s)", what, name,
                                 detail);
                return FAILURE_FINAL;
        case CURLE_OUT_OF_MEMORY:
                (void) error_set_errno(ret, -ENOMEM, "Out of memory");
                return FAILURE_FINAL;
        default:
                /* Reset connections, HTTP/2 stream errors, an empty reply … */
                (void) error_set(ret, -ECONNRESET, "RegistryUnavailable",
                                 "Cannot get %s: the connection to %s failed: %s", what, name, detail);
                return FAILURE_TRANSIENT;
        }
}

FailureKind registry_explain(Registry *r, HttpExchange *x, CURLcode result, const HttpResponse *response,
                             const char *what, Error *ret) {
        const char *name = r->request->registry, *repository = r->request->repository;

        /* A status says more than what happened to the body behind it. */
        if (response->status > 0)
                r->reached = true;
        if (response->status < 400 && result != CURLE_OK)
                return explain_curl(r, x, result, what, ret);

        switch (response->status) {
        case 401:
        case 403:
                (void) error_set(
                                ret, -EACCES, "Unauthorized",
                                "Cannot get %s: %s does not give %s to everybody (HTTP status %ld): check its name; private repositories need "
                                "credentials, which are not supported yet",
                                what, name, repository, response->status);
                return FAILURE_FINAL;
        case 404:
                if (startswith(what, "blob"))
                        (void) error_set(ret, -ENOENT, "NoSuchBlob", "Cannot get %s: %s/%s does not have it",
                                         what, name, repository);
                else
                        (void) error_set(ret, -ENOENT, "NoSuchImage",
                                         "There is no image %s/%s with %s: check name and tag", name,
                                         repository, what);
                return FAILURE_FINAL;
        case 408:
        case 425:
        case 429:
                (void) error_set(ret, -EBUSY, "RegistryUnavailable",
                                 "Cannot get %s: %s takes no more requests now (HTTP status %ld): try later",
                                 what, name, response->status);
                return FAILURE_TRANSIENT;
        case 500 ... 599:
                (void) error_set(ret, -EREMOTEIO, "RegistryUnavailable",
                                 "Cannot get %s: %s has a failure of its own (HTTP status %ld)", what, name,
                                 response->status);
                return FAILURE_TRANSIENT;
        default:
                (void) error_set(ret, -EPROTO, "RegistryUnavailable",
                                 "Cannot get %s: %s refuses with HTTP status %ld", what, name,
                                 response->status);
                return FAILURE_FINAL;
        }
}

/* -- the token
 * --------------------------------------------------------------------------------------------------------
 */

void registry_forget_waiter(Registry *r, Transfer *t) {
        for (size_t i = 0; i < r->n_waiting; i++)
                if (r->waiting[i] == t)
                        r->waiting[i] = NULL;
}

/* Waiters may go, or wait anew, while they are told. */
static void tell_waiters(Registry *r, const Error *error, FailureKind kind, uint64_t retry_after_sec) {
        Transfer **waiting = TAKE_PTR(r->waiting);
        size_t n = r->n_waiting;

        r->n_waiting = 0;
        for (size_t i = 0; i < n; i++)
                if (waiting[i])
                        transfer_on_token(waiting[i], error, kind, retry_after_sec);
        free(waiting);
}

static int token_on_body(HttpExchange *x, const HttpResponse *response, const void *p, size_t n,
                         void *userdata) {
        Registry *r = userdata;

        if (n > AUTH_REPLY_MAX - r->token_size)
                return -EFBIG;
        memcpy(r->token_text + r->token_size, p, n);
        r->token_size += n;
        return 0;
}

static void token_on_done(HttpExchange *x, const HttpResponse *response, CURLcode result, void *userdata) {
        Registry *r = userdata;
        _cleanup_free_ char *token = NULL, *authorization = NULL;
        _cleanup_error_ Error e = {};
        FailureKind kind = FAILURE_FINAL;
        uint64_t retry_after = response->retry_after_sec;

        if (result != CURLE_OK || response->status >= 400)
                kind = registry_explain(r, x, result, response, "a token from the registry's token server",
                                        &e);
        else if (auth_parse_token(r->token_text, r->token_size, &token) < 0 ||
                 !(authorization = strjoin("Bearer ", token)))
                (void) error_set(&e, -EBADMSG, "Unauthorized",
                                 "The token server of %s answers with something that is no token",
                                 r->request->registry);
        else {
                free(r->authorization);
                r->authorization = TAKE_PTR(authorization);
                r->token_serial++;
        }

        r->token_exchange = http_exchange_free(r->token_exchange);
        tell_waiters(r, error_is_set(&e) ? &e : NULL, kind, retry_after);
}

static const HttpOps token_ops = {
        .on_body = token_on_body,
        .on_done = token_on_done,
};

static int start_token(Registry *r, const char *challenge, Error *reterr_error) {
        _cleanup_(auth_challenge_done) AuthChallenge c = {};
        _cleanup_free_ char *url = NULL;
        int k;

        k = challenge ? auth_parse_challenge(challenge, &c) : 0;
        if (k <= 0)
                return error_set(
                                reterr_error, -EACCES, "Unauthorized",
                                "%s wants a user name and a password for %s: credentials are not supported yet, only what everybody may pull",
                                r->request->registry, r->request->repository);
        if (!c.scope) {
                c.scope = strjoin("repository:", r->request->repository, ":pull");
                if (!c.scope)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }

        k = auth_token_url(&c, streq(r->request->scheme, "http"), &url);
        if (k == -EPERM)
                return error_set(reterr_error, -EPROTO, "Unauthorized",
                                 "%s names a token server that we must not ask: %s", r->request->registry,
                                 c.realm);
        if (k >= 0) {
                r->token_size = 0;
                k = http_get(r->http, &(HttpRequest){ .url = url, .accept = "application/json" }, &token_ops,
                             r, &r->token_exchange);
        }
        if (k < 0)
                return error_set_errno(reterr_error, k, "Cannot ask for a token: %m");
        return 0;
}

int registry_authenticate(Registry *r, const char *challenge, Transfer *t, Error *reterr_error) {
        Transfer **longer;
        int k;

        longer = reallocarray(r->waiting, r->n_waiting + 1, sizeof(*longer));
        if (!longer)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        r->waiting = longer;

        if (!r->token_exchange) {
                k = start_token(r, challenge, reterr_error);
                if (k < 0)
                        return k;
        }
        r->waiting[r->n_waiting++] = t;
        return 0;
}
