/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ContainerOptions: checked when they arrive, kept as JSON in the container's row. */

#include "container/container.h"

#define CONTAINER_OPTIONS_SIZE_MAX (8U * 1024 * 1024) /* the JSON text of a row */
#define CONTAINER_USER_MAX 256U
#define CONTAINER_HOSTNAME_MAX 64U /* Linux's HOST_NAME_MAX */

/* What image and options together make of the container's process: computed once, at creation (image-spec
 * conversion.md), so that a container starts again as it was made even after its image's name points
 * elsewhere. */
typedef struct ContainerProcess {
        char **args;
        char **env;
        char *cwd;
        char *user; /* or NULL: root */
        char *hostname;
        int stop_signal;
        char **annotations; /* "key=value" */
        HealthCheck health;
        bool ready_when_healthy;
} ContainerProcess;
void container_process_done(ContainerProcess *p);

typedef enum NetworkMode {
        NETWORK_MODE_NONE,
        NETWORK_MODE_HOST,
        NETWORK_MODE_CONTAINER, /* another container's */
        NETWORK_MODE_PATH,      /* a namespace that has a name */
        NETWORK_MODE_NAMED,     /* networks */
        NETWORK_MODE_CNI,       /* networks of plug-ins */
} NetworkMode;
/* *ret_target: the other container, or the path (may be NULL). */
NetworkMode container_network_mode(const ContainerOptions *o, const char **ret_target);

/* Everything that can be known without the image and the host: "InvalidArgument" with the option's name. */
int container_options_validate(const ContainerOptions *o, Error *reterr_error);
/* The sources of bind mounts, and the directory of the log's file, exist: -ENOENT "NoSuchSource". */
int container_options_check_sources(const ContainerOptions *o, Error *reterr_error);
int container_options_to_json(const ContainerOptions *o, const ContainerProcess *p, char **ret,
                              Error *reterr_error);
/* Both results are empty on failure. */
int container_options_from_json(const char *text, ContainerOptions *ret_options,
                                ContainerProcess *ret_process, Error *reterr_error);
/* "ROWSxCOLUMNS"; NULL: 0 and 0. -EINVAL */
int container_terminal_size(const char *size, unsigned *ret_rows, unsigned *ret_columns);
/* Value of the unit property NAME that the user gave last, or NULL. */
const char *container_options_get_property(const ContainerOptions *o, const char *name);
