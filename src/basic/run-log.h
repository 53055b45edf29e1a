/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file "runs" in a container's bundle: what happened to a container that is started again by the service
 * manager, who remembers the last run only. mooring appends, moored takes over: one line for each start and each
 * end, told apart by the run's invocation id. It lives as long as the boot, as bundles do.
 *
 *   begin                                    a start that somebody asked for: what follows belongs to it
 *   start INVOCATION USEC PID                the container's process is about to execute its command
 *   exit INVOCATION USEC RESULT CODE STATUS KILLS
 *                                            it has ended; CODE is "exited", "killed", "dumped" or "none"; KILLS:
 *                                            how many of its processes the OOM killer has ended
 *   dropped N                                the file had grown too large: N starts and their ends are not there
 *
 * Times are CLOCK_REALTIME. RESULT is systemd's, STATUS the exit code or the signal's number. An exec has
 * a file of its own, "exec-N.end", with "exit" alone. */

#include "basic/macro.h"

#define RUN_LOG_NAME "runs"
#define RUN_LOG_SIZE_MAX (1U << 20)
#define RUN_ID_SIZE 33U
#define RUN_RESULT_SIZE 32U

typedef enum RunRecordType {
        RUN_BEGIN,
        RUN_START,
        RUN_EXIT,
        RUN_DROPPED,
        _RUN_RECORD_TYPE_MAX,
        _RUN_RECORD_TYPE_INVALID = -EINVAL,
} RunRecordType;

typedef struct RunRecord {
        RunRecordType type;
        char invocation_id[RUN_ID_SIZE];
        uint64_t usec;
        uint32_t pid;                 /* start */
        char result[RUN_RESULT_SIZE]; /* exit */
        int32_t code, status;         /* exit: CLD_EXITED, … 0: there was no process */
        uint64_t n;                   /* exit: kills; dropped: starts */
} RunRecord;

/* One line without its end. -EBADMSG. */
int run_record_parse(const char *line, RunRecord *ret);
/* Opens the log of a bundle; made if create. -ENOENT otherwise. */
int run_log_open(int bundle_fd, bool create);
/* Appends a line, whole or not at all. Waits for others who write or clear. */
int run_log_append(int fd, const RunRecord *r);
/* All lines that are whole; those that cannot be read are left out. ret_size: of the file as it was read. */
int run_log_read(int fd, RunRecord **ret, size_t *ret_n, uint64_t *ret_size);
/* Empties it, if it still has this size (UINT64_MAX: whatever it has). Does not wait: -EBUSY, -EAGAIN. */
int run_log_clear(int fd, uint64_t size);
