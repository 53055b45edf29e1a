/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A line that is one entry, which nearly all are, is passed on without a copy. journald says of what ended a piece:
 *
 *   (nothing)    a newline
 *   nul          a NUL, which belongs to the line
 *   line-max     nothing: the line is longer than LineMax= of journald.conf
 *   pid-change   nothing: the next bytes are another process'. Where these are a newline, journald does not tell of
 *                it (no empty entries), and two lines that became one are worse than one that became two
 *   eof          the stream's end */

#include "ctl/log-lines.h"

#include "basic/string-util.h"

typedef struct Pending {
        char *stream;
        size_t stream_size;
        char *data;
        size_t size, allocated;
        LogLine line; /* but for data and size */
} Pending;

struct LogLines {
        size_t line_max;
        LogLineFunc func;
        void *userdata;
        Pending *pending;
        size_t n_pending;
};

int log_lines_new(size_t line_max, LogLineFunc func, void *userdata, LogLines **ret) {
        LogLines *l = calloc(1, sizeof(LogLines));

        if (!l)
                return -ENOMEM;
        l->line_max = line_max;
        l->func = func;
        l->userdata = userdata;
        *ret = l;
        return 0;
}

LogLines *log_lines_free(LogLines *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n_pending; i++) {
                free(l->pending[i].stream);
                free(l->pending[i].data);
        }
        free(l->pending);
        free(l);
        return NULL;
}

static bool break_is(const char *line_break, size_t size, const char *s) {
        return line_break && size == strlen(s) && memcmp(line_break, s, size) == 0;
}

bool log_break_ends_line(const char *line_break, size_t size) {
        return !line_break || break_is(line_break, size, "eof") || break_is(line_break, size, "pid-change");
}

static bool ends_in_newline(const LogPiece *p) {
        return !p->line_break || break_is(p->line_break, p->line_break_size, "pid-change");
}

static Pending *pending_find(LogLines *l, const LogPiece *p) {
        for (size_t i = 0; i < l->n_pending; i++)
                if (p->stream && l->pending[i].stream_size == p->stream_size &&
                    memcmp(l->pending[i].stream, p->stream, p->stream_size) == 0)
                        return &l->pending[i];
        return NULL;
}

static int pending_new(LogLines *l, const LogPiece *p, Pending **ret) {
        Pending *pending, *n;

        pending = reallocarray(l->pending, l->n_pending + 1, sizeof(Pending));
        if (!pending)
                return -ENOMEM;
        l->pending = pending;
        n = &pending[l->n_pending];
        *n = (Pending) { .stream = malloc(p->stream_size + 1), .stream_size = p->stream_size };
        if (!n->stream)
                return -ENOMEM;
        memcpy(n->stream, p->stream, p->stream_size);
        n->line = (LogLine) { .usec = p->usec, .priority = p->priority, .source = p->source, .exec = p->exec };
        l->n_pending++;
        *ret = n;
        return 0;
}

static void pending_remove(LogLines *l, Pending *n) {
        free(n->stream);
        free(n->data);
        *n = l->pending[--l->n_pending];
}

static int pending_append(Pending *n, const void *data, size_t size) {
        if (size == 0)
                return 0;
        if (n->allocated - n->size < size) {
                size_t wanted = MAX(2 * n->allocated, n->size + size);
                char *d = realloc(n->data, wanted);

                if (!d)
                        return -ENOMEM;
                n->data = d;
                n->allocated = wanted;
        }
        memcpy(n->data + n->size, data, size);
        n->size += size;
        return 0;
}

static int pending_emit(LogLines *l, Pending *n, bool more) {
        int r;

        n->line.more = more;
        n->line.data = n->data;
        n->line.size = n->size;
        r = l->func(&n->line, l->userdata);
        n->size = 0;
        n->line.continued = true;
        return r;
}

static int emit_whole(LogLines *l, const LogPiece *p) {
        const LogLine line = {
                .data = p->data,
                .size = p->size,
                .newline = ends_in_newline(p),
                .usec = p->usec,
                .priority = p->priority,
                .source = p->source,
                .exec = p->exec,
        };

        return l->func(&line, l->userdata);
}

int log_lines_add(LogLines *l, const LogPiece *p) {
        Pending *n = pending_find(l, p);
        int r;

        if (!n && (!p->stream || log_break_ends_line(p->line_break, p->line_break_size)))
                return emit_whole(l, p);
        if (!n) {
                r = pending_new(l, p, &n);
                if (r < 0)
                        return r;
        }
        if (n->size > 0 && n->size + p->size + 1 > l->line_max) {
                r = pending_emit(l, n, true);
                if (r < 0)
                        return r;
        }
        r = pending_append(n, p->data, p->size);
        if (r >= 0 && break_is(p->line_break, p->line_break_size, "nul"))
                r = pending_append(n, "", 1);
        if (r < 0 || !log_break_ends_line(p->line_break, p->line_break_size))
                return r;

        n->line.newline = ends_in_newline(p);
        r = pending_emit(l, n, false);
        pending_remove(l, n);
        return r;
}

int log_lines_flush(LogLines *l) {
        int r = 0;

        while (l->n_pending > 0) {
                if (r >= 0)
                        r = pending_emit(l, l->pending, false);
                /* In the order in which they began. */
                free(l->pending[0].stream);
                free(l->pending[0].data);
                memmove(l->pending, l->pending + 1, --l->n_pending * sizeof(Pending));
        }
        return r;
}
