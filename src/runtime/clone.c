/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/clone.h"
#include "runtime/proc-file.h"

static pid_t do_clone(const CloneSpec *c, bool sibling) {
        struct clone_args args = { .flags = c->flags };

        /* A sibling has no exit signal of its own: it has this process's. */
        if (sibling)
                args.flags |= CLONE_PARENT;
        else
                args.exit_signal = SIGCHLD;
        if (c->cgroup_fd >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t) c->cgroup_fd;
        }
        return (pid_t) RET_NERRNO((int) syscall(SYS_clone3, &args, sizeof(args)));
}

static bool joins_pid(const CloneSpec *c) {
        return c->namespace_fds[NAMESPACE_PID] >= 0 || (c->pidfd >= 0 && c->pidfd_flags & CLONE_NEWPID);
}

static bool joins_something(const CloneSpec *c) {
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++)
                if (c->namespace_fds[t] >= 0)
                        return true;
        return c->pidfd >= 0;
}

static bool joins_user(const CloneSpec *c) {
        return c->namespace_fds[NAMESPACE_USER] >= 0 || (c->pidfd >= 0 && c->pidfd_flags & CLONE_NEWUSER);
}

static int cannot_clone(const CloneSpec *c, int r, Error *reterr_error) {
        if (r == -EACCES && c->cgroup_fd >= 0)
                return error_set(reterr_error, r, "PermissionDenied",
                                 "Cannot begin in the container's cgroup: %m. Without privileges both this "
                                 "process and that cgroup must be in what has been delegated to the user, as "
                                 "in \"systemd-run --user --scope\".");
        if (r == -EPERM && !(c->flags & CLONE_NEWUSER))
                return error_set_errno(reterr_error, r,
                                       "Cannot make the container's namespaces: %m. Without privileges it "
                                       "takes a user namespace of its own.");
        if (r == -EPERM || (r == -ENOSPC && c->flags & CLONE_NEWUSER))
                return error_set_errno(
                                reterr_error, r,
                                "Cannot make the container's namespaces: %m. The host does not let this user have "
                                "user namespaces: see the sysctls %s.",
                                r == -ENOSPC ? "user.max_*_namespaces"
                                             : "kernel.unprivileged_userns_clone and "
                                               "kernel.apparmor_restrict_unprivileged_userns");
        if (r == -ENOMEM && joins_pid(c))
                return error_set(reterr_error, r, "InvalidState",
                                 "Cannot join the pid namespace: its first process has ended.");
        return error_set_errno(reterr_error, r, "Cannot make the container's namespaces: %m");
}

