/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "snapshot/snapshot.h"

#define SNAPSHOT_DRIVER "overlay"
#define SNAPSHOT_NAME_MAX 32U /* "new-18446744073709551615" */

struct SnapshotManager {
        int dir_fd;
        int trash_fd;
        char *dir;
        char *boot_id; /* known after recovery */
        Store *store;  /* weak */
};

/* Moves what is called name to the trash, if it is there: 1, else 0. */
int snapshot_discard(SnapshotManager *m, const char *name);
