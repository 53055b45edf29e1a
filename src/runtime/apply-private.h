/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of a plan's execution share. */

#include "runtime/apply.h"

struct Apply {
        const Plan *plan;
        int root_fd;
        int empty_fd;    /* the empty file system over masked directories; made when the first is met */
        int null_fd;     /* the container's own /dev/null, likewise over masked files */
        int proc_fd;     /* the root of the procfs on /proc, -EBADF: not needed yet */
        int *mount_fds;  /* opened for a later operation, -EBADF: not; NULL: none yet */
        int parent_fd;   /* what apply_open_parent() has opened last, -EBADF: nothing */
        char *parent;
        bool devices_on; /* Plan.devices_fd is mounted, on the root directory */
};

/* "Cannot what "target": r" */
int apply_cannot(const Operation *o, int r, const char *what, Error *reterr_error);

/* Trees of the host's that are to be bound: before the container's root is mounted somewhere in one of them,
 * and with it all that is mounted in it, without its masks. */
int apply_open_trees(Apply *a, Error *reterr_error);
int apply_mount(Apply *a, const Operation *o, Error *reterr_error);
int apply_bind(Apply *a, const Operation *o, Error *reterr_error);
int apply_copy_symlink(Apply *a, const Operation *o, Error *reterr_error);
int apply_remount(Apply *a, const Operation *o, Error *reterr_error);
int apply_late_readonly(Apply *a, const Operation *o, Error *reterr_error);

int apply_device(Apply *a, const Operation *o, Error *reterr_error);
int apply_symlink(Apply *a, const Operation *o, Error *reterr_error);
int apply_file(Apply *a, const Operation *o, Error *reterr_error);
/* When the last device has been made. */
int apply_devices_finish(Apply *a, Error *reterr_error);

/* Opens the directory that target is in; for the devices and links of /dev, which follow each other, only
 * once. The descriptor is a's, until the next call. *ret_name is target's last component (a pointer into
 * it). */
int apply_open_parent(Apply *a, const Operation *o, const char **ret_name, Error *reterr_error);
void apply_close_parent(Apply *a);
