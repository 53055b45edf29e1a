/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-devices.h"
#include "runtime/cgroup-path.h"
#include "runtime/cgroup-scope.h"
#include "runtime/cgroup-tree.h"
#include "runtime/cgroup.h"
#include "runtime/spec-private.h"

void cgroup_done(Cgroup *c) {
        free(c->path);
        free(c->scope);
        free(c->init_path);
        *c = (Cgroup){};
}

/* The directory of the container's cgroup, or of init's. */
static int open_path(const char *path, int flags) {
        _cleanup_free_ char *full = NULL;

        if (!path)
                return -ENOENT;
        full = strjoin(CGROUP_ROOT, path);
        return full ? RET_NERRNO(open(full, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) : -ENOMEM;
}

static int open_dir(const Cgroup *c, Error *reterr_error) {
        int fd = open_path(c->path, O_RDONLY);

        if (fd == -ENOENT && !c->path)
                return error_set(reterr_error, fd, "NotSupported", "The container has no cgroup.");
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open cgroup \"%s\": %m", c->path);
        return fd;
}

int cgroup_open(const Cgroup *c) {
        return open_path(c->init_path ?: c->path, O_PATH);
}

static int move_error(int r, const char *path, Error *reterr_error) {
        if (r == -EBUSY)
                return error_set(
                                reterr_error, r, "Busy",
                                "Cgroup \"%s\" takes no processes: it gives controllers to cgroups below it.",
                                path);
        return error_set_errno(reterr_error, r, "Cannot move a process to cgroup \"%s\": %m", path);
}

int cgroup_attach_fd(int dir_fd, pid_t pid, Error *reterr_error) {
        int r = cgroup_move(dir_fd, pid);

        return r < 0 ? move_error(r, "of the container", reterr_error) : 0;
}

int cgroup_attach(const Cgroup *c, pid_t pid, Error *reterr_error) {
        const char *path = c->init_path ?: c->path;
        _cleanup_close_ int fd = cgroup_open(c);
        int r;

        if (!path)
                return 0;
        r = fd < 0 ? fd : cgroup_move(fd, pid);
        return r < 0 ? move_error(r, path, reterr_error) : 0;
}

int cgroup_open_exec(const Cgroup *c, const char *sub, pid_t init, Error *reterr_error) {
        _cleanup_free_ char *path = NULL, *given = NULL, *init_path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!isempty(sub)) {
                if (!c->path)
                        return error_set(reterr_error, -ENOENT, "NotSupported",
                                         "The container has no cgroup, so it has no \"%s\" below it.", sub);
                r = cgroup_path_join(c->path, sub, &path);
                if (r == -EINVAL)
                        return error_set(
                                        reterr_error, r, "InvalidArgument",
                                        "Cgroup \"%s\" is not below the container's: `..` components are not "
                                        "allowed.",
                                        sub);
                if (r < 0)
                        return spec_oom(reterr_error);
                fd = open_path(path, O_PATH);
                if (fd < 0)
                        return error_set_errno(reterr_error, fd,
                                               "Cannot open cgroup \"%s\" of the container: %m", sub);
                return TAKE_FD(fd);
        }

        fd = open_dir(c, reterr_error);
        if (fd < 0)
                return fd;
        /* With controllers given to cgroups below it takes processes no more. */
        if (cgroup_read(fd, "cgroup.subtree_control", &given) < 0 || isempty(given) ||
            cgroup_of_process(init, &init_path) < 0 || !path_is_normalized(init_path))
                return TAKE_FD(fd);
        if (startswith(init_path, c->path) && init_path[strlen(c->path)] == '/') {
                int below = open_path(init_path, O_PATH);

                if (below >= 0)
                        return below;
        }
        return TAKE_FD(fd);
}

