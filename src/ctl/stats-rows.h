/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Statistics and processes as rows of tables. Pure. */

#include <jansson.h>

#include "ctl/table.h"

extern const TableColumn stats_columns[], top_columns[];

/* CPUPercent: of the time since an earlier look at the same container; 0 without one. */
void stats_add_rates(json_t *now, json_t *before);
int stats_add_row(Table *t, json_t *statistics);
int top_add_row(Table *t, json_t *process);
