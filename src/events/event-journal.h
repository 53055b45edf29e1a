/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An event as an entry of the journal: MESSAGE_ID, MOORED_EVENT= (its number), MOORED_TOPIC=,
 * MOORED_NAMESPACE=, the subject in the topic's field, and each detail: ExitCode is MOORED_EXIT_CODE=. */

#include "basic/json.h"
#include "store/store.h"

/* details: the row's, not as text. */
void event_to_journal(const EventRow *row, json_t *details);

/* Exported for the tests: the fields and the sentence. strv. */
int event_journal_fields(const EventRow *row, json_t *details, char ***ret);
int event_journal_message(const EventRow *row, json_t *details, char **ret);
