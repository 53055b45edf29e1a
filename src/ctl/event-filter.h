/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "--filter KEY=VALUE" of moorctl events. Of filters with the same key one has to match, of those with
 * different keys each. */

#include "basic/error.h"
#include "ctl/event-record.h"

typedef enum EventFilterKey {
        EVENT_FILTER_CONTAINER, /* events of a container, and of its execs */
        EVENT_FILTER_EVENT,     /* "exited", or "container/exited" */
        EVENT_FILTER_IMAGE,     /* events of an image, and of containers made of it */
        EVENT_FILTER_NAMESPACE,
        EVENT_FILTER_NETWORK,
        EVENT_FILTER_SUBJECT,
        EVENT_FILTER_TYPE, /* "container" of "container/exited" */
        _EVENT_FILTER_KEY_MAX,
        _EVENT_FILTER_KEY_INVALID = -EINVAL,
} EventFilterKey;
DECLARE_STRING_TABLE(event_filter_key, EventFilterKey);

typedef struct EventFilter {
        char **values[_EVENT_FILTER_KEY_MAX];
} EventFilter;

void event_filter_done(EventFilter *f);
int event_filter_add(EventFilter *f, const char *text, Error *reterr_error);
bool event_filter_match(const EventFilter *f, const EventRecord *e);
