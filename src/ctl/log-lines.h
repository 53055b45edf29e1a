/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* journald's entries as the lines that were written: very long ones and ones with NULs in them come in
 * pieces, each an entry with _LINE_BREAK=, between those of other streams. */

#include "basic/macro.h"

/* What is kept of a line that has not ended; a longer one is passed on in parts. */
#define LOG_LINE_SIZE_MAX ((size_t) 16 * 1024 * 1024)

/* A journal's entry. Nothing in it is kept but the bytes. */
typedef struct LogPiece {
        const char *stream; /* _STREAM_ID=; not NUL-terminated; NULL: a line of its own */
        size_t stream_size;
        const char *line_break; /* _LINE_BREAK=, the same; NULL: it ended in a newline */
        size_t line_break_size;
        const void *data;
        size_t size;
        uint64_t usec;
        int priority;
        void *source; /* whose it is: passed on */
        uint64_t exec;
} LogPiece;

typedef struct LogLine {
        const void *data;
        size_t size;
        bool newline;   /* it ended in one, which is not in data; else the stream ended there, or … */
        bool more;      /* … the rest of the line follows */
        bool continued; /* of the same line something was passed on before */
        uint64_t usec;  /* of its first piece */
        int priority;
        void *source;
        uint64_t exec;
} LogLine;

typedef struct LogLines LogLines;
typedef int (*LogLineFunc)(const LogLine *line, void *userdata);

int log_lines_new(size_t line_max, LogLineFunc func, void *userdata, LogLines **ret);
LogLines *log_lines_free(LogLines *l);
DEFINE_CLEANUP_FUNC(LogLines *, log_lines_free)
/* A negative result is func's, or -ENOMEM. */
int log_lines_add(LogLines *l, const LogPiece *piece);
/* There will be no more: passes on what has no end. */
int log_lines_flush(LogLines *l);
/* Whether an entry with this _LINE_BREAK= is the last of a line. */
bool log_break_ends_line(const char *line_break, size_t size);
