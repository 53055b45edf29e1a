/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>

#include "basic/string-util.h"
#include "helper/curl-load.h"
#include "helper/http.h"

/* curl tells us which sockets to watch and when to wake it; we tell curl what has happened. Everything it
 * has to say of an exchange's end is taken from its message queue afterwards, never from inside one of its
 * callbacks: there no handle may be freed.
 *
 *   http_get ──curl_multi_add_handle──▶ (on_header, on_write)* ──check_done──▶ ops.on_done ──▶
 * http_exchange_free
 */

struct HttpClient {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        char *user_agent;
        char *ca;
        HttpConfig config;
};

struct HttpExchange {
        HttpClient *client; /* weak */
        CURL *easy;
        struct curl_slist *headers;
        const HttpOps *ops;
        void *userdata;
        HttpResponse response;
        char detail[CURL_ERROR_SIZE];
};

static void response_done(HttpResponse *r) {
        free(r->content_type);
        free(r->content_encoding);
        free(r->content_digest);
        free(r->authenticate);
        *r = (HttpResponse) { .content_length = UINT64_MAX, .range_start = UINT64_MAX };
}

HttpExchange *http_exchange_free(HttpExchange *x) {
        if (!x)
                return NULL;

        if (x->easy) {
                (void) sym_curl_multi_remove_handle(x->client->multi, x->easy);
                sym_curl_easy_cleanup(x->easy);
        }
        sym_curl_slist_free_all(x->headers);
        response_done(&x->response);
        free(x);
        return NULL;
}

const char *http_exchange_detail(const HttpExchange *x) {
        return x->detail;
}

int http_exchange_os_error(const HttpExchange *x) {
        long e = 0;

        (void) sym_curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &e);
        return (int) e;
}

long http_exchange_certificate_error(const HttpExchange *x) {
        long e = 0;

        (void) sym_curl_easy_getinfo(x->easy, CURLINFO_SSL_VERIFYRESULT, &e);
        return e;
}

static void check_done(HttpClient *c) {
        CURLMsg *m;
        int left;

        while ((m = sym_curl_multi_info_read(c->multi, &left))) {
                HttpExchange *x = NULL;
                CURLcode result = m->data.result;
                curl_off_t retry_after = 0;

                if (m->msg != CURLMSG_DONE ||
                    sym_curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **) &x) != CURLE_OK || !x)
                        continue;
                (void) sym_curl_multi_remove_handle(c->multi, x->easy);
                (void) sym_curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->response.status);
                if (sym_curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
                    retry_after > 0)
                        x->response.retry_after_sec = (uint64_t) retry_after;
                x->ops->on_done(x, &x->response, result, x->userdata);
                /* x may be gone */
        }
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        HttpClient *c = userdata;
        int action = 0, running;

        if (revents & EPOLLIN)
                action |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                action |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                action |= CURL_CSELECT_ERR;

        (void) sym_curl_multi_socket_action(c->multi, fd, action, &running);
        check_done(c);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        int running;

        (void) sym_curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        check_done(c);
        return 0;
}

static int multi_on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp) {
        HttpClient *c = userdata;
        sd_event_source *source = socketp;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                (void) sym_curl_multi_assign(c->multi, fd, NULL);
                sd_event_source_disable_unref(source);
                return 0;
        }

        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                events |= EPOLLIN;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                events |= EPOLLOUT;

        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(c->event, &source, fd, events, on_io, c) < 0)
                return -1;
        (void) sd_event_source_set_description(source, "http-socket");
        (void) sym_curl_multi_assign(c->multi, fd, source);
        return 0;
}

static int multi_on_timer(CURLM *multi, long timeout_ms, void *userdata) {
        HttpClient *c = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;

        if (sd_event_source_set_time_relative(c->timer, (uint64_t) timeout_ms * 1000) < 0 ||
            sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;

        if (c->multi)
                sym_curl_multi_cleanup(c->multi);
        sd_event_source_disable_unref(c->timer);
        sd_event_unref(c->event);
        free(c->user_agent);
        free(c->ca);
        free(c);
        return NULL;
}

int http_client_new(sd_event *event, const HttpConfig *config, HttpClient **ret, Error *reterr_error) {
        _cleanup_(http_client_freep) HttpClient *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        c->event = sd_event_ref(event);
        c->config = *config;
        c->user_agent = strdup(config->user_agent);
        c->multi = sym_curl_multi_init();
        if (config->ca) {
                c->ca = malloc(MAX(config->ca_size, (size_t) 1));
                if (c->ca)
                        memcpy(c->ca, config->ca, config->ca_size);
        }
        if (!c->user_agent || !c->multi || (config->ca && !c->ca))
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        c->config.user_agent = c->user_agent;
        c->config.ca = c->ca;

        /* Accuracy 0 would mean 250 ms, and curl wakes itself by this timer at each step. */
        r = sd_event_add_time_relative(event, &c->timer, CLOCK_BOOTTIME, 0, 1, on_timer, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make a timer: %m");
        (void) sd_event_source_set_description(c->timer, "http-timer");

        if (sym_curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, multi_on_socket) != CURLM_OK ||
            sym_curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
            sym_curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, multi_on_timer) != CURLM_OK ||
            sym_curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK)
                return error_set(reterr_error, -EIO, "Failed", "Cannot set libcurl up");

        *ret = TAKE_PTR(c);
        return 0;
}

/* The value of a header line that has this name: trimmed copy, NULL otherwise. */
static char *header_value(const char *line, size_t n, const char *name) {
        size_t l = strlen(name);

        if (n <= l || strncasecmp(line, name, l) != 0 || line[l] != ':')
                return NULL;
        line += l + 1;
        n -= l + 1;
        while (n > 0 && strchr(" \t", *line)) {
                line++;
                n--;
        }
        while (n > 0 && strchr(" \t\r\n", line[n - 1]))
                n--;

        return n <= HTTP_HEADER_VALUE_MAX ? strndup(line, n) : NULL;
}

