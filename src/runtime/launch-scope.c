/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container that is this process's child, in a scope: this is the caller's process (moorctl has executed it),
 * which moored has had moved into the scope before. There is no service manager who would wait for the
 * container: its start and its end are written into the bundle, where moored looks for them. */

#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "runtime/foreground.h"
#include "runtime/launch.h"
#include "runtime/launch-private.h"
#include "runtime/record.h"
#include "runtime/report.h"

static int converse(Launched *l, Foreground *f, Error *reterr_error) {
        int r;

        while (l->message.type != INIT_MESSAGE_READY) {
                if (l->message.type != INIT_MESSAGE_TERMINAL)
                        return error_set(reterr_error, -EPROTO, "Failed",
                                         "The container's process said something unknown.");
                r = foreground_show(f, TAKE_FD(l->fd), reterr_error);
                if (r >= 0)
                        r = init_receive(l->sock, &l->message, &l->fd, reterr_error);
                if (r < 0)
                        return r;
        }
        if (l->message.text[0])
                report_warning("%s", l->message.text);
        return 0;
}

static int run(Prepared *p, Foreground *f, const char *bundle, int *ret_code, Error *reterr_error) {
        _cleanup_(launched_done) Launched l = LAUNCHED_NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int r, code, status;

        r = foreground_begin(f, reterr_error);
        if (r >= 0)
                r = launch_init(p, bundle, false, &l, reterr_error);
        if (r >= 0)
                r = converse(&l, f, reterr_error);
        if (r >= 0)
                r = record_start(bundle, l.pid, reterr_error);
        if (r >= 0)
                r = init_continue(l.sock, reterr_error);
        if (r < 0)
                return r;
        l.sock = safe_close(l.sock);

        r = foreground_wait_end(f, l.pid, &code, &status, reterr_error);
        if (r < 0)
                return r;
        /* moored then says that it is lost; the caller knows. */
        if (record_end(bundle, code, status, &e) < 0)
                report_error(&e);
        *ret_code = process_exit_code(code, status);
        return 0;
}

int launch_scope(char *argv[], Error *reterr_error) {
        _cleanup_(foreground_done) Foreground f = FOREGROUND_INIT;
        _cleanup_(prepared_done) Prepared p = PREPARED_INIT;
        _cleanup_free_ char *path = NULL;
        int r, code;

        r = launch_begin(argv, argv[2], &path, reterr_error);
        if (r >= 0)
                r = run(&p, &f, path, &code, reterr_error);
        return r < 0 ? r : code;
}
