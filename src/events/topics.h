/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What events there are, and what they are in the journal. */

#include "basic/macro.h"

typedef struct EventTopic {
        const char *topic;         /* "container/exited" */
        const char *message_id;    /* of its entry in the journal and in its catalogue */
        const char *field;         /* the entry's field that holds the subject; NULL: none */
        const char *before, *after; /* the sentence around the subject */
        int level;
} EventTopic;

/* NULL: there is no such topic. */
const EventTopic *event_topic_find(const char *topic);
