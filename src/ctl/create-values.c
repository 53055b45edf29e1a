/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Spellings are docker's and podman's where they have one. */

#include "ctl/create-values.h"

#include <inttypes.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

#define WORDS_MAX (64U * 1024)

/* -- mounts -- */

void mount_arg_done(MountArg *m) {
        free(m->type);
        free(m->source);
        free(m->destination);
        strv_free(m->options);
        *m = (MountArg) {};
}

/* "/a//b/../c/" → "/a/c", by the words alone: what moored is given is a path without detours. */
static char *path_clean(const char *path) {
        _cleanup_strv_free_ char **parts = strv_split(path, "/");
        char *clean = malloc(strlen(path) + 2);
        size_t n = 0;

        if (!parts || !clean) {
                free(clean);
                return NULL;
        }
        STRV_FOREACH(part, parts) {
                size_t l = strlen(part);

                if (streq(part, ".."))
                        while (n > 0 && clean[--n] != '/')
                                ;
                else if (!streq(part, ".")) {
                        clean[n++] = '/';
                        memcpy(clean + n, part, l);
                        n += l;
                }
        }
        if (n == 0)
                clean[n++] = '/';
        clean[n] = 0;
        return clean;
}

/* "." and "./x" are relative to moorctl's own directory; a bare word would be a volume's name in other
 * tools. */
static int absolute_source(const char *source, const char *working_directory, char **ret,
                           Error *reterr_error) {
        _cleanup_free_ char *joined = NULL;

        if (source[0] != '/') {
                if (!working_directory || !(streq(source, ".") || streq(source, "..") ||
                                            startswith(source, "./") || startswith(source, "../")))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "'%s' is not a path on the host: it must begin with / or ./ "
                                         "(named volumes do not exist here).",
                                         source);
                joined = path_join(working_directory, source);
                if (!joined)
                        return error_oom(reterr_error);
        }
        *ret = path_clean(joined ?: source);
        return *ret ? 0 : error_oom(reterr_error);
}

/* Cleans it as well. */
static int check_destination(char **destination, Error *reterr_error) {
        _cleanup_free_ char *clean = path_clean(strempty(*destination));

        if (!clean)
                return error_oom(reterr_error);
        if (!*destination || (*destination)[0] != '/' || streq(clean, "/"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is not a place to mount in the container: it must be an "
                                 "absolute path "
                                 "below /.",
                                 strempty(*destination));
        free(*destination);
        *destination = TAKE_PTR(clean);
        return 0;
}

int parse_volume(const char *value, const char *working_directory, MountArg *ret, Error *reterr_error) {
        _cleanup_(mount_arg_done) MountArg m = {};
        _cleanup_free_ char *source = NULL;
        const char *colon = strchr(value, ':'), *second;
        int r;

        if (!colon || colon == value)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' does not name a source and a destination: -v "
                                 "/host/path:/container/path[:ro]",
                                 value);
        second = strchr(colon + 1, ':');
        source = strndup(value, (size_t) (colon - value));
        m.type = strdup("bind");
        m.destination = second ? strndup(colon + 1, (size_t) (second - colon - 1)) : strdup(colon + 1);
        if (!source || !m.type || !m.destination)
                return error_oom(reterr_error);
        if (second) {
                m.options = strv_split(second + 1, ",");
                if (!m.options)
                        return error_oom(reterr_error);
        }
        r = absolute_source(source, working_directory, &m.source, reterr_error);
        if (r >= 0)
                r = check_destination(&m.destination, reterr_error);
        if (r < 0)
                return r;
        *ret = m;
        m = (MountArg) {};
        return 0;
}

