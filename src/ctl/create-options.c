/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Spellings are docker's and podman's where they have one. What only the daemon can know (whether a
 * capability, a unit property or a user exists) is checked there. */

#include "ctl/create-options.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/create-health.h"
#include "ctl/terminal.h"

#define ENTRYPOINT_MAX (64U * 1024)

static const char *const pull_policy_table[_PULL_POLICY_MAX] = {
        [PULL_MISSING] = "missing",
        [PULL_ALWAYS] = "always",
        [PULL_NEVER] = "never",
};
DEFINE_STRING_TABLE(pull_policy, PullPolicy)

void mount_arg_done(MountArg *m) {
        free(m->type);
        free(m->source);
        free(m->destination);
        strv_free(m->options);
        *m = (MountArg) {};
}

void create_options_done(CreateOptions *o) {
        limit_options_done(&o->limits);
        strv_free(o->devices);
        strv_free(o->entrypoint);
        strv_free(o->environment);
        strv_free(o->file_environment);
        strv_free(o->groups);
        strv_free(o->labels);
        strv_free(o->cap_add);
        strv_free(o->cap_drop);
        for (size_t i = 0; i < o->n_mounts; i++)
                mount_arg_done(&o->mounts[i]);
        free(o->mounts);
        free(o->log);
        create_health_done(&o->health);
        *o = (CreateOptions) {};
}

/* -- mounts -- */

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
                s[strlen(s)] = 0;
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
        if (json_parse(text, strlen(text), ENTRYPOINT_MAX, &j, NULL) < 0 || json_object_size(j) != 1)
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

/* -- the option table's appliers -- */

static int add_mount(CreateOptions *o, int r, MountArg *m, Error *reterr_error) {
        MountArg *mounts;

        if (r < 0)
                return r;
        mounts = reallocarray(o->mounts, o->n_mounts + 1, sizeof(MountArg));
        if (!mounts) {
                mount_arg_done(m);
                return error_oom(reterr_error);
        }
        mounts[o->n_mounts++] = *m;
        o->mounts = mounts;
        return 0;
}

static int apply_volume(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        MountArg m;

        return add_mount(target, parse_volume(value, cwd, &m, reterr_error), &m, reterr_error);
}

static int apply_mount(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        MountArg m;

        return add_mount(target, parse_mount(value, cwd, &m, reterr_error), &m, reterr_error);
}

static int apply_tmpfs(const char *value, void *target, Error *reterr_error) {
        MountArg m;

        return add_mount(target, parse_tmpfs(value, &m, reterr_error), &m, reterr_error);
}

static int apply_env(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return parse_env(value, environ, &o->environment, reterr_error);
}

static int apply_env_file(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        CreateOptions *o = target;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, value, ENV_FILE_MAX, &text, &size);
        if (r == -EFBIG)
                return error_set(reterr_error, r, "InvalidArgument", "--env-file=%s is larger than 1 MiB.",
                                 value);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "Cannot read --env-file=%s: %s", value,
                                 strerror(-r));
        if (strlen(text) != size)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--env-file=%s is not a text file.", value);
        return parse_env_text(text, value, environ, &o->file_environment, reterr_error);
}

static int apply_entrypoint(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        char **l;
        int r;

        r = parse_entrypoint(value, &l, reterr_error);
        if (r < 0)
                return r;
        strv_free(o->entrypoint);
        o->entrypoint = l;
        o->entrypoint_set = true;
        return 0;
}

static int apply_label(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *s = strchr(value, '=') ? strdup(value) : strjoin(value, "=");
        CreateOptions *o = target;

        if (isempty(value) || value[0] == '=')
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A label needs a name: --label NAME=VALUE");
        return !s || strv_env_set(&o->labels, s) < 0 ? error_oom(reterr_error) : 0;
}

static int apply_security_opt(const char *value, void *target, Error *reterr_error) {
        const char *seccomp = startswith(value, "seccomp=");
        CreateOptions *o = target;

        if (seccomp && (streq(seccomp, "unconfined") || streq(seccomp, "default"))) {
                o->seccomp = seccomp;
                return 0;
        }
        if (streq(value, "no-new-privileges") || streq(value, "no-new-privileges=true"))
                return 0; /* always so */
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "--security-opt knows seccomp=unconfined, seccomp=default and "
                         "no-new-privileges (always on), not '%s'.",
                         value);
}

