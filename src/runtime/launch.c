/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The hand-over. The service manager has started this process as the unit's main process (Type=notify,
 * NotifyAccess=all):
 *
 *   launcher                                        init
 *   ---------------------------------------------   ----------------------------------------------------
 *   parse, plan, seccomp filter
 *   clone3(CLONE_PARENT) ------------------------>  is a child of the service manager from birth;
 *                                                   namespaces, mounts, user, capabilities, command found
 *   <---------------------------------------------  "ready", or what went wrong
 *   MAINPID=<init> READY=1 to the service manager,
 *   and waiting until it has read that
 *   "go" ---------------------------------------->  execve()
 *   exit 0
 *
 * The service manager refuses a main process that is dead already, and with it the exit code would be lost:
 * so init may not go on, and end, before it is known. Nor before READY=1 is: an end that is heard of first is
 * a failed start. So MAINPID= has no need to be early. If the launcher dies before "go", init reads the end of
 * the socket and ends as well. Containers that say themselves when they are ready: launch-system.c. */

#include <sys/socket.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/init.h"
#include "runtime/journal-stream.h"
#include "runtime/launch-network.h"
#include "runtime/launch-oci.h"
#include "runtime/launch-system.h"
#include "runtime/launch.h"
#include "runtime/launch-private.h"
#include "runtime/notify.h"
#include "runtime/plan-prepare.h"
#include "runtime/preserve.h"
#include "runtime/prepare.h"
#include "runtime/record.h"
#include "runtime/report.h"
#include "runtime/self.h"
#include "runtime/terminal.h"

/* What the launcher's init is not: set up by its parent, or with hooks. */
static int check_supported(const Prepared *p, Error *reterr_error) {
        if (p->spec->namespaces[NAMESPACE_USER].wanted || p->spec->namespaces[NAMESPACE_TIME].wanted)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.namespaces: moored's containers have no user or time namespace.");
        for (HookType t = 0; t < _HOOK_TYPE_MAX; t++)
                if (p->spec->hooks[t].n > 0)
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "hooks.%s: moored's containers have no hooks.",
                                         hook_type_to_string(t));
        if (p->spec->intel_rdt.wanted || p->spec->net_devices.n > 0)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.%s: moored's containers have none.",
                                 p->spec->intel_rdt.wanted ? "intelRdt" : "netDevices");
        if (p->spec->seccomp && p->spec->seccomp->listener_path)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "linux.seccomp.listenerPath: moored's containers have no listener.");
        /* The container is in its unit's cgroup, with the limits that the unit has. */
        if (p->spec->cgroups_path || (p->spec->resources && (resource_spec_first_limit(p->spec->resources) ||
                                                             p->spec->resources->n_devices > 0)))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "%s: a unit's cgroup and its limits are the unit's properties.",
                                 p->spec->cgroups_path ? "linux.cgroupsPath" : "linux.resources");
        return 0;
}

static int start_init(Prepared *p, const PreservedFds *preserved, bool sibling, pid_t *ret_pid, int *ret_sock,
                      Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_close_ int pid_fd = -EBADF;
        pid_t pid;
        int r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a socket: %m");

        r = plan_prepare(p->plan, reterr_error);
        if (r < 0)
                return r;
        p->clone.sibling = sibling;
        pid_fd = clone_take_pid_namespace(&p->clone);
        pid = clone_process(&p->clone, reterr_error);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                InitContext c = {
                        .spec = p->spec,
                        .process = &p->spec->process,
                        .plan = p->plan,
                        .seccomp = p->seccomp.n > 0 ? &p->seccomp : NULL,
                        .clone = &p->clone,
                        .pid_fd = pid_fd,
                        .start_fd = -EBADF,
                        .report_fd = -EBADF,
                        .listener_sock = -EBADF,
                        .preserved = preserved->n > 0 ? preserved : NULL,
                        .tied = !sibling,
                        .sock = pair[1],
                };

                /* Only the launcher holds the other end: its death is the end of file. */
                safe_close(pair[0]);
                init_run(&c);
        }

        *ret_pid = pid;
        *ret_sock = TAKE_FD(pair[0]);
        return 0;
}

/* What a start that never becomes ready fails with: "Name: sentence". */
#define STATUS_NOT_HEALTHY "NotHealthy: No health check of the container has succeeded."

int launch_announce(pid_t pid, bool ready, bool healthy, const char *notes, Error *reterr_error) {
        _cleanup_free_ char *message = NULL;
        int r;

        if (healthy) /* READY=1 comes from moored-probe.service */
                message = strformat("MAINPID=%d\nSTATUS=" STATUS_NOT_HEALTHY "%s%s", pid,
                                    notes[0] ? " " : "", notes);
        else
                message = strformat("MAINPID=%d%s%s%s", pid, ready ? "\nREADY=1" : "",
                                    notes[0] ? "\nSTATUS=" : "", notes);
        if (!message)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = notify_send(message);
        if (r >= 0)
                r = notify_barrier();
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot notify the service manager: %m");
        return 0;
}

int launch_pass_terminal(const RuntimeSpec *spec, int sock, InitMessage *m, int *fd, Error *reterr_error) {
        int r;

        if (m->type != INIT_MESSAGE_TERMINAL)
                return 0;
        r = terminal_hand_over(*fd, runtime_spec_annotation(spec, ANNOTATION_TERMINAL), reterr_error);
        *fd = safe_close(*fd);
        return r < 0 ? r : init_receive(sock, m, fd, reterr_error);
}

