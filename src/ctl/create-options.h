/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What "run" and "create" can be told about a container, and "exec" about a process in one: the options of the command
 * line. create-bag.h makes what moored is sent of them. */

#include "basic/error.h"
#include "ctl/create-health.h"
#include "ctl/create-network.h"
#include "ctl/create-values.h"
#include "ctl/limit-options.h"
#include "ctl/options.h"

#define ENV_FILE_MAX (1024U * 1024)

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

#define RUN_ONLY_OPTIONS 3U
extern const Option run_options[]; /* create's begin behind those */
extern const Option exec_options[];

void create_options_done(CreateOptions *o);
