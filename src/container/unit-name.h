/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unit and slice names, escaped as systemd does (systemd.unit(5), "String escaping for inclusion in unit names"). Pure. */

#include "basic/macro.h"

char *unit_name_escape(const char *s);
/* moored-<ns>-<id>.service, NULL on OOM. */
char *container_unit_name(const char *ns, const char *id);
/* moored-<ns>.slice */
char *namespace_slice_name(const char *ns);
/* "/org/freedesktop/systemd1/unit/…" */
char *unit_object_path(const char *unit);
