/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* restore: makes a container again of what checkpoint has written, by CRIU.
 *
 * CRIU is started in the container's cgroup and makes the processes as children of this one, in namespaces
 * of their own or in those that the specification names. The root must be a mount, for which CRIU gets a
 * mount namespace of its own: on the host nobody sees it. */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/container.h"
#include "runtime/criu.h"
#include "runtime/foreground.h"
#include "runtime/hooks.h"
#include "runtime/prepare.h"
#include "runtime/report.h"
#include "runtime/resctrl.h"
#include "runtime/spec-private.h"
#include "runtime/terminal.h"

#define LOG_RESTORE "restore.log"
#define ROOT_DIR "criu-root" /* in the state's directory: where the root is mounted for CRIU */
#define DESCRIPTORS_SIZE_MAX (64U * 1024U)

enum {
        OPTION_CONSOLE_SOCKET = _OPTION_CRIU_END,
        OPTION_PID_FILE,
        OPTION_IGNORED,
};

typedef struct Restore {
        const GlobalOptions *g;
        CriuOptions options;
        const char *id;
        const char *bundle;
        const char *console_socket;
        const char *pid_file;
        bool detach;
        bool has_resctrl;

        char *criu;
        RuntimeSpec *spec;
        char *text; /* of the specification */
        size_t text_size;
        Container container;
        Cgroup cgroup;
        Foreground foreground;
        int image_fd;
        int work_fd;
        int rootfs_fd;
        int network_fd; /* namespaces to be restored into */
        int pid_fd;
        int console_fd;
} Restore;

static void restore_done(Restore *r) {
        criu_options_done(&r->options);
        free(r->criu);
        runtime_spec_free(r->spec);
        free(r->text);
        container_done(&r->container);
        cgroup_done(&r->cgroup);
        foreground_done(&r->foreground);
        safe_close(r->image_fd);
        safe_close(r->work_fd);
        safe_close(r->rootfs_fd);
        safe_close(r->network_fd);
        safe_close(r->pid_fd);
        safe_close(r->console_fd);
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int take_option(Restore *r, int c, Error *reterr_error) {
        switch (c) {
        case 'b':
                r->bundle = optarg;
                return 0;
        case 'd':
                r->detach = true;
                return 0;
        case OPTION_CONSOLE_SOCKET:
                r->console_socket = optarg;
                return 0;
        case OPTION_PID_FILE:
                r->pid_file = optarg;
                return 0;
        case OPTION_IGNORED:
                return 0;
        default:
                return criu_take_option(&r->options, c, reterr_error);
        }
}

static int parse(Restore *r, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "bundle", required_argument, NULL, 'b' },
                { "detach", no_argument, NULL, 'd' },
                { "console-socket", required_argument, NULL, OPTION_CONSOLE_SOCKET },
                { "pid-file", required_argument, NULL, OPTION_PID_FILE },
                /* CRIU makes the root, and who is a subreaper is not its business. */
                { "no-pivot", no_argument, NULL, OPTION_IGNORED },
                { "no-subreaper", no_argument, NULL, OPTION_IGNORED },
                { "image-path", required_argument, NULL, OPTION_IMAGE_PATH },
                { "work-path", required_argument, NULL, OPTION_WORK_PATH },
                { "tcp-established", no_argument, NULL, OPTION_TCP_ESTABLISHED },
                { "tcp-close", no_argument, NULL, OPTION_TCP_CLOSE },
                { "ext-unix-sk", no_argument, NULL, OPTION_EXT_UNIX_SK },
                { "shell-job", no_argument, NULL, OPTION_SHELL_JOB },
                { "lazy-pages", no_argument, NULL, OPTION_LAZY_PAGES },
                { "file-locks", no_argument, NULL, OPTION_FILE_LOCKS },
                { "manage-cgroups-mode", required_argument, NULL, OPTION_MANAGE_CGROUPS_MODE },
                { "network-lock", required_argument, NULL, OPTION_NETWORK_LOCK },
                { "empty-ns", required_argument, NULL, OPTION_EMPTY_NS },
                { "auto-dedup", no_argument, NULL, OPTION_AUTO_DEDUP },
                { "lsm-profile", required_argument, NULL, OPTION_LSM_PROFILE },
                { "lsm-mount-context", required_argument, NULL, OPTION_LSM_MOUNT_CONTEXT },
                {},
        };
        int c, k;

        while ((c = command_option(argc, argv, "+:hb:d", options, reterr_error)) > 0) {
                k = take_option(r, c, reterr_error);
                if (k < 0)
                        return k;
        }
        k = c < 0 ? c : command_check_arguments(argc, argv, 1, 1, reterr_error);
        if (k < 0)
                return k;
        r->id = argv[optind];
        return 0;
}

