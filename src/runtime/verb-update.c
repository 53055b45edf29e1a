/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* update: other limits for a container. Its options are put together to the specification's own object, so
 * that there is one parser. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/container.h"
#include "runtime/resctrl.h"

typedef enum LimitType {
        LIMIT_NUMBER, /* 64 bits, with or without a sign */
        LIMIT_BYTES,  /* the same, or "512M" */
        LIMIT_TEXT,
} LimitType;

typedef struct LimitOption {
        const char *name;
        const char *object; /* in linux.resources */
        const char *member;
        LimitType type;
} LimitOption;

static const LimitOption limit_options[] = {
        { "blkio-weight", "blockIO", "weight", LIMIT_NUMBER },
        { "cpu-burst", "cpu", "burst", LIMIT_NUMBER },
        { "cpu-idle", "cpu", "idle", LIMIT_NUMBER },
        { "cpu-period", "cpu", "period", LIMIT_NUMBER },
        { "cpu-quota", "cpu", "quota", LIMIT_NUMBER },
        { "cpu-rt-period", "cpu", "realtimePeriod", LIMIT_NUMBER },
        { "cpu-rt-runtime", "cpu", "realtimeRuntime", LIMIT_NUMBER },
        { "cpu-share", "cpu", "shares", LIMIT_NUMBER },
        { "cpu-shares", "cpu", "shares", LIMIT_NUMBER },
        { "cpuset-cpus", "cpu", "cpus", LIMIT_TEXT },
        { "cpuset-mems", "cpu", "mems", LIMIT_TEXT },
        { "kernel-memory", "memory", "kernel", LIMIT_BYTES },
        { "kernel-memory-tcp", "memory", "kernelTCP", LIMIT_BYTES },
        { "memory", "memory", "limit", LIMIT_BYTES },
        { "memory-reservation", "memory", "reservation", LIMIT_BYTES },
        { "memory-swap", "memory", "swap", LIMIT_BYTES },
        { "pids-limit", "pids", "limit", LIMIT_NUMBER },
};

enum {
        OPTION_L3_CACHE_SCHEMA = 0x100,
        OPTION_MEM_BW_SCHEMA,
        OPTION_LIMIT, /* and those behind it: the index in limit_options */
};

typedef struct UpdateOptions {
        const char *resources; /* a file, "-": stdin */
        json_t *limits;
        const char *l3_cache_schema;
        const char *mem_bw_schema;
} UpdateOptions;

static void update_options_done(UpdateOptions *o) {
        json_decref(o->limits);
}

static json_t *parse_number(const LimitOption *l, const char *value) {
        const char *digits = value[0] == '-' ? value + 1 : value;
        uint64_t n;

        if (l->type == LIMIT_TEXT)
                return json_string(value);
        if (parse_uint64(digits, &n) < 0 &&
            (l->type != LIMIT_BYTES || digits != value || parse_size(value, &n) < 0 || n == UINT64_MAX))
                return NULL;
        if (n > INT64_MAX)
                return NULL;
        return json_integer(digits == value ? (json_int_t) n : -(json_int_t) n);
}

static int take_limit(json_t *limits, const LimitOption *l, const char *value, Error *reterr_error) {
        json_t *object = json_object_get(limits, l->object), *v;

        v = parse_number(l, value);
        if (!v)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--%s=%s: expected %s.", l->name,
                                 value,
                                 l->type == LIMIT_BYTES  ? "a number of bytes, such as 4194304 or 4M"
                                 : l->type == LIMIT_TEXT ? "UTF-8"
                                                         : "a number");
        if (!object) {
                object = json_object();
                if (json_object_set_new(limits, l->object, object) < 0) {
                        json_decref(v);
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                }
        }
        return json_object_set_new(object, l->member, v) < 0
                               ? error_set_errno(reterr_error, -ENOMEM, "Out of memory.")
                               : 0;
}

static int parse_update(int argc, char *argv[], UpdateOptions *ret, Error *reterr_error) {
        struct option options[ELEMENTSOF(limit_options) + 5] = {
                COMMAND_OPTION_HELP,
                { "resources", required_argument, NULL, 'r' },
                { "l3-cache-schema", required_argument, NULL, OPTION_L3_CACHE_SCHEMA },
                { "mem-bw-schema", required_argument, NULL, OPTION_MEM_BW_SCHEMA },
        };
        int c, r;

        for (size_t i = 0; i < ELEMENTSOF(limit_options); i++)
                options[4 + i] = (struct option){ limit_options[i].name, required_argument, NULL,
                                                  OPTION_LIMIT + (int) i };

        ret->limits = json_object();
        if (!ret->limits)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        while ((c = command_option(argc, argv, "+:hr:", options, reterr_error)) > 0)
                switch (c) {
                case 'r':
                        ret->resources = optarg;
                        break;
                case OPTION_L3_CACHE_SCHEMA:
                        ret->l3_cache_schema = optarg;
                        break;
                case OPTION_MEM_BW_SCHEMA:
                        ret->mem_bw_schema = optarg;
                        break;
                default:
                        r = take_limit(ret->limits, &limit_options[c - OPTION_LIMIT], optarg, reterr_error);
                        if (r < 0)
                                return r;
                }
        if (c < 0)
                return c;

        if (ret->resources && json_object_size(ret->limits) > 0)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "--resources has all limits in it: there can be no option for a single one.");
        return command_check_arguments(argc, argv, 1, 1, reterr_error);
}

static int read_resources(const char *path, ResourceSpec **ret, Error *reterr_error) {
        _cleanup_close_ int opened = -EBADF;
        _cleanup_free_ char *text = NULL;
        int fd = STDIN_FILENO, r;
        size_t n;

        if (!streq(path, "-"))
                fd = opened = open(path, O_RDONLY | O_CLOEXEC);
        r = fd < 0 ? -errno : read_all(fd, SPEC_SIZE_MAX, &text, &n);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", path);
        return resource_spec_parse_text(text, n, ret, reterr_error);
}

static int update_resctrl(const Container *c, const UpdateOptions *o, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        int r;

        if (!o->l3_cache_schema && !o->mem_bw_schema)
                return 0;
        r = container_spec(c, &spec, reterr_error);
        if (r < 0)
                return r;
        return resctrl_update(&spec->intel_rdt, c->state.id, o->l3_cache_schema, o->mem_bw_schema,
                              reterr_error);
}

int command_update(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_(update_options_done) UpdateOptions o = {};
        _cleanup_(resource_spec_freep) ResourceSpec *resources = NULL;
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        Cgroup cgroup;
        int r;

        r = parse_update(argc, argv, &o, reterr_error);
        if (r < 0)
                return r;
        if (o.resources)
                r = read_resources(o.resources, &resources, reterr_error);
        else
                r = resource_spec_parse(o.limits, &resources, reterr_error);
        if (r < 0)
                return r;

        r = container_open(g, argv[optind], true, &c, reterr_error);
        if (r < 0)
                return r;
        if (container_status(&c) == CONTAINER_STOPPED)
                return error_set(reterr_error, -ESRCH, "InvalidState",
                                 "Cannot update \"%s\": container not running.", c.state.id);
        if (o.resources || json_object_size(o.limits) > 0) {
                if (!c.state.cgroup_path)
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "Container \"%s\" has no cgroup: it cannot be given limits.",
                                         c.state.id);
                cgroup = container_cgroup(g, &c);
                r = cgroup_update(&cgroup, resources, reterr_error);
                if (r < 0)
                        return r;
        }
        return update_resctrl(&c, &o, reterr_error);
}
