/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/plan.h"
#include "runtime/rlimits.h"
#include "runtime/task.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void task_done(Task *t) {
        user_info_done(&t->user);
        strv_free(t->env);
        free(t->command);
        free(t->notes);
}

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

/* ---- who ---- */

static int add_groups(Task *t, const UserDatabase *d, const char *list, Error *reterr_error) {
        _cleanup_strv_free_ char **names = strv_split(list, ",");
        int r;

        if (!names)
                return oom(reterr_error);
        STRV_FOREACH (name, names) {
                r = user_add_group(d, name, &t->user, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_numeric_user(Task *t, const UserDatabase *d, Error *reterr_error) {
        const ProcessSpec *s = t->process;

        t->user.uid = s->uid;
        t->user.gid = s->gid;
        if (d)
                t->user.home = user_home(d, s->uid);
        if (s->n_groups == 0)
                return 0;
        t->user.groups = calloc(s->n_groups, sizeof(gid_t));
        if (!t->user.groups)
                return oom(reterr_error);
        memcpy(t->user.groups, s->groups, s->n_groups * sizeof(gid_t));
        t->user.n_groups = s->n_groups;
        return 0;
}

int task_find_user(Task *t, int root_fd, Error *reterr_error) {
        /* A process that joins is said in numbers. */
        bool first = t->process == &t->spec->process;
        const char *user = first ? runtime_spec_annotation(t->spec, ANNOTATION_USER) : NULL;
        const char *groups = first ? runtime_spec_annotation(t->spec, ANNOTATION_GROUPS) : NULL;
        const ProcessSpec *s = t->process;
        _cleanup_(user_database_done) UserDatabase d = {};
        bool wants_home = !strv_env_get(s->env, "HOME"), wants_database = user || groups || wants_home;
        int r;

        if (wants_database) {
                r = user_database_read(root_fd, &d, reterr_error);
                if (r < 0)
                        return r;
        }

        if (user)
                r = user_resolve(&d, user, &t->user, reterr_error);
        else
                r = take_numeric_user(t, wants_database ? &d : NULL, reterr_error);
        if (r < 0)
                return r;
        if (!isempty(groups)) {
                r = add_groups(t, &d, groups, reterr_error);
                if (r < 0)
                        return r;
        }

        t->env = strv_copy(s->env);
        if (!t->env && s->env)
                return oom(reterr_error);
        if (wants_home && strv_extendf(&t->env, "HOME=%s", isempty(t->user.home) ? "/" : t->user.home) < 0)
                return oom(reterr_error);
        return 0;
}

/* ---- where ---- */

/* "/…", or "(unreachable)…" if the directory is not below the root: a path of /proc/self/fd's kind could
 * lead there. */
static int check_cwd(const char *cwd, Error *reterr_error) {
        _cleanup_free_ char *actual = getcwd(NULL, 0);

        if (!actual || actual[0] != '/')
                return error_set(reterr_error, -EPERM, "InvalidArgument",
                                 "The working directory \"%s\" leads out of the container.", cwd);
        return 0;
}

int task_change_directory(Task *t, bool last, Error *reterr_error) {
        const char *cwd = t->process->cwd;

        if (chdir(cwd) >= 0) {
                t->cwd_pending = false;
                return check_cwd(cwd, reterr_error);
        }
        /* A file system that does not let root in may let the user in. */
        if (errno == EACCES && !last) {
                t->cwd_pending = true;
                return 0;
        }
        return error_set(reterr_error, -errno, "InvalidArgument",
                         "Cannot change to the working directory \"%s\": %m", cwd);
}

/* ---- what it may ---- */

int task_limit_caps(Task *t, Error *reterr_error) {
        uint64_t available, missing;
        int r;

        r = caps_available(&available);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the capabilities: %m");

        t->caps = t->process->caps;
        caps_limit(&t->caps, available, &missing);
        for (unsigned k = 0; missing != 0 && k < 64; k++) {
                if (!(missing & UINT64_C(1) << k))
                        continue;
                r = notes_add(&t->notes, strformat("%s is missing here.", cap_name_from_number(k)),
                              reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_null_device(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* The container's instead of the host's: the latter is on a mount of the host, and so a way to it, and no
 * checkpoint could be made of the process. */
static int replace_null_device(int fd, Error *reterr_error) {
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (null < 0 || fstat(null, &st) < 0 || !is_null_device(&st))
                return 0; /* There is none. */
        if (dup2(null, fd) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot replace descriptor %d: %m", fd);
        return 0;
}

/* Whether a descriptor that is the caller's may become the user's: what bytes flow through, and a file that
 * they are written to. Not the host's devices, and not what is only read: it may be any file there is. */
static bool is_for_user(int fd, const struct stat *st) {
        switch (st->st_mode & S_IFMT) {
        case S_IFIFO:
        case S_IFSOCK:
                return true;
        case S_IFCHR:
                return isatty(fd);
        case S_IFREG:
                return (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
        default:
                return false;
        }
}

/* So that the user may open /dev/stdout and the like again. */
int task_own_stdio(const Task *t, Error *reterr_error) {
        struct stat st;
        int r;

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fstat(fd, &st) < 0)
                        continue;
                if (is_null_device(&st)) {
                        r = replace_null_device(fd, reterr_error);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (st.st_uid == t->user.uid || !is_for_user(fd, &st))
                        continue;
                /* EINVAL: an owner that this user namespace does not know. */
                if (fchown(fd, t->user.uid, t->user.gid) < 0 && errno != EINVAL && errno != EPERM &&
                    errno != EROFS)
                        return error_set_errno(reterr_error, -errno,
                                               "Cannot give descriptor %d to user %u: %m", fd, t->user.uid);
        }
        return 0;
}

/* As crun has it: groups that give access to mounts of the host, and that no number in a user namespace
 * stands for. */
static bool keep_groups(const Task *t) {
        const char *keep = runtime_spec_annotation(t->spec, ANNOTATION_KEEP_GROUPS);

        return keep && !streq(keep, "0");
}

int task_become_user(Task *t, Error *reterr_error) {
        const UserInfo *u = &t->user;
        int r;

        r = caps_drop_bounding(t->caps.sets[CAP_SET_BOUNDING]);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot drop capabilities: %m");

        /* A user namespace made without privileges has no setgroups(2): user_namespaces(7). */
        if (!keep_groups(t) && setgroups(u->n_groups, u->groups) < 0 && (errno != EPERM || u->n_groups > 0))
                return error_set_errno(
                                reterr_error, -errno,
                                "Cannot set the supplementary groups: %m.%s",
                                errno == EINVAL ? " linux.gidMappings must have each of them."
                                : errno == EPERM ? " Without privileges it takes linux.gidMappings of more "
                                                   "than one's own group, which newgidmap(1) sets."
                                                 : "");
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
            setresuid(u->uid, u->uid, u->uid) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot become user %u, group %u: %m%s", u->uid,
                                       u->gid,
                                       errno == EINVAL ? ": linux.uidMappings and gidMappings must have them."
                                                       : "");

        r = caps_apply(&t->caps);
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
                                 "The command \"%s\" does not exist in the container: %m", name);
        /* The words that execve(2) would give are those by which engines know what it is. */
        if (r == -EISDIR)
                return error_set(reterr_error, r, "CommandNotExecutable",
                                 "The command \"%s\" is a directory: Permission denied", path);
        return error_set(reterr_error, r, "CommandNotExecutable",
                         "The command \"%s\" cannot be executed: %m", path);
}

int task_find_command(Task *t, Error *reterr_error) {
        const char *name = t->process->args[0], *path;
        _cleanup_strv_free_ char **dirs = NULL;
        int denied = 0, r;
        _cleanup_free_ char *denied_path = NULL;

        if (strchr(name, '/')) {
                r = check_executable(name);
                if (r < 0)
                        return command_error(r, name, name, reterr_error);
                t->command = strdup(name);
                return t->command ? 0 : oom(reterr_error);
        }

        path = strv_env_get(t->env, "PATH");
        dirs = strv_split(path ?: PATH_DEFAULT, ":");
        if (!dirs)
                return oom(reterr_error);
        STRV_FOREACH (dir, dirs) {
                _cleanup_free_ char *full = path_join(dir, name);

                if (!full)
                        return oom(reterr_error);
                r = check_executable(full);
                if (r >= 0) {
                        t->command = TAKE_PTR(full);
                        return 0;
                }
                if (denied == 0 && r != -ENOENT && r != -ENOTDIR) {
                        denied = r;
                        denied_path = TAKE_PTR(full);
                }
        }

        if (denied < 0)
                return command_error(denied, name, denied_path, reterr_error);
        return error_set(
                        reterr_error, -ENOENT, "CommandNotFound",
                        "The command \"%s\" is in no directory of the container's PATH (%s): executable file "
                        "not found in $PATH",
                        name, path ?: PATH_DEFAULT);
}

int task_execute(Task *t, Error *reterr_error) {
        char *none[] = { NULL };
        int r;

        (void) execve(t->command, t->process->args, t->env ?: none);
        r = -errno;
        if (r == -ENOENT && access(t->command, F_OK) >= 0)
                return error_set(reterr_error, r, "CommandNotFound",
                                 "The command \"%s\" is there, but not the interpreter or dynamic loader "
                                 "that it names: %m",
                                 t->process->args[0]);
        return command_error(r, t->process->args[0], t->command, reterr_error);
}