/* Reads what is set for what is given in part. */
static void read_current(int dir_fd, CgroupCurrent *ret) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;

        *ret = CGROUP_CURRENT_NEW;
        (void) cgroup_read_number(dir_fd, "memory.max", &ret->memory_max);
        if (cgroup_read(dir_fd, "cpu.max", &text) < 0)
                return;
        words = strv_split(text, " ");
        if (words && words[0] && words[1]) {
                (void) parse_uint64(words[0], &ret->cpu_quota); /* "max" is none */
                (void) parse_uint64(words[1], &ret->cpu_period);
        }
}

static int check_usage(int dir_fd, const ResourceSpec *r, Error *reterr_error) {
        uint64_t usage;

        if (!r->memory_check_before_update || !r->memory_limit.set ||
            cgroup_read_number(dir_fd, "memory.current", &usage) < 0)
                return 0;
        if (usage > r->memory_limit.value)
                return error_set(reterr_error, -EBUSY, "Busy",
                                 "linux.resources.memory.limit: the container uses %ju bytes, more than the "
                                 "new limit of %ju.",
                                 (uintmax_t) usage, (uintmax_t) r->memory_limit.value);
        return 0;
}

/* Whether the scope is of the user's own service manager. */
static bool scope_is_users(const Cgroup *c) {
        return geteuid() != 0 || (c->path && strstr(c->path, "/user@"));
}

/* How much of path names the cgroup of the scope: what is above the container's with the unit's name, or
 * that itself. */
static size_t scope_path_length(const Cgroup *c) {
        size_t l = strlen(c->scope);

        for (const char *p = c->path; (p = strstr(p, c->scope)); p++)
                if (p > c->path && p[-1] == '/' && (p[l] == '/' || p[l] == 0))
                        return (size_t) (p - c->path) + l;
        return strlen(c->path);
}

/* The cgroup of the scope. NULL if there is none, or no memory. */
static char *scope_path(const Cgroup *c) {
        return c->path ? strndup(c->path, scope_path_length(c)) : NULL;
}

int cgroup_attach_by_manager(const Cgroup *c, const char *sub, pid_t pid, Error *reterr_error) {
        _cleanup_free_ char *path = NULL;
        const char *below;
        int r;

        if (!c->path || !c->scope)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "The container is in no scope of a service manager.");
        if (!isempty(sub)) {
                r = cgroup_path_join(c->path, sub, &path);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot use cgroup \"%s\": %m", sub);
        }
        below = (path ?: c->path) + scope_path_length(c);
        return scope_attach(c->scope, below, pid, scope_is_users(c), reterr_error);
}

static int update_devices(const Cgroup *c, int dir_fd, const ResourceSpec *r, Error *reterr_error) {
        _cleanup_close_ int program = -EBADF, scope_fd = -EBADF;
        _cleanup_free_ char *path = NULL;
        int target = dir_fd;

        if (r->n_devices == 0 || geteuid() != 0)
                return 0;
        if (c->scope) {
                path = scope_path(c);
                scope_fd = open_path(path, O_RDONLY);
                if (scope_fd < 0)
                        return error_set_errno(reterr_error, scope_fd, "Cannot open the cgroup of %s: %m",
                                               c->scope);
                target = scope_fd;
        }
        program = device_rules_load(r, reterr_error);
        if (program == -ENOENT)
                return device_program_detach(target) < 0
                                       ? error_set(reterr_error, -EIO, "Failed",
                                                   "Cannot take the BPF program of the devices away.")
                                       : 0;
        if (program < 0)
                return program;
        if (c->scope) {
                _cleanup_free_ char *pin = device_program_pin_path(program_invocation_short_name, c->scope);

                /* What the service manager puts in force if it does so again. */
                if (pin && access(pin, F_OK) >= 0)
                        (void) device_program_pin(program, pin);
        }
        return device_program_attach(program, target, reterr_error);
}

