/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
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

typedef struct HookRun {
        HookType type;
        const char *state; /* as JSON */
        int out;           /* descriptors of the hooks */
        int err;
        int interrupt_fd;
} HookRun;

static int hook_failed(const HookRun *run, const SpecHook *h, int error, const char *what, int number,
                       Error *reterr_error) {
        return error_set(reterr_error, error, "HookFailed", "%s hook failed %s %d: \"%s\".",
                         hook_type_to_string(run->type), what, number, h->path);
}

static int wait_end(const HookRun *run, const SpecHook *h, pid_t pid, int pidfd, Error *reterr_error) {
        struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
                              { .fd = run->interrupt_fd, .events = POLLIN } };
        int timeout = h->timeout > 0 && h->timeout < INT_MAX / 1000 ? h->timeout * 1000 : -1;
        int code, status, r, ended;
        bool interrupted;

        ended = (int) TEMP_FAILURE_RETRY(poll(p, ELEMENTSOF(p), timeout));
        if (ended < 0)
                return error_set_errno(reterr_error, -errno, "Cannot wait for the hook \"%s\": %m", h->path);
        interrupted = ended > 0 && p[0].revents == 0;
        if (ended == 0 || interrupted) {
                /* With all that it has begun. Nobody else has its number until it has been waited for. */
                (void) kill(-pid, SIGKILL);
                (void) TEMP_FAILURE_RETRY(poll(p, 1, -1));
        }

        r = pidfd_reap(pidfd, &code, &status);
        if (interrupted)
                return error_set(reterr_error, -EINTR, "HookFailed", "%s hook was interrupted: \"%s\".",
                                 hook_type_to_string(run->type), h->path);
        if (ended == 0)
                return hook_failed(run, h, -ETIMEDOUT, "by not ending within its timeout, in seconds,",
                                   h->timeout, reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for the hook \"%s\": %m", h->path);
        if (code != CLD_EXITED)
                return hook_failed(run, h, -ECHILD, "by signal", status, reterr_error);
        if (status != 0)
                return hook_failed(run, h, -ECHILD, "with exit code", status, reterr_error);
        return 0;
}

static int run_one(const HookRun *run, const SpecHook *h, Error *reterr_error) {
        _cleanup_close_ int in = -EBADF, pidfd = -EBADF;
        char *fallback[] = { h->path, NULL };
        SpawnSpec spawn = {
                .path = h->path,
                .argv = h->args ?: fallback,
                .envp = h->env ?: environ,
                .n_fds = 3,
                .die_with_parent = true,
                .new_group = true,
        };
        pid_t pid;
        int r;

        in = memfd_new_sealed("state", run->state, strlen(run->state));
        if (in < 0)
                return error_set_errno(reterr_error, in, "Cannot make the hooks' input: %m");
        spawn.fds[0] = in;
        spawn.fds[1] = run->out;
        spawn.fds[2] = run->err;

        r = process_spawn(&spawn, &pid, &pidfd, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "Cannot run the %s hook \"%s\"",
                                    hook_type_to_string(run->type), h->path);
        return wait_end(run, h, pid, pidfd, reterr_error);
}

/* A file that the hooks' output is appended to, as an annotation says; else this process's. */
static int open_output(const ContainerState *s, const char *annotation, int fallback, int *ret,
                       Error *reterr_error) {
        const char *path = NULL;

        *ret = fallback;
        for (size_t i = 0; i < s->n_annotations; i++)
                if (streq(s->annotations[i].name, annotation))
                        path = s->annotations[i].value;
        if (isempty(path))
                return 0;

        *ret = RET_NERRNO(open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0700));
        if (*ret < 0)
                return error_set_errno(reterr_error, *ret, "%s: cannot open \"%s\": %m", annotation, path);
        return 0;
}

int hooks_run(const SpecHooks lists[static _HOOK_TYPE_MAX], HookType type, const ContainerState *state,
              ContainerStatus status, int interrupt_fd, Error *reterr_error) {
        const SpecHooks *list = &lists[type];
        HookRun run = { .type = type, .interrupt_fd = interrupt_fd };
        _cleanup_close_ int out = -EBADF, err = -EBADF;
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (list->n == 0)
                return 0;

        j = state_to_oci(state, status);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        run.state = text;
        r = open_output(state, ANNOTATION_HOOKS_STDOUT, STDOUT_FILENO, &run.out, reterr_error);
        if (r >= 0 && run.out != STDOUT_FILENO)
                out = run.out;
        if (r >= 0)
                r = open_output(state, ANNOTATION_HOOKS_STDERR, STDERR_FILENO, &run.err, reterr_error);
        if (r >= 0 && run.err != STDERR_FILENO)
                err = run.err;

        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = run_one(&run, &list->hooks[i], reterr_error);
        return r;
}
