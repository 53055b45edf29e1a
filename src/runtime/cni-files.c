/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where configurations and plug-ins are. These are the administrator's files, so symlinks are followed. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cni.h"

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static bool has_suffix(const char *name, const char *const *suffixes) {
        STRV_FOREACH(s, suffixes)
                if (endswith(name, s))
                        return true;
        return false;
}

/* Sorted. Nothing, where there is no such directory. */
static int list_files(const char *path, const char *const *suffixes, char ***ret, Error *reterr_error) {
        _cleanup_(closedirp) DIR *d = opendir(path);
        _cleanup_strv_free_ char **names = NULL;
        struct dirent *e;
        size_t n = 0;

        if (!d && errno != ENOENT)
                return error_set_errno(reterr_error, -errno, "%s cannot be read: %m", path);
        while (d && (errno = 0, e = readdir(d))) {
                if (e->d_name[0] == '.' || !has_suffix(e->d_name, suffixes))
                        continue;
                if (++n > CNI_FILES_MAX)
                        return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                         "%s has more than %u configurations of networks: move some away.", path, CNI_FILES_MAX);
                if (strv_extend(&names, e->d_name) < 0)
                        return error_oom(reterr_error);
        }
        if (names)
                strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}

static int read_conf(const char *dir, const char *name, char **ret, size_t *ret_size, Error *reterr_error) {
        _cleanup_free_ char *path = path_join(dir, name);
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = read_file_at(AT_FDCWD, path, CNI_FILE_SIZE_MAX, ret, ret_size);
        return r < 0 ? error_set_errno(reterr_error, r, "%s cannot be read: %m", path) : 0;
}

static int parse_file(const char *dir, const char *name, CniConf *ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_conf(dir, name, &text, &size, reterr_error);
        if (r < 0)
                return r;
        r = cni_conf_parse(text, size, ret, reterr_error);
        (void) error_prefix(reterr_error, "%s/%s", dir, name);
        return r;
}

/* Plug-ins from files of their own, behind those of the list. */
static int append_directory(const char *dir, CniConf *c, Error *reterr_error) {
        static const char *const suffixes[] = { ".conf", NULL };
        _cleanup_free_ char *path = path_join(dir, c->name);
        _cleanup_strv_free_ char **names = NULL;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = list_files(path, suffixes, &names, reterr_error);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *text = NULL;
                size_t size;

                r = read_conf(path, name, &text, &size, reterr_error);
                if (r >= 0) {
                        r = cni_conf_append(c, text, size, reterr_error);
                        (void) error_prefix(reterr_error, "%s/%s", path, name);
                }
                if (r < 0)
                        return r;
        }
        return r;
}

static int complete(const char *dir, CniConf *c, Error *reterr_error) {
        int r = c->only_inlined ? 0 : append_directory(dir, c, reterr_error);

        if (r >= 0 && json_array_size(c->plugins) == 0)
                r = error_set(reterr_error, -EBADMSG, "BadNetworkConfiguration",
                              "The network \"%s\" of %s has no plug-ins.", c->name, dir);
        return r;
}

static int not_found(const char *dir, const char *name, char *const *others, const Error *broken, Error *reterr_error) {
        _cleanup_free_ char *list = strv_join(others, ", ");

        return error_set(reterr_error, -ENOENT, "NoSuchNetwork", "%s has no network \"%.64s\"%s%s%s%s.", dir, name,
                         isempty(list) ? "" : "; it has ", strempty(list), error_is_set(broken) ? "; not understood: " : "",
                         error_is_set(broken) ? error_message(broken) : "");
}

int cni_find(const char *dir, const char *name, CniConf *ret, Error *reterr_error) {
        static const char *const suffixes[] = { ".conflist", ".conf", ".json", NULL };
        _cleanup_strv_free_ char **names = NULL, **others = NULL;
        _cleanup_error_ Error broken = ERROR_NULL;
        int r;

        r = list_files(dir, suffixes, &names, reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH(s, names) {
                _cleanup_(cni_conf_done) CniConf c = {};
                _cleanup_error_ Error e = ERROR_NULL;

                r = parse_file(dir, s, &c, &e);
                if (r < 0) {
                        if (!error_is_set(&broken))
                                (void) error_move(&broken, &e);
                        continue;
                }
                if (!streq(c.name, name)) {
                        if (strv_extend(&others, c.name) < 0)
                                return error_oom(reterr_error);
                        continue;
                }
                r = complete(dir, &c, reterr_error);
                if (r < 0)
                        return r;
                *ret = c;
                c = (CniConf){};
                return 0;
        }
        return not_found(dir, name, others, &broken, reterr_error);
}

int cni_find_plugin(const char *path, const char *type, const char *network, char **ret, Error *reterr_error) {
        _cleanup_strv_free_ char **dirs = strv_split(path, ":");

        STRV_FOREACH(d, dirs) {
                _cleanup_free_ char *p = path_join(d, type);
                struct stat st;

                if (!p)
                        return error_oom(reterr_error);
                if (stat(p, &st) >= 0 && S_ISREG(st.st_mode) && access(p, X_OK) >= 0) {
                        *ret = TAKE_PTR(p);
                        return 0;
                }
        }
        return error_set(reterr_error, -ENOENT, "NoSuchPlugin",
                         "The plug-in \"%.64s\" of network \"%s\" is not there: none of %s has it (many come with Debian's "
                         "containernetworking-plugins).",
                         type, network, path);
}
