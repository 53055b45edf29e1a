/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "network/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "basic/fd-util.h"
#include "network/netns.h"

typedef struct Tap {
        const char *name;
        uid_t user;
} Tap;

/* rtnetlink has none of these: the kernel refuses RTM_NEWLINK of kind "tun". */
static int make(void *userdata) {
        struct ifreq q = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL };
        const Tap *t = userdata;
        _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        (void) snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", t->name);
        if (ioctl(fd, TUNSETIFF, &q) < 0)
                return errno == EBUSY ? -EEXIST : -errno;
        return RET_NERRNO(ioctl(fd, TUNSETOWNER, (unsigned long) t->user) < 0 ? -1 : ioctl(fd, TUNSETPERSIST, 1UL));
}

int tap_new(int netns, const char *name, uid_t user) {
        return netns_run(netns, make, &(Tap) { name, user });
}
