/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Validation is a list of checks, each of which names the option as the bus spells it. What goes into a unit
 * property, a mount option or a file of the bundle must be one line; arguments and the values of environment
 * and labels are free text.
 *
 * Encoding is by one table for the plain members; mounts and the process are objects of their own. */

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/capability.h"
#include "container/devices.h"
#include "container/network-options.h"
#include "container/options.h"
#include "container/runtimes.h"
#include "container/system.h"

void container_options_done(ContainerOptions *o) {
        if (!o)
                return;

        strv_free(o->command);
        strv_free(o->entrypoint);
        strv_free(o->environment);
        free(o->working_directory);
        free(o->user);
        strv_free(o->groups);
        free(o->hostname);
        for (size_t i = 0; i < o->n_mounts; i++) {
                free(o->mounts[i].type);
                free(o->mounts[i].source);
                free(o->mounts[i].destination);
                strv_free(o->mounts[i].options);
        }
        free(o->mounts);
        strv_free(o->networks);
        strv_free(o->publish);
        strv_free(o->expose);
        strv_free(o->dns);
        strv_free(o->dns_search);
        strv_free(o->dns_options);
        strv_free(o->hosts);
        strv_free(o->labels);
        strv_free(o->properties);
        strv_free(o->devices);
        strv_free(o->cap_add);
        strv_free(o->cap_drop);
        free(o->stop_signal);
        free(o->restart);
        free(o->platform);
        free(o->log);
        free(o->runtime);
        free(o->systemd);
        free(o->unit);
        health_options_done(&o->health);
        strv_free(o->unit_limits);
        free(o->terminal_size);
        *o = (ContainerOptions){ .stop_timeout_usec = UINT64_MAX };
}

void container_process_done(ContainerProcess *p) {
        if (!p)
                return;

        strv_free(p->args);
        strv_free(p->env);
        free(p->cwd);
        free(p->user);
        free(p->hostname);
        strv_free(p->annotations);
        health_check_done(&p->health);
        *p = (ContainerProcess){};
}

static int invalid(Error *e, const char *option, const char *why) {
        return error_set(e, -EINVAL, "InvalidArgument", "%s: %s.", option, why);
}

typedef enum TextKind {
        TEXT_FREE,       /* anything that is UTF-8 */
        TEXT_LINE,       /* no control characters */
        TEXT_ASSIGNMENT, /* "key=…": the key is one line and not empty */
} TextKind;

static int check_text(const char *option, TextKind kind, const char *s, Error *reterr_error) {
        _cleanup_free_ char *key = NULL;
        const char *eq;

        if (kind == TEXT_FREE)
                return 0;
        if (kind == TEXT_LINE)
                return string_is_safe(s)
                                       ? 0
                                       : invalid(reterr_error, option, "control characters are not allowed");

        eq = strchr(s, '=');
        if (!eq || eq == s)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: \"%.100s\" is not of the form NAME=VALUE.", option, s);
        key = strndup(s, (size_t) (eq - s));
        if (!key)
                return -ENOMEM;

        return string_is_safe(key) ? 0
                                   : invalid(reterr_error, option,
                                             "control characters are not allowed in a name");
}

/* Counts and sizes are bounded together: the list also has to fit into one argv and one bus message. */
static int check_list(const char *option, TextKind kind, char *const *l, Error *reterr_error) {
        size_t n = 0, size = 0;
        int r;

        STRV_FOREACH(s, l) {
                if (++n > CONTAINER_ARGS_MAX)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s: more than %u entries.", option, CONTAINER_ARGS_MAX);
                size += strlen(s) + 1;
                if (size > CONTAINER_ARGS_SIZE_MAX)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s: more than %u bytes.",
                                         option, CONTAINER_ARGS_SIZE_MAX);
                r = check_text(option, kind, s, reterr_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int check_user(const char *user, Error *reterr_error) {
        const char *colon;

        if (!user)
                return 0;

        colon = strchr(user, ':');
        if (strlen(user) > CONTAINER_USER_MAX || !string_is_safe(user) || strpbrk(user, " /\\") ||
            user[0] == ':' || user[0] == '-' || (colon && (colon[1] == 0 || strchr(colon + 1, ':'))))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "User: \"%.100s\" is not of the form NAME, UID, NAME:GROUP or UID:GID.",
                                 user);
        return 0;
}

static int check_hostname(const char *name, Error *reterr_error) {
        if (!name)
                return 0;
        if (isempty(name) || strlen(name) > CONTAINER_HOSTNAME_MAX || name[0] == '-' || name[0] == '.' ||
            !string_in_charset(name, DIGITS LOWERCASE UPPERCASE "-_."))
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "Hostname: \"%.100s\" is not a host name (letters, digits, \"-\", \"_\" and \".\", at most %u).",
                                name, CONTAINER_HOSTNAME_MAX);
        return 0;
}

