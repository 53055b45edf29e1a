/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The child on its way to become a container's process: everything between clone3() and execve(). Three
 * kinds of parent use it: the launcher of moored's units, `create` and `run`, and `exec`.
 *
 *   parent                                         init
 *   ---------------------------------------------  ------------------------------------------------------
 *   maps, cgroup, devices of the network
 *   configured ---------------------------------->  (not waited for by the launcher's)
 *                                                   namespaces, mounts
 *   <----------------------------------- "hooks"    (if there are any that the parent has to run)
 *   prestart, createRuntime
 *   done ---------------------------------------->
 *                                                   new root
 *   <----------------------------------- "moved"    if it has made another process, which goes on
 *   configured ---------------------------------->
 *                                                   user, capabilities, terminal, command found
 *   <----------------------------------- "terminal" with its descriptor, if there is one
 *   <----------------------------------- "ready"    or "failed", at any point
 *   go ------------------------------------------>
 *                                                   waits for `start` (created only), execve()
 *
 * An end of the parent is the end of the socket, and of init, until "go"; until "ready" also by a signal, which
 * takes a hook that runs in the container with it. */

#include "runtime/clone.h"
#include "runtime/plan.h"
#include "runtime/preserve.h"
#include "runtime/seccomp-filter.h"
#include "runtime/state.h"
#include "runtime/task.h"

/* Exit codes where there is no command to give one, as shells and docker have them. */
#define EXIT_LAUNCH_FAILED 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* The longest text over the socket. */
#define INIT_MESSAGE_MAX 4096U

typedef enum InitMessageType {
        INIT_MESSAGE_FAILED,   /* code, name, sentence */
        INIT_MESSAGE_HOOKS,    /* answered by one byte */
        INIT_MESSAGE_MOVED,    /* code is the other process, as the parent sees it; answered by "configured" */
        INIT_MESSAGE_TERMINAL, /* with the pseudoterminal's master */
        INIT_MESSAGE_READY, /* text: what could not be had and is done without, or nothing; answered by one
                               byte */
} InitMessageType;

/* Init's datagram; the strings end with their NULs. */
typedef struct InitMessage {
        int32_t type;
        int32_t code;
        char text[INIT_MESSAGE_MAX];
} InitMessage;

typedef struct InitContext {
        const RuntimeSpec *spec;    /* the container's */
        const ProcessSpec *process; /* to be executed */
        Plan *plan;                 /* NULL: the container is there already, this process joins it */
        const SeccompProgram *seccomp; /* NULL: none */
        const CloneSpec *clone;        /* what this process was made with */
        ContainerState *state;  /* for hooks; NULL: there are none */
        uint64_t unshare_flags; /* CLONE_NEWCGROUP, CLONE_NEWTIME: to be made once in the right cgroup */
        int listener_sock; /* where the seccomp filter's listener goes; -EBADF: there is none. With it: */
        const ContainerState *listener_state; /* what goes with it; and `configured`, for the pid */
        bool configured;        /* the parent sends "configured" */
        bool user_namespace;    /* a new one, or another one than the parent's */
        int pid_fd; /* a pid namespace to be joined, by another process, once nothing of the host is left; -EBADF */
        bool tied; /* its parent's end is its own, also when the command has been executed */
        bool keep_keyring;
        bool no_pivot;
        bool transparent; /* while it waits for `start` its creator, who has no privileges, may join it */
        const PreservedFds *preserved; /* NULL: none */
        int start_fd;            /* the FIFO of `start`, for reading and writing; -EBADF: nothing to wait for */
        int report_fd; /* where a failure behind "go" is written as text, and whose end is the execution; -EBADF */
        int sock;
} InitContext;

_noreturn_ void init_run(InitContext *c);

/* Overwrites this process's environment, which is the caller's and nobody's business in the container: neither
 * that of what is executed there nor that of who reads /proc/PID/environ. instead: what it is from here on (NULL:
 * empty), borrowed. */
void environment_forget(char **instead);

/* The parent's side: reads the next message. Failed: the error is set. -EPIPE: init ended without a word.
 * *ret_fd is a descriptor that came with it, -EBADF: none. */
int init_receive(int sock, InitMessage *ret, int *ret_fd, Error *reterr_error);
/* "configured": pid is init's, as this process sees it. */
int init_send_configured(int sock, pid_t pid, Error *reterr_error);
/* Lets init go on. */
int init_continue(int sock, Error *reterr_error);

/* Waits for the execution. A text from init is the error. */
int init_wait_executed(int report_fd, Error *reterr_error);

/* The exit code for a failure. */
int error_exit_code(const Error *e);
