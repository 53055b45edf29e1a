/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mount.h>

#include "basic/string-util.h"
#include "runtime/mount-options.h"

/* An option sets or clears one flag. The same flag is known to mount(2) by `flag` and to mount_setattr(2) by
 * `attr`; the three kinds of access time exclude each other and are one field of the latter. */
typedef struct FlagOption {
        const char *name;
        unsigned long flag;
        uint64_t attr;
        bool clear;
        bool recursive; /* of all mounts of a tree */
} FlagOption;

static const FlagOption flag_options[] = {
        { "async", MS_SYNCHRONOUS, 0, .clear = true },
        { "atime", MS_NOATIME, MOUNT_ATTR_NOATIME, .clear = true },
        { "defaults", 0, 0 },
        { "dev", MS_NODEV, MOUNT_ATTR_NODEV, .clear = true },
        { "diratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, .clear = true },
        { "dirsync", MS_DIRSYNC, 0 },
        { "exec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, .clear = true },
        { "iversion", MS_I_VERSION, 0 },
        { "lazytime", MS_LAZYTIME, 0 },
        { "loud", MS_SILENT, 0, .clear = true },
        { "mand", MS_MANDLOCK, 0 },
        { "noatime", MS_NOATIME, MOUNT_ATTR_NOATIME },
        { "nodev", MS_NODEV, MOUNT_ATTR_NODEV },
        { "nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
        { "noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC },
        { "noiversion", MS_I_VERSION, 0, .clear = true },
        { "nolazytime", MS_LAZYTIME, 0, .clear = true },
        { "nomand", MS_MANDLOCK, 0, .clear = true },
        { "norelatime", MS_RELATIME, MOUNT_ATTR_RELATIME, .clear = true },
        { "nostrictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, .clear = true },
        { "nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID },
        { "nosymfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
        { "rdev", 0, MOUNT_ATTR_NODEV, .clear = true, .recursive = true },
        { "relatime", MS_RELATIME, MOUNT_ATTR_RELATIME },
        { "rexec", 0, MOUNT_ATTR_NOEXEC, .clear = true, .recursive = true },
        { "rnodev", 0, MOUNT_ATTR_NODEV, .recursive = true },
        { "rnoexec", 0, MOUNT_ATTR_NOEXEC, .recursive = true },
        { "rnosuid", 0, MOUNT_ATTR_NOSUID, .recursive = true },
        { "rnosymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, .recursive = true },
        { "ro", MS_RDONLY, MOUNT_ATTR_RDONLY },
        { "rro", 0, MOUNT_ATTR_RDONLY, .recursive = true },
        { "rrw", 0, MOUNT_ATTR_RDONLY, .clear = true, .recursive = true },
        { "rsuid", 0, MOUNT_ATTR_NOSUID, .clear = true, .recursive = true },
        { "rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, .clear = true, .recursive = true },
        { "rw", MS_RDONLY, MOUNT_ATTR_RDONLY, .clear = true },
        { "silent", MS_SILENT, 0 },
        { "strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
        { "suid", MS_NOSUID, MOUNT_ATTR_NOSUID, .clear = true },
        { "symfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, .clear = true },
        { "sync", MS_SYNCHRONOUS, 0 },
};

typedef struct PropagationOption {
        const char *name;
        uint64_t propagation;
        bool recursive;
} PropagationOption;

static const PropagationOption propagation_options[] = {
        { "private", MS_PRIVATE },    { "rprivate", MS_PRIVATE, true },       { "rshared", MS_SHARED, true },
        { "rslave", MS_SLAVE, true }, { "runbindable", MS_UNBINDABLE, true }, { "shared", MS_SHARED },
        { "slave", MS_SLAVE },        { "unbindable", MS_UNBINDABLE },
};

/* What other runtimes know and the file system would only answer with an EINVAL that says nothing. */
static const char *const refused_options[] = { "idmap", "ridmap", "tmpcopyup", "copy-symlink", "remount" };

void mount_options_done(MountOptions *o) {
        free(o->data);
        *o = (MountOptions) {};
}

static void apply_flag(const FlagOption *f, MountOptions *o) {
        uint64_t *set = f->recursive ? &o->attr_set_all : &o->attr_set;
        uint64_t *clear = f->recursive ? &o->attr_clear_all : &o->attr_clear;

        if (f->clear) {
                o->flags &= ~f->flag;
                *set &= ~f->attr;
                if (f->attr == MOUNT_ATTR_NOATIME || f->attr == MOUNT_ATTR_STRICTATIME || f->attr == 0)
                        return;
                *clear |= f->attr;
                return;
        }

        o->flags |= f->flag;
        if (f->flag & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)) {
                /* A field, not bits: what was there is cleared first, and the last one said counts. */
                *clear |= MOUNT_ATTR__ATIME;
                *set = (*set & ~(uint64_t) MOUNT_ATTR__ATIME) | f->attr;
                return;
        }
        *clear &= ~f->attr;
        *set |= f->attr;
}

static bool apply_known(const char *option, MountOptions *o) {
        for (size_t i = 0; i < ELEMENTSOF(flag_options); i++)
                if (streq(flag_options[i].name, option)) {
                        apply_flag(&flag_options[i], o);
                        return true;
                }
        for (size_t i = 0; i < ELEMENTSOF(propagation_options); i++)
                if (streq(propagation_options[i].name, option)) {
                        o->propagation = propagation_options[i].propagation;
                        o->propagation_all = propagation_options[i].recursive;
                        return true;
                }
        if (streq(option, "bind") || streq(option, "rbind")) {
                o->bind = true;
                o->recursive = option[0] == 'r';
                return true;
        }
        return false;
}

int mount_options_parse(char *const *options, MountOptions *ret, Error *reterr_error) {
        _cleanup_(mount_options_done) MountOptions o = {};

        for (char *const *i = options; i && *i; i++) {
                char *data;

                if (apply_known(*i, &o))
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(refused_options); k++)
                        if (streq(refused_options[k], *i))
                                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                                 "The mount option \"%s\" is not supported.", *i);
                data = o.data ? strjoin(o.data, ",", *i) : strdup(*i);
                if (!data)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                free(o.data);
                o.data = data;
        }

        *ret = o;
        o = (MountOptions) {};
        return 0;
}
