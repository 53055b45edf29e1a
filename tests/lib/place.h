/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a test keeps its files: what a test needs, not every file system has. */

#include <limits.h>

/* Device nodes 0:0 and trusted.overlay.* attributes: an overlay has none, and without root nothing has. */
#define PLACE_WHITEOUTS (1U << 0)
/* Leases which a mapping of the file is in the way of: it is not on an overlay. */
#define PLACE_LEASES (1U << 1)
/* user.* attributes: older kernels' tmpfs has none. */
#define PLACE_USER_XATTRS (1U << 2)
/* Speed, for what makes files by the thousand: /dev/shm is looked at before the disks. Never missing. */
#define PLACE_MEMORY (1U << 3)

typedef struct TestPlace {
        char path[PATH_MAX];
        unsigned missing; /* of what was wanted */
} TestPlace;

/* Makes a directory NAME-XXXXXX in the first of $TMPDIR, /tmp, /var/tmp, the build directory and /dev/shm
 * that has all that is wanted, else in the one that lacks least. Negative errno where it can be made in
 * none. */
int test_place_make(TestPlace *p, const char *name, unsigned wanted);

/* Why a test that needs this is skipped; NULL where nothing of it is missing. */
const char *test_place_lacks(const TestPlace *p, unsigned needed);
