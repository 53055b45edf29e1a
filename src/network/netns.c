/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "network/netns.h"

int netns_open(void) {
        return RET_NERRNO(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

/* There is no way on without it: every later call would act on another network than it is meant for. */
static void netns_return(int home) {
        if (setns(home, CLONE_NEWNET) < 0) {
                (void) log_error_errno(-errno, "Cannot return to the host's network namespace: %m");
                abort();
        }
}

int netns_run(int netns, int (*func)(void *userdata), void *userdata) {
        _cleanup_close_ int home = -EBADF;
        int r;

        home = netns_open();
        if (home < 0)
                return home;
        if (setns(netns, CLONE_NEWNET) < 0)
                return -errno;
        r = func(userdata);
        netns_return(home);
        return r;
}

int netns_new(int (*func)(void *userdata), void *userdata) {
        _cleanup_close_ int home = -EBADF, netns = -EBADF;
        int r = 0;

        home = netns_open();
        if (home < 0)
                return home;
        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        netns = netns_open();
        if (netns >= 0 && func)
                r = func(userdata);
        netns_return(home);
        return netns < 0 ? netns : r < 0 ? r : TAKE_FD(netns);
}
