/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Work of moored's that takes a while (a pull, an import): asked for, shown on stderr, waited for. */

#include "ctl/ctl.h"

typedef struct JobRequest {
        /* Makes the call that answers with the job's path. */
        int (*make)(Ctl *c, sd_bus_message **ret, void *userdata, Error *reterr_error);
        void *userdata;
        const char *title; /* "Pulling docker.io/library/busybox" */
        bool once;         /* cannot be asked for again (its input was a pipe) */
} JobRequest;

/* Runs it to its end. If moored is restarted meanwhile it is asked for again: what was fetched is kept.
 * Ctrl-C cancels the job. *ret_object: path of what it made, "/" if nothing; may be NULL. */
int job_run(Ctl *c, const JobRequest *request, char **ret_object, Error *reterr_error);

/* PullImage of reference, for the platform (NULL: the host's). *ret_object is the image's path; may be NULL.
 */
int job_pull(Ctl *c, const char *reference, const char *platform, char **ret_object, Error *reterr_error);