static int check_capabilities(const char *option, char *const *l, Error *reterr_error) {
        int r;

        r = check_list(option, TEXT_LINE, l, reterr_error);
        if (r < 0)
                return r;

        STRV_FOREACH(s, l)
                if (capability_mask_from_string(s) == 0)
                        return error_set(
                                        reterr_error, -EINVAL, "InvalidArgument",
                                        "%s: there is no capability \"%.100s\" (see capabilities(7); \"ALL\" means each).",
                                        option, s);
        return 0;
}

static bool mount_flag_is_known(const char *type, const char *o) {
        static const char *const common[] = {
                "ro",          "rw",         "nosuid",   "suid",  "nodev",    "dev",
                "noexec",      "exec",       "noatime",  "atime", "relatime", "norelatime",
                "strictatime", "nodiratime", "diratime", NULL,
        };
        static const char *const bind[] = {
                "bind", "rbind", "private", "rprivate", "slave", "rslave", "shared", "rshared", NULL,
        };

        STRV_FOREACH(s, common)
                if (streq(s, o))
                        return true;
        if (!streq(type, "bind"))
                return false;
        STRV_FOREACH(s, bind)
                if (streq(s, o))
                        return true;

        return false;
}

static bool tmpfs_value_is_valid(const char *o) {
        const char *v;
        uint64_t n;

        if ((v = startswith(o, "size=")))
                return strspn(v, DIGITS) > 0 &&
                       (streq(v + strspn(v, DIGITS), "%") || parse_size(v, &n) >= 0);
        if ((v = startswith(o, "mode=")))
                return !isempty(v) && strlen(v) <= 5 && string_in_charset(v, "01234567");
        if ((v = startswith(o, "uid=")) || (v = startswith(o, "gid=")) || (v = startswith(o, "nr_inodes=")))
                return parse_uint64(v, &n) >= 0;

        return false;
}

static int check_mount_destination(const ContainerOptions *o, size_t i, Error *reterr_error) {
        const char *d = o->mounts[i].destination;

        if (isempty(d) || !path_is_normalized(d) || !string_is_safe(d) || streq(d, "/"))
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "Mounts: destination \"%.200s\" is not an absolute path below \"/\" without \"..\".",
                                strempty(d));

        /* What proc shows of the container itself must not be replaced from outside. */
        if (path_startswith(d, "/proc"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Mounts: nothing can be mounted on \"%.200s\".", d);

        for (size_t k = 0; k < i; k++)
                if (streq(o->mounts[k].destination, d))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Mounts: destination \"%.200s\" is given twice.", d);
        return 0;
}

static int check_mount(const ContainerOptions *o, size_t i, Error *reterr_error) {
        const ContainerMount *m = &o->mounts[i];
        bool bind;
        int r;

        bind = streq_ptr(m->type, "bind");
        if (!bind && !streq_ptr(m->type, "tmpfs"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Mounts: type \"%.100s\" is neither \"bind\" nor \"tmpfs\".",
                                 strempty(m->type));
        r = check_mount_destination(o, i, reterr_error);
        if (r < 0)
                return r;
        if (bind && (isempty(m->source) || !path_is_normalized(m->source) || !string_is_safe(m->source)))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Mounts: source \"%.200s\" is not an absolute path without \"..\".",
                                 strempty(m->source));

        r = check_list("Mounts", TEXT_LINE, m->options, reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH(s, m->options)
                if (!mount_flag_is_known(m->type, s) && (bind || !tmpfs_value_is_valid(s)))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Mounts: unknown option \"%.100s\" for a %s mount on \"%.200s\".",
                                         s, m->type, m->destination);
        return 0;
}

