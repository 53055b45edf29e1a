/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "runtime/cgroup-devices.h"
#include "runtime/cgroup-path.h"
#include "runtime/cgroup-resources.h"
#include "runtime/cgroup-scope.h"
#include "runtime/plan.h"

/* Files of a cgroup, properties of a scope, and the program of devices. */
static int make_cgroup(const RuntimeSpec *s, Error *reterr_error) {
        _cleanup_(scope_properties_done) ScopeProperties properties = {};
        _cleanup_(device_program_done) DeviceProgram program = {};
        _cleanup_(cgroup_writes_done) CgroupWrites writes = {};
        _cleanup_free_ char *unit = NULL, *slice = NULL, *place = NULL;
        int r;

        /* One of the two managers will not have the path. */
        (void) scope_names(s->cgroups_path, "id", false, &unit, &slice, NULL);
        (void) cgroup_place(s->cgroups_path, "id", &place, NULL);
        (void) scope_properties_add_annotations(&properties, s->annotations, s->n_annotations, NULL);
        if (!s->resources)
                return 0;
        r = cgroup_writes_new(s->resources, &CGROUP_CURRENT_NEW, &writes, reterr_error);
        if (r < 0)
                return r;
        (void) scope_properties_add_writes(&properties, &writes, NULL);
        return device_program_new(s->resources->devices, s->resources->n_devices, &program);
}

/* A specification, and the plan made from it. */
bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_(plan_freep) Plan *p = NULL, *added = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (runtime_spec_parse((const char *) data, size, &s, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }
        /* Its mounts, put into a container of its own kind. */
        (void) plan_new_mounts(s, s, "/bundle", &added, NULL);
        if (plan_new(s, "/bundle", &p, &e) < 0 ||
            make_cgroup(s, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
