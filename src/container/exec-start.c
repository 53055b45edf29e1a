/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting an exec: its row, its specification in the container's bundle, its unit. What becomes of it: exec.c. */

#include <inttypes.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/exec-record.h"
#include "container/spec.h"

static void on_exec_started(int r, const UnitStatus *status, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        _cleanup_error_ Error own = ERROR_NULL;
        ContainerManager *m = q->manager;
        Exec *e;

        if (r != -ECANCELED && status && status->loaded && hashmap_replace(m->units, q->unit, UNIT_THERE) < 0)
                (void) log_oom();
        e = hashmap_get(m->execs, q->unit);
        if (!e)
                return; /* the unit's next change finds it without a record */
        e->start_pending = false;
        if (r == -ECANCELED) { /* moored is ending: the next one finds out */
                waiters_call(waiters_take(&e->waiters, WAITER_START), NULL, error);
                return;
        }
        if (r >= 0) {
                exec_started(e, status);
                return;
        }

        if (e->container->state != CONTAINER_RUNNING)
                (void) error_set(&own, -ESRCH, "NotRunning",
                                 "Container %s ended before the command could be executed.", e->row.id);
        else if (!error_is_set(error))
                (void) error_set_errno(&own, r, "Failed to start unit %s: %m", q->unit);
        exec_start_failed(e, error_is_set(&own) ? &own : error);
}

static bool is_process_property(const char *p) {
        static const char *const begins[] = { "CPUAffinity=", "CPUScheduling", "IOScheduling", "Limit",
                                              "Nice=",        "OOMScore",      "TimerSlack",   "UMask=", NULL };

        STRV_FOREACH(s, begins)
                if (startswith(p, s))
                        return true;
        return false;
}

/* PID 1 knows how the process has ended until the unit is released; or until somebody stops it while moored is away, if
 * what it calls a clean end follows, as SIGTERM is. So the unit writes its end down, in a file that moored makes here and
 * removes when the end is recorded. One whose client holds the other ends of its descriptors, and wants no record
 * afterwards, does without: at each release PID 1 would have one program more to execute. Its client keeps
 * the unit (ctl/foreground.c). */
static bool writes_end(const Exec *e, const ContainerStdio *stdio) {
        return !e->row.auto_remove || (stdio->in < 0 && stdio->out < 0 && stdio->err < 0 && stdio->terminal < 0);
}

static int add_record(const Exec *e, UnitSpec *u) {
        ContainerManager *m = e->container->manager;
        _cleanup_free_ char *path = bundle_exec_end_path(m->runtime_dir, e->row.ns, e->row.id, e->row.n);
        const char *const argv[] = { MOORING_PATH, "record-exec", path, NULL };
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return -ENOMEM;
        fd = bundle_open_exec_end(m->containers_fd, e->row.ns, e->row.id, e->row.n, true);
        return fd < 0 ? fd : strv_extend_strv(&u->exec_stop_post, (char *const *) argv);
}

static int build_exec_unit(const Exec *e, const ContainerStdio *stdio, UnitSpec *ret) {
        _cleanup_(unit_spec_done) UnitSpec u = { .stdio = *stdio, .exec = true };
        Container *c = e->container;
        _cleanup_free_ char *file = NULL;
        int r;

        file = bundle_exec_path(c->manager->runtime_dir, e->row.ns, e->row.id, e->row.n);
        u.name = strdup(e->unit);
        u.description = strformat("Exec %" PRIu64 " in container %s (%s)", e->row.n, c->row.id, c->row.image);
        u.slice = container_slice(c);
        u.syslog_identifier = strformat("%s/%" PRIu64, c->row.id, e->row.n);
        u.timeout_stop_usec = c->manager->stop_timeout_usec;
        if (!file || !u.name || !u.description || !u.slice || !u.syslog_identifier ||
            free_and_strdup(&u.log, e->terminal ? "none" : c->options.log) < 0)
                return -ENOMEM;

        const char *const argv[] = { MOORING_PATH, "launch-exec", file, NULL };
        r = strv_extend_strv(&u.exec_start, (char *const *) argv);
        if (r >= 0 && writes_end(e, stdio))
                r = add_record(e, &u);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_NAMESPACE=%s", c->row.ns);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_CONTAINER=%s", c->row.id);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_IMAGE=%s", c->row.image);
        if (r >= 0)
                r = strv_extendf(&u.log_extra_fields, "MOORED_EXEC=%" PRIu64, e->row.n);
        /* What the kernel keeps for each process is the container's, too. */
        STRV_FOREACH(p, c->options.properties)
                if (r >= 0 && is_process_property(p))
                        r = strv_extend(&u.properties, p);
        if (r < 0)
                return r;

        *ret = u;
        u = (UnitSpec){ .stdio = CONTAINER_STDIO_NULL };
        return 0;
}

