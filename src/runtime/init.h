/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The child in its new namespaces, on its way to become the container's first process: everything between
 * clone3() and execve(). It reports by one datagram over a socket and waits there for leave to go on. */

#include "runtime/plan.h"
#include "runtime/seccomp-filter.h"

/* Exit codes where there is no command to give one, as shells and docker have them. */
#define EXIT_LAUNCH_FAILED 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* The longest message over the socket, either way. */
#define INIT_MESSAGE_MAX 4096U

/* The child's datagram. Failed: code, then name and sentence, each with its NUL. Ready: code 0, then the
 * sentence of what could not be had and is done without, or nothing. The launcher answers with one byte: go.
 */
typedef struct InitMessage {
        int32_t code;
        char text[INIT_MESSAGE_MAX];
} InitMessage;

typedef struct InitContext {
        const RuntimeSpec *spec;
        const Plan *plan;
        const SeccompProgram *seccomp;          /* NULL: none */
        int namespace_fds[_NAMESPACE_TYPE_MAX]; /* to be joined, -EBADF: none */
        int sock;
} InitContext;

_noreturn_ void init_run(InitContext *c);

/* The exit code for a failure. */
int error_exit_code(const Error *e);
