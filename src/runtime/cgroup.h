/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's control group on the unified hierarchy (cgroup v2; v1 is refused), made by one of two
 * managers: directories made here below a cgroup that is ours to use, or a transient scope of the service
 * manager (by the program mooring-scope, which is linked with libsystemd; this one is not). */

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/command.h"
#include "runtime/spec-resources.h"
#include "runtime/spec.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

typedef struct Cgroup {
        CgroupManager manager;
        char *path;  /* below CGROUP_ROOT, with a leading slash; NULL: none (disabled, or none could be had) */
        char *scope; /* systemd's unit; NULL: none */
} Cgroup;

void cgroup_done(Cgroup *c);

/* Makes the container's cgroup and sets its limits (spec->resources, spec->cgroups_path and annotations).
 * pid: the container's init, stopped before it does anything of its own: it is moved in. 0: nobody is moved (only
 * with CGROUP_MANAGER_CGROUPFS: init is then made by clone3() with CLONE_INTO_CGROUP and cgroup_open()).
 * On failure nothing is left. rootless: what is not permitted is done without if nothing asked for it. */
int cgroup_create(CgroupManager manager, const RuntimeSpec *spec, const char *id, pid_t pid, bool rootless,
                  Cgroup *ret, Error *reterr_error);

/* The cgroup's directory (O_PATH | O_DIRECTORY). */
int cgroup_open(const Cgroup *c);
int cgroup_open_for_exec(const Cgroup *c, pid_t pid);
int cgroup_attach(const Cgroup *c, pid_t pid, Error *reterr_error);

/* Changes limits of a cgroup that exists: those given in r. */
int cgroup_update(const Cgroup *c, const ResourceSpec *r, Error *reterr_error);

/* Freezes or thaws; returns when it is so. */
int cgroup_freeze(const Cgroup *c, bool frozen, Error *reterr_error);
bool cgroup_is_frozen(const Cgroup *c);

/* Sends a signal to all processes in it and below. */
int cgroup_kill(const Cgroup *c, int signo, Error *reterr_error);
/* The pids of all processes in it and below; *ret is owned. */
int cgroup_processes(const Cgroup *c, pid_t **ret, size_t *ret_n);

/* Kills what is left, waits, removes the directories and the scope. 0 also if there is none. */
int cgroup_remove(const Cgroup *c, Error *reterr_error);

/* runc's `events --stats` data: cpu, memory, pids, io, hugetlb, … */
int cgroup_stats(const Cgroup *c, json_t **ret, Error *reterr_error);
