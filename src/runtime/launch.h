/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* `mooring launch [--record] BUNDLE`: a container unit's ExecStart=. Starts the container's init as a sibling (a child
 * of the service manager), tells the service manager so, and ends. Returns the exit code: 0, or 125, 126,
 * 127 when there is no container; why is in the unit's status text ("Name: sentence") and, unless a client
 * reads it, on stderr. argv is main()'s, for self_protect(). record: the start is written down in the bundle
 * (basic/run-log.h), before the container's command is executed. */
int launch(char *argv[], const char *bundle, bool record);

/* `mooring stop BUNDLE`: ExecStop= of a unit that is installed. Sends the container's stop signal to $MAINPID and
 * waits until it has ended or its time is up. Returns the exit code. */
int launch_stop(const char *bundle);

/* `mooring prepare-seccomp NAME`: what launch() would have to do for the first container with this profile
 * (ANNOTATION_SECCOMP). Returns the exit code. */
int launch_prepare_seccomp(const char *name);
