/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-request.h"

UnitRequest *unit_request_free(UnitRequest *q) {
        if (!q)
                return NULL;

        free(q->unit);
        strv_free(q->limits);
        free(q);
        return NULL;
}

UnitRequest *unit_request_new(ContainerManager *m, const char *unit, const UnitRequest *template) {
        _cleanup_(unit_request_freep) UnitRequest *q = malloc(sizeof(*q));

        if (!q)
                return NULL;
        *q = *template;
        q->manager = m;
        q->unit = strdup(unit);
        return q->unit ? TAKE_PTR(q) : NULL;
}

Container *unit_request_find(const UnitRequest *q) {
        return container_find_by_unit(q->manager, q->unit);
}

void unit_request_ignore(int r, const Error *error, void *userdata) {
        const char *what = userdata;

        if (r < 0 && r != -ECANCELED)
                log_debug("Failed to %s, ignoring: %s", what, error_message(error));
}
