/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/pager.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "ctl/terminal.h"

static _noreturn_ void pager_exec(const char *pager, int fd, pid_t parent) {
        (void) dup2(fd, STDIN_FILENO);
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        (void) setenv("LESS", "FRSXMK", 0);
        (void) setenv("LESSCHARSET", "utf-8", 0);
        if (pager)
                execl("/bin/sh", "sh", "-c", pager, NULL);
        else {
                execlp("pager", "pager", NULL);
                execlp("less", "less", NULL);
                execlp("more", "more", NULL);
        }
        /* None there: copy, so that nothing is lost. */
        execlp("cat", "cat", NULL);
        _exit(EXIT_FAILURE);
}

void pager_open(Ctl *c) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        const char *pager = getenv("MOORED_PAGER") ?: getenv("PAGER");
        pid_t parent = getpid(), pid;

        if (c->pager_pid > 0 || !isatty(STDOUT_FILENO))
                return;
        c->columns = terminal_columns(STDOUT_FILENO);
        c->colors = terminal_has_colors(STDOUT_FILENO);
        if (c->no_pager || !terminal_can_redraw(STDOUT_FILENO))
                return;
        if (pager && (isempty(pager) || streq(pager, "cat")))
                return;
        if (pipe2(p, O_CLOEXEC) < 0)
                return;
        (void) fflush(stdout);
        pid = fork();
        if (pid < 0)
                return;
        if (pid == 0)
                pager_exec(pager, p[0], parent);

        if (dup2(p[1], STDOUT_FILENO) < 0)
                return;
        /* Ctrl-C is the pager's to handle; if the user leaves it early, SIGPIPE must not kill before the
         * wait. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);
        c->pager_pid = pid;
}

void pager_close(Ctl *c) {
        if (c->pager_pid <= 0)
                return;
        (void) fclose(stdout);
        (void) waitpid(c->pager_pid, NULL, 0);
        c->pager_pid = 0;
}
