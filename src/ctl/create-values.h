/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stands behind an option of "run", "create" and "exec", as text → as moored takes it. Pure; all fill the error. */

#include "basic/error.h"
#include "basic/macro.h"

typedef struct MountArg {
        char *type, *source, *destination;
        char **options;
} MountArg;
void mount_arg_done(MountArg *m);

int parse_volume(const char *value, const char *working_directory, MountArg *ret,
                 Error *reterr_error); /* -v */
int parse_mount(const char *value, const char *working_directory, MountArg *ret,
                Error *reterr_error);                                   /* --mount */
int parse_tmpfs(const char *value, MountArg *ret, Error *reterr_error); /* --tmpfs */
/* "1000/30s" → "LogRateLimitBurst=1000", "LogRateLimitIntervalSec=30s"; "off": no limit. */
int parse_log_rate(const char *value, char ***properties, Error *reterr_error);
/* "journal", "none", "fd", "file:PATH": PATH as parse_volume() has it, made absolute. */
int parse_log(const char *value, const char *working_directory, char **ret, Error *reterr_error);
/* "NAME=VALUE", or "NAME" to take the value from `environment` (left out if it is not there). */
int parse_env(const char *value, char *const *environment, char ***l, Error *reterr_error);
/* Lines as parse_env() has them; empty ones and those that begin with # are skipped. */
int parse_env_text(const char *text, const char *file, char *const *environment, char ***l,
                   Error *reterr_error);
/* A word, or a JSON array of words. */
int parse_entrypoint(const char *value, char ***ret, Error *reterr_error);
/* A JSON array of words; option is for messages. */
int parse_words(const char *option, const char *value, char ***ret, Error *reterr_error);