static void keep_header(const char *line, size_t n, const char *name, char **place) {
        char *v = header_value(line, n, name);

        if (v) {
                free(*place);
                *place = v;
        }
}

/* "bytes 100-199/200" */
static void keep_range(HttpResponse *r, const char *line, size_t n) {
        _cleanup_free_ char *v = header_value(line, n, "Content-Range");
        const char *start = v ? startswith(v, "bytes ") : NULL;

        if (!start)
                return;
        v[strcspn(v, "-")] = 0;
        (void) parse_uint64(start, &r->range_start);
}

static void keep_length(HttpResponse *r, const char *line, size_t n) {
        _cleanup_free_ char *v = header_value(line, n, "Content-Length");

        if (v)
                (void) parse_uint64(v, &r->content_length);
}

static void keep_authenticate(HttpResponse *r, const char *line, size_t n) {
        _cleanup_free_ char *v = header_value(line, n, "WWW-Authenticate");
        char *joined;

        if (!v || (r->authenticate && strlen(r->authenticate) + strlen(v) > HTTP_HEADER_VALUE_MAX))
                return;
        joined = r->authenticate ? strjoin(r->authenticate, ", ", v) : strdup(v);
        if (joined) {
                free(r->authenticate);
                r->authenticate = joined;
        }
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata) {
        HttpExchange *x = userdata;
        HttpResponse *r = &x->response;

        n *= size;
        if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
                response_done(r); /* one more response: what was before was a redirect or 1xx */
                return n;
        }

        keep_header(line, n, "Content-Type", &r->content_type);
        keep_header(line, n, "Content-Encoding", &r->content_encoding);
        keep_header(line, n, "Docker-Content-Digest", &r->content_digest);
        keep_range(r, line, n);
        keep_length(r, line, n);
        keep_authenticate(r, line, n);
        if (r->content_type)
                r->content_type[strcspn(r->content_type, "; \t")] = 0;
        return n;
}

static size_t on_write(char *p, size_t size, size_t n, void *userdata) {
        HttpExchange *x = userdata;

        n *= size;
        if (x->response.status == 0)
                (void) sym_curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->response.status);

        return x->ops->on_body(x, &x->response, p, n, x->userdata) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static int add_header(HttpExchange *x, const char *name, const char *value) {
        _cleanup_free_ char *line = NULL;
        struct curl_slist *l;

        if (!value)
                return 0;
        line = strjoin(name, ": ", value);
        l = line ? sym_curl_slist_append(x->headers, line) : NULL;
        if (!l)
                return -ENOMEM;
        x->headers = l;
        return 0;
}

#define SET(option, value)                                                       \
        do {                                                                     \
                if (sym_curl_easy_setopt(x->easy, option, value) != CURLE_OK)        \
                        return -EINVAL;                                          \
        } while (0)

static int set_options(HttpExchange *x, const HttpRequest *q) {
        const HttpConfig *config = &x->client->config;

        SET(CURLOPT_URL, q->url);
        SET(CURLOPT_PRIVATE, x);
        SET(CURLOPT_ERRORBUFFER, x->detail);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_USERAGENT, config->user_agent);
        SET(CURLOPT_HTTPHEADER, x->headers);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, x);
        SET(CURLOPT_WRITEFUNCTION, on_write);
        SET(CURLOPT_WRITEDATA, x);
        SET(CURLOPT_BUFFERSIZE, HTTP_BUFFER_SIZE);
        SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
        SET(CURLOPT_PROTOCOLS_STR, config->allow_http ? "http,https" : "https");
        SET(CURLOPT_REDIR_PROTOCOLS_STR, config->allow_http ? "http,https" : "https");
        SET(CURLOPT_FOLLOWLOCATION, 1L);
        SET(CURLOPT_MAXREDIRS, HTTP_REDIRECTS_MAX);
        SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
        SET(CURLOPT_CONNECTTIMEOUT, config->connect_timeout_sec);
        SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(CURLOPT_LOW_SPEED_TIME, config->low_speed_time_sec);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_PROXY, "");
        if (config->ca) {
                struct curl_blob blob = { x->client->ca, config->ca_size, CURL_BLOB_NOCOPY };

                SET(CURLOPT_CAINFO_BLOB, &blob);
        }
        return 0;
}

int http_get(HttpClient *c, const HttpRequest *q, const HttpOps *ops, void *userdata, HttpExchange **ret) {
        _cleanup_(http_exchange_freep) HttpExchange *x = calloc(1, sizeof(*x));
        _cleanup_free_ char *range = NULL;
        int r;

        if (!x)
                return -ENOMEM;
        x->client = c;
        x->ops = ops;
        x->userdata = userdata;
        response_done(&x->response);
        x->easy = sym_curl_easy_init();
        if (!x->easy)
                return -ENOMEM;

        /* As a header of our own rather than curl's option: a server that answers 200 to it is our matter,
         * not an error of curl's. */
        if (q->range_start > 0) {
                range = strformat("bytes=%" PRIu64 "-", q->range_start);
                if (!range)
                        return -ENOMEM;
        }
        r = add_header(x, "Accept", q->accept ?: "*/*");
        if (r >= 0)
                r = add_header(x, "Authorization", q->authorization);
        if (r >= 0)
                r = add_header(x, "Range", range);
        if (r >= 0)
                r = set_options(x, q);
        if (r < 0)
                return r;
        if (sym_curl_multi_add_handle(c->multi, x->easy) != CURLM_OK)
                return -ENOMEM;

        *ret = TAKE_PTR(x);
        return 0;
}
