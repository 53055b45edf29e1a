/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A job's progress on stderr: on a terminal one bar per part, redrawn in place; elsewhere one line for each
 * change of a part's phase. */

#include "basic/macro.h"

#define PROGRESS_PARTS_MAX 1024U
#define PROGRESS_LINE_MAX 512U

typedef struct ProgressPart {
        char *digest;
        char *phase; /* "waiting", "downloading", "unpacking", "done", "failed" */
        uint64_t done, total;
        bool reused;
        bool announced; /* its present phase was printed as a line */
} ProgressPart;

typedef struct Progress Progress;

/* redraw: f is a terminal with `columns` and `rows`. colors: it has some. */
Progress *progress_new(FILE *f, bool redraw, bool colors, unsigned columns, unsigned rows);
Progress *progress_free(Progress *p);
DEFINE_CLEANUP_FUNC(Progress *, progress_free)

/* Adds the part or changes it. -ENOMEM, -E2BIG. */
int progress_set_part(Progress *p, const char *digest, const char *phase, uint64_t done, uint64_t total,
                      bool reused);
/* Draws what has changed. now: CLOCK_MONOTONIC, for the rate. */
void progress_draw(Progress *p, uint64_t now);
/* Leaves what was drawn; the next draw begins below. */
void progress_finish(Progress *p);

/* One line without newline, at most `columns` characters. buf is returned. Pure; exported for the tests. */
char *progress_format_part(char buf[static PROGRESS_LINE_MAX], const ProgressPart *part, unsigned columns,
                           bool colors);

typedef struct ProgressTotal {
        uint64_t done, total;      /* bytes fetched, and to fetch */
        uint64_t work, work_total; /* the same for fetching and unpacking together: never goes back */
        uint64_t rate;             /* bytes a second; 0: not known */
} ProgressTotal;
char *progress_format_total(char buf[static PROGRESS_LINE_MAX], const ProgressTotal *t, unsigned columns,
                            bool colors);
