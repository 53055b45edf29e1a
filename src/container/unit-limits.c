/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two lists: the user's properties, which are recorded and hold for each start, and live_limits, what
 * others have set at the unit ("systemctl set-property"), which PID 1 forgets with the unit. Update() changes
 * both. PID 1 tells nobody that a limit has changed; that it has written a file of the control group does
 * (cgroup-watch.c), and then it is asked. */

#include <inttypes.h>

#include "basic/limit-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container-private.h"
#include "container/unit-limits.h"
#include "container/options.h"

const Limit container_limits[] = {
        { "MemoryMax", LIMIT_SIZE, "memory.max", "infinity" },
        { "MemoryHigh", LIMIT_SIZE, "memory.high", "infinity" },
        { "MemoryLow", LIMIT_SIZE, "memory.low", "0" },
        { "MemoryMin", LIMIT_SIZE, "memory.min", "0" },
        { "MemorySwapMax", LIMIT_SIZE, "memory.swap.max", "infinity" },
        { "MemoryZSwapMax", LIMIT_SIZE, "memory.zswap.max", "infinity" },
        { "CPUQuotaPerSecUSec", LIMIT_QUOTA, "cpu.max", "infinity" },
        { "CPUWeight", LIMIT_WEIGHT, "cpu.weight", "infinity" },
        { "AllowedCPUs", LIMIT_SET, "cpuset.cpus", "" },
        { "AllowedMemoryNodes", LIMIT_SET, "cpuset.mems", "" },
        { "IOWeight", LIMIT_WEIGHT, "io.weight", "infinity" },
        { "TasksMax", LIMIT_NUMBER, "pids.max", NULL },
        { "IODeviceWeight", LIMIT_RATE, "io.weight", "" },
        { "IOReadBandwidthMax", LIMIT_BANDWIDTH, "io.max", "" },
        { "IOWriteBandwidthMax", LIMIT_BANDWIDTH, "io.max", "" },
        { "IOReadIOPSMax", LIMIT_BANDWIDTH, "io.max", "" },
        { "IOWriteIOPSMax", LIMIT_BANDWIDTH, "io.max", "" },
        {},
};

/* -- one limit ---------------------------------------------------------------------------------- */

const Limit *limit_find(const char *assignment) {
        size_t n = strcspn(assignment, "=");

        if (n == strlen("CPUQuota") && startswith(assignment, "CPUQuota"))
                return limit_find("CPUQuotaPerSecUSec");
        for (const Limit *l = container_limits; l->name; l++)
                if (strlen(l->name) == n && strncmp(l->name, assignment, n) == 0)
                        return l;
        return NULL;
}

static char *number_to_string(uint64_t n) {
        return n == UINT64_MAX ? strdup("infinity") : strformat("%" PRIu64, n);
}

