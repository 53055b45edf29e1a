/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order: the root; the mounts as listed; what /dev needs; sysctls, while /proc/sys is still writable; the
 * working directory, while the root still is; then what takes access away: read-only paths, masks, the root
 * itself. */

#include <sys/mount.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/mount-options.h"
#include "runtime/plan.h"

static const char *const operation_type_table[_OPERATION_TYPE_MAX] = {
        [OPERATION_ROOT_OVERLAY] = "root-overlay",
        [OPERATION_ROOT_BIND] = "root-bind",
        [OPERATION_MOUNT] = "mount",
        [OPERATION_BIND] = "bind",
        [OPERATION_DEVICE] = "device",
        [OPERATION_SYMLINK] = "symlink",
        [OPERATION_SYSCTL] = "sysctl",
        [OPERATION_DIRECTORY] = "directory",
        [OPERATION_READONLY] = "read-only",
        [OPERATION_MASK] = "mask",
        [OPERATION_ROOT_READONLY] = "root-read-only",
};

DEFINE_STRING_TABLE(operation_type, OperationType)

Plan *plan_free(Plan *p) {
        if (!p)
                return NULL;

        for (size_t i = 0; i < p->n_operations; i++) {
                free(p->operations[i].target);
                free(p->operations[i].source);
                free(p->operations[i].base);
                free(p->operations[i].fstype);
                free(p->operations[i].data);
        }
        free(p->operations);
        free(p);
        return NULL;
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

/* Adds an operation with copies of target and source (each may be NULL). NULL on OOM. */
static Operation *plan_add(Plan *p, OperationType type, const char *target, const char *source) {
        Operation *o;

        if ((p->n_operations & (p->n_operations - 1)) == 0) {
                o = reallocarray(p->operations, p->n_operations == 0 ? 1 : 2 * p->n_operations,
                                 sizeof(Operation));
                if (!o)
                        return NULL;
                p->operations = o;
        }

        o = &p->operations[p->n_operations];
        *o = (Operation) { .type = type };
        p->n_operations++;
        if (free_and_strdup(&o->target, target) < 0 || free_and_strdup(&o->source, source) < 0)
                return NULL;
        return o;
}

/* ---- the root ---- */

/* Relative, without "..": a name below the directory of snapshots. Commas and colons would end it early. */
static bool rootfs_name_is_valid(const char *name) {
        return string_in_charset(name, DIGITS LOWERCASE UPPERCASE "._-/") && name[0] != 0 &&
               name[0] != '/' && !strstr(name, "..");
}

static int plan_overlay(Plan *p, const RuntimeSpec *spec, const char *dir, Error *reterr_error) {
        const char *lower = strempty(runtime_spec_annotation(spec, ANNOTATION_ROOTFS_LOWER));
        const char *upper = strempty(runtime_spec_annotation(spec, ANNOTATION_ROOTFS_UPPER));
        const char *work = strempty(runtime_spec_annotation(spec, ANNOTATION_ROOTFS_WORK));
        _cleanup_strv_free_ char **layers = NULL;
        Operation *o;

        if (!path_is_normalized(dir))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: \"%s\" is not an absolute path.", ANNOTATION_ROOTFS_DIR, dir);
        if (!rootfs_name_is_valid(upper))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: \"%s\" is not a relative name.", ANNOTATION_ROOTFS_UPPER, upper);

        if (isempty(lower)) {
                o = plan_add(p, OPERATION_ROOT_BIND, NULL, upper);
                if (!o || free_and_strdup(&o->base, dir) < 0)
                        return oom(reterr_error);
                return 0;
        }

        layers = strv_split(lower, ":");
        if (!layers)
                return oom(reterr_error);
        STRV_FOREACH(layer, layers)
                if (!rootfs_name_is_valid(layer))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s: \"%s\" is not a relative name.", ANNOTATION_ROOTFS_LOWER,
                                         layer);
        if (!rootfs_name_is_valid(work))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: \"%s\" is not a relative name.", ANNOTATION_ROOTFS_WORK, work);

        o = plan_add(p, OPERATION_ROOT_OVERLAY, NULL, dir);
        if (!o)
                return oom(reterr_error);
        o->data = strjoin("lowerdir=", lower, ",upperdir=", upper, ",workdir=", work);
        if (!o->data)
                return oom(reterr_error);
        if (strlen(o->data) > ROOTFS_OPTIONS_MAX)
                return error_set(
                                reterr_error, -E2BIG, "LimitExceeded",
                                "The image has too many layers for one overlay mount: their names "
                                "take %zu bytes of %u.",
                                strlen(o->data), ROOTFS_OPTIONS_MAX);
        return 0;
}

