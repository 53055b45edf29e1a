/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/cgroup-tree.h"
#include "runtime/launch-aside.h"

void aside_done(Aside *a) {
        safe_close(a->root_fd);
        free(a->path);
        *a = ASIDE_NULL;
}

int aside_step(Aside *ret) {
        _cleanup_(aside_done) Aside a = ASIDE_NULL;
        _cleanup_free_ char *own = NULL;
        _cleanup_close_ int dir = -EBADF;
        int r;

        r = a.root_fd = cgroup_root_open(NULL);
        if (r >= 0)
                r = cgroup_of_process(0, &own);
        if (r < 0)
                return r;
        if (endswith(own, "/" LAUNCHER_CGROUP))
                return 0;
        a.path = path_join(own, LAUNCHER_CGROUP);
        if (!a.path)
                return -ENOMEM;
        if (mkdirat(a.root_fd, a.path + 1, 0755) < 0 && errno != EEXIST)
                return -errno;
        dir = cgroup_dir_open(a.root_fd, a.path);
        r = dir < 0 ? dir : cgroup_move(dir, 0);
        if (r < 0)
                return r;
        *ret = a;
        a = ASIDE_NULL;
        return 0;
}

void aside_step_back(const Aside *a, pid_t pid) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int dir = -EBADF;

        /* If it has ended, everything that is the unit's goes with it. */
        if (a->root_fd < 0 || cgroup_of_process(pid, &path) < 0)
                return;
        dir = cgroup_dir_open(a->root_fd, path);
        if (dir >= 0 && cgroup_move(dir, 0) >= 0)
                (void) unlinkat(a->root_fd, a->path + 1, AT_REMOVEDIR);
}
