/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names are in the order of <linux/capability.h>. */

#include <fcntl.h>
#include <linux/capability.h>
#include <strings.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "container/capability.h"

#define PROC_STATUS_SIZE_MAX (64U * 1024)

static const char *const capability_names[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
};

#define BIT(cap) (UINT64_C(1) << (cap))
#define CAPABILITY_ALL (BIT(ELEMENTSOF(capability_names)) - 1)

const uint64_t capability_default_mask =
                BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) |
                BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) |
                BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);

uint64_t capability_mask_from_string(const char *s) {
        if (strcasecmp(s, "ALL") == 0)
                return CAPABILITY_ALL;

        for (size_t i = 0; i < ELEMENTSOF(capability_names); i++)
                if (strcasecmp(s, capability_names[i]) == 0 ||
                    strcasecmp(s, capability_names[i] + strlen("CAP_")) == 0)
                        return BIT(i);

        return 0;
}

const char *capability_to_string(unsigned i) {
        return i < ELEMENTSOF(capability_names) ? capability_names[i] : NULL;
}

uint64_t capability_available_mask(void) {
        _cleanup_free_ char *text = NULL;
        unsigned long long mask;
        const char *line;

        if (read_file_at(AT_FDCWD, "/proc/1/status", PROC_STATUS_SIZE_MAX, &text, NULL) < 0)
                return CAPABILITY_ALL;
        line = strstr(text, "\nCapBnd:");
        if (!line)
                return CAPABILITY_ALL;

        mask = strtoull(line + strlen("\nCapBnd:"), NULL, 16);
        return (uint64_t) mask & CAPABILITY_ALL;
}
