/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Option bags (a{sv}) into C structs by const tables. A key that is not in the table, a key given twice
 * and a value of another type are errors that name the key: InvalidArgument. */

#include <systemd/sd-bus.h>

#include "basic/error.h"

#define BUS_OPTIONS_MAX 64U  /* entries of a table */
#define BUS_LIST_MAX 4096U   /* elements of a list in an option */
#define BUS_LABELS_MAX 512U  /* each is compared with all before it */

typedef struct BusOption {
        const char *name;
        const char *signature;
        /* Reads one value; target is the struct's address plus offset. */
        int (*parse)(sd_bus_message *m, const struct BusOption *o, void *target, Error *reterr_error);
        size_t offset;
} BusOption;

/* The table ends in an entry without name. What was read before an error stays in target: its owner frees
 * it. */
int bus_options_parse(sd_bus_message *m, const BusOption *table, void *target, Error *reterr_error);

/* The bag of the methods that remove something: Force b. */
int bus_options_parse_force(sd_bus_message *m, bool *ret_force, Error *reterr_error);

/* For parsers: the option cannot be read. Returns r. */
int bus_option_error(Error *reterr_error, const BusOption *o, int r);

/* Parsers for the table. "s": char *, owned. "as": char **, owned. "b": bool. "t": uint64_t. "h": int, the
 * message's own. "a{ss}": char ** of "key=value", owned. */
int bus_option_string(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
int bus_option_strv(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
int bus_option_bool(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
int bus_option_uint64(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
int bus_option_fd(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
/* "(uu)": char * of "ROWSxCOLUMNS", owned. */
int bus_option_terminal_size(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);
int bus_option_labels(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error);

/* The same for an argument that is a{ss}. */
int bus_read_labels(sd_bus_message *m, const char *what, char ***ret, Error *reterr_error);
/* Labels ("key=value") as a{ss}. */
int bus_append_labels(sd_bus_message *m, char *const *labels);
