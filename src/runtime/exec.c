/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/attributes.h"
#include "runtime/cgroup.h"
#include "runtime/exec.h"
#include "runtime/foreground.h"
#include "runtime/join.h"
#include "runtime/prepare.h"
#include "runtime/report.h"
#include "runtime/resctrl.h"
#include "runtime/rlimits.h"
#include "runtime/seccomp-listener.h"
#include "runtime/self.h"
#include "runtime/state.h"
#include "runtime/terminal.h"

typedef struct Exec {
        const GlobalOptions *g;
        const ExecOptions *options;
        ContainerState state;
        RuntimeSpec *spec;
        ProcessSpec process;
        SeccompProgram seccomp;
        CloneSpec clone;
        Foreground foreground;
        PreservedFds preserved;
        int kept_fds[PRESERVE_FDS_MAX + 2]; /* what goes with the process */
        int dir_fd;
        int console_fd;
        int pidfd_sock;
        int listener_sock;
        int sock;
        pid_t pid;
} Exec;

#define EXEC_INIT                                                                                           \
        {                                                                                                   \
                .clone = CLONE_SPEC_INIT, .foreground = FOREGROUND_INIT, .dir_fd = -EBADF,                  \
                .console_fd = -EBADF, .pidfd_sock = -EBADF, .listener_sock = -EBADF, .sock = -EBADF         \
        }

