/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/runtimes.h"

#define RUNTIME_NAME_MAX 64U

static const char *const known[] = { "crun", "runc", NULL };
static const char *const directories[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
                                           NULL };

bool runtime_is_valid(const char *name) {
        if (name[0] == '/')
                return path_is_normalized(name) && string_is_safe(name) && strlen(name) < PATH_MAX;
        return name[0] != 0 && strlen(name) <= RUNTIME_NAME_MAX &&
               string_in_charset(name, DIGITS LOWERCASE UPPERCASE "_.-");
}

static bool is_program(const char *path) {
        struct stat st;

        return stat(path, &st) >= 0 && S_ISREG(st.st_mode) && access(path, X_OK) >= 0;
}

/* 0: it is not there. */
static int find_known(const char *name, char **ret) {
        if (!strv_contains((char *const *) known, name))
                return 0;
        STRV_FOREACH (dir, directories) {
                _cleanup_free_ char *path = path_join(dir, name);

                if (!path)
                        return -ENOMEM;
                if (is_program(path)) {
                        *ret = TAKE_PTR(path);
                        return 1;
                }
        }
        return 0;
}

static int no_runtime(char *const *table, const char *name, Error *reterr_error) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        if (runtime_list(table, &names) >= 0)
                list = strv_join(names, ", ");
        return error_set(
                        reterr_error, -ENOENT, "NoSuchRuntime",
                        "Runtime: there is no runtime \"%.200s\"; there are %s. Install it, or give its path in section "
                        "[Runtimes] of moored.conf.",
                        name, strempty(list));
}

int runtime_find(char *const *table, const char *name, char **ret, Error *reterr_error) {
        const char *path;
        int r;

        *ret = NULL;
        if (!name || streq(name, RUNTIME_OWN))
                return 0;
        path = name[0] == '/' ? name : strv_env_get(table, name);
        if (path) {
                if (!is_program(path))
                        return error_set(reterr_error, -ENOENT, "NoSuchRuntime",
                                         "Runtime: \"%.200s\" is no program that can be executed.", path);
                *ret = strdup(path);
                return *ret ? 0 : -ENOMEM;
        }
        r = find_known(name, ret);
        return r != 0 ? MIN(r, 0) : no_runtime(table, name, reterr_error);
}

int runtime_list(char *const *table, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = strv_extend(&names, RUNTIME_OWN);
        STRV_FOREACH (assignment, table) {
                const char *eq = strchr(assignment, '=');

                if (r >= 0 && is_program(eq + 1))
                        r = strv_extendf(&names, "%.*s", (int) (eq - assignment), assignment);
        }
        STRV_FOREACH (name, known) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0 && !strv_env_get(table, name)) {
                        r = find_known(name, &path);
                        if (r > 0)
                                r = strv_extend(&names, name);
                }
        }
        if (r < 0)
                return r;
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}
