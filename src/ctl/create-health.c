/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/create-health.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/create-bag.h"

void create_health_done(CreateHealth *h) {
        strv_free(h->command);
        *h = (CreateHealth) {};
}

static int shell_command(const char *line, char ***ret, Error *reterr_error) {
        const char *const words[] = { "/bin/sh", "-c", line };
        _cleanup_strv_free_ char **l = NULL;

        if (isempty(line))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--health-cmd= has no command; none turns the image's health check off.");
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strv_extend(&l, words[i]) < 0)
                        return error_oom(reterr_error);
        *ret = TAKE_PTR(l);
        return 0;
}

int parse_health_command(const char *value, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **words = NULL, **l = NULL;
        size_t n, skip;
        int r;

        if (streq(value, "none")) {
                *ret = NULL;
                return 0;
        }
        if (value[0] != '[')
                return shell_command(value, ret, reterr_error);

        r = parse_words("health-cmd", value, &words, reterr_error);
        if (r < 0)
                return r;
        n = strv_length(words);
        if (n == 1 && streq(words[0], "NONE")) {
                *ret = NULL;
                return 0;
        }
        if (n == 2 && streq(words[0], "CMD-SHELL"))
                return shell_command(words[1], ret, reterr_error);
        skip = n > 0 && streq(words[0], "CMD") ? 1 : 0;
        if (n == skip || isempty(words[skip]))
                return shell_command(NULL, ret, reterr_error);
        if (strv_extend_strv(&l, words + skip) < 0)
                return error_oom(reterr_error);
        *ret = TAKE_PTR(l);
        return 0;
}

/* -- the option table's appliers -- */

int apply_health_command(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        char **l;
        int r;

        r = parse_health_command(value, &l, reterr_error);
        if (r < 0)
                return r;
        strv_free(o->health.command);
        o->health.command = l;
        o->health.disabled = o->health.disabled || !l;
        return 0;
}

int apply_health_interval(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (streq(value, "disable")) {
                o->health.interval_usec = UINT64_MAX;
                return 0;
        }
        return option_parse_sec("health-interval", value, &o->health.interval_usec, reterr_error);
}

int apply_health_timeout(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return option_parse_sec("health-timeout", value, &o->health.timeout_usec, reterr_error);
}

int apply_health_start_period(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        o->health.start_period_set = true;
        return option_parse_sec("health-start-period", value, &o->health.start_period_usec, reterr_error);
}

int apply_health_start_interval(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return option_parse_sec("health-start-interval", value, &o->health.start_interval_usec, reterr_error);
}

int apply_health_retries(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (parse_uint64(value, &o->health.retries) < 0 || o->health.retries == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--health-retries=%s is not a number of failures, such as 3.", value);
        return 0;
}

int apply_sdnotify(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (!streq(value, "healthy") && !streq(value, "started") && !streq(value, "container"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--sdnotify= is one of started, container, healthy, not '%s'.", value);
        o->ready_when_healthy = streq(value, "healthy");
        o->notify = streq(value, "container");
        return 0;
}

/* -- the bag -- */

static bool has_health(const CreateHealth *h) {
        return h->disabled || h->command || h->interval_usec || h->timeout_usec || h->start_period_set ||
               h->start_interval_usec || h->retries || h->on_failure;
}

int create_health_append(sd_bus_message *m, const CreateHealth *h) {
        const struct {
                const char *key;
                uint64_t value;
                bool given;
        } numbers[] = {
                { "IntervalUSec", h->interval_usec, h->interval_usec > 0 },
                { "TimeoutUSec", h->timeout_usec, h->timeout_usec > 0 },
                { "StartPeriodUSec", h->start_period_usec, h->start_period_set },
                { "StartIntervalUSec", h->start_interval_usec, h->start_interval_usec > 0 },
                { "Retries", h->retries, h->retries > 0 },
        };
        int r;

        if (!has_health(h))
                return 0;
        r = bag_open(m, "HealthCheck", "a{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0)
                r = bag_append_flag(m, "Disabled", h->disabled);
        if (r >= 0 && h->command)
                r = bag_append_strv(m, "Command", h->command);
        for (size_t i = 0; i < ELEMENTSOF(numbers) && r >= 0; i++)
                if (numbers[i].given)
                        r = sd_bus_message_append(m, "{sv}", numbers[i].key, "t", numbers[i].value);
        if (r >= 0)
                r = bag_append_string(m, "OnFailure", h->on_failure);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return bag_close(m, r);
}
