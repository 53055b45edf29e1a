/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/spec-seccomp.h"
#include "basic/string-util.h"
#include "basic/strv.h"

SeccompSpec *seccomp_spec_free(SeccompSpec *s) {
        if (!s)
                return NULL;

        free(s->default_action);
        strv_free(s->architectures);
        strv_free(s->flags);
        free(s->listener_path);
        free(s->listener_metadata);
        for (size_t i = 0; i < s->n_rules; i++) {
                strv_free(s->rules[i].names);
                free(s->rules[i].action);
                for (size_t k = 0; k < s->rules[i].n_args; k++)
                        free(s->rules[i].args[k].op);
                free(s->rules[i].args);
        }
        free(s->rules);
        free(s);
        return NULL;
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int parse_args(SeccompRule *rule, json_t *array, Error *reterr_error) {
        static const JsonField table[] = {
                { "index", JSON_FIELD_UINT64, offsetof(SeccompArg, index), .required = true },
                { "value", JSON_FIELD_UINT64_WIDE, offsetof(SeccompArg, value), .required = true },
                { "valueTwo", JSON_FIELD_UINT64_WIDE, offsetof(SeccompArg, value_two) },
                { "op", JSON_FIELD_STRING, offsetof(SeccompArg, op), .required = true },
                {},
        };
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_SECCOMP_ARGS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "linux.seccomp.syscalls.args has more than %u entries.",
                                 SPEC_SECCOMP_ARGS_MAX);
        rule->args = calloc(json_array_size(array), sizeof(SeccompArg));
        if (!rule->args)
                return oom(reterr_error);

        json_array_foreach (array, i, item) {
                rule->n_args = i + 1;
                r = json_dispatch(item, table, &rule->args[i], "linux.seccomp.syscalls.args", false,
                                  reterr_error);
                if (r < 0)
                        return r;
                if (rule->args[i].index >= SPEC_SECCOMP_ARGS_MAX)
                        return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                         "linux.seccomp.syscalls.args.index is more than %u.",
                                         SPEC_SECCOMP_ARGS_MAX - 1);
        }
        return 0;
}

static int parse_rule(SeccompRule *rule, json_t *j, Error *reterr_error) {
        static const JsonField table[] = {
                { "names", JSON_FIELD_STRV, offsetof(SeccompRule, names), .required = true },
                { "action", JSON_FIELD_STRING, offsetof(SeccompRule, action), .required = true },
                { "errnoRet", JSON_FIELD_UINT64, offsetof(SeccompRule, errno_ret) },
                {},
        };
        json_t *args = json_object_get(j, "args");
        int r;

        rule->errno_ret = UINT64_MAX;
        r = json_dispatch(j, table, rule, "linux.seccomp.syscalls", false, reterr_error);
        if (r < 0)
                return r;
        if (!args || json_is_null(args))
                return 0;
        if (!json_is_array(args))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.seccomp.syscalls.args: expected an array.");
        return parse_args(rule, args, reterr_error);
}

bool seccomp_spec_has_notify(const SeccompSpec *s) {
        for (size_t i = 0; i < s->n_rules; i++)
                if (streq(s->rules[i].action, "SCMP_ACT_NOTIFY"))
                        return true;
        return streq(s->default_action, "SCMP_ACT_NOTIFY");
}

static int check_listener(SeccompSpec *s, Error *reterr_error) {
        /* Empty is as good as absent. */
        if (isempty(s->listener_path))
                (void) free_and_strdup(&s->listener_path, NULL);
        if (isempty(s->listener_metadata))
                (void) free_and_strdup(&s->listener_metadata, NULL);

        if (s->listener_path && s->listener_path[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.seccomp.listenerPath: \"%s\" is not an absolute path.",
                                 s->listener_path);
        if (s->listener_metadata && !s->listener_path)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.seccomp.listenerMetadata: needs listenerPath.");
        if (!s->listener_path && seccomp_spec_has_notify(s))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath: nobody would answer.");
        return 0;
}

int seccomp_spec_parse(json_t *object, SeccompSpec **ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "defaultAction", JSON_FIELD_STRING, offsetof(SeccompSpec, default_action),
                  .required = true },
                { "defaultErrnoRet", JSON_FIELD_UINT64, offsetof(SeccompSpec, default_errno_ret) },
                { "architectures", JSON_FIELD_STRV, offsetof(SeccompSpec, architectures) },
                { "flags", JSON_FIELD_STRV, offsetof(SeccompSpec, flags) },
                { "listenerPath", JSON_FIELD_STRING, offsetof(SeccompSpec, listener_path) },
                { "listenerMetadata", JSON_FIELD_STRING, offsetof(SeccompSpec, listener_metadata) },
                {},
        };
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = NULL;
        json_t *rules, *item;
        size_t i;
        int r;

        s = calloc(1, sizeof(SeccompSpec));
        if (!s)
                return oom(reterr_error);
        s->default_errno_ret = UINT64_MAX;

        r = json_dispatch(object, table, s, "linux.seccomp", false, reterr_error);
        if (r < 0)
                return r;
        if (strv_length(s->architectures) > SPEC_SECCOMP_ARCHITECTURES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "linux.seccomp.architectures has more than %u entries.",
                                 SPEC_SECCOMP_ARCHITECTURES_MAX);

        rules = json_object_get(object, "syscalls");
        if (rules && !json_is_null(rules) && !json_is_array(rules))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.seccomp.syscalls: expected an array.");
        if (json_array_size(rules) > SPEC_SECCOMP_RULES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "linux.seccomp.syscalls has more than %u entries.", SPEC_SECCOMP_RULES_MAX);
        if (json_array_size(rules) > 0) {
                s->rules = calloc(json_array_size(rules), sizeof(SeccompRule));
                if (!s->rules)
                        return oom(reterr_error);
        }
        json_array_foreach (rules, i, item) {
                s->n_rules = i + 1;
                r = parse_rule(&s->rules[i], item, reterr_error);
                if (r < 0)
                        return r;
        }

        r = check_listener(s, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
