/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order matters:
 *   1. what needs the host's /proc (oom_score_adj), then the mounts, the user's name, the new root;
 *   2. every descriptor but 0, 1, 2 and the socket is closed before a path of the image's choice is used:
 *      neither a working directory nor a command can be reached through /proc/self/fd of the host;
 *   3. identity and capabilities, then the search for the command, so that it is found as the container will
 *      find it;
 *   4. "ready", the launcher hands over to the service manager, "go";
 *   5. the seccomp filter last, so that it need not allow what has been done before. Without
 *      no_new_privileges the kernel wants CAP_SYS_ADMIN for it, so then it comes before 3. */

#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/apply.h"
#include "runtime/init.h"
#include "runtime/mounts.h"
#include "runtime/user.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct Init {
        const InitContext *context;
        UserInfo user;
        CapSets caps;
        char **env;
        char *command; /* what is executed */
        char *notes;   /* what could not be had */
        bool cwd_pending;
} Init;

int error_exit_code(const Error *e) {
        if (error_has_name(e, "CommandNotFound"))
                return EXIT_NOT_FOUND;
        if (error_has_name(e, "CommandNotExecutable"))
                return EXIT_NOT_EXECUTABLE;
        return EXIT_LAUNCH_FAILED;
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int add_note(Init *i, char *note, Error *reterr_error) {
        _cleanup_free_ char *n = note;
        char *all;

        if (!n)
                return oom(reterr_error);
        all = i->notes ? strjoin(i->notes, " ", n) : strdup(n);
        if (!all)
                return oom(reterr_error);
        free(i->notes);
        i->notes = all;
        return 0;
}

/* ---- 1. before the new root ---- */

/* The service manager ignores some signals (SIGPIPE) and may block others; both would be inherited. */
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

static int join_namespaces(const InitContext *c, Error *reterr_error) {
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++) {
                /* The pid namespace was joined before clone3(): a process cannot change its own. */
                if (c->namespace_fds[t] < 0 || t == NAMESPACE_PID)
                        continue;
                if (setns(c->namespace_fds[t], (int) namespace_clone_flag(t)) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot join the %s namespace: %m",
                                               namespace_type_to_string(t));
        }
        return 0;
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

static int set_oom_score(Init *i, Error *reterr_error) {
        const RuntimeSpec *s = i->context->spec;
        _cleanup_close_ int fd = -EBADF;
        char value[16];
        int r;

        if (!s->process.has_oom_score_adj)
                return 0;

        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open /proc/self/oom_score_adj: %m");
        r = write_full(fd, value,
                       (size_t) snprintf(value, sizeof(value), "%jd", (intmax_t) s->process.oom_score_adj));
        if (r == -EACCES || r == -EPERM)
                return add_note(i,
                                strformat("oom_score_adj stays as it is: CAP_SYS_RESOURCE is missing here."),
                                reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set oom_score_adj to %jd: %m",
                                       (intmax_t) s->process.oom_score_adj);
        return 0;
}

static int new_session(Error *reterr_error) {
        if (setsid() < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a session: %m");
        /* Keys of the service manager's session are not for the container. Not every kernel, and not every
         * host that is itself a container, has keyrings. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS &&
            errno != EPERM)
                return error_set_errno(reterr_error, -errno, "Cannot make a session keyring: %m");
        return 0;
}

/* ---- who ---- */

static int add_groups(Init *i, const UserDatabase *d, const char *list, Error *reterr_error) {
        _cleanup_strv_free_ char **names = strv_split(list, ",");
        int r;

        if (!names)
                return oom(reterr_error);
        STRV_FOREACH(name, names) {
                r = user_add_group(d, name, &i->user, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_numeric_user(Init *i, const UserDatabase *d, Error *reterr_error) {
        const RuntimeSpec *s = i->context->spec;

        i->user.uid = s->process.uid;
        i->user.gid = s->process.gid;
        if (d)
                i->user.home = user_home(d, s->process.uid);
        if (s->process.n_groups == 0)
                return 0;
        i->user.groups = calloc(s->process.n_groups, sizeof(gid_t));
        if (!i->user.groups)
                return oom(reterr_error);
        memcpy(i->user.groups, s->process.groups, s->process.n_groups * sizeof(gid_t));
        i->user.n_groups = s->process.n_groups;
        return 0;
}

static int find_user(Init *i, int root_fd, Error *reterr_error) {
        const RuntimeSpec *s = i->context->spec;
        const char *user = runtime_spec_annotation(s, ANNOTATION_USER);
        const char *groups = runtime_spec_annotation(s, ANNOTATION_GROUPS);
        _cleanup_(user_database_done) UserDatabase d = {};
        bool wants_home = !strv_env_get(s->process.env, "HOME"), wants_database = user || groups || wants_home;
        int r;

        if (wants_database) {
                r = user_database_read(root_fd, &d, reterr_error);
                if (r < 0)
                        return r;
        }

        if (user)
                r = user_resolve(&d, user, &i->user, reterr_error);
        else
                r = take_numeric_user(i, wants_database ? &d : NULL, reterr_error);
        if (r < 0)
                return r;
        if (!isempty(groups)) {
                r = add_groups(i, &d, groups, reterr_error);
                if (r < 0)
                        return r;
        }

        i->env = strv_copy(s->process.env);
        if (!i->env && s->process.env)
                return oom(reterr_error);
        if (wants_home && strv_extendf(&i->env, "HOME=%s", isempty(i->user.home) ? "/" : i->user.home) < 0)
                return oom(reterr_error);
        return 0;
}

/* ---- 2. in the new root ---- */

/* "/…", or "(unreachable)…" if the directory is not below the root: a path of /proc/self/fd's kind could
 * lead there. */
static int check_cwd(const char *cwd, Error *reterr_error) {
        _cleanup_free_ char *actual = getcwd(NULL, 0);

        if (!actual || actual[0] != '/')
                return error_set(reterr_error, -EPERM, "InvalidArgument",
                                 "The working directory \"%s\" leads out of the container.", cwd);
        return 0;
}

static int change_directory(Init *i, bool last, Error *reterr_error) {
        const char *cwd = i->context->spec->process.cwd;

        if (chdir(cwd) >= 0) {
                i->cwd_pending = false;
                return check_cwd(cwd, reterr_error);
        }
        /* A file system that does not let root in may let the user in. */
        if (errno == EACCES && !last) {
                i->cwd_pending = true;
                return 0;
        }
        return error_set(reterr_error, -errno, "InvalidArgument",
                         "Cannot change to the working directory \"%s\": %m", cwd);
}

/* ---- 3. identity ---- */

static int set_rlimit(Init *i, int resource, const SpecRlimit *l, Error *reterr_error) {
        struct rlimit wanted = { .rlim_cur = l->soft, .rlim_max = l->hard }, old;

        if (setrlimit((__rlimit_resource_t) resource, &wanted) >= 0)
                return 0;
        if (errno != EPERM || getrlimit((__rlimit_resource_t) resource, &old) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set %s: %m",
                                       rlimit_to_string(resource));

        /* Raising the hard limit takes a capability that the host, itself a container perhaps, may not have:
         * as much as there is then. */
        wanted.rlim_max = MIN(wanted.rlim_max, old.rlim_max);
        wanted.rlim_cur = MIN(wanted.rlim_cur, wanted.rlim_max);
        if (setrlimit((__rlimit_resource_t) resource, &wanted) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set %s: %m",
                                       rlimit_to_string(resource));
        return add_note(i,
                        strformat("%s is limited to %ju: CAP_SYS_RESOURCE is missing here.",
                                  rlimit_to_string(resource), (uintmax_t) wanted.rlim_max),
                        reterr_error);
}

static int set_rlimits(Init *i, Error *reterr_error) {
        const RuntimeSpec *s = i->context->spec;
        int r;

        for (int k = 0; k < RLIM_NLIMITS; k++) {
                if (!s->process.rlimits[k].wanted)
                        continue;
                r = set_rlimit(i, k, &s->process.rlimits[k], reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int limit_caps(Init *i, Error *reterr_error) {
        uint64_t available, missing;
        int r;

        r = caps_available(&available);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the capabilities: %m");

        i->caps = i->context->spec->process.caps;
        caps_limit(&i->caps, available, &missing);
        for (unsigned k = 0; missing != 0 && k < 64; k++) {
                if (!(missing & UINT64_C(1) << k))
                        continue;
                r = add_note(i, strformat("%s is missing here.", cap_name_from_number(k)), reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int become_user(Init *i, Error *reterr_error) {
        const UserInfo *u = &i->user;
        int r;

        r = caps_drop_bounding(i->caps.sets[CAP_SET_BOUNDING]);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot drop capabilities: %m");

        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(u->n_groups, u->groups) < 0 ||
            setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0 ||
            prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot become user %u, group %u: %m", u->uid,
                                       u->gid);

        r = caps_apply(&i->caps);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set the capabilities: %m");
        return 0;
}

/* ---- the command ---- */

/* 0 if path can be executed, as far as can be told without doing it; else why not. */
static int check_executable(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        /* By the effective ids, and a mount without execution counts. */
        return RET_NERRNO(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS));
}

static int command_error(int r, const char *name, const char *path, Error *reterr_error) {
        if (r == -ENOENT || r == -ENOTDIR)
                return error_set(reterr_error, r, "CommandNotFound",
                                 "The command \"%s\" does not exist in the container.", name);
        if (r == -EISDIR)
                return error_set(reterr_error, r, "CommandNotExecutable",
                                 "The command \"%s\" is a directory.", path);
        return error_set(reterr_error, r, "CommandNotExecutable",
                         "The command \"%s\" cannot be executed: %m", path);
}

static int find_command(Init *i, Error *reterr_error) {
        const char *name = i->context->spec->process.args[0], *path;
        _cleanup_strv_free_ char **dirs = NULL;
        int denied = 0, r;
        _cleanup_free_ char *denied_path = NULL;

        if (strchr(name, '/')) {
                r = check_executable(name);
                if (r < 0)
                        return command_error(r, name, name, reterr_error);
                i->command = strdup(name);
                return i->command ? 0 : oom(reterr_error);
        }

        path = strv_env_get(i->env, "PATH");
        dirs = strv_split(path ?: PATH_DEFAULT, ":");
        if (!dirs)
                return oom(reterr_error);
        STRV_FOREACH(dir, dirs) {
                _cleanup_free_ char *full = path_join(dir, name);

                if (!full)
                        return oom(reterr_error);
                r = check_executable(full);
                if (r >= 0) {
                        i->command = TAKE_PTR(full);
                        return 0;
                }
                if (denied == 0 && r != -ENOENT && r != -ENOTDIR) {
                        denied = r;
                        denied_path = TAKE_PTR(full);
                }
        }

        if (denied < 0)
                return command_error(denied, name, denied_path, reterr_error);
        return error_set(reterr_error, -ENOENT, "CommandNotFound",
                         "The command \"%s\" is in no directory of the container's PATH (%s).", name,
                         path ?: PATH_DEFAULT);
}

/* ---- all of it ---- */

static int enter_root(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        r = plan_apply(c->plan, &root_fd, reterr_error);
        if (r < 0)
                return r;
        r = find_user(i, root_fd, reterr_error);
        if (r < 0)
                return r;
        r = mount_pivot(root_fd);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot change the root: %m");

        root_fd = safe_close(root_fd);
        r = close_all_fds_except(&c->sock, 1);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot close descriptors: %m");
        return change_directory(i, false, reterr_error);
}

static int install_seccomp(const Init *i, Error *reterr_error) {
        int r;

        if (!i->context->seccomp)
                return 0;
        r = seccomp_install(i->context->seccomp);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot install the seccomp filter: %m");
        return 0;
}

static int init_prepare(Init *i, Error *reterr_error) {
        const InitContext *c = i->context;
        int r;

        r = reset_signals();
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot reset the signals: %m");
        r = new_session(reterr_error);
        if (r < 0)
                return r;
        r = join_namespaces(c, reterr_error);
        if (r < 0)
                return r;
        r = set_names(c->spec, reterr_error);
        if (r < 0)
                return r;
        if (c->plan->loopback) {
                r = loopback_up();
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot set the loopback interface up: %m");
        }
        r = set_oom_score(i, reterr_error);
        if (r < 0)
                return r;

        (void) umask(0); /* modes are as the plan says */
        r = enter_root(i, reterr_error);
        if (r < 0)
                return r;
        (void) umask(c->spec->process.umask);

        r = set_rlimits(i, reterr_error);
        if (r < 0)
                return r;
        r = limit_caps(i, reterr_error);
        if (r < 0)
                return r;
        if (c->spec->process.no_new_privileges) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot set no_new_privs: %m");
        } else {
                r = install_seccomp(i, reterr_error);
                if (r < 0)
                        return r;
        }
        r = become_user(i, reterr_error);
        if (r < 0)
                return r;
        if (i->cwd_pending) {
                r = change_directory(i, true, reterr_error);
                if (r < 0)
                        return r;
        }
        return find_command(i, reterr_error);
}

static bool message_send(int sock, int code, const char *name, const char *sentence) {
        InitMessage m = { .code = code };
        size_t n = 0, l;

        if (name) {
                l = strnlen(name, sizeof(m.text) / 2);
                memcpy(m.text, name, l);
                n = l + 1;
        }
        l = strnlen(sentence, sizeof(m.text) - n - 1);
        memcpy(m.text + n, sentence, l);
        n += l + 1;
        return send(sock, &m, offsetof(InitMessage, text) + n, MSG_NOSIGNAL) >= 0;
}

/* 4. False if the launcher is gone, in which case nobody knows of this process. */
static bool hand_over(Init *i) {
        char go;

        return message_send(i->context->sock, 0, NULL, strempty(i->notes)) &&
               TEMP_FAILURE_RETRY(recv(i->context->sock, &go, 1, 0)) == 1;
}

/* Behind the hand-over there is only the container's own stderr to say it. */
_noreturn_ static void die(const Error *e) {
        dprintf(STDERR_FILENO, "mooring: %s\n", error_message(e));
        _exit(error_exit_code(e));
}

_noreturn_ void init_run(InitContext *context) {
        Init i = { .context = context };
        _cleanup_error_ Error e = ERROR_NULL;

        if (init_prepare(&i, &e) < 0) {
                (void) message_send(context->sock, error_exit_code(&e), error_name(&e), error_message(&e));
                _exit(error_exit_code(&e));
        }
        if (!hand_over(&i))
                _exit(EXIT_LAUNCH_FAILED);

        if (context->spec->process.no_new_privileges && install_seccomp(&i, &e) < 0)
                die(&e);
        (void) execve(i.command, context->spec->process.args, i.env ?: (char *[]) { NULL });
        command_error(-errno, context->spec->process.args[0], i.command, &e);
        die(&e);
}
