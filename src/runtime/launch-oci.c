/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*   launcher                                              runtime
 *   ----------------------------------------------------  --------------------------------------------------
 *   mount and cgroup namespace, root, user by number,
 *   oci/config.json in the bundle
 *   create -------------------------------------------->  the container's process, which waits; ends
 *   <--------------------------------------------------   pid file; the terminal, if it has one: to moored
 *   MAINPID=, READY=1
 *   start --------------------------------------------->  lets it go; ends
 *   exit
 *
 * With the runtime gone, the process is a child of PID 1, as one that mooring makes.
 *
 * The root is mounted in a mount namespace of this launcher's own, of which the runtime makes a copy for the
 * container: nothing appears on the host. In a cgroup namespace whose root is the unit's group, with a file
 * system of it on /sys/fs/cgroup, the runtime sees no other group and can neither leave the unit's nor
 * change those above.
 *
 * The specification becomes one that any runtime understands: users by number, the profile of system calls
 * in its place, none of the annotations that speak to mooring. Devices are the unit's DeviceAllow=, so that
 * the runtime is told to allow all. */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/apply.h"
#include "runtime/launch-aside.h"
#include "runtime/launch-oci.h"
#include "runtime/mounts.h"
#include "runtime/task.h"
#include "runtime/terminal.h"

#define OCI_VERSION_OLD "1.0.0" /* nothing newer is made use of, and some refuse what they do not know */
#define OCI_DIR "oci"           /* in the bundle: the runtime's bundle, and in it: */
#define STATE_DIR "state"
#define PID_FILE "pid"
#define LOG_FILE "log"
#define CONSOLE_SOCKET "console"
#define CONSOLE_NAME_MAX 4096U
#define CONSOLE_TIMEOUT_MSEC 5000 /* runc and crun have sent it before they end */
#define LOG_MAX (64U * 1024)
#define PID_TEXT_MAX 32U
#define ANNOTATION_PREFIX "org.moored."

struct OciLaunch {
        const char *program; /* the specification's */
        const char *id;      /* the bundle's last component */
        char *dir;           /* the runtime's bundle */
        pid_t pid;           /* the container's process */
        int pidfd;
        bool started;
        Aside aside;
};

