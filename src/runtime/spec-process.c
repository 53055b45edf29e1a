/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/resource.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"
#include "runtime/spec-process.h"

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

void process_spec_done(ProcessSpec *s) {
        free(s->groups);
        strv_free(s->args);
        strv_free(s->env);
        free(s->cwd);
        free(s->apparmor_profile);
        free(s->selinux_label);
        bit_list_done(&s->exec_cpus_initial);
        bit_list_done(&s->exec_cpus_final);
        *s = (ProcessSpec){};
}

typedef struct ProcessFields {
        ProcessSpec *spec;
        json_t *user;
        json_t *capabilities;
        json_t *rlimits;
        json_t *console_size;
        json_t *scheduler;
        json_t *io_priority;
        json_t *cpu_affinity;
        char **args;
        char **env;
        char *cwd;
        char *apparmor_profile;
        char *selinux_label;
        bool terminal;
        bool no_new_privileges;
        int64_t oom_score_adj;
} ProcessFields;

static void process_fields_done(ProcessFields *f) {
        strv_free(f->args);
        strv_free(f->env);
        free(f->cwd);
        free(f->apparmor_profile);
        free(f->selinux_label);
}

static int parse_console_size(ProcessSpec *s, json_t *size, Error *reterr_error) {
        typedef struct SizeFields {
                uint64_t height, width;
        } SizeFields;
        static const JsonField table[] = {
                { "height", JSON_FIELD_UINT64, offsetof(SizeFields, height), .required = true },
                { "width", JSON_FIELD_UINT64, offsetof(SizeFields, width), .required = true },
                {},
        };
        SizeFields f = {};
        int r;

        r = json_dispatch(size, table, &f, "process.consoleSize", false, reterr_error);
        if (r < 0)
                return r;
        if (f.height > UINT16_MAX || f.width > UINT16_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.consoleSize: a terminal has at most %d rows and columns.",
                                 UINT16_MAX);
        s->console_height = (uint16_t) f.height;
        s->console_width = (uint16_t) f.width;
        return 0;
}

static int parse_user(ProcessSpec *s, json_t *user, Error *reterr_error) {
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
        r = spec_id_from(f.uid, "process.user.uid", &s->uid, reterr_error);
        if (r < 0)
                return r;
        r = spec_id_from(f.gid, "process.user.gid", &s->gid, reterr_error);
        if (r < 0)
                return r;
        if (f.umask > 0777)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.user.umask is more than 0777 (511).");
        s->umask = (mode_t) f.umask;

        if (!f.groups || json_array_size(f.groups) == 0)
                return 0;
        if (json_array_size(f.groups) > SPEC_GROUPS_MAX)
                return spec_too_many("process.user.additionalGids", SPEC_GROUPS_MAX, reterr_error);
        s->groups = calloc(json_array_size(f.groups), sizeof(gid_t));
        if (!s->groups)
                return spec_oom(reterr_error);
        json_array_foreach (f.groups, i, item) {
                if (!json_is_integer(item) || json_integer_value(item) < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.user.additionalGids: expected numbers.");
                r = spec_id_from((uint64_t) json_integer_value(item), "process.user.additionalGids",
                                 &s->groups[i], reterr_error);
                if (r < 0)
                        return r;
        }
        s->n_groups = json_array_size(f.groups);
        return 0;
}

static int parse_capabilities(ProcessSpec *s, json_t *object, Error *reterr_error) {
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

/* RLIM_INFINITY is the largest uint64. -1 and any negative number mean it, too, and what a program made of
 * it that has only floating point numbers. */
static bool rlimit_value(json_t *object, const char *name, uint64_t *ret) {
        json_t *v = json_object_get(object, name);

        if (json_is_real(v) && json_real_value(v) >= 0x1p63) {
                *ret = UINT64_MAX;
                return true;
        }
        if (json_is_integer(v) && json_integer_value(v) < 0) {
                *ret = UINT64_MAX;
                return true;
        }
        return json_get_uint64_wide(v, ret);
}

static int parse_rlimits(ProcessSpec *s, json_t *array, Error *reterr_error) {
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
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.rlimits: %s needs two numbers, soft and hard, soft "
                                         "<= hard.",
                                         type);
                s->rlimits[resource] = l;
        }
        return 0;
}