static int resolve_process(const Container *c, const ExecOptions *o, ContainerProcess *ret) {
        const ContainerProcess *own = &c->work->process;
        _cleanup_(container_process_done) ContainerProcess p = {
                .args = strv_copy(o->command),
                .env = strv_copy(own->env),
        };
        int r;

        if (!p.args || (!p.env && own->env))
                return -ENOMEM;
        if (o->terminal && !strv_env_get(p.env, "TERM") && strv_extend(&p.env, "TERM=xterm") < 0)
                return -ENOMEM;
        STRV_FOREACH(s, o->environment) {
                r = strv_env_set(&p.env, s);
                if (r < 0)
                        return r;
        }
        if (free_and_strdup(&p.cwd, isempty(o->working_directory) ? own->cwd : o->working_directory) < 0 ||
            free_and_strdup(&p.user, isempty(o->user) ? own->user : o->user) < 0)
                return -ENOMEM;

        *ret = p;
        p = (ContainerProcess){};
        return 0;
}

static int resolve_capabilities(const Container *c, const ExecOptions *o, uint64_t *ret, Error *reterr_error) {
        uint64_t available = c->manager->capabilities, mask = available;
        int r;

        if (!o->privileged) {
                r = container_capabilities_resolve(&c->options, available, &mask, reterr_error);
                if (r < 0)
                        return r;
        }
        return capabilities_change(mask, o->cap_add, o->cap_drop, available, ret, reterr_error);
}

static int build_exec_spec(const Exec *e, const ExecOptions *o, const ContainerProcess *process, char **ret,
                           Error *reterr_error) {
        _cleanup_free_ char *record = NULL, *terminal = NULL;
        Container *c = e->container;
        _cleanup_strv_free_ char **groups = strv_copy(c->options.groups);
        bool confined = !o->privileged && !c->options.privileged_seccomp;
        char seccomp[SECCOMP_NAME_SIZE];
        ExecSpecInput in = {
                .options = &c->options,
                .process = process,
                .new_privileges = o->privileged,
                .pid = c->leader_pid,
                .control_group = c->control_group,
        };
        int r;

        if (!groups && c->options.groups)
                return -ENOMEM;
        r = strv_extend_strv(&groups, o->groups);
        if (r >= 0)
                r = exec_record_build(&e->row, &record);
        if (r < 0)
                return r;
        if (e->terminal) {
                terminal = exec_terminal_key(e);
                if (!terminal)
                        return -ENOMEM;
        }
        in.terminal = terminal;
        in.terminal_size = o->terminal_size;
        in.groups = groups;
        in.record = record;
        r = resolve_capabilities(c, o, &in.capabilities, reterr_error);
        if (r >= 0 && confined) {
                r = seccomp_store_get(c->manager->seccomp, in.capabilities, seccomp, reterr_error);
                in.seccomp = seccomp;
        }
        return r < 0 ? r : exec_spec_build(&in, ret, reterr_error);
}

static int build_exec_row(const Container *c, const ExecOptions *o, const ContainerProcess *p, ExecRow *ret) {
        _cleanup_json_ json_t *j = json_object();
        _cleanup_(exec_row_done) ExecRow row = { .exit_code = -1 };
        int r;

        r = json_object_set_new(j, "command", json_from_strv(p->args));
        if (p->user)
                r |= json_object_set_new(j, "user", json_string(p->user));
        r |= json_object_set_new(j, "workingDirectory", json_string(p->cwd));
        r |= json_object_set_new(j, "privileged", json_boolean(o->privileged));
        r |= json_object_set_new(j, "terminal", json_boolean(o->terminal));
        row.options = r < 0 ? NULL : json_dump(j, false);
        row.ns = strdup(c->row.ns);
        row.id = strdup(c->row.id);
        row.created_usec = now_usec(CLOCK_REALTIME);
        row.auto_remove = o->auto_remove;
        if (!row.options || !row.ns || !row.id || free_and_strdup(&row.token, o->token) < 0)
                return -ENOMEM;

        *ret = row;
        row = (ExecRow){};
        return 0;
}

