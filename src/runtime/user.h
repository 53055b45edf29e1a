/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who the container's process is: names looked up in the image's own /etc/passwd and /etc/group. These files
 * are the image's author's to write, so the parsers are bounded and take any bytes; a line that makes no
 * sense is passed over. */

#include "basic/error.h"
#include "basic/macro.h"

#define USER_DATABASE_SIZE_MAX (1024U * 1024U) /* of /etc/passwd and of /etc/group */
#define USER_GROUPS_MAX 1024U
#define USER_NAME_MAX 256U

typedef struct UserInfo {
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* owned; supplementary */
        size_t n_groups;
        char *home; /* owned; NULL if the user has no entry */
} UserInfo;

void user_info_done(UserInfo *u);

/* The texts of the two files; empty where there is none. */
typedef struct UserDatabase {
        char *passwd; /* owned */
        size_t passwd_size;
        char *group; /* owned */
        size_t group_size;
} UserDatabase;

void user_database_done(UserDatabase *d);

/* Reads both files below root (symlinks resolved inside it). A missing file is an empty one; what is no
 * regular file or is too large is an error. */
int user_database_read(int root_fd, UserDatabase *ret, Error *reterr_error);

/* "name", "uid", "name:group", "uid:gid", … as docker understands them: a name that is not in the database
 * must be a number; without a group the user's own and all that list the user. "" is "0". Errors NoSuchUser,
 * NoSuchGroup, InvalidArgument. */
int user_resolve(const UserDatabase *d, const char *user, UserInfo *ret, Error *reterr_error);

/* Adds one group by name or number to u->groups. */
int user_add_group(const UserDatabase *d, const char *group, UserInfo *u, Error *reterr_error);

/* The home directory of a numeric user, NULL if there is no entry (or no memory). */
char *user_home(const UserDatabase *d, uid_t uid);
