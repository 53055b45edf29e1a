/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options as the bag (a{sv}) of RunContainer, CreateContainer and Exec. */

#include <systemd/sd-bus.h>

#include "ctl/create-options.h"

/* What RunContainer is given; -EBADF: nothing. */
typedef struct CreateDescriptors {
        int standard[3];
        int terminal;
} CreateDescriptors;
#define CREATE_DESCRIPTORS_NULL ((CreateDescriptors){ { -EBADF, -EBADF, -EBADF }, -EBADF })

/* The a{sv}. fds->standard[i] is appended as StandardInput, -Output, -Error where it is not negative. */
int create_options_append(sd_bus_message *m, const CreateOptions *o, char *const *command,
                          const CreateDescriptors *fds);

/* An entry of a bag; a string that is NULL and a flag that is not set are left out. */
int bag_append_string(sd_bus_message *m, const char *key, const char *value);
int bag_append_flag(sd_bus_message *m, const char *key, bool value);
int bag_append_strv(sd_bus_message *m, const char *key, char *const *l);
/* The next two: an empty list says nothing. */
int bag_append_list(sd_bus_message *m, const char *key, char *const *l);
int bag_append_labels(sd_bus_message *m, char *const *labels);
/* Around a value with these contents. r: what became of appending it. */
int bag_open(sd_bus_message *m, const char *key, const char *contents);
int bag_close(sd_bus_message *m, int r);

/* "NAME=VALUE" as a{ss}. */
int append_labels(sd_bus_message *m, char *const *labels);
