/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/polkit-agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"

#define AGENT_PATH "/usr/bin/pkttyagent"
#define AGENT_READY_MSEC 5000

static _noreturn_ void agent_exec(int notify_fd, pid_t parent) {
        char number[16];
        sigset_t none;

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) fd_set_cloexec(notify_fd, false);
        (void) snprintf(number, sizeof number, "%i", notify_fd);
        execl(AGENT_PATH, AGENT_PATH, "--notify-fd", number, "--fallback", NULL);
        _exit(EXIT_FAILURE);
}

pid_t polkit_agent_start(void) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        struct pollfd pfd;
        pid_t parent = getpid(), pid;

        if (access(AGENT_PATH, X_OK) < 0 || pipe2(p, O_CLOEXEC) < 0)
                return 0;
        pid = fork();
        if (pid < 0)
                return 0;
        if (pid == 0)
                agent_exec(p[1], parent);

        /* It closes its end as soon as it is registered. */
        p[1] = safe_close(p[1]);
        pfd = (struct pollfd){ .fd = p[0], .events = POLLIN };
        (void) poll(&pfd, 1, AGENT_READY_MSEC);
        return pid;
}

void polkit_agent_stop(pid_t pid) {
        if (pid <= 0)
                return;
        (void) kill(pid, SIGTERM);
        (void) kill(pid, SIGCONT);
        (void) waitpid(pid, NULL, 0);
}
