/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order matters:
 *   1. what needs the host's /proc, then the mounts, the user's name, the new root;
 *   2. every descriptor but those for the container and the socket is closed before a path of the image's
 *      choice is used: neither a working directory nor a command can be reached through /proc/self/fd of the
 *      host;
 *   3. identity and capabilities, then the search for the command, so that it is found as the container will
 *      find it;
 *   4. "ready", the parent hands over, "go";
 *   5. the seccomp filter last, so that it need not allow what has been done before. Without
 *      no_new_privileges the kernel wants CAP_SYS_ADMIN for it, so then it comes before 3. */

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/apply.h"
#include "runtime/attributes.h"
#include "runtime/hooks.h"
#include "runtime/init.h"
#include "runtime/labels.h"
#include "runtime/plan-prepare.h"
#include "runtime/rlimits.h"
#include "runtime/seccomp-listener.h"
#include "runtime/terminal.h"

typedef struct Init {
        const InitContext *context;
        Task task;
        pid_t pid; /* as the parent sees it; 0: it has not said */
} Init;

/* The parent's "configured". */
typedef struct InitConfigured {
        int32_t pid; /* init's, as the parent sees it */
} InitConfigured;

int error_exit_code(const Error *e) {
        if (error_has_name(e, "CommandNotFound"))
                return EXIT_NOT_FOUND;
        if (error_has_name(e, "CommandNotExecutable"))
                return EXIT_NOT_EXECUTABLE;
        return EXIT_LAUNCH_FAILED;
}

/* ---- messages ---- */

static int message_send(int sock, InitMessageType type, int code, const char *name, const char *sentence,
                        int fd) {
        InitMessage m = { .type = type, .code = code };
        size_t n = 0, l;

        if (name) {
                l = strnlen(name, sizeof(m.text) / 2);
                memcpy(m.text, name, l);
                n = l + 1;
        }
        l = strnlen(sentence, sizeof(m.text) - n - 1);
        memcpy(m.text + n, sentence, l);
        n += l + 1;
        return send_with_fds(sock, &m, offsetof(InitMessage, text) + n, &fd, fd >= 0 ? 1 : 0, MSG_NOSIGNAL);
}

/* Waits for the parent's byte. */
static int message_wait(int sock, Error *reterr_error) {
        char go;

        if (TEMP_FAILURE_RETRY(recv(sock, &go, 1, 0)) != 1)
                return error_set(reterr_error, -EPIPE, "Failed", "The runtime ended during the set-up.");
        return 0;
}

static int ask(int sock, InitMessageType type, const char *text, int fd, Error *reterr_error) {
        int r = message_send(sock, type, 0, NULL, text, fd);

        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot speak to the runtime: %m");
        return message_wait(sock, reterr_error);
}

int init_receive(int sock, InitMessage *ret, int *ret_fd, Error *reterr_error) {
        size_t n_fds = 0, text, name;
        int fds[FDS_MAX];
        ssize_t n;

        n = recv_with_fds(sock, ret, sizeof(*ret), fds, &n_fds, 0);
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        *ret_fd = n_fds > 0 ? fds[0] : -EBADF;
        if (n < (ssize_t) offsetof(InitMessage, text) + 1) {
                *ret_fd = safe_close(*ret_fd);
                return error_set(reterr_error, n < 0 ? (int) n : -EPIPE, "Failed",
                                 "The container's first process ended while it was set up.");
        }

        text = (size_t) n - offsetof(InitMessage, text);
        ret->text[text - 1] = 0;
        if (ret->type != INIT_MESSAGE_FAILED)
                return 0;

        *ret_fd = safe_close(*ret_fd);
        name = strlen(ret->text) + 1;
        return error_set(reterr_error, -ECHILD, ret->text, "%s", name < text ? ret->text + name : "");
}

