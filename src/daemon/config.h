/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* moored.conf and its drop-ins, read as systemd reads its own: the first moored.conf found in
 * /etc/moored, /run/moored, /usr/lib/moored; then all moored.conf.d/NAME.conf of the three, in order of
 * NAME, where a file of an earlier directory hides those of the same NAME in later ones. Later
 * assignments win; an empty one brings back the default (empties a list). */

#include "basic/error.h"
#include "image/image.h"

typedef struct Config {
        int log_level;         /* -1: not set */
        uint32_t events_max;   /* events kept */
        PullConfig pull;
        uint64_t stop_timeout_usec;
        char *network;
        char *runtime;   /* NULL: mooring */
        char **runtimes; /* NAME=PATH */
} Config;

int config_init(Config *c); /* the defaults; -ENOMEM */
void config_done(Config *c);
#define _cleanup_config_ _cleanup_(config_done)

/* One file's text; name is for messages. What cannot be understood is logged as a warning with file and
 * line and ignored. Returns how many such lines there were, or -ENOMEM. */
int config_parse(Config *c, const char *name, const char *text);

/* directories: in order of priority, NULL-terminated. Files that cannot be read are warned about.
 * -ENOMEM. */
int config_load(Config *c, const char *const *directories);
extern const char *const config_directories[];
