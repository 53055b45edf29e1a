/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The resolved seccomp profiles as files, <runtime>/seccomp/<name>.json: nearly all containers share one,
 * whose text would be most of each one's config.json. The name is the text's SHA-256. A container's
 * config.json has only the name (annotation "org.moored.seccomp"), and its bundle holds the file by a second
 * link, so that it stays for as long as the container does. Beside each file lies the kernel's program made
 * of it, <name>.bpf: mooring makes it, asked to as soon as there is a profile, not when a container is
 * started. mooring also clears away what is old and held by no bundle (runtime/seccomp-cache.h). */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/macro.h"

#define SECCOMP_NAME_SIZE 65U    /* with NUL */
#define SECCOMP_NAMES_MAX 16U    /* sets of capabilities whose profile's name is remembered */
#define SECCOMP_COMPILERS_MAX 4U /* at once; what is beyond is compiled when a container is started */

typedef struct SeccompStore SeccompStore;

/* runtime_fd: where seccomp/ is or is to be. profile: path of the profile to be resolved. compiler: path of
 * mooring. */
int seccomp_store_new(sd_event *event, int runtime_fd, const char *profile, const char *compiler,
                      SeccompStore **ret, Error *reterr_error);
SeccompStore *seccomp_store_free(SeccompStore *s);
DEFINE_CLEANUP_FUNC(SeccompStore *, seccomp_store_free)
/* The directory. */
int seccomp_store_fd(const SeccompStore *s);

/* The name for a container with these capabilities, whose file is there. */
int seccomp_store_get(SeccompStore *s, uint64_t capabilities, char ret[static SECCOMP_NAME_SIZE],
                      Error *reterr_error);
/* The same ahead of time; also sees to a program that was made by another version of mooring. */
void seccomp_store_prepare(SeccompStore *s, uint64_t capabilities);
