/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/cgroup.h"

void cgroup_done(Cgroup *c) {
        free(c->path);
        free(c->scope);
        *c = (Cgroup) {};
}

int cgroup_create(CgroupManager manager, const RuntimeSpec *spec, const char *id, pid_t pid, bool rootless,
                  Cgroup *ret, Error *reterr_error) {
        if (spec->cgroups_path || (spec->resources && resource_spec_first_limit(spec->resources)))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "Not supported: linux.resources.");
        *ret = (Cgroup) { .manager = manager };
        return 0;
}

int cgroup_open(const Cgroup *c) {
        return -ENOENT;
}

int cgroup_remove(const Cgroup *c, Error *reterr_error) {
        return 0;
}

bool cgroup_is_frozen(const Cgroup *c) {
        return false;
}

static int no_cgroup(Error *reterr_error) {
        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "The container has no cgroup.");
}

int cgroup_freeze(const Cgroup *c, bool frozen, Error *reterr_error) {
        return no_cgroup(reterr_error);
}

int cgroup_kill(const Cgroup *c, int signo, Error *reterr_error) {
        return no_cgroup(reterr_error);
}

int cgroup_update(const Cgroup *c, const ResourceSpec *r, Error *reterr_error) {
        return no_cgroup(reterr_error);
}

int cgroup_stats(const Cgroup *c, json_t **ret, Error *reterr_error) {
        return no_cgroup(reterr_error);
}

int cgroup_processes(const Cgroup *c, pid_t **ret, size_t *ret_n) {
        return -ENOENT;
}
