/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NAME.conf: the container of the unit moored@NAME.service; see moored.container(5). */

#include "basic/error.h"
#include "ctl/create-options.h"

typedef struct ContainerFileEntry ContainerFileEntry;

typedef struct ContainerFile {
        char *name;
        const char *image;
        char **command; /* NULL: the image's */
        CreateOptions options;
        char **problems; /* "FILE:LINE: sentence"; with any of them the rest is not to be used */
        /* what the members above point into */
        ContainerFileEntry *entries;
        size_t n_entries;
        char **words;
        char *user;
} ContainerFile;

extern const char *const container_file_directories[];

/* NAME, or the path of a file (with a slash in it). -ENOENT "NoSuchFile", -EINVAL. What is wrong in the file is
 * no error but in ret->problems. */
int container_file_load(const char *name_or_path, ContainerFile *ret, Error *reterr_error);
void container_file_done(ContainerFile *f);
/* The first problem as an error; 0 without any. */
int container_file_check(const ContainerFile *f, Error *reterr_error);
/* The names of all. */
int container_file_list(char ***ret, Error *reterr_error);
