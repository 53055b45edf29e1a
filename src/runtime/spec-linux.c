/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec-private.h"
#include "runtime/spec-seccomp.h"

static const char *const time_offset_clock_table[_TIME_OFFSET_CLOCK_MAX] = {
        [TIME_OFFSET_MONOTONIC] = "monotonic",
        [TIME_OFFSET_BOOTTIME] = "boottime",
};

DEFINE_STRING_TABLE(time_offset_clock, TimeOffsetClock)

static int check_paths(char *const *paths, const char *what, Error *reterr_error) {
        if (strv_length(paths) > SPEC_PATHS_MAX)
                return spec_too_many(what, SPEC_PATHS_MAX, reterr_error);
        STRV_FOREACH (p, paths)
                if (p[0] != '/')
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "%s: \"%s\" is not an absolute path.", what, p);
        return 0;
}

typedef struct DeviceFields {
        char *type;
        char *path;
        uint64_t major;
        uint64_t minor;
        uint64_t mode;
        uint64_t uid;
        uint64_t gid;
} DeviceFields;

static void device_fields_done(DeviceFields *f) {
        free(f->type);
        free(f->path);
}

static int parse_device(json_t *j, SpecDevice *ret, Error *reterr_error) {
        static const JsonField table[] = {
                { "type", JSON_FIELD_STRING, offsetof(DeviceFields, type), .required = true },
                { "path", JSON_FIELD_STRING, offsetof(DeviceFields, path), .required = true },
                { "major", JSON_FIELD_UINT64, offsetof(DeviceFields, major) },
                { "minor", JSON_FIELD_UINT64, offsetof(DeviceFields, minor) },
                { "fileMode", JSON_FIELD_UINT64, offsetof(DeviceFields, mode) },
                { "uid", JSON_FIELD_UINT64, offsetof(DeviceFields, uid) },
                { "gid", JSON_FIELD_UINT64, offsetof(DeviceFields, gid) },
                {},
        };
        _cleanup_(device_fields_done) DeviceFields f = { .mode = 0666 };
        int r;

        r = json_dispatch(j, table, &f, "linux.devices", false, reterr_error);
        if (r < 0)
                return r;

        if (streq(f.type, "c") || streq(f.type, "u"))
                ret->mode = S_IFCHR;
        else if (streq(f.type, "b"))
                ret->mode = S_IFBLK;
        else if (streq(f.type, "p"))
                ret->mode = S_IFIFO;
        else
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.devices.type: \"%s\" is none of c, b, u, p.", f.type);
        if (f.path[0] != '/')
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "linux.devices.path: \"%s\" is not an absolute path.", f.path);

        ret->mode |= (mode_t) (f.mode & 07777);
        r = spec_uint32_from(f.major, "linux.devices.major", &ret->major, reterr_error);
        if (r < 0)
                return r;
        r = spec_uint32_from(f.minor, "linux.devices.minor", &ret->minor, reterr_error);
        if (r < 0)
                return r;
        r = spec_id_from(f.uid, "linux.devices.uid", &ret->uid, reterr_error);
        if (r < 0)
                return r;
        r = spec_id_from(f.gid, "linux.devices.gid", &ret->gid, reterr_error);
        if (r < 0)
                return r;
        ret->path = TAKE_PTR(f.path);
        return 0;
}

static int parse_devices(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        if (json_array_size(array) > SPEC_DEVICES_MAX)
                return spec_too_many("linux.devices", SPEC_DEVICES_MAX, reterr_error);
        s->devices = calloc(json_array_size(array), sizeof(SpecDevice));
        if (!s->devices)
                return spec_oom(reterr_error);

        json_array_foreach (array, i, item) {
                s->n_devices = i + 1;
                r = parse_device(item, &s->devices[i], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_namespaces(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        json_t *item;
        size_t i;

        json_array_foreach (array, i, item) {
                const char *type = json_get_string(item, "type"), *path = json_get_string(item, "path");
                json_t *path_value = json_object_get(item, "path");
                NamespaceType t;

                if (!type)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.type is missing or not a string.");
                t = namespace_type_from_string(type);
                if (t < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.type: \"%s\" is not a namespace.", type);
                if (s->namespaces[t].wanted)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces: \"%s\" is there twice.", type);
                if (path_value && !json_is_null(path_value) && (!path || (path[0] != 0 && path[0] != '/')))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.namespaces.path of \"%s\" is not an absolute path.", type);

                s->namespaces[t].wanted = true;
                if (!isempty(path) && free_and_strdup(&s->namespaces[t].path, path) < 0)
                        return spec_oom(reterr_error);
        }
        return 0;
}

static int parse_time_offsets(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        typedef struct OffsetFields {
                int64_t secs;
                uint64_t nanosecs;
        } OffsetFields;
        static const JsonField table[] = {
                { "secs", JSON_FIELD_INT64, offsetof(OffsetFields, secs) },
                { "nanosecs", JSON_FIELD_UINT64, offsetof(OffsetFields, nanosecs) },
                {},
        };
        const char *name;
        json_t *value;
        int r;

        json_object_foreach (object, name, value) {
                TimeOffsetClock clock = time_offset_clock_from_string(name);
                OffsetFields f = {};

                if (clock < 0)
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.timeOffsets: \"%s\" is neither monotonic nor boottime.",
                                         name);
                r = json_dispatch(value, table, &f, "linux.timeOffsets", false, reterr_error);
                if (r < 0)
                        return r;
                if (f.nanosecs >= 1000000000)
                        return error_set(reterr_error, -ERANGE, "InvalidArgument",
                                         "linux.timeOffsets.nanosecs: %ju is a second or more.",
                                         (uintmax_t) f.nanosecs);
                s->time_offsets[clock] = (SpecTimeOffset){ true, f.secs, (uint32_t) f.nanosecs };
        }
        return 0;
}

