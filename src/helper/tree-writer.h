/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making files below one directory by names that nobody has checked: the names of archive entries. */

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/error.h"

#define TREE_PATH_MAX 4095U     /* bytes of a normalised path */
#define TREE_COMPONENT_MAX 255U
#define TREE_DEPTH_MAX 256U     /* components; a descriptor each while an entry is being made */
#define TREE_SYMLINKS_MAX 40U   /* on the way to one entry; as many as the kernel follows */

typedef struct TreeMetadata {
        mode_t mode; /* 07777 */
        uid_t uid;
        gid_t gid;
        struct timespec mtime;
} TreeMetadata;

/* Takes "./a//b/" and "/a/b" apart into "a/b"; "." and "/" become "". ".." is refused, whatever it would
 * lead to; so are names beyond the limits above: -EBADMSG "InvalidArchive". */
int tree_normalize(const char *name, char ret[static TREE_PATH_MAX + 1], Error *reterr_error);

typedef struct TreeWriter TreeWriter;

/* root_fd is borrowed: an empty directory that nobody else writes to. */
int tree_writer_new(int root_fd, TreeWriter **ret, Error *reterr_error);
TreeWriter *tree_writer_free(TreeWriter *t);
DEFINE_CLEANUP_FUNC(TreeWriter *, tree_writer_free)

/* Goes to the directory that holds path (normalised, not ""), makes what is missing of it (0755, root's),
 * and yields its descriptor (O_PATH, borrowed, valid until the next call) and the last component. Symlinks
 * on the way are followed as in a chroot() to the root: a target's "/" is the root, and ".." ends there. A file
 * on the way, or too many symlinks, is -EBADMSG. */
int tree_writer_enter(TreeWriter *t, const char *path, int *ret_dirfd, const char **ret_name,
                      Error *reterr_error);
/* mkdir. What is there and no directory is replaced; a whiteout there makes the new directory opaque. */
int tree_writer_mkdir(TreeWriter *t, int dirfd, const char *name, Error *reterr_error);
/* Removes what is at name, a tree as well. */
int tree_writer_clear(TreeWriter *t, int dirfd, const char *name, Error *reterr_error);
/* The directory of the last tree_writer_enter() hides what lower layers have in it. */
int tree_writer_set_opaque(TreeWriter *t, int dirfd, const char *name, Error *reterr_error);
/* Owner, mode and time of a directory, name in that of the last tree_writer_enter(); "" is the root. They
 * are applied by tree_writer_finish(). */
int tree_writer_note_directory(TreeWriter *t, const char *name, const TreeMetadata *m, Error *reterr_error);
int tree_writer_finish(TreeWriter *t, Error *reterr_error);

/* A whiteout in overlayfs' form: char device 0:0. Where a directory is already, that becomes opaque; another
 * file stays. */
int tree_writer_whiteout(TreeWriter *t, int dirfd, const char *name, Error *reterr_error);