static int plan_root(Plan *p, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        const char *dir = runtime_spec_annotation(spec, ANNOTATION_ROOTFS_DIR);
        _cleanup_free_ char *path = NULL;

        if (dir)
                return plan_overlay(p, spec, dir, reterr_error);

        if (isempty(spec->root_path))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "root.path is missing.");
        path = spec->root_path[0] == '/' ? strdup(spec->root_path) : path_join(bundle, spec->root_path);
        if (!path || !plan_add(p, OPERATION_ROOT_BIND, NULL, path))
                return oom(reterr_error);
        return 0;
}

/* ---- mounts ---- */

static bool is_bind(const SpecMount *m, const MountOptions *o) {
        return o->bind || streq_ptr(m->type, "bind");
}

static int plan_bind(Plan *p, const SpecMount *m, const MountOptions *options, const char *bundle,
                     Error *reterr_error) {
        _cleanup_free_ char *source = NULL;
        Operation *o;

        if (isempty(m->source))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has no source.", m->destination);
        if (options->data)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has options that mean nothing there: \"%s\".",
                                 m->destination, options->data);

        source = m->source[0] == '/' ? strdup(m->source) : path_join(bundle, m->source);
        o = source ? plan_add(p, OPERATION_BIND, m->destination, source) : NULL;
        if (!o)
                return oom(reterr_error);
        o->recursive = options->recursive;
        o->attr_set = options->attr_set;
        o->attr_clear = options->attr_clear;
        o->attr_set_all = options->attr_set_all;
        o->attr_clear_all = options->attr_clear_all;
        /* Copies of the host's mounts receive the host's later ones until they are told otherwise. */
        o->propagation = options->propagation ?: (uint64_t) MS_PRIVATE;
        o->propagation_all = options->propagation ? options->propagation_all : true;
        return 0;
}

static int plan_mount(Plan *p, const SpecMount *m, const char *bundle, Error *reterr_error) {
        _cleanup_(mount_options_done) MountOptions options = {};
        const char *fstype;
        Operation *o;
        int r;

        if (m->destination[strspn(m->destination, "/")] == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Nothing can be mounted on \"/\": that is what root is for.");

        r = mount_options_parse(m->options, &options, reterr_error);
        if (r < 0) {
                error_prefix(reterr_error, "Mount on \"%s\"", m->destination);
                return r;
        }
        if (is_bind(m, &options))
                return plan_bind(p, m, &options, bundle, reterr_error);

        if (isempty(m->type))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" has no type.", m->destination);
        if (options.attr_set_all != 0 || options.attr_clear_all != 0)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "The mount on \"%s\" has a recursive option, which only a bind "
                                "mount can have.",
                                m->destination);

        /* There is no other than the unified hierarchy. */
        fstype = streq(m->type, "cgroup") ? "cgroup2" : m->type;
        o = plan_add(p, OPERATION_MOUNT, m->destination, m->source ?: fstype);
        if (!o || free_and_strdup(&o->fstype, fstype) < 0 || free_and_strdup(&o->data, options.data) < 0)
                return oom(reterr_error);
        o->flags = options.flags;
        o->propagation = options.propagation;
        o->propagation_all = options.propagation_all;
        /* An image that has a symlink there would have the kernel's files appear in a place of its choice,
         * and neither masks nor read-only paths cover them. */
        o->no_symlinks = streq(fstype, "proc") || streq(fstype, "sysfs");
        return 0;
}

static bool path_is(const char *path, const char *wanted) {
        size_t l = strlen(path);

        while (l > 1 && path[l - 1] == '/')
                l--;
        return l == strlen(wanted) && strncmp(path, wanted, l) == 0;
}

