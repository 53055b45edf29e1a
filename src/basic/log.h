/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Log lines to the journal (when stderr is connected to it, with fields) or to stderr.
 *
 * Levels are syslog's. log_error_errno() and friends return the (negative) errno they were given, so that
 * `return log_error_errno(r, "…: %m")` works: %m is the text of that errno. Libraries log at debug level
 * only. */

#include <syslog.h>

#include "basic/macro.h"

void log_set_max_level(int level);
int log_get_max_level(void);
/* "debug", "info", … or 0–7; -EINVAL otherwise. */
int log_level_from_string(const char *s);
const char *log_level_to_string(int level);
/* Decides the target by $JOURNAL_STREAM; reads $MOORED_LOG_LEVEL. ident is the SYSLOG_IDENTIFIER. */
void log_open(const char *ident);
/* "journal" or "console": what LogControl1's LogTarget shows and sets. */
const char *log_get_target(void);
int log_set_target(const char *target);

int log_internal(int level, int error, const char *file, int line, const char *func, const char *format, ...)
                _printf_(6, 7);

/* With extra journal fields: fields is a NULL-terminated list of "KEY=value". */
int log_fields(int level, int error, const char *const *fields, const char *format, ...) _printf_(4, 5);

#define log_full_errno(level, error, ...)                                                                   \
        ({                                                                                                  \
                int log_l_ = (level), log_e_ = (error);                                                     \
                log_l_ <= log_get_max_level()                                                               \
                                ? log_internal(log_l_, log_e_, __FILE__, __LINE__, __func__, __VA_ARGS__)   \
                                : (log_e_ > 0 ? -log_e_ : log_e_);                                          \
        })

#define log_debug(...) ((void) log_full_errno(LOG_DEBUG, 0, __VA_ARGS__))
#define log_info(...) ((void) log_full_errno(LOG_INFO, 0, __VA_ARGS__))
#define log_notice(...) ((void) log_full_errno(LOG_NOTICE, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_full_errno(LOG_WARNING, 0, __VA_ARGS__))
#define log_error(...) ((void) log_full_errno(LOG_ERR, 0, __VA_ARGS__))

#define log_debug_errno(e, ...) log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...) log_full_errno(LOG_ERR, e, __VA_ARGS__)
#define log_oom() log_error_errno(-ENOMEM, "Out of memory.")
