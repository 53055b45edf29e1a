/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup.h"
#include "runtime/spec-private.h"
#include "runtime/state.h"

#define STATE_SIZE_MAX (4U * 1024U * 1024U) /* most of it annotations */
#define STAT_SIZE_MAX 1024U                 /* of /proc/PID/stat */
#define CREATE_RETRIES_MAX 16U

static const char *const container_status_table[_CONTAINER_STATUS_MAX] = {
        [CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created", [CONTAINER_RUNNING] = "running",
        [CONTAINER_PAUSED] = "paused",     [CONTAINER_STOPPED] = "stopped",
};

DEFINE_STRING_TABLE(container_status, ContainerStatus)

void container_state_done(ContainerState *s) {
        free(s->id);
        free(s->bundle);
        free(s->rootfs);
        free(s->oci_version);
        free(s->owner);
        free(s->cgroup_path);
        free(s->scope);
        free(s->external_descriptors);
        spec_free_pairs(s->annotations, s->n_annotations);
        *s = (ContainerState){};
}

/* The directories. */

int state_check_id(const char *id, Error *reterr_error) {
        size_t n = strlen(id), ok = strspn(id, DIGITS LOWERCASE UPPERCASE "_+-.");

        if (n == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The container ID is empty: invalid.");
        if (ok < n)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "There is an invalid character \"%c\" in the container ID \"%s\": letters, digits, "
                                "\"_\", \"+\", \"-\" and \".\" may be used.",
                                id[ok], id);
        if (n > STATE_ID_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The container ID is invalid: it has more than %u characters.",
                                 STATE_ID_MAX);
        if (id[0] == '.')
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The container ID \"%s\" is invalid: it may not begin with a dot.", id);
        return 0;
}

int state_no_such_container(const char *id, Error *reterr_error) {
        /* containerd and podman look for the two words at the end. */
        return error_set(reterr_error, -ENOENT, "NoSuchContainer", "Container \"%s\" does not exist.", id);
}

/* mkdir -p of the caller's own path. */
static int make_root(const char *path) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = 0;
                if (mkdir(copy, 0700) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int state_root_open(const char *path, bool create, Error *reterr_error) {
        int fd, r;

        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && create) {
                r = make_root(path);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot make the directory \"%s\": %m%s", path,
                                               r == -EACCES ? ": set $XDG_RUNTIME_DIR, or use --root." : "");
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the directory \"%s\": %m", path);
        return fd;
}

/* Who waited for a lock may have got that of a directory that has been removed meanwhile. */
static bool is_linked(int root_fd, const char *id, int dir_fd) {
        struct stat a, b;

        return fstat(dir_fd, &a) >= 0 && fstatat(root_fd, id, &b, AT_SYMLINK_NOFOLLOW) >= 0 &&
               a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int lock_dir(int dir_fd) {
        while (flock(dir_fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

int state_dir_create(int root_fd, const char *id, Error *reterr_error) {
        int r;

        r = state_check_id(id, reterr_error);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < CREATE_RETRIES_MAX; i++) {
                _cleanup_close_ int fd = -EBADF;

                if (mkdirat(root_fd, id, 0700) < 0) {
                        if (errno == EEXIST)
                                return error_set(reterr_error, -EEXIST, "AlreadyExists",
                                                 "Container \"%s\" already exists.", id);
                        return error_set_errno(reterr_error, -errno,
                                               "Cannot make the directory of container \"%s\": %m", id);
                }

                /* Until it is locked it looks like one that was cut short, and may be cleared away. */
                fd = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0 && errno == ENOENT)
                        continue;
                r = fd < 0 ? -errno : lock_dir(fd);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot lock container \"%s\": %m", id);
                if (is_linked(root_fd, id, fd))
                        return TAKE_FD(fd);
        }
        return error_set(reterr_error, -EBUSY, "Busy",
                         "The directory of container \"%s\" is removed again and again.", id);
}

int state_dir_open(int root_fd, const char *id, bool lock, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = state_check_id(id, reterr_error);
        if (r < 0)
                return r;

        fd = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return state_no_such_container(id, reterr_error);
        r = fd < 0 ? -errno : lock ? lock_dir(fd) : 0;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot open the directory of container \"%s\": %m",
                                       id);
        if (lock && !is_linked(root_fd, id, fd))
                return state_no_such_container(id, reterr_error);
        return TAKE_FD(fd);
}

int state_dir_remove(int root_fd, const char *id) {
        return rm_rf_at(root_fd, id);
}

int state_list(int root_fd, char ***ret) {
        _cleanup_strv_free_ char **ids = NULL;
        struct dirent *de;
        DIR *d;
        int fd, r = 0;

        fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }

        while (r >= 0 && (de = readdir(d)))
                if ((de->d_type == DT_DIR || de->d_type == DT_UNKNOWN) &&
                    state_check_id(de->d_name, NULL) >= 0)
                        r = strv_extend(&ids, de->d_name);
        closedir(d);
        if (r < 0)
                return r;

        strv_sort(ids);
        *ret = TAKE_PTR(ids);
        return 0;
}

