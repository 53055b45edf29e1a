/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container's cgroup as it is made: as directories, in a scope, or not at all. What is done with one that exists:
 * cgroup.c. */

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

/* Whether rules deny something that a process of this kind could do otherwise. An unprivileged one makes no
 * device nodes and opens those that are there with its user's permissions. */
static bool needs_device_program(const Creation *c) {
        return c->spec->resources && !c->rootless;
}

static int apply_devices(const Creation *c, int dir_fd, Error *reterr_error) {
        _cleanup_close_ int program = -EBADF;

        if (!needs_device_program(c))
                return 0;
        program = device_rules_load(c->spec->resources, reterr_error);
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
        program = device_rules_load(c->spec->resources, reterr_error);
        if (program < 0)
                return program == -ENOENT ? 0 : program;
        pin = device_program_pin_path(program_invocation_short_name, c->cgroup.scope);
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
