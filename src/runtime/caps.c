/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/caps.h"

static const char *const cap_set_table[_CAP_SET_MAX] = {
        [CAP_SET_BOUNDING] = "bounding",   [CAP_SET_EFFECTIVE] = "effective",
        [CAP_SET_PERMITTED] = "permitted", [CAP_SET_INHERITABLE] = "inheritable",
        [CAP_SET_AMBIENT] = "ambient",
};

DEFINE_STRING_TABLE(cap_set, CapSet)

static const char *const cap_names[] = {
        [CAP_CHOWN] = "CAP_CHOWN",
        [CAP_DAC_OVERRIDE] = "CAP_DAC_OVERRIDE",
        [CAP_DAC_READ_SEARCH] = "CAP_DAC_READ_SEARCH",
        [CAP_FOWNER] = "CAP_FOWNER",
        [CAP_FSETID] = "CAP_FSETID",
        [CAP_KILL] = "CAP_KILL",
        [CAP_SETGID] = "CAP_SETGID",
        [CAP_SETUID] = "CAP_SETUID",
        [CAP_SETPCAP] = "CAP_SETPCAP",
        [CAP_LINUX_IMMUTABLE] = "CAP_LINUX_IMMUTABLE",
        [CAP_NET_BIND_SERVICE] = "CAP_NET_BIND_SERVICE",
        [CAP_NET_BROADCAST] = "CAP_NET_BROADCAST",
        [CAP_NET_ADMIN] = "CAP_NET_ADMIN",
        [CAP_NET_RAW] = "CAP_NET_RAW",
        [CAP_IPC_LOCK] = "CAP_IPC_LOCK",
        [CAP_IPC_OWNER] = "CAP_IPC_OWNER",
        [CAP_SYS_MODULE] = "CAP_SYS_MODULE",
        [CAP_SYS_RAWIO] = "CAP_SYS_RAWIO",
        [CAP_SYS_CHROOT] = "CAP_SYS_CHROOT",
        [CAP_SYS_PTRACE] = "CAP_SYS_PTRACE",
        [CAP_SYS_PACCT] = "CAP_SYS_PACCT",
        [CAP_SYS_ADMIN] = "CAP_SYS_ADMIN",
        [CAP_SYS_BOOT] = "CAP_SYS_BOOT",
        [CAP_SYS_NICE] = "CAP_SYS_NICE",
        [CAP_SYS_RESOURCE] = "CAP_SYS_RESOURCE",
        [CAP_SYS_TIME] = "CAP_SYS_TIME",
        [CAP_SYS_TTY_CONFIG] = "CAP_SYS_TTY_CONFIG",
        [CAP_MKNOD] = "CAP_MKNOD",
        [CAP_LEASE] = "CAP_LEASE",
        [CAP_AUDIT_WRITE] = "CAP_AUDIT_WRITE",
        [CAP_AUDIT_CONTROL] = "CAP_AUDIT_CONTROL",
        [CAP_SETFCAP] = "CAP_SETFCAP",
        [CAP_MAC_OVERRIDE] = "CAP_MAC_OVERRIDE",
        [CAP_MAC_ADMIN] = "CAP_MAC_ADMIN",
        [CAP_SYSLOG] = "CAP_SYSLOG",
        [CAP_WAKE_ALARM] = "CAP_WAKE_ALARM",
        [CAP_BLOCK_SUSPEND] = "CAP_BLOCK_SUSPEND",
        [CAP_AUDIT_READ] = "CAP_AUDIT_READ",
        [CAP_PERFMON] = "CAP_PERFMON",
        [CAP_BPF] = "CAP_BPF",
        [CAP_CHECKPOINT_RESTORE] = "CAP_CHECKPOINT_RESTORE",
};

int cap_number_from_name(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(cap_names); i++)
                if (streq(cap_names[i], name))
                        return (int) i;
        return -EINVAL;
}

const char *cap_name_from_number(unsigned cap) {
        return cap < ELEMENTSOF(cap_names) ? cap_names[cap] : NULL;
}

int caps_available(uint64_t *ret) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
        uint64_t permitted, bounding = 0;

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;

        permitted = data[0].permitted | (uint64_t) data[1].permitted << 32;
        for (unsigned i = 0; i < 64; i++) {
                int r = prctl(PR_CAPBSET_READ, i, 0, 0, 0);

                if (r < 0)
                        break;
                if (r > 0)
                        bounding |= UINT64_C(1) << i;
        }

        *ret = permitted & bounding;
        return 0;
}

void caps_limit(CapSets *sets, uint64_t available, uint64_t *ret_missing) {
        uint64_t missing = 0;

        for (size_t i = 0; i < _CAP_SET_MAX; i++) {
                missing |= sets->sets[i] & ~available;
                sets->sets[i] &= available;
        }
        sets->sets[CAP_SET_EFFECTIVE] &= sets->sets[CAP_SET_PERMITTED];
        sets->sets[CAP_SET_AMBIENT] &= sets->sets[CAP_SET_PERMITTED] & sets->sets[CAP_SET_INHERITABLE];

        *ret_missing = missing;
}

int caps_drop_bounding(uint64_t keep) {
        for (unsigned i = 0; i < 64; i++) {
                if (keep & UINT64_C(1) << i)
                        continue;
                if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
                        /* The kernel's last capability has been passed. */
                        if (errno == EINVAL)
                                return 0;
                        return -errno;
                }
        }
        return 0;
}

int caps_apply(const CapSets *sets) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        uint64_t ambient = sets->sets[CAP_SET_AMBIENT];

        for (size_t i = 0; i < ELEMENTSOF(data); i++)
                data[i] = (struct __user_cap_data_struct) {
                        .effective = (uint32_t) (sets->sets[CAP_SET_EFFECTIVE] >> (32 * i)),
                        .permitted = (uint32_t) (sets->sets[CAP_SET_PERMITTED] >> (32 * i)),
                        .inheritable = (uint32_t) (sets->sets[CAP_SET_INHERITABLE] >> (32 * i)),
                };

        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        for (unsigned i = 0; ambient != 0 && i < 64; i++)
                if (ambient & UINT64_C(1) << i && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -errno;
        return 0;
}
