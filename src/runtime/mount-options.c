/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mount.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/mount-options.h"

/* An option sets or clears one flag. The same flag is known to mount(2) by `flag` and to mount_setattr(2) by
 * `attr`, as far as it is one of a mount and not of a file system; the kinds of access time exclude each
 * other and are one field of the latter. Most have a recursive form with an "r" before their name; on a file
 * system that is mounted anew, which is a tree of one mount, both mean the same. */
typedef struct FlagOption {
        const char *name;
        unsigned long flag;
        uint64_t attr;
        bool clear;
        bool single; /* has no recursive form */
} FlagOption;

static const FlagOption flag_options[] = {
        { "async", MS_SYNCHRONOUS, 0, .clear = true },
        { "atime", MS_NOATIME, MOUNT_ATTR_NOATIME, .clear = true },
        { "defaults", 0, 0, .single = true },
        { "dev", MS_NODEV, MOUNT_ATTR_NODEV, .clear = true },
        { "diratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, .clear = true },
        { "dirsync", MS_DIRSYNC, 0 },
        { "exec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, .clear = true },
        { "iversion", MS_I_VERSION, 0, .single = true },
        { "lazytime", MS_LAZYTIME, 0, .single = true },
        { "loud", MS_SILENT, 0, .clear = true, .single = true },
        { "mand", MS_MANDLOCK, 0 },
        { "noatime", MS_NOATIME, MOUNT_ATTR_NOATIME },
        { "nodev", MS_NODEV, MOUNT_ATTR_NODEV },
        { "nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
        { "noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC },
        { "noiversion", MS_I_VERSION, 0, .clear = true, .single = true },
        { "nolazytime", MS_LAZYTIME, 0, .clear = true, .single = true },
        { "nomand", MS_MANDLOCK, 0, .clear = true },
        { "norelatime", MS_RELATIME, MOUNT_ATTR_RELATIME, .clear = true },
        { "nostrictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, .clear = true },
        { "nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID },
        { "nosymfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
        { "relatime", MS_RELATIME, MOUNT_ATTR_RELATIME },
        { "ro", MS_RDONLY, MOUNT_ATTR_RDONLY },
        { "rw", MS_RDONLY, MOUNT_ATTR_RDONLY, .clear = true },
        { "silent", MS_SILENT, 0, .single = true },
        { "strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
        { "suid", MS_NOSUID, MOUNT_ATTR_NOSUID, .clear = true },
        { "symfollow", MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, .clear = true },
        { "sync", MS_SYNCHRONOUS, 0 },
};

#define ATIME_FLAGS (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

static const struct {
        const char *name;
        unsigned long propagation;
} propagation_options[] = {
        { "private", MS_PRIVATE },
        { "rprivate", MS_PRIVATE | MS_REC },
        { "rshared", MS_SHARED | MS_REC },
        { "rslave", MS_SLAVE | MS_REC },
        { "runbindable", MS_UNBINDABLE | MS_REC },
        { "shared", MS_SHARED },
        { "slave", MS_SLAVE },
        { "unbindable", MS_UNBINDABLE },
};

static const struct {
        const char *name;
        size_t offset;
} bool_options[] = {
        { "bind", offsetof(MountOptions, bind) },
        { "copy-symlink", offsetof(MountOptions, copy_symlink) },
        { "dest-nofollow", offsetof(MountOptions, target_nofollow) },
        { "idmap", offsetof(MountOptions, idmap) },
        { "remount", offsetof(MountOptions, remount) },
        { "src-nofollow", offsetof(MountOptions, source_nofollow) },
        { "tmpcopyup", offsetof(MountOptions, copy_up) },
};

void mount_options_done(MountOptions *o) {
        free(o->idmap_text);
        free(o->data);
        *o = (MountOptions){};
}

unsigned long propagation_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(propagation_options); i++)
                if (streq(propagation_options[i].name, s))
                        return propagation_options[i].propagation;
        return 0;
}

static void apply_atime(const FlagOption *f, MountOptions *o, uint64_t *set, uint64_t *clear) {
        unsigned long other = o->flags & ATIME_FLAGS & ~f->flag;

        if (!f->clear) {
                /* A field, not bits: what was there is cleared first, and the last one said counts. */
                o->flags = (o->flags & ~(unsigned long) ATIME_FLAGS) | f->flag;
                *set = (*set & ~(uint64_t) MOUNT_ATTR__ATIME) | f->attr;
                *clear |= MOUNT_ATTR__ATIME;
                return;
        }

        o->flags &= ~f->flag;
        /* Not this kind: nothing new if another one has been asked for. There is nothing that is not
         * relatime and none of the others. */
        if (other != 0 || f->flag == MS_RELATIME)
                return;
        *set &= ~(uint64_t) MOUNT_ATTR__ATIME;
        *clear |= MOUNT_ATTR__ATIME;
}

static void apply_flag(const FlagOption *f, bool recursive, MountOptions *o) {
        uint64_t *set = recursive ? &o->attr_set_all : &o->attr_set;
        uint64_t *clear = recursive ? &o->attr_clear_all : &o->attr_clear;

        if (f->flag & ATIME_FLAGS) {
                apply_atime(f, o, set, clear);
                return;
        }
        if (f->clear) {
                o->flags &= ~f->flag;
                *set &= ~f->attr;
                *clear |= f->attr;
                return;
        }
        o->flags |= f->flag;
        *clear &= ~f->attr;
        *set |= f->attr;
}

static const FlagOption *find_flag(const char *name, bool recursive) {
        for (size_t i = 0; i < ELEMENTSOF(flag_options); i++)
                if (streq(flag_options[i].name, name) && !(recursive && flag_options[i].single))
                        return &flag_options[i];
        return NULL;
}

/* 1: known, 0: not. */
static int apply_known(const char *option, MountOptions *o) {
        const FlagOption *f = find_flag(option, false);
        const char *text;
        unsigned long p;

        if (f) {
                apply_flag(f, false, o);
                return 1;
        }
        f = option[0] == 'r' ? find_flag(option + 1, true) : NULL;
        if (f) {
                apply_flag(f, true, o);
                return 1;
        }

        p = propagation_from_string(option);
        if (p != 0) {
                o->propagation = p & ~(unsigned long) MS_REC;
                o->propagation_all = p & MS_REC;
                return 1;
        }

        for (size_t i = 0; i < ELEMENTSOF(bool_options); i++)
                if (streq(bool_options[i].name, option)) {
                        *(bool *) ((char *) o + bool_options[i].offset) = true;
                        return 1;
                }
        if (streq(option, "rbind"))
                return o->bind = o->recursive = true;
        if (streq(option, "ridmap"))
                return o->idmap = o->idmap_all = true;

        text = startswith(option, "idmap=") ?: startswith(option, "ridmap=");
        if (!text)
                return 0;
        o->idmap = true;
        o->idmap_all = option[0] == 'r';
        return free_and_strdup(&o->idmap_text, text[0] ? text : NULL) < 0 ? -ENOMEM : 1;
}

int mount_options_parse(char *const *options, MountOptions *ret, Error *reterr_error) {
        _cleanup_(mount_options_done) MountOptions o = {};

        for (char *const *i = options; i && *i; i++) {
                char *data;
                int r;

                r = apply_known(*i, &o);
                if (r > 0 || isempty(*i))
                        continue;
                data = r < 0 ? NULL : o.data ? strjoin(o.data, ",", *i) : strdup(*i);
                if (!data)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                free(o.data);
                o.data = data;
        }

        *ret = o;
        o = (MountOptions){};
        return 0;
}

int mount_options_names(char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(flag_options) && r >= 0; i++) {
                r = strv_extend(&names, flag_options[i].name);
                if (r >= 0 && !flag_options[i].single)
                        r = strv_extendf(&names, "r%s", flag_options[i].name);
        }
        for (size_t i = 0; i < ELEMENTSOF(propagation_options) && r >= 0; i++)
                r = strv_extend(&names, propagation_options[i].name);
        for (size_t i = 0; i < ELEMENTSOF(bool_options) && r >= 0; i++)
                r = strv_extend(&names, bool_options[i].name);
        if (r >= 0)
                r = strv_extend(&names, "rbind");
        if (r >= 0)
                r = strv_extend(&names, "ridmap");
        if (r < 0)
                return r;

        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}
