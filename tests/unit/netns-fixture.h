/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A network namespace for a test, so that nothing of the machine's is touched. Included once, by tests that run in one thread. */

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "network/netns.h"

static const char *netns_missing;

static void netns_write(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
                netns_missing = "/proc cannot be written";
}

#define BRIDGES_CALL "/proc/sys/net/bridge/bridge-nf-call-ip6tables"

/* Whether bridges call on nf_tables, as they do at first; false: br_netfilter is not there, and they do not. */
static inline bool netns_bridges_call(bool on) {
        if (access(BRIDGES_CALL, F_OK) < 0)
                return false;
        netns_write(BRIDGES_CALL, on ? "1" : "0");
        return true;
}

/* Without root: with a user namespace around it. What is missing is in netns_missing. */
static void netns_enter(void) {
        char map[64];
        uid_t uid = getuid();

        if (unshare(CLONE_NEWNET) >= 0)
                return;
        (void) snprintf(map, sizeof(map), "0 %u 1", uid);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
                netns_missing = "no network namespace can be made here";
                return;
        }
        netns_write("/proc/self/setgroups", "deny");
        netns_write("/proc/self/uid_map", map);
}

#define NETNS_NEEDED()                             \
        do {                                       \
                if (netns_missing) {               \
                        print_message("%s: %s\n", __func__, netns_missing); \
                        skip();                    \
                }                                  \
        } while (false)
