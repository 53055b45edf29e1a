/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The calls that make a container, or a process in one, of the options. */

#include "ctl/create-bag.h"
#include "ctl/ctl.h"

/* RunContainer, CreateContainer or CheckContainer; fds as for create_options_append(). */
int new_create_call(Ctl *c, const char *member, const char *id, const char *image, const CreateOptions *o,
                    char *const *command, const CreateDescriptors *fds, sd_bus_message **ret,
                    Error *reterr_error);

/* The container's Exec. */
int new_exec_call(Ctl *c, const char *id, const CreateOptions *o, char *const *command, const CreateDescriptors *fds,
                  sd_bus_message **ret, Error *reterr_error);

/* moorctl's exit status when no command gives one. */
int command_failure_status(const Error *e);
