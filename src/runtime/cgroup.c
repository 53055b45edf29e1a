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

/* Below it a directory of the program's name: under another name, another one. */
#define BPF_PIN_DIR "/sys/fs/bpf/"

void cgroup_done(Cgroup *c) {
        free(c->path);
        free(c->scope);
        free(c->init_path);
        *c = (Cgroup){};
}

/* A container whose creation is under way. */
typedef struct Creation {
        const RuntimeSpec *spec;
        const char *id;
        pid_t pid;
        bool rootless;
        int root_fd;
        CgroupMade made; /* with CGROUP_MANAGER_CGROUPFS */
        char *pin;       /* of the program of devices */
        Cgroup cgroup;
} Creation;

static void creation_done(Creation *c) {
        safe_close(c->root_fd);
        cgroup_made_done(&c->made);
        free(c->pin);
        cgroup_done(&c->cgroup);
}

static bool denies_devices(const ResourceSpec *r) {
        const DeviceRule *last = r->n_devices > 0 ? &r->devices[r->n_devices - 1] : NULL;

        return last && !(last->allow && device_rule_is_for_all(last));
}

/* Whether somebody asked for what needs a cgroup. */
static bool cgroup_is_needed(const Creation *c) {
        const ResourceSpec *r = c->spec->resources;

        return !isempty(c->spec->cgroups_path) ||
               runtime_spec_annotation(c->spec, ANNOTATION_DELEGATE_CGROUP) ||
               (r && (resource_spec_first_limit(r) || (denies_devices(r) && !c->rootless)));
}

static char *bpf_pin_path(const char *program, const char *scope) {
        char *path = strjoin(BPF_PIN_DIR, program, "/", scope);

        /* A bpf file system has no dots in names. */
        for (char *p = path ? path + strlen(BPF_PIN_DIR) : NULL; p && *p; p++)
                if (*p == '.' || *p == '\\')
                        *p = '_';
        return path;
}

/* Whether rules deny something that a process of this kind could do otherwise. An unprivileged one makes no
 * device nodes and opens those that are there with its user's permissions. */
static bool needs_device_program(const Creation *c) {
        return c->spec->resources && !c->rootless;
}

/* Loads the program for the rules. Descriptor; -ENOENT if none is needed or, with nothing asked for, none
 * can be had. */
static int load_devices(const ResourceSpec *r, Error *reterr_error) {
        _cleanup_(device_program_done) DeviceProgram p = {};
        int fd;

        if (device_program_new(r->devices, r->n_devices, &p) < 0)
                return spec_oom(reterr_error);
        if (p.allows_all)
                return -ENOENT;
        if (r->n_devices > 0)
                return device_program_load(&p, reterr_error);
        fd = device_program_load(&p, NULL);
        return fd < 0 ? -ENOENT : fd;
}

static int apply_devices(const Creation *c, int dir_fd, Error *reterr_error) {
        _cleanup_close_ int program = -EBADF;

        if (!needs_device_program(c))
                return 0;
        program = load_devices(c->spec->resources, reterr_error);
        if (program == -ENOENT)
                return 0;
        return program < 0 ? program : device_program_attach(program, dir_fd, reterr_error);
}

static int apply_files(const Creation *c, int dir_fd, Error *reterr_error) {
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        int r;

        if (!c->spec->resources)
                return 0;
        r = cgroup_writes_new(c->spec->resources, &CGROUP_CURRENT_NEW, &w, reterr_error);
        return r < 0 ? r : cgroup_apply(dir_fd, c->cgroup.path, &w, reterr_error);
}

/* The user of the container's process gets the cgroup where it can be written to: config-linux.md, "Cgroup
 * ownership". */
static int apply_owner(const Creation *c, int dir_fd, bool always, Error *reterr_error) {
        uid_t uid;
        int r;

        if (!cgroup_owner_from_spec(c->spec, always, &uid) || uid == geteuid())
                return 0;
        r = cgroup_chown(dir_fd, uid);
        if (r < 0 && !(c->rootless && r == -EPERM))
                return error_set_errno(reterr_error, r, "Cannot give cgroup \"%s\" to user %u: %m",
                                       c->cgroup.path, uid);
        return 0;
}

/* Makes the cgroup below the container's in which init begins, if there is to be one. */
static int make_init_cgroup(Creation *c, int dir_fd, Error *reterr_error) {
        const char *below = runtime_spec_annotation(c->spec, ANNOTATION_DELEGATE_CGROUP), *relative;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (isempty(below))
                return 0;
        r = cgroup_path_join(c->cgroup.path, below, &c->cgroup.init_path);
        if (r == -EINVAL)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "Annotation " ANNOTATION_DELEGATE_CGROUP
                                 ": \"%s\" is not a path below the container's cgroup.",
                                 below);
        if (r < 0)
                return spec_oom(reterr_error);

        relative = c->cgroup.init_path + strlen(c->cgroup.path) + 1;
        r = mkdirat_p(dir_fd, relative, 0755);
        if (r >= 0)
                r = fd = cgroup_dir_open(dir_fd, relative);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make cgroup \"%s\": %m",
                                       c->cgroup.init_path);
        return apply_owner(c, fd, true, reterr_error);
}

