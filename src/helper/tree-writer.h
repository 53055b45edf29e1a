/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making files below one directory by names that nobody has checked: the names of archive entries. */

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/error.h"
#include "job/proto.h"

#define TREE_PATH_MAX 4095U     /* bytes of a normalised path */
#define TREE_COMPONENT_MAX 255U
#define TREE_DEPTH_MAX 256U     /* components; a descriptor each while an entry is being made */
#define TREE_SYMLINKS_MAX 40U   /* on the way to one entry; as many as the kernel follows */
#define TREE_IMPLIED_MAX PROTO_LIST_MAX /* bytes of the list of directories that are to be settled */

typedef struct TreeMetadata {
        mode_t mode; /* 07777 */
        uid_t uid;
        gid_t gid;
        struct timespec mtime;
} TreeMetadata;

/* Takes "./a//b/" and "/a/b" apart into "a/b"; "." and "/" become "". ".." is refused, whatever it would
 * lead to; so are names beyond the limits above: -EBADMSG "InvalidArchive". */
int tree_normalize(const char *name, char ret[static TREE_PATH_MAX + 1], Error *reterr_error);

/* What a container's own programs set. Everything else is either the host's business (ACLs and labels have
 * meanings there; trusted.overlay.* and user.overlay.* would steer overlayfs) or meaningless in an image. */
bool tree_xattr_is_wanted(const char *name);

typedef struct TreeWriter TreeWriter;

/* Instead of the descriptor of what is below: nothing is, or what is cannot be looked at yet. */
#define TREE_LOWER_NONE (-EBADF)
#define TREE_LOWER_UNKNOWN (-EAGAIN)

/* Both are borrowed. root_fd: an empty directory that nobody else writes to. lower_fd: the tree that the new
 * one will be laid over, as overlayfs shows it, or one of the above. */
int tree_writer_new(int root_fd, int lower_fd, TreeWriter **ret, Error *reterr_error);
TreeWriter *tree_writer_free(TreeWriter *t);
DEFINE_CLEANUP_FUNC(TreeWriter *, tree_writer_free)

/* Goes to the directory that holds path (normalised, not ""), makes what is missing of it, and yields its
 * descriptor (O_PATH, borrowed, valid until the next call) and the last component. Symlinks on the way are
 * followed as in a chroot() to the root: a target's "/" is the root, and ".." ends there. A file on the way,
 * or too many symlinks, is -EBADMSG.
 *
 * What is missing goes by what is below: a directory is made with its owner, mode, time and attributes (by
 * tree_writer_finish()), a symlink is followed, anything else is not looked at: 0755, root's. With
 * TREE_LOWER_UNKNOWN it is taken for a directory and put on the list of tree_writer_implied(); -EAGAIN
 * "LowerNeeded" if that becomes too long. */
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
/* Paths, each with a NUL behind it, for tree_settle(). NULL if there are none (*ret_size is 0). */
int tree_writer_implied(const TreeWriter *t, char **ret, size_t *ret_size, Error *reterr_error);

/* What a tree that was made with TREE_LOWER_UNKNOWN lacks: directories on the list get the attributes of
 * those below. The list need not be trusted: -EBADMSG for what is none. -EAGAIN "LowerNeeded" if below is a
 * symlink in place of one: then the whole tree has to be made again, with lower_fd. */
int tree_settle(int root_fd, int lower_fd, const char *list, size_t size, Error *reterr_error);

/* A whiteout in overlayfs' form, in the directory of the last tree_writer_enter(): char device 0:0. Where a
 * directory is already, that becomes opaque; another file stays. */
int tree_writer_whiteout(TreeWriter *t, int dirfd, const char *name, Error *reterr_error);