int cgroup_update(const Cgroup *c, const ResourceSpec *r, Error *reterr_error) {
        _cleanup_(scope_properties_done) ScopeProperties p = {};
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        _cleanup_close_ int fd = -EBADF, root_fd = -EBADF;
        CgroupCurrent current;
        int q;

        fd = open_dir(c, reterr_error);
        if (fd < 0)
                return fd;
        read_current(fd, &current);
        q = check_usage(fd, r, reterr_error);
        if (q < 0)
                return q;
        q = cgroup_writes_new(r, &current, &w, reterr_error);
        if (q < 0)
                return q;

        if (c->scope) {
                /* The manager knows nothing of a burst that is more than the new quota. */
                if (r->cpu_burst.set)
                        (void) cgroup_write(fd, "cpu.max.burst", "0");
                q = scope_properties_add_writes(&p, &w, reterr_error);
                if (q >= 0 && p.n > 0)
                        q = scope_set(c->scope, &p, scope_is_users(c), reterr_error);
                if (q < 0)
                        return q;
        } else {
                /* A controller may have become available, or have been taken away, since. */
                root_fd = w.n > 0 ? cgroup_root_open(NULL) : -EBADF;
                if (root_fd >= 0)
                        cgroup_give(root_fd, c->path, 0, NULL);
        }
        q = cgroup_apply(fd, c->path, &w, reterr_error);
        return q < 0 ? q : update_devices(c, fd, r, reterr_error);
}

int cgroup_freeze(const Cgroup *c, bool frozen, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_dir(c, reterr_error);
        if (fd < 0)
                return fd;
        r = cgroup_write(fd, "cgroup.freeze", frozen ? "1" : "0");
        if (r >= 0)
                r = cgroup_wait(fd, "frozen", frozen);
        if (r == -ETIMEDOUT && frozen) {
                (void) cgroup_write(fd, "cgroup.freeze", "0");
                return error_set(reterr_error, r, "TimedOut",
                                 "The container's processes did not freeze in time, so they run on: one of "
                                 "them waits in the kernel for something.");
        }
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot %s cgroup \"%s\": %m",
                                       frozen ? "freeze" : "thaw", c->path);
        return 0;
}

bool cgroup_is_frozen(const Cgroup *c) {
        _cleanup_close_ int fd = open_path(c->path, O_RDONLY);
        uint64_t v = 0;

        return fd >= 0 && cgroup_read_number(fd, "cgroup.freeze", &v) >= 0 && v == 1;
}

typedef struct Pids {
        pid_t *pids;
        size_t n;
} Pids;

static int collect_pids(int dir_fd, void *userdata) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        Pids *p = userdata;
        pid_t *larger;
        int r;

        r = cgroup_read(dir_fd, "cgroup.procs", &text);
        if (r == -EOPNOTSUPP) /* in a threaded cgroup: a process by the numbers of its threads */
                r = cgroup_read(dir_fd, "cgroup.threads", &text);
        if (r < 0)
                return r;
        words = strv_split(text, "\n");
        larger = words ? reallocarray(p->pids, p->n + strv_length(words) + 1, sizeof(pid_t)) : NULL;
        if (!larger)
                return -ENOMEM;
        p->pids = larger;
        STRV_FOREACH (word, words) {
                int pid;

                /* 0: not in our pid namespace */
                if (parse_int(word, &pid) >= 0 && pid > 0)
                        p->pids[p->n++] = pid;
        }
        return 0;
}

int cgroup_processes(const Cgroup *c, pid_t **ret, size_t *ret_n) {
        _cleanup_close_ int fd = open_path(c->path, O_RDONLY);
        Pids p = {};
        int r;

        r = fd < 0 ? fd : cgroup_foreach(fd, collect_pids, &p);
        if (r < 0) {
                free(p.pids);
                return r;
        }
        *ret = p.pids;
        *ret_n = p.n;
        return 0;
}

