/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mount.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/mount-options.h"
#include "runtime/plan-private.h"

#define CGROUP_DIR "/sys/fs/cgroup"
#define SYSFS_DIR "/sys"

/* What a file system gets whose entry has no options at all. */
static const struct {
        const char *destination;
        const char *fstype;
        const char *options[6];
} default_options[] = {
        { "/dev", "tmpfs", { "nosuid", "noexec", "strictatime", "mode=755" } },
        { "/dev/mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
        { "/dev/pts", "devpts", { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=620" } },
        { "/dev/shm", "tmpfs", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
        { "/sys", "sysfs", { "nosuid", "noexec", "nodev" } },
        { "/sys/fs/cgroup", "cgroup", { "nosuid", "noexec", "nodev" } },
};

static bool is_bind(const SpecMount *m, const MountOptions *o) {
        return o->bind || streq_ptr(m->type, "bind");
}

static int parse_options(const Plan *p, const SpecMount *m, MountOptions *ret, Error *reterr_error) {
        char *const *options = m->options;
        int r;

        if (strv_length(options) == 0 && !p->contained)
                for (size_t i = 0; i < ELEMENTSOF(default_options); i++)
                        if (streq(m->destination, default_options[i].destination) &&
                            streq_ptr(m->type, default_options[i].fstype))
                                options = (char *const *) default_options[i].options;

        r = mount_options_parse(options, ret, reterr_error);
        if (r < 0)
                error_prefix(reterr_error, "Mount on \"%s\"", m->destination);
        return r;
}

/* ---- id mappings ---- */

/* The number of an equal mapping, or of this one, which is taken over, + 1. path: instead of a mapping. */
static int add_mapping(Plan *p, IdMap *map, const char *path, size_t *ret) {
        Mapping *n;

        for (size_t i = 0; i < p->n_mappings; i++)
                if (streq_ptr(p->mappings[i].path, path) && id_map_equal(&p->mappings[i].map, map)) {
                        *ret = i + 1;
                        return 0;
                }
        n = reallocarray(p->mappings, p->n_mappings + 1, sizeof(Mapping));
        if (!n)
                return -ENOMEM;
        p->mappings = n;
        p->mappings[p->n_mappings++] = (Mapping){ .map = *map, .fd = -EBADF };
        *map = (IdMap){};
        *ret = p->n_mappings;
        return free_and_strdup(&p->mappings[p->n_mappings - 1].path, path);
}

static int plan_mapping(Plan *p, const RuntimeSpec *spec, const SpecMount *m, const MountOptions *options,
                        Operation *o, Error *reterr_error) {
        _cleanup_(id_map_done) IdMap map = {};
        const char *path = NULL;
        int r = 0;

        if (m->uid_mappings.n == 0 && m->gid_mappings.n == 0 && !options->idmap)
                return 0;
        if ((m->uid_mappings.n == 0) != (m->gid_mappings.n == 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" has only one of uidMappings and gidMappings.",
                                 m->destination);

        if (m->uid_mappings.n > 0)
                r = id_map_copy(&m->uid_mappings, &m->gid_mappings, &map);
        else if (options->idmap_text) {
                r = id_map_parse(options->idmap_text, spec, &map, reterr_error);
                if (r < 0) {
                        error_prefix(reterr_error, "Mount on \"%s\"", m->destination);
                        return r;
                }
        } else if (!p->user_namespace)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" is to be idmapped, but has no uidMappings and "
                                 "gidMappings, and the container has no user namespace to take them from.",
                                 m->destination);
        else if (spec->namespaces[NAMESPACE_USER].path)
                path = spec->namespaces[NAMESPACE_USER].path;
        else if (spec->uid_mappings.n == 0 || spec->gid_mappings.n == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" is to be idmapped, but neither it nor the container's "
                                 "user namespace has uidMappings and gidMappings.",
                                 m->destination);
        else
                r = id_map_copy(&spec->uid_mappings, &spec->gid_mappings, &map);
        if (r >= 0)
                r = add_mapping(p, &map, path, &o->mapping);
        if (r < 0)
                return plan_oom(reterr_error);
        o->mapping_all = options->idmap_all;
        o->prepare = OPERATION_SOURCE_NEEDED;
        return 0;
}

/* ---- bind mounts ---- */

static void set_propagation(const Plan *p, Operation *o, const MountOptions *options) {
        /* Copies of the host's mounts receive the host's later ones until they are told otherwise. */
        o->propagation = options->propagation ?: (uint64_t) MS_PRIVATE;
        o->propagation_all = options->propagation ? options->propagation_all : true;

        /* In the container's mount namespace the host's mounts are slaves. One that is to be the host's peer
         * must be taken outside. Out of a user namespace nobody mounts anything on the host. */
        if (o->propagation == MS_SHARED && !p->contained && !p->user_namespace)
                o->prepare = OPERATION_SOURCE_PREFERRED;
        else if (p->user_namespace)
                o->prepare = OPERATION_SOURCE_FALLBACK;
}

static int check_bind(const SpecMount *m, const MountOptions *options, Error *reterr_error) {
        if (isempty(m->source))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has no source.", m->destination);
        if (options->data)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has options that mean nothing there: \"%s\".",
                                 m->destination, options->data);
        if (options->copy_up)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has the option tmpcopyup, which is for tmpfs.",
                                 m->destination);
        if (options->copy_symlink && (options->source_nofollow || options->target_nofollow))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bind mount on \"%s\" has the option copy-symlink, which excludes "
                                 "src-nofollow and dest-nofollow.",
                                 m->destination);
        return 0;
}

static void set_attributes(Operation *o, const MountOptions *options) {
        o->recursive = options->recursive;
        o->attr_set = options->attr_set;
        o->attr_clear = options->attr_clear;
        o->attr_set_all = options->attr_set_all;
        o->attr_clear_all = options->attr_clear_all;
}

static int plan_bind(Plan *p, const RuntimeSpec *spec, const SpecMount *m, const MountOptions *options,
                     const char *bundle, Error *reterr_error) {
        _cleanup_free_ char *source = NULL;
        Operation *o;
        int r;

        r = check_bind(m, options, reterr_error);
        if (r < 0)
                return r;
        source = m->source[0] == '/' ? strdup(m->source) : path_join(bundle, m->source);
        o = source ? plan_add(p, options->copy_symlink ? OPERATION_COPY_SYMLINK : OPERATION_BIND,
                              m->destination, source)
                   : NULL;
        if (!o)
                return plan_oom(reterr_error);
        set_attributes(o, options);
        /* The host's cgroups and whatever else is mounted there: what the user may write to outside is not
         * for the container. */
        if (p->user_namespace && streq(source, SYSFS_DIR) && o->recursive && o->attr_set & MOUNT_ATTR_RDONLY)
                o->attr_set_all |= MOUNT_ATTR_RDONLY;
        o->source_nofollow = options->source_nofollow;
        o->target_nofollow = options->target_nofollow;
        set_propagation(p, o, options);
        return plan_mapping(p, spec, m, options, o, reterr_error);
}

/* ---- cgroups ---- */

/* A superblock's options are of the whole host; whoever mounts cgroup2 outside of a cgroup namespace sets
 * them anew for everybody. So there the host's mount is used, which shows the same. */
static int plan_cgroup_bind(Plan *p, const SpecMount *m, const MountOptions *options, Error *reterr_error) {
        Operation *o;

        if (options->data)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The cgroup mount on \"%s\" has the options \"%s\", but there is no cgroup "
                                 "namespace: Invalid argument",
                                 m->destination, options->data);
        o = plan_add(p, OPERATION_BIND, m->destination, CGROUP_DIR);
        if (!o)
                return plan_oom(reterr_error);
        set_attributes(o, options);
        /* Of a tree with locked mounts, as a user namespace has them, a part cannot be had. */
        o->recursive = true;
        o->attr_set_all |= options->attr_set;
        o->attr_clear_all |= options->attr_clear;
        o->propagation = MS_PRIVATE;
        o->propagation_all = true;
        return 0;
}