int process_spec_parse(json_t *process, ProcessSpec *s, Error *reterr_error) {
        static const JsonField table[] = {
                { "terminal", JSON_FIELD_BOOL, offsetof(ProcessFields, terminal) },
                { "consoleSize", JSON_FIELD_OBJECT, offsetof(ProcessFields, console_size) },
                { "user", JSON_FIELD_OBJECT, offsetof(ProcessFields, user) },
                { "args", JSON_FIELD_STRV, offsetof(ProcessFields, args) },
                { "env", JSON_FIELD_STRV, offsetof(ProcessFields, env) },
                { "cwd", JSON_FIELD_STRING, offsetof(ProcessFields, cwd), .required = true },
                { "capabilities", JSON_FIELD_OBJECT, offsetof(ProcessFields, capabilities) },
                { "rlimits", JSON_FIELD_ARRAY, offsetof(ProcessFields, rlimits) },
                { "scheduler", JSON_FIELD_OBJECT, offsetof(ProcessFields, scheduler) },
                { "ioPriority", JSON_FIELD_OBJECT, offsetof(ProcessFields, io_priority) },
                { "execCPUAffinity", JSON_FIELD_OBJECT, offsetof(ProcessFields, cpu_affinity) },
                { "apparmorProfile", JSON_FIELD_STRING, offsetof(ProcessFields, apparmor_profile) },
                { "selinuxLabel", JSON_FIELD_STRING, offsetof(ProcessFields, selinux_label) },
                { "noNewPrivileges", JSON_FIELD_BOOL, offsetof(ProcessFields, no_new_privileges) },
                { "oomScoreAdj", JSON_FIELD_INT64, offsetof(ProcessFields, oom_score_adj) },
                {},
        };
        _cleanup_(process_fields_done) ProcessFields f = { .oom_score_adj = INT64_MIN };
        int r;

        s->umask = SPEC_UMASK_DEFAULT;

        r = json_dispatch(process, table, &f, "process", false, reterr_error);
        if (r < 0)
                return r;
        if (f.cwd[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "process.cwd: \"%s\" is not an absolute path.", f.cwd);
        STRV_FOREACH (e, f.env)
                if (!strchr(e, '=') || e[0] == '=')
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "process.env: \"%s\" is not NAME=VALUE.", e);
        s->has_oom_score_adj = f.oom_score_adj != INT64_MIN;
        if (s->has_oom_score_adj && (f.oom_score_adj < -1000 || f.oom_score_adj > 1000))
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "process.oomScoreAdj is not between -1000 and 1000.");

        s->args = TAKE_PTR(f.args);
        s->env = TAKE_PTR(f.env);
        s->cwd = TAKE_PTR(f.cwd);
        s->terminal = f.terminal;
        s->has_caps = f.capabilities;
        s->apparmor_profile = TAKE_PTR(f.apparmor_profile);
        s->selinux_label = TAKE_PTR(f.selinux_label);
        s->no_new_privileges = f.no_new_privileges;
        s->oom_score_adj = f.oom_score_adj;

        /* Without a terminal the size is to be ignored, so it may be anything then. */
        if (f.terminal && f.console_size && (r = parse_console_size(s, f.console_size, reterr_error)) < 0)
                return r;
        if (f.user && (r = parse_user(s, f.user, reterr_error)) < 0)
                return r;
        if (f.capabilities && (r = parse_capabilities(s, f.capabilities, reterr_error)) < 0)
                return r;
        if (f.rlimits && (r = parse_rlimits(s, f.rlimits, reterr_error)) < 0)
                return r;
        if (f.scheduler && (r = scheduler_spec_parse(f.scheduler, &s->scheduler, reterr_error)) < 0)
                return r;
        if (f.io_priority && (r = io_priority_spec_parse(f.io_priority, &s->io_priority, reterr_error)) < 0)
                return r;
        if (f.cpu_affinity && (r = cpu_affinity_spec_parse(f.cpu_affinity, &s->exec_cpus_initial,
                                                           &s->exec_cpus_final, reterr_error)) < 0)
                return r;
        return 0;
}
