/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container's standard input is, where it is neither a caller's nor none: a terminal, or a pipe that
 * stays open. Both live in the tables of terminal/, by the container's name, from the start of its unit to
 * its recorded end; PID 1 may start the process anew in between. */

#include <inttypes.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container-private.h"
#include "container/exec.h"

#define FIELD_IMAGE_MAX 400U /* a longer name is left out, so that all fields fit */

char *container_terminal_key(const Container *c) {
        return strjoin(c->row.ns, "/", c->row.id);
}

/* number NULL: the container's own, else an exec's. */
static int terminal_fields(const Container *c, const char *unit, const char *number, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = strv_extendf(&l, "SYSLOG_IDENTIFIER=%s%s%s", c->row.id, number ? "/" : "", strempty(number));
        if (r >= 0 && number)
                r = strv_extendf(&l, "MOORED_EXEC=%s", number);
        if (r >= 0)
                r = strv_extendf(&l, "OBJECT_SYSTEMD_UNIT=%s", unit);
        if (r >= 0)
                r = strv_extendf(&l, "MOORED_NAMESPACE=%s", c->row.ns);
        if (r >= 0)
                r = strv_extendf(&l, "MOORED_CONTAINER=%s", c->row.id);
        if (r >= 0 && strlen(c->row.image) <= FIELD_IMAGE_MAX)
                r = strv_extendf(&l, "MOORED_IMAGE=%s", c->row.image);
        if (r >= 0)
                r = strv_extend(&l, "MOORED_STREAM=terminal");
        if (r >= 0)
                r = strv_extend(&l, "PRIORITY=6");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static int open_terminal(Container *c, const char *key, const char *unit, const char *number, int client,
                         Error *reterr_error) {
        _cleanup_strv_free_ char **fields = NULL;
        Terminal *t;
        int r = 0;

        if (!c->manager->terminals)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "There are no terminals here.");
        if (!streq_ptr(c->options.log, "none"))
                r = terminal_fields(c, unit, number, &fields);
        if (r < 0)
                return r;
        r = terminal_new(c->manager->terminals, key, fields, &t, reterr_error);
        if (r < 0)
                return r;
        if (client >= 0) {
                r = terminal_add_client(t, client, true, reterr_error);
                if (r < 0)
                        terminal_end(t);
        }
        return r < 0 ? r : 0;
}

int container_open_input(Container *c, const ContainerStdio *stdio, int *ret_fd, Error *reterr_error) {
        ContainerManager *m = c->manager;
        _cleanup_free_ char *key = NULL;
        int r;

        *ret_fd = -EBADF;
        if (c->options.scope) /* whose caller has it */
                return 0;
        if (!c->options.terminal && (!c->options.open_stdin || stdio->in >= 0))
                return 0;
        key = container_terminal_key(c);
        if (!key)
                return -ENOMEM;
        if (c->options.terminal)
                return open_terminal(c, key, c->unit, NULL, stdio->terminal, reterr_error);
        if (!m->inputs)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "No input can be kept open here.");

        r = input_new(m->inputs, key, ret_fd);
        return r < 0 ? error_set_errno(reterr_error, r, "Failed to make a pipe for container %s: %m", c->row.id)
                     : 0;
}

void container_close_input(Container *c) {
        ContainerManager *m = c->manager;
        _cleanup_free_ char *key = NULL;

        if (!m->terminals || (!c->options.terminal && !c->options.open_stdin))
                return;
        key = container_terminal_key(c);
        if (!key)
                return;
        terminal_end(terminal_find(m->terminals, key));
        input_close(m->inputs, key);
}

/* Frozen or between two runs as well: its terminal stays. */
static bool is_running(const Container *c) {
        return c->state != CONTAINER_CREATED && c->state != CONTAINER_EXITED;
}

int container_attach(Container *c, bool packets, ContainerAttachment *ret, Error *reterr_error) {
        _cleanup_free_ char *key = container_terminal_key(c);
        ContainerManager *m = c->manager;
        ContainerAttachment a = { -EBADF, -EBADF };
        Terminal *t;
        int fd;

        if (!key)
                return -ENOMEM;
        if (!is_running(c))
                return container_not_running(c, reterr_error);
        t = m->terminals ? terminal_find(m->terminals, key) : NULL;
        if (t) {
                int r = terminal_attach(t, packets, &a.terminal, reterr_error);

                if (r < 0)
                        return r;
        } else if (c->options.terminal)
                return error_set(reterr_error, -ENOTCONN, "NoTerminal",
                                 "The terminal of container %s was lost when moored was stopped.", c->row.id);

        fd = m->inputs ? input_get(m->inputs, key) : -EBADF;
        if (fd >= 0) {
                a.input = fd_dup(fd);
                if (a.input < 0)
                        return error_set_errno(reterr_error, a.input, "Failed to copy a descriptor: %m");
        }
        *ret = a;
        return 0;
}

