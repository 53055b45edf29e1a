/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order: the root; the mounts as listed; what /dev needs; the working directory. Here hooks may come in
 * between, which may bring network interfaces. Then sysctls, which may be of these; then what takes access
 * away: read-only file systems, read-only paths, masks, the root itself. */

#include <sys/mount.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/mount-options.h"
#include "runtime/plan-private.h"

static const char *const operation_type_table[_OPERATION_TYPE_MAX] = {
        [OPERATION_ROOT_OVERLAY] = "root-overlay",
        [OPERATION_ROOT_BIND] = "root-bind",
        [OPERATION_ROOT_OPEN] = "root-open",
        [OPERATION_MOUNT] = "mount",
        [OPERATION_BIND] = "bind",
        [OPERATION_COPY_SYMLINK] = "copy-symlink",
        [OPERATION_REMOUNT] = "remount",
        [OPERATION_DEVICE] = "device",
        [OPERATION_SYMLINK] = "symlink",
        [OPERATION_FILE] = "file",
        [OPERATION_SYSCTL] = "sysctl",
        [OPERATION_DIRECTORY] = "directory",
        [OPERATION_LATE_READONLY] = "late-read-only",
        [OPERATION_READONLY] = "read-only",
        [OPERATION_MASK] = "mask",
        [OPERATION_ROOT_READONLY] = "root-read-only",
};

DEFINE_STRING_TABLE(operation_type, OperationType)

Plan *plan_free(Plan *p) {
        if (!p)
                return NULL;

        for (size_t i = 0; i < p->n_operations; i++) {
                Operation *o = &p->operations[i];

                free(o->target);
                free(o->source);
                free(o->base);
                free(o->fstype);
                free(o->data);
                free(o->fallback);
                safe_close(o->fd);
        }
        free(p->operations);
        for (size_t i = 0; i < p->n_mappings; i++) {
                id_map_done(&p->mappings[i].map);
                free(p->mappings[i].path);
                safe_close(p->mappings[i].fd);
        }
        free(p->mappings);
        free(p->uid_mappings.mappings);
        free(p->gid_mappings.mappings);
        free(p->mount_label);
        free(p->mount_context_type);
        safe_close(p->devices_fd);
        free(p);
        return NULL;
}

int plan_oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

Operation *plan_add(Plan *p, OperationType type, const char *target, const char *source) {
        Operation *o;

        if ((p->n_operations & (p->n_operations - 1)) == 0) {
                o = reallocarray(p->operations, p->n_operations == 0 ? 1 : 2 * p->n_operations,
                                 sizeof(Operation));
                if (!o)
                        return NULL;
                p->operations = o;
        }

        o = &p->operations[p->n_operations];
        *o = (Operation){ .type = type, .fd = -EBADF };
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
                        return plan_oom(reterr_error);
                return 0;
        }

        layers = strv_split(lower, ":");
        if (!layers)
                return plan_oom(reterr_error);
        STRV_FOREACH (layer, layers)
                if (!rootfs_name_is_valid(layer))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s: \"%s\" is not a relative name.", ANNOTATION_ROOTFS_LOWER,
                                         layer);
        if (!rootfs_name_is_valid(work))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: \"%s\" is not a relative name.", ANNOTATION_ROOTFS_WORK, work);

        o = plan_add(p, OPERATION_ROOT_OVERLAY, NULL, dir);
        if (!o)
                return plan_oom(reterr_error);
        o->data = strjoin("lowerdir=", lower, ",upperdir=", upper, ",workdir=", work);
        if (!o->data)
                return plan_oom(reterr_error);
        if (strlen(o->data) > ROOTFS_OPTIONS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "The image has too many layers for one overlay mount: their names "
                                 "take %zu bytes of %u.",
                                 strlen(o->data), ROOTFS_OPTIONS_MAX);
        return 0;
}

