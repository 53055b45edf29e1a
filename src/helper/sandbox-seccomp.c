/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "helper/sandbox.h"

/* Allow-lists of system calls. What is not listed fails with EPERM, since libraries probe and have
 * fallbacks; what nothing here could ever call but an attacker, kills the process. */

/* Memory, threads, clocks, descriptors: what glibc needs to breathe. */
static const int base_calls[] = {
        SCMP_SYS(brk),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(close),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(fcntl),
        SCMP_SYS(fstat),
        SCMP_SYS(futex),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrandom),
        SCMP_SYS(gettid),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(lseek),
        SCMP_SYS(madvise),
        SCMP_SYS(mremap),
        SCMP_SYS(munmap),
        SCMP_SYS(nanosleep),
        SCMP_SYS(newfstatat),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(pread64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rseq),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(statx),
        SCMP_SYS(tgkill),
        SCMP_SYS(write),
        SCMP_SYS(writev),
};

/* Making and removing files below descriptors. */
static const int tree_calls[] = {
        SCMP_SYS(fallocate),  SCMP_SYS(fchmod),     SCMP_SYS(fchmodat),        SCMP_SYS(fchown),
        SCMP_SYS(fchownat),   SCMP_SYS(fgetxattr),  SCMP_SYS(flistxattr),      SCMP_SYS(fsetxattr),
        SCMP_SYS(ftruncate),  SCMP_SYS(getdents64), SCMP_SYS(linkat),          SCMP_SYS(memfd_create),
        SCMP_SYS(mkdirat),    SCMP_SYS(mknodat),    SCMP_SYS(openat),          SCMP_SYS(openat2),
        SCMP_SYS(readlinkat), SCMP_SYS(symlinkat),  SCMP_SYS(sync_file_range), SCMP_SYS(umask),
        SCMP_SYS(unlinkat),   SCMP_SYS(utimensat),
};

static const int remove_calls[] = {
        SCMP_SYS(getdents64), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(unlinkat),
};

static const int sync_calls[] = { SCMP_SYS(syncfs) };

/* Writing ingests. */
static const int ingest_calls[] = {
        SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),       SCMP_SYS(memfd_create),
        SCMP_SYS(openat),    SCMP_SYS(sync_file_range),
};

/* libcurl, OpenSSL (its configuration may include directories), sd-event, getaddrinfo() with its NSS
 * modules. */
static const int network_calls[] = {
        SCMP_SYS(access),      SCMP_SYS(bind),           SCMP_SYS(connect),
        SCMP_SYS(dup),         SCMP_SYS(dup3),           SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),   SCMP_SYS(epoll_pwait),    SCMP_SYS(epoll_pwait2),
        SCMP_SYS(epoll_wait),  SCMP_SYS(eventfd2),       SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),  SCMP_SYS(fstatfs),        SCMP_SYS(getcwd),
        SCMP_SYS(getdents64),  SCMP_SYS(getegid),        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),      SCMP_SYS(getpeername),    SCMP_SYS(getsockname),
        SCMP_SYS(getsockopt),  SCMP_SYS(getuid),         SCMP_SYS(lstat),
        SCMP_SYS(open),
        SCMP_SYS(pipe2),       SCMP_SYS(pselect6),       SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),  SCMP_SYS(recvmmsg),       SCMP_SYS(select),
        SCMP_SYS(sendmmsg),    SCMP_SYS(setsockopt),     SCMP_SYS(shutdown),
        SCMP_SYS(socketpair),  SCMP_SYS(stat),           SCMP_SYS(statfs),
        SCMP_SYS(sysinfo),     SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
        SCMP_SYS(uname),
};

static const int network_families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };

