/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* moored's numbered events, as the signal Event and EventsSince() carry them. */

#include <systemd/sd-bus.h>

#include "basic/json.h"

#define EVENTS_PAGE 2000U /* asked of EventsSince() at once */

typedef struct EventRecord {
        uint64_t sequence, usec;
        const char *ns, *topic, *subject; /* valid as long as the message */
        json_t *details;                  /* owned */
} EventRecord;

void event_record_done(EventRecord *e);
/* The arguments of the signal, or one structure of EventsSince() (in_struct). 0 at the end of the array. */
int event_record_read(sd_bus_message *m, bool in_struct, EventRecord *ret);
/* The event as an object: Sequence, USec, Namespace, Topic, Subject, Details. */
int event_record_to_json(const EventRecord *e, json_t **ret);
/* "ExitCode=7 ExitSignal=…" of the details; NULL on OOM. */
char *event_details_to_string(json_t *details);
