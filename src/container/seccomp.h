/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The default seccomp profile: the runtime specification's linux.seccomp, whose rules may in addition bear
 * "includes": {"caps": […]} (the rule holds if the container has all of them) and "excludes": {"caps": […]}
 * (if it has none). */

#include <jansson.h>

#include "basic/error.h"

#define SECCOMP_PROFILE_SIZE_MAX (1U << 20)

typedef struct SeccompProfile SeccompProfile;

int seccomp_profile_load(const char *path, SeccompProfile **ret, Error *reterr_error);
SeccompProfile *seccomp_profile_free(SeccompProfile *p);
DEFINE_CLEANUP_FUNC(SeccompProfile *, seccomp_profile_free)
/* linux.seccomp of a container with these capabilities. */
int seccomp_profile_resolve(const SeccompProfile *p, uint64_t capabilities, json_t **ret, Error *reterr_error);
