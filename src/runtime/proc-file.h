/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files of /proc that something is written to. What is written to the wrong file does something else, or
 * nothing at all while a container runs unconfined, and a mount on /proc that redirects a write is an old
 * trick: so they are opened below the root of what is checked to be procfs, without crossing a mount. */

#include "basic/macro.h"

/* path: relative to /proc; "self/…", "thread-self/…" may be used. -EXDEV if /proc, or the file, is not the
 * kernel's, or if something is mounted in between. Descriptor or negative errno. */
int proc_file_open(const char *path, int flags);

/* Opens and writes all of text in one write(): the kernel takes it as a whole. */
int proc_file_write(const char *path, const char *text);