static int check_exec(const Container *c, const ExecOptions *o, const ContainerStdio *stdio, Error *reterr_error) {
        const ContainerOptions as_container = {
                .command = o->command,
                .environment = o->environment,
                .working_directory = o->working_directory,
                .user = o->user,
                .groups = o->groups,
                .cap_add = o->cap_add,
                .cap_drop = o->cap_drop,
                .terminal = o->terminal,
                .terminal_size = o->terminal_size,
        };
        unsigned n = 0;
        int r;

        if (c->manager->recovering)
                return error_set(reterr_error, -EBUSY, "Busy", "moored is still starting; try again.");
        if (c->state != CONTAINER_RUNNING || c->work->remove || c->leader_pid == 0)
                return container_not_running(c, reterr_error);
        if (strv_length(o->command) == 0 || isempty(o->command[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no command to be executed.");
        if (o->token && (strlen(o->token) > EXEC_TOKEN_MAX || !string_is_safe(o->token)))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Token: at most %u characters, none of them a control character.", EXEC_TOKEN_MAX);
        for (const Exec *e = c->execs; e; e = e->next)
                n += e->state != EXEC_EXITED;
        if (n >= EXECS_LIVE_MAX)
                return error_set(reterr_error, -EBUSY, "LimitsExceeded", "%u execs run in container %s already.", n,
                                 c->row.id);
        r = container_check_stdio(o->terminal, stdio, reterr_error);
        return r < 0 ? r : container_options_validate(&as_container, reterr_error);
}

/* The row is there. */
static int exec_launch(Exec *e, const char *spec, const ContainerStdio *stdio, Error *reterr_error) {
        _cleanup_(unit_spec_done) UnitSpec u = { .stdio = CONTAINER_STDIO_NULL };
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = e->container->manager;
        int r;

        r = bundle_write_exec(m->containers_fd, e->row.ns, e->row.id, e->row.n, spec);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to write the exec's specification: %m");
        r = build_exec_unit(e, stdio, &u);
        if (r < 0)
                return r;
        r = exec_open_terminal(e, stdio->terminal, reterr_error);
        if (r < 0)
                return r;
        q = unit_request_new(m, e->unit, &(UnitRequest){});
        r = !q           ? -ENOMEM
            : m->backend ? m->backend->start(m->backend_userdata, &u, on_exec_started, q)
                         : -ENOTCONN;
        if (r < 0)
                exec_close_terminal(e);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to ask systemd for unit %s: %m", e->unit);

        (void) TAKE_PTR(q);
        e->start_pending = true;
        return 0;
}

static int exec_make(Container *c, const ExecOptions *o, const ContainerStdio *stdio, Exec **ret,
                     Error *reterr_error) {
        _cleanup_(container_process_done) ContainerProcess process = {};
        _cleanup_(exec_row_done) ExecRow row = {};
        _cleanup_free_ char *spec = NULL;
        Exec *e;
        int r;

        r = check_exec(c, o, stdio, reterr_error);
        if (r >= 0)
                r = resolve_process(c, o, &process);
        if (r >= 0)
                r = build_exec_row(c, o, &process, &row);
        if (r >= 0)
                r = store_exec_add(c->manager->store, &row);
        if (r < 0)
                return r;
        r = exec_new(c, &row, &e, reterr_error);
        if (r < 0) {
                (void) store_exec_remove(c->manager->store, row.n);
                return r;
        }
        r = build_exec_spec(e, o, &process, &spec, reterr_error);
        if (r >= 0)
                r = exec_launch(e, spec, stdio, reterr_error);
        if (r < 0) {
                (void) exec_drop(e, NULL);
                return r;
        }

        *ret = e;
        return 0;
}

static Exec *find_by_token(Container *c, const char *token) {
        for (Exec *e = token ? c->execs : NULL; e; e = e->next)
                if (streq_ptr(e->row.token, token))
                        return e;
        return NULL;
}

int exec_start(Container *c, ExecOptions *options, const ContainerStdio *stdio, ExecFunc func, void *userdata,
               Error *reterr_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        Exec *e = find_by_token(c, options->token);
        int r = 0;

        if (e && e->state != EXEC_STARTING) {
                func(e, NULL, userdata);
                return 0;
        }
        if (!e)
                r = exec_make(c, options, stdio, &e, &error);
        if (r >= 0)
                r = exec_add_waiter(e, WAITER_START, func, userdata);
        if (r < 0)
                return error_is_set(&error) ? error_move(reterr_error, &error)
                                            : error_set_errno(reterr_error, r,
                                                              "Failed to execute something in container %s: %m",
                                                              c->row.id);
        exec_options_done(options);
        return 0;
}
