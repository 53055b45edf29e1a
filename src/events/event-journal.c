/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "events/event-journal.h"

#include <ctype.h>
#include <inttypes.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "events/topics.h"

#define FIELD_PREFIX "MOORED_"

/* "LeaderPID" → "MOORED_LEADER_PID". */
static char *field_name(const char *key) {
        char *name = malloc(strlen(FIELD_PREFIX) + 2 * strlen(key) + 1), *p;

        if (!name)
                return NULL;
        p = stpcpy(name, FIELD_PREFIX);
        for (const char *k = key; *k; k++) {
                bool word = k > key && isupper((unsigned char) *k) &&
                            (!isupper((unsigned char) k[-1]) || islower((unsigned char) k[1]));

                if (word)
                        *p++ = '_';
                *p++ = (char) toupper((unsigned char) *k);
        }
        *p = 0;
        return name;
}

static char *value_text(json_t *value) {
        return json_is_string(value) ? strdup(json_string_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

int event_journal_fields(const EventRow *row, json_t *details, char ***ret) {
        const EventTopic *topic = event_topic_find(row->topic);
        _cleanup_strv_free_ char **fields = NULL;
        const char *key;
        json_t *value;
        int r;

        r = strv_extendf(&fields, "MOORED_EVENT=%" PRIu64, row->sequence);
        if (r >= 0)
                r = strv_extendf(&fields, "MOORED_TOPIC=%s", row->topic);
        if (r >= 0 && topic)
                r = strv_extendf(&fields, "MESSAGE_ID=%s", topic->message_id);
        if (r >= 0 && !isempty(row->ns))
                r = strv_extendf(&fields, "MOORED_NAMESPACE=%s", row->ns);
        if (r >= 0 && topic && topic->field && !(streq(topic->field, "MOORED_NAMESPACE") && !isempty(row->ns)))
                r = strv_extendf(&fields, "%s=%s", topic->field, row->subject);
        json_object_foreach(details, key, value) {
                _cleanup_free_ char *name = field_name(key), *text = value_text(value);

                if (r >= 0)
                        r = name && text ? strv_extendf(&fields, "%s=%s", name, text) : -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(fields);
        return 0;
}

int event_journal_message(const EventRow *row, json_t *details, char **ret) {
        const EventTopic *topic = event_topic_find(row->topic);
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *list = NULL;
        const char *key;
        json_t *value;
        char *message;
        int r = 0;

        json_object_foreach(details, key, value) {
                _cleanup_free_ char *text = value_text(value);

                if (r >= 0)
                        r = !text ? -ENOMEM : isempty(text) ? 0 : strv_extendf(&parts, "%s=%s", key, text);
        }
        if (r < 0)
                return r;
        list = parts ? strv_join(parts, " ") : strdup("");
        if (!list)
                return -ENOMEM;
        message = topic ? strjoin(topic->before, topic->field ? row->subject : "", topic->after,
                                  isempty(list) ? "." : ": ", list)
                        : strjoin(row->topic, " ", row->subject, isempty(list) ? "" : ": ", list);
        if (!message)
                return -ENOMEM;
        *ret = message;
        return 0;
}

void event_to_journal(const EventRow *row, json_t *details) {
        const EventTopic *topic = event_topic_find(row->topic);
        _cleanup_strv_free_ char **fields = NULL;
        _cleanup_free_ char *message = NULL;
        int r;

        if ((topic ? topic->level : LOG_INFO) > log_get_max_level())
                return;
        r = event_journal_fields(row, details, &fields);
        if (r >= 0)
                r = event_journal_message(row, details, &message);
        if (r < 0) {
                log_debug_errno(r, "Failed to log event %" PRIu64 ", ignoring: %m", row->sequence);
                return;
        }
        (void) log_fields(topic ? topic->level : LOG_INFO, 0, (const char *const *) fields, "%s", message);
}
