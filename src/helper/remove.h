/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/error.h"

/* Deletes everything in the directory, never across a mount or symlink; goes on after an error and reports
 * the first. */
int remove_contents(int dir_fd, Error *reterr_error);