static void exec_done(Exec *e) {
        container_state_done(&e->state);
        runtime_spec_free(e->spec);
        process_spec_done(&e->process);
        seccomp_program_done(&e->seccomp);
        foreground_done(&e->foreground);
        safe_close(e->clone.pidfd);
        safe_close(e->clone.cgroup_fd);
        safe_close(e->dir_fd);
        safe_close(e->console_fd);
        safe_close(e->pidfd_sock);
        safe_close(e->listener_sock);
        safe_close(e->sock);
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

/* ---- the container ---- */

static int open_container(Exec *e, Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        ContainerStatus status;
        size_t size;
        int r;

        root_fd = state_root_open(e->g->root, false, reterr_error);
        if (root_fd < 0)
                return root_fd;
        e->dir_fd = state_dir_open(root_fd, e->options->id, false, reterr_error);
        if (e->dir_fd < 0)
                return e->dir_fd;
        r = state_read(e->dir_fd, e->options->id, &e->state, reterr_error);
        if (r < 0)
                return r;
        status = state_status(e->dir_fd, &e->state);
        if (status == CONTAINER_PAUSED && !e->options->ignore_paused)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "The container \"%s\" is paused: resume it first, or use --ignore-paused.",
                                 e->options->id);
        if (status != CONTAINER_RUNNING && status != CONTAINER_CREATED && status != CONTAINER_PAUSED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "The container \"%s\" is %s: nothing can be executed in it.",
                                 e->options->id, container_status_to_string(status));

        r = read_file_at(e->dir_fd, STATE_CONFIG, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the container's specification: %m");
        return runtime_spec_parse(text, size, &e->spec, reterr_error);
}

static int find_cgroup(Exec *e, Error *reterr_error) {
        Cgroup c = { .path = e->state.cgroup_path };

        if (!c.path && isempty(e->options->cgroup))
                return 0;
        e->clone.cgroup_fd = cgroup_open_exec(&c, e->options->cgroup, e->state.pid, reterr_error);
        return e->clone.cgroup_fd < 0 ? e->clone.cgroup_fd : 0;
}

/* ---- the process ---- */

static int read_process(Exec *e, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, e->options->process, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", e->options->process);
        r = json_parse_wide(text, size, SPEC_SIZE_MAX, &j, reterr_error);
        if (r >= 0)
                r = process_spec_parse(j, &e->process, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "%s", e->options->process);

        /* What confines the container confines its execs, unless they say otherwise. */
        if ((!e->process.apparmor_profile &&
             free_and_strdup(&e->process.apparmor_profile, e->spec->process.apparmor_profile) < 0) ||
            (!e->process.selinux_label &&
             free_and_strdup(&e->process.selinux_label, e->spec->process.selinux_label) < 0))
                return oom(reterr_error);
        return 0;
}

static int parse_user(const char *s, ProcessSpec *p, Error *reterr_error) {
        _cleanup_strv_free_ char **parts = strv_split(s, ":");
        uint64_t uid, gid = p->gid;

        if (!parts)
                return oom(reterr_error);
        if (strv_length(parts) < 1 || strv_length(parts) > 2 || parse_uint64(parts[0], &uid) < 0 ||
            uid >= UINT32_MAX || (parts[1] && (parse_uint64(parts[1], &gid) < 0 || gid >= UINT32_MAX)))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--user=%s: numbers, as UID or UID:GID, are needed.", s);
        p->uid = (uid_t) uid;
        p->gid = (gid_t) gid;
        return 0;
}

static int add_groups(const ExecOptions *o, ProcessSpec *p, Error *reterr_error) {
        gid_t *groups;

        if (o->n_groups == 0)
                return 0;
        groups = reallocarray(p->groups, p->n_groups + o->n_groups, sizeof(gid_t));
        if (!groups)
                return oom(reterr_error);
        memcpy(groups + p->n_groups, o->groups, o->n_groups * sizeof(gid_t));
        p->groups = groups;
        p->n_groups += o->n_groups;
        return 0;
}

static int add_caps(const ExecOptions *o, ProcessSpec *p, Error *reterr_error) {
        STRV_FOREACH (name, o->caps) {
                _cleanup_free_ char *full = startswith(name, "CAP_") ? strdup(name) : strjoin("CAP_", name);
                int cap;

                if (!full)
                        return oom(reterr_error);
                cap = cap_number_from_name(full);
                if (cap < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--cap=%s: there is no such capability.", name);
                /* Inherited by what is executed next: nobody has asked for that. */
                for (CapSet set = 0; set < _CAP_SET_MAX; set++)
                        if (set != CAP_SET_INHERITABLE && set != CAP_SET_AMBIENT)
                                p->caps.sets[set] |= UINT64_C(1) << cap;
        }
        return 0;
}

/* The container's own process, but for what the options say. */
static int fill_process(Exec *e, Error *reterr_error) {
        const ExecOptions *o = e->options;
        ProcessSpec *p = &e->process;
        int r;

        *p = e->spec->process;
        e->spec->process = (ProcessSpec){};
        p->terminal = o->tty;
        p->no_new_privileges = o->no_new_privileges;
        strv_free(p->args);
        p->args = strv_copy(o->args);
        if (!p->args || (o->cwd && free_and_strdup(&p->cwd, o->cwd) < 0) ||
            (o->apparmor && free_and_strdup(&p->apparmor_profile, o->apparmor) < 0) ||
            (o->process_label && free_and_strdup(&p->selinux_label, o->process_label) < 0))
                return oom(reterr_error);
        if (o->user) {
                r = parse_user(o->user, p, reterr_error);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH (variable, o->env)
                if (strv_env_set(&p->env, variable) < 0)
                        return oom(reterr_error);
        r = add_groups(o, p, reterr_error);
        return r < 0 ? r : add_caps(o, p, reterr_error);
}

static int prepare_process(Exec *e, Error *reterr_error) {
        bool shown = !e->options->detach;
        int r;

        r = e->options->process ? read_process(e, reterr_error) : fill_process(e, reterr_error);
        if (r < 0)
                return r;
        r = preserved_fds_add_env(&e->preserved, &e->process.env, reterr_error);
        if (r < 0)
                return r;
        if (e->options->tty)
                e->process.terminal = true;
        if (strv_length(e->process.args) == 0 || isempty(e->process.args[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.args: there is no command.");
        if (e->process.terminal && !shown && e->console_fd < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Nobody would show the terminal: use --console-socket.");
        r = seccomp_get(e->spec, &e->seccomp, reterr_error);
        if (r < 0)
                return r;
        return seccomp_listener_connect(e->spec->seccomp, &e->listener_sock, reterr_error);
}

static int connect_sockets(Exec *e, Error *reterr_error) {
        if (e->options->console_socket) {
                e->console_fd = unix_connect(e->options->console_socket, "the console socket", reterr_error);
                if (e->console_fd < 0)
                        return e->console_fd;
        }
        if (e->options->pidfd_socket) {
                e->pidfd_sock = unix_connect(e->options->pidfd_socket, "the pidfd socket", reterr_error);
                if (e->pidfd_sock < 0)
                        return e->pidfd_sock;
        }
        return 0;
}

/* ---- all of it ---- */

static void prepare_leaving(Exec *e, int sock) {
        CloneSpec *c = &e->clone;

        c->leave = join_leave;
        c->userdata = &e->process;
        c->kept_fds = e->kept_fds;
        memcpy(e->kept_fds, e->preserved.fds, e->preserved.n * sizeof(int));
        c->n_kept_fds = e->preserved.n;
        e->kept_fds[c->n_kept_fds++] = sock;
        e->kept_fds[c->n_kept_fds++] = e->listener_sock;
}

/* In the container's cgroup from birth. Who may not do that, outside of what has been delegated to a user, asks
 * the service manager. */
static pid_t clone_process_in_cgroup(Exec *e, bool *ret_attach, Error *reterr_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        pid_t pid = clone_process(&e->clone, &error);

        *ret_attach = false;
        if (pid >= 0)
                return pid;
        if (pid != -EACCES || e->clone.cgroup_fd < 0 || !e->state.scope)
                return error_move(reterr_error, &error);
        e->clone.cgroup_fd = safe_close(e->clone.cgroup_fd);
        *ret_attach = true;
        return clone_process(&e->clone, reterr_error);
}

static int configure(Exec *e, bool attach, Error *reterr_error) {
        int r;

        if (attach) {
                Cgroup cgroup = { .path = e->state.cgroup_path, .scope = e->state.scope };

                r = cgroup_attach_by_manager(&cgroup, e->options->cgroup, e->pid, reterr_error);
                if (r < 0)
                        return r;
        }
        return init_send_configured(e->sock, e->pid, reterr_error);
}

static int start(Exec *e, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        bool user_namespace = e->clone.pidfd_flags & CLONE_NEWUSER, configured, attach;
        int r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");
        /* The child is born in the container's cgroup, and has then what this process has before. */
        r = attributes_set_affinity(0, &e->process.exec_cpus_initial, reterr_error);
        if (r < 0)
                return r;
        prepare_leaving(e, pair[1]);
        e->pid = clone_process_in_cgroup(e, &attach, reterr_error);
        if (e->pid < 0)
                return e->pid;
        configured = attach || e->listener_sock >= 0;
        if (e->pid == 0) {
                InitContext init = {
                        .spec = e->spec,
                        .process = &e->process,
                        .seccomp = e->seccomp.n > 0 ? &e->seccomp : NULL,
                        .clone = &e->clone,
                        .listener_sock = e->listener_sock,
                        .listener_state = &e->state,
                        .configured = configured,
                        .user_namespace = user_namespace,
                        .preserved = &e->preserved,
                        .pid_fd = -EBADF,
                        .start_fd = -EBADF,
                        .report_fd = pair[1],
                        .sock = pair[1],
                };

                safe_close(pair[0]);
                init_run(&init);
        }

        e->listener_sock = safe_close(e->listener_sock);
        e->sock = TAKE_FD(pair[0]);
        r = resctrl_join(&e->spec->intel_rdt, e->options->id, e->pid, reterr_error);
        if (r < 0)
                return r;
        return configured ? configure(e, attach, reterr_error) : 0;
}

static int converse(Exec *e, Error *reterr_error) {
        InitMessage m;
        int fd, r;

        for (;;) {
                r = foreground_wait_readable(&e->foreground, e->sock, reterr_error);
                if (r >= 0)
                        r = init_receive(e->sock, &m, &fd, reterr_error);
                if (r < 0)
                        return r;
                if (m.type == INIT_MESSAGE_READY) {
                        if (m.text[0])
                                report_warning("%s", m.text);
                        return 0;
                }
                if (m.type != INIT_MESSAGE_TERMINAL) {
                        safe_close(fd);
                        return error_set(reterr_error, -EPROTO, "Failed",
                                         "The process said something unknown.");
                }
                if (e->console_fd >= 0) {
                        r = unix_send_fd(e->console_fd, "/dev/ptmx", fd, "the console socket", reterr_error);
                        safe_close(fd);
                } else
                        r = foreground_show(&e->foreground, fd, reterr_error);
                if (r < 0)
                        return r;
        }
}

static int tell(Exec *e, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r;

        if (e->options->pid_file) {
                text = strformat("%d", e->pid);
                if (!text)
                        return oom(reterr_error);
                r = write_file_atomic_at(AT_FDCWD, e->options->pid_file, text, strlen(text), 0644, false);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot write the pid file \"%s\": %m",
                                               e->options->pid_file);
        }
        if (e->pidfd_sock >= 0) {
                pidfd = pidfd_open_(e->pid);
                if (pidfd < 0)
                        return error_set_errno(reterr_error, pidfd, "Cannot open the process's pidfd: %m");
                return unix_send_fd(e->pidfd_sock, "pidfd", pidfd, "the pidfd socket", reterr_error);
        }
        return 0;
}

static int exec_run(Exec *e, Error *reterr_error) {
        int r;

        r = converse(e, reterr_error);
        if (r < 0)
                return r;
        if (e->clone.pidfd_flags & CLONE_NEWUSER) {
                r = rlimits_apply(e->pid, &e->process, NULL, reterr_error);
                if (r >= 0)
                        r = attributes_apply(e->pid, &e->process, reterr_error);
                if (r < 0)
                        return r;
        }
        r = tell(e, reterr_error);
        if (r < 0)
                return r;
        r = init_continue(e->sock, reterr_error);
        return r < 0 ? r : init_wait_executed(e->sock, reterr_error);
}

static int exec_prepare(Exec *e, Error *reterr_error) {
        int r;

        r = self_protect(e->g->argv, reterr_error);
        if (r < 0)
                return r;
        r = preserved_fds_find(&e->preserved, e->options->n_preserve_fds, reterr_error);
        if (r < 0)
                return r;
        r = connect_sockets(e, reterr_error);
        if (r < 0)
                return r;
        r = open_container(e, reterr_error);
        if (r < 0)
                return r;
        r = prepare_process(e, reterr_error);
        if (r < 0)
                return r;
        r = clone_join_container(&e->clone, &e->state, e->spec, reterr_error);
        if (r < 0)
                return r;
        r = find_cgroup(e, reterr_error);
        if (r < 0)
                return r;
        return e->options->detach ? 0 : foreground_begin(&e->foreground, reterr_error);
}

int container_exec(const GlobalOptions *g, const ExecOptions *o, Error *reterr_error) {
        _cleanup_(exec_done) Exec e = EXEC_INIT;
        int r, code;

        e.g = g;
        e.options = o;
        r = exec_prepare(&e, reterr_error);
        if (r < 0)
                return r;
        r = start(&e, reterr_error);
        if (r >= 0)
                r = exec_run(&e, reterr_error);
        if (r < 0) {
                if (e.pid > 0) {
                        (void) kill(e.pid, SIGKILL);
                        (void) TEMP_FAILURE_RETRY(waitpid(e.pid, NULL, 0));
                }
                return r;
        }
        if (o->detach)
                return 0;
        r = foreground_wait(&e.foreground, e.pid, &code, reterr_error);
        return r < 0 ? r : code;
}