static int plan_propagation(Plan *p, const RuntimeSpec *spec, Operation *root, Error *reterr_error) {
        unsigned long flags, kind;

        /* Slave: what the host mounts and unmounts arrives, what is done here never leaves. */
        p->root_propagation = MS_SLAVE;

        if (isempty(spec->rootfs_propagation))
                return 0;
        flags = propagation_from_string(spec->rootfs_propagation);
        kind = flags & ~(unsigned long) MS_REC;
        if (kind == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.rootfsPropagation: \"%s\" is none of shared, slave, private, "
                                 "unbindable.",
                                 spec->rootfs_propagation);
        if (p->contained && kind != MS_SLAVE && kind != MS_PRIVATE)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.rootfsPropagation: \"%s\" is not supported: no mount of a container "
                                 "may appear on the host.",
                                 spec->rootfs_propagation);
        if (p->contained)
                p->root_propagation = kind;
        else if (kind == MS_PRIVATE || kind == MS_UNBINDABLE)
                root->propagation = MS_PRIVATE;
        /* pivot_root(2) refuses a root that is shared already. */
        if (kind == MS_SHARED || kind == MS_UNBINDABLE)
                p->final_propagation = flags;
        return 0;
}

static int plan_root(Plan *p, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        const char *dir = runtime_spec_annotation(spec, ANNOTATION_ROOTFS_DIR);
        _cleanup_free_ char *path = NULL;
        Operation *o;

        if (dir)
                return plan_overlay(p, spec, dir, reterr_error);

        if (isempty(spec->root_path))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "root.path is missing.");
        path = spec->root_path[0] == '/' ? strdup(spec->root_path) : path_join(bundle, spec->root_path);
        o = !path ? NULL
                  : plan_add(p,
                             p->root_entry == ROOT_ENTRY_CHROOT ? OPERATION_ROOT_OPEN : OPERATION_ROOT_BIND,
                             NULL, path);
        if (!o)
                return plan_oom(reterr_error);
        if (p->root_entry == ROOT_ENTRY_CHROOT)
                return 0;
        o->recursive = true;
        if (p->user_namespace)
                o->prepare = OPERATION_SOURCE_FALLBACK;
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
        if (startswith(name, "user/"))
                return NAMESPACE_USER;
        if (streq(name, "kernel/domainname") || streq(name, "kernel/hostname"))
                return NAMESPACE_UTS;
        for (size_t i = 0; ipc[i]; i++)
                if (streq(name, ipc[i]))
                        return NAMESPACE_IPC;
        return _NAMESPACE_TYPE_INVALID;
}

