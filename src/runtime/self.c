/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "runtime/mounts.h"
#include "runtime/self.h"

int self_protect(char *argv[]) {
        _cleanup_close_ int fd = -EBADF, mount_fd = -EBADF;
        struct statvfs st;
        int r;

        fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstatvfs(fd, &st) < 0)
                return -errno;
        if (st.f_flag & ST_RDONLY) {
                /* execveat() names the process after the descriptor's number. */
                (void) prctl(PR_SET_NAME, program_invocation_short_name);
                return 0;
        }

        mount_fd = mount_clone(fd, "", false);
        if (mount_fd < 0)
                return mount_fd;
        r = mount_set_attributes(mount_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
        if (r < 0)
                return r;

        (void) execveat(mount_fd, "", argv, environ, AT_EMPTY_PATH);
        return -errno;
}
