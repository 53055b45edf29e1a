/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Defaults are docker's and podman's. An image's numbers that are out of range are moved into it, as no reason
 * not to run the image; an option's are refused. */

#include "container/health-check.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

#define INTERVAL_USEC (30 * USEC_PER_SEC)
#define TIMEOUT_USEC (30 * USEC_PER_SEC)
#define START_INTERVAL_USEC (5 * USEC_PER_SEC)
#define RETRIES 3
#define SHELL "/bin/sh"

static const char *const health_action_table[_HEALTH_ACTION_MAX] = {
        [HEALTH_ACTION_NONE] = "none",
        [HEALTH_ACTION_KILL] = "kill",
        [HEALTH_ACTION_RESTART] = "restart",
        [HEALTH_ACTION_STOP] = "stop",
};
DEFINE_STRING_TABLE(health_action, HealthAction);

void health_options_done(HealthOptions *o) {
        if (!o)
                return;

        strv_free(o->command);
        free(o->on_failure);
        *o = (HealthOptions){};
}

void health_check_done(HealthCheck *h) {
        if (!h)
                return;

        strv_free(h->command);
        *h = (HealthCheck){};
}

/* -- what is asked for --------------------------------------------------------------------------- */

static int invalid(Error *e, const char *why) {
        return error_set(e, -EINVAL, "InvalidArgument", "HealthCheck: %s.", why);
}

static int check_command(char *const *command, Error *reterr_error) {
        size_t size = 0;

        if (strv_length(command) > IMAGE_CONFIG_LIST_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "HealthCheck: Command has more than %u arguments.", IMAGE_CONFIG_LIST_MAX);
        STRV_FOREACH(s, command)
                size += strlen(s) + 1;
        if (size > HEALTH_COMMAND_SIZE_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "HealthCheck: Command has more than %u bytes.", HEALTH_COMMAND_SIZE_MAX);
        if (command && isempty(command[0]))
                return invalid(reterr_error, "the first word of Command is empty");
        return 0;
}

static int check_time(const char *name, uint64_t usec, Error *reterr_error) {
        if (usec == 0 || usec >= HEALTH_INTERVAL_MIN_USEC)
                return 0;

        return error_set(reterr_error, -EINVAL, "InvalidArgument", "HealthCheck: %s is less than 100 ms.",
                         name);
}

static bool has_any(const HealthOptions *o) {
        return o->command || o->interval_usec > 0 || o->timeout_usec > 0 || o->start_period_set ||
               o->start_interval_usec > 0 || o->retries > 0 || o->on_failure;
}

int health_options_validate(const HealthOptions *o, Error *reterr_error) {
        int r;

        if (o->disabled && has_any(o))
                return invalid(reterr_error, "Disabled contradicts the other members");
        r = check_command(o->command, reterr_error);
        if (r >= 0)
                r = check_time("IntervalUSec", o->interval_usec, reterr_error);
        if (r >= 0)
                r = check_time("TimeoutUSec", o->timeout_usec, reterr_error);
        if (r >= 0)
                r = check_time("StartIntervalUSec", o->start_interval_usec, reterr_error);
        if (r < 0)
                return r;
        if (o->retries > HEALTH_RETRIES_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "HealthCheck: Retries is more than %u.", HEALTH_RETRIES_MAX);
        if (o->on_failure && health_action_from_string(o->on_failure) < 0)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "HealthCheck: OnFailure is one of none, kill, restart, stop, not \"%.100s\".",
                                o->on_failure);
        return 0;
}

/* -- what becomes of it -------------------------------------------------------------------------- */

