/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container, or an exec, in the foreground: its output is ours, our signals are its. See foreground.c. */

#include "ctl/create-options.h"
#include "ctl/ctl.h"

/* Runs it to its end. Returns its exit code; fails with moored's error (also "NoSuchImage": nothing was
 * done). */
int run_foreground(Ctl *c, const CreateOptions *o, const char *image, char *const *command,
                   Error *reterr_error);

/* The same for a command in the container id. */
int exec_foreground(Ctl *c, const CreateOptions *o, const char *id, char *const *command, Error *reterr_error);

typedef struct AttachOptions {
        const char *detach_keys;
        bool no_stdin, sig_proxy, sig_proxy_set;
} AttachOptions;

/* Joins one that runs, to its end or until the keys are typed (0). */
int attach_foreground(Ctl *c, const AttachOptions *o, const char *name, Error *reterr_error);