/* The file. */

static json_t *annotations_to_json(const ContainerState *s) {
        json_t *o = json_object();

        for (size_t i = 0; o && i < s->n_annotations; i++)
                if (json_object_set_new(o, s->annotations[i].name, json_string(s->annotations[i].value)) <
                    0) {
                        json_decref(o);
                        return NULL;
                }
        return o;
}

int state_write(int dir_fd, const ContainerState *s, Error *reterr_error) {
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        /* "o" takes the annotations' reference over, "s?" writes null for NULL. */
        o = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:s?, s:s?, s:b, s:b, s:s?, s:o}", "id",
                      s->id, "bundle", s->bundle, "rootfs", strempty(s->rootfs), "ociVersion",
                      s->oci_version, "owner", s->owner, "pid", (json_int_t) s->pid, "pidStartTime",
                      (json_int_t) s->pid_start_time, "createdUSec", (json_int_t) s->created_usec,
                      "cgroupPath", s->cgroup_path, "scope", s->scope, "systemdCgroup", s->systemd_cgroup,
                      "detached", s->detached, "external_descriptors", s->external_descriptors,
                      "annotations", annotations_to_json(s));
        if (!o)
                return error_set(
                                reterr_error, -EILSEQ, "InvalidArgument",
                                "The state of container \"%s\" cannot be written: a path in it is not UTF-8, or no "
                                "memory is left.",
                                s->id);
        text = json_dump(o, false);
        if (!text)
                return spec_oom(reterr_error);

        r = write_file_atomic_at(dir_fd, STATE_FILE, text, strlen(text), 0600, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write the state of container \"%s\": %m",
                                       s->id);
        return 0;
}

/* What the file has as numbers of 64 bits and as an object. */
typedef struct StateFile {
        ContainerState state;
        uint64_t pid;
        json_t *annotations; /* borrowed */
} StateFile;

static int parse_state(json_t *o, StateFile *f, Error *reterr_error) {
        static const JsonField table[] = {
                { "id", JSON_FIELD_STRING, offsetof(StateFile, state.id), true },
                { "bundle", JSON_FIELD_STRING, offsetof(StateFile, state.bundle), true },
                { "rootfs", JSON_FIELD_STRING, offsetof(StateFile, state.rootfs) },
                { "ociVersion", JSON_FIELD_STRING, offsetof(StateFile, state.oci_version), true },
                { "owner", JSON_FIELD_STRING, offsetof(StateFile, state.owner) },
                { "pid", JSON_FIELD_UINT64, offsetof(StateFile, pid), true },
                { "pidStartTime", JSON_FIELD_UINT64, offsetof(StateFile, state.pid_start_time) },
                { "createdUSec", JSON_FIELD_UINT64, offsetof(StateFile, state.created_usec) },
                { "cgroupPath", JSON_FIELD_STRING, offsetof(StateFile, state.cgroup_path) },
                { "scope", JSON_FIELD_STRING, offsetof(StateFile, state.scope) },
                { "systemdCgroup", JSON_FIELD_BOOL, offsetof(StateFile, state.systemd_cgroup) },
                { "detached", JSON_FIELD_BOOL, offsetof(StateFile, state.detached) },
                { "external_descriptors", JSON_FIELD_STRING,
                  offsetof(StateFile, state.external_descriptors) },
                { "annotations", JSON_FIELD_OBJECT, offsetof(StateFile, annotations) },
                {},
        };
        int r;

        r = json_dispatch(o, table, f, STATE_FILE, false, reterr_error);
        if (r < 0)
                return r;
        if (f->pid > INT32_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidArgument",
                                 STATE_FILE ".pid is out of range.");
        f->state.pid = (pid_t) f->pid;
        return spec_parse_pairs(f->annotations, STATE_FILE ".annotations", SPEC_ANNOTATIONS_MAX,
                                &f->state.annotations, &f->state.n_annotations, reterr_error);
}