static int signal_all(const Cgroup *c, int signo, size_t *ret_n) {
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r;

        r = cgroup_processes(c, &pids, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (kill(pids[i], signo) < 0 && errno != ESRCH && r >= 0)
                        r = -errno;
        *ret_n = n;
        return r;
}

int cgroup_kill(const Cgroup *c, int signo, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        bool froze = false;
        size_t n = 0;
        int r;

        fd = open_dir(c, c->path ? NULL : reterr_error);
        if (fd == -ENOENT && c->path)
                return 0; /* gone with its processes */
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open cgroup \"%s\": %m", strempty(c->path));
        /* Since Linux 5.14, at once and with what is forked meanwhile. */
        if (signo == SIGKILL && cgroup_write(fd, "cgroup.kill", "1") >= 0)
                return 0;

        /* Frozen processes do not fork, and do not end so that another one gets the number. */
        if (!cgroup_is_frozen(c))
                froze = cgroup_freeze(c, true, NULL) >= 0;
        r = signal_all(c, signo, &n);
        /* Without a freezer: until there is none left that was forked meanwhile. */
        for (unsigned i = 0; i < 64 && signo == SIGKILL && !froze && r >= 0 && n > 0; i++)
                r = signal_all(c, signo, &n);
        if (froze)
                (void) cgroup_write(fd, "cgroup.freeze", "0");
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot signal the processes of cgroup \"%s\": %m",
                                       c->path)
                     : 0;
}

/* Kills all that is in the cgroup and waits until they are gone. */
static int empty_cgroup(const Cgroup *c, int dir_fd, Error *reterr_error) {
        uint64_t populated = 1;
        int r;

        if (cgroup_read_key(dir_fd, "cgroup.events", "populated", &populated) >= 0 && !populated)
                return 0;
        r = cgroup_kill(c, SIGKILL, reterr_error);
        if (r < 0)
                return r;
        r = cgroup_wait(dir_fd, "populated", 0);
        if (r == -ETIMEDOUT)
                return error_set(
                                reterr_error, r, "TimedOut",
                                "Processes in cgroup \"%s\" do not end although they were killed: they wait in "
                                "the kernel for something.",
                                c->path);
        return 0; /* what else there may be is that it has gone */
}

static int remove_directories(const Cgroup *c, Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *full = NULL;
        int r;

        /* As a rule it is empty. */
        full = strjoin(CGROUP_ROOT, c->path);
        if (!full)
                return spec_oom(reterr_error);
        if (rmdir(full) >= 0 || errno == ENOENT)
                return 0;
        root_fd = cgroup_root_open(NULL);
        if (root_fd < 0)
                return 0;
        r = fd = cgroup_dir_open(root_fd, c->path);
        if (r >= 0)
                r = empty_cgroup(c, fd, reterr_error);
        if (r >= 0)
                r = cgroup_remove_tree(root_fd, c->path);
        if (r < 0 && r != -ENOENT && r != -ENODEV)
                return error_set_errno(reterr_error, r, "Cannot remove cgroup \"%s\": %m", c->path);
        return 0;
}

void cgroup_remove_pins(const char *scope) {
        /* Under whatever name it was created. */
        const char *const programs[] = { program_invocation_short_name, "mooring" };

        for (size_t i = 0; i < ELEMENTSOF(programs); i++) {
                _cleanup_free_ char *pin = device_program_pin_path(programs[i], scope);

                if (pin)
                        (void) unlink(pin);
        }
}

/* The service manager would see by itself that the scope is empty, but the kernel tells it that up to 10 ms
 * late, and the name is to be free when this returns. */
static int remove_scope(const Cgroup *c, Error *reterr_error) {
        Cgroup all = { .manager = c->manager, .path = scope_path(c), .scope = c->scope };
        _cleanup_free_ char *path = all.path;
        _cleanup_close_ int fd = open_path(path, O_RDONLY);
        int r, q;

        cgroup_remove_pins(c->scope);
        r = fd < 0 ? 0 : empty_cgroup(&all, fd, reterr_error);
        if (r < 0)
                return r;
        q = scope_stop(c->scope, scope_is_users(c), reterr_error);
        r = path ? remove_directories(&all, q < 0 ? NULL : reterr_error) : 0;
        return q < 0 ? q : r;
}

int cgroup_remove(const Cgroup *c, Error *reterr_error) {
        if (c->scope)
                return remove_scope(c, reterr_error);
        return c->path ? remove_directories(c, reterr_error) : 0;
}
