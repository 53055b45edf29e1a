/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A container's health, as the checks of its present run find it:
 *
 *   starting ──success──▶ healthy ──Retries failures in a row──▶ unhealthy ──success──▶ healthy
 *   starting ──Retries failures in a row, not those of the start period──▶ unhealthy
 *
 * The first check is made when the container has started, the next when the interval after it has passed. None is
 * made of a container that is not running. What was found lies in the bundle (health.json), after each check, so that
 * the next daemon goes on from there; it belongs to one start of the unit, and so to this boot. */

#include "container/container.h"

#define HEALTH_LOG_MAX 5U /* checks whose results are kept */

typedef enum HealthStatus {
        HEALTH_STARTING,
        HEALTH_HEALTHY,
        HEALTH_UNHEALTHY,
        _HEALTH_STATUS_MAX,
        _HEALTH_STATUS_INVALID = -EINVAL,
} HealthStatus;
DECLARE_STRING_TABLE(health_status, HealthStatus);

typedef struct ContainerHealth ContainerHealth;
ContainerHealth *container_health_free(ContainerHealth *h); /* waiters are told -ECANCELED */

/* Begins checks, goes on with them or ends them, as the container's state wants it. */
void container_health_follow(Container *c);
/* At the start of the daemon, when the rest is known: a restart that the last one had begun is brought to its end. */
void container_health_recovered(Container *c);
/* The unit waits for the first success to have started; leader_pid and control_group are known. */
void container_health_begin_start(Container *c, const char *invocation_id);
/* It waits no more. */
void container_health_unit_started(Container *c);

/* NULL: it has no health check, or nothing is known of its last run. */
const char *container_get_health(Container *c);
uint32_t container_get_failing_streak(Container *c);
const HealthCheck *container_get_health_check(const Container *c);
/* The last checks, oldest first. A negative result of cb ends it and is returned. */
int container_foreach_health_log(Container *c,
                                 int (*cb)(uint64_t begin_usec, uint64_t end_usec, int exit_code,
                                           const char *output, void *userdata),
                                 void *userdata);

typedef void (*HealthFunc)(Container *c /* NULL if it is gone */, int exit_code, const char *output,
                           const Error *error /* NULL: success */, void *userdata);
/* Makes a check now, or waits for the one that is under way; it counts as any other. -ESRCH "NotRunning",
 * -ENODATA "NoHealthCheck". */
int container_check_health(Container *c, HealthFunc func, void *userdata, Error *reterr_error);
