/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/time-util.h"
#include "container/probe.h"

#define ANSWER_MAX (64U * 1024)
/* It obeys the timeout itself; this is for one that does not answer at all. */
#define SLACK_USEC (20 * USEC_PER_SEC)
#define ACCURACY_USEC USEC_PER_SEC

struct Probe {
        int sock;
        sd_event_source *io, *timer;
        ProbeFunc func;
        void *userdata;
};

Probe *probe_free(Probe *p) {
        if (!p)
                return NULL;

        sd_event_source_disable_unref(p->io);
        sd_event_source_disable_unref(p->timer);
        safe_close(p->sock);
        free(p);
        return NULL;
}

/* -- the answer ---------------------------------------------------------------------------------- */

typedef struct Answer {
        int64_t exit_code;
        char *output, *error, *name;
        bool ready, namespace;
        int netns;
} Answer;

static void answer_done(Answer *a) {
        free(a->output);
        free(a->error);
        free(a->name);
        safe_close(a->netns);
}

static int parse_answer(const char *text, size_t n, Answer *ret, Error *reterr_error) {
        static const JsonField fields[] = {
                { "exitCode", JSON_FIELD_INT64, offsetof(Answer, exit_code), false, NULL },
                { "output", JSON_FIELD_STRING, offsetof(Answer, output), false, NULL },
                { "ready", JSON_FIELD_BOOL, offsetof(Answer, ready), false, NULL },
                { "namespace", JSON_FIELD_BOOL, offsetof(Answer, namespace), false, NULL },
                { "error", JSON_FIELD_STRING, offsetof(Answer, error), false, NULL },
                { "name", JSON_FIELD_STRING, offsetof(Answer, name), false, NULL },
                {},
        };
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, n, ANSWER_MAX, &j, reterr_error);
        if (r >= 0)
                r = json_dispatch(j, fields, ret, "answer", false, reterr_error);
        if (r >= 0 && !ret->output && !ret->error && !(ret->namespace && ret->netns >= 0))
                r = error_set(reterr_error, -EBADMSG, "Failed", "moored-probe answered nothing.");
        return r;
}

static int receive(Probe *p, Answer *ret, Error *reterr_error) {
        char text[ANSWER_MAX];
        size_t n_fds = 0;
        int fds[FDS_MAX];
        ssize_t n;

        n = recv_with_fds(p->sock, text, sizeof(text), fds, &n_fds, MSG_DONTWAIT);
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        if (n >= 0 && n_fds > 0)
                ret->netns = fds[0];
        if (n == -EMSGSIZE)
                return error_set(reterr_error, -EMSGSIZE, "Failed", "moored-probe's answer is too long.");
        if (n < 0)
                return error_set_errno(reterr_error, (int) n, "moored-probe's answer cannot be read: %m");
        if (n == 0)
                return error_set(reterr_error, -ECONNRESET, "Failed", "moored-probe ended without an answer.");
        return parse_answer(text, (size_t) n, ret, reterr_error);
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        _cleanup_(answer_done) Answer a = { .netns = -EBADF };
        _cleanup_error_ Error error = ERROR_NULL;
        Probe *p = userdata;
        ProbeResult result;
        int r;

        (void) sd_event_source_set_enabled(p->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        r = receive(p, &a, &error);
        if (r >= 0 && a.error)
                r = error_set(&error, -EIO, a.name ?: "Failed", "%s", a.error);
        if (r < 0) {
                p->func(NULL, &error, p->userdata);
                return 0;
        }

        result = (ProbeResult){ .exit_code = (int) a.exit_code, .output = a.output, .ready = a.ready, .netns = a.netns };
        p->func(&result, NULL, p->userdata);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        Probe *p = userdata;

        (void) sd_event_source_set_enabled(p->io, SD_EVENT_OFF);
        (void) error_set(&error, -ETIMEDOUT, "Failed", "moored-probe does not answer.");
        p->func(NULL, &error, p->userdata);
        return 0;
}

/* -- the request --------------------------------------------------------------------------------- */

static int connect_to(const char *path, int *ret, Error *reterr_error) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return error_set(reterr_error, -ENAMETOOLONG, "Failed", "The path \"%s\" is too long.", path);
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Failed to make a socket: %m");
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Nobody listens at %s (%m); see systemctl status moored-probe.socket.",
                                       path);
        *ret = TAKE_FD(fd);
        return 0;
}

static int send_request(int sock, const ProbeRequest *q, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        _cleanup_close_ int memfd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r;

        j = json_pack("{s:s, s:s, s:I, s:o, s:I, s:b, s:b}", "bundle", q->bundle, "cgroup", q->control_group, "pid",
                      (json_int_t) q->pid, "args", json_from_strv(q->command), "timeoutUSec",
                      (json_int_t) MIN(q->timeout_usec, (uint64_t) INT64_MAX), "ready", (int) q->ready, "namespace",
                      (int) !q->command);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = memfd = memfd_new_sealed("moored-probe", text, strlen(text));
        if (r >= 0)
                r = send_with_fds(sock, "", 1, &memfd, 1, MSG_NOSIGNAL);
        return r < 0 ? error_set_errno(reterr_error, r, "Failed to ask moored-probe: %m") : 0;
}

static int watch(Probe *p, sd_event *event, uint64_t timeout_usec) {
        int r;

        r = sd_event_add_io(event, &p->io, p->sock, EPOLLIN, on_answer, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(p->io, "probe");
        if (timeout_usec >= USEC_INFINITY / 2)
                return 0;
        return sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, timeout_usec + SLACK_USEC,
                                          ACCURACY_USEC, on_timeout, p);
}

int probe_new(sd_event *event, const char *socket_path, const ProbeRequest *request, ProbeFunc func,
              void *userdata, Probe **ret, Error *reterr_error) {
        _cleanup_(probe_freep) Probe *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        *p = (Probe){ .sock = -EBADF, .func = func, .userdata = userdata };
        r = connect_to(socket_path, &p->sock, reterr_error);
        if (r >= 0)
                r = send_request(p->sock, request, reterr_error);
        if (r < 0)
                return r;
        r = watch(p, event, request->timeout_usec);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to wait for moored-probe: %m");

        *ret = TAKE_PTR(p);
        return 0;
}
