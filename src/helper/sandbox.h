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

#define SANDBOX_LOWER_BASE "../.."
#define SANDBOX_LOWER_MAX 4095U /* bytes of overlayfs' options: the kernel's one page */

/* For UNPACK, with a view of the layers below as overlayfs shows them: *ret_lower_fd, for reading only (and
 * nothing else of the host is to be reached from it). lower: their directories, topmost first, with ":"
 * between, relative to SANDBOX_LOWER_BASE from dir_fd. -E2BIG "LimitsExceeded". */
int sandbox_enter_layer(int dir_fd, const char *lower, int *ret_root_fd, int *ret_lower_fd,
                        Error *reterr_error);

/* Becomes the user moored-fetch without any capability, and sees read-only what name resolution and TLS need
 * of the host, nothing else. For FETCH; and for IMPORT, which has no network and sees libraries alone.
 * -ESRCH "NoSuchUser" if the user is missing. */
int sandbox_enter_user(SandboxProfile profile, Error *reterr_error);

/* sandbox-seccomp.c: the last step of both. */
int sandbox_load_seccomp(SandboxProfile profile);
