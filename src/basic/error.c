/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "basic/error.h"
#include "basic/string-util.h"

/* Only the first error counts: what fails later, while cleaning up, does not hide the cause. Where memory
 * runs out the errno alone is kept and error_name() and error_message() make do with that. */

static const char *name_from_errno(int error) {
        switch (-error) {
        case ENOENT:
                return "NotFound";
        case ENOMEM:
                return "NoMemory";
        case ENOSPC:
                return "NoSpace";
        case EINVAL:
                return "InvalidArgument";
        case EEXIST:
                return "AlreadyExists";
        case EBUSY:
                return "Busy";
        case ECANCELED:
                return "Canceled";
        default:
                return "Failed";
        }
}

static int error_setv(Error *e, int error, const char *name, const char *format, va_list ap) _printf_(4, 0);
static int error_setv(Error *e, int error, const char *name, const char *format, va_list ap) {
        char *message = NULL;

        assert(error < 0);

        if (!e || error_is_set(e))
                return error;

        errno = -error; /* for %m */
        if (vasprintf(&message, format, ap) < 0)
                message = NULL;
        if (message)
                string_sanitize(message);

        e->error = error;
        e->name = strdup(name ?: name_from_errno(error));
        e->message = message;
        return error;
}

int error_set(Error *e, int error, const char *name, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = error_setv(e, error, name, format, ap);
        va_end(ap);
        return r;
}

int error_set_errno(Error *e, int error, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = error_setv(e, error, NULL, format, ap);
        va_end(ap);
        return r;
}

int error_oom(Error *e) {
        return error_set(e, -ENOMEM, "NoMemory", "Out of memory.");
}

int error_prefix(Error *e, const char *format, ...) {
        _cleanup_free_ char *prefix = NULL;
        char *message;
        va_list ap;
        int r;

        if (!error_is_set(e))
                return 0;

        errno = -e->error;
        va_start(ap, format);
        r = vasprintf(&prefix, format, ap);
        va_end(ap);
        if (r < 0) {
                prefix = NULL;
                return e->error;
        }

        message = strjoin(string_sanitize(prefix), ": ", error_message(e));
        if (message) {
                free(e->message);
                e->message = message;
        }
        return e->error;
}

int error_move(Error *dst, Error *src) {
        int r;

        if (!error_is_set(src))
                return 0;

        r = src->error;
        if (!dst) {
                error_done(src);
                return r;
        }

        assert(!error_is_set(dst));
        *dst = *src;
        *src = ERROR_NULL;
        return r;
}

int error_copy(Error *dst, const Error *src) {
        if (!error_is_set(src))
                return 0;
        if (!dst)
                return src->error;

        assert(!error_is_set(dst));
        *dst = (Error){
                .error = src->error,
                .name = src->name ? strdup(src->name) : NULL,
                .message = src->message ? strdup(src->message) : NULL,
        };
        return src->error;
}

bool error_has_name(const Error *e, const char *name) {
        return error_is_set(e) && streq(error_name(e), name);
}

const char *error_name(const Error *e) {
        if (!error_is_set(e))
                return "Failed";

        return e->name ?: name_from_errno(e->error);
}

const char *error_message(const Error *e) {
        if (!error_is_set(e))
                return "No error";

        return e->message ?: strerrordesc_np(-e->error) ?: "Unknown error";
}

void error_done(Error *e) {
        if (!e)
                return;

        free(e->name);
        free(e->message);
        *e = ERROR_NULL;
}
