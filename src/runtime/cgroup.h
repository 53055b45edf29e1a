/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's control group on the unified hierarchy (cgroup v2; v1 is refused), made by one of two
 * managers: directories made here below a cgroup that is ours to use, or a transient scope of the service
 * manager (by the program mooring-scope, which is linked with libsystemd; this one is not).
 *
 * Where, with CGROUP_MANAGER_CGROUPFS: linux.cgroupsPath if it is absolute; if it is relative, that below
 * /mooring; without it /mooring/ID, or, where that cannot be made and no limit was asked for, mooring-ID
 * beside or below the own cgroup. With CGROUP_MANAGER_SYSTEMD: linux.cgroupsPath is "slice:prefix:name" or
 * "slice:name"; without it the scope is mooring-ID.scope in system.slice, or in user.slice of the user's own
 * manager.
 *
 * A new cgroup namespace has for its root the cgroup of the process that makes it: with clone3() that is the
 * parent's, whatever CLONE_INTO_CGROUP says. So init calls unshare(CLONE_NEWCGROUP) when it is in its
 * cgroup. */

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/command.h"
#include "runtime/spec-resources.h"
#include "runtime/spec.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* crun's annotations: the container is in a cgroup of that name below its scope; init begins in a cgroup of
 * that path below the container's, which it owns. */
#define ANNOTATION_SYSTEMD_SUBGROUP "run.oci.systemd.subgroup"
#define ANNOTATION_DELEGATE_CGROUP "run.oci.delegate-cgroup"

typedef struct Cgroup {
        CgroupManager manager;
        char *path;  /* below CGROUP_ROOT, with a leading slash; NULL: none (disabled, or not to be had) */
        char *scope; /* systemd's unit; NULL: none */
        char *init_path; /* where init begins, below path; NULL: in path. Of no use after cgroup_create(). */
} Cgroup;

void cgroup_done(Cgroup *c);

/* Makes the container's cgroup and sets its limits (spec->resources, spec->cgroups_path and annotations).
 * pid: the container's init, stopped before it does anything of its own: it is moved in. 0: nobody is moved
 * (only with CGROUP_MANAGER_CGROUPFS: init is then made by clone3() with CLONE_INTO_CGROUP and
 * cgroup_open()). On failure nothing is left; a pid that was moved already is killed. rootless: what is not
 * permitted is done without if nothing asked for it. */
int cgroup_create(CgroupManager manager, const RuntimeSpec *spec, const char *id, pid_t pid, bool rootless,
                  Cgroup *ret, Error *reterr_error);

/* The cgroup's directory, for clone3() of init (O_PATH | O_DIRECTORY). -ENOENT if there is none. */
int cgroup_open(const Cgroup *c);
int cgroup_attach(const Cgroup *c, pid_t pid, Error *reterr_error);

/* The directory of the cgroup for a further process, for clone3() or cgroup_attach_fd(). sub: path below the
 * container's cgroup (`exec --cgroup`), which must exist; NULL: the container's, or, if that has given its
 * controllers to cgroups below and takes no processes, init's. */
int cgroup_open_exec(const Cgroup *c, const char *sub, pid_t init, Error *reterr_error);
int cgroup_attach_fd(int dir_fd, pid_t pid, Error *reterr_error);
/* For a process that may not be moved there from where it is (-EACCES): by the service manager whose scope the
 * container is in. -EOPNOTSUPP if it is in none. */
int cgroup_attach_by_manager(const Cgroup *c, const char *sub, pid_t pid, Error *reterr_error);

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

/* Removes what a scope of that name has beside its cgroup. */
void cgroup_remove_pins(const char *scope);

/* runc's `events --stats` data: cpu, memory, pids, io, hugetlb, … */
int cgroup_stats(const Cgroup *c, json_t **ret, Error *reterr_error);