OciLaunch *oci_launch_free(OciLaunch *l) {
        if (!l)
                return NULL;

        if (l->pidfd >= 0 && !l->started)
                (void) pidfd_kill(l->pidfd, SIGKILL);
        if (l->pid > 0)
                aside_step_back(&l->aside, l->pid);
        free(l->dir);
        safe_close(l->pidfd);
        aside_done(&l->aside);
        free(l);
        return NULL;
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int oci_launch_new(const Prepared *p, const char *bundle, OciLaunch **ret, Error *reterr_error) {
        _cleanup_(oci_launch_freep) OciLaunch *l = calloc(1, sizeof(*l));

        if (!l)
                return oom(reterr_error);
        l->pidfd = -EBADF;
        l->aside = ASIDE_NULL;
        l->program = runtime_spec_annotation(p->spec, ANNOTATION_RUNTIME);
        l->id = strrchr(bundle, '/') + 1;
        l->dir = path_join(bundle, OCI_DIR);
        if (!l->dir)
                return oom(reterr_error);
        *ret = TAKE_PTR(l);
        return 0;
}

/* ---- the program ---- */

/* The last error that it has written to its log: an object a line. NULL: none. */
static char *read_log(const OciLaunch *l) {
        _cleanup_free_ char *path = path_join(l->dir, LOG_FILE), *text = NULL, *message = NULL;
        _cleanup_strv_free_ char **lines = NULL;

        if (!path || read_file_at(AT_FDCWD, path, LOG_MAX, &text, NULL) < 0)
                return NULL;
        lines = strv_split(text, "\n");
        STRV_FOREACH (line, lines) {
                _cleanup_json_ json_t *j = NULL;
                const char *level, *m;

                if (json_parse(line, strlen(line), LOG_MAX, &j, NULL) < 0)
                        continue;
                level = json_get_string(j, "level");
                m = json_get_string(j, "msg");
                if (m && streq_ptr(level, "error") && free_and_strdup(&message, m) < 0)
                        return NULL;
        }
        return TAKE_PTR(message);
}

/* By the words that engines look for as well. */
static const char *name_of_failure(const char *message) {
        if (strstr(message, "executable file") && strstr(message, "not found"))
                return "CommandNotFound";
        if (strstr(message, "exec") && strstr(message, "no such file or directory"))
                return "CommandNotFound";
        if (strstr(message, "not executable") ||
            (strstr(message, "ermission denied") && strstr(message, "exec")))
                return "CommandNotExecutable";
        return "Failed";
}

static int failed(const OciLaunch *l, const char *verb, int code, Error *reterr_error) {
        _cleanup_free_ char *message = read_log(l);

        if (!message)
                return error_set(reterr_error, -EIO, "Failed", "\"%s %s\" has failed with exit code %d.",
                                 l->program, verb, code);
        return error_set(reterr_error, -EIO, name_of_failure(message), "%s %s: %s", l->program, verb,
                         message);
}

/* With the service manager's socket it would wait, and pass on what the container says; and what a socket
 * unit passes is the specification's already. */
static int environment(char ***ret) {
        static const char *const left_out[] = { "NOTIFY_SOCKET=", "LISTEN_FDS=", "LISTEN_PID=",
                                                "LISTEN_FDNAMES=" };
        _cleanup_strv_free_ char **env = NULL;

        for (char **variable = environ; *variable; variable++) {
                bool keep = true;

                for (size_t i = 0; i < ELEMENTSOF(left_out); i++)
                        keep = keep && !startswith(*variable, left_out[i]);
                if (keep && strv_extend(&env, *variable) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(env);
        return 0;
}

/* args: what follows the verb, up to NULL. fds: the container's are the runtime's, beside the usual three;
 * else (NULL) only stderr is. */
static int call(const OciLaunch *l, const char *verb, const char *const *args, const PreservedFds *fds,
                Error *reterr_error) {
        _cleanup_strv_free_ char **argv = NULL, **env = NULL;
        _cleanup_free_ char *state = path_join(l->dir, STATE_DIR), *log = path_join(l->dir, LOG_FILE);
        _cleanup_close_ int pidfd = -EBADF;
        int r, code, status;
        pid_t pid;

        if (!state || !log)
                return oom(reterr_error);
        const char *const words[] = { l->program,     "--root", state, "--log", log,
                                      "--log-format", "json",   verb,  NULL };
        STRV_FOREACH (s, words)
                if (strv_extend(&argv, s) < 0)
                        return oom(reterr_error);
        STRV_FOREACH (s, args)
                if (strv_extend(&argv, s) < 0)
                        return oom(reterr_error);
        if (strv_extend(&argv, l->id) < 0 || environment(&env) < 0)
                return oom(reterr_error);

        SpawnSpec spawn = {
                .path = l->program,
                .argv = argv,
                .envp = env,
                .fds = { fds ? STDIN_FILENO : -EBADF, fds ? STDOUT_FILENO : STDERR_FILENO, STDERR_FILENO },
                .n_fds = 3,
                .die_with_parent = true,
        };
        for (size_t i = 0; fds && i < fds->n && spawn.n_fds < SPAWN_FDS_MAX; i++)
                spawn.fds[spawn.n_fds++] = fds->fds[i];
        r = process_spawn(&spawn, &pid, &pidfd, reterr_error);
        if (r < 0)
                return r;
        r = pidfd_wait(pidfd, &code, &status);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for \"%s\": %m", l->program);
        code = process_exit_code(code, status);
        return code == 0 ? 0 : failed(l, verb, code, reterr_error);
}

/* ---- its specification ---- */

static json_t *user_to_json(const Task *t, const ProcessSpec *s) {
        json_t *user = json_pack("{s:I, s:I, s:I}", "uid", (json_int_t) t->user.uid, "gid",
                                 (json_int_t) t->user.gid, "umask", (json_int_t) s->umask);
        json_t *groups = json_array();
        int r = 0;

        for (size_t i = 0; i < t->user.n_groups; i++)
                r |= json_array_append_new(groups, json_integer((json_int_t) t->user.groups[i]));
        if (json_object_set_new(user, "additionalGids", groups) < 0 || r < 0) {
                json_decref(user);
                return NULL;
        }
        return user;
}

static int set_seccomp(json_t *j, const RuntimeSpec *spec, const char *bundle, Error *reterr_error) {
        _cleanup_free_ char *path = path_join(bundle, "seccomp.json"), *text = NULL;
        json_t *profile;
        size_t size;
        int r;

        if (!runtime_spec_annotation(spec, ANNOTATION_SECCOMP))
                return 0;
        if (!path)
                return oom(reterr_error);
        r = read_file_at(AT_FDCWD, path, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", path);
        r = json_parse(text, size, SPEC_SIZE_MAX, &profile, reterr_error);
        if (r < 0)
                return r;
        return json_object_set_new(json_object_get(j, "linux"), "seccomp", profile) < 0 ? oom(reterr_error)
                                                                                        : 0;
}

static int keep_foreign_annotations(json_t *j, const RuntimeSpec *spec) {
        json_t *annotations = json_object();
        int r = 0;

        for (size_t i = 0; i < spec->n_annotations; i++)
                if (!startswith(spec->annotations[i].name, ANNOTATION_PREFIX))
                        r |= json_object_set_new(annotations, spec->annotations[i].name,
                                                 json_string(spec->annotations[i].value));
        r |= json_object_set_new(j, "annotations", annotations);
        return r;
}

/* launch-network.h */
static int set_network(json_t *j, const RuntimeSpec *spec) {
        json_t *namespaces = json_object_get(json_object_get(j, "linux"), "namespaces"), *n;
        size_t i;

        if (!spec->namespaces[NAMESPACE_NETWORK].path)
                return 0;
        json_array_foreach (namespaces, i, n)
                if (streq_ptr(json_get_string(n, "type"), "network"))
                        return json_object_set_new(n, "path", json_string(spec->namespaces[NAMESPACE_NETWORK].path));
        return -1;
}

static int write_spec(const OciLaunch *l, json_t *j, Error *reterr_error) {
        _cleanup_free_ char *text = json_dump(j, false);
        _cleanup_close_ int dir = -EBADF;
        int r;

        if (!text)
                return oom(reterr_error);
        dir = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? -errno : write_file_atomic_at(dir, "config.json", text, strlen(text), 0600, false);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot write \"%s/config.json\": %m", l->dir) : 0;
}

static int make_spec(const OciLaunch *l, const Prepared *p, const char *bundle, const Task *t,
                     Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        json_t *process, *resources;
        int r;

        r = json_parse(p->text, p->text_size, SPEC_SIZE_MAX, &j, reterr_error);
        if (r < 0)
                return r;
        process = json_object_get(j, "process");
        resources = json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 1, "access", "rwm");
        r = json_object_set_new(j, "ociVersion", json_string(OCI_VERSION_OLD));
        r |= json_object_set_new(process, "user", user_to_json(t, &p->spec->process));
        r |= json_object_set_new(process, "env", json_from_strv(t->env));
        r |= json_object_set_new(json_object_get(j, "root"), "path", json_string(RUNTIME_ROOTFS));
        r |= json_object_set_new(json_object_get(j, "linux"), "cgroupsPath", json_string(OCI_LAUNCH_CGROUP));
        r |= json_object_set_new(json_object_get(j, "linux"), "resources", resources);
        r |= keep_foreign_annotations(j, p->spec);
        r |= set_network(j, p->spec);
        if (r < 0)
                return oom(reterr_error);
        r = set_seccomp(j, p->spec, bundle, reterr_error);
        return r < 0 ? r : write_spec(l, j, reterr_error);
}

/* ---- create ---- */

/* What a container that was started before has left in the bundle goes. */
static int make_dir(const OciLaunch *l, const char *bundle, Error *reterr_error) {
        _cleanup_close_ int fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir = -EBADF;
        int r;

        r = fd < 0 ? -errno : rm_rf_at(fd, OCI_DIR);
        if (r >= 0)
                r = dir = mkdirat_open(fd, OCI_DIR, 0700);
        if (r >= 0 && mkdirat(dir, STATE_DIR, 0700) < 0)
                r = -errno;
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot make \"%s\": %m", l->dir) : 0;
}

