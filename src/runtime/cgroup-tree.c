/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "runtime/cgroup-tree.h"
#include "runtime/cgroup.h"
#include "runtime/spec-private.h"

/* How long processes may take to die or to freeze. */
#define WAIT_USEC (10 * USEC_PER_SEC)

int cgroup_root_open(Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        struct statfs fs;

        fd = open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && fstatfs(fd, &fs) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at \"" CGROUP_ROOT "\": %m");
        if (fd >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                return TAKE_FD(fd);
        if (fd < 0 && errno != ENOENT)
                return error_set_errno(reterr_error, -errno, "Cannot open \"" CGROUP_ROOT "\": %m");
        /* The place for it is a directory of sysfs, or of what is there instead; version 1 has directories
         * below it. */
        if (fd < 0 || dir_is_empty_at(AT_FDCWD, CGROUP_ROOT) > 0)
                return error_set(reterr_error, -ENOENT, "NotSupported",
                                 "There is no cgroup hierarchy at " CGROUP_ROOT ".");
        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                         "At " CGROUP_ROOT
                         " is not cgroup v2 alone: boot with systemd.unified_cgroup_hierarchy=1 "
                         "(cgroup v1 and both together are not supported), or go without cgroups by "
                         "--cgroup-manager=disabled.");
}