static const int forbidden_calls[] = {
        SCMP_SYS(acct),
        SCMP_SYS(add_key),
        SCMP_SYS(bpf),
        SCMP_SYS(chroot),
        SCMP_SYS(delete_module),
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
        SCMP_SYS(finit_module),
        SCMP_SYS(fsconfig),
        SCMP_SYS(fsmount),
        SCMP_SYS(fsopen),
        SCMP_SYS(init_module),
        SCMP_SYS(io_uring_enter),
        SCMP_SYS(io_uring_register),
        SCMP_SYS(io_uring_setup),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(kexec_load),
        SCMP_SYS(keyctl),
        SCMP_SYS(mount),
        SCMP_SYS(mount_setattr),
        SCMP_SYS(move_mount),
        SCMP_SYS(name_to_handle_at),
        SCMP_SYS(open_by_handle_at),
        SCMP_SYS(open_tree),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(pidfd_getfd),
        SCMP_SYS(pivot_root),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(ptrace),
        SCMP_SYS(quotactl),
        SCMP_SYS(reboot),
        SCMP_SYS(request_key),
        SCMP_SYS(setns),
        SCMP_SYS(swapoff),
        SCMP_SYS(swapon),
        SCMP_SYS(umount2),
        SCMP_SYS(unshare),
        SCMP_SYS(userfaultfd),
};

static int add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r = seccomp_rule_add(ctx, action, calls[i], 0);

                /* -EDOM: this architecture does not have it. */
                if (r < 0 && r != -EDOM)
                        return r;
        }
        return 0;
}

#define ADD(ctx, action, calls) add_all(ctx, action, calls, ELEMENTSOF(calls))

static int add_threads(scmp_filter_ctx ctx) {
        const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                    CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
        int r;

        /* A filter cannot look into clone3()'s argument: glibc goes on with clone(). */
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        if (r < 0)
                return r;
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                SCMP_CMP(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD | namespaces, CLONE_THREAD));
}

/* exec: NSS modules and gconv are loaded at first use. */
static int add_memory(scmp_filter_ctx ctx, bool exec) {
        const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                int r = exec ? seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0)
                             : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 1,
                                                SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_network(scmp_filter_ctx ctx) {
        static const unsigned long requests[] = { FIONREAD, FIONBIO };
        int r;

        r = ADD(ctx, SCMP_ACT_ALLOW, network_calls);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(network_families); i++)
                r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, (uint64_t) network_families[i]));
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(requests); i++)
                r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                     SCMP_A1(SCMP_CMP_EQ, requests[i]));
        return r;
}

static int add_profile(scmp_filter_ctx ctx, SandboxProfile profile) {
        int r;

        switch (profile) {
        case SANDBOX_FETCH:
                r = ADD(ctx, SCMP_ACT_ALLOW, ingest_calls);
                return r < 0 ? r : add_network(ctx);
        case SANDBOX_IMPORT:
                return ADD(ctx, SCMP_ACT_ALLOW, ingest_calls);
        case SANDBOX_UNPACK:
                return ADD(ctx, SCMP_ACT_ALLOW, tree_calls);
        case SANDBOX_REMOVE:
                return ADD(ctx, SCMP_ACT_ALLOW, remove_calls);
        case SANDBOX_SYNC:
                return ADD(ctx, SCMP_ACT_ALLOW, sync_calls);
        default:
                return -EINVAL;
        }
}

int sandbox_load_seccomp(SandboxProfile profile) {
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!ctx)
                return -ENOMEM;

        /* A binary tree instead of a list. */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r >= 0)
                r = ADD(ctx, SCMP_ACT_ALLOW, base_calls);
        if (r >= 0)
                r = ADD(ctx, SCMP_ACT_KILL_PROCESS, forbidden_calls);
        if (r >= 0)
                r = add_threads(ctx);
        if (r >= 0)
                r = add_memory(ctx, profile == SANDBOX_FETCH);
        if (r >= 0)
                r = add_profile(ctx, profile);
        if (r >= 0)
                r = seccomp_load(ctx);
        seccomp_release(ctx);
        return r;
}
