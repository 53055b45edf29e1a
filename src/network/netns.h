/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Network namespaces as descriptors: no name, no mount. The caller's thread is in another one for a moment
 * and has always come back when these return: if it cannot, the process is aborted, for nothing that it did
 * afterwards would be done where it is meant. They need CAP_SYS_ADMIN. */

#include "basic/macro.h"

/* Makes one; func (or NULL) is called inside, to open the sockets that are wanted there. A descriptor, or
 * what func failed with. */
int netns_new(int (*func)(void *userdata), void *userdata);
/* The one that the caller is in. */
int netns_open(void);
/* Calls func inside; returns what it returns. */
int netns_run(int netns, int (*func)(void *userdata), void *userdata);
