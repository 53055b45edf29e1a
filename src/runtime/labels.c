/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/labels.h"
#include "runtime/proc-file.h"

#define UNCONFINED "unconfined"

/* A file of this thread's attr directory. */
static int open_attr(const char *name, int flags) {
        char path[64];

        (void) snprintf(path, sizeof(path), "thread-self/attr/%s", name);
        return proc_file_open(path, flags);
}

static int write_attr(int fd, const char *member, const char *label, const char *text, Error *reterr_error) {
        /* In one write: the kernel takes the text as a whole. */
        ssize_t n = TEMP_FAILURE_RETRY(write(fd, text, strlen(text)));

        if (n < 0)
                return error_set_errno(reterr_error, -errno, "%s: cannot change to \"%s\": %m", member,
                                       label);
        if ((size_t) n != strlen(text))
                return error_set(reterr_error, -EIO, "Failed", "%s: cannot change to \"%s\".", member,
                                 label);
        return 0;
}

/* ---- AppArmor ---- */

static bool apparmor_is_enabled(void) {
        _cleanup_close_ int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
        char answer = 'N';

        return fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y';
}

/* The module has a directory of its own since Linux 5.8. */
static int open_apparmor_attr(const char *name, int flags) {
        _cleanup_free_ char *own = strjoin("apparmor/", name);
        int fd;

        if (!own)
                return -ENOMEM;
        fd = open_attr(own, flags);
        return fd == -ENOENT ? open_attr(name, flags) : fd;
}

/* "unconfined", or "PROFILE (MODE)". In doubt: yes. */
static bool apparmor_is_confined(void) {
        _cleanup_close_ int fd = open_apparmor_attr("current", O_RDONLY);
        char buf[sizeof(UNCONFINED)] = {};
        ssize_t n;

        if (fd < 0)
                return true;
        n = read(fd, buf, sizeof(buf));
        return n < (ssize_t) strlen(UNCONFINED) || !startswith(buf, UNCONFINED) ||
               (n == sizeof(buf) && buf[n - 1] != '\n' && buf[n - 1] != ' ' && buf[n - 1] != 0);
}

static int apparmor_apply(const ProcessSpec *p, Error *reterr_error) {
        const char *profile = p->apparmor_profile;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;

        if (!apparmor_is_enabled()) {
                if (streq(profile, UNCONFINED))
                        return 0;
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "process.apparmorProfile: \"%s\" cannot be had: AppArmor is not enabled "
                                 "here.",
                                 profile);
        }

        fd = open_apparmor_attr("exec", O_WRONLY);
        if (fd < 0)
                return error_set_errno(reterr_error, fd,
                                       "process.apparmorProfile: cannot open AppArmor's file in /proc: %m");
        /* With no_new_privs what is confined can only be confined more. */
        text = strjoin(p->no_new_privileges && apparmor_is_confined() ? "stack " : "exec ", profile);
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return write_attr(fd, "process.apparmorProfile", profile, text, reterr_error);
}

/* ---- SELinux ---- */

bool selinux_is_enabled(void) {
        struct statfs fs;

        /* Read-only: a container's view of its host's. */
        return statfs("/sys/fs/selinux", &fs) >= 0 && (uint32_t) fs.f_type == SELINUX_MAGIC &&
               !(fs.f_flags & ST_RDONLY);
}

static int selinux_apply(const char *label, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;

        if (!selinux_is_enabled())
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "process.selinuxLabel: \"%s\" cannot be had: SELinux is not enabled here.",
                                 label);
        fd = open_attr("exec", O_WRONLY);
        if (fd < 0)
                return error_set_errno(reterr_error, fd,
                                       "process.selinuxLabel: cannot open SELinux' file in /proc: %m");
        return write_attr(fd, "process.selinuxLabel", label, label, reterr_error);
}

/* ---- all of it ---- */

int labels_apply(const ProcessSpec *p, Error *reterr_error) {
        int r;

        if (!isempty(p->selinux_label)) {
                r = selinux_apply(p->selinux_label, reterr_error);
                if (r < 0)
                        return r;
        }
        if (!isempty(p->apparmor_profile))
                return apparmor_apply(p, reterr_error);
        return 0;
}

char *label_mount_data(const char *data, const char *type, const char *label) {
        return strjoin(strempty(data), isempty(data) ? "" : ",", type, "=\"", label, "\"");
}