static int apply_stop_signal(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (signal_from_string(value) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--stop-signal=%s is not a signal.", value);
        o->stop_signal = value;
        return 0;
}

static int apply_stop_timeout(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (parse_sec(value, &o->stop_timeout_usec) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--stop-timeout=%s is not a time, such as 10, 500ms or 1min.", value);
        o->stop_timeout_set = true;
        return 0;
}

static int apply_log(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0), *log = NULL;
        CreateOptions *o = target;
        int r;

        r = parse_log(value, cwd, &log, reterr_error);
        if (r < 0)
                return r;
        o->log_fd = streq(log, "fd");
        free(o->log);
        o->log = o->log_fd ? NULL : TAKE_PTR(log);
        return 0;
}

static int apply_log_rate(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return parse_log_rate(value, &o->limits.properties, reterr_error);
}

/* The daemon has the numbers' bounds. */
static int apply_restart(const char *value, void *target, Error *reterr_error) {
        static const char *const policies[] = { "no", "on-failure", "always", "unless-stopped" };
        CreateOptions *o = target;
        bool known = startswith(value, "on-failure:");

        for (size_t i = 0; i < ELEMENTSOF(policies) && !known; i++)
                known = streq(value, policies[i]);
        if (!known)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--restart= is one of no, on-failure, on-failure:N, always, unless-stopped, not '%s'.",
                                 value);
        o->restart = value;
        return 0;
}

static int apply_pull(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        PullPolicy p = pull_policy_from_string(value);

        if (p < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--pull= is one of missing, always, never, not '%s'.", value);
        o->pull = p;
        return 0;
}

/* -- the bag -- */

static int append_string(sd_bus_message *m, const char *key, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

static int append_flag(sd_bus_message *m, const char *key, bool value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "b", 1) : 0;
}

static int append_strv(sd_bus_message *m, const char *key, char *const *l, bool even_if_empty) {
        int r;

        if (!even_if_empty && (!l || !*l))
                return 0;
        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) l);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_labels(sd_bus_message *m, char *const *labels) {
        int r;

        if (!labels || !*labels)
                return 0;
        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "Labels");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{ss}");
        STRV_FOREACH(l, labels) {
                size_t n = strcspn(l, "=");
                _cleanup_free_ char *key = strndup(l, n);

                if (r >= 0)
                        r = key ? sd_bus_message_append(m, "{ss}", key, l + n + 1) : -ENOMEM;
        }
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_mount(sd_bus_message *m, const MountArg *a) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_STRUCT, "sssas");
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", a->type, a->source, a->destination);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, a->options);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_mounts(sd_bus_message *m, const MountArg *mounts, size_t n) {
        int r;

        if (n == 0)
                return 0;
        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "Mounts");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, "a(sssas)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(sssas)");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = append_mount(m, &mounts[i]);
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_terminal(sd_bus_message *m, const CreateOptions *o, const CreateDescriptors *fds) {
        unsigned rows, columns;
        int r;

        /* Input that nobody passes on now may be wanted later. */
        if (!o->terminal)
                return append_flag(m, "OpenStandardInput", o->interactive && !o->scope && fds->standard[STDIN_FILENO] < 0);
        r = append_flag(m, "Terminal", true);
        if (r >= 0 && terminal_window_size(&rows, &columns))
                r = sd_bus_message_append(m, "{sv}", "TerminalSize", "(uu)", (uint32_t) rows, (uint32_t) columns);
        if (r >= 0 && fds->terminal >= 0)
                r = sd_bus_message_append(m, "{sv}", "TerminalDescriptor", "h", fds->terminal);
        return r;
}

