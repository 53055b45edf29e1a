/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* linux.seccomp of the runtime specification. */

#include "runtime/spec.h"

int seccomp_spec_parse(json_t *object, SeccompSpec **ret, Error *reterr_error);
SeccompSpec *seccomp_spec_free(SeccompSpec *s);
DEFINE_CLEANUP_FUNC(SeccompSpec *, seccomp_spec_free)
