/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "place.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"

static bool has_whiteouts(int dir) {
        return mknodat(dir, "whiteout", S_IFCHR, makedev(0, 0)) >= 0 &&
               fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) >= 0 &&
               fremovexattr(dir, "trusted.overlay.opaque") >= 0;
}

static bool has_user_xattrs(int dir) {
        return fsetxattr(dir, "user.probe", "y", 1, 0) >= 0 && fremovexattr(dir, "user.probe") >= 0;
}

static bool has_leases(int dir) {
        _cleanup_close_ int fd = openat(dir, "leased", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        void *map;
        bool b;

        if (fd < 0 || write(fd, "x", 1) != 1)
                return false;
        map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return false;
        fd = safe_close(fd);
        fd = openat(dir, "leased", O_RDONLY | O_CLOEXEC);
        b = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
        (void) munmap(map, 1);
        return b && fcntl(fd, F_SETLEASE, F_RDLCK) >= 0;
}

static int missing_in(const char *path, unsigned wanted, unsigned *ret) {
        static const struct {
                unsigned what;
                bool (*has)(int dir);
        } probes[] = { { PLACE_WHITEOUTS, has_whiteouts },
                       { PLACE_LEASES, has_leases },
                       { PLACE_USER_XATTRS, has_user_xattrs } };
        _cleanup_close_ int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir = -EBADF;

        *ret = 0;
        if (parent < 0)
                return -errno;
        dir = mkdirat_open(parent, "probe", 0700);
        if (dir < 0)
                return dir;
        for (size_t i = 0; i < ELEMENTSOF(probes); i++)
                if ((wanted & probes[i].what) && !probes[i].has(dir))
                        *ret |= probes[i].what;

        return rm_rf_at(parent, "probe");
}

int test_place_make(TestPlace *p, const char *name, unsigned wanted) {
        const char *const parents[] = { getenv("TMPDIR"), wanted & PLACE_MEMORY ? "/dev/shm" : NULL, "/tmp", "/var/tmp",
                                        TEST_BUILD_DIR,   "/dev/shm" };
        bool found = false;
        int r = -ENOENT;

        for (size_t i = 0; i < ELEMENTSOF(parents); i++) {
                char path[PATH_MAX];
                unsigned missing;

                if (isempty(parents[i]))
                        continue;
                if ((size_t) snprintf(path, sizeof(path), "%s/%s-XXXXXX", parents[i], name) >= sizeof(path))
                        continue;
                if (!mkdtemp(path)) {
                        r = -errno;
                        continue;
                }
                if (missing_in(path, wanted, &missing) < 0)
                        missing = wanted & ~PLACE_MEMORY;
                if (found && __builtin_popcount(missing) >= __builtin_popcount(p->missing)) {
                        (void) rm_rf_at(AT_FDCWD, path);
                        continue;
                }
                if (found)
                        (void) rm_rf_at(AT_FDCWD, p->path);
                (void) strcpy(p->path, path);
                p->missing = missing;
                found = true;
                if (missing == 0)
                        break;
        }

        return found ? 0 : r;
}

const char *test_place_lacks(const TestPlace *p, unsigned needed) {
        unsigned lacking = p->missing & needed;

        if (lacking & PLACE_WHITEOUTS)
                return "neither $TMPDIR nor /tmp nor another directory at hand can hold whiteouts";
        if (lacking & PLACE_LEASES)
                return "neither $TMPDIR nor /tmp nor another directory at hand has leases that see mappings";
        if (lacking & PLACE_USER_XATTRS)
                return "neither $TMPDIR nor /tmp nor another directory at hand can hold user.* attributes";

        return NULL;
}
