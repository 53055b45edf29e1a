/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a container's health is found out: what the image says (Docker's HEALTHCHECK) and the options over it,
 * resolved once, when the container is made. Pure. What is done with it: health.h. */

#include "basic/error.h"
#include "basic/json.h"
#include "oci/image-config.h"

#define HEALTH_COMMAND_SIZE_MAX IMAGE_HEALTH_TEST_SIZE_MAX
#define HEALTH_INTERVAL_MIN_USEC (UINT64_C(100) * 1000) /* also of the timeout */
#define HEALTH_RETRIES_MAX 1000000U

/* When a container becomes unhealthy. */
typedef enum HealthAction {
        HEALTH_ACTION_NONE,
        HEALTH_ACTION_KILL,
        HEALTH_ACTION_RESTART,
        HEALTH_ACTION_STOP,
        _HEALTH_ACTION_MAX,
        _HEALTH_ACTION_INVALID = -EINVAL,
} HealthAction;
DECLARE_STRING_TABLE(health_action, HealthAction);

/* As asked for; what is 0 was not asked for. */
typedef struct HealthOptions {
        bool disabled;  /* whatever the image says */
        char **command; /* arguments */
        uint64_t interval_usec; /* UINT64_MAX: only on request */
        uint64_t timeout_usec;
        uint64_t start_period_usec;
        bool start_period_set; /* 0 is a period, too */
        uint64_t start_interval_usec;
        uint64_t retries;
        char *on_failure; /* HealthAction */
} HealthOptions;
void health_options_done(HealthOptions *o);
/* "InvalidArgument" names the member. */
int health_options_validate(const HealthOptions *o, Error *reterr_error);

typedef struct HealthCheck {
        char **command;         /* NULL: there is no health check, and the rest says nothing */
        uint64_t interval_usec; /* from the end of one to the next; UINT64_MAX: only on request */
        uint64_t timeout_usec;
        uint64_t start_period_usec; /* until then, or until the first success, failures do not count */
        uint64_t start_interval_usec; /* in that time, or while the start of the unit waits for it, the interval */
        uint64_t retries;           /* so many failures in a row make it unhealthy */
        HealthAction on_failure;
} HealthCheck;
void health_check_done(HealthCheck *h);
/* "InvalidArgument" if there are options but nothing to run. */
int health_check_resolve(const ImageHealthCheck *image, const HealthOptions *o, HealthCheck *ret,
                         Error *reterr_error);
/* h has a command. -EILSEQ: it is not UTF-8. */
int health_check_to_json(const HealthCheck *h, json_t **ret);
int health_check_from_json(json_t *j, HealthCheck *ret, Error *reterr_error);
