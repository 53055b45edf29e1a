/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One function an object of the specification, each a json_dispatch() table plus what a table cannot say.
 * Arrays are allocated once, at their JSON length, which JSON_VALUES_MAX and the limits of spec.h bound. */

#include <sys/resource.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-seccomp.h"
#include "runtime/spec.h"

static const char *const rlimit_table[RLIM_NLIMITS] = {
        [RLIMIT_AS] = "RLIMIT_AS",
        [RLIMIT_CORE] = "RLIMIT_CORE",
        [RLIMIT_CPU] = "RLIMIT_CPU",
        [RLIMIT_DATA] = "RLIMIT_DATA",
        [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
        [RLIMIT_LOCKS] = "RLIMIT_LOCKS",
        [RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",
        [RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE",
        [RLIMIT_NICE] = "RLIMIT_NICE",
        [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
        [RLIMIT_NPROC] = "RLIMIT_NPROC",
        [RLIMIT_RSS] = "RLIMIT_RSS",
        [RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",
        [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
        [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
        [RLIMIT_STACK] = "RLIMIT_STACK",
};

_Static_assert(RLIM_NLIMITS <= SPEC_RLIMITS_MAX, "SPEC_RLIMITS_MAX is too small");

DEFINE_STRING_TABLE(rlimit, int)

static void free_pairs(SpecPair *pairs, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(pairs[i].name);
                free(pairs[i].value);
        }
        free(pairs);
}

RuntimeSpec *runtime_spec_free(RuntimeSpec *s) {
        if (!s)
                return NULL;

        free(s->oci_version);
        free(s->hostname);
        free(s->domainname);
        free(s->root_path);
        free(s->groups);
        strv_free(s->args);
        strv_free(s->env);
        free(s->cwd);
        for (size_t i = 0; i < s->n_mounts; i++) {
                free(s->mounts[i].destination);
                free(s->mounts[i].type);
                free(s->mounts[i].source);
                strv_free(s->mounts[i].options);
        }
        free(s->mounts);
        for (size_t i = 0; i < s->n_devices; i++)
                free(s->devices[i].path);
        free(s->devices);
        for (size_t i = 0; i < _NAMESPACE_TYPE_MAX; i++)
                free(s->namespaces[i].path);
        free_pairs(s->sysctls, s->n_sysctls);
        strv_free(s->masked_paths);
        strv_free(s->readonly_paths);
        free(s->rootfs_propagation);
        seccomp_spec_free(s->seccomp);
        free_pairs(s->annotations, s->n_annotations);
        strv_free(s->unsupported);
        free(s);
        return NULL;
}

const char *runtime_spec_annotation(const RuntimeSpec *s, const char *name) {
        for (size_t i = 0; i < s->n_annotations; i++)
                if (streq(s->annotations[i].name, name))
                        return s->annotations[i].value;
        return NULL;
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int too_many(const char *what, unsigned max, Error *reterr_error) {
        return error_set(reterr_error, -E2BIG, "LimitExceeded", "%s has more than %u entries.", what, max);
}

static int uint32_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error) {
        if (v > UINT32_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument", "%s: %ju is out of range.", what,
                                 (uintmax_t) v);
        *ret = (uint32_t) v;
        return 0;
}

/* Ids: (uid_t) -1 means "leave as it is" to the kernel. */
static int id_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error) {
        if (v >= UINT32_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument", "%s: %ju is not a user or group.",
                                 what, (uintmax_t) v);
        *ret = (uint32_t) v;
        return 0;
}

/* ---- what is refused ---- */

static bool is_empty_value(const json_t *v) {
        return !v || json_is_null(v) || json_is_false(v) ||
               (json_is_string(v) && json_string_length(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0) ||
               (json_is_object(v) && json_object_size(v) == 0);
}

/* Lists those of names (NULL-terminated) that object has with a value. prefix is "" or ends in a dot. */
static int note_unsupported(RuntimeSpec *s, json_t *object, const char *prefix, const char *const *names,
                            Error *reterr_error) {
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *full = NULL;

                if (is_empty_value(json_object_get(object, name)))
                        continue;
                full = strjoin(prefix, name);
                if (!full)
                        return oom(reterr_error);
                if (!strv_contains(s->unsupported, full) && strv_extend(&s->unsupported, full) < 0)
                        return oom(reterr_error);
        }
        return 0;
}

/* ---- lists ---- */

static int parse_pairs(json_t *object, const char *what, unsigned max, SpecPair **ret, size_t *ret_n,
                       Error *reterr_error) {
        SpecPair *pairs;
        const char *name;
        json_t *value;
        size_t n = 0;

        if (json_object_size(object) == 0)
                return 0;
        if (json_object_size(object) > max)
                return too_many(what, max, reterr_error);
        pairs = calloc(json_object_size(object), sizeof(SpecPair));
        if (!pairs)
                return oom(reterr_error);

        json_object_foreach (object, name, value) {
                const char *text = json_get_string(object, name);

                if (!text) {
                        free_pairs(pairs, n);
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s.%s: expected a string.", what, name);
                }
                pairs[n].name = strdup(name);
                pairs[n].value = strdup(text);
                n++;
                if (!pairs[n - 1].name || !pairs[n - 1].value) {
                        free_pairs(pairs, n);
                        return oom(reterr_error);
                }
        }

        *ret = pairs;
        *ret_n = n;
        return 0;
}

static int check_paths(char *const *paths, const char *what, Error *reterr_error) {
        if (strv_length(paths) > SPEC_PATHS_MAX)
                return too_many(what, SPEC_PATHS_MAX, reterr_error);
        STRV_FOREACH(p, paths)
                if (p[0] != '/')
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s: \"%s\" is not an absolute path.", what, p);
        return 0;
}

static int parse_mount(RuntimeSpec *s, json_t *j, SpecMount *m, Error *reterr_error) {
        static const JsonField table[] = {
                { "destination", JSON_FIELD_STRING, offsetof(SpecMount, destination), .required = true },
                { "type", JSON_FIELD_STRING, offsetof(SpecMount, type) },
                { "source", JSON_FIELD_STRING, offsetof(SpecMount, source) },
                { "options", JSON_FIELD_STRV, offsetof(SpecMount, options) },
                {},
        };
        static const char *const unsupported[] = { "uidMappings", "gidMappings", NULL };
        int r;

        r = json_dispatch(j, table, m, "mounts", false, reterr_error);
        if (r < 0)
                return r;
        if (isempty(m->destination))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument", "mounts.destination is empty.");
        return note_unsupported(s, j, "mounts.", unsupported, reterr_error);
}

static int parse_mounts(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_MOUNTS_MAX)
                return too_many("mounts", SPEC_MOUNTS_MAX, reterr_error);
        s->mounts = calloc(json_array_size(array), sizeof(SpecMount));
        if (!s->mounts)
                return oom(reterr_error);

        json_array_foreach (array, i, item) {
                s->n_mounts = i + 1;
                r = parse_mount(s, item, &s->mounts[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct DeviceFields {
        char *type;
        char *path;
        uint64_t major;
        uint64_t minor;
        uint64_t mode;
        uint64_t uid;
        uint64_t gid;
} DeviceFields;

static void device_fields_done(DeviceFields *f) {
        free(f->type);
        free(f->path);
}

static int parse_device(json_t *j, SpecDevice *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "type", JSON_FIELD_STRING, offsetof(DeviceFields, type), .required = true },
                { "path", JSON_FIELD_STRING, offsetof(DeviceFields, path), .required = true },
                { "major", JSON_FIELD_UINT64, offsetof(DeviceFields, major) },
                { "minor", JSON_FIELD_UINT64, offsetof(DeviceFields, minor) },
                { "fileMode", JSON_FIELD_UINT64, offsetof(DeviceFields, mode) },
                { "uid", JSON_FIELD_UINT64, offsetof(DeviceFields, uid) },
                { "gid", JSON_FIELD_UINT64, offsetof(DeviceFields, gid) },
                {},
        };
        _cleanup_(device_fields_done) DeviceFields f = { .mode = 0666 };
        int r;

        r = json_dispatch(j, table, &f, "linux.devices", false, reterr_error);
        if (r < 0)
                return r;

        if (streq(f.type, "c") || streq(f.type, "u"))
                ret->mode = S_IFCHR;
        else if (streq(f.type, "b"))
                ret->mode = S_IFBLK;
        else if (streq(f.type, "p"))
                ret->mode = S_IFIFO;
        else
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.devices.type: \"%s\" is none of c, b, u, p.", f.type);
        if (f.path[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.devices.path: \"%s\" is not an absolute path.", f.path);

        ret->mode |= (mode_t) (f.mode & 07777);
        r = uint32_from(f.major, "linux.devices.major", &ret->major, reterr_error);
        if (r < 0)
                return r;
        r = uint32_from(f.minor, "linux.devices.minor", &ret->minor, reterr_error);
        if (r < 0)
                return r;
        r = id_from(f.uid, "linux.devices.uid", &ret->uid, reterr_error);
        if (r < 0)
                return r;
        r = id_from(f.gid, "linux.devices.gid", &ret->gid, reterr_error);
        if (r < 0)
                return r;
        ret->path = TAKE_PTR(f.path);
        return 0;
}

static int parse_devices(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_DEVICES_MAX)
                return too_many("linux.devices", SPEC_DEVICES_MAX, reterr_error);
        s->devices = calloc(json_array_size(array), sizeof(SpecDevice));
        if (!s->devices)
                return oom(reterr_error);

        json_array_foreach (array, i, item) {
                s->n_devices = i + 1;
                r = parse_device(item, &s->devices[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_namespaces(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;

        json_array_foreach (array, i, item) {
                const char *type = json_get_string(item, "type"), *path = json_get_string(item, "path");
                json_t *path_value = json_object_get(item, "path");
                NamespaceType t;

                if (!type)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.type is missing or not a string.");
                t = namespace_type_from_string(type);
                if (t < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.type: \"%s\" is not a namespace.", type);
                if (s->namespaces[t].wanted)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces: \"%s\" is there twice.", type);
                if (path_value && !json_is_null(path_value) && (!path || (path[0] != 0 && path[0] != '/')))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.path of \"%s\" is not an absolute path.", type);

                s->namespaces[t].wanted = true;
                if (!isempty(path) && free_and_strdup(&s->namespaces[t].path, path) < 0)
                        return oom(reterr_error);
        }
        return 0;
}

/* ---- process ---- */

typedef struct ProcessFields {
        RuntimeSpec *spec;
        json_t *user;
        json_t *capabilities;
        json_t *rlimits;
        char **args;
        char **env;
        char *cwd;
        bool no_new_privileges;
        int64_t oom_score_adj;
} ProcessFields;

static void process_fields_done(ProcessFields *f) {
        strv_free(f->args);
        strv_free(f->env);
        free(f->cwd);
}

static int parse_user(RuntimeSpec *s, json_t *user, Error *reterr_error) {
        typedef struct UserFields {
                uint64_t uid, gid, umask;
                json_t *groups;
        } UserFields;
        static const JsonField table[] = {
                { "uid", JSON_FIELD_UINT64, offsetof(UserFields, uid) },
                { "gid", JSON_FIELD_UINT64, offsetof(UserFields, gid) },
                { "umask", JSON_FIELD_UINT64, offsetof(UserFields, umask) },
                { "additionalGids", JSON_FIELD_ARRAY, offsetof(UserFields, groups) },
                {},
        };
        UserFields f = { .umask = SPEC_UMASK_DEFAULT };
        json_t *item;
        size_t i;
        int r;

        r = json_dispatch(user, table, &f, "process.user", false, reterr_error);
        if (r < 0)
                return r;
        r = id_from(f.uid, "process.user.uid", &s->uid, reterr_error);
        if (r < 0)
                return r;
        r = id_from(f.gid, "process.user.gid", &s->gid, reterr_error);
        if (r < 0)
                return r;
        if (f.umask > 0777)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.user.umask is more than 0777 (511).");
        s->umask = (mode_t) f.umask;

        if (!f.groups || json_array_size(f.groups) == 0)
                return 0;
        if (json_array_size(f.groups) > SPEC_GROUPS_MAX)
                return too_many("process.user.additionalGids", SPEC_GROUPS_MAX, reterr_error);
        s->groups = calloc(json_array_size(f.groups), sizeof(gid_t));
        if (!s->groups)
                return oom(reterr_error);
        json_array_foreach (f.groups, i, item) {
                if (!json_is_integer(item) || json_integer_value(item) < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.user.additionalGids: expected numbers.");
                r = id_from((uint64_t) json_integer_value(item), "process.user.additionalGids",
                            &s->groups[i], reterr_error);
                if (r < 0)
                        return r;
        }
        s->n_groups = json_array_size(f.groups);
        return 0;
}

static int parse_capabilities(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        for (CapSet set = 0; set < _CAP_SET_MAX; set++) {
                json_t *array = json_object_get(object, cap_set_to_string(set)), *item;
                size_t i;

                if (!array || json_is_null(array))
                        continue;
                if (!json_is_array(array))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.capabilities.%s: expected an array of strings.",
                                         cap_set_to_string(set));
                json_array_foreach (array, i, item) {
                        const char *name = json_string_value(item);
                        int cap = name ? cap_number_from_name(name) : -EINVAL;

                        if (cap < 0)
                                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                                 "process.capabilities.%s: \"%s\" is not a capability.",
                                                 cap_set_to_string(set), strempty(name));
                        s->caps.sets[set] |= UINT64_C(1) << cap;
                }
        }
        return 0;
}

/* RLIM_INFINITY is written as the largest uint64, which jansson cannot read: -1 and any negative number mean
 * it, too. */
static bool rlimit_value(json_t *object, const char *name, uint64_t *ret) {
        json_t *v = json_object_get(object, name);

        if (json_is_real(v) && json_real_value(v) >= 0x1p63) {
                *ret = UINT64_MAX;
                return true;
        }
        if (!json_is_integer(v))
                return false;
        *ret = json_integer_value(v) < 0 ? UINT64_MAX : (uint64_t) json_integer_value(v);
        return true;
}

static int parse_rlimits(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;

        json_array_foreach (array, i, item) {
                const char *type = json_get_string(item, "type");
                int resource = rlimit_from_string(strempty(type));
                SpecRlimit l = { .wanted = true };

                if (resource < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.rlimits.type: \"%s\" is not a limit.", strempty(type));
                if (s->rlimits[resource].wanted)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.rlimits: %s is there twice.", type);
                if (!rlimit_value(item, "soft", &l.soft) || !rlimit_value(item, "hard", &l.hard) ||
                    l.soft > l.hard)
                        return error_set(
                                        reterr_error, -EBADMSG, "InvalidArgument",
                                        "process.rlimits: %s needs two numbers, soft and hard, soft "
                                        "<= hard.",
                                        type);
                s->rlimits[resource] = l;
        }
        return 0;
}

static int parse_process(RuntimeSpec *s, json_t *process, Error *reterr_error) {
        static const JsonField table[] = {
                { "user", JSON_FIELD_OBJECT, offsetof(ProcessFields, user) },
                { "args", JSON_FIELD_STRV, offsetof(ProcessFields, args) },
                { "env", JSON_FIELD_STRV, offsetof(ProcessFields, env) },
                { "cwd", JSON_FIELD_STRING, offsetof(ProcessFields, cwd), .required = true },
                { "capabilities", JSON_FIELD_OBJECT, offsetof(ProcessFields, capabilities) },
                { "rlimits", JSON_FIELD_ARRAY, offsetof(ProcessFields, rlimits) },
                { "noNewPrivileges", JSON_FIELD_BOOL, offsetof(ProcessFields, no_new_privileges) },
                { "oomScoreAdj", JSON_FIELD_INT64, offsetof(ProcessFields, oom_score_adj) },
                {},
        };
        static const char *const unsupported[] = { "terminal",   "apparmorProfile", "selinuxLabel",
                                                   "ioPriority", "scheduler",       "execCPUAffinity",
                                                   NULL };
        _cleanup_(process_fields_done) ProcessFields f = { .oom_score_adj = INT64_MIN };
        int r;

        r = json_dispatch(process, table, &f, "process", false, reterr_error);
        if (r < 0)
                return r;
        if (f.cwd[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "process.cwd: \"%s\" is not an absolute path.", f.cwd);
        STRV_FOREACH(e, f.env)
                if (!strchr(e, '=') || e[0] == '=')
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.env: \"%s\" is not NAME=VALUE.", e);
        s->has_oom_score_adj = f.oom_score_adj != INT64_MIN;
        if (s->has_oom_score_adj && (f.oom_score_adj < -1000 || f.oom_score_adj > 1000))
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.oomScoreAdj is not between -1000 and 1000.");

        s->has_process = true;
        s->args = TAKE_PTR(f.args);
        s->env = TAKE_PTR(f.env);
        s->cwd = TAKE_PTR(f.cwd);
        s->no_new_privileges = f.no_new_privileges;
        s->oom_score_adj = f.oom_score_adj;

        if (f.user && (r = parse_user(s, f.user, reterr_error)) < 0)
                return r;
        if (f.capabilities && (r = parse_capabilities(s, f.capabilities, reterr_error)) < 0)
                return r;
        if (f.rlimits && (r = parse_rlimits(s, f.rlimits, reterr_error)) < 0)
                return r;
        return note_unsupported(s, process, "process.", unsupported, reterr_error);
}

/* ---- linux and the rest ---- */

static int parse_linux(RuntimeSpec *s, json_t *j, Error *reterr_error) {
        typedef struct LinuxFields {
                json_t *namespaces, *devices, *sysctl, *seccomp;
        } LinuxFields;
        static const JsonField lists[] = {
                { "namespaces", JSON_FIELD_ARRAY, offsetof(LinuxFields, namespaces) },
                { "devices", JSON_FIELD_ARRAY, offsetof(LinuxFields, devices) },
                { "sysctl", JSON_FIELD_OBJECT, offsetof(LinuxFields, sysctl) },
                { "seccomp", JSON_FIELD_OBJECT, offsetof(LinuxFields, seccomp) },
                {},
        };
        static const JsonField table[] = {
                { "maskedPaths", JSON_FIELD_STRV, offsetof(RuntimeSpec, masked_paths) },
                { "readonlyPaths", JSON_FIELD_STRV, offsetof(RuntimeSpec, readonly_paths) },
                { "rootfsPropagation", JSON_FIELD_STRING, offsetof(RuntimeSpec, rootfs_propagation) },
                {},
        };
        static const char *const unsupported[] = { "uidMappings", "gidMappings", "timeOffsets",
                                                   "resources",   "intelRdt",    "personality",
                                                   "mountLabel",  "netDevices",  "memoryPolicy",
                                                   NULL };
        static const char *const unsupported_seccomp[] = { "listenerPath", "listenerMetadata", NULL };
        LinuxFields f = {};
        int r;

        r = json_dispatch(j, lists, &f, "linux", false, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(j, table, s, "linux", false, reterr_error);
        if (r < 0)
                return r;
        r = check_paths(s->masked_paths, "linux.maskedPaths", reterr_error);
        if (r < 0)
                return r;
        r = check_paths(s->readonly_paths, "linux.readonlyPaths", reterr_error);
        if (r < 0)
                return r;

        if (f.namespaces && (r = parse_namespaces(s, f.namespaces, reterr_error)) < 0)
                return r;
        if (f.devices && (r = parse_devices(s, f.devices, reterr_error)) < 0)
                return r;
        if (f.sysctl && (r = parse_pairs(f.sysctl, "linux.sysctl", SPEC_SYSCTLS_MAX, &s->sysctls,
                                         &s->n_sysctls, reterr_error)) < 0)
                return r;
        if (f.seccomp) {
                r = seccomp_spec_parse(f.seccomp, &s->seccomp, reterr_error);
                if (r < 0)
                        return r;
                r = note_unsupported(s, f.seccomp, "linux.seccomp.", unsupported_seccomp, reterr_error);
                if (r < 0)
                        return r;
        }
        return note_unsupported(s, j, "linux.", unsupported, reterr_error);
}

static int parse_root(RuntimeSpec *s, json_t *root, Error *reterr_error) {
        static const JsonField table[] = {
                { "path", JSON_FIELD_STRING, offsetof(RuntimeSpec, root_path), .required = true },
                { "readonly", JSON_FIELD_BOOL, offsetof(RuntimeSpec, root_readonly) },
                {},
        };

        return json_dispatch(root, table, s, "root", false, reterr_error);
}

static int check_version(const char *version, Error *reterr_error) {
        /* All of 1.x is one contract, of which later versions add members; what came before differs in
         * nothing used here. */
        if (!startswith(version, "1.") && !startswith(version, "0."))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "ociVersion: \"%s\" is not version 1 of the runtime specification.",
                                 version);
        return 0;
}

static int parse_all(RuntimeSpec *s, json_t *j, Error *reterr_error) {
        typedef struct TopFields {
                json_t *root, *process, *mounts, *linux_, *annotations;
        } TopFields;
        static const JsonField parts[] = {
                { "root", JSON_FIELD_OBJECT, offsetof(TopFields, root) },
                { "process", JSON_FIELD_OBJECT, offsetof(TopFields, process) },
                { "mounts", JSON_FIELD_ARRAY, offsetof(TopFields, mounts) },
                { "linux", JSON_FIELD_OBJECT, offsetof(TopFields, linux_) },
                { "annotations", JSON_FIELD_OBJECT, offsetof(TopFields, annotations) },
                {},
        };
        static const JsonField table[] = {
                { "ociVersion", JSON_FIELD_STRING, offsetof(RuntimeSpec, oci_version), .required = true },
                { "hostname", JSON_FIELD_STRING, offsetof(RuntimeSpec, hostname) },
                { "domainname", JSON_FIELD_STRING, offsetof(RuntimeSpec, domainname) },
                {},
        };
        static const char *const unsupported[] = { "hooks", NULL };
        TopFields f = {};
        int r;

        r = json_dispatch(j, table, s, "config", false, reterr_error);
        if (r < 0)
                return r;
        r = check_version(s->oci_version, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(j, parts, &f, "config", false, reterr_error);
        if (r < 0)
                return r;

        if (f.root && (r = parse_root(s, f.root, reterr_error)) < 0)
                return r;
        if (f.process && (r = parse_process(s, f.process, reterr_error)) < 0)
                return r;
        if (f.mounts && (r = parse_mounts(s, f.mounts, reterr_error)) < 0)
                return r;
        if (f.linux_ && (r = parse_linux(s, f.linux_, reterr_error)) < 0)
                return r;
        if (f.annotations && (r = parse_pairs(f.annotations, "annotations", SPEC_ANNOTATIONS_MAX,
                                              &s->annotations, &s->n_annotations, reterr_error)) < 0)
                return r;
        return note_unsupported(s, j, "", unsupported, reterr_error);
}

int runtime_spec_parse(const char *text, size_t n, RuntimeSpec **ret, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, n, SPEC_SIZE_MAX, &j, reterr_error);
        if (r < 0)
                return r;

        s = calloc(1, sizeof(RuntimeSpec));
        if (!s)
                return oom(reterr_error);
        s->umask = SPEC_UMASK_DEFAULT;

        r = parse_all(s, j, reterr_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}
