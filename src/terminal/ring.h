/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a terminal has shown last, and how far everybody is with it: a memfd, which is mapped. Positions
 * count bytes since the terminal's beginning; of the bytes before head the last ring_size() are here.
 *
 * Nothing of it is anywhere else: the mapping of a successor shows what its predecessor left at the moment
 * of its death. Bytes are read from the terminal to where they stay, and head moves behind them. That a
 * reader is killed between the two is likely: whoever is told to die in read() does so when it returns.
 * Hence the place is marked before, byte for byte, and what is no mark any more has been read. */

#include "basic/macro.h"

#define RING_FILE_SIZE (16U * 1024)
#define RING_CLIENTS_MAX 16U
#define RING_FIELDS_SIZE 1024U

typedef struct Ring {
        uint32_t format;
        uint32_t clients;     /* a bit for each that is there */
        uint32_t session;     /* of them: whose terminal it is, and for whom nothing is logged */
        uint32_t fields_size; /* 0: nothing is logged at all */
        uint64_t head;
        uint64_t marked; /* up to here, from head on, are marks, or what was read over them */
        uint64_t logged;
        uint64_t position[RING_CLIENTS_MAX];
        char fields[RING_FIELDS_SIZE]; /* lines, as the journal wants them */
        uint8_t data[];
} Ring;

/* A new one and its file. */
int ring_new(Ring **ret, int *ret_fd);
/* -EBADMSG: it is not one, or none of this version. */
int ring_map(int fd, Ring **ret);
Ring *ring_unmap(Ring *r);
DEFINE_CLEANUP_FUNC(Ring *, ring_unmap)

uint64_t ring_size(void);

/* Whether there is room: what somebody still needs is not overwritten. */
bool ring_has_room(const Ring *r);
/* Reads once. Returns as read() does, -ENOBUFS: there is no room. */
ssize_t ring_read(Ring *r, int fd);

/* The bytes from a position on, as far as they lie in one piece; 0 at the head. */
size_t ring_peek(const Ring *r, uint64_t position, const void **ret);
/* The same, in one piece: copied where they lie in two. */
size_t ring_copy(const Ring *r, uint64_t position, void *p, size_t n);
/* Where the byte c comes next at or behind a position; the head if it does not. */
uint64_t ring_find(const Ring *r, uint64_t position, char c);

/* A free number, which is taken; -EBUSY: there is none. It begins with the oldest line that is here. */
int ring_add_client(Ring *r);
void ring_remove_client(Ring *r, unsigned client);
bool ring_has_client(const Ring *r, unsigned client);
/* Nothing is written to the journal now, be it because of a session. */
bool ring_is_silent(const Ring *r);
