/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `process` of the runtime specification: that of the container, and what `exec --process` reads. */

#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/caps.h"
#include "runtime/spec-attributes.h"

#define SPEC_GROUPS_MAX 1024U
#define SPEC_RLIMITS_MAX 16U /* RLIM_NLIMITS */
#define SPEC_UMASK_DEFAULT 0022

typedef struct SpecRlimit {
        bool wanted;
        uint64_t soft;
        uint64_t hard;
} SpecRlimit;

typedef struct ProcessSpec {
        bool terminal;
        uint16_t console_height; /* rows; 0: not given */
        uint16_t console_width;

        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        mode_t umask;
        char **args;
        char **env;
        char *cwd;
        CapSets caps;
        bool has_caps; /* `capabilities` is there */
        bool no_new_privileges;
        SpecRlimit rlimits[SPEC_RLIMITS_MAX];
        bool has_oom_score_adj;
        int64_t oom_score_adj;
        SpecScheduler scheduler;
        int io_priority;           /* ioprio_set()'s value; 0: not given */
        BitList exec_cpus_initial; /* of execs only, see attributes.h */
        BitList exec_cpus_final;
        char *apparmor_profile;
        char *selinux_label;
} ProcessSpec;

/* process must be zero or hold a result of before. Errors name the member. */
int process_spec_parse(json_t *object, ProcessSpec *process, Error *reterr_error);
void process_spec_done(ProcessSpec *s);

/* RLIMIT_… of "RLIMIT_NOFILE", -EINVAL; and back. */
int rlimit_from_string(const char *s);
const char *rlimit_to_string(int resource);
