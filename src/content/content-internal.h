/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>

#include "content/content.h"

struct Content {
        int content_fd;
        int blobs_fd[_DIGEST_ALGORITHM_MAX];
        int ingest_fd;
};

static inline void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* A stream of its own over a directory that stays open. */
int open_dir_stream(int dirfd, DIR **ret);
