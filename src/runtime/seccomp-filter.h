/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From linux.seccomp to the kernel's filter. A compiled one is best had of seccomp-cache.h. */

#include <linux/filter.h>

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/spec.h"

/* What the kernel takes: BPF_MAXINSNS. */
#define SECCOMP_INSTRUCTIONS_MAX 4096U

typedef struct SeccompProgram {
        struct sock_filter *filter; /* owned */
        size_t n;
        unsigned flags; /* of seccomp(2) */
} SeccompProgram;

void seccomp_program_done(SeccompProgram *p);

/* Compiles with libseccomp. System calls it does not know are left out: on a kernel that has them they are
 * answered as unknown (ENOSYS) as long as the default is an errno. Errors name the member. */
int seccomp_compile(const SeccompSpec *s, SeccompProgram *ret, Error *reterr_error);

/* linux.seccomp.flags as those of seccomp(2). */
int seccomp_flags_parse(const SeccompSpec *s, unsigned *ret, Error *reterr_error);

/* Installs it for this process and what it becomes. */
int seccomp_install(const SeccompProgram *p);
