/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/table.h"

#include <stdarg.h>

#include "basic/string-util.h"
#include "ctl/terminal.h"

#define GAP 2U
#define SHRINK_MIN 8U /* a column is not cut below this */

typedef struct TableCell {
        char *text;
        const char *color;
} TableCell;

struct Table {
        const TableColumn *columns;
        size_t n_columns;
        TableCell *cells;
        size_t n_cells, n_allocated;
};

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

Table *table_new(const TableColumn *columns) {
        Table *t = calloc(1, sizeof(Table));

        if (!t)
                return NULL;
        t->columns = columns;
        while (columns[t->n_columns].title)
                t->n_columns++;
        return t;
}

int table_add(Table *t, const char *text) {
        _cleanup_free_ char *s = strdup(isempty(text) ? "-" : text);

        if (!s)
                return -ENOMEM;
        if (t->n_cells >= t->n_allocated) {
                size_t n = MAX(t->n_allocated * 2, (size_t) 64);
                TableCell *c = reallocarray(t->cells, n, sizeof(TableCell));

                if (!c)
                        return -ENOMEM;
                t->cells = c;
                t->n_allocated = n;
        }
        string_sanitize(s);
        t->cells[t->n_cells++] = (TableCell) { .text = TAKE_PTR(s) };
        return 0;
}

int table_addf(Table *t, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&s, format, ap);
        va_end(ap);
        if (r < 0) {
                s = NULL;
                return -ENOMEM;
        }
        return table_add(t, s);
}

void table_color(Table *t, const char *ansi) {
        if (t->n_cells > 0)
                t->cells[t->n_cells - 1].color = ansi;
}

/* Takes from the widest column that may be cut, one character at a time, until the line fits or nothing is
 * left to take. */
static void fit(const Table *t, size_t *widths, size_t width) {
        size_t sum = (t->n_columns - 1) * GAP;

        for (size_t c = 0; c < t->n_columns; c++)
                sum += widths[c];

        for (; sum > width; sum--) {
                size_t widest = SIZE_MAX;

                for (size_t c = 0; c < t->n_columns; c++)
                        if ((t->columns[c].flags & TABLE_SHRINK) && widths[c] > SHRINK_MIN &&
                            (widest == SIZE_MAX || widths[c] > widths[widest]))
                                widest = c;
                if (widest == SIZE_MAX)
                        return;
                widths[widest]--;
        }
}

static void print_cell(FILE *f, const char *text, const char *color, size_t width, TableColumnFlags flags,
                       bool last) {
        size_t l = utf8_length(text), shown = l > width ? width - 1 : l, pad = l > width ? 0 : width - l;

        if (flags & TABLE_RIGHT)
                fprintf(f, "%*s", (int) pad, "");
        fprintf(f, "%s%.*s%s%s", strempty(color), (int) utf8_prefix(text, shown), text, l > width ? "…" : "",
                color ? ANSI_RESET : "");
        if (!(flags & TABLE_RIGHT) && !last)
                fprintf(f, "%*s", (int) pad, "");
        fputs(last ? "\n" : "  ", f);
}

int table_print(const Table *t, FILE *f, size_t width, bool legend, bool colors) {
        _cleanup_free_ size_t *widths = calloc(t->n_columns, sizeof(size_t));

        if (!widths)
                return -ENOMEM;

        for (size_t c = 0; c < t->n_columns; c++) {
                widths[c] = legend ? utf8_length(t->columns[c].title) : 0;
                for (size_t i = c; i < t->n_cells; i += t->n_columns)
                        widths[c] = MAX(widths[c], utf8_length(t->cells[i].text));
        }
        if (width > 0)
                fit(t, widths, width);

        for (size_t c = 0; legend && c < t->n_columns; c++)
                print_cell(f, t->columns[c].title, colors ? ANSI_BOLD : NULL, widths[c], t->columns[c].flags,
                           c + 1 == t->n_columns);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t c = i % t->n_columns;

                print_cell(f, t->cells[i].text, colors ? t->cells[i].color : NULL, widths[c],
                           t->columns[c].flags, c + 1 == t->n_columns);
        }
        return 0;
}
