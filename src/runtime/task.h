/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The process to be executed in a container, be it its first or one that joins later: who it is, where it
 * starts, what it may, and which file is its command. All but task_find_user() run in the container. */

#include "runtime/spec.h"
#include "runtime/user.h"

/* The caller's supplementary groups are kept. */
#define ANNOTATION_KEEP_GROUPS "run.oci.keep_original_groups"

typedef struct Task {
        const RuntimeSpec *spec;    /* the container's: annotations */
        const ProcessSpec *process; /* the process's */
        UserInfo user;
        CapSets caps;
        char **env;
        char *command; /* what is executed */
        char *notes;   /* what could not be had, NULL: nothing */
        bool cwd_pending;
} Task;

void task_done(Task *t);

/* Fills user and env. root_fd: the container's root, whose /etc/passwd and /etc/group are asked where names
 * or a home directory are wanted. Errors: NoSuchUser, NoSuchGroup. */
int task_find_user(Task *t, int root_fd, Error *reterr_error);

/* To the working directory, which must be in the container. Not last: a directory that root may not enter is
 * left for a second call, as the user. */
int task_change_directory(Task *t, bool last, Error *reterr_error);

/* Gives descriptors 0, 1 and 2 to the user. */
int task_own_stdio(const Task *t, Error *reterr_error);

/* Takes from the capabilities what is not to be had here; each missing one is a note. */
int task_limit_caps(Task *t, Error *reterr_error);
int task_become_user(Task *t, Error *reterr_error);

/* Fills command. Errors: CommandNotFound, CommandNotExecutable. */
int task_find_command(Task *t, Error *reterr_error);

/* Returns on failure only, with the same errors. */
int task_execute(Task *t, Error *reterr_error);
