/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Running the hooks of the specification (config.md, "POSIX-platform Hooks"). */

#include "runtime/state.h"

/* As crun has them: files that the output of hooks is appended to. */
#define ANNOTATION_HOOKS_STDOUT "run.oci.hooks.stdout"
#define ANNOTATION_HOOKS_STDERR "run.oci.hooks.stderr"

/* Runs the hooks of a type in order, each with the container's state on stdin, its own environment (this
 * process's if it has none), and this process's stdout and stderr. Ends at the first that cannot be run, exits
 * with another code than 0 or does not end in time, or before interrupt_fd (-EBADF: none) becomes readable (it
 * is killed then). Errors: HookFailed, naming the hook. */
int hooks_run(const SpecHooks lists[static _HOOK_TYPE_MAX], HookType type, const ContainerState *state,
              ContainerStatus status, int interrupt_fd, Error *reterr_error);