int create_options_append(sd_bus_message *m, const CreateOptions *o, char *const *command,
                          const CreateDescriptors *fds) {
        static const char *const stdio[] = { "StandardInput", "StandardOutput", "StandardError" };
        _cleanup_strv_free_ char **environment = strv_copy(o->file_environment);
        const struct {
                const char *key;
                char *const *l;
        } lists[] = {
                { "Groups", o->groups },
                { "Properties", o->limits.properties },
                { "Devices", o->devices },
                { "CapabilitiesAdd", o->cap_add },
                { "CapabilitiesDrop", o->cap_drop },
                { "Command", command },
        };
        const struct {
                const char *key, *value;
        } strings[] = {
                { "WorkingDirectory", o->working_directory },
                { "User", o->user },
                { "Hostname", o->hostname },
                { "Network", o->network },
                { "Platform", o->platform },
                { "Seccomp", o->seccomp },
                { "StopSignal", o->stop_signal },
                { "Log", o->log },
                { "Systemd", o->systemd },
                { "Unit", o->unit },
                { "Restart", o->restart },
                { "Token", o->token },
                { "Runtime", o->runtime },
        };
        int r = 0;

        if (o->file_environment && !environment)
                return -ENOMEM;
        STRV_FOREACH(s, o->environment)
                if (r >= 0)
                        r = strv_env_set(&environment, s);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0)
                r = append_strv(m, "Environment", environment, false);
        for (size_t i = 0; i < ELEMENTSOF(lists) && r >= 0; i++)
                r = append_strv(m, lists[i].key, lists[i].l, false);
        for (size_t i = 0; i < ELEMENTSOF(strings) && r >= 0; i++)
                r = append_string(m, strings[i].key, strings[i].value);
        if (r >= 0 && o->entrypoint_set)
                r = append_strv(m, "Entrypoint", o->entrypoint, true);
        if (r >= 0)
                r = append_labels(m, o->labels);
        if (r >= 0)
                r = append_mounts(m, o->mounts, o->n_mounts);
        if (r >= 0)
                r = create_health_append(m, &o->health);
        if (r >= 0)
                r = append_flag(m, "ReadyWhenHealthy", o->ready_when_healthy);
        if (r >= 0)
                r = append_flag(m, "Notify", o->notify);
        if (r >= 0)
                r = append_flag(m, "Scope", o->scope);
        if (r >= 0)
                r = append_flag(m, "ReadOnly", o->read_only);
        if (r >= 0)
                r = append_flag(m, "AutoRemove", o->auto_remove);
        if (r >= 0)
                r = append_flag(m, "Machine", o->machine);
        if (r >= 0)
                r = append_flag(m, "Privileged", o->privileged);
        if (r >= 0 && o->stop_timeout_set)
                r = sd_bus_message_append(m, "{sv}", "StopTimeoutUSec", "t", o->stop_timeout_usec);
        for (size_t i = 0; i < ELEMENTSOF(stdio) && r >= 0; i++)
                /* What has a log of its own writes there. */
                if (fds->standard[i] >= 0 && (i == STDIN_FILENO || !o->log))
                        r = sd_bus_message_append(m, "{sv}", stdio[i], "h", fds->standard[i]);
        if (r >= 0)
                r = append_terminal(m, o, fds);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

