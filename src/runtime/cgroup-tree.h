/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Directories and files of the cgroup hierarchy. Paths begin with a slash and are relative to its root. */

#include "basic/cgroup-file.h"
#include "basic/error.h"
#include "runtime/cgroup-resources.h"

/* Opens the root. Errors: -ENOENT if no cgroup file system is mounted, -EOPNOTSUPP NotSupported if it is not
 * that of version 2. */
int cgroup_root_open(Error *reterr_error);
/* Opens the directory at path. */
int cgroup_dir_open(int root_fd, const char *path);

/* One write(). */
int cgroup_write(int dir_fd, const char *file, const char *value);

/* What cgroup_make() made, for cgroup_unmake(). */
typedef struct CgroupMade {
        char *path;
        size_t first; /* how much of path names what is above the first directory that was made; SIZE_MAX:
                         none was */
} CgroupMade;

void cgroup_made_done(CgroupMade *m);

/* Makes the directories of path, and lets each above the last give all controllers that it has to those
 * below; what cannot be given is left out. */
int cgroup_make(int root_fd, const char *path, CgroupMade *ret);
void cgroup_unmake(int root_fd, const CgroupMade *m);
/* Gives the controller (NULL: all that there are) to the cgroups on the way from the first n characters of
 * path, which name one, to path. What cannot be given is left out. */
void cgroup_give(int root_fd, const char *path, size_t n, const char *controller);

/* Whether the controller of a file is missing in the directory, so that there cannot be the file. */
bool cgroup_lacks_controller(int dir_fd, const char *file);
/* Does the writes. path is for messages. Errors: NotSupported names the controller that is missing. */
int cgroup_apply(int dir_fd, const char *path, const CgroupWrites *w, Error *reterr_error);

/* Makes the directory and the files of it that may be delegated the user's. */
int cgroup_chown(int dir_fd, uid_t uid);

/* Waits until key in cgroup.events is value. -ETIMEDOUT. */
int cgroup_wait(int dir_fd, const char *key, uint64_t value);

/* Makes the cgroup threaded if nothing else is possible where it is. */
void cgroup_make_valid(int dir_fd);
/* Moves a process in. */
int cgroup_move(int dir_fd, pid_t pid);

/* Calls func for the directory and each below it; -ENOENT of a directory that goes away meanwhile is no
 * error. */
int cgroup_foreach(int dir_fd, int (*func)(int dir_fd, void *userdata), void *userdata);

/* Removes the directory at path with all below it. Nobody may be in there. */
int cgroup_remove_tree(int root_fd, const char *path);
