/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables for people: columns as wide as their widest cell, cut with "…" where the terminal is narrower. */

#include "basic/macro.h"

typedef enum TableColumnFlags {
        TABLE_RIGHT = 1 << 0,  /* numbers */
        TABLE_SHRINK = 1 << 1, /* may be cut */
} TableColumnFlags;

typedef struct TableColumn {
        const char *title;
        TableColumnFlags flags;
} TableColumn;

typedef struct Table Table;

/* columns is borrowed and ends in an entry without title. NULL on OOM. */
Table *table_new(const TableColumn *columns);
Table *table_free(Table *t);
DEFINE_CLEANUP_FUNC(Table *, table_free)

/* Appends a cell (copied; NULL and "" show as "-"), row after row. Control characters become "?". -ENOMEM.
 */
int table_add(Table *t, const char *text);
int table_addf(Table *t, const char *format, ...) _printf_(2, 3);
/* Colours the cell that was added last: one of the ANSI_ constants, static. */
void table_color(Table *t, const char *ansi);

/* width 0: never cut. */
int table_print(const Table *t, FILE *f, size_t width, bool legend, bool colors);
