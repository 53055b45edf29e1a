/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files of control groups (cgroup2). What the host has no controller for is -ENOENT. */

#include <sys/types.h>

#include "basic/macro.h"

#define CGROUP_FILE_MAX 65536U /* the longest file read as a whole: memory.numa_stat and such are not */

/* The directory of a group, by its path as PID 1 tells it. */
int cgroup_open_group(const char *control_group);
/* The path of the group that a process is in, as this one sees it; 0: this one. *ret is owned. -ENOENT if there is no
 * hierarchy of version 2. */
int cgroup_of_process(pid_t pid, char **ret);
/* A file's text without the last newline; *ret is owned. */
int cgroup_read(int dir_fd, const char *file, char **ret);
/* A number, "max" is UINT64_MAX. */
int cgroup_read_number(int dir_fd, const char *file, uint64_t *ret);
/* The number behind key in a file of lines "key number". -ENXIO without that line. */
int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret);
/* The same of such a file's text. */
int cgroup_find_key(const char *text, const char *key, uint64_t *ret);
/* The sum of all "key=number" in a file of lines "8:0 key=number …". */
int cgroup_read_sum(int dir_fd, const char *file, const char *key, uint64_t *ret);
