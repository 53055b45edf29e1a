/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files by directory descriptor and name, never following what an attacker may have put there.
 *
 * Below, "path" with a directory descriptor stays beneath it and follows no symlink. With AT_FDCWD it is the
 * caller's own path (a configuration file, an argument): it may be absolute and symlinks are followed,
 * unless the function says otherwise. "name" may be a path, too, whose last component is never followed. */

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "basic/macro.h"

/* openat2() with O_CLOEXEC added and these resolve flags (RESOLVE_*). Descriptor or negative errno. */
int open_beneath_nofollow(int dirfd, const char *path, int flags, mode_t mode); /* BENEATH | NO_SYMLINKS */
int open_in_root(int dirfd, const char *path, int flags, mode_t mode);          /* IN_ROOT | NO_MAGICLINKS */
int openat2_full(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);

/* mkdir -p below dirfd; no symlinks in path (-ELOOP, -ENOTDIR), no "..". */
int mkdirat_p(int dirfd, const char *path, mode_t mode);
/* mkdir if needed, then open as a directory. name: one component. */
int mkdirat_open(int dirfd, const char *name, mode_t mode);

/* Reads a whole regular file of at most max bytes (-EFBIG beyond). NUL-terminated. */
int read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size);
/* Temporary file, write, fsync (if sync), rename over name, fsync of the directory (if sync).
 * The mode is exact, whatever the umask. */
int write_file_atomic_at(int dirfd, const char *name, const void *p, size_t n, mode_t mode, bool sync);
int fsync_dir(int dirfd);

/* Deletes the tree at name below dirfd: never crosses a mount point (-EXDEV, -EBUSY) or a symlink. 0 also
 * when there is nothing. Stops at the first error. Any depth, two descriptors. */
int rm_rf_at(int dirfd, const char *name);

/* A file name that is one component: not empty, ".", "..", no "/", at most NAME_MAX. */
bool filename_is_valid(const char *name);
/* Absolute, no "." or ".." components, no "//", no trailing "/" (but "/" itself), at most PATH_MAX. */
bool path_is_normalized(const char *path);
/* a + "/" + b with exactly one slash between. NULL on OOM. */
char *path_join(const char *a, const char *b);
/* What follows top in path, "" or "/…"; NULL if path is neither top nor below. */
const char *path_startswith(const char *path, const char *top);

int dir_is_empty_at(int dirfd, const char *name);