const Option run_options[] = {
        /* The first RUN_ONLY_OPTIONS are not create's. */
        { 'd', "detach", NULL, OPTION_FLAG, offsetof(CreateOptions, detach),
          .help = "Leave it in the background, print its name;\noutput goes to the journal" },
        { 0, "detach-keys", "KEYS", OPTION_STRING, offsetof(CreateOptions, detach_keys),
          .help = "What leaves the terminal (default: ctrl-p,ctrl-q;\nempty: nothing)" },
        { 0, "scope", NULL, OPTION_FLAG, offsetof(CreateOptions, scope),
          .help = "Make it a child of this process, in a scope (root)" },
        { 'i', "interactive", NULL, OPTION_FLAG, offsetof(CreateOptions, interactive),
          .help = "Pass standard input on; in the background: keep\nit open" },
        { 't', "tty", NULL, OPTION_FLAG, offsetof(CreateOptions, terminal),
          .help = "Give it a terminal of its own" },
        { 0, "name", "NAME", OPTION_STRING, offsetof(CreateOptions, name),
          .help = "Name the container (default: 12 hex digits)" },
        { 0, "rm", NULL, OPTION_FLAG, offsetof(CreateOptions, auto_remove),
          .help = "Remove the container when it has ended" },
        { 'e', "env", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_env,
          .help = "Set a variable (without VALUE: as it is here)" },
        { 0, "env-file", "FILE", OPTION_CUSTOM, .apply = apply_env_file,
          .help = "Variables from the lines of FILE" },
        { 'w', "workdir", "DIR", OPTION_STRING, offsetof(CreateOptions, working_directory),
          .help = "Working directory" },
        { 'u', "user", "USER[:GROUP]", OPTION_STRING, offsetof(CreateOptions, user),
          .help = "User by name or number, as the image has it" },
        { 0, "group-add", "GROUP", OPTION_STRV, offsetof(CreateOptions, groups),
          .help = "Additional group" },
        { 0, "entrypoint", "COMMAND", OPTION_CUSTOM, .apply = apply_entrypoint,
          .help = "Replace the image's entrypoint: a word or a JSON\narray; empty: none" },
        { 'v', "volume", "SRC:DEST[:OPTIONS]", OPTION_CUSTOM, .apply = apply_volume,
          .help = "Bind mount; OPTIONS: ro, rw, rprivate, …" },
        { 0, "mount", "KEY=VALUE,…", OPTION_CUSTOM, .apply = apply_mount,
          .help = "Mount: type=bind|tmpfs,source=,target=,readonly,\n"
                  "bind-propagation=,tmpfs-size=,tmpfs-mode=" },
        { 0, "tmpfs", "DEST[:OPTIONS]", OPTION_CUSTOM, .apply = apply_tmpfs,
          .help = "Mount a tmpfs; OPTIONS: size=, mode=, …" },
        { 0, "read-only", NULL, OPTION_FLAG, offsetof(CreateOptions, read_only),
          .help = "Mount the root file system read-only" },
        { 0, "hostname", "NAME", OPTION_STRING, offsetof(CreateOptions, hostname),
          .help = "Host name inside" },
        { 0, "label", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_label, .help = "Attach a label" },
        { 0, "network", "none|host", OPTION_STRING, offsetof(CreateOptions, network),
          .help = "Network (default: moored.conf's, none)" },
        { 'p', "property", "NAME=VALUE", OPTION_CUSTOM, .apply = limit_apply_property,
          .help = "Set a property of the container's unit, such as\nMemoryMax=1G, Slice=…, After=…" },
        LIMIT_OPTIONS,
        { 0, "device", "HOST[:CONTAINER][:rwm]", OPTION_STRV, offsetof(CreateOptions, devices),
          .help = "Make a device of the host visible and usable" },
        { 0, "oom-score-adj", "NUMBER", OPTION_CUSTOM, .apply = limit_apply_oom_score_adj,
          .help = "Short for -p OOMScoreAdjust=" },
        { 0, "ulimit", "NAME=SOFT[:HARD]", OPTION_CUSTOM, .apply = limit_apply_ulimit,
          .help = "Resource limit: nofile, nproc, core, …" },
        { 0, "cap-add", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_add),
          .help = "Add a capability, or ALL" },
        { 0, "cap-drop", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_drop),
          .help = "Drop a capability, or ALL" },
        { 0, "security-opt", "OPTION", OPTION_CUSTOM, .apply = apply_security_opt,
          .help = "seccomp=unconfined turns the system call filter off" },
        { 0, "log", "journal|none|file:PATH|fd", OPTION_CUSTOM, .apply = apply_log,
          .help = "Where its output goes; fd: to moorctl's (default:\nfd in the foreground, else journal)" },
        { 0, "log-rate", "NUMBER/TIME|off", OPTION_CUSTOM, .apply = apply_log_rate,
          .help = "How many lines in a time journald takes, such as\n1000/30s (default: journald.conf's)" },
        { 0, "stop-signal", "SIGNAL", OPTION_CUSTOM, .apply = apply_stop_signal,
          .help = "What asks it to end (default: the image's)" },
        { 0, "stop-timeout", "TIME", OPTION_CUSTOM, .apply = apply_stop_timeout,
          .help = "From then until SIGKILL (default: 10s)" },
        { 0, "runtime", "NAME|PATH", OPTION_STRING, offsetof(CreateOptions, runtime),
          .help = "OCI runtime that makes its process, such as runc\n(default: moored.conf's, mooring)" },
        { 0, "machine", NULL, OPTION_FLAG, offsetof(CreateOptions, machine),
          .help = "Register it with systemd-machined (machinectl)" },
        { 0, "systemd", "true|false|always", OPTION_STRING, offsetof(CreateOptions, systemd),
          .help = "Set it up for systemd as its first process\n(default: true, if that is what it runs)" },
        { 0, "restart", "POLICY", OPTION_CUSTOM, .apply = apply_restart,
          .help = "Start it again at its end: no, on-failure[:N],\nalways, unless-stopped; the last two also after a\nboot" },
        { 0, "health-cmd", "COMMAND", OPTION_CUSTOM, .apply = apply_health_command,
          .help = "Check the health by a line for the shell, or a JSON\narray; none: not as the image says either" },
        { 0, "health-interval", "TIME", OPTION_CUSTOM, .apply = apply_health_interval,
          .help = "Between two checks (default: 30s); disable: never" },
        { 0, "health-timeout", "TIME", OPTION_CUSTOM, .apply = apply_health_timeout,
          .help = "A check that takes longer has failed (default: 30s)" },
        { 0, "health-retries", "NUMBER", OPTION_CUSTOM, .apply = apply_health_retries,
          .help = "Failures until it is unhealthy (default: 3)" },
        { 0, "health-start-period", "TIME", OPTION_CUSTOM, .apply = apply_health_start_period,
          .help = "In which failures do not count (default: 0)" },
        { 0, "health-start-interval", "TIME", OPTION_CUSTOM, .apply = apply_health_start_interval,
          .help = "Between two checks in that period (default: 5s)" },
        { 0, "health-on-failure", "ACTION", OPTION_STRING, offsetof(CreateOptions, health.on_failure),
          .help = "When it is unhealthy: none, kill, restart or stop" },
        { 0, "no-healthcheck", NULL, OPTION_FLAG, offsetof(CreateOptions, health.disabled),
          .help = "Do not check the health as the image says" },
        { 0, "sdnotify", "started|container|healthy", OPTION_CUSTOM, .apply = apply_sdnotify,
          .help = "When the unit has started (default: started)" },
        { 0, "pull", "missing|always|never", OPTION_CUSTOM, .apply = apply_pull,
          .help = "When to pull the image (default: missing)" },
        { 0, "platform", "OS/ARCH[/VARIANT]", OPTION_STRING, offsetof(CreateOptions, platform),
          .help = "Platform of the image (default: the host's)" },
        OPTION_END,
};

