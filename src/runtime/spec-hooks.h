/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `hooks` of the runtime specification: programs to be run at certain points of a container's life. */

#include "basic/error.h"
#include "basic/json.h"

#define SPEC_HOOKS_MAX 256U /* of one type */

typedef enum HookType {
        HOOK_PRESTART,         /* in the runtime's namespaces, before HOOK_CREATE_RUNTIME; deprecated */
        HOOK_CREATE_RUNTIME,   /* in the runtime's namespaces */
        HOOK_CREATE_CONTAINER, /* in the container's namespaces, the path is the runtime's */
        HOOK_START_CONTAINER,  /* in the container */
        HOOK_POSTSTART,        /* in the runtime's namespaces */
        HOOK_POSTSTOP,         /* in the runtime's namespaces */
        _HOOK_TYPE_MAX,
        _HOOK_TYPE_INVALID = -EINVAL,
} HookType;

/* "prestart", "createRuntime", … */
DECLARE_STRING_TABLE(hook_type, HookType);

typedef struct SpecHook {
        char *path;  /* absolute */
        char **args; /* args[0] included; NULL: only the path */
        char **env;
        int timeout; /* seconds, > 0; -1: none */
} SpecHook;

typedef struct SpecHooks {
        SpecHook *hooks;
        size_t n;
} SpecHooks;

/* lists must be zero or hold a result of before. */
int hooks_spec_parse(json_t *object, SpecHooks lists[static _HOOK_TYPE_MAX], Error *reterr_error);
void hooks_spec_done(SpecHooks lists[static _HOOK_TYPE_MAX]);