int state_read(int dir_fd, const char *id, ContainerState *ret, Error *reterr_error) {
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *text = NULL;
        StateFile f = {};
        size_t size;
        int r;

        r = read_file_at(dir_fd, STATE_FILE, STATE_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                return state_no_such_container(id, reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the state of container \"%s\": %m", id);

        r = json_parse(text, size, STATE_SIZE_MAX, &o, reterr_error);
        if (r >= 0)
                r = parse_state(o, &f, reterr_error);
        if (r < 0) {
                container_state_done(&f.state);
                error_prefix(reterr_error, "The state of container \"%s\" is damaged", id);
                return r;
        }

        *ret = f.state;
        return 0;
}

/* The process. */

/* The state's letter and the start time: fields 3 and 22 of /proc/PID/stat. */
static int process_stat(pid_t pid, char *ret_letter, uint64_t *ret_start) {
        char path[sizeof("/proc//stat") + 3 * sizeof(pid)], text[STAT_SIZE_MAX], *p, letter;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = 0;

        /* The name, field 2, stands in parentheses and may have any bytes in it. */
        p = strrchr(text, ')');
        if (!p || p[1] != ' ' || p[2] == 0)
                return -EBADMSG;
        letter = p[2];
        p += 2;
        for (unsigned field = 3; field < 22; field++) {
                p = strchr(p, ' ');
                if (!p)
                        return -EBADMSG;
                p++;
        }
        *ret_letter = letter;
        *ret_start = strtoull(p, NULL, 10);
        return 0;
}

uint64_t process_start_time(pid_t pid) {
        uint64_t start;
        char letter;

        return process_stat(pid, &letter, &start) < 0 ? 0 : start;
}

/* A zombie has ended; that somebody has not collected its exit code yet is no difference. */
static bool process_is_alive(const ContainerState *s) {
        uint64_t start;
        char letter;

        return s->pid > 0 && process_stat(s->pid, &letter, &start) >= 0 && letter != 'Z' && letter != 'X' &&
               (s->pid_start_time == 0 || s->pid_start_time == start);
}

int state_pidfd(const ContainerState *s) {
        _cleanup_close_ int fd = -EBADF;

        if (s->pid <= 0)
                return -ESRCH;
        fd = (int) syscall(SYS_pidfd_open, s->pid, 0);
        if (fd < 0)
                return errno == EINVAL ? -ESRCH : -errno;
        /* In this order: a process that is looked at while its descriptor is held is the descriptor's. */
        if (!process_is_alive(s))
                return -ESRCH;
        return TAKE_FD(fd);
}

/* Whether somebody reads the FIFO: it may have stayed there when a `start` was killed. */
static bool waits_for_start(int dir_fd) {
        _cleanup_close_ int fd = -EBADF;

        if (dir_fd < 0)
                return false;
        fd = openat(dir_fd, STATE_START_FIFO, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        return fd >= 0 || (errno != ENOENT && errno != ENXIO);
}

ContainerStatus state_status(int dir_fd, const ContainerState *s) {
        if (s->pid <= 0)
                return CONTAINER_CREATING;
        if (!process_is_alive(s))
                return CONTAINER_STOPPED;
        /* One that waits to be started can be paused as well. */
        if (s->cgroup_path && cgroup_is_frozen(&(Cgroup){ .path = s->cgroup_path }))
                return CONTAINER_PAUSED;
        return waits_for_start(dir_fd) ? CONTAINER_CREATED : CONTAINER_RUNNING;
}

/* What others are told. */

json_t *state_to_oci(const ContainerState *s, ContainerStatus status) {
        json_t *o;

        o = json_pack("{s:s, s:s, s:s, s:i, s:s}", "ociVersion", s->oci_version, "id", s->id, "status",
                      container_status_to_string(status), "pid", status == CONTAINER_STOPPED ? 0 : s->pid,
                      "bundle", s->bundle);
        if (o && s->n_annotations > 0 && json_object_set_new(o, "annotations", annotations_to_json(s)) < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

char *state_describe_descriptors(void) {
        _cleanup_json_ json_t *a = json_array();

        for (int fd = STDIN_FILENO; a && fd <= STDERR_FILENO; fd++) {
                char link[PROC_FD_PATH_MAX], target[PATH_MAX];
                ssize_t n;

                n = readlink(proc_fd_path(link, fd), target, sizeof(target));
                /* Not UTF-8, or closed: a restore has nothing to put there. */
                if (json_array_append_new(a, n > 0 ? json_stringn(target, (size_t) n) : NULL) < 0 &&
                    json_array_append_new(a, json_string("/dev/null")) < 0)
                        return NULL;
        }
        return a ? json_dump(a, false) : NULL;
}

char *state_owner(int dir_fd) {
        _cleanup_free_ char *line = NULL, *name = NULL;
        size_t allocated = 0;
        struct stat st;
        FILE *f;

        if (fstat(dir_fd, &st) < 0)
                return strdup("");

        /* By hand: getpwuid() would load shared libraries. */
        f = fopen("/etc/passwd", "re");
        while (f && !name && getline(&line, &allocated, f) > 0) {
                char *password = strchr(line, ':'), *uid = password ? strchr(password + 1, ':') : NULL;

                if (uid && strtoul(uid + 1, NULL, 10) == st.st_uid)
                        name = strndup(line, (size_t) (password - line));
        }
        if (f)
                fclose(f);
        return name ? TAKE_PTR(name) : strformat("%u", st.st_uid);
}
