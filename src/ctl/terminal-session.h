/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Standard input and output as the window to a container's terminal: raw, both ways over a socket that
 * moored has the other end of, left by the detach keys. Where they are no terminal their bytes go the same
 * way. */

#include <systemd/sd-event.h>

#include "basic/error.h"

typedef struct TerminalSession TerminalSession;

typedef struct TerminalSessionSpec {
        bool input;              /* standard input is passed on */
        const char *detach_keys; /* NULL: the usual */
        /* The window has another size now. */
        void (*resized)(unsigned rows, unsigned columns, void *userdata);
        /* The other end is closed and all that came from it is written; or the detach keys were typed. */
        void (*ended)(bool detached, void *userdata);
        void *userdata;
} TerminalSessionSpec;

/* "InvalidArgument": the detach keys make no sense. Nothing is touched yet. */
int terminal_session_new(sd_event *event, const TerminalSessionSpec *spec, TerminalSession **ret,
                         Error *reterr_error);
/* The terminal is as it was. */
TerminalSession *terminal_session_free(TerminalSession *s);
DEFINE_CLEANUP_FUNC(TerminalSession *, terminal_session_free)

/* From now on what is typed is for the container, as it is typed; at the latest with the first that is shown. */
int terminal_session_start(TerminalSession *s);
/* A connection in place of the last one, if there was one; sock is taken over. */
int terminal_session_connect(TerminalSession *s, int sock);
/* A new pair of sockets: one end is connected, the other is for moored, and the caller's to close. */
int terminal_session_pair(TerminalSession *s, int *ret_sock);