/* What can be refused by looking */

static int open_namespace(const SpecNamespace *n, int *ret, Error *reterr_error) {
        if (!n->path)
                return 0;
        *ret = open(n->path, O_RDONLY | O_CLOEXEC);
        if (*ret < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the namespace \"%s\": %m",
                                       n->path);
        return 0;
}

static int read_bundle(Restore *r, Error *reterr_error) {
        ContainerState *s = &r->container.state;
        _cleanup_free_ char *config = NULL, *root = NULL;
        int k;

        s->bundle = realpath(r->bundle, NULL);
        if (!s->bundle)
                return error_set_errno(reterr_error, -errno, "Cannot find the bundle \"%s\": %m", r->bundle);
        config = path_join(s->bundle, "config.json");
        if (!config)
                return oom(reterr_error);
        k = runtime_spec_read(config, &r->spec, &r->text, &r->text_size, reterr_error);
        if (k < 0)
                return k;

        if (isempty(r->spec->root_path))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "root.path is missing.");
        root = r->spec->root_path[0] == '/' ? strdup(r->spec->root_path)
                                            : path_join(s->bundle, r->spec->root_path);
        s->rootfs = root ? realpath(root, NULL) : NULL;
        if (!s->rootfs)
                return error_set_errno(reterr_error, root ? -errno : -ENOMEM,
                                       "Cannot find the root \"%s\": %m", strempty(root));
        r->rootfs_fd = open(s->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (r->rootfs_fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the root \"%s\": %m", s->rootfs);
        return 0;
}

static int fill_state(Restore *r, Error *reterr_error) {
        ContainerState *s = &r->container.state;
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        s->created_usec = (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
        s->detached = r->detach;
        s->systemd_cgroup = r->g->cgroup_manager == CGROUP_MANAGER_SYSTEMD;
        s->external_descriptors = state_describe_descriptors();
        if (!s->external_descriptors || free_and_strdup(&s->id, r->id) < 0 ||
            free_and_strdup(&s->oci_version, r->spec->oci_version) < 0 ||
            spec_copy_pairs(r->spec->annotations, r->spec->n_annotations, &s->annotations,
                            &s->n_annotations) < 0)
                return oom(reterr_error);
        return 0;
}

static int prepare(Restore *r, Error *reterr_error) {
        int k;

        k = criu_find(r->g, &r->criu, reterr_error);
        if (k >= 0)
                k = state_check_id(r->id, reterr_error);
        if (k >= 0)
                k = criu_open_directories(&r->options, false, &r->image_fd, &r->work_fd, reterr_error);
        if (k >= 0)
                k = read_bundle(r, reterr_error);
        if (k >= 0)
                k = open_namespace(&r->spec->namespaces[NAMESPACE_NETWORK], &r->network_fd, reterr_error);
        if (k >= 0)
                k = open_namespace(&r->spec->namespaces[NAMESPACE_PID], &r->pid_fd, reterr_error);
        if (k < 0)
                return k;
        if (r->console_socket) {
                r->console_fd = unix_connect(r->console_socket, "the console socket", reterr_error);
                if (r->console_fd < 0)
                        return r->console_fd;
        }
        return fill_state(r, reterr_error);
}

/* Places for mounts */

static int make_place(int root_fd, const char *destination, bool file) {
        _cleanup_strv_free_ char **parts = strv_split(destination, "/");
        _cleanup_close_ int dir = open_in_root(root_fd, "/", O_PATH | O_DIRECTORY, 0);
        _cleanup_free_ char *path = strdup("");

        if (dir < 0)
                return dir;
        STRV_FOREACH (part, parts) {
                bool last = !part_i_[1];
                char *longer = path ? strjoin(path, "/", part) : NULL;
                int fd;

                if (!longer)
                        return -ENOMEM;
                free(path);
                path = longer;

                fd = open_in_root(root_fd, path, O_PATH, 0);
                if (fd == -ENOENT) {
                        int made = last && file ? mknodat(dir, part, S_IFREG | 0644, 0)
                                                : mkdirat(dir, part, 0755);

                        if (made < 0)
                                return -errno;
                        fd = open_in_root(root_fd, path, O_PATH, 0);
                }
                if (fd < 0)
                        return fd;
                safe_close(dir);
                dir = fd;
        }
        return 0;
}

/* Whether it is on a mount of the container's own, which CRIU fills. */
static bool is_below_other(const RuntimeSpec *spec, const char *destination) {
        for (size_t i = 0; i < spec->n_mounts; i++) {
                const char *rest = startswith(destination, spec->mounts[i].destination);

                if (rest && rest[0] == '/' && rest[1])
                        return true;
        }
        return false;
}

/* A root that has just been unpacked here may lack what a first start has made. */
static int make_places(const Restore *r, Error *reterr_error) {
        for (size_t i = 0; i < r->spec->n_mounts; i++) {
                const SpecMount *m = &r->spec->mounts[i];
                struct stat st;
                bool file;
                int k;

                if (is_below_other(r->spec, m->destination))
                        continue;
                file = m->source && m->source[0] == '/' && stat(m->source, &st) >= 0 && !S_ISDIR(st.st_mode);
                k = make_place(r->rootfs_fd, m->destination, file);
                if (k < 0)
                        return error_set_errno(reterr_error, k,
                                               "Cannot make the place of the mount \"%s\": %m",
                                               m->destination);
        }
        return 0;
}

/* What CRIU is told */

static void write_inherited(ProtoWriter *w, const char *key, int fd) {
        _cleanup_(proto_writer_done) ProtoWriter m = {};

        proto_write_string(&m, 1, key);
        proto_write_int(&m, 2, fd);
        proto_write_message(w, CRIU_OPTS_INHERIT_FD, &m);
}

/* Pipes that were the container's 0, 1 and 2 become ours. */
static int write_descriptors(const Restore *r, ProtoWriter *w, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *a = NULL;
        json_t *v;
        size_t i;
        int k;

        k = read_file_at(r->image_fd, CRIU_DESCRIPTORS, DESCRIPTORS_SIZE_MAX, &text, NULL);
        if (k < 0)
                return error_set_errno(reterr_error, k,
                                       "Cannot read \"" CRIU_DESCRIPTORS
                                       "\" in \"%s\", which is no checkpoint: %m",
                                       r->options.image_path);
        a = json_loads(text, 0, NULL);
        if (!json_is_array(a))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 "\"" CRIU_DESCRIPTORS "\" in \"%s\" is damaged.", r->options.image_path);
        json_array_foreach (a, i, v)
                if (i <= STDERR_FILENO && json_is_string(v) && startswith(json_string_value(v), "pipe:"))
                        write_inherited(w, json_string_value(v), (int) i);
        return 0;
}

