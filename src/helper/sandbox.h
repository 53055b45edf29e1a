/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a helper gives up before it touches anything that came from outside. Each step is fatal: there is no
 * half a sandbox. */

#include "basic/error.h"

typedef enum SandboxProfile {
        SANDBOX_FETCH,
        SANDBOX_IMPORT,
        SANDBOX_UNPACK,
        SANDBOX_REMOVE,
        SANDBOX_SYNC,
        _SANDBOX_PROFILE_MAX,
} SandboxProfile;

/* Stays root without most capabilities, in namespaces of its own, with the directory dir_fd as its whole
 * file system: *ret_root_fd is it, opened anew; dir_fd is closed. For UNPACK, REMOVE, SYNC. */
int sandbox_enter_directory(int dir_fd, SandboxProfile profile, int *ret_root_fd, Error *reterr_error);

/* Becomes the user moored-fetch without any capability, and sees read-only what name resolution and TLS need
 * of the host, nothing else. For FETCH; and for IMPORT, which has no network and sees libraries alone.
 * -ESRCH "NoSuchUser" if the user is missing. */
int sandbox_enter_user(SandboxProfile profile, Error *reterr_error);

/* sandbox-seccomp.c: the last step of both. */
int sandbox_load_seccomp(SandboxProfile profile);
