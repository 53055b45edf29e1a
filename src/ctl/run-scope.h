/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/create-options.h"
#include "ctl/ctl.h"

/* Makes the container and becomes its launcher: returns on failure only. */
int run_scope(Ctl *c, const CreateOptions *o, const char *image, char *const *command, Error *reterr_error);
