/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/hooks.h"
#include "runtime/state.h"

static int wait_end(const SpecHook *h, int pidfd, Error *reterr_error) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int timeout = h->timeout > 0 && h->timeout < INT_MAX / 1000 ? h->timeout * 1000 : -1;
        int code, status, r, ended;

        ended = (int) TEMP_FAILURE_RETRY(poll(&p, 1, timeout));
        if (ended < 0)
                return error_set_errno(reterr_error, -errno, "Cannot wait for the hook \"%s\": %m", h->path);
        if (ended == 0) {
                (void) pidfd_kill(pidfd, SIGKILL);
                (void) TEMP_FAILURE_RETRY(poll(&p, 1, -1));
        }

        r = pidfd_reap(pidfd, &code, &status);
        if (ended == 0)
                return error_set(reterr_error, -ETIMEDOUT, "HookFailed",
                                 "The hook \"%s\" did not end within its timeout of %d s and was killed.",
                                 h->path, h->timeout);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for the hook \"%s\": %m", h->path);
        if (code != CLD_EXITED)
                return error_set(reterr_error, -ECHILD, "HookFailed",
                                 "The hook \"%s\" was killed by signal %d.", h->path, status);
        if (status != 0)
                return error_set(reterr_error, -ECHILD, "HookFailed", "The hook \"%s\" exited with code %d.",
                                 h->path, status);
        return 0;
}

static int run_one(const SpecHook *h, const char *state, Error *reterr_error) {
        _cleanup_close_ int in = -EBADF, pidfd = -EBADF;
        char *fallback[] = { h->path, NULL };
        SpawnSpec spawn = {
                .path = h->path,
                .argv = h->args ?: fallback,
                .envp = h->env,
                .n_fds = 3,
                .die_with_parent = true,
        };
        pid_t pid;
        int r;

        in = memfd_new_sealed("state", state, strlen(state));
        if (in < 0)
                return error_set_errno(reterr_error, in, "Cannot make the hooks' input: %m");
        spawn.fds[0] = in;
        spawn.fds[1] = STDOUT_FILENO;
        spawn.fds[2] = STDERR_FILENO;

        r = process_spawn(&spawn, &pid, &pidfd, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "Cannot run the hook \"%s\"", h->path);
        return wait_end(h, pidfd, reterr_error);
}

int hooks_run(const SpecHooks lists[static _HOOK_TYPE_MAX], HookType type, const ContainerState *state,
              ContainerStatus status, Error *reterr_error) {
        const SpecHooks *list = &lists[type];
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (list->n == 0)
                return 0;

        j = state_to_oci(state, status);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        for (size_t i = 0; i < list->n; i++) {
                r = run_one(&list->hooks[i], text, reterr_error);
                if (r < 0)
                        return error_prefix(reterr_error, "%s", hook_type_to_string(type));
        }
        return 0;
}
