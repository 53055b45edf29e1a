/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/strv.h"
#include "runtime/program.h"

static bool is_program(const char *path) {
        struct stat st;

        return stat(path, &st) >= 0 && S_ISREG(st.st_mode) && access(path, X_OK) >= 0;
}

int program_find(const char *name, char **ret) {
        const char *path = getenv("PATH");
        _cleanup_strv_free_ char **dirs = NULL;

        if (strchr(name, '/')) {
                *ret = strdup(name);
                return !*ret ? -ENOMEM : is_program(name) ? 0 : -ENOENT;
        }

        dirs = strv_split(path ?: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ":");
        if (!dirs)
                return -ENOMEM;
        STRV_FOREACH (dir, dirs) {
                _cleanup_free_ char *p = path_join(dir, name);

                if (!p)
                        return -ENOMEM;
                if (is_program(p)) {
                        *ret = TAKE_PTR(p);
                        return 0;
                }
        }
        return -ENOENT;
}

static int start(const char *path, char *const *argv, int stdout_fd, int *ret_pidfd, Error *reterr_error) {
        SpawnSpec spawn = {
                .path = path,
                .argv = argv,
                .envp = environ,
                .fds = { STDIN_FILENO, stdout_fd >= 0 ? stdout_fd : STDERR_FILENO, STDERR_FILENO },
                .n_fds = 3,
                .die_with_parent = true,
        };
        pid_t pid;

        return process_spawn(&spawn, &pid, ret_pidfd, reterr_error);
}

static int finish(const char *path, int pidfd, int *ret_code, Error *reterr_error) {
        int code, status, r;

        r = pidfd_wait(pidfd, &code, &status);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for \"%s\": %m", path);
        *ret_code = process_exit_code(code, status);
        return 0;
}

int program_run(const char *path, char *const *argv, int stdout_fd, int *ret_code, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF;
        int r;

        r = start(path, argv, stdout_fd, &pidfd, reterr_error);
        return r < 0 ? r : finish(path, pidfd, ret_code, reterr_error);
}

int program_output(const char *path, char *const *argv, size_t max, char **ret, int *ret_code,
                   Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_close_ int pidfd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a pipe: %m");
        r = start(path, argv, pair[1], &pidfd, reterr_error);
        if (r < 0)
                return r;
        pair[1] = safe_close(pair[1]);

        r = read_all(pair[0], max, &text, NULL);
        if (r < 0) {
                (void) pidfd_kill(pidfd, SIGKILL);
                (void) finish(path, pidfd, ret_code, NULL);
                return error_set_errno(reterr_error, r, "Cannot read what \"%s\" prints: %m", path);
        }
        r = finish(path, pidfd, ret_code, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}
