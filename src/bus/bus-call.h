/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Method calls that are answered later: the message waits here while the core works, and in bus-wait.c
 * while nothing happens for as long as a container runs. */

#include "bus/bus-object.h"

struct BusCall {
        Bus *bus; /* weak */
        sd_bus_message *message;
        struct BusCall *next;
};

/* Keeps the message (and the descriptors in it). */
BusCall *bus_call_new(Bus *b, sd_bus_message *m);
BusCall *bus_call_free(BusCall *c);
DEFINE_CLEANUP_FUNC(BusCall *, bus_call_free)
/* What a method returns when it has asked the core, which said r: below 0 c is not answered by it, and freed here. */
int bus_call_pending(BusCall *c, int r, const Error *error, sd_bus_error *ret_error);

/* These free c. r: what became of sending the answer. */
void bus_call_finish(BusCall *c, int r);
/* An error if one is set, else an answer without contents. */
void bus_call_finish_empty(BusCall *c, const Error *error);
/* ContainerFuncs; userdata is the BusCall. */
void bus_call_reply_empty(Container *c, const Error *error, void *userdata);
void bus_call_reply_container(Container *c, const Error *error, void *userdata);

#define BUS_WAITERS_MAX 4096U

/* Answers m when the container, exec or job has ended; forgets it when the caller goes away first. */
int bus_wait_container(Bus *b, sd_bus_message *m, Container *c, Error *reterr_error);
int bus_wait_exec(Bus *b, sd_bus_message *m, Exec *e, Error *reterr_error);
int bus_wait_job(Bus *b, sd_bus_message *m, Job *j, Error *reterr_error);
BusWait *bus_wait_free(BusWait *w);