static int check_property_names(char *const *l, Error *reterr_error) {
        STRV_FOREACH(s, l) {
                const char *eq = strchr(s, '=');
                size_t n = eq ? (size_t) (eq - s) : 0;

                if (n == 0 || strspn(s, DIGITS LOWERCASE UPPERCASE) != n)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Properties: \"%.100s\" is not of the form NAME=VALUE.", s);
        }

        return 0;
}

static int check_log(const char *log, Error *reterr_error) {
        const char *path;

        if (!log || streq(log, "journal") || streq(log, "none"))
                return 0;
        path = startswith(log, "file:");
        if (path && path_is_normalized(path) && !streq(path, "/") && string_is_safe(path))
                return 0;
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Log: \"%.200s\" is neither \"journal\", \"none\" nor \"file:\" with an absolute path "
                         "without \"..\".",
                         log);
}

static int check_restart(const ContainerOptions *o, Error *reterr_error) {
        Restart restart;

        if (restart_parse(o->restart, &restart) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Restart: \"%.100s\" is none of \"no\", \"on-failure\", \"on-failure:N\" (N up to %u), "
                                 "\"always\", \"unless-stopped\".",
                                 o->restart, RESTART_MAX);
        if (restart.policy != RESTART_NO && o->unit)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Restart: whether %s is started again is said by its own Restart=.", o->unit);
        if (restart.policy != RESTART_NO && o->auto_remove)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Restart and AutoRemove contradict each other: a container that is started again "
                                 "at its end cannot be removed then.");
        return 0;
}

int container_options_validate(const ContainerOptions *o, Error *reterr_error) {
        const struct {
                const char *option;
                TextKind kind;
                char *const *list;
        } lists[] = {
                { "Command", TEXT_FREE, o->command },
                { "Entrypoint", TEXT_FREE, o->entrypoint },
                { "Environment", TEXT_ASSIGNMENT, o->environment },
                { "Groups", TEXT_LINE, o->groups },
                { "Labels", TEXT_ASSIGNMENT, o->labels },
                { "Properties", TEXT_LINE, o->properties },
                { "Networks", TEXT_LINE, o->networks },
                { "Publish", TEXT_LINE, o->publish },
                { "Expose", TEXT_LINE, o->expose },
                { "DNS", TEXT_LINE, o->dns },
                { "DNSSearch", TEXT_LINE, o->dns_search },
                { "DNSOptions", TEXT_LINE, o->dns_options },
                { "Hosts", TEXT_LINE, o->hosts },
        };
        unsigned rows, columns;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                r = check_list(lists[i].option, lists[i].kind, lists[i].list, reterr_error);
                if (r < 0)
                        return r;
        }

        STRV_FOREACH(g, o->groups)
                if (isempty(g) || strlen(g) > CONTAINER_USER_MAX || strpbrk(g, ",: /\\"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Groups: \"%.100s\" is not a group.", g);
        r = check_property_names(o->properties, reterr_error);
        if (r < 0)
                return r;
        r = container_devices_validate(o->devices, reterr_error);
        if (r < 0)
                return r;
        if (o->working_directory &&
            (o->working_directory[0] != '/' || strlen(o->working_directory) >= PATH_MAX ||
             !string_is_safe(o->working_directory)))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "WorkingDirectory: \"%.200s\" is not an absolute path.",
                                 o->working_directory);
        r = check_user(o->user, reterr_error);
        if (r < 0)
                return r;
        r = check_hostname(o->hostname, reterr_error);
        if (r < 0)
                return r;
        r = check_log(o->log, reterr_error);
        if (r < 0)
                return r;

        if (o->n_mounts > CONTAINER_ARGS_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "Mounts: more than %u entries.",
                                 CONTAINER_ARGS_MAX);
        for (size_t i = 0; i < o->n_mounts; i++) {
                r = check_mount(o, i, reterr_error);
                if (r < 0)
                        return r;
        }

        r = network_options_validate(o, reterr_error);
        if (r < 0)
                return r;
        if (o->stop_signal && signal_from_string(o->stop_signal) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "StopSignal: there is no signal \"%.100s\".", o->stop_signal);
        if (o->runtime && !runtime_is_valid(o->runtime))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Runtime: \"%.100s\" is neither a name nor an absolute path.", o->runtime);
        if (o->systemd && !system_mode_is_valid(o->systemd))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Systemd: \"%.100s\" is none of \"true\", \"false\", \"always\".", o->systemd);
        r = check_restart(o, reterr_error);
        if (r >= 0)
                r = health_options_validate(&o->health, reterr_error);
        if (r < 0)
                return r;
        if (o->terminal && o->log && startswith(o->log, "file:"))
                return invalid(reterr_error, "Log", "what a terminal shows goes to the journal or nowhere");
        if (container_terminal_size(o->terminal_size, &rows, &columns) < 0)
                return invalid(reterr_error, "TerminalSize", "a terminal has at most 65535 rows and columns");
        r = check_capabilities("CapabilitiesAdd", o->cap_add, reterr_error);
        if (r < 0)
                return r;

        return check_capabilities("CapabilitiesDrop", o->cap_drop, reterr_error);
}