/* mount(2) does not put a file system on itself. */
static int mount_unit_cgroup(void) {
        _cleanup_close_ int fd = -EBADF, target = -EBADF;

        fd = mount_new("cgroup2", "cgroup2", NULL, 0,
                       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (fd < 0)
                return fd;
        target = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return target < 0 ? -errno : mount_attach(fd, target);
}

/* Of this process's own. */
static int enter_namespaces(Error *reterr_error) {
        int r;

        if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make namespaces for the runtime: %m");
        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot take the mount namespace off the host's: %m");
        r = mount_unit_cgroup();
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot mount the unit's control groups: %m") : 0;
}

static int make_root(const Prepared *p, const char *bundle, Task *t, Error *reterr_error) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        _cleanup_(apply_freep) Apply *a = NULL;
        int r;

        r = plan_new_root(p->spec, bundle, &plan, reterr_error);
        if (r >= 0)
                r = plan_apply(plan, &a, reterr_error);
        if (r < 0)
                return r;
        if (chdir("/") < 0)
                return error_set_errno(reterr_error, -errno, "Cannot change to the root: %m");
        return task_find_user(t, apply_root_fd(a), reterr_error);
}

/* ---- its terminal ---- */

typedef struct Console {
        int dir_fd, fd;
        struct sockaddr_un address; /* by this process's descriptor: it must be short */
} Console;
#define CONSOLE_NULL ((Console){ .dir_fd = -EBADF, .fd = -EBADF, .address.sun_family = AF_UNIX })

