/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/mounts.h"
#include "runtime/self.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* execveat() of a descriptor leaves this name. The host's own mount may be read-only, too, but not for ever. */
static bool was_executed_by_descriptor(void) {
        const char *name = (const char *) getauxval(AT_EXECFN);

        return name && startswith(name, "/dev/fd/");
}

static int is_protected(int exe_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct statvfs st;
        int seals;

        if (!was_executed_by_descriptor())
                return false;
        if (fstatvfs(exe_fd, &st) < 0)
                return -errno;
        if (st.f_flag & ST_RDONLY)
                return true;
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
        return seals >= 0 && (seals & SEALS) == SEALS;
}

static int execute(int fd, char *argv[]) {
        (void) execveat(fd, "", argv, environ, AT_EMPTY_PATH);
        return -errno;
}

static int execute_from_mount(int exe_fd, char *argv[]) {
        _cleanup_close_ int fd = mount_clone(exe_fd, "", false);
        int r;

        if (fd < 0)
                return fd;
        r = mount_set_attributes(fd, false, MOUNT_ATTR_RDONLY, 0, 0);
        return r < 0 ? r : execute(fd, argv);
}

static int execute_copy(char *argv[]) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        struct stat st;

        from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (from < 0 || fstat(from, &st) < 0)
                return -errno;
        to = memfd_create("mooring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
        if (to < 0 && errno == EINVAL)
                to = memfd_create("mooring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (to < 0)
                return -errno;
        for (off_t left = st.st_size; left > 0;) {
                ssize_t n = sendfile(to, from, NULL, (size_t) left);

                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                left -= n;
        }
        if (fchmod(to, 0555) < 0 || fcntl(to, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        return execute(to, argv);
}

static int protect(char *argv[]) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = is_protected(fd);
        if (r < 0)
                return r;
        if (r > 0) {
                /* execveat() names the process after the descriptor's number. */
                (void) prctl(PR_SET_NAME, program_invocation_short_name);
                return 0;
        }

        (void) execute_from_mount(fd, argv);
        return execute_copy(argv);
}

int self_protect(char *argv[], Error *reterr_error) {
        int r = protect(argv);

        return r < 0 ? error_set_errno(reterr_error, r, "Cannot run from where nobody can write to this program: %m") : 0;
}
