/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by terminal.c and terminal-manager.c only. */

#include "terminal/ring.h"
#include "terminal/terminal-log.h"
#include "terminal/terminal-name.h"
#include "terminal/terminal.h"

typedef struct Client {
        Terminal *terminal; /* weak */
        int fd;             /* -EBADF: there is none */
        sd_event_source *source;
        bool packets, input_ended, behind;
        size_t input_done;      /* of a packet that the master did not take at once */
        uint64_t progress_usec; /* when it took something last */
} Client;

struct Terminal {
        TerminalManager *manager; /* weak */
        Terminal *previous, *next;
        uint64_t serial;
        char *key;
        Ring *ring;
        int master;
        sd_event_source *master_source, *work_source, *timer;
        Client clients[TERMINAL_CLIENTS_MAX];
        TerminalLimit limit;
        uint64_t log_usec;  /* since when the journal takes nothing; 0: it does */
        bool readable;      /* the master may have something */
        bool input_stopped; /* the master takes nothing, or there is none */
        bool ending;
};

struct TerminalManager {
        sd_event *event;
        const TerminalStore *store;
        void *store_userdata;
        TerminalLog *log;
        char *path;
        int socket; /* bound to it */
        sd_event_source *source;
        uint64_t serial; /* of the newest terminal */
        Hashmap *by_key;
        Terminal *terminals;
};

/* -- terminal.c ---------------------------------------------------------------------------------- */

int terminal_allocate(TerminalManager *m, uint64_t serial, const char *key, Terminal **ret);
/* Frees what is in memory: in the store everything goes on. */
Terminal *terminal_unlink(Terminal *t);
/* It has ended, and all have what they can get. */
Terminal *terminal_free(Terminal *t);

/* Into the store, and out of it. client: which one, of TERMINAL_PART_CLIENT. */
void terminal_store(const Terminal *t, TerminalPart part, unsigned client, int fd);
void terminal_unstore(const Terminal *t, TerminalPart part, unsigned client);

/* Ring, master and clients are there, or not: what happens to them is listened to from here on. */
int terminal_watch(Terminal *t);
/* Something has changed. */
void terminal_wake(Terminal *t);
void terminal_remove_client(Terminal *t, unsigned i);
/* Owned by t from here on. What the master of the last run has left is read first. */
void terminal_take_master(Terminal *t, int fd);

/* -- terminal-manager.c -------------------------------------------------------------------------- */

/* All masters that wait in the socket. */
void terminal_receive_masters(TerminalManager *m);
