/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mounting on places inside a root that is not to be trusted. A target is resolved inside the root by the
 * kernel (RESOLVE_IN_ROOT) and then used by descriptor, never again by name. */

#include "basic/error.h"
#include "basic/macro.h"

#define MOUNT_SYMLINKS_MAX 40U

/* Opens (O_PATH) a place inside the root; makes what is missing: directories (0755) and, if file, an empty
 * file at the end. Symlinks are followed inside the root, also those whose target does not exist yet.
 * Descriptor or negative errno. */
int mount_target_open(int root_fd, const char *path, bool file);
/* The same, but -ELOOP if the path has a symlink. Directories only. */
int mount_target_open_nofollow(int root_fd, const char *path);

/* A detached copy of the mount (or tree) at path; descriptor or negative errno. dir_fd with an empty path:
 * that descriptor's. */
int mount_clone(int dir_fd, const char *path, bool recursive);
int mount_set_attributes(int mount_fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation);
/* Puts a detached mount on an open target. */
int mount_attach(int mount_fd, int target_fd);

/* A detached empty file system that nothing can be written to. */
int mount_new_empty(void);

/* Makes root_fd's mount the root, drops the old one with everything below it; ends in the new "/". */
int mount_pivot(int root_fd);
