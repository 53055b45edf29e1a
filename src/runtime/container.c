/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/strv.h"
#include "runtime/container.h"
#include "runtime/hooks.h"
#include "runtime/report.h"
#include "runtime/resctrl.h"

#define KILL_TIMEOUT_MSEC 10000

void container_done(Container *c) {
        safe_close(c->root_fd);
        safe_close(c->dir_fd);
        container_state_done(&c->state);
        *c = CONTAINER_NULL;
}

int container_open(const GlobalOptions *g, const char *id, bool lock, Container *ret, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = state_check_id(id, reterr_error);
        if (r < 0)
                return r;
        c.root_fd = state_root_open(g->root, false, &e);
        if (c.root_fd == -ENOENT)
                return state_no_such_container(id, reterr_error);
        if (c.root_fd < 0)
                return error_move(reterr_error, &e);
        c.dir_fd = state_dir_open(c.root_fd, id, lock, reterr_error);
        if (c.dir_fd < 0)
                return c.dir_fd;
        r = state_read(c.dir_fd, id, &c.state, reterr_error);
        if (r < 0)
                return r;

        *ret = c;
        c = CONTAINER_NULL;
        return 0;
}

ContainerStatus container_status(const Container *c) {
        return state_status(c->dir_fd, &c->state);
}

Cgroup container_cgroup(const GlobalOptions *g, const Container *c) {
        return (Cgroup){
                .manager = c->state.systemd_cgroup ? CGROUP_MANAGER_SYSTEMD
                           : c->state.cgroup_path  ? CGROUP_MANAGER_CGROUPFS
                                                   : CGROUP_MANAGER_DISABLED,
                .path = c->state.cgroup_path,
                .scope = c->state.scope,
        };
}

static int read_spec(const Container *c, const char *only_with, RuntimeSpec **ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(c->dir_fd, STATE_CONFIG, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot read the specification of container \"%s\": %m", c->state.id);
        if (only_with && !strstr(text, only_with)) {
                *ret = NULL;
                return 0;
        }
        return runtime_spec_parse(text, size, ret, reterr_error);
}

int container_spec(const Container *c, RuntimeSpec **ret, Error *reterr_error) {
        return read_spec(c, NULL, ret, reterr_error);
}

int container_run_hooks(const Container *c, HookType type, ContainerStatus status, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        int r;

        /* Most containers have none, and need not be parsed for that. */
        r = read_spec(c, hook_type_to_string(type), &spec, reterr_error);
        return r < 0 || !spec ? r : hooks_run(spec->hooks, type, &c->state, status, -EBADF, reterr_error);
}

int container_kill_init(const Container *c, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        struct pollfd p;

        pidfd = state_pidfd(&c->state);
        if (pidfd == -ESRCH)
                return 0;
        if (pidfd < 0 || (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH))
                return error_set_errno(reterr_error, pidfd < 0 ? pidfd : -errno,
                                       "Cannot kill container \"%s\": %m", c->state.id);

        p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        if (TEMP_FAILURE_RETRY(poll(&p, 1, KILL_TIMEOUT_MSEC)) <= 0)
                return error_set(reterr_error, -ETIMEDOUT, "Failed",
                                 "Container \"%s\" was sent SIGKILL and did not end within %d s.",
                                 c->state.id, KILL_TIMEOUT_MSEC / 1000);
        return 0;
}

static int remove_resctrl(const Container *c, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        int r;

        r = read_spec(c, "intelRdt", &spec, reterr_error);
        return r < 0 || !spec ? r : resctrl_remove(&spec->intel_rdt, c->state.id, reterr_error);
}

/* What the specification asks for at the end. That it fails is no reason to keep a container. */
static void finish(const Container *c) {
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;

        if (remove_resctrl(c, &e) < 0)
                report_error(&e);
        if (container_run_hooks(c, HOOK_POSTSTOP, CONTAINER_STOPPED, &f) < 0)
                report_error(&f);
}

int container_delete(const GlobalOptions *g, Container *c, Error *reterr_error) {
        Cgroup cgroup = container_cgroup(g, c);
        struct stat st;
        int r;

        /* Somebody else has deleted it while this process waited, and the id may be another one's by now. */
        if (fstat(c->dir_fd, &st) >= 0 && st.st_nlink == 0)
                return 0;
        r = container_kill_init(c, reterr_error);
        if (r < 0)
                return r;
        r = cgroup_remove(&cgroup, reterr_error);
        if (r < 0)
                return r;
        finish(c);

        r = state_dir_remove(c->root_fd, c->state.id);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot remove the state of container \"%s\": %m",
                                       c->state.id);
        return 0;
}

static int list_matches(const GlobalOptions *g, const char *regex, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **ids = NULL, **matches = NULL;
        _cleanup_close_ int root_fd = -EBADF;
        regex_t re;
        int r = 0;

        if (regcomp(&re, regex, REG_EXTENDED | REG_NOSUB) != 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" is no regular expression.", regex);

        root_fd = open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd >= 0 || errno != ENOENT)
                r = root_fd < 0 ? -errno : state_list(root_fd, &ids);
        STRV_FOREACH (id, ids)
                if (r >= 0 && regexec(&re, id, 0, NULL, 0) == 0)
                        r = strv_extend(&matches, id);
        regfree(&re);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot list the containers in \"%s\": %m", g->root);

        *ret = TAKE_PTR(matches);
        return 0;
}

int container_for_each_match(const GlobalOptions *g, const char *regex, ContainerFunc f, void *userdata,
                             Error *reterr_error) {
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_error_ Error last = ERROR_NULL;
        int r;

        r = list_matches(g, regex, &ids, reterr_error);
        if (r < 0)
                return r;

        STRV_FOREACH (id, ids) {
                if (error_is_set(&last)) {
                        report_error(&last);
                        error_done(&last);
                }
                (void) f(g, id, userdata, &last);
        }
        return error_is_set(&last) ? error_move(reterr_error, &last) : 0;
}
