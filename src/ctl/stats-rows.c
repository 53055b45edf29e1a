/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/stats-rows.h"

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/time-util.h"

#define NSEC_PER_USEC 1000

const TableColumn stats_columns[] = {
        { "ID", 0 },
        { "CPU%", TABLE_RIGHT },
        { "MEMORY", TABLE_RIGHT },
        { "LIMIT", TABLE_RIGHT },
        { "MEM%", TABLE_RIGHT },
        { "TASKS", TABLE_RIGHT },
        { "READ", TABLE_RIGHT },
        { "WRITTEN", TABLE_RIGHT },
        { "RECEIVED", TABLE_RIGHT },
        { "SENT", TABLE_RIGHT },
        {},
};

const TableColumn top_columns[] = {
        { "PID", TABLE_RIGHT },    { "INSIDE", TABLE_RIGHT },  { "UID", TABLE_RIGHT },
        { "STATE", 0 },            { "TIME", TABLE_RIGHT },    { "MEMORY", TABLE_RIGHT },
        { "STARTED", TABLE_RIGHT }, { "COMMAND", TABLE_SHRINK }, {},
};

void stats_add_rates(json_t *now, json_t *before) {
        json_int_t time = json_integer_value(json_object_get(now, "TimestampUSec")) -
                          json_integer_value(json_object_get(before, "TimestampUSec"));
        json_int_t used = json_integer_value(json_object_get(now, "CPUUsageNSec")) -
                          json_integer_value(json_object_get(before, "CPUUsageNSec"));
        double percent = 0;

        /* Less than before: it has been started again. */
        if (before && time > 0 && used > 0)
                percent = 100.0 * (double) used / NSEC_PER_USEC / (double) time;
        (void) json_object_set_new(now, "CPUPercent", json_real(percent));
}

/* A number that this host does not have is a "-"; null is one without bounds. */
static int add_bytes(Table *t, json_t *object, const char *key) {
        json_t *v = json_object_get(object, key);
        char buf[FORMAT_BYTES_MAX];

        return json_is_integer(v) ? table_add(t, format_bytes(buf, sizeof(buf), (uint64_t) json_integer_value(v)))
                                  : table_add(t, NULL);
}

static int add_number(Table *t, json_t *object, const char *key) {
        json_t *v = json_object_get(object, key);

        return json_is_integer(v) ? table_addf(t, "%lli", (long long) json_integer_value(v))
                                  : table_add(t, NULL);
}

/* Of a network that is not the container's own, what PID 1 has counted. */
static int add_traffic(Table *t, json_t *object, const char *interfaces, const char *unit) {
        return add_bytes(t, object, json_object_get(object, interfaces) ? interfaces : unit);
}

static int add_memory_share(Table *t, json_t *s) {
        json_t *used = json_object_get(s, "MemoryCurrent"), *limit = json_object_get(s, "MemoryLimit");

        if (!json_is_integer(used) || json_integer_value(limit) <= 0)
                return table_add(t, NULL);
        return table_addf(t, "%.1f",
                          100.0 * (double) json_integer_value(used) / (double) json_integer_value(limit));
}

int stats_add_row(Table *t, json_t *s) {
        int r;

        r = table_add(t, json_get_string(s, "Id"));
        if (r >= 0)
                r = json_object_get(s, "CPUUsageNSec")
                                    ? table_addf(t, "%.1f", json_real_value(json_object_get(s, "CPUPercent")))
                                    : table_add(t, NULL);
        if (r >= 0)
                r = add_bytes(t, s, "MemoryCurrent");
        if (r >= 0)
                r = add_bytes(t, s, "MemoryLimit");
        if (r >= 0)
                r = add_memory_share(t, s);
        if (r >= 0)
                r = add_number(t, s, "TasksCurrent");
        if (r >= 0)
                r = add_bytes(t, s, "IOReadBytes");
        if (r >= 0)
                r = add_bytes(t, s, "IOWriteBytes");
        if (r >= 0)
                r = add_traffic(t, s, "NetworkReceivedBytes", "IPIngressBytes");
        return r < 0 ? r : add_traffic(t, s, "NetworkSentBytes", "IPEgressBytes");
}

int top_add_row(Table *t, json_t *p) {
        json_int_t usec = json_integer_value(json_object_get(p, "CPUUsageUSec"));
        long long seconds = (long long) (usec / (json_int_t) USEC_PER_SEC);
        char since[64];
        int r;

        r = add_number(t, p, "PID");
        if (r >= 0)
                r = add_number(t, p, "ContainerPID");
        if (r >= 0)
                r = add_number(t, p, "UID");
        if (r >= 0)
                r = table_add(t, json_get_string(p, "State"));
        if (r >= 0)
                r = table_addf(t, "%lli:%02lli.%02lli", seconds / 60, seconds % 60,
                               (long long) (usec % (json_int_t) USEC_PER_SEC) / 10000);
        if (r >= 0)
                r = add_bytes(t, p, "MemoryBytes");
        if (r >= 0)
                r = table_add(t, format_relative(since, sizeof(since),
                                                 (uint64_t) json_integer_value(
                                                                 json_object_get(p, "StartedUSec"))));
        return r < 0 ? r : table_add(t, json_get_string(p, "Command"));
}
