/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options of a mount as the runtime specification has them ("ro", "rbind", "rslave", "size=64m"), taken
 * apart. Pure. */

#include "basic/error.h"
#include "basic/macro.h"

typedef struct MountOptions {
        bool bind;           /* "bind" or "rbind" */
        bool recursive;      /* "rbind" */
        unsigned long flags; /* MS_… to set, for mount(2) of a file system */
        uint64_t attr_set;   /* MOUNT_ATTR_…, for a bind mount */
        uint64_t attr_clear;
        uint64_t attr_set_all; /* the same for all mounts of the tree ("rro") */
        uint64_t attr_clear_all;
        uint64_t propagation; /* MS_PRIVATE, MS_SLAVE, …; 0: not said */
        bool propagation_all;
        char *data; /* owned: what is left, for the file system; NULL if nothing */
} MountOptions;

void mount_options_done(MountOptions *o);

/* options: list of strings, may be NULL. Errors: NotSupported for an option this program knows of and cannot
 * do. */
int mount_options_parse(char *const *options, MountOptions *ret, Error *reterr_error);