/* "/dev/sda 5M" → "/dev/sda 5000000" */
static int canonical_device(const Limit *l, const char *value, char **ret) {
        _cleanup_strv_free_ char **words = strv_split(value, " \t");
        _cleanup_free_ char *text = NULL;
        uint64_t n;
        int r;

        if (!words)
                return -ENOMEM;
        if (strv_length(words) != 2)
                return -EINVAL;
        r = l->kind == LIMIT_BANDWIDTH ? parse_bandwidth(words[1], &n) : parse_uint64(words[1], &n);
        if (r < 0)
                return r;
        text = number_to_string(n);
        *ret = text ? strjoin(words[0], " ", text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int canonical_number(const Limit *l, const char *name, const char *value, char **ret) {
        uint64_t n = UINT64_MAX;
        int r = 0;

        if (isempty(value) || streq(value, "infinity"))
                ;
        else if (l->kind == LIMIT_SIZE)
                r = parse_size(value, &n);
        else if (l->kind == LIMIT_WEIGHT && streq(value, "idle"))
                n = 0;
        else if (l->kind == LIMIT_QUOTA && streq(name, "CPUQuota")) {
                r = parse_permyriad(value, &n);
                n *= UINT64_C(1000000) / PERMYRIAD_ALL;
        } else
                r = parse_uint64(value, &n);
        if (r < 0)
                return r;

        *ret = number_to_string(n);
        return *ret ? 0 : -ENOMEM;
}

static int canonical_value(const Limit *l, const char *name, const char *value, char **ret) {
        NumberSet set;
        int r;

        if (limit_is_list(l) && isempty(value)) {
                *ret = strdup("");
                return *ret ? 0 : -ENOMEM;
        }
        if (limit_is_list(l))
                return canonical_device(l, value, ret);
        if (l->kind != LIMIT_SET)
                return canonical_number(l, name, value, ret);

        r = number_set_parse(value, &set);
        if (r < 0)
                return r;
        *ret = number_set_to_string(set.bits, set.size);
        return *ret ? 0 : -ENOMEM;
}

int limit_canonical(const char *assignment, char **ret) {
        _cleanup_free_ char *name = NULL, *value = NULL;
        const Limit *l = limit_find(assignment);
        const char *eq = strchr(assignment, '=');
        int r;

        if (!l || !eq)
                return 0;
        name = strndup(assignment, (size_t) (eq - assignment));
        if (!name)
                return -ENOMEM;
        r = canonical_value(l, name, eq + 1, &value);
        if (r == -ENOMEM)
                return r;

        *ret = r < 0 ? strdup(assignment) : strjoin(l->name, "=", value);
        return *ret ? 1 : -ENOMEM;
}

/* -- lists of them ------------------------------------------------------------------------------ */

/* Whether b takes the place of a: both are limits. */
static bool replaces(const char *b, const char *a) {
        const Limit *l = limit_find(a);
        const char *device_a, *device_b;
        size_t n;

        if (!l || limit_find(b) != l)
                return false;
        device_a = strchr(a, '=');
        device_b = strchr(b, '=');
        if (!limit_is_list(l) || !device_a || !device_b || device_b[1] == 0)
                return true;

        n = strcspn(device_b, " \t");
        return strcspn(device_a, " \t") == n && strncmp(device_a, device_b, n) == 0;
}

int limit_set(char ***l, const char *assignment) {
        size_t n = 0;

        for (char **p = *l; p && *p; p++) {
                if (replaces(assignment, *p))
                        free(*p);
                else
                        (*l)[n++] = *p;
        }
        if (*l)
                (*l)[n] = NULL;

        return strv_extend(l, assignment);
}

/* "NAME=" of a list of devices has done its work. */
static void drop_cleared(char **l) {
        size_t n = 0;

        for (char **p = l; p && *p; p++) {
                if (limit_is_list(limit_find(*p)) && endswith(*p, "="))
                        free(*p);
                else
                        l[n++] = *p;
        }
        if (l)
                l[n] = NULL;
}

int container_get_limits(const Container *c, char ***ret) {
        char *const *sources[] = { c->options.properties, c->live_limits };
        _cleanup_strv_free_ char **l = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                STRV_FOREACH(s, sources[i]) {
                        _cleanup_free_ char *text = NULL;

                        r = limit_canonical(s, &text);
                        if (r > 0)
                                r = limit_set(&l, text);
                        if (r < 0)
                                return r;
                }

        drop_cleared(l);
        *ret = TAKE_PTR(l);
        return 0;
}

/* -- update ------------------------------------------------------------------------------------- */

static int record_updated(Container *c, char *const *limits) {
        _cleanup_free_ char *text = strv_join(limits, "; ");

        if (!text)
                return -ENOMEM;
        if (strlen(text) > LIMITS_TEXT_MAX) {
                text[LIMITS_TEXT_MAX] = 0;
                (void) string_sanitize(text); /* there may be half a character at its end */
        }
        return events_record(c->manager->events, c->row.ns, "container/updated", c->row.id, "Limits", text,
                             "Image", c->row.image, NULL);
}

/* Both lists, the row and the event, or nothing. */
static int commit(Container *c, char *const *limits, Error *reterr_error) {
        _cleanup_strv_free_ char **properties = strv_copy(c->options.properties), **live = NULL;
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_free_ char *text = NULL;
        ContainerOptions options = c->options;
        int r = 0;

        if (c->options.properties && !properties)
                return -ENOMEM;
        STRV_FOREACH(s, limits)
                if (r >= 0)
                        r = limit_set(&properties, s);
        /* What others had set before is overridden. */
        STRV_FOREACH(s, c->live_limits) {
                bool over = false;

                STRV_FOREACH(b, limits)
                        over = over || replaces(b, s);
                if (r >= 0 && !over)
                        r = strv_extend(&live, s);
        }
        if (r < 0)
                return r;

        options.properties = properties;
        r = container_options_to_json(&options, &c->work->process, &text, reterr_error);
        if (r < 0)
                return r;
        r = store_transaction_begin(&t, c->manager->store, !c->row.auto_remove);
        if (r >= 0) {
                ContainerRow row = c->row;

                row.options = text;
                r = store_container_update(c->manager->store, &row);
        }
        if (r >= 0)
                r = record_updated(c, limits);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to record the limits of container %s: %m",
                                       c->row.id);

        free(c->row.options);
        c->row.options = TAKE_PTR(text);
        strv_free(c->options.properties);
        c->options.properties = TAKE_PTR(properties);
        strv_free(c->live_limits);
        c->live_limits = TAKE_PTR(live);
        return 0;
}

static int finish(Container *c, char *const *limits, Error *reterr_error) {
        int r;

        r = commit(c, limits, reterr_error);
        if (r < 0)
                return error_is_set(reterr_error) ? r : error_set_errno(reterr_error, r, "Out of memory.");

        r = container_write_record(c);
        if (r < 0 && r != -ENOENT) /* the bundle of the last boot is gone */
                log_debug_errno(r, "Failed to write the record of container %s, ignoring: %m", c->row.id);
        events_notify(c->manager->events, NOTIFY_CONTAINER_LIMITS_CHANGED, c->row.ns, c->row.id, c);
        return 0;
}

static void on_updated(int r, const Error *error, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c = unit_request_find(q);
        _cleanup_error_ Error e = ERROR_NULL;

        if (r >= 0 && c && finish(c, q->limits, &e) < 0)
                error = &e;
        else if (r >= 0)
                error = NULL;
        q->container(c, error, q->userdata);
}

static int take_assignments(Container *c, char *const *assignments, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        ContainerManager *m = c->manager;
        int r;

        STRV_FOREACH(s, assignments) {
                _cleanup_free_ char *text = NULL;

                r = limit_canonical(s, &text);
                if (r < 0)
                        return r;
                if (r == 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "%.*s cannot be changed while the container exists: only its limits "
                                         "can (MemoryMax, CPUWeight, …; see org.moored1.Container(5)).",
                                         (int) strcspn(s, "="), s);
                r = strv_consume(&l, TAKE_PTR(text));
                if (r < 0)
                        return r;
        }
        if (!l)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is nothing to change.");
        if (m->backend && m->backend->check_properties) {
                r = m->backend->check_properties(m->backend_userdata, l, reterr_error);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

int container_update(Container *c, char *const *assignments, ContainerFunc func, void *userdata,
                     Error *reterr_error) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;
        int r;

        if (c->state == CONTAINER_STARTING)
                return error_set(reterr_error, -EBUSY, "Busy", "Container %s is being started; try again.",
                                 c->row.id);
        q = unit_request_new(m, c->unit, &(UnitRequest){ .container = func, .userdata = userdata });
        if (!q)
                return -ENOMEM;
        r = take_assignments(c, assignments, &q->limits, reterr_error);
        if (r < 0)
                return r;

        if (!container_is_alive(c) && c->state != CONTAINER_RESTARTING) {
                r = finish(c, q->limits, reterr_error);
                if (r >= 0)
                        func(c, NULL, userdata);
                return r;
        }
        r = m->backend ? m->backend->update(m->backend_userdata, c->unit, q->limits, on_updated, q)
                       : -ENOTCONN;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to ask systemd to change unit %s: %m",
                                       c->unit);
        (void) TAKE_PTR(q);
        return 0;
}

/* -- what others change ------------------------------------------------------------------------- */

/* Those of l whose limit is `limit`, as one text. */
static char *values_of(char *const *l, const Limit *limit) {
        _cleanup_strv_free_ char **values = NULL;

        STRV_FOREACH(s, l) {
                const char *value = limit_find(s) == limit ? strchr(s, '=') + 1 : NULL;

                if (!isempty(value) && strv_extend(&values, value) < 0)
                        return NULL;
        }
        strv_sort(values);
        return strv_join(values, "; ");
}

/* 1: its value is another one now. */
static int take_limit(Container *c, const Limit *limit, char *const *known, char *const *now,
                      char ***changed) {
        _cleanup_free_ char *before = values_of(known, limit), *after = values_of(now, limit);
        const char *initial = limit->initial ?: c->work->initial_tasks;
        int r;

        if (!before || !after)
                return -ENOMEM;
        if (streq(isempty(before) ? strempty(initial) : before, after))
                return 0;

        if (limit_is_list(limit)) { /* all devices anew */
                _cleanup_free_ char *none = strjoin(limit->name, "=");

                r = none ? limit_set(&c->live_limits, none) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(s, now)
                if (limit_find(s) == limit) {
                        r = limit_set(&c->live_limits, s);
                        if (r >= 0)
                                r = strv_extend(changed, s);
                        if (r < 0)
                                return r;
                }
        if (limit_is_list(limit) && isempty(after))
                return strv_extendf(changed, "%s=", limit->name);
        return 0;
}

static void on_limits(int r, char *const *limits, void *userdata) {
        _cleanup_(unit_request_freep) UnitRequest *q = userdata;
        Container *c = unit_request_find(q);
        _cleanup_strv_free_ char **known = NULL, **changed = NULL;

        if (r < 0 || !c || !container_is_alive(c))
                return;

        r = container_get_limits(c, &known);
        for (size_t i = 0; r >= 0 && container_limits[i].name; i++)
                if (q->files & (UINT32_C(1) << i))
                        r = take_limit(c, &container_limits[i], known, limits, &changed);
        if (r >= 0 && changed)
                r = record_updated(c, changed);
        if (r < 0)
                log_warning_errno(r, "Failed to take over the limits of container %s, ignoring: %m",
                                  c->row.id);
        if (changed)
                events_notify(c->manager->events, NOTIFY_CONTAINER_LIMITS_CHANGED, c->row.ns, c->row.id, c);
}

void container_refresh_limits(Container *c, uint32_t files) {
        _cleanup_(unit_request_freep) UnitRequest *q = NULL;
        ContainerManager *m = c->manager;

        q = unit_request_new(m, c->unit, &(UnitRequest){ .files = files });
        if (q && m->backend && m->backend->limits(m->backend_userdata, c->unit, on_limits, q) >= 0)
                (void) TAKE_PTR(q);
}
