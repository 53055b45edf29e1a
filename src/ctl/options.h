/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Command line options by table: the parser and the help text read the same one, so that neither can lie.
 *
 * "-x", "-xyz", "-xVALUE", "-x VALUE", "--name", "--name=VALUE", "--name VALUE"; "--" ends the options. */

#include "basic/error.h"
#include "basic/macro.h"

typedef enum OptionType {
        OPTION_FLAG,   /* bool: becomes true; no value */
        OPTION_STRING, /* const char *: borrowed from argv, the last one counts */
        OPTION_STRV,   /* char **: each use appends a copy */
        OPTION_CUSTOM, /* apply() gets the whole target */
} OptionType;

typedef struct Option {
        char short_name;       /* 0: none */
        const char *long_name; /* every option has one */
        const char *metavar;   /* NULL: takes no value */
        OptionType type;
        size_t offset;
        /* Returns a negative errno and sets the error if value is not acceptable. value is NULL for an
         * option without one. */
        int (*apply)(const char *value, void *target, Error *reterr_error);
        const char *help; /* lines after the first are continued in the same column */
} Option;

#define OPTION_END                                                                                          \
        {}

/* A table and what it fills. Of two options with the same name the one of the earlier set counts. */
typedef struct OptionSet {
        const Option *options; /* ends in OPTION_END */
        void *target;
} OptionSet;

/* Parses argv (without the program's name, NULL-terminated) against the sets. stop_at_first: what follows
 * the first word that is no option is left alone. *ret_args is a new list of pointers into argv: free() it.
 * -EINVAL. */
int options_parse(const OptionSet *sets, size_t n_sets, char *const *argv, bool stop_at_first,
                  char ***ret_args, Error *reterr_error);

/* Applies the option of that long name, as "--NAME=VALUE" on the command line does (value NULL: "--NAME"); value is
 * kept by reference. The name must be in the table. */
int option_apply_by_name(const Option *options, const char *long_name, const char *value, void *target,
                         Error *reterr_error);

/* For apply(): values of the option --NAME. A time span ("10", "500ms"), a point in time ("-5min", "today"). */
int option_parse_sec(const char *name, const char *value, uint64_t *ret, Error *reterr_error);
int option_parse_timestamp(const char *name, const char *value, uint64_t *ret, Error *reterr_error);

/* The table as lines for --help. Names that an option of `hidden_by` (may be NULL) takes are left out. */
void options_print_help(const Option *options, const Option *hidden_by, FILE *f);