int init_send_configured(int sock, pid_t pid, Error *reterr_error) {
        const InitConfigured m = { .pid = pid };

        if (send(sock, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
                return error_set_errno(reterr_error, -errno, "Cannot speak to the container's process: %m");
        return 0;
}

int init_continue(int sock, Error *reterr_error) {
        if (send(sock, "", 1, MSG_NOSIGNAL) != 1)
                return error_set_errno(reterr_error, -errno, "Cannot let the container's process go on: %m");
        return 0;
}

int init_wait_executed(int report_fd, Error *reterr_error) {
        char text[INIT_MESSAGE_MAX];
        size_t n = 0;

        while (n < sizeof(text) - 1) {
                ssize_t k = TEMP_FAILURE_RETRY(read(report_fd, text + n, sizeof(text) - 1 - n));

                if (k <= 0)
                        break;
                n += (size_t) k;
        }
        text[n] = 0;
        return n == 0 ? 0 : error_set(reterr_error, -ECHILD, "Failed", "%s", text);
}

/* ---- 1. before the new root ---- */

/* The parent ignores some signals (SIGPIPE) and may block others; both would be inherited. */
static int reset_signals(void) {
        struct sigaction action = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int signo = 1; signo < _NSIG; signo++)
                if (signo != SIGKILL && signo != SIGSTOP && sigaction(signo, &action, NULL) < 0 &&
                    errno != EINVAL)
                        return -errno;
        sigemptyset(&none);
        return RET_NERRNO(sigprocmask(SIG_SETMASK, &none, NULL));
}

static int die_with_parent(const InitContext *c, Error *reterr_error) {
        /* That the launcher's init is no child of its parent has a reason. */
        if (c->clone->sibling || prctl(PR_SET_PDEATHSIG, SIGKILL) >= 0)
                return 0;
        return error_set_errno(reterr_error, -errno, "Cannot ask for a signal at the runtime's end: %m");
}

static int new_session(bool keep_keyring, Error *reterr_error) {
        if (setsid() < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a session: %m");
        if (keep_keyring)
                return 0;
        /* Keys of the parent's session are not for the container. Not every kernel, and not every host that
         * is itself a container, has keyrings; a user has only so many. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS &&
            errno != EPERM && errno != EDQUOT)
                return error_set_errno(reterr_error, -errno, "Cannot make a session keyring: %m");
        return 0;
}

static int receive_configured(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        InitConfigured m;

        if (TEMP_FAILURE_RETRY(recv(c->sock, &m, sizeof(m), 0)) != sizeof(m))
                return error_set(reterr_error, -EPIPE, "Failed", "The runtime ended during the set-up.");
        i->pid = m.pid;
        if (c->state)
                c->state->pid = m.pid;
        return 0;
}

static int wait_configured(Init *i, Error *reterr_error) {
        return i->context->configured ? receive_configured(i, reterr_error) : 0;
}

/* Root of the user namespace, as far as it has one: what is made now is to be its. */
static int become_root(const InitContext *c, Error *reterr_error) {
        if (!c->user_namespace)
                return 0;
        if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
                return error_set_errno(reterr_error, -errno, "Cannot become root of the user namespace: %m");
        /* What changes its user forgets this. */
        return die_with_parent(c, reterr_error);
}

static int set_names(const RuntimeSpec *s, Error *reterr_error) {
        if (!isempty(s->hostname) && sethostname(s->hostname, strlen(s->hostname)) < 0)
                return error_set(reterr_error, -errno, "InvalidArgument",
                                 "Cannot set the host name to \"%s\": %m", s->hostname);
        if (!isempty(s->domainname) && setdomainname(s->domainname, strlen(s->domainname)) < 0)
                return error_set(reterr_error, -errno, "InvalidArgument",
                                 "Cannot set the domain name to \"%s\": %m", s->domainname);
        return 0;
}

/* While this process still has the ids it was made with: /proc/self/timens_offsets is writable only to them.
 */
static int make_late_namespaces(const InitContext *c, Error *reterr_error) {
        if (c->unshare_flags != 0 && unshare((int) c->unshare_flags) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make the container's namespaces: %m");
        return c->unshare_flags & CLONE_NEWTIME ? time_namespace_enter(c->spec, reterr_error) : 0;
}

static int set_up_namespaces(const InitContext *c, Error *reterr_error) {
        int r;

        r = set_names(c->spec, reterr_error);
        if (r < 0)
                return r;
        if (c->plan->loopback) {
                r = loopback_up();
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot set the loopback interface up: %m");
        }
        return 0;
}

static bool has_hooks(const InitContext *c, HookType type) {
        return c->state && c->spec->hooks[type].n > 0;
}

/* Where the parent is bound to some CPUs, that is not for the container, unless the parent is a unit's,
 * which has a property for it, or an exec is to be so. */
static int set_affinity(const InitContext *c, Error *reterr_error) {
        const ProcessSpec *p = c->process;

        if (!c->plan && (p->exec_cpus_initial.n_words > 0 || p->exec_cpus_final.n_words > 0))
                return attributes_set_affinity(0, &p->exec_cpus_final, reterr_error);
        if (c->plan && !c->state)
                return 0;
        return attributes_reset_affinity(0, reterr_error);
}

/* Hooks that this process runs are in the container, and are told its number there. */
static int run_hooks(const InitContext *c, HookType type, ContainerStatus status, Error *reterr_error) {
        ContainerState inside;

        if (!has_hooks(c, type))
                return 0;
        inside = *c->state;
        inside.pid = getpid();
        return hooks_run(c->spec->hooks, type, &inside, status, -EBADF, reterr_error);
}

/* ---- 2. to the new root ---- */

static int close_descriptors(const InitContext *c, Error *reterr_error) {
        int except[PRESERVE_FDS_MAX + 4], r;
        size_t n = 0;

        for (size_t i = 0; c->preserved && i < c->preserved->n; i++) {
                int fd = c->preserved->fds[i];

                r = fd_set_cloexec(fd, false);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot preserve descriptor %d: %m", fd);
                except[n++] = fd;
        }
        except[n++] = c->sock;
        if (c->start_fd >= 0)
                except[n++] = c->start_fd;
        if (c->report_fd >= 0)
                except[n++] = c->report_fd;
        if (c->listener_sock >= 0)
                except[n++] = c->listener_sock;
        r = close_all_fds_except(except, n);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot close descriptors: %m");
        return 0;
}

static int build_root(Init *i, int *ret_root_fd, Error *reterr_error) {
        const InitContext *c = i->context;
        _cleanup_(apply_freep) Apply *a = NULL;
        int r;

        if (c->pid_fd >= 0) {
                r = plan_prepare_proc(c->plan, c->pid_fd, reterr_error);
                if (r < 0)
                        return r;
                /* For hooks, and in the end for the container: this process stays where it is. */
                if (setns(c->pid_fd, CLONE_NEWPID) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot join the pid namespace: %m");
        }
        r = plan_apply(c->plan, &a, reterr_error);
        if (r < 0)
                return r;
        if (has_hooks(c, HOOK_PRESTART) || has_hooks(c, HOOK_CREATE_RUNTIME)) {
                r = ask(c->sock, INIT_MESSAGE_HOOKS, "", -EBADF, reterr_error);
                if (r < 0)
                        return r;
        }
        r = run_hooks(c, HOOK_CREATE_CONTAINER, CONTAINER_CREATING, reterr_error);
        if (r < 0)
                return r;
        r = plan_protect(a, reterr_error);
        if (r < 0)
                return r;
        *ret_root_fd = fd_dup(apply_root_fd(a));
        if (*ret_root_fd < 0)
                return error_set_errno(reterr_error, *ret_root_fd, "Cannot use the container's root: %m");
        return 0;
}

void environment_forget(char **instead) {
        static char *none[] = { NULL };

        for (char **variable = environ; *variable; variable++)
                explicit_bzero(*variable, strlen(*variable));
        environ = instead ?: none;
}

static int enter_root(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        if (c->plan) {
                r = build_root(i, &root_fd, reterr_error);
                if (r < 0)
                        return r;
                /* Not for hooks, which are behind this process now, but while /proc is the host's. */
                r = labels_apply(c->process, reterr_error);
                if (r < 0)
                        return r;
        } else {
                root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (root_fd < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot open the container's root: %m");
        }
        r = task_find_user(&i->task, root_fd, reterr_error);
        if (r < 0)
                return r;
        if (c->plan) {
                r = plan_enter(c->plan, root_fd, c->no_pivot, reterr_error);
                if (r < 0)
                        return r;
        }

        root_fd = safe_close(root_fd);
        environment_forget(i->task.env);
        return close_descriptors(c, reterr_error);
}

/* Others are in a pid namespace that is joined, some perhaps with CAP_SYS_PTRACE: by /proc/PID of who is still in the
 * host's root they would get there. The process that has done everything up to here stays out of their sight. */
static int enter_pid_namespace(Init *i, Error *reterr_error) {
        struct clone_args args = { .flags = CLONE_PARENT };
        const InitContext *c = i->context;
        pid_t pid;
        int r;

        if (c->pid_fd < 0)
                return 0;
        pid = (pid_t) RET_NERRNO((int) syscall(SYS_clone3, &args, sizeof(args)));
        if (pid == -ENOMEM)
                return error_set(reterr_error, pid, "InvalidState",
                                 "Cannot join the pid namespace: its first process has ended.");
        if (pid < 0)
                return error_set_errno(reterr_error, pid, "Cannot fork: %m");
        if (pid > 0) {
                (void) message_send(c->sock, INIT_MESSAGE_MOVED, pid, NULL, "", -EBADF);
                _exit(EXIT_SUCCESS);
        }

        r = die_with_parent(c, reterr_error);
        if (r < 0)
                return r;
        r = new_session(true, reterr_error);
        return r < 0 ? r : receive_configured(i, reterr_error);
}

static int open_terminal(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        _cleanup_close_ int master = -EBADF;
        int r;

        if (!c->process->terminal)
                return 0;
        r = terminal_open(c->process->console_height, c->process->console_width, i->task.user.uid,
                          c->plan != NULL, &master, reterr_error);
        if (r < 0)
                return r;
        r = message_send(c->sock, INIT_MESSAGE_TERMINAL, 0, NULL, "", master);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot pass the terminal on: %m");
        return 0;
}

/* ---- all of it ---- */

static int install_seccomp(const Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        _cleanup_free_ char *message = NULL;
        int r;

        if (!c->seccomp)
                return 0;
        if (c->listener_sock >= 0) {
                message = seccomp_listener_message(c->spec->seccomp, c->listener_state,
                                                   c->plan ? CONTAINER_CREATING : CONTAINER_RUNNING, i->pid);
                if (!message)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                return seccomp_install_with_listener(c->seccomp, c->listener_sock, message, reterr_error);
        }
        r = seccomp_install(c->seccomp);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot install the seccomp filter: %m");
        return 0;
}

static int prepare_namespaces(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        int r;

        r = reset_signals();
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot reset the signals: %m");
        r = die_with_parent(c, reterr_error);
        if (r < 0)
                return r;
        r = new_session(c->keep_keyring, reterr_error);
        if (r < 0)
                return r;
        r = wait_configured(i, reterr_error);
        if (r < 0)
                return r;
        /* A process that joins has done so before that. */
        if (c->plan && !c->user_namespace) {
                r = oom_score_apply(0, c->process, &i->task.notes, reterr_error);
                if (r < 0)
                        return r;
        }
        r = set_affinity(c, reterr_error);
        if (r < 0)
                return r;
        r = clone_join_rest(c->clone, reterr_error);
        if (r < 0)
                return r;
        r = make_late_namespaces(c, reterr_error);
        if (r < 0)
                return r;
        r = become_root(c, reterr_error);
        if (r < 0)
                return r;
        /* The maps have been written, and nothing more is done to it by way of /proc/PID. */
        (void) prctl(PR_SET_DUMPABLE, 0);
        return c->plan ? set_up_namespaces(c, reterr_error) : 0;
}

static int init_prepare(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        int r;

        r = prepare_namespaces(i, reterr_error);
        if (r < 0)
                return r;

        (void) umask(0); /* modes are as the plan says */
        r = enter_root(i, reterr_error);
        if (r < 0)
                return r;
        r = enter_pid_namespace(i, reterr_error);
        if (r < 0)
                return r;
        r = open_terminal(i, reterr_error);
        if (r < 0)
                return r;
        r = task_change_directory(&i->task, false, reterr_error);
        if (r < 0)
                return r;
        (void) umask(c->process->umask);

        if (!c->user_namespace) {
                r = rlimits_apply(0, c->process, &i->task.notes, reterr_error);
                if (r >= 0)
                        r = attributes_apply(0, c->process, reterr_error);
                if (r < 0)
                        return r;
        }
        r = attributes_apply_self(c->spec, reterr_error);
        if (r < 0)
                return r;
        r = task_limit_caps(&i->task, reterr_error);
        if (r < 0)
                return r;
        if (c->process->no_new_privileges) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot set no_new_privs: %m");
        } else {
                r = install_seccomp(i, reterr_error);
                if (r < 0)
                        return r;
        }
        r = task_own_stdio(&i->task, reterr_error);
        if (r < 0)
                return r;
        r = task_become_user(&i->task, reterr_error);
        if (r < 0)
                return r;
        if (i->task.cwd_pending) {
                r = task_change_directory(&i->task, true, reterr_error);
                if (r < 0)
                        return r;
        }
        return task_find_command(&i->task, reterr_error);
}

/* The byte that `start` writes. This process has the FIFO open for writing as well: there is no end of file.
 */
static int wait_start(const InitContext *c, Error *reterr_error) {
        char byte;

        if (c->start_fd >= 0 && TEMP_FAILURE_RETRY(read(c->start_fd, &byte, 1)) != 1)
                return error_set_errno(reterr_error, -errno, "Cannot wait for the start: %m");
        return 0;
}

/* Behind the hand-over. Without anybody who listens there is only the container's own stderr to say it. */
_noreturn_ static void die(const InitContext *c, const Error *e) {
        if (c->report_fd < 0 || write_full(c->report_fd, error_message(e), strlen(error_message(e))) < 0)
                dprintf(STDERR_FILENO, "mooring: %s\n", error_message(e));
        _exit(error_exit_code(e));
}

_noreturn_ void init_run(InitContext *context) {
        Init i = {
                .context = context,
                .task = { .spec = context->spec, .process = context->process },
        };
        _cleanup_error_ Error e = ERROR_NULL;

        if (init_prepare(&i, &e) < 0) {
                (void) message_send(context->sock, INIT_MESSAGE_FAILED, error_exit_code(&e), error_name(&e),
                                    error_message(&e), -EBADF);
                _exit(error_exit_code(&e));
        }
        /* Again, where it is wanted: who changes its user has lost it. */
        (void) prctl(PR_SET_PDEATHSIG, context->tied ? SIGKILL : 0);
        if (context->transparent)
                (void) prctl(PR_SET_DUMPABLE, 1);
        /* If the parent is gone nobody knows of this process. */
        if (ask(context->sock, INIT_MESSAGE_READY, strempty(i.task.notes), -EBADF, NULL) < 0)
                _exit(EXIT_LAUNCH_FAILED);

        if (wait_start(context, &e) < 0)
                die(context, &e);
        if (run_hooks(context, HOOK_START_CONTAINER, CONTAINER_CREATED, &e) < 0)
                die(context, &e);
        if (context->process->no_new_privileges && install_seccomp(&i, &e) < 0)
                die(context, &e);
        (void) task_execute(&i.task, &e);
        die(context, &e);
}