static int move_error(int r, const char *path, Error *reterr_error) {
        if (r == -EBUSY)
                return error_set(
                                reterr_error, r, "Busy",
                                "Cgroup \"%s\" takes no processes: it gives controllers to cgroups below it.",
                                path);
        return error_set_errno(reterr_error, r, "Cannot move a process to cgroup \"%s\": %m", path);
}

/* Somebody else's processes would be killed with the container, and its limits be theirs. */
static int check_unused(const Creation *c, int dir_fd, Error *reterr_error) {
        uint64_t populated = 0;

        if (c->made.first != SIZE_MAX)
                return 0;
        if (cgroup_read_key(dir_fd, "cgroup.events", "populated", &populated) >= 0 && populated)
                return error_set(reterr_error, -EBUSY, "Busy",
                                 "Cgroup \"%s\" has processes: set linux.cgroupsPath to one of the "
                                 "container's own.",
                                 c->cgroup.path);
        (void) cgroup_write(dir_fd, "cgroup.freeze", "0");
        return 0;
}

static int fill_fs(Creation *c, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = cgroup_dir_open(c->root_fd, c->cgroup.path);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open cgroup \"%s\": %m", c->cgroup.path);
        r = check_unused(c, fd, reterr_error);
        if (r < 0)
                return r;
        if (!isempty(c->spec->cgroups_path))
                /* Below a threaded one nothing else is possible; no process can be born in it before. */
                cgroup_make_valid(fd);
        r = apply_files(c, fd, reterr_error);
        if (r < 0)
                return r;
        r = apply_devices(c, fd, reterr_error);
        if (r < 0)
                return r;
        r = apply_owner(c, fd, false, reterr_error);
        if (r < 0)
                return r;
        r = make_init_cgroup(c, fd, reterr_error);
        if (r >= 0 && c->pid > 0)
                r = cgroup_attach(&c->cgroup, c->pid, reterr_error);
        if (r >= 0 && c->cgroup.init_path)
                cgroup_give(c->root_fd, c->cgroup.init_path, strlen(c->cgroup.path), NULL);
        return r;
}

/* Makes the directories where they are to be, or, if that cannot be and nobody said where, elsewhere. */
static int make_fs(Creation *c, Error *reterr_error) {
        _cleanup_strv_free_ char **others = NULL;
        int r;

        r = cgroup_place(c->spec->cgroups_path, c->id, &c->cgroup.path, reterr_error);
        if (r < 0)
                return r;
        r = cgroup_make(c->root_fd, c->cgroup.path, &c->made);
        if (r >= 0)
                return 0;

        if (isempty(c->spec->cgroups_path))
                (void) cgroup_other_places(c->id, &others);
        STRV_FOREACH (place, others)
                if (cgroup_make(c->root_fd, place, &c->made) >= 0)
                        return free_and_strdup(&c->cgroup.path, place) < 0 ? spec_oom(reterr_error) : 0;
        return error_set_errno(
                        reterr_error, r, "Cannot make cgroup \"%s\": %m%s", c->cgroup.path,
                        r == -EACCES && geteuid() != 0
                                        ? ": without privileges there is one only in what has been delegated "
                                          "to the user, as in \"systemd-run --user -p Delegate=yes\", or by "
                                          "--systemd-cgroup."
                                        : "");
}

static int create_fs(Creation *c, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = c->root_fd = cgroup_root_open(&e);
        if (r >= 0)
                r = make_fs(c, &e);
        if (r < 0) {
                bool denied = r == -EACCES || r == -EPERM || r == -EROFS;

                if (cgroup_is_needed(c) || (r != -ENOENT && !denied && !(c->rootless && r == -EOPNOTSUPP)))
                        return error_move(reterr_error, &e);
                cgroup_done(&c->cgroup);
                c->cgroup.manager = CGROUP_MANAGER_DISABLED;
                return 0;
        }

        r = fill_fs(c, reterr_error);
        if (r < 0 && c->made.first != SIZE_MAX) {
                (void) cgroup_remove_tree(c->root_fd, c->cgroup.path);
                cgroup_unmake(c->root_fd, &c->made);
        }
        return r;
}

/* Shows the service manager the program, where there is a bpf file system: `systemctl show` says that there
 * is one. */