static int check_sysctl_name(const SpecPair *sysctl, const char *name, const RuntimeSpec *spec,
                             Error *reterr_error) {
        if (!string_in_charset(name, DIGITS LOWERCASE UPPERCASE "_-./@:") || name[0] == '/' ||
            strstr(name, "..") || strstr(name, "//"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" is not a name.", sysctl->name);
        if (streq(name, "kernel/hostname"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" is not for here: hostname is.", sysctl->name);
        if (streq(name, "kernel/domainname") && !isempty(spec->domainname) &&
            !streq(spec->domainname, sysctl->value))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" is \"%s\", but domainname is \"%s\".", sysctl->name,
                                 sysctl->value, spec->domainname);
        return 0;
}

static int plan_sysctl(Plan *p, const RuntimeSpec *spec, const SpecPair *sysctl, Error *reterr_error) {
        _cleanup_free_ char *name = strdup(sysctl->name);
        const SpecNamespace *n;
        NamespaceType t;
        Operation *o;
        int r;

        if (!name)
                return plan_oom(reterr_error);
        /* "net.ipv4.conf.eth0/1.x" is written with slashes throughout, as sysctl(8) has it: the first
         * separator decides. */
        if (!strchr(name, '/') || (strchr(name, '.') && strchr(name, '.') < strchr(name, '/')))
                for (char *c = name; *c; c++)
                        *c = *c == '.' ? '/' : *c == '/' ? '.' : *c;

        r = check_sysctl_name(sysctl, name, spec, reterr_error);
        if (r < 0)
                return r;
        t = sysctl_namespace(name);
        if (t < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" belongs to the host and not to a namespace.",
                                 sysctl->name);
        n = &spec->namespaces[t];
        if (!n->wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.sysctl: \"%s\" needs a %s namespace of the container's own.",
                                 sysctl->name, namespace_type_to_string(t));

        o = plan_add(p, OPERATION_SYSCTL, name, sysctl->value);
        /* What is joined may be the host's: plan_prepare() looks. */
        if (!o || free_and_strdup(&o->base, n->path) < 0)
                return plan_oom(reterr_error);
        o->subject = (size_t) t;
        if (n->path)
                o->prepare = OPERATION_SOURCE_NEEDED;
        return 0;
}

/* ---- all of it ---- */

static int check_supported(const RuntimeSpec *spec, Error *reterr_error) {
        int r = spec_check_unsupported(spec->unsupported, reterr_error);

        if (r < 0)
                return r;
        if ((spec->hostname || spec->domainname) && !spec->namespaces[NAMESPACE_UTS].wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "hostname: needs a uts namespace of the container's own.");
        if (!spec->has_process || strv_length(spec->process.args) == 0 || isempty(spec->process.args[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.args: no command, neither in the image nor given.");
        if (spec->net_devices.n > 0 && !spec->namespaces[NAMESPACE_NETWORK].wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.netDevices: needs a network namespace of the container's own.");
        return 0;
}

/* Without a mount namespace every mount would be one of the host's. */
static int check_mount_namespace(const Plan *p, const RuntimeSpec *spec, Error *reterr_error) {
        const struct {
                const char *member;
                bool there;
        } members[] = {
                { "mounts", spec->n_mounts > 0 },
                { "root.readonly", spec->root_readonly },
                { "linux.maskedPaths", spec->masked_paths },
                { "linux.readonlyPaths", spec->readonly_paths },
                { "linux.rootfsPropagation", !isempty(spec->rootfs_propagation) },
        };

        if (spec->namespaces[NAMESPACE_MOUNT].wanted)
                return 0;
        if (p->contained)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.namespaces: a new mount namespace is needed.");
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (members[i].there)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s: needs a mount namespace of the container's own.",
                                         members[i].member);
        return 0;
}

static int plan_paths(Plan *p, OperationType type, char *const *paths, Error *reterr_error) {
        STRV_FOREACH (path, paths)
                if (!plan_add(p, type, path, NULL))
                        return plan_oom(reterr_error);
        return 0;
}

static int plan_tree(Plan *p, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        int r;

        r = plan_root(p, spec, bundle, reterr_error);
        if (r < 0)
                return r;
        r = plan_propagation(p, spec, &p->operations[0], reterr_error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < spec->n_mounts; i++) {
                r = plan_mount(p, spec, &spec->mounts[i], bundle, reterr_error);
                if (r < 0)
                        return r;
        }
        return plan_dev(p, spec, reterr_error);
}

static int plan_fill(Plan *p, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        int r;

        r = plan_tree(p, spec, bundle, reterr_error);
        if (r < 0)
                return r;
        if (spec->process.cwd[strspn(spec->process.cwd, "/")] != 0 &&
            !plan_add(p, OPERATION_DIRECTORY, spec->process.cwd, NULL))
                return plan_oom(reterr_error);
        p->n_making = p->n_operations;
        for (size_t i = 0; i < spec->n_sysctls; i++) {
                r = plan_sysctl(p, spec, &spec->sysctls[i], reterr_error);
                if (r < 0)
                        return r;
        }
        r = plan_late(p, reterr_error);
        if (r < 0)
                return r;
        r = plan_paths(p, OPERATION_READONLY, spec->readonly_paths, reterr_error);
        if (r < 0)
                return r;
        r = plan_paths(p, OPERATION_MASK, spec->masked_paths, reterr_error);
        if (r < 0)
                return r;
        if (spec->root_readonly && !plan_add(p, OPERATION_ROOT_READONLY, NULL, NULL))
                return plan_oom(reterr_error);
        return 0;
}

/* What the operations depend on. */
static int plan_begin(const RuntimeSpec *spec, Plan **ret, Error *reterr_error) {
        const char *type = runtime_spec_annotation(spec, ANNOTATION_MOUNT_CONTEXT_TYPE);
        _cleanup_(plan_freep) Plan *p = calloc(1, sizeof(Plan));
        _cleanup_(id_map_done) IdMap map = {};

        if (!p)
                return plan_oom(reterr_error);
        p->devices_fd = -EBADF;
        p->contained = runtime_spec_annotation(spec, ANNOTATION_ROOTFS_DIR);
        p->root_entry = spec->namespaces[NAMESPACE_MOUNT].wanted ? ROOT_ENTRY_PIVOT : ROOT_ENTRY_CHROOT;
        p->user_namespace = spec->namespaces[NAMESPACE_USER].wanted;
        if (p->user_namespace) {
                if (id_map_copy(&spec->uid_mappings, &spec->gid_mappings, &map) < 0)
                        return plan_oom(reterr_error);
                p->uid_mappings = map.uids;
                p->gid_mappings = map.gids;
                map = (IdMap){};
        }
        if (!isempty(spec->mount_label)) {
                type = type ?: "context";
                if (!streq(type, "context") && !streq(type, "fscontext") && !streq(type, "defcontext") &&
                    !streq(type, "rootcontext"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%s: \"%s\" is none of context, fscontext, defcontext, rootcontext.",
                                         ANNOTATION_MOUNT_CONTEXT_TYPE, type);
                if (free_and_strdup(&p->mount_label, spec->mount_label) < 0 ||
                    free_and_strdup(&p->mount_context_type, type) < 0)
                        return plan_oom(reterr_error);
        }

        *ret = TAKE_PTR(p);
        return 0;
}

int plan_new(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error) {
        _cleanup_(plan_freep) Plan *p = NULL;
        int r;

        r = check_supported(spec, reterr_error);
        if (r < 0)
                return r;

        r = plan_begin(spec, &p, reterr_error);
        if (r < 0)
                return r;
        r = check_mount_namespace(p, spec, reterr_error);
        if (r < 0)
                return r;
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

int plan_new_root(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error) {
        _cleanup_(plan_freep) Plan *p = NULL;
        int r;

        r = plan_begin(spec, &p, reterr_error);
        if (r >= 0)
                r = plan_root(p, spec, bundle, reterr_error);
        if (r >= 0)
                r = plan_propagation(p, spec, &p->operations[0], reterr_error);
        if (r < 0)
                return r;
        p->n_making = p->n_operations;

        *ret = TAKE_PTR(p);
        return 0;
}

int plan_new_mounts(const RuntimeSpec *spec, const RuntimeSpec *added, const char *dir, Plan **ret,
                    Error *reterr_error) {
        _cleanup_(plan_freep) Plan *p = NULL;
        int r;

        r = plan_begin(spec, &p, reterr_error);
        for (size_t i = 0; r >= 0 && i < added->n_mounts; i++)
                r = plan_mount(p, spec, &added->mounts[i], dir, reterr_error);
        if (r < 0)
                return r;

        for (size_t i = 0; i < p->n_operations; i++) {
                Operation *o = &p->operations[i];

                if (streq(o->target, "/"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Nothing can be mounted on the root of a container that runs.");
                /* What takes a path in /proc cannot be done where /proc is the container's. */
                if (o->type == OPERATION_REMOUNT && !o->bind)
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "The file system on \"%s\" cannot be remounted while the container "
                                         "runs: only with the option bind.",
                                         o->target);
                if (o->type == OPERATION_MOUNT) {
                        o->detached = true;
                        free(o->fallback);
                        o->fallback = NULL;
                } else if (o->type != OPERATION_REMOUNT)
                        o->prepare = OPERATION_SOURCE_NEEDED;
        }
        r = plan_late(p, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}