/* Whether /dev is the host's or the user's own, in which nothing is to be made. */
static bool dev_is_bind(const Plan *p) {
        for (size_t i = p->n_operations; i > 0; i--) {
                const Operation *o = &p->operations[i - 1];

                if ((o->type == OPERATION_BIND || o->type == OPERATION_MOUNT) && path_is(o->target, "/dev"))
                        return o->type == OPERATION_BIND;
        }
        return false;
}

/* ---- devices and links ---- */

static int plan_device(Plan *p, const SpecDevice *d, bool optional, Error *reterr_error) {
        Operation *o = plan_add(p, OPERATION_DEVICE, d->path, NULL);

        if (!o)
                return oom(reterr_error);
        o->mode = d->mode;
        o->major = d->major;
        o->minor = d->minor;
        o->uid = d->uid;
        o->gid = d->gid;
        o->optional = optional;
        return 0;
}

static int plan_dev(Plan *p, const RuntimeSpec *spec, Error *reterr_error) {
        static char null_path[] = "/dev/null", zero_path[] = "/dev/zero", full_path[] = "/dev/full",
                    random_path[] = "/dev/random", urandom_path[] = "/dev/urandom", tty_path[] = "/dev/tty";
        static const SpecDevice defaults[] = {
                { null_path, S_IFCHR | 0666, 1, 3 },    { zero_path, S_IFCHR | 0666, 1, 5 },
                { full_path, S_IFCHR | 0666, 1, 7 },    { random_path, S_IFCHR | 0666, 1, 8 },
                { urandom_path, S_IFCHR | 0666, 1, 9 }, { tty_path, S_IFCHR | 0666, 5, 0 },
        };
        static const struct {
                const char *target;
                const char *source;
        } links[] = {
                { "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
                { "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
                { "/dev/ptmx", "pts/ptmx" },
        };
        int r;

        if (!dev_is_bind(p)) {
                for (size_t i = 0; i < ELEMENTSOF(defaults); i++) {
                        r = plan_device(p, &defaults[i], true, reterr_error);
                        if (r < 0)
                                return r;
                }
                for (size_t i = 0; i < ELEMENTSOF(links); i++)
                        if (!plan_add(p, OPERATION_SYMLINK, links[i].target, links[i].source))
                                return oom(reterr_error);
        }

        for (size_t i = 0; i < spec->n_devices; i++) {
                r = plan_device(p, &spec->devices[i], false, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- sysctls ---- */

/* Which namespace a sysctl belongs to; _NAMESPACE_TYPE_INVALID: none, it is the host's. Names have slashes
 * by then. */
static NamespaceType sysctl_namespace(const char *name) {
        static const char *const ipc[] = { "kernel/msgmax", "kernel/msgmnb",          "kernel/msgmni",
                                           "kernel/sem",    "kernel/shmall",          "kernel/shmmax",
                                           "kernel/shmmni", "kernel/shm_rmid_forced", NULL };

        if (startswith(name, "net/"))
                return NAMESPACE_NETWORK;
        if (startswith(name, "fs/mqueue/"))
                return NAMESPACE_IPC;
        if (streq(name, "kernel/domainname") || streq(name, "kernel/hostname"))
                return NAMESPACE_UTS;
        for (size_t i = 0; ipc[i]; i++)
                if (streq(name, ipc[i]))
                        return NAMESPACE_IPC;
        return _NAMESPACE_TYPE_INVALID;
}

static int plan_sysctl(Plan *p, const RuntimeSpec *spec, const SpecPair *sysctl, Error *reterr_error) {
        _cleanup_free_ char *name = strdup(sysctl->name);
        NamespaceType t;

        if (!name)
                return oom(reterr_error);
        /* "net.ipv4.conf.eth0/1.x" is written with slashes throughout, as sysctl(8) has it: the first
         * separator decides. */
        if (!strchr(name, '/') || (strchr(name, '.') && strchr(name, '.') < strchr(name, '/')))
                for (char *c = name; *c; c++)
                        *c = *c == '.' ? '/' : *c == '/' ? '.' : *c;

        if (!string_in_charset(name, DIGITS LOWERCASE UPPERCASE "_-./@:") || name[0] == '/' ||
            strstr(name, "..") || strstr(name, "//"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" is not a name.", sysctl->name);

        t = sysctl_namespace(name);
        if (t < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" belongs to the host and not to a namespace.",
                                 sysctl->name);
        if (!spec->namespaces[t].wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" needs a %s namespace of the container's own.",
                                 sysctl->name, namespace_type_to_string(t));
        if (!plan_add(p, OPERATION_SYSCTL, name, sysctl->value))
                return oom(reterr_error);
        return 0;
}

/* ---- all of it ---- */

static int check_supported(const RuntimeSpec *spec, Error *reterr_error) {
        int r = spec_check_unsupported(spec->unsupported, reterr_error);

        if (r < 0)
                return r;
        if (!spec->namespaces[NAMESPACE_MOUNT].wanted || spec->namespaces[NAMESPACE_MOUNT].path)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.namespaces: a new mount namespace is needed.");
        if ((spec->hostname || spec->domainname) && !spec->namespaces[NAMESPACE_UTS].wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "hostname: needs a uts namespace of the container's own.");
        if (!spec->has_process || strv_length(spec->process.args) == 0 || isempty(spec->process.args[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.args: no command, neither in the image nor given.");
        return 0;
}

static int plan_propagation(Plan *p, const RuntimeSpec *spec, Error *reterr_error) {
        const char *s = spec->rootfs_propagation;

        /* Slave: what the host mounts and unmounts arrives, what is done here never leaves. */
        p->root_propagation = MS_SLAVE;
        if (isempty(s) || streq(s, "slave") || streq(s, "rslave"))
                return 0;
        if (streq(s, "private") || streq(s, "rprivate")) {
                p->root_propagation = MS_PRIVATE;
                return 0;
        }
        return error_set(
                        reterr_error, -EOPNOTSUPP, "NotSupported",
                        "linux.rootfsPropagation: \"%s\" is not supported: no mount of a container "
                        "may appear on the host.",
                        s);
}

static int plan_paths(Plan *p, OperationType type, char *const *paths, Error *reterr_error) {
        STRV_FOREACH(path, paths)
                if (!plan_add(p, type, path, NULL))
                        return oom(reterr_error);
        return 0;
}

static int plan_fill(Plan *p, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        int r;

        r = plan_propagation(p, spec, reterr_error);
        if (r < 0)
                return r;
        r = plan_root(p, spec, bundle, reterr_error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < spec->n_mounts; i++) {
                r = plan_mount(p, &spec->mounts[i], bundle, reterr_error);
                if (r < 0)
                        return r;
        }
        r = plan_dev(p, spec, reterr_error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < spec->n_sysctls; i++) {
                r = plan_sysctl(p, spec, &spec->sysctls[i], reterr_error);
                if (r < 0)
                        return r;
        }
        if (!path_is(spec->process.cwd, "/") && !plan_add(p, OPERATION_DIRECTORY, spec->process.cwd, NULL))
                return oom(reterr_error);
        r = plan_paths(p, OPERATION_READONLY, spec->readonly_paths, reterr_error);
        if (r < 0)
                return r;
        r = plan_paths(p, OPERATION_MASK, spec->masked_paths, reterr_error);
        if (r < 0)
                return r;
        if (spec->root_readonly && !plan_add(p, OPERATION_ROOT_READONLY, NULL, NULL))
                return oom(reterr_error);
        return 0;
}

int plan_new(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error) {
        _cleanup_(plan_freep) Plan *p = NULL;
        int r;

        r = check_supported(spec, reterr_error);
        if (r < 0)
                return r;

        p = calloc(1, sizeof(Plan));
        if (!p)
                return oom(reterr_error);
        r = plan_fill(p, spec, bundle, reterr_error);
        if (r < 0)
                return r;

        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++)
                if (spec->namespaces[t].wanted && !spec->namespaces[t].path)
                        p->clone_flags |= namespace_clone_flag(t);
        p->loopback = spec->namespaces[NAMESPACE_NETWORK].wanted &&
                      !spec->namespaces[NAMESPACE_NETWORK].path;

        *ret = TAKE_PTR(p);
        return 0;
}
