/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"

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
        return spec_note_unsupported(&s->unsupported, j, "mounts.", unsupported, reterr_error);
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
                r = parse_mount(s, item, &s->mounts[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}