int parse_tmpfs(const char *value, MountArg *ret, Error *reterr_error) {
        _cleanup_(mount_arg_done) MountArg m = {};
        size_t l = strcspn(value, ":");
        int r;

        m.type = strdup("tmpfs");
        m.source = strdup("tmpfs");
        m.destination = strndup(value, l);
        if (!m.type || !m.source || !m.destination)
                return error_oom(reterr_error);
        if (value[l]) {
                m.options = strv_split(value + l + 1, ",");
                if (!m.options)
                        return error_oom(reterr_error);
        }
        r = check_destination(&m.destination, reterr_error);
        if (r < 0)
                return r;
        *ret = m;
        m = (MountArg) {};
        return 0;
}

static int mount_field(MountArg *m, char **source, const char *key, const char *value, Error *reterr_error) {
        static const struct {
                const char *key, *prefix;
        } options[] = {
                { "bind-propagation", "" }, { "tmpfs-size", "size=" }, { "tmpfs-mode", "mode=" },
                { "size", "size=" },        { "mode", "mode=" },
        };
        int r = 1, b;

        if (streq(key, "type"))
                return free_and_strdup(&m->type, value);
        if (streq(key, "source") || streq(key, "src"))
                return free_and_strdup(source, value);
        if (streq(key, "target") || streq(key, "destination") || streq(key, "dst"))
                return free_and_strdup(&m->destination, value);
        if (streq(key, "readonly") || streq(key, "ro")) {
                b = value ? parse_boolean(value) : 1;
                if (b < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s= of --mount is true or false, not '%s'.", key, value);
                return strv_extend(&m->options, b ? "ro" : "rw");
        }
        for (size_t i = 0; i < ELEMENTSOF(options) && r > 0; i++)
                if (streq(key, options[i].key) && value)
                        r = strv_extendf(&m->options, "%s%s", options[i].prefix, value);
        if (r > 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--mount does not know '%s': it has type, source, target, "
                                 "readonly, bind-propagation, tmpfs-size, tmpfs-mode.",
                                 key);
        return r;
}

int parse_mount(const char *value, const char *working_directory, MountArg *ret, Error *reterr_error) {
        _cleanup_(mount_arg_done) MountArg m = {};
        _cleanup_strv_free_ char **fields = strv_split(value, ",");
        _cleanup_free_ char *source = NULL;
        int r;

        STRV_FOREACH(f, fields) {
                char *eq = strchr(f, '=');

                if (eq)
                        *eq = 0;
                else if (!streq(f, "readonly") && !streq(f, "ro"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "'%s' of --mount has no value: %s=…", f, f);
                r = mount_field(&m, &source, f, eq ? eq + 1 : NULL, reterr_error);
                if (r < 0)
                        return error_is_set(reterr_error) ? r : error_oom(reterr_error);
        }

        if (!m.type && !(m.type = strdup("bind")))
                return error_oom(reterr_error);
        if (streq(m.type, "tmpfs")) {
                m.source = strdup("tmpfs");
                r = m.source ? 0 : error_oom(reterr_error);
        } else if (!streq(m.type, "bind"))
                r = error_set(reterr_error, -EINVAL, "InvalidArgument",
                              "--mount knows type=bind and type=tmpfs, not '%s'.", m.type);
        else if (isempty(source))
                r = error_set(reterr_error, -EINVAL, "InvalidArgument",
                              "--mount=%s has no source=, which type=bind needs.", value);
        else
                r = absolute_source(source, working_directory, &m.source, reterr_error);
        if (r >= 0)
                r = check_destination(&m.destination, reterr_error);
        if (r < 0)
                return r;
        *ret = m;
        m = (MountArg) {};
        return 0;
}

/* -- the log -- */

int parse_log(const char *value, const char *working_directory, char **ret, Error *reterr_error) {
        const char *path = startswith(value, "file:");
        _cleanup_free_ char *joined = NULL, *clean = NULL;

        if (streq(value, "journal") || streq(value, "none") || streq(value, "fd"))
                *ret = strdup(value);
        else if (!path || isempty(path))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--log= is one of journal, none, fd, file:PATH, not '%s'.", value);
        else {
                if (path[0] != '/' && !working_directory)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--log=%s: the path must be absolute.", value);
                joined = path[0] == '/' ? strdup(path) : path_join(working_directory, path);
                clean = joined ? path_clean(joined) : NULL;
                *ret = clean ? strjoin("file:", clean) : NULL;
        }
        return *ret ? 0 : error_oom(reterr_error);
}

int parse_log_rate(const char *value, char ***properties, Error *reterr_error) {
        const char *slash = strchr(value, '/');
        _cleanup_free_ char *number = NULL;
        uint64_t interval;
        uint32_t burst;

        if (streq(value, "off"))
                return strv_extend(properties, "LogRateLimitIntervalSec=0") < 0 ? error_oom(reterr_error) : 0;
        number = strndup(value, slash ? (size_t) (slash - value) : strlen(value));
        if (!number)
                return error_oom(reterr_error);
        if (!slash || parse_uint32(number, &burst) < 0 || burst == 0 || parse_sec(slash + 1, &interval) < 0 ||
            interval == 0 || interval == UINT64_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--log-rate=%s is neither NUMBER/TIME (lines in a time), such as 1000/30s, nor off.",
                                 value);
        if (strv_extendf(properties, "LogRateLimitBurst=%" PRIu32, burst) < 0 ||
            strv_extendf(properties, "LogRateLimitIntervalSec=%s", slash + 1) < 0)
                return error_oom(reterr_error);
        return 0;
}

/* -- environment -- */

int parse_env(const char *value, char *const *environment, char ***l, Error *reterr_error) {
        const char *eq = strchr(value, '='), *inherited;
        int r = 0;

        if (isempty(value) || eq == value)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "'%s' has no name: NAME=VALUE",
                                 value);
        if (eq)
                r = strv_env_set(l, value);
        else if ((inherited = strv_env_get(environment, value))) {
                _cleanup_free_ char *assignment = strjoin(value, "=", inherited);

                r = assignment ? strv_env_set(l, assignment) : -ENOMEM;
        }
        return r < 0 ? error_oom(reterr_error) : 0;
}

int parse_env_text(const char *text, const char *file, char *const *environment, char ***l,
                   Error *reterr_error) {
        unsigned line = 1;

        for (const char *p = text; *p; line++) {
                size_t n = strcspn(p, "\n"), length = n;
                _cleanup_free_ char *s = NULL;
                int r;

                if (length > 0 && p[length - 1] == '\r')
                        length--;
                s = strndup(p, length);
                if (!s)
                        return error_oom(reterr_error);
                p += n + (p[n] == '\n');
                if (s[strspn(s, " \t")] == 0 || s[0] == '#')
                        continue;
                r = parse_env(s, environment, l, reterr_error);
                if (r < 0) {
                        (void) error_prefix(reterr_error, "%s:%u", file, line);
                        return r;
                }
        }
        return 0;
}

int parse_words(const char *option, const char *value, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        json_t *word;
        size_t i;

        /* The bounded parser takes objects only. */
        text = strjoin("{\"e\":", value, "}");
        if (!text)
                return error_oom(reterr_error);
        if (json_parse(text, strlen(text), WORDS_MAX, &j, NULL) < 0 || json_object_size(j) != 1)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s='%s' begins like a JSON array but is none: "
                                 "--%s='[\"/bin/sh\",\"-c\"]'",
                                 option, value, option);
        json_array_foreach(json_object_get(j, "e"), i, word) {
                if (!json_is_string(word))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--%s='%s' holds something that is no string.", option, value);
                if (strv_extend(&l, json_string_value(word)) < 0)
                        return error_oom(reterr_error);
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int parse_entrypoint(const char *value, char ***ret, Error *reterr_error) {
        char **l = NULL;

        if (value[0] == '[')
                return parse_words("entrypoint", value, ret, reterr_error);
        if (!isempty(value) && strv_extend(&l, value) < 0)
                return error_oom(reterr_error);
        *ret = l;
        return 0;
}
