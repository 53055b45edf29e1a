/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An error that a user will read: an errno for the code, a name for programs, a sentence for people.
 *
 * Functions whose failure a user reads take `Error *reterr_error` last (may be NULL) and return a negative
 * errno. Names are the last part of org.moored1.Error.*: "NoSuchImage", "DigestMismatch",
 * "InvalidReference",
 * ... or one of "InvalidArgument", "Failed", "NoMemory" where no better one exists. */

#include "basic/macro.h"

typedef struct Error {
        int error;     /* negative errno, 0 = not set */
        char *name;    /* owned; never NULL when set, but for out of memory, see error_name() */
        char *message; /* owned; likewise */
} Error;

#define ERROR_NULL ((Error){})

/* Fills e (if not NULL and not set yet) and returns error, which must be negative. %m in format is error's
 * text. The message is made safe to show and to send over D-Bus: see string_sanitize(). */
int error_set(Error *e, int error, const char *name, const char *format, ...) _printf_(4, 5);

/* The same without a name: derived from the errno (-ENOENT → "NotFound", -ENOMEM → "NoMemory", -ENOSPC →
 * "NoSpace", -EINVAL → "InvalidArgument", -EEXIST → "AlreadyExists", -EBUSY → "Busy", -ECANCELED →
 * "Canceled", others "Failed"). */
int error_set_errno(Error *e, int error, const char *format, ...) _printf_(3, 4);

/* -ENOMEM, "NoMemory" */
int error_oom(Error *e);

/* Puts "prefix: " before the message of an error that is set. Returns e->error (0 if not set). */
int error_prefix(Error *e, const char *format, ...) _printf_(2, 3);

/* Moves src to dst (if dst is NULL: drops it). Returns src's errno. dst must not be set. */
int error_move(Error *dst, Error *src);
int error_copy(Error *dst, const Error *src);

static inline bool error_is_set(const Error *e) {
        return e && e->error < 0;
}
bool error_has_name(const Error *e, const char *name);

/* Never NULL. */
const char *error_name(const Error *e);
const char *error_message(const Error *e);

/* Empties; may be used again after. */
void error_done(Error *e);

#define _cleanup_error_ _cleanup_(error_done)
