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
/* A place that is there; if it is a symlink, that. */
int mount_target_open_last(int root_fd, const char *path);

/* A detached copy of the mount (or tree) at path; descriptor or negative errno. dir_fd with an empty path:
 * that descriptor's. */
int mount_clone(int dir_fd, const char *path, bool recursive);
/* The same of a symlink, if path is one. */
int mount_clone_nofollow(int dir_fd, const char *path, bool recursive);
/* A detached file system. data: options separated by commas, may be NULL; flags: MS_… of a file system;
 * attributes: MOUNT_ATTR_…. Unlike mount(2) it takes no option of more than 255 bytes. */
int mount_new(const char *fstype, const char *source, const char *data, unsigned long flags,
              uint64_t attributes);
/* A detached empty file system that nothing can be written to. */
int mount_new_empty(void);

int mount_set_attributes(int mount_fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation);
/* Maps the ids as that user namespace does. */
int mount_set_idmap(int mount_fd, bool recursive, int user_namespace_fd);
/* Puts a detached mount on an open target. */
int mount_attach(int mount_fd, int target_fd);

/* Makes root_fd's mount the root, drops the old one with everything below it; ends in the new "/". */
int mount_pivot(int root_fd);
/* The same where the root cannot be changed (an initramfs): the mount is moved over "/". What remains below
 * is out of reach, but not gone; file systems of the kernel's there are. */
int mount_move_root(int root_fd);
