/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One function an object of the specification, each a json_dispatch() table plus what a table cannot say.
 * Arrays are allocated once, at their JSON length, which JSON_VALUES_MAX and the limits of spec.h bound. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"
#include "runtime/spec-seccomp.h"

RuntimeSpec *runtime_spec_free(RuntimeSpec *s) {
        if (!s)
                return NULL;

        free(s->oci_version);
        free(s->hostname);
        free(s->domainname);
        free(s->root_path);
        process_spec_done(&s->process);
        spec_free_mounts(s->mounts, s->n_mounts);
        for (size_t i = 0; i < s->n_devices; i++)
                free(s->devices[i].path);
        free(s->devices);
        for (size_t i = 0; i < _NAMESPACE_TYPE_MAX; i++)
                free(s->namespaces[i].path);
        free(s->uid_mappings.mappings);
        free(s->gid_mappings.mappings);
        hooks_spec_done(s->hooks);
        bit_list_done(&s->memory_policy.nodes);
        intel_rdt_spec_done(&s->intel_rdt);
        net_devices_spec_done(&s->net_devices);
        free(s->mount_label);
        spec_free_pairs(s->sysctls, s->n_sysctls);
        strv_free(s->masked_paths);
        strv_free(s->readonly_paths);
        free(s->rootfs_propagation);
        seccomp_spec_free(s->seccomp);
        resource_spec_free(s->resources);
        free(s->cgroups_path);
        spec_free_pairs(s->annotations, s->n_annotations);
        strv_free(s->unsupported);
        free(s);
        return NULL;
}

const char *runtime_spec_annotation(const RuntimeSpec *s, const char *name) {
        for (size_t i = 0; i < s->n_annotations; i++)
                if (streq(s->annotations[i].name, name))
                        return s->annotations[i].value;
        return NULL;
}

static int parse_root(RuntimeSpec *s, json_t *root, Error *reterr_error) {
        static const JsonField table[] = {
                { "path", JSON_FIELD_STRING, offsetof(RuntimeSpec, root_path), .required = true },
                { "readonly", JSON_FIELD_BOOL, offsetof(RuntimeSpec, root_readonly) },
                {},
        };

        return json_dispatch(root, table, s, "root", false, reterr_error);
}

static int check_version(const char *version, Error *reterr_error) {
        /* All of 1.x is one contract, of which later versions add members; what came before differs in
         * nothing used here. */
        if (!startswith(version, "1.") && !startswith(version, "0."))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "ociVersion: \"%s\" is not version 1 of the runtime specification.",
                                 version);
        return 0;
}

static int parse_all(RuntimeSpec *s, json_t *j, Error *reterr_error) {
        typedef struct TopFields {
                json_t *root, *process, *mounts, *linux_, *hooks, *annotations;
        } TopFields;
        static const JsonField parts[] = {
                { "root", JSON_FIELD_OBJECT, offsetof(TopFields, root) },
                { "process", JSON_FIELD_OBJECT, offsetof(TopFields, process) },
                { "mounts", JSON_FIELD_ARRAY, offsetof(TopFields, mounts) },
                { "linux", JSON_FIELD_OBJECT, offsetof(TopFields, linux_) },
                { "hooks", JSON_FIELD_OBJECT, offsetof(TopFields, hooks) },
                { "annotations", JSON_FIELD_OBJECT, offsetof(TopFields, annotations) },
                {},
        };
        static const JsonField table[] = {
                { "ociVersion", JSON_FIELD_STRING, offsetof(RuntimeSpec, oci_version), .required = true },
                { "hostname", JSON_FIELD_STRING, offsetof(RuntimeSpec, hostname) },
                { "domainname", JSON_FIELD_STRING, offsetof(RuntimeSpec, domainname) },
                {},
        };
        /* What a container of this platform cannot have: config.md, "Platform-specific configuration". */
        static const char *const other_platforms[] = { "freebsd", "solaris", "vm", "windows", "zos", NULL };
        TopFields f = {};
        int r;

        r = json_dispatch(j, table, s, "config", false, reterr_error);
        if (r < 0)
                return r;
        r = check_version(s->oci_version, reterr_error);
        if (r < 0)
                return r;
        r = json_dispatch(j, parts, &f, "config", false, reterr_error);
        if (r < 0)
                return r;

        if (f.root && (r = parse_root(s, f.root, reterr_error)) < 0)
                return r;
        s->has_process = f.process;
        if (f.process && (r = process_spec_parse(f.process, &s->process, reterr_error)) < 0)
                return r;
        if (f.mounts && (r = spec_parse_mounts(s, f.mounts, reterr_error)) < 0)
                return r;
        if (f.linux_ && (r = spec_parse_linux(s, f.linux_, reterr_error)) < 0)
                return r;
        if (f.hooks && (r = hooks_spec_parse(f.hooks, s->hooks, reterr_error)) < 0)
                return r;
        if (f.annotations && (r = spec_parse_pairs(f.annotations, "annotations", SPEC_ANNOTATIONS_MAX,
                                                   &s->annotations, &s->n_annotations, reterr_error)) < 0)
                return r;
        if (s->seccomp) {
                const char *fail = runtime_spec_annotation(s, ANNOTATION_SECCOMP_FAIL_UNKNOWN);

                s->seccomp->fail_unknown = fail && !streq(fail, "0");
        }
        return spec_note_unsupported(&s->unsupported, j, "", other_platforms, reterr_error);
}

int runtime_spec_parse(const char *text, size_t n, RuntimeSpec **ret, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse_wide(text, n, SPEC_SIZE_MAX, &j, reterr_error);
        if (r < 0)
                return r;

        s = calloc(1, sizeof(RuntimeSpec));
        if (!s)
                return spec_oom(reterr_error);

        r = parse_all(s, j, reterr_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}
