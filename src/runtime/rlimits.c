/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/resource.h>

#include "basic/string-util.h"
#include "runtime/proc-file.h"
#include "runtime/report.h"
#include "runtime/rlimits.h"

int notes_add(char **notes, char *sentence, Error *reterr_error) {
        _cleanup_free_ char *s = sentence;
        char *all;

        if (!s)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (!notes) {
                report_warning("%s", s);
                return 0;
        }
        all = *notes ? strjoin(*notes, " ", s) : TAKE_PTR(s);
        if (!all)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (*notes != all)
                free(*notes);
        *notes = all;
        return 0;
}

static int set_rlimit(pid_t pid, int resource, const SpecRlimit *l, char **notes, Error *reterr_error) {
        struct rlimit wanted = { .rlim_cur = l->soft, .rlim_max = l->hard }, old;

        if (prlimit(pid, (__rlimit_resource_t) resource, &wanted, NULL) >= 0)
                return 0;
        if (errno != EPERM || prlimit(pid, (__rlimit_resource_t) resource, NULL, &old) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set %s: %m",
                                       rlimit_to_string(resource));

        /* Raising the hard limit takes a capability that the host, itself a container perhaps, may not have:
         * as much as there is then. */
        wanted.rlim_max = MIN(wanted.rlim_max, old.rlim_max);
        wanted.rlim_cur = MIN(wanted.rlim_cur, wanted.rlim_max);
        if (prlimit(pid, (__rlimit_resource_t) resource, &wanted, NULL) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot set %s: %m",
                                       rlimit_to_string(resource));
        return notes_add(notes,
                         strformat("%s is limited to %ju: CAP_SYS_RESOURCE is missing here.",
                                   rlimit_to_string(resource), (uintmax_t) wanted.rlim_max),
                         reterr_error);
}

int rlimits_apply(pid_t pid, const ProcessSpec *process, char **notes, Error *reterr_error) {
        int r;

        for (int k = 0; k < RLIM_NLIMITS; k++) {
                if (!process->rlimits[k].wanted)
                        continue;
                r = set_rlimit(pid, k, &process->rlimits[k], notes, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int oom_score_apply(pid_t pid, const ProcessSpec *process, char **notes, Error *reterr_error) {
        char path[64], value[16];
        int r;

        if (!process->has_oom_score_adj)
                return 0;

        if (pid == 0)
                (void) snprintf(path, sizeof(path), "self/oom_score_adj");
        else
                (void) snprintf(path, sizeof(path), "%d/oom_score_adj", pid);
        (void) snprintf(value, sizeof(value), "%jd", (intmax_t) process->oom_score_adj);
        r = proc_file_write(path, value);
        if (r == -EACCES || r == -EPERM)
                return notes_add(
                                notes,
                                strformat("oom_score_adj stays as it is: CAP_SYS_RESOURCE is missing here."),
                                reterr_error);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set oom_score_adj to %jd: %m",
                                       (intmax_t) process->oom_score_adj);
        return 0;
}
