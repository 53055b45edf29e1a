/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The user's name up to the first NUL, /etc/passwd up to the second, the rest is /etc/group. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(user_database_done) UserDatabase d = {};
        _cleanup_(user_info_done) UserInfo u = {};
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *name = NULL, *home = NULL;
        const uint8_t *first, *second;

        first = memchr(data, 0, size);
        if (!first)
                return 0;
        second = memchr(first + 1, 0, size - (size_t) (first + 1 - data));
        if (!second)
                return 0;

        /* Copies of the exact size, without a NUL behind them: reading beyond the end is then seen. */
        name = strndup((const char *) data, (size_t) (first - data));
        d.passwd_size = (size_t) (second - first - 1);
        d.passwd = malloc(d.passwd_size);
        d.group_size = size - (size_t) (second + 1 - data);
        d.group = malloc(d.group_size);
        if (!name || !d.passwd || !d.group)
                return 0;
        memcpy(d.passwd, first + 1, d.passwd_size);
        memcpy(d.group, second + 1, d.group_size);

        if (user_resolve(&d, name, &u, &e) >= 0) {
                (void) user_add_group(&d, name, &u, NULL);
                home = user_home(&d, u.uid);
        }
        return 0;
}