/* ---- file systems ---- */

/* Whose contents are a namespace's, or the host's: these cannot be idmapped, and are not mounted outside. */
static bool is_of_namespace(const char *fstype) {
        static const char *const types[] = { "cgroup", "cgroup2", "mqueue", "proc", "sysfs" };

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (streq(fstype, types[i]))
                        return true;
        return false;
}

static int check_filesystem(const SpecMount *m, const MountOptions *options, Error *reterr_error) {
        if (isempty(m->type))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" has no type.", m->destination);
        if (streq(m->destination, "/"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "No file system can be mounted on \"/\": that is what root is for.");
        if (options->copy_up && !streq(m->type, "tmpfs"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" has the option tmpcopyup, which is for tmpfs.",
                                 m->destination);
        if (is_of_namespace(m->type) && (options->idmap || m->uid_mappings.n > 0 || m->gid_mappings.n > 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" is to be idmapped, which %s cannot be.",
                                 m->destination, m->type);
        if (options->copy_symlink || options->source_nofollow)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The mount on \"%s\" has the option %s, which is for bind mounts.",
                                 m->destination, options->copy_symlink ? "copy-symlink" : "src-nofollow");
        return 0;
}

static void set_label(Operation *o, const char *fstype) {
        static const char *const without[] = { "proc", "sysfs", "cgroup2" };

        for (size_t i = 0; i < ELEMENTSOF(without); i++)
                if (streq(fstype, without[i]))
                        return;
        o->label_xattr = streq(fstype, "mqueue");
        o->label = !o->label_xattr;
}

static int plan_filesystem(Plan *p, const RuntimeSpec *spec, const SpecMount *m, const MountOptions *options,
                           Error *reterr_error) {
        bool tmpfs, cgroup;
        const char *fstype;
        Operation *o;
        int r;

        r = check_filesystem(m, options, reterr_error);
        if (r < 0)
                return r;

        /* There is no other than the unified hierarchy. */
        cgroup = streq(m->type, "cgroup") || streq(m->type, "cgroup2");
        if (cgroup && !spec->namespaces[NAMESPACE_CGROUP].wanted)
                return plan_cgroup_bind(p, m, options, reterr_error);
        fstype = cgroup ? "cgroup2" : m->type;
        tmpfs = streq(fstype, "tmpfs");

        o = plan_add(p, OPERATION_MOUNT, m->destination, m->source ?: fstype);
        if (!o || free_and_strdup(&o->fstype, fstype) < 0 || free_and_strdup(&o->data, options->data) < 0)
                return plan_oom(reterr_error);
        o->flags = options->flags;
        o->attr_set = options->attr_set | options->attr_set_all;
        /* Nothing is shared below a root that is not, and so is a new mount: only these are to be made. */
        if (options->propagation == MS_SHARED || options->propagation == MS_UNBINDABLE)
                o->propagation = options->propagation;
        o->target_nofollow = options->target_nofollow;
        /* An image that has a symlink there would have the kernel's files appear in a place of its choice,
         * and neither masks nor read-only paths cover them. */
        o->no_symlinks = streq(fstype, "proc") || streq(fstype, "sysfs");
        o->copy_up = options->copy_up;
        o->inherit_mode = tmpfs && !p->contained && !strstr(strempty(options->data), "mode=");
        /* Until the mount points in it have been made, and what is copied, it must be writable. */
        o->detached = tmpfs && (o->flags & MS_RDONLY || o->copy_up || o->propagation != 0);
        if (p->mount_label)
                set_label(o, fstype);
        if (!p->contained && streq(fstype, "sysfs") && free_and_strdup(&o->fallback, SYSFS_DIR) < 0)
                return plan_oom(reterr_error);
        return plan_mapping(p, spec, m, options, o, reterr_error);
}

static int plan_remount(Plan *p, const SpecMount *m, const MountOptions *options, Error *reterr_error) {
        Operation *o;

        if (options->idmap || options->copy_up || options->copy_symlink || m->uid_mappings.n > 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The remount of \"%s\" has an option that only a new mount can have: "
                                 "idmap, tmpcopyup or copy-symlink.",
                                 m->destination);
        o = plan_add(p, OPERATION_REMOUNT, m->destination, m->source);
        if (!o || free_and_strdup(&o->data, options->data) < 0)
                return plan_oom(reterr_error);
        o->bind = is_bind(m, options);
        o->flags = options->flags;
        set_attributes(o, options);
        o->propagation = options->propagation;
        o->propagation_all = options->propagation_all;
        o->target_nofollow = options->target_nofollow;
        return 0;
}

int plan_mount(Plan *p, const RuntimeSpec *spec, const SpecMount *m, const char *bundle,
               Error *reterr_error) {
        _cleanup_(mount_options_done) MountOptions options = {};
        int r;

        r = parse_options(p, m, &options, reterr_error);
        if (r < 0)
                return r;
        if (options.remount)
                return plan_remount(p, m, &options, reterr_error);
        if (is_bind(m, &options))
                return plan_bind(p, spec, m, &options, bundle, reterr_error);
        return plan_filesystem(p, spec, m, &options, reterr_error);
}

int plan_late(Plan *p, Error *reterr_error) {
        const size_t n = p->n_operations;

        for (size_t i = 0; i < n; i++) {
                Operation *late;

                if (p->operations[i].type != OPERATION_MOUNT || !p->operations[i].detached ||
                    !(p->operations[i].flags & MS_RDONLY))
                        continue;
                late = plan_add(p, OPERATION_LATE_READONLY, p->operations[i].target, NULL);
                if (!late)
                        return plan_oom(reterr_error);
                late->subject = i;
        }
        return 0;
}

/* ---- devices and links ---- */

/* Whether /dev is the host's or the user's own, in which nothing is to be made. */
static bool dev_is_bind(const Plan *p) {
        for (size_t i = p->n_operations; i > 0; i--) {
                const Operation *o = &p->operations[i - 1];

                if ((o->type == OPERATION_BIND || o->type == OPERATION_MOUNT) && streq(o->target, "/dev"))
                        return o->type == OPERATION_BIND;
        }
        return false;
}

static int plan_device(Plan *p, const SpecDevice *d, bool optional, Error *reterr_error) {
        _cleanup_free_ char *path = strdup(d->path);
        Operation *o;

        if (!path)
                return plan_oom(reterr_error);
        for (size_t l = strlen(path); l > 1 && path[l - 1] == '/'; l--)
                path[l - 1] = 0;

        o = plan_add(p, OPERATION_DEVICE, path, NULL);
        if (!o)
                return plan_oom(reterr_error);
        o->mode = d->mode;
        o->major = d->major;
        o->minor = d->minor;
        o->uid = d->uid;
        o->gid = d->gid;
        o->optional = optional;
        o->no_symlinks = optional;
        /* In a user namespace no node can be made, and none that is made is of use. */
        o->bind = p->user_namespace && !S_ISFIFO(d->mode);
        if (o->bind && !optional)
                o->prepare = OPERATION_SOURCE_FALLBACK;
        return 0;
}

static int plan_default_devices(Plan *p, Error *reterr_error) {
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

        for (size_t i = 0; i < ELEMENTSOF(defaults); i++) {
                r = plan_device(p, &defaults[i], true, reterr_error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                Operation *o = plan_add(p, OPERATION_SYMLINK, links[i].target, links[i].source);

                if (!o)
                        return plan_oom(reterr_error);
                o->no_symlinks = true;
                o->replace = streq(links[i].source, "pts/ptmx");
        }
        return 0;
}

int plan_dev(Plan *p, const RuntimeSpec *spec, Error *reterr_error) {
        bool bind = dev_is_bind(p);
        Operation *o;
        int r;

        for (size_t i = 0; i < spec->n_devices; i++) {
                /* A /dev of the host's has them, or is not to be changed. */
                if (bind && startswith(spec->devices[i].path, "/dev/"))
                        continue;
                r = plan_device(p, &spec->devices[i], false, reterr_error);
                if (r < 0)
                        return r;
        }
        if (bind)
                return 0;
        r = plan_default_devices(p, reterr_error);
        if (r < 0)
                return r;
        if (!spec->process.terminal)
                return 0;

        o = plan_add(p, OPERATION_FILE, "/dev/console", NULL);
        if (!o)
                return plan_oom(reterr_error);
        o->mode = 0620;
        o->no_symlinks = true;
        return 0;
}
