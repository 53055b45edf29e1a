/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frame is made in memory and written at once, each line ending in "clear to the right", so that nothing
 * flickers. No line is ever as wide as the terminal, and there are never more lines than rows: otherwise the
 * terminal would wrap or scroll, and "up by N lines" would lead elsewhere. */

#include "ctl/progress.h"

#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/terminal.h"

#define DIGEST_CHARS 12
#define PHASE_CHARS 11
#define BAR_MIN 10U
#define BAR_MAX 40U
#define RATE_WINDOW_USEC (3 * USEC_PER_SEC)

struct Progress {
        FILE *f;
        bool redraw, colors;
        unsigned columns, rows;
        ProgressPart *parts;
        size_t n_parts;
        unsigned n_drawn; /* lines on the screen that belong to us */
        /* rate: bytes at the beginning of the window, and of the one before */
        uint64_t window_start, window_bytes, rate;
};

Progress *progress_new(FILE *f, bool redraw, bool colors, unsigned columns, unsigned rows) {
        Progress *p = calloc(1, sizeof(Progress));

        if (!p)
                return NULL;
        *p = (Progress) {
                .f = f,
                .redraw = redraw,
                .colors = colors,
                .columns = columns,
                .rows = rows,
        };
        return p;
}

Progress *progress_free(Progress *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_parts; i++) {
                free(p->parts[i].digest);
                free(p->parts[i].phase);
        }
        free(p->parts);
        free(p);
        return NULL;
}

static int part_new(Progress *p, const char *digest, ProgressPart **ret) {
        _cleanup_free_ char *d = strdup(digest), *phase = strdup("");
        ProgressPart *parts;

        if (p->n_parts >= PROGRESS_PARTS_MAX)
                return -E2BIG;
        parts = reallocarray(p->parts, p->n_parts + 1, sizeof(ProgressPart));
        if (parts)
                p->parts = parts;
        if (!parts || !d || !phase)
                return -ENOMEM;
        parts[p->n_parts] =
                        (ProgressPart) { .digest = string_sanitize(TAKE_PTR(d)), .phase = TAKE_PTR(phase) };
        *ret = &parts[p->n_parts++];
        return 0;
}

int progress_set_part(Progress *p, const char *digest, const char *phase, uint64_t done, uint64_t total,
                      bool reused) {
        ProgressPart *part = NULL;
        int r;

        for (size_t i = 0; i < p->n_parts && !part; i++)
                if (streq(p->parts[i].digest, digest))
                        part = &p->parts[i];
        if (!part) {
                r = part_new(p, digest, &part);
                if (r < 0)
                        return r;
        }
        if (!streq(part->phase, phase)) {
                r = free_and_strdup(&part->phase, phase);
                if (r < 0)
                        return r;
                string_sanitize(part->phase);
                part->announced = false;
        }
        part->done = done;
        part->total = total;
        part->reused = reused;
        return 0;
}

static const char *short_digest(const char *digest) {
        const char *colon = strchr(digest, ':');

        return colon ? colon + 1 : digest;
}

static const char *phase_color(const ProgressPart *part) {
        if (streq(part->phase, "failed"))
                return ANSI_RED;
        if (streq(part->phase, "done"))
                return ANSI_GREEN;
        if (streq(part->phase, "waiting"))
                return ANSI_GREY;
        return ANSI_YELLOW;
}

/* "12.0M/157.3M", or one number where there is no total or all is done. */
static void format_amount(char *buf, size_t l, uint64_t done, uint64_t total) {
        char a[FORMAT_BYTES_MAX], b[FORMAT_BYTES_MAX];

        format_bytes(a, sizeof a, done);
        format_bytes(b, sizeof b, total);
        if (total == 0 || done >= total)
                (void) snprintf(buf, l, "%s", total > 0 ? b : a);
        else
                (void) snprintf(buf, l, "%s/%s", a, b);
}

static size_t append(char *buf, size_t n, const char *s) {
        size_t l = strlen(s);

        if (n + l >= PROGRESS_LINE_MAX)
                return n;
        memcpy(buf + n, s, l + 1);
        return n + l;
}

static size_t append_bar(char *buf, size_t n, unsigned width, uint64_t done, uint64_t total,
                         const char *color) {
        unsigned filled = 0;

        /* In double: 64-bit byte counts times the width may overflow. */
        if (total > 0)
                filled = done >= total ? width : (unsigned) ((double) done / (double) total * width);
        n = append(buf, n, strempty(color));
        for (unsigned i = 0; i < filled; i++)
                n = append(buf, n, "━");
        n = append(buf, n, color ? ANSI_GREY : "");
        for (unsigned i = filled; i < width; i++)
                n = append(buf, n, color ? "━" : "─");
        return append(buf, n, color ? ANSI_RESET : "");
}

/* `left`, a bar if there is room, `right`; all in less than `columns` characters. */
static char *format_line(char *buf, const char *left, const char *right, uint64_t done, uint64_t total,
                         unsigned columns, const char *color) {
        size_t n, l = utf8_length(left), r = utf8_length(right), room = columns > 0 ? columns - 1 : 0;

        buf[0] = 0;
        if (l + 2 + BAR_MIN + 2 + r <= room) {
                unsigned width = (unsigned) MIN(room - l - r - 4, (size_t) BAR_MAX);

                n = append(buf, 0, left);
                n = append(buf, n, "  ");
                n = append_bar(buf, n, width, done, total, color);
                n = append(buf, n, "  ");
                (void) append(buf, n, right);
                return buf;
        }
        (void) snprintf(buf, PROGRESS_LINE_MAX, "%s  %s", left, right);
        buf[utf8_prefix(buf, room)] = 0;
        return buf;
}

