/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/event-record.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/output-json.h"

void event_record_done(EventRecord *e) {
        json_decref(e->details);
        *e = (EventRecord) {};
}

int event_record_read(sd_bus_message *m, bool in_struct, EventRecord *ret) {
        EventRecord e = {};
        int r;

        if (in_struct) {
                r = sd_bus_message_enter_container(m, SD_BUS_TYPE_STRUCT, "ttsssa{sv}");
                if (r <= 0)
                        return r;
        }
        r = sd_bus_message_read(m, "ttsss", &e.sequence, &e.usec, &e.ns, &e.topic, &e.subject);
        if (r < 0)
                return r;
        r = bus_message_to_json(m, &e.details);
        if (r < 0)
                return r;
        if (in_struct) {
                r = sd_bus_message_exit_container(m);
                if (r < 0) {
                        event_record_done(&e);
                        return r;
                }
        }
        *ret = e;
        return 1;
}

int event_record_to_json(const EventRecord *e, json_t **ret) {
        json_t *j = json_pack("{sI sI ss ss ss sO}", "Sequence", (json_int_t) e->sequence, "USec",
                              (json_int_t) e->usec, "Namespace", e->ns, "Topic", e->topic, "Subject",
                              e->subject, "Details", e->details);

        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

char *event_details_to_string(json_t *details) {
        _cleanup_strv_free_ char **parts = NULL;
        const char *key;
        json_t *value;

        json_object_foreach(details, key, value) {
                _cleanup_free_ char *text =
                                json_is_string(value) ? strdup(json_string_value(value))
                                                      : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

                if (!text || (!isempty(text) && strv_extendf(&parts, "%s=%s", key, text) < 0))
                        return NULL;
        }
        return parts ? strv_join(parts, " ") : strdup("");
}
