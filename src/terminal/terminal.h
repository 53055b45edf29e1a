/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pseudoterminals of containers and execs, whose masters the daemon holds for as long as their processes
 * live:
 *
 *   process ── slave ═══ master ──▶ ring (a memfd) ──▶ clients (a socket each)
 *                                                 └──▶ the journal
 *   clients ── what is typed ──▶ master
 *
 * All that a terminal consists of is kept in the service manager's descriptor store, under names made of its
 * key: a daemon that was killed at any moment is followed by one that finds masters, clients and what they
 * have not got yet, and goes on. Whoever has a client's socket does not notice.
 *
 * A terminal begins before its process. Whoever makes the process sends the master, with the terminal's key,
 * to a datagram socket (runtime/terminal.h), which is in the store as well: a message that nobody has read
 * yet waits there. A process that PID 1 starts again sends another master for the same terminal.
 *
 * A client that takes nothing for TERMINAL_PATIENCE_USEC, although there is something for it, is dropped. */

#include <systemd/sd-event.h>

#include "basic/error.h"

#define TERMINAL_KEY_MAX 192U /* "<ns>/<id>" or "<ns>/<id>/<n>" */
#define TERMINAL_CLIENTS_MAX 16U
#define TERMINAL_PACKET_MAX 4096U /* in both directions, without the position */
#define TERMINAL_PATIENCE_USEC (UINT64_C(2) * 1000 * 1000)

typedef struct TerminalManager TerminalManager;
typedef struct Terminal Terminal;

/* The service manager's store of descriptors; daemon/ fills this (daemon/fd-store.h). poll: the store drops
 * a descriptor by itself when the other side is closed. */
typedef struct TerminalStore {
        int (*add)(void *userdata, const char *name, int fd, bool poll);
        void (*remove)(void *userdata, const char *name);
} TerminalStore;

#define TERMINAL_JOURNAL "/run/systemd/journal/socket"

/* store NULL: nothing is kept. socket: path of the one for masters. journal: path of journald's. */
int terminal_manager_new(sd_event *event, const TerminalStore *store, void *store_userdata,
                         const char *socket, const char *journal, TerminalManager **ret);
/* The terminals go on, by what is stored. */
TerminalManager *terminal_manager_free(TerminalManager *m);
DEFINE_CLEANUP_FUNC(TerminalManager *, terminal_manager_free)

/* At start, one call for each stored descriptor, which is taken over, also if it fails. Returns 0 if the
 * name is none of a terminal: it is still the caller's then. */
int terminal_manager_adopt(TerminalManager *m, const char *name, int fd);
/* Once: masters are received, and what was adopted begins to work. wanted tells whether a terminal's process
 * may still live; what is left in one whose process does not is still read, told and logged. */
int terminal_manager_recovered(TerminalManager *m, bool (*wanted)(const char *key, void *userdata),
                               void *userdata);

/* fields: "NAME=value" of its entries in the journal, MOORED_CONTAINER= and so on; without line breaks, at
 * most TERMINAL_FIELDS_SIZE together. SYSLOG_IDENTIFIER= is among them. NULL: nothing is logged. An older
 * terminal of this key ends. */
#define TERMINAL_FIELDS_SIZE 1024U
int terminal_new(TerminalManager *m, const char *key, char *const *fields, Terminal **ret,
                 Error *reterr_error);
/* NULL: there is none (any more). */
Terminal *terminal_find(TerminalManager *m, const char *key);

/* A connected AF_UNIX socket of the client's, copied: what comes from it is typed, what the terminal shows
 * goes to it. SOCK_STREAM: the bytes alone. SOCK_SEQPACKET: each packet to the client begins with the
 * position of its first byte (64 bits, little endian, from 0), at most TERMINAL_PACKET_MAX bytes follow; so
 * what comes twice, because the daemon was killed after it had sent it and before it knew, can be left out.
 * session: while this one is there nothing is logged. "InvalidArgument", "LimitsExceeded" */
int terminal_add_client(Terminal *t, int fd, bool session, Error *reterr_error);
/* The same with a new pair of sockets. The client gets what was shown last, at most the ring's size. */
int terminal_attach(Terminal *t, bool packets, int *ret_fd, Error *reterr_error);
/* -ENOTCONN "NotRunning": there is no process (yet). */
int terminal_resize(Terminal *t, unsigned rows, unsigned columns, Error *reterr_error);

/* Its process has ended: what it wrote last is read and told to clients and journal, which may take up to
 * TERMINAL_PATIENCE_USEC; then clients read the end of the stream and the terminal goes. Its key is free at
 * once. NULL is fine. */
void terminal_end(Terminal *t);
