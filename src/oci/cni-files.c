/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where configurations and plug-ins are. These are the administrator's files, so symlinks are followed. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/cni.h"

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

typedef struct Reader {
        const char *dir;
        size_t size; /* of all that has been read */
} Reader;

/* -E2BIG: that was too much altogether. */
static int read_conf(Reader *reader, const char *path, char **ret, size_t *ret_size, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, CNI_FILE_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "%s cannot be read: %m", path);
        reader->size += size;
        if (reader->size > CNI_FILES_SIZE_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "%s has more than %u bytes of configurations of networks: move some away.", reader->dir,
                                 CNI_FILES_SIZE_MAX);
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int parse_file(Reader *reader, const char *path, CniConf *ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_conf(reader, path, &text, &size, reterr_error);
        if (r < 0)
                return r;
        r = cni_conf_parse(text, size, ret, reterr_error);
        (void) error_prefix(reterr_error, "%s", path);
        return r;
}

/* Plug-ins from files of their own, behind those of the list. */
static int append_directory(Reader *reader, CniConf *c, Error *reterr_error) {
        static const char *const suffixes[] = { ".conf", NULL };
        _cleanup_free_ char *dir = path_join(reader->dir, c->name);
        _cleanup_strv_free_ char **names = NULL;
        int r;

        if (!dir)
                return error_oom(reterr_error);
        r = list_files(dir, suffixes, &names, reterr_error);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = path_join(dir, name), *text = NULL;
                size_t size;

                if (!path)
                        return error_oom(reterr_error);
                r = read_conf(reader, path, &text, &size, reterr_error);
                if (r >= 0) {
                        r = cni_conf_append(c, text, size, reterr_error);
                        (void) error_prefix(reterr_error, "%s", path);
                }
                if (r < 0)
                        return r;
        }
        return r;
}

static int complete(Reader *reader, const char *path, CniConf *c, Error *reterr_error) {
        int r = c->only_inlined ? 0 : append_directory(reader, c, reterr_error);

        if (r >= 0 && json_array_size(c->plugins) == 0)
                r = error_set(reterr_error, -EBADMSG, "BadNetworkConfiguration",
                              "%s: The network \"%s\" has no plug-ins (\"plugins\").", path, c->name);
        return r;
}

/* Positive: that was enough. conf is func's to take. */
typedef int (*WalkFunc)(Reader *reader, const char *path, CniConf *conf, const Error *error, void *userdata, Error *reterr_error);

static int walk(const char *dir, WalkFunc func, void *userdata, Error *reterr_error) {
        static const char *const suffixes[] = { ".conflist", ".conf", ".json", NULL };
        _cleanup_strv_free_ char **names = NULL;
        Reader reader = { .dir = dir };
        int r;

        r = list_files(dir, suffixes, &names, reterr_error);
        STRV_FOREACH(s, names) {
                _cleanup_free_ char *path = path_join(dir, s);
                _cleanup_(cni_conf_done) CniConf c = {};
                _cleanup_error_ Error e = ERROR_NULL;

                if (!path)
                        return error_oom(reterr_error);
                r = parse_file(&reader, path, &c, &e);
                if (r == -E2BIG)
                        return error_move(reterr_error, &e);
                r = func(&reader, path, r < 0 ? NULL : &c, &e, userdata, reterr_error);
                if (r != 0)
                        return r;
        }
        return r;
}

/* -- one of them -------------------------------------------------------------------------------- */

typedef struct Search {
        const char *name;
        CniConf *ret;
        char **others;
        Error broken; /* the first */
} Search;

static int match(Reader *reader, const char *path, CniConf *conf, const Error *error, void *userdata, Error *reterr_error) {
        Search *s = userdata;
        int r;

        if (!conf) {
                if (!error_is_set(&s->broken))
                        (void) error_copy(&s->broken, error);
                return 0;
        }
        if (!streq(conf->name, s->name))
                return strv_extend(&s->others, conf->name) < 0 ? error_oom(reterr_error) : 0;
        r = complete(reader, path, conf, reterr_error);
        if (r < 0)
                return r;
        *s->ret = *conf;
        *conf = (CniConf){};
        return 1;
}

static int not_found(const char *dir, const Search *s, Error *reterr_error) {
        _cleanup_free_ char *list = strv_join(s->others, ", ");
        bool broken = error_is_set(&s->broken);

        return error_set(reterr_error, -ENOENT, "NoSuchNetwork", "%s has no network \"%.64s\"%s%s%s%s.", dir, s->name,
                         isempty(list) ? "" : "; it has ", strempty(list), broken ? "; not understood: " : "",
                         broken ? error_message(&s->broken) : "");
}

int cni_find(const char *dir, const char *name, CniConf *ret, Error *reterr_error) {
        Search s = { .name = name, .ret = ret };
        int r;

        r = walk(dir, match, &s, reterr_error);
        if (r == 0)
                r = not_found(dir, &s, reterr_error);
        strv_free(s.others);
        error_done(&s.broken);
        return r < 0 ? r : 0;
}

/* -- all ---------------------------------------------------------------------------------------- */

typedef struct Listing {
        CniFileFunc func;
        void *userdata;
        char **names;
} Listing;

static int list_one(Reader *reader, const char *path, CniConf *conf, const Error *error, void *userdata, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        Listing *l = userdata;
        int r;

        if (!conf)
                return l->func(path, NULL, error, l->userdata);
        if (strv_contains(l->names, conf->name))
                return 0;
        if (strv_extend(&l->names, conf->name) < 0)
                return error_oom(reterr_error);
        r = complete(reader, path, conf, &e);
        return r == -E2BIG ? error_move(reterr_error, &e) : l->func(path, r < 0 ? NULL : conf, &e, l->userdata);
}

int cni_foreach(const char *dir, CniFileFunc func, void *userdata, Error *reterr_error) {
        Listing l = { .func = func, .userdata = userdata };
        int r;

        r = walk(dir, list_one, &l, reterr_error);
        strv_free(l.names);
        return r;
}

/* -- plug-ins ----------------------------------------------------------------------------------- */

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

int cni_find_plugins(const char *path, const CniConf *conf, Error *reterr_error) {
        int r = 0;

        for (size_t i = 0; r >= 0 && cni_conf_plugin(conf, i); i++) {
                _cleanup_free_ char *found = NULL;

                r = cni_find_plugin(path, cni_conf_plugin(conf, i), conf->name, &found, reterr_error);
        }
        return r;
}
