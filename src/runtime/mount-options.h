/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options of a mount as the runtime specification has them ("ro", "rbind", "rslave", "size=64m"), taken
 * apart. Pure. */

#include "basic/error.h"
#include "basic/macro.h"

typedef struct MountOptions {
        bool bind;           /* "bind" or "rbind" */
        bool recursive;      /* "rbind" */
        bool remount;        /* what is mounted there is changed */
        bool copy_up;        /* "tmpcopyup" */
        bool copy_symlink;   /* a source that is a symlink becomes one in the container */
        bool source_nofollow;
        bool target_nofollow;
        bool idmap;          /* "idmap" or "ridmap" */
        bool idmap_all;      /* "ridmap" */
        char *idmap_text;    /* owned: "uids=…;gids=…" of "idmap=", see idmap.h; NULL: not given */
        unsigned long flags; /* MS_… to set, for mount(2) of a file system */
        uint64_t attr_set;   /* MOUNT_ATTR_…, of the mount itself */
        uint64_t attr_clear;
        uint64_t attr_set_all; /* the same for all mounts of the tree ("rro") */
        uint64_t attr_clear_all;
        uint64_t propagation; /* MS_PRIVATE, MS_SLAVE, …; 0: not said */
        bool propagation_all;
        char *data; /* owned: what is left, for the file system; NULL if nothing */
} MountOptions;

void mount_options_done(MountOptions *o);

/* options: list of strings, may be NULL. What is not known is for the file system. */
int mount_options_parse(char *const *options, MountOptions *ret, Error *reterr_error);

/* MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE by name, with MS_REC for "rprivate" and so on; 0: no name
 * of that. */
unsigned long propagation_from_string(const char *s);

/* The names of all options that are known, sorted; strv. Not those of file systems. */
int mount_options_names(char ***ret);
