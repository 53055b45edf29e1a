/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "runtime/cgroup.h"
#include "runtime/join.h"
#include "runtime/labels.h"
#include "runtime/launch-oci.h"
#include "runtime/prepare.h"
#include "runtime/rlimits.h"

void join_done(Join *j) {
        runtime_spec_free(j->spec);
        seccomp_program_done(&j->seccomp);
        safe_close(j->clone.pidfd);
        safe_close(j->clone.cgroup_fd);
        safe_close(j->sock);
        *j = JOIN_INIT;
}

static int not_running(int r, Error *reterr_error) {
        return error_set(reterr_error, r, "NotRunning", "The container's process is gone.");
}

/* What is looked at while the descriptor is held is the descriptor's, as long as it has not ended: and who has
 * ended cannot be joined. */
static int open_init(Join *j, pid_t pid, const char *path, Error *reterr_error) {
        _cleanup_free_ char *actual = NULL;
        const char *rest, *below;
        Cgroup cgroup = {};
        int r;

        j->clone.pidfd = pidfd_open_(pid);
        if (j->clone.pidfd < 0)
                return not_running(j->clone.pidfd, reterr_error);
        r = cgroup_of_process(pid, &actual);
        if (r < 0)
                return not_running(r, reterr_error);
        rest = path_startswith(actual, path);
        if (!rest)
                return not_running(-ESRCH, reterr_error);

        /* Another runtime than mooring has made one of its own, which the container sees as the topmost. */
        below = path_startswith(rest, OCI_LAUNCH_CGROUP);
        if (below)
                actual[below - actual] = 0;
        cgroup.path = below ? actual : (char *) path;
        j->clone.cgroup_fd = cgroup_open_exec(&cgroup, NULL, pid, reterr_error);
        return j->clone.cgroup_fd < 0 ? j->clone.cgroup_fd : 0;
}

int join_prepare_container(Join *j, pid_t pid, const char *cgroup, Error *reterr_error) {
        int r;

        if (!j->spec->process.args || isempty(j->spec->process.args[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.args: there is no command.");
        r = open_init(j, pid, cgroup, reterr_error);
        if (r < 0)
                return r;
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++)
                if (j->spec->namespaces[t].wanted)
                        j->clone.pidfd_flags |= namespace_clone_flag(t);
        return seccomp_get(j->spec, &j->seccomp, reterr_error);
}

int join_prepare(Join *j, const char *path, Error *reterr_error) {
        const char *pid_text, *cgroup;
        int pid, r;

        r = runtime_spec_read(path, &j->spec, NULL, NULL, reterr_error);
        if (r < 0)
                return r;
        pid_text = runtime_spec_annotation(j->spec, ANNOTATION_EXEC_PID);
        cgroup = runtime_spec_annotation(j->spec, ANNOTATION_EXEC_CGROUP);
        if (!pid_text || parse_int(pid_text, &pid) < 0 || pid <= 0 || isempty(cgroup))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The annotations " ANNOTATION_EXEC_PID " and " ANNOTATION_EXEC_CGROUP
                                 " must name the container's process.");
        return join_prepare_container(j, pid, cgroup, reterr_error);
}

int join_leave(void *userdata, Error *reterr_error) {
        const ProcessSpec *process = userdata;
        int r;

        r = oom_score_apply(0, process, NULL, reterr_error);
        if (r >= 0)
                r = labels_apply(process, reterr_error);
        if (r >= 0)
                environment_forget(NULL);
        return r;
}

int join_start(Join *j, bool sibling, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");
        j->kept_fds[0] = pair[1];
        j->clone.leave = join_leave;
        j->clone.userdata = &j->spec->process;
        j->clone.kept_fds = j->kept_fds;
        j->clone.n_kept_fds = ELEMENTSOF(j->kept_fds);
        j->clone.sibling = sibling;

        j->pid = clone_process(&j->clone, reterr_error);
        if (j->pid < 0)
                return j->pid;
        if (j->pid == 0) {
                InitContext c = {
                        .spec = j->spec,
                        .process = &j->spec->process,
                        .seccomp = j->seccomp.n > 0 ? &j->seccomp : NULL,
                        .clone = &j->clone,
                        .tied = j->tied,
                        .listener_sock = -EBADF,
                        .pid_fd = -EBADF,
                        .start_fd = -EBADF,
                        .report_fd = -EBADF,
                        .sock = pair[1],
                };

                safe_close(pair[0]);
                init_run(&c);
        }

        j->sock = TAKE_FD(pair[0]);
        return 0;
}
