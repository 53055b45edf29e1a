/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd.unit(5): in an escaped name "/" becomes "-", and each byte that is not an ASCII letter or digit,
 * ":", "_" or "." (nor a leading ".") becomes "\xNN". As "-" itself is escaped, the dashes between "moored",
 * the namespace and the id stay the only ones: two containers never share a unit name, nor a container and
 * an exec, and each slice is a direct child of moored.slice. */

#include <inttypes.h>

#include "container/unit-name.h"
#include "basic/string-util.h"

#define UNIT_NAME_PLAIN DIGITS LOWERCASE UPPERCASE ":_."
#define TEMPLATE_PREFIX "moored@"
#define RESOLVER_PREFIX "moored-dns@"
#define PLUGIN_RUN_PREFIX "moored-cni@"
#define OBJECT_PATH_PLAIN DIGITS LOWERCASE UPPERCASE

static const char hex_digits[] = "0123456789abcdef";

char *unit_name_escape(const char *s) {
        char *e, *t;

        e = t = malloc(strlen(s) * 4 + 1);
        if (!e)
                return NULL;

        for (const char *f = s; *f; f++) {
                unsigned char c = (unsigned char) *f;

                if (c == '/')
                        *t++ = '-';
                else if ((c == '.' && f == s) || !strchr(UNIT_NAME_PLAIN, c)) {
                        *t++ = '\\';
                        *t++ = 'x';
                        *t++ = hex_digits[c >> 4];
                        *t++ = hex_digits[c & 15];
                } else
                        *t++ = (char) c;
        }

        *t = 0;
        return e;
}

char *container_unit_name(const char *ns, const char *id) {
        _cleanup_free_ char *a = unit_name_escape(ns), *b = unit_name_escape(id);

        if (!a || !b)
                return NULL;

        return strjoin("moored-", a, "-", b, ".service");
}

char *container_scope_name(const char *ns, const char *id) {
        _cleanup_free_ char *a = unit_name_escape(ns), *b = unit_name_escape(id);

        return a && b ? strjoin("moored-", a, "-", b, ".scope") : NULL;
}

char *container_template_unit_name(const char *id) {
        return strjoin(TEMPLATE_PREFIX, id, ".service");
}

bool unit_is_installed(const char *unit) {
        return startswith(unit, TEMPLATE_PREFIX);
}

char *exec_unit_name(const char *ns, const char *id, uint64_t n) {
        _cleanup_free_ char *a = unit_name_escape(ns), *b = unit_name_escape(id);

        if (!a || !b)
                return NULL;

        return strformat("moored-%s-%s-%" PRIu64 ".service", a, b, n);
}

char *resolver_unit_name(const char *device) {
        _cleanup_free_ char *a = unit_name_escape(device);

        return a ? strjoin(RESOLVER_PREFIX, a, ".service") : NULL;
}

bool unit_is_resolver(const char *unit) {
        return startswith(unit, RESOLVER_PREFIX);
}

bool unit_is_plugin_run(const char *unit) {
        return startswith(unit, PLUGIN_RUN_PREFIX);
}

char *namespace_slice_name(const char *ns) {
        _cleanup_free_ char *a = unit_name_escape(ns);

        if (!a)
                return NULL;

        return strjoin("moored-", a, ".slice");
}

char *unit_object_path(const char *unit) {
        _cleanup_free_ char *e = NULL;
        char *t;

        /* The escape of bus object paths: "_" and two hex digits, for a leading digit, too. */
        e = t = malloc(strlen(unit) * 3 + 1);
        if (!e)
                return NULL;

        for (const char *f = unit; *f; f++) {
                unsigned char c = (unsigned char) *f;

                if (!strchr(OBJECT_PATH_PLAIN, c) || (f == unit && c >= '0' && c <= '9')) {
                        *t++ = '_';
                        *t++ = hex_digits[c >> 4];
                        *t++ = hex_digits[c & 15];
                } else
                        *t++ = (char) c;
        }
        *t = 0;

        return strjoin("/org/freedesktop/systemd1/unit/", e);
}

char *unit_control_group(const char *slice, const char *unit) {
        _cleanup_free_ char *path = NULL;
        const char *end = endswith(slice, ".slice");
        size_t n;

        if (!end)
                return NULL;

        /* "a-b.slice" lies in "a.slice"; "-.slice" is the root. */
        path = strdup("");
        if (!path)
                return NULL;
        if (streq(slice, "-.slice"))
                return strjoin("/", unit);

        for (const char *p = slice; p <= end; p++) {
                char *q;

                if (p != end && *p != '-')
                        continue;
                n = (size_t) (p - slice);
                q = strformat("%s/%.*s.slice", path, (int) n, slice);
                if (!q)
                        return NULL;
                free(path);
                path = q;
        }

        return strjoin(path, "/", unit);
}
