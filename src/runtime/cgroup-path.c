/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-path.h"
#include "runtime/cgroup-tree.h"
#include "runtime/spec-private.h"

int cgroup_path_join(const char *path, const char *below, char **ret) {
        _cleanup_strv_free_ char **parts = strv_split(below, "/"), **kept = NULL;
        _cleanup_free_ char *joined = NULL;

        if (!parts)
                return -ENOMEM;
        STRV_FOREACH (part, parts) {
                if (streq(part, ".."))
                        return -EINVAL;
                if (!streq(part, ".") && strv_extend(&kept, part) < 0)
                        return -ENOMEM;
        }
        if (!kept)
                return -EINVAL;
        joined = strv_join(kept, "/");
        *ret = joined ? strjoin(path, "/", joined) : NULL;
        return *ret ? 0 : -ENOMEM;
}

int cgroup_place(const char *cgroups_path, const char *id, char **ret, Error *reterr_error) {
        bool absolute = cgroups_path && cgroups_path[0] == '/';
        int r;

        r = cgroup_path_join(absolute ? "" : CGROUP_PARENT, isempty(cgroups_path) ? id : cgroups_path, ret);
        if (r == -EINVAL)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "linux.cgroupsPath: \"%s\" is not a path below the hierarchy's root.",
                                 strempty(cgroups_path));
        return r < 0 ? spec_oom(reterr_error) : 0;
}

int cgroup_other_places(const char *id, char ***ret) {
        _cleanup_strv_free_ char **places = NULL;
        _cleanup_free_ char *own = NULL;
        int r;

        r = cgroup_of_process(0, &own);
        if (r < 0)
                return r;
        if (!path_is_normalized(own))
                return -ENOENT; /* above the root of our cgroup namespace */
        if (!streq(own, "/"))
                r = strv_extendf(&places, "%.*s/mooring-%s", (int) (strrchr(own, '/') - own), own, id);
        if (r >= 0)
                r = strv_extendf(&places, "%s/mooring-%s", streq(own, "/") ? "" : own, id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(places);
        return 0;
}

static bool has_writable_cgroup_mount(const RuntimeSpec *s) {
        for (size_t i = 0; i < s->n_mounts; i++) {
                const SpecMount *m = &s->mounts[i];

                if (streq(m->destination, "/sys/fs/cgroup") &&
                    (streq_ptr(m->source, "cgroup") || streq_ptr(m->type, "cgroup") ||
                     streq_ptr(m->type, "cgroup2")))
                        return !strv_contains(m->options, "ro");
        }
        return false;
}

bool cgroup_owner_from_spec(const RuntimeSpec *s, bool always, uid_t *ret) {
        const SpecNamespace *cgroup = &s->namespaces[NAMESPACE_CGROUP],
                            *user = &s->namespaces[NAMESPACE_USER];
        uint32_t uid = s->process.uid;

        if (!always && (!cgroup->wanted || cgroup->path || !has_writable_cgroup_mount(s)))
                return false;
        if (!user->wanted || (!user->path && s->uid_mappings.n == 0)) {
                *ret = uid;
                return true;
        }
        for (size_t i = 0; i < s->uid_mappings.n; i++) {
                const SpecIdMapping *m = &s->uid_mappings.mappings[i];

                if (uid >= m->container_id && uid - m->container_id < m->size) {
                        *ret = m->host_id + (uid - m->container_id);
                        return true;
                }
        }
        return false;
}
