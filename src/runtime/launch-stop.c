/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A transient unit has the container's own signal and time as KillSignal= and TimeoutStopSec=. A unit that
 * is installed has not, as they come from a file and an image that PID 1 does not read: so its ExecStop=
 * does what PID 1 would do; what is still there afterwards, PID 1 kills. */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "runtime/launch.h"
#include "runtime/notify.h"
#include "runtime/plan.h"
#include "runtime/prepare.h"
#include "runtime/spec.h"

/* PID 1 is asked for this much more time, again and again, as a container's own may be longer than the
 * unit's. */
#define EXTEND_USEC (30 * USEC_PER_SEC)
#define EXTEND_EVERY_USEC (10 * USEC_PER_SEC)

static int read_stop(const char *bundle, int *ret_signal, uint64_t *ret_timeout_usec, Error *reterr_error) {
        _cleanup_(prepared_done) Prepared p = PREPARED_INIT;
        const char *stop;
        int r;

        r = prepare_spec(&p, bundle, "config.json", reterr_error);
        if (r < 0)
                return r;
        stop = runtime_spec_annotation(p.spec, ANNOTATION_STOP);
        if (!stop || sscanf(stop, "%i %" SCNu64, ret_signal, ret_timeout_usec) != 2)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The bundle \"%s\" does not say how its container is to be stopped.",
                                 bundle);
        return 0;
}

/* Returns 0 when the time is up, 1 when the process has ended. */
static int wait_for_end(int pidfd, uint64_t timeout_usec) {
        uint64_t begin = now_usec(CLOCK_MONOTONIC), passed;
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        char extend[64];
        int r;

        (void) snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTEND_USEC);
        while ((passed = now_usec(CLOCK_MONOTONIC) - begin) < timeout_usec) {
                uint64_t rest = MIN(timeout_usec - passed, EXTEND_EVERY_USEC);

                (void) notify_send(extend);
                r = TEMP_FAILURE_RETRY(poll(&p, 1, (int) (rest / USEC_PER_MSEC + 1)));
                if (r != 0)
                        return r < 0 ? -errno : 1;
        }
        return 0;
}

static int stop(const char *bundle, pid_t pid, Error *reterr_error) {
        _cleanup_close_ int pidfd = pidfd_open_(pid);
        uint64_t timeout_usec = 0;
        int signo = 0, r;

        if (pidfd == -ESRCH)
                return 0;
        if (pidfd < 0)
                return error_set_errno(reterr_error, pidfd, "Cannot find the container's process: %m");
        r = read_stop(bundle, &signo, &timeout_usec, reterr_error);
        if (r < 0)
                return r;
        r = pidfd_kill(pidfd, signo);
        if (r == -ESRCH)
                return 0;
        if (r >= 0)
                r = wait_for_end(pidfd, timeout_usec);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot stop the container: %m") : 0;
}

int launch_stop(char *argv[], Error *reterr_error) {
        const char *main_pid = getenv("MAINPID");
        int pid;

        if (isempty(main_pid)) /* it has ended by itself */
                return EXIT_SUCCESS;
        if (parse_int(main_pid, &pid) < 0 || pid <= 1)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "$MAINPID is not set as systemd sets it.");
        return stop(argv[2], pid, reterr_error);
}
