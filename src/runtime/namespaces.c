/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "runtime/namespaces.h"

static const char *const namespace_type_table[_NAMESPACE_TYPE_MAX] = {
        [NAMESPACE_PID] = "pid",   [NAMESPACE_MOUNT] = "mount", [NAMESPACE_NETWORK] = "network",
        [NAMESPACE_UTS] = "uts",   [NAMESPACE_IPC] = "ipc",     [NAMESPACE_CGROUP] = "cgroup",
        [NAMESPACE_USER] = "user", [NAMESPACE_TIME] = "time",
};

DEFINE_STRING_TABLE(namespace_type, NamespaceType)

uint64_t namespace_clone_flag(NamespaceType t) {
        static const uint64_t table[_NAMESPACE_TYPE_MAX] = {
                [NAMESPACE_PID] = CLONE_NEWPID,     [NAMESPACE_MOUNT] = CLONE_NEWNS,
                [NAMESPACE_NETWORK] = CLONE_NEWNET, [NAMESPACE_UTS] = CLONE_NEWUTS,
                [NAMESPACE_IPC] = CLONE_NEWIPC,     [NAMESPACE_CGROUP] = CLONE_NEWCGROUP,
                [NAMESPACE_USER] = CLONE_NEWUSER,   [NAMESPACE_TIME] = CLONE_NEWTIME,
        };

        return table[t];
}

int namespace_open(NamespaceType t, const char *path, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int type;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_set(reterr_error, -errno, "NoSuchNamespaceFile",
                                 "Cannot open the %s namespace \"%s\": %m", namespace_type_to_string(t),
                                 path);

        type = ioctl(fd, NS_GET_NSTYPE);
        if (type < 0 || (uint64_t) type != namespace_clone_flag(t))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is not a %s namespace.",
                                 path, namespace_type_to_string(t));
        return TAKE_FD(fd);
}

int loopback_up(void) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        _cleanup_close_ int fd = -EBADF;

        /* Any socket will do; this family is there in every kernel. */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        return RET_NERRNO(ioctl(fd, SIOCSIFFLAGS, &request));
}