static int check_log_directory(const char *log, Error *reterr_error) {
        const char *path = log ? startswith(log, "file:") : NULL;
        _cleanup_free_ char *directory = NULL;
        struct stat st;

        if (!path)
                return 0;
        directory = strndup(path, MAX((size_t) (strrchr(path, '/') - path), (size_t) 1));
        if (!directory)
                return -ENOMEM;
        if (access(directory, F_OK) < 0)
                return error_set(reterr_error, -errno, "NoSuchSource",
                                 "The directory \"%.200s\" of the container's log is not there: %m.", directory);
        if (stat(path, &st) >= 0 && S_ISDIR(st.st_mode))
                return error_set(reterr_error, -EISDIR, "InvalidArgument",
                                 "The container's log \"%.200s\" is a directory: name a file in it.", path);
        return 0;
}

int container_options_check_sources(const ContainerOptions *o, Error *reterr_error) {
        for (size_t i = 0; i < o->n_mounts; i++)
                if (streq(o->mounts[i].type, "bind") && access(o->mounts[i].source, F_OK) < 0)
                        return error_set(
                                        reterr_error, -errno, "NoSuchSource",
                                        "The source \"%.200s\" of the mount on \"%.200s\" is not there: %m.",
                                        o->mounts[i].source, o->mounts[i].destination);
        return check_log_directory(o->log, reterr_error);
}

int container_terminal_size(const char *size, unsigned *ret_rows, unsigned *ret_columns) {
        unsigned rows = 0, columns = 0;
        char end;

        if (size && (sscanf(size, "%5ux%5u%c", &rows, &columns, &end) != 2 || rows > UINT16_MAX || columns > UINT16_MAX))
                return -EINVAL;
        *ret_rows = rows;
        *ret_columns = columns;
        return 0;
}

const char *container_options_get_property(const ContainerOptions *o, const char *name) {
        const char *found = NULL;

        STRV_FOREACH(s, o->properties) {
                const char *v = startswith(s, name);

                if (v && *v == '=')
                        found = v + 1;
        }

        return found;
}

/* -- JSON --------------------------------------------------------------------------------------- */

static int mounts_from_json(const char *name, json_t *value, void *target, Error *reterr_error);
static int entrypoint_from_json(const char *name, json_t *value, void *target, Error *reterr_error);
static int health_from_json(const char *name, json_t *value, void *target, Error *reterr_error);
static int network_from_json(const char *name, json_t *value, void *target, Error *reterr_error);