static int add_device_program(Creation *c, ScopeProperties *p, Error *reterr_error) {
        _cleanup_close_ int program = -EBADF;
        _cleanup_free_ char *pin = NULL;
        int r;

        if (!needs_device_program(c))
                return 0;
        program = load_devices(c->spec->resources, reterr_error);
        if (program < 0)
                return program == -ENOENT ? 0 : program;
        pin = bpf_pin_path(program_invocation_short_name, c->cgroup.scope);
        if (!pin)
                return spec_oom(reterr_error);
        r = device_program_pin(program, pin);
        if (r == -EOPNOTSUPP)
                return 0;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot pin a BPF program at \"%s\": %m", pin);
        c->pin = TAKE_PTR(pin);
        return scope_properties_add(p, "BPFProgram", "a(ss)", "device", c->pin, NULL) < 0
                               ? spec_oom(reterr_error)
                               : 0;
}

static int add_scope_properties(Creation *c, const char *slice, const CgroupWrites *w, ScopeProperties *p,
                                Error *reterr_error) {
        static const char *const yes[] = { "Delegate",     "CPUAccounting",   "MemoryAccounting",
                                           "IOAccounting", "TasksAccounting", NULL };
        _cleanup_free_ char *description = strjoin("OCI container ", c->id);
        char pid[16];
        int r;

        (void) snprintf(pid, sizeof(pid), "%d", c->pid);
        r = description ? scope_properties_add(p, "Description", "s", description, NULL) : -ENOMEM;
        if (r >= 0)
                r = scope_properties_add(p, "Slice", "s", slice, NULL);
        if (r >= 0)
                r = scope_properties_add(p, "PIDs", "au", pid, NULL);
        /* Who runs containers stops them at shutdown; not the service manager before that. */
        if (r >= 0)
                r = scope_properties_add(p, "DefaultDependencies", "b", "false", NULL);
        /* A scope whose processes were killed for want of memory is not to stay. */
        if (r >= 0)
                r = scope_properties_add(p, "CollectMode", "s", "inactive-or-failed", NULL);
        for (size_t i = 0; yes[i] && r >= 0; i++)
                r = scope_properties_add(p, yes[i], "b", "true", NULL);
        if (r < 0)
                return spec_oom(reterr_error);

        r = scope_properties_add_writes(p, w, reterr_error);
        if (r < 0)
                return r;
        r = add_device_program(c, p, reterr_error);
        if (r < 0)
                return r;
        return scope_properties_add_annotations(p, c->spec->annotations, c->spec->n_annotations,
                                                reterr_error);
}

/* The container's cgroup is the scope's, or, if an annotation says so, one below it. */
static int find_scope_cgroup(Creation *c, char **ret_scope_path, Error *reterr_error) {
        const char *below = runtime_spec_annotation(c->spec, ANNOTATION_SYSTEMD_SUBGROUP);
        _cleanup_free_ char *path = NULL;
        int r;

        r = cgroup_of_process(c->pid, &path);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the cgroup of process %d: %m", c->pid);
        if (!path_is_normalized(path) || streq(path, "/"))
                return error_set(reterr_error, -ESRCH, "Failed",
                                 "Process %d is in cgroup \"%s\" instead of that of %s.", c->pid, path,
                                 c->cgroup.scope);
        if (isempty(below)) {
                c->cgroup.path = strdup(path);
                if (!c->cgroup.path)
                        return spec_oom(reterr_error);
        } else {
                r = cgroup_path_join(path, below, &c->cgroup.path);
                if (r < 0)
                        return error_set(reterr_error, r, "InvalidArgument",
                                         "Annotation " ANNOTATION_SYSTEMD_SUBGROUP
                                         ": \"%s\" is not a path below the scope's cgroup.",
                                         below);
        }
        *ret_scope_path = TAKE_PTR(path);
        return 0;
}

/* Moves the container's process to its place in the scope, and gives the controllers down to there: in that
 * order, as a cgroup with processes gives none. */
static int enter_scope(Creation *c, int scope_fd, const char *scope_path, Error *reterr_error) {
        const char *relative = c->cgroup.path + strlen(scope_path);
        int r;

        if (!*relative)
                return 0;
        r = mkdirat_p(scope_fd, relative + 1, 0755);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make cgroup \"%s\": %m", c->cgroup.path);
        r = cgroup_attach(&c->cgroup, c->pid, reterr_error);
        if (r >= 0)
                cgroup_give(c->root_fd, c->cgroup.path, strlen(scope_path), NULL);
        return r;
}

/* Files of controllers that the service manager does not know (hugetlb, rdma, …) are there only if these are
 * given to the scope behind its back. */
static int apply_files_in_scope(Creation *c, int dir_fd, const CgroupWrites *w, Error *reterr_error) {
        for (size_t i = 0; i < w->n; i++) {
                char controller[CONTROLLER_NAME_MAX];

                if (cgroup_lacks_controller(dir_fd, w->writes[i].file))
                        cgroup_give(c->root_fd, c->cgroup.path, 0,
                                    cgroup_file_controller(w->writes[i].file, controller));
        }
        return cgroup_apply(dir_fd, c->cgroup.path, w, reterr_error);
}