int container_resize(Container *c, unsigned rows, unsigned columns, Error *reterr_error) {
        _cleanup_free_ char *key = container_terminal_key(c);
        ContainerManager *m = c->manager;
        Terminal *t;

        if (!key)
                return -ENOMEM;
        if (!c->options.terminal)
                return error_set(reterr_error, -ENOTTY, "NoTerminal", "Container %s has no terminal.", c->row.id);
        t = m->terminals ? terminal_find(m->terminals, key) : NULL;
        return t ? terminal_resize(t, rows, columns, reterr_error) : container_not_running(c, reterr_error);
}

int container_end_input(Container *c, Error *reterr_error) {
        _cleanup_free_ char *key = container_terminal_key(c);
        ContainerManager *m = c->manager;

        if (!key)
                return -ENOMEM;
        if (!c->options.open_stdin || c->options.terminal)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Container %s has no standard input that could be closed.", c->row.id);
        if (!is_running(c))
                return container_not_running(c, reterr_error);
        if (m->inputs)
                input_close(m->inputs, key);
        return 0;
}

/* -- execs -------------------------------------------------------------------------------------- */

char *exec_terminal_key(const Exec *e) {
        return strformat("%s/%s/%" PRIu64, e->row.ns, e->row.id, e->row.n);
}

static Terminal *exec_terminal(const Exec *e) {
        _cleanup_free_ char *key = e->terminal ? exec_terminal_key(e) : NULL;
        ContainerManager *m = e->container->manager;

        return key && m->terminals ? terminal_find(m->terminals, key) : NULL;
}

int exec_open_terminal(Exec *e, int client, Error *reterr_error) {
        _cleanup_free_ char *key = NULL, *number = NULL;

        if (!e->terminal)
                return 0;
        key = exec_terminal_key(e);
        number = strformat("%" PRIu64, e->row.n);
        if (!key || !number)
                return -ENOMEM;
        return open_terminal(e->container, key, e->unit, number, client, reterr_error);
}

void exec_close_terminal(Exec *e) {
        terminal_end(exec_terminal(e));
}

/* Also while it starts: then it has a terminal, but nobody knows of it. */
static int exec_get_terminal(Exec *e, Terminal **ret, Error *reterr_error) {
        if (!e->terminal)
                return error_set(reterr_error, -ENOTTY, "NoTerminal", "Exec %" PRIu64 " has no terminal.", e->row.n);
        if (e->state == EXEC_EXITED)
                return error_set(reterr_error, -ESRCH, "NotRunning", "Exec %" PRIu64 " is not running, it is %s.",
                                 e->row.n, exec_state_to_string(e->state));
        *ret = exec_terminal(e);
        if (!*ret)
                return error_set(reterr_error, -ENOTCONN, "NoTerminal",
                                 "The terminal of exec %" PRIu64 " was lost when moored was stopped.", e->row.n);
        return 0;
}

int exec_attach(Exec *e, bool packets, int *ret_fd, Error *reterr_error) {
        Terminal *t;
        int r;

        r = exec_get_terminal(e, &t, reterr_error);
        return r < 0 ? r : terminal_attach(t, packets, ret_fd, reterr_error);
}

int exec_resize(Exec *e, unsigned rows, unsigned columns, Error *reterr_error) {
        Terminal *t;
        int r;

        r = exec_get_terminal(e, &t, reterr_error);
        return r < 0 ? r : terminal_resize(t, rows, columns, reterr_error);
}

int container_check_stdio(bool terminal, const ContainerStdio *s, Error *reterr_error) {
        if (terminal && (s->in >= 0 || s->out >= 0 || s->err >= 0))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "With Terminal the three standard descriptors are the terminal: StandardInput, "
                                 "StandardOutput and StandardError cannot be given, TerminalDescriptor can.");
        if (!terminal && s->terminal >= 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "TerminalDescriptor needs Terminal.");
        return 0;
}

/* -- at the start of the daemon ----------------------------------------------------------------- */

static bool key_is_wanted(const char *key, void *userdata) {
        _cleanup_strv_free_ char **parts = strv_split(key, "/");
        const Container *c;

        if (strv_length(parts) == 3)
                return exec_is_live(userdata, parts[0], parts[1], parts[2]);
        if (strv_length(parts) != 2)
                return false;
        c = container_find(userdata, parts[0], parts[1], NULL);
        return c && is_running(c);
}

void container_inputs_recovered(ContainerManager *m) {
        int r;

        if (!m->terminals)
                return;
        r = terminal_manager_recovered(m->terminals, key_is_wanted, m);
        if (r < 0)
                log_warning_errno(r, "There will be no terminals: %m");
        input_manager_recovered(m->inputs, key_is_wanted, m);
}

void container_manager_set_terminals(ContainerManager *m, TerminalManager *terminals, InputManager *inputs) {
        m->terminals = terminals;
        m->inputs = inputs;
}
