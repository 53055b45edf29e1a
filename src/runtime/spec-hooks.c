/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/spec-hooks.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"

static const char *const hook_type_table[_HOOK_TYPE_MAX] = {
        [HOOK_PRESTART] = "prestart",
        [HOOK_CREATE_RUNTIME] = "createRuntime",
        [HOOK_CREATE_CONTAINER] = "createContainer",
        [HOOK_START_CONTAINER] = "startContainer",
        [HOOK_POSTSTART] = "poststart",
        [HOOK_POSTSTOP] = "poststop",
};

DEFINE_STRING_TABLE(hook_type, HookType)

void hooks_spec_done(SpecHooks lists[static _HOOK_TYPE_MAX]) {
        for (HookType t = 0; t < _HOOK_TYPE_MAX; t++) {
                for (size_t i = 0; i < lists[t].n; i++) {
                        free(lists[t].hooks[i].path);
                        strv_free(lists[t].hooks[i].args);
                        strv_free(lists[t].hooks[i].env);
                }
                free(lists[t].hooks);
                lists[t] = (SpecHooks){};
        }
}

static int parse_hook(json_t *j, const char *what, SpecHook *ret, Error *reterr_error) {
        static const JsonField members[] = {
                { "path", JSON_FIELD_STRING, offsetof(SpecHook, path), .required = true },
                { "args", JSON_FIELD_STRV, offsetof(SpecHook, args) },
                { "env", JSON_FIELD_STRV, offsetof(SpecHook, env) },
                {},
        };
        static const JsonField timeout_table[] = {
                { "timeout", JSON_FIELD_INT64, 0 },
                {},
        };
        int64_t timeout = -1;
        int r;

        r = json_dispatch(j, members, ret, what, false, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(j, timeout_table, &timeout, what, false, reterr_error);
        if (r < 0)
                return r;

        if (ret->path[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "%s.path: \"%s\" is not an absolute path.", what, ret->path);
        if (timeout == 0 || timeout < -1 || timeout > INT32_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "%s.timeout: %jd is not a number of seconds greater than 0.", what,
                                 (intmax_t) timeout);
        ret->timeout = (int) timeout;
        return 0;
}

static int parse_list(json_t *array, const char *what, SpecHooks *list, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (!json_is_array(array))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s: expected an array.", what);
        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_HOOKS_MAX)
                return spec_too_many(what, SPEC_HOOKS_MAX, reterr_error);
        list->hooks = calloc(json_array_size(array), sizeof(SpecHook));
        if (!list->hooks)
                return spec_oom(reterr_error);

        json_array_foreach (array, i, item) {
                list->n = i + 1;
                r = parse_hook(item, what, &list->hooks[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hooks_spec_parse(json_t *object, SpecHooks lists[static _HOOK_TYPE_MAX], Error *reterr_error) {
        int r;

        hooks_spec_done(lists);
        for (HookType t = 0; t < _HOOK_TYPE_MAX; t++) {
                json_t *array = json_object_get(object, hook_type_to_string(t));
                char what[32];

                if (!array || json_is_null(array))
                        continue;
                snprintf(what, sizeof(what), "hooks.%s", hook_type_to_string(t));
                r = parse_list(array, what, &lists[t], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}