int cgroup_dir_open(int root_fd, const char *path) {
        path += strspn(path, "/");
        return RET_NERRNO(openat(root_fd, isempty(path) ? "." : path,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int cgroup_write(int dir_fd, const char *file, const char *value) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dir_fd, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return TEMP_FAILURE_RETRY(write(fd, value, strlen(value))) < 0 ? -errno : 0;
}

static void give_from(int dir_fd, const char *controller) {
        _cleanup_strv_free_ char **available = NULL, **given = NULL;
        _cleanup_free_ char *have = NULL, *give = NULL, *all = NULL;

        if (cgroup_read(dir_fd, "cgroup.controllers", &have) < 0 || isempty(have) ||
            cgroup_read(dir_fd, "cgroup.subtree_control", &give) < 0)
                return;
        available = strv_split(have, " ");
        given = strv_split(give, " ");
        if (!available || !given)
                return;

        STRV_FOREACH (c, available)
                if ((!controller || streq(c, controller)) && !strv_contains(given, c)) {
                        char *more = strjoin(strempty(all), all ? " +" : "+", c);

                        if (!more)
                                return;
                        free(all);
                        all = more;
                }
        if (!all || cgroup_write(dir_fd, "cgroup.subtree_control", all) >= 0 || controller)
                return;

        /* One write does all or nothing: cpu cannot be given while there are realtime processes, threaded
         * cgroups give only some. */
        STRV_FOREACH (c, available) {
                _cleanup_free_ char *one = strjoin("+", c);

                if (one && !strv_contains(given, c))
                        (void) cgroup_write(dir_fd, "cgroup.subtree_control", one);
        }
}

void cgroup_give(int root_fd, const char *path, size_t n, const char *controller) {
        size_t l = strlen(path);

        for (size_t end = n; end < l; end += 1 + strcspn(path + end + 1, "/")) {
                _cleanup_free_ char *prefix = strndup(path, end);
                _cleanup_close_ int fd = prefix ? cgroup_dir_open(root_fd, prefix) : -ENOMEM;

                if (fd < 0)
                        return;
                give_from(fd, controller);
        }
}

void cgroup_made_done(CgroupMade *m) {
        free(m->path);
        *m = (CgroupMade){ .first = SIZE_MAX };
}

/* Whether the cgroup at path has all the controllers that there are. */
static bool has_all_controllers(int root_fd, const char *path) {
        _cleanup_free_ char *all = NULL, *file = NULL, *have = NULL;

        file = strjoin(path + 1, "/cgroup.controllers");
        return file && cgroup_read(root_fd, "cgroup.controllers", &all) >= 0 &&
               cgroup_read(root_fd, file, &have) >= 0 && streq(all, have);
}

static int make_all(int root_fd, CgroupMade *m) {
        size_t n = strlen(m->path);

        for (size_t end = 0; end < n;) {
                _cleanup_close_ int above = -EBADF;
                _cleanup_free_ char *prefix = NULL;

                prefix = strndup(m->path, end);
                if (!prefix)
                        return -ENOMEM;
                above = cgroup_dir_open(root_fd, prefix);
                if (above < 0)
                        return above;
                give_from(above, NULL);

                end += 1 + strcspn(m->path + end + 1, "/");
                free(TAKE_PTR(prefix));
                prefix = strndup(m->path, end);
                if (!prefix)
                        return -ENOMEM;
                if (mkdirat(root_fd, prefix + 1, 0755) >= 0)
                        m->first = MIN(m->first, end);
                else if (errno != EEXIST)
                        return -errno;
        }
        return 0;
}

int cgroup_make(int root_fd, const char *path, CgroupMade *ret) {
        _cleanup_(cgroup_made_done) CgroupMade m = { .path = strdup(path), .first = SIZE_MAX };
        int r = 0;

        if (!m.path)
                return -ENOMEM;
        /* As a rule all above is there and has given its controllers. */
        if (mkdirat(root_fd, path + 1, 0755) >= 0)
                m.first = strlen(path);
        else if (errno != EEXIST && errno != ENOENT)
                return -errno;
        else
                r = -errno;

        if (r == -ENOENT || !has_all_controllers(root_fd, path)) {
                r = make_all(root_fd, &m);
                if (r < 0) {
                        cgroup_unmake(root_fd, &m);
                        return r;
                }
        }
        *ret = m;
        m = (CgroupMade){};
        return 0;
}

void cgroup_unmake(int root_fd, const CgroupMade *m) {
        _cleanup_free_ char *path = NULL;

        if (m->first == SIZE_MAX || !m->path)
                return;
        path = strdup(m->path);
        /* From the last one up; what has become somebody else's, too, stays. */
        while (path && strlen(path) >= m->first && unlinkat(root_fd, path + 1, AT_REMOVEDIR) >= 0)
                *strrchr(path, '/') = 0;
}

bool cgroup_lacks_controller(int dir_fd, const char *file) {
        _cleanup_strv_free_ char **controllers = NULL;
        char controller[CONTROLLER_NAME_MAX];
        _cleanup_free_ char *text = NULL;

        if (startswith(file, "cgroup.") || cgroup_read(dir_fd, "cgroup.controllers", &text) < 0)
                return false;
        controllers = strv_split(text, " ");
        return controllers && !strv_contains(controllers, cgroup_file_controller(file, controller));
}

static int apply_error(int dir_fd, const char *path, const CgroupWrite *w, int r, Error *reterr_error) {
        char controller[CONTROLLER_NAME_MAX];

        if ((r == -ENOENT || r == -EACCES || r == -EPERM) && cgroup_lacks_controller(dir_fd, w->file))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "Cannot set %s: controller `%s` is not available under " CGROUP_ROOT
                                 "%s: the kernel does not have it, or a cgroup above does not give it.",
                                 w->file, cgroup_file_controller(w->file, controller), path);
        if (r == -ENOENT)
                return error_set(reterr_error, r, "NotSupported",
                                 "Cannot set %s: no such file or directory in " CGROUP_ROOT
                                 "%s, this kernel does not have it.",
                                 w->file, path);
        return error_set_errno(reterr_error, r, "Cannot set %s of cgroup \"%s\" to \"%s\": %m", w->file,
                               path, w->value);
}

int cgroup_apply(int dir_fd, const char *path, const CgroupWrites *w, Error *reterr_error) {
        for (size_t i = 0; i < w->n; i++) {
                const CgroupWrite *c = &w->writes[i];
                int r;

                r = cgroup_write(dir_fd, c->file, c->value);
                if (r == -ENOENT && c->other_file)
                        r = cgroup_write(dir_fd, c->other_file, c->other_value);
                if (r == -ENOENT && c->optional && !cgroup_lacks_controller(dir_fd, c->file))
                        continue;
                if (r < 0)
                        return apply_error(dir_fd, path, c, r, reterr_error);
        }
        return 0;
}

int cgroup_chown(int dir_fd, uid_t uid) {
        _cleanup_strv_free_ char **files = NULL;
        _cleanup_free_ char *text = NULL;

        /* The list of a kernel before 4.15. */
        if (cgroup_read(AT_FDCWD, "/sys/kernel/cgroup/delegate", &text) < 0)
                text = strdup("cgroup.procs\ncgroup.subtree_control\ncgroup.threads");
        files = text ? strv_split(text, "\n") : NULL;
        if (!files)
                return -ENOMEM;

        if (fchown(dir_fd, uid, (gid_t) -1) < 0)
                return -errno;
        STRV_FOREACH (f, files)
                if (fchownat(dir_fd, f, uid, (gid_t) -1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
                        return -errno;
        return 0;
}

int cgroup_wait(int dir_fd, const char *key, uint64_t value) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLPRI };
                uint64_t found = 0, now;
                char text[256];
                ssize_t n;
                int r;

                n = pread(fd, text, sizeof(text) - 1, 0);
                if (n < 0)
                        return -errno;
                text[n] = 0;
                r = cgroup_find_key(text, key, &found);
                if (r < 0)
                        return r;
                if (found == value)
                        return 0;
                now = now_usec(CLOCK_MONOTONIC);
                if (now >= end)
                        return -ETIMEDOUT;
                if (poll(&p, 1, (int) ((end - now) / USEC_PER_MSEC + 1)) < 0 && errno != EINTR)
                        return -errno;
        }
}

