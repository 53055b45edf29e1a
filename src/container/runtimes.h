/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The programs that make a container's process: mooring itself, and other OCI runtimes, which mooring calls.
 */

#include "basic/error.h"

#define RUNTIME_OWN "mooring"

/* A name, or an absolute path. */
bool runtime_is_valid(const char *name);

/* The program of that name: a path stands for itself; then the table of "NAME=PATH", then those that are
 * known, where they usually are. *ret is NULL for mooring (and for NULL). "NoSuchRuntime". */
int runtime_find(char *const *table, const char *name, char **ret, Error *reterr_error);

/* The names of those that are there. strv */
int runtime_list(char *const *table, char ***ret);