static int parse_sysctl(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        return spec_parse_pairs(object, "linux.sysctl", SPEC_SYSCTLS_MAX, &s->sysctls, &s->n_sysctls,
                                reterr_error);
}

static int parse_uid_mappings(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        return spec_parse_id_mappings(array, "linux.uidMappings", &s->uid_mappings, reterr_error);
}

static int parse_gid_mappings(RuntimeSpec *s, json_t *array, Error *reterr_error) {
        return spec_parse_id_mappings(array, "linux.gidMappings", &s->gid_mappings, reterr_error);
}

static int parse_resources(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        return resource_spec_parse(object, &s->resources, reterr_error);
}

static int parse_memory_policy(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        return memory_policy_spec_parse(object, &s->memory_policy, reterr_error);
}

static int parse_personality(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        int r = personality_spec_parse(object, &s->personality, reterr_error);

        s->has_personality = r >= 0;
        return r;
}

static int parse_intel_rdt(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        /* Of versions 1.1 to 1.2, which never said what they do; enableMonitoring took their place. */
        static const char *const unsupported[] = { "enableCMT", "enableMBM", NULL };
        int r;

        r = intel_rdt_spec_parse(object, &s->intel_rdt, reterr_error);
        if (r < 0)
                return r;
        return spec_note_unsupported(&s->unsupported, object, "linux.intelRdt.", unsupported, reterr_error);
}

static int parse_net_devices(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        return net_devices_spec_parse(object, &s->net_devices, reterr_error);
}

static int parse_seccomp(RuntimeSpec *s, json_t *object, Error *reterr_error) {
        return seccomp_spec_parse(object, &s->seccomp, reterr_error);
}

typedef struct LinuxMember {
        const char *name;
        bool is_array; /* else an object */
        int (*parse)(RuntimeSpec *s, json_t *value, Error *reterr_error);
} LinuxMember;

int spec_parse_linux(RuntimeSpec *s, json_t *j, Error *reterr_error) {
        static const JsonField table[] = {
                { "maskedPaths", JSON_FIELD_STRV, offsetof(RuntimeSpec, masked_paths) },
                { "readonlyPaths", JSON_FIELD_STRV, offsetof(RuntimeSpec, readonly_paths) },
                { "rootfsPropagation", JSON_FIELD_STRING, offsetof(RuntimeSpec, rootfs_propagation) },
                { "cgroupsPath", JSON_FIELD_STRING, offsetof(RuntimeSpec, cgroups_path) },
                { "mountLabel", JSON_FIELD_STRING, offsetof(RuntimeSpec, mount_label) },
                {},
        };
        /* In this order: what follows looks at the namespaces. */
        static const LinuxMember members[] = {
                { "namespaces", true, parse_namespaces },
                { "uidMappings", true, parse_uid_mappings },
                { "gidMappings", true, parse_gid_mappings },
                { "timeOffsets", false, parse_time_offsets },
                { "devices", true, parse_devices },
                { "sysctl", false, parse_sysctl },
                { "resources", false, parse_resources },
                { "memoryPolicy", false, parse_memory_policy },
                { "personality", false, parse_personality },
                { "intelRdt", false, parse_intel_rdt },
                { "netDevices", false, parse_net_devices },
                { "seccomp", false, parse_seccomp },
        };
        int r;

        r = json_dispatch(j, table, s, "linux", false, reterr_error);
        if (r < 0)
                return r;
        r = check_paths(s->masked_paths, "linux.maskedPaths", reterr_error);
        if (r < 0)
                return r;
        r = check_paths(s->readonly_paths, "linux.readonlyPaths", reterr_error);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                const LinuxMember *m = &members[i];
                json_t *value = json_object_get(j, m->name);

                if (!value || json_is_null(value))
                        continue;
                if (m->is_array ? !json_is_array(value) : !json_is_object(value))
                        return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                         "linux.%s: expected an %s.", m->name,
                                         m->is_array ? "array" : "object");
                r = m->parse(s, value, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}
