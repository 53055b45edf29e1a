/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An exec's hand-over: as launch.c's, but that the process joins a container which is there. It is born in
 * that one's cgroup, hence the unit's own is empty as soon as this process has ended; the service manager takes a main
 * process from elsewhere because root says so. */

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/join.h"
#include "runtime/journal-stream.h"
#include "runtime/launch-private.h"
#include "runtime/launch.h"
#include "runtime/self.h"

static int launch_exec_run(Join *j, const char *path, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        InitMessage m;
        int r;

        r = join_prepare(j, path, reterr_error);
        if (r < 0)
                return r;
        r = join_start(j, true, reterr_error);
        if (r < 0)
                return r;
        r = init_receive(j->sock, &m, &fd, reterr_error);
        if (r >= 0)
                r = launch_pass_terminal(j->spec, j->sock, &m, &fd, reterr_error);
        if (r < 0)
                return r;
        r = launch_announce(j->pid, true, false, m.text, reterr_error);
        if (r < 0)
                return r;
        return init_continue(j->sock, reterr_error);
}

/* "…/ID/exec-N.json" → "ID/N", as the service manager has been told. */
static char *journal_identifier(const char *path) {
        _cleanup_free_ char *dir = strdup(path);
        char *file = dir ? strrchr(dir, '/') : NULL;
        const char *number;

        if (!file)
                return NULL;
        *file++ = 0;
        number = startswith(file, "exec-");
        return number ? strformat("%s/%.*s", basename(dir), (int) strspn(number, DIGITS), number) : NULL;
}

int launch_exec(char *argv[], Error *reterr_error) {
        _cleanup_(join_done) Join j = JOIN_INIT;
        _cleanup_free_ char *identifier = NULL;
        const char *path = argv[2];
        bool journal;
        int r;

        r = self_protect(argv, reterr_error);
        journal = journal_stream_is_stderr();
        if (journal) {
                identifier = journal_identifier(path);
                if (identifier)
                        (void) journal_stream_split_stderr(identifier);
        }
        if (r >= 0)
                r = launch_exec_run(&j, path, reterr_error);
        return r < 0 ? launch_report(reterr_error, journal) : EXIT_SUCCESS;
}
