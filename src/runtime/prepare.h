/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that is known of a container before any of it is made: the specification, the plan, the seccomp
 * filter, the namespaces to be made and to be joined. */

#include "runtime/clone.h"
#include "runtime/plan.h"
#include "runtime/seccomp-cache.h"

typedef struct Prepared {
        char *text; /* of config.json */
        size_t text_size;
        RuntimeSpec *spec;
        Plan *plan;
        SeccompProgram seccomp; /* n is 0: none */
        CloneSpec clone; /* owns its namespace_fds */
} Prepared;

#define PREPARED_INIT                                                                                       \
        (Prepared) {                                                                                        \
                .clone = CLONE_SPEC_INIT                                                                    \
        }

void prepared_done(Prepared *p);

/* bundle: absolute path of the bundle. config: path of the specification, relative to the bundle. In between
 * the specification may be changed. */
int prepare_spec(Prepared *p, const char *bundle, const char *config, Error *reterr_error);
int prepare_plan(Prepared *p, const char *bundle, Error *reterr_error);

/* Reads a specification. *ret_text (with *ret_size) may be NULL. */
int runtime_spec_read(const char *path, RuntimeSpec **ret, char **ret_text, size_t *ret_size,
                      Error *reterr_error);
