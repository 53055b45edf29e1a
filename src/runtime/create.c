/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order: what can be refused by looking; the state's directory, which reserves the name; the cgroup; init,
 * which is set up from outside (maps, limits) before it goes on by itself; hooks when it asks for them; the
 * state is written when it is ready. Until then a failure ends init and removes everything. */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/attributes.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/create.h"
#include "runtime/foreground.h"
#include "runtime/hooks.h"
#include "runtime/init.h"
#include "runtime/netdev.h"
#include "runtime/notify-proxy.h"
#include "runtime/plan-prepare.h"
#include "runtime/prepare.h"
#include "runtime/remains.h"
#include "runtime/report.h"
#include "runtime/resctrl.h"
#include "runtime/rlimits.h"
#include "runtime/seccomp-listener.h"
#include "runtime/self.h"
#include "runtime/state.h"
#include "runtime/terminal.h"

typedef struct Creation {
        const GlobalOptions *g;
        const CreateOptions *options;
        bool run; /* started at once */
        PreservedFds preserved;

        Prepared prepared;
        ContainerState state;
        Cgroup cgroup;
        Foreground foreground;
        char *root_path; /* absolute, as the next */
        char *pid_file;
        bool has_notify_proxy;

        int root_fd;
        int dir_fd;
        int console_fd;
        int pidfd_sock;
        int listener_sock;
        int start_fd;
        int report_fd;
        int sock;
        pid_t pid; /* 0: none; owned until committed */
        bool has_resctrl;
        NetdevMoves *moves; /* network devices that are the container's now */
        bool has_pid_file;
        bool hooks_due; /* its end is one that the hooks for it are run at */
} Creation;

#define CREATION_INIT                                                                                       \
        {                                                                                                   \
                .prepared = PREPARED_INIT, .foreground = FOREGROUND_INIT, .root_fd = -EBADF,                \
                .dir_fd = -EBADF, .console_fd = -EBADF, .pidfd_sock = -EBADF, .listener_sock = -EBADF,      \
                .start_fd = -EBADF, .report_fd = -EBADF, .sock = -EBADF                                     \
        }

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

/* runtime.md, "Lifecycle", 12 and 13. */
static void run_poststop(const Creation *c) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (c->hooks_due && hooks_run(c->prepared.spec->hooks, HOOK_POSTSTOP, &c->state, CONTAINER_STOPPED,
                                      -EBADF, &e) < 0)
                report_error(&e);
}

/* Ends what has been begun and removes it. */
static void creation_undo(Creation *c) {
        if (c->pid > 0) {
                (void) kill(c->pid, SIGKILL);
                (void) TEMP_FAILURE_RETRY(waitpid(c->pid, NULL, 0));
                c->pid = 0;
        }
        netdev_undo(c->moves);
        if (c->has_pid_file)
                (void) unlink(c->pid_file);
        if (c->has_resctrl)
                (void) resctrl_remove(&c->prepared.spec->intel_rdt, c->options->id, NULL);
        (void) cgroup_remove(&c->cgroup, NULL);
        run_poststop(c);
        if (c->dir_fd >= 0)
                (void) state_dir_remove(c->root_fd, c->options->id);
        c->dir_fd = safe_close(c->dir_fd);
}

static void creation_done(Creation *c) {
        netdev_moves_free(c->moves);
        prepared_done(&c->prepared);
        container_state_done(&c->state);
        cgroup_done(&c->cgroup);
        foreground_done(&c->foreground);
        free(c->root_path);
        free(c->pid_file);
        safe_close(c->root_fd);
        safe_close(c->dir_fd);
        safe_close(c->console_fd);
        safe_close(c->pidfd_sock);
        safe_close(c->listener_sock);
        safe_close(c->start_fd);
        safe_close(c->report_fd);
        safe_close(c->sock);
}

/* ---- what can be refused by looking ---- */

