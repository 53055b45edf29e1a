/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options --health-… of "run" and "create", and their part of the option bag. */

#include <systemd/sd-bus.h>

#include "basic/error.h"
#include "basic/macro.h"

/* What is NULL or 0 was not given. */
typedef struct CreateHealth {
        bool disabled;
        char **command;
        uint64_t interval_usec, timeout_usec, start_period_usec, start_interval_usec, retries;
        bool start_period_set;
        const char *on_failure;
} CreateHealth;
void create_health_done(CreateHealth *h);
/* The entry HealthCheck, if there is anything to say. */
int create_health_append(sd_bus_message *m, const CreateHealth *h);

/* A line for the shell; a JSON array: the words, perhaps behind docker's "CMD" or "CMD-SHELL"; "none": *ret is
 * NULL. */
int parse_health_command(const char *value, char ***ret, Error *reterr_error);

/* For the table of options; target: CreateOptions. */
int apply_health_command(const char *value, void *target, Error *reterr_error);
int apply_health_interval(const char *value, void *target, Error *reterr_error);
int apply_health_timeout(const char *value, void *target, Error *reterr_error);
int apply_health_retries(const char *value, void *target, Error *reterr_error);
int apply_health_start_period(const char *value, void *target, Error *reterr_error);
int apply_health_start_interval(const char *value, void *target, Error *reterr_error);
int apply_sdnotify(const char *value, void *target, Error *reterr_error);
