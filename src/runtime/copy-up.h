/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* How deep a tree may be. */
#define COPY_UP_DEPTH_MAX 128U

/* Copies what is in one directory into another, with owners, modes, times and extended attributes, and gives
 * the latter directory those of the former if attributes. Both are open for reading. Symlinks are copied,
 * not followed; sockets are left out, and so are owners that this user namespace does not know. What is the
 * same file under several names becomes several. -EMLINK: too deep. */
int copy_up(int from_fd, int to_fd, bool attributes);