static int fill_scope(Creation *c, const CgroupWrites *w, Error *reterr_error) {
        _cleanup_close_ int scope_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *scope_path = NULL;
        int r;

        r = find_scope_cgroup(c, &scope_path, reterr_error);
        if (r < 0)
                return r;
        scope_fd = cgroup_dir_open(c->root_fd, scope_path);
        if (scope_fd < 0)
                return error_set_errno(reterr_error, scope_fd, "Cannot open cgroup \"%s\": %m", scope_path);
        /* In place of the one that the service manager has put in force from the pin: what is its own it
         * takes away when it reloads (seen with 257), and all devices could be used. */
        r = apply_devices(c, scope_fd, reterr_error);
        if (r < 0)
                return r;
        r = enter_scope(c, scope_fd, scope_path, reterr_error);
        if (r < 0)
                return r;

        fd = cgroup_dir_open(c->root_fd, c->cgroup.path);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open cgroup \"%s\": %m", c->cgroup.path);
        r = apply_files_in_scope(c, fd, w, reterr_error);
        if (r < 0)
                return r;
        r = apply_owner(c, fd, false, reterr_error);
        if (r >= 0)
                r = make_init_cgroup(c, fd, reterr_error);
        if (r < 0 || !c->cgroup.init_path)
                return r;
        r = cgroup_attach(&c->cgroup, c->pid, reterr_error);
        if (r >= 0)
                cgroup_give(c->root_fd, c->cgroup.init_path, strlen(c->cgroup.path), NULL);
        return r;
}

static int create_scope(Creation *c, Error *reterr_error) {
        _cleanup_(scope_properties_done) ScopeProperties p = {};
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        _cleanup_free_ char *slice = NULL;
        int r;

        r = c->root_fd = cgroup_root_open(reterr_error);
        if (r < 0)
                return r;
        r = scope_names(c->spec->cgroups_path, c->id, c->rootless, &c->cgroup.scope, &slice, reterr_error);
        if (r >= 0 && c->spec->resources)
                r = cgroup_writes_new(c->spec->resources, &CGROUP_CURRENT_NEW, &w, reterr_error);
        if (r >= 0)
                r = add_scope_properties(c, slice, &w, &p, reterr_error);
        if (r >= 0)
                r = scope_start(c->cgroup.scope, &p, c->rootless, reterr_error);
        if (r >= 0) {
                r = fill_scope(c, &w, reterr_error);
                if (r < 0) {
                        /* The first process of a pid namespace does not mind a polite signal. */
                        (void) kill(c->pid, SIGKILL);
                        (void) scope_stop(c->cgroup.scope, c->rootless, NULL);
                }
        }
        if (r < 0 && c->pin)
                (void) unlink(c->pin);
        return r;
}

/* Rules of devices are taken: who disables cgroups knows that there is nobody to enforce them. */
static int create_none(Creation *c, Error *reterr_error) {
        const char *limit = c->spec->resources ? resource_spec_first_limit(c->spec->resources) : NULL;

        if (limit)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "linux.resources.%s needs a cgroup, and --cgroup-manager=disabled was given.",
                                limit);
        return 0;
}

int cgroup_create(CgroupManager manager, const RuntimeSpec *spec, const char *id, pid_t pid, bool rootless,
                  Cgroup *ret, Error *reterr_error) {
        _cleanup_(creation_done) Creation c = {
                .spec = spec,
                .id = id,
                .pid = pid,
                .rootless = rootless,
                .root_fd = -EBADF,
                .made.first = SIZE_MAX,
                .cgroup.manager = manager,
        };
        int r;

        assert(pid > 0 || manager != CGROUP_MANAGER_SYSTEMD);
        switch (manager) {
        case CGROUP_MANAGER_SYSTEMD:
                r = create_scope(&c, reterr_error);
                break;
        case CGROUP_MANAGER_CGROUPFS:
                r = create_fs(&c, reterr_error);
                break;
        default:
                r = create_none(&c, reterr_error);
        }
        if (r < 0)
                return r;

        *ret = c.cgroup;
        c.cgroup = (Cgroup){};
        return 0;
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
        program = load_devices(r, reterr_error);
        if (program == -ENOENT)
                return device_program_detach(target) < 0
                                       ? error_set(reterr_error, -EIO, "Failed",
                                                   "Cannot take the BPF program of the devices away.")
                                       : 0;
        if (program < 0)
                return program;
        if (c->scope) {
                _cleanup_free_ char *pin = bpf_pin_path(program_invocation_short_name, c->scope);

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
                _cleanup_free_ char *pin = bpf_pin_path(programs[i], scope);

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
