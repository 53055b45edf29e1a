/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image configuration (image-spec config.md; Docker's is a superset). Pure and bounded. */

#include "basic/error.h"
#include "oci/manifest.h"

#define IMAGE_CONFIG_SIZE_MAX (8U * 1024 * 1024)
#define IMAGE_CONFIG_LIST_MAX 4096U /* entries of Env, Cmd, Entrypoint, … */
#define IMAGE_HEALTH_TEST_SIZE_MAX (64U * 1024) /* bytes of Healthcheck.Test */

/* Docker's HEALTHCHECK, which the image specification does not have. What is not said, or is no sensible
 * number, is 0: the default is to be taken. */
typedef struct ImageHealthCheck {
        char **test; /* "CMD" and arguments; "CMD-SHELL" and a line; "NONE" */
        uint64_t interval_usec, timeout_usec, start_period_usec, start_interval_usec;
        uint64_t retries;
} ImageHealthCheck;

typedef struct ImageConfig {
        Platform platform;
        uint64_t created_usec;
        char *user;
        char **env;
        char **entrypoint;
        char **cmd;
        char *working_dir;
        char *stop_signal;
        char **volumes;       /* paths */
        char **exposed_ports; /* "80/tcp" */
        char **labels;        /* "key=value" */
        char **diff_ids;
        ImageHealthCheck health;
} ImageConfig;

/* -EBADMSG "InvalidImageConfig". */
int image_config_parse(const char *text, size_t n, ImageConfig **ret, Error *reterr_error);
ImageConfig *image_config_free(ImageConfig *c);
DEFINE_CLEANUP_FUNC(ImageConfig *, image_config_free)