/* What docker would not run is none: it knows these two. */
static int image_command(const ImageHealthCheck *image, char ***ret) {
        _cleanup_strv_free_ char **command = NULL;
        size_t n = strv_length(image->test);
        int r = 0;

        if (n >= 2 && streq(image->test[0], "CMD") && !isempty(image->test[1]))
                r = strv_extend_strv(&command, image->test + 1);
        else if (n == 2 && streq(image->test[0], "CMD-SHELL")) {
                const char *const shell[] = { SHELL, "-c", image->test[1], NULL };

                r = strv_extend_strv(&command, (char *const *) shell);
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(command);
        return 0;
}

static uint64_t first_of(uint64_t option, uint64_t image, uint64_t otherwise) {
        return option > 0 ? option : image > 0 ? MAX(image, (uint64_t) HEALTH_INTERVAL_MIN_USEC) : otherwise;
}

int health_check_resolve(const ImageHealthCheck *image, const HealthOptions *o, HealthCheck *ret,
                         Error *reterr_error) {
        _cleanup_(health_check_done) HealthCheck h = {};
        int r;

        if (o->disabled) {
                *ret = (HealthCheck){};
                return 0;
        }

        r = o->command ? strv_extend_strv(&h.command, o->command) : image_command(image, &h.command);
        if (r < 0)
                return r;
        if (!h.command) {
                if (has_any(o))
                        return invalid(reterr_error,
                                       "there is no Command, and the image has no health check either");
                *ret = (HealthCheck){};
                return 0;
        }

        h.interval_usec = first_of(o->interval_usec, image->interval_usec, INTERVAL_USEC);
        h.timeout_usec = first_of(o->timeout_usec, image->timeout_usec, TIMEOUT_USEC);
        h.start_period_usec = o->start_period_set ? o->start_period_usec : image->start_period_usec;
        h.start_interval_usec = MIN(first_of(o->start_interval_usec, image->start_interval_usec,
                                             START_INTERVAL_USEC),
                                    h.interval_usec);
        h.retries = o->retries > 0       ? o->retries
                    : image->retries > 0 ? MIN(image->retries, (uint64_t) HEALTH_RETRIES_MAX)
                                         : RETRIES;
        h.on_failure = o->on_failure ? health_action_from_string(o->on_failure) : HEALTH_ACTION_NONE;

        *ret = h;
        h = (HealthCheck){};
        return 0;
}

/* -- JSON ---------------------------------------------------------------------------------------- */

/* UINT64_MAX is no JSON integer. */
static json_int_t usec_to_json(uint64_t usec) {
        return usec > INT64_MAX ? -1 : (json_int_t) usec;
}

static uint64_t usec_from_json(int64_t usec) {
        return usec < 0 ? USEC_INFINITY : (uint64_t) usec;
}

int health_check_to_json(const HealthCheck *h, json_t **ret) {
        _cleanup_json_ json_t *command = json_from_strv(h->command), *j = NULL;

        if (!command)
                return -EILSEQ;
        j = json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:s}", "command", command, "intervalUSec",
                      usec_to_json(h->interval_usec), "timeoutUSec", usec_to_json(h->timeout_usec),
                      "startPeriodUSec", usec_to_json(h->start_period_usec), "startIntervalUSec",
                      usec_to_json(h->start_interval_usec), "retries", (json_int_t) h->retries, "onFailure",
                      health_action_to_string(h->on_failure));
        if (!j)
                return -ENOMEM;

        *ret = TAKE_PTR(j);
        return 0;
}

typedef struct Stored {
        char **command;
        int64_t interval, timeout, start_period, start_interval;
        uint64_t retries;
        char *on_failure;
} Stored;

static void stored_done(Stored *s) {
        strv_free(s->command);
        free(s->on_failure);
}

int health_check_from_json(json_t *j, HealthCheck *ret, Error *reterr_error) {
        static const JsonField fields[] = {
                { "command", JSON_FIELD_STRV, offsetof(Stored, command), true, NULL },
                { "intervalUSec", JSON_FIELD_INT64, offsetof(Stored, interval), true, NULL },
                { "timeoutUSec", JSON_FIELD_INT64, offsetof(Stored, timeout), true, NULL },
                { "startPeriodUSec", JSON_FIELD_INT64, offsetof(Stored, start_period), true, NULL },
                { "startIntervalUSec", JSON_FIELD_INT64, offsetof(Stored, start_interval), true, NULL },
                { "retries", JSON_FIELD_UINT64, offsetof(Stored, retries), true, NULL },
                { "onFailure", JSON_FIELD_STRING, offsetof(Stored, on_failure), true, NULL },
                {},
        };
        _cleanup_(stored_done) Stored s = {};
        HealthAction on_failure;
        int r;

        r = json_dispatch(j, fields, &s, "healthCheck", false, reterr_error);
        if (r < 0)
                return r;
        on_failure = health_action_from_string(s.on_failure);
        if (strv_length(s.command) == 0 || s.retries == 0 || on_failure < 0)
                return error_set(reterr_error, -EBADMSG, "Failed", "healthCheck makes no sense.");

        *ret = (HealthCheck){
                .command = TAKE_PTR(s.command),
                .interval_usec = usec_from_json(s.interval),
                .timeout_usec = usec_from_json(s.timeout),
                .start_period_usec = usec_from_json(s.start_period),
                .start_interval_usec = usec_from_json(s.start_interval),
                .retries = s.retries,
                .on_failure = on_failure,
        };
        return 0;
}