const Option exec_options[] = {
        { 'd', "detach", NULL, OPTION_FLAG, offsetof(CreateOptions, detach),
          .help = "Leave it in the background, print CONTAINER/NUMBER;\noutput goes to the journal" },
        { 0, "detach-keys", "KEYS", OPTION_STRING, offsetof(CreateOptions, detach_keys),
          .help = "What leaves the terminal (default: ctrl-p,ctrl-q;\nempty: nothing)" },
        { 'i', "interactive", NULL, OPTION_FLAG, offsetof(CreateOptions, interactive),
          .help = "Pass standard input on" },
        { 't', "tty", NULL, OPTION_FLAG, offsetof(CreateOptions, terminal),
          .help = "With a terminal of its own" },
        { 'e', "env", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_env,
          .help = "Set a variable besides the container's\n(without VALUE: as it is here)" },
        { 0, "env-file", "FILE", OPTION_CUSTOM, .apply = apply_env_file,
          .help = "Variables from the lines of FILE" },
        { 'w', "workdir", "DIR", OPTION_STRING, offsetof(CreateOptions, working_directory),
          .help = "Working directory (default: the container's)" },
        { 'u', "user", "USER[:GROUP]", OPTION_STRING, offsetof(CreateOptions, user),
          .help = "User by name or number, as the container has it\n(default: the container's)" },
        { 0, "group-add", "GROUP", OPTION_STRV, offsetof(CreateOptions, groups), .help = "Additional group" },
        { 0, "cap-add", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_add),
          .help = "Add a capability to the container's, or ALL" },
        { 0, "cap-drop", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_drop),
          .help = "Drop one of the container's capabilities, or ALL" },
        { 0, "privileged", NULL, OPTION_FLAG, offsetof(CreateOptions, privileged),
          .help = "All capabilities of the host, no system call filter" },
        OPTION_END,
};