char *progress_format_part(char buf[static PROGRESS_LINE_MAX], const ProgressPart *part, unsigned columns,
                           bool colors) {
        char left[64], right[64], amount[2 * FORMAT_BYTES_MAX + 2];
        bool over = streq(part->phase, "done");

        (void) snprintf(left, sizeof left, "%-*.*s  %-*.*s", DIGEST_CHARS, DIGEST_CHARS,
                        short_digest(part->digest), PHASE_CHARS, PHASE_CHARS,
                        part->reused && over ? "present" : part->phase);
        format_amount(amount, sizeof amount, over ? part->total : part->done, part->total);
        (void) snprintf(right, sizeof right, "%15s", amount);
        return format_line(buf, left, right, over ? 1 : part->done, over ? 1 : part->total, columns,
                           colors ? phase_color(part) : NULL);
}

char *progress_format_total(char buf[static PROGRESS_LINE_MAX], const ProgressTotal *t, unsigned columns,
                            bool colors) {
        char left[64], right[96], amount[2 * FORMAT_BYTES_MAX + 2], speed[FORMAT_BYTES_MAX];

        (void) snprintf(left, sizeof left, "%-*s  %*s", DIGEST_CHARS, "total", PHASE_CHARS, "");
        format_amount(amount, sizeof amount, t->done, t->total);
        if (t->rate > 0)
                (void) snprintf(right, sizeof right, "%15s  %s/s", amount,
                                format_bytes(speed, sizeof speed, t->rate));
        else
                (void) snprintf(right, sizeof right, "%15s", amount);
        return format_line(buf, left, right, t->work, t->work_total, columns, colors ? ANSI_BOLD : NULL);
}

/* A part's `done` begins again at 0 when its unpacking does. */
static void add_to_total(ProgressTotal *t, const ProgressPart *part) {
        uint64_t done = MIN(part->done, part->total);

        t->total += part->total;
        t->work_total += 2 * part->total;
        if (streq(part->phase, "done")) {
                t->done += part->total;
                t->work += 2 * part->total;
        } else if (streq(part->phase, "unpacking")) {
                t->done += part->total;
                t->work += part->total + done;
        } else {
                t->done += done;
                t->work += done;
        }
}

static void update_rate(Progress *p, uint64_t done, uint64_t now) {
        if (p->window_start == 0 || done < p->window_bytes) {
                p->window_start = now;
                p->window_bytes = done;
                return;
        }
        if (now - p->window_start < USEC_PER_SEC)
                return;
        p->rate = (done - p->window_bytes) * USEC_PER_SEC / (now - p->window_start);
        if (now - p->window_start >= RATE_WINDOW_USEC) {
                p->window_start = now;
                p->window_bytes = done;
        }
}

static void draw_lines(Progress *p) {
        for (size_t i = 0; i < p->n_parts; i++) {
                ProgressPart *part = &p->parts[i];
                char total[FORMAT_BYTES_MAX];

                if (part->announced || streq(part->phase, "waiting"))
                        continue;
                part->announced = true;
                fprintf(p->f, "%.*s: %s", DIGEST_CHARS, short_digest(part->digest),
                        part->reused && streq(part->phase, "done") ? "present" : part->phase);
                if (part->total > 0)
                        fprintf(p->f, " (%s)", format_bytes(total, sizeof total, part->total));
                fputc('\n', p->f);
        }
        (void) fflush(p->f);
}

static void draw_frame(Progress *p, uint64_t now) {
        _cleanup_free_ char *frame = NULL;
        ProgressTotal sum = {};
        size_t size = 0, n_over = 0, skip = 0, room = p->rows > 3 ? p->rows - 2 : 1;
        char line[PROGRESS_LINE_MAX];
        unsigned n = 0;
        FILE *f;

        f = open_memstream(&frame, &size);
        if (!f)
                return;
        if (p->n_drawn > 0)
                fprintf(f, "\033[%uA", p->n_drawn);

        for (size_t i = 0; i < p->n_parts; i++) {
                add_to_total(&sum, &p->parts[i]);
                n_over += streq(p->parts[i].phase, "done");
        }
        update_rate(p, sum.done, now);
        sum.rate = p->rate;
        /* Too many for the screen: those that are done go first. */
        if (p->n_parts > room)
                skip = MIN(n_over, p->n_parts - room);
        for (size_t i = 0; i < p->n_parts && n < room; i++) {
                if (skip > 0 && streq(p->parts[i].phase, "done")) {
                        skip--;
                        continue;
                }
                fprintf(f, "\r%s\033[K\n", progress_format_part(line, &p->parts[i], p->columns, p->colors));
                n++;
        }
        fprintf(f, "\r%s\033[K\n", progress_format_total(line, &sum, p->columns, p->colors));
        n++;
        /* The list never gets shorter, but the frame may: what the last one left below goes. */
        fputs("\033[J", f);
        p->n_drawn = n;

        if (fclose(f) == 0) {
                (void) fwrite(frame, 1, size, p->f);
                (void) fflush(p->f);
        }
}

void progress_draw(Progress *p, uint64_t now) {
        if (!p->redraw)
                draw_lines(p);
        else if (p->n_parts > 0)
                draw_frame(p, now);
}

void progress_finish(Progress *p) {
        p->n_drawn = 0;
}
