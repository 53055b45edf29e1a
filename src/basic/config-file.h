/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files in systemd's syntax (systemd.syntax(7)): sections, assignments, comments, lines that a backslash
 * continues; and drop-ins. What the lines mean is the caller's. */

#include "basic/macro.h"

#define CONFIG_FILE_MAX (1U << 20)
#define CONFIG_FILES_MAX 256U /* drop-ins */

typedef enum ConfigLineType {
        CONFIG_LINE_SECTION,    /* "[section]" */
        CONFIG_LINE_ASSIGNMENT, /* "key=value" */
        CONFIG_LINE_NEITHER,    /* text: value */
} ConfigLineType;

typedef struct ConfigLine {
        ConfigLineType type;
        const char *file;
        unsigned number;     /* the first, of a line that is continued */
        const char *section; /* NULL: before the first */
        const char *key;     /* of an assignment */
        const char *value;   /* without blanks around it; may be "" */
} ConfigLine;

typedef struct ConfigHandler {
        /* Each line that is neither empty nor a comment. A negative errno ends the reading. */
        int (*line)(const ConfigLine *line, void *userdata);
        /* A file or directory that is there and cannot be read. Likewise. */
        int (*unreadable)(const char *path, int error, void *userdata);
        void *userdata;
} ConfigHandler;

/* One file's text; name is for messages. Returns the sum of what handler->line() returned, or -ENOMEM. */
int config_text_read(const char *name, const char *text, const ConfigHandler *handler);
/* 0: there is no such file. 1: it was given to the handler. */
int config_file_read(const char *path, const ConfigHandler *handler);
/* The first file of that name in one of the directories (in order of priority, NULL-terminated), as
 * config_file_read(). */
int config_find_read(const char *const *directories, const char *file, const ConfigHandler *handler);
/* All FILE.d/NAME.conf of the directories, in order of NAME; a file of an earlier directory hides those of the
 * same NAME in later ones, also if it is empty or a link to /dev/null. */
int config_drop_ins_read(const char *const *directories, const char *file, const ConfigHandler *handler);
