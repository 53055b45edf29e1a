/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Other programs that a command needs: ps, criu. */

#include "basic/error.h"
#include "basic/macro.h"

/* The program's path: by $PATH if name has no slash. *ret is owned. -ENOENT: it is not there. */
int program_find(const char *name, char **ret);

/* Runs it with this process's environment, stdin and stderr, stdout going to stdout_fd (-EBADF: to stderr),
 * and waits. *ret_code is the exit code, or 128 and the signal's number. */
int program_run(const char *path, char *const *argv, int stdout_fd, int *ret_code, Error *reterr_error);

/* The same, and stdout's text (at most max bytes) is *ret. */
int program_output(const char *path, char *const *argv, size_t max, char **ret, int *ret_code,
                   Error *reterr_error);