static const JsonField options_fields[] = {
        { "command", JSON_FIELD_STRV, offsetof(ContainerOptions, command) },
        { "entrypoint", JSON_FIELD_CUSTOM, 0, false, entrypoint_from_json },
        { "environment", JSON_FIELD_STRV, offsetof(ContainerOptions, environment) },
        { "workingDirectory", JSON_FIELD_STRING, offsetof(ContainerOptions, working_directory) },
        { "user", JSON_FIELD_STRING, offsetof(ContainerOptions, user) },
        { "groups", JSON_FIELD_STRV, offsetof(ContainerOptions, groups) },
        { "hostname", JSON_FIELD_STRING, offsetof(ContainerOptions, hostname) },
        { "mounts", JSON_FIELD_CUSTOM, 0, false, mounts_from_json },
        { "readOnly", JSON_FIELD_BOOL, offsetof(ContainerOptions, read_only) },
        { "network", JSON_FIELD_CUSTOM, 0, false, network_from_json }, /* of versions that had one */
        { "networks", JSON_FIELD_STRV, offsetof(ContainerOptions, networks) },
        { "publish", JSON_FIELD_STRV, offsetof(ContainerOptions, publish) },
        { "expose", JSON_FIELD_STRV, offsetof(ContainerOptions, expose) },
        { "publishAll", JSON_FIELD_BOOL, offsetof(ContainerOptions, publish_all) },
        { "dns", JSON_FIELD_STRV, offsetof(ContainerOptions, dns) },
        { "dnsSearch", JSON_FIELD_STRV, offsetof(ContainerOptions, dns_search) },
        { "dnsOptions", JSON_FIELD_STRV, offsetof(ContainerOptions, dns_options) },
        { "hosts", JSON_FIELD_STRV, offsetof(ContainerOptions, hosts) },
        { "labels", JSON_FIELD_STRV, offsetof(ContainerOptions, labels) },
        { "properties", JSON_FIELD_STRV, offsetof(ContainerOptions, properties) },
        { "devices", JSON_FIELD_STRV, offsetof(ContainerOptions, devices) },
        { "capabilitiesAdd", JSON_FIELD_STRV, offsetof(ContainerOptions, cap_add) },
        { "capabilitiesDrop", JSON_FIELD_STRV, offsetof(ContainerOptions, cap_drop) },
        { "seccompUnconfined", JSON_FIELD_BOOL, offsetof(ContainerOptions, privileged_seccomp) },
        { "stopSignal", JSON_FIELD_STRING, offsetof(ContainerOptions, stop_signal) },
        { "stopTimeoutUSec", JSON_FIELD_UINT64, offsetof(ContainerOptions, stop_timeout_usec) },
        { "restart", JSON_FIELD_STRING, offsetof(ContainerOptions, restart) },
        { "autoRemove", JSON_FIELD_BOOL, offsetof(ContainerOptions, auto_remove) },
        { "platform", JSON_FIELD_STRING, offsetof(ContainerOptions, platform) },
        { "log", JSON_FIELD_STRING, offsetof(ContainerOptions, log) },
        { "machine", JSON_FIELD_BOOL, offsetof(ContainerOptions, machine) },
        { "runtime", JSON_FIELD_STRING, offsetof(ContainerOptions, runtime) },
        { "systemd", JSON_FIELD_STRING, offsetof(ContainerOptions, systemd) },
        { "notify", JSON_FIELD_BOOL, offsetof(ContainerOptions, notify) },
        { "unit", JSON_FIELD_STRING, offsetof(ContainerOptions, unit) },
        { "unitLimits", JSON_FIELD_STRV, offsetof(ContainerOptions, unit_limits) },
        { "scope", JSON_FIELD_BOOL, offsetof(ContainerOptions, scope) },
        { "terminal", JSON_FIELD_BOOL, offsetof(ContainerOptions, terminal) },
        { "terminalSize", JSON_FIELD_STRING, offsetof(ContainerOptions, terminal_size) },
        { "openStandardInput", JSON_FIELD_BOOL, offsetof(ContainerOptions, open_stdin) },
        {},
};

typedef struct StoredProcess {
        ContainerProcess process;
        uint64_t stop_signal;
} StoredProcess;