static int write_namespaces(const Restore *r, ProtoWriter *w, Error *reterr_error) {
        static const struct {
                NamespaceType type;
                const char *name;
        } joined[] = {
                { NAMESPACE_UTS, "uts" },
                { NAMESPACE_IPC, "ipc" },
                { NAMESPACE_USER, "user" },
                { NAMESPACE_TIME, "time" },
        };

        for (size_t i = 0; i < ELEMENTSOF(joined); i++) {
                _cleanup_(proto_writer_done) ProtoWriter m = {};
                const char *path = r->spec->namespaces[joined[i].type].path;

                if (!path)
                        continue;
                proto_write_string(&m, 1, joined[i].name);
                proto_write_string(&m, 2, path);
                proto_write_message(w, CRIU_OPTS_JOIN_NS, &m);
        }
        if (r->spec->namespaces[NAMESPACE_MOUNT].path || r->spec->namespaces[NAMESPACE_CGROUP].path)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "linux.namespaces: CRIU cannot restore into a mount or cgroup namespace that is there.");

        /* Descriptors that criu_start() passes, in this order. */
        if (r->network_fd >= 0)
                write_inherited(w, CRIU_EXTERNAL_NETWORK, CRIU_FIRST_FD);
        if (r->pid_fd >= 0)
                write_inherited(w, CRIU_EXTERNAL_PID, CRIU_FIRST_FD + (r->network_fd >= 0 ? 1 : 0));
        return 0;
}

