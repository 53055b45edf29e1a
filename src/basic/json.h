/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON by jansson, bounded: for bytes that came from elsewhere. */

#include <jansson.h>

#include "basic/error.h"
#include "basic/macro.h"

#define JSON_DEPTH_MAX_ 32U /* nesting of arrays and objects */
#define JSON_TEXT_MAX (16U * 1024 * 1024)
#define JSON_VALUES_MAX (256U * 1024) /* values of all kinds: each takes far more memory than text */

/* jansson defines json_decrefp() for cleanup attributes itself. */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* Parses UTF-8 text of n bytes: one object and nothing behind it, no key twice, no NUL in strings, integers
 * of 64 bits, depth <= JSON_DEPTH_MAX_, at most JSON_VALUES_MAX values; n <= max and <= JSON_TEXT_MAX
 * (-EFBIG). Errors: -EBADMSG with line and column in the message. */
int json_parse(const char *text, size_t n, size_t max, json_t **ret, Error *reterr_error);

/* The same, but integers go up to UINT64_MAX. Those above INT64_MAX, which jansson does not have, are of a
 * kind of their own: read by JSON_FIELD_UINT64_WIDE and json_get_uint64_wide() only. */
int json_parse_wide(const char *text, size_t n, size_t max, json_t **ret, Error *reterr_error);

/* Dispatch: an object's members into a C struct by a const table. */
typedef enum JsonFieldType {
        JSON_FIELD_STRING,      /* char *: copied, old value freed */
        JSON_FIELD_BOOL,        /* bool */
        JSON_FIELD_UINT64,      /* uint64_t, >= 0 and <= INT64_MAX */
        JSON_FIELD_UINT64_WIDE, /* uint64_t */
        JSON_FIELD_INT64,       /* int64_t */
        JSON_FIELD_STRV,        /* char **: array of strings */
        JSON_FIELD_OBJECT,      /* json_t * to an object: borrowed reference, valid as long as the parent */
        JSON_FIELD_ARRAY,       /* json_t * to an array: likewise */
        JSON_FIELD_CUSTOM,      /* parse(value, target struct, error) */
} JsonFieldType;

typedef struct JsonField {
        const char *name;
        JsonFieldType type;
        size_t offset;
        bool required;
        int (*parse)(const char *name, json_t *value, void *target, Error *reterr_error);
} JsonField;

/* Unknown members are ignored (the OCI specifications demand it) unless strict; null counts as absent. A
 * member of a wrong type is -EBADMSG "what.name: expected …". Table ends in an entry without name. */
int json_dispatch(json_t *object, const JsonField *table, void *target, const char *what, bool strict,
                  Error *reterr_error);

/* An integer that is not negative. False, *ret untouched: it is none (or NULL). */
bool json_get_uint64_wide(const json_t *value, uint64_t *ret);
/* Convenience: borrowed string member or NULL. */
const char *json_get_string(json_t *object, const char *name);
/* An array of strings, empty for NULL; NULL on OOM, or where one is not UTF-8. */
json_t *json_from_strv(char *const *l);
/* Compact text (sorted keys if sort); NULL on OOM; free(). */
char *json_dump(json_t *j, bool sort);
