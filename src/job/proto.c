/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "basic/string-util.h"
#include "job/proto.h"

/* The two ends do not trust each other alike: a helper believes its daemon, the daemon must expect anything
 * from a helper that was taken over by what it read. Parsing is strict therefore and in one place: a whole
 * datagram either is a message or is refused. */

#define KEY_CHARSET UPPERCASE DIGITS "_"
#define KEY_MAX 32U

void proto_message_done(ProtoMessage *m) {
        for (size_t i = 0; i < m->n_fds; i++)
                safe_close(m->fds[i]);
        free(m->buffer);
        *m = (ProtoMessage) {};
}

/* Appends "KEY=value" and a newline before it where it is not the first line. */
static int append_field(char *buffer, size_t *n, const char *key, const char *value) {
        size_t k = strlen(key), v = strlen(value), need = k + 1 + v + (*n > 0);
        char *p;

        if (need > PROTO_MESSAGE_MAX - *n)
                return -EMSGSIZE;

        p = buffer + *n;
        if (*n > 0)
                *p++ = '\n';
        p = (char *) memcpy(p, key, k) + k;
        *p++ = '=';
        memcpy(p, value, v);
        /* What is UTF-8 stays: messages quote names in any language. */
        for (size_t i = 0; i < v; i++)
                if ((unsigned char) p[i] < 0x20 || p[i] == 0x7f)
                        p[i] = '?';

        *n += need;
        return 0;
}

int proto_send(int sock, const int *fds, size_t n_fds, const char *type, ...) {
        _cleanup_free_ char *buffer = malloc(PROTO_MESSAGE_MAX);
        size_t n = 0, n_fields = 1;
        va_list ap;
        int r;

        if (!buffer)
                return -ENOMEM;

        r = append_field(buffer, &n, "TYPE", type);
        va_start(ap, type);
        while (r >= 0) {
                const char *key = va_arg(ap, const char *), *value;

                if (!key)
                        break;
                value = va_arg(ap, const char *);
                r = ++n_fields > PROTO_FIELDS_MAX ? -EMSGSIZE
                                                  : append_field(buffer, &n, key, strempty(value));
        }
        va_end(ap);
        if (r < 0)
                return r;

        return send_with_fds(sock, buffer, n, fds, n_fds, 0);
}

/* Cuts m->buffer (n bytes and a NUL) into fields, in place. */
static int parse_fields(ProtoMessage *m, size_t n) {
        char *p = m->buffer;

        if (memchr(p, 0, n))
                return -EBADMSG;

        while (p) {
                char *line = p, *equals = strchr(p, '='), *end = strchr(p, '\n');

                if (!equals || (end && equals > end) || m->n_fields >= PROTO_FIELDS_MAX)
                        return -EBADMSG;
                *equals = 0;
                if (end)
                        *end = 0;
                if (equals == line || equals - line > (ptrdiff_t) KEY_MAX ||
                    !string_in_charset(line, KEY_CHARSET))
                        return -EBADMSG;
                for (const char *v = equals + 1; *v; v++)
                        if ((unsigned char) *v < 0x20 || *v == 0x7f)
                                return -EBADMSG;
                if (proto_get(m, line))
                        return -EBADMSG; /* twice */

                m->keys[m->n_fields] = line;
                m->values[m->n_fields++] = equals + 1;
                p = end ? end + 1 : NULL;
        }

        return streq(m->keys[0], "TYPE") && !isempty(m->values[0]) ? 0 : -EBADMSG;
}

int proto_receive(int sock, ProtoMessage *ret, bool wait) {
        _cleanup_proto_message_ ProtoMessage m = {};
        ssize_t n;
        int r;

        m.buffer = malloc(PROTO_MESSAGE_MAX + 1);
        if (!m.buffer)
                return -ENOMEM;

        n = recv_with_fds(sock, m.buffer, PROTO_MESSAGE_MAX, m.fds, &m.n_fds, wait ? 0 : MSG_DONTWAIT);
        if (n == -EMSGSIZE)
                return -EBADMSG;
        if (n == -ECONNRESET)
                return 0; /* it died with messages of ours unread */
        if (n < 0)
                return (int) n;
        if (n == 0)
                return 0;

        m.buffer[n] = 0;
        r = parse_fields(&m, (size_t) n);
        if (r < 0)
                return r;

        *ret = m;
        m = (ProtoMessage) {};
        return 1;
}

const char *proto_get(const ProtoMessage *m, const char *key) {
        for (size_t i = 0; i < m->n_fields; i++)
                if (streq(m->keys[i], key))
                        return m->values[i];
        return NULL;
}

int proto_get_uint64(const ProtoMessage *m, const char *key, uint64_t *ret) {
        const char *s = proto_get(m, key);

        return s ? parse_uint64(s, ret) : -ENOENT;
}

int proto_take_fd(ProtoMessage *m, size_t i) {
        return i < m->n_fds ? TAKE_FD(m->fds[i]) : -EBADF;
}

int proto_send_error(int sock, const Error *e) {
        char errno_text[PROTO_U64_MAX];

        return proto_send(sock, NULL, 0, "error", "NAME", error_name(e), "ERRNO",
                          proto_u64(errno_text, (uint64_t) - (int64_t) e->error), "MESSAGE",
                          error_message(e), NULL);
}

int proto_get_error(const ProtoMessage *m, Error *ret) {
        const char *name = proto_get(m, "NAME"), *message = proto_get(m, "MESSAGE");
        uint64_t error;

        if (isempty(name) || !string_in_charset(name, UPPERCASE LOWERCASE DIGITS) || !message ||
            proto_get_uint64(m, "ERRNO", &error) < 0 || error == 0 || error > 4095)
                return -EBADMSG;

        (void) error_set(ret, -(int) error, name, "%s", message);
        return 0;
}

char *proto_u64(char buf[static PROTO_U64_MAX], uint64_t v) {
        (void) snprintf(buf, PROTO_U64_MAX, "%" PRIu64, v);
        return buf;
}
