/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Something asked of PID 1 for a container or an exec. Either may be gone when the answer comes, or be another one
 * of the same name: hence the unit's name instead of a pointer. */

#include "container/exec.h"

typedef struct UnitRequest {
        ContainerManager *manager; /* weak */
        char *unit;
        ContainerFunc container; /* who is to be told, or neither */
        ExecFunc exec;
        void *userdata;
        /* What was asked, for whoever has asked. */
        bool stop, pause;
        uint32_t files;
        char **limits; /* owned */
} UnitRequest;
/* The rest as in the template, which owns nothing. NULL: out of memory. */
UnitRequest *unit_request_new(ContainerManager *m, const char *unit, const UnitRequest *template);
UnitRequest *unit_request_free(UnitRequest *q);
DEFINE_CLEANUP_FUNC(UnitRequest *, unit_request_free)
/* Its container, as far as there is one by now. */
Container *unit_request_find(const UnitRequest *q);

/* For what nobody waits for; userdata: what was asked ("stop a unit that …"). */
void unit_request_ignore(int r, const Error *error, void *userdata);
