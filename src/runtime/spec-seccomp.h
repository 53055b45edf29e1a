/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* linux.seccomp of the runtime specification. */

#include "runtime/spec.h"

/* Not of the specification, but of crun: other than "0" makes names of unknown system calls an error. */
#define ANNOTATION_SECCOMP_FAIL_UNKNOWN "run.oci.seccomp_fail_unknown_syscall"

int seccomp_spec_parse(json_t *object, SeccompSpec **ret, Error *reterr_error);
SeccompSpec *seccomp_spec_free(SeccompSpec *s);
DEFINE_CLEANUP_FUNC(SeccompSpec *, seccomp_spec_free)

/* Whether an action asks somebody (SCMP_ACT_NOTIFY). */
bool seccomp_spec_has_notify(const SeccompSpec *s);