static int absolute_path(const char *path, char **ret, Error *reterr_error) {
        _cleanup_free_ char *cwd = NULL;
        char *p;

        if (path[0] == '/')
                p = strdup(path);
        else {
                cwd = getcwd(NULL, 0);
                p = cwd ? path_join(cwd, path) : NULL;
        }
        if (!p)
                return oom(reterr_error);
        *ret = p;
        return 0;
}

/* Everything whose path is relative to the caller's directory, which is left then for the bundle. */
static int resolve_paths(Creation *c, Error *reterr_error) {
        const CreateOptions *o = c->options;
        const char *bundle = o->bundle ?: ".";
        int r;

        if (o->pid_file) {
                r = absolute_path(o->pid_file, &c->pid_file, reterr_error);
                if (r < 0)
                        return r;
        }
        if (o->console_socket) {
                c->console_fd = unix_connect(o->console_socket, "the console socket", reterr_error);
                if (c->console_fd < 0)
                        return c->console_fd;
        }
        if (o->pidfd_socket) {
                c->pidfd_sock = unix_connect(o->pidfd_socket, "the pidfd socket", reterr_error);
                if (c->pidfd_sock < 0)
                        return c->pidfd_sock;
        }
        c->root_fd = state_root_open(c->g->root, true, reterr_error);
        if (c->root_fd < 0)
                return c->root_fd;

        r = absolute_path(c->g->root, &c->root_path, reterr_error);
        if (r < 0)
                return r;

        c->state.bundle = realpath(bundle, NULL);
        if (!c->state.bundle || chdir(c->state.bundle) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot find the bundle \"%s\": %m", bundle);
        return 0;
}