static void console_done(Console *c) {
        safe_close(c->dir_fd);
        safe_close(c->fd);
}

static int console_listen(const OciLaunch *l, Console *c, Error *reterr_error) {
        int r;

        r = c->dir_fd = RET_NERRNO(open(l->dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (r >= 0)
                r = c->fd = RET_NERRNO(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (r >= 0) {
                (void) snprintf(c->address.sun_path, sizeof(c->address.sun_path), "/proc/%d/fd/%d/" CONSOLE_SOCKET,
                                getpid(), c->dir_fd);
                r = RET_NERRNO(bind(c->fd, (const struct sockaddr *) &c->address, sizeof(c->address)));
        }
        if (r >= 0)
                r = RET_NERRNO(listen(c->fd, 1));
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot make the socket for the container's terminal: %m")
                     : 0;
}

static int wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r = TEMP_FAILURE_RETRY(poll(&p, 1, CONSOLE_TIMEOUT_MSEC));

        return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

/* The message is a descriptor, with its name, which says nothing here. */
static int receive_master(int console) {
        _cleanup_close_ int sock = -EBADF;
        int fds[FDS_MAX], r;
        char name[CONSOLE_NAME_MAX];
        size_t n_fds = 0;
        ssize_t n;

        r = wait_readable(console);
        if (r < 0)
                return r;
        sock = RET_NERRNO(accept4(console, NULL, NULL, SOCK_CLOEXEC));
        r = sock < 0 ? sock : wait_readable(sock);
        if (r < 0)
                return r;
        n = recv_with_fds(sock, name, sizeof(name), fds, &n_fds, MSG_DONTWAIT);
        if (n < 0)
                return (int) n;
        for (size_t i = 1; i < n_fds; i++)
                safe_close(fds[i]);
        return n_fds > 0 ? fds[0] : -ENOMSG;
}

static int pass_terminal(const Console *c, const RuntimeSpec *spec, Error *reterr_error) {
        _cleanup_close_ int master = receive_master(c->fd);

        if (master < 0)
                return error_set_errno(reterr_error, master, "The runtime has not sent the container's terminal: %m");
        return terminal_hand_over(master, runtime_spec_annotation(spec, ANNOTATION_TERMINAL), reterr_error);
}

/* ---- all of it ---- */

static int read_pid(const char *path, pid_t *ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        int r, pid;

        r = read_file_at(AT_FDCWD, path, PID_TEXT_MAX, &text, NULL);
        if (r >= 0) {
                text[strcspn(text, "\n")] = 0;
                r = parse_int(text, &pid);
        }
        if (r < 0 || pid <= 1)
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "The runtime has not written the container's process number to \"%s\".",
                                 path);
        *ret = pid;
        return 0;
}

int oci_launch_create(const Prepared *p, const char *bundle, const PreservedFds *preserved, OciLaunch **ret,
                      pid_t *ret_pid, Error *reterr_error) {
        _cleanup_(oci_launch_freep) OciLaunch *l = NULL;
        _cleanup_(task_done) Task t = { .spec = p->spec, .process = &p->spec->process };
        _cleanup_(console_done) Console console = CONSOLE_NULL;
        bool terminal = p->spec->process.terminal;
        _cleanup_free_ char *pid_file = NULL;
        char number[24];
        int r;

        if (preserved->n > SPAWN_FDS_MAX - 3)
                return error_set(
                                reterr_error, -E2BIG, "LimitsExceeded",
                                "LISTEN_FDS: with another runtime than mooring there can be %u descriptors, not %zu.",
                                SPAWN_FDS_MAX - 3, preserved->n);
        (void) snprintf(number, sizeof(number), "%zu", preserved->n);
        r = oci_launch_new(p, bundle, &l, reterr_error);
        if (r < 0)
                return r;
        pid_file = path_join(l->dir, PID_FILE);
        if (!pid_file)
                return oom(reterr_error);
        r = make_dir(l, bundle, reterr_error);
        if (r >= 0)
                r = enter_namespaces(reterr_error);
        if (r >= 0)
                r = make_root(p, bundle, &t, reterr_error);
        if (r >= 0)
                r = make_spec(l, p, bundle, &t, reterr_error);
        if (r >= 0 && terminal)
                r = console_listen(l, &console, reterr_error);
        if (r < 0)
                return r;
        r = aside_step(&l->aside);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot leave the container's control group: %m");

        const char *const args[] = { "--bundle", l->dir, "--pid-file", pid_file, "--preserve-fds", number,
                                     terminal ? "--console-socket" : NULL, console.address.sun_path, NULL };
        r = call(l, "create", args, preserved, reterr_error);
        if (r >= 0)
                r = read_pid(pid_file, ret_pid, reterr_error);
        if (r < 0)
                return r;
        l->pid = *ret_pid;
        l->pidfd = pidfd_open_(*ret_pid);
        if (l->pidfd < 0)
                return error_set_errno(reterr_error, l->pidfd, "The container's process is not there: %m");
        if (terminal) {
                r = pass_terminal(&console, p->spec, reterr_error);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int oci_launch_start(OciLaunch *l, Error *reterr_error) {
        int r = call(l, "start", NULL, NULL, reterr_error);

        l->started = r >= 0;
        return r;
}

/* A runtime that could not make the container keeps nothing of it. */
static bool has_state(const OciLaunch *l) {
        _cleanup_free_ char *path = path_join(l->dir, STATE_DIR);

        return path && dir_is_empty_at(AT_FDCWD, path) == 0;
}

int oci_launch_delete(const Prepared *p, const char *bundle, Error *reterr_error) {
        static const char *const args[] = { "--force", NULL };
        _cleanup_(oci_launch_freep) OciLaunch *l = NULL;
        int r;

        r = oci_launch_new(p, bundle, &l, reterr_error);
        if (r < 0)
                return r;
        if (!has_state(l))
                return 0;
        r = enter_namespaces(reterr_error);
        return r < 0 ? r : call(l, "delete", args, NULL, reterr_error);
}