static const JsonField process_fields[] = {
        { "args", JSON_FIELD_STRV, offsetof(StoredProcess, process.args), true },
        { "env", JSON_FIELD_STRV, offsetof(StoredProcess, process.env) },
        { "cwd", JSON_FIELD_STRING, offsetof(StoredProcess, process.cwd), true },
        { "user", JSON_FIELD_STRING, offsetof(StoredProcess, process.user) },
        { "hostname", JSON_FIELD_STRING, offsetof(StoredProcess, process.hostname), true },
        { "stopSignal", JSON_FIELD_UINT64, offsetof(StoredProcess, stop_signal), true },
        { "annotations", JSON_FIELD_STRV, offsetof(StoredProcess, process.annotations) },
        { "healthCheck", JSON_FIELD_CUSTOM, 0, false, health_from_json },
        { "readyWhenHealthy", JSON_FIELD_BOOL, offsetof(StoredProcess, process.ready_when_healthy) },
        {},
};

static const JsonField mount_fields[] = {
        { "type", JSON_FIELD_STRING, offsetof(ContainerMount, type), true },
        { "source", JSON_FIELD_STRING, offsetof(ContainerMount, source) },
        { "destination", JSON_FIELD_STRING, offsetof(ContainerMount, destination), true },
        { "options", JSON_FIELD_STRV, offsetof(ContainerMount, options) },
        {},
};

/* An empty entrypoint is not the same as none, so that presence is kept as well. */
static int entrypoint_from_json(const char *name, json_t *value, void *target, Error *reterr_error) {
        ContainerOptions *o = target;
        json_t *v;
        size_t i;
        int r;

        if (!json_is_array(value))
                return error_set(reterr_error, -EBADMSG, "Failed", "%s: expected an array.", name);
        json_array_foreach (value, i, v) {
                r = strv_extend(&o->entrypoint, strempty(json_string_value(v)));
                if (r < 0)
                        return r;
        }
        o->entrypoint_set = true;
        return 0;
}

static int network_from_json(const char *name, json_t *value, void *target, Error *reterr_error) {
        ContainerOptions *o = target;

        return json_is_string(value) ? strv_extend(&o->networks, json_string_value(value))
                                     : error_set(reterr_error, -EBADMSG, "Failed", "%s: expected a string.", name);
}

static int health_from_json(const char *name, json_t *value, void *target, Error *reterr_error) {
        StoredProcess *s = target;

        return health_check_from_json(value, &s->process.health, reterr_error);
}