static int check_terminal(const Creation *c, Error *reterr_error) {
        const ProcessSpec *p = &c->prepared.spec->process;
        bool shown = c->run && !c->options->detach;

        if (p->terminal && !shown && c->console_fd < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.terminal: nobody would show the terminal: use --console-socket.");
        return 0;
}

static int add_notify_proxy(Creation *c, Error *reterr_error) {
        _cleanup_free_ char *dir = path_join(c->root_path, c->options->id);
        int r;

        if (!dir)
                return oom(reterr_error);
        r = notify_proxy_add(c->prepared.spec, dir, reterr_error);
        c->has_notify_proxy = r > 0;
        return r;
}

static int fill_state(Creation *c, Error *reterr_error) {
        const RuntimeSpec *spec = c->prepared.spec;
        ContainerState *s = &c->state;
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        s->created_usec = (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
        s->detached = !c->run || c->options->detach;
        s->systemd_cgroup = c->g->cgroup_manager == CGROUP_MANAGER_SYSTEMD;
        s->external_descriptors = state_describe_descriptors();
        s->rootfs = isempty(spec->root_path)    ? strdup("/")
                    : spec->root_path[0] == '/' ? strdup(spec->root_path)
                                                : path_join(s->bundle, spec->root_path);
        if (!s->rootfs || !s->external_descriptors || free_and_strdup(&s->id, c->options->id) < 0 ||
            free_and_strdup(&s->oci_version, spec->oci_version) < 0)
                return oom(reterr_error);
        return spec_copy_pairs(spec->annotations, spec->n_annotations, &s->annotations, &s->n_annotations) <
                                               0
                               ? oom(reterr_error)
                               : 0;
}

/* ---- init ---- */

static int make_fifo(Creation *c, const char *name, int *ret, Error *reterr_error) {
        if (mkfifoat(c->dir_fd, name, 0600) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make the FIFO \"%s\": %m", name);
        *ret = openat(c->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (*ret < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the FIFO \"%s\": %m", name);
        return 0;
}

/* The cgroup that init is born in, where it can be; else it is moved by make_cgroup_late(). */
static int make_cgroup_early(Creation *c, Error *reterr_error) {
        CloneSpec *clone = &c->prepared.clone;
        int r;

        if (c->g->cgroup_manager == CGROUP_MANAGER_SYSTEMD)
                return 0;
        r = cgroup_create(c->g->cgroup_manager, c->prepared.spec, c->options->id, 0, c->g->rootless,
                          &c->cgroup, reterr_error);
        if (r < 0 || !c->cgroup.path)
                return r;
        clone->cgroup_fd = cgroup_open(&c->cgroup);
        if (clone->cgroup_fd < 0)
                return error_set_errno(reterr_error, clone->cgroup_fd, "Cannot open the cgroup \"%s\": %m",
                                       c->cgroup.path);
        return 0;
}

static int start_init(Creation *c, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        Prepared *p = &c->prepared;
        uint64_t late = CLONE_NEWCGROUP | CLONE_NEWTIME;
        bool unprivileged = geteuid() != 0;
        _cleanup_close_ int pid_fd = -EBADF;
        pid_t pid;
        int r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");

        r = plan_prepare(p->plan, reterr_error);
        if (r < 0)
                return r;
        p->clone.flags = p->plan->clone_flags & ~late;
        pid_fd = clone_take_pid_namespace(&p->clone);
        pid = clone_process(&p->clone, reterr_error);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                InitContext init = {
                        .spec = p->spec,
                        .process = &p->spec->process,
                        .plan = p->plan,
                        .seccomp = p->seccomp.n > 0 ? &p->seccomp : NULL,
                        .clone = &p->clone,
                        .state = &c->state,
                        .unshare_flags = p->plan->clone_flags & late,
                        .listener_sock = c->listener_sock,
                        .listener_state = &c->state,
                        .configured = true,
                        .user_namespace = p->spec->namespaces[NAMESPACE_USER].wanted,
                        .keep_keyring = c->options->no_new_keyring,
                        .no_pivot = c->options->no_pivot,
                        .transparent = unprivileged,
                        .pid_fd = pid_fd,
                        .preserved = &c->preserved,
                        .start_fd = c->start_fd,
                        .report_fd = c->run ? pair[1] : c->report_fd,
                        .sock = pair[1],
                };

                safe_close(pair[0]);
                init_run(&init);
        }

        p->clone.cgroup_fd = safe_close(p->clone.cgroup_fd);
        c->listener_sock = safe_close(c->listener_sock);
        plan_close(p->plan);
        c->pid = pid;
        c->state.pid = pid;
        c->state.pid_start_time = process_start_time(pid);
        c->sock = TAKE_FD(pair[0]);
        return 0;
}

/* A namespace that is joined may not be init's yet. */
static int move_network_devices(Creation *c, Error *reterr_error) {
        const SpecNetDevices *devices = &c->prepared.spec->net_devices;
        int fd = c->prepared.clone.namespace_fds[NAMESPACE_NETWORK];

        if (devices->n == 0)
                return 0;
        return fd >= 0 ? netdev_move(devices, fd, &c->moves, reterr_error)
                       : netdev_move_to_process(devices, c->pid, &c->moves, reterr_error);
}

static int configure_init(Creation *c, Error *reterr_error) {
        const RuntimeSpec *spec = c->prepared.spec;
        int r;

        if (c->prepared.plan->clone_flags & CLONE_NEWUSER) {
                r = user_namespace_write_maps(c->pid, spec, reterr_error);
                if (r < 0)
                        return r;
        }
        if (c->g->cgroup_manager == CGROUP_MANAGER_SYSTEMD) {
                r = cgroup_create(c->g->cgroup_manager, spec, c->options->id, c->pid, c->g->rootless,
                                  &c->cgroup, reterr_error);
                if (r < 0)
                        return r;
        }
        if (spec->namespaces[NAMESPACE_USER].wanted) {
                r = oom_score_apply(c->pid, &spec->process, NULL, reterr_error);
                if (r < 0)
                        return r;
        }
        r = resctrl_create(&spec->intel_rdt, c->options->id, c->pid, reterr_error);
        if (r < 0)
                return r;
        c->has_resctrl = true;
        r = move_network_devices(c, reterr_error);
        return r < 0 ? r : init_send_configured(c->sock, c->pid, reterr_error);
}

static int take_terminal(Creation *c, int master, Error *reterr_error) {
        _cleanup_close_ int fd = master;

        if (c->console_fd >= 0)
                return unix_send_fd(c->console_fd, "/dev/ptmx", fd, "the console socket", reterr_error);
        return foreground_show(&c->foreground, TAKE_FD(fd), reterr_error);
}

static int run_runtime_hooks(Creation *c, Error *reterr_error) {
        const RuntimeSpec *spec = c->prepared.spec;
        int r;

        c->hooks_due = true;
        r = hooks_run(spec->hooks, HOOK_PRESTART, &c->state, CONTAINER_CREATING, c->foreground.interrupt_fd,
                      reterr_error);
        if (r >= 0)
                r = hooks_run(spec->hooks, HOOK_CREATE_RUNTIME, &c->state, CONTAINER_CREATING,
                              c->foreground.interrupt_fd, reterr_error);
        return r < 0 ? r : init_continue(c->sock, reterr_error);
}

/* From one process to the next, whose parent this one is as well. */
static int follow_init(Creation *c, pid_t pid, Error *reterr_error) {
        (void) TEMP_FAILURE_RETRY(waitpid(c->pid, NULL, 0));
        c->pid = pid;
        c->state.pid = pid;
        c->state.pid_start_time = process_start_time(pid);
        return init_send_configured(c->sock, pid, reterr_error);
}

/* Answers init until it is ready. */
static int converse(Creation *c, Error *reterr_error) {
        InitMessage m;
        int fd, r;

        for (;;) {
                r = foreground_wait_readable(&c->foreground, c->sock, reterr_error);
                if (r >= 0)
                        r = init_receive(c->sock, &m, &fd, reterr_error);
                if (r < 0) {
                        /* One that runs in the container. */
                        c->hooks_due |= error_has_name(reterr_error, "HookFailed");
                        return r;
                }

                switch (m.type) {
                case INIT_MESSAGE_HOOKS:
                        r = run_runtime_hooks(c, reterr_error);
                        break;
                case INIT_MESSAGE_MOVED:
                        r = follow_init(c, m.code, reterr_error);
                        break;
                case INIT_MESSAGE_TERMINAL:
                        r = take_terminal(c, fd, reterr_error);
                        break;
                case INIT_MESSAGE_READY:
                        c->hooks_due = true;
                        if (m.text[0])
                                report_warning("%s", m.text);
                        return 0;
                default:
                        safe_close(fd);
                        r = error_set(reterr_error, -EPROTO, "Failed", "Init said something unknown.");
                }
                if (r < 0)
                        return r;
        }
}

/* ---- what others see ---- */

static int write_pid_file(Creation *c, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!c->pid_file)
                return 0;
        text = strformat("%d", c->pid);
        if (!text)
                return oom(reterr_error);
        r = write_file_atomic_at(AT_FDCWD, c->pid_file, text, strlen(text), 0644, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write the pid file \"%s\": %m", c->pid_file);
        c->has_pid_file = true;
        return 0;
}

static int send_pidfd(const Creation *c, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;

        if (c->pidfd_sock < 0)
                return 0;
        pidfd = pidfd_open_(c->pid);
        if (pidfd < 0)
                return error_set_errno(reterr_error, pidfd, "Cannot open the container's pidfd: %m");
        return unix_send_fd(c->pidfd_sock, "pidfd", pidfd, "the pidfd socket", reterr_error);
}

static int commit(Creation *c, Error *reterr_error) {
        int r;

        if (free_and_strdup(&c->state.cgroup_path, c->cgroup.path) < 0 ||
            free_and_strdup(&c->state.scope, c->cgroup.scope) < 0)
                return oom(reterr_error);
        r = state_write(c->dir_fd, &c->state, reterr_error);
        if (r < 0)
                return r;
        r = write_pid_file(c, reterr_error);
        if (r < 0)
                return r;
        return send_pidfd(c, reterr_error);
}

/* ---- all of it ---- */

static int creation_prepare(Creation *c, Error *reterr_error) {
        int r;

        r = state_check_id(c->options->id, reterr_error);
        if (r < 0)
                return r;
        r = resolve_paths(c, reterr_error);
        if (r < 0)
                return r;
        r = prepare_spec(&c->prepared, c->state.bundle, c->options->config ?: "config.json", reterr_error);
        if (r < 0)
                return r;
        r = check_terminal(c, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_listener_connect(c->prepared.spec->seccomp, &c->listener_sock, reterr_error);
        if (r < 0)
                return r;
        r = preserved_fds_add_env(&c->preserved, &c->prepared.spec->process.env, reterr_error);
        if (r < 0)
                return r;
        r = add_notify_proxy(c, reterr_error);
        if (r < 0)
                return r;
        r = prepare_plan(&c->prepared, c->state.bundle, reterr_error);
        if (r < 0)
                return r;
        return fill_state(c, reterr_error);
}

static int make_state_dir(Creation *c, Error *reterr_error) {
        int r;

        c->dir_fd = state_dir_create(c->root_fd, c->options->id, reterr_error);
        if (c->dir_fd < 0)
                return c->dir_fd;
        r = write_file_atomic_at(c->dir_fd, STATE_CONFIG, c->prepared.text, c->prepared.text_size, 0600,
                                 false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write the container's specification: %m");
        r = remains_note(c->dir_fd, c->g->cgroup_manager, c->prepared.spec, c->options->id, c->g->rootless,
                         reterr_error);
        if (r < 0)
                return r;
        if (!c->run) {
                r = make_fifo(c, STATE_START_FIFO, &c->start_fd, reterr_error);
                if (r < 0)
                        return r;
                r = make_fifo(c, STATE_REPORT_FIFO, &c->report_fd, reterr_error);
                if (r < 0)
                        return r;
        }
        if (c->has_notify_proxy) {
                r = notify_proxy_make(c->dir_fd, reterr_error);
                if (r < 0)
                        return r;
                /* The container may speak as soon as it runs. */
                if (c->run) {
                        c->foreground.notify_fd = notify_proxy_open(c->dir_fd);
                        if (c->foreground.notify_fd < 0)
                                return error_set_errno(reterr_error, c->foreground.notify_fd,
                                                       "Cannot make the notification socket: %m");
                }
        }
        return 0;
}

static int creation_make(Creation *c, Error *reterr_error) {
        int r;

        r = make_state_dir(c, reterr_error);
        if (r < 0)
                return r;
        r = make_cgroup_early(c, reterr_error);
        if (r < 0)
                return r;
        r = start_init(c, reterr_error);
        if (r < 0)
                return r;
        r = configure_init(c, reterr_error);
        if (r < 0)
                return r;
        r = converse(c, reterr_error);
        if (r < 0)
                return r;
        if (c->prepared.spec->namespaces[NAMESPACE_USER].wanted) {
                r = rlimits_apply(c->pid, &c->prepared.spec->process, NULL, reterr_error);
                if (r >= 0)
                        r = attributes_apply(c->pid, &c->prepared.spec->process, reterr_error);
                if (r < 0)
                        return r;
        }
        r = commit(c, reterr_error);
        if (r < 0)
                return r;
        return init_continue(c->sock, reterr_error);
}

static int creation_run(Creation *c, Error *reterr_error) {
        int r;

        r = self_protect(c->g->argv, reterr_error);
        if (r < 0)
                return r;
        r = preserved_fds_find(&c->preserved, c->options->n_preserve_fds, reterr_error);
        if (r < 0)
                return r;
        r = creation_prepare(c, reterr_error);
        if (r < 0)
                return r;
        if (c->run && !c->options->detach) {
                r = foreground_begin(&c->foreground, reterr_error);
                if (r < 0)
                        return r;
        }
        r = creation_make(c, reterr_error);
        if (r >= 0 && c->run)
                r = init_wait_executed(c->sock, reterr_error);
        if (r < 0)
                creation_undo(c);
        c->moves = netdev_moves_free(c->moves);
        return r;
}

int container_create(const GlobalOptions *g, const CreateOptions *o, Error *reterr_error) {
        _cleanup_(creation_done) Creation c = CREATION_INIT;

        c.g = g;
        c.options = o;
        return creation_run(&c, reterr_error);
}

/* runtime.md, "Lifecycle", 10: a poststart hook that fails ends the container. */
static int run_poststart(const GlobalOptions *g, Container *c, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = container_run_hooks(c, HOOK_POSTSTART, CONTAINER_RUNNING, reterr_error);
        if (r < 0 && container_delete(g, c, &e) < 0)
                report_warning("%s", error_message(&e));
        return r;
}

/* What a service manager waits for: that the container says it is ready. Meanwhile others may have it. */
static int wait_ready(int notify_fd, const Container *c, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        int r;

        if (notify_fd < 0)
                return 0;
        (void) flock(c->dir_fd, LOCK_UN);
        pidfd = state_pidfd(&c->state);
        r = pidfd == -ESRCH ? 0
            : pidfd < 0     ? pidfd
                            : notify_proxy_wait_ready(notify_fd, pidfd, c->state.pid);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot wait for the container to be ready: %m") : 0;
}

/* From a creation that is committed to the container that anybody else would open. */
static Container creation_to_container(Creation *c) {
        Container container = { .root_fd = TAKE_FD(c->root_fd),
                                .dir_fd = TAKE_FD(c->dir_fd),
                                .state = c->state };

        c->state = (ContainerState){};
        return container;
}

int container_run(const GlobalOptions *g, const CreateOptions *o, Error *reterr_error) {
        _cleanup_(container_done) Container container = CONTAINER_NULL;
        _cleanup_(creation_done) Creation c = CREATION_INIT;
        _cleanup_error_ Error e = ERROR_NULL;
        int r, code;

        c.g = g;
        c.options = o;
        c.run = true;
        r = creation_run(&c, reterr_error);
        if (r < 0)
                return r;
        container = creation_to_container(&c);
        r = run_poststart(g, &container, reterr_error);
        if (r < 0)
                return r;
        if (o->detach)
                return wait_ready(c.foreground.notify_fd, &container, reterr_error);

        /* Others may have it now. */
        (void) flock(container.dir_fd, LOCK_UN);
        r = foreground_wait(&c.foreground, c.pid, &code, reterr_error);
        if (r < 0)
                return r;
        foreground_done(&c.foreground);
        if (!o->keep && flock(container.dir_fd, LOCK_EX) >= 0 && container_delete(g, &container, &e) < 0)
                report_warning("%s", error_message(&e));
        return code;
}

/* ---- start ---- */

static int let_start(const Container *c, Error *reterr_error) {
        _cleanup_close_ int start_fd = -EBADF, report_fd = -EBADF;

        report_fd = RET_NERRNO(openat(c->dir_fd, STATE_REPORT_FIFO,
                                      O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        start_fd = RET_NERRNO(
                        openat(c->dir_fd, STATE_START_FIFO, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        if (report_fd < 0 || start_fd < 0 || fd_set_nonblock(report_fd, false) < 0 ||
            write(start_fd, "", 1) != 1)
                return error_set(
                                reterr_error, -ESRCH, "InvalidState",
                                "The container \"%s\" cannot be started: its process does not wait any more.",
                                c->state.id);
        (void) unlinkat(c->dir_fd, STATE_START_FIFO, 0);
        (void) unlinkat(c->dir_fd, STATE_REPORT_FIFO, 0);
        return init_wait_executed(report_fd, reterr_error);
}

int container_start(const GlobalOptions *g, const char *id, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_close_ int notify_fd = -EBADF;
        ContainerStatus status;
        int r;

        r = container_open(g, id, true, &c, reterr_error);
        if (r < 0)
                return r;
        status = container_status(&c);
        if (status != CONTAINER_CREATED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "The container \"%s\" is %s: only a created one can be started.", id,
                                 container_status_to_string(status));

        notify_fd = notify_proxy_open(c.dir_fd);
        r = let_start(&c, reterr_error);
        if (r < 0) {
                /* It ends by itself: but what is told next is that it has ended. */
                (void) container_kill_init(&c, NULL);
                return r;
        }
        r = run_poststart(g, &c, reterr_error);
        return r < 0 ? r : wait_ready(notify_fd, &c, reterr_error);
}
