/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory as a tar stream, for "import DIRECTORY". */

#include "basic/macro.h"

#define DIRECTORY_TAR_DEPTH_MAX 16U

/* Writes the regular files, directories and symbolic links below dir_fd to fd, then the end of the archive.
 * Modes, owners and times are left out. -ELOOP: too deep; -EIO: a file became shorter meanwhile. */
int directory_tar_write(int dir_fd, int fd);
/* The same by a child process: returns the end of a pipe to read from, and its pid, which is to be waited
 * for. */
int directory_tar_start(int dir_fd, pid_t *ret_pid);
