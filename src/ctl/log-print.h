/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of containers on our stdout and stderr. */

#include "basic/json.h"
#include "ctl/log-lines.h"
#include "ctl/output-json.h"

/* Priorities of stderr's lines; stdout's have 6 ("info"). */
#define LOG_PRIORITY_STDERR_MAX 3

typedef enum LogFormat {
        LOG_FORMAT_CAT, /* as it was written */
        LOG_FORMAT_SHORT,
        LOG_FORMAT_SHORT_ISO,
        LOG_FORMAT_SHORT_PRECISE,
        LOG_FORMAT_JSON,
        LOG_FORMAT_JSON_PRETTY,
        _LOG_FORMAT_MAX,
        _LOG_FORMAT_INVALID = -EINVAL,
} LogFormat;
DECLARE_STRING_TABLE(log_format, LogFormat);

/* Whose line it is: LogLine's source. */
typedef struct LogSource {
        const char *ns, *id;
        char *image; /* or NULL */
} LogSource;

typedef struct LogPrinter {
        LogFormat format;
        bool timestamps, names; /* LOG_FORMAT_CAT: before each line */
        bool together;          /* stderr's lines to stdout as well */
        bool colors[2];         /* of stdout, stderr */
        /* state */
        bool open[2]; /* in the middle of a line */
        uint64_t n_printed;
} LogPrinter;

/* A LogLineFunc; userdata: LogPrinter. */
int log_print_line(const LogLine *line, void *userdata);
/* Pure: the line as an object. Message is a string, or an array of bytes where they are not UTF-8. */
int log_line_to_json(const LogLine *line, json_t **ret);
/* What goes before it; "" if nothing does. NULL on OOM. */
char *log_line_prefix(const LogPrinter *p, const LogLine *line);
