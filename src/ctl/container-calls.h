/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One method of many containers, side by side: stopping thirty takes as long as stopping the slowest. */

#include <jansson.h>

#include "ctl/ctl.h"

typedef struct ContainerCalls {
        const char *member;
        char **ids;
        int (*append)(sd_bus_message *m, const struct ContainerCalls *calls);
        bool ignore_missing;
        /* instead of member: does it for all ids in its own way */
        int (*run)(Ctl *c, struct ContainerCalls *calls, Error *reterr_error);
        /* arguments */
        bool all; /* --all */
        uint64_t timeout_usec;
        const char *whom;
        int signo;
        bool force;
        char **properties;
        /* results */
        int *codes;
        size_t n_failed;
} ContainerCalls;

/* ListContainers' reply, inside its array of (sos): id, object path, state. */
int container_list(Ctl *c, sd_bus_message **ret, Error *reterr_error);
/* Names of the namespace's containers in one of these states; NULL: there are none. */
int container_ids_by_state(Ctl *c, const char *const *states, char ***ret, Error *reterr_error);
/* One could not be called: an error if it was the only one, else it is printed, and the exit status tells. */
int container_calls_failed(Ctl *c, ContainerCalls *calls, const char *id, const sd_bus_error *e,
                           Error *reterr_error);
/* Exit status. An error of one container is printed and does not end the others. */
int container_calls_run(Ctl *c, ContainerCalls *calls, Error *reterr_error);
/* The same for a verb with --all: ids are the arguments, or all containers in one of these states. */
int container_calls_run_all(Ctl *c, ContainerCalls *calls, char **args, const char *const *states,
                            Error *reterr_error);
/* All of such a verb; its options' target is calls. */
int container_calls_main(Ctl *c, char **argv, ContainerCalls *calls, const char *const *states,
                         Error *reterr_error);
