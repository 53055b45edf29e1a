/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What "run" and "create" can be told about a container, and "exec" about a process in one: the command line's
 * spelling → the option bag of RunContainer, or of Exec. */

#include <systemd/sd-bus.h>

#include "basic/error.h"
#include "ctl/limit-options.h"
#include "ctl/create-health.h"
#include "ctl/create-network.h"
#include "ctl/options.h"

#define ENV_FILE_MAX (1024U * 1024)

typedef struct MountArg {
        char *type, *source, *destination;
        char **options;
} MountArg;

typedef enum PullPolicy {
        PULL_MISSING,
        PULL_ALWAYS,
        PULL_NEVER,
        _PULL_POLICY_MAX,
        _PULL_POLICY_INVALID = -EINVAL,
} PullPolicy;
DECLARE_STRING_TABLE(pull_policy, PullPolicy);

typedef struct CreateOptions {
        LimitOptions limits; /* the first */
        char **devices;
        /* of moorctl */
        bool detach, interactive;
        const char *detach_keys;
        PullPolicy pull;
        const char *name;
        /* of the container; NULL: not given */
        const char *working_directory, *user, *hostname, *platform, *systemd, *runtime;
        const char *unit; /* moored@NAME.service, for `unit prepare` */
        char **entrypoint;
        bool entrypoint_set; /* --entrypoint= with nothing clears the image's */
        char **environment, **file_environment; /* -e has its way, whatever the order */
        char **groups, **labels, **cap_add, **cap_drop;
        MountArg *mounts;
        size_t n_mounts;
        bool read_only, auto_remove, machine, terminal;
        const char *seccomp, *stop_signal, *restart;
        char *log;   /* "journal", "none", "file:/PATH" */
        bool log_fd; /* --log=fd: our own stdout and stderr */
        uint64_t stop_timeout_usec;
        bool stop_timeout_set;
        CreateHealth health;
        CreateNetwork network;
        bool ready_when_healthy, notify, scope;
        /* of exec alone */
        bool privileged;
        const char *token;
} CreateOptions;

/* What RunContainer is given; -EBADF: nothing. */
typedef struct CreateDescriptors {
        int standard[3];
        int terminal;
} CreateDescriptors;
#define CREATE_DESCRIPTORS_NULL ((CreateDescriptors){ { -EBADF, -EBADF, -EBADF }, -EBADF })

#define RUN_ONLY_OPTIONS 3U
extern const Option run_options[]; /* create's begin behind those */
extern const Option exec_options[];

void create_options_done(CreateOptions *o);
/* The a{sv}. fds->standard[i] is appended as StandardInput, -Output, -Error where it is not negative. */
int create_options_append(sd_bus_message *m, const CreateOptions *o, char *const *command,
                          const CreateDescriptors *fds);

/* An entry of it, of type as; for the files of this one's parts. */
int create_append_strv(sd_bus_message *m, const char *key, char *const *l, bool even_if_empty);
/* Labels, a{ss}; nothing for an empty list. */
int create_append_labels(sd_bus_message *m, char *const *labels);

/* Pure; exported for the tests. All fill the error. */
int parse_volume(const char *value, const char *working_directory, MountArg *ret,
                 Error *reterr_error); /* -v */
int parse_mount(const char *value, const char *working_directory, MountArg *ret,
                Error *reterr_error);                                   /* --mount */
int parse_tmpfs(const char *value, MountArg *ret, Error *reterr_error); /* --tmpfs */
void mount_arg_done(MountArg *m);
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