static int write_request(const Restore *r, const char *root, ProtoWriter *w, Error *reterr_error) {
        int k;

        criu_write_options(w, &r->options, r->spec, r->image_fd, r->work_fd, true);
        proto_write_string(w, CRIU_OPTS_LOG_FILE, LOG_RESTORE);
        proto_write_string(w, CRIU_OPTS_ROOT, root);
        proto_write_int(w, CRIU_OPTS_RST_SIBLING, 1);
        proto_write_int(w, CRIU_OPTS_EVASIVE_DEVICES, 1);
        if (r->cgroup.path) {
                _cleanup_(proto_writer_done) ProtoWriter m = {};

                proto_write_string(&m, 2, r->cgroup.path);
                proto_write_message(w, CRIU_OPTS_CG_ROOT, &m);
        }
        k = write_descriptors(r, w, reterr_error);
        if (k >= 0)
                k = write_namespaces(r, w, reterr_error);
        if (k >= 0)
                k = criu_write_mounts(w, r->spec, r->rootfs_fd, r->container.state.rootfs, true,
                                      reterr_error);
        return k;
}

/* The restoring */

static int notify(const char *script, pid_t pid, int fd, void *userdata, Error *reterr_error) {
        Restore *r = userdata;
        ContainerState *s = &r->container.state;
        int k;

        if (streq(script, "setup-namespaces")) {
                s->pid = pid;
                k = hooks_run(r->spec->hooks, HOOK_PRESTART, s, CONTAINER_CREATING,
                              r->foreground.interrupt_fd, reterr_error);
                if (k >= 0)
                        k = hooks_run(r->spec->hooks, HOOK_CREATE_RUNTIME, s, CONTAINER_CREATING,
                                      r->foreground.interrupt_fd, reterr_error);
                return k;
        }
        if (streq(script, "orphan-pts-master") && fd >= 0) {
                if (r->console_fd >= 0)
                        return unix_send_fd(r->console_fd, "/dev/ptmx", fd, "the console socket",
                                            reterr_error);
                if (!r->detach)
                        return foreground_show(&r->foreground, fd_dup(fd), reterr_error);
        }
        return 0;
}

/* In a new mount namespace: mounts the root at a place that nothing covers, and opens the directories that CRIU
 * gets anew: it mounts something in them, which those of another namespace do not allow. */
