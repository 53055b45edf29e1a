/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Execs: another process in a container that runs, as a transient unit of its own.
 *
 *   exec_start ─▶ starting ──unit started──▶ running ──its main process ended──▶ exited ──▶ (gone)
 *                    │ failed: gone at once                                        exec_remove(), auto_remove,
 *                                                                                  more than EXECS_ENDED_MAX,
 *                                                                                  the container's removal
 */

#include "container/container.h"

#define EXECS_LIVE_MAX 1024U /* of a container: started, and not ended */
#define EXECS_ENDED_MAX 32U  /* of a container: those that ended first are forgotten */
#define EXEC_TOKEN_MAX 64U

typedef enum ExecState {
        EXEC_STARTING,
        EXEC_RUNNING,
        EXEC_EXITED,
        _EXEC_STATE_MAX,
        _EXEC_STATE_INVALID = -EINVAL,
} ExecState;
DECLARE_STRING_TABLE(exec_state, ExecState);

/* The option bag of the container's Exec(), typed. What is NULL or false is as the container's own process has it. */
typedef struct ExecOptions {
        char **command;
        char **environment; /* "NAME=value", over the container's */
        char *working_directory;
        char *user;
        char **groups;              /* besides the container's */
        char **cap_add, **cap_drop; /* from the container's */
        bool privileged;            /* all capabilities that the host has, no seccomp filter */
        bool auto_remove;
        bool terminal;       /* 0, 1 and 2 are a pseudoterminal */
        char *terminal_size; /* "ROWSxCOLUMNS" or NULL */
        char *token; /* a second call with the same one gets the same exec */
} ExecOptions;
void exec_options_done(ExecOptions *o);

struct Exec {
        Container *container; /* weak: it goes after its execs */
        Exec *next;           /* of the container's, by number */
        ExecRow row;
        char **command;
        char *user, *working_directory;
        bool privileged, terminal;
        ExecState state;
        char *unit;
        uint32_t pid; /* 0: none */
        bool start_pending; /* the backend owes us an answer */
        bool released;      /* the ended unit was given back */
        struct Waiter *waiters;
};

/* e NULL: it is gone. */
typedef void (*ExecFunc)(Exec *e, const Error *error /* NULL: success */, void *userdata);

/* func when the command is executed, or why it is not: "NotRunning", "CommandNotFound", "NoSuchUser", … If this
 * fails func is not called. options are taken over (moved out) on success. */
int exec_start(Container *c, ExecOptions *options, const ContainerStdio *stdio, ExecFunc func, void *userdata,
               Error *reterr_error);
/* "NoSuchExec" */
Exec *exec_find(Container *c, uint64_t n, Error *reterr_error);
/* func when it has ended; at once if it has. */
int exec_wait(Exec *e, ExecFunc func, void *userdata);
/* func when PID 1 has sent it. -ESRCH "NotRunning". */
int exec_kill(Exec *e, int signo, ExecFunc func, void *userdata, Error *reterr_error);
/* force: SIGKILL first; else -EBUSY "ExecRunning". func (with NULL) when it is gone. */
int exec_remove(Exec *e, bool force, ExecFunc func, void *userdata, Error *reterr_error);
/* The terminal: a socket as container_attach() has it, to keep. "NotRunning", "NoTerminal" */
int exec_attach(Exec *e, bool packets, int *ret_fd, Error *reterr_error);
int exec_resize(Exec *e, unsigned rows, unsigned columns, Error *reterr_error);
/* Whether the container has an exec of this number, in decimal, that has not ended. */
bool exec_is_live(ContainerManager *m, const char *ns, const char *id, const char *n);
