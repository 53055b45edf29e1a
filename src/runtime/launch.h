/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/error.h"

/* Verbs that units of moored's execute, by the table in main.c. argv is main()'s, argv[2] what the verb is for. They return
 * the exit code, or a negative errno with the error set, which main() reports. */

/* `mooring launch [--record] BUNDLE`: a container unit's ExecStart=. Starts the container's init as a sibling (a child
 * of the service manager), tells the service manager so, and ends: with 0, or 125, 126, 127 when there is no
 * container; why is in the unit's status text ("Name: sentence") and, unless a client reads it, on stderr.
 * --record: the start is written down in the bundle (basic/run-log.h), before the container's command is
 * executed. */
int launch(char *argv[], Error *reterr_error);

/* `mooring launch-exec FILE`: the same for a process that joins a container; FILE is what join.h says. */
int launch_exec(char *argv[], Error *reterr_error);

/* `mooring launch-scope BUNDLE`: the container as a child of this process, which is in the container's scope. Its
 * start and its end are written down in the bundle. Ends with its exit code. */
int launch_scope(char *argv[], Error *reterr_error);

/* `mooring stop BUNDLE`: ExecStop= of a unit that is installed. Sends the container's stop signal to $MAINPID and
 * waits until it has ended or its time is up. */
int launch_stop(char *argv[], Error *reterr_error);

/* `mooring clean BUNDLE`: ExecStopPost= of the unit of a container that another runtime has made. Has it delete what it
 * keeps of the container. */
int launch_clean(char *argv[], Error *reterr_error);

/* `mooring prepare-seccomp NAME`: what launch() would have to do for the first container with this profile
 * (ANNOTATION_SECCOMP). */
int launch_prepare_seccomp(char *argv[], Error *reterr_error);