/* flags: which of the kinds. The user namespace comes first: it is what gives the right to the others. */
static int join(const CloneSpec *c, uint64_t flags, Error *reterr_error) {
        static const NamespaceType order[] = { NAMESPACE_USER, NAMESPACE_PID,     NAMESPACE_IPC,
                                               NAMESPACE_UTS,  NAMESPACE_NETWORK, NAMESPACE_CGROUP,
                                               NAMESPACE_TIME, NAMESPACE_MOUNT };

        if (c->pidfd >= 0 && (c->pidfd_flags & flags) != 0 &&
            setns(c->pidfd, (int) (c->pidfd_flags & flags)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot join the container's namespaces: %m");

        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                int fd = c->namespace_fds[order[i]];

                if (fd < 0 || !(namespace_clone_flag(order[i]) & flags))
                        continue;
                if (setns(fd, (int) namespace_clone_flag(order[i])) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot join the %s namespace: %m",
                                               namespace_type_to_string(order[i]));
        }
        return 0;
}

static bool needs_intermediate(const CloneSpec *c) {
        return joins_something(c) && (c->flags & CLONE_NEWUSER || joins_user(c) || joins_pid(c));
}

static void become_opaque(void) {
        (void) prctl(PR_SET_DUMPABLE, 0);
}

int clone_join(const CloneSpec *c, Error *reterr_error) {
        become_opaque();
        return join(c, ~(uint64_t) 0, reterr_error);
}

int clone_join_rest(const CloneSpec *c, Error *reterr_error) {
        int r;

        if (needs_intermediate(c))
                return 0;
        if (c->leave) {
                r = c->leave(c->userdata, reterr_error);
                if (r < 0)
                        return r;
        }
        if (!joins_something(c))
                return 0;
        become_opaque();
        return join(c, ~(uint64_t) CLONE_NEWPID, reterr_error);
}

/* What the intermediate process says before it ends. */
typedef struct Report {
        pid_t pid; /* or a negative errno */
        char sentence[1024];
} Report;

/* After that there is nothing of the host's but what is to be kept. */
static int close_others(const CloneSpec *c, int report_fd) {
        _cleanup_free_ int *kept = calloc(c->n_kept_fds + 1, sizeof(int));

        if (!kept)
                return -ENOMEM;
        if (c->n_kept_fds > 0)
                memcpy(kept, c->kept_fds, c->n_kept_fds * sizeof(int));
        kept[c->n_kept_fds] = report_fd;
        return close_all_fds_except(kept, c->n_kept_fds + 1);
}

static pid_t join_and_clone(const CloneSpec *c, int report_fd, Error *reterr_error) {
        /* This process is in the cgroup already. */
        CloneSpec child = { .flags = c->flags, .cgroup_fd = -EBADF };
        pid_t pid;
        int r;

        r = c->leave ? c->leave(c->userdata, reterr_error) : 0;
        if (r < 0)
                return r;
        r = clone_join(c, reterr_error);
        if (r < 0)
                return r;
        if (joins_user(c) && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
                return error_set_errno(reterr_error, -errno, "Cannot become root of the user namespace: %m");
        r = c->leave ? close_others(c, report_fd) : 0;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot close descriptors: %m");
        pid = do_clone(&child, true);
        return pid < 0 ? cannot_clone(c, pid, reterr_error) : pid;
}

/* Returns 0 in the container's process; does not return in the intermediate one. */
static int intermediate(const CloneSpec *c, int report_fd) {
        _cleanup_error_ Error e = ERROR_NULL;
        Report said = {};

        said.pid = join_and_clone(c, report_fd, &e);
        if (said.pid == 0) {
                safe_close(report_fd);
                return 0;
        }
        if (said.pid < 0)
                (void) snprintf(said.sentence, sizeof(said.sentence), "%s", error_message(&e));
        (void) write_full(report_fd, &said, sizeof(said));
        _exit(0);
}

static pid_t clone_by_intermediate(const CloneSpec *c, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        CloneSpec plain = CLONE_SPEC_INIT;
        Report said = {};
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a pipe: %m");

        /* The intermediate process is a sibling, too, if the container's is to be: CLONE_PARENT means the
         * same parent. */
        plain.cgroup_fd = c->cgroup_fd;
        pid = do_clone(&plain, c->sibling);
        if (pid < 0)
                return cannot_clone(&plain, pid, reterr_error);
        if (pid == 0) {
                pair[0] = safe_close(pair[0]);
                return intermediate(c, TAKE_FD(pair[1]));
        }

        pair[1] = safe_close(pair[1]);
        if (TEMP_FAILURE_RETRY(read(pair[0], &said, sizeof(said))) != sizeof(said))
                said = (Report){ .pid = -EIO,
                                 .sentence = "The process that joins namespaces ended early." };
        if (!c->sibling)
                (void) TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
        if (said.pid < 0)
                return error_set_errno(reterr_error, said.pid, "%s", said.sentence);
        return said.pid;
}

pid_t clone_process(const CloneSpec *c, Error *reterr_error) {
        pid_t pid;

        if (needs_intermediate(c))
                return clone_by_intermediate(c, reterr_error);
        pid = do_clone(c, c->sibling);
        return pid < 0 ? cannot_clone(c, pid, reterr_error) : pid;
}

int clone_take_pid_namespace(CloneSpec *c) {
        /* Out of a new user namespace there is no right to it. */
        return c->flags & CLONE_NEWUSER ? -EBADF : TAKE_FD(c->namespace_fds[NAMESPACE_PID]);
}

/* ---- a container that runs ---- */

/* Whether the container's namespace is another one than this process's: one's own user namespace cannot be
 * joined. */
static bool is_other_namespace(pid_t pid, const char *name) {
        struct stat own, other;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
        if (stat(path, &other) < 0)
                return false;
        (void) snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
        return stat(path, &own) < 0 || own.st_ino != other.st_ino || own.st_dev != other.st_dev;
}

int clone_join_container(CloneSpec *c, const ContainerState *state, const RuntimeSpec *spec,
                         Error *reterr_error) {
        uint64_t flags = 0;

        c->pidfd = state_pidfd(state);
        if (c->pidfd < 0)
                return error_set(reterr_error, c->pidfd, "InvalidState",
                                 "The process of the container \"%s\" is gone.", state->id);
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++)
                if (spec->namespaces[t].wanted)
                        flags |= namespace_clone_flag(t);
        if (flags & CLONE_NEWUSER && !is_other_namespace(state->pid, "user"))
                flags &= ~(uint64_t) CLONE_NEWUSER;
        c->pidfd_flags = flags;
        if (flags == 0)
                c->pidfd = safe_close(c->pidfd);
        return 0;
}

/* ---- maps ---- */

static char *map_text(const SpecIdMappings *m) {
        char *text = strdup("");

        for (size_t i = 0; text && i < m->n; i++) {
                char *longer = strformat("%s%u %u %u\n", text, m->mappings[i].container_id,
                                         m->mappings[i].host_id, m->mappings[i].size);

                free(text);
                text = longer;
        }
        return text;
}

static int write_proc(pid_t pid, const char *name, const char *text) {
        char path[64];

        (void) snprintf(path, sizeof(path), "%d/%s", pid, name);
        return proc_file_write(path, text);
}

/* newuidmap PID CONTAINER HOST SIZE … */
static int run_map_helper(const char *program, pid_t pid, const SpecIdMappings *m, Error *reterr_error) {
        _cleanup_strv_free_ char **args = NULL;
        pid_t helper;
        int r, status;

        r = strv_extend(&args, program);
        if (r >= 0)
                r = strv_extendf(&args, "%d", pid);
        for (size_t i = 0; r >= 0 && i < m->n; i++) {
                r = strv_extendf(&args, "%u", m->mappings[i].container_id);
                if (r >= 0)
                        r = strv_extendf(&args, "%u", m->mappings[i].host_id);
                if (r >= 0)
                        r = strv_extendf(&args, "%u", m->mappings[i].size);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory.");

        r = posix_spawnp(&helper, program, NULL, NULL, args, environ);
        if (r != 0)
                return error_set(
                                reterr_error, -r, "NotSupported",
                                "Mapping more than one's own id without privileges takes %s (package uidmap): "
                                "%s",
                                program, strerror(r));
        if (TEMP_FAILURE_RETRY(waitpid(helper, &status, 0)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot wait for %s: %m", program);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return error_set(
                                reterr_error, -EPERM, "PermissionDenied",
                                "%s refused the user namespace's mappings: see /etc/subuid and /etc/subgid.",
                                program);
        return 0;
}

/* Without mappings: for root all ids there are, as they are; for others their own as root's. */
static int default_map(const char *proc_name, uint32_t own, char **ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL, *path = NULL, *result = NULL;
        const char *line;
        int r;

        if (geteuid() != 0) {
                *ret = strformat("0 %u 1\n", own);
                return *ret ? 0 : -ENOMEM;
        }

        path = strjoin("/proc/self/", proc_name);
        result = strdup("");
        if (!path || !result)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = read_file_at(AT_FDCWD, path, 65536, &text, NULL);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read %s: %m", path);
        for (line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
                unsigned inside, outside, size;
                char *longer;

                if (sscanf(line, "%u %u %u", &inside, &outside, &size) != 3)
                        continue;
                longer = strformat("%s%u %u %u\n", result, inside, inside, size);
                if (!longer)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                free(result);
                result = longer;
        }
        *ret = TAKE_PTR(result);
        return 0;
}

static bool is_own_id(const SpecIdMappings *m, uint32_t id) {
        return m->n == 0 || (m->n == 1 && m->mappings[0].size == 1 && m->mappings[0].host_id == id);
}

static int write_map(pid_t pid, const char *name, const char *helper, const SpecIdMappings *m,
                     Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (m->n > 0)
                text = map_text(m);
        else {
                r = default_map(name, name[0] == 'u' ? geteuid() : getegid(), &text, reterr_error);
                if (r < 0)
                        return r;
        }
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = write_proc(pid, name, text);
        /* EINVAL: ranges overlap. The helper says it better, if it is not for somebody else's ids. */
        if ((r == -EPERM || r == -EINVAL) && geteuid() != 0 && m->n > 0)
                return run_map_helper(helper, pid, m, reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write the user namespace's %s: %m", name);
        return 0;
}

int user_namespace_write_maps(pid_t pid, const RuntimeSpec *spec, Error *reterr_error) {
        int r;

        /* user_namespaces(7): without privileges a group map may be written only where setgroups(2) is not
         * allowed. */
        if (geteuid() != 0 && is_own_id(&spec->gid_mappings, getegid())) {
                r = write_proc(pid, "setgroups", "deny");
                if (r < 0 && r != -ENOENT)
                        return error_set_errno(reterr_error, r, "Cannot forbid setgroups(2): %m");
        }
        r = write_map(pid, "gid_map", "newgidmap", &spec->gid_mappings, reterr_error);
        if (r < 0)
                return r;
        return write_map(pid, "uid_map", "newuidmap", &spec->uid_mappings, reterr_error);
}

/* ---- time ---- */

int time_namespace_enter(const RuntimeSpec *spec, Error *reterr_error) {
        _cleanup_close_ int offsets = -EBADF, ns = -EBADF;
        char line[96];
        int r, n;

        offsets = proc_file_open("self/timens_offsets", O_WRONLY);
        if (offsets < 0)
                return error_set_errno(reterr_error, offsets, "Cannot open /proc/self/timens_offsets: %m");
        for (TimeOffsetClock k = 0; k < _TIME_OFFSET_CLOCK_MAX; k++) {
                const SpecTimeOffset *o = &spec->time_offsets[k];

                if (!o->wanted)
                        continue;
                n = snprintf(line, sizeof(line), "%s %jd %u\n", time_offset_clock_to_string(k),
                             (intmax_t) o->secs, o->nanosecs);
                r = write_full(offsets, line, (size_t) n);
                if (r < 0)
                        return error_set(reterr_error, r, "InvalidArgument",
                                         "linux.timeOffsets: cannot set the %s clock off by %jd s: %m",
                                         time_offset_clock_to_string(k), (intmax_t) o->secs);
        }

        /* Only children would be in it otherwise: time_namespaces(7). */
        ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWTIME) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot enter the time namespace: %m");
        return 0;
}
