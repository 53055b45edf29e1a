/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/event-filter.h"

#include "basic/string-util.h"
#include "basic/strv.h"

static const char *const event_filter_key_table[_EVENT_FILTER_KEY_MAX] = {
        [EVENT_FILTER_CONTAINER] = "container", [EVENT_FILTER_EVENT] = "event",
        [EVENT_FILTER_IMAGE] = "image",         [EVENT_FILTER_NAMESPACE] = "namespace",
        [EVENT_FILTER_NETWORK] = "network",     [EVENT_FILTER_SUBJECT] = "subject",
        [EVENT_FILTER_TYPE] = "type",
};
DEFINE_STRING_TABLE(event_filter_key, EventFilterKey)

void event_filter_done(EventFilter *f) {
        for (size_t i = 0; i < _EVENT_FILTER_KEY_MAX; i++)
                f->values[i] = strv_free(f->values[i]);
}

int event_filter_add(EventFilter *f, const char *text, Error *reterr_error) {
        const char *eq = strchr(text, '=');
        _cleanup_free_ char *name = eq ? strndup(text, (size_t) (eq - text)) : NULL;
        EventFilterKey key = event_filter_key_from_string(name);

        if (key < 0 || isempty(eq + 1))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--filter=%s is not KEY=VALUE with a key of container, event, image, namespace, "
                                 "network, subject, type.",
                                 text);
        if (strv_extend(&f->values[key], eq + 1) < 0)
                return error_oom(reterr_error);
        return 0;
}

static bool match(EventFilterKey key, const char *value, const EventRecord *e) {
        const char *slash = strchr(e->topic, '/');
        size_t type = slash ? (size_t) (slash - e->topic) : strlen(e->topic);

        switch (key) {
        case EVENT_FILTER_CONTAINER:
                return startswith(e->topic, "container/") && streq(e->subject, value);
        case EVENT_FILTER_EVENT:
                return streq(e->topic, value) || (slash && streq(slash + 1, value));
        case EVENT_FILTER_IMAGE:
                return startswith(e->topic, "image/") ? streq(e->subject, value)
                                                      : streq_ptr(json_get_string(e->details, "Image"), value);
        case EVENT_FILTER_NAMESPACE:
                return streq(e->ns, value);
        case EVENT_FILTER_NETWORK:
                return startswith(e->topic, "network/") && streq(e->subject, value);
        case EVENT_FILTER_SUBJECT:
                return streq(e->subject, value);
        case EVENT_FILTER_TYPE:
                return strlen(value) == type && memcmp(e->topic, value, type) == 0;
        default:
                return false;
        }
}

bool event_filter_match(const EventFilter *f, const EventRecord *e) {
        for (EventFilterKey key = 0; key < _EVENT_FILTER_KEY_MAX; key++) {
                bool matches = !f->values[key];

                STRV_FOREACH(value, f->values[key])
                        matches = matches || match(key, value, e);
                if (!matches)
                        return false;
        }
        return true;
}
