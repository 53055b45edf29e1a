/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"

void spec_free_pairs(SpecPair *pairs, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(pairs[i].name);
                free(pairs[i].value);
        }
        free(pairs);
}

int spec_oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

int spec_too_many(const char *what, unsigned max, Error *reterr_error) {
        return error_set(reterr_error, -E2BIG, "LimitsExceeded", "%s has more than %u entries.", what, max);
}

int spec_uint32_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error) {
        if (v > UINT32_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument", "%s: %ju is out of range.", what,
                                 (uintmax_t) v);
        *ret = (uint32_t) v;
        return 0;
}

int spec_id_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error) {
        if (v >= UINT32_MAX)
                return error_set(reterr_error, -ERANGE, "InvalidArgument", "%s: %ju is not a user or group.",
                                 what, (uintmax_t) v);
        *ret = (uint32_t) v;
        return 0;
}

static bool is_empty_value(const json_t *v) {
        return !v || json_is_null(v) || json_is_false(v) ||
               (json_is_string(v) && json_string_length(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0) ||
               (json_is_object(v) && json_object_size(v) == 0);
}

int spec_note_unsupported(char ***unsupported, json_t *object, const char *prefix, const char *const *names,
                          Error *reterr_error) {
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *full = NULL;

                if (is_empty_value(json_object_get(object, name)))
                        continue;
                full = strjoin(prefix, name);
                if (!full)
                        return spec_oom(reterr_error);
                if (!strv_contains(*unsupported, full) && strv_extend(unsupported, full) < 0)
                        return spec_oom(reterr_error);
        }
        return 0;
}

static int parse_id_mapping(json_t *j, const char *what, SpecIdMapping *ret, Error *reterr_error) {
        typedef struct MappingFields {
                uint64_t container_id, host_id, size;
        } MappingFields;
        static const JsonField table[] = {
                { "containerID", JSON_FIELD_UINT64, offsetof(MappingFields, container_id),
                  .required = true },
                { "hostID", JSON_FIELD_UINT64, offsetof(MappingFields, host_id), .required = true },
                { "size", JSON_FIELD_UINT64, offsetof(MappingFields, size), .required = true },
                {},
        };
        MappingFields f = {};
        int r;

        r = json_dispatch(j, table, &f, what, false, reterr_error);
        if (r < 0)
                return r;
        /* The last id is no id, see spec_id_from(). */
        if (f.size == 0 || f.size > UINT32_MAX || f.container_id > UINT32_MAX - f.size ||
            f.host_id > UINT32_MAX - f.size)
                return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                 "%s: %ju ids from %ju on to %ju on are not a range of users or groups.",
                                 what, (uintmax_t) f.size, (uintmax_t) f.container_id,
                                 (uintmax_t) f.host_id);

        *ret = (SpecIdMapping){ (uint32_t) f.container_id, (uint32_t) f.host_id, (uint32_t) f.size };
        return 0;
}

int spec_parse_id_mappings(json_t *array, const char *what, SpecIdMappings *ret, Error *reterr_error) {
        _cleanup_free_ SpecIdMapping *mappings = NULL;
        json_t *item;
        size_t i;
        int r;

        if (!json_is_array(array))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s: expected an array.", what);
        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_ID_MAPPINGS_MAX)
                return spec_too_many(what, SPEC_ID_MAPPINGS_MAX, reterr_error);
        mappings = calloc(json_array_size(array), sizeof(SpecIdMapping));
        if (!mappings)
                return spec_oom(reterr_error);

        json_array_foreach (array, i, item) {
                r = parse_id_mapping(item, what, &mappings[i], reterr_error);
                if (r < 0)
                        return r;
        }

        free(ret->mappings);
        ret->mappings = TAKE_PTR(mappings);
        ret->n = json_array_size(array);
        return 0;
}

int spec_parse_pairs(json_t *object, const char *what, unsigned max, SpecPair **ret, size_t *ret_n,
                     Error *reterr_error) {
        SpecPair *pairs;
        const char *name;
        json_t *value;
        size_t n = 0;

        if (json_object_size(object) == 0)
                return 0;
        if (json_object_size(object) > max)
                return spec_too_many(what, max, reterr_error);
        pairs = calloc(json_object_size(object), sizeof(SpecPair));
        if (!pairs)
                return spec_oom(reterr_error);

        json_object_foreach (object, name, value) {
                const char *text = json_get_string(object, name);

                if (!text) {
                        spec_free_pairs(pairs, n);
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s.%s: expected a string.", what, name);
                }
                pairs[n].name = strdup(name);
                pairs[n].value = strdup(text);
                n++;
                if (!pairs[n - 1].name || !pairs[n - 1].value) {
                        spec_free_pairs(pairs, n);
                        return spec_oom(reterr_error);
                }
        }

        *ret = pairs;
        *ret_n = n;
        return 0;
}

int spec_copy_pairs(const SpecPair *pairs, size_t n, SpecPair **ret, size_t *ret_n) {
        SpecPair *copy;

        if (n == 0)
                return 0;
        copy = calloc(n, sizeof(SpecPair));
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                copy[i].name = strdup(pairs[i].name);
                copy[i].value = strdup(pairs[i].value);
                if (!copy[i].name || !copy[i].value) {
                        spec_free_pairs(copy, i + 1);
                        return -ENOMEM;
                }
        }
        *ret = copy;
        *ret_n = n;
        return 0;
}

int spec_check_unsupported(char *const *unsupported, Error *reterr_error) {
        _cleanup_free_ char *names = NULL;

        if (!unsupported)
                return 0;
        names = strv_join(unsupported, ", ");
        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "Not supported: %s.", strempty(names));
}