void cgroup_make_valid(int dir_fd) {
        _cleanup_free_ char *type = NULL;

        if (cgroup_read(dir_fd, "cgroup.type", &type) >= 0 && streq(type, "domain invalid"))
                (void) cgroup_write(dir_fd, "cgroup.type", "threaded");
}

int cgroup_move(int dir_fd, pid_t pid) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%d", pid);
        return cgroup_write(dir_fd, "cgroup.procs", text);
}

static bool is_directory_below(const struct dirent *de) {
        return de->d_type == DT_DIR && !streq(de->d_name, ".") && !streq(de->d_name, "..");
}

/* The directories right below, as paths that begin with prefix. */
static int list_below(int dir_fd, const char *path, char ***ret) {
        _cleanup_close_ int fd = -EBADF;
        struct dirent *de;
        DIR *d;

        fd = cgroup_dir_open(dir_fd, path);
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        TAKE_FD(fd);
        while ((de = readdir(d)))
                if (is_directory_below(de)) {
                        if (strv_extendf(ret, "%s/%s", path, de->d_name) < 0) {
                                closedir(d);
                                return -ENOMEM;
                        }
                }
        closedir(d);
        return 0;
}

int cgroup_foreach(int dir_fd, int (*func)(int dir_fd, void *userdata), void *userdata) {
        _cleanup_strv_free_ char **paths = NULL;
        int r;

        if (strv_extend(&paths, ".") < 0)
                return -ENOMEM;
        for (size_t i = 0; paths[i]; i++) {
                _cleanup_close_ int fd = cgroup_dir_open(dir_fd, paths[i]);

                r = fd < 0 ? fd : func(fd, userdata);
                if (r >= 0)
                        r = list_below(dir_fd, paths[i], &paths);
                if (r < 0 && r != -ENOENT && r != -ENODEV)
                        return r;
        }
        return 0;
}

/* The name of a directory in fd; "" if there is none. */
static int first_below(int fd, char name[static NAME_MAX + 1]) {
        struct dirent *de;
        int copy;
        DIR *d;

        copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (copy < 0)
                return -errno;
        d = fdopendir(copy);
        if (!d) {
                safe_close(copy);
                return -ENOMEM;
        }
        name[0] = 0;
        while ((de = readdir(d)))
                if (is_directory_below(de)) {
                        (void) snprintf(name, NAME_MAX + 1, "%s", de->d_name);
                        break;
                }
        closedir(d);
        return 0;
}

/* Any depth, with two descriptors: down into what cannot be removed yet, and up again when it is empty. */
int cgroup_remove_tree(int root_fd, const char *path) {
        _cleanup_close_ int fd = -EBADF;
        char name[NAME_MAX + 1];
        size_t depth = 0;
        bool went_down = false;
        int r;

        fd = cgroup_dir_open(root_fd, path);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;

        for (;;) {
                int next;

                r = first_below(fd, name);
                if (r < 0)
                        return r;
                if (name[0]) {
                        if (unlinkat(fd, name, AT_REMOVEDIR) >= 0 || errno == ENOENT) {
                                went_down = false;
                                continue;
                        }
                        if (errno != EBUSY)
                                return -errno;
                        next = cgroup_dir_open(fd, name);
                        depth++;
                        went_down = true;
                } else if (went_down)
                        return -EBUSY; /* not for what is below it */
                else if (depth == 0)
                        break;
                else {
                        next = cgroup_dir_open(fd, "..");
                        depth--;
                }
                if (next < 0)
                        return next;
                safe_close(fd);
                fd = next;
        }
        if (unlinkat(root_fd, path + 1, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}
