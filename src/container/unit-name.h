/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unit and slice names, escaped as systemd does (systemd.unit(5), "String escaping for inclusion in unit
 * names"). Pure. All results are the caller's to free; NULL on OOM. */

#include "basic/macro.h"

#define UNIT_NAME_LENGTH_MAX 255U /* systemd's limit, and that of a directory's name in the cgroup tree */

char *unit_name_escape(const char *s);
/* moored-<ns>-<id>.service. May be longer than UNIT_NAME_LENGTH_MAX: that is for the caller to check. */
char *container_unit_name(const char *ns, const char *id);
/* moored-<ns>-<id>.scope */
char *container_scope_name(const char *ns, const char *id);
/* moored@<id>.service: the template's, for containers that a file describes. */
char *container_template_unit_name(const char *id);
bool unit_is_installed(const char *unit); /* is it an instance of the template? */
/* moored-<ns>-<id>-<n>.service, of the n-th exec. */
char *exec_unit_name(const char *ns, const char *id, uint64_t n);
/* moored-dns@<device>.service: the template's, for the resolver of a bridge. No container's unit has such a name. */
char *resolver_unit_name(const char *device);
bool unit_is_resolver(const char *unit);
/* moored-cni@….service: PID 1 makes one for each connection, and it ends by itself. No container's unit has such a name. */
bool unit_is_plugin_run(const char *unit);
/* moored-<ns>.slice */
char *namespace_slice_name(const char *ns);
/* "/org/freedesktop/systemd1/unit/…" */
char *unit_object_path(const char *unit);
/* Where a unit in that slice has its control group: "/moored.slice/moored-default.slice/…". NULL also if
 * slice is no slice's name. */
char *unit_control_group(const char *slice, const char *unit);