static int mounts_from_json(const char *name, json_t *value, void *target, Error *reterr_error) {
        ContainerOptions *o = target;
        json_t *v;
        size_t i;
        int r;

        if (!json_is_array(value) || json_array_size(value) > CONTAINER_ARGS_MAX)
                return error_set(reterr_error, -EBADMSG, "Failed", "%s: expected an array.", name);
        if (json_array_size(value) == 0)
                return 0;

        o->mounts = calloc(json_array_size(value), sizeof(ContainerMount));
        if (!o->mounts)
                return -ENOMEM;
        json_array_foreach (value, i, v) {
                o->n_mounts = i + 1;
                r = json_dispatch(v, mount_fields, &o->mounts[i], name, false, reterr_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Members that say nothing (NULL, empty, false) are left out. */
static int field_to_json(json_t *object, const JsonField *f, const void *base) {
        const void *p = (const char *) base + f->offset;
        json_t *v = NULL;

        switch (f->type) {

        case JSON_FIELD_STRING:
                if (!*(char *const *) p)
                        return 0;
                v = json_string(*(char *const *) p);
                break;

        case JSON_FIELD_BOOL:
                if (!*(const bool *) p)
                        return 0;
                v = json_true();
                break;

        case JSON_FIELD_UINT64:
                /* UINT64_MAX ("not given") is no JSON integer of 64 bits. */
                if (*(const uint64_t *) p > INT64_MAX)
                        return 0;
                v = json_integer((json_int_t) * (const uint64_t *) p);
                break;

        case JSON_FIELD_STRV:
                if (strv_length(*(char **const *) p) == 0)
                        return 0;
                v = json_from_strv(*(char **const *) p);
                break;

        default:
                return 0; /* CUSTOM: written by hand */
        }

        return v && json_object_set_new(object, f->name, v) >= 0 ? 0 : -EILSEQ;
}

static int fields_to_json(const JsonField *table, const void *base, json_t **ret) {
        _cleanup_json_ json_t *j = json_object();
        int r;

        if (!j)
                return -ENOMEM;
        for (const JsonField *f = table; f->name; f++) {
                r = field_to_json(j, f, base);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(j);
        return 0;
}

static int mounts_to_json(const ContainerOptions *o, json_t *options) {
        json_t *array;
        int r;

        if (o->n_mounts == 0)
                return 0;

        array = json_array();
        if (!array || json_object_set_new(options, "mounts", array) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < o->n_mounts; i++) {
                json_t *m;

                r = fields_to_json(mount_fields, &o->mounts[i], &m);
                if (r < 0)
                        return r;
                if (json_array_append_new(array, m) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static int entrypoint_to_json(const ContainerOptions *o, json_t *options) {
        if (!o->entrypoint_set)
                return 0;
        return json_object_set_new(options, "entrypoint", json_from_strv(o->entrypoint)) < 0 ? -EILSEQ : 0;
}

static int health_to_json(const ContainerProcess *p, json_t *process) {
        json_t *j;
        int r;

        if (!p->health.command)
                return 0;
        r = health_check_to_json(&p->health, &j);
        if (r < 0)
                return r;
        return json_object_set_new(process, "healthCheck", j) < 0 ? -ENOMEM : 0;
}

int container_options_to_json(const ContainerOptions *o, const ContainerProcess *p, char **ret,
                              Error *reterr_error) {
        _cleanup_json_ json_t *top = NULL, *options = NULL, *process = NULL;
        const StoredProcess stored = { .process = *p, .stop_signal = (uint64_t) p->stop_signal };
        _cleanup_free_ char *text = NULL;
        int r;

        r = fields_to_json(options_fields, o, &options);
        if (r >= 0)
                r = mounts_to_json(o, options);
        if (r >= 0)
                r = entrypoint_to_json(o, options);
        if (r >= 0)
                r = fields_to_json(process_fields, &stored, &process);
        if (r >= 0)
                r = health_to_json(p, process);
        if (r == -EILSEQ)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "An option or the image's configuration is not valid UTF-8.");
        if (r < 0)
                return r;

        top = json_object();
        if (!top || json_object_set(top, "options", options) < 0 ||
            json_object_set(top, "process", process) < 0)
                return -ENOMEM;
        text = json_dump(top, false);
        if (!text)
                return -ENOMEM;
        if (strlen(text) > CONTAINER_OPTIONS_SIZE_MAX)
                return error_set(reterr_error, -E2BIG, "InvalidArgument",
                                 "The container's options are larger than %u bytes.",
                                 CONTAINER_OPTIONS_SIZE_MAX);

        *ret = TAKE_PTR(text);
        return 0;
}

int container_options_from_json(const char *text, ContainerOptions *ret_options,
                                ContainerProcess *ret_process, Error *reterr_error) {
        _cleanup_(container_options_done) ContainerOptions o = { .stop_timeout_usec = UINT64_MAX };
        _cleanup_(container_process_done) ContainerProcess p = {};
        _cleanup_json_ json_t *top = NULL;
        StoredProcess stored = {};
        json_t *v;
        int r;

        r = json_parse(text, strlen(text), CONTAINER_OPTIONS_SIZE_MAX, &top, reterr_error);
        if (r < 0)
                return r;

        v = json_object_get(top, "options");
        if (!json_is_object(v))
                return error_set(reterr_error, -EBADMSG, "Failed", "The record has no options.");
        r = json_dispatch(v, options_fields, &o, "options", false, reterr_error);
        if (r < 0)
                return r;

        v = json_object_get(top, "process");
        if (!json_is_object(v))
                return error_set(reterr_error, -EBADMSG, "Failed", "The record has no process.");
        r = json_dispatch(v, process_fields, &stored, "process", false, reterr_error);
        p = stored.process;
        if (r < 0)
                return r;
        if (stored.stop_signal == 0 || !signal_to_string((int) MIN(stored.stop_signal, UINT64_C(1000))))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "process.stopSignal: there is no such signal.");
        p.stop_signal = (int) stored.stop_signal;

        *ret_options = o;
        o = (ContainerOptions){};
        *ret_process = p;
        p = (ContainerProcess){};
        return 0;
}