static int enter_mount_namespace(Restore *r, const char *root, Error *reterr_error) {
        if (unshare(CLONE_NEWNS) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a mount namespace: %m");
        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
            mount(r->container.state.rootfs, root, NULL, MS_BIND | MS_REC, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot mount the root \"%s\": %m",
                                       r->container.state.rootfs);
        r->image_fd = safe_close(r->image_fd);
        r->work_fd = safe_close(r->work_fd);
        return criu_open_directories(&r->options, false, &r->image_fd, &r->work_fd, reterr_error);
}

static int start_criu(Restore *r, const char *root, Criu *ret, Error *reterr_error) {
        _cleanup_close_ int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fds[2], k;
        size_t n = 0;

        if (own < 0 || cwd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the mount namespace: %m");
        if (r->network_fd >= 0)
                fds[n++] = r->network_fd;
        if (r->pid_fd >= 0)
                fds[n++] = r->pid_fd;

        k = enter_mount_namespace(r, root, reterr_error);
        if (k >= 0)
                k = criu_start(r->criu, fds, n, ret, reterr_error);
        if ((setns(own, CLONE_NEWNS) < 0 || fchdir(cwd) < 0) && k >= 0)
                k = error_set_errno(reterr_error, -errno, "Cannot go back to the mount namespace: %m");
        return k;
}

static int run_criu(Restore *r, const char *root, Error *reterr_error) {
        _cleanup_(proto_writer_done) ProtoWriter options = {}, request = {};
        _cleanup_(criu_done) Criu criu = CRIU_NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        CriuResponse response = {};
        int k;

        criu_forget_log(r->image_fd, r->work_fd, LOG_RESTORE);
        k = start_criu(r, root, &criu, reterr_error);
        if (k < 0)
                return k;
        /* The processes are born where it is. */
        k = cgroup_create(r->g->cgroup_manager, r->spec, r->id, criu.pid, r->g->rootless, &r->cgroup,
                          reterr_error);
        if (k < 0)
                return k;
        k = resctrl_create(&r->spec->intel_rdt, r->id, criu.pid, reterr_error);
        if (k < 0)
                return k;
        r->has_resctrl = true;
        k = write_request(r, root, &options, reterr_error);
        if (k < 0)
                return k;
        if (criu_request_encode(CRIU_REQUEST_RESTORE, &options, NULL, &request) < 0)
                return oom(reterr_error);

        k = criu_call(&criu, &request, notify, r, &response, &e);
        if (k >= 0 && response.pid <= 0)
                k = error_set(&e, -EBADMSG, "CheckpointFailed",
                              "CRIU does not say which process it has restored.");
        if (k < 0) {
                /* CRIU has killed what it had made. */
                r->container.state.pid = 0;
                criu_explain(&r->options, LOG_RESTORE, &e);
                return error_move(reterr_error, &e);
        }
        r->container.state.pid = response.pid;
        return 0;
}

static int restore(Restore *r, Error *reterr_error) {
        _cleanup_free_ char *root = NULL, *state_root = realpath(r->g->root, NULL);
        int k;

        root = state_root ? strjoin(state_root, "/", r->id, "/" ROOT_DIR) : NULL;
        if (!root)
                return error_set_errno(reterr_error, state_root ? -ENOMEM : -errno, "Cannot find \"%s\": %m",
                                       r->g->root);
        k = make_places(r, reterr_error);
        if (k < 0)
                return k;
        if (mkdirat(r->container.dir_fd, ROOT_DIR, 0755) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make the directory \"%s\": %m", root);
        k = run_criu(r, root, reterr_error);
        (void) unlinkat(r->container.dir_fd, ROOT_DIR, AT_REMOVEDIR);
        return k;
}

static int commit(Restore *r, Error *reterr_error) {
        ContainerState *s = &r->container.state;
        char text[16];
        int k;

        s->pid_start_time = process_start_time(s->pid);
        if (free_and_strdup(&s->cgroup_path, r->cgroup.path) < 0 ||
            free_and_strdup(&s->scope, r->cgroup.scope) < 0)
                return oom(reterr_error);
        k = write_file_atomic_at(r->container.dir_fd, STATE_CONFIG, r->text, r->text_size, 0600, false);
        if (k < 0)
                return error_set_errno(reterr_error, k, "Cannot write the container's specification: %m");
        k = state_write(r->container.dir_fd, s, reterr_error);
        if (k < 0 || !r->pid_file)
                return k;

        (void) snprintf(text, sizeof(text), "%d", s->pid);
        k = write_file_atomic_at(AT_FDCWD, r->pid_file, text, strlen(text), 0644, false);
        if (k < 0)
                return error_set_errno(reterr_error, k, "Cannot write the pid file \"%s\": %m", r->pid_file);
        return 0;
}

static void undo(Restore *r) {
        if (r->container.state.pid > 0) {
                (void) kill(r->container.state.pid, SIGKILL);
                (void) TEMP_FAILURE_RETRY(waitpid(r->container.state.pid, NULL, 0));
        }
        (void) cgroup_remove(&r->cgroup, NULL);
        if (r->has_resctrl)
                (void) resctrl_remove(&r->spec->intel_rdt, r->id, NULL);
        (void) state_dir_remove(r->container.root_fd, r->id);
}

/* Until it has ended. */
static int wait_end(Restore *r, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        int k, code;

        (void) flock(r->container.dir_fd, LOCK_UN);
        k = foreground_wait(&r->foreground, r->container.state.pid, &code, reterr_error);
        if (k < 0)
                return k;
        foreground_done(&r->foreground);
        if (flock(r->container.dir_fd, LOCK_EX) >= 0 && container_delete(r->g, &r->container, &e) < 0)
                report_warning("%s", error_message(&e));
        return code;
}

int command_restore(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_(restore_done) Restore r = {
                .g = g,
                .options = CRIU_OPTIONS_INIT,
                .bundle = ".",
                .container = CONTAINER_NULL,
                .foreground = FOREGROUND_INIT,
                .image_fd = -EBADF,
                .work_fd = -EBADF,
                .rootfs_fd = -EBADF,
                .network_fd = -EBADF,
                .pid_fd = -EBADF,
                .console_fd = -EBADF,
        };
        int k;

        k = parse(&r, argc, argv, reterr_error);
        if (k >= 0)
                k = prepare(&r, reterr_error);
        if (k < 0)
                return k;
        r.container.root_fd = state_root_open(g->root, true, reterr_error);
        if (r.container.root_fd < 0)
                return r.container.root_fd;
        r.container.dir_fd = state_dir_create(r.container.root_fd, r.id, reterr_error);
        if (r.container.dir_fd < 0)
                return r.container.dir_fd;

        k = r.detach ? 0 : foreground_begin(&r.foreground, reterr_error);
        if (k >= 0)
                k = restore(&r, reterr_error);
        if (k >= 0)
                k = commit(&r, reterr_error);
        if (k < 0) {
                undo(&r);
                return k;
        }
        return r.detach ? 0 : wait_end(&r, reterr_error);
}
