/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"

/* "a//b/./../c/" → "/a/c". What is relative is so to "/", above which there is nothing. */
static char *clean_destination(const char *path) {
        _cleanup_strv_free_ char **parts = strv_split(path, "/");
        char *clean = malloc(strlen(path) + 2), *end = clean;

        if (!parts || !clean) {
                free(clean);
                return NULL;
        }
        STRV_FOREACH (part, parts) {
                if (streq(part, "."))
                        continue;
                if (streq(part, "..")) {
                        while (end > clean && *--end != '/')
                                ;
                        continue;
                }
                *end++ = '/';
                end = stpcpy(end, part);
        }
        if (end == clean)
                *end++ = '/';
        *end = 0;
        return clean;
}

static int parse_mount(json_t *j, SpecMount *m, Error *reterr_error) {
        static const JsonField table[] = {
                { "destination", JSON_FIELD_STRING, offsetof(SpecMount, destination), .required = true },
                { "type", JSON_FIELD_STRING, offsetof(SpecMount, type) },
                { "source", JSON_FIELD_STRING, offsetof(SpecMount, source) },
                { "options", JSON_FIELD_STRV, offsetof(SpecMount, options) },
                {},
        };
        json_t *uids = json_object_get(j, "uidMappings"), *gids = json_object_get(j, "gidMappings");
        char *destination;
        int r;

        r = json_dispatch(j, table, m, "mounts", false, reterr_error);
        if (r < 0)
                return r;
        if (isempty(m->destination))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument", "mounts.destination is empty.");
        destination = clean_destination(m->destination);
        if (!destination)
                return spec_oom(reterr_error);
        free(m->destination);
        m->destination = destination;
        if (uids && !json_is_null(uids)) {
                r = spec_parse_id_mappings(uids, "mounts.uidMappings", &m->uid_mappings, reterr_error);
                if (r < 0)
                        return r;
        }
        if (gids && !json_is_null(gids))
                return spec_parse_id_mappings(gids, "mounts.gidMappings", &m->gid_mappings, reterr_error);
        return 0;
}

void spec_free_mounts(SpecMount *mounts, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(mounts[i].destination);
                free(mounts[i].type);
                free(mounts[i].source);
                strv_free(mounts[i].options);
                free(mounts[i].uid_mappings.mappings);
                free(mounts[i].gid_mappings.mappings);
        }
        free(mounts);
}

int spec_parse_mounts(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_MOUNTS_MAX)
                return spec_too_many("mounts", SPEC_MOUNTS_MAX, reterr_error);
        s->mounts = calloc(json_array_size(array), sizeof(SpecMount));
        if (!s->mounts)
                return spec_oom(reterr_error);

        json_array_foreach (array, i, item) {
                s->n_mounts = i + 1;
                r = parse_mount(item, &s->mounts[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}