void launched_done(Launched *l) {
        l->sock = safe_close(l->sock);
        l->fd = safe_close(l->fd);
        l->network = safe_close(l->network);
        l->oci = oci_launch_free(l->oci);
}

int launch_init(Prepared *p, const char *bundle, bool sibling, Launched *l, Error *reterr_error) {
        PreservedFds preserved;
        int r;

        r = preserved_fds_find(&preserved, 0, reterr_error); /* of a socket unit */
        if (r < 0)
                return r;
        r = prepare_spec(p, bundle, "config.json", reterr_error);
        if (r < 0)
                return r;
        r = check_supported(p, reterr_error);
        if (r < 0)
                return r;
        r = launch_network(p->spec, &preserved, &l->network, reterr_error);
        if (r < 0)
                return r;
        r = preserved_fds_add_env(&preserved, &p->spec->process.env, reterr_error);
        if (r < 0)
                return r;
        if (runtime_spec_annotation(p->spec, ANNOTATION_RUNTIME)) {
                if (!sibling)
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "A container in a scope is made by mooring, and by no other runtime.");
                return oci_launch_create(p, bundle, &preserved, &l->oci, &l->pid, reterr_error);
        }
        r = prepare_plan(p, bundle, reterr_error);
        if (r < 0)
                return r;
        r = start_init(p, &preserved, sibling, &l->pid, &l->sock, reterr_error);
        if (r < 0)
                return r;
        r = init_receive(l->sock, &l->message, &l->fd, reterr_error);
        if (r >= 0 && l->message.type == INIT_MESSAGE_MOVED) {
                l->pid = l->message.code;
                r = init_send_configured(l->sock, l->pid, reterr_error);
                if (r >= 0)
                        r = init_receive(l->sock, &l->message, &l->fd, reterr_error);
        }
        return r < 0 || !sibling ? r : launch_pass_terminal(p->spec, l->sock, &l->message, &l->fd, reterr_error);
}

static int launch_run(Prepared *p, const char *bundle, bool record, Error *reterr_error) {
        _cleanup_(system_launch_done) SystemLaunch system = SYSTEM_LAUNCH_NULL;
        _cleanup_(launched_done) Launched l = LAUNCHED_NULL;
        int r, waits;

        r = launch_init(p, bundle, true, &l, reterr_error);
        if (r < 0)
                return r;
        waits = system_launch_begin(p->spec, bundle, l.pid, &system, reterr_error);
        if (waits < 0)
                return waits;
        r = launch_announce(l.pid, !waits,
                            streq_ptr(runtime_spec_annotation(p->spec, ANNOTATION_READY), "healthy"),
                            l.message.text, reterr_error);
        if (r < 0)
                return r;
        if (record) {
                r = record_start(bundle, l.pid, reterr_error);
                if (r < 0)
                        return r;
        }
        r = l.oci ? oci_launch_start(l.oci, reterr_error) : init_continue(l.sock, reterr_error);
        return r < 0 || !waits ? r : system_launch_wait(&system, reterr_error);
}

int launch_report(const Error *e, bool journal) {
        _cleanup_free_ char *status = NULL;

        status = strjoin("STATUS=", error_name(e), ": ", error_message(e));
        /* A client that gave its own stderr gets the sentence as the answer to its call: not twice. */
        if (!status || notify_send(status) <= 0 || journal)
                report_error(e);
        return error_exit_code(e);
}

int launch_begin(char *argv[], const char *bundle, char **ret, Error *reterr_error) {
        int r;

        r = self_protect(argv, reterr_error);
        if (r < 0)
                return r;
        *ret = realpath(bundle, NULL);
        return *ret ? 0 : error_set_errno(reterr_error, -errno, "Cannot find the bundle \"%s\": %m", bundle);
}

int launch(char *argv[], Error *reterr_error) {
        bool record = argv[3], journal; /* the only option there is */
        _cleanup_(prepared_done) Prepared p = PREPARED_INIT;
        const char *bundle = argv[2 + record];
        _cleanup_free_ char *path = NULL;
        int r;

        r = launch_begin(argv, bundle, &path, reterr_error);
        journal = journal_stream_is_stderr();
        /* Where it fails stderr's lines look as stdout's do. */
        if (journal)
                (void) journal_stream_split_stderr(basename(bundle));
        if (r >= 0)
                r = launch_run(&p, path, record, reterr_error);
        return r < 0 ? launch_report(reterr_error, journal) : EXIT_SUCCESS;
}

int launch_clean(char *argv[], Error *reterr_error) {
        _cleanup_(prepared_done) Prepared p = PREPARED_INIT;
        int r;

        r = prepare_spec(&p, argv[2], "config.json", reterr_error);
        if (r == -ENOENT) /* of a unit whose container could not be made */
                return EXIT_SUCCESS;
        if (r >= 0 && runtime_spec_annotation(p.spec, ANNOTATION_RUNTIME))
                r = oci_launch_delete(&p, argv[2], reterr_error);
        return r;
}

int launch_prepare_seccomp(char *argv[], Error *reterr_error) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};

        return seccomp_get_by_name(argv[2], NULL, &p, reterr_error);
}
