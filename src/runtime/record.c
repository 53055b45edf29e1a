/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/run-log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "runtime/record.h"

static int set_string(char *to, size_t size, const char *from) {
        if (isempty(from) || strlen(from) >= size)
                return -EINVAL;
        memcpy(to, from, strlen(from) + 1);
        return 0;
}

static int stamp(RunRecord *record, Error *reterr_error) {
        int r;

        record->usec = now_usec(CLOCK_REALTIME);
        r = set_string(record->invocation_id, sizeof(record->invocation_id), getenv("INVOCATION_ID"));
        return r < 0 ? error_set(reterr_error, r, "InvalidArgument",
                                 "There is no $INVOCATION_ID: this is for units of systemd.")
                     : 0;
}

static int append(const char *bundle, RunRecord *record, Error *reterr_error) {
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;
        int r;

        r = stamp(record, reterr_error);
        if (r < 0)
                return r;
        dir = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the bundle \"%s\": %m", bundle);
        r = fd = run_log_open(dir, true);
        if (r >= 0)
                r = run_log_append(fd, record);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write %s/%s: %m", bundle, RUN_LOG_NAME);
        return 0;
}

int record_start(const char *bundle, pid_t pid, Error *reterr_error) {
        RunRecord record = { .type = RUN_START, .pid = (uint32_t) pid };

        return append(bundle, &record, reterr_error);
}

int record_end(const char *bundle, int code, int status, Error *reterr_error) {
        RunRecord record = { .type = RUN_EXIT, .code = code, .status = status };
        const char *result = code == CLD_EXITED   ? (status == 0 ? "success" : "exit-code")
                             : code == CLD_DUMPED ? "core-dump"
                                                  : "signal";

        (void) set_string(record.result, sizeof(record.result), result);
        return append(bundle, &record, reterr_error);
}

static void take_exit(RunRecord *record) {
        const char *code = strempty(getenv("EXIT_CODE")), *status = strempty(getenv("EXIT_STATUS"));
        uint32_t exit_status;
        int signo;

        if (set_string(record->result, sizeof(record->result), getenv("SERVICE_RESULT")) < 0)
                memcpy(record->result, "unknown", sizeof("unknown"));
        if (streq(code, "exited") && parse_uint32(status, &exit_status) >= 0 && exit_status <= UINT8_MAX) {
                record->code = CLD_EXITED;
                record->status = (int32_t) exit_status;
        } else if (streq(code, "killed") || streq(code, "dumped")) {
                signo = signal_from_string(status);
                if (signo < 0)
                        return;
                record->code = streq(code, "killed") ? CLD_KILLED : CLD_DUMPED;
                record->status = signo;
        }
}

/* Of the unit's control group, which is ours or the one above: where control groups are delegated PID 1 puts
 * what it runs itself below. */
static uint64_t count_kills(void) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t n = 0;
        char *end;

        if (cgroup_of_process(0, &path) < 0)
                return 0;
        end = (char *) endswith(path, "/.control");
        if (end)
                *end = 0;
        fd = cgroup_open_group(path);
        return fd < 0 || cgroup_read_key(fd, "memory.events", "oom_kill", &n) < 0 ? 0 : n;
}

int record_exit(char *argv[], Error *reterr_error) {
        RunRecord record = { .type = RUN_EXIT };
        int r;

        take_exit(&record);
        record.n = count_kills();
        r = append(argv[2], &record, reterr_error);
        /* A unit whose container could not be made has no bundle. */
        return r == -ENOENT ? 0 : r;
}

int record_exec(char *argv[], Error *reterr_error) {
        RunRecord record = { .type = RUN_EXIT };
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* Nobody wants to know any more, where the file is gone. */
        fd = open(argv[2], O_RDWR | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        r = fd < 0 ? -errno : 0;
        if (r >= 0) {
                take_exit(&record);
                r = stamp(&record, reterr_error);
                if (r < 0)
                        return r;
                r = run_log_append(fd, &record);
        }
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot write %s: %m", argv[2]) : 0;
}
